/* ring_cold: readers that never hold the writer back: they copy, then look whether the writer has
 * been there.
 *
 * Pairing  The writer publishes `claimed`, then a release fence, then touches bytes. A reader
 * copies, then an acquire fence, then reads `claimed`. If one word of the copy came from the new
 * lap, the fences synchronise and the reader sees that claim: the copy is thrown away. The words
 * are read by relaxed atomic loads; the writer's stores are plain, since whoever fills a block
 * writes samples in place. A word torn by that lies in a claimed region and is thrown away with the
 * rest. The thread sanitizer is kept from exactly these loads. */
#include "ring_file.h"

#if defined(__clang__)
#define UNWATCHED __attribute__((disable_sanitizer_instrumentation, noinline))
#else
#define UNWATCHED __attribute__((no_sanitize_thread, noinline))
#endif

/* A test that includes this file may put the writer to work in the middle of a copy. */
#ifndef PSTK_RING_COPY_PAUSE
#define PSTK_RING_COPY_PAUSE(ring) ((void)(ring))
#endif

UNWATCHED static void copy_words(void *out, const uint8_t *from, size_t bytes) {
    /* The source is 64-byte aligned and padded to 64, so the last word is there whole. */
    const uint64_t *words = (const uint64_t *)(const void *)from;
    uint8_t *to = out;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = __atomic_load_n(words + i / 8, __ATOMIC_RELAXED);
        memcpy(to + i, &word, PSTK_MIN(8, bytes - i));
    }
}

static bool is_untouched(const pstk_ring *ring, uint64_t pos) {
    pstk_ring_fence_acquire();
    uint64_t claimed = atomic_load_explicit(&ring->header->claimed.value, memory_order_relaxed);
    return claimed - pos <= ring->ring_bytes;
}

static bool copy_header(const pstk_ring *ring, uint64_t pos, pstk_block *out_block) {
    uint64_t written = pstk_ring_load(&ring->header->written);
    if ((pos & 63) || pos < pstk_ring_load(&ring->header->origin) ||
        written - pos - 1 >= ring->ring_bytes)
        return false; /* unsigned: also at and above the tail */
    copy_words(out_block, ring->data + (pos & ring->mask), sizeof *out_block);
    return is_untouched(ring, pos) && pstk_ring_block_is_sound(ring, pos, written, out_block);
}

/* First block at or behind a segment's start; UINT64_MAX where the writer is two laps further, or a
 * damaged entry names no block border. */
static uint64_t segment_first(const pstk_ring *ring, uint64_t segment) {
    uint64_t start = segment * ring->stride;
    uint64_t origin = pstk_ring_load(&ring->header->origin);
    if (start <= origin)
        return origin;
    uint64_t first =
        atomic_load_explicit(&ring->index[segment & ring->index_mask], memory_order_acquire);
    return first - start < PSTK_BLOCK_BYTES_MAX && (first & 63) == 0 ? first : UINT64_MAX;
}

uint64_t pstk_ring_oldest(const pstk_ring *ring) {
    /* Order of the loads: a claim lies within ring_bytes of the checkpointed that follows it, and
     * the index holds every segment up to written. */
    uint64_t claimed = pstk_ring_load(&ring->header->claimed);
    uint64_t checkpointed = pstk_ring_load(&ring->header->checkpointed);
    uint64_t floor = pstk_ring_floor(ring, claimed);
    uint64_t segment = floor / ring->stride + (floor % ring->stride != 0);
    if (floor <= pstk_ring_load(&ring->header->origin))
        return pstk_ring_load(&ring->header->origin);
    if (segment * ring->stride > pstk_ring_load(&ring->header->written))
        return checkpointed;
    return PSTK_MIN(segment_first(ring, segment), checkpointed);
}

static bool is_gone(const pstk_ring *ring, uint64_t pos, uint64_t *out_next) {
    /* Always forward, so that no reader goes in a circle: the oldest, else the tail. At the tail:
     * pos itself. */
    uint64_t written = pstk_ring_load(&ring->header->written);
    uint64_t oldest = pstk_ring_oldest(ring);
    if (pos >= written)
        *out_next = pos;
    else
        *out_next = oldest > pos ? oldest : written;
    return false;
}

bool pstk_ring_copy(const pstk_ring *ring, uint64_t pos, void *out_block, size_t capacity,
                    uint64_t *out_next) {
    pstk_block head;
    if (!copy_header(ring, pos, &head))
        return is_gone(ring, pos, out_next);
    if (head.kind == PSTK_RECORD_PAD) {
        pos += pstk_ring_padded(head.bytes);
        if (!copy_header(ring, pos, &head) || head.kind == PSTK_RECORD_PAD)
            return is_gone(ring, pos, out_next);
    }
    *out_next = pos + pstk_ring_padded(head.bytes);
    if (head.bytes > capacity)
        return false;
    PSTK_RING_COPY_PAUSE(ring);
    copy_words(out_block, ring->data + (pos & ring->mask), head.bytes);
#ifndef PSTK_PLANT_RING
    if (!is_untouched(ring, pos))
        return is_gone(ring, pos, out_next);
#endif
    return true;
}

uint64_t pstk_ring_back(const pstk_ring *ring, uint64_t pos, uint64_t distance) {
    pos = PSTK_MIN(pos, pstk_ring_load(&ring->header->written));
    uint64_t target = pos > distance ? pos - distance : 0;
    uint64_t oldest = pstk_ring_oldest(ring);
    if (target <= oldest)
        return oldest;
    uint64_t at = segment_first(ring, target / ring->stride);
    if (at == UINT64_MAX || at < oldest || at > target)
        at = oldest;
    pstk_block head;
    while (at < target && copy_header(ring, at, &head)) {
        uint64_t next = at + pstk_ring_padded(head.bytes);
        if (next > target)
            return at;
        at = next;
    }
    oldest = pstk_ring_oldest(ring);
    return PSTK_MAX(at, oldest);
}
