/* Durability power, seen from inside: what a power cut takes is a gap with a number, an event ring
 * that is full at open is no obstacle, and the journal on disk goes away with what needs it. */
#include "engine_fixture.h"

#include <fcntl.h>

static setup powered(void) {
    setup s = with_limit();
    s.options.durability = PSTK_DURABILITY_POWER;
    s.options.sync_ns = SECOND / 1000;
    s.options.journal_bytes_max = 16u << 20;
    return s;
}

static int segments_here(void) {
    DIR *folder = opendir(state_dir);
    int count = 0;
    REQUIRE(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += strncmp(entry->d_name, "journal.", 8) == 0;
    closedir(folder);
    return count;
}

static void cut_memory(void) {
    char folder[256];
    ring_folder(folder, sizeof folder);
    remove_folder(folder);
}

static void wait_durable(pstk_engine *engine) {
    pstk_stats stats = stats_of(engine);
    for (int i = 0; i < 5000 && stats.durable < stats.written; i++, stats = stats_of(engine))
        usleep(1000);
    CHECK(stats.durable == stats.written && stats.durable > 0);
}

static uint64_t position_of(pstk_engine *engine) {
    uint64_t position = 0;
    pstk_error err;
    CHECK(pstk_engine_position(engine, 0, &position, &err) == PSTK_OK);
    return position;
}

typedef struct life { /* what a child does before it is killed */
    setup s;
    uint32_t messages, samples;
    bool is_checkpointed;
} life;

static void send_and_die(const life *l) {
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        pstk_engine *engine = must_open(&l->s);
        static packed message;
        pstk_error err;
        for (uint32_t i = 0; i < l->messages; i++) {
            packed_head head = {.stream = 7,
                                .boot = 1,
                                .seq = (uint64_t)i * l->samples,
                                .time_ns = START_NS + (int64_t)i * SECOND,
                                .tag = "m.level"};
            packed_run(&message, &head, l->samples);
            if (feed_packed(engine, 0, &message) != PSTK_OK)
                break;
            if (l->is_checkpointed && i == l->messages / 2)
                CHECK(pstk_engine_checkpoint(engine, 1, &err) == PSTK_OK);
        }
        wait_durable(engine);
        CHECK(stats_of(engine).disk_written > 0);
        kill(getpid(), SIGKILL);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
}

/* Everything was synced: a cut after that takes nothing, by sequence numbers. */
static void test_what_was_durable_is_all_there(bool is_checkpointed) {
    place_begin();
    life l = {.s = powered(), .messages = 40, .samples = 50, .is_checkpointed = is_checkpointed};
    send_and_die(&l);
    cut_memory();
    CHECK(segments_here() >= 1);
    pstk_engine *engine = must_open(&l.s);
    CHECK(has_notice(engine, "read from the disk"));
    pstk_source_stats stats = source_of(engine, 0);
    CHECK(stats.used == 2000 && stats.lost_upstream == 0 && !stats_of(engine).is_cold_start);
    CHECK(stats_of(engine).events > 0);
    drain(engine);
    must_close(engine);
    CHECK(segments_here() == 0); /* an image on disk holds it all */
    place_end();
}

/* The last block is torn: what the sender goes on with tells exactly how much is missing. */
static void test_torn_block_is_a_gap_with_a_number(void) {
    place_begin();
    life l = {.s = powered(), .messages = 40, .samples = 50};
    send_and_die(&l);
    cut_memory();
    DIR *folder = opendir(state_dir);
    REQUIRE(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[512];
        if (strncmp(entry->d_name, "journal.", 8) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", state_dir, entry->d_name);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        static const char torn[] = "torn";
        /* Somewhere in the middle of what 40 messages of 1,264 bytes make. */
        REQUIRE(fd >= 0 && pwrite(fd, torn, 4, 4096 + 30000) == 4);
        close(fd);
    }
    closedir(folder);
    pstk_engine *engine = must_open(&l.s);
    uint64_t used = source_of(engine, 0).used;
    CHECK(used > 0 && used < 2000 && used % 50 == 0);
    static packed message;
    packed_head head = {
        .stream = 7, .boot = 1, .seq = 2000, .time_ns = START_NS + 50 * SECOND, .tag = "m.level"};
    packed_run(&message, &head, 10);
    CHECK(feed_packed(engine, 0, &message) == PSTK_OK);
    pstk_source_stats stats = source_of(engine, 0);
    CHECK(stats.used == used + 10 && stats.lost_upstream == 2000 - used);
    CHECK(stats.sent_upstream == 2010 && is_conserved(engine, 0, false));
    drain(engine);
    must_close(engine);
    engine = must_open(&l.s); /* the gap is journaled, too */
    CHECK(source_of(engine, 0).lost_upstream == 2000 - used);
    must_close(engine);
    place_end();
}

static void feed_many_and_die(const setup *s, uint64_t *out_events) {
    uint64_t *events =
        mmap(NULL, sizeof *events, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(events != MAP_FAILED);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        pstk_engine *engine = must_open(s);
        uint32_t tag = must_tag(engine, 0, "m.level", PSTK_TYPE_F64);
        *events = 0;
        for (uint64_t i = 0; i < 4; i++) {
            CHECK(feed_rows(engine, 0, tag, 600, START_NS + (int64_t)i * SECOND, i) == PSTK_OK);
            for (int k = 0; k < 20; k++)
                *events += drain(engine);
        }
        wait_durable(engine);
        CHECK(stats_of(engine).disk_written > 0);
        kill(getpid(), SIGKILL);
    }
    REQUIRE(waitpid(child, NULL, 0) == child);
    *out_events = *events;
    munmap(events, sizeof *events);
}

/* The tail on disk makes more events than the event ring holds: judging goes on as they are taken,
 * also through a kill and a second cut in the middle of it. */
static void test_full_event_ring_at_open_is_no_obstacle(int interruption) {
    place_begin();
    setup s = powered();
    s.options.event_slots = 256;
    uint64_t events, again = 0;
    feed_many_and_die(&s, &events);
    CHECK(events > 2000);
    cut_memory();
    pstk_engine *engine = must_open(&s);
    CHECK(stats_of(engine).is_event_ring_full &&
          stats_of(engine).judged < stats_of(engine).written);
    if (interruption) {
        must_close(engine); /* no image can be taken: the segments stay */
        CHECK(segments_here() >= 1);
        if (interruption == 2)
            cut_memory();
        engine = must_open(&s);
    }
    for (uint64_t more; (more = drain(engine)) > 0;)
        again += more;
    CHECK(again == events && stats_of(engine).judged == stats_of(engine).written);
    CHECK(source_of(engine, 0).used == 2400 && is_conserved(engine, 0, false));
    wait_durable(engine);
    CHECK(position_of(engine) == 3);
    must_close(engine);
    CHECK(segments_here() == 0);
    place_end();
}

/* An orderly end, then no power: no segment is left and none is needed. The place is told at once,
 * as upstream has forgotten what came before it. */
static void test_place_is_told_after_a_clean_end_and_a_cut(void) {
    place_begin();
    setup s = powered();
    pstk_engine *engine = must_open(&s);
    CHECK(position_of(engine) == NO_POSITION);
    uint32_t tag = must_tag(engine, 0, "m.level", PSTK_TYPE_F64);
    for (uint64_t i = 0; i < 10; i++)
        CHECK(feed_rows(engine, 0, tag, 60, START_NS + (int64_t)i * SECOND, i) == PSTK_OK);
    drain(engine);
    wait_durable(engine);
    CHECK(position_of(engine) == 9);
    must_close(engine);
    CHECK(segments_here() == 0);
    cut_memory();
    engine = must_open(&s);
    CHECK(position_of(engine) == 9 && source_of(engine, 0).used == 600);
    CHECK(!stats_of(engine).is_cold_start);
    must_close(engine);
    place_end();
}

/* The journal moves on under a new id, and the power or the process goes before an image of it is
 * on the disk: the image before stands, and nothing keeps the engine from opening. */
static void test_end_between_a_new_journal_and_its_first_image(bool is_cut) {
    place_begin();
    setup s = powered();
    pstk_engine *engine = must_open(&s);
    uint32_t tag = must_tag(engine, 0, "m.level", PSTK_TYPE_F64);
    CHECK(feed_rows(engine, 0, tag, 60, START_NS, 7) == PSTK_OK);
    drain(engine);
    must_close(engine);
    cut_memory();
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        setenv("PENSTOCK_CRASH_AT", "checkpoint.snapshot", 1);
        must_close(must_open(&s));
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    if (is_cut)
        cut_memory();
    engine = must_open(&s);
    CHECK(position_of(engine) == 7 && source_of(engine, 0).used == 60);
    must_close(engine);
    place_end();
}

static void test_durability_may_change_between_runs(void) {
    place_begin();
    life l = {.s = powered(), .messages = 10, .samples = 50};
    send_and_die(&l);
    cut_memory();
    setup s = l.s;
    s.options.durability = PSTK_DURABILITY_PROCESS;
    pstk_engine *engine = must_open(&s);
    CHECK(source_of(engine, 0).used == 500 && segments_here() == 0);
    CHECK(stats_of(engine).durable == 0);
    drain(engine);
    must_close(engine);
    engine = must_open(&l.s);
    CHECK(source_of(engine, 0).used == 500);
    must_close(engine);
    s.options.durability = 2;
    CHECK(is_refused(&s, PSTK_E_ARGUMENT, "durability"));
    place_end();
}

int main(void) {
    test_what_was_durable_is_all_there(false);
    test_what_was_durable_is_all_there(true);
    test_torn_block_is_a_gap_with_a_number();
    for (int interruption = 0; interruption < 3; interruption++)
        test_full_event_ring_at_open_is_no_obstacle(interruption);
    test_place_is_told_after_a_clean_end_and_a_cut();
    if (pstk_has_crash_points())
        for (int is_cut = 0; is_cut < 2; is_cut++)
            test_end_between_a_new_journal_and_its_first_image(is_cut);
    test_durability_may_change_between_runs();
    return check_result("test_engine_power");
}
