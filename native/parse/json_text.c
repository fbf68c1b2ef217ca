/* json_text: a JSON string (RFC 8259 section 7) becomes a slice of valid UTF-8. Without escapes it
 * is the payload itself; with escapes it is written to json->text, which cannot overflow: a string
 * only shrinks. */
#include "json_scan.h"
#include "parse_private.h"

/* First byte that is a quote, a backslash or a control character; at most end. *is_ascii falls
 * where a byte before it is above 127. */
static const uint8_t *plain_end(const uint8_t *at, const uint8_t *end, bool *is_ascii) {
#ifdef __SSE2__
    for (; end - at >= 16; at += 16) {
        uint32_t high, stop = pstk_stops16(at, &high);
        *is_ascii &= (high & (stop ? (stop & -stop) - 1 : UINT32_MAX)) == 0;
        if (stop)
            return at + __builtin_ctz(stop);
    }
#endif
    for (; end - at >= 8; at += 8) {
        uint64_t word = pstk_load_u64(at), stop = pstk_stops(word);
        *is_ascii &= (word & PSTK_HIGHS & (stop ? (stop & -stop) - 1 : UINT64_MAX)) == 0;
        if (stop)
            return at + (__builtin_ctzll(stop) >> 3);
    }
    for (; at < end && *at != '"' && *at != '\\' && *at >= 0x20; at++)
        *is_ascii &= *at < 0x80;
    return at;
}

static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of \uXXXX, or -1. */
static int32_t hex4(const uint8_t *at, const uint8_t *end) {
    int32_t value = 0;
#ifndef PSTK_PLANT_JSON /* a missing check that fuzz --self-test must find */
    if (end - at < 4)
        return -1;
#else
    (void)end;
#endif
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static uint8_t *put_utf8(uint8_t *out, uint32_t c) {
    if (c < 0x80) {
        *out++ = (uint8_t)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (uint8_t)(0xC0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *out++ = (uint8_t)(0xE0 | c >> 12);
        } else {
            *out++ = (uint8_t)(0xF0 | c >> 18);
            *out++ = (uint8_t)(0x80 | (c >> 12 & 0x3F));
        }
        *out++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    }
    *out++ = (uint8_t)(0x80 | (c & 0x3F));
    return out;
}

/* at stands behind "\u". A surrogate must be the high half of a pair: half a character is no UTF-8.
 */
static const uint8_t *unicode_escape(const uint8_t *at, const uint8_t *end, uint8_t **out) {
    int32_t first = hex4(at, end);
    if (first < 0)
        return NULL;
    at += 4;
    uint32_t c = (uint32_t)first;
    if (c >= 0xD800 && c <= 0xDFFF) {
        if (c >= 0xDC00 || end - at < 6 || at[0] != '\\' || at[1] != 'u')
            return NULL;
        int32_t second = hex4(at + 2, end);
        if (second < 0xDC00 || second > 0xDFFF)
            return NULL;
        c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)second - 0xDC00);
        at += 6;
    }
    *out = put_utf8(*out, c);
    return at;
}

/* at stands on the backslash. Returns what follows the escape, or NULL. */
static const uint8_t *escape(const uint8_t *at, const uint8_t *end, uint8_t **out) {
    static const uint8_t meaning[128] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                         ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    if (end - at < 2)
        return NULL;
    uint8_t c = at[1];
    if (c == 'u')
        return unicode_escape(at + 2, end, out);
    if (c >= 128 || meaning[c] == 0)
        return NULL;
    *(*out)++ = meaning[c];
    return at + 2;
}

static bool unescaped(pstk_json *json, const uint8_t *start, pstk_slice *out) {
    bool is_ascii = true;
    uint8_t *text = json->text + json->text_used, *to = text;
    const uint8_t *at = start;
    for (;;) {
        const uint8_t *stop = plain_end(at, json->end, &is_ascii);
        memcpy(to, at, (size_t)(stop - at));
        to += stop - at;
        if (stop == json->end || *stop < 0x20)
            return false;
        if (*stop == '"') {
            json->at = stop + 1;
            break;
        }
        at = escape(stop, json->end, &to);
        if (!at)
            return false;
    }
    *out = (pstk_slice){text, (size_t)(to - text)};
    json->text_used += (uint32_t)out->size;
    return is_ascii || pstk_is_utf8(out->bytes, out->size);
}

bool pstk_json_string(pstk_json *json, pstk_slice *out) {
    bool is_ascii = true;
    const uint8_t *start = json->at;
    const uint8_t *stop = plain_end(start, json->end, &is_ascii);
    if (stop == json->end || *stop < 0x20)
        return false;
    if (*stop == '\\')
        return unescaped(json, start, out);
    *out = (pstk_slice){start, (size_t)(stop - start)};
    json->at = stop + 1;
    return is_ascii || pstk_is_utf8(start, out->size);
}
