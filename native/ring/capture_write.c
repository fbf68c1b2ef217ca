/* capture_write: blocks go to capture files; the oldest file goes where a new one would be too
 * much.
 *
 * Threads  one. Bound    256 KiB of memory, bytes_max of disk. Full     a disk without room takes
 * older captures first; with none left the error is the caller's. Nothing is synced: a capture is
 * for looking back, not for recovery. */
#include "ring.h"
#include "ring_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES (256u << 10)
#define FILE_BYTES_MIN (UINT64_C(256) << 10)
#define FILE_BYTES_MAX (UINT64_C(256) << 20)
#define NAME_BYTES 40u
#define NAME_PREFIX "capture-"
#define NAME_SUFFIX ".bin"

_Static_assert(sizeof(pstk_capture_head) == 128, "capture head");

struct pstk_capture_out {
    char folder[PSTK_PATH_BYTES];
    char name[NAME_BYTES]; /* of the file being written; "" = none */
    char plant[64];
    uint8_t journal_id[16];
    uint64_t bytes_max, file_bytes_max;
    uint64_t file_bytes, bytes;
    uint8_t *buffer;
    size_t held;
    int folder_fd, fd;
};

static int fail(const pstk_capture_out *out, int os_error, const char *what, pstk_error *err) {
    return pstk_fail(err, PSTK_E_SYSTEM, os_error, "capture %.100s/%s: %s: %s", out->folder,
                     out->name, what, strerror(os_error));
}

int pstk_capture_out_open(const char *folder, uint64_t bytes_max, const uint8_t journal_id[16],
                          const char *plant, pstk_capture_out **out_capture, pstk_error *err) {
    *out_capture = NULL;
    if (bytes_max < (UINT64_C(1) << 20))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "a capture wants 1 MiB or more");
    pstk_capture_out *out = calloc(1, sizeof *out);
    uint8_t *buffer = malloc(BUFFER_BYTES);
    if (!out || !buffer) {
        free(out);
        free(buffer);
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for a capture");
    }
    *out = (pstk_capture_out){.bytes_max = bytes_max, .buffer = buffer, .fd = -1, .folder_fd = -1};
    out->file_bytes_max = PSTK_MIN(PSTK_MAX(bytes_max / 8, FILE_BYTES_MIN), FILE_BYTES_MAX);
    memcpy(out->journal_id, journal_id, sizeof out->journal_id);
    bool fits = pstk_copy_text(out->folder, sizeof out->folder, folder, strlen(folder));
    pstk_copy_text(out->plant, sizeof out->plant, plant, strlen(plant));
    out->folder_fd = fits ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (out->folder_fd < 0) {
        int status = fail(out, fits ? errno : ENAMETOOLONG, "the folder cannot be opened", err);
        pstk_capture_out_close(out);
        return status;
    }
    *out_capture = out;
    return PSTK_OK;
}

/* ---- the folder ----------------------------------------------------------------------------- */

static bool is_capture(const char *name) {
    size_t size = strlen(name), head = strlen(NAME_PREFIX), tail = strlen(NAME_SUFFIX);
    return size < NAME_BYTES && size > head + tail && memcmp(name, NAME_PREFIX, head) == 0 &&
           memcmp(name + size - tail, NAME_SUFFIX, tail) == 0;
}

/* Bytes of all captures, and the oldest by name that is not the one being written. */
static int look(const pstk_capture_out *out, uint64_t *out_bytes, char oldest[NAME_BYTES]) {
    int fd = openat(out->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    *out_bytes = 0;
    oldest[0] = 0;
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return errno;
    }
    while ((entry = readdir(folder)) != NULL) {
        struct stat stat;
        if (!is_capture(entry->d_name) ||
            fstatat(out->folder_fd, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(stat.st_mode))
            continue;
        *out_bytes += (uint64_t)stat.st_size;
        bool is_older = !oldest[0] || strcmp(entry->d_name, oldest) < 0;
        if (is_older && strcmp(entry->d_name, out->name) != 0)
            pstk_copy_text(oldest, NAME_BYTES, entry->d_name, strlen(entry->d_name));
    }
    closedir(folder);
    return 0;
}

static bool remove_oldest(pstk_capture_out *out) {
    uint64_t bytes;
    char oldest[NAME_BYTES];
    return look(out, &bytes, oldest) == 0 && oldest[0] && unlinkat(out->folder_fd, oldest, 0) == 0;
}

static int make_room(pstk_capture_out *out, pstk_error *err) {
    for (;;) {
        uint64_t bytes;
        char oldest[NAME_BYTES];
        int failure = look(out, &bytes, oldest);
        if (failure)
            return fail(out, failure, "the folder cannot be listed", err);
        if (bytes + out->file_bytes_max <= out->bytes_max || !oldest[0])
            return PSTK_OK;
        if (unlinkat(out->folder_fd, oldest, 0) != 0 && errno != ENOENT)
            return fail(out, errno, "an older one cannot be removed", err);
    }
}

/* ---- one file ------------------------------------------------------------------------------- */

bool pstk_capture_out_is_new(const pstk_capture_out *out) {
    return out->fd < 0 || out->file_bytes + out->held >= out->file_bytes_max;
}

int pstk_capture_out_flush(pstk_capture_out *out, pstk_error *err) {
    size_t at = 0;
    while (at < out->held) {
        ssize_t wrote = write(out->fd, out->buffer + at, out->held - at);
        if (wrote > 0) {
            at += (size_t)wrote;
        } else if (wrote < 0 && (errno == ENOSPC || errno == EDQUOT) && remove_oldest(out)) {
            continue;
        } else if (wrote == 0 || errno != EINTR) {
            int os_error = wrote ? errno : EIO;
            out->held = 0;
            return fail(out, os_error, "cannot be written", err);
        }
    }
    out->file_bytes += out->held;
    out->bytes += out->held;
    out->held = 0;
    return PSTK_OK;
}

static int append(pstk_capture_out *out, const void *bytes, size_t size, pstk_error *err) {
    if (out->held + size > BUFFER_BYTES) {
        int status = pstk_capture_out_flush(out, err);
        if (status != PSTK_OK)
            return status;
    }
    memcpy(out->buffer + out->held, bytes, size);
    out->held += size;
    return PSTK_OK;
}

static int end_file(pstk_capture_out *out, pstk_error *err) {
    int status = out->fd >= 0 ? pstk_capture_out_flush(out, err) : PSTK_OK;
    if (out->fd >= 0)
        close(out->fd);
    out->fd = -1;
    out->held = 0;
    out->file_bytes = 0;
    return status;
}

int pstk_capture_out_begin(pstk_capture_out *out, uint64_t pos, uint64_t missed,
                           int64_t engine_time_ns, pstk_error *err) {
    int status = end_file(out, err);
    if (status == PSTK_OK)
        status = make_room(out, err);
    if (status != PSTK_OK)
        return status;
    int64_t stamp = PSTK_MAX(engine_time_ns, 0);
    for (int turn = 0; out->fd < 0 && turn < 1000; turn++) { /* two may begin in one instant */
        snprintf(out->name, sizeof out->name, NAME_PREFIX "%019" PRId64 NAME_SUFFIX, stamp + turn);
        out->fd = openat(out->folder_fd, out->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (out->fd < 0 && errno != EEXIST)
            break;
    }
    if (out->fd < 0)
        return fail(out, errno, "cannot be made", err);
    pstk_capture_head head = {.magic = PSTK_CAPTURE_MAGIC,
                              .version = PSTK_CAPTURE_VERSION,
                              .header_bytes = sizeof head,
                              .pos = pos,
                              .missed = missed,
                              .engine_time_ns = engine_time_ns};
    memcpy(head.journal_id, out->journal_id, sizeof head.journal_id);
    memcpy(head.plant, out->plant, sizeof head.plant);
    head.crc32c = pstk_crc32c(0, &head, offsetof(pstk_capture_head, crc32c));
    return append(out, &head, sizeof head, err);
}

int pstk_capture_out_put(pstk_capture_out *out, const pstk_block *block, const void *payload,
                         pstk_error *err) {
    static const uint8_t padding[64] = {0};
    pstk_block head = *block;
    size_t size = block->bytes - sizeof head;
    head.crc32c = 0;
    uint32_t crc = pstk_crc32c(0, &head, sizeof head);
    head.crc32c = size ? pstk_crc32c(crc, payload, size) : crc;
    int status = append(out, &head, sizeof head, err);
    if (status == PSTK_OK && size)
        status = append(out, payload, size, err);
    size_t over = block->bytes % 64;
    return status == PSTK_OK && over ? append(out, padding, 64 - over, err) : status;
}

uint64_t pstk_capture_out_bytes(const pstk_capture_out *out) { return out->bytes + out->held; }

void pstk_capture_out_close(pstk_capture_out *out) {
    pstk_error ignored;
    if (!out)
        return;
    (void)end_file(out, &ignored);
    if (out->folder_fd >= 0)
        close(out->folder_fd);
    free(out->buffer);
    free(out);
}
