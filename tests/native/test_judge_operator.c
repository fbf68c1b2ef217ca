/* What persons do about alarms: told once, by whom, at which time; trips that were kept back are
 * told when nothing keeps them back any more, or never. */
#include "judge_journal.h"
#include "rule/rule.h"

#define NONE PSTK_TIME_NONE

static void say(jj *j, uint32_t tag, int64_t time_ns, double x) {
    j->now_ns = PSTK_MAX(j->now_ns, time_ns);
    jj_f64(j, tag, time_ns, x);
}

static uint32_t with_hot(jj *j) {
    pstk_rule *rule = jj_rule(j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_HH] = (pstk_limit_level){.is_set = 1, .value = 95};
    rule->level[PSTK_LEVEL_H] =
        (pstk_limit_level){.is_set = 1, .value = 80, .deadband = 2, .re_alarm_ns = 10 * S};
    jj_config(j);
    return jj_tag(j, "m1.temp", PSTK_TYPE_F64);
}

static void act(jj *j, int64_t now_ns, uint32_t action, int64_t until_ns) {
    j->now_ns = PSTK_MAX(j->now_ns, now_ns);
    jj_operate(j, action, "hot", "m1.temp", until_ns);
}

static bool is_event(const pstk_event *e, int kind, int64_t at_ns, int64_t start_ns, int64_t end_ns,
                     const char *by) {
    bool is_it = e->kind == kind && e->at_ns == at_ns && e->start_ns == start_ns &&
                 e->end_ns == end_ns && strcmp(pstk_event_by(e), by) == 0;
    if (!is_it)
        fprintf(stderr, "kind %u at %g start %g end %g by %s\n", (unsigned)e->kind,
                (double)e->at_ns / 1e9, (double)e->start_ns / 1e9,
                e->end_ns == NONE ? -1 : (double)e->end_ns / 1e9, pstk_event_by(e));
    return is_it;
}

static uint64_t suppressed(const jj *j) {
    pstk_judge_counters counters;
    pstk_judge *judge = jj_judge(j, 1024);
    jj_out out = {0};
    jj_run_part(j, judge, 0, j->count, 680, &out);
    pstk_judge_counters_get(judge, &counters);
    pstk_judge_close(judge);
    jj_out_free(&out);
    return counters.suppressed;
}

static void test_acknowledged_alarms_re_alarm_no_more(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_hot(&j);
    act(&j, 999 * S, PSTK_ACTION_ACKNOWLEDGE, 0); /* nothing is active: nothing is told */
    say(&j, temp, 1000 * S, 96);
    say(&j, temp, 1005 * S, 90);
    jj_tick(&j, 1010 * S);
    act(&j, 1012 * S, PSTK_ACTION_ACKNOWLEDGE, 0);
    jj_tick(&j, 1020 * S);
    say(&j, temp, 1030 * S, 70);
    say(&j, temp, 1031 * S, 85); /* another excursion */
    jj_tick(&j, 1041 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 8);
    CHECK(out.event[2].kind == PSTK_EVENT_LIMIT_HH_CLEAR);
    CHECK(is_event(&out.event[3], PSTK_EVENT_LIMIT_H_REALARM, 1010 * S, 1000 * S, NONE, ""));
    CHECK(
        is_event(&out.event[4], PSTK_EVENT_ALARM_ACKNOWLEDGED, 1012 * S, 1000 * S, NONE, "uid:1"));
    CHECK(out.event[4].value.f64 == 96);
    CHECK(is_event(&out.event[5], PSTK_EVENT_LIMIT_H_CLEAR, 1030 * S, 1000 * S, 1030 * S, ""));
    CHECK(is_event(&out.event[7], PSTK_EVENT_LIMIT_H_REALARM, 1041 * S, 1031 * S, NONE, ""));
    jj_out_free(&out);
    jj_close(&j);
}

static void test_a_shelved_trip_is_told_when_that_ends(void) {
    for (int by_person = 0; by_person < 2; by_person++) {
        jj j;
        jj_open(&j);
        uint32_t temp = with_hot(&j);
        say(&j, temp, 1000 * S, 20);
        act(&j, 1001 * S, PSTK_ACTION_SHELVE, 1030 * S);
        say(&j, temp, 1002 * S, 85); /* began and ended: nobody hears of it */
        say(&j, temp, 1003 * S, 70);
        say(&j, temp, 1005 * S, 85);
        jj_tick(&j, 1015 * S); /* its re-alarm: kept back too */
        if (by_person)
            act(&j, 1020 * S, PSTK_ACTION_UNSHELVE, 0);
        else
            jj_tick(&j, 1033 * S);
        jj_out out = jj_run(&j, 680);
        int64_t end_ns = by_person ? 1020 * S : 1030 * S;
        REQUIRE(out.count == (by_person ? 3 : 3));
        CHECK(is_event(&out.event[0], PSTK_EVENT_ALARM_SHELVED, 1001 * S, 1001 * S, 1030 * S,
                       "uid:2"));
        CHECK(is_event(&out.event[1], PSTK_EVENT_ALARM_UNSHELVED, end_ns, 1001 * S, end_ns,
                       by_person ? "uid:3" : ""));
        CHECK(is_event(&out.event[2], PSTK_EVENT_LIMIT_H_TRIP, 1005 * S, 1005 * S, NONE, ""));
        CHECK(out.event[2].value.f64 == 85);
        CHECK(suppressed(&j) == 1);
        jj_out_free(&out);
        jj_close(&j);
    }
}

/* Told before it was shelved: its clear is told. Shelved again: until then. Unshelved twice: once.
 */
static void test_what_was_told_is_told_to_the_end(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_hot(&j);
    say(&j, temp, 1000 * S, 85);
    act(&j, 1001 * S, PSTK_ACTION_SHELVE, 1030 * S);
    act(&j, 1001 * S, PSTK_ACTION_SHELVE, 1040 * S);
    say(&j, temp, 1005 * S, 70);
    jj_tick(&j, 1030 * S);
    act(&j, 1035 * S, PSTK_ACTION_UNSHELVE, 0);
    act(&j, 1035 * S, PSTK_ACTION_UNSHELVE, 0);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 5);
    CHECK(out.event[1].occurrence == 0 && out.event[2].occurrence == 1);
    CHECK(memcmp(out.event[1].id, out.event[2].id, 16) != 0);
    CHECK(is_event(&out.event[3], PSTK_EVENT_LIMIT_H_CLEAR, 1005 * S, 1000 * S, 1005 * S, ""));
    CHECK(
        is_event(&out.event[4], PSTK_EVENT_ALARM_UNSHELVED, 1035 * S, 1001 * S, 1035 * S, "uid:3"));
    CHECK(suppressed(&j) == 0);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_reset_ends_and_the_next_sample_trips_again(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_hot(&j);
    say(&j, temp, 1000 * S, 96);
    act(&j, 1001 * S, PSTK_ACTION_RESET, 0);
    say(&j, temp, 1002 * S, 85);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 5);
    CHECK(
        is_event(&out.event[2], PSTK_EVENT_LIMIT_HH_CLEAR, 1001 * S, 1000 * S, 1001 * S, "uid:4"));
    CHECK(is_event(&out.event[3], PSTK_EVENT_LIMIT_H_CLEAR, 1001 * S, 1000 * S, 1001 * S, "uid:4"));
    CHECK(out.event[2].flags == PSTK_FLAG_OPERATOR && out.event[2].value.f64 == 96);
    CHECK(is_event(&out.event[4], PSTK_EVENT_LIMIT_H_TRIP, 1002 * S, 1002 * S, NONE, ""));
    jj_out_free(&out);
    jj_close(&j);
}

/* T stands still: clears of the level's own samples come between, before and behind. */
static void test_resets_at_one_time_are_told_apart(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80};
    rule->events_per_minute_max = 100;
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    j.now_ns = 1010 * S;
    static const int64_t clear[] = {0, 1005, 0, 1010, 1015, 0, 0}; /* 0: by a person, at 1010 */
    static const uint32_t occurrence[] = {0, 0, 1, 2, 0, 3, 4};
    for (int64_t k = 0; k < 7; k++) {
        jj_f64(&j, temp, (clear[k] ? clear[k] - 1 : 1001 + 3 * k) * S, 90);
        if (clear[k])
            jj_f64(&j, temp, clear[k] * S, 70);
        else
            jj_operate(&j, PSTK_ACTION_RESET, "hot", "m1.temp", 0);
    }
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 14);
    for (int k = 0; k < 7; k++) {
        const pstk_event *e = &out.event[2 * k + 1];
        CHECK(e->kind == PSTK_EVENT_LIMIT_H_CLEAR && e->occurrence == occurrence[k]);
        CHECK(e->at_ns == (clear[k] ? clear[k] : 1010) * S);
        for (int i = 0; i < k; i++)
            CHECK(memcmp(e->id, out.event[2 * i + 1].id, 16) != 0);
    }
    size_t half = j.count - 3; /* the count goes through an image */
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out before = {0}, behind = {0};
    jj_run_part(&j, judge, 0, half, 680, &before);
    pstk_image image = jj_image(judge);
    pstk_judge_close(judge);
    judge = jj_judge(&j, 128);
    REQUIRE(pstk_judge_restore(judge, &image, NULL) == PSTK_OK);
    jj_run_part(&j, judge, half, j.count, 680, &behind);
    REQUIRE(behind.count > 0);
    CHECK(memcmp(behind.event[behind.count - 1].id, out.event[13].id, 16) == 0);
    pstk_judge_close(judge);
    free(image.buffer);
    jj_out_free(&before);
    jj_out_free(&behind);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_reset_of_a_stuck_and_a_silent_tag(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "stuck", PSTK_RULE_STUCK, "*.temp");
    rule->after_ns = 5 * S;
    rule = jj_rule(&j, "silent", PSTK_RULE_FRESHNESS, "*.temp");
    rule->after_ns = 20 * S;
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    say(&j, temp, 1000 * S, 7);
    say(&j, temp, 1006 * S, 7);
    jj_operate(&j, PSTK_ACTION_RESET, "stuck", "m1.temp", 0);
    say(&j, temp, 1008 * S, 7); /* the same reference: trips again, the same stamp */
    jj_tick(&j, 1028 * S);
    jj_operate(&j, PSTK_ACTION_RESET, "silent", "m1.temp", 0);
    jj_tick(&j, 1100 * S); /* silent still: only a new sample starts it again */
    say(&j, temp, 1101 * S, 7);
    jj_tick(&j, 1121 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 6);
    CHECK(out.event[0].kind == PSTK_EVENT_STUCK_TRIP && out.event[0].occurrence == 0);
    CHECK(is_event(&out.event[1], PSTK_EVENT_STUCK_CLEAR, 1006 * S, 1000 * S, 1006 * S, "uid:4"));
    CHECK(out.event[2].kind == PSTK_EVENT_STUCK_TRIP && out.event[2].occurrence == 1);
    CHECK(is_event(&out.event[3], PSTK_EVENT_FRESHNESS_TRIP, 1028 * S, 1008 * S, NONE, ""));
    CHECK(
        is_event(&out.event[4], PSTK_EVENT_FRESHNESS_CLEAR, 1028 * S, 1008 * S, 1028 * S, "uid:4"));
    CHECK(is_event(&out.event[5], PSTK_EVENT_FRESHNESS_TRIP, 1121 * S, 1101 * S, NONE, ""));
    jj_out_free(&out);
    jj_close(&j);
}

static void test_the_list_says_what_is_active_and_shelved(void) {
    jj j;
    jj_open(&j);
    uint32_t temp = with_hot(&j);
    uint32_t cold = jj_tag(&j, "m2.temp", PSTK_TYPE_F64);
    say(&j, temp, 1000 * S, 96);
    say(&j, cold, 1000 * S, 20);
    jj_operate(&j, PSTK_ACTION_SHELVE, "hot", "m2.temp", 1060 * S);
    jj_operate(&j, PSTK_ACTION_ACKNOWLEDGE, "hot", "m1.temp", 0);
    jj_operate(&j, PSTK_ACTION_RESET, "hot", "m3.temp", 0); /* no such tag: nothing */
    pstk_judge *judge = jj_judge(&j, 1024);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 680, &out);
    pstk_alarm alarm[4];
    REQUIRE(pstk_judge_alarms(judge, alarm, 4) == 2 && pstk_judge_alarms(judge, alarm, 0) == 2);
    CHECK(strcmp(alarm[0].rule, "hot") == 0 && strcmp(alarm[0].tag, "m1.temp") == 0);
    CHECK(alarm[0].is_active && alarm[0].is_acknowledged && alarm[0].level == PSTK_LEVEL_HH);
    CHECK(alarm[0].since_ns == 1000 * S && alarm[0].value.f64 == 96);
    CHECK(alarm[0].shelved_until_ns == NONE && alarm[1].shelved_until_ns == 1060 * S);
    CHECK(!alarm[1].is_active && alarm[1].since_ns == NONE && !alarm[1].is_acknowledged);
    pstk_error err;
    CHECK(pstk_judge_has_alarm(judge, "hot", "m2.temp", &err));
    CHECK(!pstk_judge_has_alarm(judge, "cold", "m2.temp", &err) &&
          strcmp(err.text, "no alarm rule is named cold; there is: hot") == 0);
    CHECK(!pstk_judge_has_alarm(judge, "hot", "m3.temp", &err) &&
          strcmp(err.text, "rule hot judges no tag m3.temp; it judges: m1.temp, m2.temp") == 0);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

/* Event order: the sample that ends the excursion waits in the heap already when engine time has
 * passed the delay. The watermark decides, not the tick. */
static void test_in_event_order_the_watermark_ends_delays(void) {
    jj j;
    jj_open(&j);
    j.sources[0].lateness_ns = 5 * MS;
    pstk_rule *rule = jj_rule(&j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->order = PSTK_ORDER_EVENT;
    rule->level[PSTK_LEVEL_H] =
        (pstk_limit_level){.is_set = 1, .value = 80, .on_delay_ns = 20 * MS, .re_alarm_ns = S};
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    say(&j, temp, 1000 * S + 1 * MS, 85);
    say(&j, temp, 1000 * S + 7 * MS, 70); /* over for 6 ms only */
    jj_tick(&j, 1000 * S + 300 * MS);
    say(&j, temp, 1001 * S, 85);
    say(&j, temp, 1001 * S + 25 * MS, 86); /* the watermark is at 20 ms: due */
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 680, &out);
    REQUIRE(out.count == 1);
    CHECK(is_event(&out.event[0], PSTK_EVENT_LIMIT_H_TRIP, 1001 * S, 1001 * S, NONE, ""));
    size_t at = j.count;
    jj_tick(&j, 1010 * S); /* idle: the watermark goes on, and the re-alarm with it */
    jj_run_part(&j, judge, at, j.count, 680, &out);
    CHECK(out.count == 9 && out.event[1].at_ns == 1002 * S + 20 * MS);
    CHECK(out.count == 9 && out.event[1].value.f64 == 86);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

/* ---- suppression ---------------------------------------------------------------------------- */

static pstk_rule *with_pressure(jj *j, const char *state, const char *by) {
    pstk_rule *rule = jj_rule(j, "power", PSTK_RULE_LIMIT, "*.volt");
    rule->level[PSTK_LEVEL_L] = (pstk_limit_level){.is_set = 1, .value = 200};
    rule = jj_rule(j, "low", PSTK_RULE_LIMIT, "*.press");
    rule->level[PSTK_LEVEL_L] = (pstk_limit_level){.is_set = 1, .value = 2, .re_alarm_ns = 10 * S};
    snprintf(rule->suppress_tag, sizeof rule->suppress_tag, "%s", state);
    snprintf(rule->suppress_by, sizeof rule->suppress_by, "%s", by);
    rule->state_count = 2;
    snprintf(rule->state_text[0], sizeof rule->state_text[0], "STOP");
    snprintf(rule->state_text[1], sizeof rule->state_text[1], "IDLE");
    return rule;
}

/* In arrival and event order, with a state tag of each machine or one of the line, seen before the
 * alarm's own tag or behind it. */
static void test_a_state_keeps_trips_back(int by_event, int is_shared, int is_first) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = with_pressure(&j, is_shared ? "line.state" : "*.state", "");
    rule->order = by_event ? PSTK_ORDER_EVENT : PSTK_ORDER_ARRIVAL;
    jj_config(&j);
    const char *name = is_shared ? "line.state" : "m1.state";
    uint32_t state = is_first ? jj_tag(&j, name, PSTK_TYPE_CODE) : 0;
    int64_t stop = 0;
    if (is_first) {
        stop = jj_code(&j, state, "STOP");
        j.now_ns = 1000 * S;
        jj_i64(&j, state, 1000 * S, stop);
    }
    uint32_t press = jj_tag(&j, "m1.press", PSTK_TYPE_F64);
    say(&j, press, 1001 * S, 5);
    if (!is_first) {
        state = jj_tag(&j, name, PSTK_TYPE_CODE);
        stop = jj_code(&j, state, "STOP");
        jj_i64(&j, state, 1001 * S + 1, stop);
    }
    int64_t run = jj_code(&j, state, "RUN");
    say(&j, press, 1002 * S, 1); /* kept back, ends untold */
    say(&j, press, 1003 * S, 5);
    say(&j, press, 1004 * S, 1.5);
    say(&j, press, 1016 * S, 1.25); /* its re-alarm is kept back too */
    jj_i64(&j, state, 1017 * S, run);
    jj_quality(&j, 0x8000); /* bad: says nothing */
    j.now_ns = 1018 * S;
    jj_i64(&j, state, 1018 * S, run);
    say(&j, press, 1019 * S, 1);
    say(&j, press, 1026 * S, 5);
    jj_tick(&j, 1060 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 3);
    CHECK(is_event(&out.event[0], PSTK_EVENT_LIMIT_L_TRIP, 1004 * S, 1004 * S, NONE, ""));
    CHECK(out.event[0].value.f64 == 1.5 && out.event[0].engine_time_ns >= 1018 * S);
    CHECK(is_event(&out.event[1], PSTK_EVENT_LIMIT_L_REALARM, 1024 * S, 1004 * S, NONE, ""));
    CHECK(is_event(&out.event[2], PSTK_EVENT_LIMIT_L_CLEAR, 1026 * S, 1004 * S, 1026 * S, ""));
    CHECK(suppressed(&j) == 1);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_another_alarm_keeps_trips_back(void) {
    jj j;
    jj_open(&j);
    (void)with_pressure(&j, "", "power");
    jj_config(&j);
    uint32_t press = jj_tag(&j, "m1.press", PSTK_TYPE_F64);
    uint32_t volt = jj_tag(&j, "m1.volt", PSTK_TYPE_F64);
    uint32_t other = jj_tag(&j, "m2.volt", PSTK_TYPE_F64);
    say(&j, other, 1000 * S, 100); /* another machine's power */
    say(&j, press, 1001 * S, 1);
    say(&j, press, 1002 * S, 5);
    say(&j, volt, 1003 * S, 100);
    say(&j, press, 1004 * S, 1);
    say(&j, press, 1005 * S, 0.5);
    say(&j, volt, 1006 * S, 230);
    say(&j, press, 1007 * S, 5);
    jj_out out = jj_run(&j, 680);
    CHECK(jj_same_events(&out, &out)); /* sorted by rule and tag */
    REQUIRE(out.count == 7);
    CHECK(is_event(&out.event[3], PSTK_EVENT_LIMIT_L_TRIP, 1001 * S, 1001 * S, NONE, ""));
    CHECK(is_event(&out.event[5], PSTK_EVENT_LIMIT_L_TRIP, 1004 * S, 1004 * S, NONE, ""));
    CHECK(out.event[5].engine_time_ns == 1006 * S);
    CHECK(is_event(&out.event[6], PSTK_EVENT_LIMIT_L_CLEAR, 1007 * S, 1004 * S, 1007 * S, ""));
    jj_out_free(&out);
    jj_close(&j);
}

/* The sample that trips both is told once. */
static void test_of_one_tag_the_rule_above_judges_first(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "high", PSTK_RULE_LIMIT, "m1.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80};
    rule = jj_rule(&j, "higher", PSTK_RULE_LIMIT, "m1.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 90};
    snprintf(rule->suppress_by, sizeof rule->suppress_by, "high");
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    say(&j, temp, 1000 * S, 95);
    say(&j, temp, 1001 * S, 85);
    say(&j, temp, 1002 * S, 70);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 2);
    CHECK(out.event[0].rule == out.event[1].rule && out.event[1].at_ns == 1002 * S);
    CHECK(suppressed(&j) == 1);
    jj_out_free(&out);
    jj_close(&j);
}

/* The rule that kept it back is taken away: what is active is told. */
static void test_a_table_that_keeps_nothing_back_tells(void) {
    jj j;
    jj_open(&j);
    (void)with_pressure(&j, "", "power");
    jj_config(&j);
    uint32_t volt = jj_tag(&j, "m1.volt", PSTK_TYPE_F64);
    uint32_t press = jj_tag(&j, "m1.press", PSTK_TYPE_F64);
    say(&j, volt, 1000 * S, 100);
    say(&j, press, 1001 * S, 1);
    j.now_ns = 1005 * S;
    j.rules[0].level[PSTK_LEVEL_L].value = 90; /* power is another rule now, and not active */
    jj_config(&j);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 3);
    CHECK(out.event[0].kind == PSTK_EVENT_LIMIT_L_TRIP);
    CHECK(out.event[1].kind == PSTK_EVENT_RULE_RESTARTED);
    CHECK(is_event(&out.event[2], PSTK_EVENT_LIMIT_L_TRIP, 1001 * S, 1001 * S, NONE, ""));
    jj_out_free(&out);
    jj_close(&j);
}

int main(void) {
    for (int k = 0; k < 8; k++)
        test_a_state_keeps_trips_back(k & 1, k >> 1 & 1, k >> 2 & 1);
    test_another_alarm_keeps_trips_back();
    test_of_one_tag_the_rule_above_judges_first();
    test_a_table_that_keeps_nothing_back_tells();
    test_acknowledged_alarms_re_alarm_no_more();
    test_a_shelved_trip_is_told_when_that_ends();
    test_what_was_told_is_told_to_the_end();
    test_reset_ends_and_the_next_sample_trips_again();
    test_resets_at_one_time_are_told_apart();
    test_reset_of_a_stuck_and_a_silent_tag();
    test_the_list_says_what_is_active_and_shelved();
    test_in_event_order_the_watermark_ends_delays();
    return check_result("judge_operator");
}
