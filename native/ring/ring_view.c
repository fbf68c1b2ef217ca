/* ring_view: the ring of another process, mapped to be read only. Cold readers go over it as over
 * one's own; nothing in it is believed before it was checked.
 *
 * Not for the process that holds the ring: closing the file would take its lock away. */
#include "ring_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_identity(const pstk_ring_identity *identity, uint64_t file_bytes) {
    uint64_t bytes = identity->ring_bytes;
    return identity->magic == PSTK_RING_MAGIC && identity->version == PSTK_RING_VERSION &&
           identity->crc32c == pstk_crc32c(0, identity, offsetof(pstk_ring_identity, crc32c)) &&
           bytes >= PSTK_RING_BYTES_MIN && bytes <= PSTK_RING_BYTES_MAX &&
           (bytes & (bytes - 1)) == 0 && file_bytes >= pstk_ring_data_offset(bytes) + bytes;
}

/* The cursors are another's, and may be anything: within their bounds, or there is nothing. */
static bool is_in_order(const pstk_ring *ring) {
    uint64_t origin = pstk_ring_load(&ring->header->origin);
    uint64_t checkpointed = pstk_ring_load(&ring->header->checkpointed);
    uint64_t written = pstk_ring_load(&ring->header->written);
    return origin <= checkpointed && checkpointed <= written &&
           written - checkpointed <= ring->ring_bytes && written < UINT64_MAX / 4 * 3;
}

static int map_view(pstk_ring *ring, pstk_error *err) {
    pstk_ring_identity identity;
    struct stat info;
    if (fstat(ring->fd, &info) != 0 ||
        pread(ring->fd, &identity, sizeof identity, 0) != (ssize_t)sizeof identity ||
        !S_ISREG(info.st_mode) || !is_identity(&identity, (uint64_t)info.st_size))
        return pstk_fail(err, PSTK_E_STATE, 0, "%.150s holds no ring of this version",
                         ring->folder);
    uint64_t bytes = identity.ring_bytes;
    ring->mapped_bytes = (size_t)(pstk_ring_data_offset(bytes) + bytes);
    uint8_t *base = mmap(NULL, ring->mapped_bytes, PROT_READ, MAP_SHARED, ring->fd, 0);
    if (base == MAP_FAILED)
        return pstk_fail(err, PSTK_E_SYSTEM, errno, "%.150s: the ring cannot be mapped",
                         ring->folder);
    ring->header = (pstk_ring_header *)(void *)base;
    ring->index = (_Atomic uint64_t *)(void *)(base + PSTK_RING_HEADER_BYTES);
    ring->data = base + pstk_ring_data_offset(bytes);
    ring->ring_bytes = bytes;
    ring->mask = bytes - 1;
    ring->stride = pstk_ring_stride(bytes);
    ring->index_mask = 2 * bytes / ring->stride - 1;
    atomic_store(&ring->durable, UINT64_MAX);
    return is_in_order(ring)
               ? PSTK_OK
               : pstk_fail(err, PSTK_E_STATE, 0, "%.150s: the ring is damaged", ring->folder);
}

int pstk_ring_view(const char *folder, pstk_ring **out_ring, uint8_t out_journal_id[16],
                   pstk_error *err) {
    char path[PSTK_PATH_BYTES + sizeof "/" PSTK_RING_FILE];
    *out_ring = NULL;
    pstk_ring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for a view of a ring");
    ring->owner = getpid();
    pstk_copy_text(ring->folder, sizeof ring->folder, folder, strlen(folder));
    snprintf(path, sizeof path, "%s/" PSTK_RING_FILE, ring->folder);
    ring->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int status = ring->fd < 0
                     ? pstk_fail(err, PSTK_E_SYSTEM, errno, "%.150s: %s", path, strerror(errno))
                     : map_view(ring, err);
    if (status != PSTK_OK) {
        pstk_ring_close(ring);
        return status;
    }
    memcpy(out_journal_id, ring->header->identity.journal_id, 16);
    *out_ring = ring;
    return PSTK_OK;
}
