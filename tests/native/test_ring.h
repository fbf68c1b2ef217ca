/* test_ring: what the ring's tests share: a folder on tmpfs, blocks that can be recognised, a file
 * that can be spoiled. */
#ifndef PSTK_TEST_RING_H
#define PSTK_TEST_RING_H

#include "check.h"
#include "ring/ring_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

static const uint8_t test_id[16] = {0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0x0f};
static char test_dir[64];

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}
static inline void remove_tree(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
static inline void test_begin(void) {
    snprintf(test_dir, sizeof test_dir, "/dev/shm/penstock-test-XXXXXX");
    REQUIRE(mkdtemp(test_dir) != NULL);
}
static inline void test_end(void) { remove_tree(test_dir); }

static inline pstk_ring_options options_of(uint64_t ring_bytes) {
    pstk_ring_options options = {.ring_dir = test_dir, .ring_bytes = ring_bytes, .layout = 1};
    memcpy(options.journal_id, test_id, sizeof test_id);
    return options;
}

static inline pstk_ring *open_ring(uint64_t ring_bytes, bool *out_is_new) {
    pstk_ring *ring = NULL;
    pstk_error err;
    pstk_ring_options options = options_of(ring_bytes);
    int status = pstk_ring_open(&options, &ring, out_is_new, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "open: %s\n", err.text);
    REQUIRE(status == PSTK_OK);
    return ring;
}

static inline pstk_ring *new_ring(uint64_t ring_bytes) {
    bool is_new = false;
    pstk_ring_remove(test_dir, test_id);
    pstk_ring *ring = open_ring(ring_bytes, &is_new);
    REQUIRE(is_new);
    return ring;
}

static inline int open_ring_file(int flags) {
    char hex[PSTK_HEX_BYTES], path[256];
    pstk_io_hex(test_id, hex);
    snprintf(path, sizeof path, "%s/penstock-%s/ring", test_dir, hex);
    int fd = open(path, flags | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

static inline void poke(size_t offset, const void *bytes, size_t size) {
    int fd = open_ring_file(O_RDWR);
    REQUIRE(pwrite(fd, bytes, size, (off_t)offset) == (ssize_t)size);
    close(fd);
}

/* An empty ring whose positions start where the test wants. */
static inline pstk_ring *new_ring_at(uint64_t ring_bytes, uint64_t start) {
    static const size_t cursor[] = {
        offsetof(pstk_ring_header, claimed), offsetof(pstk_ring_header, written),
        offsetof(pstk_ring_header, judged), offsetof(pstk_ring_header, checkpointed),
        offsetof(pstk_ring_header, origin)};
    bool is_new = true;
    pstk_ring_close(new_ring(ring_bytes));
    for (size_t i = 0; i < sizeof cursor / sizeof cursor[0]; i++)
        poke(cursor[i], &start, sizeof start);
    pstk_ring *ring = open_ring(ring_bytes, &is_new);
    REQUIRE(!is_new && pstk_ring_written(ring) == start);
    return ring;
}

static inline uint8_t pattern_at(uint64_t seq, size_t i) {
    return (uint8_t)(seq * 31 + (seq >> 8) + i * 7);
}

/* A CODE-kind block, as its payload may be anything; source_pos holds the number that makes the
 * payload. */
static inline uint64_t put_block(pstk_ring *ring, uint64_t seq, size_t payload_bytes) {
    pstk_block block = {.kind = PSTK_RECORD_CODE, .source_pos = seq};
    uint8_t *payload = pstk_ring_claim(ring, payload_bytes);
    if (!payload)
        return UINT64_MAX;
    for (size_t i = 0; i < payload_bytes; i++)
        payload[i] = pattern_at(seq, i);
    return pstk_ring_commit(ring, &block, payload_bytes);
}

static inline bool is_pattern(const pstk_block *block, uint64_t seq) {
    const uint8_t *payload = pstk_block_payload(block);
    if (block->kind != PSTK_RECORD_CODE || block->source_pos != seq)
        return false;
    for (size_t i = 0; i < block->bytes - sizeof *block; i++)
        if (payload[i] != pattern_at(seq, i))
            return false;
    return true;
}

/* Judged and checkpointed as far as written: the writer is free. */
static inline void release_all(pstk_ring *ring) {
    pstk_ring_set_judged(ring, pstk_ring_written(ring));
    pstk_ring_set_checkpointed(ring, pstk_ring_written(ring));
}

static inline int exit_code_of(pid_t child) {
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
