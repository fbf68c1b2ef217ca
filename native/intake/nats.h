/* nats: what the NATS wire keeps for one connection. Private to intake and its tests.
 * Bound    a control line of PSTK_NATS_LINE_BYTES_MAX, an INFO of PSTK_NATS_INFO_BYTES_MAX (read as
 * a stream, never kept), a message of options->frame_bytes_max. Larger ones are skipped and
 * counted; above the protocol's own ceiling the connection is closed. */
#ifndef PSTK_NATS_H
#define PSTK_NATS_H

#include "intake.h"

#define PSTK_NATS_LINE_BYTES_MAX 4096u          /* nats-server MAX_CONTROL_LINE_SIZE */
#define PSTK_NATS_INFO_BYTES_MAX 65536u         /* room for some 3,000 connect_urls */
#define PSTK_NATS_PAYLOAD_BYTES_MAX (64u << 20) /* nats-server MAX_PAYLOAD_MAX_SIZE */
#define PSTK_NATS_JSON_DEPTH_MAX 16u

/* What the server says about itself, read one byte at a time: any split of the bytes leaves the
 * same state behind. */
typedef struct pstk_nats_info {
    uint64_t max_payload;
    uint32_t server_id_bytes; /* as sent; server_id holds the beginning of it */
    char server_id[64];
    bool is_auth_required, is_tls_required, is_lame_duck, has_headers, has_nonce;
    /* the scanner */
    uint8_t place;
    uint8_t depth;
    uint8_t number_place;
    uint8_t hex_left;
    bool is_key;
    const char *word; /* what is left of true, false or null */
    uint32_t objects; /* bit d: level d is an object, else an array */
    uint32_t bytes;   /* of this INFO so far */
    uint32_t key_bytes, value_bytes;
    char key[24];
    char value[64];
} pstk_nats_info;

typedef enum pstk_nats_info_step {
    PSTK_NATS_INFO_MORE = 0,
    PSTK_NATS_INFO_DONE = 1, /* the line's LF was taken */
    PSTK_NATS_INFO_BAD = 2,  /* not a JSON object, nested too deep, or too long */
} pstk_nats_info_step;

void pstk_nats_info_begin(pstk_nats_info *info);
pstk_nats_info_step pstk_nats_info_take(pstk_nats_info *info, uint8_t byte);

typedef enum pstk_nats_verb {
    PSTK_NATS_MSG = 0,
    PSTK_NATS_HMSG,
    PSTK_NATS_PING,
    PSTK_NATS_PONG,
    PSTK_NATS_OK,
    PSTK_NATS_ERR,
    PSTK_NATS_INFO,
    PSTK_NATS_VERB_COUNT,
    PSTK_NATS_PARTIAL, /* the bytes so far begin a verb */
    PSTK_NATS_UNKNOWN,
} pstk_nats_verb;

typedef struct pstk_nats_seen { /* one operation, for tests; slices are borrowed */
    pstk_nats_verb verb;
    uint64_t sid;
    const uint8_t *subject, *reply, *headers, *payload, *text;
    size_t subject_bytes, reply_bytes, headers_bytes, payload_bytes, text_bytes;
} pstk_nats_seen;

typedef enum pstk_nats_phase {
    PSTK_NATS_PHASE_INFO = 0, /* the server speaks first */
    PSTK_NATS_PHASE_PONG = 1, /* all is sent and a PING behind it: its PONG proves acceptance */
    PSTK_NATS_PHASE_READY = 2,
    PSTK_NATS_PHASE_CLOSED = 3,
} pstk_nats_phase;

typedef struct pstk_nats_session {
    const pstk_source_options *options;
    pstk_nats_phase phase;
    bool is_in_info;
    uint64_t skip_bytes; /* of a message that is passed over, its CR LF included */
    int64_t start_ns, recv_ns, ping_ns;
    uint32_t pings_unanswered;
    uint32_t reserved;
    uint64_t verbs[PSTK_NATS_VERB_COUNT]; /* operations seen; MSG and HMSG only where they were not
                                             plain */
    pstk_nats_info info;
    char text[320];
    void (*seen)(void *context, const pstk_nats_seen *seen); /* tests only; NULL in an engine */
    void *seen_context;
} pstk_nats_session;

/* CONNECT, SUBs with sid 1..n and PING. False: it does not fit. */
bool pstk_nats_put_hello(const pstk_source_options *options, pstk_out *out);
/* A blank in a subject would be a second word to the server. */
bool pstk_nats_has_sound_subjects(const pstk_source_options *options);

/* The text of an -ERR, put into session->text. True: the connection is of no use, close it. */
bool pstk_nats_is_refusal(pstk_nats_session *session, const uint8_t *text, size_t text_bytes);

#define PSTK_NATS_CRLF 0x0a0du

static inline void pstk_nats_deliver(const pstk_nats_session *session, pstk_frames *frames,
                                     const pstk_nats_seen *seen) {
    frames->frame[frames->count++] = (pstk_frame){
        seen->subject, seen->payload, (uint32_t)seen->subject_bytes, (uint32_t)seen->payload_bytes};
    if (PSTK_UNLIKELY(session->seen != NULL))
        session->seen(session->seen_context, seen);
}

/* Every header block begins with its version and ends with an empty line (ADR-4). */
static inline bool pstk_nats_is_header_block(const uint8_t *bytes, size_t size) {
    return size >= 12 && memcmp(bytes, "NATS/1.0", 8) == 0 &&
           memcmp(bytes + size - 4, "\r\n\r\n", 4) == 0;
}

/* nats_plain.c: the hot path. As many plain messages as there are from at on: MSG or HMSG with
 * single blanks, no reply, whole, for one of our sids, within the limits. Returns where it stopped:
 * what is accepted here, take_line accepts just so. */
const uint8_t *pstk_nats_take_plain(const pstk_nats_session *session, pstk_frames *frames,
                                    const uint8_t *at, const uint8_t *end);

#endif
