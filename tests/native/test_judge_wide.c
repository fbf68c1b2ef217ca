/* Windows that are not on the fast path: what each kind tells, sample by sample reckoned by hand.
 */
#include "judge_journal.h"

#include <math.h>

static uint32_t with_rule(jj *j, const pstk_rule *like, int64_t lateness_ns) {
    pstk_rule *rule = jj_rule(j, "w", PSTK_RULE_WINDOW, "*.temp");
    pstk_rule named = *rule;
    *rule = *like;
    memcpy(rule->name, named.name, sizeof named.name);
    memcpy(rule->series, named.series, sizeof named.series);
    memcpy(rule->pattern, named.pattern, sizeof named.pattern);
    rule->kind = PSTK_RULE_WINDOW;
    j->sources[0].lateness_ns = lateness_ns;
    jj_config(j);
    return jj_tag(j, "m1.temp", PSTK_TYPE_F64);
}

static void say(jj *j, uint32_t tag, int64_t time_ns, double x) {
    j->now_ns = PSTK_MAX(j->now_ns, time_ns);
    jj_f64(j, tag, time_ns, x);
}

static bool is_row(const jj_out *out, size_t row, int64_t start_ns, int64_t end_ns,
                   uint64_t count) {
    if (row >= out->result_count)
        return false;
    const pstk_result *at = &out->result[row];
    if (at->start_ns == start_ns && at->end_ns == end_ns && at->count == count)
        return true;
    fprintf(stderr, "row %zu is [%lld, %lld) %llu\n", row, (long long)(at->start_ns / MS),
            (long long)(at->end_ns / MS), (unsigned long long)at->count);
    return false;
}

static void test_tumbling_with_more(void) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.size_ns = 10 * S,
                      .emit = PSTK_EMIT_RESULT,
                      .expected_ns = S,
                      .aggregates = PSTK_AGGREGATE_MIN_AT | PSTK_AGGREGATE_RANGE |
                                    PSTK_AGGREGATE_VARIANCE | PSTK_AGGREGATE_COMPLETENESS |
                                    PSTK_AGGREGATE_QUALITY_SHARE};
    uint32_t temp = with_rule(&j, &rule, 2 * S);
    say(&j, temp, 1000 * S, 5);
    say(&j, temp, 1003 * S, -1);
    say(&j, temp, 1001 * S, 8); /* out of order, within lateness */
    say(&j, temp, 1005 * S, 99);
    jj_quality(&j, 0x8000);
    say(&j, temp, 1012 * S, 1);   /* watermark 1010 */
    say(&j, temp, 1009 * S, 100); /* late */
    say(&j, temp, 1021 * S, 1);
    jj_quality(&j, 0x8000);
    say(&j, temp, 1045 * S, 3);
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 3, &out);
    REQUIRE(out.result_count == 3);
    CHECK(is_row(&out, 0, 1000 * S, 1010 * S, 3) && is_row(&out, 1, 1010 * S, 1020 * S, 1));
    CHECK(is_row(&out, 2, 1020 * S, 1030 * S, 0)); /* bad ones alone: for the share of quality */
    CHECK(out.result[0].sum == 12 && out.result[0].last == -1 && isnan(out.result[2].sum));
    CHECK(out.result[0].flags == (PSTK_FLAG_PARTIAL | PSTK_FLAG_INCOMPLETE));
    CHECK(out.result[1].flags == 0);
    CHECK(out.more[0].min_ns == 1003 * S && out.more[0].max_ns == PSTK_TIME_NONE);
    CHECK(out.more[0].range == 9 && out.more[0].variance == 21);
    CHECK(out.more[0].completeness == 0.3 && out.more[0].quality_share == 0.75);
    CHECK(isnan(out.more[0].tw_mean) && isnan(out.more[1].variance) && isnan(out.more[2].range));
    CHECK(out.more[2].quality_share == 0);
    pstk_judge_counters counters;
    pstk_judge_counters_get(judge, &counters);
    CHECK(counters.late == 1 && counters.results == 3);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_every_hopping_window_that_holds_a_sample(void) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.size_ns = 30 * S,
                      .hop_ns = 10 * S,
                      .offset_ns = 5 * S,
                      .emit = PSTK_EMIT_RESULT,
                      .aggregates = PSTK_AGGREGATE_MAX_AT};
    uint32_t temp = with_rule(&j, &rule, 10 * S);
    say(&j, temp, 1006 * S, 1);  /* pane 1005 */
    say(&j, temp, 1018 * S, 4);  /* pane 1015 */
    say(&j, temp, 1033 * S, 2);  /* pane 1025; watermark 1023: [985, 1015) is over */
    say(&j, temp, 1024 * S, 8);  /* out of order, its pane is open */
    say(&j, temp, 1014 * S, 50); /* late: its pane has ended, though windows of it are open */
    say(&j, temp, 1200 * S, 0);
    jj_out out = jj_run(&j, 2);
    REQUIRE(out.result_count == 5);
    CHECK(is_row(&out, 0, 985 * S, 1015 * S, 1) && is_row(&out, 1, 995 * S, 1025 * S, 3));
    CHECK(is_row(&out, 2, 1005 * S, 1035 * S, 4) && is_row(&out, 3, 1015 * S, 1045 * S, 3));
    CHECK(is_row(&out, 4, 1025 * S, 1055 * S, 1));
    CHECK(out.result[2].sum == 15 && out.result[2].first == 1 && out.result[2].last == 2);
    CHECK(out.more[2].max_ns == 1024 * S && out.more[4].max_ns == 1033 * S);
    for (int k = 0; k < 5; k++) /* three of them had begun when the first sample came */
        CHECK(out.result[k].flags == (k < 3 ? PSTK_FLAG_PARTIAL : 0));
    jj_out_free(&out);
    jj_close(&j);
}

static void test_sessions_end_by_silence_and_by_length(void) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.session_gap_ns = 5 * S, .session_max_ns = 12 * S, .emit = PSTK_EMIT_RESULT};
    uint32_t temp = with_rule(&j, &rule, 3 * S);
    static const int64_t at[] = {1000, 1003, 1002, 1010, 1014, 1018, 1021, 1025, 1040};
    for (int k = 0; k < 9; k++) /* 1002 comes behind 1003 */
        say(&j, temp, at[k] * S, k);
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 4, &out);
    REQUIRE(out.result_count == 3);
    CHECK(is_row(&out, 0, 1000 * S, 1008 * S, 3) && is_row(&out, 1, 1010 * S, 1025 * S, 4));
    CHECK(is_row(&out, 2, 1025 * S, 1030 * S, 1) && out.result[1].first == 3);
    CHECK(out.result[0].first == 0 && out.result[0].last == 1 && out.result[0].sum == 3);
    size_t more = j.count; /* the last one ends by silence: source and then time are idle */
    CHECK(pstk_judge_deadline_ns(judge) == 1045 * S);
    jj_tick(&j, 1045 * S);
    jj_tick(&j, 1048 * S);
    jj_run_part(&j, judge, more, j.count, 4, &out);
    CHECK(is_row(&out, 3, 1040 * S, 1045 * S, 1));
    CHECK(pstk_judge_deadline_ns(judge) == INT64_MAX);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_every_n_good_samples(void) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.count_n = 3, .emit = PSTK_EMIT_EVENT, .aggregates = PSTK_AGGREGATE_RATE};
    uint32_t temp = with_rule(&j, &rule, 0);
    for (int64_t k = 0; k < 8; k++) {
        say(&j, temp, (1000 + k / 2) * S, (double)k); /* two of each time */
        say(&j, temp, (1000 + k / 2) * S, 500);
        jj_quality(&j, 0x8000);
    }
    jj_out out = jj_run(&j, 5);
    REQUIRE(out.count == 2);
    CHECK(out.event[0].start_ns == 1000 * S && out.event[0].end_ns == 1001 * S);
    CHECK(out.event[1].start_ns == 1001 * S && out.event[1].end_ns == 1002 * S);
    CHECK(out.event[1].sum == 12 && out.event[1].count == 3 && out.event[1].first == 3);
    CHECK(out.event[1].figures.rate == 2 && isnan(out.event[1].figures.variance));
    CHECK(out.event[1].figures.asked == PSTK_AGGREGATE_RATE);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_weighted_by_time(void) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.size_ns = 10 * S,
                      .emit = PSTK_EMIT_RESULT,
                      .aggregates = PSTK_AGGREGATE_TW_MEAN | PSTK_AGGREGATE_INTEGRAL};
    uint32_t temp = with_rule(&j, &rule, 0);
    say(&j, temp, 1004 * S, 5);
    say(&j, temp, 1008 * S, 10);
    say(&j, temp, 1021 * S, 2); /* [1010, 1020) has no sample, and a value all the time */
    say(&j, temp, 1024 * S, 7);
    jj_quality(&j, 0x8000); /* not known from here on */
    say(&j, temp, 1026 * S, 4);
    say(&j, temp, 1030 * S, 0);
    say(&j, temp, 1031 * S, 1);
    jj_out out = jj_run(&j, 3);
    REQUIRE(out.result_count == 3);
    CHECK(is_row(&out, 0, 1000 * S, 1010 * S, 2) && is_row(&out, 1, 1010 * S, 1020 * S, 0));
    CHECK(is_row(&out, 2, 1020 * S, 1030 * S, 2));
    CHECK(out.more[0].integral == 40 && fabs(out.more[0].tw_mean - 40.0 / 6) < 1e-14);
    CHECK(out.more[1].integral == 100 && out.more[1].tw_mean == 10);
    CHECK(out.more[2].integral == 10 + 6 + 16 && out.more[2].tw_mean == 32.0 / 8);
    CHECK(out.result[0].flags == PSTK_FLAG_PARTIAL && out.result[1].flags == 0);
    CHECK(out.result[2].flags == PSTK_FLAG_INCOMPLETE && isnan(out.result[1].mean));
    jj_out_free(&out);
    jj_close(&j);
}

static void test_empty_windows_rest_until_a_sample(int64_t hops) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.size_ns = hops * S,
                      .hop_ns = S,
                      .emit = PSTK_EMIT_RESULT,
                      .aggregates = PSTK_AGGREGATE_INTEGRAL};
    uint32_t temp = with_rule(&j, &rule, 0);
    say(&j, temp, 1000 * S, 3);
    say(&j, temp, 2000 * S + S / 2, 1);
    say(&j, temp, 2001 * S, 1);
    say(&j, temp, 2001 * S + S / 2, 1);
    jj_out out = jj_run(&j, 680);
    size_t full = (size_t)hops; /* windows that hold the first sample */
    REQUIRE(out.result_count == full + 64 + 1);
    for (size_t k = 0; k < full + 64; k++)
        CHECK(is_row(&out, k, (1001 - hops + (int64_t)k) * S, (1001 + (int64_t)k) * S, k < full));
    CHECK(out.more[full + 63].integral == 3.0 * (double)hops);
    CHECK(is_row(&out, full + 64, (2001 - hops) * S, 2001 * S, 1));
    CHECK(out.more[full + 64].integral == 3.0 * (double)hops - 1 && out.result[64].flags == 0);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_share_of_a_state_by_its_text(void) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.size_ns = 10 * S,
                      .emit = PSTK_EMIT_RESULT,
                      .aggregates = PSTK_AGGREGATE_SHARE,
                      .state_count = 1,
                      .state_text[0] = "RUN"};
    (void)with_rule(&j, &rule, 0);
    jj_role(&j.rules[0], PSTK_ROLE_VALUE, "*.state");
    jj_restart(&j);
    uint32_t state = jj_tag(&j, "m1.state", PSTK_TYPE_CODE);
    int64_t run = jj_code(&j, state, "RUN"), stop = jj_code(&j, state, "STOP");
    static const int64_t at[] = {1000, 1003, 1008, 1025};
    for (int k = 0; k < 4; k++) {
        j.now_ns = at[k] * S;
        jj_i64(&j, state, at[k] * S, k % 2 ? stop : run);
    }
    j.now_ns = 1031 * S;
    jj_i64(&j, state, 1031 * S, stop);
    jj_out out = jj_run(&j, 1);
    REQUIRE(out.result_count == 3);
    CHECK(out.more[0].share == 0.5 && out.more[1].share == 1 && out.result[0].count == 3);
    CHECK(is_row(&out, 1, 1010 * S, 1020 * S, 0) && out.more[2].share == 0.5);
    CHECK(isnan(out.result[0].mean) && isnan(out.result[0].last));
    jj_out_free(&out);
    jj_close(&j);
}

static void test_one_correction_and_never_a_second(void) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.size_ns = 10 * S,
                      .correct_ns = 20 * S,
                      .emit = PSTK_EMIT_EVENT,
                      .aggregates = PSTK_AGGREGATE_RANGE};
    uint32_t temp = with_rule(&j, &rule, 0);
    say(&j, temp, 1001 * S, 1);
    say(&j, temp, 1015 * S, 2); /* [1000, 1010) is told */
    say(&j, temp, 1002 * S, 7); /* late, and taken */
    say(&j, temp, 1003 * S, 9);
    say(&j, temp, 995 * S, 4); /* of a window that nobody told */
    say(&j, temp, 1021 * S, 3);
    say(&j, temp, 1030 * S, 3); /* [1000, 1010) expires */
    say(&j, temp, 1009 * S, 5); /* late for good */
    say(&j, temp, 1060 * S, 3);
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 2, &out);
    REQUIRE(out.count == 6);
    static const int64_t start[] = {1000, 990, 1010, 1000, 1020, 1030};
    static const uint32_t revision[] = {0, 1, 0, 1, 0, 0};
    static const uint64_t count[] = {1, 1, 1, 3, 1, 1};
    for (int k = 0; k < 6; k++)
        CHECK(out.event[k].start_ns == start[k] * S && out.event[k].revision == revision[k] &&
              out.event[k].count == count[k] && out.event[k].occurrence == 0);
    CHECK(memcmp(out.event[0].id, out.event[3].id, 16) != 0 && out.event[3].sum == 17);
    pstk_judge_counters counters;
    pstk_judge_counters_get(judge, &counters);
    CHECK(counters.late == 1);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

/* A tag and a context cut; the lot comes before or behind the values of its instant. */
static void test_cut_by_a_tag(bool is_lot_first) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.size_ns = 20 * S,
                      .hop_ns = 10 * S,
                      .emit = PSTK_EMIT_EVENT,
                      .cut_on = PSTK_CUT_LOT_TAG,
                      .aggregates = PSTK_AGGREGATE_INTEGRAL};
    (void)with_rule(&j, &rule, 0);
    jj_role(&j.rules[0], PSTK_ROLE_LOT, "*.lot");
    jj_restart(&j);
    uint32_t lot = jj_tag(&j, "m1.lot", PSTK_TYPE_I64), temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    for (int64_t k = 0; k < 9; k++) {
        int64_t at = (1003 + 5 * k) * S;
        j.now_ns = at;
        if (is_lot_first)
            jj_i64(&j, lot, at, 7 + k / 3);
        jj_f64(&j, temp, at, (double)k);
        if (!is_lot_first)
            jj_i64(&j, lot, at, 7 + k / 3);
    }
    jj_out out = jj_run(&j, 2);
    static const struct {
        int64_t start, end;
        uint64_t count;
        double integral;
        const char *lot;
    } wanted[] = {
        {990, 1010, 2, 0 * 5 + 1 * 2, "7"}, {1000, 1018, 3, 15, "7"},
        {1010, 1018, 1, 3 + 10, "7"},       {1018, 1020, 1, 6, "8"},
        {1018, 1030, 3, 15 + 20 + 10, "8"}, {1020, 1033, 2, 9 + 20 + 25, "8"},
        {1030, 1033, 0, 15, "8"},           {1033, 1040, 2, 30 + 14, "9"},
    };
    REQUIRE(out.count == 8);
    for (int k = 0; k < 8; k++) {
        const pstk_event *e = &out.event[k];
        bool is_right = e->start_ns == wanted[k].start * S && e->end_ns == wanted[k].end * S &&
                        e->count == wanted[k].count && e->figures.integral == wanted[k].integral &&
                        strcmp(e->context.lot, wanted[k].lot) == 0;
        if (!is_right)
            fprintf(stderr, "event %d: [%lld, %lld) %llu %g lot %s\n", k,
                    (long long)(e->start_ns / S), (long long)(e->end_ns / S),
                    (unsigned long long)e->count, e->figures.integral, e->context.lot);
        CHECK(is_right);
        for (int i = 0; i < k; i++)
            CHECK(memcmp(e->id, out.event[i].id, 16) != 0);
    }
    jj_out_free(&out);
    jj_close(&j);
}

/* Tags are known with their first samples: the lot was told before there was a window. */
static void test_a_lot_told_before_the_values_is_known(bool is_shared) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp");
    rule->size_ns = 20 * S;
    rule->emit = PSTK_EMIT_EVENT;
    rule->cut_on = PSTK_CUT_LOT_TAG;
    jj_role(rule, PSTK_ROLE_LOT, is_shared ? "m1.lot" : "*.lot");
    jj_config(&j);
    uint32_t lot = jj_tag(&j, "m1.lot", PSTK_TYPE_I64);
    jj_i64(&j, lot, 1000 * S, 7);
    jj_i64(&j, lot, 1001 * S, 7);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    for (int64_t k = 2; k < 24; k += 2) {
        jj_f64(&j, temp, (1000 + k) * S, 1);
        if (k == 10)
            jj_i64(&j, lot, 1011 * S, 8);
    }
    jj_out out = jj_run(&j, 680), single = jj_run(&j, 1);
    REQUIRE(out.count == 2);
    CHECK(out.event[0].end_ns == 1011 * S && strcmp(out.event[0].context.lot, "7") == 0);
    CHECK(out.event[1].start_ns == 1011 * S && strcmp(out.event[1].context.lot, "8") == 0);
    CHECK(jj_same_events(&out, &single));
    jj_out_free(&single);
    jj_out_free(&out);
    jj_close(&j);
}

/* A table without the rule hears nothing of lots: what was told before it is not known. */
static void test_a_lot_that_no_rule_heard_is_not_known(void) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.size_ns = 20 * S, .cut_on = PSTK_CUT_LOT_TAG, .emit = PSTK_EMIT_EVENT};
    uint32_t temp = with_rule(&j, &rule, 0), lot;
    jj_role(&j.rules[0], PSTK_ROLE_LOT, "*.lot");
    jj_restart(&j);
    lot = jj_tag(&j, "m1.lot", PSTK_TYPE_I64);
    jj_i64(&j, lot, 1000 * S, 7);
    jj_i64(&j, lot, 1001 * S, 7);
    j.rules[0].pattern[PSTK_ROLE_LOT][0] = 'n'; /* another tag, of which nobody hears */
    jj_config(&j);
    jj_i64(&j, lot, 1002 * S, 8);
    snprintf(j.rules[0].name, sizeof j.rules[0].name, "again");
    j.rules[0].pattern[PSTK_ROLE_LOT][0] = '*';
    jj_config(&j);
    for (int64_t k = 3; k < 24; k++)
        jj_f64(&j, temp, (1000 + k) * S, 1);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 1);
    CHECK(out.event[0].end_ns == 1020 * S && out.event[0].context.lot[0] == 0);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_of_one_instant_the_last_lot_holds(bool is_back) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.size_ns = 20 * S, .emit = PSTK_EMIT_EVENT, .cut_on = PSTK_CUT_LOT_TAG};
    uint32_t temp = with_rule(&j, &rule, 0);
    jj_role(&j.rules[0], PSTK_ROLE_LOT, "*.lot");
    jj_restart(&j);
    uint32_t lot = jj_tag(&j, "m1.lot", PSTK_TYPE_I64);
    for (int64_t k = 1; k < 23; k++) {
        j.now_ns = (1000 + k) * S;
        jj_f64(&j, temp, j.now_ns, (double)k);
        if (k == 1 || k == 9) { /* the first time nothing was known before */
            jj_i64(&j, lot, j.now_ns, 8);
            jj_i64(&j, lot, j.now_ns, is_back || k == 1 ? 7 : 9);
        }
    }
    jj_out out = jj_run(&j, 680), single = jj_run(&j, 1);
    size_t count = is_back ? 1 : 2;
    REQUIRE(out.count == count);
    CHECK(out.event[0].start_ns == 1000 * S && strcmp(out.event[0].context.lot, "7") == 0);
    CHECK(out.event[0].end_ns == (is_back ? 1020 : 1009) * S);
    CHECK(is_back || strcmp(out.event[1].context.lot, "9") == 0);
    CHECK(jj_same_events(&out, &single));
    jj_out_free(&single);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_cut_by_a_context(void) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {
        .session_gap_ns = 30 * S, .emit = PSTK_EMIT_EVENT, .cut_on = PSTK_CUT_CONTEXT_ORDER};
    uint32_t temp = with_rule(&j, &rule, 2 * S);
    jj_context(&j, "m1", 900 * S, "o1", NULL);
    say(&j, temp, 1001 * S, 1);
    jj_context(&j, "m1", 1006 * S, "o2", NULL); /* ahead of the samples */
    say(&j, temp, 1007 * S, 2);
    say(&j, temp, 1005 * S, 3); /* late by 2 s, and still of o1 */
    say(&j, temp, 1015 * S, 4);
    jj_context(&j, "m1", 1008 * S, "o3", NULL); /* told late: watermark 1013 */
    jj_context(&j, "m1", 1020 * S, NULL, "l1"); /* another lot cuts nothing here */
    say(&j, temp, 1030 * S, 5);
    say(&j, temp, 1100 * S, 6);
    jj_out out = jj_run(&j, 1);
    REQUIRE(out.count == 3);
    CHECK(out.event[0].start_ns == 1001 * S && out.event[0].end_ns == 1006 * S);
    CHECK(out.event[0].count == 2 && strcmp(out.event[0].context.order, "o1") == 0);
    CHECK(out.event[1].start_ns == 1007 * S && out.event[1].end_ns == 1013 * S);
    CHECK(out.event[1].count == 1 && (out.event[1].flags & PSTK_FLAG_CUT_LATE));
    CHECK(out.event[2].start_ns == 1015 * S && out.event[2].count == 2);
    CHECK(strcmp(out.event[2].context.order, "o3") == 0 && out.event[2].end_ns == 1060 * S);
    jj_out other = jj_run(&j, 680);
    CHECK(jj_same_events(&out, &other));
    jj_out_free(&other);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_a_changed_rule_closes_as_it_stands(void) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.size_ns = 20 * S, .hop_ns = 10 * S, .emit = PSTK_EMIT_EVENT};
    uint32_t temp = with_rule(&j, &rule, 0);
    say(&j, temp, 1001 * S, 1);
    say(&j, temp, 1013 * S, 2);
    j.rules[0].hop_ns = 0; /* a plain one from here on */
    jj_config(&j);
    say(&j, temp, 1014 * S, 4);
    say(&j, temp, 1041 * S, 3);
    j.rules[0].aggregates = PSTK_AGGREGATE_RANGE; /* and a wide one again */
    jj_config(&j);
    say(&j, temp, 1045 * S, 3);
    say(&j, temp, 1075 * S, 3);
    jj_out out = jj_run(&j, 1);
    REQUIRE(out.count == 6);
    /* What follows a change begins behind what an event already bears. */
    static const int64_t start[] = {990 * S,      1000 * S, 1010 * S,
                                    1013 * S + 1, 1040 * S, 1041 * S + 1};
    static const int64_t end[] = {1010, 1020, 1030, 1020, 1060, 1060};
    for (int k = 0; k < 6; k++) {
        CHECK(out.event[k].end_ns == end[k] * S && out.event[k].start_ns == start[k]);
        for (int i = 0; i < k; i++)
            CHECK(memcmp(out.event[k].id, out.event[i].id, 16) != 0);
    }
    jj_out_free(&out);
    jj_close(&j);
}

/* Two samples of the tag, a third, and another tag three seconds later; then the clock goes back
 * while all of that still waits. */
static jj_out run_back(jj *j, const pstk_rule *rule) {
    jj_open(j);
    uint32_t temp = with_rule(j, rule, 40 * S), other = jj_tag(j, "m1.other", PSTK_TYPE_F64);
    say(j, temp, 100001 * S, 4);
    say(j, temp, 100004 * S, 5);
    say(j, temp, 100034 * S, 10);
    say(j, other, 100037 * S, 1);
    for (int64_t k = 0; k < 150; k++) {
        j->now_ns += 200 * MS;
        jj_f64(j, other, k * 200 * MS, 2);
    }
    return jj_run(j, 680);
}

static void test_a_clock_that_goes_back_closes_what_is_open(void) {
    jj j;
    pstk_rule session = {
        .session_gap_ns = 5 * S, .session_max_ns = 3600 * S, .emit = PSTK_EMIT_RESULT};
    jj_out out = run_back(&j, &session);
    REQUIRE(out.result_count == 2);
    CHECK(is_row(&out, 0, 100001 * S, 100009 * S, 2)); /* over before the newest stamp */
    CHECK(is_row(&out, 1, 100034 * S, 100034 * S + 1, 1));
    CHECK(out.result[0].flags == PSTK_FLAG_PARTIAL);
    CHECK(out.result[1].flags == PSTK_FLAG_CLOCK_REGRESS);
    jj_out_free(&out);
    jj_close(&j);
    session.session_gap_ns = 2 * S; /* by silence alone: nothing of its tag follows */
    out = run_back(&j, &session);
    REQUIRE(out.result_count == 3);
    CHECK(is_row(&out, 2, 100034 * S, 100036 * S, 1) && out.result[2].flags == 0);
    jj_out_free(&out);
    jj_close(&j);
    pstk_rule count = {.count_n = 2, .emit = PSTK_EMIT_RESULT};
    out = run_back(&j, &count);
    REQUIRE(out.result_count == 2);
    CHECK(is_row(&out, 1, 100034 * S, 100034 * S, 1));
    CHECK(out.result[1].flags == PSTK_FLAG_CLOCK_REGRESS);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_a_value_holds_until_the_clock_goes_back(void) {
    jj j;
    pstk_rule rule = {
        .size_ns = 12 * S, .emit = PSTK_EMIT_RESULT, .aggregates = PSTK_AGGREGATE_INTEGRAL};
    jj_out out = run_back(&j, &rule);
    REQUIRE(out.result_count == 4);
    static const double integral[] = {3 * 4.0 + 4 * 5, 12 * 5.0, 12 * 5.0, 2 * 5.0 + 3 * 10};
    for (int64_t k = 0; k < 4; k++) {
        CHECK(is_row(&out, (size_t)k, (99996 + 12 * k) * S, (100008 + 12 * k) * S,
                     k == 0 ? 2 : k == 3));
        CHECK(out.more[k].integral == integral[k]);
    }
    CHECK(out.result[0].flags == PSTK_FLAG_PARTIAL && out.result[2].flags == 0);
    CHECK(out.result[3].flags == PSTK_FLAG_CLOCK_REGRESS);
    jj_out_free(&out);
    jj_close(&j);
}

/* Behind a clock that went back a machine tells its lot, another one, and then its first value. */
static void test_a_lot_of_the_new_epoch_is_known(bool is_listed) {
    jj j;
    jj_open(&j);
    pstk_rule rule = {.size_ns = 20 * S, .cut_on = PSTK_CUT_LOT_TAG, .emit = PSTK_EMIT_EVENT};
    uint32_t other = with_rule(&j, &rule, 0), lot = 0, temp = 0;
    jj_role(&j.rules[0], PSTK_ROLE_LOT, "*.lot");
    jj_restart(&j);
    if (is_listed) {
        lot = jj_tag(&j, "m2.lot", PSTK_TYPE_I64);
        temp = jj_tag(&j, "m2.temp", PSTK_TYPE_F64);
    }
    say(&j, other, 100000 * S, 4);
    for (int64_t k = 0; k < 150; k++) {
        j.now_ns += 200 * MS;
        jj_f64(&j, other, k * 200 * MS, 2);
    }
    if (!is_listed) {
        lot = jj_tag(&j, "m2.lot", PSTK_TYPE_I64);
        temp = jj_tag(&j, "m2.temp", PSTK_TYPE_F64);
    }
    jj_i64(&j, lot, 40 * S, 7);
    jj_i64(&j, lot, 45 * S, 8);
    jj_f64(&j, other, 46 * S, 2); /* judged, before a value shows whose clock it has */
    jj_f64(&j, temp, 50 * S, 1);
    jj_f64(&j, temp, 61 * S, 1);
    jj_f64(&j, temp, 62 * S, 1);
    jj_out out = jj_run(&j, 680), single = jj_run(&j, 1);
    const pstk_event *first = NULL;
    for (size_t i = 0; i < out.count; i++)
        first = !first && out.event[i].tag == temp ? &out.event[i] : first;
    REQUIRE(first);
    CHECK(first->time_epoch == 1 && strcmp(first->context.lot, "8") == 0);
    CHECK(first->start_ns == (is_listed ? 45 : 40) * S && first->end_ns == 60 * S);
    CHECK(jj_same_events(&out, &single));
    jj_out_free(&single);
    jj_out_free(&out);
    jj_close(&j);
}

int main(void) {
    test_tumbling_with_more();
    test_every_hopping_window_that_holds_a_sample();
    test_sessions_end_by_silence_and_by_length();
    test_every_n_good_samples();
    test_weighted_by_time();
    test_empty_windows_rest_until_a_sample(1);
    test_empty_windows_rest_until_a_sample(4);
    test_share_of_a_state_by_its_text();
    test_one_correction_and_never_a_second();
    test_cut_by_a_tag(true);
    test_cut_by_a_tag(false);
    test_a_lot_told_before_the_values_is_known(false);
    test_a_lot_told_before_the_values_is_known(true);
    test_a_lot_that_no_rule_heard_is_not_known();
    test_of_one_instant_the_last_lot_holds(false);
    test_of_one_instant_the_last_lot_holds(true);
    test_cut_by_a_context();
    test_a_changed_rule_closes_as_it_stands();
    test_a_clock_that_goes_back_closes_what_is_open();
    test_a_value_holds_until_the_clock_goes_back();
    test_a_lot_of_the_new_epoch_is_known(true);
    test_a_lot_of_the_new_epoch_is_known(false);
    return check_result("judge_wide");
}
