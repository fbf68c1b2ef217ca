/* Opening: whole files are attached, damaged ones made new with a sentence, foreign and newer ones
 * refused by name. */
#include "test_ring.h"

#include <sched.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>

#define RING_BYTES UINT64_C(65536)

typedef struct opened {
    int status;
    bool is_new;
    uint64_t written, oldest, size, blocks;
    pstk_error err;
} opened;

static opened try_open(const pstk_ring_options *options) {
    opened result = {0};
    pstk_ring *ring = NULL;
    result.status = pstk_ring_open(options, &ring, &result.is_new, &result.err);
    CHECK((result.status == PSTK_OK) == (ring != NULL));
    if (!ring)
        return result;
    result.written = pstk_ring_written(ring);
    result.oldest = pstk_ring_oldest(ring);
    result.size = pstk_ring_size(ring);
    uint64_t pos = pstk_ring_checkpointed(ring);
    while (pstk_ring_peek(ring, pos, &pos))
        result.blocks++;
    CHECK(pos == result.written);
    pstk_ring_close(ring);
    return result;
}

static opened reopen(void) {
    pstk_ring_options options = options_of(RING_BYTES);
    return try_open(&options);
}

/* 20 blocks below checkpointed, 10 judged, 10 not; 64 + 100 bytes, padded to 192. */
static void make_ring(void) {
    pstk_ring *ring = new_ring(RING_BYTES);
    for (uint64_t i = 0; i < 40; i++) {
        REQUIRE(put_block(ring, i, 100) == i * 192);
        if (i == 19)
            release_all(ring);
        if (i == 29)
            pstk_ring_set_judged(ring, pstk_ring_written(ring));
    }
    pstk_ring_close(ring);
}

static void test_a_whole_ring_is_attached(void) {
    make_ring();
    opened result = reopen();
    CHECK(result.status == PSTK_OK && !result.is_new && result.err.text[0] == 0);
    CHECK(result.written == UINT64_C(40) * 192 && result.oldest == 0 && result.blocks == 20);
}

static void expect_new(const char *what) {
    opened result = reopen();
    CHECK(result.status == PSTK_OK && result.is_new && result.written == 0 && result.blocks == 0);
    if (!strstr(result.err.text, what))
        fprintf(stderr, "said: %s\n", result.err.text);
    CHECK(strstr(result.err.text, what) != NULL);
    result = reopen();
    CHECK(result.status == PSTK_OK && !result.is_new && result.err.text[0] == 0);
}

static void test_a_damaged_identity_makes_a_new_ring(void) {
    for (size_t i = 0; i < sizeof(pstk_ring_identity); i++) {
        uint8_t byte = 0;
        make_ring();
        int fd = open_ring_file(O_RDONLY);
        REQUIRE(pread(fd, &byte, 1, (off_t)i) == 1);
        close(fd);
        byte ^= 0x10;
        poke(i, &byte, 1);
        expect_new(i < 8 ? "does not begin like a ring" : "wrong checksum");
    }
}

static void spoil_cursor(size_t offset, uint64_t value, const char *what) {
    make_ring();
    poke(offset, &value, sizeof value);
    expect_new(what);
}

static void test_cursors_that_cannot_be_make_a_new_ring(void) {
    const size_t written = offsetof(pstk_ring_header, written),
                 judged = offsetof(pstk_ring_header, judged);
    const size_t claimed = offsetof(pstk_ring_header, claimed),
                 origin = offsetof(pstk_ring_header, origin);
    const size_t checkpointed = offsetof(pstk_ring_header, checkpointed);
    spoil_cursor(written, 0, "out of order");
    spoil_cursor(written, UINT64_MAX, "out of order");
    spoil_cursor(claimed, UINT64_MAX - 63, "beyond any journal");
    spoil_cursor(judged, UINT64_C(41) * 192, "out of order");
    spoil_cursor(checkpointed, UINT64_C(31) * 192, "out of order");
    spoil_cursor(origin, UINT64_C(21) * 192, "out of order");
    spoil_cursor(claimed, 0, "out of order");
    spoil_cursor(judged, UINT64_C(30) * 192 + 8, "block border");
    spoil_cursor(claimed, RING_BYTES * 2, "too far apart");
    spoil_cursor(claimed, UINT64_C(40) * 192 + 32768 + 64, "too far apart");
    spoil_cursor(written, UINT64_C(39) * 192 + 64, "between judged and written");
    spoil_cursor(judged, UINT64_C(30) * 192 + 64, "between checkpointed and judged");
    spoil_cursor(checkpointed, UINT64_C(19) * 192 + 64, "between checkpointed and judged");
}

static void spoil_block(uint64_t number, size_t offset, uint32_t value) {
    make_ring();
    poke(pstk_ring_data_offset(RING_BYTES) + number * 192 + offset, &value, sizeof value);
}

static void test_damaged_blocks(void) {
    static const uint32_t bad_bytes[] = {0,  1,  63, 16385, 32768, UINT32_MAX, UINT32_MAX - 63,
                                         64, 300};
    for (size_t i = 0; i < sizeof bad_bytes / sizeof bad_bytes[0]; i++) {
        spoil_block(35, offsetof(pstk_block, bytes), bad_bytes[i]);
        expect_new("between judged and written");
    }
    spoil_block(25, offsetof(pstk_block, pos), 25 * 192 + 64);
    expect_new("between checkpointed and judged");
    spoil_block(25, offsetof(pstk_block, kind), PSTK_RECORD_LAST + 1); /* and source 0 */
    expect_new("between checkpointed and judged");
    spoil_block(25, offsetof(pstk_block, kind), PSTK_RECORD_PAD); /* not at the lap's end */
    expect_new("between checkpointed and judged");
    make_ring();
    uint32_t samples = PSTK_RECORD_SAMPLES, count = 5; /* 5 * 24 > 100 */
    poke(pstk_ring_data_offset(RING_BYTES) + UINT64_C(35) * 192 + offsetof(pstk_block, kind),
         &samples, 4);
    poke(pstk_ring_data_offset(RING_BYTES) + UINT64_C(35) * 192 + offsetof(pstk_block, count),
         &count, 4);
    expect_new("between judged and written");
    spoil_block(5, offsetof(pstk_block, bytes), 0); /* below the checkpoint: no sample is lost */
    opened result = reopen();
    CHECK(result.status == PSTK_OK && !result.is_new && result.oldest == UINT64_C(20) * 192 &&
          result.blocks == 20);
    CHECK(strstr(result.err.text, "damaged below its checkpoint") != NULL);
    result = reopen();
    CHECK(!result.is_new && result.oldest == UINT64_C(20) * 192 && result.err.text[0] == 0);
}

static void test_a_spoiled_index_is_written_anew(void) {
    bool is_new = true;
    uint64_t next = 0, random = 5;
    static _Alignas(64) uint8_t copy[PSTK_BLOCK_BYTES_MAX], zeros[4096];
    pstk_ring *ring = new_ring(RING_BYTES);
    for (uint64_t i = 0; i < 500; i++) {
        if (put_block(ring, i, pstk_random(&random) % 1000) == UINT64_MAX)
            release_all(ring);
    }
    release_all(ring);
    uint64_t back = pstk_ring_back(ring, pstk_ring_written(ring), 20000);
    pstk_ring_close(ring);
    poke(PSTK_RING_HEADER_BYTES, zeros, sizeof zeros);
    ring = open_ring(RING_BYTES, &is_new);
    uint64_t pos = pstk_ring_oldest(ring);
    CHECK(!is_new && pos >= back - 20000 && pos <= pstk_ring_written(ring));
    for (uint64_t i = 0; i < 300; i++) {
        release_all(ring);
        CHECK(put_block(ring, i, 1000) != UINT64_MAX);
    }
    CHECK(pstk_ring_copy(ring, pstk_ring_oldest(ring), copy, sizeof copy, &next));
    CHECK(pstk_ring_oldest(ring) > pstk_ring_written(ring) - RING_BYTES - 1);
    pstk_ring_close(ring);
}

static void test_files_of_another_size_are_not_mapped(void) {
    make_ring();
    int fd = open_ring_file(O_RDWR);
    REQUIRE(ftruncate(fd, 4096) == 0);
    close(fd);
    expect_new("size is not what its header says");
    make_ring();
    fd = open_ring_file(O_RDWR);
    REQUIRE(ftruncate(fd, 0) == 0);
    close(fd);
    expect_new("does not begin like a ring");
    make_ring(); /* a hole would be a SIGBUS on a full tmpfs: it is filled */
    fd = open_ring_file(O_RDWR);
    struct stat info;
    REQUIRE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 16384, 16384) == 0);
    REQUIRE(fstat(fd, &info) == 0 && info.st_blocks * 512 < info.st_size);
    CHECK(!reopen().is_new);
    REQUIRE(fstat(fd, &info) == 0);
    CHECK(info.st_blocks * 512 >= info.st_size);
    close(fd);
}

static void test_newer_files_are_refused(void) {
    make_ring();
    pstk_ring_identity identity;
    int fd = open_ring_file(O_RDONLY);
    REQUIRE(pread(fd, &identity, sizeof identity, 0) == sizeof identity);
    close(fd);
    identity.version = 2;
    identity.crc32c = pstk_crc32c(0, &identity, offsetof(pstk_ring_identity, crc32c));
    poke(0, &identity, sizeof identity);
    opened result = reopen();
    CHECK(result.status == PSTK_E_STATE && strstr(result.err.text, "version 2") != NULL);
    make_ring();
    pstk_ring_options options = options_of(RING_BYTES);
    options.layout = 2; /* a newer build was here */
    CHECK(try_open(&options).blocks == 20);
    result = reopen();
    CHECK(result.status == PSTK_E_STATE && strstr(result.err.text, "layout 2") != NULL);
    CHECK(try_open(&options).blocks == 20); /* refused, not destroyed */
}

static void test_another_ring_bytes(void) {
    pstk_ring_options options = options_of(2 * RING_BYTES);
    make_ring(); /* 20 blocks are in no checkpoint: the old size is kept, and said */
    opened result = try_open(&options);
    CHECK(result.status == PSTK_OK && !result.is_new && result.size == RING_BYTES &&
          result.blocks == 20);
    CHECK(strstr(result.err.text, "ring keeps its 65536 bytes, not 131072") != NULL);
    bool is_new = true;
    pstk_ring *ring = open_ring(RING_BYTES, &is_new);
    release_all(ring);
    pstk_ring_close(ring);
    result = try_open(&options); /* all of it is: the new size, positions go on */
    CHECK(result.status == PSTK_OK && !result.is_new && result.size == 2 * RING_BYTES);
    CHECK(result.written == UINT64_C(40) * 192 && result.oldest == result.written &&
          result.err.text[0] == 0);
    ring = open_ring(2 * RING_BYTES, &is_new);
    CHECK(!is_new && put_block(ring, 1, 10) == UINT64_C(40) * 192);
    pstk_ring_close(ring);
}

static void test_arguments_and_folders(void) {
    static const uint64_t bad_bytes[] = {0, 4096, 65537, 3 * 65536, UINT64_C(1) << 40, UINT64_MAX};
    pstk_ring_options options = options_of(RING_BYTES);
    for (size_t i = 0; i < sizeof bad_bytes / sizeof bad_bytes[0]; i++) {
        options.ring_bytes = bad_bytes[i];
        CHECK(try_open(&options).status == PSTK_E_ARGUMENT);
    }
    options = options_of(RING_BYTES);
    options.ring_dir = "/dev/shm/penstock-is-not-there";
    opened result = try_open(&options);
    CHECK(result.status == PSTK_E_SYSTEM && result.err.os_error == ENOENT);
    options.ring_dir = "/proc";
    result = try_open(&options);
    CHECK(result.status == PSTK_E_UNSUPPORTED && strstr(result.err.text, "/dev/shm") != NULL);
    pstk_ring_remove(test_dir, test_id);
    char hex[PSTK_HEX_BYTES], path[256], elsewhere[128];
    pstk_io_hex(test_id, hex);
    snprintf(path, sizeof path, "%s/penstock-%s", test_dir, hex);
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", test_dir);
    REQUIRE(mkdir(elsewhere, 0700) == 0 && symlink(elsewhere, path) == 0);
    result = reopen();
    CHECK(result.status == PSTK_E_STATE && strstr(result.err.text, "is a link") != NULL);
    REQUIRE(unlink(path) == 0);
    make_ring();
    struct stat info;
    REQUIRE(stat(path, &info) == 0);
    CHECK((info.st_mode & 07777) == 0700);
    int fd = open_ring_file(O_RDONLY);
    REQUIRE(fstat(fd, &info) == 0);
    CHECK((info.st_mode & 07777) == 0600);
    close(fd);
    if (geteuid() == 0) {
        REQUIRE(chown(path, 65534, 65534) == 0);
        result = reopen();
        CHECK(result.status == PSTK_E_STATE &&
              strstr(result.err.text, "belongs to uid 65534") != NULL);
        REQUIRE(chown(path, 0, 0) == 0);
    } else {
        printf("skipped: a folder of another user (needs root)\n");
    }
    pstk_ring_remove(test_dir, test_id);
    CHECK(access(path, F_OK) != 0);
}

static void test_a_second_process_is_locked_out_but_not_by_an_orphan(void) {
    int ready[2], go[2];
    char byte = 0;
    REQUIRE(pipe2(ready, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
    make_ring();
    pid_t child = fork();
    if (child == 0) {
        bool is_new;
        pstk_ring *ring = open_ring(RING_BYTES, &is_new);
        pid_t orphan = fork(); /* holds every descriptor of its dead parent */
        if (orphan == 0) {
            close(ready[1]);
            if (read(go[0], &byte, 1) < 0)
                _exit(1);
            _exit(0);
        }
        if (write(ready[1], "r", 1) != 1)
            _exit(1);
        pause();
        pstk_ring_close(ring);
        _exit(0);
    }
    REQUIRE(read(ready[0], &byte, 1) == 1);
    opened result = reopen();
    char pid_text[32];
    snprintf(pid_text, sizeof pid_text, "process %ld", (long)child);
    CHECK(result.status == PSTK_E_LOCKED && strstr(result.err.text, pid_text) != NULL);
    kill(child, SIGKILL);
    CHECK(exit_code_of(child) == 128 + SIGKILL);
    result = reopen();
    CHECK(result.status == PSTK_OK && !result.is_new && result.blocks == 20);
    REQUIRE(write(go[1], "g", 1) == 1);
    close(ready[0]), close(ready[1]), close(go[0]), close(go[1]);
}

static void test_a_forked_child_may_close(void) {
    pstk_ring *ring = new_ring(RING_BYTES);
    put_block(ring, 1, 10);
    pid_t child = fork();
    if (child == 0) {
        /* Something of the child's own may lie where the ring was: close must leave it alone. */
        void *mine = mmap((void *)ring->header, 4096, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        bool is_free = mine == (void *)ring->header; /* MADV_DONTFORK */
        if (is_free)
            memset(mine, 1, 4096);
        pstk_ring_close(ring);
        _exit(is_free && *(volatile char *)mine == 1 ? 0 : 1);
    }
    CHECK(exit_code_of(child) == 0);
    uint64_t next = 0;
    CHECK(pstk_ring_peek(ring, 0, &next) != NULL && put_block(ring, 2, 10) == 128);
    pstk_ring_close(ring);
    CHECK(!reopen().is_new);
}

/* In a child with its own mounts: 1 MiB of tmpfs. Exit code 77 = may not mount. */
static int on_a_small_tmpfs(void) {
    pstk_ring_options options = options_of(RING_BYTES);
    pstk_error err;
    static uint8_t bytes[700000];
    pstk_image_head head = {.generation = 1, .layout = 1, .section_count = 1};
    const pstk_section section = {1, 1, bytes, 300000}, larger = {1, 1, bytes, sizeof bytes};
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("penstock-test", test_dir, "tmpfs", 0, "size=1m") != 0)
        return 77;
    options.ring_bytes = UINT64_C(1) << 20;
    opened result = try_open(&options);
    CHECK(result.status == PSTK_E_SYSTEM && result.err.os_error == ENOSPC);
    CHECK(strstr(result.err.text, "lower ring_bytes or enlarge the tmpfs") != NULL);
    options.ring_bytes = UINT64_C(1) << 18; /* nothing of the refused one is left in the way */
    CHECK(try_open(&options).is_new && !try_open(&options).is_new);
    CHECK(pstk_image_write(test_dir, &head, &section, true, &err) == PSTK_OK);
    head.generation = 2;
    CHECK(pstk_image_write(test_dir, &head, &section, false, &err) == PSTK_OK);
    head.generation = 3; /* a third one has no room, nor does it need any */
    CHECK(pstk_image_write(test_dir, &head, &section, false, &err) == PSTK_OK);
    head.generation = 4;
    CHECK(pstk_image_write(test_dir, &head, &larger, false, &err) == PSTK_E_SYSTEM &&
          err.os_error == ENOSPC);
    CHECK(strstr(err.text, "the one before stands") != NULL);
    pstk_image image;
    bool is_found = false;
    uint32_t damaged = 0;
    CHECK(pstk_image_load(test_dir, NULL, 1, &image, &is_found, &damaged, &err) == PSTK_OK);
    CHECK(is_found && image.head.generation == 3 && damaged == 0);
    pstk_image_free(&image);
    char path[128];
    snprintf(path, sizeof path, "%s/image.tmp", test_dir);
    CHECK(access(path, F_OK) != 0);
    options.ring_bytes =
        UINT64_C(1) << 16; /* positions go on in a smaller ring: room for both is needed once */
    CHECK(try_open(&options).size == UINT64_C(1) << 16);
    return check_failed ? 1 : 0;
}

static void test_a_full_tmpfs_is_said_at_once(void) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(on_a_small_tmpfs());
    int code = exit_code_of(child);
    if (code == 77)
        printf("skipped: full tmpfs (may not mount one)\n");
    CHECK(code == 0 || code == 77);
}

int main(void) {
    test_begin();
    test_a_whole_ring_is_attached();
    test_a_damaged_identity_makes_a_new_ring();
    test_cursors_that_cannot_be_make_a_new_ring();
    test_damaged_blocks();
    test_a_spoiled_index_is_written_anew();
    test_files_of_another_size_are_not_mapped();
    test_newer_files_are_refused();
    test_another_ring_bytes();
    test_arguments_and_folders();
    test_a_second_process_is_locked_out_but_not_by_an_orphan();
    test_a_forked_child_may_close();
    test_a_full_tmpfs_is_said_at_once();
    test_end();
    return check_result("ring_open");
}
