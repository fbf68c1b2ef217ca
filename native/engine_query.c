/* query: what the engine hands out: events, results, names, figures, and samples read cold from the
 * ring. */
#include "engine.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- events and results: one consumer ------------------------------------------------------- */

int pstk_engine_event_fd(const pstk_engine *engine) { return engine->event_fd; }

int pstk_engine_poll(pstk_engine *engine, pstk_event *out_events, size_t capacity,
                     size_t *out_count, pstk_error *err) {
    PSTK_GUEST(engine);
    *out_count = 0;
    int status = pstk_engine_check(engine, err);
    if (status != PSTK_OK)
        return status;
    uint64_t from = atomic_load(&engine->polled);
    *out_count = pstk_judge_events_poll(engine->judge, from, out_events, capacity);
    atomic_store(&engine->polled, from + *out_count);
    return PSTK_OK;
}

int pstk_engine_acknowledge(pstk_engine *engine, uint64_t seq, pstk_error *err) {
    PSTK_GUEST(engine);
    int status = pstk_engine_check(engine, err);
    if (status != PSTK_OK)
        return status;
    if (seq >= atomic_load(&engine->polled))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "event %llu was not polled yet",
                         (unsigned long long)seq);
    pstk_judge_events_acknowledge(engine->judge, seq);
    PSTK_CRASH("engine.acknowledged");
    if (!atomic_load(&engine->is_backlogged))
        return PSTK_OK;
    pthread_mutex_lock(&engine->lock);
    if (engine->is_backlogged)
        pstk_engine_judge(engine); /* room again: go on where judging stopped */
    pthread_mutex_unlock(&engine->lock);
    return PSTK_OK;
}

int pstk_engine_rewind(pstk_engine *engine, pstk_error *err) {
    PSTK_GUEST(engine);
    int status = pstk_engine_check(engine, err);
    if (status == PSTK_OK)
        atomic_store(&engine->polled, pstk_judge_events_acknowledged(engine->judge));
    return status;
}

int pstk_engine_results(pstk_engine *engine, pstk_result *out_results,
                        pstk_aggregates *out_aggregates, size_t capacity, size_t *out_count,
                        pstk_error *err) {
    PSTK_GUEST(engine);
    *out_count = 0;
    int status = pstk_engine_check(engine, err);
    if (status != PSTK_OK)
        return status;
    uint64_t overwritten;
    *out_count =
        pstk_judge_results_take(engine->judge, out_results, out_aggregates, capacity, &overwritten);
    return PSTK_OK;
}

/* ---- figures -------------------------------------------------------------------------------- */

/* A forked child must not touch the lock: another thread of its parent may have held it. */
static bool is_gone(const pstk_engine *engine) {
    return atomic_load(&engine->is_closed) || engine->pid != getpid();
}

static void add_judge_figures(pstk_engine *engine, pstk_stats *out) {
    pstk_judge_counters counters;
    pstk_judge_counters_get(engine->judge, &counters);
    out->events = counters.events;
    out->results = counters.results;
    out->results_overwritten = counters.results_overwritten;
    out->late = counters.late;
    out->out_of_order = counters.out_of_order;
    out->reorder_overflow = counters.reorder_overflow;
    out->chattering = counters.chattering;
    out->instances_mistyped = counters.type_refused;
    out->micro_dropped = counters.micro_dropped;
    out->suppressed = counters.suppressed;
    out->instances = counters.instances;
    out->instances_refused = counters.instance_limit;
    out->assets = counters.assets;
}

int pstk_engine_stats(pstk_engine *engine, pstk_stats *out) {
    PSTK_GUEST(engine);
    memset(out, 0, sizeof *out);
    if (is_gone(engine))
        return PSTK_E_CLOSED;
    pthread_mutex_lock(&engine->lock);
    out->written = pstk_ring_written(engine->ring);
    out->judged = pstk_engine_judged(engine);
    out->checkpointed = pstk_ring_checkpointed(engine->ring);
    out->saved = atomic_load(&engine->saved);
    out->durable = atomic_load(&engine->disk.durable);
    out->journal_bytes = atomic_load(&engine->disk.bytes);
    out->disk_full_waits = atomic_load(&engine->disk.full_waits);
    out->disk_written = atomic_load(&engine->disk.written);
    out->captured = atomic_load(&engine->capture.bytes);
    out->capture_missed = atomic_load(&engine->capture.missed);
    out->is_capture_stopped = atomic_load(&engine->capture.is_stopped);
    out->is_disk_full = atomic_load(&engine->disk.is_full);
    out->ring_bytes = pstk_ring_size(engine->ring);
    out->tags = pstk_tags_count(engine->tags);
    out->streams = engine->stream_count;
    add_judge_figures(engine, out);
    uint64_t head = pstk_judge_events_head(engine->judge);
    out->events_pending = head - pstk_judge_events_acknowledged(engine->judge);
    out->events_polled = atomic_load(&engine->polled);
    out->checkpoints = engine->checkpoints;
    out->checkpoint_ns_max = (uint64_t)engine->checkpoint_ns_max;
    out->ticks = engine->ticks;
    out->blocks = engine->blocks;
    out->redelivered = engine->redelivered;
    out->engine_time_ns = engine->clock.last_ns;
    out->config_gen = engine->config_gen;
    out->is_failed = atomic_load(&engine->is_failed);
    out->is_event_ring_full = engine->is_backlogged;
    out->is_cold_start = engine->is_cold_start;
    pthread_mutex_unlock(&engine->lock);
    return PSTK_OK;
}

static void add_wire_figures(const pstk_source *source, pstk_source_stats *out) {
    if (source->intake < 0)
        return;
    out->frames = source->wire.frames;
    out->bytes = source->wire.bytes;
    out->connections = source->wire.ready;
    out->reconnects = source->wire.reconnects;
    out->protocol_errors = source->wire.protocol_errors;
}

int pstk_engine_source_stats(pstk_engine *engine, uint32_t source_index, pstk_source_stats *out) {
    PSTK_GUEST(engine);
    memset(out, 0, sizeof *out);
    if (is_gone(engine))
        return PSTK_E_CLOSED;
    if (source_index >= engine->config_source_count)
        return PSTK_E_ARGUMENT;
    pthread_mutex_lock(&engine->lock);
    uint16_t source_id = engine->config_source[source_index];
    const pstk_source *source = &engine->source[source_id];
    memcpy(out->name, source->options.name, sizeof out->name);
    memcpy(out->dropped, source->dropped, sizeof out->dropped);
    out->received = source->received;
    out->used = source->used;
    out->lost_upstream = source->lost_upstream;
    out->sent_upstream = source->sent_upstream;
    out->is_numbered = source->is_numbered;
    out->is_up = source->intake < 0 || source->is_up;
    pstk_judge_source_counters(engine->judge, source_id, &out->late, &out->out_of_order);
    add_wire_figures(source, out);
    pthread_mutex_unlock(&engine->lock);
    return PSTK_OK;
}

int pstk_engine_port(pstk_engine *engine, uint32_t source_index) {
    PSTK_GUEST(engine);
    if (is_gone(engine) || source_index >= engine->config_source_count)
        return -1;
    pthread_mutex_lock(&engine->lock);
    const pstk_source *source = &engine->source[engine->config_source[source_index]];
    int port = source->intake < 0 || !engine->intake
                   ? -1
                   : pstk_intake_port(engine->intake, (uint32_t)source->intake);
    pthread_mutex_unlock(&engine->lock);
    return port;
}

/* ---- names ---------------------------------------------------------------------------------- */

/* Names are only ever added, and stand whole before an event or a result bears their number: the
 * consumer reads them without the writer lock, which the engine thread holds most of the time. */

static int give_text(const char *text, size_t size, char *out, size_t capacity) {
    if (capacity)
        pstk_copy_text(out, capacity, text, size);
    return (int)size;
}

int pstk_engine_tag_name(pstk_engine *engine, uint32_t tag_id, char *out_name, size_t capacity) {
    PSTK_GUEST(engine);
    if (is_gone(engine))
        return -1;
    const pstk_tag *tag = pstk_tags_get(engine->tags, tag_id);
    return tag ? give_text(tag->name, tag->name_bytes, out_name, capacity) : -1;
}

int pstk_engine_tag_type(pstk_engine *engine, uint32_t tag_id) {
    PSTK_GUEST(engine);
    if (is_gone(engine))
        return -1;
    const pstk_tag *tag = pstk_tags_get(engine->tags, tag_id);
    return tag ? tag->type : -1;
}

int pstk_engine_rule_name(pstk_engine *engine, uint32_t rule, char *out_name, size_t capacity,
                          char *out_series, size_t series_capacity) {
    PSTK_GUEST(engine);
    if (is_gone(engine))
        return -1;
    return pstk_judge_rule_name(engine->judge, rule, out_name, capacity, out_series,
                                series_capacity);
}

int pstk_engine_asset_name(pstk_engine *engine, uint32_t asset, char *out_name, size_t capacity) {
    PSTK_GUEST(engine);
    if (is_gone(engine))
        return -1;
    return pstk_judge_asset_name(engine->judge, asset, out_name, capacity);
}

int pstk_engine_code_text(pstk_engine *engine, uint32_t tag, int64_t code, char *out_text,
                          size_t capacity) {
    PSTK_GUEST(engine);
    if (is_gone(engine))
        return -1;
    const char *text = pstk_tags_code_text(engine->tags, tag, code);
    return text ? give_text(text, strlen(text), out_text, capacity) : -1;
}

/* ---- evidence: a cold read ------------------------------------------------------------------ */

typedef struct sieve { /* keeps the newest `max` samples of one tag, or the first `max` when
                          is_first */
    uint32_t tag;
    size_t max, count; /* count: seen in all */
    pstk_sample *out;
    bool is_first;
} sieve;

static void sift(sieve *keep, const pstk_block *block) {
    const pstk_sample *sample = (const pstk_sample *)(const void *)pstk_block_payload(block);
    size_t count = PSTK_MIN(block->count, (block->bytes - sizeof *block) / sizeof *sample);
    for (size_t i = 0; i < count; i++) {
        if (sample[i].tag_id != keep->tag || (keep->is_first && keep->count >= keep->max))
            continue;
        pstk_sample *place = &keep->out[keep->count++ % keep->max];
        *place = sample[i];
        if (place->time_ns == PSTK_TIME_NONE)
            place->time_ns = block->recv_time_ns;
    }
}

static void sift_range(const pstk_engine *engine, sieve *keep, uint64_t from, uint64_t to) {
    _Alignas(64) uint8_t bytes[PSTK_BLOCK_BYTES_MAX];
    const pstk_block *block = (const pstk_block *)(const void *)bytes;
    while (from < to && !(keep->is_first && keep->count >= keep->max)) {
        uint64_t next = from;
        /* Overwritten meanwhile: on with the oldest block that is still there. */
        if (pstk_ring_copy(engine->ring, from, bytes, sizeof bytes, &next) &&
            block->kind == PSTK_RECORD_SAMPLES)
            sift(keep, block);
        if (next <= from)
            return; /* the tail */
        from = next;
    }
}

static void reverse(pstk_sample *samples, size_t count) {
    for (size_t i = 0; i < count / 2; i++) {
        pstk_sample other = samples[i];
        samples[i] = samples[count - 1 - i];
        samples[count - 1 - i] = other;
    }
}

/* The newest stand as in a ring, the oldest in its middle: turned by three reversals. */
static void rotate_oldest_first(sieve *keep) {
    size_t shift = keep->count > keep->max ? keep->count % keep->max : 0;
    keep->count = PSTK_MIN(keep->count, keep->max);
    reverse(keep->out, shift);
    reverse(keep->out + shift, keep->count - shift);
    reverse(keep->out, keep->count);
}

int pstk_engine_evidence(pstk_engine *engine, uint32_t tag, uint64_t pos, size_t before_max,
                         size_t after_max, pstk_sample *out_samples, size_t *out_before,
                         size_t *out_count, pstk_error *err) {
    PSTK_GUEST(engine);
    *out_before = *out_count = 0;
    int status = pstk_engine_check(engine, err);
    if (status != PSTK_OK || pstk_engine_tag_type(engine, tag) < 0) /* a gap has no tag */
        return status;
    sieve before = {.tag = tag, .max = before_max, .out = out_samples};
    uint64_t behind = pos + 1; /* the block at pos belongs to what lies before */
    for (uint64_t distance = 262144; before_max && distance <= PSTK_EVIDENCE_BYTES_MAX;
         distance *= 4) {
        uint64_t from = pstk_ring_back(engine->ring, pos, distance);
        before.count = 0;
        sift_range(engine, &before, from, behind);
        if (before.count >= before_max || from <= pstk_ring_oldest(engine->ring))
            break;
    }
    if (before_max)
        rotate_oldest_first(&before);
    sieve after = {
        .tag = tag, .max = after_max, .out = out_samples + before.count, .is_first = true};
    uint64_t next = pos,
             end = PSTK_MIN(pstk_ring_written(engine->ring), pos + PSTK_EVIDENCE_BYTES_MAX);
    _Alignas(64) uint8_t block[PSTK_BLOCK_BYTES_MAX];
    if (after_max && (pstk_ring_copy(engine->ring, pos, block, sizeof block, &next) || next > pos))
        sift_range(engine, &after, next, end);
    *out_before = before.count;
    *out_count = before.count + after.count;
    return PSTK_OK;
}
