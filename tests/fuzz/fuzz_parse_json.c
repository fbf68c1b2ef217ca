/* fuzz_parse_json: any bytes as a JSON payload. A second reader, of the grammar only (RFC 8259),
 * must agree on what is JSON; samples and drops must add up; steps of any size must give the same
 * samples. Input: u8 capacity, then the payload. Plant: PSTK_PLANT_JSON takes away the check that
 * four digits follow \u. */
#include "parse/parse.h"

#include <stdlib.h>

#define FRAME_BYTES_MAX 8192u
#define SAMPLES_MAX (FRAME_BYTES_MAX / 5 + 2)
#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

typedef struct outcome {
    size_t count;
    uint64_t dropped[PSTK_DROP_COUNT];
    pstk_sample sample[SAMPLES_MAX];
} outcome;

/* ---- the grammar, by recursion: 0 = no, else the place behind ---------------------------------
 */

typedef struct text {
    const uint8_t *bytes; /* ends with a zero that is not part of it */
    size_t size;
} text;

static size_t value(text t, size_t at, unsigned depth);

static size_t space(text t, size_t at) {
    while (at < t.size && t.bytes[at] && strchr(" \t\r\n", t.bytes[at]))
        at++;
    return at;
}

static bool is_hex(uint8_t c) { return c && strchr("0123456789abcdefABCDEF", c); }

static size_t escape(text t, size_t at) {
    if (t.bytes[at] != 'u')
        return t.bytes[at] && strchr("\"\\/bfnrt", t.bytes[at]) ? at + 1 : 0;
    for (size_t i = 1; i <= 4; i++)
        if (!is_hex(t.bytes[at + i]))
            return 0;
    char digits[5] = {0};
    memcpy(digits, t.bytes + at + 1, 4);
    long unit = strtol(digits, NULL, 16);
    if (unit >= 0xDC00 && unit <= 0xDFFF)
        return 0;
    if (unit < 0xD800 || unit > 0xDFFF)
        return at + 5;
    if (memcmp(t.bytes + at + 5, "\\u", 2) != 0 || (t.bytes[at + 7] | 32) != 'd' ||
        !is_hex(t.bytes[at + 8]) || !strchr("cdefCDEF", t.bytes[at + 8]))
        return 0;
    return is_hex(t.bytes[at + 9]) && is_hex(t.bytes[at + 10]) ? at + 11 : 0;
}

static size_t string(text t, size_t at) {
    if (t.bytes[at] != '"')
        return 0;
    size_t first = ++at;
    while (t.bytes[at] != '"') {
        if (t.bytes[at] < 32) /* the zero at the end too */
            return 0;
        at = t.bytes[at] == '\\' ? escape(t, at + 1) : at + 1;
        if (at == 0)
            return 0;
    }
    return pstk_is_utf8(t.bytes + first, at - first) ? at + 1 : 0;
}

static size_t digits(text t, size_t at) {
    size_t first = at;
    while (t.bytes[at] >= '0' && t.bytes[at] <= '9')
        at++;
    return at == first ? 0 : at;
}

static size_t number(text t, size_t at) {
    at += t.bytes[at] == '-';
    at = t.bytes[at] == '0' ? at + 1 : digits(t, at);
    if (at && t.bytes[at] == '.')
        at = digits(t, at + 1);
    if (at && (t.bytes[at] == 'e' || t.bytes[at] == 'E')) {
        at++;
        at = digits(t, at + (t.bytes[at] == '+' || t.bytes[at] == '-'));
    }
    return at;
}

static size_t member(text t, size_t at, unsigned depth) {
    at = string(t, space(t, at));
    if (at == 0)
        return 0;
    at = space(t, at);
    return t.bytes[at] == ':' ? value(t, at + 1, depth) : 0;
}

static size_t container(text t, size_t at, unsigned depth) {
    bool is_object = t.bytes[at] == '{';
    uint8_t close = is_object ? '}' : ']';
    if (depth == PSTK_JSON_DEPTH_MAX)
        return 0;
    if (t.bytes[space(t, at + 1)] == close)
        return space(t, at + 1) + 1;
    do {
        at = is_object ? member(t, at + 1, depth + 1) : value(t, at + 1, depth + 1);
        if (at == 0)
            return 0;
        at = space(t, at);
    } while (t.bytes[at] == ',');
    return t.bytes[at] == close ? at + 1 : 0;
}

static size_t value(text t, size_t at, unsigned depth) {
    at = space(t, at);
    switch (t.bytes[at]) {
    case '{':
    case '[':
        return container(t, at, depth);
    case '"':
        return string(t, at);
    case 't':
        return memcmp(t.bytes + at, "true", 4) == 0 ? at + 4 : 0;
    case 'f':
        return memcmp(t.bytes + at, "false", 5) == 0 ? at + 5 : 0;
    case 'n':
        return memcmp(t.bytes + at, "null", 4) == 0 ? at + 4 : 0;
    default:
        return number(t, at);
    }
}

static bool is_json(const uint8_t *bytes, size_t size) {
    /* Zeros behind the end, so that a look ahead of a few bytes meets no text. */
    static uint8_t copy[FRAME_BYTES_MAX + 16];
    memcpy(copy, bytes, size);
    memset(copy + size, 0, 16);
    text t = {copy, size};
    size_t at = value(t, 0, 0);
    return at != 0 && space(t, at) == size;
}

/* A reserved member of a wrong type refuses a document that is JSON; escapes can hide its name. */
static bool may_be_refused(const uint8_t *bytes, size_t size) {
    return memchr(bytes, '\\', size) || memmem(bytes, size, "stream", 6) ||
           memmem(bytes, size, "boot", 4) || memmem(bytes, size, "seq", 3);
}

/* ---- the parser --------------------------------------------------------------------------------
 */

static bool parse(const uint8_t *payload, size_t size, size_t capacity, outcome *out) {
    pstk_tags *tags;
    pstk_parser *parser;
    pstk_message message;
    pstk_drop reason;
    uint64_t sum = 0;
    MUST(pstk_tags_open(16, 8, &tags, NULL) == PSTK_OK);
    MUST(pstk_parser_open(tags, FRAME_BYTES_MAX, &parser, NULL) == PSTK_OK);
    memset(out, 0, sizeof *out);
    bool is_whole = pstk_parse_begin(parser, PSTK_FORMAT_JSON, 0, (const uint8_t *)"s", 1, payload,
                                     size, &message, &reason);
    pstk_step step = {0};
    while (!step.is_done) {
        size_t room = PSTK_MIN(capacity, SAMPLES_MAX - out->count);
        pstk_parse_step(parser, out->sample + out->count, room, INT64_C(4000000000000000000),
                        out->dropped, &step);
        MUST(step.samples <= room && step.samples <= step.taken);
        out->count += step.samples;
    }
    for (int i = 0; i < PSTK_DROP_COUNT; i++)
        sum += out->dropped[i];
    MUST(out->count + sum == (is_whole ? message.samples : 0));
    MUST(is_whole || (message.samples == 1 && !message.is_numbered));
    for (size_t i = 0; i < out->count; i++) {
        const pstk_tag *tag = pstk_tags_get(tags, out->sample[i].tag_id);
        MUST(tag && tag->type != PSTK_TYPE_NONE &&
             pstk_is_utf8((const uint8_t *)tag->name, tag->name_bytes));
        MUST(tag->type != PSTK_TYPE_F64 ||
             out->sample[i].value.f64 - out->sample[i].value.f64 == 0);
        MUST(tag->type != PSTK_TYPE_BOOL || out->sample[i].value.bits <= 1);
        MUST(tag->type != PSTK_TYPE_CODE ||
             pstk_tags_code_text(tags, out->sample[i].tag_id, out->sample[i].value.i64));
    }
    pstk_parser_close(parser);
    pstk_tags_close(tags);
    return is_whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static outcome once, again;
    if (size < 1 || size > FRAME_BYTES_MAX)
        return 0;
    size_t capacity = 1 + data[0] % 8;
    uint8_t *payload = malloc(--size ? size : 1); /* exact: a read behind it is an error */
    MUST(payload != NULL);
    memcpy(payload, data + 1, size);
    bool is_whole = parse(payload, size, SAMPLES_MAX, &once);
    bool is_wanted = is_json(payload, size);
#ifndef PSTK_PLANT_JSON
    MUST(is_whole == is_wanted || (is_wanted && may_be_refused(payload, size)));
#else /* the planted bug must be found by the sanitizer alone */
    (void)is_wanted;
    (void)may_be_refused;
#endif
    MUST(parse(payload, size, capacity, &again) == is_whole);
    MUST(memcmp(&once, &again, sizeof once) == 0);
    free(payload);
    return 0;
}
