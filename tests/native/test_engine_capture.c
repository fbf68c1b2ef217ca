/* Captures: what an engine journals, kept in files and played into another engine, gives the same
 * events; a file that is cut, damaged or overwritten never does more than end early. */
#include "engine_fixture.h"

#include <fcntl.h>

#define EVENTS_MAX 20000u
#define TAG_COUNT 7u
#define ROUNDS 400u

typedef struct events {
    pstk_event event[EVENTS_MAX];
    size_t count;
    pstk_stats stats;
} events;

static events live, played;
static char capture_dir[96];

static setup plant(void) {
    setup s = one_source();
    s.options.ring_bytes = 16u << 20; /* nothing is missed: all of a test fits */
    s.source_count = 2;
    s.source[0].format = PSTK_FORMAT_JSON;
    s.source[1] = feed_source("packed");
    for (int i = 0; i < 2; i++) {
        s.source[i].idle_after_ns = 2 * SECOND;
        s.source[i].lateness_ns = SECOND / 2;
    }
    s.rule_count = 4;
    s.rule[0] = limit_rule("high", "*.level");
    s.rule[0].level[PSTK_LEVEL_H].on_delay_ns = 3 * SECOND / 10;
    s.rule[1] = make_rule("second", PSTK_RULE_WINDOW, "*.level");
    s.rule[1].size_ns = SECOND;
    s.rule[2] = make_rule("stop", PSTK_RULE_STATE, "*.state");
    s.rule[2].state_count = 1;
    snprintf(s.rule[2].state_text[0], sizeof s.rule[2].state_text[0], "STOP");
    s.rule[3] = make_rule("good", PSTK_RULE_COUNTER, "*.good");
    s.rule[3].cut_on = PSTK_CUT_CONTEXT_ORDER;
    snprintf(s.rule[3].unit, sizeof s.rule[3].unit, "C62");
    return s;
}

static void collect(pstk_engine *engine, events *out) {
    pstk_error err;
    size_t count = 1;
    while (count) {
        REQUIRE(out->count + 256 <= EVENTS_MAX);
        REQUIRE(pstk_engine_poll(engine, out->event + out->count, 256, &count, &err) == PSTK_OK);
        out->count += count;
        if (count)
            REQUIRE(pstk_engine_acknowledge(engine, out->event[out->count - 1].seq, &err) ==
                    PSTK_OK);
    }
}

static void feed_json(pstk_engine *engine, const char *text, int64_t now_ns) {
    pstk_feed_result result;
    pstk_error err;
    REQUIRE(pstk_engine_feed_frame(engine, 0, NULL, 0, (const uint8_t *)text, strlen(text),
                                   NO_POSITION, now_ns, &result, &err) == PSTK_OK);
    CHECK(result.dropped == 0);
}

static void feed_columns(pstk_engine *engine, const uint32_t *tag, int64_t now_ns, uint64_t *seed) {
    uint32_t ids[256];
    int64_t times[256];
    uint64_t values[256];
    for (size_t i = 0; i < 256; i++) {
        ids[i] = tag[i % TAG_COUNT];
        times[i] = now_ns - (int64_t)(255 - i) * 1000;
        bool is_high = (now_ns / (SECOND / 2) + (int64_t)i % TAG_COUNT) % 2 != 0;
        double noise = (double)(pstk_random(seed) % 30) / 10;
        values[i] = (pstk_value){.f64 = (is_high ? 11 : 5) + noise}.bits;
    }
    pstk_feed feed = {.source = 1, .position = NO_POSITION, .recv_time_ns = now_ns, .count = 256};
    feed.tag_ids = ids;
    feed.time_ns = times;
    feed.values = values;
    pstk_feed_result result;
    pstk_error err;
    REQUIRE(pstk_engine_feed(engine, &feed, &result, &err) == PSTK_OK);
    CHECK(result.used == 256);
}

static void change_order(pstk_engine *engine, unsigned round, int64_t now_ns) {
    pstk_context context = {.at_ns = now_ns, .set = 1};
    pstk_error err;
    snprintf(context.asset, sizeof context.asset, "m1");
    snprintf(context.values.order, sizeof context.values.order, "MO-%u", round / 50);
    REQUIRE(pstk_engine_context(engine, &context, &err) == PSTK_OK);
}

/* Levels that cross, states, a register, orders, silence; from `from` on with the capture. */
static void run_plant(pstk_engine *engine, unsigned from, unsigned to, events *out) {
    uint64_t seed = from + 1;
    uint32_t tag[TAG_COUNT];
    pstk_error err;
    for (unsigned i = 0; i < TAG_COUNT; i++) {
        char name[32];
        int size = snprintf(name, sizeof name, "p%u.level", i);
        REQUIRE(pstk_engine_tag(engine, 1, name, (size_t)size, PSTK_TYPE_F64, &tag[i], &err) ==
                PSTK_OK);
    }
    for (unsigned round = from; round < to; round++) {
        int64_t now_ns = START_NS + (int64_t)round * SECOND / 10 + (round >= 200) * 20 * SECOND;
        char text[256];
        REQUIRE(pstk_engine_tick(engine, now_ns, &err) == PSTK_OK);
        if (round % 50 == 0)
            change_order(engine, round, now_ns);
        snprintf(text, sizeof text,
                 "{\"time\": %lld, \"m1.state\": \"%s\", \"m1.good\": %u, \"m1.on\": %s}",
                 (long long)now_ns, round % 20 < 5 ? "STOP" : "RUN", round * 3,
                 round % 2 ? "true" : "false");
        feed_json(engine, text, now_ns);
        feed_columns(engine, tag, now_ns, &seed);
        collect(engine, out);
    }
}

static void begin_place(void) {
    place_begin();
    snprintf(capture_dir, sizeof capture_dir, "%s/captures", place_dir);
    REQUIRE(mkdir(capture_dir, 0700) == 0);
}

static void finish(pstk_engine *engine, events *out) {
    collect(engine, out);
    REQUIRE(pstk_engine_stats(engine, &out->stats) == PSTK_OK);
    must_close(engine);
}

/* Files of the folder, oldest first. */
static size_t list_captures(char out[64][192]) {
    struct dirent **entry;
    size_t count = 0;
    int found = scandir(capture_dir, &entry, NULL, alphasort);
    REQUIRE(found >= 0);
    for (int i = 0; i < found; i++) {
        if (strncmp(entry[i]->d_name, "capture-", 8) == 0 && count < 64)
            snprintf(out[count++], 192, "%s/%.80s", capture_dir, entry[i]->d_name);
        free(entry[i]);
    }
    free(entry);
    return count;
}

static pstk_replayed play_file(pstk_engine *engine, const char *path, uint64_t step, events *out) {
    pstk_capture *capture;
    pstk_replayed one, all = {0};
    pstk_error err = {0};
    int status = pstk_capture_open(path, &capture, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "%s\n", err.text);
    REQUIRE(status == PSTK_OK);
    do {
        REQUIRE(pstk_engine_replay(engine, capture, step, &one, &err) == PSTK_OK);
        all.samples += one.samples;
        all.dropped += one.dropped;
        all.skipped += one.skipped;
        all.is_cut = one.is_cut;
        collect(engine, out);
    } while (!one.is_done);
    pstk_capture_close(capture);
    return all;
}

static void check_same(const events *a, const events *b, size_t from) {
    CHECK(a->count - from == b->count);
    size_t count = PSTK_MIN(a->count - from, b->count);
    size_t same = 0;
    for (size_t i = 0; i < count; i++)
        same += memcmp(a->event[from + i].id, b->event[i].id, 32) == 0; /* and the digest */
    CHECK(same == count);
}

static void test_a_capture_gives_the_same_events(void) {
    begin_place();
    setup s = plant();
    memset(&live, 0, sizeof live);
    pstk_engine *engine = must_open(&s);
    pstk_error err;
    REQUIRE(pstk_engine_capture(engine, capture_dir, 64u << 20, &err) == PSTK_OK);
    CHECK(pstk_engine_capture(engine, capture_dir, 64u << 20, &err) == PSTK_E_ARGUMENT);
    run_plant(engine, 0, ROUNDS, &live);
    finish(engine, &live);
    REQUIRE(live.count > 400);
    char path[64][192];
    REQUIRE(list_captures(path) == 1);
    for (uint64_t step = 4096; step <= (1u << 22); step *= 32) {
        remove_folder(state_dir);
        memset(&played, 0, sizeof played);
        engine = must_open(&s);
        pstk_replayed all = play_file(engine, path[0], step, &played);
        finish(engine, &played);
        CHECK(all.samples == ROUNDS * (256 + 3));
        CHECK(all.dropped == 0 && all.skipped == 0 && !all.is_cut);
        CHECK(played.stats.engine_time_ns == live.stats.engine_time_ns);
        check_same(&live, &played, 0);
    }
    place_end();
}

/* A capture begun late knows what held then: names, texts, streams and what runs where. */
static void test_a_capture_begun_late_knows_names_and_contexts(void) {
    begin_place();
    setup s = plant();
    memset(&live, 0, sizeof live);
    memset(&played, 0, sizeof played);
    pstk_engine *engine = must_open(&s);
    pstk_error err;
    run_plant(engine, 0, 120, &live);
    REQUIRE(pstk_engine_capture(engine, capture_dir, 64u << 20, &err) == PSTK_OK);
    run_plant(engine, 120, ROUNDS, &live);
    finish(engine, &live);
    char path[64][192];
    REQUIRE(list_captures(path) == 1);
    remove_folder(state_dir);
    engine = must_open(&s);
    play_file(engine, path[0], 1u << 20, &played);
    finish(engine, &played);
    size_t orders = 0, stops = 0;
    for (size_t i = 0; i < played.count; i++) {
        const pstk_event *event = &played.event[i];
        stops += event->kind == PSTK_EVENT_STATE_END;
        orders +=
            event->kind == PSTK_EVENT_COUNTER_SEGMENT && strcmp(event->context.order, "MO-2") == 0;
    }
    CHECK(orders == 1); /* told at round 100, before the capture */
    CHECK(stops >= 13);
    place_end();
}

static void test_the_oldest_files_go_and_the_rest_is_one_journal(void) {
    begin_place();
    setup s = plant();
    memset(&live, 0, sizeof live);
    memset(&played, 0, sizeof played);
    pstk_engine *engine = must_open(&s);
    pstk_error err;
    REQUIRE(pstk_engine_capture(engine, capture_dir, 1u << 20, &err) == PSTK_OK);
    run_plant(engine, 0, ROUNDS, &live);
    finish(engine, &live);
    char path[64][192];
    size_t count = list_captures(path);
    REQUIRE(count >= 3 && count <= 4);
    uint64_t bytes = 0, samples = 0, end = 0, missed = 0;
    for (size_t i = 0; i < count; i++) {
        pstk_capture *capture;
        pstk_capture_span span;
        REQUIRE(pstk_capture_open(path[i], &capture, &err) == PSTK_OK);
        pstk_capture_look(capture, &span);
        pstk_capture_close(capture);
        CHECK(i == 0 || (span.pos >= end && span.pos - end <= 16384) || span.missed_before);
        CHECK(strcmp(span.plant, "engine test") == 0);
        CHECK(i > 0 || span.pos > (1u << 20)); /* what came before is gone */
        end = span.end;
        bytes += span.bytes;
        samples += span.samples;
        missed += span.missed;
    }
    CHECK(bytes <= (1u << 20) + 65536);
    CHECK(missed == 0);
    remove_folder(state_dir);
    engine = must_open(&s);
    uint64_t taken = 0;
    for (size_t i = 0; i < count; i++)
        taken += play_file(engine, path[i], 1u << 20, &played).samples;
    finish(engine, &played);
    CHECK(taken == samples && taken > 20000);
    /* As many events as its share of the samples: how much is kept depends on when it was read. */
    CHECK(played.count * (ROUNDS * (256 + 3)) > live.count * taken * 4 / 5);
    place_end();
}

/* Whatever a byte becomes, the file ends early, is refused, or says something else: never more. */
static void test_damage_ends_a_capture(void) {
    begin_place();
    setup s = plant();
    memset(&live, 0, sizeof live);
    pstk_engine *engine = must_open(&s);
    pstk_error err;
    REQUIRE(pstk_engine_capture(engine, capture_dir, 8u << 20, &err) == PSTK_OK);
    run_plant(engine, 0, 8, &live);
    finish(engine, &live);
    char path[64][192];
    REQUIRE(list_captures(path) == 1);
    static uint8_t whole[1u << 20];
    int fd = open(path[0], O_RDWR);
    ssize_t size = read(fd, whole, sizeof whole);
    REQUIRE(size > 10000);
    remove_folder(state_dir);
    engine = must_open(&s);
    uint64_t seed = 5;
    size_t cut = 0, refused = 0;
    for (int turn = 0; turn < 300; turn++) {
        size_t at = pstk_random(&seed) % (turn % 10 ? (size_t)size : 128);
        uint8_t byte = (uint8_t)(whole[at] ^ (1u << (pstk_random(&seed) % 8)));
        pstk_capture *capture;
        pstk_replayed one;
        REQUIRE(pwrite(fd, &byte, 1, (off_t)at) == 1);
        int status = pstk_capture_open(path[0], &capture, &err);
        refused += status != PSTK_OK;
        if (status == PSTK_OK) {
            do
                REQUIRE(pstk_engine_replay(engine, capture, 1u << 20, &one, &err) == PSTK_OK);
            while (!one.is_done);
            cut += one.is_cut;
            pstk_capture_close(capture);
        }
        REQUIRE(pwrite(fd, &whole[at], 1, (off_t)at) == 1);
    }
    CHECK(refused > 0);
    CHECK(cut > 230);
    REQUIRE(ftruncate(fd, size - 100) == 0);
    CHECK(play_file(engine, path[0], 1u << 20, &played).is_cut);
    close(fd);
    must_close(engine);
    place_end();
}

static void test_what_is_no_capture_is_refused(void) {
    begin_place();
    setup s = plant();
    pstk_error err;
    pstk_capture *capture;
    CHECK(pstk_capture_open(place_dir, &capture, &err) == PSTK_E_STATE);
    CHECK(strstr(err.text, "is no file") != NULL);
    CHECK(pstk_capture_open("/dev/shm/penstock-nothing", &capture, &err) == PSTK_E_SYSTEM);
    pstk_engine *engine = must_open(&s);
    CHECK(pstk_engine_capture(engine, capture_dir, 1000, &err) == PSTK_E_ARGUMENT);
    CHECK(pstk_engine_capture(engine, "/dev/shm/penstock-nothing", 1u << 20, &err) ==
          PSTK_E_SYSTEM);
    CHECK(strstr(err.text, "the folder cannot be opened") != NULL);
    must_close(engine);
    place_end();
}

int main(void) {
    test_a_capture_gives_the_same_events();
    test_a_capture_begun_late_knows_names_and_contexts();
    test_the_oldest_files_go_and_the_rest_is_one_journal();
    test_damage_ends_a_capture();
    test_what_is_no_capture_is_refused();
    return check_result("engine_capture");
}
