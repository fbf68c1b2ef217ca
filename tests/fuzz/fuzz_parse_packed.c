/* fuzz_parse_packed: any bytes as a packed payload. A second decoder, written from the
 * specification alone, slow and without caches, must agree on every sample and on every drop.
 * Input: u8 subject length and capacity, then the payload.
 * Plant: PSTK_PLANT_PACKED takes away the check that the samples end with the payload. */
#include "parse/parse.h"

#include <stdlib.h>

#define FRAME_BYTES_MAX 4096u
#define TAGS_MAX 8u /* few, so that the limit is met */
#define MODEL_SAMPLES_MAX (FRAME_BYTES_MAX / 16)
#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

typedef struct model_tag {
    uint8_t name[PSTK_NAME_BYTES];
    size_t name_bytes;
    uint8_t type;
} model_tag;

typedef struct model { /* what must come out */
    bool is_whole;
    uint32_t samples;
    size_t count;
    pstk_sample sample[MODEL_SAMPLES_MAX];
    uint64_t dropped[PSTK_DROP_COUNT];
    size_t tag_count;
    model_tag tag[TAGS_MAX];
} model;

static const uint8_t subject_bytes[] = "plant.line1.temperature";

static uint64_t number(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | at[bytes];
    return value;
}

static bool is_name(const uint8_t *name, size_t size) {
    if (size < 1 || size > 95 || !pstk_is_utf8(name, size))
        return false;
    for (size_t i = 0; i < size; i++)
        if (name[i] < 32 || name[i] == 127 || (name[i] == 0xC2 && name[i + 1] < 0xA0))
            return false;
    return true;
}

/* The tag's index, or TAGS_MAX with the reason why not. */
static size_t model_resolve(model *m, uint8_t type, const uint8_t *name, size_t size,
                            pstk_drop *out_reason) {
    size_t i = 0;
    if (type < 1 || type > 3) {
        *out_reason = PSTK_DROP_MALFORMED;
        return TAGS_MAX;
    }
    *out_reason = PSTK_DROP_TAG_NAME;
    if (!is_name(name, size))
        return TAGS_MAX;
    while (i < m->tag_count &&
           (m->tag[i].name_bytes != size || memcmp(m->tag[i].name, name, size) != 0))
        i++;
    *out_reason = PSTK_DROP_TAG_LIMIT;
    if (i == TAGS_MAX)
        return TAGS_MAX;
    if (i == m->tag_count) {
        m->tag_count++;
        memcpy(m->tag[i].name, name, size);
        m->tag[i].name_bytes = size;
        m->tag[i].type = type;
    }
    *out_reason = PSTK_DROP_TYPE;
    bool is_accepted = m->tag[i].type == type || (type == 2 && m->tag[i].type == 1);
    return is_accepted ? i : TAGS_MAX;
}

static pstk_drop model_value(uint8_t wire_type, uint8_t tag_type, uint64_t bits, pstk_value *out) {
    out->bits = bits;
    if (wire_type == 3)
        return bits > 1 ? PSTK_DROP_RANGE : PSTK_DROP_COUNT;
    if (wire_type == 2) {
        if (tag_type == 1)
            out->f64 = (double)(int64_t)bits;
        return PSTK_DROP_COUNT;
    }
    if (out->f64 != out->f64 || out->f64 - out->f64 != 0) /* NaN, or an infinity */
        return PSTK_DROP_NAN;
    if (out->f64 == 0)
        out->f64 = 0;
    return PSTK_DROP_COUNT;
}

static const uint8_t *model_name(const uint8_t *payload, uint64_t which) {
    const uint8_t *at = payload + 32;
    while (which-- > 0)
        at += 2 + at[1];
    return at;
}

static pstk_drop model_sample(model *m, const uint8_t *payload, const uint8_t *at, size_t subject,
                              pstk_sample *out) {
    pstk_drop reason;
    uint64_t names = payload[6], which = number(at + 12, 2);
    if (which >= (names ? names : 1))
        return PSTK_DROP_MALFORMED;
    const uint8_t *name = names ? model_name(payload, which) : NULL;
    uint8_t type = name ? name[0] : payload[7];
    size_t tag = name ? model_resolve(m, type, name + 2, name[1], &reason)
                      : model_resolve(m, type, subject_bytes, subject, &reason);
    if (tag == TAGS_MAX)
        return reason;
    *out = (pstk_sample){.tag_id = (uint32_t)tag, .quality = (uint16_t)number(at + 14, 2)};
    reason = model_value(type, m->tag[tag].type, number(at, 8), &out->value);
    if (reason != PSTK_DROP_COUNT)
        return reason;
    int64_t time0 = (int64_t)number(payload + 24, 8);
    __int128_t time = (__int128_t)time0 + (time0 == INT64_MIN ? 0 : (int64_t)number(at + 8, 4));
    out->time_ns = (int64_t)time;
    if (time > INT64_MAX)
        return PSTK_DROP_RANGE;
    return out->time_ns > INT64_MAX / 2 ? PSTK_DROP_FUTURE : PSTK_DROP_COUNT;
}

static void model_decode(model *m, const uint8_t *payload, size_t size, size_t subject) {
    m->samples = 1;
    if (size < 32 || memcmp(payload, "PSK1", 4) != 0)
        return;
    m->samples = (uint32_t)number(payload + 4, 2);
    size_t at = 32;
    for (int i = 0; i < payload[6]; i++) {
        if (at + 2 > size || at + 2 + payload[at + 1] > size)
            return;
        at += 2 + (size_t)payload[at + 1];
    }
    m->is_whole = at + m->samples * 16 == size;
    for (uint32_t i = 0; m->is_whole && i < m->samples; i++) {
        pstk_drop reason =
            model_sample(m, payload, payload + at + i * 16, subject, &m->sample[m->count]);
        if (reason == PSTK_DROP_COUNT)
            m->count++;
        else
            m->dropped[reason]++;
    }
}

static void compare(pstk_parser *parser, const pstk_tags *tags, const model *m, size_t capacity) {
    pstk_sample sample[16];
    uint64_t dropped[PSTK_DROP_COUNT] = {0}, taken = 0;
    size_t count = 0;
    pstk_step step = {0};
    while (!step.is_done) {
        pstk_parse_step(parser, sample, capacity, INT64_MAX / 2, dropped, &step);
        MUST(step.samples <= capacity && step.samples <= m->count - count);
        for (size_t i = 0; i < step.samples; i++)
            MUST(memcmp(&sample[i], &m->sample[count + i], sizeof sample[i]) == 0);
        count += step.samples;
        taken += step.taken;
    }
    MUST(count == m->count && taken == (m->is_whole ? m->samples : 0));
    MUST(memcmp(dropped, m->dropped, sizeof dropped) == 0);
    MUST(pstk_tags_count(tags) == m->tag_count);
    for (uint32_t i = 0; i < m->tag_count; i++) {
        const pstk_tag *tag = pstk_tags_get(tags, i);
        MUST(tag->type == m->tag[i].type && tag->name_bytes == m->tag[i].name_bytes);
        MUST(memcmp(tag->name, m->tag[i].name, tag->name_bytes) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static model m;
    pstk_tags *tags;
    pstk_parser *parser;
    pstk_message message;
    pstk_drop reason;
    if (size < 1 || size > FRAME_BYTES_MAX)
        return 0;
    size_t subject = data[0] % sizeof subject_bytes, capacity = 1 + data[0] % 16;
    uint8_t *payload = malloc(size); /* exact: a read behind it is an error */
    MUST(payload != NULL);
    memcpy(payload, data + 1, --size);
    payload = realloc(payload, size ? size : 1);
    MUST(pstk_tags_open(TAGS_MAX, 0, &tags, NULL) == PSTK_OK);
    MUST(pstk_parser_open(tags, FRAME_BYTES_MAX, &parser, NULL) == PSTK_OK);
    memset(&m, 0, sizeof m);
#ifndef PSTK_PLANT_PACKED /* the planted bug must be found by the sanitizer alone */
    model_decode(&m, payload, size, subject);
#endif
    bool is_whole = pstk_parse_begin(parser, PSTK_FORMAT_PACKED, 0, subject_bytes, subject, payload,
                                     size, &message, &reason);
#ifndef PSTK_PLANT_PACKED
    MUST(is_whole == m.is_whole && message.samples == m.samples);
    compare(parser, tags, &m, capacity);
#else
    pstk_sample sample[16];
    uint64_t dropped[PSTK_DROP_COUNT] = {0};
    pstk_step step = {.is_done = !is_whole};
    while (!step.is_done)
        pstk_parse_step(parser, sample, capacity, INT64_MAX, dropped, &step);
    (void)compare;
    (void)model_decode;
#endif
    pstk_parser_close(parser);
    pstk_tags_close(tags);
    free(payload);
    return 0;
}
