/* Limits through the judge: one event an excursion, delays by the next sample or by a tick,
 * folding, order. */
#include "judge_journal.h"

static uint32_t with_limit(jj *j, double high, double deadband, int64_t on_ns, int64_t off_ns) {
    pstk_rule *rule = jj_rule(j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1,
                                                   .value = high,
                                                   .deadband = deadband,
                                                   .on_delay_ns = on_ns,
                                                   .off_delay_ns = off_ns};
    jj_config(j);
    return jj_tag(j, "m1.temp", PSTK_TYPE_F64);
}

static void say(jj *j, uint32_t tag, int64_t time_ns, double x) {
    j->now_ns = PSTK_MAX(j->now_ns, time_ns);
    jj_f64(j, tag, time_ns, x);
}

static void test_once_per_excursion(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_limit(&j, 80, 2, 0, 0);
    jj_context(&j, "m1", 0, "4711", NULL);
    say(&j, temp, 1000 * S, 79.9);
    say(&j, temp, 1001 * S, 80);
    say(&j, temp, 1002 * S, 90);
    say(&j, temp, 1003 * S, 78.0); /* not below 80 - 2 */
    say(&j, temp, 1004 * S, 81);
    say(&j, temp, 1005 * S, 70);
    jj_quality(&j, 0x8000); /* bad: clears nothing */
    say(&j, temp, 1006 * S, 77.9);
    say(&j, temp, 1007 * S, 95);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 3);
    const pstk_event *e = out.event;
    CHECK(e[0].kind == PSTK_EVENT_LIMIT_H_TRIP && e[0].at_ns == 1001 * S && e[0].value.f64 == 80);
    CHECK(e[0].end_ns == PSTK_TIME_NONE && e[0].limit == 80 &&
          strcmp(e[0].context.order, "4711") == 0);
    CHECK(e[1].kind == PSTK_EVENT_LIMIT_H_CLEAR && e[1].at_ns == 1006 * S);
    CHECK(e[1].start_ns == 1001 * S && e[1].end_ns == 1006 * S && e[1].value.f64 == 77.9);
    CHECK(e[2].kind == PSTK_EVENT_LIMIT_H_TRIP && e[2].at_ns == 1007 * S);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_on_delay_same_event_by_sample_or_tick(void) {
    jj_out out[2];
    for (int by_tick = 0; by_tick < 2; by_tick++) {
        jj j;
        jj_open(&j);
        uint32_t temp = with_limit(&j, 80, 2, 500 * MS, 0);
        say(&j, temp, 1000 * S, 85);
        say(&j, temp, 1000 * S + 100 * MS, 70); /* did not hold */
        say(&j, temp, 1001 * S, 88);
        say(&j, temp, 1001 * S + 200 * MS, 91);
        if (by_tick)
            jj_tick(&j, 1001 * S + 500 * MS);
        else
            say(&j, temp, 1001 * S + 500 * MS,
                10); /* the deadline is taken first, then this clears */
        out[by_tick] = jj_run(&j, 680);
        jj_close(&j);
    }
    REQUIRE(out[0].count == 2 && out[1].count == 1);
    CHECK(out[0].event[0].at_ns == 1001 * S && out[0].event[0].value.f64 == 88);
    CHECK(memcmp(out[0].event[0].id, out[1].event[0].id, 16) == 0);
    CHECK(memcmp(out[0].event[0].digest, out[1].event[0].digest, 16) == 0);
    CHECK(out[0].event[1].kind == PSTK_EVENT_LIMIT_H_CLEAR);
    jj_out_free(&out[0]);
    jj_out_free(&out[1]);
}

static void test_deadline_asks_for_a_tick_and_not_before(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_limit(&j, 80, 2, 500 * MS, 0);
    j.now_ns = 1000 * S + 30 * MS; /* T at the crossing counts for a silent tag */
    jj_f64(&j, temp, 1000 * S, 85);
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 680, &out);
    CHECK(pstk_judge_deadline_ns(judge) == 1000 * S + 530 * MS);
    size_t at = j.count;
    jj_tick(&j, 1000 * S + 529 * MS);
    jj_run_part(&j, judge, at, j.count, 680, &out);
    CHECK(out.count == 0);
    at = j.count;
    jj_tick(&j, 1000 * S + 530 * MS);
    jj_run_part(&j, judge, at, j.count, 680, &out);
    CHECK(out.count == 1);
    CHECK(pstk_judge_deadline_ns(judge) > 1000 * S + 530 * MS);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_off_delay_bears_its_own_end(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_limit(&j, 80, 2, 0, S);
    say(&j, temp, 1000 * S, 85);
    say(&j, temp, 1002 * S, 70);
    say(&j, temp, 1003 * S + 1, 90); /* cleared at 1003, and over again */
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 3);
    CHECK(out.event[1].at_ns == 1002 * S && out.event[1].end_ns == 1003 * S);
    CHECK(out.event[1].start_ns == 1000 * S && out.event[1].value.f64 == 70);
    CHECK(out.event[2].at_ns == 1003 * S + 1);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_all_levels_and_low_side(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "p", PSTK_RULE_LIMIT, "m1.count");
    double level[] = {100, 80, 20, 10};
    for (int k = 0; k < 4; k++)
        rule->level[k] = (pstk_limit_level){.is_set = 1, .value = level[k], .deadband = 1};
    jj_config(&j);
    uint32_t tag = jj_tag(&j, "m1.count", PSTK_TYPE_I64);
    static const int64_t values[] = {50, 120, 50, 5, 11, 12, 22, 21, 50};
    for (int k = 0; k < 9; k++) {
        j.now_ns = (1000 + k) * S;
        jj_i64(&j, tag, j.now_ns, values[k]);
    }
    jj_out out = jj_run(&j, 680);
    static const int kinds[] = {PSTK_EVENT_LIMIT_HH_TRIP,  PSTK_EVENT_LIMIT_H_TRIP,
                                PSTK_EVENT_LIMIT_HH_CLEAR, PSTK_EVENT_LIMIT_H_CLEAR,
                                PSTK_EVENT_LIMIT_L_TRIP,   PSTK_EVENT_LIMIT_LL_TRIP,
                                PSTK_EVENT_LIMIT_LL_CLEAR, PSTK_EVENT_LIMIT_L_CLEAR};
    REQUIRE(out.count == 8);
    for (int k = 0; k < 8; k++)
        CHECK(out.event[k].kind == kinds[k]);
    CHECK(out.event[0].value.i64 == 120 && out.event[0].value_type == PSTK_TYPE_I64);
    CHECK(out.event[6].at_ns == 1005 * S && out.event[7].at_ns == 1006 * S);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_not_newer_is_counted_and_skipped(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_limit(&j, 80, 2, 0, 0);
    say(&j, temp, 1001 * S, 70);
    say(&j, temp, 1001 * S, 90);
    say(&j, temp, 1000 * S, 90);
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 680, &out);
    pstk_judge_counters counters;
    uint64_t late, out_of_order;
    pstk_judge_counters_get(judge, &counters);
    pstk_judge_source_counters(judge, 0, &late, &out_of_order);
    CHECK(out.count == 0 && counters.out_of_order == 2 && out_of_order == 2 && late == 0);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

/* Told trips and clears, and those one chattering event stands for, are all the crossings there
 * were. */
static void test_chattering_folds_and_loses_none(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_limit(&j, 80, 0, 0, 0);
    j.rules[0].events_per_minute_max = 10;
    jj_restart(&j);
    for (int64_t k = 0; k < 200; k++)
        say(&j, temp, 1020 * S + k * 100 * MS, k % 2 ? 70 : 90);
    say(&j, temp, 1100 * S, 70); /* the next minute tells of the last one */
    for (int64_t k = 0; k < 20; k++)
        say(&j, temp, 1101 * S + k * 100 * MS, k % 2 ? 70 : 90);
    jj_tick(&j, 1163 * S); /* and a silent tag's is told by a tick */
    jj_out out = jj_run(&j, 680);
    uint64_t told = 0, folded = 0, chattering = 0;
    for (size_t i = 0; i < out.count; i++) {
        bool is_fold = out.event[i].kind == PSTK_EVENT_LIMIT_CHATTERING;
        chattering += is_fold;
        folded += is_fold ? out.event[i].count : 0;
        told += !is_fold;
    }
    CHECK(told == 20 && chattering == 2 && folded == 200);
    CHECK(out.event[10].kind == PSTK_EVENT_LIMIT_CHATTERING && out.event[10].at_ns == 1020 * S);
    CHECK(out.event[10].end_ns == 1080 * S && out.event[10].count == 190);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_event_order_sorts_first(void) {
    jj j;
    jj_open(&j);
    j.sources[0].lateness_ns = 5 * S;
    uint32_t temp = with_limit(&j, 80, 0, 0, 0);
    j.rules[0].order = PSTK_ORDER_EVENT;
    jj_restart(&j);
    say(&j, temp, 1003 * S, 90);
    say(&j, temp, 1001 * S, 85);
    say(&j, temp, 1002 * S, 70);
    say(&j, temp, 1020 * S, 70);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 3);
    CHECK(out.event[0].at_ns == 1001 * S && out.event[1].at_ns == 1002 * S);
    CHECK(out.event[2].at_ns == 1003 * S && out.event[2].value.f64 == 90);
    jj_out_free(&out);
    jj_close(&j);
}

int main(void) {
    test_once_per_excursion();
    test_on_delay_same_event_by_sample_or_tick();
    test_deadline_asks_for_a_tick_and_not_before();
    test_off_delay_bears_its_own_end();
    test_all_levels_and_low_side();
    test_not_newer_is_counted_and_skipped();
    test_chattering_folds_and_loses_none();
    test_event_order_sorts_first();
    return check_result("judge_limit");
}
