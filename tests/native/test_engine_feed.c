/* Columns into the journal: what each row must become, said once in plain words below, against
 * what is read back from the ring. Rows are drawn so that runs of plain ones, which go the short
 * way, end at every kind of odd one. */
#include "engine_fixture.h"

#include <math.h>

#define ROWS 3000u
#define ROUNDS 24u

enum { F64, I64, BOOL, CODE, OTHERS, TAGS }; /* OTHERS belongs to another source */

typedef struct rows {
    uint32_t tag[ROWS];
    int64_t time_ns[ROWS];
    uint64_t value[ROWS];
    uint16_t quality[ROWS];
} rows;

typedef struct expected {
    uint64_t used, dropped[PSTK_DROP_COUNT];
    pstk_sample sample[TAGS][ROWS];
    size_t count[TAGS];
} expected;

static rows in;
static expected wanted;
static pstk_sample found[ROWS];

static uint64_t draw_value(uint64_t *seed) {
    static const uint64_t odd[] = {0,
                                   UINT64_C(1) << 63, /* -0.0, or the least integer */
                                   UINT64_C(0x7FF0000000000000),
                                   UINT64_C(0xFFF0000000000000),
                                   UINT64_C(0x7FF8000000000001),
                                   1,
                                   2,
                                   UINT64_MAX};
    uint64_t draw = pstk_random(seed);
    if (draw % 16 == 0)
        return odd[draw / 16 % (sizeof odd / sizeof odd[0])];
    return (pstk_value){.f64 = (double)(int64_t)(draw >> 20) / 64}.bits;
}

static void draw_rows(uint64_t *seed, const uint32_t tag[TAGS], uint64_t odd_every) {
    for (size_t i = 0; i < ROWS; i++) {
        bool is_odd = pstk_random(seed) % odd_every == 0;
        uint64_t pick = pstk_random(seed) % (is_odd ? TAGS + 1 : 2);
        in.tag[i] = pick < TAGS ? tag[pick] : 77; /* 77: no such tag */
        in.value[i] = draw_value(seed);
        in.time_ns[i] = START_NS + (int64_t)i * 1000;
        if (is_odd && pstk_random(seed) % 4 == 0)
            in.time_ns[i] = pstk_random(seed) % 2 ? PSTK_TIME_NONE : START_NS + 61 * SECOND;
        in.quality[i] = (uint16_t)(pstk_random(seed) % 8 ? 0 : 0x8000);
    }
}

/* The rows of one round, in the words of penstock.h. -1: it becomes *out. */
static int judge_row(size_t i, const pstk_feed *feed, const uint32_t tag[TAGS], pstk_sample *out) {
    pstk_value value = {.bits = in.value[i]};
    uint32_t id = in.tag[i];
    int64_t time_ns = feed->time_ns ? in.time_ns[i] : PSTK_TIME_NONE;
    if (id == 77)
        return PSTK_DROP_TAG_NAME;
    if (id == tag[OTHERS])
        return PSTK_DROP_SOURCE;
    if (id == tag[F64] && !isfinite(value.f64))
        return PSTK_DROP_NAN;
    if (id == tag[F64] && value.f64 == 0)
        value.f64 = 0.0;
    if ((id == tag[BOOL] && value.bits > 1) || id == tag[CODE]) /* it has no text yet */
        return PSTK_DROP_RANGE;
    if (time_ns != PSTK_TIME_NONE && time_ns > feed->recv_time_ns + 60 * SECOND)
        return PSTK_DROP_FUTURE;
    *out = (pstk_sample){.time_ns = time_ns == PSTK_TIME_NONE ? feed->recv_time_ns : time_ns,
                         .value = value,
                         .tag_id = id,
                         .quality = feed->quality ? in.quality[i] : 0};
    return -1;
}

static void expect(const pstk_feed *feed, const uint32_t tag[TAGS]) {
    memset(&wanted, 0, sizeof wanted);
    for (size_t i = 0; i < feed->count; i++) {
        pstk_sample sample;
        int reason = judge_row(i, feed, tag, &sample);
        if (reason >= 0) {
            wanted.dropped[reason]++;
            continue;
        }
        size_t kind = 0;
        while (tag[kind] != sample.tag_id)
            kind++;
        wanted.sample[kind][wanted.count[kind]++] = sample;
        wanted.used++;
    }
}

static bool is_same_sample(const pstk_sample *a, const pstk_sample *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

static void check_journal(pstk_engine *engine, const uint32_t tag[TAGS]) {
    pstk_stats stats;
    pstk_error err;
    REQUIRE(pstk_engine_stats(engine, &stats) == PSTK_OK);
    for (size_t kind = 0; kind < TAGS; kind++) {
        size_t before = 0, count = 0, wrong = 0;
        size_t newest = PSTK_MIN(wanted.count[kind], ROWS);
        REQUIRE(pstk_engine_evidence(engine, tag[kind], stats.written, newest, 0, found, &before,
                                     &count, &err) == PSTK_OK);
        CHECK(count == newest);
        for (size_t i = 0; i < count; i++)
            wrong += !is_same_sample(&found[i], &wanted.sample[kind][i]);
        CHECK(wrong == 0);
    }
}

static void run_round(pstk_engine *engine, const uint32_t tag[TAGS], uint64_t round,
                      uint64_t *seed) {
    draw_rows(seed, tag, round % 3 == 0 ? 2 : round % 3 == 1 ? 50 : 1000);
    pstk_feed feed = {.position = NO_POSITION,
                      .recv_time_ns = START_NS,
                      .count = ROWS,
                      .tag_ids = in.tag,
                      .time_ns = round % 5 == 4 ? NULL : in.time_ns,
                      .values = in.value,
                      .quality = round % 2 ? in.quality : NULL};
    pstk_source_stats was, is;
    pstk_feed_result result;
    pstk_error err;
    REQUIRE(pstk_engine_source_stats(engine, 0, &was) == PSTK_OK);
    expect(&feed, tag);
    CHECK(pstk_engine_feed(engine, &feed, &result, &err) == PSTK_OK);
    REQUIRE(pstk_engine_source_stats(engine, 0, &is) == PSTK_OK);
    CHECK(result.used == wanted.used && result.used + result.dropped == ROWS);
    CHECK(is.used - was.used == wanted.used && is.received - was.received == ROWS);
    for (size_t reason = 0; reason < PSTK_DROP_COUNT; reason++)
        CHECK(is.dropped[reason] - was.dropped[reason] == wanted.dropped[reason]);
    check_journal(engine, tag);
}

int main(void) {
    place_begin();
    setup s = one_source();
    s.source_count = 2;
    s.source[1] = feed_source("other");
    pstk_engine *engine = must_open(&s);
    uint32_t tag[TAGS] = {[F64] = must_tag(engine, 0, "m.level", PSTK_TYPE_F64),
                          [I64] = must_tag(engine, 0, "m.count", PSTK_TYPE_I64),
                          [BOOL] = must_tag(engine, 0, "m.open", PSTK_TYPE_BOOL),
                          [CODE] = must_tag(engine, 0, "m.mode", PSTK_TYPE_CODE),
                          [OTHERS] = must_tag(engine, 1, "n.level", PSTK_TYPE_F64)};
    uint64_t seed = 20261124;
    for (uint64_t round = 0; round < ROUNDS; round++)
        run_round(engine, tag, round, &seed);
    must_close(engine);
    place_end();
    return check_result("test_engine_feed");
}
