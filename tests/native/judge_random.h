/* judge_random: a journal of every rule kind, drawn from a seed; for tests that compare two ways of
 * judging it. */
#ifndef PSTK_JUDGE_RANDOM_H
#define PSTK_JUDGE_RANDOM_H

#include "judge_journal.h"

typedef struct jr { /* a plant of machines on two sources */
    jj j;
    uint64_t seed;
    uint32_t good[3], lot[3], start[3], state[3], since[3], flow[3], temp[3], plain[3];
    uint32_t alone[3][4]; /* each heard by one alarm of arrival order */
    int64_t count[3], lot_number[3], lot_start[3], state_code[3], state_since[3];
    int64_t event_ns; /* the machines' clock */
} jr;

static inline uint64_t jr_draw(jr *r, uint64_t below) { return pstk_random(&r->seed) % below; }

/* Rates, stuck and silent tags, re-alarms, what bad quality means; behind the rules that
 * jr_surprise changes by their place. */
static inline void jr_alarms(jj *j) {
    pstk_rule *rule = jj_rule(j, "again", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1,
                                                   .value = 75,
                                                   .deadband = 10,
                                                   .on_delay_ns = 100 * MS,
                                                   .off_delay_ns = 400 * MS,
                                                   .re_alarm_ns = 700 * MS};
    rule->quality = PSTK_QUALITY_SUPPRESS;
    rule = jj_rule(j, "bad", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] =
        (pstk_limit_level){.is_set = 1, .value = 90, .deadband = 5, .re_alarm_ns = 2 * S};
    rule->quality = PSTK_QUALITY_TRIP;
    for (int k = 0; k < 2; k++) {
        rule = jj_rule(j, k ? "rise" : "fast", PSTK_RULE_RATE, k ? "*.temp" : "*.good");
        rule->span_ns = (k ? 300 : 1100) * MS;
        rule->rate_unit_ns = k ? S : 60 * S;
        rule->order = k ? PSTK_ORDER_ARRIVAL : PSTK_ORDER_EVENT;
        rule->level[PSTK_LEVEL_H] = (pstk_limit_level){
            .is_set = 1, .value = k ? 60 : 300, .deadband = 20, .off_delay_ns = k * 200 * MS};
        rule->level[PSTK_LEVEL_L] = (pstk_limit_level){
            .is_set = 1, .value = k ? -60 : 30, .deadband = 9, .re_alarm_ns = k * S};
        rule->quality = k ? PSTK_QUALITY_SUPPRESS : PSTK_QUALITY_HOLD;
        rule = jj_rule(j, k ? "stays" : "held", PSTK_RULE_STUCK, k ? "*.flow" : "*.state");
        rule->after_ns = (k ? 300 : 2000) * MS;
        rule->band = k * 9.5;
        rule->order = k ? PSTK_ORDER_EVENT : PSTK_ORDER_ARRIVAL;
    }
    rule = jj_rule(j, "silent", PSTK_RULE_FRESHNESS, "*.temp");
    rule->after_ns = 350 * MS;
    rule->events_per_minute_max = 9;
    for (int k = 0; k < 3; k++) { /* kept back by a state, by a rule, by both */
        static const char *const names[] = {"stopped", "under", "quiet"};
        rule = jj_rule(j, names[k], k == 2 ? PSTK_RULE_FRESHNESS : PSTK_RULE_LIMIT, "*.temp");
        rule->level[PSTK_LEVEL_H] = (pstk_limit_level){
            .is_set = 1, .value = 60, .deadband = 5, .on_delay_ns = k * 150 * MS, .re_alarm_ns = S};
        rule->order = k == 0 ? PSTK_ORDER_EVENT : PSTK_ORDER_ARRIVAL;
        rule->after_ns = 250 * MS;
        rule->state_count = 2;
        rule->state_code[0] = 1;
        rule->state_code[1] = 3;
        if (k != 1)
            snprintf(rule->suppress_tag, sizeof rule->suppress_tag, "*.state");
        if (k != 0)
            snprintf(rule->suppress_by, sizeof rule->suppress_by, "hot");
    }
}

static inline pstk_rule *jr_window(jj *j, const char *name, uint32_t aggregates) {
    pstk_rule *rule = jj_rule(j, name, PSTK_RULE_WINDOW, "*.temp");
    rule->emit = PSTK_EMIT_RESULT;
    rule->aggregates = aggregates;
    rule->expected_ns = 100 * MS;
    return rule;
}

/* One of each kind of window that is not on the fast path. */
static inline void jr_wide_rules(jj *j) {
    const uint32_t plain = PSTK_AGGREGATE_MIN_AT | PSTK_AGGREGATE_MAX_AT | PSTK_AGGREGATE_RANGE |
                           PSTK_AGGREGATE_VARIANCE | PSTK_AGGREGATE_RATE |
                           PSTK_AGGREGATE_COMPLETENESS | PSTK_AGGREGATE_QUALITY_SHARE;
    const uint32_t weighted = PSTK_AGGREGATE_TW_MEAN | PSTK_AGGREGATE_INTEGRAL;
    jr_window(j, "more", plain)->size_ns = S;
    pstk_rule *rule = jr_window(j, "hop", plain);
    rule->size_ns = 2 * S;
    rule->hop_ns = S / 2;
    rule = jr_window(j, "session", plain | weighted);
    rule->session_gap_ns = 300 * MS;
    rule->session_max_ns = 4 * S;
    jr_window(j, "count", plain | weighted)->count_n = 7;
    rule = jr_window(j, "weighted", plain | weighted);
    rule->size_ns = S;
    rule->emit = PSTK_EMIT_EVENT;
    rule = jr_window(j, "weighted.hop", weighted);
    rule->size_ns = 3 * S;
    rule->hop_ns = S;
    rule->cut_on = PSTK_CUT_LOT_TAG | PSTK_CUT_CONTEXT_ORDER;
    jj_role(rule, PSTK_ROLE_LOT, "*.lot");
    rule = jr_window(j, "corrected", plain);
    rule->size_ns = S;
    rule->correct_ns = 2 * S;
    rule = jr_window(j, "share", PSTK_AGGREGATE_SHARE);
    jj_role(rule, PSTK_ROLE_VALUE, "*.state");
    rule->size_ns = 2 * S;
    rule->state_count = 2;
    rule->state_code[0] = 1;
    rule->state_code[1] = 3;
}

static inline void jr_gaps(jj *j) {
    for (int k = 0; k < 2; k++) {
        pstk_rule *rule = jj_rule(j, k ? "lost" : "lost.many", PSTK_RULE_GAP, "");
        snprintf(rule->source, sizeof rule->source, "line");
        rule->lost_min = k ? 0 : 3;
    }
}

static inline void jr_alone(jj *j) {
    pstk_rule *rule = jj_rule(j, "beat", PSTK_RULE_FRESHNESS, "*.alone0");
    rule->after_ns = 300 * MS;
    rule->events_per_minute_max = 15;
    rule = jj_rule(j, "turn", PSTK_RULE_RATE, "*.alone1");
    rule->span_ns = 200 * MS;
    rule->rate_unit_ns = S;
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 90, .deadband = 20};
    rule->level[PSTK_LEVEL_L] =
        (pstk_limit_level){.is_set = 1, .value = -90, .deadband = 9, .on_delay_ns = 100 * MS};
    rule->events_per_minute_max = 20;
    rule = jj_rule(j, "stand", PSTK_RULE_STUCK, "*.alone2");
    rule->after_ns = 300 * MS;
    rule->band = 30;
    rule->events_per_minute_max = 20;
    rule = jj_rule(j, "over", PSTK_RULE_LIMIT, "*.alone3");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){
        .is_set = 1, .value = 70, .deadband = 20, .on_delay_ns = 50 * MS, .re_alarm_ns = S};
    rule->events_per_minute_max = 20;
}

static inline void jr_rules(jj *j) {
    pstk_rule *rule = jj_rule(j, "good", PSTK_RULE_COUNTER, "*.good");
    jj_role(rule, PSTK_ROLE_LOT, "*.lot");
    jj_role(rule, PSTK_ROLE_START, "*.start");
    rule->cut_on = PSTK_CUT_LOT_TAG | PSTK_CUT_CONTEXT_ORDER;
    rule = jj_rule(j, "hourly", PSTK_RULE_COUNTER, "*.good");
    rule->size_ns = 2 * S;
    rule = jj_rule(j, "stops", PSTK_RULE_STATE, "*.state");
    jj_role(rule, PSTK_ROLE_SINCE, "*.since");
    rule->since_unit_ns = 1;
    rule->state_count = 2;
    rule->state_code[0] = 0;
    rule->state_code[1] = 2;
    rule->min_duration_ns = S;
    rule = jj_rule(j, "modes", PSTK_RULE_STATE, "*.state");
    rule->is_any_state = 1;
    rule->state_on = PSTK_ON_BOTH;
    rule->min_duration_ns = 2 * S;
    rule->micro = PSTK_MICRO_FOLD;
    rule->micro_every_ns = 5 * S;
    rule = jj_rule(j, "scale", PSTK_RULE_COUNTER, "*.good");
    rule->size_ns = 3 * S;
    rule->negative = PSTK_NEGATIVE_SUBTRACT;
    rule = jj_rule(j, "water", PSTK_RULE_TOTAL, "*.flow");
    jj_role(rule, PSTK_ROLE_LOT, "*.lot");
    rule->rate_unit_ns = 60 * S;
    rule = jj_rule(j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80, .deadband = 2};
    rule->level[PSTK_LEVEL_HH] =
        (pstk_limit_level){.is_set = 1, .value = 95, .deadband = 1, .on_delay_ns = 300 * MS};
    rule->level[PSTK_LEVEL_L] =
        (pstk_limit_level){.is_set = 1, .value = 5, .deadband = 1, .off_delay_ns = 200 * MS};
    rule->events_per_minute_max = 12;
    rule = jj_rule(j, "ordered", PSTK_RULE_LIMIT, "*.temp");
    rule->order = PSTK_ORDER_EVENT;
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 85, .deadband = 5};
    rule = jj_rule(j, "second", PSTK_RULE_WINDOW, "*.temp");
    rule->size_ns = S;
    rule->emit = PSTK_EMIT_RESULT;
    rule = jj_rule(j, "plain", PSTK_RULE_WINDOW, "*.plain");
    rule->size_ns = S;
    rule->emit = PSTK_EMIT_RESULT;
    rule = jj_rule(j, "told", PSTK_RULE_WINDOW, "*.temp");
    rule->size_ns = 3 * S;
    rule->offset_ns = 500 * MS;
    rule->emit = PSTK_EMIT_EVENT;
    jr_alarms(j);
    jr_wide_rules(j);
    jr_gaps(j);
    jr_alone(j);
}

static inline pstk_rule *jr_named(jj *j, const char *name) {
    for (uint32_t k = 0; k < j->rule_count; k++)
        if (strcmp(j->rules[k].name, name) == 0)
            return &j->rules[k];
    REQUIRE(false);
    return NULL;
}

static inline void jr_tags(jr *r, int m) {
    static const char *const names[] = {"good",  "lot",  "start", "state",
                                        "since", "flow", "temp",  "plain"};
    uint32_t *const ids[] = {r->good,  r->lot,  r->start, r->state,
                             r->since, r->flow, r->temp,  r->plain};
    for (int k = 0; k < 8; k++) {
        char name[32];
        snprintf(name, sizeof name, "m%d.%s", m, names[k]);
        ids[k][m] = jj_tag(&r->j, name, k < 5 ? PSTK_TYPE_I64 : PSTK_TYPE_F64);
    }
    for (int k = 0; k < 4; k++) {
        char name[32];
        snprintf(name, sizeof name, "m%d.alone%d", m, k);
        r->alone[m][k] = jj_tag(&r->j, name, PSTK_TYPE_F64);
    }
}

static inline void jr_open(jr *r, uint64_t seed) {
    memset(r, 0, sizeof *r);
    r->seed = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    jj_open(&r->j);
    r->j.sources[0].lateness_ns = 500 * MS;
    r->j.sources[1] =
        (pstk_config_source){.name = "other", .lateness_ns = 100 * MS, .idle_after_ns = 2 * S};
    r->j.source_count = 2;
    jr_rules(&r->j);
    jj_config(&r->j);
    r->event_ns = r->j.now_ns;
    for (int m = 0; m < 3; m++) {
        r->j.source = m == 2;
        jj_stream(&r->j, (uint16_t)m, 10u + (uint32_t)m);
        jr_tags(r, m);
        r->lot_number[m] = 1;
        r->count[m] = (int64_t)jr_draw(r, 1000);
        r->lot_start[m] = r->count[m];
        r->state_since[m] = r->event_ns;
    }
}

static inline void jr_close(jr *r) { jj_close(&r->j); }

static inline double jr_temp(jr *r) { return (double)jr_draw(r, 1100) / 10.0 - 5.0; }

/* One message of one machine; stamps lie up to 400 ms back. */
static inline void jr_message(jr *r, int m) {
    jj *j = &r->j;
    int64_t at = r->event_ns;
    r->count[m] += (int64_t)jr_draw(r, 5);
    if (jr_draw(r, 12) == 0) {
        r->lot_number[m]++;
        r->lot_start[m] = r->count[m];
        r->count[m] += (int64_t)jr_draw(r, 3);
    }
    if (jr_draw(r, 8) == 0) {
        r->state_code[m] = (int64_t)jr_draw(r, 4);
        r->state_since[m] = at - (int64_t)jr_draw(r, 100) * MS;
    }
    jj_i64(j, r->lot[m], at, r->lot_number[m]);
    jj_i64(j, r->start[m], at, r->lot_start[m]);
    jj_i64(j, r->good[m], at, r->count[m]);
    jj_i64(j, r->state[m], at, r->state_code[m]);
    jj_i64(j, r->since[m], at, r->state_since[m]);
    jj_f64(j, r->flow[m], at, (double)jr_draw(r, 100) / 3.0);
    for (uint64_t k = jr_draw(r, 6); k; k--) {
        jj_f64(j, r->temp[m], at - (int64_t)jr_draw(r, 400) * MS, jr_temp(r));
        if (jr_draw(r, 20) == 0)
            jj_quality(j, jr_draw(r, 2) ? 0x8000 : 0x4000);
        jj_f64(j, r->plain[m], jr_draw(r, 9) ? at : PSTK_TIME_NONE, jr_temp(r));
    }
    for (uint64_t k = jr_draw(r, 20); k; k--) {
        uint64_t which = jr_draw(r, 4);
        int64_t back_ns = jr_draw(r, 6) ? 0 : (int64_t)jr_draw(r, 400) * MS;
        jj_f64(j, r->alone[m][which], jr_draw(r, 15) ? at - back_ns : PSTK_TIME_NONE,
               jr_draw(r, 40) ? jr_temp(r) : __builtin_nan(""));
        if (jr_draw(r, 12) == 0)
            jj_quality(j, jr_draw(r, 2) ? 0x8000 : 0x4000);
        at += (int64_t)jr_draw(r, 3) * MS;
    }
}

/* A person does something about one of the alarms, sometimes the same again. */
static inline void jr_operate(jr *r, int m) {
    static const char *const rules[][2] = {
        {"hot", "temp"},    {"again", "temp"},   {"ordered", "temp"}, {"rise", "temp"},
        {"held", "state"},  {"silent", "temp"},  {"stays", "flow"},   {"fast", "good"},
        {"bad", "temp"},    {"under", "temp"},   {"stopped", "temp"}, {"beat", "alone0"},
        {"turn", "alone1"}, {"stand", "alone2"}, {"over", "alone3"}};
    uint64_t k = jr_draw(r, sizeof rules / sizeof *rules), often = 1 + jr_draw(r, 2);
    uint32_t action = 1 + (uint32_t)jr_draw(r, 4);
    char tag[32];
    snprintf(tag, sizeof tag, "m%d.%s", m, rules[k][1]);
    for (; often; often--)
        jj_operate(&r->j, action, rules[k][0], tag,
                   r->j.now_ns + (1 + (int64_t)jr_draw(r, 40)) * 100 * MS);
}

/* Now and then something that is not a sample. */
static inline void jr_surprise(jr *r, int m) {
    jj *j = &r->j;
    char name[32], order[16];
    switch (jr_draw(r, 15)) {
    case 0:
        for (uint64_t k = jr_draw(r, 3) + 1; k; k--)
            jj_source(j, PSTK_SOURCE_GAP, 1 + jr_draw(r, 3));
        break;
    case 1:
        jj_source(j, PSTK_SOURCE_DOWN, 0);
        jj_source(j, PSTK_SOURCE_UP, 0);
        break;
    case 2:
    case 3:
        snprintf(name, sizeof name, "m%d", m);
        snprintf(order, sizeof order, "o%d", (int)jr_draw(r, 4));
        jj_context(j, name, jr_draw(r, 2) ? PSTK_TIME_NONE : r->event_ns, order, NULL);
        break;
    case 4:
        snprintf(name, sizeof name, "m%d.good", m);
        jj_baseline(j, "good", name, r->count[m] - 5, r->event_ns);
        break;
    case 5:
        jj_tick(j, j->now_ns + 100 * MS);
        break;
    case 6: /* long silence: everything turns idle */
        jj_tick(j, j->now_ns + 6 * S);
        r->event_ns += 6 * S;
        break;
    case 7:
        jr_named(j, "told")->size_ns = (1 + (int64_t)jr_draw(r, 5)) * S;
        jr_named(j, "hot")->level[PSTK_LEVEL_H].value = 70 + (double)jr_draw(r, 20);
        jr_named(j, "second")->size_ns = (1 + (int64_t)jr_draw(r, 3)) * S;
        if (jr_draw(r, 2)) /* a window becomes another, or a plain one */
            jr_named(j, "more")->aggregates ^= jr_named(j, "hop")->aggregates;
        jj_config(j);
        break;
    case 8:
    case 9:
    case 10:
        jr_operate(r, m);
        break;
    default:
        break;
    }
}

static inline void jr_write(jr *r, int messages) {
    for (int i = 0; i < messages; i++) {
        int m = (int)jr_draw(r, 3);
        r->event_ns += (int64_t)jr_draw(r, 150) * MS;
        r->j.now_ns = PSTK_MAX(r->j.now_ns, r->event_ns + 20 * MS);
        r->j.source = m == 2;
        r->j.stream = (uint16_t)m;
        jr_message(r, m);
        if (jr_draw(r, 10) == 0)
            jr_surprise(r, m);
    }
    r->j.source = 0;
    jj_tick(&r->j, r->j.now_ns + 10 * S);
    jj_tick(&r->j, r->j.now_ns + 20 * S);
}

#endif
