/* pack: samples of one tag as the few bytes that the ledger keeps beside an event.
 *
 *   u8 layout = 2 | u16 count | i64 first time | count - 1 changes of the step
 *   u8 scale | count values | runs of equal quality: length, u16
 *
 * Little-endian; whole numbers are zigzag varints. A sensor's readings are decimals with few
 * places, so scale 0 to 9 says: value = number / 10^scale, and the numbers' differences follow.
 * That is tried with every value, bit for bit; where one differs, scale is 255 and each value is
 * what changed against the one before: a byte (leading, trailing zero bytes), the bytes between.
 * Pure; the reader is src/penstock/samples.py. */
#include "penstock.h"

#include <stdbool.h>
#include <string.h>

#define LAYOUT 2u
#define SCALE_MAX 9
#define SCALE_BITS 255u
#define WHOLE_MAX 9007199254740992.0 /* 2^53: below it a double is an exact integer */

static const double power[SCALE_MAX + 1] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};

static uint8_t *put_le(uint8_t *at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

/* Of a difference in two's complement: small either way, few bytes. */
static uint8_t *put_signed(uint8_t *at, uint64_t value) {
    return put_varint(at, (value << 1) ^ (0 - (value >> 63)));
}

static double value_of(const pstk_sample *sample, int type) {
    return type == PSTK_TYPE_F64 ? sample->value.f64 : (double)sample->value.i64;
}

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint8_t *put_times(uint8_t *at, const pstk_sample *samples, size_t count) {
    uint64_t last = (uint64_t)samples[0].time_ns, last_step = 0;
    at = put_le(at, last, 8);
    for (size_t i = 1; i < count; i++) {
        uint64_t step = (uint64_t)samples[i].time_ns - last;
        at = put_signed(at, step - last_step);
        last = (uint64_t)samples[i].time_ns;
        last_step = step;
    }
    return at;
}

static int64_t number_of(double value, int scale) {
    double scaled = value * power[scale];
    return (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

static bool is_decimal(double value, int scale) {
    double scaled = value * power[scale];
    if (!(scaled > -WHOLE_MAX && scaled < WHOLE_MAX)) /* nor not a number */
        return false;
    return bits_of((double)number_of(value, scale) / power[scale]) == bits_of(value);
}

/* The least scale that every value has, or -1. One that fails for a value fails for good. */
static int scale_of(const pstk_sample *samples, size_t count, int type) {
    int scale = 0;
    for (size_t i = 0; i < count && scale <= SCALE_MAX; i++)
        while (scale <= SCALE_MAX && !is_decimal(value_of(&samples[i], type), scale))
            scale++;
    for (size_t i = 0; i < count && scale <= SCALE_MAX; i++) /* those before it rose */
        if (!is_decimal(value_of(&samples[i], type), scale))
            return -1;
    return scale <= SCALE_MAX ? scale : -1;
}

static uint8_t *put_decimals(uint8_t *at, const pstk_sample *samples, size_t count, int type,
                             int scale) {
    uint64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t number = number_of(value_of(&samples[i], type), scale);
        at = put_signed(at, (uint64_t)number - last);
        last = (uint64_t)number;
    }
    return at;
}

static uint8_t *put_bits(uint8_t *at, const pstk_sample *samples, size_t count, int type) {
    uint64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = bits_of(value_of(&samples[i], type)), changed = bits ^ last;
        unsigned lead = changed ? (unsigned)__builtin_clzll(changed) / 8 : 8;
        unsigned trail = changed ? (unsigned)__builtin_ctzll(changed) / 8 : 0;
        *at++ = (uint8_t)(lead << 4 | trail);
        at = put_le(at, changed >> (8 * trail), 8 - lead - trail);
        last = bits;
    }
    return at;
}

static uint8_t *put_quality(uint8_t *at, const pstk_sample *samples, size_t count) {
    for (size_t i = 0, run; i < count; i += run) {
        for (run = 1; i + run < count && samples[i + run].quality == samples[i].quality; run++)
            ;
        at = put_varint(at, run);
        at = put_le(at, samples[i].quality, 2);
    }
    return at;
}

size_t pstk_samples_pack(const pstk_sample *samples, size_t count, int type, uint8_t *out) {
    uint8_t *at = put_le(out, LAYOUT, 1);
    count = count < UINT16_MAX ? count : UINT16_MAX;
    at = put_le(at, count, 2);
    if (count == 0)
        return (size_t)(at - out);
    at = put_times(at, samples, count);
    int scale = scale_of(samples, count, type);
    at = put_le(at, scale < 0 ? SCALE_BITS : (unsigned)scale, 1);
    at = scale < 0 ? put_bits(at, samples, count, type)
                   : put_decimals(at, samples, count, type, scale);
    at = put_quality(at, samples, count);
    return (size_t)(at - out);
}
