/* Rates, stuck and silent tags, re-alarms and bad quality through the judge: each event's kind,
 * times, value and flags; by the next sample or by a tick, the same event. */
#include "judge_journal.h"
#include "rule/rule.h"

static void say(jj *j, uint32_t tag, int64_t time_ns, double x) {
    j->now_ns = PSTK_MAX(j->now_ns, time_ns);
    jj_f64(j, tag, time_ns, x);
}

static bool is_event(const pstk_event *e, int kind, int64_t at_ns, int64_t start_ns, int64_t end_ns,
                     double value) {
    bool is_it = e->kind == kind && e->at_ns == at_ns && e->start_ns == start_ns &&
                 e->end_ns == end_ns && e->value.f64 == value;
    if (!is_it)
        fprintf(stderr, "kind %u at %g start %g end %g value %g\n", (unsigned)e->kind,
                (double)e->at_ns / 1e9, (double)e->start_ns / 1e9,
                e->end_ns == PSTK_TIME_NONE ? -1 : (double)e->end_ns / 1e9, e->value.f64);
    return is_it;
}

#define NONE PSTK_TIME_NONE

/* ---- rate ----------------------------------------------------------------------------------- */

static uint32_t with_rate(jj *j, double high, int64_t span_ns, uint8_t type) {
    pstk_rule *rule = jj_rule(j, "fast", PSTK_RULE_RATE, "*.level");
    rule->span_ns = span_ns;
    rule->rate_unit_ns = 60 * S; /* a minute */
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = high, .deadband = 6};
    jj_config(j);
    return jj_tag(j, "m1.level", type);
}

static void test_rate_is_against_the_reading_one_span_back(void) {
    jj j;
    jj_open(&j);
    uint32_t level = with_rate(&j, 30, 10 * S, PSTK_TYPE_F64);
    for (int k = 0; k <= 20; k++) /* 12 a minute */
        say(&j, level, (1000 + k) * S, 0.2 * k);
    say(&j, level, 1021 * S, 9); /* (9 - 2.2) in 10 s: 40.8 a minute */
    say(&j, level, 1022 * S, 7); /* 27.6: within the deadband */
    say(&j, level, 1023 * S, 5); /* 14.4 */
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 2);
    CHECK(is_event(&out.event[0], PSTK_EVENT_RATE_H_TRIP, 1021 * S, 1021 * S, NONE,
                   (9 - 0.2 * 11) * 60e9 / 10e9));
    CHECK(is_event(&out.event[1], PSTK_EVENT_RATE_H_CLEAR, 1023 * S, 1021 * S, 1023 * S,
                   (5 - 0.2 * 13) * 60e9 / 10e9));
    CHECK(out.event[0].limit == 30 && out.event[0].value_type == PSTK_TYPE_F64);
    jj_out_free(&out);
    jj_close(&j);
}

/* Exactly two spans back still counts; beyond that the tag was silent and nothing is judged until
 * another span has passed. */
static void test_rate_starts_again_after_a_silence(void) {
    for (int beyond = 0; beyond < 2; beyond++) {
        jj j;
        jj_open(&j);
        uint32_t level = with_rate(&j, 30, 10 * S, PSTK_TYPE_F64);
        say(&j, level, 1000 * S, 0);
        say(&j, level, 1020 * S + beyond, 1000); /* 3000 a minute, or silence */
        say(&j, level, 1030 * S, 1001);
        say(&j, level, 1031 * S, 2001);
        jj_out out = jj_run(&j, 680);
        REQUIRE(out.count == (beyond ? 1 : 3));
        CHECK(out.event[0].at_ns == (beyond ? 1031 * S : 1020 * S));
        if (beyond)
            CHECK(out.event[0].value.f64 == 1001.0 * 60e9 / (double)(11 * S - 1));
        else
            CHECK(is_event(&out.event[0], PSTK_EVENT_RATE_H_TRIP, 1020 * S, 1020 * S, NONE, 3000));
        jj_out_free(&out);
        jj_close(&j);
    }
}

static void test_rate_of_whole_numbers_is_exact_and_saturates(void) {
    jj j;
    jj_open(&j);
    uint32_t level = with_rate(&j, 1, 60 * S, PSTK_TYPE_I64);
    const int64_t base = INT64_C(1) << 60; /* doubles of it pass over 256 numbers */
    j.now_ns = 1000 * S;
    jj_i64(&j, level, 1000 * S, base);
    jj_i64(&j, level, 1060 * S, base + 1);
    jj_i64(&j, level, 1120 * S, INT64_MIN);
    jj_i64(&j, level, 1180 * S, INT64_MAX);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 3);
    CHECK(is_event(&out.event[0], PSTK_EVENT_RATE_H_TRIP, 1060 * S, 1060 * S, NONE, 1));
    CHECK(is_event(&out.event[1], PSTK_EVENT_RATE_H_CLEAR, 1120 * S, 1060 * S, 1120 * S,
                   (double)INT64_MIN));
    CHECK(out.event[2].value.f64 == (double)INT64_MAX);
    jj_out_free(&out);
    jj_close(&j);
}

/* However dense the samples, 40 anchors reach a span back. */
static void test_rate_of_dense_samples_has_a_reference(void) {
    jj j;
    jj_open(&j);
    uint32_t level = with_rate(&j, 30, S, PSTK_TYPE_F64);
    for (int k = 0; k < 5000; k++)
        say(&j, level, 1000 * S + k * MS, k < 4000 ? 0 : 0.01 * (k - 4000));
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 1); /* 0.01 a ms over the last second: 30 a minute at 0.5 */
    CHECK(out.event[0].value.f64 >= 30 && out.event[0].value.f64 < 30.7);
    CHECK(out.event[0].at_ns >= 1004 * S + 50 * MS && out.event[0].at_ns <= 1004 * S + 55 * MS);
    jj_out_free(&out);
    jj_close(&j);
}

/* ---- stuck ---------------------------------------------------------------------------------- */

static uint32_t with_stuck(jj *j, double band, uint8_t type) {
    pstk_rule *rule = jj_rule(j, "stuck", PSTK_RULE_STUCK, "*.flow");
    rule->after_ns = 5 * S;
    rule->band = band;
    jj_config(j);
    return jj_tag(j, "m1.flow", type);
}

static void test_stuck_bears_the_time_it_began(void) {
    jj j;
    jj_open(&j);
    uint32_t flow = with_stuck(&j, 0.5, PSTK_TYPE_F64);
    say(&j, flow, 1000 * S, 3);
    say(&j, flow, 1001 * S, 7); /* moves */
    say(&j, flow, 1003 * S, 7.5);
    say(&j, flow, 1006 * S - 1, 6.5);
    say(&j, flow, 1006 * S, 7.25); /* five seconds within 7 +- 0.5 */
    say(&j, flow, 1008 * S, 7);
    say(&j, flow, 1009 * S, 7.75);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 2);
    CHECK(is_event(&out.event[0], PSTK_EVENT_STUCK_TRIP, 1001 * S, 1001 * S, NONE, 7));
    CHECK(is_event(&out.event[1], PSTK_EVENT_STUCK_CLEAR, 1009 * S, 1001 * S, 1009 * S, 7.75));
    jj_out_free(&out);
    jj_close(&j);
}

static void test_silence_is_not_stuck(void) {
    jj j;
    jj_open(&j);
    uint32_t flow = with_stuck(&j, 0, PSTK_TYPE_F64);
    say(&j, flow, 1000 * S, 3);
    jj_tick(&j, 1100 * S);
    say(&j, flow, 1100 * S, 4);
    jj_out out = jj_run(&j, 680);
    CHECK(out.count == 0);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_stuck_compares_whole_numbers_exactly(void) {
    jj j;
    jj_open(&j);
    uint32_t flow = with_stuck(&j, 1.9, PSTK_TYPE_I64); /* a band of 1 */
    const int64_t base = INT64_C(1) << 60;
    static const int64_t step[] = {0, 1, -1, 2, 3, 4, 5, 3};
    for (int k = 0; k < 8; k++) {
        j.now_ns = (1000 + 4 * k) * S;
        jj_i64(&j, flow, j.now_ns, base + step[k]);
    }
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 3); /* stuck at 0, moved by 2; stuck at 4 */
    CHECK(out.event[0].kind == PSTK_EVENT_STUCK_TRIP && out.event[0].value.i64 == base);
    CHECK(out.event[1].kind == PSTK_EVENT_STUCK_CLEAR && out.event[1].at_ns == 1012 * S &&
          out.event[1].value.i64 == base + 2);
    CHECK(out.event[2].kind == PSTK_EVENT_STUCK_TRIP && out.event[2].at_ns == 1020 * S &&
          out.event[2].value.i64 == base + 4);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_bad_quality_holds_or_forgets_what_is_compared(void) {
    for (int forget = 0; forget < 2; forget++) {
        jj j;
        jj_open(&j);
        pstk_rule *rule = jj_rule(&j, "stuck", PSTK_RULE_STUCK, "*.flow");
        rule->after_ns = 5 * S;
        rule->quality = forget ? PSTK_QUALITY_SUPPRESS : PSTK_QUALITY_HOLD;
        jj_config(&j);
        uint32_t flow = jj_tag(&j, "m1.flow", PSTK_TYPE_F64);
        say(&j, flow, 1000 * S, 3);
        say(&j, flow, 1002 * S, 99);
        jj_quality(&j, 0x8000);
        say(&j, flow, 1004 * S, 3);
        say(&j, flow, 1006 * S, 3);
        say(&j, flow, 1009 * S, 3);
        jj_out out = jj_run(&j, 680);
        REQUIRE(out.count == 1);
        CHECK(out.event[0].at_ns == (forget ? 1004 : 1000) * S);
        jj_out_free(&out);
        jj_close(&j);
    }
}

/* ---- freshness ------------------------------------------------------------------------------ */

static uint32_t with_freshness(jj *j) {
    pstk_rule *rule = jj_rule(j, "silent", PSTK_RULE_FRESHNESS, "*.temp");
    rule->after_ns = 5 * S;
    jj_config(j);
    return jj_tag(j, "m1.temp", PSTK_TYPE_F64);
}

static void test_silence_is_told_alike_by_sample_or_tick(void) {
    jj_out out[2];
    for (int by_tick = 0; by_tick < 2; by_tick++) {
        jj j;
        jj_open(&j);
        uint32_t temp = with_freshness(&j);
        say(&j, temp, 1000 * S, 20);
        say(&j, temp, 1002 * S, 21);
        say(&j, temp, 1004 * S, 22);
        jj_quality(&j, 0x8000); /* refreshes nothing */
        if (by_tick) {
            jj_tick(&j, 1007 * S - 1);
            jj_tick(&j, 1007 * S);
        }
        say(&j, temp, 1011 * S, 23);
        out[by_tick] = jj_run(&j, 680);
        REQUIRE(out[by_tick].count == 2);
        CHECK(is_event(&out[by_tick].event[0], PSTK_EVENT_FRESHNESS_TRIP, 1007 * S, 1002 * S, NONE,
                       21));
        CHECK(is_event(&out[by_tick].event[1], PSTK_EVENT_FRESHNESS_CLEAR, 1011 * S, 1002 * S,
                       1011 * S, 23));
        jj_close(&j);
    }
    CHECK(jj_same_events(&out[0], &out[1]));
    jj_out_free(&out[0]);
    jj_out_free(&out[1]);
}

/* Engine time runs ahead of a slow clock: told by the tick, and cleared no earlier than it began.
 */
static void test_a_tag_that_is_back_before_it_was_missed(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_freshness(&j);
    say(&j, temp, 1000 * S, 20);
    jj_tick(&j, 1005 * S);
    jj_f64(&j, temp, 1003 * S, 21); /* sent in time, late on the wire */
    jj_f64(&j, temp, 1003 * S, 22); /* not newer: says nothing */
    jj_tick(&j, 1010 * S - 1);
    jj_tick(&j, 1010 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 3);
    CHECK(is_event(&out.event[0], PSTK_EVENT_FRESHNESS_TRIP, 1005 * S, 1000 * S, NONE, 20));
    CHECK(is_event(&out.event[1], PSTK_EVENT_FRESHNESS_CLEAR, 1005 * S, 1000 * S, 1005 * S, 21));
    CHECK(is_event(&out.event[2], PSTK_EVENT_FRESHNESS_TRIP, 1008 * S, 1003 * S, NONE, 21));
    jj_out_free(&out);
    jj_close(&j);
}

/* A deadline that moves on with each sample asks for few ticks: one in each span. */
static void test_samples_that_come_ask_for_few_ticks(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_freshness(&j);
    pstk_judge *judge = jj_judge(&j, 1024);
    jj_out out = {0};
    size_t at = 0;
    int ticks = 0;
    for (int k = 0; k < 1000; k++) {
        say(&j, temp, 1000 * S + k * 100 * MS, k);
        if (pstk_judge_deadline_ns(judge) <= j.now_ns) {
            jj_tick(&j, j.now_ns);
            ticks++;
        }
        jj_run_part(&j, judge, at, j.count, 680, &out);
        at = j.count;
    }
    CHECK(out.count == 0 && ticks >= 15 && ticks <= 25);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_texts_fall_silent_too(void) {
    jj j;
    jj_open(&j);
    (void)with_freshness(&j);
    uint32_t state = jj_tag(&j, "m2.temp", PSTK_TYPE_CODE);
    int64_t run = jj_code(&j, state, "RUN");
    jj_i64(&j, state, 1000 * S, run);
    jj_tick(&j, 1005 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 1);
    CHECK(out.event[0].value_type == PSTK_TYPE_CODE && out.event[0].value.i64 == run);
    jj_out_free(&out);
    jj_close(&j);
}

/* ---- limit: re-alarm and quality ------------------------------------------------------------ */

static uint32_t with_again(jj *j, int64_t on_ns, int64_t off_ns, uint8_t quality) {
    pstk_rule *rule = jj_rule(j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1,
                                                   .value = 80,
                                                   .deadband = 2,
                                                   .on_delay_ns = on_ns,
                                                   .off_delay_ns = off_ns,
                                                   .re_alarm_ns = 10 * S};
    rule->quality = quality;
    jj_config(j);
    return jj_tag(j, "m1.temp", PSTK_TYPE_F64);
}

static void test_active_alarm_is_told_again(void) {
    jj_out out[2];
    for (int by_tick = 0; by_tick < 2; by_tick++) {
        jj j;
        jj_open(&j);
        uint32_t temp = with_again(&j, 2 * S, 0, PSTK_QUALITY_HOLD);
        say(&j, temp, 1000 * S, 85);
        say(&j, temp, 1008 * S, 86);
        for (int k = 1; by_tick && k <= 3; k++)
            jj_tick(&j, (1002 + 10 * k) * S);
        say(&j, temp, 1033 * S, 70);
        jj_tick(&j, 1100 * S);
        out[by_tick] = jj_run(&j, 680);
        const pstk_event *e = out[by_tick].event;
        REQUIRE(out[by_tick].count == 5);
        CHECK(is_event(&e[0], PSTK_EVENT_LIMIT_H_TRIP, 1000 * S, 1000 * S, NONE, 85));
        for (int k = 1; k <= 3; k++)
            CHECK(is_event(&e[k], PSTK_EVENT_LIMIT_H_REALARM, (1002 + 10 * k) * S, 1000 * S, NONE,
                           86));
        CHECK(is_event(&e[4], PSTK_EVENT_LIMIT_H_CLEAR, 1033 * S, 1000 * S, 1033 * S, 70));
        jj_close(&j);
    }
    CHECK(jj_same_events(&out[0], &out[1]));
    jj_out_free(&out[0]);
    jj_out_free(&out[1]);
}

/* The one at 1020 falls into the off-delay and says nothing; the next keeps its place. */
static void test_no_re_alarm_while_it_is_about_to_clear(void) {
    for (int by_tick = 0; by_tick < 2; by_tick++) {
        jj j;
        jj_open(&j);
        uint32_t temp = with_again(&j, 0, 8 * S, PSTK_QUALITY_HOLD);
        say(&j, temp, 1000 * S, 85);
        say(&j, temp, 1015 * S, 70);
        if (by_tick)
            jj_tick(&j, 1021 * S);
        say(&j, temp, 1022 * S, 90);
        say(&j, temp, 1031 * S, 91);
        jj_out out = jj_run(&j, 680);
        REQUIRE(out.count == 3);
        CHECK(is_event(&out.event[1], PSTK_EVENT_LIMIT_H_REALARM, 1010 * S, 1000 * S, NONE, 85));
        CHECK(is_event(&out.event[2], PSTK_EVENT_LIMIT_H_REALARM, 1030 * S, 1000 * S, NONE, 90));
        jj_out_free(&out);
        jj_close(&j);
    }
}

/* An hour's silence: 360 re-alarms, more than a step may hold, through a ring that holds few. */
static void test_a_long_silence_is_told_in_pieces(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_again(&j, 0, 0, PSTK_QUALITY_HOLD);
    say(&j, temp, 1000 * S, 85);
    j.now_ns = 4600 * S;
    jj_f64(&j, temp, 4600 * S, 86);
    jj_out whole = jj_run(&j, 680), out = {0};
    REQUIRE(whole.count == 361);
    CHECK(is_event(&whole.event[360], PSTK_EVENT_LIMIT_H_REALARM, 4600 * S, 1000 * S, NONE, 85));
    pstk_judge *judge = jj_judge(&j, 128);
    pstk_block *block = jj_buffer();
    size_t stops = 0;
    for (size_t at = 0; at < j.count;) {
        at += jj_block(&j, at, 680, block);
        while (!pstk_judge_block(judge, block)) {
            jj_drain(judge, &out, 3);
            stops++;
        }
    }
    jj_drain(judge, &out, SIZE_MAX);
    CHECK(stops > 10 && jj_same_events(&whole, &out));
    free(block);
    pstk_judge_close(judge);
    jj_out_free(&whole);
    jj_out_free(&out);
    jj_close(&j);
}

/* A box that woke in 1970 and finds today: the newest re-alarms, not 56 years of them. */
static void test_a_clock_that_jumps_years_is_bounded(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_again(&j, 0, 0, PSTK_QUALITY_HOLD);
    say(&j, temp, 1000 * S, 85);
    jj_tick(&j, INT64_C(1780000000) * S);
    jj_out out = jj_run(&j, 680);
    CHECK(out.count == 1 + PSTK_REALARMS_MAX + 1);
    CHECK(out.event[out.count - 1].at_ns == INT64_C(1780000000) * S);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_bad_quality_trips_where_the_rule_says_so(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_again(&j, 2 * S, 0, PSTK_QUALITY_TRIP);
    say(&j, temp, 1000 * S, 20);
    jj_quality(&j, 0x8000);
    say(&j, temp, 1001 * S, 21);
    jj_quality(&j, 0x80FF);
    say(&j, temp, 1002 * S, 22); /* good at the very end of the delay: the deadline was first */
    say(&j, temp, 1003 * S, 90);
    jj_quality(&j, 0x4000);
    say(&j, temp, 1009 * S, 20);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 4);
    CHECK(is_event(&out.event[0], PSTK_EVENT_LIMIT_H_TRIP, 1000 * S, 1000 * S, NONE, 20));
    CHECK(out.event[0].flags == PSTK_FLAG_BAD_QUALITY);
    CHECK(is_event(&out.event[1], PSTK_EVENT_LIMIT_H_CLEAR, 1002 * S, 1000 * S, 1002 * S, 22));
    CHECK(out.event[1].flags == 0);
    CHECK(is_event(&out.event[2], PSTK_EVENT_LIMIT_H_TRIP, 1003 * S, 1003 * S, NONE, 90));
    CHECK(out.event[2].flags == PSTK_FLAG_REPLACED_QUALITY);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_bad_quality_cancels_running_delays(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_again(&j, 2 * S, 3 * S, PSTK_QUALITY_SUPPRESS);
    say(&j, temp, 1000 * S, 85);
    say(&j, temp, 1001 * S, 85);
    jj_quality(&j, 0x8000); /* the on-delay ends here, without a trip */
    say(&j, temp, 1003 * S, 86);
    say(&j, temp, 1006 * S, 87); /* trips: since 1003 */
    say(&j, temp, 1007 * S, 70);
    say(&j, temp, 1008 * S, 70);
    jj_quality(&j, 0x8000); /* active again */
    say(&j, temp, 1010 * S, 70);
    say(&j, temp, 1013 * S, 70); /* clears: since 1010 */
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 2);
    CHECK(is_event(&out.event[0], PSTK_EVENT_LIMIT_H_TRIP, 1003 * S, 1003 * S, NONE, 86));
    CHECK(is_event(&out.event[1], PSTK_EVENT_LIMIT_H_CLEAR, 1010 * S, 1003 * S, 1013 * S, 70));
    jj_out_free(&out);
    jj_close(&j);
}

int main(void) {
    test_rate_is_against_the_reading_one_span_back();
    test_rate_starts_again_after_a_silence();
    test_rate_of_whole_numbers_is_exact_and_saturates();
    test_rate_of_dense_samples_has_a_reference();
    test_stuck_bears_the_time_it_began();
    test_silence_is_not_stuck();
    test_stuck_compares_whole_numbers_exactly();
    test_bad_quality_holds_or_forgets_what_is_compared();
    test_silence_is_told_alike_by_sample_or_tick();
    test_a_tag_that_is_back_before_it_was_missed();
    test_samples_that_come_ask_for_few_ticks();
    test_texts_fall_silent_too();
    test_active_alarm_is_told_again();
    test_no_re_alarm_while_it_is_about_to_clear();
    test_a_long_silence_is_told_in_pieces();
    test_a_clock_that_jumps_years_is_bounded();
    test_bad_quality_trips_where_the_rule_says_so();
    test_bad_quality_cancels_running_delays();
    return check_result("judge_alarm");
}
