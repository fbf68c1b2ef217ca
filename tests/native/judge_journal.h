/* judge_journal: a journal in memory for tests of the judge, written as plain calls and read in
 * blocks of any size. An operation is one record; samples are kept one by one, and joined into
 * blocks only when they are judged. */
#ifndef PSTK_JUDGE_JOURNAL_H
#define PSTK_JUDGE_JOURNAL_H

#include "check.h"
#include "engine_judge.h"

#define S PSTK_NS_PER_S
#define MS INT64_C(1000000)

typedef struct jj_op {
    uint16_t kind, source, stream;
    uint32_t bytes;
    int64_t recv_ns;
    pstk_sample sample; /* SAMPLES */
    uint8_t *payload;   /* the others */
} jj_op;

typedef struct jj {
    pstk_tags *tags;
    jj_op *op;
    size_t count, capacity;
    int64_t now_ns; /* T of what is written next */
    uint16_t source, stream;
    pstk_config_source sources[8];
    uint32_t source_count;
    pstk_rule rules[40];
    uint32_t rule_count;
    uint32_t generation;
} jj;

typedef struct jj_out { /* what the judge said */
    pstk_event *event;
    size_t count, capacity;
    pstk_result *result;
    size_t result_count, result_capacity;
    pstk_aggregates *more; /* beside result */
    size_t more_capacity;
} jj_out;

static inline void *jj_grow(void *items, size_t *capacity, size_t count, size_t item) {
    if (count < *capacity)
        return items;
    *capacity = *capacity ? 2 * *capacity : 64;
    items = realloc(items, *capacity * item);
    REQUIRE(items);
    return items;
}

static inline void jj_open(jj *j) {
    memset(j, 0, sizeof *j);
    REQUIRE(pstk_tags_open(4096, 64, &j->tags, NULL) == PSTK_OK);
    j->now_ns = 1000 * S;
    j->sources[0] = (pstk_config_source){.name = "line", .lateness_ns = 0, .idle_after_ns = 5 * S};
    j->source_count = 1;
}

static inline void jj_close(jj *j) {
    for (size_t i = 0; i < j->count; i++)
        free(j->op[i].payload);
    free(j->op);
    pstk_tags_close(j->tags);
}

static inline void jj_out_free(jj_out *out) {
    free(out->event);
    free(out->result);
    free(out->more);
    memset(out, 0, sizeof *out);
}

/* ---- writing -------------------------------------------------------------------------------- */

static inline jj_op *jj_put(jj *j, uint16_t kind, const void *payload, size_t bytes) {
    j->op = jj_grow(j->op, &j->capacity, j->count, sizeof *j->op);
    jj_op *op = &j->op[j->count++];
    *op = (jj_op){.kind = kind,
                  .source = j->source,
                  .stream = j->stream,
                  .bytes = (uint32_t)bytes,
                  .recv_ns = j->now_ns};
    if (bytes) {
        op->payload = malloc(bytes);
        REQUIRE(op->payload);
        memcpy(op->payload, payload, bytes);
    }
    return op;
}

static inline void jj_config_part(jj *j, pstk_config_record head, const void *items, size_t item) {
    size_t bytes = sizeof head + head.count * item;
    uint8_t *payload = malloc(bytes);
    REQUIRE(payload);
    memcpy(payload, &head, sizeof head);
    memcpy(payload + sizeof head, items, head.count * item);
    jj_put(j, PSTK_RECORD_CONFIG, payload, bytes);
    free(payload);
}

/* The tables as they stand in j->sources and j->rules, in parts of at most four rules. */
static inline void jj_config(jj *j) {
    pstk_config_record head = {.generation = ++j->generation,
                               .source_total = j->source_count,
                               .rule_total = j->rule_count,
                               .count = j->source_count};
    pstk_judge_config_digest(j->sources, j->source_count, j->rules, j->rule_count, head.digest);
    jj_config_part(j, head, j->sources, sizeof *j->sources);
    for (uint32_t i = 0; i < j->rule_count; i += 4) {
        head.part = PSTK_CONFIG_RULES;
        head.first = i;
        head.count = PSTK_MIN(4u, j->rule_count - i);
        jj_config_part(j, head, j->rules + i, sizeof *j->rules);
    }
}

static inline uint32_t jj_tag(jj *j, const char *name, uint8_t type) {
    pstk_drop reason;
    uint32_t before = pstk_tags_count(j->tags);
    uint32_t tag = pstk_tags_resolve(j->tags, (const uint8_t *)name, strlen(name), j->source, type,
                                     PSTK_TAG_NONE, &reason);
    REQUIRE(tag != PSTK_TAG_NONE);
    pstk_tag_record record = {
        .tag_id = tag, .source = j->source, .type = type, .name_bytes = (uint8_t)strlen(name)};
    memcpy(record.name, name, strlen(name));
    if (pstk_tags_count(j->tags) > before)
        jj_put(j, PSTK_RECORD_TAG, &record, sizeof record);
    return tag;
}

/* Writes the journal's beginning again, after the rules have been edited: tables, then every tag.
 */
static inline void jj_restart(jj *j) {
    for (size_t i = 0; i < j->count; i++)
        free(j->op[i].payload);
    j->count = 0;
    jj_config(j);
    for (uint32_t t = 0; t < pstk_tags_count(j->tags); t++) {
        const pstk_tag *tag = pstk_tags_get(j->tags, t);
        pstk_tag_record record = {.tag_id = t,
                                  .source = tag->source,
                                  .type = tag->type,
                                  .name_bytes = (uint8_t)tag->name_bytes};
        memcpy(record.name, tag->name, tag->name_bytes);
        jj_put(j, PSTK_RECORD_TAG, &record, sizeof record);
    }
}

static inline int64_t jj_code(jj *j, uint32_t tag, const char *text) {
    int64_t code;
    REQUIRE(pstk_tags_code(j->tags, tag, (const uint8_t *)text, strlen(text), &code));
    return code;
}

static inline void jj_sample(jj *j, uint32_t tag, int64_t time_ns, pstk_value value) {
    jj_put(j, PSTK_RECORD_SAMPLES, NULL, 0)->sample =
        (pstk_sample){.time_ns = time_ns, .value = value, .tag_id = tag};
}
static inline void jj_f64(jj *j, uint32_t tag, int64_t time_ns, double x) {
    jj_sample(j, tag, time_ns, (pstk_value){.f64 = x});
}
static inline void jj_i64(jj *j, uint32_t tag, int64_t time_ns, int64_t x) {
    jj_sample(j, tag, time_ns, (pstk_value){.i64 = x});
}
static inline void jj_quality(jj *j, uint16_t quality) {
    j->op[j->count - 1].sample.quality = quality;
}

static inline void jj_tick(jj *j, int64_t now_ns) {
    j->now_ns = now_ns;
    jj_put(j, PSTK_RECORD_TICK, NULL, 0);
}

static inline void jj_source(jj *j, uint32_t change, uint64_t lost) {
    pstk_source_record record = {.change = change, .lost = lost};
    jj_put(j, PSTK_RECORD_SOURCE, &record, sizeof record);
}

/* The stream of what follows bears that number. */
static inline void jj_stream(jj *j, uint16_t index, uint32_t number) {
    pstk_stream_record record = {.index = index, .stream = number, .boot = 1};
    j->stream = index;
    jj_put(j, PSTK_RECORD_STREAM, &record, sizeof record);
}

static inline void jj_context(jj *j, const char *asset, int64_t at_ns, const char *order,
                              const char *lot) {
    pstk_context context = {.at_ns = at_ns, .set = (order ? 1u : 0u) | (lot ? 8u : 0u)};
    snprintf(context.asset, sizeof context.asset, "%s", asset);
    snprintf(context.values.order, sizeof context.values.order, "%s", order ? order : "");
    snprintf(context.values.lot, sizeof context.values.lot, "%s", lot ? lot : "");
    jj_put(j, PSTK_RECORD_CONTEXT, &context, sizeof context);
}

static inline void jj_operate(jj *j, uint32_t action, const char *rule, const char *tag,
                              int64_t until_ns) {
    pstk_operation operation = {.action = action, .until_ns = until_ns, .at_ns = PSTK_TIME_NONE};
    snprintf(operation.rule, sizeof operation.rule, "%s", rule);
    snprintf(operation.tag, sizeof operation.tag, "%s", tag);
    snprintf(operation.by, sizeof operation.by, "uid:%u", action);
    jj_put(j, PSTK_RECORD_OPERATOR, &operation, sizeof operation);
}

static inline void jj_baseline(jj *j, const char *rule, const char *tag, int64_t reading,
                               int64_t end_ns) {
    pstk_baseline baseline = {
        .series = "1", .end_ns = end_ns, .end_reading.i64 = reading, .value_type = PSTK_TYPE_I64};
    snprintf(baseline.rule, sizeof baseline.rule, "%s", rule);
    snprintf(baseline.tag, sizeof baseline.tag, "%s", tag);
    jj_put(j, PSTK_RECORD_BASELINE, &baseline, sizeof baseline);
}

static inline pstk_rule *jj_rule(jj *j, const char *name, pstk_rule_kind kind, const char *value) {
    REQUIRE(j->rule_count < 40);
    pstk_rule *rule = &j->rules[j->rule_count++];
    memset(rule, 0, sizeof *rule);
    rule->kind = (uint16_t)kind;
    rule->series[0] = '1';
    snprintf(rule->name, sizeof rule->name, "%s", name);
    snprintf(rule->pattern[PSTK_ROLE_VALUE], PSTK_NAME_BYTES, "%s", value);
    return rule;
}

static inline void jj_role(pstk_rule *rule, pstk_role role, const char *pattern) {
    snprintf(rule->pattern[role], PSTK_NAME_BYTES, "%s", pattern);
}

/* ---- judging -------------------------------------------------------------------------------- */

static inline pstk_judge *jj_judge_of(const jj *j, uint32_t event_slots, uint32_t reorder_slots) {
    pstk_judge_options options = {.plant = "plant",
                                  .tags_max = 4096,
                                  .instances_max = 4096,
                                  .streams_max = 64,
                                  .assets_max = 256,
                                  .event_slots = event_slots,
                                  .result_slots = 65536,
                                  .reorder_slots = reorder_slots,
                                  .tags = j->tags};
    pstk_judge *judge;
    pstk_error err;
    int status = pstk_judge_open(&options, &judge, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "%s\n", err.text);
    REQUIRE(status == PSTK_OK);
    return judge;
}

static inline pstk_judge *jj_judge(const jj *j, uint32_t event_slots) {
    return jj_judge_of(j, event_slots, 4096);
}

static inline void jj_drain(pstk_judge *judge, jj_out *out, size_t most) {
    uint64_t head = pstk_judge_events_head(judge), seq = pstk_judge_events_acknowledged(judge);
    for (; seq < head && most; seq++, most--) {
        out->event = jj_grow(out->event, &out->capacity, out->count, sizeof *out->event);
        REQUIRE(pstk_judge_events_poll(judge, seq, &out->event[out->count], 1) == 1);
        out->count++;
        pstk_judge_events_acknowledge(judge, seq);
    }
    for (;;) {
        out->result =
            jj_grow(out->result, &out->result_capacity, out->result_count, sizeof *out->result);
        uint64_t overwritten;
        out->more = jj_grow(out->more, &out->more_capacity, out->result_count, sizeof *out->more);
        if (!pstk_judge_results_take(judge, &out->result[out->result_count],
                                     &out->more[out->result_count], 1, &overwritten))
            return;
        out->result[out->result_count].more = out->result_count; /* where it lies in out->more */
        out->result_count++;
        CHECK(overwritten == 0);
    }
}

/* Fills block with the operations from `at` on, at most samples_max samples; returns how many
 * operations it took. */
static inline size_t jj_block(const jj *j, size_t at, size_t samples_max, pstk_block *block) {
    const jj_op *op = &j->op[at];
    uint8_t *payload = (uint8_t *)(block + 1);
    *block = (pstk_block){.kind = op->kind,
                          .source = op->source,
                          .stream = op->stream,
                          .recv_time_ns = op->recv_ns,
                          .pos = at * 64};
    size_t taken = 1;
    if (op->kind != PSTK_RECORD_SAMPLES) {
        REQUIRE(op->bytes <= PSTK_BLOCK_BYTES_MAX - sizeof *block);
        if (op->bytes)
            memcpy(payload, op->payload, op->bytes);
        block->bytes = (uint32_t)sizeof *block + op->bytes;
        return taken;
    }
    memcpy(payload, &op->sample, sizeof op->sample);
    for (; at + taken < j->count && taken < PSTK_MIN(samples_max, PSTK_BLOCK_SAMPLES_MAX);
         taken++) {
        const jj_op *next = &j->op[at + taken];
        if (next->kind != op->kind || next->source != op->source || next->stream != op->stream ||
            next->recv_ns != op->recv_ns)
            break;
        memcpy(payload + taken * sizeof next->sample, &next->sample, sizeof next->sample);
    }
    block->count = (uint32_t)taken;
    block->bytes = (uint32_t)(sizeof *block + taken * sizeof(pstk_sample));
    return taken;
}

static inline pstk_block *jj_buffer(void) {
    pstk_block *block = aligned_alloc(64, PSTK_BLOCK_BYTES_MAX);
    REQUIRE(block);
    return block;
}

/* Judges operations [from, to); events are drained and acknowledged after every block. */
static inline void jj_run_part(const jj *j, pstk_judge *judge, size_t from, size_t to,
                               size_t samples_max, jj_out *out) {
    pstk_block *block = jj_buffer();
    while (from < to) {
        from += jj_block(j, from, PSTK_MIN(samples_max, to - from), block);
        while (!pstk_judge_block(judge, block))
            jj_drain(judge, out, SIZE_MAX);
        CHECK(pstk_judge_is_between_blocks(judge));
        jj_drain(judge, out, SIZE_MAX);
    }
    free(block);
}

/* The whole journal with a fresh judge. */
static inline jj_out jj_run(const jj *j, size_t samples_max) {
    jj_out out = {0};
    pstk_judge *judge = jj_judge(j, 1024);
    jj_run_part(j, judge, 0, j->count, samples_max, &out);
    pstk_judge_close(judge);
    return out;
}

/* ---- images --------------------------------------------------------------------------------- */

/* Where each section of an image would lie, and how many bytes they take. */
static inline uint64_t jj_image_places(pstk_image *image, const pstk_section *sections,
                                       size_t count) {
    uint64_t at = 0;
    REQUIRE(count <= PSTK_IMAGE_SECTIONS_MAX);
    image->head.layout = PSTK_JUDGE_LAYOUT;
    image->head.section_count = (uint32_t)count;
    for (size_t k = 0; k < count; k++)
        at += (sections[k].size + 63) & ~(uint64_t)63;
    image->buffer = calloc(1, at + 64);
    REQUIRE(image->buffer);
    at = 0;
    for (size_t k = 0; k < count; k++) {
        image->section[k] = sections[k];
        image->section[k].bytes = image->buffer + at;
        at += (sections[k].size + 63) & ~(uint64_t)63;
    }
    return at;
}

/* As the ring stage would give it back: own bytes, no pointer into the judge. The judge stands
 * still meanwhile. */
static inline pstk_image jj_image(pstk_judge *judge) {
    pstk_image image = {0};
    pstk_section section[PSTK_IMAGE_SECTIONS_MAX];
    size_t count = pstk_judge_snapshot_begin(judge, section);
    (void)jj_image_places(&image, section, count);
    for (size_t k = 0; k < count; k++)
        pstk_judge_snapshot_read(judge, &section[k], 0, (uint8_t *)image.section[k].bytes,
                                 section[k].size);
    pstk_judge_snapshot_end(judge);
    pstk_judge_snapshot_clear(judge, false);
    return image;
}

/* ---- comparing: the order promised is per (rule, tag) --------------------------------------- */

static inline int jj_event_order(const void *a, const void *b) {
    const pstk_event *x = a, *y = b;
    if (x->rule != y->rule)
        return x->rule < y->rule ? -1 : 1;
    if (x->tag != y->tag)
        return x->tag < y->tag ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

static inline bool jj_same_events(const jj_out *a, const jj_out *b) {
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        a->event[i].seq = i;
        b->event[i].seq = i;
    }
    qsort(a->event, a->count, sizeof *a->event, jj_event_order);
    qsort(b->event, b->count, sizeof *b->event, jj_event_order);
    for (size_t i = 0; i < a->count; i++)
        if (memcmp(a->event[i].id, b->event[i].id, 16) != 0 ||
            memcmp(a->event[i].digest, b->event[i].digest, 16) != 0)
            return false;
    return true;
}

static inline int jj_result_order(const void *a, const void *b) {
    const pstk_result *x = a, *y = b;
    if (x->rule != y->rule)
        return x->rule < y->rule ? -1 : 1;
    if (x->tag != y->tag)
        return x->tag < y->tag ? -1 : 1;
    return (x->more > y->more) - (x->more < y->more);
}

/* Per (rule, tag), in order, bit for bit. */
static inline bool jj_same_results(const jj_out *a, const jj_out *b) {
    if (a->result_count != b->result_count)
        return false;
    qsort(a->result, a->result_count, sizeof *a->result, jj_result_order);
    qsort(b->result, b->result_count, sizeof *b->result, jj_result_order);
    for (size_t i = 0; i < a->result_count; i++) {
        pstk_result x = a->result[i], y = b->result[i];
        bool is_same = memcmp(&a->more[x.more], &b->more[y.more], sizeof *a->more) == 0;
        x.more = y.more = 0;
        if (!is_same || memcmp(&x, &y, sizeof x) != 0)
            return false;
    }
    return true;
}

#endif
