/* The pure stage on its own: patterns, levels, registers, integrals, states. */
#include "check.h"
#include "rule/rule.h"

static bool matches(const char *pattern, const char *name, const char *capture) {
    const char *at;
    size_t bytes;
    if (!pstk_pattern_match(pattern, name, strlen(name), &at, &bytes))
        return false;
    return bytes == strlen(capture) && memcmp(at, capture, bytes) == 0;
}

static void test_patterns(void) {
    CHECK(matches("line*.good", "line1.good", "1"));
    CHECK(matches("*", "x", "x") && matches("a*", "a", "") && matches("*.b", "c.b", "c"));
    CHECK(matches("plain", "plain", "") && !matches("plain", "plain2", "") && !matches("", "", ""));
    CHECK(!matches("ab*ba", "aba", "")); /* head and tail may not overlap */
    char out[8];
    CHECK(pstk_pattern_fill("m*.x", "12", 2, out, sizeof out) && strcmp(out, "m12.x") == 0);
    CHECK(!pstk_pattern_fill("m*.x", "12345", 5, out, sizeof out));
    CHECK(pstk_time_floor(-1, 10, 0) == -10 && pstk_time_floor(25, 10, 3) == 23 &&
          pstk_time_floor(2, 10, 3) == -7);
    CHECK(pstk_time_add(INT64_MAX, 1) == INT64_MAX && pstk_time_add(INT64_MIN, -1) == INT64_MIN);
}

/* Whatever lies strictly inside the quiet range changes nothing, for every phase: the fast path
 * rests on it. */
static void test_quiet_range_is_safe(void) {
    pstk_rule rule = {.kind = PSTK_RULE_LIMIT};
    static const double level[] = {100, 80, 20, 10};
    for (int k = 0; k < 4; k++)
        rule.level[k] = (pstk_limit_level){.is_set = 1,
                                           .value = level[k],
                                           .deadband = 5,
                                           .on_delay_ns = k == 0 ? 3 : 0,
                                           .off_delay_ns = k == 3 ? 3 : 0};
    pstk_limit limit = {0};
    pstk_limit_delay delay = {0};
    uint64_t random = 7, quiet = 0;
    for (int64_t t = 0; t < 20000; t++) {
        double low = -__builtin_inf(), high = __builtin_inf();
        double x = (double)(pstk_random(&random) % 1300) / 10.0 - 5;
        pstk_limit_sample sample = {.x = x, .value.f64 = x, .time_ns = t, .recv_ns = t};
        pstk_limit_fact fact[PSTK_LIMIT_FACTS_MAX];
        pstk_limit_quiet(&rule, &limit, &low, &high);
        pstk_limit before = limit;
        bool has_more;
        size_t count = pstk_limit_step(&rule, &limit, &delay, &sample, fact, &has_more);
        bool is_quiet = x > low && x < high;
        quiet += is_quiet;
        CHECK(!is_quiet || (count == 0 && memcmp(&before, &limit, sizeof limit) == 0));
        CHECK(count <= PSTK_LIMIT_FACTS_MAX);
    }
    CHECK(quiet > 1000);
}

static void test_counter_of_doubles(void) {
    pstk_rule rule = {.kind = PSTK_RULE_COUNTER};
    pstk_counter counter = {0};
    pstk_segment_fact fact[PSTK_SEGMENT_FACTS_MAX];
    pstk_counter_input in = {
        .boundary_ns = PSTK_TIME_NONE, .type = PSTK_TYPE_F64, .has_reading = true};
    for (int k = 0; k <= 10; k++) {
        in.time_ns = k;
        in.reading.f64 = 0.1 * k;
        CHECK(pstk_counter_step(&rule, &counter, &in, fact) == 0);
    }
    in.is_cut = true;
    in.time_ns = 11;
    in.reading.f64 = 2.0;
    REQUIRE(pstk_counter_step(&rule, &counter, &in, fact) == 1);
    CHECK(fact[0].quantity.f64 == 1.0 && fact[0].end.f64 == 1.0 && fact[0].count == 11);
    CHECK(counter.quantity.sum == 1.0 && counter.start.f64 == 1.0);
}

static void test_counter_overflow_says_so(void) {
    pstk_rule rule = {.kind = PSTK_RULE_COUNTER};
    pstk_counter counter = {0};
    pstk_segment_fact fact[PSTK_SEGMENT_FACTS_MAX];
    pstk_counter_input in = {
        .boundary_ns = PSTK_TIME_NONE, .type = PSTK_TYPE_I64, .has_reading = true};
    in.reading.i64 = INT64_MIN;
    pstk_counter_step(&rule, &counter, &in, fact);
    in.reading.i64 = INT64_MAX;
    pstk_counter_step(&rule, &counter, &in, fact);
    in.is_cut = true;
    REQUIRE(pstk_counter_step(&rule, &counter, &in, fact) == 1);
    CHECK(fact[0].quantity.i64 == INT64_MAX && (fact[0].flags & PSTK_FLAG_INCOMPLETE));
}

static void test_baseline_without_start_marks_the_lot_unknown(void) {
    pstk_rule rule = {.kind = PSTK_RULE_COUNTER};
    pstk_counter counter = {0};
    pstk_segment_fact fact[PSTK_SEGMENT_FACTS_MAX];
    pstk_counter_input in = {.time_ns = 100,
                             .boundary_ns = PSTK_TIME_NONE,
                             .type = PSTK_TYPE_I64,
                             .has_reading = true,
                             .reading.i64 = 50,
                             .has_baseline = true,
                             .baseline.i64 = 40,
                             .baseline_ns = 90,
                             .has_lots = true};
    CHECK(pstk_counter_step(&rule, &counter, &in, fact) == 0);
    in.has_baseline = false;
    in.is_cut = true;
    in.time_ns = 110;
    in.reading.i64 = 55;
    REQUIRE(pstk_counter_step(&rule, &counter, &in, fact) == 1);
    CHECK(fact[0].quantity.i64 == 10 && fact[0].start.i64 == 40 && fact[0].start_ns == 90);
    CHECK(fact[0].flags == (PSTK_FLAG_BASELINE | PSTK_FLAG_UNKNOWN_LOT));
}

static void test_total_bad_flow_is_not_integrated(void) {
    pstk_rule rule = {.kind = PSTK_RULE_TOTAL, .rate_unit_ns = 1};
    pstk_total total = {0};
    pstk_segment_fact fact[PSTK_SEGMENT_FACTS_MAX];
    pstk_total_input in = {.boundary_ns = PSTK_TIME_NONE, .has_rate = true, .rate = 2};
    CHECK(pstk_total_step(&rule, &total, &in, fact) == 0);
    in = (pstk_total_input){.time_ns = 10, .boundary_ns = PSTK_TIME_NONE, .is_bad = true};
    pstk_total_step(&rule, &total, &in, fact);
    in = (pstk_total_input){
        .time_ns = 20, .boundary_ns = PSTK_TIME_NONE, .has_rate = true, .rate = 1};
    pstk_total_step(&rule, &total, &in, fact);
    in = (pstk_total_input){.time_ns = 25, .boundary_ns = PSTK_TIME_NONE, .is_cut = true};
    REQUIRE(pstk_total_step(&rule, &total, &in, fact) == 1);
    CHECK(fact[0].quantity.f64 == 25 &&
          fact[0].flags == (PSTK_FLAG_PARTIAL | PSTK_FLAG_INCOMPLETE));
}

static void test_total_across_a_gap_waits_for_the_next_value(void) {
    pstk_rule rule = {.kind = PSTK_RULE_TOTAL, .rate_unit_ns = 1};
    pstk_total total = {0};
    pstk_segment_fact fact[PSTK_SEGMENT_FACTS_MAX];
    pstk_total_input in = {
        .time_ns = 0, .boundary_ns = PSTK_TIME_NONE, .has_rate = true, .rate = 2};
    pstk_total_step(&rule, &total, &in, fact);
    in = (pstk_total_input){.time_ns = 10, .boundary_ns = PSTK_TIME_NONE, .has_gap = true};
    pstk_total_step(&rule, &total, &in, fact); /* another tag's instant, behind the gap */
    in = (pstk_total_input){.time_ns = 30, .boundary_ns = 20};
    REQUIRE(pstk_total_step(&rule, &total, &in, fact) == 1);
    CHECK(fact[0].quantity.f64 == 0 && (fact[0].flags & PSTK_FLAG_INCOMPLETE));
    in = (pstk_total_input){
        .time_ns = 40, .boundary_ns = PSTK_TIME_NONE, .has_rate = true, .rate = 3};
    pstk_total_step(&rule, &total, &in, fact);
    in = (pstk_total_input){.time_ns = 45, .boundary_ns = PSTK_TIME_NONE, .is_cut = true};
    REQUIRE(pstk_total_step(&rule, &total, &in, fact) == 1);
    CHECK(fact[0].quantity.f64 == 15 && fact[0].flags == PSTK_FLAG_INCOMPLETE);
}

static void test_state_never_ends_before_it_began(void) {
    pstk_rule rule = {.kind = PSTK_RULE_STATE};
    pstk_state_run run = {0};
    pstk_state_fact fact[PSTK_STATE_FACTS_MAX];
    pstk_state_input in = {
        .time_ns = 100, .code = 1, .since_ns = 90, .has_since = true, .is_listed = true};
    CHECK(pstk_state_step(&rule, &run, &in, fact) == 0);
    in = (pstk_state_input){.time_ns = 101, .code = 2, .since_ns = 80, .has_since = true};
    REQUIRE(pstk_state_step(&rule, &run, &in, fact) == 1);
    CHECK(fact[0].start_ns == 90 && fact[0].end_ns == 90 && run.code == 2);
}

/* What a reading below the last one means is the rule's; a rollover is one under any. */
static void test_negative_step(void) {
    static const int64_t reading[] = {100, 130, 120, 125, 131, 140, 3};
    static const struct {
        uint8_t negative;
        int64_t quantity, last;
        uint32_t flags;
        uint64_t count;
    } wanted[] = {
        {PSTK_NEGATIVE_RESET, 30 + 120 + 5 + 6 + 9 + 13, 3, PSTK_FLAG_RESET | PSTK_FLAG_ROLLOVER,
         7},
        {PSTK_NEGATIVE_SUBTRACT, 40 + 13, 3, PSTK_FLAG_CORRECTED | PSTK_FLAG_ROLLOVER, 7},
        {PSTK_NEGATIVE_IGNORE, 40 + 13, 3, PSTK_FLAG_ROLLOVER, 5},
    };
    for (size_t w = 0; w < 3; w++) {
        pstk_rule rule = {
            .kind = PSTK_RULE_COUNTER, .rollover = 150, .negative = wanted[w].negative};
        pstk_counter counter = {0};
        pstk_segment_fact fact[PSTK_SEGMENT_FACTS_MAX];
        for (size_t k = 0; k < sizeof reading / sizeof *reading; k++) {
            pstk_counter_input in = {.time_ns = (int64_t)k,
                                     .boundary_ns = PSTK_TIME_NONE,
                                     .type = PSTK_TYPE_I64,
                                     .has_reading = true,
                                     .reading.i64 = reading[k]};
            CHECK(pstk_counter_step(&rule, &counter, &in, fact) == 0);
        }
        CHECK(counter.quantity.exact == wanted[w].quantity && counter.last.i64 == wanted[w].last);
        CHECK(counter.flags == (PSTK_FLAG_PARTIAL | wanted[w].flags));
        CHECK(counter.count == wanted[w].count);
    }
}

/* A quantity may become negative, and a lot's start may lie below where the segment began. */
static void test_correction_below_the_start(void) {
    pstk_rule rule = {.kind = PSTK_RULE_COUNTER, .negative = PSTK_NEGATIVE_SUBTRACT};
    pstk_counter counter = {0};
    pstk_segment_fact fact[PSTK_SEGMENT_FACTS_MAX];
    pstk_counter_input in = {.boundary_ns = PSTK_TIME_NONE,
                             .type = PSTK_TYPE_I64,
                             .has_reading = true,
                             .reading.i64 = 100};
    pstk_counter_step(&rule, &counter, &in, fact);
    in.time_ns = 1;
    in.reading.i64 = 95;
    pstk_counter_step(&rule, &counter, &in, fact);
    in.time_ns = 2;
    in.reading.i64 = 97;
    in.is_cut = in.has_start = in.is_start_new = in.is_start_usable = true;
    in.start.i64 = 93; /* the correction went on before the new lot began */
    REQUIRE(pstk_counter_step(&rule, &counter, &in, fact) == 1);
    CHECK(fact[0].quantity.i64 == -7 && fact[0].end.i64 == 93 &&
          (fact[0].flags & PSTK_FLAG_CORRECTED));
    CHECK(counter.quantity.exact == 4 && counter.start.i64 == 93 && counter.flags == 0);
}

static void test_micro_stops_belong_to_the_interval_of_their_end(void) {
    pstk_rule rule = {.kind = PSTK_RULE_STATE, .micro_every_ns = 100};
    pstk_micro_fold fold;
    pstk_state_fact out;
    pstk_micro_init(&fold);
    CHECK(!pstk_micro_add(&rule, &fold, &(pstk_state_fact){.start_ns = 195, .end_ns = 203}, 203));
    CHECK(!pstk_micro_add(&rule, &fold, &(pstk_state_fact){.start_ns = 290, .end_ns = 299}, 299));
    pstk_state_fact next = {.start_ns = 298, .end_ns = 300};
    CHECK(pstk_micro_add(&rule, &fold, &next, 300)); /* an end belongs to what it begins */
    pstk_micro_take(&fold, &out);
    CHECK(out.start_ns == 200 && out.end_ns == 300 && out.count == 2 && out.code == 17);
    CHECK(!pstk_micro_add(&rule, &fold, &next, 300));
    /* Told already: where it was seen. */
    CHECK(!pstk_micro_add(&rule, &fold, &(pstk_state_fact){.start_ns = 240, .end_ns = 250}, 350));
    pstk_micro_take(&fold, &out);
    CHECK(out.start_ns == 300 && out.end_ns == 400 && out.count == 2 && out.code == 12);
    rule.micro_every_ns = 0; /* an hour; the interval that was told is not told again */
    CHECK(!pstk_micro_add(&rule, &fold, &(pstk_state_fact){.start_ns = 401, .end_ns = 402}, 402));
    CHECK(fold.start_ns == 400 && fold.end_ns == 3600 * PSTK_NS_PER_S);
}

static void test_an_interval_of_micro_stops_ends_as_it_was_under_another_rule(void) {
    pstk_rule rule = {.kind = PSTK_RULE_STATE, .micro_every_ns = 20};
    pstk_micro_fold fold;
    pstk_state_fact out, next = {.start_ns = 42, .end_ns = 45};
    pstk_micro_init(&fold);
    CHECK(!pstk_micro_add(&rule, &fold, &(pstk_state_fact){.start_ns = 19, .end_ns = 22}, 22));
    rule.micro_every_ns = 50;
    CHECK(!pstk_micro_add(&rule, &fold, &(pstk_state_fact){.start_ns = 32, .end_ns = 34}, 34));
    CHECK(pstk_micro_add(&rule, &fold, &next, 36)); /* by the machine's stamp, ahead */
    pstk_micro_take(&fold, &out);
    CHECK(out.start_ns == 20 && out.end_ns == 40 && out.count == 2 && out.code == 5);
    CHECK(!pstk_micro_add(&rule, &fold, &next, 36));
    pstk_micro_take(&fold, &out);
    CHECK(out.start_ns == 40 && out.end_ns == 50 && out.count == 1);
}

int main(void) {
    test_patterns();
    test_quiet_range_is_safe();
    test_counter_of_doubles();
    test_counter_overflow_says_so();
    test_baseline_without_start_marks_the_lot_unknown();
    test_total_bad_flow_is_not_integrated();
    test_total_across_a_gap_waits_for_the_next_value();
    test_state_never_ends_before_it_began();
    test_negative_step();
    test_correction_below_the_start();
    test_micro_stops_belong_to_the_interval_of_their_end();
    test_an_interval_of_micro_stops_ends_as_it_was_under_another_rule();
    return check_result("rule_steps");
}
