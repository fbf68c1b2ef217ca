/* loops: what intake calls, and the two threads: one reads, judges and ticks; the keeper
 * (engine_checkpoint.c) writes images. */
#include "engine.h"

#include <signal.h>
#include <stdlib.h>

#define IDLE_WAIT_NS                                                                               \
    (200 * INT64_C(1000000))          /* longest sleep of the engine thread with nothing due */
#define HELD_WAIT_NS INT64_C(1000000) /* while judging or the keeper is behind */
#define SHORTEST_WAIT_NS INT64_C(100000)

/* ---- sink: what intake calls ---------------------------------------------------------------- */

static bool sink_frames(void *context, uint32_t intake_source, uint32_t connection,
                        const pstk_frame *frames, size_t count, size_t *out_taken) {
    pstk_engine *engine = context;
    pthread_mutex_lock(&engine->lock);
    pstk_engine_follow_wall(engine);
    pstk_delivery delivery = {.source = engine->intake_source[intake_source],
                              .connection = connection,
                              .position = PSTK_POSITION_NONE,
                              .now_ns = pstk_engine_now(engine)};
    pstk_source *source = &engine->source[delivery.source];
    delivery.may_wait = source->options.full == PSTK_FULL_BLOCK;
    delivery.future_ns = pstk_engine_future(engine, source, delivery.now_ns);
    engine->is_receiving = 1;
    size_t i = pstk_engine_take_frames(engine, &delivery, frames, count);
    pstk_engine_commit_block(engine);
    pstk_engine_settle_counts(engine, delivery.source);
    engine->is_receiving = 0;
    pstk_engine_wake_consumer(engine);
    source->is_paused = i < count;
    pthread_mutex_unlock(&engine->lock);
    *out_taken = i;
    return i == count;
}

static bool is_done(const pstk_source *source, uint64_t position) {
    return source->position != PSTK_POSITION_NONE &&
           (position < source->position ||
            (position == source->position && source->position_ord == 0));
}

/* Where a frame of a recording ends is its position, as a batch has one in feed. What an earlier
 * run has done is passed over uncounted: of messages without a number it is known exactly; of
 * numbered ones as of the last image, and what came behind it falls to their sequence. */
static bool sink_replayed(void *context, uint32_t intake_source, const pstk_frame *frames,
                          size_t count, const uint8_t *base, uint64_t base_offset,
                          size_t *out_taken) {
    pstk_engine *engine = context;
    pthread_mutex_lock(&engine->lock);
    pstk_engine_follow_wall(engine);
    pstk_delivery delivery = {.source = engine->intake_source[intake_source],
                              .base = base,
                              .base_offset = base_offset,
                              .now_ns = pstk_engine_now(engine)};
    pstk_source *source = &engine->source[delivery.source];
    delivery.may_wait = source->options.full == PSTK_FULL_BLOCK;
    delivery.future_ns = pstk_engine_future(engine, source, delivery.now_ns);
    size_t i = 0;
    while (i < count && is_done(source, pstk_engine_place(&delivery, &frames[i])))
        i++;
    i += pstk_engine_take_frames(engine, &delivery, frames + i, count - i);
    pstk_engine_commit_block(engine);
    pstk_engine_settle_counts(engine, delivery.source);
    source->is_paused = i < count;
    pthread_mutex_unlock(&engine->lock);
    *out_taken = i;
    return i == count;
}

static void put_link(pstk_engine *engine, uint16_t source_id, pstk_source_change change) {
    pstk_source_record record = {.change = (uint32_t)change};
    engine->source[source_id].is_up = change == PSTK_SOURCE_UP;
    pstk_engine_put_record(engine, PSTK_RECORD_SOURCE, source_id, &record, sizeof record);
}

/* A source is up while one of its connections is. */
static void sink_link(void *context, uint32_t intake_source, uint32_t connection, pstk_link link) {
    pstk_engine *engine = context;
    (void)connection;
    pthread_mutex_lock(&engine->lock);
    uint16_t source_id = engine->intake_source[intake_source];
    pstk_source *source = &engine->source[source_id];
    if (link == PSTK_LINK_UP && source->ready++ == 0)
        put_link(engine, source_id, PSTK_SOURCE_UP);
    if (link == PSTK_LINK_DOWN && source->ready > 0 && --source->ready == 0)
        put_link(engine, source_id, PSTK_SOURCE_DOWN);
    pthread_mutex_unlock(&engine->lock);
}

static void sink_drop(void *context, uint32_t intake_source, pstk_drop reason, uint64_t count) {
    pstk_engine *engine = context;
    pthread_mutex_lock(&engine->lock);
    uint16_t source = engine->intake_source[intake_source];
    engine->source[source].received += count;
    pstk_engine_drop(engine, source, reason, count);
    pthread_mutex_unlock(&engine->lock);
}

/* ---- the engine thread ---------------------------------------------------------------------- */

#ifdef PSTK_CRASH_POINTS
/* A known bug of test builds: one allocation a cycle, so that the count can be shown to see it. */
static void plant_allocation(void) {
    const char *plant = getenv("PENSTOCK_PLANT");
    if (plant && strcmp(plant, "allocate") == 0) {
        void *volatile memory = malloc(16);
        free(memory);
    }
}
#else
static void plant_allocation(void) {}
#endif

/* Sources that wait for room go on once there is some; figures of the wire are copied for whoever
 * asks, since intake counts without a lock. */
static void serve_intake(pstk_engine *engine) {
    for (uint32_t i = 0; i < engine->intake_count; i++) {
        pstk_source *source = &engine->source[engine->intake_source[i]];
        pstk_drop reason;
        pstk_intake_counters_get(engine->intake, i, &source->wire);
        if (source->is_paused &&
            pstk_engine_has_room(engine, source, source->options.frame_bytes_max, &reason)) {
            source->is_paused = 0;
            pstk_intake_resume(engine->intake, i);
        }
    }
}

static int64_t duty_cycle(pstk_engine *engine) {
    plant_allocation();
    pthread_mutex_lock(&engine->lock);
    pstk_engine_follow_wall(engine);
    if (engine->is_backlogged)
        pstk_engine_judge(engine);
    pstk_engine_put_tick(engine);
    serve_intake(engine);
    int64_t deadline = pstk_judge_deadline_ns(engine->judge);
    int64_t wait = deadline == INT64_MAX ? IDLE_WAIT_NS : deadline - pstk_engine_now(engine);
    bool is_held =
        engine->is_backlogged || engine->wants_checkpoint || pstk_engine_is_disk_behind(engine);
    pthread_mutex_unlock(&engine->lock);
    if (is_held)
        return HELD_WAIT_NS;
    return PSTK_MIN(PSTK_MAX(wait, SHORTEST_WAIT_NS), IDLE_WAIT_NS);
}

static void *engine_main(void *context) {
    pstk_engine *engine = context;
    while (!atomic_load_explicit(&engine->is_stopping, memory_order_relaxed)) {
        int64_t wait = duty_cycle(engine);
        if (atomic_load_explicit(&engine->is_failed, memory_order_relaxed))
            break;
        if (pstk_intake_poll(engine->intake, wait) < 0) {
            pstk_error err;
            pstk_fail(&err, PSTK_E_SYSTEM, 0, "the engine thread cannot wait on its sockets");
            pstk_engine_fail(engine, &err);
        }
    }
    return NULL;
}

static void list_intake(pstk_engine *engine, pstk_source_options *options) {
    engine->intake_count = 0;
    for (uint32_t i = 0; i < engine->source_count; i++) {
        const pstk_source *source = &engine->source[i];
        if (!source->is_configured || source->options.kind == PSTK_SOURCE_FEED)
            continue;
        engine->intake_source[engine->intake_count] = (uint16_t)i;
        options[engine->intake_count++] = source->options;
    }
}

/* Who asks for figures or ports from another thread finds a whole intake, or none. */
static void show_intake(pstk_engine *engine, pstk_intake *intake) {
    pthread_mutex_lock(&engine->lock);
    engine->intake = intake;
    for (uint32_t i = 0; i < engine->intake_count; i++)
        engine->source[engine->intake_source[i]].intake = intake ? (int32_t)i : -1;
    pthread_mutex_unlock(&engine->lock);
}

static void resume_recordings(pstk_engine *engine, pstk_intake *intake) {
    for (uint32_t i = 0; i < engine->intake_count; i++) {
        const pstk_source *source = &engine->source[engine->intake_source[i]];
        /* In the middle of a message: from the beginning, since where it begins is not known. */
        if (source->position != PSTK_POSITION_NONE && source->position_ord == 0)
            pstk_intake_resume_at(intake, i, source->position);
    }
}

static int open_intake(pstk_engine *engine, pstk_error *err) {
    static const pstk_sink sink_calls = {
        .frames = sink_frames, .replayed = sink_replayed, .link = sink_link, .drop = sink_drop};
    pstk_source_options *options = calloc(PSTK_SOURCES_MAX, sizeof *options);
    if (!options)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for the sources' options");
    list_intake(engine, options);
    pstk_sink sink = sink_calls;
    sink.context = engine;
    pstk_intake *intake = NULL;
    int status = pstk_intake_open(options, engine->intake_count, &sink, &intake, err);
    free(options);
    if (status == PSTK_OK)
        resume_recordings(engine, intake);
    if (status == PSTK_OK)
        status = pstk_intake_start(intake, err);
    if (status == PSTK_OK)
        show_intake(engine, intake);
    else if (intake)
        pstk_intake_close(intake);
    return status;
}

static void close_intake(pstk_engine *engine) {
    pstk_intake *intake = engine->intake;
    if (!intake)
        return;
    show_intake(engine, NULL);
    pstk_intake_close(intake);
}

int pstk_engine_thread_start(pthread_t *out_thread, void *(*body)(void *), pstk_engine *engine,
                             pstk_error *err) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* the host's handlers never run on our threads */
    int failure = pthread_create(out_thread, NULL, body, engine);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failure ? pstk_fail(err, PSTK_E_SYSTEM, failure, "a thread could not be started")
                   : PSTK_OK;
}

PSTK_COLD int pstk_engine_threads_start(pstk_engine *engine, bool with_sockets, pstk_error *err) {
    int status = PSTK_OK;
    if (!with_sockets) {
        status = pstk_engine_thread_start(&engine->keeper_thread, pstk_engine_keeper, engine, err);
        engine->has_keeper_thread = status == PSTK_OK;
        return status;
    }
    status = open_intake(engine, err);
    if (status == PSTK_OK)
        status = pstk_engine_thread_start(&engine->engine_thread, engine_main, engine, err);
    engine->has_engine_thread = status == PSTK_OK;
    if (status != PSTK_OK)
        close_intake(engine); /* start may be called again */
    return status;
}

void pstk_engine_threads_stop(pstk_engine *engine) {
    atomic_store(&engine->is_stopping, true);
    if (engine->has_engine_thread) {
        pstk_intake_wake(engine->intake);
        pthread_join(engine->engine_thread, NULL);
        engine->has_engine_thread = false;
    }
    close_intake(engine);
    pstk_engine_disk_stop(engine);
    if (!engine->has_keeper_thread)
        return;
    pthread_mutex_lock(&engine->lock);
    pthread_cond_signal(&engine->keeper_wake);
    pthread_mutex_unlock(&engine->lock);
    pthread_join(engine->keeper_thread, NULL);
    engine->has_keeper_thread = false;
}
