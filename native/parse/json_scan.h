/* json_scan: bytes of a document looked at eight or sixteen at a time; private to this stage.
 * Nothing behind end is read. SSE2 is part of every x86-64; elsewhere words of eight do the same.
 */
#ifndef PSTK_JSON_SCAN_H
#define PSTK_JSON_SCAN_H

#include "../base/base.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define PSTK_ONES UINT64_C(0x0101010101010101)
#define PSTK_HIGHS UINT64_C(0x8080808080808080)
#define PSTK_DIGITS_MAX 19u /* any so many digits fit 64 bits */

static inline uint64_t pstk_zero_bytes(uint64_t x) { return (x - PSTK_ONES) & ~x & PSTK_HIGHS; }

/* A high bit where a quote, a backslash or a control character stands. The lowest set bit is exact;
 * above it borrows may set more. */
static inline uint64_t pstk_stops(uint64_t word) {
    return pstk_zero_bytes(word ^ (PSTK_ONES * '"')) | pstk_zero_bytes(word ^ (PSTK_ONES * '\\')) |
           ((word - PSTK_ONES * 0x20) & ~word & PSTK_HIGHS);
}

#ifdef __SSE2__
/* The same, a bit a byte, of the sixteen at at; *out_high: bytes above 127. */
static inline uint32_t pstk_stops16(const uint8_t *at, uint32_t *out_high) {
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1F)), x);
    __m128i quote = _mm_cmpeq_epi8(x, _mm_set1_epi8('"'));
    __m128i slash = _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'));
    *out_high = (uint32_t)_mm_movemask_epi8(x);
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, slash)));
}
#endif

/* The next eight bytes; behind end they read as zeros. Eight bytes must lie before end. */
static inline uint64_t pstk_word_at(const uint8_t *at, const uint8_t *end) {
    ptrdiff_t left = end - at;
    if (PSTK_LIKELY(left >= 8))
        return pstk_load_u64(at);
    return left <= 0 ? 0 : pstk_load_u64(end - 8) >> (64 - 8 * left);
}

/* How many decimal digits the word begins with. */
static inline unsigned pstk_digit_count(uint64_t word) {
    uint64_t digits = word ^ (PSTK_ONES * '0');
    uint64_t others = (digits | (digits + PSTK_ONES * 0x76)) & PSTK_HIGHS;
    return others ? (unsigned)__builtin_ctzll(others) >> 3 : 8;
}

/* The number that the first count digits of the word make; count is 1 to 8. */
static inline uint64_t pstk_digits_value(uint64_t word, unsigned count) {
    uint64_t x = (word ^ (PSTK_ONES * '0')) << (64 - 8 * count); /* zeros in front, and no more */
    x = (x * 10 + (x >> 8)) & UINT64_C(0x00FF00FF00FF00FF);
    x = (x * 100 + (x >> 16)) & UINT64_C(0x0000FFFF0000FFFF);
    return (x * 10000 + (x >> 32)) & UINT32_MAX;
}

#ifdef __SSE2__
/* A bit a byte that is no digit, of the (at most sixteen) bytes from at to end, and set bits from
 * there on. Sixteen bytes must lie before end. */
static inline uint32_t pstk_others16(const uint8_t *at, const uint8_t *end) {
    ptrdiff_t left = end - at;
    int shift = left < 16 ? (int)(16 - left) : 0;
    __m128i x = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)(at - shift)),
                             _mm_set1_epi8('0'));
    __m128i digits = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(9)), x);
    return ~(uint32_t)_mm_movemask_epi8(digits) >> shift;
}

/* The last count of sixteen bytes, as a mask. */
static inline __m128i pstk_last_bytes(unsigned count) {
    static const uint8_t masks[32] = {[16] = 255, 255, 255, 255, 255, 255, 255, 255,
                                      255,        255, 255, 255, 255, 255, 255, 255};
    return _mm_loadu_si128((const __m128i *)(const void *)(masks + count));
}

/* Sixteen digits, each a byte below ten, the first counts most. */
static inline uint64_t pstk_value16(__m128i digits) {
    __m128i tens = _mm_mullo_epi16(_mm_and_si128(digits, _mm_set1_epi16(255)), _mm_set1_epi16(10));
    __m128i twos = _mm_add_epi16(tens, _mm_srli_epi16(digits, 8));
    __m128i fours = _mm_madd_epi16(twos, _mm_set1_epi32(0x10064)); /* 100, 1 */
    __m128i eights = _mm_madd_epi16(_mm_packs_epi32(fours, fours), _mm_set1_epi32(0x12710));
    uint64_t both = (uint64_t)_mm_cvtsi128_si64(eights);
    return (both & UINT32_MAX) * 100000000 + (both >> 32);
}

/* The number of the count digits that end at behind; sixteen bytes before it are readable. */
static inline uint64_t pstk_whole16(const uint8_t *behind, unsigned count) {
    __m128i x = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)(behind - 16)),
                             _mm_set1_epi8('0'));
    return pstk_value16(_mm_and_si128(x, pstk_last_bytes(count)));
}

/* The same of whole digits, one byte that is left out, and decimals digits behind it. */
static inline uint64_t pstk_decimal16(const uint8_t *behind, unsigned whole, unsigned decimals) {
    __m128i x = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)(behind - 16)),
                             _mm_set1_epi8('0'));
    __m128i low = pstk_last_bytes(decimals), all = pstk_last_bytes(whole + decimals);
    __m128i high = _mm_andnot_si128(low, _mm_and_si128(_mm_slli_si128(x, 1), all));
    return pstk_value16(_mm_or_si128(_mm_and_si128(x, low), high));
}
#endif

extern const uint64_t pstk_powers_of_ten[PSTK_DIGITS_MAX + 1];

/* Digits from at on: returns how many, *out_value their number; above PSTK_DIGITS_MAX it is
 * meaningless. */
static inline unsigned pstk_digits_at(const uint8_t *at, const uint8_t *end, uint64_t *out_value) {
    uint64_t value = 0;
    unsigned total = 0, count;
    do {
        uint64_t word = pstk_word_at(at + total, end);
        count = pstk_digit_count(word);
        if (count == 0)
            break;
        value = value * pstk_powers_of_ten[count] + pstk_digits_value(word, count);
        total += count;
    } while (count == 8 && total <= PSTK_DIGITS_MAX);
    *out_value = value;
    return total;
}

#endif
