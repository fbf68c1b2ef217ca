/* plan: what every bench sends: sample i of one fixed, endless plan, and its bytes on the wire.
 * 1,000 tags in random order, 14-character names, 1 sample in 1,000 crosses the limit, one sample
 * each microsecond of event time (so a tag has about 1 kHz). Pure: sender, columns and expectation
 * come from the same function, and two runs send the same bytes. A figure about another number or
 * order of tags says so in its plan; a paced sender moves the stamps to when each sample is due.
 * Values are multiples of 1/64 below 128: every sum over them is exact in a double, and they are
 * written with six decimals without rounding. */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PLAN_TAGS 1000u
#define PLAN_TAGS_MAX 1000000u
#define PLAN_NAME_BYTES 14u
#define PLAN_MESSAGE_BYTES 64u
#define PLAN_START_NS INT64_C(1780000000000000000) /* fixed and past, whole seconds */
#define PLAN_STEP_NS 1000
#define PLAN_TAIL_NS INT64_C(120000000000) /* how far behind the data the tail stands */
/* A paced sample is stamped this much before it is due, so that its tail is not in the future. */
#define PLAN_PAST_NS INT64_C(300000000000)
#define PLAN_OVER_PER_MILLION 1000u
#define PLAN_LIMIT 90.0
#define PLAN_DEADBAND 5.0
#define PLAN_UNIT 64.0
#define PLAN_UNITS_LOW 1280u  /* 20.0 */
#define PLAN_UNITS_SPAN 3840u /* up to, not including, 80.0 */
#define PLAN_UNITS_OVER 6080u /* 95.0: above the limit */
#define PLAN_UNITS_TAIL 3200u /* 50.0 */

typedef struct plan {
    uint32_t tags;
    uint32_t over_per_million; /* samples that cross the limit */
    bool is_cyclic;            /* tags one after the other, else in random order */
    int64_t start_ns, step_ns;
} plan;

#define PLAN_DEFAULT                                                                               \
    ((plan){.tags = PLAN_TAGS,                                                                     \
            .over_per_million = PLAN_OVER_PER_MILLION,                                             \
            .start_ns = PLAN_START_NS,                                                             \
            .step_ns = PLAN_STEP_NS})

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

static inline plan_sample plan_sample_at(const plan *of, uint64_t i) {
    uint64_t x = plan_mix(i);
    uint32_t low = (uint32_t)x;
    /* 2^32 / 10^6 for each in a million */
    bool is_over = low * 0x9E3779B1u < of->over_per_million * UINT64_C(4294967296) / 1000000;
    uint32_t units = PLAN_UNITS_LOW + (uint32_t)((uint64_t)low * PLAN_UNITS_SPAN >> 32);
    uint64_t tag = of->is_cyclic ? i % of->tags : (x >> 32) * of->tags >> 32;
    return (plan_sample){.tag = (uint32_t)tag,
                         .units = is_over ? PLAN_UNITS_OVER : units,
                         .time_ns = of->start_ns + (int64_t)i * of->step_ns};
}

/* After n samples, one quiet sample of each tag two minutes later: it closes the last windows and
 * excursions and tells what was folded, so that everything sent can be compared. */
static inline plan_sample plan_sample_tail(const plan *of, uint64_t n, uint32_t tag) {
    return (plan_sample){.tag = tag,
                         .units = PLAN_UNITS_TAIL,
                         .time_ns = of->start_ns + (int64_t)(n + tag) * of->step_ns + PLAN_TAIL_NS};
}

static inline void plan_tail_print(const plan *of, uint64_t n) {
    printf("tail {\"tail_ns\": %lld}\n", (long long)plan_sample_tail(of, n, 0).time_ns);
    fflush(stdout);
}

static inline plan_sample plan_at(uint64_t i) { return plan_sample_at(&PLAN_DEFAULT, i); }

static inline plan_sample plan_tail_at(uint64_t n, uint32_t tag) {
    return plan_sample_tail(&PLAN_DEFAULT, n, tag);
}

/* A name's six digits in three groups: of a thousand tags, line 0..9, machine 0..9 and the tag's
 * number; beyond, what is above a thousand turns line and machine on, so a million are distinct. */
static inline uint32_t plan_name_line(uint32_t tag) { return (tag / 100 + tag / 100000) % 10; }
static inline uint32_t plan_name_machine(uint32_t tag) {
    return (tag / 10 % 10 + tag / 1000) % 100;
}

static inline void plan_name(uint32_t tag, char out[PLAN_NAME_BYTES + 1]) {
    snprintf(out, PLAN_NAME_BYTES + 1, "line%u.m%02u.t%03u", plan_name_line(tag),
             plan_name_machine(tag), tag % 1000);
}

/* ---- expectation ----------------------------------------------------------------------------- */

typedef struct plan_expected {
    uint64_t sent; /* by number; more than samples where a sender left some out */
    uint64_t samples;
    uint64_t trips; /* excursions above the limit */
    uint64_t units; /* sum of the values, times PLAN_UNIT */
    bool is_over[PLAN_TAGS_MAX];
} plan_expected;

static inline void plan_expect(plan_expected *expected, plan_sample sample) {
    bool is_over = sample.units == PLAN_UNITS_OVER;
    expected->sent++;
    expected->samples++;
    expected->units += sample.units;
    expected->trips += is_over && !expected->is_over[sample.tag];
    expected->is_over[sample.tag] = is_over;
}

static inline void plan_expect_print(const plan_expected *expected) {
    printf("expected {\"sent\": %llu, \"samples\": %llu, \"trips\": %llu, \"sum\": %.6f}\n",
           (unsigned long long)expected->sent, (unsigned long long)expected->samples,
           (unsigned long long)expected->trips, (double)expected->units / PLAN_UNIT);
    fflush(stdout);
}

/* ---- bytes on the wire ----------------------------------------------------------------------- */

#define PLAN_BLOCK_SAMPLES_MAX 255u /* names of one message */
#define PLAN_BLOCK_BYTES_MAX (32u + PLAN_BLOCK_SAMPLES_MAX * (2u + PLAN_NAME_BYTES + 16u))

typedef struct plan_writer { /* one ready-made message; name, time, value and number are patched */
    bool is_json;
    uint8_t message[PLAN_MESSAGE_BYTES];
    char number[PLAN_UNITS_OVER + 1][16]; /* nine characters each: 47.015625 */
    int64_t stem_us;                      /* json: the stamp but its last four digits, as text */
    char stem[16];
    char four[10000][4];
    uint32_t block_of[PLAN_TAGS_MAX]; /* the block that last named this tag, and where */
    uint8_t name_in[PLAN_TAGS_MAX];
    uint32_t block;
} plan_writer;

static inline void plan_store(uint8_t *at, uint64_t value, size_t bytes) {
    for (size_t k = 0; k < bytes; k++)
        at[k] = (uint8_t)(value >> 8 * k);
}

static inline void plan_writer_packed(uint8_t *at, uint32_t samples, uint32_t names) {
    memset(at, 0, 32);
    memcpy(at, "PSK1", 4);
    plan_store(at + 4, samples, 2);
    at[6] = (uint8_t)names;
    plan_store(at + 12, PLAN_START_NS / 1000000000, 4); /* boot */
}

static inline void plan_writer_init(plan_writer *writer, bool is_json) {
    uint8_t *at = writer->message;
    char text[PLAN_MESSAGE_BYTES + 1] =
        "{\"name\":\"line0.m00.t000\",\"value\":00.000000,\"t\":0000000000000000}";
    writer->is_json = is_json;
    writer->stem_us = -1;
    if (is_json) {
        memcpy(at, text, PLAN_MESSAGE_BYTES);
    } else {
        memset(at, 0, PLAN_MESSAGE_BYTES);
        plan_writer_packed(at, 1, 1);
        at[32] = 1; /* f64 */
        at[33] = PLAN_NAME_BYTES;
        memcpy(at + 34, text + 9, PLAN_NAME_BYTES);
    }
    for (uint32_t units = 0; units <= PLAN_UNITS_OVER; units++)
        snprintf(writer->number[units], sizeof writer->number[units], "%09.6f",
                 (double)units / PLAN_UNIT);
    for (unsigned k = 0; k < 10000; k++) {
        snprintf(text, sizeof text, "%04u", k);
        memcpy(writer->four[k], text, 4);
    }
}

/* The digits of line0.m00.t000; plan_name in a few stores. */
static inline void plan_write_name(const plan_writer *writer, uint32_t tag, uint8_t *at) {
    at[4] = (uint8_t)writer->four[plan_name_line(tag)][3];
    memcpy(at + 7, writer->four[plan_name_machine(tag)] + 2, 2);
    memcpy(at + 11, writer->four[tag % 1000] + 1, 3);
}

/* Writes the message of one sample; seq: how many its stream had sent. PLAN_MESSAGE_BYTES at out.
 */
static inline void plan_write(plan_writer *writer, uint32_t stream, uint64_t seq,
                              plan_sample sample, uint8_t *out) {
    memcpy(out, writer->message, PLAN_MESSAGE_BYTES);
    if (writer->is_json) {
        int64_t us = sample.time_ns / 1000;
        if (us / 10000 != writer->stem_us) {
            writer->stem_us = us / 10000;
            snprintf(writer->stem, sizeof writer->stem, "%012lld", (long long)writer->stem_us);
        }
        plan_write_name(writer, sample.tag, out + 9);
        memcpy(out + 33, writer->number[sample.units], 9);
        memcpy(out + 47, writer->stem, 12);
        memcpy(out + 59, writer->four[us % 10000], 4);
        return;
    }
    double value = (double)sample.units / PLAN_UNIT;
    plan_write_name(writer, sample.tag, out + 34);
    memcpy(out + 8, &stream, 4);
    memcpy(out + 16, &seq, 8);
    memcpy(out + 24, &sample.time_ns, 8);
    memcpy(out + 48, &value, 8);
}

/* Writes one message of several samples, each of its tags named once; returns its bytes, at most
 * PLAN_BLOCK_BYTES_MAX. */
static inline size_t plan_write_block(plan_writer *writer, uint32_t stream, uint64_t seq,
                                      const plan_sample *samples, uint32_t count, uint8_t *out) {
    uint8_t *at = out + 32;
    uint32_t names = 0;
    writer->block++;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t tag = samples[k].tag;
        if (writer->block_of[tag] == writer->block)
            continue;
        writer->block_of[tag] = writer->block;
        writer->name_in[tag] = (uint8_t)names++;
        memcpy(at, writer->message + 32, 2 + PLAN_NAME_BYTES);
        plan_write_name(writer, tag, at + 2);
        at += 2 + PLAN_NAME_BYTES;
    }
    plan_writer_packed(out, count, names);
    plan_store(out + 8, stream, 4);
    memcpy(out + 16, &seq, 8);
    memcpy(out + 24, &samples[0].time_ns, 8);
    for (uint32_t k = 0; k < count; k++, at += 16) {
        double value = (double)samples[k].units / PLAN_UNIT;
        memcpy(at, &value, 8);
        plan_store(at + 8, (uint64_t)(samples[k].time_ns - samples[0].time_ns), 4);
        plan_store(at + 12, writer->name_in[samples[k].tag], 4);
    }
    return (size_t)(at - out);
}

#endif
