/* Windows, idle streams, gaps, lateness, and a clock that goes back. */
#include "judge_journal.h"

static uint32_t with_window(jj *j, int64_t size_ns, int64_t lateness_ns) {
    pstk_rule *rule = jj_rule(j, "w", PSTK_RULE_WINDOW, "*.temp");
    rule->size_ns = size_ns;
    rule->emit = PSTK_EMIT_RESULT;
    j->sources[0].lateness_ns = lateness_ns;
    jj_config(j);
    return jj_tag(j, "m1.temp", PSTK_TYPE_F64);
}

static void say(jj *j, uint32_t tag, int64_t time_ns, double x) {
    j->now_ns = PSTK_MAX(j->now_ns, time_ns);
    jj_f64(j, tag, time_ns, x);
}

static void test_figures_of_a_window(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_window(&j, 10 * S, 2 * S);
    say(&j, temp, 1000 * S, 5);
    say(&j, temp, 1003 * S, -1);
    say(&j, temp, 1001 * S, 8); /* out of order, within lateness */
    say(&j, temp, 1009 * S, -0.0);
    say(&j, temp, 1011 * S, 7);
    say(&j, temp, 1009 * S, 2);   /* same stamp as the last: the later in the journal is last */
    say(&j, temp, 1012 * S, 1);   /* watermark 1010 */
    say(&j, temp, 1009 * S, 100); /* late */
    say(&j, temp, 1025 * S, 3);
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 3, &out);
    REQUIRE(out.result_count == 2);
    const pstk_result *w = out.result;
    CHECK(w->start_ns == 1000 * S && w->end_ns == 1010 * S && w->count == 5 && w->tag == temp);
    CHECK(w->sum == 14 && w->mean == 14.0 / 5 && w->min == -1 && w->max == 8);
    CHECK(w->first == 5 && w->last == 2 && w->flags == PSTK_FLAG_PARTIAL);
    CHECK(w[1].count == 2 && w[1].flags == 0);
    pstk_judge_counters counters;
    pstk_judge_counters_get(judge, &counters);
    CHECK(counters.late == 1 && counters.results == 2 && counters.events == 0);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_sum_is_compensated(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_window(&j, 10 * S, 0);
    static const double values[] = {1e16, 1, 1, 1, -1e16};
    for (int k = 0; k < 5; k++)
        say(&j, temp, 1000 * S + k, values[k]);
    say(&j, temp, 1010 * S, 0);
    jj_out out = jj_run(&j, 2);
    REQUIRE(out.result_count == 1);
    CHECK(out.result[0].sum == 3);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_idle_stream_closes_by_tick_when_asked(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_window(&j, 10 * S, S);
    say(&j, temp, 1004 * S, 5);
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 680, &out);
    size_t at = j.count;
    CHECK(pstk_judge_deadline_ns(judge) == 1009 * S);
    jj_tick(&j, 1009 * S);
    jj_run_part(&j, judge, at, j.count, 680, &out);
    CHECK(out.result_count == 0 && pstk_judge_deadline_ns(judge) == 1011 * S);
    at = j.count;
    jj_tick(&j, 1011 * S);
    jj_run_part(&j, judge, at, j.count, 680, &out);
    CHECK(out.result_count == 1 && pstk_judge_deadline_ns(judge) == INT64_MAX);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_pause_does_not_make_a_lagging_clock_late(void) {
    /* The device's clock is an hour behind; ten minutes of silence close its windows, and it goes
     * on. */
    jj j;
    jj_open(&j);
    uint32_t temp = with_window(&j, 10 * S, S);
    j.now_ns = 5000 * S;
    jj_f64(&j, temp, 1400 * S, 1);
    jj_tick(&j, 5600 * S);
    j.now_ns = 5601 * S;
    jj_f64(&j, temp, 2001 * S, 2);
    jj_f64(&j, temp, 2020 * S, 3);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.result_count == 2);
    CHECK(out.result[0].start_ns == 1400 * S && out.result[1].start_ns == 2000 * S);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_slowest_stream_holds_until_it_is_idle(void) {
    jj j;
    jj_open(&j);
    uint32_t a = with_window(&j, 10 * S, 0), b = jj_tag(&j, "m2.temp", PSTK_TYPE_F64);
    j.stream = 1;
    say(&j, a, 1001 * S, 1);
    j.stream = 2;
    say(&j, b, 1002 * S, 2);
    j.stream = 1;
    for (int64_t k = 0; k < 5; k++)
        say(&j, a, (1011 + k) * S, 1); /* stream 2 still holds the watermark at 1002 */
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 680, &out);
    CHECK(out.result_count == 0);
    size_t at = j.count;
    jj_tick(&j, 1016 * S);
    jj_run_part(&j, judge, at, j.count, 680, &out);
    CHECK(out.result_count == 2);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_gap_marks_the_windows_it_touches_and_no_other(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_window(&j, 10 * S, 0);
    for (int64_t k = 0; k < 60; k++) {
        if (k >= 25 && k < 38)
            continue;
        if (k == 38)
            jj_source(&j, PSTK_SOURCE_GAP, 13);
        say(&j, temp, (1000 + k) * S, 1);
    }
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.result_count == 5);
    static const uint32_t flags[] = {PSTK_FLAG_PARTIAL, 0, PSTK_FLAG_INCOMPLETE,
                                     PSTK_FLAG_INCOMPLETE, 0};
    for (int k = 0; k < 5; k++)
        CHECK(out.result[k].flags == flags[k]);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_clock_regress_closes_and_starts_an_epoch(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "good", PSTK_RULE_COUNTER, "*.good");
    rule->size_ns = 100 * S;
    uint32_t temp = with_window(&j, 10 * S, 0);
    j.rules[1].emit = PSTK_EMIT_EVENT;
    jj_restart(&j);
    uint32_t good = jj_tag(&j, "m1.good", PSTK_TYPE_I64);
    j.now_ns = 100000 * S;
    for (int64_t k = 0; k < 5; k++) {
        jj_f64(&j, temp, (100001 + k) * S, 1);
        jj_i64(&j, good, (100001 + k) * S, 10 + k);
    }
    for (int64_t k = 0; k < 150; k++) { /* the controller is back in 1970 */
        j.now_ns += 200 * MS;
        jj_f64(&j, temp, k * 200 * MS, 2);
        jj_i64(&j, good, k * 200 * MS, 20 + k);
    }
    jj_out out = jj_run(&j, 680);
    size_t old = 0, fresh = 0;
    for (size_t i = 0; i < out.count; i++) {
        const pstk_event *e = &out.event[i];
        bool is_closed = e->flags & PSTK_FLAG_CLOCK_REGRESS;
        CHECK(is_closed == (e->time_epoch == 0));
        if (is_closed && e->kind == PSTK_EVENT_COUNTER_SEGMENT)
            CHECK(e->value.i64 == 4 && e->end_ns == 100005 * S);
        old += is_closed;
        fresh += e->time_epoch == 1;
    }
    CHECK(old == 2 &&
          fresh >= 1); /* the window and the segment of the old clock, windows of the new one */
    jj_out other = jj_run(&j, 3);
    CHECK(jj_same_events(&out, &other));
    jj_out_free(&other);
    jj_out_free(&out);
    jj_close(&j);
}

/* While other streams of the source may say more, nothing ends by what one of them has said. */
static void test_a_clock_regress_beside_another_stream_ends_no_session(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp");
    rule->session_gap_ns = 5 * S;
    rule->session_max_ns = 3600 * S;
    rule->emit = PSTK_EMIT_EVENT;
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64),
             level = jj_tag(&j, "m1.level", PSTK_TYPE_F64),
             other = jj_tag(&j, "m2.level", PSTK_TYPE_F64);
    j.now_ns = 100010 * S;
    jj_stream(&j, 0, 1);
    jj_f64(&j, temp, 100001 * S, 1);
    jj_stream(&j, 1, 2);
    jj_f64(&j, other, 100003 * S, 1);
    j.stream = 0;
    jj_f64(&j, temp, 100002 * S, 1);
    jj_f64(&j, level, 100040 * S, 1);
    for (int64_t k = 0; k < 150; k++) {
        j.now_ns += 100 * MS;
        jj_f64(&j, level, k * 100 * MS, 1);
    }
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 1);
    CHECK(out.event[0].start_ns == 100001 * S && out.event[0].end_ns == 100002 * S + 1);
    CHECK(out.event[0].count == 2 && (out.event[0].flags & PSTK_FLAG_CLOCK_REGRESS));
    jj_out_free(&out);
    jj_close(&j);
}

static void test_too_many_panes_refuse_the_rule(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_window(&j, S, 100 * S);
    say(&j, temp, 1000 * S, 1);
    say(&j, temp, 1200 * S, 1);
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 680, &out);
    pstk_judge_counters counters;
    pstk_judge_counters_get(judge, &counters);
    CHECK(out.result_count == 0 && counters.instance_limit == 1);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

/* Shuffled within lateness: the same events of event order, the same windows. */
static void test_shuffle_within_lateness(uint64_t seed) {
    enum { COUNT = 400 };
    int64_t key[COUNT];
    jj_out out[2];
    for (int is_shuffled = 0; is_shuffled < 2; is_shuffled++) {
        jj j;
        jj_open(&j);
        uint64_t random = seed, shuffle = seed + 99;
        pstk_rule *rule = jj_rule(&j, "good", PSTK_RULE_COUNTER, "*.good");
        rule->size_ns = 3 * S;
        uint32_t temp = with_window(&j, S, 2 * S), good = jj_tag(&j, "m1.good", PSTK_TYPE_I64);
        size_t first = j.count;
        int64_t register_now = 0;
        for (int64_t k = 0; k < COUNT; k++) {
            register_now += (int64_t)(pstk_random(&random) % 7);
            if (k % 2)
                jj_i64(&j, good, 1000 * S + k * 53 * MS, register_now);
            else /* small integers: their sum is exact in any order */
                jj_f64(&j, temp, 1000 * S + k * 53 * MS, (double)(pstk_random(&random) % 50));
            key[k] = k * 53 + (int64_t)(pstk_random(&shuffle) % 1900) * is_shuffled;
        }
        for (int i = 1; i < COUNT;
             i++) /* insertion sort by key: stable, and both arrays are small */
            for (int k = i; k > 0 && key[k] < key[k - 1]; k--) {
                int64_t swap = key[k];
                jj_op op = j.op[first + (size_t)k];
                key[k] = key[k - 1];
                key[k - 1] = swap;
                j.op[first + (size_t)k] = j.op[first + (size_t)k - 1];
                j.op[first + (size_t)k - 1] = op;
            }
        jj_f64(&j, temp, 5000 * S, 0);
        out[is_shuffled] = jj_run(&j, 16);
        jj_close(&j);
    }
    CHECK(out[0].count > 3 && out[0].result_count > 10);
    CHECK(jj_same_events(&out[0], &out[1]));
    CHECK(jj_same_results(&out[0], &out[1]));
    jj_out_free(&out[0]);
    jj_out_free(&out[1]);
}

int main(void) {
    test_figures_of_a_window();
    test_sum_is_compensated();
    test_idle_stream_closes_by_tick_when_asked();
    test_pause_does_not_make_a_lagging_clock_late();
    test_slowest_stream_holds_until_it_is_idle();
    test_gap_marks_the_windows_it_touches_and_no_other();
    test_clock_regress_closes_and_starts_an_epoch();
    test_a_clock_regress_beside_another_stream_ends_no_session();
    test_too_many_panes_refuse_the_rule();
    for (uint64_t seed = 1; seed <= 5; seed++)
        test_shuffle_within_lateness(seed);
    return check_result("judge_window");
}
