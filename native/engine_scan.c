/* scan: what the journal's tail says of names, positions and totals, before the judge sees it. A
 * record is taken at its word only where it fits what is known so far. */
#include "engine.h"

/* ---- names ---------------------------------------------------------------------------------- */

static int scan_tag(pstk_engine *engine, const uint8_t *payload, pstk_error *err) {
    pstk_tag_record tag;
    memcpy(&tag, payload, sizeof tag);
    if (tag.tag_id != engine->tag_image_count)
        return PSTK_OK; /* already in the image */
    if (tag.tag_id >= engine->options.tags_max)
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "the journal holds more tags than engine.tags_max = %u; raise it",
                         engine->options.tags_max);
    if (pstk_tags_restore(engine->tags, tag.tag_id, tag.name,
                          PSTK_MIN(tag.name_bytes, sizeof tag.name), tag.source, tag.type))
        pstk_engine_keep_tag(engine, &tag);
    engine->journaled_tags = engine->tag_image_count;
    return PSTK_OK;
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

/* A source named in the tail has that index for good, also where the judge has not come so far
 * because nobody acknowledged. */
static void scan_config(pstk_engine *engine, const uint8_t *payload, size_t size) {
    pstk_config_record record;
    if (size < sizeof record)
        return;
    memcpy(&record, payload, sizeof record);
    const uint8_t *items = payload + sizeof record;
    size_t room = (size - sizeof record) / sizeof(pstk_config_source);
    bool is_whole = record.part == PSTK_CONFIG_RULES &&
                    (uint64_t)record.first + record.count == record.rule_total;
    engine->has_config_digest = is_whole;
    if (is_whole)
        memcpy(engine->config_digest, record.digest, sizeof record.digest);
    for (uint32_t i = 0; record.part == PSTK_CONFIG_SOURCES && i < record.count && i < room; i++) {
        uint64_t index = (uint64_t)record.first + i;
        pstk_config_source item;
        memcpy(&item, items + i * sizeof item, sizeof item);
        if (index >= PSTK_SOURCES_MAX || !memchr(item.name, 0, sizeof item.name))
            return;
        pstk_source *source = &engine->source[index];
        engine->source_count = PSTK_MAX(engine->source_count, (uint32_t)index + 1);
        memcpy(source->options.name, item.name, sizeof item.name);
        source->options.lateness_ns = item.lateness_ns;
        source->options.idle_after_ns = item.idle_after_ns;
    }
}

/* ---- positions ------------------------------------------------------------------------------ */

static int scan_stream(pstk_engine *engine, const pstk_block *block, const uint8_t *payload,
                       pstk_error *err) {
    pstk_stream_record record;
    memcpy(&record, payload, sizeof record);
    if (record.index > engine->stream_count)
        return PSTK_OK;
    if (record.index >= engine->options.streams_max)
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "the journal holds more streams than engine.streams_max = %u; raise it",
                         engine->options.streams_max);
    bool is_new = record.index == engine->stream_count;
    engine->stream_count += is_new;
    pstk_stream *stream = &engine->stream[record.index];
    /* A new boot counts anew, also where its BOOT record died with the process. */
    if (is_new)
        *stream = (pstk_stream){.source = block->source, .stream = record.stream};
    else if (stream->boot != record.boot)
        stream->next_seq = 0;
    stream->boot = record.boot;
    return PSTK_OK;
}

static pstk_stream *stream_of(pstk_engine *engine, const pstk_block *block) {
    bool is_known = block->stream < engine->stream_count &&
                    engine->stream[block->stream].source == block->source;
    return is_known ? &engine->stream[block->stream] : NULL;
}

/* What a block says of its source's totals, and of how far its stream or batch has come. */
static void scan_position(pstk_engine *engine, const pstk_block *block) {
    pstk_source *source = &engine->source[block->source];
    pstk_stream *stream = stream_of(engine, block);
    if (!stream)
        return;
    if (stream->stream < PSTK_STREAM_UNNUMBERED && block->source_pos > stream->next_seq) {
        source->sent_upstream += block->source_pos - stream->next_seq;
        stream->next_seq = block->source_pos;
        stream->is_numbered = source->is_numbered = 1;
    }
    bool is_batch = stream->stream == PSTK_STREAM_UNNUMBERED;
    if (block->kind == PSTK_RECORD_SOURCE || !is_batch)
        return;
    if (block->source_pos == PSTK_POSITION_NONE)
        return; /* a batch without a position leaves the last one where it is */
    source->position = block->source_pos;
    source->position_ord = block->source_ord;
    if (block->pos < atomic_load(&engine->disk.durable))
        pstk_engine_set_safe(source);
}

static void scan_counts(pstk_source *source, const uint8_t *payload) {
    pstk_counts_record record;
    memcpy(&record, payload, sizeof record);
    /* These belong to no stream, so no position tells that they were sent. */
    uint64_t refused = record.dropped[PSTK_DROP_STREAM_LIMIT];
    if (source->is_numbered && refused > source->dropped[PSTK_DROP_STREAM_LIMIT])
        source->sent_upstream += refused - source->dropped[PSTK_DROP_STREAM_LIMIT];
    memcpy(source->dropped, record.dropped, sizeof source->dropped);
}

static void scan_loss(pstk_engine *engine, const pstk_block *block, const uint8_t *payload) {
    pstk_source *source = &engine->source[block->source];
    pstk_stream *stream = stream_of(engine, block);
    pstk_source_record record;
    memcpy(&record, payload, sizeof record);
    if (record.change != PSTK_SOURCE_GAP && record.change != PSTK_SOURCE_BOOT)
        return;
    source->lost_upstream += record.lost;
    if (record.change == PSTK_SOURCE_BOOT && stream) {
        stream->next_seq = record.next_seq;
        source->sent_upstream += record.lost;
    }
}

static void scan_totals(pstk_engine *engine, const pstk_block *block, const uint8_t *payload) {
    pstk_source *source = &engine->source[block->source];
    size_t size = block->bytes - sizeof *block;
    source->used = PSTK_MAX(source->used, block->used_total);
    source->dropped_total = PSTK_MAX(source->dropped_total, block->dropped_total);
    if (block->kind == PSTK_RECORD_COUNTS && size >= sizeof(pstk_counts_record))
        scan_counts(source, payload);
    if (block->kind == PSTK_RECORD_SOURCE && size >= sizeof(pstk_source_record))
        scan_loss(engine, block, payload);
    scan_position(engine, block);
}

/* ---- the tail ------------------------------------------------------------------------------- */

static int scan_block(pstk_engine *engine, const pstk_block *block, pstk_error *err) {
    const uint8_t *payload = pstk_block_payload(block);
    size_t size = block->bytes - sizeof *block;
    engine->clock.last_ns = PSTK_MAX(engine->clock.last_ns, block->recv_time_ns);
    engine->config_gen = block->config_gen;
    if (block->source >= PSTK_SOURCES_MAX)
        return PSTK_OK;
    engine->source_count = PSTK_MAX(engine->source_count, block->source + 1u);
    switch (block->kind) {
    case PSTK_RECORD_TAG:
        return size >= sizeof(pstk_tag_record) ? scan_tag(engine, payload, err) : PSTK_OK;
    case PSTK_RECORD_STREAM:
        return size >= sizeof(pstk_stream_record) ? scan_stream(engine, block, payload, err)
                                                  : PSTK_OK;
    case PSTK_RECORD_CODE:
        if (size >= sizeof(pstk_code_record))
            scan_code(engine, payload);
        return PSTK_OK;
    case PSTK_RECORD_CONFIG:
        scan_config(engine, payload, size);
        return PSTK_OK;
    case PSTK_RECORD_SAMPLES:
    case PSTK_RECORD_COUNTS:
    case PSTK_RECORD_SOURCE:
        scan_totals(engine, block, payload);
        return PSTK_OK;
    default:
        return PSTK_OK;
    }
}

/* What the totals know beyond the reasons was dropped just before the process died. */
static void settle_totals(pstk_source *source) {
    uint64_t known = 0;
    for (int reason = 0; reason < PSTK_DROP_COUNT; reason++)
        known += source->dropped[reason];
    if (source->dropped_total > known)
        source->dropped[PSTK_DROP_RESTART] += source->dropped_total - known;
    source->dropped_total = PSTK_MAX(known, source->dropped_total);
    source->received = source->used + source->dropped_total;
}

int pstk_engine_scan_tail(pstk_engine *engine, uint64_t from, pstk_error *err) {
    const pstk_block *block;
    uint64_t next = from;
    int tail = pstk_engine_disk_scan(engine, scan_block, err);
    if (tail != PSTK_OK)
        return tail;
    while ((block = pstk_ring_peek(engine->ring, from, &next)) != NULL) {
        int status = scan_block(engine, block, err);
        if (status != PSTK_OK)
            return status;
        from = next;
    }
    if (next != pstk_ring_written(engine->ring))
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "no block at %llu in ring %.100s, where the checkpoint ends: state and "
                         "ring are not of one run; remove that folder to go on from the checkpoint",
                         (unsigned long long)next, pstk_ring_folder(engine->ring));
    for (uint32_t i = 0; i < engine->source_count; i++)
        settle_totals(&engine->source[i]);
    return PSTK_OK;
}
