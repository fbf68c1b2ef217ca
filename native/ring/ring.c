/* ring: claim, commit and peek. A block is journaled when one release store has moved `written`
 * over it.
 *
 * Crash    SIGKILL between any two instructions leaves a whole journal: bytes at or above `written`
 * do not exist, and `claimed`, published before the first byte is touched, says how much of the
 * last lap they have spoiled. */
#include "ring_file.h"

bool pstk_ring_block_is_sound(const pstk_ring *ring, uint64_t pos, uint64_t end,
                              const pstk_block *block) {
    uint64_t padded = pstk_ring_padded(block->bytes);
    uint64_t room = ring->ring_bytes - (pos & ring->mask);
    if (block->pos != pos || block->bytes < sizeof *block || block->kind > PSTK_RECORD_LAST)
        return false;
#ifndef PSTK_PLANT_RING_RECOVER
    if (block->bytes > PSTK_BLOCK_BYTES_MAX || padded > room)
        return false;
#endif
    if (padded > end - pos)
        return false;
    if (block->kind == PSTK_RECORD_PAD)
        return padded == room;
    if (block->kind == PSTK_RECORD_SAMPLES)
        return block->count <= (block->bytes - sizeof *block) / sizeof(pstk_sample);
    return true;
}

void pstk_ring_index_put(pstk_ring *ring, uint64_t pos, uint64_t next) {
    uint64_t segment = pos / ring->stride + 1;
    if (segment * ring->stride <= next)
        atomic_store_explicit(&ring->index[segment & ring->index_mask], next, memory_order_relaxed);
}

uint8_t *pstk_ring_claim(pstk_ring *ring, size_t payload_bytes) {
    PSTK_ASSERT(payload_bytes <= PSTK_BLOCK_BYTES_MAX - sizeof(pstk_block));
    ring->claim_bytes = 0;
    if (payload_bytes > PSTK_BLOCK_BYTES_MAX - sizeof(pstk_block))
        return NULL;
    uint64_t written = atomic_load_explicit(&ring->header->written.value, memory_order_relaxed);
    uint64_t need = pstk_ring_padded(sizeof(pstk_block) + payload_bytes);
    uint64_t room = ring->ring_bytes - (written & ring->mask);
    uint64_t pos = need > room ? written + room : written; /* PAD takes the lap's end */
    uint64_t end = pos + need;
    if (end - pstk_ring_limit(ring) > ring->ring_bytes)
        return NULL;
    if (end > atomic_load_explicit(&ring->header->claimed.value, memory_order_relaxed))
        pstk_ring_store(&ring->header->claimed, end);
    /* Pairs with is_untouched in ring_cold.c: who sees a byte of the new lap sees this claim. */
    pstk_ring_fence_release();
    ring->claim_pos = pos;
    ring->claim_bytes = sizeof(pstk_block) + payload_bytes;
    PSTK_CRASH("ring.claim");
    return ring->data + (pos & ring->mask) + sizeof(pstk_block);
}

static void put_pad(pstk_ring *ring, uint64_t pos, uint64_t next) {
    /* Never too small for its header: positions and the capacity are multiples of 64. */
    pstk_block pad = {.bytes = (uint32_t)(next - pos), .kind = PSTK_RECORD_PAD, .pos = pos};
    memcpy(ring->data + (pos & ring->mask), &pad, sizeof pad);
    pstk_ring_index_put(ring, pos, next);
}

uint64_t pstk_ring_commit(pstk_ring *ring, pstk_block *block, size_t payload_bytes) {
    PSTK_ASSERT(ring->claim_bytes >= sizeof *block + payload_bytes);
    if (ring->claim_bytes < sizeof *block || ring->claim_bytes - sizeof *block < payload_bytes)
        return UINT64_MAX;
    uint64_t written = atomic_load_explicit(&ring->header->written.value, memory_order_relaxed);
    uint64_t pos = ring->claim_pos;
    if (pos != written)
        put_pad(ring, written, pos);
    block->bytes = (uint32_t)(sizeof *block + payload_bytes);
    block->pos = pos;
    block->crc32c = 0;
    uint64_t next = pos + pstk_ring_padded(block->bytes);
    memcpy(ring->data + (pos & ring->mask), block, sizeof *block);
    pstk_ring_index_put(ring, pos, next);
    ring->claim_bytes = 0;
    PSTK_CRASH("ring.commit.before");
    pstk_ring_store(&ring->header->written, next);
    PSTK_CRASH("ring.commit.after");
    return pos;
}

uint64_t pstk_ring_free(const pstk_ring *ring) {
    uint64_t written = pstk_ring_load(&ring->header->written);
    return ring->ring_bytes - (written - pstk_ring_limit(ring));
}

const pstk_block *pstk_ring_peek(const pstk_ring *ring, uint64_t pos, uint64_t *out_next) {
    uint64_t written = pstk_ring_load(&ring->header->written);
    *out_next = pos;
    while (pos != written) {
        /* Unsigned: also false for a position above the tail. */
        if ((pos & 63) || written - pos > ring->ring_bytes)
            return NULL;
        const pstk_block *block = (const pstk_block *)(ring->data + (pos & ring->mask));
        if (!pstk_ring_block_is_sound(ring, pos, written, block))
            return NULL;
        pos += pstk_ring_padded(block->bytes);
        *out_next = pos;
        if (block->kind != PSTK_RECORD_PAD)
            return block;
    }
    return NULL;
}

uint64_t pstk_ring_written(const pstk_ring *ring) { return pstk_ring_load(&ring->header->written); }
uint64_t pstk_ring_judged(const pstk_ring *ring) { return pstk_ring_load(&ring->header->judged); }
uint64_t pstk_ring_checkpointed(const pstk_ring *ring) {
    return pstk_ring_load(&ring->header->checkpointed);
}
uint64_t pstk_ring_size(const pstk_ring *ring) { return ring->ring_bytes; }
uint32_t pstk_ring_found_layout(const pstk_ring *ring) { return ring->found_layout; }

static uint64_t clamp_cursor(const pstk_ring *ring, uint64_t pos) {
    /* A cursor outside the journal is the caller's bug; letting it in would make the file
     * unreadable after a kill. */
    uint64_t floor = pstk_ring_floor(ring, pstk_ring_load(&ring->header->claimed));
    floor = PSTK_MAX(floor, pstk_ring_load(&ring->header->origin));
    uint64_t written = pstk_ring_load(&ring->header->written);
    PSTK_ASSERT(pos >= floor && pos <= written && (pos & 63) == 0);
    return PSTK_MIN(PSTK_MAX(pos, floor), written);
}

/* Both cursors go up only, one thread each, but in recovery: there the newest readable image may
 * lie below what the dead process had reached. The other cursor is moved first, so that their order
 * holds between the two stores. */
void pstk_ring_set_judged(pstk_ring *ring, uint64_t pos) {
    pos = clamp_cursor(ring, pos);
    if (PSTK_UNLIKELY(pos < pstk_ring_load(&ring->header->checkpointed)))
        pstk_ring_store(&ring->header->checkpointed, pos);
    pstk_ring_store(&ring->header->judged, pos);
}

void pstk_ring_set_checkpointed(pstk_ring *ring, uint64_t pos) {
    pos = clamp_cursor(ring, pos);
    if (PSTK_UNLIKELY(pos > pstk_ring_load(&ring->header->judged)))
        pstk_ring_store(&ring->header->judged, pos);
    pstk_ring_store(&ring->header->checkpointed, pos);
}

void pstk_ring_set_durable(pstk_ring *ring, uint64_t pos) {
    /* Whole pages: the last one of a write is written again with what follows it. */
    atomic_store_explicit(&ring->durable, pos & ~(uint64_t)(PSTK_DISK_PAGE - 1),
                          memory_order_release);
}
