/* The fast path says what the slow one says: two judges, one of which takes the slow path for
 * every sample, go through the same random blocks and hold the same bytes after each. Samples are
 * mostly in order; some are late, unstamped, damaged or of another stream. The same for rules of
 * event order, one of which takes each sample through the plain heap, with ties, few nodes, and
 * events that find no room; and for tags that one alarm alone hears. Plants: PSTK_PLANT_JUDGE_FAST
 * forgets the newest stamp on the fast path, PSTK_PLANT_JUDGE_ROW puts a sample behind a later
 * one, PSTK_PLANT_JUDGE_ALONE takes the first sample of an instant for all of it,
 * PSTK_PLANT_JUDGE_ARRIVAL forgets the newest stamp where one alarm hears; with each this must
 * fail. */
#include "judge_twins.h"

#define HOUR_NS (3600 * S)

enum { TAGS = 24, BLOCKS = 400, KINDS = 12 };

typedef struct plant { /* tags of every kind on one source with three streams, and one more source
                        */
    jj j;
    uint64_t seed;
    int64_t event_ns[4]; /* each stream's clock */
    uint32_t tag[TAGS];
    uint16_t source[TAGS];
    uint8_t type[TAGS];
    bool is_ordered;           /* all its rules are */
    bool is_alone;             /* a rule a tag, an alarm as a rule */
    int64_t register_of[TAGS]; /* what a counter's tag says */
    pstk_judge *fast, *plain;
    pstk_block *block;
    jj_out from_fast, from_plain;
} plant;

static uint64_t draw(plant *p, uint64_t below) { return pstk_random(&p->seed) % below; }

static pstk_rule *limit(jj *j, const char *name, const char *pattern, double high) {
    pstk_rule *rule = jj_rule(j, name, PSTK_RULE_LIMIT, pattern);
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = high, .deadband = 3};
    return rule;
}

static void window(jj *j, const char *name, const char *pattern, int64_t size_ns) {
    pstk_rule *rule = jj_rule(j, name, PSTK_RULE_WINDOW, pattern);
    rule->size_ns = size_ns;
    rule->emit = PSTK_EMIT_RESULT;
}

static void make_rules(jj *j) {
    limit(j, "high", "*", 90)->events_per_minute_max = 5;
    limit(j, "higher", "*.many", 93)->level[PSTK_LEVEL_L] =
        (pstk_limit_level){.is_set = 1, .value = 2, .deadband = 1};
    limit(j, "held", "*.held", 80)->level[PSTK_LEVEL_H].on_delay_ns = 30 * MS;
    limit(j, "ordered", "*.ordered", 85)->order = PSTK_ORDER_EVENT;
    window(j, "second", "*", S);
    window(j, "third", "*.many", S / 3);
    window(j, "more", "*.one", S / 2);
    j->rules[j->rule_count - 1].aggregates = PSTK_AGGREGATE_VARIANCE | PSTK_AGGREGATE_MAX_AT;
    window(j, "hop", "*.many", 2 * S);
    j->rules[j->rule_count - 1].hop_ns = S / 2;
    window(j, "corrected", "*.held", S / 2);
    j->rules[j->rule_count - 1].correct_ns = S;
    window(j, "long", "*.many", 4 * S);
    j->rules[j->rule_count - 1].emit = PSTK_EMIT_EVENT;
    j->rules[j->rule_count - 1].offset_ns = 700 * MS;
}

/* One of each, heard by one rule; two tags that several hear. */
static void make_ordered_rules(jj *j) {
    static const char *const windows[] = {"*.weighted", "*.share", "*.cut", "*.session",
                                          "*.counted"};
    pstk_rule *rule = jj_rule(j, "count", PSTK_RULE_COUNTER, "*.count");
    rule->size_ns = S;
    rule = jj_rule(j, "lots", PSTK_RULE_COUNTER, "*.lots");
    rule->cut_on = PSTK_CUT_CONTEXT_ORDER | PSTK_CUT_LOT_TAG;
    jj_role(rule, PSTK_ROLE_LOT, "*.state");
    rule = jj_rule(j, "flow", PSTK_RULE_TOTAL, "*.flow");
    rule->size_ns = 3 * S / 2;
    rule->rate_unit_ns = S;
    rule = jj_rule(j, "state", PSTK_RULE_STATE, "*.state");
    rule->is_any_state = 1;
    rule->state_on = PSTK_ON_BOTH;
    rule->min_duration_ns = 50 * MS;
    rule->micro = PSTK_MICRO_FOLD;
    rule->micro_every_ns = 2 * S;
    limit(j, "high", "*.high", 85)->order = PSTK_ORDER_EVENT;
    rule = limit(j, "held", "*.held", 80);
    rule->order = PSTK_ORDER_EVENT;
    rule->quality = PSTK_QUALITY_TRIP;
    rule->level[PSTK_LEVEL_H].on_delay_ns = 40 * MS;
    rule->level[PSTK_LEVEL_H].re_alarm_ns = 300 * MS;
    limit(j, "many.high", "*.many", 70)->order = PSTK_ORDER_EVENT;
    jj_rule(j, "many.count", PSTK_RULE_COUNTER, "*.many")->size_ns = 2 * S;
    limit(j, "now", "*.mixed", 85);
    jj_rule(j, "mixed", PSTK_RULE_TOTAL, "*.mixed")->rate_unit_ns = S;
    window(j, "second", "*.mixed", S);
    for (int k = 0; k < 5; k++)
        window(j, windows[k] + 2, windows[k], k < 3 ? S / 2 : 0);
    rule = &j->rules[j->rule_count - 5];
    rule[0].aggregates = PSTK_AGGREGATE_TW_MEAN | PSTK_AGGREGATE_VARIANCE;
    rule[1].aggregates = PSTK_AGGREGATE_SHARE;
    rule[1].state_count = 1;
    rule[1].state_code[0] = 1;
    rule[2].cut_on = PSTK_CUT_CONTEXT_ORDER;
    rule[2].hop_ns = S / 4;
    rule[3].session_gap_ns = 100 * MS;
    rule[3].session_max_ns = S;
    rule[4].count_n = 9;
    window(j, "many.weighted", "*.many", S);
    j->rules[j->rule_count - 1].aggregates = PSTK_AGGREGATE_INTEGRAL;
}

/* Alarms of arrival order, most of them alone at their tag; two that keep one another back. */
static void make_alone_rules(jj *j) {
    pstk_rule *rule = jj_rule(j, "beat", PSTK_RULE_FRESHNESS, "*.beat");
    rule->after_ns = 200 * MS;
    rule->events_per_minute_max = 9;
    for (int k = 0; k < 2; k++) {
        rule = jj_rule(j, k ? "turn" : "rate", PSTK_RULE_RATE, k ? "*.turn" : "*.rate");
        rule->span_ns = (k ? 300 : 100) * MS;
        rule->rate_unit_ns = S;
        rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 200, .deadband = 20};
        rule->level[PSTK_LEVEL_L] = (pstk_limit_level){
            .is_set = 1, .value = -200, .deadband = 9, .on_delay_ns = k * 60 * MS};
        rule->events_per_minute_max = 20;
        rule->quality = k ? PSTK_QUALITY_SUPPRESS : PSTK_QUALITY_HOLD;
        rule = jj_rule(j, k ? "stand" : "stuck", PSTK_RULE_STUCK, k ? "*.stand" : "*.stuck");
        rule->after_ns = (k ? 300 : 60) * MS;
        rule->band = k ? 50 : 20;
        rule->events_per_minute_max = 20;
    }
    rule = limit(j, "over", "*.over", 75);
    rule->level[PSTK_LEVEL_H].on_delay_ns = 20 * MS;
    rule->level[PSTK_LEVEL_H].re_alarm_ns = 300 * MS;
    limit(j, "bad", "*.bad", 78)->quality = PSTK_QUALITY_TRIP;
    limit(j, "two", "*.two", 70);
    limit(j, "two.again", "*.two", 75)->order = PSTK_ORDER_ARRIVAL;
    limit(j, "first", "*.first", 60);
    rule = jj_rule(j, "second", PSTK_RULE_RATE, "*.pair");
    rule->span_ns = 50 * MS;
    rule->rate_unit_ns = S;
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 100, .deadband = 50};
    snprintf(rule->suppress_by, sizeof rule->suppress_by, "first");
    window(j, "windows", "*.window", S / 2);
    jj_rule(j, "count", PSTK_RULE_COUNTER, "*.count")->size_ns = S;
}

static uint8_t type_of(int k) {
    if (k % 5 == 4)
        return PSTK_TYPE_I64;
    if (k % 11 == 9)
        return PSTK_TYPE_BOOL;
    return k % 13 == 7 ? PSTK_TYPE_CODE : PSTK_TYPE_F64;
}

static void make_tags(plant *p) {
    static const char *const kinds[3][KINDS] = {{"one", "many", "held", "ordered", "one", "many",
                                                 "one", "many", "held", "ordered", "one", "many"},
                                                {"count", "lots", "flow", "state", "high", "held",
                                                 "many", "mixed", "weighted", "share", "cut",
                                                 "session"},
                                                {"beat", "rate", "turn", "stuck", "stand", "over",
                                                 "bad", "two", "first", "pair", "window", "count"}};
    for (int k = 0; k < TAGS; k++) {
        char name[32];
        const char *kind = kinds[p->is_alone ? 2 : p->is_ordered][k % KINDS];
        p->source[k] = k % 4 == 3;
        p->type[k] = type_of(k);
        if (p->is_ordered || p->is_alone)
            p->type[k] = k % 5 == 4 ? PSTK_TYPE_I64 : PSTK_TYPE_F64;
        snprintf(name, sizeof name, "m%d.%s", k, p->is_ordered && k == 23 ? "counted" : kind);
        if (p->is_alone && k % KINDS == 9) /* under the name of the one that keeps it back */
            snprintf(name, sizeof name, "m%d.pair", k - 1);
        p->j.source = p->source[k];
        p->tag[k] = jj_tag(&p->j, name, p->type[k]);
    }
}

static void open_plant(plant *p, uint64_t seed, bool is_ordered, bool is_alone) {
    memset(p, 0, sizeof *p);
    p->seed = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    p->is_ordered = is_ordered;
    p->is_alone = is_alone;
    jj_open(&p->j);
    p->j.sources[0].lateness_ns = (int64_t)draw(p, 3) * 50 * MS;
    p->j.sources[1] =
        (pstk_config_source){.name = "other", .lateness_ns = 100 * MS, .idle_after_ns = 2 * S};
    p->j.source_count = 2;
    if (is_ordered)
        make_ordered_rules(&p->j);
    else if (is_alone)
        make_alone_rules(&p->j);
    else
        make_rules(&p->j);
    jj_config(&p->j);
    make_tags(p);
    for (int s = 0; s < 4; s++)
        p->event_ns[s] = p->j.now_ns;
    uint32_t nodes = is_ordered && seed % 3 == 0 ? 40 : 4096;
    uint32_t events = (is_ordered || is_alone) && seed % 2 ? 128 : 1024;
    p->fast = jj_judge_of(&p->j, events, nodes);
    p->plain = jj_judge_of(&p->j, events, nodes);
    pstk_judge_set_plain(p->plain, true);
    p->block = jj_buffer();
}

static void close_plant(plant *p) {
    pstk_judge_close(p->fast);
    pstk_judge_close(p->plain);
    free(p->block);
    jj_out_free(&p->from_fast);
    jj_out_free(&p->from_plain);
    jj_close(&p->j);
}

/* ---- one block ------------------------------------------------------------------------------ */

static pstk_value value_of(plant *p, int k) {
    uint64_t kind = draw(p, 400);
    double x = 20 + (double)draw(p, 4000) / 64;
    if (p->is_ordered && (k % KINDS < 2 || k % KINDS == 6)) { /* registers, often as before */
        p->register_of[k] += (int64_t)draw(p, 3);
        x = (double)p->register_of[k];
    } else if (p->is_ordered && (k % KINDS == 3 || k % KINDS == 9)) {
        x = (double)draw(p, 3);
    }
    if (kind < (p->is_alone ? 40u : 6u))
        x = 80 + (double)draw(p, 30);
    if (kind == 46)
        x = draw(p, 2) ? -0.0 : 0.0;
    if (p->type[k] == PSTK_TYPE_BOOL)
        return (pstk_value){.i64 = (int64_t)draw(p, 2)};
    if (p->type[k] != PSTK_TYPE_F64)
        return (pstk_value){.i64 = (int64_t)x};
    if (kind == 47)
        x = draw(p, 2) ? __builtin_nan("") : __builtin_inf();
    if (kind == 48)
        return (pstk_value){.bits = pstk_random(&p->seed)};
    return (pstk_value){.f64 = x};
}

static int64_t stamp_of(plant *p, int64_t *clock_ns) {
    uint64_t kind = draw(p, 300);
    *clock_ns += (int64_t)draw(p, 3) * MS;
    if (kind < 12) /* late by a little, or a lot */
        return *clock_ns - (int64_t)draw(p, kind < 9 ? 60 : 3000) * MS;
    if (kind < 15)
        return PSTK_TIME_NONE;
    if (kind == 15 && draw(p, 10) == 0)
        return *clock_ns - 2 * HOUR_NS;
    if (kind == 16 && draw(p, 20) == 0) {
        int64_t damaged_ns = (int64_t)pstk_random(&p->seed);
        /* Not years ahead, where a flow would be told of for each interval of them. */
        return p->is_ordered && damaged_ns > 0 ? damaged_ns | INT64_C(3) << 61 : damaged_ns;
    }
    return *clock_ns;
}

static void sample_block(plant *p) {
    uint16_t stream = (uint16_t)draw(p, 4);
    pstk_sample *sample = (pstk_sample *)(void *)(p->block + 1);
    uint32_t count = 1 + (uint32_t)draw(p, draw(p, 2) ? 40 : 680);
    for (uint32_t i = 0; i < count; i++) {
        int k = (int)draw(p, TAGS);
        if (p->source[k] != (stream == 3) && draw(p, 200)) /* now and then a foreign tag */
            k = stream == 3 ? k / 4 * 4 + 3 : k / 4 * 4;
        sample[i] = (pstk_sample){.time_ns = stamp_of(p, &p->event_ns[stream]),
                                  .value = value_of(p, k),
                                  .tag_id = draw(p, 900) ? p->tag[k] : (uint32_t)p->seed,
                                  .quality = draw(p, 90) ? 0 : (uint16_t)(draw(p, 4) << 14)};
    }
    p->j.now_ns = PSTK_MAX(p->j.now_ns, p->event_ns[stream] + 5 * MS);
    *p->block = (pstk_block){.kind = PSTK_RECORD_SAMPLES,
                             .source = stream == 3,
                             .stream = stream,
                             .recv_time_ns = p->j.now_ns,
                             .count = count,
                             .bytes = (uint32_t)(sizeof *p->block + count * sizeof *sample)};
}

static void change_rules(plant *p) {
    pstk_rule *rule = p->j.rules;
    if (p->is_ordered) {
        jr_named(&p->j, "high")->level[PSTK_LEVEL_H].value = 80 + (double)draw(p, 8);
        jr_named(&p->j, "count")->size_ns = (1 + (int64_t)draw(p, 5)) * S / 4;
        jr_named(&p->j, "weighted")->size_ns = (1 + (int64_t)draw(p, 3)) * S / 2;
        jj_config(&p->j);
        return;
    }
    if (p->is_alone) {
        jr_named(&p->j, "rate")->span_ns = (50 + (int64_t)draw(p, 100)) * MS;
        jr_named(&p->j, "over")->level[PSTK_LEVEL_H].value = 70 + (double)draw(p, 9);
        jj_config(&p->j);
        return;
    }
    rule[0].level[PSTK_LEVEL_H].value = 85 + (double)draw(p, 8);
    rule[5].size_ns = (1 + (int64_t)draw(p, 5)) * S / 4;
    if (draw(p, 2)) /* another rule: its windows no longer lie in a row with the others */
        rule[5].name[0] ^= 't' ^ 'b';
    jj_config(&p->j);
}

/* Now and then something else: a gap, a silence, other rules, a stream whose clock went back. */
static void other_block(plant *p) {
    size_t at = p->j.count;
    p->j.source = 0;
    p->j.stream = (uint16_t)draw(p, 3);
    switch (draw(p, 6)) {
    case 0:
        jj_source(&p->j, PSTK_SOURCE_GAP, 3);
        break;
    case 1:
        jj_tick(&p->j, p->j.now_ns + (draw(p, 2) ? 20 * MS : 6 * S));
        break;
    case 2:
        p->event_ns[draw(p, 3)] += (int64_t)draw(p, 90) * S;
        break;
    case 3:
        p->event_ns[p->j.stream] -= draw(p, 4) ? 0 : 3 * HOUR_NS;
        break;
    case 4:
        change_rules(p);
        break;
    default:
        jj_context(&p->j, "m1", PSTK_TIME_NONE, "order", NULL);
    }
    p->block->kind = PSTK_RECORD_PAD;
    while (at < p->j.count) {
        at += jj_block(&p->j, at, 1, p->block);
        while (!pstk_judge_block(p->fast, p->block))
            jj_drain(p->fast, &p->from_fast, SIZE_MAX);
        while (!pstk_judge_block(p->plain, p->block))
            jj_drain(p->plain, &p->from_plain, SIZE_MAX);
    }
}

static void test_fast_says_what_plain_says(uint64_t seed, bool is_ordered, bool is_alone) {
    plant p;
    open_plant(&p, seed, is_ordered, is_alone);
    jj_run_part(&p.j, p.fast, 0, p.j.count, 1, &p.from_fast);
    jj_run_part(&p.j, p.plain, 0, p.j.count, 1, &p.from_plain);
    bool is_same = true;
    for (int i = 0; i < BLOCKS && is_same; i++) {
        if (draw(&p, 20) == 0)
            other_block(&p);
        sample_block(&p);
        while (!pstk_judge_block(p.fast, p.block))
            jj_drain(p.fast, &p.from_fast, 3);
        while (!pstk_judge_block(p.plain, p.block))
            jj_drain(p.plain, &p.from_plain, 3);
        is_same = jt_same_images(p.fast, p.plain);
        if (!is_same)
            fprintf(stderr, "seed %llu: images differ after block %d\n", (unsigned long long)seed,
                    i);
        if (i % 16 == 0) {
            jj_drain(p.fast, &p.from_fast, SIZE_MAX);
            jj_drain(p.plain, &p.from_plain, SIZE_MAX);
        }
    }
    jj_drain(p.fast, &p.from_fast, SIZE_MAX);
    jj_drain(p.plain, &p.from_plain, SIZE_MAX);
    CHECK(is_same && jt_same_outputs(&p.from_fast, &p.from_plain));
    CHECK(p.from_fast.count > 50 && p.from_fast.result_count > (is_alone ? 10 : 50));
    close_plant(&p);
}

int main(int argc, char **argv) {
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 12; /* more by hand */
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        test_fast_says_what_plain_says(seed, false, false);
        test_fast_says_what_plain_says(seed, true, false);
        test_fast_says_what_plain_says(seed, false, true);
    }
    return check_result("judge_fast");
}
