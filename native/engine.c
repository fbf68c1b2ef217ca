/* engine: life cycle. Opens what the options name, recovers, and ends in an orderly way; FAILED is
 * sticky. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#ifndef PSTK_VERSION
#define PSTK_VERSION "0.1.0"
#endif

#define ENGINES_MAX 64 /* engines of one process that a forked child lets go of */

uint32_t pstk_abi_version(void) { return PSTK_ABI_VERSION; }
const char *pstk_version(void) { return PSTK_VERSION; }

const char *pstk_status_text(int status) {
    switch (status) {
#define STATUS_TEXT(name, number, text)                                                            \
    case number:                                                                                   \
        return text;
        PSTK_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    default:
        return "unknown status";
    }
}

const char *pstk_drop_name(int reason) {
    static const char *const names[] = {
#define DROP_NAME(name, text, help) text,
        PSTK_DROP_LIST(DROP_NAME)
#undef DROP_NAME
    };
    return reason >= 0 && reason < PSTK_DROP_COUNT ? names[reason] : "unknown";
}

const char *pstk_event_kind_name(int kind) {
    static const char *const names[] = {
#define KIND_NAME(name, text) text,
        PSTK_EVENT_KIND_LIST(KIND_NAME)
#undef KIND_NAME
    };
    return kind >= 0 && kind < PSTK_EVENT_KIND_COUNT ? names[kind] : "unknown";
}

const char *pstk_flag_name(int bit) {
    switch (bit) {
#define FLAG_NAME(name, number, text, help)                                                        \
    case number:                                                                                   \
        return text;
        PSTK_FLAG_LIST(FLAG_NAME)
#undef FLAG_NAME
    default:
        return NULL;
    }
}

int pstk_has_crash_points(void) {
#ifdef PSTK_CRASH_POINTS
    return 1;
#else
    return 0;
#endif
}

/* ---- a forked child: closes its copies, so that it does not keep the parent's lock ---------- */

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t registry_once = PTHREAD_ONCE_INIT;
static pstk_engine *registry[ENGINES_MAX];

static void before_fork(void) { pthread_mutex_lock(&registry_lock); }
static void after_fork_parent(void) { pthread_mutex_unlock(&registry_lock); }
static void after_fork_child(void) {
    for (int i = 0; i < ENGINES_MAX; i++) {
        if (!registry[i])
            continue;
        if (registry[i]->state)
            pstk_state_abandon_fd(registry[i]->state);
        registry[i] = NULL;
    }
    pthread_mutex_unlock(&registry_lock);
}
static void registry_init(void) {
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static bool register_engine(pstk_engine *engine, pstk_engine *was) {
    pthread_once(&registry_once, registry_init);
    pthread_mutex_lock(&registry_lock);
    int i = 0;
    while (i < ENGINES_MAX && registry[i] != was)
        i++;
    if (i < ENGINES_MAX)
        registry[i] = engine;
    pthread_mutex_unlock(&registry_lock);
    return i < ENGINES_MAX;
}

/* ---- checks --------------------------------------------------------------------------------- */

int pstk_engine_check(const pstk_engine *engine, pstk_error *err) {
    if (engine->pid != getpid())
        return pstk_fail(err, PSTK_E_FORKED, 0,
                         "this engine belongs to the parent process; open one in the child");
    if (atomic_load_explicit(&engine->is_closed, memory_order_acquire))
        return pstk_fail(err, PSTK_E_CLOSED, 0, "the engine is closed");
    if (atomic_load_explicit(&engine->is_failed, memory_order_acquire))
        return pstk_fail(err, PSTK_E_FAILED, 0, "the engine has failed: %s", engine->failure.text);
    return PSTK_OK;
}

/* The first failure is the one that is told. */
void pstk_engine_fail(pstk_engine *engine, const pstk_error *err) {
    if (atomic_exchange(&engine->is_failing, true))
        return;
    engine->failure = *err;
    /* Pairs with the acquire in check: who sees is_failed sees the whole text. */
    atomic_store_explicit(&engine->is_failed, true, memory_order_release);
    uint64_t one = 1;
    (void)!write(engine->event_fd, &one, sizeof one); /* the consumer learns of it at once */
}

pstk_engine *pstk_engine_enter(pstk_engine *engine) {
    atomic_fetch_add(&engine->guests, 1);
    return engine;
}

void pstk_engine_leave(pstk_engine **engine) { atomic_fetch_sub(&(*engine)->guests, 1); }

/* ---- open ----------------------------------------------------------------------------------- */

static int open_locks(pstk_engine *engine, pstk_error *err) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->checkpoint, NULL);
    pthread_cond_init(&engine->keeper_wake, &attributes);
    pthread_cond_init(&engine->disk.wake, &attributes);
    pthread_cond_init(&engine->disk.moved, &attributes);
    pthread_cond_init(&engine->capture.wake, &attributes);
    pthread_condattr_destroy(&attributes);
    engine->is_locks_made = true;
    engine->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (engine->event_fd < 0)
        return pstk_fail(err, PSTK_E_SYSTEM, errno, "no eventfd; raise the limit of open files");
    return PSTK_OK;
}

int pstk_engine_open_tables(pstk_engine *engine, uint32_t frame_bytes_max, pstk_error *err) {
    const pstk_engine_options *o = &engine->options;
    engine->source = calloc(PSTK_SOURCES_MAX, sizeof *engine->source);
    engine->source_image = calloc(PSTK_SOURCES_MAX, sizeof *engine->source_image);
    engine->stream = calloc(o->streams_max, sizeof *engine->stream);
    engine->stream_image = calloc(o->streams_max, sizeof *engine->stream_image);
    engine->tag_image = calloc(1, pstk_engine_tag_image_bytes_max(o->tags_max));
    engine->code_image = calloc(PSTK_CODES_TOTAL_MAX, sizeof *engine->code_image);
    engine->scratch = calloc(PSTK_BLOCK_SAMPLES_MAX, sizeof *engine->scratch);
    if (!engine->source || !engine->source_image || !engine->stream || !engine->stream_image ||
        !engine->tag_image || !engine->code_image || !engine->scratch)
        return pstk_fail(err, PSTK_E_MEMORY, 0,
                         "no memory for the engine's tables; lower tags_max");
    int status = pstk_tags_open(o->tags_max, o->codes_max, &engine->tags, err);
    if (status == PSTK_OK)
        status = pstk_parser_open(engine->tags, frame_bytes_max, &engine->parser, err);
    pstk_judge_options judge = {.tags_max = o->tags_max,
                                .instances_max = o->instances_max,
                                .streams_max = o->streams_max,
                                .assets_max = o->assets_max,
                                .event_slots = o->event_slots,
                                .result_slots = o->result_slots,
                                .reorder_slots = o->reorder_slots,
                                .tags = engine->tags};
    memcpy(judge.plant, o->plant, sizeof judge.plant);
    return status == PSTK_OK ? pstk_judge_open(&judge, &engine->judge, err) : status;
}

static uint32_t largest_frame(const pstk_source_options *sources, size_t count) {
    uint32_t most = 65536;
    for (size_t i = 0; i < count; i++)
        most = PSTK_MAX(most, sources[i].frame_bytes_max);
    return most;
}

static void let_go(pstk_engine *engine) {
    pstk_player_free(engine->player);
    engine->player = NULL;
    if (engine->judge)
        pstk_judge_close(engine->judge);
    if (engine->parser)
        pstk_parser_close(engine->parser);
    if (engine->tags)
        pstk_tags_close(engine->tags);
    pstk_engine_disk_stop(engine); /* an open that failed half-way */
    pstk_engine_disk_close(engine);
    if (engine->ring)
        pstk_ring_close(engine->ring);
    if (engine->state)
        pstk_state_close(engine->state);
    engine->judge = NULL;
    engine->parser = NULL;
    engine->tags = NULL;
    engine->ring = NULL;
    engine->state = NULL;
}

int pstk_engine_open(const pstk_engine_options *options, const pstk_source_options *sources,
                     size_t source_count, const pstk_rule *rules, size_t rule_count,
                     pstk_engine **out_engine, pstk_error *err) {
    *out_engine = NULL;
    int status = pstk_engine_check_options(options, sources, source_count, err);
    if (status == PSTK_OK)
        status = pstk_engine_check_rules(rules, rule_count, err);
    if (status != PSTK_OK)
        return status;
    pstk_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for an engine");
    engine->options = *options;
    engine->pid = getpid();
    engine->event_fd = -1;
    status = open_locks(engine, err);
    if (status == PSTK_OK)
        status = pstk_engine_open_tables(engine, largest_frame(sources, source_count), err);
    if (status == PSTK_OK)
        status = pstk_engine_recover(engine, sources, source_count, rules, rule_count, err);
    if (status == PSTK_OK)
        status = pstk_engine_threads_start(engine, false, err);
    if (status == PSTK_OK)
        status = pstk_engine_disk_start(engine, err);
    if (status == PSTK_OK && !register_engine(engine, NULL))
        status = pstk_fail(err, PSTK_E_FULL, 0, "more than %d engines in one process", ENGINES_MAX);
    if (status != PSTK_OK) {
        pstk_engine_free(engine);
        return status;
    }
    *out_engine = engine;
    return PSTK_OK;
}

int pstk_engine_start(pstk_engine *engine, pstk_error *err) {
    int status = pstk_engine_check(engine, err);
    if (status != PSTK_OK || engine->has_engine_thread)
        return status;
    bool has_wire = false;
    for (uint32_t i = 0; i < engine->config_source_count; i++)
        has_wire |= engine->source[engine->config_source[i]].options.kind != PSTK_SOURCE_FEED;
    if (engine->options.clock == PSTK_CLOCK_MANUAL)
        return has_wire
                   ? pstk_fail(err, PSTK_E_ARGUMENT, 0, "a manual clock serves feed sources only")
                   : PSTK_OK;
    return pstk_engine_threads_start(engine, true, err);
}

int pstk_engine_notice(const pstk_engine *engine, char *out_text, size_t capacity) {
    size_t size = strlen(engine->notice);
    if (capacity)
        pstk_copy_text(out_text, capacity, engine->notice, size);
    return (int)size;
}

int pstk_engine_checkpoint(pstk_engine *engine, int to_disk, pstk_error *err) {
    PSTK_GUEST(engine);
    int status = pstk_engine_check(engine, err);
    return status == PSTK_OK ? pstk_engine_checkpoint_now(engine, to_disk != 0, err) : status;
}

/* ---- end ------------------------------------------------------------------------------------ */

/* Where no image can be taken (a full event ring), the journal alone tells what was dropped. */
static void put_due_counts(pstk_engine *engine) {
    pthread_mutex_lock(&engine->lock);
    for (uint32_t i = 0; i < engine->source_count; i++)
        if (engine->source[i].is_counts_due)
            pstk_engine_put_counts(engine, (uint16_t)i);
    pthread_mutex_unlock(&engine->lock);
}

int pstk_engine_close(pstk_engine *engine, pstk_error *err) {
    if (engine->pid != getpid()) {
        atomic_store(&engine->is_closed, true);
        return PSTK_OK; /* the child's copy: the parent's threads and files are not ours */
    }
    bool was_closed = atomic_exchange(&engine->is_closed, true);
    if (was_closed)
        return PSTK_OK;
    pstk_engine_threads_stop(engine);
    int status = PSTK_OK;
    if (engine->ring && !atomic_load(&engine->is_failed)) {
        put_due_counts(engine);
        status = pstk_engine_checkpoint_now(engine, true, err);
        if (status == PSTK_OK)
            pstk_engine_disk_remove(engine);
        if (status == PSTK_E_FULL)
            status = PSTK_OK; /* the ring keeps what the full event ring has left unjudged */
    }
    pstk_engine_capture_stop(engine); /* behind the last record */
    register_engine(NULL, engine);
    while (atomic_load(&engine->guests) > 0)
        nanosleep(&(struct timespec){.tv_nsec = 100000},
                  NULL); /* calls on other threads end first */
    let_go(engine);
    return status;
}

void pstk_engine_free(pstk_engine *engine) {
    if (!engine)
        return;
    pstk_error ignored;
    bool is_ours = engine->pid == getpid();
    if (is_ours && engine->has_keeper_thread)
        (void)pstk_engine_close(engine, &ignored);
    if (is_ours)
        let_go(engine);
    if (engine->event_fd >= 0)
        close(engine->event_fd);
    if (is_ours && engine->is_locks_made) {
        pthread_mutex_destroy(&engine->lock);
        pthread_mutex_destroy(&engine->checkpoint);
        pthread_cond_destroy(&engine->keeper_wake);
        pthread_cond_destroy(&engine->disk.wake);
        pthread_cond_destroy(&engine->disk.moved);
        pthread_cond_destroy(&engine->capture.wake);
    }
    free(engine->source);
    free(engine->source_image);
    free(engine->stream);
    free(engine->stream_image);
    free(engine->tag_image);
    free(engine->code_image);
    free(engine->scratch);
    free(engine);
}
