/* A new table in mid-journal: registers carry on, limits say that they are others now, windows
 * close as they stand. */
#include "judge_journal.h"

static size_t count_kind(const jj_out *out, int kind) {
    size_t count = 0;
    for (size_t i = 0; i < out->count; i++)
        count += out->event[i].kind == kind;
    return count;
}

static void say(jj *j, uint32_t tag, int64_t time_ns, double x) {
    j->now_ns = PSTK_MAX(j->now_ns, time_ns);
    jj_f64(j, tag, time_ns, x);
}

static void test_register_survives_any_change_and_a_removal(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "good", PSTK_RULE_COUNTER, "*.good");
    jj_role(rule, PSTK_ROLE_LOT, "*.lot");
    jj_config(&j);
    uint32_t good = jj_tag(&j, "m1.good", PSTK_TYPE_F64), lot = jj_tag(&j, "m1.lot", PSTK_TYPE_I64);
    jj_i64(&j, lot, 1000 * S, 1);
    say(&j, good, 1000 * S, 100);
    say(&j, good, 1001 * S, 105);
    jj_role(rule, PSTK_ROLE_ORDER, "*.order"); /* changed */
    jj_config(&j);
    say(&j, good, 1002 * S, 110);
    pstk_rule kept = *rule;
    j.rule_count = 0; /* gone */
    jj_rule(&j, "else", PSTK_RULE_LIMIT, "none");
    jj_config(&j);
    say(&j, good, 1003 * S, 115);
    j.rules[0] = kept; /* back */
    jj_config(&j);
    say(&j, good, 1004 * S, 120);
    jj_i64(&j, lot, 1005 * S, 2);
    say(&j, good, 1006 * S, 121);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 1);
    CHECK(out.event[0].value.f64 == 20 && out.event[0].start_ns == 1000 * S);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_changed_limit_restarts_and_says_so(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80};
    rule = jj_rule(&j, "same", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80};
    rule = jj_rule(&j, "calm", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 8000};
    jj_config(&j);
    uint32_t a = jj_tag(&j, "m1.temp", PSTK_TYPE_F64), b = jj_tag(&j, "m2.temp", PSTK_TYPE_F64);
    say(&j, a, 1000 * S, 90);
    say(&j, b, 1000 * S, 10);
    j.rules[0].level[PSTK_LEVEL_H].value = 85;
    j.rules[2].level[PSTK_LEVEL_H].value = 8500;
    jj_config(&j);
    say(&j, a, 1001 * S, 91);
    say(&j, a, 1002 * S, 10);
    jj_out out = jj_run(&j, 680);
    /* hot: trip, restarted, trip, clear; same: trip, clear; calm held nothing and says so once. */
    CHECK(count_kind(&out, PSTK_EVENT_RULE_RESTARTED) == 2);
    CHECK(count_kind(&out, PSTK_EVENT_LIMIT_H_TRIP) == 3);
    CHECK(count_kind(&out, PSTK_EVENT_LIMIT_H_CLEAR) == 2);
    CHECK(out.count == 7);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_changed_window_closes_as_it_stands(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp");
    rule->size_ns = 10 * S;
    rule = jj_rule(&j, "kept", PSTK_RULE_WINDOW, "*.temp");
    rule->size_ns = 10 * S;
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    say(&j, temp, 1001 * S, 1);
    say(&j, temp, 1004 * S, 2);
    j.rules[0].size_ns =
        20 * S; /* the new window begins at 1000 as well: it must not bear the old identity */
    jj_config(&j);
    say(&j, temp, 1006 * S, 3);
    say(&j, temp, 1020 * S, 4);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 3);
    CHECK(out.event[0].count == 2 && (out.event[0].flags & PSTK_FLAG_PARTIAL));
    for (size_t i = 0; i < 3; i++)
        for (size_t k = i + 1; k < 3; k++)
            CHECK(memcmp(out.event[i].id, out.event[k].id, 16) != 0);
    uint64_t changed = 0, kept = 0;
    for (size_t i = 0; i < 3; i++)
        *(out.event[i].rule == out.event[0].rule ? &changed : &kept) += out.event[i].count;
    CHECK(changed == 3 && kept == 3);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_damaged_table_changes_nothing(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80};
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    say(&j, temp, 1000 * S, 10);
    rule->level[PSTK_LEVEL_H].value = 5;
    jj_config(&j);
    j.op[j.count - 1].payload[sizeof(pstk_config_record) + 100] ^=
        1; /* in the rule's name field's tail */
    say(&j, temp, 1001 * S, 11);
    jj_out out = jj_run(&j, 680);
    CHECK(out.count == 0);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_bounds_are_counted(void) {
    jj j;
    jj_open(&j);
    for (int k = 0; k < 20; k++) {
        char name[16];
        snprintf(name, sizeof name, "r%d", k);
        jj_rule(&j, name, PSTK_RULE_LIMIT, "m1.temp")->level[PSTK_LEVEL_H].is_set = 1;
    }
    jj_rule(&j, "bad", PSTK_RULE_WINDOW, "m1.temp"); /* no size */
    jj_rule(&j, "r0", PSTK_RULE_LIMIT, "m1.temp");   /* a name twice */
    jj_config(&j);
    jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 680, &out);
    pstk_judge_counters counters;
    pstk_judge_counters_get(judge, &counters);
    CHECK(counters.instances == 16 && counters.instance_limit == 4 + 2);
    size_t rules, sources;
    CHECK(pstk_judge_rules(judge, &rules) && rules == 22);
    CHECK(strcmp(pstk_judge_sources(judge, &sources)[0].name, "line") == 0 && sources == 1);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_shared_role_reaches_every_instance(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "good", PSTK_RULE_COUNTER, "*.good");
    jj_role(rule, PSTK_ROLE_ORDER, "line.order");
    jj_config(&j);
    uint32_t a = jj_tag(&j, "m1.good", PSTK_TYPE_I64);
    uint32_t order = jj_tag(&j, "line.order", PSTK_TYPE_I64);
    uint32_t b = jj_tag(&j, "m2.good", PSTK_TYPE_I64);
    for (int64_t k = 0; k < 6; k++) {
        jj_i64(&j, order, (1000 + k) * S, 1 + k / 3);
        jj_i64(&j, a, (1000 + k) * S, 10 * k);
        jj_i64(&j, b, (1000 + k) * S, 100 * k);
    }
    jj_out out = jj_run(&j, 5);
    REQUIRE(out.count == 2);
    CHECK(out.event[0].value.i64 + out.event[1].value.i64 == 220);
    CHECK(strcmp(out.event[0].context.order, "1") == 0 &&
          strcmp(out.event[1].context.order, "1") == 0);
    jj_out_free(&out);
    jj_close(&j);
}

int main(void) {
    test_register_survives_any_change_and_a_removal();
    test_changed_limit_restarts_and_says_so();
    test_changed_window_closes_as_it_stands();
    test_damaged_table_changes_nothing();
    test_bounds_are_counted();
    test_shared_role_reaches_every_instance();
    return check_result("judge_config");
}
