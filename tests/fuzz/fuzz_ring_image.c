/* A checkpoint image with any bytes: loaded with every section inside its buffer, or counted as
 * damaged, or refused by name; and the next image written beside it is found. Input: flags
 * (1 = put the checksums right, 2 = a second image follows), two bytes of length, images.
 * Plant: PSTK_PLANT_RING_IMAGE takes the bounds check of the section sizes. */
#include "ring/ring.h"
#include "ring/ring_io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_BYTES 3u
/* Where the format has them, see native/ring/image.c. */
#define AT_TOTAL 56u
#define AT_BODY_CRC 68u
#define AT_CRC 124u
#define HEADER_BYTES 128u

static char folder[64];

static void put_file(const char *name, const uint8_t *bytes, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || pstk_io_write(fd, bytes, size) != 0)
        abort();
    close(fd);
}

static void remove_file(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

static void remove_folder(void) {
    remove_file("image.A");
    remove_file("image.B");
    rmdir(folder);
}

static void make_folder(void) {
    if (folder[0])
        return;
    snprintf(folder, sizeof folder, "/dev/shm/penstock-fuzz-image-%ld", (long)getpid());
    if (mkdir(folder, 0700) != 0)
        abort();
    atexit(remove_folder);
}

static void put_image(const char *name, const uint8_t *bytes, size_t size, uint8_t flags) {
    if (size == 0) {
        remove_file(name);
        return;
    }
    uint8_t *copy = malloc(size);
    if (!copy)
        abort();
    memcpy(copy, bytes, size);
    if ((flags & 1) && size >= HEADER_BYTES) {
        pstk_store_u64(copy + AT_TOTAL, size);
        pstk_store_u32(copy + AT_BODY_CRC,
                       pstk_crc32c(0, copy + HEADER_BYTES, size - HEADER_BYTES));
        pstk_store_u32(copy + AT_CRC, pstk_crc32c(0, copy, AT_CRC));
    }
    put_file(name, copy, size);
    free(copy);
}

/* Reads every byte: the sanitizer is the judge. */
static void read_sections(const pstk_image *image) {
    static volatile uint8_t sum;
    for (uint32_t i = 0; i < image->head.section_count; i++) {
        const pstk_section *section = &image->section[i];
        const uint8_t *bytes = section->bytes;
        for (uint64_t k = 0; k < section->size; k++)
            sum = (uint8_t)(sum + bytes[k]);
        if (!pstk_image_section(image, section->tag))
            abort();
    }
}

static void write_the_next(uint64_t generation, const uint8_t journal_id[16]) {
    pstk_image_head head = {.generation = generation, .layout = 1, .section_count = 1};
    const pstk_section section = {7, 1, "next", 4};
    pstk_image image;
    pstk_error err;
    bool is_found = false;
    uint32_t damaged = 0;
    memcpy(head.journal_id, journal_id, sizeof head.journal_id);
    if (pstk_image_write(folder, &head, &section, false, &err) != PSTK_OK)
        abort();
    if (pstk_image_load(folder, journal_id, 1, &image, &is_found, &damaged, &err) != PSTK_OK)
        abort();
    if (!is_found || image.head.generation != generation)
        abort();
    pstk_image_free(&image);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size < HEAD_BYTES)
        return 0;
    make_folder();
    uint8_t flags = bytes[0];
    size_t first =
        flags & 2 ? PSTK_MIN(pstk_load_u16(bytes + 1), size - HEAD_BYTES) : size - HEAD_BYTES;
    put_image("image.A", bytes + HEAD_BYTES, first, flags);
    put_image("image.B", bytes + HEAD_BYTES + first, size - HEAD_BYTES - first, flags);
    pstk_image image;
    pstk_error err = {0};
    bool is_found = false;
    uint32_t damaged = 0;
    int status = pstk_image_load(folder, NULL, 1, &image, &is_found, &damaged, &err);
    if (status != PSTK_OK && (status != PSTK_E_STATE || is_found || !err.text[0]))
        abort();
    if (damaged > 2 || (damaged == 2 && is_found))
        abort();
    uint8_t journal_id[16];
    uint64_t generation = image.head.generation;
    memcpy(journal_id, image.head.journal_id, sizeof journal_id);
    read_sections(&image);
    pstk_image_free(&image);
    if (is_found && generation < UINT64_MAX)
        write_the_next(generation + 1, journal_id);
    return 0;
}
