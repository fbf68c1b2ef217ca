/* recover: newest valid image + journal from its position = everything (design.md, invariant C).
 * Order    lock -> image -> its pending events again -> names and positions of the tail -> judge
 * the tail with the image's tables -> SOURCE down -> today's configuration as a CONFIG record.
 * Sockets open later. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

#define TAG_OF(a, b, c, d)                                                                         \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

typedef struct found { /* what the disk and the ring folder hold */
    pstk_image image;
    bool has_image, is_state_new, is_ring_new,
        is_moved;  /* moved: the image's journal is gone, its state goes on in a new one */
    uint64_t from; /* journal position to judge from */
} found;

/* ---- choosing an image ---------------------------------------------------------------------- */

static int open_ring(pstk_engine *engine, bool *out_is_new, pstk_error *err) {
    pstk_ring_options options = {.ring_dir = engine->options.ring_dir,
                                 .ring_bytes = engine->options.ring_bytes,
                                 .layout = PSTK_JUDGE_LAYOUT};
    memcpy(options.journal_id, pstk_state_journal_id(engine->state), sizeof options.journal_id);
    return pstk_ring_open(&options, &engine->ring, out_is_new, err);
}

static bool is_usable(const pstk_engine *engine, const pstk_image *image) {
    return memcmp(image->head.journal_id, pstk_state_journal_id(engine->state), 16) == 0 &&
           image->head.pos <= pstk_ring_written(engine->ring) &&
           image->head.pos >= pstk_ring_oldest(engine->ring);
}

static void keep_newer(pstk_engine *engine, found *out, pstk_image *other) {
    bool is_better =
        is_usable(engine, other) && (!out->has_image || !is_usable(engine, &out->image) ||
                                     other->head.pos >= out->image.head.pos);
    if (!is_better) {
        pstk_image_free(other);
        return;
    }
    if (out->has_image)
        pstk_image_free(&out->image);
    out->image = *other;
    out->has_image = true;
}

/* The old journal is lost: what the image knows goes on in a new one, its numbers from zero. */
static int move_to_new_journal(pstk_engine *engine, pstk_error *err) {
    uint8_t old_id[16];
    memcpy(old_id, pstk_state_journal_id(engine->state), sizeof old_id);
    pstk_ring_close(engine->ring);
    engine->ring = NULL;
    pstk_ring_remove(engine->options.ring_dir, old_id);
    int status = pstk_state_new_journal(engine->state, err);
    bool is_new;
    return status == PSTK_OK ? open_ring(engine, &is_new, err) : status;
}

static int find_base(pstk_engine *engine, found *out, pstk_error *err) {
    uint32_t damaged = 0;
    int status = pstk_image_load(pstk_state_folder(engine->state), NULL, PSTK_JUDGE_LAYOUT,
                                 &out->image, &out->has_image, &damaged, err);
    if (status == PSTK_OK && !out->is_ring_new) {
        pstk_image other;
        bool has_other = false;
        status =
            pstk_image_load(pstk_ring_folder(engine->ring), pstk_state_journal_id(engine->state),
                            PSTK_JUDGE_LAYOUT, &other, &has_other, &damaged, err);
        if (status == PSTK_OK && has_other)
            keep_newer(engine, out, &other);
    }
    if (status != PSTK_OK)
        return status;
    if (out->has_image && is_usable(engine, &out->image)) {
        out->from = out->image.head.pos;
        return PSTK_OK;
    }
    bool is_whole = !out->is_ring_new && pstk_ring_oldest(engine->ring) == 0;
    bool is_first = out->is_ring_new && !out->has_image;
    engine->is_cold_start = is_first && !out->is_state_new;
    if (is_first ||
        (is_whole && !(out->has_image && memcmp(out->image.head.journal_id,
                                                pstk_state_journal_id(engine->state), 16) == 0)))
        return PSTK_OK; /* a journal from its first record on: nothing (or the image it began with)
                           lies before it */
    engine->is_cold_start = !out->has_image;
    out->is_moved = true;
    return move_to_new_journal(engine, err);
}

/* ---- putting the image back ----------------------------------------------------------------- */

static int restore_names(pstk_engine *engine, const pstk_image *image, pstk_error *err) {
    const pstk_section *tags = pstk_image_section(image, TAG_OF('T', 'A', 'G', 'S'));
    const pstk_section *codes = pstk_image_section(image, TAG_OF('C', 'O', 'D', 'E'));
    uint64_t tag_count = tags ? tags->size / sizeof(pstk_tag_record) : 0;
    uint64_t code_count = codes ? codes->size / sizeof(pstk_code_record) : 0;
    if (tag_count > engine->options.tags_max || code_count > PSTK_CODES_TOTAL_MAX)
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "the state directory holds %llu tags, more than engine.tags_max; raise it",
                         (unsigned long long)tag_count);
    if (tag_count)
        memcpy(engine->tag_image, tags->bytes, tag_count * sizeof(pstk_tag_record));
    if (code_count)
        memcpy(engine->code_image, codes->bytes, code_count * sizeof(pstk_code_record));
    for (uint32_t i = 0; i < tag_count; i++) {
        const pstk_tag_record *tag = &engine->tag_image[i];
        if (!pstk_tags_restore(engine->tags, tag->tag_id, tag->name, tag->name_bytes, tag->source,
                               tag->type))
            return pstk_fail(err, PSTK_E_STATE, 0, "tag %u of the checkpoint contradicts another",
                             i);
    }
    for (uint32_t i = 0; i < code_count; i++) {
        const pstk_code_record *code = &engine->code_image[i];
        pstk_tags_restore_code(engine->tags, code->tag_id, code->code, code->text,
                               strnlen(code->text, sizeof code->text));
    }
    engine->tag_image_count = engine->journaled_tags = (uint32_t)tag_count;
    engine->code_image_count = (uint32_t)code_count;
    return PSTK_OK;
}

static void restore_sources(pstk_engine *engine, const pstk_image *image) {
    const pstk_section *section = pstk_image_section(image, TAG_OF('S', 'R', 'C', 'S'));
    uint64_t count = section ? section->size / sizeof(pstk_source_saved) : 0;
    engine->source_count = (uint32_t)PSTK_MIN(count, PSTK_SOURCES_MAX);
    for (uint32_t i = 0; i < engine->source_count; i++) {
        pstk_source_saved saved;
        memcpy(&saved, (const uint8_t *)section->bytes + i * sizeof saved, sizeof saved);
        pstk_source *source = &engine->source[i];
        source->intake = -1;
        memcpy(source->options.name, saved.name, sizeof saved.name);
        source->received = saved.received;
        source->used = saved.used;
        source->lost_upstream = saved.lost_upstream;
        source->sent_upstream = saved.sent_upstream;
        source->position = saved.position;
        source->position_ord = saved.position_ord;
        source->is_numbered = saved.is_numbered;
        memcpy(source->dropped, saved.dropped, sizeof saved.dropped);
        for (int reason = 0; reason < PSTK_DROP_COUNT; reason++)
            source->dropped_total += saved.dropped[reason];
    }
    section = pstk_image_section(image, TAG_OF('S', 'T', 'R', 'M'));
    count = section ? section->size / sizeof(pstk_stream) : 0;
    engine->stream_count = (uint32_t)PSTK_MIN(count, engine->options.streams_max);
    if (engine->stream_count)
        memcpy(engine->stream, section->bytes, engine->stream_count * sizeof *engine->stream);
}

static int restore_image(pstk_engine *engine, const pstk_image *image, pstk_error *err) {
    int status = restore_names(engine, image, err);
    if (status != PSTK_OK)
        return status;
    restore_sources(engine, image);
    engine->generation = image->head.generation;
    engine->clock.last_ns = image->head.engine_time_ns;
    status = pstk_judge_restore(engine->judge, image, err);
    engine->redelivered = pstk_judge_events_head(engine->judge);
    return status;
}

/* ---- the tail: names, positions and totals -------------------------------------------------- */

static void scan_tag(pstk_engine *engine, const uint8_t *payload) {
    pstk_tag_record tag;
    memcpy(&tag, payload, sizeof tag);
    if (tag.tag_id != engine->tag_image_count || tag.tag_id >= engine->options.tags_max)
        return; /* already in the image */
    if (pstk_tags_restore(engine->tags, tag.tag_id, tag.name, tag.name_bytes, tag.source, tag.type))
        engine->tag_image[engine->tag_image_count++] = tag;
    engine->journaled_tags = engine->tag_image_count;
}

static void scan_code(pstk_engine *engine, const uint8_t *payload) {
    pstk_code_record code;
    memcpy(&code, payload, sizeof code);
    bool is_known = pstk_tags_code_text(engine->tags, code.tag_id, code.code) != NULL;
    if (is_known || engine->code_image_count >= PSTK_CODES_TOTAL_MAX)
        return;
    if (pstk_tags_restore_code(engine->tags, code.tag_id, code.code, code.text,
                               strnlen(code.text, sizeof code.text)))
        engine->code_image[engine->code_image_count++] = code;
}

static void scan_stream(pstk_engine *engine, const pstk_block *block, const uint8_t *payload) {
    pstk_stream_record record;
    memcpy(&record, payload, sizeof record);
    if (record.index >= engine->options.streams_max || record.index > engine->stream_count)
        return;
    bool is_new = record.index == engine->stream_count;
    engine->stream_count += is_new;
    pstk_stream *stream = &engine->stream[record.index];
    if (is_new)
        *stream = (pstk_stream){.source = block->source, .stream = record.stream};
    stream->boot = record.boot;
}

/* What a block says of its source's totals, and of how far its stream or batch has come. */
static void scan_position(pstk_engine *engine, const pstk_block *block) {
    pstk_source *source = &engine->source[block->source];
    uint64_t sent = 0;
    if (block->stream < engine->stream_count &&
        engine->stream[block->stream].source == block->source) {
        pstk_stream *stream = &engine->stream[block->stream];
        bool is_numbered =
            stream->stream < PSTK_STREAM_UNNUMBERED && block->source_pos > stream->next_seq;
        if (is_numbered) {
            sent = block->source_pos - stream->next_seq;
            stream->next_seq = block->source_pos;
            stream->is_numbered = source->is_numbered = 1;
        }
    }
    source->sent_upstream += sent;
    bool is_batch = block->stream < engine->stream_count &&
                    engine->stream[block->stream].stream == PSTK_STREAM_UNNUMBERED;
    if (block->kind == PSTK_RECORD_SOURCE || !is_batch)
        return;
    source->position = block->source_pos;
    source->position_ord = block->source_ord;
}

static void scan_totals(pstk_engine *engine, const pstk_block *block, const uint8_t *payload) {
    pstk_source *source = &engine->source[block->source];
    source->used = PSTK_MAX(source->used, block->used_total);
    source->dropped_total = PSTK_MAX(source->dropped_total, block->dropped_total);
    if (block->kind == PSTK_RECORD_COUNTS &&
        block->bytes >= sizeof *block + sizeof(pstk_counts_record))
        memcpy(source->dropped, payload, sizeof source->dropped);
    if (block->kind != PSTK_RECORD_SOURCE ||
        block->bytes < sizeof *block + sizeof(pstk_source_record))
        return;
    pstk_source_record record;
    memcpy(&record, payload, sizeof record);
    if (record.change != PSTK_SOURCE_GAP && record.change != PSTK_SOURCE_BOOT)
        return;
    source->lost_upstream += record.lost;
    if (record.change == PSTK_SOURCE_BOOT && block->stream < engine->stream_count) {
        engine->stream[block->stream].next_seq = record.next_seq;
        source->sent_upstream += record.lost;
    }
}

static void scan_block(pstk_engine *engine, const pstk_block *block) {
    const uint8_t *payload = pstk_block_payload(block);
    size_t size = block->bytes - sizeof *block;
    engine->clock.last_ns = PSTK_MAX(engine->clock.last_ns, block->recv_time_ns);
    engine->config_gen = block->config_gen;
    if (block->kind == PSTK_RECORD_TAG && size >= sizeof(pstk_tag_record))
        scan_tag(engine, payload);
    else if (block->kind == PSTK_RECORD_CODE && size >= sizeof(pstk_code_record))
        scan_code(engine, payload);
    else if (block->kind == PSTK_RECORD_STREAM && size >= sizeof(pstk_stream_record))
        scan_stream(engine, block, payload);
    bool has_totals = block->kind == PSTK_RECORD_SAMPLES || block->kind == PSTK_RECORD_COUNTS ||
                      block->kind == PSTK_RECORD_SOURCE;
    if (!has_totals || block->source >= PSTK_SOURCES_MAX)
        return;
    scan_totals(engine, block, payload);
    scan_position(engine, block);
}

static void scan_tail(pstk_engine *engine, uint64_t from) {
    const pstk_block *block;
    uint64_t next;
    while ((block = pstk_ring_peek(engine->ring, from, &next)) != NULL) {
        if (block->source < PSTK_SOURCES_MAX)
            engine->source_count = PSTK_MAX(engine->source_count, block->source + 1u);
        scan_block(engine, block);
        from = next;
    }
    for (uint32_t i = 0; i < engine->source_count; i++) {
        pstk_source *source = &engine->source[i];
        uint64_t known = 0;
        for (int reason = 0; reason < PSTK_DROP_COUNT; reason++)
            known += source->dropped[reason];
        source->dropped[PSTK_DROP_RESTART] +=
            source->dropped_total - PSTK_MIN(known, source->dropped_total);
        source->dropped_total = PSTK_MAX(known, source->dropped_total);
        source->received = source->used + source->dropped_total;
    }
}

/* ---- today's configuration ------------------------------------------------------------------ */

static void name_tail_sources(pstk_engine *engine) {
    size_t count;
    const pstk_config_source *known = pstk_judge_sources(engine->judge, &count);
    for (uint32_t i = 0; i < engine->source_count; i++) {
        pstk_source *source = &engine->source[i];
        source->intake = -1;
        if (i >= count)
            continue;
        memcpy(source->options.name, known[i].name, sizeof known[i].name);
        source->options.lateness_ns = known[i].lateness_ns;
        source->options.idle_after_ns = known[i].idle_after_ns;
    }
}

static int adopt_sources(pstk_engine *engine, const pstk_source_options *sources, size_t count,
                         pstk_error *err) {
    for (size_t i = 0; i < count; i++) {
        uint32_t k = 0;
        while (k < engine->source_count &&
               strcmp(engine->source[k].options.name, sources[i].name) != 0)
            k++;
        if (k == PSTK_SOURCES_MAX)
            return pstk_fail(err, PSTK_E_FULL, 0,
                             "source %s: more than %u sources, earlier ones included",
                             sources[i].name, PSTK_SOURCES_MAX);
        if (k == engine->source_count) {
            engine->source_count++;
            engine->source[k].position = PSTK_POSITION_NONE;
            engine->source[k].intake = -1;
        }
        engine->source[k].options = sources[i];
        engine->source[k].is_configured = 1;
        engine->config_source[i] = (uint16_t)k;
    }
    engine->config_source_count = (uint32_t)count;
    return PSTK_OK;
}

/* What ran before this open may have lost samples: said in the journal, except where the caller
 * resumes by position. */
static void put_down_records(pstk_engine *engine) {
    for (uint32_t i = 0; i < engine->source_count; i++) {
        pstk_source *source = &engine->source[i];
        bool is_resumed =
            source->options.kind == PSTK_SOURCE_FEED && source->position != PSTK_POSITION_NONE;
        if (source->used == 0 || is_resumed)
            continue;
        pstk_source_record down = {.change = PSTK_SOURCE_DOWN}, up = {.change = PSTK_SOURCE_UP};
        pstk_engine_put_record(engine, PSTK_RECORD_SOURCE, (uint16_t)i, &down, sizeof down);
        if (source->options.kind == PSTK_SOURCE_FEED)
            pstk_engine_put_record(engine, PSTK_RECORD_SOURCE, (uint16_t)i, &up, sizeof up);
    }
}

static bool is_config_known(pstk_engine *engine, const pstk_rule *rules, size_t rule_count) {
    uint8_t now[32], then[32];
    pstk_config_source sources[PSTK_SOURCES_MAX];
    memset(sources, 0, sizeof sources);
    for (uint32_t i = 0; i < engine->source_count; i++) {
        memcpy(sources[i].name, engine->source[i].options.name, sizeof sources[i].name);
        sources[i].lateness_ns = engine->source[i].options.lateness_ns;
        sources[i].idle_after_ns = engine->source[i].options.idle_after_ns;
    }
    size_t known_sources, known_rules;
    const pstk_config_source *old_sources = pstk_judge_sources(engine->judge, &known_sources);
    const pstk_rule *old_rules = pstk_judge_rules(engine->judge, &known_rules);
    if (known_sources == 0)
        return false;
    pstk_judge_config_digest(sources, engine->source_count, rules, rule_count, now);
    pstk_judge_config_digest(old_sources, known_sources, old_rules, known_rules, then);
    return memcmp(now, then, sizeof now) == 0;
}

static void set_clock(pstk_engine *engine) {
    if (engine->options.clock == PSTK_CLOCK_MANUAL)
        return;
    engine->clock.checked_boot_ns = pstk_boot_ns();
    engine->clock.offset_ns = pstk_wall_ns() - engine->clock.checked_boot_ns;
    pstk_engine_now(engine);
}

static int take_base(pstk_engine *engine, found *base, pstk_error *err) {
    for (uint32_t i = 0; i < PSTK_SOURCES_MAX; i++)
        engine->source[i].position = PSTK_POSITION_NONE;
    int status = base->has_image ? restore_image(engine, &base->image, err) : PSTK_OK;
    if (base->has_image)
        pstk_image_free(&base->image);
    if (status != PSTK_OK)
        return status;
    if (base->is_moved)
        base->from = 0;
    scan_tail(engine, base->from);
    pstk_ring_set_judged(engine->ring, base->from);
    if (base->from > pstk_ring_checkpointed(engine->ring))
        pstk_ring_set_checkpointed(engine->ring, base->from);
    engine->saved_boot_ns = pstk_boot_ns();
    pstk_engine_judge(engine);
    return PSTK_OK;
}

int pstk_engine_recover(pstk_engine *engine, const pstk_source_options *sources,
                        size_t source_count, const pstk_rule *rules, size_t rule_count,
                        pstk_error *err) {
    found base = {0};
    int status = pstk_state_open(engine->options.state_dir, engine->options.plant, &engine->state,
                                 &base.is_state_new, err);
    if (status == PSTK_OK)
        status = open_ring(engine, &base.is_ring_new, err);
    if (status == PSTK_OK)
        status = find_base(engine, &base, err);
    if (status == PSTK_OK)
        status = take_base(engine, &base, err);
    if (status != PSTK_OK)
        return status;
    name_tail_sources(engine);
    status = adopt_sources(engine, sources, source_count, err);
    if (status != PSTK_OK)
        return status;
    set_clock(engine);
    put_down_records(engine);
    if (engine->is_backlogged || !is_config_known(engine, rules, rule_count))
        if (!pstk_engine_put_config(engine, rules, rule_count))
            return pstk_fail(err, PSTK_E_FULL, 0,
                             "the ring has no room for the configuration; raise engine.ring_bytes");
    return base.is_moved ? pstk_engine_checkpoint_now(engine, true, err) : PSTK_OK;
}
