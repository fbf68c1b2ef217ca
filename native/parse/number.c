/* number: digits become an exact integer or the nearest double (Eisel and Lemire's method). */
#include "number.h"

#include "json_scan.h"
#include "number_powers.h"

#include <locale.h>
#include <stdlib.h>

#define EXPONENT_MAX 1000000000 /* of the text; far above any number of digits a frame holds */
#define MANTISSA_BITS 52

const uint64_t (*const pstk_number_powers)[2] = &number_powers[-PSTK_POWER_MIN];

const uint64_t pstk_powers_of_ten[PSTK_DIGITS_MAX + 1] = {1,
                                                          10,
                                                          100,
                                                          1000,
                                                          10000,
                                                          100000,
                                                          1000000,
                                                          10000000,
                                                          100000000,
                                                          1000000000,
                                                          10000000000,
                                                          100000000000,
                                                          1000000000000,
                                                          10000000000000,
                                                          100000000000000,
                                                          1000000000000000,
                                                          10000000000000000,
                                                          100000000000000000,
                                                          1000000000000000000,
                                                          UINT64_C(10000000000000000000)};

static inline bool is_digit(const uint8_t *at, const uint8_t *end) {
    return at < end && (uint8_t)(*at - '0') <= 9;
}

/* True where the digit went into magnitude; once one did not, none does. */
static inline bool take_digit(pstk_number *out, bool *is_full, uint8_t digit) {
    const uint64_t most = UINT64_MAX / 10;
    if (PSTK_LIKELY(!*is_full && (out->magnitude < most ||
                                  (out->magnitude == most && digit <= UINT64_MAX % 10)))) {
        out->magnitude = out->magnitude * 10 + digit;
        return true;
    }
    *is_full = true;
    out->is_cut |= digit != 0;
    return false;
}

static const uint8_t *scan_exponent(const uint8_t *at, const uint8_t *end, pstk_number *out) {
    int64_t exponent = 0;
    bool is_negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    if (!is_digit(at, end))
        return NULL;
    for (; is_digit(at, end); at++)
        exponent = PSTK_MIN(exponent * 10 + (*at - '0'), EXPONENT_MAX);
    out->exponent += (int32_t)(is_negative ? -exponent : exponent);
    return at;
}

const uint8_t *pstk_number_scan(const uint8_t *at, const uint8_t *end, pstk_number *out) {
    bool is_full = false;
    *out = (pstk_number){.text = at, .is_integer = true};
    if (at < end && *at == '-') {
        out->is_negative = true;
        at++;
    }
    if (!is_digit(at, end))
        return NULL;
    if (*at == '0') /* a leading zero stands alone */
        at++;
    else
        for (; is_digit(at, end); at++)
            out->exponent += !take_digit(out, &is_full, (uint8_t)(*at - '0'));
    if (at < end && *at == '.') {
        out->is_integer = false;
        at++;
        if (!is_digit(at, end))
            return NULL;
        for (; is_digit(at, end); at++)
            out->exponent -= take_digit(out, &is_full, (uint8_t)(*at - '0'));
    }
    if (at < end && (*at | 0x20) == 'e') {
        out->is_integer = false;
        at = scan_exponent(at + 1, end, out);
        if (!at)
            return NULL;
    }
    out->text_bytes = (uint32_t)(at - out->text);
    return at;
}

bool pstk_number_i64(const pstk_number *number, int64_t *out) {
    uint64_t most = (uint64_t)INT64_MAX + number->is_negative;
    if (!pstk_number_is_u64(number) || number->magnitude > most)
        return false;
    *out = (int64_t)(number->is_negative ? 0 - number->magnitude : number->magnitude);
    return true;
}

/* The product's 128 most significant bits; the second half of the power only where the first leaves
 * the rounding open. */
static __uint128_t multiply_power(uint64_t whole, int32_t q) {
    const uint64_t *power = number_powers[q - PSTK_POWER_MIN];
    __uint128_t product = (__uint128_t)whole * power[0];
    if (((uint64_t)(product >> 64) & 0x1FF) == 0x1FF)
        product += (uint64_t)(((__uint128_t)whole * power[1]) >> 64);
    return product;
}

/* Bits of the double nearest to magnitude * 10^q, without sign. False: this method cannot tell, or
 * q is beyond the table: no quantity of a plant. Within it no double is infinite or subnormal. */
static bool nearest_bits(uint64_t magnitude, int32_t q, uint64_t *out_bits) {
    *out_bits = 0;
    if (magnitude == 0)
        return true;
    if (q < PSTK_POWER_MIN || q > PSTK_POWER_MAX)
        return false;
    int zeros = __builtin_clzll(magnitude);
    __uint128_t product = multiply_power(magnitude << zeros, q);
    uint64_t upper = (uint64_t)(product >> 64), lower = (uint64_t)product;
    if (lower == UINT64_MAX && (q < -27 || q > 55))
        return false; /* the table is inexact there and a carry may be missing */
    int32_t top = (int32_t)(upper >> 63);
    int shift = top + 64 - MANTISSA_BITS - 3;
    uint64_t mantissa = upper >> shift; /* 54 bits: one more than a double has */
    /* 217706 / 65536 is log2(10) from below: the binary exponent of 10^q for every q of the table.
     */
    int32_t exponent = (int32_t)((217706 * (int64_t)q) >> 16) + 63 + 1023 + top - zeros;
    /* An exact tie is possible only where 5^q, or its inverse, fits 64 bits: then to even. */
    if (lower <= 1 && q >= -4 && q <= 23 && (mantissa & 3) == 1 && mantissa << shift == upper)
        mantissa &= ~UINT64_C(1);
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    if (mantissa >> (MANTISSA_BITS + 1)) {
        mantissa >>= 1;
        exponent++;
    }
    *out_bits =
        ((uint64_t)exponent << MANTISSA_BITS) | (mantissa & ((UINT64_C(1) << MANTISSA_BITS) - 1));
    return true;
}

static double slow_f64(const pstk_number *number, uint8_t *scratch, void *locale) {
    memcpy(scratch, number->text, number->text_bytes);
    scratch[number->text_bytes] = 0;
    return strtod_l((const char *)scratch, NULL, (locale_t)locale);
}

double pstk_number_f64(const pstk_number *number, uint8_t *scratch, void *locale) {
    uint64_t bits, above;
    if (!nearest_bits(number->magnitude, number->exponent, &bits))
        return slow_f64(number, scratch, locale);
    /* With digits cut off the number lies between magnitude and magnitude + 1. */
    if (PSTK_UNLIKELY(number->is_cut) &&
        (number->magnitude == UINT64_MAX ||
         !nearest_bits(number->magnitude + 1, number->exponent, &above) || above != bits))
        return slow_f64(number, scratch, locale);
    bits |= (uint64_t)number->is_negative << 63;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
