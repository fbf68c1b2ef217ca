/* json_time: a stamp, as an epoch number or RFC 3339 text, becomes ns since 1970 UTC. */
#include "parse_private.h"

#define TEXT_BYTES_MIN 20 /* 2026-01-31T23:59:59Z */

static __uint128_t power_of_ten(int32_t exponent) {
    __uint128_t value = 1;
    while (exponent-- > 0)
        value *= 10;
    return value;
}

/* magnitude * 10^exponent, cut to an integer; what needs more than 128 bits is out of range anyway.
 */
static __uint128_t scaled(uint64_t magnitude, int32_t exponent) {
    if (magnitude == 0 || exponent < -19)
        return 0;
    if (exponent > 19)
        return ~(__uint128_t)0;
    return exponent < 0 ? magnitude / power_of_ten(-exponent) : magnitude * power_of_ten(exponent);
}

/* The unit is judged by size: until the year 5138 seconds stay below 1e11, and 1e11 ms is 1973. */
static int32_t digits_to_ns(__uint128_t whole) {
    if (whole < UINT64_C(100000000000))
        return 9;
    if (whole < UINT64_C(100000000000000))
        return 6;
    return whole < UINT64_C(100000000000000000) ? 3 : 0;
}

pstk_drop pstk_time_from_number(const pstk_number *number, int64_t *out_time_ns) {
    int32_t digits = digits_to_ns(scaled(number->magnitude, number->exponent));
    __uint128_t ns = scaled(number->magnitude, number->exponent + digits);
    if (ns > (uint64_t)INT64_MAX)
        return PSTK_DROP_RANGE;
    *out_time_ns = number->is_negative ? -(int64_t)ns : (int64_t)ns;
    return PSTK_REASON_NONE;
}

/* count decimal digits, or -1. */
static int32_t read_digits(const uint8_t *at, int count) {
    int32_t value = 0;
    for (int i = 0; i < count; i++) {
        if ((uint8_t)(at[i] - '0') > 9)
            return -1;
        value = value * 10 + (at[i] - '0');
    }
    return value;
}

static bool is_date(int32_t year, int32_t month, int32_t day) {
    static const int8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (year < 0 || month < 1 || month > 12 || day < 1)
        return false;
    return day <= days[month - 1] + (month == 2 && is_leap);
}

/* Days since 1970-01-01, proleptic Gregorian; the year is counted from March so that the leap day
 * is its last. */
static int64_t days_from_date(int32_t year, int32_t month, int32_t day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = month <= 2 ? month + 9 : month - 3;
    int64_t leaps = (y + 400) / 4 - (y + 400) / 100 + (y + 400) / 400 - 97; /* y may be -1 */
    return y * 365 + leaps + (153 * m + 2) / 5 + day - 1 - 719468;
}

static bool read_clock(const uint8_t *at, int64_t *out_seconds) {
    int32_t hour = read_digits(at, 2), minute = read_digits(at + 3, 2),
            second = read_digits(at + 6, 2);
    if (at[2] != ':' || at[5] != ':' || hour < 0 || hour > 23 || minute < 0 || minute > 59)
        return false;
    *out_seconds = hour * 3600 + minute * 60 + second;
    return second >= 0 && second <= 60; /* 60: a leap second reads as the next minute's first */
}

/* ".digits"; beyond the ninth they are cut off. at ends behind them. */
static bool read_fraction(const uint8_t **at, const uint8_t *end, int64_t *out_ns) {
    int64_t unit = PSTK_NS_PER_S;
    *out_ns = 0;
    if (*at == end || **at != '.')
        return true;
    const uint8_t *first = ++*at;
    for (; *at < end && (uint8_t)(**at - '0') <= 9; ++*at) {
        unit /= 10;
        *out_ns += (**at - '0') * unit;
    }
    return *at > first;
}

/* "Z" or "+hh:mm", exactly to the end. */
static bool read_offset(const uint8_t *at, const uint8_t *end, int64_t *out_seconds) {
    *out_seconds = 0;
    if (end - at == 1)
        return *at == 'Z' || *at == 'z';
    if (end - at != 6 || (*at != '+' && *at != '-') || at[3] != ':')
        return false;
    int32_t hour = read_digits(at + 1, 2), minute = read_digits(at + 4, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59)
        return false;
    *out_seconds = (hour * 3600 + minute * 60) * (*at == '-' ? -1 : 1);
    return true;
}

pstk_drop pstk_time_from_text(pstk_slice text, int64_t *out_time_ns) {
    const uint8_t *at = text.bytes, *end = at + text.size;
    int64_t clock, fraction_ns, offset;
    if (text.size < TEXT_BYTES_MIN || at[4] != '-' || at[7] != '-')
        return PSTK_DROP_MALFORMED;
    int32_t year = read_digits(at, 4), month = read_digits(at + 5, 2), day = read_digits(at + 8, 2);
    if (!is_date(year, month, day) || (at[10] != 'T' && at[10] != 't' && at[10] != ' '))
        return PSTK_DROP_MALFORMED;
    if (!read_clock(at + 11, &clock))
        return PSTK_DROP_MALFORMED;
    at += 19;
    if (!read_fraction(&at, end, &fraction_ns) || !read_offset(at, end, &offset))
        return PSTK_DROP_MALFORMED;
    int64_t seconds = days_from_date(year, month, day) * 86400 + clock - offset;
    __int128_t ns = (__int128_t)seconds * PSTK_NS_PER_S + fraction_ns;
    if (ns > INT64_MAX || ns <= INT64_MIN) /* INT64_MIN means "no stamp" */
        return PSTK_DROP_RANGE;
    *out_time_ns = (int64_t)ns;
    return PSTK_REASON_NONE;
}
