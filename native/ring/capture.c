/* capture: a capture file, read block by block. Its bytes are hostile: nothing is taken at its word
 * that the checksum and the bounds do not allow.
 *
 * Threads  one at a time. Bound    1 MiB of memory, however long the file. Damage   the file ends
 * at the first block that is not whole; is_cut says so. */
#include "ring.h"
#include "ring_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES (1u << 20)

struct pstk_capture {
    pstk_capture_head head;
    char path[PSTK_PATH_BYTES];
    uint8_t *buffer;
    size_t have, at;
    uint64_t offset; /* of buffer[0] in the file */
    uint64_t file_bytes;
    int fd;
    bool is_at_end, is_cut;
};

/* Fills the buffer from `at` on; a block's place stays a multiple of 64. */
static void refill(pstk_capture *capture) {
    size_t left = capture->have - capture->at;
    memmove(capture->buffer, capture->buffer + capture->at, left);
    capture->offset += capture->at;
    capture->at = 0;
    capture->have = left;
    while (capture->have < BUFFER_BYTES && !capture->is_at_end) {
        ssize_t got = pread(capture->fd, capture->buffer + capture->have,
                            BUFFER_BYTES - capture->have, (off_t)(capture->offset + capture->have));
        if (got > 0)
            capture->have += (size_t)got;
        else if (got == 0 || errno != EINTR)
            capture->is_at_end = true;
    }
}

static bool has(pstk_capture *capture, size_t bytes) {
    if (capture->have - capture->at < bytes)
        refill(capture);
    return capture->have - capture->at >= bytes;
}

void pstk_capture_rewind(pstk_capture *capture) {
    capture->offset = capture->head.header_bytes;
    capture->have = capture->at = 0;
    capture->is_at_end = capture->is_cut = false;
}

static int read_head(pstk_capture *capture, pstk_error *err) {
    pstk_capture_head *head = &capture->head;
    ssize_t got = pread(capture->fd, head, sizeof *head, 0);
    if (got != (ssize_t)sizeof *head || head->magic != PSTK_CAPTURE_MAGIC)
        return pstk_fail(err, PSTK_E_STATE, 0, "%.150s is no capture", capture->path);
    if (head->version > PSTK_CAPTURE_VERSION)
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "%.150s was written by a newer version (%u, this build reads %u)",
                         capture->path, head->version, PSTK_CAPTURE_VERSION);
    if (head->crc32c != pstk_crc32c(0, head, offsetof(pstk_capture_head, crc32c)) ||
        head->header_bytes != sizeof *head)
        return pstk_fail(err, PSTK_E_STATE, 0, "%.150s: its header is damaged", capture->path);
    head->plant[sizeof head->plant - 1] = 0;
    return PSTK_OK;
}

int pstk_capture_open(const char *path, pstk_capture **out_capture, pstk_error *err) {
    *out_capture = NULL;
    pstk_capture *capture = calloc(1, sizeof *capture);
    uint8_t *buffer = aligned_alloc(64, BUFFER_BYTES);
    if (!capture || !buffer) {
        free(capture);
        free(buffer);
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for a capture");
    }
    capture->buffer = buffer;
    pstk_copy_text(capture->path, sizeof capture->path, path, strlen(path));
    capture->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat stat;
    int status = PSTK_OK;
    if (capture->fd < 0 || fstat(capture->fd, &stat) != 0)
        status = pstk_fail(err, PSTK_E_SYSTEM, errno, "%.150s: %s", path, strerror(errno));
    else if (!S_ISREG(stat.st_mode))
        status = pstk_fail(err, PSTK_E_STATE, 0, "%.150s is no file", path);
    if (status == PSTK_OK)
        status = read_head(capture, err);
    if (status != PSTK_OK) {
        pstk_capture_close(capture);
        return status;
    }
    capture->file_bytes = (uint64_t)stat.st_size;
    pstk_capture_rewind(capture);
    *out_capture = capture;
    return PSTK_OK;
}

static bool is_sound(const pstk_block *block) {
    return block->bytes >= sizeof *block && block->bytes <= PSTK_BLOCK_BYTES_MAX &&
           block->kind != PSTK_RECORD_PAD;
}

static bool is_whole(const pstk_block *block) {
    pstk_block head = *block;
    head.crc32c = 0;
    uint32_t crc = pstk_crc32c(0, &head, sizeof head);
    size_t size = block->bytes - sizeof head;
    return block->crc32c == (size ? pstk_crc32c(crc, block + 1, size) : crc);
}

const pstk_block *pstk_capture_peek(pstk_capture *capture, bool is_checked) {
    if (capture->is_cut || !has(capture, sizeof(pstk_block))) {
        capture->is_cut |= capture->have > capture->at;
        return NULL;
    }
    const pstk_block *block = (const pstk_block *)(const void *)(capture->buffer + capture->at);
    if (!is_sound(block) || !has(capture, block->bytes)) {
        capture->is_cut = true;
        return NULL;
    }
    block = (const pstk_block *)(const void *)(capture->buffer + capture->at);
    if (is_checked && !is_whole(block)) {
        capture->is_cut = true;
        return NULL;
    }
    return block;
}

void pstk_capture_skip(pstk_capture *capture) {
    uint32_t bytes = pstk_load_u32(capture->buffer + capture->at);
    size_t padded = (bytes + 63u) & ~(size_t)63u;
    capture->at += PSTK_MIN(padded, capture->have - capture->at);
}

const pstk_capture_head *pstk_capture_head_of(const pstk_capture *capture) {
    return &capture->head;
}

uint64_t pstk_capture_left(const pstk_capture *capture) {
    uint64_t at = capture->offset + capture->at;
    return capture->file_bytes > at ? capture->file_bytes - at : 0;
}

bool pstk_capture_is_cut(const pstk_capture *capture) { return capture->is_cut; }

/* Headers alone: what the file spans, then back to its beginning. */
void pstk_capture_look(pstk_capture *capture, pstk_capture_span *out) {
    const pstk_block *block;
    uint64_t expected = capture->head.pos;
    bool is_told_again = false;
    memset(out, 0, sizeof *out);
    memcpy(out->plant, capture->head.plant, sizeof out->plant);
    out->pos = expected;
    out->missed_before = capture->head.missed;
    out->first_ns = out->last_ns = capture->head.engine_time_ns;
    out->bytes = capture->file_bytes;
    pstk_capture_rewind(capture);
    while ((block = pstk_capture_peek(capture, false)) != NULL) {
        if (block->pos == PSTK_CAPTURE_TOLD) {
            is_told_again = out->blocks > 0; /* a writer that had missed something says all anew */
        } else {
            if (is_told_again && block->pos > expected)
                out->missed += block->pos - expected;
            is_told_again = false;
            expected = block->pos + ((block->bytes + 63u) & ~UINT64_C(63));
            if (out->first_ns <= 0) /* before its clock was set */
                out->first_ns = block->recv_time_ns;
            out->last_ns = PSTK_MAX(out->last_ns, block->recv_time_ns);
            out->blocks++;
            if (block->kind == PSTK_RECORD_SAMPLES)
                out->samples += block->count;
        }
        pstk_capture_skip(capture);
    }
    out->end = expected;
    out->is_cut = capture->is_cut;
    pstk_capture_rewind(capture);
}

void pstk_capture_close(pstk_capture *capture) {
    if (!capture)
        return;
    if (capture->fd >= 0)
        close(capture->fd);
    free(capture->buffer);
    free(capture);
}
