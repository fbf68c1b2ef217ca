/* Blocks: what is committed is read back in order, at every place of the lap's end, when full, at
 * every size of position; cold readers are compared with a plain list of everything ever written.
 */
#include "test_ring.h"

#define RING_BYTES UINT64_C(65536)
#define LIST_MAX 20000

typedef struct list { /* the model: every block's position */
    uint64_t pos[LIST_MAX], next[LIST_MAX];
    size_t count;
} list;
static list blocks;

static void test_block_at_every_distance_from_the_lap_end(uint64_t payload) {
    /* room before the end = 64 * i: from none over less than the block to more than the block */
    uint64_t padded = pstk_ring_padded(64 + payload);
    for (uint64_t i = 0; i <= padded / 64 + 1; i++) {
        uint64_t start = 5 * RING_BYTES - 64 * i, next = 0;
        pstk_ring *ring = new_ring_at(RING_BYTES, start);
        uint64_t pos = put_block(ring, i, payload);
        uint64_t room = i == 0 ? RING_BYTES : 64 * i;
        CHECK(pos == (padded > room ? start + room : start));
        CHECK(pstk_ring_written(ring) == pos + padded);
        const pstk_block *block = pstk_ring_peek(ring, start, &next);
        REQUIRE(block != NULL);
        CHECK(block->pos == pos && block->bytes == 64 + payload && is_pattern(block, i));
        CHECK(next == pos + padded && pstk_ring_peek(ring, next, &next) == NULL);
        CHECK(((uintptr_t)pstk_block_payload(block) & 63) == 0);
        pstk_ring_close(ring);
    }
}

static void test_a_full_ring_refuses_and_goes_on_after_a_checkpoint(void) {
    pstk_ring *ring = new_ring(RING_BYTES);
    uint64_t seq = 0, next = 0, pos = 0;
    while (put_block(ring, seq, 960) != UINT64_MAX)
        seq++;
    CHECK(seq == RING_BYTES / 1024 && pstk_ring_free(ring) == 0);
    CHECK(put_block(ring, seq, 0) == UINT64_MAX);
    pstk_ring_set_judged(ring, RING_BYTES); /* judged is not enough */
    CHECK(put_block(ring, seq, 0) == UINT64_MAX);
    pstk_ring_set_checkpointed(ring, 1024);
    CHECK(pstk_ring_free(ring) == 1024 && put_block(ring, seq, 961) == UINT64_MAX);
    CHECK(put_block(ring, seq, 960) == RING_BYTES);
    CHECK(put_block(ring, seq + 1, 0) == UINT64_MAX);
    CHECK(pstk_ring_oldest(ring) == 1024);
    for (uint64_t i = 1; i <= seq; i++) {
        const pstk_block *block = pstk_ring_peek(ring, i * 1024, &pos);
        CHECK(block && is_pattern(block, i) && pos == (i + 1) * 1024);
    }
    CHECK(pstk_ring_peek(ring, 0, &next) == NULL); /* overwritten */
    pstk_ring_close(ring);
}

static void test_claims_that_are_not_committed_leave_nothing(void) {
    pstk_ring *ring = new_ring(RING_BYTES);
    uint64_t next = 0;
    pstk_block block = {.kind = PSTK_RECORD_TICK, .recv_time_ns = 7};
    uint8_t *first = pstk_ring_claim(ring, 1000);
    REQUIRE(first != NULL);
    memset(first, 0xee, 1000);
    CHECK(pstk_ring_claim(ring, 100) == first); /* replaces it */
    CHECK(pstk_ring_peek(ring, 0, &next) == NULL && pstk_ring_written(ring) == 0);
    CHECK(pstk_ring_commit(ring, &block, 0) == 0 && block.bytes == 64); /* smaller than claimed */
    CHECK(pstk_ring_written(ring) == 64);
    const pstk_block *found = pstk_ring_peek(ring, 0, &next);
    CHECK(found && found->kind == PSTK_RECORD_TICK && found->recv_time_ns == 7 && next == 64);
#ifndef PSTK_DEBUG /* our own bug: asserts in debug builds, refused in release */
    CHECK(pstk_ring_commit(ring, &block, 0) == UINT64_MAX);
    CHECK(pstk_ring_claim(ring, PSTK_BLOCK_BYTES_MAX - 63) == NULL);
#endif
    CHECK(pstk_ring_claim(ring, PSTK_BLOCK_BYTES_MAX - 64) != NULL);
    pstk_ring_close(ring);
}

static size_t model_oldest(uint64_t pos) { /* first block of the list at or behind pos */
    size_t i = blocks.count;
    while (i > 0 && blocks.pos[i - 1] >= pos)
        i--;
    return i;
}

static void check_cold_readers(const pstk_ring *ring, uint64_t *random) {
    static _Alignas(64) uint8_t copy[PSTK_BLOCK_BYTES_MAX];
    const pstk_block *block = (const pstk_block *)copy;
    uint64_t written = pstk_ring_written(ring), oldest = pstk_ring_oldest(ring), next = 0,
             pos = oldest;
    uint64_t floor = written > RING_BYTES ? written - RING_BYTES : 0;
    uint64_t loss_max =
        pstk_ring_stride(RING_BYTES) + PSTK_BLOCK_BYTES_MAX; /* the index entry behind the floor */
    CHECK(oldest >= floor || blocks.pos[0] == oldest);
    CHECK(oldest <= PSTK_MAX(floor + loss_max, blocks.pos[0]));
    for (size_t i = model_oldest(oldest); i < blocks.count; i++) {
        bool is_read = pstk_ring_copy(ring, pos, copy, sizeof copy, &next);
        CHECK(is_read && block->pos == blocks.pos[i] && is_pattern(block, i) &&
              next == blocks.next[i]);
        pos = next;
    }
    CHECK(pos == written && !pstk_ring_copy(ring, pos, copy, sizeof copy, &next) && next == pos);
    uint64_t distance = pstk_random(random) % (2 * RING_BYTES);
    uint64_t back = pstk_ring_back(ring, written, distance);
    uint64_t target = PSTK_MAX(written > distance ? written - distance : 0, oldest);
    CHECK(back >= oldest && back <= target);
    if (back < written) { /* nothing begins between it and the target */
        CHECK(pstk_ring_copy(ring, back, copy, sizeof copy, &next));
        CHECK(next > target || back == target);
    }
}

static void run_against_the_list(uint64_t start, uint64_t seed) {
    pstk_ring *ring = new_ring_at(RING_BYTES, start);
    uint64_t random = seed;
    blocks.count = 0;
    while (blocks.count < 4000) {
        size_t payload = pstk_random(&random) % (pstk_random(&random) % 8 == 0 ? 16321 : 400);
        uint64_t pos = put_block(ring, blocks.count, payload);
        if (pos == UINT64_MAX) {
            release_all(ring);
            check_cold_readers(ring, &random);
            continue;
        }
        blocks.pos[blocks.count] = pos;
        blocks.next[blocks.count++] = pstk_ring_written(ring);
        if (blocks.count % 97 == 0) { /* the index must also be right in a new mapping */
            bool is_new = true;
            pstk_ring_close(ring);
            ring = open_ring(RING_BYTES, &is_new);
            CHECK(!is_new);
            check_cold_readers(ring, &random);
        }
    }
    pstk_ring_close(ring);
}

static void test_copy_into_too_small_a_buffer_goes_on(void) {
    pstk_ring *ring = new_ring(RING_BYTES);
    uint8_t small[100];
    uint64_t next = 0;
    put_block(ring, 0, 200);
    put_block(ring, 1, 30);
    CHECK(!pstk_ring_copy(ring, 0, small, sizeof small, &next) && next == 320);
    CHECK(pstk_ring_copy(ring, next, small, sizeof small, &next) && next == 448);
    CHECK(!pstk_ring_copy(ring, 64, small, sizeof small, &next) &&
          next == 448); /* no block begins there */
    CHECK(!pstk_ring_copy(ring, 7, small, sizeof small, &next) && next == 448);
    CHECK(!pstk_ring_copy(ring, UINT64_MAX - 63, small, sizeof small, &next));
    pstk_ring_close(ring);
}

static void test_recovery_may_put_the_cursors_back(void) {
    /* The newest readable image may lie below what the dead process had reached. */
    pstk_ring *ring = new_ring(RING_BYTES);
    for (uint64_t i = 0; i < 10; i++)
        put_block(ring, i, 0);
    release_all(ring);
    pstk_ring_set_judged(ring, 128);
    CHECK(pstk_ring_judged(ring) == 128 && pstk_ring_checkpointed(ring) == 128);
    CHECK(pstk_ring_free(ring) == RING_BYTES - 512);
    pstk_ring_set_checkpointed(ring,
                               640); /* everything before it is in an image: so it was judged */
    CHECK(pstk_ring_judged(ring) == 640 && pstk_ring_checkpointed(ring) == 640);
    pstk_ring_close(ring);
}

int main(void) {
    test_begin();
    test_block_at_every_distance_from_the_lap_end(0);
    test_block_at_every_distance_from_the_lap_end(64);
    test_block_at_every_distance_from_the_lap_end(1001);
    test_block_at_every_distance_from_the_lap_end(PSTK_BLOCK_BYTES_MAX - 64);
    test_a_full_ring_refuses_and_goes_on_after_a_checkpoint();
    test_claims_that_are_not_committed_leave_nothing();
    run_against_the_list(0, 11);
    run_against_the_list(64, 12);
    run_against_the_list((UINT64_C(1) << 32) - 3 * RING_BYTES + 64, 13);
    run_against_the_list((UINT64_C(1) << 63) - 3 * RING_BYTES + 16384, 14);
    test_copy_into_too_small_a_buffer_goes_on();
    test_recovery_may_put_the_cursors_back();
    test_end();
    return check_result("ring_block");
}
