/* disk: segment files become blocks again, each only where its checksum says so. */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

uint32_t pstk_disk_crc(const uint8_t journal_id[16], const pstk_block *block) {
    uint32_t crc = pstk_crc32c(0, journal_id, 16);
    crc = pstk_crc32c(crc, block, offsetof(pstk_block, crc32c));
    if (block->kind != PSTK_RECORD_PAD)
        crc = pstk_crc32c(crc, block + 1, block->bytes - sizeof *block);
    return crc ? crc : 1;
}

/* ---- the list of segments ------------------------------------------------------------------- */

/* Header and size fit; *out_is_new where only a newer build can tell. */
static bool read_header(const pstk_disk *disk, const char *name, pstk_segment_header *out,
                        uint64_t *out_file_bytes, bool *out_is_new) {
    struct stat info;
    size_t size = 0;
    *out_is_new = false;
    *out_file_bytes = 0;
    int fd = openat(disk->folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool is_read = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
                   pstk_io_read(fd, out, sizeof *out, &size) == 0 && size == sizeof *out;
    close(fd);
    if (!is_read)
        return false;
    *out_file_bytes = (uint64_t)info.st_size;
    if (out->magic != PSTK_DISK_MAGIC ||
        out->crc32c != pstk_crc32c(0, out, offsetof(pstk_segment_header, crc32c)))
        return false;
    *out_is_new = out->version > PSTK_DISK_VERSION;
    uint64_t page = PSTK_DISK_PAGE - 1;
    return *out_is_new || (out->chain != 0 && (out->base & page) == 0 &&
                           (out->data_bytes & page) == 0 && out->data_bytes > 0 &&
                           out->data_bytes <= PSTK_DISK_SEGMENT_MAX && (out->first & 63) == 0 &&
                           out->base <= UINT64_MAX / 2 && out->first < out->base + out->data_bytes);
}

static int list_segment(pstk_disk *disk, const char *name, uint32_t *damaged, pstk_error *err) {
    pstk_segment_header header;
    uint64_t file_bytes;
    bool is_new;
    if (disk->count == PSTK_DISK_SEGMENTS_MAX)
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "%.120s holds more than %u files of the disk journal: remove those that "
                         "are not of this engine",
                         disk->folder, PSTK_DISK_SEGMENTS_MAX);
    bool is_sound = read_header(disk, name, &header, &file_bytes, &is_new);
    if (is_new)
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "%.100s/%.40s has version %u, this build reads up to %u: start the newer "
                         "penstock",
                         disk->folder, name, header.version, PSTK_DISK_VERSION);
    pstk_segment *segment = &disk->segment[disk->count++];
    *segment = (pstk_segment){.file_bytes = file_bytes, .is_useless = !is_sound};
    pstk_copy_text(segment->name, sizeof segment->name, name, strlen(name));
    disk->held += file_bytes;
    *damaged += !is_sound;
    if (!is_sound)
        return PSTK_OK;
    segment->base = header.base;
    segment->data_bytes = header.data_bytes;
    segment->first = header.first;
    segment->chain = header.chain;
    segment->is_useless =
        memcmp(header.journal_id, disk->options.journal_id, sizeof header.journal_id) != 0;
    disk->chain = PSTK_MAX(disk->chain, header.chain);
    return PSTK_OK;
}

static int list_segments(pstk_disk *disk, uint32_t *out_damaged, pstk_error *err) {
    int status = PSTK_OK;
    int fd = openat(disk->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        int reason = errno;
        if (fd >= 0)
            close(fd);
        return pstk_fail(err, PSTK_E_SYSTEM, reason, "%.160s cannot be listed", disk->folder);
    }
    for (struct dirent *entry; status == PSTK_OK && (entry = readdir(folder)) != NULL;)
        if (strncmp(entry->d_name, PSTK_DISK_PREFIX, strlen(PSTK_DISK_PREFIX)) == 0 &&
            strlen(entry->d_name) < PSTK_DISK_NAME_BYTES)
            status = list_segment(disk, entry->d_name, out_damaged, err);
    closedir(folder);
    return status;
}

const pstk_segment *pstk_disk_find(const pstk_disk *disk, uint64_t pos) {
    const pstk_segment *best = NULL;
    uint32_t chain = 0;
    /* The newest chain that begins at or before pos is the one that counts, even where it has
     * nothing yet. */
    for (uint32_t i = 0; i < disk->count; i++)
        if (!disk->segment[i].is_useless && disk->segment[i].first <= pos)
            chain = PSTK_MAX(chain, disk->segment[i].chain);
    for (uint32_t i = 0; i < disk->count; i++) {
        const pstk_segment *segment = &disk->segment[i];
        if (!segment->is_useless && segment->chain == chain && segment->base <= pos &&
            pos - segment->base < segment->data_bytes)
            best = segment;
    }
    return best;
}

void pstk_disk_forget(pstk_disk *disk, uint32_t index) {
    disk->held -= disk->segment[index].file_bytes;
    unlinkat(disk->folder_fd, disk->segment[index].name, 0);
    disk->segment[index] = disk->segment[--disk->count];
    if (disk->fd >= 0 && disk->at == disk->count)
        disk->at = index; /* the one being written was the last of the table */
}

uint64_t pstk_disk_bytes(const pstk_disk *disk) { return disk->held; }
uint64_t pstk_disk_given(const pstk_disk *disk) { return disk->given; }

/* ---- reading -------------------------------------------------------------------------------- */

/* Bytes of one segment from pos on into the window; a block that goes on in the next segment makes
 * a second call. */
static uint64_t fill_from(const pstk_disk *disk, uint64_t pos, uint8_t *out, uint64_t room) {
    const pstk_segment *segment = pstk_disk_find(disk, pos);
    if (!segment)
        return 0;
    int fd = openat(disk->folder_fd, segment->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    uint64_t bytes = PSTK_MIN(room, segment->data_bytes - (pos - segment->base)), done = 0;
    while (done < bytes) {
        ssize_t size = pread(fd, out + done, bytes - done,
                             (off_t)(PSTK_DISK_PAGE + (pos - segment->base) + done));
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            break; /* shorter than its header says, or unreadable: the end */
        done += (uint64_t)size;
    }
    close(fd);
    return done;
}

static uint32_t chain_at(const pstk_disk *disk, uint64_t pos) {
    const pstk_segment *segment = pstk_disk_find(disk, pos);
    return segment ? segment->chain : 0;
}

/* Up to bytes of the journal at pos, all of one chain; how many there are. */
static const uint8_t *look(pstk_disk *disk, uint64_t pos, uint64_t bytes) {
    bool is_there = pos >= disk->window_pos && pos - disk->window_pos <= disk->window_bytes &&
                    disk->window_bytes - (pos - disk->window_pos) >= bytes &&
                    chain_at(disk, pos) == disk->window_chain;
    if (is_there)
        return disk->window + (pos - disk->window_pos);
    if (!disk->window && !(disk->window = malloc(PSTK_DISK_WINDOW)))
        return NULL;
    disk->window_pos = pos;
    disk->window_chain = chain_at(disk, pos);
    disk->window_bytes = 0;
    while (disk->window_bytes < PSTK_DISK_WINDOW &&
           chain_at(disk, pos + disk->window_bytes) == disk->window_chain) {
        uint64_t more = fill_from(disk, pos + disk->window_bytes, disk->window + disk->window_bytes,
                                  PSTK_DISK_WINDOW - disk->window_bytes);
        if (more == 0)
            break;
        disk->window_bytes += more;
    }
    return disk->window_bytes >= bytes ? disk->window : NULL;
}

static bool is_sound(const pstk_block *block, uint64_t pos) {
    if (block->pos != pos || block->bytes < sizeof *block || block->kind > PSTK_RECORD_LAST)
        return false;
#ifndef PSTK_PLANT_DISK
    if (block->bytes > PSTK_BLOCK_BYTES_MAX)
        return false;
#endif
    return block->kind != PSTK_RECORD_SAMPLES ||
           block->count <= (block->bytes - sizeof *block) / sizeof(pstk_sample);
}

/* The block at pos, PAD too; NULL at the end. Its bytes lie in the window until the next call. */
static const uint8_t *block_at(pstk_disk *disk, uint64_t pos, pstk_block *out_head) {
    const uint8_t *at = (pos & 63) == 0 ? look(disk, pos, sizeof *out_head) : NULL;
    if (!at)
        return NULL;
    memcpy(out_head, at, sizeof *out_head);
    if (!is_sound(out_head, pos))
        return NULL;
    uint64_t needed = out_head->kind == PSTK_RECORD_PAD ? sizeof *out_head : out_head->bytes;
    at = look(disk, pos, needed);
    if (!at)
        return NULL;
    _Alignas(8) uint8_t whole[PSTK_BLOCK_BYTES_MAX];
    memcpy(whole, at, needed);
    bool is_whole = pstk_disk_crc(disk->options.journal_id, (const pstk_block *)(void *)whole) ==
                    out_head->crc32c;
    return is_whole ? at : NULL;
}

bool pstk_disk_read(pstk_disk *disk, uint64_t pos, uint8_t out_block[PSTK_BLOCK_BYTES_MAX],
                    uint64_t *out_next) {
    pstk_block head;
    *out_next = pos;
    for (;;) {
        const uint8_t *at = block_at(disk, pos, &head);
        if (!at)
            return false;
        pos += pstk_ring_padded(head.bytes);
        *out_next = pos;
        if (head.kind == PSTK_RECORD_PAD)
            continue;
        memcpy(out_block, at, head.bytes);
        return true;
    }
}

uint64_t pstk_disk_follow(pstk_disk *disk, uint64_t pos) {
    pstk_block head;
    while (block_at(disk, pos, &head))
        pos += pstk_ring_padded(head.bytes);
    return pos;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

int pstk_disk_open(const pstk_disk_options *options, pstk_disk **out_disk, uint32_t *out_damaged,
                   pstk_error *err) {
    *out_disk = NULL;
    *out_damaged = 0;
    pstk_disk *disk = calloc(1, sizeof *disk);
    pstk_segment *table = calloc(PSTK_DISK_SEGMENTS_MAX, sizeof *table);
    uint8_t *page = aligned_alloc(PSTK_DISK_PAGE, PSTK_DISK_PAGE);
    if (!disk || !table || !page) {
        free(disk);
        free(table);
        free(page);
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for the disk journal's tables");
    }
    disk->options = *options;
    disk->segment = table;
    disk->page = page;
    disk->fd = -1;
    uint64_t share = options->bytes_max / 16 & ~(uint64_t)(PSTK_DISK_PAGE - 1);
    disk->segment_bytes = PSTK_MIN(PSTK_MAX(share, PSTK_DISK_SEGMENT_MIN), PSTK_DISK_SEGMENT_MAX);
    int status = PSTK_OK;
    if (!pstk_copy_text(disk->folder, sizeof disk->folder, options->folder,
                        strlen(options->folder)))
        status = pstk_fail(err, PSTK_E_ARGUMENT, 0, "the state directory's path is too long");
    disk->folder_fd = open(disk->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (status == PSTK_OK && disk->folder_fd < 0)
        status = pstk_fail(err, PSTK_E_SYSTEM, errno, "%.160s cannot be opened", disk->folder);
    if (status == PSTK_OK)
        status = list_segments(disk, out_damaged, err);
    if (status != PSTK_OK) {
        pstk_disk_close(disk);
        return status;
    }
    *out_disk = disk;
    return PSTK_OK;
}

void pstk_disk_close(pstk_disk *disk) {
    if (!disk)
        return;
    if (disk->fd >= 0)
        close(disk->fd);
    if (disk->folder_fd >= 0)
        close(disk->folder_fd);
    free(disk->segment);
    free(disk->page);
    free(disk->window);
    free(disk);
}

void pstk_disk_remove(pstk_disk *disk) {
    if (disk->fd >= 0)
        close(disk->fd);
    disk->fd = -1;
    while (disk->count)
        pstk_disk_forget(disk, disk->count - 1);
}
