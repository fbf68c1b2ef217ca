/* number: the text of a JSON number becomes an exact integer or the nearest double.
 * Integer arithmetic only: neither locale nor rounding mode matters, but for the rare text that the
 * fast method cannot decide, which strtod in the C locale does. */
#ifndef PSTK_NUMBER_H
#define PSTK_NUMBER_H

#include "../base/base.h"

typedef struct pstk_number { /* (-1)^is_negative * magnitude * 10^exponent */
    const uint8_t *text;
    uint32_t text_bytes;
    int32_t exponent;
    uint64_t magnitude; /* as many leading digits as 64 bits hold */
    bool is_negative;
    bool is_integer; /* written without fraction and exponent */
    bool is_cut;     /* digits that are not 0 did not fit magnitude */
} pstk_number;

/* Reads the number that begins at at (RFC 8259 section 6). Returns the byte behind it, or NULL
 * where the text is no number. What follows is the caller's to judge. */
const uint8_t *pstk_number_scan(const uint8_t *at, const uint8_t *end, pstk_number *out);

/* Integer literal whose magnitude is exact. */
static inline bool pstk_number_is_u64(const pstk_number *number) {
    return number->is_integer && !number->is_cut && number->exponent == 0;
}
bool pstk_number_i64(const pstk_number *number, int64_t *out);

/* Nearest double, ties to even; infinite where it overflows. scratch holds text_bytes + 1 bytes.
 * locale is a locale_t of "C". */
double pstk_number_f64(const pstk_number *number, uint8_t *scratch, void *locale);

/* 128 bits of 5^q, high half first, for q = -64..64. */
extern const uint64_t (*const pstk_number_powers)[2];

/* The same for magnitude / 10^decimals, up to PSTK_DECIMALS_MAX, where no case needs the slow path:
 * number.c's method without what larger exponents ask for. */
#define PSTK_DECIMALS_MAX 22
static inline double pstk_number_decimal(uint64_t magnitude, uint32_t decimals, bool is_negative) {
    uint64_t bits = 0;
    double value;
    if (PSTK_LIKELY(magnitude != 0)) {
        int32_t q = -(int32_t)decimals;
        int zeros = __builtin_clzll(magnitude);
        const uint64_t *power = pstk_number_powers[q];
        __uint128_t product = (__uint128_t)(magnitude << zeros) * power[0];
        if (PSTK_UNLIKELY(((uint64_t)(product >> 64) & 0x1FF) == 0x1FF))
            product += (uint64_t)(((__uint128_t)(magnitude << zeros) * power[1]) >> 64);
        uint64_t upper = (uint64_t)(product >> 64), lower = (uint64_t)product;
        unsigned top = (unsigned)(upper >> 63), shift = top + 9;
        uint64_t mantissa = upper >> shift; /* 54 bits */
        if (PSTK_UNLIKELY(lower <= 1) && q >= -4 && (mantissa & 3) == 1 &&
            mantissa << shift == upper)
            mantissa &= ~UINT64_C(1); /* a tie: to even */
        mantissa = (mantissa + (mantissa & 1)) >> 1;
        int32_t exponent = ((217706 * q) >> 16) + 63 + 1022 + (int32_t)top - zeros;
        /* Its leading bit, and what rounding carries over it, count the exponent up. */
        bits = ((uint64_t)exponent << 52) + mantissa;
    }
    bits |= (uint64_t)is_negative << 63;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
