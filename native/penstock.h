/* penstock.h: the one public header. Telemetry goes in as sockets, arrays or frames; events and
 * results come out. Owner    the caller owns every buffer it passes; the engine owns what it hands
 * out only until the call returns. Threads  open/start/close/free from one thread. feed, poll,
 * context, stats, names: from any thread. poll and acknowledge: one consumer. Bound    every table
 * has a maximum, given in pstk_engine_options and allocated at open. Errors   every call that can
 * fail returns a pstk_status; *err (may be NULL) says what, where and the fix. FAILED is sticky:
 * after it every call returns PSTK_E_FAILED. Nothing here aborts, prints or installs a handler. */
#ifndef PENSTOCK_H
#define PENSTOCK_H

#include <stddef.h>
#include <stdint.h>

#include "penstock_words.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PSTK_API __attribute__((visibility("default")))
#define PSTK_MUST_CHECK __attribute__((warn_unused_result))
#else
#define PSTK_API
#define PSTK_MUST_CHECK
#endif

#define PSTK_ABI_VERSION 1u
#define PSTK_TIME_NONE INT64_MIN /* a sample without a stamp: the receive time stands in */

#define PSTK_NAME_BYTES 96u /* a tag, asset or pattern name, with its terminating zero */
#define PSTK_RULE_NAME_BYTES 64u
#define PSTK_CONTEXT_BYTES 32u /* one context text, with its terminating zero */
#define PSTK_SUBJECTS_MAX 16u
#define PSTK_SOURCES_MAX 256u
#define PSTK_RULES_MAX 4096u
#define PSTK_STATES_MAX 16u

/* ---- status and error ----------------------------------------------------------------------- */

typedef enum pstk_status {
#define PSTK_STATUS_ENUM(name, number, text) PSTK_##name = number,
    PSTK_STATUS_LIST(PSTK_STATUS_ENUM)
#undef PSTK_STATUS_ENUM
} pstk_status;

typedef struct pstk_error {
    int32_t status;   /* pstk_status */
    int32_t os_error; /* errno, or 0 */
    char text[248];   /* what, where and the fix, in one sentence; UTF-8, zero-terminated */
} pstk_error;

/* ---- values and samples --------------------------------------------------------------------- */

typedef enum pstk_type { /* a tag has one type for life */
                         PSTK_TYPE_NONE = 0,
                         PSTK_TYPE_F64 = 1,
                         PSTK_TYPE_I64 = 2,
                         PSTK_TYPE_BOOL = 3,
                         PSTK_TYPE_CODE = 4, /* a text of the tag's bounded dictionary */
} pstk_type;

typedef union pstk_value {
    double f64;
    int64_t i64; /* also bool (0, 1) and code (index into the tag's dictionary) */
    uint64_t bits;
} pstk_value;

typedef struct pstk_sample { /* 24 bytes; receive time and source stand in the block's header */
    int64_t time_ns;         /* ns since 1970 UTC as sent; PSTK_TIME_NONE = none */
    pstk_value value;
    uint32_t tag_id;
    uint16_t quality; /* OPC UA StatusCode >> 16; 0 = good, 0x4000 uncertain, 0x8000 bad (top two
                         bits) */
    uint16_t flags;   /* 0 in version 1 */
} pstk_sample;

typedef enum pstk_drop {
#define PSTK_DROP_ENUM(name, text, help) PSTK_DROP_##name,
    PSTK_DROP_LIST(PSTK_DROP_ENUM)
#undef PSTK_DROP_ENUM
        PSTK_DROP_COUNT
} pstk_drop;

/* ---- sources -------------------------------------------------------------------------------- */

typedef enum pstk_source_kind {
    PSTK_SOURCE_FEED = 0, /* Engine.feed and feed_frames */
    PSTK_SOURCE_ZMQ_PULL = 1,
    PSTK_SOURCE_ZMQ_SUB = 2,
    PSTK_SOURCE_NATS = 3,   /* core NATS; JetStream, TLS and NKeys come with the secure wires */
    PSTK_SOURCE_REPLAY = 4, /* a recording of what one ZeroMQ or NATS peer sent; host is its path */
} pstk_source_kind;

typedef enum pstk_format { PSTK_FORMAT_PACKED = 0, PSTK_FORMAT_JSON = 1 } pstk_format;
typedef enum pstk_full { PSTK_FULL_BLOCK = 0, PSTK_FULL_DROP = 1 } pstk_full;

typedef struct pstk_source_options {
    char name[64];
    uint16_t kind;   /* pstk_source_kind */
    uint16_t format; /* pstk_format */
    uint8_t is_bind; /* ZMQ only */
    uint8_t full;    /* pstk_full; BLOCK only for feed, ZMQ_PULL and REPLAY, else E_ARGUMENT */
    uint16_t port;
    uint16_t subject_count; /* ZMQ SUB topics (prefixes; none = all) or NATS subjects (wildcards
                               allowed) */
    uint16_t reserved;
    char host[256];
    char user[128];
    char password[256];
    char token[256];
    char subjects[PSTK_SUBJECTS_MAX][128];
    int64_t lateness_ns;   /* watermark = min over non-idle streams of max event time, minus this */
    int64_t idle_after_ns; /* a stream silent this long no longer holds the watermark */
    int64_t future_max_ns; /* stamp > T + this is dropped{future} */
    int64_t heartbeat_ns;  /* ping when silent this long, close at three times; 0 = off */
    int64_t handshake_ns_max; /* a peer that has not finished its handshake by then is closed */
    int64_t reconnect_ns_min; /* back-off, doubled with jitter up to max */
    int64_t reconnect_ns_max;
    int64_t coalesce_ns;      /* a read may wait this long to gather more; 0 = adaptive default */
    uint32_t frame_bytes_max; /* largest message, subject and payload together */
    uint32_t connections_max;
    double ring_share; /* most of the ring this source may hold unjudged, 0..1 */
} pstk_source_options;

#include "penstock_event.h" /* events, results of windows */
#include "penstock_rule.h"  /* what a rule or window is told */

/* ---- engine --------------------------------------------------------------------------------- */

typedef enum pstk_clock_kind {
    PSTK_CLOCK_SYSTEM = 0,
    PSTK_CLOCK_MANUAL = 1, /* T comes from feed and tick only: replays and tests */
} pstk_clock_kind;

#define PSTK_JOURNAL_BYTES_DEFAULT (UINT64_C(1) << 30)
typedef enum pstk_durability {
    PSTK_DURABILITY_PROCESS = 0, /* survives a kill: the ring; the disk gets checkpoints */
    PSTK_DURABILITY_POWER = 1,   /* the disk gets every block too */
} pstk_durability;

typedef struct pstk_engine_options {
    uint32_t abi_version; /* PSTK_ABI_VERSION */
    uint32_t clock;       /* pstk_clock_kind */
    char plant[64];
    char state_dir[512];
    char ring_dir[512];
    uint64_t ring_bytes; /* a power of two, 1 MiB..1 GiB; 0 = by the machine (8..256 MiB) */
    uint32_t tags_max;
    uint32_t instances_max; /* rule x tag */
    uint32_t streams_max;
    uint32_t assets_max;
    uint32_t event_slots;   /* power of two */
    uint32_t result_slots;  /* power of two */
    uint32_t reorder_slots; /* samples waiting for the watermark */
    uint32_t codes_max;     /* texts per tag */
    int64_t checkpoint_ns;  /* to disk, default 30 s */
    uint32_t durability;    /* pstk_durability */
    uint32_t reserved0;
    int64_t sync_ns;            /* POWER: at most this long between two fdatasync; 0 = 1 s */
    uint64_t journal_bytes_max; /* POWER: of the disk journal's files together; 0 = 1 GiB */
    uint64_t reserved[5];
} pstk_engine_options;

typedef struct pstk_engine pstk_engine;

typedef struct pstk_feed { /* columns of one source; copied before the call returns */
    uint32_t source;
    uint32_t reserved;
    uint64_t position;    /* the caller's position of this batch; UINT64_MAX = none. Not above the
                             last: skipped as duplicate */
    int64_t recv_time_ns; /* manual clock: T; system clock: ignored */
    size_t count;
    const uint32_t *tag_ids; /* from pstk_engine_tag */
    const int64_t *time_ns;  /* NULL = receive time */
    const uint64_t *values;  /* bits of f64 or i64, by each tag's type */
    const uint16_t *quality; /* NULL = good */
} pstk_feed;

typedef struct pstk_feed_result {
    uint64_t used;
    uint64_t dropped;
} pstk_feed_result;

typedef struct pstk_context { /* what runs at an asset now */
    char asset[PSTK_NAME_BYTES];
    int64_t at_ns; /* from when, event time; PSTK_TIME_NONE = now */
    uint32_t set;  /* which of values to take: bit 0 order, operation, material, lot, shift */
    uint32_t reserved;
    pstk_context_values values;
} pstk_context;

typedef struct pstk_baseline { /* where the last document of a register ended, as the ledger says */
    char rule[PSTK_RULE_NAME_BYTES];
    char series[16];
    char tag[PSTK_NAME_BYTES];
    int64_t end_ns;
    pstk_value end_reading;
    uint32_t value_type;
    uint32_t reserved;
} pstk_baseline;

typedef enum pstk_action {                              /* ISA-18.2; OPC UA Part 9 */
                           PSTK_ACTION_ACKNOWLEDGE = 1, /* active levels re-alarm no more */
                           PSTK_ACTION_SHELVE = 2,      /* trips are kept back until then */
                           PSTK_ACTION_UNSHELVE = 3,
                           PSTK_ACTION_RESET = 4, /* active levels clear, by a person */
} pstk_action;

#define PSTK_SHELVE_NS_MAX (INT64_C(7) * 86400 * 1000000000)
typedef struct pstk_operation {      /* what a person does about an alarm: a record */
    char rule[PSTK_RULE_NAME_BYTES]; /* a limit, rate, stuck or freshness rule */
    char tag[PSTK_NAME_BYTES];
    char by[PSTK_CONTEXT_BYTES]; /* who: "uid:1000" */
    char note[PSTK_NAME_BYTES];  /* why: kept in the journal */
    int64_t at_ns;               /* manual clock: T; system clock: ignored */
    int64_t until_ns;            /* shelve: until when, at most PSTK_SHELVE_NS_MAX ahead */
    uint32_t action;             /* pstk_action */
    uint32_t reserved;
} pstk_operation;

typedef struct pstk_alarm { /* an instance that is active, shelved or suppressed */
    char rule[PSTK_RULE_NAME_BYTES];
    char tag[PSTK_NAME_BYTES];
    int64_t since_ns;         /* crossing of its highest active level, the first of HH, H, L, LL;
                                 PSTK_TIME_NONE: none is active */
    int64_t shelved_until_ns; /* PSTK_TIME_NONE: not shelved */
    pstk_value value;         /* of that crossing */
    uint16_t kind;            /* pstk_rule_kind */
    uint8_t level;            /* pstk_level of limits and rates */
    uint8_t value_type;
    uint8_t is_active, is_acknowledged, is_suppressed;
    uint8_t reserved;
} pstk_alarm;

typedef struct pstk_source_stats {
    char name[64];
    uint64_t received, used;
    uint64_t dropped[PSTK_DROP_COUNT];
    uint64_t lost_upstream; /* meaningful where is_numbered */
    uint64_t frames, bytes, connections, reconnects, protocol_errors;
    uint64_t late, out_of_order;
    uint64_t sent_upstream; /* what the streams say they had sent: received + lost_upstream where
                               numbered */
    uint8_t is_numbered, is_up, reserved[6];
} pstk_source_stats;

typedef struct pstk_stats {
    uint64_t written, judged, checkpointed, saved; /* cursors, bytes */
    uint64_t ring_bytes;
    uint64_t tags, instances, streams, assets;
    uint64_t
        instances_refused; /* rule x tag that has no room: instances_max, assets_max, or a tag's 16
                              rules are reached; such a rule does not judge that tag */
    uint64_t instances_mistyped; /* rule x tag whose type the rule cannot judge: it does not judge
                                    that tag */
    uint64_t events, events_pending, events_polled, results, results_overwritten;
    uint64_t late, out_of_order, reorder_overflow, chattering;
    uint64_t micro_dropped; /* micro-stops that made no event, as their rule says */
    uint64_t suppressed; /* excursions that began and ended while suppressed or shelved: untold */
    uint64_t checkpoints, checkpoint_ns_max, ticks, blocks;
    uint64_t redelivered; /* events given again from the checkpoint at open */
    int64_t engine_time_ns;
    uint32_t config_gen;
    uint8_t is_failed, is_event_ring_full, is_cold_start;
    uint8_t is_disk_full;     /* the journal waits: its budget or the disk has no room */
    uint64_t durable;         /* POWER: survives a power cut; else 0 */
    uint64_t journal_bytes;   /* POWER: files of the disk journal */
    uint64_t disk_full_waits; /* POWER: times the journal had to wait for room on disk */
    uint64_t disk_written;    /* POWER: bytes given to the disk by this process */
    uint64_t captured, capture_missed, is_capture_stopped; /* bytes; bytes; 1: its disk failed */
} pstk_stats;

PSTK_API uint32_t pstk_abi_version(void);
PSTK_API const char *pstk_version(void);
/* The date of this build (SOURCE_DATE_EPOCH, else its sources' release), ns since 1970: a clock
 * before it is not set yet. */
PSTK_API int64_t pstk_built_ns(void);
PSTK_API const char *pstk_status_text(int status);
PSTK_API const char *pstk_drop_name(int reason);
PSTK_API const char *pstk_event_kind_name(int kind);
PSTK_API const char *pstk_alarm_level(const pstk_alarm *alarm); /* "HH"; "" where it has none */
PSTK_API const char *pstk_event_by(const pstk_event *event);    /* who did it; "" = nobody */
/* Gap: "SOURCE/STREAM", which stands for a tag; returns its length, 0 = the event has a tag. */
PSTK_API int pstk_event_group(const pstk_event *event, char *out_name, size_t capacity);
PSTK_API const char *pstk_flag_name(int bit); /* NULL behind the last */
PSTK_API int pstk_has_crash_points(void);     /* 1 in test builds only */

/* Opens the state directory, recovers, judges the journal to its end. No socket is open yet; feed
 * works from here on. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_open(const pstk_engine_options *options,
                                              const pstk_source_options *sources,
                                              size_t source_count, const pstk_rule *rules,
                                              size_t rule_count, pstk_engine **out_engine,
                                              pstk_error *err);
/* Opens the sockets and starts the engine thread. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_start(pstk_engine *engine, pstk_error *err);
/* Stops intake, judges what is journaled, checkpoints to disk. Idempotent; the handle stays valid
 * until free. */
PSTK_API int pstk_engine_close(pstk_engine *engine, pstk_error *err);
PSTK_API void pstk_engine_free(pstk_engine *engine);

PSTK_API PSTK_MUST_CHECK int pstk_engine_tag(pstk_engine *engine, uint32_t source, const char *name,
                                             size_t name_bytes, int type, uint32_t *out_tag,
                                             pstk_error *err);
PSTK_API PSTK_MUST_CHECK int pstk_engine_feed(pstk_engine *engine, const pstk_feed *feed,
                                              pstk_feed_result *out_result, pstk_error *err);
/* One payload in the source's format; subject is the key where the payload names none. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_feed_frame(pstk_engine *engine, uint32_t source,
                                                    const uint8_t *subject, size_t subject_bytes,
                                                    const uint8_t *payload, size_t payload_bytes,
                                                    uint64_t position, int64_t recv_time_ns,
                                                    pstk_feed_result *out_result, pstk_error *err);
/* T reaches now_ns. While the event ring is full nothing is judged by it: poll, acknowledge, tick
 * again. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_tick(pstk_engine *engine, int64_t now_ns, pstk_error *err);
PSTK_API PSTK_MUST_CHECK int pstk_engine_context(pstk_engine *engine, const pstk_context *context,
                                                 pstk_error *err);
PSTK_API PSTK_MUST_CHECK int pstk_engine_baseline(pstk_engine *engine,
                                                  const pstk_baseline *baseline, pstk_error *err);
/* Journaled, and judged from there. E_ARGUMENT names what there is where rule or tag is unknown. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_operate(pstk_engine *engine,
                                                 const pstk_operation *operation, pstk_error *err);
/* Up to capacity of them, by rule and tag as they were made; *out_count: how many there are. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_alarms(pstk_engine *engine, pstk_alarm *out_alarms,
                                                size_t capacity, size_t *out_count,
                                                pstk_error *err);
PSTK_API PSTK_MUST_CHECK int pstk_engine_reconfigure(pstk_engine *engine, const pstk_rule *rules,
                                                     size_t rule_count, pstk_error *err);
/* Position of the last batch of a feed source that is wholly journaled, with POWER wholly durable:
 * what may be acknowledged upstream; UINT64_MAX = none yet. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_position(pstk_engine *engine, uint32_t source,
                                                  uint64_t *out_position, pstk_error *err);

PSTK_API int pstk_engine_event_fd(const pstk_engine *engine);
/* Copies up to capacity events not yet polled; they stay pending until acknowledged. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_poll(pstk_engine *engine, pstk_event *out_events,
                                              size_t capacity, size_t *out_count, pstk_error *err);
/* Cumulative: every event with seq <= this one is done with and will not be given again by this
 * process. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_acknowledge(pstk_engine *engine, uint64_t seq,
                                                     pstk_error *err);
/* Polled but unacknowledged events are given again by the next poll. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_rewind(pstk_engine *engine, pstk_error *err);
/* out_aggregates may be NULL; else row by row what the rules asked for beyond. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_results(pstk_engine *engine, pstk_result *out_results,
                                                 pstk_aggregates *out_aggregates, size_t capacity,
                                                 size_t *out_count, pstk_error *err);
PSTK_API PSTK_MUST_CHECK int pstk_engine_checkpoint(pstk_engine *engine, int to_disk,
                                                    pstk_error *err);

/* What open went on in spite of (a damaged image or ring, a cold start), in plain words for a log;
 * its length, 0 = nothing. */
PSTK_API int pstk_engine_notice(const pstk_engine *engine, char *out_text, size_t capacity);
PSTK_API int pstk_engine_stats(pstk_engine *engine, pstk_stats *out_stats);
/* The port a bound source listens on, or -1. */
PSTK_API int pstk_engine_port(pstk_engine *engine, uint32_t source);
PSTK_API int pstk_engine_source_stats(pstk_engine *engine, uint32_t source,
                                      pstk_source_stats *out_stats);
/* Each copies a zero-terminated name; returns its length, or -1 where the index is unknown. */
PSTK_API int pstk_engine_tag_name(pstk_engine *engine, uint32_t tag, char *out_name,
                                  size_t capacity);
PSTK_API int pstk_engine_tag_type(pstk_engine *engine, uint32_t tag);
PSTK_API int pstk_engine_rule_name(pstk_engine *engine, uint32_t rule, char *out_name,
                                   size_t capacity, char *out_series, size_t series_capacity);
PSTK_API int pstk_engine_asset_name(pstk_engine *engine, uint32_t asset, char *out_name,
                                    size_t capacity);
PSTK_API int pstk_engine_code_text(pstk_engine *engine, uint32_t tag, int64_t code, char *out_text,
                                   size_t capacity);
/* Samples of one tag around a journal position, oldest first: up to before_max at or before pos,
 * after_max behind it. out_samples holds before_max + after_max; stamps are filled in from the
 * receive time where none was sent. A cold read: never holds the writer back; what the ring no
 * longer holds is simply absent. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_evidence(pstk_engine *engine, uint32_t tag, uint64_t pos,
                                                  size_t before_max, size_t after_max,
                                                  pstk_sample *out_samples, size_t *out_before,
                                                  size_t *out_count, pstk_error *err);
/* Samples of one tag of this type, oldest first, in few bytes; returns how many. out holds
 * PSTK_PACKED_BYTES_MAX(count); of more than 65,535 samples the first are taken. */
#define PSTK_PACKED_BYTES_MAX(count) (16u + 24u * (size_t)(count))
PSTK_API size_t pstk_samples_pack(const pstk_sample *samples, size_t count, int type, uint8_t *out);

#include "penstock_batch.h"   /* columns, Arrow */
#include "penstock_capture.h" /* the journal kept in files, and played again */

#ifdef __cplusplus
}
#endif
#endif
