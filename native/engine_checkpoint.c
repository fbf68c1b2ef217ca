/* checkpoint: what is needed to go on, as an image; and the keeper thread that writes it beside the
 * judge. The writer lock is held to freeze counts and scalars; the rest is read while the judge
 * goes on (engine_judge_snapshot.c), and writing and fsync happen outside it (design.md, invariant
 * C). */
#include "engine.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define FULL_PAUSE_NS (PSTK_NS_PER_S / 100)
#define DISK_PAUSE_NS (PSTK_NS_PER_S / 4)
#define PIECES_A_TURN 16u /* 512 KiB: about 0.2 ms */
#define TAG_OF(a, b, c, d)                                                                         \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

static void save_sources(pstk_engine *engine) {
    for (uint32_t i = 0; i < engine->source_count; i++) {
        const pstk_source *source = &engine->source[i];
        pstk_source_saved *saved = &engine->source_image[i];
        *saved = (pstk_source_saved){.received = source->received,
                                     .used = source->used,
                                     .lost_upstream = source->lost_upstream,
                                     .sent_upstream = source->sent_upstream,
                                     .position = source->position,
                                     .position_ord = source->position_ord,
                                     .is_numbered = source->is_numbered};
        memcpy(saved->name, source->options.name, sizeof saved->name);
        memcpy(saved->dropped, source->dropped, sizeof saved->dropped);
    }
    engine->config_gen_image = engine->config_gen;
    memcpy(engine->stream_image, engine->stream, engine->stream_count * sizeof *engine->stream);
}

/* Writer lock held. Tags and codes are append-only, so their part of the image is a length, not a
 * copy. */
static size_t gather(pstk_engine *engine, pstk_section *sections, pstk_image_head *out_head) {
    size_t count = pstk_judge_snapshot_begin(engine->judge, sections);
#ifdef PSTK_CRASH_POINTS
    const char *plant =
        getenv("PENSTOCK_PLANT"); /* a known bug, so that the harness can show it sees it */
    if (plant && strcmp(plant, "checkpoint-without-pending") == 0)
        for (size_t i = 0; i < count; i++)
            if (sections[i].tag == PSTK_SECTION_PENDING)
                sections[i] = sections[--count];
#endif
    save_sources(engine);
    sections[count++] = (pstk_section){TAG_OF('T', 'A', 'G', 'S'), PSTK_TAGS_SECTION,
                                       engine->tag_image, engine->tag_image_bytes};
    sections[count++] = (pstk_section){TAG_OF('C', 'O', 'D', 'E'), 1, engine->code_image,
                                       engine->code_image_count * sizeof *engine->code_image};
    sections[count++] = (pstk_section){TAG_OF('S', 'R', 'C', 'S'), 1, engine->source_image,
                                       engine->source_count * sizeof *engine->source_image};
    sections[count++] = (pstk_section){TAG_OF('S', 'T', 'R', 'M'), 1, engine->stream_image,
                                       engine->stream_count * sizeof *engine->stream_image};
    sections[count++] = (pstk_section){TAG_OF('C', 'G', 'E', 'N'), 1, &engine->config_gen_image,
                                       sizeof engine->config_gen_image};
    *out_head = (pstk_image_head){.pos = pstk_engine_judged(engine),
                                  .engine_time_ns = engine->clock.last_ns,
                                  .generation = ++engine->generation,
                                  .layout = PSTK_JUDGE_LAYOUT,
                                  .section_count = (uint32_t)count};
    memcpy(out_head->journal_id, pstk_state_journal_id(engine->state), sizeof out_head->journal_id);
    for (uint32_t i = 0; i < engine->source_count; i++)
        engine->source[i].bytes_checkpointed = engine->source[i].bytes;
    return count;
}

typedef struct reading {
    const pstk_judge *judge;
    uint32_t pieces;
} reading;

/* Where the judge has no other processor, a turn of the keeper's must not last a scheduler's slice
 * of milliseconds. */
static void read_section(void *context, const pstk_section *section, uint64_t at, void *out,
                         size_t bytes) {
    reading *it = context;
    PSTK_CRASH("checkpoint.piece");
    if (++it->pieces % PIECES_A_TURN == 0)
        sched_yield();
    pstk_judge_snapshot_read(it->judge, section, at, out, bytes);
}

/* What waits in the ring says how much the judge is about to change: an idle one changes nothing,
 * whatever the number of its tags. */
static void prepare_snapshot(pstk_engine *engine) {
    pthread_mutex_lock(&engine->lock);
    uint64_t waiting = pstk_ring_written(engine->ring) - pstk_ring_checkpointed(engine->ring);
    uint32_t pages = pstk_judge_snapshot_pages(engine->judge, waiting * 4);
    pthread_mutex_unlock(&engine->lock);
    pstk_judge_snapshot_prepare(engine->judge, pages);
}

/* Writer lock held. False: the judge stands inside a block. */
static bool begin_snapshot(pstk_engine *engine, pstk_section *sections, pstk_image_head *out_head) {
    int64_t begin = pstk_boot_ns();
    engine->wants_checkpoint = 0;
    if (!pstk_judge_is_between_blocks(engine->judge))
        return false;
    gather(engine, sections, out_head);
    engine->checkpoint_ns_max = PSTK_MAX(engine->checkpoint_ns_max, pstk_boot_ns() - begin);
    return true;
}

/* Backlogs make checkpoints follow one another; memory is given back with those to disk. */
static void end_snapshot(pstk_engine *engine, const pstk_image_head *head, bool is_written,
                         bool to_disk) {
    pthread_mutex_lock(&engine->lock);
    pstk_judge_snapshot_end(engine->judge);
    if (is_written) {
        if (head->pos >= engine->disk.tail_end) /* else of what lies before the ring */
            pstk_ring_set_checkpointed(engine->ring, head->pos);
        engine->checkpoints++;
        engine->wants_checkpoint = 0; /* wished before there was room again; or wished anew */
    }
    pthread_mutex_unlock(&engine->lock);
    pstk_judge_snapshot_clear(engine->judge, to_disk);
}

/* The ring's image is whole: disk gets the same bytes. */
static int save_image(pstk_engine *engine, const pstk_image_head *head, pstk_error *err) {
    int status = pstk_image_copy(pstk_ring_folder(engine->ring), pstk_state_folder(engine->state),
                                 head, err);
    PSTK_CRASH("checkpoint.disk");
    if (status == PSTK_OK) {
        atomic_store_explicit(&engine->saved, head->pos, memory_order_relaxed);
        atomic_store(&engine->saved_boot_ns, pstk_boot_ns());
    }
    return status;
}

static int write_images(pstk_engine *engine, const pstk_image_head *head,
                        const pstk_section *sections, bool to_disk, pstk_error *err) {
    reading it = {.judge = engine->judge};
    pstk_image_reader reader = {read_section, &it};
    int status =
        pstk_image_write_from(pstk_ring_folder(engine->ring), head, sections, &reader, false, err);
    PSTK_CRASH("checkpoint.ring");
    end_snapshot(engine, head, status == PSTK_OK, to_disk);
    return status == PSTK_OK && to_disk ? save_image(engine, head, err) : status;
}

/* Writer lock not held. E_FULL: the judge stands inside a block because the event ring is full; try
 * again later. */
int pstk_engine_checkpoint_now(pstk_engine *engine, bool to_disk, pstk_error *err) {
    pstk_section sections[PSTK_IMAGE_SECTIONS_MAX];
    pstk_image_head head;
    pthread_mutex_lock(&engine->checkpoint);
    prepare_snapshot(engine);
    pthread_mutex_lock(&engine->lock);
    bool can = begin_snapshot(engine, sections, &head);
    pthread_mutex_unlock(&engine->lock);
    PSTK_CRASH("checkpoint.snapshot");
    int status = can ? write_images(engine, &head, sections, to_disk, err)
                     : pstk_fail(err, PSTK_E_FULL, 0,
                                 "no checkpoint while the event ring is full; acknowledge events");
    if (can && status == PSTK_OK)
        PSTK_CRASH("checkpoint.done");
    pthread_mutex_unlock(&engine->checkpoint);
    return status;
}

/* Until that time has passed, the engine stops or, where it may, a checkpoint is wanted. */
static void wait_a_while(pstk_engine *engine, int64_t nanoseconds, bool is_pause) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t at = (int64_t)until.tv_sec * PSTK_NS_PER_S + until.tv_nsec + nanoseconds;
    until.tv_sec = at / PSTK_NS_PER_S;
    until.tv_nsec = at % PSTK_NS_PER_S;
    int done = 0;
    pthread_mutex_lock(&engine->lock);
    while (done != ETIMEDOUT && !atomic_load(&engine->is_stopping) &&
           (is_pause || !engine->wants_checkpoint))
        done = pthread_cond_timedwait(&engine->keeper_wake, &engine->lock, &until);
    pthread_mutex_unlock(&engine->lock);
}

static int64_t left_ns(pstk_engine *engine) {
    return atomic_load(&engine->saved_boot_ns) + engine->options.checkpoint_ns - pstk_boot_ns();
}

void *pstk_engine_keeper(void *context) {
    pstk_engine *engine = context;
    while (!atomic_load(&engine->is_stopping) && !atomic_load(&engine->is_failed)) {
        if (left_ns(engine) > 0)
            wait_a_while(engine, left_ns(engine), false);
        if (atomic_load(&engine->is_stopping))
            break;
        pstk_error err;
        int status = pstk_engine_checkpoint_now(engine, left_ns(engine) <= 0, &err);
        bool is_disk_full = status == PSTK_E_SYSTEM && engine->disk.has_thread &&
                            (err.os_error == ENOSPC || err.os_error == EDQUOT);
        if (status == PSTK_E_FULL)
            wait_a_while(engine, FULL_PAUSE_NS, true); /* nobody has acknowledged yet */
        else if (is_disk_full)
            wait_a_while(engine, DISK_PAUSE_NS, true); /* the image before stands */
        else if (status != PSTK_OK)
            pstk_engine_fail(engine, &err);
    }
    return NULL;
}
