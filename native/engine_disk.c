/* engine_disk: the disk journal beside the engine: a thread that gives it every block, what it
 * holds beyond the ring at open, and what waits for it.
 *
 * Threads  the disk thread writes and syncs without the writer lock; it takes it to sleep and to
 *          publish. Everything else here wants the lock, or belongs to open and close.
 * Full     no room by journal_bytes_max or on the disk: durable stands, so the ring fills and its
 *          sources wait or drop, counted. A checkpoint on disk makes room and is asked for. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define CHUNK_BYTES (UINT64_C(2) << 20) /* written at a time: it still lies in the cache */
#define FULL_WAIT_NS (PSTK_NS_PER_S / 10)
#define FEED_WAIT_NS (10 * PSTK_NS_PER_S)

static bool is_power(const pstk_engine *engine) {
    return engine->options.durability == PSTK_DURABILITY_POWER;
}

static int64_t sync_ns(const pstk_engine *engine) {
    return engine->options.sync_ns ? engine->options.sync_ns : PSTK_NS_PER_S;
}

static uint64_t bytes_max(const pstk_engine *engine) {
    uint64_t bytes = engine->options.journal_bytes_max;
    return bytes ? bytes : PSTK_JOURNAL_BYTES_DEFAULT;
}

/* ---- open: what the disk holds -------------------------------------------------------------- */

int pstk_engine_disk_open(pstk_engine *engine, pstk_error *err) {
    pstk_disk_state *state = &engine->disk;
    pstk_disk_options options = {.folder = pstk_state_folder(engine->state),
                                 .bytes_max = bytes_max(engine)};
    uint32_t damaged = 0;
    memcpy(options.journal_id, pstk_state_journal_id(engine->state), sizeof options.journal_id);
    pstk_disk_close(state->disk);
    state->disk = NULL;
    state->mark = UINT64_MAX;
    int status = pstk_disk_open(&options, &state->disk, &damaged, err);
    if (status == PSTK_OK && damaged)
        pstk_engine_add_notice(engine, "a file of the disk journal is damaged and passed over");
    if (status == PSTK_OK && !state->block)
        state->block = aligned_alloc(64, PSTK_BLOCK_BYTES_MAX);
    if (status == PSTK_OK && !state->block)
        status = pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for a block");
    return status;
}

/* From an image to where the ring begins: judged from the disk, by a handle of its own, as the
 * thread has the other one. */
int pstk_engine_disk_tail(pstk_engine *engine, uint64_t from, uint64_t end, pstk_error *err) {
    pstk_disk_state *state = &engine->disk;
    pstk_disk_options options = {.folder = pstk_state_folder(engine->state),
                                 .bytes_max = bytes_max(engine)};
    uint32_t damaged;
    memcpy(options.journal_id, pstk_state_journal_id(engine->state), sizeof options.journal_id);
    state->tail = from;
    state->tail_end = end;
    return pstk_disk_open(&options, &state->tail_disk, &damaged, err);
}

uint64_t pstk_engine_disk_follow(pstk_engine *engine, uint64_t pos) {
    return pstk_disk_follow(engine->disk.disk, pos);
}

/* The very first block of this journal; NULL where the disk does not hold it. */
const pstk_block *pstk_engine_disk_first(pstk_engine *engine) {
    pstk_disk_state *state = &engine->disk;
    uint64_t next;
    bool is_there = pstk_disk_read(state->disk, 0, state->block, &next);
    return is_there ? (const pstk_block *)(void *)state->block : NULL;
}

int pstk_engine_disk_scan(pstk_engine *engine,
                          int (*scan)(pstk_engine *, const pstk_block *, pstk_error *),
                          pstk_error *err) {
    pstk_disk_state *state = &engine->disk;
    uint64_t pos = state->tail, next;
    const pstk_block *block = (const pstk_block *)(void *)state->block;
    while (pos < state->tail_end && pstk_disk_read(state->tail_disk, pos, state->block, &next)) {
        int status = scan(engine, block, err);
        if (status != PSTK_OK)
            return status;
        pos = next;
    }
    return PSTK_OK;
}

/* ---- judging what the ring lacks ------------------------------------------------------------ */

uint64_t pstk_engine_judged(const pstk_engine *engine) {
    return engine->disk.tail < engine->disk.tail_end ? engine->disk.tail
                                                     : pstk_ring_judged(engine->ring);
}

/* True: all of it is judged. False: the event ring is full, go on later. */
bool pstk_engine_disk_judge(pstk_engine *engine) {
    pstk_disk_state *state = &engine->disk;
    const pstk_block *block = (const pstk_block *)(void *)state->block;
    while (state->tail < state->tail_end) {
        if (!state->has_block &&
            !pstk_disk_read(state->tail_disk, state->tail, state->block, &state->tail_next)) {
            state->tail = state->tail_end; /* nothing but PAD is left */
            break;
        }
        state->has_block = true;
        if (!pstk_judge_block(engine->judge, block))
            return false;
        state->has_block = false;
        state->tail = state->tail_next;
    }
    pstk_disk_close(state->tail_disk);
    state->tail_disk = NULL;
    return true;
}

/* ---- the disk thread ------------------------------------------------------------------------ */

void pstk_engine_disk_wake(pstk_engine *engine) {
    engine->disk.mark = UINT64_MAX;
    pthread_cond_signal(&engine->disk.wake);
}

/* A checkpoint on disk, soon: it is what lets segments go. */
static void want_save(pstk_engine *engine) {
    int64_t due = pstk_boot_ns() - engine->options.checkpoint_ns;
    if (atomic_load(&engine->saved_boot_ns) > due)
        atomic_store(&engine->saved_boot_ns, due);
    pstk_engine_want_checkpoint(engine);
}

static void sleep_until(pstk_engine *engine, int64_t mono_ns) {
    struct timespec until = {.tv_sec = mono_ns / PSTK_NS_PER_S, .tv_nsec = mono_ns % PSTK_NS_PER_S};
    pthread_cond_timedwait(&engine->disk.wake, &engine->lock, &until);
}

static int64_t mono_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * PSTK_NS_PER_S + now.tv_nsec;
}

/* Sleeps until there is a chunk, a sync is due or somebody waits. Lock held. */
static void await_work(pstk_engine *engine, uint64_t placed, int64_t due_ns) {
    pstk_disk_state *state = &engine->disk;
    uint64_t durable = atomic_load(&state->durable);
    while (!atomic_load(&engine->is_stopping) && !state->wants_sync) {
        uint64_t written = pstk_ring_written(engine->ring);
        bool is_idle = written == durable;
        int64_t now = mono_ns();
        if (written - placed >= CHUNK_BYTES || (!is_idle && now >= due_ns))
            return;
        state->mark = is_idle ? written + 1 : placed + CHUNK_BYTES;
        if (is_idle) {
            pthread_cond_wait(&state->wake, &engine->lock);
            due_ns = mono_ns() + sync_ns(engine);
        } else {
            sleep_until(engine, due_ns);
        }
    }
    state->mark = UINT64_MAX;
}

static void publish(pstk_engine *engine, uint64_t durable, bool is_full) {
    pstk_disk_state *state = &engine->disk;
    bool was_full = atomic_exchange(&state->is_full, is_full);
    if (is_full && !was_full)
        atomic_fetch_add(&state->full_waits, 1);
    pstk_disk_release(state->disk, atomic_load(&engine->saved));
    uint64_t held = pstk_disk_bytes(state->disk);
    atomic_store(&state->bytes, held);
    atomic_store(&state->written, pstk_disk_given(state->disk));
    pthread_mutex_lock(&engine->lock);
    atomic_store(&state->durable, durable);
    pstk_ring_set_durable(engine->ring, durable);
    if (is_full || held > bytes_max(engine) / 2)
        want_save(engine);
    pthread_cond_broadcast(&state->moved);
    pthread_mutex_unlock(&engine->lock);
}

typedef struct round_state { /* of the disk thread */
    uint64_t placed, durable;
    int64_t due_ns;
} round_state;

/* One turn: write what there is, sync where that is due. False: failed. */
static bool turn(pstk_engine *engine, round_state *round, bool is_last) {
    pstk_disk_state *state = &engine->disk;
    pstk_error err = {0};
    uint64_t written = pstk_ring_written(engine->ring);
    int status = pstk_disk_write(state->disk, engine->ring, written, &err);
    bool is_full = status == PSTK_E_FULL;
    bool is_due = is_full || is_last || mono_ns() >= round->due_ns ||
                  written - round->durable >= pstk_ring_size(engine->ring) / 4;
    if (status == PSTK_OK)
        round->placed = written;
    if ((status == PSTK_OK || is_full) && is_due) {
        status = pstk_disk_sync(state->disk, engine->ring, &round->durable, &err);
        is_full |= status == PSTK_E_FULL;
        round->due_ns = mono_ns() + sync_ns(engine);
        if (status == PSTK_OK || is_full)
            publish(engine, round->durable, is_full);
    }
    if (status == PSTK_OK || is_full)
        return true;
    pstk_engine_fail(engine, &err);
    pthread_mutex_lock(&engine->lock);
    pthread_cond_broadcast(&state->moved);
    pthread_mutex_unlock(&engine->lock);
    return false;
}

static void *disk_main(void *context) {
    pstk_engine *engine = context;
    pstk_disk_state *state = &engine->disk;
    round_state round = {.placed = atomic_load(&state->durable),
                         .durable = atomic_load(&state->durable)};
    bool is_stopping = false;
    while (!is_stopping && !atomic_load(&engine->is_failed)) {
        pthread_mutex_lock(&engine->lock);
        if (atomic_load(&state->is_full) && !atomic_load(&engine->is_stopping))
            sleep_until(engine, mono_ns() + FULL_WAIT_NS);
        else
            await_work(engine, round.placed, round.due_ns);
        is_stopping = atomic_load(&engine->is_stopping);
        bool is_wanted = state->wants_sync;
        state->wants_sync = false;
        pthread_mutex_unlock(&engine->lock);
        if (!turn(engine, &round, is_stopping || is_wanted))
            break;
    }
    return NULL;
}

/* ---- begin and end -------------------------------------------------------------------------- */

/* The ring holds everything from pos on. */
void pstk_engine_disk_begin(pstk_engine *engine, uint64_t pos) {
    if (!is_power(engine))
        return;
    pstk_disk_begin(engine->disk.disk, pos);
    atomic_store(&engine->disk.durable, pos);
    atomic_store(&engine->disk.bytes, pstk_disk_bytes(engine->disk.disk));
    pstk_ring_set_durable(engine->ring, pos);
}

/* What open found in the ring alone is on the disk before it returns, where that has room. */
int pstk_engine_disk_start(pstk_engine *engine, pstk_error *err) {
    if (!is_power(engine))
        return PSTK_OK;
    int status = pstk_engine_thread_start(&engine->disk.thread, disk_main, engine, err);
    engine->disk.has_thread = status == PSTK_OK;
    if (status != PSTK_OK)
        return status;
    pthread_mutex_lock(&engine->lock);
    (void)pstk_engine_disk_wait(engine);
    pthread_mutex_unlock(&engine->lock);
    return pstk_engine_check(engine, err);
}

void pstk_engine_disk_stop(pstk_engine *engine) {
    pstk_disk_state *state = &engine->disk;
    if (!state->has_thread)
        return;
    pthread_mutex_lock(&engine->lock);
    pthread_cond_signal(&state->wake);
    pthread_mutex_unlock(&engine->lock);
    pthread_join(state->thread, NULL);
    state->has_thread = false;
}

/* An image on disk holds all there is: no segment is needed any more. */
void pstk_engine_disk_remove(pstk_engine *engine) {
    pstk_disk_state *state = &engine->disk;
    bool is_judged = state->tail >= state->tail_end;
    if (state->disk && is_judged && atomic_load(&engine->saved) >= pstk_ring_written(engine->ring))
        pstk_disk_remove(state->disk);
}

void pstk_engine_disk_close(pstk_engine *engine) {
    pstk_disk_state *state = &engine->disk;
    pstk_disk_close(state->disk);
    pstk_disk_close(state->tail_disk);
    free(state->block);
    state->disk = state->tail_disk = NULL;
    state->block = NULL;
}

/* ---- who waits for it ----------------------------------------------------------------------- */

bool pstk_engine_is_disk_behind(const pstk_engine *engine) {
    return engine->disk.has_thread &&
           pstk_ring_written(engine->ring) - atomic_load(&engine->disk.durable) >
               pstk_ring_size(engine->ring) / 2;
}

/* Until the disk has everything written so far, or cannot take it. The lock is let go meanwhile.
 * False: the ring has no more room than before. */
bool pstk_engine_disk_wait(pstk_engine *engine) {
    pstk_disk_state *state = &engine->disk;
    if (!state->has_thread)
        return false;
    uint64_t before = atomic_load(&state->durable), written = pstk_ring_written(engine->ring);
    int64_t until_ns = mono_ns() + FEED_WAIT_NS;
    struct timespec until = {.tv_sec = until_ns / PSTK_NS_PER_S,
                             .tv_nsec = until_ns % PSTK_NS_PER_S};
    int done = 0;
    while (done != ETIMEDOUT && atomic_load(&state->durable) < written &&
           !atomic_load(&engine->is_failed) && !atomic_load(&engine->is_stopping) &&
           !atomic_load(&state->is_full)) {
        state->wants_sync = true;
        pstk_engine_disk_wake(engine);
        done = pthread_cond_timedwait(&state->moved, &engine->lock, &until);
    }
    return atomic_load(&state->durable) > before;
}

/* The batch that is whole: one under way is not. */
static uint64_t done_position(const pstk_source *source) {
    bool is_inside = source->position != PSTK_POSITION_NONE && source->position_ord != 0;
    if (!is_inside)
        return source->position;
    return source->position ? source->position - 1 : PSTK_POSITION_NONE;
}

/* Open found this source's position on the disk: as safe as when it was told last. */
void pstk_engine_set_safe(pstk_source *source) {
    source->safe_position = source->told_position = done_position(source);
}

/* What may be acknowledged upstream. One batch is followed to the disk, then the newest: it lags by
 * two syncs at most and keeps no list. It begins with what open has found on the disk. */
uint64_t pstk_engine_safe_position(pstk_engine *engine, pstk_source *source) {
    uint64_t position = done_position(source);
    if (!is_power(engine))
        return position;
    uint64_t durable = atomic_load(&engine->disk.durable);
#ifdef PSTK_CRASH_POINTS
    const char *plant = getenv("PENSTOCK_PLANT"); /* known bugs, see gather */
    if (plant && strcmp(plant, "acknowledge-written") == 0)
        return position;
#endif
    for (int i = 0; i < 2 && source->told_pos <= durable; i++) {
        source->safe_position = source->told_position;
        source->told_position = position;
        source->told_pos = pstk_ring_written(engine->ring);
    }
    return source->safe_position;
}
