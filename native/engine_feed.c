/* feed: the cautious path into the journal: columns or payloads that the caller holds, copied
 * before the call returns. */
#include "engine.h"

#include <math.h>

#define EXPONENT_BITS UINT64_C(0x7FF0000000000000)
#define SIGN_BIT (UINT64_C(1) << 63)

/* ---- shared --------------------------------------------------------------------------------- */

static int check_source(pstk_engine *engine, uint32_t source, pstk_error *err) {
    int status = pstk_engine_check(engine, err);
    if (status == PSTK_OK && source >= engine->config_source_count)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "source %u is not configured", source);
    return status;
}

void pstk_engine_set_clock(pstk_engine *engine, int64_t recv_time_ns) {
    if (engine->options.clock == PSTK_CLOCK_MANUAL)
        engine->clock.last_ns = PSTK_MAX(engine->clock.last_ns, recv_time_ns);
    else
        pstk_engine_follow_wall(engine);
}

/* Makes room by an image in ring_dir; the writer lock is let go meanwhile. */
static bool make_room(pstk_engine *engine) {
    pstk_error err;
    pthread_mutex_unlock(&engine->lock);
    int status = pstk_engine_checkpoint_now(engine, false, &err);
    pthread_mutex_lock(&engine->lock);
    if (status != PSTK_OK && status != PSTK_E_FULL)
        pstk_engine_fail(engine, &err);
    return pstk_engine_disk_wait(engine) || status == PSTK_OK;
}

static int full(const pstk_engine *engine, pstk_error *err) {
    int status = pstk_engine_check(engine, err);
    if (status != PSTK_OK)
        return status;
    if (atomic_load(&engine->disk.is_full))
        return pstk_fail(err, PSTK_E_FULL, 0,
                         "the ring is full: the disk journal in %.100s has no room; make some, "
                         "or raise engine.journal_bytes_max, then feed the rest again",
                         engine->options.state_dir);
    return pstk_fail(err, PSTK_E_FULL, 0,
                     "the ring is full behind unacknowledged events; poll, acknowledge, then feed "
                     "the rest again");
}

static void finish_delivery(pstk_engine *engine, uint16_t source) {
    pstk_engine_commit_block(engine);
    pstk_engine_settle_counts(engine, source);
}

/* ---- columns -------------------------------------------------------------------------------- */

typedef struct columns {
    const pstk_feed *feed;
    uint16_t source, stream;
    size_t next;
    int64_t future_ns;
    pstk_feed_result result;
} columns;

static int judge_value(const pstk_tag *tag, uint64_t *bits) {
    pstk_value value = {.bits = *bits};
    if (tag->type == PSTK_TYPE_F64) {
        if (!isfinite(value.f64))
            return PSTK_DROP_NAN;
        if (value.f64 == 0)
            *bits = 0; /* -0.0 is 0.0 */
    }
    if (tag->type == PSTK_TYPE_CODE && value.bits >= tag->code_count)
        return PSTK_DROP_RANGE;
    if (tag->type == PSTK_TYPE_BOOL && value.bits > 1)
        return PSTK_DROP_RANGE;
    return -1;
}

/* One column row into a sample; -1 when usable, else the drop reason. */
static int make_sample(pstk_engine *engine, const columns *in, size_t row, pstk_sample *out) {
    const pstk_feed *feed = in->feed;
    const pstk_tag *tag = pstk_tags_get(engine->tags, feed->tag_ids[row]);
    if (!tag)
        return PSTK_DROP_TAG_NAME;
    if (tag->source != in->source)
        return PSTK_DROP_SOURCE;
    uint64_t bits = feed->values[row];
    int reason = judge_value(tag, &bits);
    if (reason >= 0)
        return reason;
    out->time_ns = feed->time_ns ? feed->time_ns[row] : PSTK_TIME_NONE;
    if (out->time_ns != PSTK_TIME_NONE && out->time_ns > in->future_ns)
        return PSTK_DROP_FUTURE;
    out->value.bits = bits;
    out->tag_id = feed->tag_ids[row];
    out->quality = feed->quality ? feed->quality[row] : 0;
    out->flags = 0;
    return -1;
}

static void drop_rows(pstk_engine *engine, columns *in, pstk_drop reason, size_t count) {
    engine->source[in->source].received += count;
    in->result.dropped += count;
    pstk_engine_drop(engine, in->source, reason, count);
}

/* Rows from in->next on that need nothing special: numbers of known tags of this source with a
 * stamp that is not in the future. Returns how many; the row behind them goes by make_sample, which
 * says what is allowed: here only what it would make the same way. */
static size_t make_plain(const pstk_engine *engine, const columns *in, pstk_sample *out,
                         size_t capacity) {
    const pstk_feed *feed = in->feed;
    const uint32_t tags = pstk_tags_count(engine->tags), *kinds = pstk_tags_kinds(engine->tags);
    const uint32_t f64 = PSTK_TAG_KIND(in->source, PSTK_TYPE_F64);
    const uint32_t i64 = PSTK_TAG_KIND(in->source, PSTK_TYPE_I64);
    const size_t count = PSTK_MIN(feed->count - in->next, capacity);
    const uint32_t *ids = feed->tag_ids + in->next;
    const uint64_t *values = feed->values + in->next;
    const int64_t *times = feed->time_ns ? feed->time_ns + in->next : NULL;
    const uint16_t *qualities = feed->quality ? feed->quality + in->next : NULL;
    const int64_t future_ns = in->future_ns;
    size_t i = 0;
    if (!times)
        return 0;
    for (; i < count; i++) {
        uint32_t id = ids[i];
        int64_t time_ns = times[i];
        uint64_t bits = values[i];
        if (id >= tags || time_ns > future_ns)
            break;
        if (kinds[id] == f64) {
            if ((bits & EXPONENT_BITS) == EXPONENT_BITS)
                break;
            bits = bits == SIGN_BIT ? 0 : bits;
        } else if (kinds[id] != i64) {
            break;
        }
        uint16_t quality = qualities ? qualities[i] : 0;
        out[i] = (pstk_sample){time_ns, {.bits = bits}, id, quality, 0};
    }
    return i;
}

static void fill_block(pstk_engine *engine, columns *in) {
    pstk_open_block *open = &engine->block;
    pstk_source *source = &engine->source[in->source];
    const pstk_feed *feed = in->feed;
    pstk_sample *out = (pstk_sample *)(void *)open->payload;
    while (in->next < feed->count && open->count < PSTK_BLOCK_SAMPLES_MAX) {
        size_t plain =
            make_plain(engine, in, &out[open->count], PSTK_BLOCK_SAMPLES_MAX - open->count);
        in->next += plain;
        open->count += (uint32_t)plain;
        if (in->next == feed->count || open->count == PSTK_BLOCK_SAMPLES_MAX)
            break;
        int reason = make_sample(engine, in, in->next++, &out[open->count]);
        if (reason < 0)
            open->count++;
        else
            drop_rows(engine, in, (pstk_drop)reason, 1);
    }
    source->received += open->count;
    in->result.used += open->count;
    if (feed->position != PSTK_POSITION_NONE) {
        source->position = feed->position;
        source->position_ord = in->next < feed->count ? in->next : 0;
    }
    open->source_pos = feed->position;
    open->source_ord = feed->position == PSTK_POSITION_NONE ? 0 : (uint32_t)source->position_ord;
}

static size_t rows_journaled(const pstk_source *source, const pstk_feed *feed) {
    if (feed->position == PSTK_POSITION_NONE || source->position == PSTK_POSITION_NONE)
        return 0;
    bool is_done = feed->position < source->position ||
                   (feed->position == source->position && !source->position_ord);
    if (is_done)
        return feed->count;
    return feed->position == source->position ? (size_t)PSTK_MIN(source->position_ord, feed->count)
                                              : 0;
}

/* Room for one block and for the names it may use; the lock may be let go meanwhile. */
static bool has_block_room(pstk_engine *engine, const columns *in) {
    pstk_source *source = &engine->source[in->source];
    pstk_drop reason;
    pstk_engine_commit_block(engine);
    for (int turn = 0; turn < 2; turn++) {
        bool is_open = pstk_engine_has_room(engine, source, PSTK_BLOCK_BYTES_MAX, &reason) &&
                       pstk_engine_put_new_tags(engine);
        if (is_open || (turn == 0 && !make_room(engine)))
            return is_open;
    }
    return false;
}

static int feed_columns(pstk_engine *engine, columns *in, pstk_error *err) {
    while (in->next < in->feed->count) {
        if (!has_block_room(engine, in))
            return full(engine, err);
        pstk_engine_turn_to_stream(engine, in->source, in->stream);
        if (!pstk_engine_claim_block(engine, in->source, in->stream))
            return full(engine, err);
        fill_block(engine, in);
        if (atomic_load_explicit(&engine->is_failed, memory_order_relaxed))
            return pstk_engine_check(engine, err);
    }
    return PSTK_OK;
}

static int32_t batch_stream(pstk_engine *engine, uint16_t source) {
    static const pstk_message unnumbered = {0};
    int32_t index = pstk_engine_find_stream(engine, source, PSTK_STREAM_UNNUMBERED);
    return index >= 0
               ? index
               : pstk_engine_open_stream(engine, source, &unnumbered, PSTK_STREAM_UNNUMBERED);
}

int pstk_engine_feed(pstk_engine *engine, const pstk_feed *feed, pstk_feed_result *out_result,
                     pstk_error *err) {
    PSTK_GUEST(engine);
    memset(out_result, 0, sizeof *out_result);
    int status = check_source(engine, feed->source, err);
    if (status != PSTK_OK)
        return status;
    if (feed->count > UINT32_MAX || (feed->count && (!feed->tag_ids || !feed->values)))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "feed wants tag_ids and values, at most 2^32 - 1 rows");
    pthread_mutex_lock(&engine->lock);
    pstk_engine_set_clock(engine, feed->recv_time_ns);
    columns in = {.feed = feed, .source = engine->config_source[feed->source]};
    const pstk_source *source = &engine->source[in.source];
    int32_t stream = batch_stream(engine, in.source);
    int64_t now = pstk_engine_now(engine);
    in.stream = (uint16_t)PSTK_MAX(stream, 0);
    in.future_ns = pstk_engine_future(engine, source, now);
    if (stream < 0) {
        status = pstk_fail(err, PSTK_E_FULL, 0, "streams_max is reached; raise engine.streams_max");
    } else {
        in.next = rows_journaled(source, feed);
        if (in.next)
            drop_rows(engine, &in, PSTK_DROP_DUPLICATE, in.next);
        status = feed_columns(engine, &in, err);
    }
    finish_delivery(engine, in.source);
    if (status == PSTK_OK && atomic_load(&engine->is_failed))
        status = pstk_engine_check(engine, err);
    *out_result = in.result;
    pthread_mutex_unlock(&engine->lock);
    return status;
}

/* ---- payloads ------------------------------------------------------------------------------- */

int pstk_engine_feed_frame(pstk_engine *engine, uint32_t source_index, const uint8_t *subject,
                           size_t subject_bytes, const uint8_t *payload, size_t payload_bytes,
                           uint64_t position, int64_t recv_time_ns, pstk_feed_result *out_result,
                           pstk_error *err) {
    PSTK_GUEST(engine);
    memset(out_result, 0, sizeof *out_result);
    int status = check_source(engine, source_index, err);
    if (status != PSTK_OK)
        return status;
    uint16_t source_id = engine->config_source[source_index];
    pstk_source *source = &engine->source[source_id];
    if (payload_bytes > UINT32_MAX || subject_bytes >= PSTK_NAME_BYTES)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "source %s: a payload has at most 4 GiB, a subject at most %u bytes",
                         source->options.name, PSTK_NAME_BYTES - 1);
    pthread_mutex_lock(&engine->lock);
    pstk_engine_set_clock(engine, recv_time_ns);
    pstk_frame frame = {.subject = subject,
                        .payload = payload,
                        .subject_bytes = (uint32_t)subject_bytes,
                        .payload_bytes = (uint32_t)payload_bytes};
    pstk_delivery delivery = {.source = source_id,
                              .position = position,
                              .now_ns = pstk_engine_now(engine),
                              .may_wait = true};
    delivery.future_ns = pstk_engine_future(engine, source, delivery.now_ns);
    pstk_drop reason;
    if (!pstk_engine_has_room(engine, source, payload_bytes, &reason))
        (void)make_room(engine); /* other callers may come between: their figures are not ours */
    uint64_t used = source->used, dropped = source->dropped_total;
    bool is_taken = pstk_engine_take_frame(engine, &delivery, &frame);
    finish_delivery(engine, source_id);
    out_result->used = source->used - used;
    out_result->dropped = source->dropped_total - dropped;
    bool has_failed = atomic_load(&engine->is_failed);
    pthread_mutex_unlock(&engine->lock);
    return is_taken && !has_failed ? PSTK_OK : full(engine, err);
}

/* ---- names, time, context ------------------------------------------------------------------- */

static int refuse_tag(const char *name, size_t name_bytes, pstk_drop reason, pstk_error *err) {
    const char *why = "it has another type, for life";
    if (reason == PSTK_DROP_TAG_LIMIT)
        why = "tags_max is reached; raise engine.tags_max";
    else if (reason == PSTK_DROP_TAG_NAME)
        why = "a name is 1 to 95 bytes of UTF-8 without control characters";
    else if (reason == PSTK_DROP_SOURCE)
        why = "it belongs to another source";
    return pstk_fail(err, reason == PSTK_DROP_TAG_LIMIT ? PSTK_E_FULL : PSTK_E_ARGUMENT, 0,
                     "tag %.*s is refused (%s): %s", (int)PSTK_MIN(name_bytes, PSTK_NAME_BYTES),
                     name, pstk_drop_name((int)reason), why);
}

int pstk_engine_tag(pstk_engine *engine, uint32_t source, const char *name, size_t name_bytes,
                    int type, uint32_t *out_tag, pstk_error *err) {
    PSTK_GUEST(engine);
    int status = check_source(engine, source, err);
    if (status != PSTK_OK)
        return status;
    if (type < PSTK_TYPE_F64 || type > PSTK_TYPE_CODE)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "tag type %d is none of f64, i64, bool, code",
                         type);
    pthread_mutex_lock(&engine->lock);
    pstk_drop reason = PSTK_DROP_TAG_NAME;
    uint32_t tag =
        pstk_tags_resolve(engine->tags, (const uint8_t *)name, name_bytes,
                          engine->config_source[source], (uint8_t)type, PSTK_TAG_NONE, &reason);
    bool is_put =
        pstk_engine_put_new_tags(engine) || (make_room(engine) && pstk_engine_put_new_tags(engine));
    const pstk_tag *known = tag == PSTK_TAG_NONE ? NULL : pstk_tags_get(engine->tags, tag);
    if (known &&
        known->type != type) { /* a payload may widen i64 to f64; a column's bits may not */
        tag = PSTK_TAG_NONE;
        reason = PSTK_DROP_TYPE;
    }
    pthread_mutex_unlock(&engine->lock);
    if (tag == PSTK_TAG_NONE)
        return refuse_tag(name, name_bytes, reason, err);
    *out_tag = tag;
    return is_put ? PSTK_OK : full(engine, err);
}

int pstk_engine_tick(pstk_engine *engine, int64_t now_ns, pstk_error *err) {
    PSTK_GUEST(engine);
    int status = pstk_engine_check(engine, err);
    if (status != PSTK_OK)
        return status;
    pthread_mutex_lock(&engine->lock);
    pstk_engine_set_clock(engine, now_ns);
    if (engine->is_backlogged)
        pstk_engine_judge(engine);
    pstk_engine_put_tick(engine);
    pthread_mutex_unlock(&engine->lock);
    return PSTK_OK;
}

int pstk_engine_put_cold(pstk_engine *engine, pstk_record kind, const void *payload, size_t size,
                         pstk_error *err) {
    bool is_put = pstk_engine_put_record(engine, kind, 0, payload, size);
    if (!is_put && make_room(engine))
        is_put = pstk_engine_put_record(engine, kind, 0, payload, size);
    return is_put ? PSTK_OK : full(engine, err);
}

static int put_cold(pstk_engine *engine, pstk_record kind, const void *payload, size_t size,
                    pstk_error *err) {
    int status = pstk_engine_check(engine, err);
    if (status != PSTK_OK)
        return status;
    pthread_mutex_lock(&engine->lock);
    status = pstk_engine_put_cold(engine, kind, payload, size, err);
    pthread_mutex_unlock(&engine->lock);
    return status;
}

int pstk_engine_context(pstk_engine *engine, const pstk_context *context, pstk_error *err) {
    PSTK_GUEST(engine);
    return put_cold(engine, PSTK_RECORD_CONTEXT, context, sizeof *context, err);
}

int pstk_engine_baseline(pstk_engine *engine, const pstk_baseline *baseline, pstk_error *err) {
    PSTK_GUEST(engine);
    return put_cold(engine, PSTK_RECORD_BASELINE, baseline, sizeof *baseline, err);
}

int pstk_engine_reconfigure(pstk_engine *engine, const pstk_rule *rules, size_t rule_count,
                            pstk_error *err) {
    PSTK_GUEST(engine);
    int status = pstk_engine_check(engine, err);
    if (status == PSTK_OK)
        status = pstk_engine_check_rules(rules, rule_count, err);
    if (status != PSTK_OK)
        return status;
    pthread_mutex_lock(&engine->lock);
    bool is_put = pstk_engine_put_config(engine, rules, rule_count);
    if (!is_put && make_room(engine))
        is_put = pstk_engine_put_config(engine, rules, rule_count);
    pthread_mutex_unlock(&engine->lock);
    return is_put ? PSTK_OK : full(engine, err);
}

int pstk_engine_position(pstk_engine *engine, uint32_t source_index, uint64_t *out_position,
                         pstk_error *err) {
    PSTK_GUEST(engine);
    int status = check_source(engine, source_index, err);
    if (status != PSTK_OK)
        return status;
    pthread_mutex_lock(&engine->lock);
    pstk_source *source = &engine->source[engine->config_source[source_index]];
    *out_position = pstk_engine_safe_position(engine, source);
    pthread_mutex_unlock(&engine->lock);
    return PSTK_OK;
}
