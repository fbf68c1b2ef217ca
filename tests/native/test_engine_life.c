/* The engine's life: opened, refused, started, closed, forked. Bounds are refused by name, an end
 * is an end, and nothing is left behind by what did not come to be.
 *
 * Method  ASan looks for what a failed open keeps; a forked child makes every call. */
#include "engine_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* ---- bounds --------------------------------------------------------------------------------- */

typedef struct wrong {
    const char *text; /* what the refusal must name */
    void (*spoil)(setup *s);
} wrong;

#define SPOIL(name, statement)                                                                     \
    static void spoil_##name(setup *s) { statement; }
SPOIL(abi, s->options.abi_version = 99)
SPOIL(plant, s->options.plant[0] = 0)
SPOIL(plant_end, memset(s->options.plant, 'x', sizeof s->options.plant))
SPOIL(state_end, memset(s->options.state_dir, 'x', sizeof s->options.state_dir))
SPOIL(ring_none, s->options.ring_dir[0] = 0)
SPOIL(clock, s->options.clock = 2)
SPOIL(ring_small, s->options.ring_bytes = 65536)
SPOIL(ring_odd, s->options.ring_bytes = (1u << 20) + 1)
SPOIL(ring_large, s->options.ring_bytes = UINT64_C(2) << 30)
SPOIL(tags, s->options.tags_max = 0)
SPOIL(tags_large, s->options.tags_max = UINT32_MAX)
SPOIL(instances, s->options.instances_max = 0)
SPOIL(streams, s->options.streams_max = 65536)
SPOIL(assets, s->options.assets_max = 0)
SPOIL(events, s->options.event_slots = 1000)
SPOIL(results, s->options.result_slots = 128)
SPOIL(reorder, s->options.reorder_slots = 0)
SPOIL(codes, s->options.codes_max = 100000)
SPOIL(checkpoint, s->options.checkpoint_ns = -1)
SPOIL(source_none, s->source[0].name[0] = 0)
SPOIL(source_end, memset(s->source[0].name, 'x', sizeof s->source[0].name))
SPOIL(source_kind, s->source[0].kind = 9)
SPOIL(source_format, s->source[0].format = 2)
SPOIL(source_full, s->source[0].full = 2)
SPOIL(source_block, s->source[0].kind = PSTK_SOURCE_NATS)
SPOIL(subjects, s->source[0].subject_count = 17)
SPOIL(frame, s->source[0].frame_bytes_max = 16)
SPOIL(share, s->source[0].ring_share = 0)
SPOIL(share_large, s->source[0].ring_share = 1.5)
SPOIL(share_nan, s->source[0].ring_share = strtod("nan", NULL))
SPOIL(lateness, s->source[0].lateness_ns = -1)
SPOIL(future, s->source[0].future_max_ns = INT64_MAX)
SPOIL(twins, s->source_count = 2; s->source[1] = s->source[0])
SPOIL(many_sources, s->source_count = PSTK_SOURCES_MAX + 1)
SPOIL(many_rules, s->rule_count = PSTK_RULES_MAX + 1)
SPOIL(rule_none, s->rule[0].name[0] = 0)
SPOIL(rule_end, memset(s->rule[0].pattern[1], 'x', PSTK_NAME_BYTES))
SPOIL(rule_kind, s->rule[0].kind = 200)
SPOIL(rule_states, s->rule[0].state_count = 17)
SPOIL(rule_delay, s->rule[0].level[0].on_delay_ns = -5)
SPOIL(rule_window, s->rule[0].kind = PSTK_RULE_WINDOW)
SPOIL(rule_total, s->rule[0].kind = PSTK_RULE_TOTAL)
SPOIL(rule_twins, s->rule_count = 2; s->rule[1] = s->rule[0])

static const wrong wrongs[] = {
    {"ABI 99", spoil_abi},
    {"plant", spoil_plant},
    {"plant", spoil_plant_end},
    {"state_dir", spoil_state_end},
    {"ring_dir", spoil_ring_none},
    {"engine.clock", spoil_clock},
    {"engine.ring_bytes = 65536 is not a power of two in 1048576", spoil_ring_small},
    {"engine.ring_bytes", spoil_ring_odd},
    {"engine.ring_bytes", spoil_ring_large},
    {"engine.tags_max = 0 is not in 1..", spoil_tags},
    {"engine.tags_max", spoil_tags_large},
    {"engine.instances_max", spoil_instances},
    {"engine.streams_max", spoil_streams},
    {"engine.assets_max", spoil_assets},
    {"engine.event_slots", spoil_events},
    {"engine.result_slots", spoil_results},
    {"engine.reorder_slots", spoil_reorder},
    {"engine.codes_max", spoil_codes},
    {"engine.checkpoint_ns", spoil_checkpoint},
    {"source 0 has no name", spoil_source_none},
    {"without an end", spoil_source_end},
    {"unknown kind", spoil_source_kind},
    {"format", spoil_source_format},
    {"full", spoil_source_full},
    {"use drop", spoil_source_block},
    {"16 subjects", spoil_subjects},
    {"source line: frame_bytes_max", spoil_frame},
    {"ring_share", spoil_share},
    {"ring_share", spoil_share_large},
    {"ring_share", spoil_share_nan},
    {"lateness", spoil_lateness},
    {"future_max", spoil_future},
    {"two sources are named line", spoil_twins},
    {"257 sources", spoil_many_sources},
    {"4097 rules", spoil_many_rules},
    {"rule 0 has no name", spoil_rule_none},
    {"without an end", spoil_rule_end},
    {"rule high: kind 200", spoil_rule_kind},
    {"16 states", spoil_rule_states},
    {"rule high: a duration", spoil_rule_delay},
    {"a window needs one of size", spoil_rule_window},
    {"unit of its flow", spoil_rule_total},
    {"two rules are named high", spoil_rule_twins},
};

static void test_options_out_of_bounds_are_refused_by_name(void) {
    place_begin();
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        setup s = with_limit();
        wrongs[i].spoil(&s);
        CHECK(is_refused(&s, PSTK_E_ARGUMENT, wrongs[i].text));
    }
    struct stat info;
    CHECK(stat(state_dir, &info) != 0 && errno == ENOENT); /* nothing was made */
    pstk_engine *engine;
    setup s = with_limit();
    s.options.tags_max = 0;
    CHECK(pstk_engine_open(&s.options, s.source, 1, s.rule, 1, &engine, NULL) == PSTK_E_ARGUMENT);
    place_end();
}

/* ---- refused after something was opened already --------------------------------------------- */

static void test_second_open_is_locked_and_a_failed_one_leaves_nothing(void) {
    place_begin();
    setup s = with_limit(), other = with_limit();
    pstk_engine *engine = must_open(&s);
    CHECK(is_refused(&s, PSTK_E_LOCKED, "in use by process"));
    snprintf(other.options.state_dir, sizeof other.options.state_dir, "%s/other", place_dir);
    snprintf(other.options.ring_dir, sizeof other.options.ring_dir, "%s/nowhere", place_dir);
    CHECK(is_refused(&other, PSTK_E_SYSTEM, "ring_dir"));
    snprintf(other.options.ring_dir, sizeof other.options.ring_dir, "/proc");
    CHECK(is_refused(&other, PSTK_E_UNSUPPORTED, "not on tmpfs"));
    snprintf(other.options.plant, sizeof other.options.plant, "another");
    CHECK(is_refused(&other, PSTK_E_STATE, "belongs to plant"));
    CHECK(source_of(engine, 0).received == 0 && !stats_of(engine).is_failed);
    must_close(engine);
    engine = must_open(&s);
    must_close(engine);
    place_end();
}

/* A limit lowered below what is there is refused, as long as it is there: in an image or in the
 * journal alone. */
static void fill_tables(void *context) {
    setup *s = context;
    pstk_engine *engine = must_open(s);
    static packed p;
    char name[32];
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "line.t%u", i);
        packed_head head = {.stream = i, .boot = 1, .time_ns = START_NS, .tag = name};
        packed_run(&p, &head, 2);
        CHECK(feed_packed(engine, 0, &p) == PSTK_OK);
    }
    if (s->options.reserved[0])
        must_close(engine);
}

static void test_limits_below_what_is_there_are_refused(void) {
    for (uint64_t is_closed = 0; is_closed < 2; is_closed++) {
        place_begin();
        setup s = one_source();
        s.options.reserved[0] = is_closed;
        in_killed_child(fill_tables, &s);
        s.options.tags_max = 20;
        CHECK(is_refused(&s, PSTK_E_STATE, "engine.tags_max"));
        s = one_source();
        s.options.streams_max = 20;
        CHECK(is_refused(&s, PSTK_E_STATE, "engine.streams_max"));
        s = one_source();
        pstk_engine *engine = must_open(&s);
        CHECK(stats_of(engine).tags == 40 && stats_of(engine).streams == 40);
        CHECK(source_of(engine, 0).used == 80);
        must_close(engine);
        place_end();
    }
}

/* ---- closed --------------------------------------------------------------------------------- */

/* Every call but free, close and those that hand out a constant. */
static void check_refusals(pstk_engine *engine, int wanted) {
    pstk_error err = {0};
    pstk_feed feed = {.position = NO_POSITION};
    pstk_feed_result fed;
    pstk_event event;
    pstk_result result;
    pstk_sample sample;
    pstk_stats stats;
    pstk_source_stats source;
    pstk_context context = {.set = 1};
    pstk_baseline baseline = {.value_type = PSTK_TYPE_I64};
    uint64_t position;
    uint32_t tag;
    size_t count, before;
    char text[64];
    CHECK(pstk_engine_start(engine, &err) == wanted && err.text[0]);
    CHECK(pstk_engine_tag(engine, 0, "a", 1, PSTK_TYPE_F64, &tag, &err) == wanted);
    CHECK(pstk_engine_feed(engine, &feed, &fed, &err) == wanted);
    CHECK(pstk_engine_feed_frame(engine, 0, NULL, 0, (const uint8_t *)"x", 1, 0, 0, &fed, &err) ==
          wanted);
    CHECK(pstk_engine_tick(engine, START_NS, &err) == wanted);
    CHECK(pstk_engine_context(engine, &context, &err) == wanted);
    CHECK(pstk_engine_baseline(engine, &baseline, &err) == wanted);
    CHECK(pstk_engine_reconfigure(engine, NULL, 0, &err) == wanted);
    CHECK(pstk_engine_position(engine, 0, &position, &err) == wanted);
    CHECK(pstk_engine_poll(engine, &event, 1, &count, &err) == wanted && count == 0);
    CHECK(pstk_engine_acknowledge(engine, 0, &err) == wanted);
    CHECK(pstk_engine_rewind(engine, &err) == wanted);
    CHECK(pstk_engine_results(engine, &result, NULL, 1, &count, &err) == wanted && count == 0);
    CHECK(pstk_engine_checkpoint(engine, 1, &err) == wanted);
    CHECK(pstk_engine_evidence(engine, 0, 0, 1, 0, &sample, &before, &count, &err) == wanted);
    CHECK(pstk_engine_stats(engine, &stats) == PSTK_E_CLOSED);
    CHECK(pstk_engine_source_stats(engine, 0, &source) == PSTK_E_CLOSED);
    CHECK(pstk_engine_port(engine, 0) == -1);
    CHECK(pstk_engine_tag_name(engine, 0, text, sizeof text) == -1);
    CHECK(pstk_engine_tag_type(engine, 0) == -1);
    CHECK(pstk_engine_rule_name(engine, 0, text, sizeof text, NULL, 0) == -1);
    CHECK(pstk_engine_asset_name(engine, 0, text, sizeof text) == -1);
    CHECK(pstk_engine_code_text(engine, 0, 0, text, sizeof text) == -1);
}

static void test_closed_engine_refuses_every_call(void) {
    place_begin();
    setup s = with_limit();
    pstk_engine *engine = must_open(&s);
    must_tag(engine, 0, "m.level", PSTK_TYPE_F64);
    pstk_error err = {0};
    CHECK(pstk_engine_close(engine, &err) == PSTK_OK);
    check_refusals(engine, PSTK_E_CLOSED);
    CHECK(pstk_engine_close(engine, &err) == PSTK_OK);
    pstk_engine_free(engine);
    pstk_engine_free(NULL);
    place_end();
}

static void test_forked_child_is_refused_while_the_parent_runs(void) {
    place_begin();
    setup s = with_limit();
    s.options.clock = PSTK_CLOCK_SYSTEM;
    s.source_count = 2;
    s.source[1] = pull_source("wire");
    pstk_engine *engine = must_open(&s);
    pstk_error err;
    must_tag(engine, 0, "m.level", PSTK_TYPE_F64);
    REQUIRE(pstk_engine_start(engine, &err) == PSTK_OK);
    fflush(NULL);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        check_refusals(engine, PSTK_E_FORKED);
        CHECK(pstk_engine_close(engine, &err) == PSTK_OK);
        check_refusals(engine, PSTK_E_FORKED);
        _exit(check_failed ? 1 : 0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(pstk_engine_port(engine, 1) > 0 && pstk_engine_port(engine, 0) == -1);
    must_close(engine);
    place_end();
}

static void test_start_that_fails_may_be_tried_again(void) {
    place_begin();
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 1) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    setup s = one_source();
    s.options.clock = PSTK_CLOCK_SYSTEM;
    s.source_count = 2;
    s.source[1] = pull_source("wire");
    s.source[1].port = ntohs(address.sin_port);
    pstk_engine *engine = must_open(&s);
    pstk_error err = {0};
    CHECK(pstk_engine_start(engine, &err) == PSTK_E_SYSTEM && err.text[0]);
    CHECK(pstk_engine_start(engine, &err) == PSTK_E_SYSTEM);
    CHECK(pstk_engine_port(engine, 1) == -1);
    uint32_t tag = must_tag(engine, 0, "line.a", PSTK_TYPE_F64);
    CHECK(feed_rows(engine, 0, tag, 10, pstk_wall_ns(), 0) == PSTK_OK);
    close(fd);
    CHECK(pstk_engine_start(engine, &err) == PSTK_OK);
    CHECK(pstk_engine_port(engine, 1) == ntohs(address.sin_port));
    CHECK(pstk_engine_start(engine, &err) == PSTK_OK); /* once is enough */
    must_close(engine);
    place_end();
}

/* Stamps and times at the ends of their types: counted or kept, never more than that. */
static void test_extreme_times_are_no_trouble(void) {
    static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, -1, 0, INT64_MAX - 1, INT64_MAX};
    place_begin();
    setup s = with_limit();
    s.source[0].future_max_ns = INT64_C(1) << 60;
    pstk_engine *engine = must_open(&s);
    uint32_t tag = must_tag(engine, 0, "m.level", PSTK_TYPE_F64);
    pstk_error err;
    uint64_t rows = 0;
    for (size_t k = 0; k < sizeof times / sizeof times[0]; k++) {
        uint64_t values[1] = {(pstk_value){.f64 = 15}.bits};
        pstk_feed feed = {.position = NO_POSITION,
                          .recv_time_ns = times[k],
                          .count = 1,
                          .tag_ids = &tag,
                          .time_ns = &times[sizeof times / sizeof times[0] - 1 - k],
                          .values = values};
        pstk_feed_result result;
        CHECK(pstk_engine_feed(engine, &feed, &result, &err) == PSTK_OK);
        CHECK(result.used + result.dropped == 1);
        CHECK(pstk_engine_tick(engine, times[k], &err) == PSTK_OK);
        rows++;
        drain(engine);
    }
    CHECK(source_of(engine, 0).received == rows && is_conserved(engine, 0, false));
    must_close(engine);
    engine = must_open(&s);
    CHECK(source_of(engine, 0).received == rows);
    must_close(engine);
    place_end();
}

/* Half a ring asks for an image, and a wish that came while one was written is not kept for later.
 */
static void test_an_image_stands_for_half_a_ring_at_least(void) {
    place_begin();
    setup s = one_source();
    pstk_engine *engine = must_open(&s);
    uint32_t tag = must_tag(engine, 0, "m.level", PSTK_TYPE_F64);
    int64_t time_ns = pstk_wall_ns() - 3600 * SECOND;
    pstk_stats before = stats_of(engine), after = before;
    while (after.written - before.written < 30 * RING_BYTES) {
        REQUIRE(feed_rows(engine, 0, tag, 1000, time_ns, NO_POSITION) == PSTK_OK);
        time_ns += SECOND;
        after = stats_of(engine);
    }
    uint64_t halves = (after.written - before.checkpointed) / (RING_BYTES / 2);
    CHECK(after.checkpoints - before.checkpoints <=
          halves + halves / 3); /* of what it calls free */
    CHECK(after.checkpoints - before.checkpoints >= halves / 2 - 1);
    must_close(engine);
    place_end();
}

int main(void) {
    test_options_out_of_bounds_are_refused_by_name();
    test_second_open_is_locked_and_a_failed_one_leaves_nothing();
    test_limits_below_what_is_there_are_refused();
    test_closed_engine_refuses_every_call();
    test_forked_child_is_refused_while_the_parent_runs();
    test_start_that_fails_may_be_tried_again();
    test_extreme_times_are_no_trouble();
    test_an_image_stands_for_half_a_ring_at_least();
    return check_result("test_engine_life");
}
