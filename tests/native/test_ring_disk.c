/* The disk journal: what was synced is read again block for block; a torn, spoiled or foreign byte
 * is the end, never another content. Method: a ring that wraps, blocks that can be recognised. */
#include "ring/disk.h"
#include "test_ring.h"

#include <dirent.h>

#define RING_BYTES PSTK_RING_BYTES_MIN
#define MANY UINT64_C(16777216)

static pstk_disk *open_disk(uint64_t bytes_max) {
    pstk_disk_options options = {.folder = test_dir, .bytes_max = bytes_max};
    pstk_disk *disk = NULL;
    pstk_error err = {0};
    uint32_t damaged;
    memcpy(options.journal_id, test_id, sizeof test_id);
    int status = pstk_disk_open(&options, &disk, &damaged, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "open: %s\n", err.text);
    REQUIRE(status == PSTK_OK);
    return disk;
}

static void begin_at(pstk_disk *disk, pstk_ring *ring, uint64_t pos) {
    pstk_disk_begin(disk, pos);
    pstk_ring_set_durable(ring, pos);
}

static size_t size_of(uint64_t seq) { return (size_t)(seq * 7919 % 5000); }

/* All written blocks are on disk, and the ring has room again. */
static uint64_t sync_all(pstk_disk *disk, pstk_ring *ring) {
    uint64_t durable = 0, written = pstk_ring_written(ring);
    pstk_error err = {0};
    int status = pstk_disk_write(disk, ring, written, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "write: %s\n", err.text);
    REQUIRE(status == PSTK_OK);
    REQUIRE(pstk_disk_sync(disk, ring, &durable, &err) == PSTK_OK);
    CHECK(durable == written);
    pstk_ring_set_durable(ring, durable);
    release_all(ring);
    return durable;
}

/* Blocks first..last, synced where the ring is full and at the end. */
static void write_blocks(pstk_disk *disk, pstk_ring *ring, uint64_t first, uint64_t last) {
    for (uint64_t seq = first; seq <= last; seq++) {
        if (put_block(ring, seq, size_of(seq)) == UINT64_MAX) {
            sync_all(disk, ring);
            REQUIRE(put_block(ring, seq, size_of(seq)) != UINT64_MAX);
        } else if (seq % 5 == 0) {
            release_all(ring); /* durable alone holds the writer back */
        }
    }
    sync_all(disk, ring);
}

/* Blocks from pos on are first, first + 1, ...; how many. */
static uint64_t count_from(pstk_disk *disk, uint64_t pos, uint64_t first) {
    static _Alignas(64) uint8_t bytes[PSTK_BLOCK_BYTES_MAX];
    uint64_t next, count = 0;
    while (pstk_disk_read(disk, pos, bytes, &next)) {
        const pstk_block *block = (const pstk_block *)(void *)bytes;
        CHECK(is_pattern(block, first + count) && block->bytes == 64 + size_of(first + count));
        CHECK(next > pos);
        pos = next;
        count++;
    }
    CHECK(pstk_disk_follow(disk, pos) == next || next >= pos);
    return count;
}

static void only_file(const pstk_disk *disk, char *out, size_t capacity) {
    REQUIRE(disk->count == 1);
    snprintf(out, capacity, "%s/%s", test_dir, disk->segment[0].name);
}

static uint32_t files_here(void) {
    DIR *folder = opendir(test_dir);
    uint32_t count = 0;
    REQUIRE(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += strncmp(entry->d_name, PSTK_DISK_PREFIX, 8) == 0;
    closedir(folder);
    return count;
}

static void test_what_was_synced_is_read_again_across_laps_and_segments(void) {
    test_begin();
    pstk_ring *ring = new_ring(RING_BYTES);
    pstk_disk *disk = open_disk(MANY / 16); /* 64 KiB a segment */
    begin_at(disk, ring, 0);
    write_blocks(disk, ring, 0, 199);
    CHECK(pstk_ring_written(ring) > 4 * RING_BYTES && disk->count > 4);
    CHECK(count_from(disk, 0, 0) == 200);
    uint64_t end = pstk_ring_written(ring);
    pstk_disk_close(disk);
    disk = open_disk(MANY / 16);
    CHECK(count_from(disk, 0, 0) == 200 && pstk_disk_follow(disk, 0) == end);
    CHECK(pstk_disk_follow(disk, 128) == 128 && pstk_disk_follow(disk, end + 4096) == end + 4096);
    pstk_disk_close(disk);
    pstk_ring_close(ring);
    test_end();
}

static void test_writer_of_the_ring_stays_off_what_is_not_durable(void) {
    test_begin();
    pstk_ring *ring = new_ring(RING_BYTES);
    pstk_disk *disk = open_disk(MANY);
    begin_at(disk, ring, 0);
    uint64_t count = 0;
    while (put_block(ring, count, 1000) != UINT64_MAX) {
        release_all(ring);
        count++;
    }
    CHECK(count >= 55 && count < 61 && pstk_ring_free(ring) < 1100);
    sync_all(disk, ring);
    CHECK(pstk_ring_free(ring) > RING_BYTES - 4096 - 64);
    CHECK(put_block(ring, count, 1000) != UINT64_MAX);
    pstk_disk_close(disk);
    pstk_ring_close(ring);
    test_end();
}

/* From each cut on, the rest is zeros, what an older use of the place left, or not there. */
static void test_torn_tail_ends_at_a_block_border(void) {
    test_begin();
    char path[192];
    static uint8_t whole[1 << 17], torn[1 << 17];
    pstk_ring *ring = new_ring(RING_BYTES);
    pstk_disk *disk = open_disk(MANY / 16);
    begin_at(disk, ring, 0);
    write_blocks(disk, ring, 0, 15);
    uint64_t end = pstk_ring_written(ring);
    only_file(disk, path, sizeof path);
    pstk_disk_close(disk);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    size_t size = 0;
    REQUIRE(fd >= 0 && pstk_io_read(fd, whole, sizeof whole, &size) == 0 && size > end);
    uint64_t before = UINT64_MAX;
    for (uint64_t cut = 0; cut <= end; cut += 97) {
        memcpy(torn, whole, size);
        size_t at = PSTK_DISK_PAGE + (size_t)(end - cut);
        memset(torn + at, cut % 3 == 0 ? 0 : 0xA5, size - at);
        REQUIRE(pwrite(fd, torn, size, 0) == (ssize_t)size);
        if (cut % 3 == 1)
            REQUIRE(ftruncate(fd, (off_t)at) == 0);
        disk = open_disk(MANY);
        uint64_t count = count_from(disk, 0, 0), follows = pstk_disk_follow(disk, 0);
        CHECK(follows <= pstk_ring_padded(end - cut) && count <= before &&
              (cut > 0 || count == 16));
        before = count;
        pstk_disk_close(disk);
    }
    CHECK(before == 0);
    close(fd);
    pstk_ring_close(ring);
    test_end();
}

/* Any bit of any block: the journal ends before it, and what is read is what was written. */
static void test_flipped_bit_is_never_believed(void) {
    test_begin();
    char path[192];
    pstk_ring *ring = new_ring(RING_BYTES);
    pstk_disk *disk = open_disk(MANY / 16);
    begin_at(disk, ring, 0);
    write_blocks(disk, ring, 0, 15);
    uint64_t end = pstk_ring_written(ring), random = (uint64_t)pstk_wall_ns() | 1;
    only_file(disk, path, sizeof path);
    pstk_disk_close(disk);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    printf("seed %llu\n", (unsigned long long)random);
    for (int i = 0; i < 400; i++) {
        off_t at = (off_t)(PSTK_DISK_PAGE + pstk_random(&random) % end);
        uint8_t byte, flipped;
        REQUIRE(pread(fd, &byte, 1, at) == 1);
        flipped = (uint8_t)(byte ^ (1u << (i & 7)));
        REQUIRE(pwrite(fd, &flipped, 1, at) == 1);
        disk = open_disk(MANY);
        uint64_t follows = pstk_disk_follow(disk, 0);
        (void)count_from(disk, 0, 0);
        /* padding behind a block is no part of it */
        CHECK(follows == end || follows <= (uint64_t)at - PSTK_DISK_PAGE);
        pstk_disk_close(disk);
        REQUIRE(pwrite(fd, &byte, 1, at) == 1);
    }
    close(fd);
    pstk_ring_close(ring);
    test_end();
}

/* A second run begins where the first one's journal ends for certain; what lies behind that of the
 * first run is valid still, and must not come back. */
static void test_newer_chain_hides_what_an_older_one_wrote_behind_its_begin(void) {
    test_begin();
    pstk_ring *ring = new_ring(RING_BYTES);
    pstk_disk *disk = open_disk(MANY);
    begin_at(disk, ring, 0);
    write_blocks(disk, ring, 0, 4);
    uint64_t border = pstk_ring_written(ring);
    write_blocks(disk, ring, 5, 9);
    pstk_disk_close(disk);
    pstk_ring_close(ring);
    pstk_ring_remove(test_dir, test_id);
    pstk_ring_options options = options_of(RING_BYTES);
    options.start = border;
    pstk_error err;
    bool is_new;
    REQUIRE(pstk_ring_open(&options, &ring, &is_new, &err) == PSTK_OK && is_new);
    CHECK(pstk_ring_written(ring) == border && pstk_ring_oldest(ring) == border);
    disk = open_disk(MANY);
    CHECK(count_from(disk, 0, 0) == 10);
    begin_at(disk, ring, border);
    write_blocks(disk, ring, 5, 5);
    CHECK(count_from(disk, 0, 0) == 6);
    pstk_disk_close(disk);
    disk = open_disk(MANY);
    CHECK(count_from(disk, 0, 0) == 6 && count_from(disk, border, 5) == 1);
    pstk_disk_close(disk);
    pstk_ring_close(ring);
    test_end();
}

static void test_full_budget_waits_and_release_makes_room(void) {
    test_begin();
    pstk_ring *ring = new_ring(RING_BYTES);
    pstk_disk *disk = open_disk(3 * (PSTK_DISK_SEGMENT_MIN + PSTK_DISK_PAGE));
    begin_at(disk, ring, 0);
    uint64_t durable = 0, seq = 0;
    pstk_error err = {0};
    int status = PSTK_OK;
    while (status == PSTK_OK && seq < 1000) {
        while (put_block(ring, seq, 3000) != UINT64_MAX)
            seq++;
        status = pstk_disk_write(disk, ring, pstk_ring_written(ring), &err);
        int synced = pstk_disk_sync(disk, ring, &durable, &err);
        CHECK(synced == PSTK_OK || synced == PSTK_E_FULL);
        pstk_ring_set_durable(ring, durable);
        release_all(ring);
    }
    CHECK(status == PSTK_E_FULL && strstr(err.text, "holds its") && files_here() == 3);
    CHECK(durable == 3 * PSTK_DISK_SEGMENT_MIN && durable < pstk_ring_written(ring));
    pstk_disk_release(disk, PSTK_DISK_SEGMENT_MIN - 64);
    CHECK(files_here() == 3); /* a byte of it is not saved */
    pstk_disk_release(disk, PSTK_DISK_SEGMENT_MIN);
    CHECK(files_here() == 2);
    uint64_t written = pstk_ring_written(ring);
    CHECK(pstk_disk_write(disk, ring, written, &err) == PSTK_OK);
    CHECK(pstk_disk_sync(disk, ring, &durable, &err) == PSTK_OK && durable == written);
    pstk_disk_remove(disk);
    CHECK(files_here() == 0);
    pstk_disk_close(disk);
    pstk_ring_close(ring);
    test_end();
}

static void put_header(const char *name, uint32_t version, const uint8_t id[16]) {
    char path[192];
    pstk_segment_header header = {.magic = PSTK_DISK_MAGIC,
                                  .version = version,
                                  .chain = 7,
                                  .data_bytes = PSTK_DISK_SEGMENT_MIN};
    memcpy(header.journal_id, id, sizeof header.journal_id);
    header.crc32c = pstk_crc32c(0, &header, offsetof(pstk_segment_header, crc32c));
    snprintf(path, sizeof path, "%s/%s", test_dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0 && pstk_io_write(fd, &header, sizeof header) == 0);
    close(fd);
}

static void test_newer_version_is_refused_and_foreign_files_are_passed_over(void) {
    static const uint8_t other[16] = {9};
    test_begin();
    put_header("journal.foreign", 1, other);
    put_header("journal.newer", 2, test_id);
    pstk_disk_options options = {.folder = test_dir, .bytes_max = MANY};
    pstk_disk *disk = (void *)1;
    pstk_error err = {0};
    uint32_t damaged;
    memcpy(options.journal_id, test_id, sizeof test_id);
    CHECK(pstk_disk_open(&options, &disk, &damaged, &err) == PSTK_E_STATE && disk == NULL);
    CHECK(strstr(err.text, "has version 2, this build reads up to 1: start the newer penstock"));
    char path[192];
    snprintf(path, sizeof path, "%s/journal.newer", test_dir);
    REQUIRE(truncate(path, 40) == 0);
    REQUIRE(pstk_disk_open(&options, &disk, &damaged, &err) == PSTK_OK && damaged == 1);
    CHECK(pstk_disk_follow(disk, 0) == 0);
    pstk_disk_begin(disk, 0);
    pstk_disk_release(disk, 0); /* an image of this journal is on disk: they serve nobody */
    CHECK(files_here() == 0);
    pstk_disk_close(disk);
    test_end();
}

int main(void) {
    test_what_was_synced_is_read_again_across_laps_and_segments();
    test_writer_of_the_ring_stays_off_what_is_not_durable();
    test_torn_tail_ends_at_a_block_border();
    test_flipped_bit_is_never_believed();
    test_newer_chain_hides_what_an_older_one_wrote_behind_its_begin();
    test_full_budget_waits_and_release_makes_room();
    test_newer_version_is_refused_and_foreign_files_are_passed_over();
    return check_result("test_ring_disk");
}
