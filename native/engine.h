/* engine: one journal, one judge, and the threads that serve them. Private to engine*.c.
 * Threads  engine thread (sockets, TICK), keeper thread (checkpoints), callers of feed. All of them
 * commit and judge under `lock`, one block at a time: the writer lock of design.md section 4. Order
 * frames -> parse -> ring (commit) -> judge -> event ring -> eventfd. This header and
 * engine_loops.c know it. */
#ifndef PSTK_ENGINE_H
#define PSTK_ENGINE_H

#include "engine_judge.h"
#include "intake/intake.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define PSTK_POSITION_NONE UINT64_MAX
#define PSTK_STREAM_NONE UINT16_MAX
#define PSTK_STREAM_HINTS 64u    /* a power of two */
#define PSTK_RING_RESERVE 65536u /* kept free for control records when samples fill the ring */
#define PSTK_EVIDENCE_BYTES_MAX (16u << 20) /* how far a cold reader looks to either side */

typedef struct pstk_source { /* index = the source's number in the journal, stable by name */
    pstk_source_options options;
    uint8_t is_configured; /* else only remembered from an earlier configuration */
    uint8_t is_numbered, is_up, is_counts_due;
    uint32_t ready; /* connections whose handshake is done */
    uint64_t received, used, dropped_total;
    uint64_t dropped[PSTK_DROP_COUNT];
    uint64_t lost_upstream;
    uint64_t sent_upstream;
    uint64_t bytes, bytes_checkpointed; /* journal bytes written, and at the last checkpoint: what
                                           the ring holds for it */
    uint64_t position, position_ord;    /* feed: batch under way or done; ord 0 = done */
    uint64_t told_position, told_pos;   /* POWER: a batch and where it ends in the journal */
    uint64_t safe_position;             /* the newest one known to be durable */
    int32_t intake;                     /* index in intake, -1 = feed */
    uint16_t counts_stream;             /* whose progress the next COUNTS tells, where it is due */
    uint8_t is_paused;
    uint8_t is_single;         /* its last message held one sample, and that was used */
    pstk_intake_counters wire; /* as of the engine thread's last cycle */
} pstk_source;

typedef struct pstk_stream {
    uint32_t stream, boot;
    uint64_t next_seq;
    uint16_t source;
    uint8_t is_numbered, reserved[5];
} pstk_stream;

/* A source as an image keeps it: no pointers, names instead of numbers. */
typedef struct pstk_source_saved {
    char name[64];
    uint64_t received, used, lost_upstream, sent_upstream, position, position_ord;
    uint64_t dropped[PSTK_DROP_COUNT];
    uint8_t is_numbered, reserved[7];
} pstk_source_saved;

typedef struct pstk_open_block { /* the SAMPLES block being filled; one source, one stream, one
                                    receive */
    uint8_t *payload;            /* claimed; NULL = none */
    uint32_t count;
    uint16_t source, stream;
    uint64_t source_pos;
    uint32_t source_ord;
} pstk_open_block;

/* The disk journal and the thread that writes it (engine_disk.c). */
typedef struct pstk_disk_state {
    pstk_disk *disk; /* by open, then by the disk thread alone */
    pthread_t thread;
    bool has_thread, is_recovered; /* recovered: what the ring had lost was read from the disk */
    pthread_cond_t wake, moved;    /* moved: durable has, or the disk is full */
    uint64_t mark;                 /* written reaches it: wake the thread; UINT64_MAX = never */
    bool wants_sync;
    atomic_uint_least64_t durable;
    atomic_uint_least64_t bytes, written, full_waits;
    atomic_bool is_full;
    pstk_disk *tail_disk;     /* reads what only the disk holds while the thread writes */
    uint8_t *block;           /* one block of it, being judged */
    bool has_block;           /* the judge stands inside it */
    uint64_t tail, tail_next; /* judged so far of what only the disk holds */
    uint64_t tail_end;        /* there the ring begins; tail == tail_end: all judged */
} pstk_disk_state;

/* The capture and the thread that writes it (engine_capture.c). */
typedef struct pstk_capture_state {
    pstk_capture_out *out; /* the thread's */
    uint8_t *block;
    uint64_t pos; /* the next block to read */
    pthread_t thread;
    bool has_thread;
    pthread_cond_t wake;
    atomic_bool is_ending, is_stopped;
    atomic_uint_least64_t bytes, missed;
} pstk_capture_state;

typedef struct pstk_player pstk_player; /* engine_play.c */

typedef struct pstk_clock {
    int64_t offset_ns; /* T = BOOTTIME + offset */
    int64_t last_ns;   /* T never goes back */
    int64_t checked_boot_ns;
} pstk_clock;

struct pstk_engine {
    pthread_mutex_t lock;       /* the writer lock */
    pthread_mutex_t checkpoint; /* one checkpoint at a time; taken before lock */
    pthread_cond_t keeper_wake;
    pthread_t engine_thread, keeper_thread;
    bool has_engine_thread, has_keeper_thread, is_locks_made;
    atomic_bool is_stopping, is_closed, is_failed, is_failing;
    atomic_int guests; /* calls under way; close waits until they have left */
    pid_t pid;
    pstk_error failure; /* written once, before is_failed */
    char notice[512];   /* what open went on in spite of; written by open only */

    pstk_engine_options options;
    pstk_state *state;
    pstk_ring *ring;
    pstk_tags *tags;
    pstk_parser *parser;
    pstk_judge *judge;
    pstk_intake *intake;
    int event_fd;

    pstk_source *source;
    uint32_t source_count;
    uint16_t config_source[PSTK_SOURCES_MAX]; /* configuration index -> journal index */
    uint32_t config_source_count;
    uint16_t intake_source[PSTK_SOURCES_MAX]; /* intake index -> journal index */
    uint32_t intake_count;
    pstk_stream *stream;
    uint32_t stream_count;
    uint32_t journaled_tags;
    size_t journaled_codes; /* of the table's list of new ones */

    uint8_t *tag_image; /* what an image says of tags and codes; append-only, so a snapshot is a
                           length */
    uint64_t tag_image_bytes;
    uint32_t tag_image_count;
    pstk_code_record *code_image;
    uint32_t code_image_count;
    pstk_source_saved *source_image;
    pstk_stream *stream_image;
    uint16_t config_gen_image;

    pstk_open_block block;
    uint64_t room; /* bytes the journal may grow by without asking the ring again: see has_room */
    uint16_t stream_hint[PSTK_STREAM_HINTS]; /* where a stream stood last */
    pstk_sample *scratch; /* one block's samples, for the rare moment when new tags must be
                             journaled first */
    pstk_clock clock;
    uint16_t config_gen;
    uint8_t config_digest[32]; /* of the last whole CONFIG of the tail; the judge may lie behind */
    bool has_config_digest;
    uint64_t generation; /* of images */
    atomic_int_least64_t saved_boot_ns;
    atomic_uint_least64_t saved;
    pstk_disk_state disk;
    pstk_capture_state capture;
    pstk_player *player; /* NULL until a capture is played */

    atomic_uint_least64_t polled; /* the consumer's cursor; stats reads it from any thread */
    uint64_t signalled;           /* events the eventfd has told of */
    uint64_t redelivered, checkpoints, ticks, blocks;
    int64_t checkpoint_ns_max;
    uint8_t is_cold_start, wants_checkpoint;
    atomic_bool is_backlogged; /* writer lock; whoever acknowledges asks it without */
    uint8_t is_receiving;      /* the blocks of one receive wake the consumer once, at its end */
};

/* engine.c */
int pstk_engine_check(const pstk_engine *engine, pstk_error *err);
void pstk_engine_fail(pstk_engine *engine, const pstk_error *err);
pstk_engine *pstk_engine_enter(pstk_engine *engine);
void pstk_engine_leave(pstk_engine **engine);
int pstk_engine_open_tables(pstk_engine *engine, uint32_t frame_bytes_max, pstk_error *err);
/* First line of every public call: what it uses is not let go before it returns. */
#define PSTK_GUEST(engine)                                                                         \
    __attribute__((cleanup(pstk_engine_leave), unused)) pstk_engine *guest_ =                      \
        pstk_engine_enter(engine)

/* engine_check.c, engine_size.c */
int pstk_engine_check_options(const pstk_engine_options *options,
                              const pstk_source_options *sources, size_t source_count,
                              pstk_error *err);
int pstk_engine_check_rules(const pstk_rule *rules, size_t rule_count, pstk_error *err);
uint64_t pstk_engine_ring_bytes(const char *ring_dir, const uint8_t journal_id[16]);

/* engine_scan.c */
int pstk_engine_scan_tail(pstk_engine *engine, uint64_t from, pstk_error *err);

/* engine_recover.c */
void pstk_engine_add_notice(pstk_engine *engine, const char *text);
int pstk_engine_restore_image(pstk_engine *engine, const pstk_image *image, pstk_error *err);
int pstk_engine_recover(pstk_engine *engine, const pstk_source_options *sources,
                        size_t source_count, const pstk_rule *rules, size_t rule_count,
                        pstk_error *err);

/* engine_journal.c: everything below wants the writer lock held */
int64_t pstk_engine_now(pstk_engine *engine);
int64_t pstk_engine_future(const pstk_engine *engine, const pstk_source *source, int64_t now_ns);
/* Once a second T is drawn to the wall. Between blocks only: a jump is journaled. */
void pstk_engine_follow_wall(pstk_engine *engine);
bool pstk_engine_is_clock_plausible(const pstk_engine *engine);
bool pstk_engine_put(pstk_engine *engine, pstk_block *block, const void *payload, size_t size);
bool pstk_engine_put_record(pstk_engine *engine, pstk_record kind, uint16_t source,
                            const void *payload, size_t size);
void pstk_engine_put_tick(pstk_engine *engine);
bool pstk_engine_put_config(pstk_engine *engine, const pstk_rule *rules, size_t rule_count);
bool pstk_engine_put_new_tags(pstk_engine *engine);
void pstk_engine_put_counts(pstk_engine *engine, uint16_t source);
void pstk_engine_settle_counts(pstk_engine *engine, uint16_t source);
void pstk_engine_want_checkpoint(pstk_engine *engine);
void pstk_engine_judge(pstk_engine *engine);
void pstk_engine_wake_consumer(pstk_engine *engine);
void pstk_engine_commit_block(pstk_engine *engine);
bool pstk_engine_has_room(pstk_engine *engine, const pstk_source *source, size_t payload_bytes,
                          pstk_drop *out_reason);

/* engine_feed.c: writer lock held */
void pstk_engine_set_clock(pstk_engine *engine, int64_t recv_time_ns);
int pstk_engine_put_cold(pstk_engine *engine, pstk_record kind, const void *payload, size_t size,
                         pstk_error *err);

/* engine_frames.c: writer lock held */
typedef struct pstk_delivery { /* one payload on its way into the journal */
    uint16_t source;
    uint32_t connection;
    uint64_t position;
    int64_t now_ns;
    int64_t future_ns;   /* a stamp above it is dropped{future} */
    const uint8_t *base; /* of a recording: where base_offset lies; NULL otherwise */
    uint64_t base_offset;
    bool may_wait;
} pstk_delivery;
uint64_t pstk_engine_place(const pstk_delivery *delivery, const pstk_frame *frame);
size_t pstk_engine_take_frames(pstk_engine *engine, const pstk_delivery *delivery,
                               const pstk_frame *frames, size_t count);
bool pstk_engine_take_frame(pstk_engine *engine, const pstk_delivery *delivery,
                            const pstk_frame *frame);
int32_t pstk_engine_find_stream(pstk_engine *engine, uint16_t source, uint32_t stream);
bool pstk_engine_put_stream(pstk_engine *engine, uint32_t index);
int32_t pstk_engine_open_stream(pstk_engine *engine, uint16_t source, const pstk_message *message,
                                uint32_t number);
void pstk_engine_turn_to_stream(pstk_engine *engine, uint16_t source, uint16_t stream);
bool pstk_engine_claim_block(pstk_engine *engine, uint16_t source, uint16_t stream);
void pstk_engine_drop(pstk_engine *engine, uint16_t source, pstk_drop reason, uint64_t count);

/* engine_disk.c */
int pstk_engine_disk_open(pstk_engine *engine, pstk_error *err);
/* Where the disk journal that begins at an image ends; what of it the ring lacks is judged first.
 */
uint64_t pstk_engine_disk_follow(pstk_engine *engine, uint64_t pos);
const pstk_block *pstk_engine_disk_first(pstk_engine *engine);
int pstk_engine_disk_scan(pstk_engine *engine,
                          int (*scan)(pstk_engine *, const pstk_block *, pstk_error *),
                          pstk_error *err);
int pstk_engine_disk_tail(pstk_engine *engine, uint64_t from, uint64_t end, pstk_error *err);
void pstk_engine_disk_begin(pstk_engine *engine, uint64_t pos);
int pstk_engine_disk_start(pstk_engine *engine, pstk_error *err);
void pstk_engine_disk_stop(pstk_engine *engine);
void pstk_engine_disk_remove(pstk_engine *engine);
void pstk_engine_disk_close(pstk_engine *engine);
/* Writer lock held. */
bool pstk_engine_disk_judge(pstk_engine *engine);
uint64_t pstk_engine_judged(const pstk_engine *engine);
bool pstk_engine_disk_wait(pstk_engine *engine);
void pstk_engine_disk_wake(pstk_engine *engine);
bool pstk_engine_is_disk_behind(const pstk_engine *engine);
void pstk_engine_set_safe(pstk_source *source);
uint64_t pstk_engine_safe_position(pstk_engine *engine, pstk_source *source);
static inline void pstk_engine_tell_disk(pstk_engine *engine, uint64_t written) {
    if (PSTK_UNLIKELY(written >= engine->disk.mark))
        pstk_engine_disk_wake(engine);
}

/* engine_capture.c, engine_play.c */
int pstk_engine_capture_drain(pstk_engine *engine, pstk_error *err);
void pstk_engine_capture_stop(pstk_engine *engine);
void pstk_player_free(pstk_player *player);

/* engine_loops.c */
int pstk_engine_thread_start(pthread_t *out_thread, void *(*body)(void *), pstk_engine *engine,
                             pstk_error *err);
int pstk_engine_threads_start(pstk_engine *engine, bool with_sockets, pstk_error *err);
void pstk_engine_threads_stop(pstk_engine *engine);

/* engine_names.c */
#define PSTK_TAGS_SECTION 2u /* version of the image's tags */
uint64_t pstk_engine_tag_image_bytes_max(uint32_t tags_max);
void pstk_engine_keep_tag(pstk_engine *engine, const pstk_tag_record *tag);
/* One tag at the beginning of so many bytes of an image; how many it takes, 0: it is no tag. */
uint64_t pstk_engine_read_tag(const uint8_t *at, uint64_t bytes, pstk_tag_record *out);
int pstk_engine_restore_tags(pstk_engine *engine, const pstk_section *section, bool is_older,
                             pstk_error *err);

/* engine_checkpoint.c */
int pstk_engine_checkpoint_now(pstk_engine *engine, bool to_disk, pstk_error *err);
void *pstk_engine_keeper(void *engine);

#endif
