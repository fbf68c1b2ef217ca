/* A box whose clock is set: T jumps by years, and no time has passed by it. */
#include "judge_journal.h"

#define TODAY (1790000000 * S)
#define BOOT (60 * S) /* the box's clock when it began, in 1970 */

/* A limit that waits ten seconds, and windows of a second; the machine's own clock is right. */
static void begin(jj *j, uint32_t *out_tag) {
    jj_open(j);
    j->sources[0].lateness_ns = S;
    pstk_rule *rule = jj_rule(j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80, .on_delay_ns = 10 * S};
    rule = jj_rule(j, "second", PSTK_RULE_WINDOW, "*.temp");
    rule->size_ns = S;
    rule->emit = PSTK_EMIT_EVENT;
    j->now_ns = BOOT;
    jj_config(j);
    *out_tag = jj_tag(j, "m1.temp", PSTK_TYPE_F64);
}

static void say(jj *j, uint32_t tag, int64_t k, double x) {
    j->now_ns += 100 * MS;
    jj_f64(j, tag, TODAY + k * 100 * MS, x);
}

static void jump(jj *j, int64_t to_ns) {
    pstk_clock_record record = {.by_ns = to_ns - j->now_ns};
    j->now_ns = to_ns;
    jj_put(j, PSTK_RECORD_CLOCK, &record, sizeof record);
}

static size_t count_of(const jj *j, size_t samples_max, int kind) {
    jj_out out = jj_run(j, samples_max);
    size_t count = 0;
    for (size_t i = 0; i < out.count; i++)
        count += out.event[i].kind == kind;
    jj_out_free(&out);
    return count;
}

static void test_a_jump_is_no_time_that_passed(void) {
    jj j;
    uint32_t tag;
    begin(&j, &tag);
    for (int64_t k = 0; k < 15; k++)
        say(&j, tag, k, k < 5 ? 20 : 90); /* over the limit for one second */
    jump(&j, TODAY + 2 * S);
    jj_tick(&j, j.now_ns + 100 * MS);
    CHECK(count_of(&j, 680, PSTK_EVENT_LIMIT_H_TRIP) == 0);
    CHECK(count_of(&j, 680, PSTK_EVENT_WINDOW_CLOSE) == 0); /* the stream is not idle */
    for (int64_t k = 15; k < 40; k++)                       /* within its lateness, none is late */
        say(&j, tag, k, 90);
    CHECK(count_of(&j, 1, PSTK_EVENT_LIMIT_H_TRIP) == 0);
    jj_tick(&j, j.now_ns + 10 * S); /* and now it has passed */
    jj_out out = jj_run(&j, 680);
    uint64_t samples = 0, trips = 0;
    for (size_t i = 0; i < out.count; i++) {
        samples += out.event[i].kind == PSTK_EVENT_WINDOW_CLOSE ? out.event[i].count : 0;
        trips += out.event[i].kind == PSTK_EVENT_LIMIT_H_TRIP;
        if (out.event[i].kind == PSTK_EVENT_LIMIT_H_TRIP)
            CHECK(out.event[i].at_ns == TODAY + 500 * MS);
    }
    CHECK(samples == 40 && trips == 1);
    jj_out_free(&out);
    jj_close(&j);
}

/* The test has teeth: without the record the delay is over at once, and the stream is idle. */
static void test_an_untold_jump_would_trip(void) {
    jj j;
    uint32_t tag;
    begin(&j, &tag);
    for (int64_t k = 0; k < 15; k++)
        say(&j, tag, k, k < 5 ? 20 : 90);
    jj_tick(&j, TODAY + 2 * S);
    CHECK(count_of(&j, 680, PSTK_EVENT_LIMIT_H_TRIP) == 1);
    CHECK(count_of(&j, 680, PSTK_EVENT_WINDOW_CLOSE) > 0);
    jj_close(&j);
}

static void test_a_damaged_record_changes_nothing(void) {
    static const int64_t by_ns[] = {0, -1, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        jj j;
        uint32_t tag;
        begin(&j, &tag);
        say(&j, tag, 0, 90);
        pstk_clock_record record = {.by_ns = by_ns[i]};
        jj_put(&j, PSTK_RECORD_CLOCK, &record, sizeof record);
        jj_put(&j, PSTK_RECORD_CLOCK, &record, 3);
        jj_tick(&j, j.now_ns + 11 * S);
        CHECK(count_of(&j, 680, PSTK_EVENT_LIMIT_H_TRIP) == 1);
        jj_close(&j);
    }
}

int main(void) {
    test_a_jump_is_no_time_that_passed();
    test_an_untold_jump_would_trip();
    test_a_damaged_record_changes_nothing();
    return check_result("judge_clock");
}
