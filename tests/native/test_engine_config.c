/* The engine under another configuration: rules come, go and change, sources are known by name,
 * also where the judge has not come to their table yet. And a kill between two records that belong
 * together. */
#include "engine_fixture.h"
#include "ring/ring.h"

#define ROWS 3000u

/* ---- another configuration ------------------------------------------------------------------ */

static void feed_level(pstk_engine *engine, uint32_t source, const char *tag, int64_t time_ns,
                       uint32_t count) {
    static packed p;
    packed_head head = {.seq = UINT64_MAX, .time_ns = time_ns, .tag = tag};
    packed_start(&p, &head);
    for (uint32_t i = 0; i < count; i++)
        packed_put(&p, i % 2 ? 15 : 5);
    CHECK(feed_packed(engine, source, &p) == PSTK_OK);
}

/* Events of each of two rules, by name: numbers of rules may differ from life to life. */
static void count_events(pstk_engine *engine, uint64_t *out_high, uint64_t *out_other) {
    pstk_event events[64];
    pstk_error err;
    size_t count;
    char name[PSTK_RULE_NAME_BYTES], series[16];
    *out_high = *out_other = 0;
    do {
        REQUIRE(pstk_engine_poll(engine, events, 64, &count, &err) == PSTK_OK);
        for (size_t i = 0; i < count; i++) {
            int size = pstk_engine_rule_name(engine, events[i].rule, name, sizeof name, series,
                                             sizeof series);
            CHECK(size > 0 && strcmp(series, "1") == 0);
            *(strcmp(name, "high") == 0 ? out_high : out_other) +=
                events[i].kind != PSTK_EVENT_RULE_RESTARTED;
        }
        if (count)
            REQUIRE(pstk_engine_acknowledge(engine, events[count - 1].seq, &err) == PSTK_OK);
    } while (count);
}

static void test_rules_come_go_and_change_between_two_lives(void) {
    place_begin();
    setup s = with_limit();
    uint64_t high, other;
    pstk_engine *engine = must_open(&s);
    feed_level(engine, 0, "m.level", START_NS, 10);
    count_events(engine, &high, &other);
    CHECK(high == 9 && other == 0);
    uint32_t gen = stats_of(engine).config_gen;
    must_close(engine);
    engine = must_open(&s); /* the same: no new generation, and the number is kept */
    CHECK(stats_of(engine).config_gen == gen);
    must_close(engine);
    s.rule_count = 2; /* one more, in front */
    s.rule[1] = s.rule[0];
    s.rule[0] = limit_rule("also high", "m.*");
    engine = must_open(&s);
    CHECK(stats_of(engine).config_gen == gen + 1);
    feed_level(engine, 0, "m.level", START_NS + SECOND, 10);
    count_events(engine, &high, &other);
    CHECK(high == 10 && other == 9); /* the old one had ended above: one clear more */
    must_close(engine);
    s.rule[1].level[PSTK_LEVEL_H].value = 20; /* above everything */
    engine = must_open(&s);
    feed_level(engine, 0, "m.level", START_NS + 2 * SECOND, 10);
    count_events(engine, &high, &other);
    CHECK(high == 0 && other == 10 && stats_of(engine).config_gen == gen + 2);
    must_close(engine);
    s.rule_count = 0;
    engine = must_open(&s);
    feed_level(engine, 0, "m.level", START_NS + 3 * SECOND, 10);
    count_events(engine, &high, &other);
    CHECK(high == 0 && other == 0 && source_of(engine, 0).used == 40);
    must_close(engine);
    place_end();
}

static void put_source(setup *s, const char *name) {
    s->source[s->source_count++] = feed_source(name);
}

static void check_used(pstk_engine *engine, uint32_t source, const char *name, uint64_t used) {
    pstk_source_stats stats = source_of(engine, source);
    CHECK(strcmp(stats.name, name) == 0 && stats.used == used);
    CHECK(is_conserved(engine, source, false));
}

static void test_sources_are_known_by_name_in_any_order(void) {
    place_begin();
    setup s = with_limit();
    s.source_count = 0;
    put_source(&s, "one");
    put_source(&s, "two");
    pstk_engine *engine = must_open(&s);
    feed_level(engine, 0, "one.level", START_NS, 10);
    feed_level(engine, 1, "two.level", START_NS, 20);
    must_close(engine);
    s.source_count = 0; /* reordered, with a new one in front */
    put_source(&s, "three");
    put_source(&s, "two");
    put_source(&s, "one");
    engine = must_open(&s);
    check_used(engine, 0, "three", 0);
    check_used(engine, 1, "two", 20);
    check_used(engine, 2, "one", 10);
    feed_level(engine, 2, "one.level", START_NS + SECOND, 10); /* its tag is still its own */
    feed_level(engine, 1, "one.level", START_NS + SECOND, 10);
    feed_level(engine, 0, "three.level", START_NS + SECOND, 5);
    check_used(engine, 2, "one", 20);
    CHECK(source_of(engine, 1).dropped[PSTK_DROP_SOURCE] == 10);
    must_close(engine);
    s.source_count = 0; /* gone, then back */
    put_source(&s, "three");
    engine = must_open(&s);
    check_used(engine, 0, "three", 5);
    must_close(engine);
    put_source(&s, "one");
    put_source(&s, "two");
    engine = must_open(&s);
    check_used(engine, 0, "three", 5);
    check_used(engine, 1, "one", 20);
    check_used(engine, 2, "two", 20);
    CHECK(source_of(engine, 2).dropped[PSTK_DROP_SOURCE] == 10);
    must_close(engine);
    place_end();
}

/* The judge stands before a full event ring, so the tables of the journal's tail are not his yet.
 */
static void add_a_source_behind_a_full_event_ring(void *context) {
    setup *s = context;
    pstk_engine *engine = must_open(s);
    if (s->source_count == 1) {
        uint32_t tag = must_tag(engine, 0, "line.level", PSTK_TYPE_F64);
        CHECK(feed_rows(engine, 0, tag, ROWS, START_NS, 0) == PSTK_OK);
    } else {
        feed_level(engine, 1, "second.a", START_NS, 30);
    }
    CHECK(stats_of(engine).is_event_ring_full);
}

static void test_sources_of_an_unjudged_tail_keep_their_numbers(void) {
    place_begin();
    setup s = with_limit();
    s.options.event_slots = 256;
    in_killed_child(add_a_source_behind_a_full_event_ring, &s);
    put_source(&s, "second");
    in_killed_child(add_a_source_behind_a_full_event_ring, &s);
    s.source_count = 1;
    put_source(&s, "third");
    put_source(&s, "second");
    pstk_engine *engine = must_open(&s);
    CHECK(stats_of(engine).is_event_ring_full);
    check_used(engine, 0, "line", ROWS);
    check_used(engine, 1, "third", 0);
    check_used(engine, 2, "second", 30);
    uint64_t written = stats_of(engine).written;
    must_close(engine);
    for (int again = 0; again < 20; again++) { /* restarts add no tables where they are known */
        engine = must_open(&s);
        must_close(engine);
    }
    engine = must_open(&s);
    CHECK(stats_of(engine).is_event_ring_full && stats_of(engine).written - written < 65536 / 4);
    CHECK(drain(engine) == ROWS - 1);
    feed_level(engine, 2, "second.a", START_NS + 10 * SECOND, 10);
    check_used(engine, 2, "second", 40);
    must_close(engine);
    place_end();
}

/* ---- a kill between two records that belong together ---------------------------------------- */

static void feed_boot(pstk_engine *engine, uint32_t boot, uint64_t seq, uint32_t count) {
    static packed p;
    packed_head head = {.stream = 7,
                        .boot = boot,
                        .seq = seq,
                        .time_ns = START_NS + (int64_t)seq * 1000000,
                        .tag = "m.level"};
    packed_run(&p, &head, count);
    CHECK(feed_packed(engine, 0, &p) == PSTK_OK);
}

static void test_kill_between_stream_and_boot_makes_no_duplicate(void) {
    place_begin();
    setup s = with_limit();
    pstk_engine *engine = must_open(&s);
    feed_boot(engine, 1, 0, 100);
    must_close(engine);
    pstk_ring_options options = {
        .ring_dir = ring_dir, .ring_bytes = RING_BYTES, .layout = UINT32_MAX};
    pstk_image image;
    uint32_t damaged;
    bool is_found = false, is_new = true;
    pstk_error err;
    REQUIRE(pstk_image_load(state_dir, NULL, UINT32_MAX, &image, &is_found, &damaged, &err) ==
            PSTK_OK);
    memcpy(options.journal_id, image.head.journal_id, sizeof options.journal_id);
    options.layout = image.head.layout;
    pstk_image_free(&image);
    pstk_ring *ring = NULL;
    REQUIRE(pstk_ring_open(&options, &ring, &is_new, &err) == PSTK_OK && !is_new);
    pstk_stream_record record = {.index = 0, .stream = 7, .boot = 2};
    pstk_block block = {.kind = PSTK_RECORD_STREAM, .recv_time_ns = START_NS, .count = 1};
    uint8_t *place = pstk_ring_claim(ring, sizeof record);
    REQUIRE(place != NULL);
    memcpy(place, &record, sizeof record);
    block.config_gen = 1;
    pstk_ring_commit(ring, &block, sizeof record);
    pstk_ring_close(ring);
    engine = must_open(&s);
    feed_boot(engine, 2, 5, 20); /* what was sent under the new boot, first seen at 5 */
    pstk_source_stats stats = source_of(engine, 0);
    CHECK(stats.used == 120 && stats.dropped[PSTK_DROP_DUPLICATE] == 0);
    CHECK(stats.lost_upstream == 5 && is_conserved(engine, 0, true));
    must_close(engine);
    place_end();
}

int main(void) {
    test_rules_come_go_and_change_between_two_lives();
    test_sources_are_known_by_name_in_any_order();
    test_sources_of_an_unjudged_tail_keep_their_numbers();
    test_kill_between_stream_and_boot_makes_no_duplicate();
    return check_result("test_engine_config");
}
