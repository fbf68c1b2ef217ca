/* Nothing is lost without a name: for each source received = used + what was dropped by reason, and
 * where samples are numbered sent = received - duplicates + lost_upstream, after every kind of
 * loss, after an orderly end and after SIGKILL.
 *
 * Method  every step runs in a process of its own that opens, does one thing, notes its figures and
 * dies by SIGKILL; the next one recovers from what is there. Between them the parent opens,
 * compares and closes, so that both ways of coming back carry the same figures. What is used must
 * also be in the journal: the samples are read back by evidence. */
#include "engine_fixture.h"

#include <math.h>

enum { LINE, TEXT, OTHER, SOURCES };
#define TAGS_MAX 24u
#define CODES_MAX 4u
#define STREAMS_MAX 8u

static setup three_sources(void) {
    setup s = {.options = engine_options(), .source_count = SOURCES, .rule_count = 1};
    s.source[LINE] = feed_source("line");
    s.source[TEXT] = feed_source("text");
    s.source[TEXT].format = PSTK_FORMAT_JSON;
    s.source[TEXT].frame_bytes_max = 4096;
    s.source[OTHER] = feed_source("other");
    s.rule[0] = limit_rule("high", "*.level");
    s.options.tags_max = TAGS_MAX;
    s.options.codes_max = CODES_MAX;
    s.options.streams_max = STREAMS_MAX;
    return s;
}

static pstk_source_stats before[SOURCES];

static void note(pstk_engine *engine) {
    for (uint32_t i = 0; i < SOURCES; i++)
        before[i] = source_of(engine, i);
}

/* Since note: so many received, and so many of them dropped for this reason and no other. */
static bool has_dropped(pstk_engine *engine, uint32_t source, pstk_drop reason, uint64_t received,
                        uint64_t dropped) {
    pstk_source_stats now = source_of(engine, source);
    const pstk_source_stats *was = &before[source];
    bool is_right = now.received - was->received == received &&
                    now.used - was->used == received - dropped &&
                    all_dropped(&now) - all_dropped(was) == dropped &&
                    now.dropped[reason] - was->dropped[reason] == dropped;
    if (!is_right)
        fprintf(stderr, "%s since then: received %llu used %llu dropped %llu, {%s} %llu\n",
                now.name, (unsigned long long)(now.received - was->received),
                (unsigned long long)(now.used - was->used),
                (unsigned long long)(all_dropped(&now) - all_dropped(was)),
                pstk_drop_name((int)reason),
                (unsigned long long)(now.dropped[reason] - was->dropped[reason]));
    note(engine);
    return is_right;
}

static packed_head plain(const char *tag) {
    return (packed_head){.seq = UINT64_MAX, .time_ns = START_NS, .tag = tag};
}

static packed_head numbered(uint32_t stream, uint32_t boot, uint64_t seq) {
    return (packed_head){.stream = stream,
                         .boot = boot,
                         .seq = seq,
                         .time_ns = START_NS + (int64_t)seq * 1000000,
                         .tag = "line.level"};
}

static int feed_numbered(pstk_engine *engine, uint32_t stream, uint32_t boot, uint64_t seq,
                         uint32_t count) {
    static packed p;
    packed_head head = numbered(stream, boot, seq);
    packed_run(&p, &head, count);
    return feed_packed(engine, LINE, &p);
}

/* ---- steps: one kind of loss each ----------------------------------------------------------- */

static void step_plain(pstk_engine *engine) {
    static packed p;
    packed_head head = plain("line.level");
    packed_run(&p, &head, 20);
    CHECK(feed_packed(engine, LINE, &p) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_MALFORMED, 20, 0));
    CHECK(feed_text(engine, TEXT, "{\"text.a\":1.5,\"text.state\":\"RUN\"}") == PSTK_OK);
    CHECK(has_dropped(engine, TEXT, PSTK_DROP_MALFORMED, 2, 0));
}

static void step_malformed(pstk_engine *engine) {
    static packed p;
    CHECK(feed_bytes(engine, LINE, "garbage", 7, NO_POSITION) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_MALFORMED, 1, 1));
    packed_head head = plain("line.level");
    packed_run(&p, &head, 9);
    p.size -= 3; /* the header is whole, so it is known how many are lost */
    CHECK(feed_packed(engine, LINE, &p) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_MALFORMED, 9, 9));
    packed_run(&p, &head, 3);
    pstk_store_u16(p.bytes + p.size - 4, 7); /* a name that is not in the table */
    CHECK(feed_packed(engine, LINE, &p) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_MALFORMED, 3, 1));
    CHECK(feed_text(engine, TEXT, "{\"text.a\":") == PSTK_OK);
    CHECK(feed_text(engine, TEXT, "") == PSTK_OK);
    CHECK(has_dropped(engine, TEXT, PSTK_DROP_MALFORMED, 2, 2));
}

static void step_oversize(pstk_engine *engine) {
    static char text[8192];
    memset(text, ' ', sizeof text - 1);
    text[0] = '{', text[sizeof text - 2] = '}';
    CHECK(feed_text(engine, TEXT, text) == PSTK_OK);
    CHECK(has_dropped(engine, TEXT, PSTK_DROP_OVERSIZE, 1, 1));
}

static int feed_columns(pstk_engine *engine, uint32_t tag, int64_t time_ns, uint64_t bits) {
    uint64_t values[3] = {(pstk_value){.f64 = 1}.bits, bits, (pstk_value){.f64 = 2}.bits};
    uint32_t good = must_tag(engine, LINE, "line.level", PSTK_TYPE_F64);
    uint32_t tags[3] = {good, tag, good};
    int64_t times[3] = {START_NS, time_ns, START_NS};
    pstk_feed feed = {.source = LINE,
                      .position = NO_POSITION,
                      .recv_time_ns = START_NS,
                      .count = 3,
                      .tag_ids = tags,
                      .time_ns = times,
                      .values = values};
    pstk_feed_result result;
    pstk_error err;
    int status = pstk_engine_feed(engine, &feed, &result, &err);
    CHECK(status != PSTK_OK || result.used + result.dropped == 3);
    return status;
}

static void step_nan(pstk_engine *engine) {
    static packed p;
    packed_head head = plain("line.level");
    packed_start(&p, &head);
    packed_put(&p, NAN);
    packed_put(&p, 6);
    packed_put(&p, -INFINITY);
    CHECK(feed_packed(engine, LINE, &p) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_NAN, 3, 2));
    uint32_t tag = must_tag(engine, LINE, "line.level", PSTK_TYPE_F64);
    CHECK(feed_columns(engine, tag, START_NS, (pstk_value){.f64 = NAN}.bits) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_NAN, 3, 1));
}

static void step_future(pstk_engine *engine) {
    static packed p;
    packed_head head = plain("line.level");
    int64_t now = stats_of(engine).engine_time_ns;
    head.time_ns = now + 60 * SECOND - 1000000; /* two are within future_max, the others beyond */
    packed_run(&p, &head, 10);
    CHECK(feed_packed(engine, LINE, &p) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_FUTURE, 10, 8));
    uint32_t tag = must_tag(engine, LINE, "line.level", PSTK_TYPE_F64);
    CHECK(feed_columns(engine, tag, now + 61 * SECOND, 0) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_FUTURE, 3, 1));
}

static void step_type(pstk_engine *engine) {
    static packed p;
    packed_head head = plain("line.level");
    head.type = PSTK_TYPE_BOOL;
    packed_start(&p, &head);
    packed_bits(&p, 1);
    CHECK(feed_packed(engine, LINE, &p) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_TYPE, 1, 1));
    CHECK(feed_text(engine, TEXT, "{\"text.a\":\"RUN\",\"text.state\":2}") == PSTK_OK);
    CHECK(has_dropped(engine, TEXT, PSTK_DROP_TYPE, 2, 2));
}

static void step_source(pstk_engine *engine) {
    static packed p;
    packed_head head = plain("line.level");
    packed_run(&p, &head, 4);
    CHECK(feed_packed(engine, OTHER, &p) == PSTK_OK);
    CHECK(has_dropped(engine, OTHER, PSTK_DROP_SOURCE, 4, 4));
    uint32_t theirs = must_tag(engine, OTHER, "other.a", PSTK_TYPE_F64);
    CHECK(feed_columns(engine, theirs, START_NS, 0) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_SOURCE, 3, 1));
}

static void step_tag_name(pstk_engine *engine) {
    static packed p;
    static const char *const names[] = {"", "a\nb", "\xff\xfe", "a\x7f"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        packed_head head = plain(names[i]);
        packed_run(&p, &head, 2);
        CHECK(feed_packed(engine, LINE, &p) == PSTK_OK);
        CHECK(has_dropped(engine, LINE, PSTK_DROP_TAG_NAME, 2, 2));
    }
    CHECK(feed_columns(engine, 4000000, START_NS, 0) == PSTK_OK); /* an id nobody was given */
    CHECK(has_dropped(engine, LINE, PSTK_DROP_TAG_NAME, 3, 1));
}

static void step_code_limit(pstk_engine *engine) {
    CHECK(feed_text(engine, TEXT, "{\"text.state\":\"a text of more than thirty-one bytes\"}") ==
          PSTK_OK);
    CHECK(has_dropped(engine, TEXT, PSTK_DROP_CODE_LIMIT, 1, 1));
    for (unsigned i = 1; i < CODES_MAX + 3; i++) { /* RUN was the first */
        char text[64];
        snprintf(text, sizeof text, "{\"text.state\":\"S%u\"}", i);
        CHECK(feed_text(engine, TEXT, text) == PSTK_OK);
        CHECK(has_dropped(engine, TEXT, PSTK_DROP_CODE_LIMIT, 1, i >= CODES_MAX));
    }
}

static void step_range(pstk_engine *engine) {
    static packed p;
    packed_head head = plain("line.is_on");
    head.type = PSTK_TYPE_BOOL;
    packed_start(&p, &head);
    packed_bits(&p, 2);
    packed_bits(&p, 1);
    CHECK(feed_packed(engine, LINE, &p) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_RANGE, 2, 1));
    uint32_t tag = must_tag(engine, LINE, "line.is_on", PSTK_TYPE_BOOL);
    CHECK(feed_columns(engine, tag, START_NS, 7) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_RANGE, 3, 1));
    CHECK(feed_text(engine, TEXT, "{\"text.a\":1e999,\"text.b\":1}") == PSTK_OK);
    CHECK(has_dropped(engine, TEXT, PSTK_DROP_RANGE, 2, 1));
    tag = must_tag(engine, LINE, "line.code", PSTK_TYPE_CODE);
    CHECK(feed_columns(engine, tag, START_NS, 3) == PSTK_OK); /* no text has that number */
    CHECK(has_dropped(engine, LINE, PSTK_DROP_RANGE, 3, 1));
}

static void step_tag_limit(pstk_engine *engine) {
    static packed p;
    uint64_t room = TAGS_MAX - stats_of(engine).tags;
    CHECK(room > 0 && room < TAGS_MAX);
    for (uint64_t i = 0; i < room + 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "line.more%llu", (unsigned long long)i);
        packed_head head = plain(name);
        packed_run(&p, &head, 2);
        CHECK(feed_packed(engine, LINE, &p) == PSTK_OK);
        CHECK(has_dropped(engine, LINE, PSTK_DROP_TAG_LIMIT, 2, i < room ? 0 : 2));
    }
    uint32_t tag;
    pstk_error err = {0};
    CHECK(pstk_engine_tag(engine, LINE, "line.last", 9, PSTK_TYPE_F64, &tag, &err) == PSTK_E_FULL);
    CHECK(strstr(err.text, "tags_max") != NULL);
}

static void step_positions(pstk_engine *engine) {
    uint32_t tag = must_tag(engine, OTHER, "other.a", PSTK_TYPE_F64);
    uint64_t position;
    pstk_error err;
    CHECK(feed_rows(engine, OTHER, tag, 2000, START_NS, 10) == PSTK_OK);
    CHECK(has_dropped(engine, OTHER, PSTK_DROP_DUPLICATE, 2000, 0));
    CHECK(feed_rows(engine, OTHER, tag, 2000, START_NS, 10) == PSTK_OK);
    CHECK(feed_rows(engine, OTHER, tag, 50, START_NS, 9) == PSTK_OK);
    CHECK(has_dropped(engine, OTHER, PSTK_DROP_DUPLICATE, 2050, 2050));
    CHECK(feed_rows(engine, OTHER, tag, 700, START_NS + 3 * SECOND, 11) == PSTK_OK);
    CHECK(has_dropped(engine, OTHER, PSTK_DROP_DUPLICATE, 700, 0));
    CHECK(pstk_engine_position(engine, OTHER, &position, &err) == PSTK_OK && position == 11);
}

static void step_positions_again(pstk_engine *engine) { /* in the next process */
    static packed p;
    uint32_t tag = must_tag(engine, OTHER, "other.a", PSTK_TYPE_F64);
    uint64_t position;
    pstk_error err;
    CHECK(pstk_engine_position(engine, OTHER, &position, &err) == PSTK_OK && position == 11);
    CHECK(feed_rows(engine, OTHER, tag, 700, START_NS + 3 * SECOND, 11) == PSTK_OK);
    CHECK(has_dropped(engine, OTHER, PSTK_DROP_DUPLICATE, 700, 700));
    packed_head head = plain("other.a");
    packed_run(&p, &head, 5);
    CHECK(feed_bytes(engine, OTHER, p.bytes, p.size, 12) == PSTK_OK);
    CHECK(feed_bytes(engine, OTHER, p.bytes, p.size, 12) == PSTK_OK);
    CHECK(has_dropped(engine, OTHER, PSTK_DROP_DUPLICATE, 10, 5));
    CHECK(feed_bytes(engine, OTHER, "garbage", 7, 13) == PSTK_OK); /* done with, if unusable */
    CHECK(has_dropped(engine, OTHER, PSTK_DROP_MALFORMED, 1, 1));
    CHECK(pstk_engine_position(engine, OTHER, &position, &err) == PSTK_OK && position == 13);
}

static void step_numbered(pstk_engine *engine) {
    CHECK(feed_numbered(engine, 1, 1, 0, 10) == PSTK_OK);
    CHECK(feed_numbered(engine, 1, 1, 10, 10) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_DUPLICATE, 20, 0));
    CHECK(feed_numbered(engine, 1, 1, 10, 10) == PSTK_OK); /* whole again */
    CHECK(feed_numbered(engine, 1, 1, 15, 10) == PSTK_OK); /* half again */
    CHECK(has_dropped(engine, LINE, PSTK_DROP_DUPLICATE, 20, 15));
    CHECK(feed_numbered(engine, 1, 1, 30, 10) == PSTK_OK); /* 5 lost */
    CHECK(source_of(engine, LINE).lost_upstream - before[LINE].lost_upstream == 5);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_DUPLICATE, 10, 0));
}

static void step_boot(pstk_engine *engine) {
    CHECK(feed_numbered(engine, 1, 1, 40, 10) == PSTK_OK); /* as the last process left it */
    CHECK(source_of(engine, LINE).lost_upstream == before[LINE].lost_upstream);
    CHECK(feed_numbered(engine, 1, 2, 0, 10) == PSTK_OK);
    CHECK(feed_numbered(engine, 1, 3, 7, 10) == PSTK_OK); /* 7 sent before we listened */
    CHECK(source_of(engine, LINE).lost_upstream - before[LINE].lost_upstream == 7);
    CHECK(feed_numbered(engine, 1, 3, 7, 12) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_DUPLICATE, 42, 10));
}

static void step_boot_again(pstk_engine *engine) {
    CHECK(feed_numbered(engine, 1, 3, 19, 1) == PSTK_OK);
    CHECK(source_of(engine, LINE).lost_upstream == before[LINE].lost_upstream);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_DUPLICATE, 1, 0));
}

/* All of a message is dropped: no block tells how far its stream has come, COUNTS does. */
static void step_numbered_drops(pstk_engine *engine) {
    static packed p;
    packed_head head = numbered(1, 3, 20);
    packed_run(&p, &head, 6);
    p.size -= 1;
    CHECK(feed_packed(engine, LINE, &p) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_MALFORMED, 6, 6));
    head = numbered(2, 1, 0); /* a stream that begins with one */
    packed_run(&p, &head, 4);
    p.size -= 1;
    CHECK(feed_packed(engine, LINE, &p) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_MALFORMED, 4, 4));
    head = numbered(2, 1, 4);
    packed_start(&p, &head);
    packed_put(&p, NAN);
    packed_put(&p, NAN);
    CHECK(feed_packed(engine, LINE, &p) == PSTK_OK);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_NAN, 2, 2));
}

static void step_numbered_drops_again(pstk_engine *engine) {
    CHECK(feed_numbered(engine, 1, 3, 26, 3) == PSTK_OK);
    CHECK(feed_numbered(engine, 2, 1, 6, 3) == PSTK_OK);
    CHECK(source_of(engine, LINE).lost_upstream == before[LINE].lost_upstream);
    CHECK(has_dropped(engine, LINE, PSTK_DROP_DUPLICATE, 6, 0));
}

static void step_stream_limit(pstk_engine *engine) {
    uint64_t room = STREAMS_MAX - stats_of(engine).streams;
    CHECK(room > 0 && room < STREAMS_MAX);
    for (uint32_t i = 0; i < room + 3; i++) {
        CHECK(feed_numbered(engine, 100 + i, 1, 0, 4) == PSTK_OK);
        CHECK(has_dropped(engine, LINE, PSTK_DROP_STREAM_LIMIT, 4, i < room ? 0 : 4));
    }
}

typedef struct step {
    const char *name;
    void (*run)(pstk_engine *engine);
    bool is_numbered; /* all samples of LINE are, so far */
} step;

/* The numbered ones come first: a sample without a number on the same source would blur the sum. */
static const step steps[] = {
    {"numbered", step_numbered, true},
    {"boot", step_boot, true},
    {"boot again", step_boot_again, true},
    {"numbered drops", step_numbered_drops, true},
    {"numbered drops again", step_numbered_drops_again, true},
    {"plain", step_plain, false},
    {"malformed", step_malformed, false},
    {"oversize", step_oversize, false},
    {"nan", step_nan, false},
    {"future", step_future, false},
    {"type", step_type, false},
    {"source", step_source, false},
    {"tag_name", step_tag_name, false},
    {"code_limit", step_code_limit, false},
    {"range", step_range, false},
    {"positions", step_positions, false},
    {"positions again", step_positions_again, false},
    {"tag_limit", step_tag_limit, false},
    {"stream_limit", step_stream_limit, false},
};
#define STEPS (sizeof steps / sizeof steps[0])

/* ---- every step in a process that dies ------------------------------------------------------ */

typedef struct passage {
    const step *step;
    bool is_checkpointed; /* else the figures must come from the journal alone */
    bool has_after;
    pstk_source_stats after[SOURCES]; /* what the last process noted before it died */
    uint64_t tags, streams;
} passage;

static void compare(pstk_engine *engine, const passage *p) {
    for (uint32_t i = 0; i < SOURCES; i++) {
        pstk_source_stats now = source_of(engine, i);
        CHECK(is_same_totals(&p->after[i], &now));
    }
    pstk_stats stats = stats_of(engine);
    CHECK(stats.tags == p->tags && stats.streams == p->streams);
}

static void do_step(void *context) {
    passage *p = context;
    setup s = three_sources();
    pstk_engine *engine = must_open(&s);
    pstk_error err;
    if (p->has_after)
        compare(engine, p);
    note(engine);
    p->step->run(engine);
    drain(engine);
    for (uint32_t i = 0; i < SOURCES; i++) {
        CHECK(is_conserved(engine, i, i == LINE && p->step->is_numbered));
        p->after[i] = source_of(engine, i);
    }
    p->tags = stats_of(engine).tags;
    p->streams = stats_of(engine).streams;
    p->has_after = true;
    if (p->is_checkpointed)
        CHECK(pstk_engine_checkpoint(engine, 0, &err) == PSTK_OK);
}

static void test_totals_survive_a_kill_and_an_orderly_end(bool is_checkpointed) {
    place_begin();
    setup s = three_sources();
    passage *p = shared_memory(sizeof *p);
    p->is_checkpointed = is_checkpointed;
    for (size_t k = 0; k < STEPS; k++) {
        int failed = check_failed;
        p->step = &steps[k];
        in_killed_child(do_step, p);
        for (size_t orderly = 0; orderly < k % 3; orderly++) { /* else kill follows kill */
            pstk_engine *engine = must_open(&s);
            compare(engine, p);
            must_close(engine);
        }
        if (check_failed != failed)
            fprintf(stderr, "    in step %s\n", steps[k].name);
    }
    pstk_engine *engine = must_open(&s);
    compare(engine, p);
    must_close(engine);
    munmap(p, sizeof *p);
    place_end();
}

int main(void) {
    test_totals_survive_a_kill_and_an_orderly_end(false);
    test_totals_survive_a_kill_and_an_orderly_end(true);
    return check_result("test_engine_conservation");
}
