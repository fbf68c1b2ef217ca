/* The engine opened over what is left of an earlier life: what must go on goes on, what is lost is
 * said, and nothing is taken for what it is not.
 *
 * Method  files are cut, removed or written over between two opens. */
#include "engine_fixture.h"
#include "ring/ring_file.h"

#include <fcntl.h>

#define ROWS 3000u /* of 24 bytes: 15 such batches fill the ring once */

/* ---- opened again --------------------------------------------------------------------------- */

/* A limit that is never reached: these tests are about samples. */
static setup quiet(void) {
    setup s = with_limit();
    s.rule[0].level[PSTK_LEVEL_H].value = 100;
    return s;
}

/* Batches [first, first + count) of one tag; the ring wraps every 14 of them. */
static void feed_batches(pstk_engine *engine, uint32_t tag, uint64_t first, uint64_t count) {
    for (uint64_t batch = first; batch < first + count; batch++) {
        int64_t time_ns = START_NS + (int64_t)batch * ROWS * 1000000;
        CHECK(feed_rows(engine, 0, tag, ROWS, time_ns, batch) == PSTK_OK);
        drain(engine);
    }
}

/* The first life of most tests: three tags, so many batches of the second one. */
static pstk_source_stats live_once(const setup *s, uint64_t batches) {
    pstk_engine *engine = must_open(s);
    CHECK(must_tag(engine, 0, "m.first", PSTK_TYPE_I64) == 0);
    CHECK(must_tag(engine, 0, "m.level", PSTK_TYPE_F64) == 1);
    CHECK(must_tag(engine, 0, "m.last", PSTK_TYPE_F64) == 2);
    CHECK(has_notice(engine, "") && !stats_of(engine).is_cold_start);
    feed_batches(engine, 1, 0, batches);
    pstk_source_stats stats = source_of(engine, 0);
    must_close(engine);
    return stats;
}

/* Everything of the first life is there. */
static void check_goes_on(pstk_engine *engine, const pstk_source_stats *was, uint64_t batches) {
    uint64_t position = 0;
    pstk_error err;
    char name[PSTK_NAME_BYTES];
    pstk_source_stats now = source_of(engine, 0);
    CHECK(is_same_totals(was, &now));
    CHECK(pstk_engine_position(engine, 0, &position, &err) == PSTK_OK && position == batches - 1);
    CHECK(!stats_of(engine).is_cold_start && stats_of(engine).tags == 3);
    CHECK(pstk_engine_tag_name(engine, 1, name, sizeof name) == 7 && !strcmp(name, "m.level"));
    CHECK(pstk_engine_tag_type(engine, 0) == PSTK_TYPE_I64);
    CHECK(must_tag(engine, 0, "m.last", PSTK_TYPE_F64) == 2);
    CHECK(feed_rows(engine, 0, 1, ROWS, START_NS, batches - 1) == PSTK_OK); /* again */
    CHECK(source_of(engine, 0).dropped[PSTK_DROP_DUPLICATE] == ROWS);
    feed_batches(engine, 1, batches, 2);
    CHECK(source_of(engine, 0).used == was->used + 2 * ROWS && is_conserved(engine, 0, false));
}

static void test_reopened_engine_goes_on(uint64_t batches) {
    place_begin();
    setup s = quiet();
    pstk_source_stats was = live_once(&s, batches);
    pstk_engine *engine = must_open(&s);
    CHECK(has_notice(engine, ""));
    check_goes_on(engine, &was, batches);
    must_close(engine);
    place_end();
}

static void test_deleted_ring_moves_the_state_to_a_new_journal(uint64_t batches) {
    place_begin();
    setup s = quiet();
    pstk_source_stats was = live_once(&s, batches);
    char folder[256], second[256];
    ring_folder(folder, sizeof folder);
    remove_folder(folder);
    pstk_engine *engine = must_open(&s);
    ring_folder(second, sizeof second);
    CHECK(strcmp(folder, second) != 0); /* positions are never reused within a journal */
    CHECK(has_notice(engine, "goes on in a new journal") && stats_of(engine).written < 65536);
    check_goes_on(engine, &was, batches);
    must_close(engine);
    engine = must_open(&s);
    CHECK(has_notice(engine, "") && source_of(engine, 0).used == was.used + 2 * ROWS);
    must_close(engine);
    place_end();
}

/* The images are gone, the journal is whole from its first record on: nothing is lost. */
static void test_whole_journal_makes_up_for_its_images(void) {
    place_begin();
    setup s = quiet();
    pstk_source_stats was = live_once(&s, 3);
    char folder[256];
    ring_folder(folder, sizeof folder);
    CHECK(destroy_images(state_dir) + destroy_images(folder) >= 2);
    pstk_engine *engine = must_open(&s);
    CHECK(has_notice(engine, "damaged and passed over"));
    check_goes_on(engine, &was, 3);
    must_close(engine);
    place_end();
}

static void check_cold_start(const setup *s) {
    pstk_engine *engine = must_open(s);
    CHECK(stats_of(engine).is_cold_start && has_notice(engine, "a cold start"));
    CHECK(stats_of(engine).tags == 0 && source_of(engine, 0).received == 0);
    CHECK(must_tag(engine, 0, "m.new", PSTK_TYPE_F64) == 0);
    feed_batches(engine, 0, 0, 1);
    CHECK(source_of(engine, 0).used == ROWS && is_conserved(engine, 0, false));
    must_close(engine);
    engine = must_open(s);
    CHECK(!stats_of(engine).is_cold_start && source_of(engine, 0).used == ROWS);
    must_close(engine);
}

static void test_destroyed_images_of_a_wrapped_ring_are_a_cold_start(void) {
    place_begin();
    setup s = quiet();
    live_once(&s, 40);
    char folder[256];
    ring_folder(folder, sizeof folder);
    CHECK(destroy_images(state_dir) > 0 && destroy_images(folder) > 0);
    check_cold_start(&s);
    place_end();
}

/* A journal that began with an image is not whole without it, however short it is. */
static void test_destroyed_images_of_a_moved_journal_are_a_cold_start(void) {
    place_begin();
    setup s = quiet();
    live_once(&s, 3);
    char folder[256];
    ring_folder(folder, sizeof folder);
    remove_folder(folder);
    pstk_engine *engine = must_open(&s);
    feed_batches(engine, 1, 3, 1);
    must_close(engine);
    ring_folder(folder, sizeof folder);
    CHECK(destroy_images(state_dir) > 0 && destroy_images(folder) > 0);
    check_cold_start(&s);
    place_end();
}

static void test_image_on_disk_alone_or_in_the_ring_alone_is_enough(void) {
    for (int is_ring = 0; is_ring < 2; is_ring++) {
        place_begin();
        setup s = quiet();
        pstk_source_stats was = live_once(&s, 40);
        char folder[256];
        ring_folder(folder, sizeof folder);
        CHECK(destroy_images(is_ring ? folder : state_dir) > 0);
        pstk_engine *engine = must_open(&s);
        CHECK(has_notice(engine, "passed over"));
        check_goes_on(engine, &was, 40);
        must_close(engine);
        place_end();
    }
}

static void test_another_ring_size_goes_on(void) {
    place_begin();
    setup s = quiet();
    pstk_source_stats was = live_once(&s, 20);
    s.options.ring_bytes = RING_BYTES * 2;
    pstk_engine *engine = must_open(&s);
    CHECK(stats_of(engine).ring_bytes == RING_BYTES * 2 && has_notice(engine, ""));
    check_goes_on(engine, &was, 20);
    must_close(engine);
    s.options.ring_bytes = 0; /* by the machine: what is there stays */
    engine = must_open(&s);
    CHECK(stats_of(engine).ring_bytes == RING_BYTES * 2);
    must_close(engine);
    place_end();
    place_begin();
    snprintf(s.options.state_dir, sizeof s.options.state_dir, "%s", state_dir);
    snprintf(s.options.ring_dir, sizeof s.options.ring_dir, "%s", ring_dir);
    engine = must_open(&s);
    uint64_t size = stats_of(engine).ring_bytes;
    CHECK(size >= 8u << 20 && size <= 256u << 20 && (size & (size - 1)) == 0);
    must_close(engine);
    place_end();
}

/* ---- what was spoiled ----------------------------------------------------------------------- */

static int open_ring_file(int flags) {
    char folder[256], path[300];
    ring_folder(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/ring", folder);
    int fd = open(path, flags | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

static size_t data_offset(void) {
    pstk_ring_identity identity;
    int fd = open_ring_file(O_RDONLY);
    REQUIRE(pread(fd, &identity, sizeof identity, 0) == sizeof identity);
    close(fd);
    return identity.header_bytes;
}

static void poke_block(uint64_t pos, const void *bytes, size_t size) {
    int fd = open_ring_file(O_RDWR);
    off_t at = (off_t)(data_offset() + pos % RING_BYTES);
    REQUIRE(pwrite(fd, bytes, size, at) == (ssize_t)size);
    close(fd);
}

/* Somebody writes into the ring while the judge stands before a full event ring: it must not judge
 * what it finds there, and must say so. */
static void test_spoiled_mapping_fails_the_engine(void) {
    place_begin();
    setup s = with_limit();
    s.options.event_slots = 256;
    pstk_engine *engine = must_open(&s);
    uint32_t tag = must_tag(engine, 0, "m.level", PSTK_TYPE_F64);
    CHECK(feed_rows(engine, 0, tag, ROWS, START_NS, 0) == PSTK_OK);
    CHECK(stats_of(engine).is_event_ring_full);
    static const uint8_t nothing[16] = {0};
    poke_block(stats_of(engine).judged, nothing, sizeof nothing);
    pstk_event events[64];
    size_t count = 0;
    pstk_error err = {0};
    REQUIRE(pstk_engine_poll(engine, events, 64, &count, &err) == PSTK_OK && count == 64);
    CHECK(pstk_engine_acknowledge(engine, events[63].seq, &err) == PSTK_OK);
    CHECK(stats_of(engine).is_failed);
    CHECK(feed_rows(engine, 0, tag, 1, START_NS, 1) == PSTK_E_FAILED);
    CHECK(pstk_engine_tick(engine, START_NS, &err) == PSTK_E_FAILED);
    CHECK(pstk_engine_checkpoint(engine, 1, &err) == PSTK_E_FAILED);
    CHECK(pstk_engine_poll(engine, events, 64, &count, &err) == PSTK_E_FAILED);
    CHECK(strstr(err.text, "was spoiled from outside") != NULL);
    must_close(engine);
    place_end();
}

/* A block damaged below the checkpoint costs no sample; one above it, the ring. Both are told. */
static void test_damaged_ring_is_told(void) {
    static const uint8_t nothing[16] = {0};
    place_begin();
    setup s = quiet();
    pstk_source_stats was = live_once(&s, 3);
    poke_block(0, nothing, sizeof nothing);
    pstk_engine *engine = must_open(&s);
    CHECK(has_notice(engine, "damaged below its checkpoint"));
    check_goes_on(engine, &was, 3);
    must_close(engine);
    place_end();
}

static void feed_and_die(void *context) {
    setup *s = context;
    pstk_engine *engine = must_open(s);
    uint32_t tag = must_tag(engine, 0, "m.level", PSTK_TYPE_F64);
    pstk_error err;
    feed_batches(engine, tag, 0, 2);
    CHECK(pstk_engine_checkpoint(engine, 1, &err) == PSTK_OK);
    feed_batches(engine, tag, 2, 1);
}

static void test_damaged_tail_is_told_and_the_image_goes_on(void) {
    static const uint8_t nothing[16] = {0};
    place_begin();
    setup s = quiet();
    in_killed_child(feed_and_die, &s);
    pstk_image image;
    uint32_t damaged;
    bool is_found = false;
    pstk_error err;
    REQUIRE(pstk_image_load(state_dir, NULL, UINT32_MAX, &image, &is_found, &damaged, &err) ==
                PSTK_OK &&
            is_found);
    poke_block(image.head.pos, nothing, sizeof nothing);
    pstk_image_free(&image);
    pstk_engine *engine = must_open(&s);
    char notice[512];
    CHECK(notice_of(engine, notice, sizeof notice) > 0);
    CHECK(source_of(engine, 0).used == 2 * ROWS && !stats_of(engine).is_cold_start);
    CHECK(is_conserved(engine, 0, false));
    must_close(engine);
    place_end();
}

/* State and ring of the same name but not of one run: a copy put back, for example. */
static void test_image_that_fits_no_block_is_refused(void) {
    place_begin();
    setup s = quiet();
    live_once(&s, 3);
    char folder[256];
    ring_folder(folder, sizeof folder);
    pstk_image image;
    uint32_t damaged;
    bool is_found = false;
    pstk_error err;
    REQUIRE(pstk_image_load(state_dir, NULL, UINT32_MAX, &image, &is_found, &damaged, &err) ==
                PSTK_OK &&
            is_found);
    CHECK(destroy_images(folder) > 0);
    image.head.pos -= 128; /* inside the last block */
    image.head.generation += 2;
    REQUIRE(pstk_image_write(state_dir, &image.head, image.section, true, &err) == PSTK_OK);
    pstk_image_free(&image);
    CHECK(is_refused(&s, PSTK_E_STATE, "not of one run; remove that folder"));
    CHECK(is_refused(&s, PSTK_E_STATE, folder));
    remove_folder(folder); /* as it says */
    pstk_engine *engine = must_open(&s);
    CHECK(source_of(engine, 0).used == 3 * ROWS);
    must_close(engine);
    place_end();
}

/* Tags lie in the image without padding: whatever a length says, nothing behind them is read, and a
 * layout of another version is not guessed at. */
static void check_spoilt_tags(int way, const char *text) {
    place_begin();
    setup s = quiet();
    live_once(&s, 3);
    char folder[256];
    ring_folder(folder, sizeof folder);
    pstk_image image;
    uint32_t damaged, k = 0;
    bool is_found = false;
    pstk_error err;
    REQUIRE(pstk_image_load(state_dir, NULL, UINT32_MAX, &image, &is_found, &damaged, &err) ==
                PSTK_OK &&
            is_found);
    while (k < image.head.section_count && image.section[k].tag != 0x53474154u) /* TAGS */
        k++;
    REQUIRE(k < image.head.section_count && image.section[k].size == 4 * 3 + 7 + 7 + 6);
    uint8_t tags[4 * 3 + 7 + 7 + 6];
    memcpy(tags, image.section[k].bytes, sizeof tags);
    image.section[k].bytes = tags;
    tags[3] = way == 0 ? 200 : tags[3];
    tags[3] = way == 1 ? 0 : tags[3];
    tags[2] = way == 2 ? 9 : tags[2];
    image.section[k].size -= way == 3;
    image.section[k].version -= way == 4;
    CHECK(destroy_images(folder) > 0);
    image.head.generation += 2;
    REQUIRE(pstk_image_write(state_dir, &image.head, image.section, true, &err) == PSTK_OK);
    pstk_image_free(&image);
    CHECK(is_refused(&s, PSTK_E_STATE, text));
    place_end();
}

static void test_spoilt_tags_of_an_image_are_refused(void) {
    check_spoilt_tags(0, "tag 0 of the checkpoint contradicts another");
    check_spoilt_tags(1, "tag 0 of the checkpoint contradicts another");
    check_spoilt_tags(2, "tag 0 of the checkpoint contradicts another");
    check_spoilt_tags(3, "tag 2 of the checkpoint contradicts another");
    check_spoilt_tags(4, "tags have version 1, this build reads 2");
}

/* ---- a batch cut short ---------------------------------------------------------------------- */

static void test_batch_cut_short_by_a_full_ring_goes_on_where_it_stopped(void) {
    place_begin();
    setup s = with_limit();
    s.options.event_slots = 256;
    pstk_engine *engine = must_open(&s);
    uint32_t tag = must_tag(engine, 0, "m.level", PSTK_TYPE_F64);
    uint64_t batch = 0, position = 0;
    pstk_error err;
    int64_t step_ns = ROWS_MAX * INT64_C(1000000);
    while (feed_rows(engine, 0, tag, ROWS_MAX, START_NS + (int64_t)batch * step_ns, batch) ==
           PSTK_OK)
        batch++;
    CHECK(batch > 0 && source_of(engine, 0).used % ROWS_MAX != 0);
    CHECK(pstk_engine_position(engine, 0, &position, &err) == PSTK_OK && position == batch - 1);
    uint64_t used = source_of(engine, 0).used, events = 0;
    must_close(engine);
    engine = must_open(&s); /* the place inside the batch survives */
    CHECK(pstk_engine_position(engine, 0, &position, &err) == PSTK_OK && position == batch - 1);
    events += drain(engine);
    CHECK(feed_rows(engine, 0, tag, ROWS_MAX, START_NS + (int64_t)batch * step_ns, batch) ==
          PSTK_OK);
    for (uint64_t more; (more = drain(engine)) > 0;)
        events += more;
    pstk_source_stats stats = source_of(engine, 0);
    CHECK(stats.used == (batch + 1) * ROWS_MAX && is_conserved(engine, 0, false));
    CHECK(stats.dropped[PSTK_DROP_DUPLICATE] == used - batch * ROWS_MAX);
    CHECK(events == stats.used - 1);
    CHECK(pstk_engine_position(engine, 0, &position, &err) == PSTK_OK && position == batch);
    must_close(engine);
    place_end();
}

int main(void) {
    test_reopened_engine_goes_on(3);
    test_reopened_engine_goes_on(40);
    test_deleted_ring_moves_the_state_to_a_new_journal(3);
    test_deleted_ring_moves_the_state_to_a_new_journal(40);
    test_whole_journal_makes_up_for_its_images();
    test_destroyed_images_of_a_wrapped_ring_are_a_cold_start();
    test_destroyed_images_of_a_moved_journal_are_a_cold_start();
    test_image_on_disk_alone_or_in_the_ring_alone_is_enough();
    test_another_ring_size_goes_on();
    test_spoiled_mapping_fails_the_engine();
    test_damaged_ring_is_told();
    test_damaged_tail_is_told_and_the_image_goes_on();
    test_image_that_fits_no_block_is_refused();
    test_spoilt_tags_of_an_image_are_refused();
    test_batch_cut_short_by_a_full_ring_goes_on_where_it_stopped();
    return check_result("test_engine_recover");
}
