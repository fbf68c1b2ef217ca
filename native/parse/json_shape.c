/* json_shape: machines send the same object over and over, with other values. What the plain way
 * (json.c) has read once is tried as a shape: its keys and punctuation must come again byte for
 * byte, and between them values of the usual kinds. Then the items are those of the plain way, bit
 * for bit; whatever is unusual (an escape, an exponent, a value that is dropped) is left to it. */
#include "json_scan.h"
#include "parse_private.h"

typedef enum hole_use {
    USE_ITEM = 0, /* a sample of its own, named by its key */
    USE_PASS,     /* nothing: a member beside a sample's parts */
    USE_VALUE,
    USE_NAME,
    USE_QUALITY,
    USE_TIME,
    USE_STREAM,
    USE_BOOT,
    USE_SEQ,
} hole_use;

typedef struct token { /* a scalar */
    uint8_t kind;      /* pstk_json_kind; INT and REAL by its form alone */
    bool is_negative;
    uint32_t decimals;
    uint64_t magnitude;
    pstk_slice text;
} token;

typedef struct reading { /* an object on its way */
    pstk_json *json;
    const uint8_t *first;
    pstk_json_item *item; /* the next, or of a sample the one */
    int64_t time_ns;
} reading;

/* ---- tokens: each returns the place behind, or NULL for the plain way ------------------------ */

static PSTK_INLINE bool is_first_text(const pstk_json_hole *hole, const uint8_t *at,
                                      const uint8_t *end) {
#ifdef __SSE2__
    if (PSTK_LIKELY(end - at >= 16)) {
        __m128i text = _mm_loadu_si128((const __m128i *)(const void *)hole->text);
        __m128i here = _mm_loadu_si128((const __m128i *)(const void *)at);
        uint32_t same = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(text, here));
        return (~same & hole->mask) == 0;
    }
#endif
    size_t size = PSTK_MIN(hole->text_bytes, 16u), i = 0;
    if ((size_t)(end - at) < size)
        return false;
    while (i < size && hole->text[i] == at[i]) /* near the end: mostly a brace */
        i++;
    return i == size;
}

static PSTK_INLINE const uint8_t *take_text(const pstk_json_shape *shape,
                                            const pstk_json_hole *hole, const uint8_t *at,
                                            const uint8_t *end) {
    if (!is_first_text(hole, at, end))
        return NULL;
    if (PSTK_UNLIKELY(hole->rest_bytes) &&
        (end - at < hole->text_bytes ||
         memcmp(at + 16, shape->rest + hole->rest, hole->rest_bytes) != 0))
        return NULL;
    return at + hole->text_bytes;
}

static const uint8_t *take_number(const uint8_t *at, const uint8_t *end, token *out) {
    uint64_t fraction;
    out->kind = PSTK_JSON_INT;
    out->decimals = 0;
    out->is_negative = *at == '-';
    at += out->is_negative;
    const uint8_t *first = at;
    unsigned digits = pstk_digits_at(at, end, &out->magnitude);
    if (digits == 0 || digits > PSTK_DIGITS_MAX)
        return NULL;
    at += digits;
    if (digits > 1 && *first == '0')
        return NULL;
    if (at >= end || *at != '.')
        return at;
    out->kind = PSTK_JSON_REAL;
    out->decimals = pstk_digits_at(++at, end, &fraction);
    if (out->decimals == 0 || digits + out->decimals > PSTK_DIGITS_MAX)
        return NULL;
    out->magnitude = out->magnitude * pstk_powers_of_ten[out->decimals] + fraction;
    return at + out->decimals;
}

/* at stands behind the opening quote; *out ends before the closing one. */
static PSTK_INLINE const uint8_t *take_string(const uint8_t *at, const uint8_t *end,
                                              pstk_slice *out) {
    const uint8_t *stop = at;
    uint64_t high = 0, found = 0;
    do {
#ifdef __SSE2__
        if (PSTK_LIKELY(end - stop >= 16)) {
            uint32_t high16;
            found = pstk_stops16(stop, &high16);
            high |= high16;
            stop += found ? __builtin_ctzll(found) : 16;
            continue;
        }
#endif
        uint64_t word = pstk_word_at(stop, end);
        found = pstk_stops(word); /* the zeros behind the end are a stop */
        high |= word & PSTK_HIGHS;
        stop += found ? __builtin_ctzll(found) >> 3 : 8;
    } while (!found);
    if (PSTK_UNLIKELY(stop >= end || *stop != '"'))
        return NULL;
    *out = (pstk_slice){at, (size_t)(stop - at)};
    /* high may have been set by what follows the string: then the answer is only slower. */
    return PSTK_LIKELY(!high) || pstk_is_utf8(at, out->size) ? stop + 1 : NULL;
}

static const uint8_t *take_word(const uint8_t *at, const uint8_t *end, token *out) {
    static const struct {
        char text[6];
        uint8_t size, kind, value;
    } words[] = {{"true", 4, PSTK_JSON_BOOL, 1},
                 {"false", 5, PSTK_JSON_BOOL, 0},
                 {"null", 4, PSTK_JSON_NULL, 0}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t size = words[i].size;
        if ((size_t)(end - at) < size || memcmp(at, words[i].text, size) != 0)
            continue;
        out->kind = words[i].kind;
        out->magnitude = words[i].value;
        return at + size;
    }
    return NULL;
}

static const uint8_t *take_scalar(const uint8_t *at, const uint8_t *end, token *out) {
    if (at >= end)
        return NULL;
    if (*at != '"')
        return *at <= '9' ? take_number(at, end, out) : take_word(at, end, out);
    out->kind = PSTK_JSON_TEXT;
    return take_string(at + 1, end, &out->text);
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool set_value(const token *value, pstk_json_item *item) {
    item->kind = value->kind;
    item->text_bytes = 0;
    switch (value->kind) {
    case PSTK_JSON_REAL:
        item->value.number.f64 =
            pstk_number_decimal(value->magnitude, value->decimals, value->is_negative);
        return true;
    case PSTK_JSON_INT:
        item->value.number.i64 =
            (int64_t)(value->is_negative ? 0 - value->magnitude : value->magnitude);
        return value->magnitude <= (uint64_t)INT64_MAX;
    case PSTK_JSON_BOOL:
        item->value.number.i64 = (int64_t)value->magnitude;
        return true;
    case PSTK_JSON_TEXT:
        item->value.text = value->text.bytes;
        item->text_bytes = (uint32_t)value->text.size;
        return true;
    default:
        return false;
    }
}

static bool set_time(const token *value, int64_t *out_ns) {
    const pstk_number number = {.exponent = -(int32_t)value->decimals,
                                .magnitude = value->magnitude,
                                .is_negative = value->is_negative};
    if (value->kind == PSTK_JSON_TEXT)
        return pstk_time_from_text(value->text, out_ns) == PSTK_REASON_NONE;
    return (value->kind == PSTK_JSON_INT || value->kind == PSTK_JSON_REAL) &&
           pstk_time_from_number(&number, out_ns) == PSTK_REASON_NONE;
}

static bool is_up_to(const token *value, uint64_t most) {
    return value->kind == PSTK_JSON_INT && !value->is_negative && value->magnitude <= most;
}

static bool set_header(const token *value, hole_use use, pstk_json *json) {
    if (!is_up_to(value, use == USE_SEQ ? UINT64_MAX : UINT32_MAX))
        return false;
    if (use == USE_SEQ) {
        json->seq = value->magnitude;
        json->has_seq = true; /* its 19 digits are below the number for "not numbered" */
        return true;
    }
    *(use == USE_STREAM ? &json->stream : &json->boot) = (uint32_t)value->magnitude;
    return true;
}

/* at: where the value begins, right behind the hole's text. */
static PSTK_INLINE void name_item(const pstk_json_hole *hole, const uint8_t *at, reading *it) {
    it->item->name = at - hole->key_behind;
    it->item->name_bytes = hole->key_bytes;
    it->item++;
}

/* Any value in any place. */
static const uint8_t *take_value(const pstk_json_hole *hole, const uint8_t *at, reading *it) {
    token value = {0};
    const uint8_t *behind = take_scalar(at, it->json->end, &value);
    bool is_used = behind != NULL;
    switch (is_used ? (hole_use)hole->use : USE_PASS) {
    case USE_ITEM:
        if (value.kind == PSTK_JSON_NULL)
            break;
        is_used = set_value(&value, it->item);
        name_item(hole, at, it);
        break;
    case USE_PASS:
        break;
    case USE_VALUE:
        is_used = set_value(&value, it->item);
        break;
    case USE_NAME:
        it->item->name = value.text.bytes;
        it->item->name_bytes = (uint32_t)value.text.size;
        is_used = value.kind == PSTK_JSON_TEXT;
        break;
    case USE_QUALITY:
        it->item->quality = (uint16_t)value.magnitude;
        is_used = is_up_to(&value, UINT16_MAX);
        break;
    case USE_TIME:
        is_used = set_time(&value, &it->time_ns);
        break;
    default:
        is_used = set_header(&value, (hole_use)hole->use, it->json);
    }
    return is_used ? behind : NULL;
}

/* ---- the usual values: a fraction of the cost, else NULL and take_value decides ----------------
 */

#ifdef __SSE2__
/* A number of at most 15 digits. Sixteen bytes of the object lie before what ends at or behind
 * first + 16. */
static PSTK_INLINE const uint8_t *quick_number(const uint8_t *at, const uint8_t *end,
                                               const uint8_t *first, pstk_json_item *item) {
    bool is_negative = at < end && *at == '-';
    at += is_negative;
    uint32_t others = pstk_others16(at, end);
    unsigned whole = (unsigned)__builtin_ctz(others);
    const uint8_t *behind = at + whole;
    if (behind >= end || behind - first < 16 || whole - 1 > 14 || (*at == '0' && whole > 1))
        return NULL;
    item->text_bytes = 0;
    if (*behind != '.') {
        int64_t value = (int64_t)pstk_whole16(behind, whole);
        item->kind = PSTK_JSON_INT;
        item->value.number.i64 = is_negative ? -value : value;
        return behind;
    }
    unsigned size = (unsigned)__builtin_ctz(others & (others - 1)), decimals = size - whole - 1;
    if (size > 15 || decimals == 0)
        return NULL;
    behind = at + size;
    item->kind = PSTK_JSON_REAL;
    item->value.number.f64 =
        pstk_number_decimal(pstk_decimal16(behind, whole, decimals), decimals, is_negative);
    return behind;
}

/* A stamp of 12 to 16 digits: ms or us. */
static PSTK_INLINE const uint8_t *quick_time(const uint8_t *at, const uint8_t *end,
                                             int64_t *out_ns) {
    unsigned digits = (unsigned)__builtin_ctz(pstk_others16(at, end) | 1u << 16);
    const uint8_t *behind = at + digits;
    if (digits < 12 || *at == '0' || behind >= end || (uint8_t)(*behind - '0') <= 9 ||
        *behind == '.')
        return NULL;
    uint64_t whole = pstk_whole16(behind, digits);
    bool is_ms = whole < UINT64_C(100000000000000);
    uint64_t unit = is_ms ? 1000000 : 1000;
    if (whole > (is_ms ? (uint64_t)INT64_MAX / 1000000 : (uint64_t)INT64_MAX / 1000))
        return NULL;
    *out_ns = (int64_t)(whole * unit);
    return behind;
}
#endif

static PSTK_INLINE const uint8_t *quick_value(const pstk_json_hole *hole, const uint8_t *at,
                                              const uint8_t *end, reading *it) {
    const uint8_t *behind = NULL;
    pstk_slice name = {0};
    switch (hole->use) {
    case USE_NAME:
        if (at >= end || *at != '"')
            return NULL;
        behind = take_string(at + 1, end, &name);
        it->item->name = name.bytes;
        it->item->name_bytes = (uint32_t)name.size;
        return behind;
#ifdef __SSE2__
    case USE_VALUE:
        return quick_number(at, end, it->first, it->item);
    case USE_ITEM:
        behind = quick_number(at, end, it->first, it->item);
        if (behind)
            name_item(hole, at, it);
        return behind;
    case USE_TIME:
        return quick_time(at, end, &it->time_ns);
#endif
    default:
        return NULL;
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static PSTK_INLINE void begin_sample(pstk_json_item *item) {
    item->name = NULL;
    item->name_bytes = 0;
    item->node = 0;
    item->quality = 0;
    item->reason = PSTK_REASON_NONE;
}

static PSTK_INLINE void close_items(pstk_json *json, pstk_json_item *behind, int64_t time_ns) {
    pstk_json_item *first = json->item + json->item_count;
    for (pstk_json_item *item = first; item < behind; item++) {
        item->time_ns = time_ns;
        item->node = 0;
        item->quality = 0;
        item->reason = PSTK_REASON_NONE;
    }
    json->item_count += (uint32_t)(behind - first);
}

static PSTK_INLINE bool read_shape(pstk_json *json, const pstk_json_shape *shape) {
    const uint8_t *first = json->at, *at = first, *end = json->end;
    const pstk_json_hole *hole = shape->hole, *last = hole + shape->hole_count;
    reading it = {json, first, json->item + json->item_count, PSTK_TIME_NONE};
    if (hole == last || json->item_max - json->item_count < shape->hole_count)
        return false; /* each hole may become an item */
    if (shape->is_sample)
        begin_sample(it.item);
    do {
        const uint8_t *begin = take_text(shape, hole, at, end);
        if (PSTK_UNLIKELY(!begin))
            return false;
        at = quick_value(hole, begin, end, &it);
        if (PSTK_UNLIKELY(!at)) {
            reading passed = it; /* a copy, so that it stays in registers */
            at = take_value(hole, begin, &passed);
            it = passed;
        }
        if (PSTK_UNLIKELY(!at))
            return false;
    } while (++hole < last);
    at = take_text(shape, hole, at, end);
#ifdef PSTK_PLANT_SHAPE /* whatever follows the last value: fuzz --self-test must find it */
    at = at ? at : end;
#endif
    if (!at)
        return false;
    json->at = at;
    if (shape->is_sample) {
        it.item->time_ns = it.time_ns;
        json->item_count++;
    } else {
        close_items(json, it.item, it.time_ns);
    }
    return true;
}

static bool take_other_shape(pstk_json *json, pstk_json_shapes *set, bool is_root) {
    if (is_root) { /* what the first may have read of the header before it failed */
        json->stream = json->boot = 0;
        json->seq = 0;
        json->has_seq = false;
    }
    set->first ^= 1;
    return read_shape(json, &set->shape[set->first]);
}

bool pstk_json_take_shape(pstk_json *json, bool is_root) {
    pstk_json_shapes *set = &json->shapes[json->set][is_root];
    if (json->end - json->at < 16) /* whole words are read, up to the end */
        return false;
    if (!read_shape(json, &set->shape[set->first]) && !take_other_shape(json, set, is_root)) {
        set->first ^= 1;
        return false;
    }
    set->penalty = 0;
    json->shaped++;
    return true;
}

/* ---- learning: the text is known to be a JSON object ----------------------------------------- */

typedef struct lesson {
    pstk_json_shape *shape;
    const uint8_t *at, *end;
    const uint8_t *text; /* where the text before the next hole begins */
    uint32_t rest;
    uint32_t seen; /* a bit a role */
    uint8_t role[PSTK_SHAPE_HOLES_MAX];
} lesson;

static void pass_space(lesson *l) {
    while (l->at < l->end && (*l->at == ' ' || *l->at == '\n' || *l->at == '\r' || *l->at == '\t'))
        l->at++;
}

static bool pass_byte(lesson *l, uint8_t wanted) {
    pass_space(l);
    if (l->at == l->end || *l->at != wanted)
        return false;
    l->at++;
    return true;
}

/* Behind the closing quote. False: no string. */
static bool pass_string(lesson *l, pstk_slice *out, bool *out_is_escaped) {
    *out_is_escaped = false;
    if (!pass_byte(l, '"'))
        return false;
    const uint8_t *first = l->at;
    for (; l->at < l->end && *l->at != '"'; l->at++)
        if (*l->at == '\\') {
            *out_is_escaped = true;
            l->at++;
        }
    *out = (pstk_slice){first, (size_t)(l->at - first)};
    return pass_byte(l, '"');
}

static bool pass_value(lesson *l) {
    pstk_slice text;
    bool is_escaped;
    pass_space(l);
    if (l->at == l->end || *l->at == '{' || *l->at == '[')
        return false;
    if (*l->at == '"')
        return pass_string(l, &text, &is_escaped);
    while (l->at < l->end && !memchr(",} \n\r\t", *l->at, 6))
        l->at++;
    return true;
}

/* The text since the last value, up to here. */
static bool put_text(lesson *l, pstk_json_hole *hole) {
    size_t size = (size_t)(l->at - l->text), first = PSTK_MIN(size, sizeof hole->text);
    size_t rest = size - first;
    if (size == 0 || rest > PSTK_SHAPE_REST_MAX - l->rest || rest > UINT8_MAX)
        return false;
    *hole = (pstk_json_hole){.mask = (uint16_t)((1u << first) - 1),
                             .rest_bytes = (uint8_t)rest,
                             .rest = (uint16_t)l->rest,
                             .text_bytes = (uint16_t)size};
    memcpy(hole->text, l->text, first);
    memcpy(l->shape->rest + l->rest, l->text + first, rest);
    l->rest += (uint32_t)rest;
    return true;
}

PSTK_COLD static bool put_hole(lesson *l) {
    pstk_json_shape *shape = l->shape;
    pstk_slice key;
    bool is_escaped;
    if (shape->hole_count == PSTK_SHAPE_HOLES_MAX || !pass_string(l, &key, &is_escaped) ||
        is_escaped || !pass_byte(l, ':'))
        return false;
    pass_space(l);
    pstk_json_hole *hole = &shape->hole[shape->hole_count];
    pstk_json_role role = pstk_json_role_of(key);
    /* Of a part that occurs twice the last holds: rare, and left to the plain way. */
    if (!put_text(l, hole) || (role != PSTK_KEY_TAG && (l->seen & 1u << role)))
        return false;
    l->seen |= 1u << role;
    l->role[shape->hole_count++] = (uint8_t)role;
    hole->key_behind = (uint16_t)(l->at - key.bytes);
    hole->key_bytes = (uint16_t)key.size;
    bool is_whole = pass_value(l);
    l->text = l->at;
    return is_whole;
}

static hole_use use_of(pstk_json_role role, bool is_sample, bool is_root) {
    switch (role) {
    case PSTK_KEY_TIME:
        return USE_TIME;
    case PSTK_KEY_STREAM:
        return is_root ? USE_STREAM : USE_PASS;
    case PSTK_KEY_BOOT:
        return is_root ? USE_BOOT : USE_PASS;
    case PSTK_KEY_SEQ:
        return is_root ? USE_SEQ : USE_PASS;
    case PSTK_KEY_VALUE:
        return USE_VALUE;
    case PSTK_KEY_NAME:
        return is_sample ? USE_NAME : USE_ITEM;
    case PSTK_KEY_QUALITY:
        return is_sample ? USE_QUALITY : USE_ITEM;
    default:
        return is_sample ? USE_PASS : USE_ITEM;
    }
}

PSTK_COLD static bool learn(lesson *l, bool is_root) {
    pstk_json_shape *shape = l->shape;
    shape->hole_count = 0;
    if (!pass_byte(l, '{'))
        return false;
    do {
        pass_space(l);
        if (!put_hole(l))
            return false;
    } while (pass_byte(l, ','));
    if (!pass_byte(l, '}') || !put_text(l, &shape->hole[shape->hole_count]))
        return false;
    shape->is_sample = (l->seen & 1u << PSTK_KEY_VALUE) != 0;
    for (uint32_t i = 0; i < shape->hole_count; i++)
        shape->hole[i].use = (uint8_t)use_of((pstk_json_role)l->role[i], shape->is_sample, is_root);
    return true;
}

void pstk_json_learn_shape(pstk_json *json, const uint8_t *first, bool is_root) {
    pstk_json_shapes *set = &json->shapes[json->set][is_root];
    if (set->wait > 0) {
        set->wait--;
        return;
    }
    uint32_t other = set->first ^ 1;
    lesson l = {.shape = &set->shape[other], .at = first, .end = json->at, .text = first};
    if (learn(&l, is_root))
        set->first = other;
    else
        l.shape->hole_count = 0;
    set->wait = set->penalty;
    set->penalty = PSTK_MIN(set->penalty * 2 + 1, PSTK_SHAPE_WAIT_MAX);
}
