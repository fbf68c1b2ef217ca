/* States: how long a state held, by the machine's own word where it gives one. */
#include "judge_journal.h"

typedef struct machine {
    uint32_t state, since;
} machine;

static machine with_states(jj *j, bool has_since) {
    pstk_rule *rule = jj_rule(j, "stops", PSTK_RULE_STATE, "*.state");
    if (has_since)
        jj_role(rule, PSTK_ROLE_SINCE, "*.since");
    jj_role(rule, PSTK_ROLE_ORDER, "*.order");
    rule->since_unit_ns = MS;
    rule->state_count = 1;
    rule->state_code[0] = 3;
    rule->min_duration_ns = 2 * S;
    jj_config(j);
    return (machine){jj_tag(j, "m1.state", PSTK_TYPE_I64), jj_tag(j, "m1.since", PSTK_TYPE_I64)};
}

static void say(jj *j, machine m, int64_t time_ns, int64_t state, int64_t since_ns) {
    j->now_ns = PSTK_MAX(j->now_ns, time_ns);
    jj_i64(j, m.state, time_ns, state);
    jj_i64(j, m.since, time_ns, since_ns / MS);
}

static void test_since_gives_exact_ends_across_a_gap(void) {
    jj j;
    jj_open(&j);
    machine m = with_states(&j, true);
    uint32_t order = jj_tag(&j, "m1.order", PSTK_TYPE_CODE);
    jj_i64(&j, order, 1000 * S, jj_code(&j, order, "4711"));
    say(&j, m, 1000 * S, 3, 990 * S); /* began before anybody looked, and the machine says when */
    jj_i64(&j, order, 1003 * S, jj_code(&j, order, "4712"));
    say(&j, m, 1004 * S, 1, 1003 * S + 500 * MS);
    say(&j, m, 1005 * S, 3, 1005 * S);
    jj_source(&j, PSTK_SOURCE_DOWN, 0);
    jj_source(&j, PSTK_SOURCE_UP, 0);
    say(&j, m, 1011 * S, 1, 1009 * S);
    say(&j, m, 1012 * S, 3, 1012 * S);
    say(&j, m, 1013 * S, 1, 1013 * S);
    say(&j, m, 1014 * S, 1, 1013 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 3);
    const pstk_event *e = out.event;
    CHECK(e[0].kind == PSTK_EVENT_STATE_END && e[0].value.i64 == 3 && e[0].flags == 0);
    CHECK(e[0].at_ns == 990 * S && e[0].end_ns == 1003 * S + 500 * MS && e[0].count == 1);
    CHECK(strcmp(e[0].context.order, "4711") == 0);
    CHECK(e[1].at_ns == 1005 * S && e[1].end_ns == 1009 * S && e[1].flags == PSTK_FLAG_BRIDGED);
    CHECK(strcmp(e[1].context.order, "4712") == 0);
    CHECK(e[2].flags == PSTK_FLAG_MICRO);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_left_and_came_back_unseen(void) {
    jj j;
    jj_open(&j);
    machine m = with_states(&j, true);
    say(&j, m, 1000 * S, 3, 999 * S);
    jj_source(&j, PSTK_SOURCE_GAP, 9);
    say(&j, m, 1010 * S, 3, 1008 * S);
    say(&j, m, 1020 * S, 1, 1020 * S);
    say(&j, m, 1021 * S, 1, 1020 * S);
    jj_out out = jj_run(&j, 1);
    REQUIRE(out.count == 2);
    CHECK(out.event[0].at_ns == 999 * S && out.event[0].end_ns == 1008 * S);
    CHECK(out.event[0].flags == PSTK_FLAG_INCOMPLETE);
    CHECK(out.event[1].at_ns == 1008 * S && out.event[1].end_ns == 1020 * S);
    CHECK(out.event[1].flags == 0);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_without_since_event_time_and_honest_flags(void) {
    jj j;
    jj_open(&j);
    machine m = with_states(&j, false);
    say(&j, m, 1000 * S, 3, 0);
    say(&j, m, 1010 * S, 1, 0);
    say(&j, m, 1011 * S, 3, 0);
    jj_source(&j, PSTK_SOURCE_DOWN, 0);
    jj_source(&j, PSTK_SOURCE_UP, 0);
    say(&j, m, 1020 * S, 1, 0);
    say(&j, m, 1021 * S, 1, 0);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 2);
    CHECK(out.event[0].flags == PSTK_FLAG_PARTIAL && out.event[0].end_ns == 1010 * S);
    CHECK(out.event[1].flags == PSTK_FLAG_INCOMPLETE && out.event[1].at_ns == 1011 * S);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_states_by_text(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "stops", PSTK_RULE_STATE, "*.state");
    rule->state_count = 1;
    snprintf(rule->state_text[0], sizeof rule->state_text[0], "Stopped");
    snprintf(rule->asset, sizeof rule->asset, "hall.*");
    jj_config(&j);
    uint32_t state = jj_tag(&j, "m1.state", PSTK_TYPE_CODE);
    int64_t run = jj_code(&j, state, "Execute"), stop = jj_code(&j, state, "Stopped");
    int64_t codes[] = {run, stop, stop, run, run};
    for (int k = 0; k < 5; k++)
        jj_i64(&j, state, (1000 + 10 * k) * S, codes[k]);
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 680, &out);
    REQUIRE(out.count == 1);
    CHECK(out.event[0].value.i64 == stop && out.event[0].value_type == PSTK_TYPE_CODE);
    CHECK(out.event[0].start_ns == 1010 * S && out.event[0].end_ns == 1030 * S &&
          out.event[0].count == 2);
    char name[PSTK_NAME_BYTES], series[16];
    CHECK(pstk_judge_asset_name(judge, out.event[0].asset, name, sizeof name) == 7);
    CHECK(strcmp(name, "hall.m1") == 0);
    CHECK(pstk_judge_rule_name(judge, out.event[0].rule, name, sizeof name, series,
                               sizeof series) == 5);
    CHECK(strcmp(name, "stops") == 0 && strcmp(series, "1") == 0);
    CHECK(pstk_judge_rule_name(judge, 999, name, sizeof name, series, sizeof series) == -1);
    CHECK(pstk_judge_asset_name(judge, 0, name, sizeof name) == -1);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

static pstk_rule *any_state(jj *j, uint8_t on) {
    pstk_rule *rule = jj_rule(j, "modes", PSTK_RULE_STATE, "*.state");
    rule->is_any_state = 1;
    rule->state_on = on;
    return rule;
}

static void say_states(jj *j, uint32_t tag, const int64_t (*row)[2], size_t count) {
    for (size_t k = 0; k < count; k++) {
        j->now_ns = PSTK_MAX(j->now_ns, row[k][0]);
        jj_i64(j, tag, row[k][0], row[k][1]);
    }
}

static void test_begin_and_end_of_every_state(void) {
    static const int64_t row[][2] = {
        {1000 * S, 6}, {1001 * S, 6}, {1010 * S, 5}, {1020 * S, 6}, {1021 * S, 6}};
    for (uint8_t on = PSTK_ON_END; on <= PSTK_ON_BOTH; on++) {
        jj j;
        jj_open(&j);
        any_state(&j, on);
        jj_config(&j);
        say_states(&j, jj_tag(&j, "m1.state", PSTK_TYPE_I64), row, 5);
        jj_out out = jj_run(&j, on == PSTK_ON_END ? 1 : 680);
        size_t at = 0;
        const pstk_event *e = out.event;
        REQUIRE(out.count == (on == PSTK_ON_BOTH ? 5u : on == PSTK_ON_ENTER ? 3u : 2u));
        static const int64_t code[] = {6, 5, 6}, start_s[] = {1000, 1010, 1020};
        for (int k = 0; k < 3; k++) {
            uint32_t flags = k == 0 ? (uint32_t)PSTK_FLAG_PARTIAL : 0u;
            if (on != PSTK_ON_END) {
                CHECK(e[at].kind == PSTK_EVENT_STATE_ENTER && e[at].value.i64 == code[k]);
                CHECK(e[at].at_ns == start_s[k] * S && e[at].start_ns == start_s[k] * S);
                CHECK(e[at].end_ns == PSTK_TIME_NONE && e[at].count == 1 && e[at].flags == flags);
                at++;
            }
            if (on != PSTK_ON_ENTER && k < 2) {
                CHECK(e[at].kind == PSTK_EVENT_STATE_END && e[at].value.i64 == code[k]);
                CHECK(e[at].at_ns == start_s[k] * S && e[at].end_ns == start_s[k + 1] * S);
                CHECK(e[at].flags == flags);
                at++;
            }
        }
        CHECK(at == out.count);
        jj_out_free(&out);
        jj_close(&j);
    }
}

/* The machine gives one stamp to two beginnings: two events, told apart. */
static void test_two_beginnings_of_one_stamp(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = any_state(&j, PSTK_ON_BOTH);
    jj_role(rule, PSTK_ROLE_SINCE, "*.since");
    rule->since_unit_ns = MS;
    jj_config(&j);
    machine m = {jj_tag(&j, "m1.state", PSTK_TYPE_I64), jj_tag(&j, "m1.since", PSTK_TYPE_I64)};
    say(&j, m, 1000 * S, 1, 999 * S);
    say(&j, m, 1001 * S, 2, 1001 * S);
    say(&j, m, 1002 * S, 1, 1001 * S);
    say(&j, m, 1003 * S, 2, 1001 * S);
    say(&j, m, 1004 * S, 2, 1001 * S);
    jj_out out = jj_run(&j, 1);
    uint32_t begun = 0;
    for (size_t k = 0; k < out.count; k++) {
        if (out.event[k].kind == PSTK_EVENT_STATE_ENTER && out.event[k].at_ns == 1001 * S)
            CHECK(out.event[k].occurrence == begun++);
        for (size_t n = 0; n < k; n++)
            CHECK(memcmp(out.event[k].id, out.event[n].id, 16) != 0);
    }
    CHECK(begun == 3 && out.count == 7);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_micro_stops_dropped_are_counted(void) {
    static const int64_t row[][2] = {{1000 * S, 6}, {1010 * S, 5}, {1011 * S, 6},
                                     {1030 * S, 5}, {1050 * S, 6}, {1051 * S, 6}};
    jj j;
    jj_open(&j);
    pstk_rule *rule = any_state(&j, PSTK_ON_END);
    rule->min_duration_ns = 2 * S;
    rule->micro = PSTK_MICRO_DROP;
    jj_config(&j);
    say_states(&j, jj_tag(&j, "m1.state", PSTK_TYPE_I64), row, 6);
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 680, &out);
    pstk_judge_counters counters;
    pstk_judge_counters_get(judge, &counters);
    CHECK(out.count == 3 && counters.micro_dropped == 1);
    CHECK(out.event[1].value.i64 == 6 && out.event[1].at_ns == 1011 * S);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

/* One event an interval, as soon as the watermark has passed it, silence included. */
static void test_micro_stops_folded_by_the_hour(void) {
    static const int64_t row[][2] = {{3600 * S, 6}, {3610 * S, 5}, {3611 * S, 6},
                                     {7199 * S, 5}, {7200 * S, 6}, {7205 * S, 5},
                                     {7206 * S, 6}, {7230 * S, 5}, {7260 * S, 6}};
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "stops", PSTK_RULE_STATE, "*.state");
    rule->state_count = 1;
    rule->state_code[0] = 5;
    rule->min_duration_ns = 2 * S;
    rule->micro = PSTK_MICRO_FOLD;
    jj_config(&j);
    say_states(&j, jj_tag(&j, "m1.state", PSTK_TYPE_I64), row, 9);
    jj_tick(&j, 10799 * S);
    jj_out before = jj_run(&j, 1);
    CHECK(before.count == 2); /* the second hour is not over */
    jj_tick(&j, 10801 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 3);
    const pstk_event *e = out.event;
    CHECK(e[0].kind == PSTK_EVENT_STATE_MICRO && e[0].at_ns == 3600 * S && e[0].end_ns == 7200 * S);
    CHECK(e[0].count == 1 && e[0].value.i64 == S && e[0].value_type == PSTK_TYPE_I64);
    CHECK(e[0].flags == PSTK_FLAG_MICRO);
    CHECK(e[1].kind == PSTK_EVENT_STATE_END && e[1].at_ns == 7230 * S && e[1].flags == 0);
    CHECK(e[2].kind == PSTK_EVENT_STATE_MICRO && e[2].at_ns == 7200 * S && e[2].count == 2);
    CHECK(e[2].value.i64 == 2 * S && e[2].end_ns == 10800 * S);
    jj_out_free(&before);
    jj_out_free(&out);
    jj_close(&j);
}

int main(void) {
    test_since_gives_exact_ends_across_a_gap();
    test_left_and_came_back_unseen();
    test_without_since_event_time_and_honest_flags();
    test_states_by_text();
    test_begin_and_end_of_every_state();
    test_two_beginnings_of_one_stamp();
    test_micro_stops_dropped_are_counted();
    test_micro_stops_folded_by_the_hour();
    return check_result("judge_state");
}
