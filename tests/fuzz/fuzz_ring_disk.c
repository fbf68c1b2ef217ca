/* A segment file with any bytes: its blocks are read whole and inside their bounds, or it ends, or
 * it is refused by name. Input: flags (1 = put the header's checksum right, 2 = those of the
 * blocks), then patches of 11 bytes over a sound file: kind, two of place, eight of value.
 * Plant: PSTK_PLANT_DISK takes the bound of a block's size. */
#include "ring/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATCH_BYTES 11u
#define DATA_BYTES 65536u
#define FILE_BYTES (PSTK_DISK_PAGE + DATA_BYTES)

static char folder[64];
static uint8_t base[FILE_BYTES];

static void require(bool is_true, const char *what) {
    if (is_true)
        return;
    fprintf(stderr, "fuzz_ring_disk: %s\n", what);
    abort();
}

static void path_of(char out[128]) { snprintf(out, 128, "%s/journal.fuzz", folder); }

static void remove_folder(void) {
    char path[128];
    path_of(path);
    unlink(path);
    rmdir(folder);
}

static void make_base(void) {
    static const uint8_t id[16] = {0};
    pstk_segment_header header = {
        .magic = PSTK_DISK_MAGIC, .version = 1, .chain = 1, .data_bytes = DATA_BYTES};
    header.crc32c = pstk_crc32c(0, &header, offsetof(pstk_segment_header, crc32c));
    memcpy(base, &header, sizeof header);
    for (uint64_t pos = 0, seq = 0; pos < DATA_BYTES - 8192; seq++) {
        uint32_t samples = (uint32_t)(seq * 37 % 90);
        pstk_block *block = (pstk_block *)(void *)(base + PSTK_DISK_PAGE + pos);
        *block = (pstk_block){.bytes = (uint32_t)(64 + samples * sizeof(pstk_sample)),
                              .kind = PSTK_RECORD_SAMPLES,
                              .pos = pos,
                              .count = samples};
        block->crc32c = pstk_disk_crc(id, block);
        pos += pstk_ring_padded(block->bytes);
    }
}

static void begin(void) {
    if (folder[0])
        return;
    snprintf(folder, sizeof folder, "/dev/shm/penstock-fuzz-disk-%ld", (long)getpid());
    require(mkdir(folder, 0700) == 0, "no folder");
    make_base();
    atexit(remove_folder);
}

/* kind: 0 segment header, 1 header of a block near a place, 2 anywhere, 3 file size. */
static void patch(uint8_t *file, size_t *size, const uint8_t *p) {
    uint64_t value = pstk_load_u64(p + 3);
    size_t place = pstk_load_u16(p + 1), at;
    switch (p[0] % 4) {
    case 0:
        at = place % 120u;
        break;
    case 1:
        at = PSTK_DISK_PAGE + place / 64 * 64 % (DATA_BYTES - 64) + p[3] % 56u;
        break;
    case 2:
        at = place % (FILE_BYTES - 8);
        break;
    default:
        *size = (size_t)(value % (FILE_BYTES + 1));
        return;
    }
    memcpy(file + at, &value, 8);
}

/* Follows what the file itself says, so that a changed block is reached with a right checksum. */
static void mend_blocks(uint8_t *file, const uint8_t id[16]) {
    for (uint64_t pos = 0; pos <= DATA_BYTES - 64;) {
        pstk_block *block = (pstk_block *)(void *)(file + PSTK_DISK_PAGE + pos);
        if (block->bytes < 64 || block->bytes > DATA_BYTES - pos)
            return;
        if (block->kind == PSTK_RECORD_PAD || block->bytes <= PSTK_BLOCK_BYTES_MAX)
            block->crc32c = pstk_disk_crc(id, block);
        pos += pstk_ring_padded(block->bytes);
    }
}

static void put_file(const uint8_t *bytes, size_t size) {
    static _Alignas(64) uint8_t file[FILE_BYTES];
    size_t file_bytes = FILE_BYTES;
    char path[128];
    memcpy(file, base, sizeof file);
    for (size_t at = 1; at + PATCH_BYTES <= size && at < 1 + 32 * PATCH_BYTES; at += PATCH_BYTES)
        patch(file, &file_bytes, bytes + at);
    if (bytes[0] & 2)
        mend_blocks(file, file + offsetof(pstk_segment_header, journal_id));
    if (bytes[0] & 1)
        pstk_store_u32(file + offsetof(pstk_segment_header, crc32c),
                       pstk_crc32c(0, file, offsetof(pstk_segment_header, crc32c)));
    path_of(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && pstk_io_write(fd, file, file_bytes) == 0, "the file is not written");
    close(fd);
}

static void read_all(pstk_disk *disk, uint64_t pos) {
    static volatile uint8_t sum;
    uint8_t *block = malloc(PSTK_BLOCK_BYTES_MAX);
    uint64_t next, steps = 0;
    require(block != NULL, "no memory");
    while (pstk_disk_read(disk, pos, block, &next)) {
        pstk_block head;
        memcpy(&head, block, sizeof head);
        require(next > pos && steps++ <= DATA_BYTES / 64, "the journal does not go on");
        require(head.bytes >= 64 && head.bytes <= PSTK_BLOCK_BYTES_MAX, "out of bounds");
        require(head.kind != PSTK_RECORD_PAD, "PAD is no record");
        for (uint32_t i = 0; i < head.bytes; i++)
            sum = (uint8_t)(sum + block[i]);
        pos = next;
    }
    require(pstk_disk_follow(disk, pos) >= pos, "follow goes back");
    free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size < 1)
        return 0;
    begin();
    put_file(bytes, size);
    pstk_disk_options options = {.folder = folder, .bytes_max = 1u << 20};
    pstk_disk *disk = NULL;
    pstk_error err = {0};
    uint32_t damaged = 0;
    int status = pstk_disk_open(&options, &disk, &damaged, &err);
    require(status == PSTK_OK || (status == PSTK_E_STATE && err.text[0]),
            "neither read nor refused");
    if (status != PSTK_OK)
        return 0;
    read_all(disk, 0);
    if (disk->count)
        read_all(disk, disk->segment[0].base);
    pstk_disk_close(disk);
    return 0;
}
