/* engine_play: a capture goes into an engine with the manual clock, block by block, as it was
 * journaled: what came in one receive comes in one block, at its own engine time.
 *
 * Threads  a caller's, under the writer lock. Bound    a slot for each tag and text that the file
 * names, and the reader's 1 MiB. Hostile  ids, types, values, times and texts are checked here as
 * feed checks a caller's columns; what does not fit is dropped and counted, or skipped.
 * Full     the ring or the event ring: the call returns is_held, and goes on at the same block. */
#include "engine.h"
#include "rule/rule.h"

#include <math.h>
#include <stdlib.h>

/* Another engine would have ticked within its longest sleep: deadlines of rules that the capture's
 * own engine did not have are taken that much later, those it had by its TICK records. */
#define TICK_SLACK_NS (250 * INT64_C(1000000))
#define TICKS_A_BLOCK 4
#define SOURCE_NONE UINT16_MAX

typedef struct played_tag {
    uint32_t tag; /* PSTK_TAG_NONE: dropped for `reason` */
    uint16_t source;
    uint8_t type, reason;
    uint32_t code_count;
    uint32_t *code; /* of the file, in its order, to the engine's; UINT32_MAX = dropped */
} played_tag;

struct pstk_player { /* what an engine knows of the captures it plays */
    played_tag *tag;
    uint32_t tag_count, tag_capacity;
    uint16_t source[PSTK_SOURCES_MAX]; /* the file's number to the engine's */
    int32_t stream[UINT16_MAX + 1];    /* the same; -1 = not known */
    uint64_t next_pos;                 /* where the last block ended */
    bool goes_on;                      /* a file that begins there says contexts again */
    const pstk_capture *capture;       /* being played */
    uint8_t journal_id[16];
};

void pstk_player_free(pstk_player *player) {
    if (!player)
        return;
    for (uint32_t i = 0; i < player->tag_count; i++)
        free(player->tag[i].code);
    free(player->tag);
    free(player);
}

static void forget_names(pstk_player *player) {
    for (uint32_t i = 0; i < player->tag_count; i++)
        free(player->tag[i].code);
    player->tag_count = 0;
    for (size_t i = 0; i < PSTK_SOURCES_MAX; i++)
        player->source[i] = SOURCE_NONE;
    for (size_t i = 0; i <= UINT16_MAX; i++)
        player->stream[i] = -1;
}

/* ---- names ---------------------------------------------------------------------------------- */

static uint16_t source_of(const pstk_player *player, uint16_t number) {
    return number < PSTK_SOURCES_MAX ? player->source[number] : SOURCE_NONE;
}

static void take_sources(pstk_engine *engine, const uint8_t *payload, size_t size) {
    pstk_config_record record;
    if (size < sizeof record)
        return;
    memcpy(&record, payload, sizeof record);
    size_t room = (size - sizeof record) / sizeof(pstk_config_source);
    for (uint32_t i = 0; record.part == PSTK_CONFIG_SOURCES && i < record.count && i < room; i++) {
        pstk_config_source item;
        memcpy(&item, payload + sizeof record + i * sizeof item, sizeof item);
        uint64_t number = (uint64_t)record.first + i;
        if (number >= PSTK_SOURCES_MAX || !memchr(item.name, 0, sizeof item.name))
            return;
        for (uint32_t k = 0; k < engine->config_source_count; k++) {
            uint16_t at = engine->config_source[k];
            if (strcmp(engine->source[at].options.name, item.name) == 0)
                engine->player->source[number] = at;
        }
    }
}

static bool grow_tags(pstk_player *player, uint32_t id) {
    if (id < player->tag_capacity)
        return true;
    uint32_t wanted = PSTK_MAX(player->tag_capacity * 2, PSTK_MAX(id + 1, 1024u));
    played_tag *more = realloc(player->tag, wanted * sizeof *more);
    if (!more)
        return false;
    player->tag = more;
    player->tag_capacity = wanted;
    return true;
}

/* Ids come in order; a repeated one says the same again. */
static void take_tag(pstk_engine *engine, const pstk_tag_record *record) {
    pstk_player *player = engine->player;
    uint16_t source = source_of(player, record->source);
    if (record->tag_id != player->tag_count || !grow_tags(player, record->tag_id))
        return;
    played_tag *out = &player->tag[player->tag_count++];
    *out = (played_tag){.tag = PSTK_TAG_NONE, .source = source, .type = record->type};
    out->reason = PSTK_DROP_TAG_NAME;
    if (source == SOURCE_NONE || record->type < PSTK_TYPE_F64 || record->type > PSTK_TYPE_CODE)
        return;
    pstk_drop reason = PSTK_DROP_TAG_NAME;
    uint32_t tag = pstk_tags_resolve(engine->tags, (const uint8_t *)record->name,
                                     PSTK_MIN(record->name_bytes, PSTK_NAME_BYTES), source,
                                     record->type, PSTK_TAG_NONE, &reason);
    const pstk_tag *known = tag == PSTK_TAG_NONE ? NULL : pstk_tags_get(engine->tags, tag);
    if (known && known->type != record->type)
        reason = PSTK_DROP_TYPE; /* declared otherwise here: its bits mean something else */
    else
        out->tag = tag;
    out->reason = (uint8_t)reason;
}

static void take_code(pstk_engine *engine, const pstk_code_record *record) {
    pstk_player *player = engine->player;
    if (record->tag_id >= player->tag_count)
        return;
    played_tag *tag = &player->tag[record->tag_id];
    if (tag->type != PSTK_TYPE_CODE || record->code != tag->code_count)
        return;
    if ((tag->code_count & (tag->code_count - 1)) == 0) { /* a power of two: full */
        size_t wanted = PSTK_MAX(tag->code_count * 2u, 1u);
        uint32_t *more = realloc(tag->code, wanted * sizeof *more);
        if (!more)
            return;
        tag->code = more;
    }
    int64_t code = -1;
    bool is_known = tag->tag != PSTK_TAG_NONE &&
                    pstk_tags_code(engine->tags, tag->tag, (const uint8_t *)record->text,
                                   strnlen(record->text, sizeof record->text), &code);
    tag->code[tag->code_count++] = is_known ? (uint32_t)code : UINT32_MAX;
}

/* TAG and CODE blocks of a file's beginning hold many records, those of the journal one. */
static bool take_names(pstk_engine *engine, const pstk_block *block) {
    const uint8_t *payload = pstk_block_payload(block);
    size_t size = block->bytes - sizeof *block;
    bool is_tag = block->kind == PSTK_RECORD_TAG;
    size_t item = is_tag ? sizeof(pstk_tag_record) : sizeof(pstk_code_record);
    for (uint32_t i = 0; i < block->count && i < size / item; i++) {
        pstk_tag_record tag;
        pstk_code_record code;
        if (is_tag) {
            memcpy(&tag, payload + i * item, sizeof tag);
            take_tag(engine, &tag);
        } else {
            memcpy(&code, payload + i * item, sizeof code);
            take_code(engine, &code);
        }
    }
    return pstk_engine_put_new_tags(engine);
}

/* ---- streams and sources -------------------------------------------------------------------- */

static int32_t stream_of(pstk_engine *engine, uint16_t source, uint32_t number, uint32_t boot) {
    int32_t index = pstk_engine_find_stream(engine, source, number);
    pstk_message message = {.boot = boot, .is_numbered = number < PSTK_STREAM_UNNUMBERED};
    if (index < 0)
        return pstk_engine_open_stream(engine, source, &message, number);
    if (engine->stream[index].boot != boot) {
        engine->stream[index].boot = boot;
        pstk_engine_put_stream(engine, (uint32_t)index);
    }
    return index;
}

static void take_stream(pstk_engine *engine, const pstk_block *block) {
    pstk_stream_record record;
    uint16_t source = source_of(engine->player, block->source);
    if (block->bytes < sizeof *block + sizeof record || source == SOURCE_NONE)
        return;
    memcpy(&record, pstk_block_payload(block), sizeof record);
    if (record.index <= UINT16_MAX)
        engine->player->stream[record.index] =
            stream_of(engine, source, record.stream, record.boot);
}

static bool take_source(pstk_engine *engine, const pstk_block *block) {
    pstk_source_record record;
    uint16_t source = source_of(engine->player, block->source);
    int32_t stream = engine->player->stream[block->stream];
    if (block->bytes < sizeof *block + sizeof record || source == SOURCE_NONE)
        return false;
    memcpy(&record, pstk_block_payload(block), sizeof record);
    bool is_loss = record.change == PSTK_SOURCE_GAP || record.change == PSTK_SOURCE_BOOT;
    if (is_loss && (stream < 0 || engine->stream[stream].source != source))
        return false;
    if (is_loss)
        engine->source[source].lost_upstream += record.lost;
    pstk_block put = {.kind = PSTK_RECORD_SOURCE,
                      .source = source,
                      .stream = (uint16_t)(is_loss ? stream : 0),
                      .used_total = engine->source[source].used,
                      .dropped_total = engine->source[source].dropped_total,
                      .count = 1};
    return pstk_engine_put(engine, &put, &record, sizeof record);
}

static bool take_context(pstk_engine *engine, const pstk_block *block) {
    pstk_context context;
    if (block->bytes < sizeof *block + sizeof context)
        return false;
    memcpy(&context, pstk_block_payload(block), sizeof context);
    context.asset[sizeof context.asset - 1] = 0;
    pstk_context_values *values = &context.values;
    values->order[sizeof values->order - 1] = values->operation[sizeof values->operation - 1] = 0;
    values->material[sizeof values->material - 1] = values->lot[sizeof values->lot - 1] = 0;
    values->shift[sizeof values->shift - 1] = 0;
    return pstk_engine_put_record(engine, PSTK_RECORD_CONTEXT, 0, &context, sizeof context);
}

/* ---- samples -------------------------------------------------------------------------------- */

static int judge_value(const played_tag *tag, uint64_t *bits) {
    pstk_value value = {.bits = *bits};
    if (tag->type == PSTK_TYPE_F64) {
        if (!isfinite(value.f64))
            return PSTK_DROP_NAN;
        if (value.f64 == 0)
            *bits = 0;
    } else if (tag->type == PSTK_TYPE_BOOL) {
        return value.bits > 1 ? PSTK_DROP_RANGE : -1;
    } else if (tag->type == PSTK_TYPE_CODE) {
        if (value.bits >= tag->code_count || tag->code[value.bits] == UINT32_MAX)
            return PSTK_DROP_RANGE;
        *bits = tag->code[value.bits];
    }
    return -1;
}

/* -1, or why it is dropped. */
static int take_sample(const pstk_player *player, uint16_t source, int64_t future_ns,
                       const uint8_t *from, pstk_sample *out) {
    memcpy(out, from, sizeof *out);
    if (out->tag_id >= player->tag_count)
        return PSTK_DROP_TAG_NAME;
    const played_tag *tag = &player->tag[out->tag_id];
    if (tag->tag == PSTK_TAG_NONE)
        return tag->reason;
    if (tag->source != source)
        return PSTK_DROP_SOURCE;
    if (out->time_ns != PSTK_TIME_NONE && out->time_ns > future_ns)
        return PSTK_DROP_FUTURE;
    out->tag_id = tag->tag;
    out->flags = 0;
    uint64_t bits = out->value.bits;
    int reason = judge_value(tag, &bits);
    out->value.bits = bits;
    return reason;
}

static bool take_samples(pstk_engine *engine, const pstk_block *block, pstk_replayed *out) {
    pstk_player *player = engine->player;
    size_t count = PSTK_MIN(block->count, (block->bytes - sizeof *block) / sizeof(pstk_sample));
#ifdef PSTK_PLANT_CAPTURE
    count = block->count;
#endif
    uint16_t source_id = source_of(player, block->source);
    int32_t stream = player->stream[block->stream];
    if (source_id == SOURCE_NONE || stream < 0 || engine->stream[stream].source != source_id) {
        out->skipped += count;
        return true;
    }
    pstk_source *source = &engine->source[source_id];
    int64_t future_ns = pstk_engine_future(engine, source, engine->clock.last_ns);
    pstk_engine_turn_to_stream(engine, source_id, (uint16_t)stream);
    if (!pstk_engine_claim_block(engine, source_id, (uint16_t)stream))
        return false;
    pstk_open_block *open = &engine->block;
    pstk_sample *to = (pstk_sample *)(void *)open->payload;
    const uint8_t *from = pstk_block_payload(block);
    for (size_t i = 0; i < count; i++, from += sizeof *to) {
        int reason = take_sample(player, source_id, future_ns, from, &to[open->count]);
        if (reason < 0) {
            open->count++;
        } else {
            pstk_engine_drop(engine, source_id, (pstk_drop)reason, 1);
            out->dropped++;
        }
    }
    source->received += count;
    out->samples += open->count;
    open->source_pos = PSTK_POSITION_NONE;
    open->source_ord = 0;
    pstk_engine_commit_block(engine);
    pstk_engine_settle_counts(engine, source_id);
    return true;
}

/* ---- time and blocks ------------------------------------------------------------------------ */

static void move_clock(pstk_engine *engine, const pstk_block *block) {
    int64_t now_ns = PSTK_MAX(PSTK_MIN(block->recv_time_ns, PSTK_RULE_TIME_MAX), INT64_C(0));
    int64_t tick_ns = now_ns - TICK_SLACK_NS;
    for (int turn = 0; turn < TICKS_A_BLOCK; turn++) {
        if (pstk_judge_deadline_ns(engine->judge) > tick_ns)
            break;
        engine->clock.last_ns = PSTK_MAX(engine->clock.last_ns, tick_ns);
        pstk_engine_put_tick(engine);
    }
    engine->clock.last_ns = PSTK_MAX(engine->clock.last_ns, now_ns);
}

static bool take_clock(pstk_engine *engine, const pstk_block *block) {
    pstk_clock_record record;
    if (block->bytes < sizeof *block + sizeof record)
        return false;
    memcpy(&record, pstk_block_payload(block), sizeof record);
    int64_t now_ns = PSTK_MAX(PSTK_MIN(block->recv_time_ns, PSTK_RULE_TIME_MAX), INT64_C(0));
    engine->clock.last_ns = PSTK_MAX(engine->clock.last_ns, now_ns);
    return pstk_engine_put_record(engine, PSTK_RECORD_CLOCK, 0, &record, sizeof record);
}

/* False: no room; the same block again later. */
static bool play_block(pstk_engine *engine, const pstk_block *block, pstk_replayed *out) {
    bool is_told = block->pos == PSTK_CAPTURE_TOLD;
    pstk_player *player = engine->player;
    if (!is_told) {
        if (block->kind != PSTK_RECORD_CLOCK) /* a jump of the clock is no time that passed */
            move_clock(engine, block);
        player->goes_on = false;
        player->next_pos = block->pos + ((block->bytes + 63u) & ~UINT64_C(63));
    }
    out->blocks++;
    switch (block->kind) {
    case PSTK_RECORD_SAMPLES:
        return take_samples(engine, block, out);
    case PSTK_RECORD_TICK:
        pstk_engine_put_tick(engine);
        return true;
    case PSTK_RECORD_TAG:
    case PSTK_RECORD_CODE:
        return take_names(engine, block);
    case PSTK_RECORD_CONFIG:
        take_sources(engine, pstk_block_payload(block), block->bytes - sizeof *block);
        return true;
    case PSTK_RECORD_STREAM:
        take_stream(engine, block);
        return true;
    case PSTK_RECORD_SOURCE:
        out->skipped += !take_source(engine, block);
        return true;
    case PSTK_RECORD_CONTEXT:
        out->skipped += !(is_told && player->goes_on) && !take_context(engine, block);
        return true;
    case PSTK_RECORD_CLOCK:
        out->skipped += !take_clock(engine, block);
        return true;
    case PSTK_RECORD_COUNTS: /* what was dropped then is not here */
        return true;
    default: /* BASELINE and what a person did: they speak of rules and tags by name */
        out->skipped +=
            block->kind > PSTK_RECORD_LAST ||
            !pstk_engine_put_record(engine, (pstk_record)block->kind, 0, pstk_block_payload(block),
                                    block->bytes - sizeof *block);
        return true;
    }
}

/* Room for a block and its names; without, an image is taken, the lock let go meanwhile. */
static bool has_room(pstk_engine *engine) {
    static const pstk_source whole = {.options = {.ring_share = 1.0}};
    pstk_drop reason;
    pstk_error err;
    if (pstk_engine_has_room(engine, &whole, PSTK_BLOCK_BYTES_MAX, &reason))
        return true;
    pthread_mutex_unlock(&engine->lock);
    int status = pstk_engine_checkpoint_now(engine, false, &err);
    pthread_mutex_lock(&engine->lock);
    if (status != PSTK_OK && status != PSTK_E_FULL)
        pstk_engine_fail(engine, &err);
    return status == PSTK_OK && pstk_engine_has_room(engine, &whole, PSTK_BLOCK_BYTES_MAX, &reason);
}

static int begin(pstk_engine *engine, pstk_capture *capture, pstk_error *err) {
    const pstk_capture_head *head = pstk_capture_head_of(capture);
    pstk_player *player = engine->player;
    if (!player) {
        player = engine->player = calloc(1, sizeof *player);
        if (!player)
            return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory to play a capture");
        forget_names(player);
    }
    if (player->capture == capture)
        return PSTK_OK;
    bool is_same = memcmp(player->journal_id, head->journal_id, sizeof player->journal_id) == 0;
    if (!is_same)
        forget_names(player); /* another engine's journal: its numbers mean something else */
    player->goes_on = is_same && head->pos - player->next_pos <= PSTK_BLOCK_BYTES_MAX;
    memcpy(player->journal_id, head->journal_id, sizeof player->journal_id);
    player->capture = capture;
    return PSTK_OK;
}

int pstk_engine_replay(pstk_engine *engine, pstk_capture *capture, uint64_t bytes_max,
                       pstk_replayed *out, pstk_error *err) {
    PSTK_GUEST(engine);
    memset(out, 0, sizeof *out);
    int status = pstk_engine_check(engine, err);
    if (status == PSTK_OK && engine->options.clock != PSTK_CLOCK_MANUAL)
        status = pstk_fail(err, PSTK_E_ARGUMENT, 0, "a capture is played with the manual clock");
    if (status == PSTK_OK)
        status = begin(engine, capture, err);
    if (status != PSTK_OK)
        return status;
    const pstk_block *block = NULL;
    pthread_mutex_lock(&engine->lock);
    for (uint64_t taken = 0; taken < bytes_max; taken += block->bytes) {
        block = pstk_capture_peek(capture, true);
        if (!block)
            break;
        if (engine->is_backlogged)
            pstk_engine_judge(engine);
        if (engine->is_backlogged || !has_room(engine) || !play_block(engine, block, out)) {
            out->is_held = 1;
            break;
        }
        pstk_capture_skip(capture);
    }
    out->is_done = !block;
    out->is_cut = pstk_capture_is_cut(capture);
    out->left = pstk_capture_left(capture);
    out->engine_time_ns = engine->clock.last_ns;
    if (out->is_done)
        engine->player->capture = NULL;
    pthread_mutex_unlock(&engine->lock);
    return pstk_engine_check(engine, err);
}
