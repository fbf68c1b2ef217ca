/* image: sections become a file that is either whole or not there, and back.
 *
 *      0  header   128 bytes, CRC32C of its own (in the same place in every version)
 *    128  table    section_count x { tag, version, size }
 *    ...  sections, each from the next multiple of 64, so that what is read can be used in place
 *
 * The places follow from the sizes and the file ends with the last section, so there is nothing in
 * it that a checksum does not cover. Two files, A and B: what is replaced is never the newest. */
#include "ring.h"
#include "ring_io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define IMAGE_MAGIC UINT64_C(0x31474D494B545350) /* "PSTKIMG1" */
#define IMAGE_VERSION 1u
#define IMAGE_BYTES_MAX (UINT64_C(1) << (sizeof(void *) == 8 ? 34 : 30))
#define IMAGE_FILE_NEW "image.tmp"

static const char *const image_file[2] = {"image.A", "image.B"};

typedef struct image_header {
    uint64_t magic;
    uint32_t version;
    uint32_t layout;
    uint8_t journal_id[16];
    uint64_t pos;
    int64_t engine_time_ns;
    uint64_t generation;
    uint64_t total_bytes;
    uint32_t section_count;
    uint32_t body_crc32c; /* of everything behind the header */
    uint8_t reserved[52];
    uint32_t crc32c; /* of the 124 bytes before */
} image_header;
_Static_assert(sizeof(image_header) == 128, "image header");

typedef struct image_entry {
    uint32_t tag;
    uint32_t version;
    uint64_t size;
} image_entry;

typedef struct image_plan { /* what is going to be written */
    image_header header;
    image_entry entry[PSTK_IMAGE_SECTIONS_MAX];
    const pstk_section *sections;
    const pstk_image_reader *reader;
} image_plan;

static const uint8_t zeros[64];

static uint64_t padded(uint64_t bytes) { return (bytes + 63) & ~UINT64_C(63); }

static uint64_t table_end(uint32_t section_count) {
    return sizeof(image_header) + section_count * (uint64_t)sizeof(image_entry);
}

/* ---- write ---------------------------------------------------------------------------------- */

static int make_plan(const pstk_image_head *head, const pstk_section *sections, image_plan *out,
                     pstk_error *err) {
    if (head->section_count > PSTK_IMAGE_SECTIONS_MAX)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "an image of %u sections, at most %u",
                         head->section_count, PSTK_IMAGE_SECTIONS_MAX);
    memset(out, 0, sizeof *out);
    out->sections = sections;
    uint64_t total = table_end(head->section_count);
    for (uint32_t i = 0; i < head->section_count; i++) {
        out->entry[i] = (image_entry){sections[i].tag, sections[i].version, sections[i].size};
        if (sections[i].size > IMAGE_BYTES_MAX - padded(total))
            return pstk_fail(err, PSTK_E_ARGUMENT, 0, "an image above %" PRIu64 " bytes",
                             IMAGE_BYTES_MAX);
        total = padded(total) + sections[i].size;
    }
    out->header = (image_header){.magic = IMAGE_MAGIC,
                                 .version = IMAGE_VERSION,
                                 .layout = head->layout,
                                 .pos = head->pos,
                                 .engine_time_ns = head->engine_time_ns,
                                 .generation = head->generation,
                                 .total_bytes = total,
                                 .section_count = head->section_count};
    memcpy(out->header.journal_id, head->journal_id, sizeof out->header.journal_id);
    return PSTK_OK;
}

typedef struct image_out { /* a file under way: what is written is what the checksum saw */
    int fd;
    uint32_t crc;
    uint64_t at;
} image_out;

static int put(image_out *out, const void *bytes, size_t size) {
    out->crc = pstk_crc32c(out->crc, bytes, size);
    out->at += size;
    return pstk_io_write(out->fd, bytes, size);
}

/* Piece by piece, so that what was read is still in the cache when it is summed and written. */
static int put_section(image_out *out, const image_plan *plan, uint32_t number) {
    const pstk_section *section = &plan->sections[number];
    uint64_t size = plan->entry[number].size, at = 0;
    uint8_t piece[PSTK_IMAGE_PIECE_BYTES];
    int reason = put(out, zeros, (size_t)(padded(out->at) - out->at));
    if (!plan->reader)
        return reason == 0 ? put(out, section->bytes, (size_t)size) : reason;
    for (; at < size && reason == 0; at += PSTK_IMAGE_PIECE_BYTES) {
        size_t take = (size_t)PSTK_MIN(size - at, PSTK_IMAGE_PIECE_BYTES);
        plan->reader->read(plan->reader->context, section, at, piece, take);
        reason = put(out, piece, take);
    }
    return reason;
}

/* The header last: until it is there the file is no image. */
static int put_header(const image_out *out, image_plan *plan) {
    plan->header.body_crc32c = out->crc;
    plan->header.crc32c = pstk_crc32c(0, &plan->header, offsetof(image_header, crc32c));
    if (lseek(out->fd, 0, SEEK_SET) != 0)
        return errno;
    return pstk_io_write(out->fd, &plan->header, sizeof plan->header);
}

static int put_image(int fd, image_plan *plan, bool is_synced) {
    static const image_header none;
    uint32_t count = plan->header.section_count;
    image_out out = {.fd = fd, .at = sizeof none};
    int reason = pstk_io_write(fd, &none, sizeof none);
    if (reason == 0)
        reason = put(&out, plan->entry, count * sizeof(image_entry));
    for (uint32_t i = 0; i < count && reason == 0; i++) {
        if (i == count / 2)
            PSTK_CRASH("image.write.half");
        reason = put_section(&out, plan, i);
    }
    if (reason == 0)
        reason = put_header(&out, plan);
    if (reason == 0 && is_synced)
        reason = pstk_io_sync(fd);
    return reason;
}

/* ---- headers -------------------------------------------------------------------------------- */

typedef enum slot_state { SLOT_ABSENT, SLOT_DAMAGED, SLOT_SOUND } slot_state;

/* Opens a slot and checks its header and size, not its body. *out_fd is open only where the slot is
 * sound. */
static slot_state open_slot(int folder_fd, const char *name, image_header *out_header,
                            int *out_fd) {
    struct stat info;
    size_t size = 0;
    *out_fd = -1;
    int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? SLOT_ABSENT : SLOT_DAMAGED;
    bool is_sound =
        fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
        pstk_io_read(fd, out_header, sizeof *out_header, &size) == 0 &&
        size == sizeof *out_header && out_header->magic == IMAGE_MAGIC &&
        out_header->crc32c == pstk_crc32c(0, out_header, offsetof(image_header, crc32c)) &&
        out_header->total_bytes == (uint64_t)info.st_size;
    if (is_sound)
        *out_fd = fd;
    else
        close(fd);
    return is_sound ? SLOT_SOUND : SLOT_DAMAGED;
}

/* The slot to write over: a damaged or absent one, then one of another journal or a later life,
 * then the older. */
static const char *slot_to_replace(int folder_fd, const pstk_image_head *head) {
    int rank[2] = {0, 0};
    uint64_t generation[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        image_header header;
        int fd;
        if (open_slot(folder_fd, image_file[i], &header, &fd) != SLOT_SOUND)
            continue;
        close(fd);
        bool is_ours = memcmp(header.journal_id, head->journal_id, sizeof header.journal_id) == 0;
        rank[i] = is_ours && header.generation < head->generation ? 2 : 1;
        generation[i] = header.generation;
    }
    if (rank[0] != rank[1])
        return image_file[rank[1] < rank[0]];
    return image_file[generation[1] < generation[0]];
}

/* A file for the new image. In memory the older one's pages serve again: to find and clear new ones
 * takes as long as to fill them. */
static int open_new(int folder_fd, const char *older, uint64_t bytes, bool is_synced, int *out_fd) {
    unlinkat(folder_fd, IMAGE_FILE_NEW, 0);
    struct stat info;
    *out_fd = -1;
    if (!is_synced && renameat(folder_fd, older, folder_fd, IMAGE_FILE_NEW) == 0) {
        *out_fd = openat(folder_fd, IMAGE_FILE_NEW, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        bool is_fit = *out_fd >= 0 && fstat(*out_fd, &info) == 0 && S_ISREG(info.st_mode) &&
                      info.st_nlink == 1 &&
                      ((uint64_t)info.st_size <= bytes || ftruncate(*out_fd, (off_t)bytes) == 0);
        if (is_fit)
            return 0;
        if (*out_fd >= 0)
            close(*out_fd);
        unlinkat(folder_fd, IMAGE_FILE_NEW, 0);
    }
    *out_fd = openat(folder_fd, IMAGE_FILE_NEW,
                     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return *out_fd < 0 ? errno : 0;
}

/* Closes the new file and gives it its name, or takes it away. */
static int settle(int folder_fd, int fd, const char *name, bool is_synced, int reason) {
    if (close(fd) != 0 && reason == 0 && errno != EINTR)
        reason = errno;
    PSTK_CRASH("image.rename.before");
    if (reason == 0 && renameat(folder_fd, IMAGE_FILE_NEW, folder_fd, name) != 0)
        reason = errno;
    if (reason != 0) {
        unlinkat(folder_fd, IMAGE_FILE_NEW, 0);
        return reason;
    }
    PSTK_CRASH("image.rename.after");
    return is_synced ? pstk_io_sync(folder_fd) : 0;
}

static int write_to(int folder_fd, image_plan *plan, const char *name, bool is_synced) {
    int fd, reason = open_new(folder_fd, name, plan->header.total_bytes, is_synced, &fd);
    return reason ? reason : settle(folder_fd, fd, name, is_synced, put_image(fd, plan, is_synced));
}

static int open_folder(const char *folder, int *out_fd, pstk_error *err) {
    *out_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*out_fd >= 0)
        return PSTK_OK;
    return pstk_fail(err, PSTK_E_SYSTEM, errno, "folder %.160s cannot be opened for a checkpoint",
                     folder);
}

static int fail_write(uint64_t bytes, const char *folder, int reason, pstk_error *err) {
    return pstk_fail(err, PSTK_E_SYSTEM, reason,
                     "checkpoint of %" PRIu64
                     " bytes cannot be written to %.120s; the one before stands",
                     bytes, folder);
}

int pstk_image_write_from(const char *folder, const pstk_image_head *head,
                          const pstk_section *sections, const pstk_image_reader *reader,
                          bool is_synced, pstk_error *err) {
    image_plan plan;
    int folder_fd, status = make_plan(head, sections, &plan, err);
    if (status == PSTK_OK)
        status = open_folder(folder, &folder_fd, err);
    if (status != PSTK_OK)
        return status;
    plan.reader = reader;
    int reason = write_to(folder_fd, &plan, slot_to_replace(folder_fd, head), is_synced);
    close(folder_fd);
    return reason ? fail_write(plan.header.total_bytes, folder, reason, err) : PSTK_OK;
}

int pstk_image_write(const char *folder, const pstk_image_head *head, const pstk_section *sections,
                     bool is_synced, pstk_error *err) {
    return pstk_image_write_from(folder, head, sections, NULL, is_synced, err);
}

/* ---- copy ----------------------------------------------------------------------------------- */

/* -1: the folder holds no image of that head. */
static int open_image(int folder_fd, const pstk_image_head *head, uint64_t *out_bytes) {
    for (int i = 0; i < 2; i++) {
        image_header header;
        int fd;
        if (open_slot(folder_fd, image_file[i], &header, &fd) != SLOT_SOUND)
            continue;
        *out_bytes = header.total_bytes;
        if (header.generation == head->generation && header.pos == head->pos &&
            memcmp(header.journal_id, head->journal_id, sizeof header.journal_id) == 0)
            return fd;
        close(fd);
    }
    return -1;
}

static int copy_bytes(int from, int to, uint64_t bytes) {
    uint8_t piece[PSTK_IMAGE_PIECE_BYTES];
    int reason = lseek(from, 0, SEEK_SET) == 0 ? 0 : errno;
    for (uint64_t at = 0; at < bytes && reason == 0;) {
        ssize_t size = read(from, piece, sizeof piece);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return size < 0 ? errno : EIO;
        reason = pstk_io_write(to, piece, (size_t)size);
        at += (uint64_t)size;
    }
    return reason == 0 ? pstk_io_sync(to) : reason;
}

static int copy_between(int from_folder, int folder, const pstk_image_head *head,
                        uint64_t *out_bytes) {
    int to, from = open_image(from_folder, head, out_bytes);
    if (from < 0)
        return ENOENT;
    const char *name = slot_to_replace(folder, head);
    int reason = open_new(folder, name, *out_bytes, true, &to);
    if (reason == 0)
        reason = settle(folder, to, name, true, copy_bytes(from, to, *out_bytes));
    close(from);
    return reason;
}

int pstk_image_copy(const char *from_folder, const char *folder, const pstk_image_head *head,
                    pstk_error *err) {
    int from, to;
    uint64_t bytes = 0;
    int status = open_folder(from_folder, &from, err);
    if (status != PSTK_OK)
        return status;
    status = open_folder(folder, &to, err);
    if (status == PSTK_OK) {
        int reason = copy_between(from, to, head, &bytes);
        close(to);
        status = reason ? fail_write(bytes, folder, reason, err) : PSTK_OK;
    }
    close(from);
    return status;
}

/* ---- load ----------------------------------------------------------------------------------- */

typedef struct found_slot {
    slot_state state;
    int fd;
    bool is_wanted; /* sound and of the journal asked for */
    image_header header;
} found_slot;

/* The buffer holds total_bytes. Sizes are checked against what is left before anything is pointed
 * at. */
static bool point_at_sections(const image_header *header, uint8_t *buffer, pstk_image *out) {
    uint64_t total = header->total_bytes;
    if (header->section_count > PSTK_IMAGE_SECTIONS_MAX || table_end(header->section_count) > total)
        return false;
    const uint8_t *table = buffer + sizeof *header;
    uint64_t at = table_end(header->section_count);
    for (uint32_t i = 0; i < header->section_count; i++) {
        image_entry entry;
        memcpy(&entry, table + i * sizeof entry, sizeof entry);
        at = padded(at);
#ifndef PSTK_PLANT_RING_IMAGE
        if (at > total || entry.size > total - at)
            return false;
#endif
        out->section[i] = (pstk_section){entry.tag, entry.version, buffer + at, entry.size};
        at += entry.size;
    }
    return at == total;
}

/* 1 loaded, 0 damaged, -1 no memory. */
static int load_slot(const found_slot *slot, pstk_image *out) {
    const image_header *header = &slot->header;
    uint64_t total = header->total_bytes;
    size_t size = 0;
    if (total > IMAGE_BYTES_MAX)
        return 0;
    uint8_t *buffer = aligned_alloc(64, (size_t)padded(total));
    if (!buffer)
        return -1;
    bool is_whole = pstk_io_read(slot->fd, buffer, (size_t)total, &size) == 0 && size == total &&
                    memcmp(buffer, header, sizeof *header) == 0 &&
                    header->body_crc32c ==
                        pstk_crc32c(0, buffer + sizeof *header, (size_t)(total - sizeof *header)) &&
                    point_at_sections(header, buffer, out);
    if (!is_whole) {
        free(buffer);
        memset(out, 0, sizeof *out);
        return 0;
    }
    out->buffer = buffer;
    out->head = (pstk_image_head){.pos = header->pos,
                                  .engine_time_ns = header->engine_time_ns,
                                  .generation = header->generation,
                                  .layout = header->layout,
                                  .section_count = header->section_count};
    memcpy(out->head.journal_id, header->journal_id, sizeof header->journal_id);
    return 1;
}

static int find_slots(int folder_fd, const uint8_t *journal_id, uint32_t layout,
                      found_slot slots[2], pstk_error *err) {
    int status = PSTK_OK;
    for (int i = 0; i < 2; i++) {
        image_header *header = &slots[i].header;
        slots[i].state = open_slot(folder_fd, image_file[i], header, &slots[i].fd);
        slots[i].is_wanted =
            slots[i].state == SLOT_SOUND &&
            (!journal_id || memcmp(header->journal_id, journal_id, sizeof header->journal_id) == 0);
        if (slots[i].is_wanted && (header->version > IMAGE_VERSION || header->layout > layout))
            status =
                pstk_fail(err, PSTK_E_STATE, 0,
                          "checkpoint %s has version %u and layout %u, this build reads up to %u "
                          "and %u: start the "
                          "newer penstock, or restore a state directory that fits",
                          image_file[i], header->version, header->layout, IMAGE_VERSION, layout);
    }
    return status;
}

static int load_newest(const found_slot slots[2], pstk_image *out_image, bool *out_found,
                       uint32_t *out_damaged, pstk_error *err) {
    int newer = slots[1].is_wanted &&
                (!slots[0].is_wanted || slots[1].header.generation > slots[0].header.generation);
    for (int i = 0; i < 2 && !*out_found; i++) {
        const found_slot *slot = &slots[i == 0 ? newer : !newer];
        if (!slot->is_wanted)
            continue;
        int loaded = load_slot(slot, out_image);
        if (loaded < 0)
            return pstk_fail(err, PSTK_E_MEMORY, 0,
                             "no memory for a checkpoint of %" PRIu64 " bytes",
                             slot->header.total_bytes);
        *out_found = loaded == 1;
        *out_damaged += loaded == 0;
    }
    return PSTK_OK;
}

PSTK_COLD int pstk_image_load(const char *folder, const uint8_t *journal_id, uint32_t layout,
                              pstk_image *out_image, bool *out_found, uint32_t *out_damaged,
                              pstk_error *err) {
    memset(out_image, 0, sizeof *out_image);
    *out_found = false;
    *out_damaged = 0;
    int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0)
        return pstk_fail(err, PSTK_E_SYSTEM, errno,
                         "folder %.160s cannot be opened for its checkpoints", folder);
    found_slot slots[2];
    int status = find_slots(folder_fd, journal_id, layout, slots, err);
    close(folder_fd);
    for (int i = 0; i < 2; i++)
        *out_damaged += slots[i].state == SLOT_DAMAGED;
    if (status == PSTK_OK)
        status = load_newest(slots, out_image, out_found, out_damaged, err);
    for (int i = 0; i < 2; i++)
        if (slots[i].fd >= 0)
            close(slots[i].fd);
    return status;
}

const pstk_section *pstk_image_section(const pstk_image *image, uint32_t tag) {
    for (uint32_t i = 0; i < image->head.section_count; i++)
        if (image->section[i].tag == tag)
            return &image->section[i];
    return NULL;
}

void pstk_image_free(pstk_image *image) {
    free(image->buffer);
    memset(image, 0, sizeof *image);
}
