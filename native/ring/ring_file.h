/* ring_file: how the ring lies in its file and its mapping. Private to the stage and to its tests.
 *
 *      0  identity      128 bytes, CRC32C, never changed after the file has its name
 *    128  layout, claimed, written, judged, checkpointed, origin: each on a line of its own
 *   4096  sparse index: 2 * ring_bytes / stride entries of 8 bytes, padded to a page
 *    ...  data          ring_bytes
 *
 * Invariant, at every instruction: origin <= checkpointed <= judged <= written <= claimed and
 * claimed - checkpointed <= ring_bytes. Only bytes in [written, claimed) are ever being written. */
#ifndef PSTK_RING_FILE_H
#define PSTK_RING_FILE_H

#include "ring.h"
#include "ring_io.h"

#include <stdatomic.h>
#include <sys/types.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2,
               "cursors lie in shared memory: 64-bit atomics without a lock are needed");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the journal is little-endian and read in place");
_Static_assert(sizeof(pstk_block) == 64, "block header");

#define PSTK_RING_MAGIC UINT64_C(0x31474E4952545350) /* "PSTRING1" */
#define PSTK_RING_VERSION 1u
#define PSTK_RING_BYTES_MIN UINT64_C(65536) /* four of the largest blocks */
#define PSTK_RING_BYTES_MAX (UINT64_C(1) << (sizeof(void *) == 8 ? 30 : 28))
#define PSTK_RING_HEADER_BYTES 4096u
#define PSTK_DISK_PAGE 4096u /* data of ring and segments begin on one: written past the cache */
#define PSTK_RING_STRIDE_MAX UINT64_C(262144)
#define PSTK_RING_FILE "ring"
#define PSTK_RING_FILE_NEW "ring.tmp"

typedef struct pstk_ring_identity { /* in the same place in every version: a newer file is refused,
                                       not destroyed */
    uint64_t magic;
    uint32_t version;
    uint32_t header_bytes; /* where the data begin */
    uint64_t ring_bytes;
    uint8_t journal_id[16];
    int64_t made_ns;
    uint8_t reserved[76];
    uint32_t crc32c; /* of the 124 bytes before */
} pstk_ring_identity;
_Static_assert(sizeof(pstk_ring_identity) == 128, "identity");

typedef struct pstk_ring_line { /* two cache lines: the prefetcher pulls pairs */
    _Alignas(128) _Atomic uint64_t value;
} pstk_ring_line;

typedef struct pstk_ring_header {
    pstk_ring_identity identity;
    pstk_ring_line layout;  /* newest image layout that used this ring */
    pstk_ring_line claimed; /* end of what may be half written; never goes back */
    pstk_ring_line written; /* end of the last whole block */
    pstk_ring_line judged;
    pstk_ring_line checkpointed; /* the writer may overwrite below it */
    pstk_ring_line origin;       /* no block before it */
} pstk_ring_header;
_Static_assert(sizeof(pstk_ring_header) == 896, "header");

struct pstk_ring {
    pstk_ring_header *header;
    uint32_t found_layout;   /* of the image layout that it was last used with */
    _Atomic uint64_t *index; /* entry k: the first block that begins at or behind k * stride */
    uint8_t *data;
    uint64_t ring_bytes, mask;
    uint64_t stride, index_mask;
    uint64_t claim_pos, claim_bytes; /* the open claim; claim_bytes 0 = none */
    _Atomic uint64_t durable;        /* of the disk journal; UINT64_MAX = there is none */
    size_t mapped_bytes;
    int fd;
    pid_t owner; /* a forked child has no mapping (MADV_DONTFORK) */
    char folder[PSTK_PATH_BYTES];
};

static inline uint64_t pstk_ring_padded(uint64_t bytes) { return (bytes + 63) & ~UINT64_C(63); }

/* Small rings get a finer index, so that what a cold reader can reach is rounded by 1/64 of the
 * ring where blocks allow. */
static inline uint64_t pstk_ring_stride(uint64_t ring_bytes) {
    uint64_t stride = PSTK_MIN(ring_bytes / 64, PSTK_RING_STRIDE_MAX);
    return PSTK_MAX(stride, PSTK_BLOCK_BYTES_MAX);
}

static inline uint64_t pstk_ring_data_offset(uint64_t ring_bytes) {
    uint64_t index_bytes = 2 * ring_bytes / pstk_ring_stride(ring_bytes) * sizeof(uint64_t);
    return PSTK_RING_HEADER_BYTES + ((index_bytes + 4095) & ~UINT64_C(4095));
}

static inline uint64_t pstk_ring_load(const pstk_ring_line *line) {
    return atomic_load_explicit(&line->value, memory_order_acquire);
}
static inline void pstk_ring_store(pstk_ring_line *line, uint64_t value) {
    atomic_store_explicit(&line->value, value, memory_order_release);
}

/* The writer may overwrite below it. */
static inline uint64_t pstk_ring_limit(const pstk_ring *ring) {
    uint64_t durable = atomic_load_explicit(&ring->durable, memory_order_acquire);
    return PSTK_MIN(pstk_ring_load(&ring->header->checkpointed), durable);
}

/* Lowest position whose bytes the writer has not begun to overwrite. */
static inline uint64_t pstk_ring_floor(const pstk_ring *ring, uint64_t claimed) {
    return claimed > ring->ring_bytes ? claimed - ring->ring_bytes : 0;
}

/* gcc's thread sanitizer does not model fences and warns of each; what these order is read by code
 * it does not watch (ring_cold.c). */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
static inline void pstk_ring_fence_release(void) { atomic_thread_fence(memory_order_release); }
static inline void pstk_ring_fence_acquire(void) { atomic_thread_fence(memory_order_acquire); }
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/* A block header that may stand at pos in a journal that ends at end. */
bool pstk_ring_block_is_sound(const pstk_ring *ring, uint64_t pos, uint64_t end,
                              const pstk_block *block);
/* A block [pos, next) is in the journal: notes next for the segment that begins inside it. At most
 * one does, as no block is longer than a stride. */
void pstk_ring_index_put(pstk_ring *ring, uint64_t pos, uint64_t next);

#endif
