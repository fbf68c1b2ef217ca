/* intake: bytes from sockets become frames. The one header of the stage.
 * A wire is a protocol state machine with no socket in it (zmtp.c, nats.c); the reactor (reactor.c)
 * owns every socket, epoll, reconnects and back-off, and knows wires only through pstk_wire_ops.
 * Owner    a frame borrows from the receive buffer and is valid until the sink returns.
 * Threads  one: the engine thread. wake() is legal from any thread.
 * Bound    frame_bytes_max a message, connections_max a source, PSTK_OUT_BYTES of unsent bytes a
 *          connection.
 * Full     the sink may refuse (returns false): the reactor stops reading that source until
 *          resume(). Heartbeats rest meanwhile, both ways; the wire's clock stands still. */
#ifndef PSTK_INTAKE_H
#define PSTK_INTAKE_H

#include "../base/base.h"

#define PSTK_FRAMES_MAX 512u
typedef struct pstk_frames { /* what one take() decoded */
    size_t count;
    pstk_frame frame[PSTK_FRAMES_MAX];
} pstk_frames;

#define PSTK_OUT_BYTES 16384u
typedef struct pstk_out { /* bytes a wire wants to send */
    size_t size;
    uint8_t bytes[PSTK_OUT_BYTES];
} pstk_out;
/* False when it does not fit: close the connection. */
bool pstk_out_put(pstk_out *out, const void *bytes, size_t size);

typedef enum pstk_take {
    PSTK_TAKE_OK = 0,
    PSTK_TAKE_CLOSE = 1,    /* protocol error or refused: close; the session's text says why */
    PSTK_TAKE_OVERSIZE = 2, /* a frame above frame_bytes_max was announced: counted, close */
} pstk_take;

typedef struct pstk_took {
    size_t consumed; /* bytes done with; the rest is an unfinished frame, kept for the next call */
    /* > 0: total bytes the unfinished frame needs, never above frame_bytes_max + 64 (or 64 KiB if
     * that is more). Not above what lies there: out is full, call again once it was sent. */
    size_t wanted;
    uint32_t malformed; /* messages of this call that could not be used: counted, skipped */
    uint32_t oversize;  /* the same for messages over frame_bytes_max, where the wire can skip */
} pstk_took;

/* One protocol. A session is a fixed-size block of memory, zeroed by the reactor before start. */
typedef struct pstk_wire_ops {
    const char *name;
    size_t session_bytes;
    /* The connection is up: greeting out. options outlives the session. */
    void (*start)(void *session, const pstk_source_options *options, bool is_server, pstk_out *out,
                  int64_t mono_ns);
    /* Decode what is there, in place. Same bytes in any split give the same frames and the same
     * bytes out. Never reads past size, never allocates. Stops early when frames are full (consumed
     * tells how far). Frames decoded before a refusal are handed over first. */
    int (*take)(void *session, const uint8_t *bytes, size_t size, pstk_frames *frames,
                pstk_out *out, pstk_took *out_took, int64_t mono_ns);
    /* Handshake time-outs and heartbeats. *out_next_ns = when to call again (INT64_MAX = never). */
    int (*timer)(void *session, pstk_out *out, int64_t mono_ns, int64_t *out_next_ns);
    bool (*is_ready)(const void *session);    /* handshake done, subscriptions sent */
    const char *(*text)(const void *session); /* why it closed; static or inside the session */
} pstk_wire_ops;

/* PULL and SUB, NULL mechanism; PLAIN and CURVE have their place in zmtp.c. */
extern const pstk_wire_ops pstk_zmtp_wire;
/* Core NATS; TLS, NKeys, JetStream have their place in nats.c. */
extern const pstk_wire_ops pstk_nats_wire;

/* ---- reactor --------------------------------------------------------------------------------- */

typedef enum pstk_link { PSTK_LINK_UP = 1, PSTK_LINK_DOWN = 2 } pstk_link;

typedef struct pstk_sink { /* the next stage, as the engine wires it */
    void *context;
    /* Frames of one receive of one connection. Returns false when the source must pause (ring full,
     * policy block): *out_taken then says how many frames were taken; the rest come again after
     * resume(). */
    bool (*frames)(void *context, uint32_t source, uint32_t connection, const pstk_frame *frames,
                   size_t count, size_t *out_taken);
    /* The same of a recording: the offset of a frame's end in the file is base_offset and as far as
     * its payload ends behind base. NULL where no source is one. */
    bool (*replayed)(void *context, uint32_t source, const pstk_frame *frames, size_t count,
                     const uint8_t *base, uint64_t base_offset, size_t *out_taken);
    /* A connection finished its handshake or was lost. */
    void (*link)(void *context, uint32_t source, uint32_t connection, pstk_link link);
    /* A whole message was lost inside intake (malformed, oversize). */
    void (*drop)(void *context, uint32_t source, pstk_drop reason, uint64_t count);
} pstk_sink;

typedef struct pstk_intake_counters {
    uint64_t frames, bytes;   /* handed over; received */
    uint64_t connections;     /* open now, in their handshake or done with it */
    uint64_t accepted;        /* bind: since start */
    uint64_t reconnects;      /* connect: made again after a loss */
    uint64_t protocol_errors; /* closed by us, see pstk_intake_reason */
    uint32_t ready;           /* connections whose handshake is done */
    uint32_t refused;         /* accepted while connections_max were there, closed at once */
} pstk_intake_counters;

typedef struct pstk_intake pstk_intake;

/* Copies options. Allocates everything it will ever need but per-connection unfinished-frame
 * buffers above 64 KiB, which are taken and given back with the connection, never in steady state.
 */
int pstk_intake_open(const pstk_source_options *sources, size_t source_count, const pstk_sink *sink,
                     pstk_intake **out_intake, pstk_error *err);
/* Binds and begins to connect. Port 0 on bind takes a free one, see pstk_intake_port. A host name
 * (not an address) is looked up here and at each reconnect, which may block. */
int pstk_intake_start(pstk_intake *intake, pstk_error *err);
/* Before start: a recording goes on behind the frame that ends at this offset. Others: nothing. */
void pstk_intake_resume_at(pstk_intake *intake, uint32_t source, uint64_t position);
/* One duty cycle: waits at most timeout_ns (0 = not at all, < 0 = without end), reads, decodes,
 * calls the sink, runs timers; comes back sooner when one of its own timers is due.
 * Returns the number of frames handed over, or -1 when epoll failed. */
int64_t pstk_intake_poll(pstk_intake *intake, int64_t timeout_ns);
void pstk_intake_resume(pstk_intake *intake, uint32_t source); /* in the next poll; engine thread */
void pstk_intake_wake(pstk_intake *intake);                    /* ends a waiting poll; any thread */
/* Port bound (bind) or given (connect); -1 for a source without a socket. */
int pstk_intake_port(const pstk_intake *intake, uint32_t source);
/* Why we last closed a connection of that source on our own (each counts in protocol_errors);
 * "" = never. Of a recording also "end", which counts nowhere. */
const char *pstk_intake_reason(const pstk_intake *intake, uint32_t source);
void pstk_intake_counters_get(const pstk_intake *intake, uint32_t source,
                              pstk_intake_counters *out_counters);
void pstk_intake_close(pstk_intake *intake);

#endif
