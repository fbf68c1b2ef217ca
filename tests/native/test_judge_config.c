/* A new table in mid-journal: registers carry on, limits say that they are others now, windows
 * swap at their boundary. */
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

/* A delay that runs is no excursion. */
static void test_only_excursions_are_said_to_be_forgotten(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80, .on_delay_ns = 2 * S};
    jj_config(&j);
    uint32_t a = jj_tag(&j, "m1.temp", PSTK_TYPE_F64), b = jj_tag(&j, "m2.temp", PSTK_TYPE_F64);
    say(&j, b, 1000 * S, 90);
    say(&j, a, 1001 * S, 90);
    say(&j, b, 1003 * S, 90);
    rule->level[PSTK_LEVEL_H].value = 85;
    jj_config(&j);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 2);
    CHECK(out.event[0].kind == PSTK_EVENT_LIMIT_H_TRIP && out.event[0].tag == b);
    CHECK(out.event[1].kind == PSTK_EVENT_RULE_RESTARTED && out.event[1].tag == b);
    jj_out_free(&out);
    jj_close(&j);
}

/* The rule that kept it back names no state any more. */
static void test_an_alarm_that_nothing_keeps_back_any_more(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80};
    snprintf(rule->suppress_tag, sizeof rule->suppress_tag, "*.state");
    rule->state_count = 1;
    rule->state_code[0] = 2;
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    uint32_t state = jj_tag(&j, "m1.state", PSTK_TYPE_I64);
    j.now_ns = 1000 * S;
    jj_i64(&j, state, 1000 * S, 2);
    say(&j, temp, 1001 * S, 90); /* kept back, and forgotten */
    memset(rule->suppress_tag, 0, sizeof rule->suppress_tag);
    rule->state_count = 0;
    jj_config(&j);
    say(&j, temp, 1002 * S, 91);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 2);
    CHECK(out.event[0].kind == PSTK_EVENT_RULE_RESTARTED);
    CHECK(out.event[1].kind == PSTK_EVENT_LIMIT_H_TRIP && out.event[1].at_ns == 1002 * S);
    jj_out_free(&out);
    jj_close(&j);
}

/* A rule that is gone and back within a minute: what it folded has two events, each with its id. */
static void test_a_minute_that_is_folded_twice(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80};
    rule->events_per_minute_max = 1;
    pstk_rule kept = *rule;
    (void)jj_rule(&j, "else", PSTK_RULE_LIMIT, "none");
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    for (int round = 0; round < 2; round++) {
        for (int k = 0; k < 6; k++)
            say(&j, temp, (1200 + 10 * round + k) * S, k % 2 ? 10 : 90);
        j.rules[0] = j.rules[1]; /* gone */
        j.rule_count = 1;
        jj_config(&j);
        j.rules[0] = kept;
        j.rule_count = 2;
        jj_config(&j);
    }
    jj_out out = jj_run(&j, 680);
    const pstk_event *found[2] = {0};
    for (size_t i = 0, at = 0; i < out.count && at < 2; i++)
        if (out.event[i].kind == PSTK_EVENT_LIMIT_CHATTERING)
            found[at++] = &out.event[i];
    REQUIRE(found[0] && found[1] && count_kind(&out, PSTK_EVENT_LIMIT_CHATTERING) == 2);
    CHECK(found[0]->at_ns == 1200 * S && found[1]->at_ns == 1200 * S);
    CHECK(found[0]->occurrence == 0 && found[1]->occurrence == 1);
    CHECK(memcmp(found[0]->id, found[1]->id, sizeof found[0]->id) != 0);
    CHECK(count_kind(&out, PSTK_EVENT_RULE_RESTARTED) == 0);
    jj_out_free(&out);
    jj_close(&j);
}

/* For a tag that the rule names no more it is gone. */
static void test_a_tag_that_is_named_no_more(void) {
    jj j;
    jj_open(&j);
    jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp")->size_ns = 10 * S;
    pstk_rule *rule = jj_rule(&j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80};
    jj_config(&j);
    uint32_t a = jj_tag(&j, "m1.temp", PSTK_TYPE_F64), b = jj_tag(&j, "m2.temp", PSTK_TYPE_F64);
    say(&j, a, 1001 * S, 90);
    say(&j, b, 1002 * S, 10);
    jj_role(&j.rules[0], PSTK_ROLE_VALUE, "m2.*");
    jj_role(&j.rules[1], PSTK_ROLE_VALUE, "m2.*");
    jj_config(&j);
    for (int64_t t = 1003; t < 1022; t++)
        say(&j, b, t * S, 10);
    jj_out out = jj_run(&j, 680);
    size_t windows = 0;
    for (size_t i = 0; i < out.count; i++) {
        const pstk_event *e = &out.event[i];
        bool is_window = e->kind == PSTK_EVENT_WINDOW_CLOSE, is_gone = is_window && e->tag == a;
        windows += is_window;
        CHECK(!is_gone || (e->count == 1 && e->flags == PSTK_FLAG_PARTIAL));
        CHECK(e->kind != PSTK_EVENT_RULE_RESTARTED || e->tag == b);
    }
    CHECK(windows == 3 && count_kind(&out, PSTK_EVENT_RULE_RESTARTED) == 1);
    jj_out_free(&out);
    jj_close(&j);
}

typedef struct told {
    int64_t start_s, end_s;
    uint64_t count;
    uint32_t flags;
} told;

/* Events of a rule, in their order. A window that begins behind what was told begins 1 ns behind
 * its newest sample. */
static void require_windows(const jj_out *out, uint32_t rule, const told *wanted, size_t count) {
    size_t at = 0;
    for (size_t i = 0; i < out->count; i++) {
        const pstk_event *e = &out->event[i];
        if (e->rule != rule || e->kind != PSTK_EVENT_WINDOW_CLOSE)
            continue;
        REQUIRE(at < count);
        bool is_right = e->start_ns / S == wanted[at].start_s &&
                        e->end_ns == wanted[at].end_s * S && e->count == wanted[at].count &&
                        e->flags == wanted[at].flags;
        if (!is_right)
            fprintf(stderr, "window %zu: [%lld, %lld) of %llu, flags %x\n", at,
                    (long long)(e->start_ns / S), (long long)(e->end_ns / S),
                    (unsigned long long)e->count, e->flags);
        CHECK(is_right);
        at++;
    }
    CHECK(at == count);
}

static void test_changed_window_swaps_at_its_boundary(void) {
    for (size_t samples_max = 1; samples_max < 700; samples_max += 679) {
        jj j;
        jj_open(&j);
        j.sources[0].lateness_ns = 3 * S;
        pstk_rule *rule = jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp");
        rule->size_ns = 10 * S;
        rule = jj_rule(&j, "kept", PSTK_RULE_WINDOW, "*.temp");
        rule->size_ns = 10 * S;
        jj_config(&j);
        uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
        for (int64_t t = 1001; t <= 1011; t += 5)
            say(&j, temp, t * S, 1); /* two windows are open */
        j.rules[0].size_ns = 15 * S; /* 1020 is no boundary of it: 1005, 1020 ... is, 1035 */
        jj_config(&j);
        say(&j, temp, 1009 * S, 2); /* late, by the old table */
        say(&j, temp, 1019 * S, 3); /* the old table's last */
        say(&j, temp, 1021 * S, 4); /* the new table's first, while the old one is open */
        say(&j, temp, 1018 * S, 5); /* and back */
        for (int64_t t = 1025; t <= 1060; t += 5)
            say(&j, temp, t * S, 6);
        jj_out out = jj_run(&j, samples_max);
        static const told w[] = {{1000, 1010, 3, PSTK_FLAG_PARTIAL},
                                 {1010, 1020, 3, 0},
                                 {1020, 1035, 3, 0},
                                 {1035, 1050, 3, 0}};
        static const told kept[] = {{1000, 1010, 3, PSTK_FLAG_PARTIAL},
                                    {1010, 1020, 3, 0},
                                    {1020, 1030, 2, 0},
                                    {1030, 1040, 2, 0},
                                    {1040, 1050, 2, 0}};
        REQUIRE(out.count > 0);
        require_windows(&out, 1, w, 4);
        require_windows(&out, 2, kept, 5);
        jj_out_free(&out);
        jj_close(&j);
    }
}

/* The new alignment has no boundary there: its first window is cut, and says so. */
static void test_a_swap_that_cuts_the_new_window_says_so(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp");
    rule->size_ns = 10 * S;
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    for (int64_t t = 1000; t < 1014; t += 2)
        say(&j, temp, t * S, 1);
    j.rules[0].size_ns = 16 * S; /* 1008, 1024, 1040 */
    j.rules[0].emit = PSTK_EMIT_EVENT;
    jj_config(&j);
    for (int64_t t = 1014; t < 1060; t += 2)
        say(&j, temp, t * S, 1);
    jj_out out = jj_run(&j, 680);
    static const told w[] = {{1000, 1010, 5, PSTK_FLAG_PARTIAL},
                             {1010, 1020, 5, 0},
                             {1020, 1024, 2, PSTK_FLAG_PARTIAL},
                             {1024, 1040, 8, 0},
                             {1040, 1056, 8, 0}};
    require_windows(&out, 1, w, 5);
    jj_out_free(&out);
    jj_close(&j);
}

/* Nothing is open: the new alignment holds from the last end on, and from then on. */
static void test_a_swap_between_two_windows(void) {
    jj j;
    jj_open(&j);
    jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp")->size_ns = 10 * S;
    pstk_rule *other = jj_rule(&j, "clock", PSTK_RULE_LIMIT, "*.clock");
    other->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80};
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    uint32_t clock = jj_tag(&j, "m1.clock", PSTK_TYPE_F64);
    say(&j, temp, 1001 * S, 1);
    say(&j, clock, 1012 * S, 1); /* closes it */
    j.rules[0].size_ns = 25 * S; /* 1000, 1025, 1050 */
    jj_config(&j);
    for (int64_t t = 1013; t < 1080; t++)
        say(&j, temp, t * S, 1);
    jj_out out = jj_run(&j, 680);
    static const told w[] = {{1000, 1010, 1, PSTK_FLAG_PARTIAL},
                             {1010, 1025, 12, PSTK_FLAG_PARTIAL},
                             {1025, 1050, 25, 0},
                             {1050, 1075, 25, 0}};
    require_windows(&out, 1, w, 4);
    jj_out_free(&out);
    jj_close(&j);
}

static void change_size(jj *j, int64_t size_ns) {
    j->rules[0].size_ns = size_ns;
    jj_config(j);
}

static void test_changes_before_the_swap_is_over(void) {
    jj j;
    jj_open(&j);
    j.sources[0].lateness_ns = 5 * S;
    jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp")->size_ns = 10 * S;
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    say(&j, temp, 1001 * S, 1);
    change_size(&j, 3 * S); /* nothing of this table is ever open */
    say(&j, temp, 1005 * S, 1);
    change_size(&j, 5 * S);
    say(&j, temp, 1009 * S, 1);
    say(&j, temp, 1011 * S, 1); /* [1010, 1015) by the third, while [1000, 1010) is open */
    change_size(&j, 20 * S);    /* two tables have something open: both close as they stand */
    for (int64_t t = 1012; t < 1050; t++)
        say(&j, temp, t * S, 1);
    jj_out out = jj_run(&j, 680);
    static const told w[] = {{1000, 1010, 3, PSTK_FLAG_PARTIAL},
                             {1010, 1015, 1, PSTK_FLAG_PARTIAL},
                             {1011, 1020, 8, PSTK_FLAG_PARTIAL},
                             {1020, 1040, 20, 0}};
    require_windows(&out, 1, w, 4);
    jj_out_free(&out);
    jj_close(&j);
}

/* What one change told stays told under the next one, to the rule that leaves as well. */
static void test_a_second_change_keeps_what_the_first_has_told(void) {
    jj j;
    jj_open(&j);
    j.sources[0].lateness_ns = 5 * S;
    jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp")->size_ns = 10 * S;
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    say(&j, temp, 1008 * S, 1);
    change_size(&j, 16 * S); /* from 1010 on: 1024, 1040 */
    say(&j, temp, 1025 * S, 1);
    change_size(&j, 10 * S);    /* from 1040 on */
    say(&j, temp, 1009 * S, 1); /* late: the first table's */
    say(&j, temp, 1021 * S, 1); /* [1010, 1024), cut */
    say(&j, temp, 1041 * S, 1);
    change_size(&j, 15 * S); /* both close as they stand: behind 1041, 1050, 1065 */
    say(&j, temp, 1052 * S, 1);
    change_size(&j, 10 * S);    /* from 1065 on */
    say(&j, temp, 1040 * S, 1); /* late: told as it stood */
    say(&j, temp, 1048 * S, 1);
    static const int64_t rest[] = {1070, 1066, 1076, 1085};
    for (int k = 0; k < 4; k++)
        say(&j, temp, rest[k] * S, 1);
    jj_out out = jj_run(&j, 680);
    static const told w[] = {{1000, 1010, 1, PSTK_FLAG_PARTIAL}, {1010, 1024, 1, PSTK_FLAG_PARTIAL},
                             {1024, 1040, 1, PSTK_FLAG_PARTIAL}, {1040, 1050, 1, PSTK_FLAG_PARTIAL},
                             {1041, 1050, 1, PSTK_FLAG_PARTIAL}, {1050, 1065, 1, 0},
                             {1065, 1070, 1, PSTK_FLAG_PARTIAL}, {1070, 1080, 2, 0}};
    require_windows(&out, 1, w, 8);
    jj_out_free(&out);
    jj_close(&j);
}

/* Rows and events alike; plain or with more to tell. */
static void test_a_window_that_is_gone_closes_as_it_stands(bool is_row, uint32_t aggregates) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp");
    rule->size_ns = 10 * S;
    rule->emit = is_row ? PSTK_EMIT_RESULT : PSTK_EMIT_EVENT;
    rule->aggregates = aggregates;
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    for (int64_t t = 1001; t < 1014; t++)
        say(&j, temp, t * S, 1);
    pstk_rule kept = j.rules[0];
    j.rules[0] = *jj_rule(&j, "else", PSTK_RULE_LIMIT, "none");
    j.rule_count = 1;
    jj_config(&j);
    say(&j, temp, 1014 * S, 1);
    j.rules[0] = kept;
    jj_config(&j);
    for (int64_t t = 1015; t < 1032; t++)
        say(&j, temp, t * S, 1);
    jj_out out = jj_run(&j, 680);
    static const told w[] = {{1000, 1010, 9, PSTK_FLAG_PARTIAL},
                             {1010, 1020, 4, PSTK_FLAG_PARTIAL},
                             {1013, 1020, 5, PSTK_FLAG_PARTIAL},
                             {1020, 1030, 10, 0}};
    if (!is_row)
        require_windows(&out, 1, w, 4);
    REQUIRE(out.result_count == (is_row ? 4 : 0));
    for (size_t k = 0; k < out.result_count; k++) {
        const pstk_result *at = &out.result[k];
        CHECK(at->start_ns / S == w[k].start_s && at->end_ns == w[k].end_s * S);
        CHECK(at->count == w[k].count && at->flags == w[k].flags);
    }
    jj_out_free(&out);
    jj_close(&j);
}

static uint64_t instances_of(pstk_judge *judge) {
    pstk_judge_counters counters;
    pstk_judge_counters_get(judge, &counters);
    return counters.instances;
}

/* What waits for its rule is let go with the next table, once the watermark is behind it. */
static void test_a_window_that_is_gone_is_forgotten(uint32_t aggregates) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp");
    rule->size_ns = 10 * S;
    rule->emit = PSTK_EMIT_RESULT;
    rule->aggregates = aggregates;
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    pstk_judge *judge = jj_judge(&j, 128);
    jj_out out = {0};
    static const int64_t until[] = {1013, 1019, 1020};
    static const uint64_t instances[] = {1, 1, 0};
    say(&j, temp, 1002 * S, 1);
    size_t from = 0;
    for (int k = 0; k < 3; k++) {
        say(&j, temp, until[k] * S, 1);
        j.rule_count = 0;
        jj_config(&j);
        jj_run_part(&j, judge, from, j.count, 680, &out);
        from = j.count;
        CHECK(instances_of(judge) == instances[k]);
    }
    CHECK(out.result_count == 2);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

/* A clock that went back while its rule was gone: old stamps are no bar. */
static void test_a_window_comes_back_on_a_clock_that_went_back(uint32_t aggregates) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp");
    rule->size_ns = 10 * S;
    rule->emit = PSTK_EMIT_RESULT;
    rule->aggregates = aggregates;
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    j.now_ns = 9000 * S;
    jj_f64(&j, temp, 9003 * S, 1);
    j.rule_count = 0;
    jj_config(&j);
    for (int64_t k = 0; k < 200; k++) {
        j.now_ns += S;
        jj_f64(&j, temp, (1000 + k) * S, 1);
    }
    j.rule_count = 1;
    jj_config(&j);
    for (int64_t k = 0; k < 25; k++)
        jj_f64(&j, temp, (1201 + k) * S, 1);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.result_count == 3);
    CHECK(out.result[1].start_ns == 1200 * S && out.result[2].count == 10);
    jj_out_free(&out);
    jj_close(&j);
}

/* '*' matches something else, and the tag is the same: its register goes on. Another tag under the
 * same capture is another register: what was open is told. */
static void test_a_register_under_another_name(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "good", PSTK_RULE_COUNTER, "*.good");
    rule->size_ns = 100 * S;
    jj_config(&j);
    uint32_t good = jj_tag(&j, "m1.good", PSTK_TYPE_I64);
    uint32_t total = jj_tag(&j, "m1.total", PSTK_TYPE_I64);
    for (int64_t k = 0; k < 30; k++) {
        j.now_ns = (1000 + k) * S;
        jj_i64(&j, good, j.now_ns, 10 + k);
        jj_i64(&j, total, j.now_ns, 500 + 2 * k);
        if (k == 10 || k == 20) {
            jj_role(rule, PSTK_ROLE_VALUE, k == 10 ? "m*.good" : "m*.total");
            jj_config(&j);
        }
    }
    jj_i64(&j, total, 1101 * S, 1000);
    jj_i64(&j, total, 1102 * S, 1001);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 2);
    const pstk_event *e = out.event;
    CHECK(e[0].tag == good && e[0].value.i64 == 19 && e[0].start_reading.i64 == 10);
    CHECK(e[0].end_reading.i64 == 29 && e[0].end_ns == 1019 * S);
    CHECK(e[0].flags == PSTK_FLAG_PARTIAL);
    CHECK(e[1].tag == total && e[1].end_reading.i64 == 558 && e[1].flags == PSTK_FLAG_PARTIAL);
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
    test_only_excursions_are_said_to_be_forgotten();
    test_an_alarm_that_nothing_keeps_back_any_more();
    test_a_minute_that_is_folded_twice();
    test_a_tag_that_is_named_no_more();
    test_changed_window_swaps_at_its_boundary();
    test_a_swap_that_cuts_the_new_window_says_so();
    test_a_swap_between_two_windows();
    test_changes_before_the_swap_is_over();
    test_a_second_change_keeps_what_the_first_has_told();
    test_a_window_that_is_gone_closes_as_it_stands(false, 0);
    test_a_window_that_is_gone_closes_as_it_stands(true, 0);
    test_a_window_that_is_gone_closes_as_it_stands(true, PSTK_AGGREGATE_RANGE);
    test_a_window_that_is_gone_is_forgotten(0);
    test_a_window_that_is_gone_is_forgotten(PSTK_AGGREGATE_RANGE);
    test_a_window_comes_back_on_a_clock_that_went_back(0);
    test_a_window_comes_back_on_a_clock_that_went_back(PSTK_AGGREGATE_RANGE);
    test_a_register_under_another_name();
    test_damaged_table_changes_nothing();
    test_bounds_are_counted();
    test_shared_role_reaches_every_instance();
    return check_result("judge_config");
}
