/* engine_capture: the journal goes to capture files beside the judge.
 *
 * Threads  its own, a cold reader of the ring: it copies blocks and never holds the writer back; it
 *          takes the lock to sleep and to ask what names, rules and contexts hold now.
 * Bound    one block and 256 KiB of memory, bytes_max of disk.
 * Full     what the writer has overwritten before it was read is missed: counted, and everything a
 *          reader needs is said anew. A disk that fails ends the capture, not the engine. */
#include "engine.h"

#include <stdlib.h>
#include <time.h>

#define WAIT_NS (20 * INT64_C(1000000))
#define ASSETS_A_LOCK 256u

/* ---- what a reader needs to know ------------------------------------------------------------ */

typedef struct telling {
    pstk_engine *engine;
    pstk_capture_out *out;
    int64_t now_ns;
    uint16_t config_gen;
    int status;
    pstk_error *err;
} telling;

static void say(telling *t, pstk_record kind, uint16_t source, uint16_t stream, uint32_t count,
                const void *payload, size_t size) {
    pstk_block block = {.bytes = (uint32_t)(sizeof block + size),
                        .kind = (uint16_t)kind,
                        .source = source,
                        .stream = stream,
                        .pos = PSTK_CAPTURE_TOLD,
                        .recv_time_ns = t->now_ns,
                        .count = count,
                        .config_gen = t->config_gen};
    if (t->status == PSTK_OK)
        t->status = pstk_capture_out_put(t->out, &block, payload, t->err);
}

static void say_config(telling *t, pstk_config_record *head, const void *items, size_t item_bytes,
                       uint32_t total) {
    uint8_t payload[PSTK_BLOCK_BYTES_MAX - sizeof(pstk_block)];
    uint32_t most = (uint32_t)((sizeof payload - sizeof *head) / item_bytes);
    for (uint32_t first = 0; first < total || first == 0; first += most) {
        head->first = first;
        head->count = PSTK_MIN(most, total - first);
        memcpy(payload, head, sizeof *head);
        if (head->count)
            memcpy(payload + sizeof *head, (const uint8_t *)items + first * item_bytes,
                   head->count * item_bytes);
        say(t, PSTK_RECORD_CONFIG, 0, 0, 1, payload, sizeof *head + head->count * item_bytes);
        if (total == 0)
            break;
    }
}

/* Copies of what changes under the writer lock: nothing is written while it is held. */
typedef struct held_now {
    pstk_config_source sources[PSTK_SOURCES_MAX];
    pstk_rule *rules;
    pstk_stream *streams;
    uint32_t source_count, rule_count, stream_count, code_count;
    uint64_t tag_bytes;
} held_now;

static bool copy_held(telling *t, held_now *out) {
    pstk_engine *engine = t->engine;
    size_t rule_count;
    memset(out, 0, sizeof *out);
    pthread_mutex_lock(&engine->lock);
    const pstk_rule *rules = pstk_judge_rules(engine->judge, &rule_count);
    out->rules = malloc((rule_count + 1) * sizeof *rules);
    out->streams = malloc((engine->stream_count + 1) * sizeof *out->streams);
    bool has_memory = out->rules && out->streams;
    if (has_memory && rule_count)
        memcpy(out->rules, rules, rule_count * sizeof *rules);
    if (has_memory && engine->stream_count)
        memcpy(out->streams, engine->stream, engine->stream_count * sizeof *out->streams);
    for (uint32_t i = 0; i < engine->source_count; i++) {
        const pstk_source_options *options = &engine->source[i].options;
        memcpy(out->sources[i].name, options->name, sizeof out->sources[i].name);
        out->sources[i].lateness_ns = options->lateness_ns;
        out->sources[i].idle_after_ns = options->idle_after_ns;
    }
    t->config_gen = engine->config_gen;
    out->source_count = engine->source_count;
    out->rule_count = (uint32_t)rule_count;
    out->stream_count = engine->stream_count;
    out->code_count = engine->code_image_count;
    out->tag_bytes = engine->tag_image_bytes;
    pthread_mutex_unlock(&engine->lock);
    return has_memory;
}

static void say_rules(telling *t, const held_now *held) {
    pstk_config_record head = {.generation = t->config_gen,
                               .source_total = held->source_count,
                               .rule_total = held->rule_count};
    pstk_judge_config_digest(held->sources, held->source_count, held->rules, held->rule_count,
                             head.digest);
    head.part = PSTK_CONFIG_SOURCES;
    say_config(t, &head, held->sources, sizeof held->sources[0], held->source_count);
    head.part = PSTK_CONFIG_RULES;
    say_config(t, &head, held->rules, sizeof held->rules[0], held->rule_count);
}

static void say_streams(telling *t, const held_now *held) {
    for (uint32_t i = 0; i < held->stream_count; i++) {
        const pstk_stream *stream = &held->streams[i];
        pstk_stream_record record = {.index = i, .stream = stream->stream, .boot = stream->boot};
        say(t, PSTK_RECORD_STREAM, stream->source, (uint16_t)i, 1, &record, sizeof record);
    }
}

/* The image's lists are only ever appended to: a length read under the lock is theirs for good. */
static void say_tags(telling *t, uint64_t bytes) {
    enum { MOST = (PSTK_BLOCK_BYTES_MAX - sizeof(pstk_block)) / sizeof(pstk_tag_record) };
    pstk_tag_record tags[MOST];
    uint32_t held = 0, id = 0;
    memset(tags, 0, sizeof tags);
    for (uint64_t at = 0, took; at < bytes; at += took, id++) {
        took = pstk_engine_read_tag(t->engine->tag_image + at, bytes - at, &tags[held]);
        if (!took)
            break;
        tags[held++].tag_id = id;
        if (held == MOST) {
            say(t, PSTK_RECORD_TAG, 0, 0, held, tags, held * sizeof tags[0]);
            held = 0;
        }
    }
    if (held)
        say(t, PSTK_RECORD_TAG, 0, 0, held, tags, held * sizeof tags[0]);
}

static void say_codes(telling *t, uint32_t count) {
    enum { MOST = (PSTK_BLOCK_BYTES_MAX - sizeof(pstk_block)) / sizeof(pstk_code_record) };
    for (uint32_t first = 0; first < count; first += MOST) {
        uint32_t held = PSTK_MIN(count - first, (uint32_t)MOST);
        say(t, PSTK_RECORD_CODE, 0, 0, held, t->engine->code_image + first,
            held * sizeof(pstk_code_record));
    }
}

static void say_contexts(telling *t) {
    pstk_engine *engine = t->engine;
    pstk_context *context = malloc(ASSETS_A_LOCK * sizeof *context);
    int found = context ? 0 : -1;
    if (!context)
        t->status = pstk_fail(t->err, PSTK_E_MEMORY, 0, "no memory for contexts");
    for (uint32_t asset = 1; found >= 0 && t->status == PSTK_OK;) {
        uint32_t count = 0;
        pthread_mutex_lock(&engine->lock);
        for (uint32_t i = 0; i < ASSETS_A_LOCK && found >= 0; i++, asset++) {
            found = pstk_judge_asset_context(engine->judge, asset, t->now_ns, &context[count]);
            count += found > 0;
        }
        pthread_mutex_unlock(&engine->lock);
        for (uint32_t i = 0; i < count; i++)
            say(t, PSTK_RECORD_CONTEXT, 0, 0, 1, &context[i], sizeof context[i]);
    }
    free(context);
}

/* As of an engine time: the reader lies behind the judge. */
static int say_all(pstk_engine *engine, int64_t now_ns, pstk_error *err) {
    telling t = {.engine = engine, .out = engine->capture.out, .now_ns = now_ns, .err = err};
    held_now *held = calloc(1, sizeof *held);
    if (!held || !copy_held(&t, held)) {
        t.status = pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for what a capture says first");
    } else {
        say_rules(&t, held);
        say_streams(&t, held);
        say_tags(&t, held->tag_bytes);
        say_codes(&t, held->code_count);
        say_contexts(&t);
    }
    if (held) {
        free(held->rules);
        free(held->streams);
    }
    free(held);
    return t.status;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static int take_block(pstk_engine *engine, bool is_behind_gap, pstk_error *err) {
    pstk_capture_state *state = &engine->capture;
    const pstk_block *block = (const pstk_block *)(const void *)state->block;
    bool is_new = pstk_capture_out_is_new(state->out);
    int status = PSTK_OK;
    if (is_new)
        status = pstk_capture_out_begin(state->out, block->pos, atomic_load(&state->missed),
                                        block->recv_time_ns, err);
    if (status == PSTK_OK && (is_new || is_behind_gap))
        status = say_all(engine, block->recv_time_ns, err);
    return status == PSTK_OK ? pstk_capture_out_put(state->out, block, block + 1, err) : status;
}

/* Everything journaled until now. */
int pstk_engine_capture_drain(pstk_engine *engine, pstk_error *err) {
    pstk_capture_state *state = &engine->capture;
    bool is_behind_gap = false;
    int status = PSTK_OK;
    while (status == PSTK_OK) {
        uint64_t next = state->pos;
        bool is_there =
            pstk_ring_copy(engine->ring, state->pos, state->block, PSTK_BLOCK_BYTES_MAX, &next);
        if (!is_there && next == state->pos)
            break;
        if (is_there) {
            status = take_block(engine, is_behind_gap, err);
            is_behind_gap = false;
        } else {
            atomic_fetch_add(&state->missed, next - state->pos);
            is_behind_gap = true;
        }
        state->pos = next;
    }
    if (status == PSTK_OK)
        status = pstk_capture_out_flush(state->out, err);
    atomic_store(&state->bytes, pstk_capture_out_bytes(state->out));
    return status;
}

static void wait_a_while(pstk_engine *engine) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t at = (int64_t)until.tv_sec * PSTK_NS_PER_S + until.tv_nsec + WAIT_NS;
    until.tv_sec = at / PSTK_NS_PER_S;
    until.tv_nsec = at % PSTK_NS_PER_S;
    pthread_mutex_lock(&engine->lock);
    if (!atomic_load(&engine->capture.is_ending))
        (void)pthread_cond_timedwait(&engine->capture.wake, &engine->lock, &until);
    pthread_mutex_unlock(&engine->lock);
}

static void *capture_main(void *context) {
    pstk_engine *engine = context;
    pstk_error err;
    for (bool is_last = false; !is_last;) {
        is_last = atomic_load(&engine->capture.is_ending);
        if (pstk_engine_capture_drain(engine, &err) != PSTK_OK) {
            atomic_store(&engine->capture.is_stopped, true);
            break;
        }
        if (!is_last)
            wait_a_while(engine);
    }
    return NULL;
}

int pstk_engine_capture(pstk_engine *engine, const char *folder, uint64_t bytes_max,
                        pstk_error *err) {
    PSTK_GUEST(engine);
    pstk_capture_state *state = &engine->capture;
    int status = pstk_engine_check(engine, err);
    if (status == PSTK_OK && state->has_thread)
        status = pstk_fail(err, PSTK_E_ARGUMENT, 0, "this engine is captured already");
    if (status != PSTK_OK)
        return status;
    state->block = aligned_alloc(64, PSTK_BLOCK_BYTES_MAX);
    if (!state->block)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for a block");
    status = pstk_capture_out_open(folder, bytes_max, pstk_state_journal_id(engine->state),
                                   engine->options.plant, &state->out, err);
    state->pos = pstk_ring_written(engine->ring);
    if (status == PSTK_OK)
        status = pstk_engine_thread_start(&state->thread, capture_main, engine, err);
    state->has_thread = status == PSTK_OK;
    if (status != PSTK_OK)
        pstk_engine_capture_stop(engine);
    return status;
}

/* Behind the last block: the writers have ended. */
void pstk_engine_capture_stop(pstk_engine *engine) {
    pstk_capture_state *state = &engine->capture;
    if (state->has_thread) {
        atomic_store(&state->is_ending, true);
        pthread_mutex_lock(&engine->lock);
        pthread_cond_signal(&state->wake);
        pthread_mutex_unlock(&engine->lock);
        pthread_join(state->thread, NULL);
        state->has_thread = false;
    }
    pstk_capture_out_close(state->out);
    free(state->block);
    state->out = NULL;
    state->block = NULL;
}
