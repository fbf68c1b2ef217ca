/* journal: what the engine writes, in what order, and the judge's turn after each block. Writer
 * lock held throughout. */
#include "engine.h"

#include <unistd.h>

/* The open block, and what the ring leaves out where it begins again. */
#define ROOM_SLACK (2u * PSTK_BLOCK_BYTES_MAX)

#define SLEW_PER_SECOND_NS                                                                         \
    1000000 /* an engine clock that runs ahead is drawn back by at most 1 ms a second */

int64_t pstk_engine_now(pstk_engine *engine) {
    pstk_clock *clock = &engine->clock;
    if (engine->options.clock == PSTK_CLOCK_SYSTEM)
        clock->last_ns = PSTK_MAX(clock->last_ns, pstk_boot_ns() + clock->offset_ns);
    return clock->last_ns;
}

/* The wall was set forward: T follows at once. What waits for time to pass must not take that for
 * time that has passed, so it is a record. No room for it: T follows later. */
static void jump(pstk_engine *engine, int64_t boot_ns, int64_t behind_ns) {
    pstk_clock *clock = &engine->clock;
    int64_t old_ns = PSTK_MAX(clock->last_ns, boot_ns + clock->offset_ns);
    int64_t new_ns = PSTK_MAX(clock->last_ns, boot_ns + clock->offset_ns + behind_ns);
    pstk_clock_record record = {.by_ns = new_ns - old_ns};
    clock->offset_ns += behind_ns;
    if (record.by_ns > 0 &&
        !pstk_engine_put_record(engine, PSTK_RECORD_CLOCK, 0, &record, sizeof record))
        clock->offset_ns -= behind_ns;
}

void pstk_engine_follow_wall(pstk_engine *engine) {
    pstk_clock *clock = &engine->clock;
    if (engine->options.clock == PSTK_CLOCK_MANUAL)
        return;
    int64_t boot_ns = pstk_boot_ns();
    if (PSTK_LIKELY(boot_ns - clock->checked_boot_ns < PSTK_NS_PER_S))
        return;
    clock->checked_boot_ns = boot_ns;
    int64_t behind_ns = pstk_wall_ns() - (boot_ns + clock->offset_ns);
    if (behind_ns > PSTK_NS_PER_S)
        jump(engine, boot_ns, behind_ns);
    else
        clock->offset_ns += PSTK_MAX(PSTK_MIN(behind_ns, SLEW_PER_SECOND_NS), -SLEW_PER_SECOND_NS);
}

int64_t pstk_built_ns(void) { return PSTK_BUILT_S * PSTK_NS_PER_S; }

/* A box without a battery clock wakes in 1970: until its clock is later than this code, T judges
 * nothing. T itself may stand where an earlier run left it. */
bool pstk_engine_is_clock_plausible(const pstk_engine *engine) {
    const pstk_clock *clock = &engine->clock;
    return engine->options.clock == PSTK_CLOCK_MANUAL ||
           clock->checked_boot_ns + clock->offset_ns >= pstk_built_ns();
}

/* Above it a stamp is dropped{future}; no bound while T is not to be trusted. */
int64_t pstk_engine_future(const pstk_engine *engine, const pstk_source *source, int64_t now_ns) {
    int64_t future_ns;
    if (!pstk_engine_is_clock_plausible(engine) ||
        __builtin_add_overflow(now_ns, source->options.future_max_ns, &future_ns))
        return INT64_MAX;
    return future_ns;
}

void pstk_engine_wake_consumer(pstk_engine *engine) {
    uint64_t head = pstk_judge_events_head(engine->judge);
    if (engine->is_receiving || head == engine->signalled)
        return;
    engine->signalled = head;
    uint64_t one = 1;
    /* The counter cannot overflow in practice; a full one still reads as ready. */
    (void)!write(engine->event_fd, &one, sizeof one);
}

static void fail_spoiled(pstk_engine *engine, uint64_t pos) {
    pstk_error err;
    pstk_fail(&err, PSTK_E_FAILED, 0,
              "ring %.100s was spoiled from outside: no block at %llu; what follows cannot be "
              "judged",
              pstk_ring_folder(engine->ring), (unsigned long long)pos);
    pstk_engine_fail(engine, &err);
}

/* While a snapshot is open a block also keeps what it is about to change; how long the longest
 * takes is told. */
static bool judge_block(pstk_engine *engine, const pstk_block *block) {
    if (PSTK_LIKELY(!pstk_judge_has_snapshot(engine->judge)))
        return pstk_judge_block(engine->judge, block);
    int64_t begin = pstk_boot_ns();
    bool is_done = pstk_judge_block(engine->judge, block);
    engine->checkpoint_ns_max = PSTK_MAX(engine->checkpoint_ns_max, pstk_boot_ns() - begin);
    return is_done;
}

/* False: the event ring is full. */
static bool judge_tail(pstk_engine *engine) {
    uint64_t pos = pstk_ring_judged(engine->ring), next = pos;
    const pstk_block *block;
    if (PSTK_UNLIKELY(engine->disk.tail < engine->disk.tail_end) && !pstk_engine_disk_judge(engine))
        return false;
    while ((block = pstk_ring_peek(engine->ring, pos, &next)) != NULL) {
        if (!judge_block(engine, block))
            return false;
        pos = next;
        pstk_ring_set_judged(engine->ring, pos);
    }
    if (PSTK_UNLIKELY(next != pstk_ring_written(engine->ring)))
        fail_spoiled(engine, next);
    return true;
}

/* Judges what is journaled, until the tail or until the event ring is full. An acknowledgement that
 * came between the look at the ring and is_backlogged went unseen by its consumer: once more. */
void pstk_engine_judge(pstk_engine *engine) {
    uint64_t acknowledged;
    do {
        acknowledged = pstk_judge_events_acknowledged(engine->judge);
        atomic_store_explicit(&engine->is_backlogged, false, memory_order_relaxed);
        if (judge_tail(engine))
            break;
        atomic_store(&engine->is_backlogged, true);
    } while (pstk_judge_events_acknowledged(engine->judge) != acknowledged);
    pstk_engine_wake_consumer(engine);
}

/* A claim replaces the one before: the open block is published first. */
bool pstk_engine_put(pstk_engine *engine, pstk_block *block, const void *payload, size_t size) {
    if (engine->block.payload)
        pstk_engine_commit_block(engine);
    uint8_t *place = pstk_ring_claim(engine->ring, size);
    if (!place)
        return false;
    if (size)
        memcpy(place, payload, size);
    block->config_gen = engine->config_gen;
    block->recv_time_ns = pstk_engine_now(engine);
    pstk_ring_commit(engine->ring, block, size);
    pstk_engine_tell_disk(engine, pstk_ring_written(engine->ring));
    engine->room = 0;
    engine->blocks++;
    if (!engine->is_backlogged)
        pstk_engine_judge(engine);
    return true;
}

bool pstk_engine_put_record(pstk_engine *engine, pstk_record kind, uint16_t source,
                            const void *payload, size_t size) {
    pstk_block block = {.kind = (uint16_t)kind, .source = source, .count = 1};
    return pstk_engine_put(engine, &block, payload, size);
}

/* Tells the judge that time has passed, where something waits for that. A judge that stands before
 * a full event ring hears nothing: no tick until it goes on, or they would fill the journal. */
void pstk_engine_put_tick(pstk_engine *engine) {
    int64_t now = pstk_engine_now(engine);
    if (engine->is_backlogged || pstk_judge_deadline_ns(engine->judge) > now ||
        !pstk_engine_is_clock_plausible(engine))
        return;
    if (pstk_engine_put_record(engine, PSTK_RECORD_TICK, 0, NULL, 0))
        engine->ticks++;
}

static bool put_config_part(pstk_engine *engine, pstk_config_record *head, const void *items,
                            size_t item_bytes, uint32_t total) {
    uint8_t payload[PSTK_BLOCK_BYTES_MAX - sizeof(pstk_block)];
    uint32_t most = (uint32_t)((sizeof payload - sizeof *head) / item_bytes);
    for (uint32_t first = 0; first < total || first == 0; first += most) {
        head->first = first;
        head->count = PSTK_MIN(most, total - first);
        memcpy(payload, head, sizeof *head);
        memcpy(payload + sizeof *head, (const uint8_t *)items + first * item_bytes,
               head->count * item_bytes);
        if (!pstk_engine_put_record(engine, PSTK_RECORD_CONFIG, 0, payload,
                                    sizeof *head + head->count * item_bytes))
            return false;
        if (total == 0)
            break;
    }
    return true;
}

/* Sources first, rules last: the judge applies the tables when the last rule has come. */
PSTK_COLD bool pstk_engine_put_config(pstk_engine *engine, const pstk_rule *rules,
                                      size_t rule_count) {
    pstk_config_source sources[PSTK_SOURCES_MAX];
    memset(sources, 0, sizeof sources);
    for (uint32_t i = 0; i < engine->source_count; i++) {
        const pstk_source_options *options = &engine->source[i].options;
        memcpy(sources[i].name, options->name, sizeof sources[i].name);
        sources[i].lateness_ns = options->lateness_ns;
        sources[i].idle_after_ns = options->idle_after_ns;
    }
    pstk_config_record head = {.generation = engine->config_gen + 1u,
                               .source_total = engine->source_count,
                               .rule_total = (uint32_t)rule_count};
    pstk_judge_config_digest(sources, engine->source_count, rules, rule_count, head.digest);
    engine->config_gen++;
    head.part = PSTK_CONFIG_SOURCES;
    if (!put_config_part(engine, &head, sources, sizeof sources[0], engine->source_count))
        return false;
    head.part = PSTK_CONFIG_RULES;
    return put_config_part(engine, &head, rules, sizeof rules[0], (uint32_t)rule_count);
}

static bool put_new_codes(pstk_engine *engine) {
    const pstk_code_ref *code;
    size_t count = pstk_tags_new_codes(engine->tags, &code), *next = &engine->journaled_codes;
    for (; *next < count; ++*next) {
        const pstk_code_ref *at = &code[*next];
        const char *text = pstk_tags_code_text(engine->tags, at->tag_id, at->code);
        pstk_code_record record = {.tag_id = at->tag_id, .code = at->code};
        pstk_copy_text(record.text, sizeof record.text, text ? text : "", text ? strlen(text) : 0);
        if (!pstk_engine_put_record(engine, PSTK_RECORD_CODE, 0, &record, sizeof record))
            return false;
        if (engine->code_image_count < PSTK_CODES_TOTAL_MAX)
            engine->code_image[engine->code_image_count++] = record;
    }
    if (count)
        pstk_tags_clear_new_codes(engine->tags);
    *next = 0;
    return true;
}

/* TAG and CODE records stand before the first sample that uses them. Ring room: PSTK_RING_RESERVE
 * is kept for these. False: no room; the rest follows with the next call, and until then no sample
 * may be journaled that uses it. */
bool pstk_engine_put_new_tags(pstk_engine *engine) {
    uint32_t count = pstk_tags_count(engine->tags);
    for (; engine->journaled_tags < count; engine->journaled_tags++) {
        const pstk_tag *tag = pstk_tags_get(engine->tags, engine->journaled_tags);
        pstk_tag_record record = {.tag_id = engine->journaled_tags,
                                  .source = tag->source,
                                  .type = tag->type,
                                  .name_bytes = (uint8_t)tag->name_bytes};
        memcpy(record.name, tag->name, tag->name_bytes);
        if (!pstk_engine_put_record(engine, PSTK_RECORD_TAG, tag->source, &record, sizeof record))
            return false;
        pstk_engine_keep_tag(engine, &record);
    }
    return put_new_codes(engine);
}

/* Drops move a stream or a batch on where no block of it does. */
void pstk_engine_put_counts(pstk_engine *engine, uint16_t source_id) {
    pstk_engine_commit_block(engine);
    pstk_source *source = &engine->source[source_id];
    const pstk_stream *stream = source->counts_stream < engine->stream_count
                                    ? &engine->stream[source->counts_stream]
                                    : NULL;
    bool is_batch = stream && stream->stream == PSTK_STREAM_UNNUMBERED;
    pstk_counts_record record;
    memcpy(record.dropped, source->dropped, sizeof record.dropped);
    pstk_block block = {.kind = PSTK_RECORD_COUNTS,
                        .source = source_id,
                        .stream = source->counts_stream,
                        .source_pos = is_batch ? source->position
                                      : stream ? stream->next_seq
                                               : 0,
                        .source_ord = is_batch ? (uint32_t)source->position_ord : 0,
                        .used_total = source->used,
                        .dropped_total = source->dropped_total,
                        .count = 1};
    if (pstk_engine_put(engine, &block, &record, sizeof record))
        source->is_counts_due = 0;
}

/* After a delivery. In a ring that is full each drop would take of what is kept for control
 * records, so the figures wait there: they are absolute. */
void pstk_engine_settle_counts(pstk_engine *engine, uint16_t source_id) {
    if (engine->source[source_id].is_counts_due &&
        pstk_ring_free(engine->ring) >= PSTK_RING_RESERVE)
        pstk_engine_put_counts(engine, source_id);
}

/* Publishes the open SAMPLES block and judges it while it is hot. */
void pstk_engine_commit_block(pstk_engine *engine) {
    pstk_open_block *open = &engine->block;
    if (!open->payload || open->count == 0) {
        open->payload = NULL;
        return;
    }
    pstk_source *source = &engine->source[open->source];
    source->used += open->count;
    pstk_block block = {.kind = PSTK_RECORD_SAMPLES,
                        .source = open->source,
                        .stream = open->stream,
                        .recv_time_ns = engine->clock.last_ns,
                        .source_pos = open->source_pos,
                        .source_ord = open->source_ord,
                        .used_total = source->used,
                        .dropped_total = source->dropped_total,
                        .count = open->count,
                        .config_gen = engine->config_gen};
    PSTK_CRASH("engine.commit.before");
    if (pstk_ring_commit(engine->ring, &block, open->count * sizeof(pstk_sample)) == UINT64_MAX) {
        pstk_error err; /* another claim came between: a bug of ours, and samples are lost by it */
        pstk_fail(&err, PSTK_E_FAILED, 0, "a block lost its place in the ring");
        pstk_engine_fail(engine, &err);
    }
    PSTK_CRASH("engine.commit.after");
    engine->room -= PSTK_MIN(engine->room, open->count * sizeof(pstk_sample) + 2 * sizeof block);
    pstk_engine_tell_disk(engine, pstk_ring_written(engine->ring));
    source->bytes += open->count * sizeof(pstk_sample) + sizeof block;
    engine->blocks++;
    open->payload = NULL;
    open->count = 0;
    if (!engine->is_backlogged)
        pstk_engine_judge(engine);
    PSTK_CRASH("engine.judged");
}

/* Wakes the keeper, once for each wish. */
void pstk_engine_want_checkpoint(pstk_engine *engine) {
    if (engine->wants_checkpoint)
        return;
    engine->wants_checkpoint = 1;
    pthread_cond_signal(&engine->keeper_wake);
}

/* Room for what a payload can become (at worst 24 bytes for every six of JSON) and for control
 * records behind it. The ring is asked once for many payloads: engine->room is what blocks of
 * samples may take before it has to be asked again; whatever else is journaled ends it. */
bool pstk_engine_has_room(pstk_engine *engine, const pstk_source *source, size_t payload_bytes,
                          pstk_drop *out_reason) {
    if (PSTK_LIKELY(payload_bytes * 4u + ROOM_SLACK <= engine->room))
        return true;
    uint64_t size = pstk_ring_size(engine->ring);
    uint64_t wanted = PSTK_MIN(payload_bytes * 4u + PSTK_RING_RESERVE * 2u, size / 2);
    uint64_t room = pstk_ring_free(engine->ring);
    if (pstk_ring_written(engine->ring) - pstk_ring_checkpointed(engine->ring) > size / 2)
        pstk_engine_want_checkpoint(engine);
    *out_reason = PSTK_DROP_RING_FULL;
    if (room < wanted)
        return false;
    uint64_t kept = size / 4 + PSTK_RING_RESERVE * 2u;
    engine->room = room > kept ? PSTK_MIN(room - kept, size / 64) : 0;
    *out_reason = PSTK_DROP_QUOTA;
    uint64_t held = source->bytes - source->bytes_checkpointed;
    return room > size / 4 || (double)held <= source->options.ring_share * (double)size;
}
