/* reactor: what the parts of the reactor share; private to native/intake (reactor*.c).
 *
 *   reactor.c             open, start, the duty cycle, timers, close
 *   reactor_connection.c  the life of one connection: attempt, open, send, refuse, close, back-off
 *   reactor_read.c        receive, decode in place, hand over, pause and resume
 *   reactor_coalesce.c    how much a read may wait for, from the observed rate
 *   reactor_socket.c      resolve, bind, connect, accept
 *   reactor_replay.c      a recording instead of a socket
 *   reactor_wait.c        waiting with less than a millisecond
 *
 * Memory    one private mapping, reserved at open and touched on first use, holds for each
 *           connection its session, its unsent bytes and REACTOR_SMALL_BYTES of unfinished frame,
 *           and for each source the stash of a pause. Only an unfinished frame above that takes
 *           memory later; it stays with the connection and is given back when it closes or has
 *           not needed it for REACTOR_BIG_IDLE_NS.
 * Clocks    all times are BOOTTIME ns. A wire sees its source's clock, which stands still while
 *           the source is paused: we do not read then, so the peer's silence is ours. */
#ifndef PSTK_REACTOR_H
#define PSTK_REACTOR_H

#include "intake.h"

#include <sys/types.h>

#define REACTOR_RECEIVE_BYTES (128u * 1024u)
#define REACTOR_SMALL_BYTES (64u * 1024u)
#define REACTOR_EVENTS_MAX 128
#define REACTOR_CONNECTIONS_MAX 4096u /* a source; of memory 84 KiB each, reserved, not touched */
#define REACTOR_FRAME_BYTES_MAX (1u << 30)
#define REACTOR_ACCEPTS_MAX 16 /* an event: a flood of connects must not hold up the rest */
#define REACTOR_TIMER_NS INT64_C(2000000) /* timers but the coalescing ones are this coarse */
#define REACTOR_BIG_IDLE_NS (10 * PSTK_NS_PER_S)
/* A handshake takes milliseconds; a slot silent for this long may go to a newcomer when all are
 * taken. */
#define REACTOR_EVICT_NS (PSTK_NS_PER_S / 4)
#define REACTOR_ACCEPT_RETRY_NS (PSTK_NS_PER_S / 10) /* after EMFILE and the like */
#define REACTOR_STEADY_NS PSTK_NS_PER_S     /* ready this long: the next back-off starts small */
#define REACTOR_COALESCE_NS INT64_C(500000) /* default bound of the delay a mark may add */
#define REACTOR_COALESCE_NS_MAX PSTK_NS_PER_S

/* epoll data: generation << 32 | slot, or one of these in the low half. */
#define REACTOR_KEY_LISTENER UINT32_C(0x80000000) /* | source */
#define REACTOR_KEY_WAKE UINT32_C(0xFFFFFFFF)
#define REACTOR_KEY_TIMER UINT32_C(0xFFFFFFFE)

typedef enum pstk_connection_state {
    PSTK_CONNECTION_FREE = 0,
    PSTK_CONNECTION_WAITING = 1, /* for its next attempt, timer_ns */
    PSTK_CONNECTION_CONNECTING = 2,
    PSTK_CONNECTION_OPEN = 3,
} pstk_connection_state;

typedef struct pstk_coalesce { /* one connection's rate and mark, see pstk_coalesce_note */
    uint32_t mark;
    uint64_t window_bytes;
    int64_t window_ns;
    int64_t read_ns; /* last receive */
} pstk_coalesce;

typedef struct pstk_connection {
    int fd; /* -1 while free or waiting */
    uint32_t source;
    uint32_t generation; /* tells a stale event of this slot's former connection */
    uint8_t state;       /* pstk_connection_state */
    uint8_t is_ready, is_parked, is_sending;
    uint32_t hot;                /* index in intake->hot + 1; 0 = not there */
    uint32_t address, addresses; /* next of the host's addresses, how many there are */
    void *session;
    pstk_out *out;
    uint8_t *small;
    uint8_t *big;
    size_t big_bytes;
    size_t kept;   /* unfinished bytes, in big when is_big, else in small */
    size_t wanted; /* what they must become before a take makes sense; big only */
    bool is_big;
    bool has_been_open;
    int64_t big_used_ns;
    int64_t opened_ns, ready_ns;
    int64_t timer_ns; /* OPEN: of the wire, source's clock; else of the reactor */
    int64_t backoff_ns;
    pstk_coalesce coalesce;
} pstk_connection;

/* What a refusal left: frames decoded but not taken, and the bytes behind them. */
typedef struct pstk_stash {
    pstk_connection *connection; /* NULL = nothing is left */
    uint8_t *bytes;              /* REACTOR_SMALL_BYTES + REACTOR_RECEIVE_BYTES */
    pstk_frame *frames; /* PSTK_FRAMES_MAX; borrow from bytes, or from the connection's big */
    size_t first, count;
    uint8_t *rest; /* not yet decoded */
    size_t rest_bytes;
    int result; /* pstk_take: what becomes of the connection once the frames were taken */
} pstk_stash;

typedef struct pstk_replay { /* of a source that reads a recording */
    int fd;                  /* until start, then the connection's; -1 */
    uint32_t tail_bytes;     /* of a message, behind its payload */
    uint64_t size;           /* of the file at open; it may grow */
    uint64_t resume;         /* an earlier run took what lies before it; 0 = nothing */
    uint64_t offset;         /* next byte to read */
    const uint8_t *base;     /* of what is being decoded, and the offset of its first byte: */
    uint64_t base_offset;
} pstk_replay;

typedef struct pstk_source {
    pstk_source_options options;
    const pstk_wire_ops *ops; /* NULL: not a socket (feed) */
    pstk_replay replay;
    bool is_replay;
    uint32_t first, slots; /* its connections in intake->connections */
    int listener;
    int port;
    bool is_paused, is_resuming;
    int64_t paused_ns;       /* since when */
    int64_t paused_total_ns; /* how far its clock lies behind */
    int64_t accept_ns;       /* listener is out of epoll until then; 0 = it is in */
    int64_t coalesce_ns;
    pstk_stash stash;
    pstk_intake_counters counters;
    char reason[128];
} pstk_source;

struct pstk_intake {
    pstk_sink sink;
    pstk_source *sources;
    size_t source_count;
    pstk_connection *connections;
    size_t connection_count;
    uint32_t *hot; /* slots with a mark above 1: read at the bound whatever the mark says */
    size_t hot_count;
    uint8_t *arena;
    size_t arena_bytes;
    uint8_t *receive; /* REACTOR_SMALL_BYTES of head room, then REACTOR_RECEIVE_BYTES */
    pstk_frames *frames;
    int epoll, wake, timer; /* timer -1: epoll_pwait2 is there */
    int64_t due_ns;         /* no timer of any connection falls before it */
    int64_t handed;         /* frames, this cycle */
    uint32_t resuming;
    uint32_t replaying; /* recordings not yet at their end */
    uint64_t random;
    bool is_started;
};

/* ---- reactor_connection.c -------------------------------------------------------------------- */

uint32_t pstk_connection_index(const pstk_intake *intake, const pstk_connection *c);
void pstk_connection_attempt(pstk_intake *intake, pstk_connection *c, int64_t now_ns);
void pstk_connection_connected(pstk_intake *intake, pstk_connection *c, int64_t now_ns);
void pstk_connection_open(pstk_intake *intake, pstk_connection *c, int fd, int64_t now_ns);
void pstk_connection_send(pstk_intake *intake, pstk_connection *c);
/* False: the wire asked to close, and it is closed. */
bool pstk_connection_timer(pstk_intake *intake, pstk_connection *c, int64_t now_ns);
void pstk_connection_note_ready(pstk_intake *intake, pstk_connection *c, int64_t now_ns);
void pstk_connection_refuse(pstk_intake *intake, pstk_connection *c, const char *text,
                            int64_t now_ns);
void pstk_connection_close(pstk_intake *intake, pstk_connection *c, int64_t now_ns);
void pstk_connection_park(pstk_intake *intake, pstk_connection *c);
void pstk_connection_unpark(pstk_intake *intake, pstk_connection *c);
void pstk_connection_mark(pstk_intake *intake, pstk_connection *c, size_t bytes, int64_t now_ns);
int64_t pstk_source_clock(const pstk_source *source, int64_t now_ns);
void pstk_reactor_due(pstk_intake *intake, int64_t due_ns);

/* ---- reactor_read.c -------------------------------------------------------------------------- */

void pstk_reactor_read(pstk_intake *intake, pstk_connection *c);
void pstk_reactor_resume(pstk_intake *intake, pstk_source *source, int64_t now_ns);

/* ---- reactor_replay.c ------------------------------------------------------------------------ */

/* Opens the file and finds the wire; the source's options become those of that wire. */
int pstk_replay_open(pstk_source *source, pstk_error *err);
int pstk_replay_start(pstk_intake *intake, uint32_t index, pstk_error *err);
ssize_t pstk_replay_read(pstk_source *source, int fd, uint8_t *at, size_t capacity);
void pstk_replay_turn(pstk_intake *intake);
bool pstk_replay_is_due(const pstk_intake *intake);
void pstk_replay_end(pstk_intake *intake, pstk_connection *c, int failure, int64_t now_ns);

/* ---- reactor_coalesce.c ---------------------------------------------------------------------- */

/* One receive of bytes at now_ns; returns the mark that should hold from now on. */
uint32_t pstk_coalesce_note(pstk_coalesce *coalesce, size_t bytes, int64_t now_ns,
                            int64_t bound_ns);

/* ---- reactor_socket.c ------------------------------------------------------------------------ */

int pstk_socket_listen(const pstk_source_options *options, int *out_fd, int *out_port,
                       pstk_error *err);
/* 0 (connected or on its way) or an errno. Resolves host on each call: a name may block in the
 * resolver, a numeric address never does. address counts up over what the host resolves to. */
int pstk_socket_connect(const pstk_source_options *options, uint32_t address,
                        uint32_t *out_addresses, int *out_fd);
int pstk_socket_accept(int listener);
int pstk_socket_error(int fd);
bool pstk_socket_is_self(int fd);

/* ---- reactor_wait.c -------------------------------------------------------------------------- */

struct epoll_event;
int pstk_reactor_wait_open(pstk_intake *intake, pstk_error *err);
int pstk_reactor_wait_timer(pstk_intake *intake, pstk_error *err); /* for a kernel without pwait2 */
int pstk_reactor_wait(pstk_intake *intake, struct epoll_event *events, int64_t timeout_ns);

#endif
