/* parse_twins: two parsers get the same documents, one with the shapes of json_shape.c and one
 * without; whatever they make of them must be the same, bit for bit. */
#ifndef PSTK_PARSE_TWINS_H
#define PSTK_PARSE_TWINS_H

#include "parse/parse_private.h"

#include <stdlib.h>

#define TWIN_FRAME_MAX 8192u
#define TWIN_SAMPLES_MAX (TWIN_FRAME_MAX / 5 + 2)

typedef struct twin {
    pstk_tags *tags;
    pstk_parser *parser;
    pstk_message message;
    pstk_drop reason;
    bool is_whole;
    size_t count;
    uint64_t dropped[PSTK_DROP_COUNT];
    pstk_sample sample[TWIN_SAMPLES_MAX];
} twin;

typedef struct twins {
    twin shaped, plain;
} twins;

static inline bool twin_open(twin *t, bool is_plain) {
    pstk_drop reason;
    if (pstk_tags_open(64, 16, &t->tags, NULL) != PSTK_OK ||
        pstk_parser_open(t->tags, TWIN_FRAME_MAX, &t->parser, NULL) != PSTK_OK)
        return false;
    t->parser->json.is_plain = is_plain;
    return pstk_tags_resolve(t->tags, (const uint8_t *)"i64", 3, 0, PSTK_TYPE_I64, PSTK_TAG_NONE,
                             &reason) != PSTK_TAG_NONE;
}

static inline twins *twins_open(void) {
    twins *both = calloc(1, sizeof *both);
    if (!both || !twin_open(&both->shaped, false) || !twin_open(&both->plain, true))
        return NULL;
    return both;
}

static inline void twins_close(twins *both) {
    pstk_parser_close(both->shaped.parser);
    pstk_parser_close(both->plain.parser);
    pstk_tags_close(both->shaped.tags);
    pstk_tags_close(both->plain.tags);
    free(both);
}

static inline void twin_run(twin *t, uint16_t source, const uint8_t *payload, size_t size) {
    pstk_step step = {0};
    memset(t->dropped, 0, sizeof t->dropped);
    memset(t->sample, 0, t->count * sizeof t->sample[0]);
    t->count = 0;
    t->is_whole = pstk_parse_begin(t->parser, PSTK_FORMAT_JSON, source, (const uint8_t *)"s", 1,
                                   payload, size, &t->message, &t->reason);
    while (!step.is_done) {
        pstk_parse_step(t->parser, t->sample + t->count, TWIN_SAMPLES_MAX - t->count,
                        INT64_C(4000000000000000000), t->dropped, &step);
        t->count += step.samples;
    }
}

static inline bool twin_is_same_text(const uint8_t *a, const uint8_t *b, size_t size) {
    return size == 0 || memcmp(a, b, size) == 0;
}

/* Items, because a sample that is dropped later would hide what became of its value. */
static inline bool twin_is_same_item(const pstk_json_item *a, const pstk_json_item *b) {
    bool is_same_value = a->kind == PSTK_JSON_TEXT || a->kind == PSTK_JSON_BROKEN
                             ? twin_is_same_text(a->value.text, b->value.text, a->text_bytes)
                             : a->value.number.bits == b->value.number.bits;
    return a->kind == b->kind && a->reason == b->reason && a->time_ns == b->time_ns &&
           a->quality == b->quality && a->node == b->node && a->text_bytes == b->text_bytes &&
           is_same_value && a->name_bytes == b->name_bytes && !a->name == !b->name &&
           twin_is_same_text(a->name, b->name, a->name_bytes);
}

static inline bool twins_items_agree(const pstk_json *a, const pstk_json *b) {
    if (a->item_count != b->item_count)
        return false;
    for (uint32_t i = 0; i < a->item_count; i++)
        if (!twin_is_same_item(&a->item[i], &b->item[i]))
            return false;
    return true;
}

/* The next object may be learned, whatever was learned in vain before. */
static inline void twin_hurry(twin *t) {
    for (size_t i = 0; i < PSTK_SHAPE_SETS; i++)
        for (size_t k = 0; k < 2; k++)
            t->parser->json.shapes[i][k].wait = t->parser->json.shapes[i][k].penalty = 0;
}

static inline bool twins_agree(const twins *both) {
    const twin *a = &both->shaped, *b = &both->plain;
    return a->is_whole == b->is_whole && (a->is_whole || a->reason == b->reason) &&
           memcmp(&a->message, &b->message, sizeof a->message) == 0 && a->count == b->count &&
           memcmp(a->dropped, b->dropped, sizeof a->dropped) == 0 &&
           memcmp(a->sample, b->sample, a->count * sizeof a->sample[0]) == 0 &&
           pstk_tags_count(a->tags) == pstk_tags_count(b->tags) &&
           (!a->is_whole || twins_items_agree(&a->parser->json, &b->parser->json));
}

/* And as one of a run: what that takes is the plain way's one sample. */
static inline bool twins_run_agrees(const twins *both, uint16_t source, const uint8_t *payload,
                                    size_t size) {
    const twin *t = &both->plain;
    pstk_plain like = {.head = (uint64_t)t->message.boot << 32 | t->message.stream,
                       .head_mask = UINT64_MAX,
                       .seq = t->message.is_numbered ? t->message.seq : UINT64_MAX,
                       .step = t->message.is_numbered,
                       .future_after_ns = INT64_C(4000000000000000000),
                       .frame_bytes_max = TWIN_FRAME_MAX,
                       .source = source};
    pstk_frame frame = {(const uint8_t *)"s", payload, 1, (uint32_t)size};
    pstk_sample sample = {0};
    if (!pstk_parse_plain(both->shaped.parser, PSTK_FORMAT_JSON, &like, &frame, 1, &sample))
        return true;
    return t->is_whole && t->message.samples == 1 && t->count == 1 &&
           memcmp(&sample, &t->sample[0], sizeof sample) == 0 &&
           like.seq == t->message.seq + like.step - !like.step;
}

/* Both read the same document; false where they differ. */
static inline bool twins_run(twins *both, uint16_t source, const uint8_t *payload, size_t size) {
    twin_run(&both->shaped, source, payload, size);
    twin_run(&both->plain, source, payload, size);
    return twins_agree(both) && twins_run_agrees(both, source, payload, size);
}

#endif
