/* plan: what every bench sends: sample i of one fixed, endless plan, and its bytes on the wire.
 * 1,000 tags in random order, 14-character names, 1 sample in 1,000 crosses the limit, one sample
 * each microsecond of event time (so a tag has about 1 kHz). Pure: sender, columns and expectation
 * come from the same function, and two runs send the same bytes.
 * Values are multiples of 1/64 below 128: every sum over them is exact in a double, and they are
 * written with six decimals without rounding. */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PLAN_TAGS 1000u
#define PLAN_NAME_BYTES 14u
#define PLAN_MESSAGE_BYTES 64u
#define PLAN_START_NS INT64_C(1780000000000000000) /* fixed and past, whole seconds */
#define PLAN_STEP_NS 1000
#define PLAN_TAIL_NS INT64_C(120000000000) /* how far behind the data the tail stands */
#define PLAN_LIMIT 90.0
#define PLAN_DEADBAND 5.0
#define PLAN_UNIT 64.0
#define PLAN_UNITS_LOW 1280u  /* 20.0 */
#define PLAN_UNITS_SPAN 3840u /* up to, not including, 80.0 */
#define PLAN_UNITS_OVER 6080u /* 95.0: above the limit */
#define PLAN_UNITS_TAIL 3200u /* 50.0 */

typedef struct plan_sample {
    uint32_t tag;
    uint32_t units; /* value * PLAN_UNIT */
    int64_t time_ns;
} plan_sample;

static inline uint64_t plan_mix(uint64_t x) { /* splitmix64 */
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static inline plan_sample plan_at(uint64_t i) {
    uint64_t x = plan_mix(i);
    uint32_t low = (uint32_t)x;
    bool is_over = low * 0x9E3779B1u < 4294967u; /* 2^32 / 1000 */
    uint32_t units = PLAN_UNITS_LOW + (uint32_t)((uint64_t)low * PLAN_UNITS_SPAN >> 32);
    return (plan_sample){.tag = (uint32_t)((x >> 32) * PLAN_TAGS >> 32),
                         .units = is_over ? PLAN_UNITS_OVER : units,
                         .time_ns = PLAN_START_NS + (int64_t)i * PLAN_STEP_NS};
}

/* After n samples, one quiet sample of each tag two minutes later: it closes the last windows and
 * excursions and tells what was folded, so that everything sent can be compared. */
static inline plan_sample plan_tail_at(uint64_t n, uint32_t tag) {
    return (plan_sample){.tag = tag,
                         .units = PLAN_UNITS_TAIL,
                         .time_ns =
                             PLAN_START_NS + (int64_t)(n + tag) * PLAN_STEP_NS + PLAN_TAIL_NS};
}

static inline void plan_name(uint32_t tag, char out[PLAN_NAME_BYTES + 1]) {
    snprintf(out, PLAN_NAME_BYTES + 1, "line%u.m%02u.t%03u", tag / 100 % 10, tag / 10 % 10,
             tag % 1000);
}

/* ---- expectation ----------------------------------------------------------------------------- */

typedef struct plan_expected {
    uint64_t samples;
    uint64_t trips; /* excursions above the limit */
    uint64_t units; /* sum of the values, times PLAN_UNIT */
    bool is_over[PLAN_TAGS];
} plan_expected;

static inline void plan_expect(plan_expected *expected, plan_sample sample) {
    bool is_over = sample.units == PLAN_UNITS_OVER;
    expected->samples++;
    expected->units += sample.units;
    expected->trips += is_over && !expected->is_over[sample.tag];
    expected->is_over[sample.tag] = is_over;
}

static inline void plan_expect_print(const plan_expected *expected) {
    printf("expected {\"samples\": %llu, \"trips\": %llu, \"sum\": %.6f}\n",
           (unsigned long long)expected->samples, (unsigned long long)expected->trips,
           (double)expected->units / PLAN_UNIT);
    fflush(stdout);
}

/* ---- bytes on the wire ----------------------------------------------------------------------- */

typedef struct plan_writer { /* ready-made messages, one a tag; time, value and number are patched
                              */
    bool is_json;
    uint8_t message[PLAN_TAGS][PLAN_MESSAGE_BYTES];
    char number[PLAN_UNITS_OVER + 1][16]; /* nine characters each: 47.015625 */
    int64_t stem_us;                      /* json: the stamp but its last four digits, as text */
    char stem[16];
    char four[10000][4];
} plan_writer;

static inline void plan_store(uint8_t *at, uint64_t value, size_t bytes) {
    for (size_t k = 0; k < bytes; k++)
        at[k] = (uint8_t)(value >> 8 * k);
}

static inline void plan_writer_packed(uint8_t *at, const char *name) {
    memset(at, 0, PLAN_MESSAGE_BYTES);
    memcpy(at, "PSK1\1\0\1", 7);                        /* one sample, one name */
    plan_store(at + 8, 7, 4);                           /* stream */
    plan_store(at + 12, PLAN_START_NS / 1000000000, 4); /* boot */
    at[32] = 1;                                         /* f64 */
    at[33] = PLAN_NAME_BYTES;
    memcpy(at + 34, name, PLAN_NAME_BYTES);
}

static inline void plan_writer_json(uint8_t *at, const char *name) {
    char text[PLAN_MESSAGE_BYTES + 1];
    snprintf(text, sizeof text, "{\"name\":\"%s\",\"value\":00.000000,\"t\":0000000000000000}",
             name);
    memcpy(at, text, PLAN_MESSAGE_BYTES);
}

static inline void plan_writer_init(plan_writer *writer, bool is_json) {
    writer->is_json = is_json;
    writer->stem_us = -1;
    for (uint32_t tag = 0; tag < PLAN_TAGS; tag++) {
        char name[PLAN_NAME_BYTES + 1];
        plan_name(tag, name);
        if (is_json)
            plan_writer_json(writer->message[tag], name);
        else
            plan_writer_packed(writer->message[tag], name);
    }
    for (uint32_t units = 0; units <= PLAN_UNITS_OVER; units++)
        snprintf(writer->number[units], sizeof writer->number[units], "%09.6f",
                 (double)units / PLAN_UNIT);
    for (unsigned k = 0; k < 10000; k++) {
        char text[8];
        snprintf(text, sizeof text, "%04u", k);
        memcpy(writer->four[k], text, 4);
    }
}

/* Writes the message of sample number i; PLAN_MESSAGE_BYTES at out. */
static inline void plan_write(plan_writer *writer, uint64_t i, plan_sample sample, uint8_t *out) {
    memcpy(out, writer->message[sample.tag], PLAN_MESSAGE_BYTES);
    if (writer->is_json) {
        int64_t us = sample.time_ns / 1000;
        if (us / 10000 != writer->stem_us) {
            writer->stem_us = us / 10000;
            snprintf(writer->stem, sizeof writer->stem, "%012lld", (long long)writer->stem_us);
        }
        memcpy(out + 33, writer->number[sample.units], 9);
        memcpy(out + 47, writer->stem, 12);
        memcpy(out + 59, writer->four[us % 10000], 4);
        return;
    }
    double value = (double)sample.units / PLAN_UNIT;
    memcpy(out + 16, &i, 8);
    memcpy(out + 24, &sample.time_ns, 8);
    memcpy(out + 48, &value, 8);
}

#endif
