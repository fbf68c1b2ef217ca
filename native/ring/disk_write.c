/* disk_write: blocks of the ring go to segment files, checksummed, in whole pages and past the page
 * cache where the file system lets them (a copy into the cache costs more than the checksum).
 *
 * Threads  one writer. It stores checksums into headers of committed blocks: nobody else reads that
 *          word. The ring's writer stays off everything from the page of `durable` on.
 * Errors   a failed pwrite or fdatasync is final: the kernel may have dropped the pages and says
 *          "done" the second time. Only "no room" is tried again. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

static uint64_t page_floor(uint64_t pos) { return pos & ~(uint64_t)(PSTK_DISK_PAGE - 1); }

static bool is_full(int reason) { return reason == ENOSPC || reason == EDQUOT; }

static int fail_file(const pstk_disk *disk, const char *name, const char *what, int reason,
                     pstk_error *err) {
    if (is_full(reason))
        return pstk_fail(err, PSTK_E_FULL, reason, "%.120s has no room for the journal",
                         disk->folder);
    return pstk_fail(err, PSTK_E_SYSTEM, reason,
                     "%s of %.100s/%.40s failed (errno %d): what follows would not survive a power "
                     "cut",
                     what, disk->folder, name, reason);
}

/* ---- checksums ------------------------------------------------------------------------------ */

static int seal(pstk_disk *disk, const pstk_ring *ring, uint64_t to, pstk_error *err) {
    while (disk->sealed < to) {
        pstk_block *block = (pstk_block *)(void *)(ring->data + (disk->sealed & ring->mask));
        if (!pstk_ring_block_is_sound(ring, disk->sealed, to, block))
            return pstk_fail(err, PSTK_E_STATE, 0,
                             "ring %.100s was spoiled from outside: no block at %" PRIu64
                             " for the disk journal",
                             ring->folder, disk->sealed);
        __atomic_store_n(&block->crc32c, pstk_disk_crc(disk->options.journal_id, block),
                         __ATOMIC_RELAXED);
        disk->sealed += pstk_ring_padded(block->bytes);
    }
    return PSTK_OK;
}

/* ---- what test builds tell ------------------------------------------------------------------ */

#ifdef PSTK_CRASH_POINTS
/* What a power cut leaves for certain, told to whoever plays one: file and bytes of it. */
static void tell_synced(const pstk_segment *segment, uint64_t to) {
    const char *path = getenv("PENSTOCK_DISK_LOG");
    char line[128];
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    int size = snprintf(line, sizeof line, "%s %" PRIu64 "\n", segment->name,
                        PSTK_DISK_PAGE + (to - segment->base));
    (void)!write(fd, line, (size_t)size);
    close(fd);
}
static bool is_planted(const char *name) {
    const char *plant = getenv("PENSTOCK_PLANT");
    return plant && strcmp(plant, name) == 0;
}
#else
static void tell_synced(const pstk_segment *segment, uint64_t to) { (void)segment, (void)to; }
static bool is_planted(const char *name) {
    (void)name;
    return false;
}
#endif

/* ---- segments ------------------------------------------------------------------------------- */

static int put(int fd, const struct iovec *part, uint64_t at) {
    struct iovec rest = *part;
    int fault = PSTK_FAULT("disk.pwrite");
    if (fault)
        return fault;
    while (rest.iov_len) {
        ssize_t done = pwrite(fd, rest.iov_base, rest.iov_len, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? errno : EIO;
        rest.iov_base = (uint8_t *)rest.iov_base + done;
        rest.iov_len -= (size_t)done;
        at += (uint64_t)done;
    }
    return 0;
}

/* Where the file system refuses direct writes, it says so at the first one. */
static int put_whole(pstk_disk *disk, const struct iovec *part, uint64_t at) {
    int reason = put(disk->fd, part, at);
    disk->given += part->iov_len;
    if (reason != EINVAL || disk->is_cached)
        return reason;
    disk->is_cached = true;
    int flags = fcntl(disk->fd, F_GETFL);
    if (flags < 0 || fcntl(disk->fd, F_SETFL, flags & ~O_DIRECT) != 0)
        return errno;
    return put(disk->fd, part, at);
}

static int sync_file(const pstk_disk *disk, const pstk_segment *segment, int fd, pstk_error *err) {
    int reason = PSTK_FAULT("disk.fdatasync");
    if (!reason && fdatasync(fd) != 0)
        reason = errno;
    /* No room found only now is no room for what was said to be written: final too. */
    if (reason)
        return pstk_fail(err, PSTK_E_SYSTEM, reason,
                         "fdatasync of %.100s/%.40s failed (errno %d): what follows would not "
                         "survive a power cut",
                         disk->folder, segment->name, reason);
    return PSTK_OK;
}

static int sync_segment(pstk_disk *disk, pstk_error *err) {
    return sync_file(disk, &disk->segment[disk->at], disk->fd, err);
}

/* A segment and one more: images and the ledger write to the same disk, and an image is what makes
 * room here. */
static int reserve(const pstk_disk *disk, int fd, uint64_t file_bytes) {
    struct statvfs system;
    int reason = PSTK_FAULT("disk.reserve");
    if (reason)
        return reason;
    if (fstatvfs(fd, &system) == 0 && system.f_blocks != 0 &&
        (uint64_t)system.f_bavail * system.f_frsize < 2 * disk->segment_bytes)
        return ENOSPC;
    do
        reason = posix_fallocate(fd, 0, (off_t)file_bytes);
    while (reason == EINTR);
    return reason;
}

static int name_segment(pstk_disk *disk, pstk_segment *segment) {
    snprintf(segment->name, sizeof segment->name, PSTK_DISK_PREFIX "%08" PRIx32 ".%016" PRIx64,
             segment->chain, segment->base);
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    unlinkat(disk->folder_fd, segment->name, 0);
    int fd = openat(disk->folder_fd, segment->name, flags | (disk->is_cached ? 0 : O_DIRECT), 0600);
    if (fd >= 0 || errno != EINVAL || disk->is_cached)
        return fd;
    disk->is_cached = true;
    unlinkat(disk->folder_fd, segment->name, 0);
    return openat(disk->folder_fd, segment->name, flags, 0600);
}

static int put_header(pstk_disk *disk, const pstk_segment *segment) {
    pstk_segment_header header = {.magic = PSTK_DISK_MAGIC,
                                  .version = PSTK_DISK_VERSION,
                                  .chain = segment->chain,
                                  .base = segment->base,
                                  .data_bytes = segment->data_bytes,
                                  .first = segment->first};
    memcpy(header.journal_id, disk->options.journal_id, sizeof header.journal_id);
    header.crc32c = pstk_crc32c(0, &header, offsetof(pstk_segment_header, crc32c));
    memset(disk->page, 0, PSTK_DISK_PAGE);
    memcpy(disk->page, &header, sizeof header);
    int reason = put_whole(disk, &(struct iovec){disk->page, PSTK_DISK_PAGE}, 0);
    if (reason == 0)
        reason = PSTK_FAULT("disk.header");
    if (reason == 0 && fdatasync(disk->fd) != 0)
        reason = errno;
    return reason ? reason : pstk_io_sync(disk->folder_fd);
}

static int make_segment(pstk_disk *disk, pstk_error *err) {
    uint64_t file_bytes = PSTK_DISK_PAGE + disk->segment_bytes;
    if (disk->count == PSTK_DISK_SEGMENTS_MAX || disk->held + file_bytes > disk->options.bytes_max)
        return pstk_fail(err, PSTK_E_FULL, 0, "the disk journal holds its %" PRIu64 " bytes",
                         disk->options.bytes_max);
    pstk_segment segment = {.base = disk->placed,
                            .data_bytes = disk->segment_bytes,
                            .first = disk->first,
                            .file_bytes = file_bytes,
                            .chain = disk->chain};
    PSTK_CRASH("disk.segment.before");
    disk->fd = name_segment(disk, &segment);
    if (disk->fd < 0)
        return fail_file(disk, segment.name, "making", errno, err);
    int reason = reserve(disk, disk->fd, file_bytes);
    if (reason == 0)
        reason = put_header(disk, &segment);
    if (reason) {
        close(disk->fd);
        disk->fd = -1;
        unlinkat(disk->folder_fd, segment.name, 0);
        return fail_file(disk, segment.name, "making", reason, err);
    }
    PSTK_CRASH("disk.segment.after");
    disk->at = disk->count;
    disk->segment[disk->count++] = segment;
    disk->held += file_bytes;
    return PSTK_OK;
}

/* A segment with room at `placed` is open. */
static int turn_to_segment(pstk_disk *disk, pstk_error *err) {
    if (disk->fd >= 0) {
        const pstk_segment *segment = &disk->segment[disk->at];
        if (disk->placed < segment->base + segment->data_bytes)
            return PSTK_OK;
        int status = sync_segment(disk, err);
        if (status != PSTK_OK)
            return status;
        tell_synced(segment, disk->placed);
        disk->durable = PSTK_MAX(disk->durable, disk->placed);
        close(disk->fd);
        disk->fd = -1;
    }
    return make_segment(disk, err);
}

int pstk_disk_sync_found(const pstk_disk *disk, uint64_t from, uint64_t to, pstk_error *err) {
    int status = PSTK_OK;
    if (is_planted("found-unsynced"))
        return PSTK_OK;
    for (uint32_t i = 0; i < disk->count && status == PSTK_OK; i++) {
        const pstk_segment *segment = &disk->segment[i];
        uint64_t end = segment->base + segment->data_bytes;
        if (segment->is_useless || segment->base >= to || end <= from)
            continue;
        int fd =
            openat(disk->folder_fd, segment->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
            return pstk_fail(err, PSTK_E_SYSTEM, errno, "%.100s/%.40s cannot be opened",
                             disk->folder, segment->name);
        status = sync_file(disk, segment, fd, err);
        close(fd);
        if (status == PSTK_OK)
            tell_synced(segment, PSTK_MIN(end, to));
    }
    return status;
}

/* ---- writing -------------------------------------------------------------------------------- */

void pstk_disk_begin(pstk_disk *disk, uint64_t pos) {
    disk->chain++;
    disk->first = disk->sealed = disk->durable = pos;
    disk->placed = page_floor(pos);
}

static int place(pstk_disk *disk, const void *bytes, uint64_t size, pstk_error *err) {
    const pstk_segment *segment = &disk->segment[disk->at];
    struct iovec part = {(void *)(uintptr_t)bytes, (size_t)size};
    PSTK_CRASH("disk.write.before");
    int reason = put_whole(disk, &part, PSTK_DISK_PAGE + (disk->placed - segment->base));
    PSTK_CRASH("disk.write.after");
    return reason ? fail_file(disk, segment->name, "pwrite", reason, err) : PSTK_OK;
}

int pstk_disk_write(pstk_disk *disk, const pstk_ring *ring, uint64_t to, pstk_error *err) {
    int status = seal(disk, ring, to, err);
    uint64_t end = page_floor(disk->sealed);
    while (status == PSTK_OK && disk->placed < end) {
        status = turn_to_segment(disk, err);
        if (status != PSTK_OK)
            return status;
        const pstk_segment *segment = &disk->segment[disk->at];
        uint64_t size = PSTK_MIN(end - disk->placed, PSTK_DISK_WRITE_BYTES);
        size = PSTK_MIN(size, segment->base + segment->data_bytes - disk->placed);
        size = PSTK_MIN(size, ring->ring_bytes - (disk->placed & ring->mask));
        status = place(disk, ring->data + (disk->placed & ring->mask), size, err);
        if (status != PSTK_OK)
            return status;
        disk->placed += size;
    }
    return status;
}

/* The last page is not whole: a copy of it, so that what the ring's writer does to its rest
 * meanwhile stays out. It is written again with what follows. */
static int place_tail(pstk_disk *disk, const pstk_ring *ring, pstk_error *err) {
    int status = turn_to_segment(disk, err);
    if (status != PSTK_OK)
        return status;
    uint64_t size = disk->sealed - disk->placed;
    memset(disk->page, 0, PSTK_DISK_PAGE);
    memcpy(disk->page, ring->data + (disk->placed & ring->mask), size);
    return place(disk, disk->page, PSTK_DISK_PAGE, err);
}

int pstk_disk_sync(pstk_disk *disk, const pstk_ring *ring, uint64_t *out_durable, pstk_error *err) {
    int status = PSTK_OK;
    uint64_t to = disk->placed;
    if (disk->sealed > disk->placed && disk->sealed - disk->placed < PSTK_DISK_PAGE) {
        status = place_tail(disk, ring, err);
        to = status == PSTK_OK ? disk->sealed : disk->placed;
    }
    *out_durable = disk->durable;
    if ((status != PSTK_OK && status != PSTK_E_FULL) || disk->fd < 0 || to <= disk->durable)
        return status;
    if (!is_planted("durable-early")) {
        int synced = sync_segment(disk, err);
        if (synced != PSTK_OK)
            return synced;
        tell_synced(&disk->segment[disk->at], to);
    }
    PSTK_CRASH("disk.synced");
    disk->durable = to;
    *out_durable = to;
    return status;
}

/* ---- making room ---------------------------------------------------------------------------- */

static uint64_t end_of(const pstk_disk *disk, const pstk_segment *segment) {
    uint64_t end = segment->base + segment->data_bytes;
    for (uint32_t i = 0; i < disk->count; i++)
        if (!disk->segment[i].is_useless && disk->segment[i].chain > segment->chain)
            end = PSTK_MIN(end, disk->segment[i].first);
    return end;
}

void pstk_disk_release(pstk_disk *disk, uint64_t saved) {
    if (saved < disk->first)
        return;
    for (uint32_t i = disk->count; i-- > 0;) {
        bool is_open = disk->fd >= 0 && i == disk->at;
        if (!is_open && (disk->segment[i].is_useless || end_of(disk, &disk->segment[i]) <= saved)) {
            pstk_disk_forget(disk, i);
            PSTK_CRASH("disk.release");
        }
    }
}
