/* Gaps of numbered streams through the judge: who tells them, when, with what, and under which
 * identity; with several streams, several rules, restarts and damaged counts. */
#include "judge_journal.h"

static pstk_rule *with_gap(jj *j, const char *name, const char *source, uint64_t lost_min) {
    pstk_rule *rule = jj_rule(j, name, PSTK_RULE_GAP, "");
    snprintf(rule->source, sizeof rule->source, "%s", source);
    rule->lost_min = lost_min;
    return rule;
}

static void say(jj *j, uint32_t tag, int64_t time_ns) {
    j->now_ns = PSTK_MAX(j->now_ns, time_ns);
    jj_f64(j, tag, time_ns, 1);
}

static void lose(jj *j, uint16_t stream, uint64_t lost) {
    j->stream = stream;
    jj_source(j, PSTK_SOURCE_GAP, lost);
}

static bool is_gap(const pstk_event *e, const char *group, int64_t at_ns, int64_t end_ns,
                   uint64_t count) {
    char name[PSTK_NAME_BYTES];
    int bytes = pstk_event_group(e, name, sizeof name);
    bool is_it = e->kind == PSTK_EVENT_GAP_LOST && bytes == (int)strlen(name) &&
                 strcmp(name, group) == 0 && e->at_ns == at_ns && e->start_ns == at_ns &&
                 e->end_ns == end_ns && e->count == count && e->tag == UINT32_MAX &&
                 e->value_type == PSTK_TYPE_I64;
    if (!is_it)
        fprintf(stderr, "kind %u of %s at %g end %g count %llu\n", (unsigned)e->kind, name,
                (double)e->at_ns / 1e9, (double)e->end_ns / 1e9, (unsigned long long)e->count);
    return is_it;
}

/* One gap rule, one tag of stream 7. */
static uint32_t with_line(jj *j) {
    jj_open(j);
    with_gap(j, "lost", "line", 0);
    jj_config(j);
    jj_stream(j, 0, 7);
    return jj_tag(j, "m1.temp", PSTK_TYPE_F64);
}

static void test_a_gap_is_told_with_the_sample_behind_it(void) {
    jj j;
    uint32_t temp = with_line(&j);
    say(&j, temp, 1000 * S);
    say(&j, temp, 1001 * S);
    lose(&j, 0, 12);
    jj_out waiting = jj_run(&j, 680);
    CHECK(waiting.count == 0); /* nobody knows yet how long it is */
    say(&j, temp, 1004 * S);
    say(&j, temp, 1005 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 1);
    CHECK(is_gap(&out.event[0], "line/7", 1001 * S, 1004 * S, 12));
    CHECK(out.event[0].value.i64 == 7 && out.event[0].engine_time_ns == 1004 * S);
    jj_out_free(&waiting);
    jj_out_free(&out);
    jj_close(&j);
}

/* Any sample that can be used ends it: bad, older than what was there, without a rule of its own.
 */
static void test_what_ends_a_gap(void) {
    jj j;
    uint32_t temp = with_line(&j);
    say(&j, temp, 1005 * S);
    lose(&j, 0, 1);
    say(&j, temp, 1002 * S); /* not before its start */
    lose(&j, 0, 2);
    say(&j, temp, 1006 * S);
    jj_quality(&j, 0x8000);
    lose(&j, 0, 3);
    jj_f64(&j, 4000, 1007 * S, 1); /* no such tag */
    jj_f64(&j, temp, 1007 * S, __builtin_nan(""));
    say(&j, temp, 1008 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 3);
    CHECK(is_gap(&out.event[0], "line/7", 1005 * S, 1005 * S, 1));
    CHECK(is_gap(&out.event[1], "line/7", 1005 * S, 1006 * S, 2));
    CHECK(out.event[0].occurrence == 0 && out.event[1].occurrence == 1);
    CHECK(memcmp(out.event[0].id, out.event[1].id, 16) != 0);
    CHECK(is_gap(&out.event[2], "line/7", 1006 * S, 1008 * S, 3));
    CHECK(out.event[2].occurrence == 0);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_losses_without_a_sample_between_are_one(void) {
    jj j;
    uint32_t temp = with_line(&j);
    with_gap(&j, "many", "line", 10);
    jj_restart(&j);
    jj_stream(&j, 0, 7);
    say(&j, temp, 1000 * S);
    lose(&j, 0, 4);
    lose(&j, 0, 0);
    lose(&j, 0, 6);
    say(&j, temp, 1001 * S);
    lose(&j, 0, 9);
    say(&j, temp, 1002 * S);
    lose(&j, 0, UINT64_MAX); /* a damaged record */
    lose(&j, 0, 5);
    say(&j, temp, 1003 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 5);
    CHECK(is_gap(&out.event[0], "line/7", 1000 * S, 1001 * S, 10));
    CHECK(is_gap(&out.event[1], "line/7", 1000 * S, 1001 * S, 10));
    CHECK(out.event[0].rule != out.event[1].rule);
    CHECK(is_gap(&out.event[2], "line/7", 1001 * S, 1002 * S, 9)); /* too few for the other */
    CHECK(is_gap(&out.event[3], "line/7", 1002 * S, 1003 * S, UINT64_MAX));
    jj_out_free(&out);
    jj_close(&j);
}

/* Seen for the first time in the middle: engine time stands in for what was before; no later gap
 * bears the same identity, though a stamp comes to the same moment. */
static void test_a_stream_that_is_seen_in_the_middle(void) {
    jj j;
    uint32_t temp = with_line(&j);
    j.now_ns = 1003 * S;
    lose(&j, 0, 100);
    say(&j, temp, 1000 * S);
    say(&j, temp, 1002 * S);
    lose(&j, 0, 1);
    say(&j, temp, 1003 * S);
    lose(&j, 0, 2);
    say(&j, temp, 1003 * S);
    lose(&j, 0, 3);
    say(&j, temp, 1004 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 4);
    CHECK(is_gap(&out.event[0], "line/7", 1003 * S, 1003 * S, 100));
    CHECK(is_gap(&out.event[1], "line/7", 1002 * S, 1003 * S, 1));
    CHECK(is_gap(&out.event[2], "line/7", 1003 * S, 1003 * S, 2));
    CHECK(is_gap(&out.event[3], "line/7", 1003 * S, 1004 * S, 3));
    for (uint32_t k = 0; k < 4; k++)
        CHECK(out.event[k].occurrence == (k < 2 ? 0 : k - 1));
    jj_out_free(&out);
    jj_close(&j);
}

/* A boot that begins in the middle; one that begins at its beginning lost nothing. */
static void test_a_new_boot(void) {
    jj j;
    uint32_t temp = with_line(&j);
    say(&j, temp, 1000 * S);
    jj_source(&j, PSTK_SOURCE_BOOT, 0);
    say(&j, temp, 1001 * S);
    jj_source(&j, PSTK_SOURCE_BOOT, 8);
    say(&j, temp, 1002 * S);
    jj_source(&j, PSTK_SOURCE_DOWN, 0);
    jj_source(&j, PSTK_SOURCE_UP, 0);
    say(&j, temp, 1003 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 1);
    CHECK(is_gap(&out.event[0], "line/7", 1001 * S, 1002 * S, 8));
    jj_out_free(&out);
    jj_close(&j);
}

static void test_streams_and_sources_are_told_apart(void) {
    jj j;
    jj_open(&j);
    j.sources[1] = (pstk_config_source){.name = "hall", .idle_after_ns = 5 * S};
    j.source_count = 2;
    with_gap(&j, "lost", "line", 1);
    snprintf(with_gap(&j, "other", "hall", 1)->asset, PSTK_NAME_BYTES, "press");
    with_gap(&j, "nobody", "lin", 1);
    jj_config(&j);
    uint32_t tag[3];
    for (uint16_t k = 0; k < 3; k++) {
        j.source = k == 2;
        jj_stream(&j, k, 70u + k);
        tag[k] = jj_tag(&j, k == 2 ? "c" : k ? "b" : "a", PSTK_TYPE_F64);
    }
    jj_context(&j, "line", 900 * S, "MO-1", NULL);
    jj_context(&j, "press", 900 * S, "MO-2", NULL);
    for (int round = 0; round < 2; round++)
        for (uint16_t k = 0; k < 3; k++) {
            j.source = k == 2;
            j.stream = k;
            if (round && k)
                jj_source(&j, PSTK_SOURCE_GAP, k);
            say(&j, tag[k], (1000 + 10 * round + k) * S);
        }
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 2);
    CHECK(is_gap(&out.event[0], "line/71", 1001 * S, 1011 * S, 1));
    CHECK(is_gap(&out.event[1], "hall/72", 1002 * S, 1012 * S, 2));
    CHECK(strcmp(out.event[0].context.order, "MO-1") == 0);
    CHECK(strcmp(out.event[1].context.order, "MO-2") == 0);
    jj_out_free(&out);
    jj_close(&j);
}

/* Streams whose messages bear no number have no instance: nothing is ever lost there. */
static void test_streams_without_numbers_are_not_watched(void) {
    jj j;
    jj_open(&j);
    with_gap(&j, "lost", "line", 1);
    jj_config(&j);
    for (uint16_t k = 0; k < 4; k++)
        jj_stream(&j, k, k < 3 ? PSTK_STREAM_UNNUMBERED | k : k);
    jj_config(&j);
    pstk_judge *judge = jj_judge(&j, 1024);
    jj_out out = {0};
    jj_run_part(&j, judge, 0, j.count, 680, &out);
    pstk_judge_counters counters;
    pstk_judge_counters_get(judge, &counters);
    CHECK(counters.instances == 1 && out.count == 0 && counters.instance_limit == 0);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jj_close(&j);
}

/* The process dies between the record and the sample behind it: from the image the same event. */
static void test_a_gap_outlives_an_image_at_every_place(void) {
    jj j;
    uint32_t temp = with_line(&j);
    say(&j, temp, 1000 * S);
    lose(&j, 0, 5);
    lose(&j, 0, 6);
    say(&j, temp, 1003 * S);
    lose(&j, 0, 7);
    say(&j, temp, 1003 * S);
    lose(&j, 0, 1);
    say(&j, temp, 1003 * S);
    jj_out whole = jj_run(&j, 680);
    REQUIRE(whole.count == 3);
    for (size_t cut = 0; cut <= j.count; cut++) {
        jj_out out = {0};
        pstk_judge *first = jj_judge(&j, 1024), *second = jj_judge(&j, 1024);
        jj_run_part(&j, first, 0, cut, 680, &out);
        pstk_image image = jj_image(first);
        pstk_error err;
        REQUIRE(pstk_judge_restore(second, &image, &err) == PSTK_OK);
        jj_run_part(&j, second, cut, j.count, 680, &out);
        CHECK(jj_same_events(&whole, &out));
        free(image.buffer);
        pstk_judge_close(first);
        pstk_judge_close(second);
        jj_out_free(&out);
    }
    jj_out_free(&whole);
    jj_close(&j);
}

/* Another lost_min, no rule, the rule again: what waits belongs to the stream, identity does not
 * depend on what was told. */
static void test_a_change_of_the_rule(void) {
    jj j;
    uint32_t temp = with_line(&j);
    say(&j, temp, 1000 * S);
    lose(&j, 0, 5);
    j.rules[0].lost_min = 6;
    jj_config(&j);
    say(&j, temp, 1000 * S); /* too few now */
    lose(&j, 0, 5);
    j.rules[0].lost_min = 5;
    jj_config(&j);
    say(&j, temp, 1001 * S);
    j.rule_count = 0;
    jj_config(&j);
    lose(&j, 0, 9);
    say(&j, temp, 1002 * S); /* nobody listens */
    j.rule_count = 1;
    jj_config(&j);
    say(&j, temp, 1003 * S);
    lose(&j, 0, 8);
    say(&j, temp, 1004 * S);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 2);
    CHECK(is_gap(&out.event[0], "line/7", 1000 * S, 1001 * S, 5));
    CHECK(out.event[0].occurrence == 1);
    CHECK(is_gap(&out.event[1], "line/7", 1003 * S, 1004 * S, 8));
    jj_out_free(&out);
    jj_close(&j);
}

/* A full event ring stops in the middle of many rules, and goes on there. */
static void test_a_full_event_ring_tells_none_twice(void) {
    jj j;
    jj_open(&j);
    for (int k = 0; k < 30; k++) {
        char name[16];
        snprintf(name, sizeof name, "lost%d", k);
        with_gap(&j, name, "line", 1);
    }
    jj_config(&j);
    jj_stream(&j, 0, 7);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    for (int k = 0; k < 20; k++) {
        say(&j, temp, (1000 + k) * S);
        lose(&j, 0, 1);
    }
    pstk_judge *judge = jj_judge(&j, 128); /* room for 64 at most, then one at a time */
    jj_out small = {0}, large = jj_run(&j, 680);
    pstk_block *block = jj_buffer();
    for (size_t at = 0; at < j.count;) {
        size_t taken = jj_block(&j, at, 680, block);
        while (!pstk_judge_block(judge, block))
            jj_drain(judge, &small, 1);
        at += taken;
    }
    jj_drain(judge, &small, SIZE_MAX);
    CHECK(small.count == 30 * 19 && jj_same_events(&small, &large));
    free(block);
    pstk_judge_close(judge);
    jj_out_free(&small);
    jj_out_free(&large);
    jj_close(&j);
}

/* A clock that went back begins another epoch: the same stamp is another event. */
static void test_a_clock_that_went_back(void) {
    jj j;
    uint32_t temp = with_line(&j);
    const int64_t day = 86400 * S;
    j.now_ns = 2 * day;
    for (int turn = 0; turn < 2; turn++) {
        for (int k = 0; k < 150; k++) {
            j.now_ns += S;
            jj_f64(&j, temp, day + k * S, 1);
        }
        lose(&j, 0, 3);
        j.now_ns += S;
        jj_f64(&j, temp, day + 200 * S, 1);
        for (int k = 0; !turn && k < 200; k++) { /* a day later, then back */
            j.now_ns += S;
            jj_f64(&j, temp, 2 * day, 1);
        }
    }
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 2);
    CHECK(is_gap(&out.event[0], "line/7", day + 149 * S, day + 200 * S, 3));
    CHECK(is_gap(&out.event[1], "line/7", day + 149 * S, day + 200 * S, 3));
    CHECK(out.event[0].time_epoch == 0 && out.event[1].time_epoch == 1);
    CHECK(out.event[1].occurrence == 0 && memcmp(out.event[0].id, out.event[1].id, 16) != 0);
    jj_out_free(&out);
    jj_close(&j);
}

/* The longest name and number fit beside each other; a tag's event has no group. */
static void test_names_at_their_bounds(void) {
    jj j;
    jj_open(&j);
    memset(j.sources[0].name, 'x', 63);
    pstk_rule *rule = with_gap(&j, "lost", j.sources[0].name, 1);
    jj_config(&j);
    jj_stream(&j, 0, PSTK_STREAM_UNNUMBERED - 1);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    say(&j, temp, 1000 * S);
    lose(&j, 0, 1);
    say(&j, temp, 1001 * S);
    jj_out out = jj_run(&j, 680);
    char name[PSTK_NAME_BYTES], wanted[PSTK_NAME_BYTES];
    snprintf(wanted, sizeof wanted, "%s/2147483647", rule->source);
    REQUIRE(out.count == 1);
    CHECK(pstk_event_group(&out.event[0], name, sizeof name) == 74 && strcmp(name, wanted) == 0);
    CHECK(pstk_event_group(&out.event[0], name, 8) == 74 && strlen(name) == 7);
    CHECK(strcmp(pstk_event_by(&out.event[0]), "") == 0);
    out.event[0].kind = PSTK_EVENT_LIMIT_H_TRIP;
    CHECK(pstk_event_group(&out.event[0], name, sizeof name) == 0 && name[0] == 0);
    jj_out_free(&out);
    jj_close(&j);
}

int main(void) {
    test_a_gap_is_told_with_the_sample_behind_it();
    test_what_ends_a_gap();
    test_losses_without_a_sample_between_are_one();
    test_a_stream_that_is_seen_in_the_middle();
    test_a_new_boot();
    test_streams_and_sources_are_told_apart();
    test_streams_without_numbers_are_not_watched();
    test_a_gap_outlives_an_image_at_every_place();
    test_a_change_of_the_rule();
    test_a_full_event_ring_tells_none_twice();
    test_a_clock_that_went_back();
    test_names_at_their_bounds();
    return check_result("judge_gap");
}
