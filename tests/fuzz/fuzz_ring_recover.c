/* A ring file spoiled anywhere: attached with every block inside the mapping, or made new with a
 * sentence, or refused by name; then it takes blocks and is whole at the next open. Input: flags
 * (1 = put the identity's checksum right, 2 = layout of a newer build), then patches of 11 bytes:
 * kind, which, offset, value. Plant: PSTK_PLANT_RING_RECOVER takes the bounds check of a block's
 * size. */
#include "ring/ring_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING_BYTES PSTK_RING_BYTES_MIN
#define PATCH_BYTES 11u
#define BASE_BYTES_MAX 81920u
#define BLOCKS_MAX 512u

static char folder[64], ring_path[160];
static uint8_t base[BASE_BYTES_MAX];
static size_t base_bytes;
static uint64_t block_pos[BLOCKS_MAX]; /* oldest first */
static size_t block_count;

static void require(bool is_true, const char *what) {
    if (is_true)
        return;
    fprintf(stderr, "fuzz_ring_recover: %s\n", what);
    abort();
}

static pstk_ring_options options_of(uint32_t layout) {
    return (pstk_ring_options){.ring_dir = folder, .ring_bytes = RING_BYTES, .layout = layout};
}

static void remove_folder(void) {
    pstk_ring_remove(folder, options_of(1).journal_id);
    rmdir(folder);
}

static void put_blocks(pstk_ring *ring, size_t count, bool is_released) {
    for (size_t i = 0; i < count; i++) {
        pstk_block block = {.kind = i % 5 ? PSTK_RECORD_SAMPLES : PSTK_RECORD_TICK};
        size_t samples = i % 5 ? (i * 37) % 60 : 0;
        uint8_t *payload = pstk_ring_claim(ring, samples * sizeof(pstk_sample));
        require(payload != NULL, "no room for a block");
        memset(payload, (int)i, samples * sizeof(pstk_sample));
        block.count = (uint32_t)samples;
        pstk_ring_commit(ring, &block, samples * sizeof(pstk_sample));
        if (is_released) {
            pstk_ring_set_judged(ring, pstk_ring_written(ring));
            pstk_ring_set_checkpointed(ring, pstk_ring_written(ring));
        }
    }
}

/* One and a half laps below the checkpoint, some blocks judged, some not. */
static void make_base(void) {
    pstk_ring_options options = options_of(1);
    pstk_ring *ring;
    pstk_error err;
    bool is_new;
    uint64_t next = 0;
    require(pstk_ring_open(&options, &ring, &is_new, &err) == PSTK_OK, err.text);
    put_blocks(ring, 140, true);
    put_blocks(ring, 20, false);
    pstk_ring_set_judged(ring, pstk_ring_written(ring));
    put_blocks(ring, 20, false);
    const pstk_block *block;
    uint64_t pos = pstk_ring_oldest(ring);
    for (; block_count < BLOCKS_MAX && (block = pstk_ring_peek(ring, pos, &next)); pos = next)
        block_pos[block_count++] = block->pos;
    require(block_count > 60 && next == pstk_ring_written(ring), "the base is not whole");
    snprintf(ring_path, sizeof ring_path, "%s/ring", pstk_ring_folder(ring));
    pstk_ring_close(ring);
    int fd = open(ring_path, O_RDONLY | O_CLOEXEC);
    require(fd >= 0 && pstk_io_read(fd, base, sizeof base, &base_bytes) == 0,
            "the base is not read");
    close(fd);
}

static void begin(void) {
    if (folder[0])
        return;
    snprintf(folder, sizeof folder, "/dev/shm/penstock-fuzz-ring-%ld", (long)getpid());
    require(mkdir(folder, 0700) == 0, "no folder");
    make_base();
    atexit(remove_folder);
}

static size_t offset_of_block(size_t number) {
    return (size_t)(pstk_ring_data_offset(RING_BYTES) + (block_pos[number] & (RING_BYTES - 1)));
}

/* A block that says it ends where another begins: only its bounds tell. */
static void swallow(uint8_t *file, const uint8_t *p) {
    size_t first = p[1] % block_count, last = PSTK_MIN(first + 1 + p[2], block_count - 1);
    pstk_store_u32(file + offset_of_block(first), (uint32_t)(block_pos[last] - block_pos[first]));
}

/* kind: 0 identity, 1 cursor (whole value), 2 cursor moved by a signed byte of 64s, 3 header of a
 * block, 4 index, 5 anywhere, 6 a block swallows its neighbours, 7 file size. */
static void patch(uint8_t *file, size_t *size, const uint8_t *p) {
    uint64_t value = pstk_load_u64(p + 3), cursor = 0;
    size_t at = 0, bytes = 4;
    uint8_t *line = file + 128u * (1u + p[1] % 6u);
    switch (p[0] % 8) {
    case 0:
        at = p[1] % 124u;
        break;
    case 1:
        memcpy(line, &value, sizeof value);
        return;
    case 2:
        cursor = pstk_load_u64(line) + (uint64_t)((int64_t)(int8_t)p[2] * 64);
        memcpy(line, &cursor, sizeof cursor);
        return;
    case 3:
        at = offset_of_block(p[1] % block_count) + p[2] % 60u;
        break;
    case 4:
        at = PSTK_RING_HEADER_BYTES + p[1] % 8u * 8u;
        bytes = 8;
        break;
    case 5:
        at = (size_t)(value >> 32) % (base_bytes - 8);
        break;
    case 6:
        swallow(file, p);
        return;
    default:
        *size = (size_t)(value % (base_bytes + 1));
        return;
    }
    memcpy(file + at, &value, bytes);
}

static void put_file(const uint8_t *bytes, size_t size) {
    static uint8_t file[BASE_BYTES_MAX];
    size_t file_bytes = base_bytes;
    memcpy(file, base, base_bytes);
    for (size_t at = 1; at + PATCH_BYTES <= size && at < 1 + 32 * PATCH_BYTES; at += PATCH_BYTES)
        patch(file, &file_bytes, bytes + at);
    pstk_ring_identity *identity = (pstk_ring_identity *)(void *)file;
    if (bytes[0] & 1) {
        uint32_t crc = pstk_crc32c(0, identity, offsetof(pstk_ring_identity, crc32c));
        memcpy(&identity->crc32c, &crc, sizeof crc);
    }
    int fd = open(ring_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    require(fd >= 0 && pstk_io_write(fd, file, file_bytes) == 0, "the ring file is not written");
    require(ftruncate(fd, (off_t)file_bytes) == 0, "the ring file keeps another size");
    close(fd);
}

/* Reads every byte the judge would read; the chain ends at written. */
static void judge_all(const pstk_ring *ring) {
    static volatile uint8_t sum;
    uint64_t pos = pstk_ring_checkpointed(ring), next = pos;
    const pstk_block *block;
    size_t steps = 0;
    while ((block = pstk_ring_peek(ring, pos, &next)) != NULL) {
        require(next > pos && steps++ <= RING_BYTES / 64, "the chain does not go on");
        uint64_t place = (uint64_t)((const uint8_t *)block - ring->data);
        require(block->bytes >= 64 && place + block->bytes <= ring->ring_bytes, "outside the ring");
        require(block->bytes <= PSTK_BLOCK_BYTES_MAX, "longer than a block may be");
        for (uint32_t i = 0; i < block->bytes; i++)
            sum = (uint8_t)(sum + ((const uint8_t *)block)[i]);
        pos = next;
    }
    require(pos == pstk_ring_written(ring), "the chain ends before the tail");
}

static void read_cold(const pstk_ring *ring) {
    static _Alignas(64) uint8_t copy[PSTK_BLOCK_BYTES_MAX];
    uint64_t written = pstk_ring_written(ring), oldest = pstk_ring_oldest(ring), next;
    require(oldest <= pstk_ring_checkpointed(ring), "oldest above checkpointed");
    for (uint64_t pos = oldest; pos != written; pos = next) {
        require(pstk_ring_copy(ring, pos, copy, sizeof copy, &next),
                "a block from oldest on is gone");
        require(next > pos && next <= written, "the copy does not go on");
    }
    for (uint64_t distance = 1; distance < 4 * RING_BYTES; distance *= 3) {
        uint64_t back = pstk_ring_back(ring, written, distance);
        require(back >= oldest && back <= written, "back leaves the journal");
    }
    (void)pstk_ring_copy(ring, written + 64, copy, sizeof copy, &next);
    (void)pstk_ring_copy(ring, oldest + 64, copy, sizeof copy, &next);
}

/* What was attached or made must work and be whole again at the next open. */
static void use_and_reopen(pstk_ring *ring, const pstk_ring_options *options) {
    pstk_error err;
    bool is_new = true;
    pstk_ring_set_judged(ring, pstk_ring_written(ring));
    pstk_ring_set_checkpointed(ring, pstk_ring_written(ring));
    put_blocks(ring, 70, true);
    put_blocks(ring, 5, false);
    judge_all(ring);
    read_cold(ring);
    uint64_t written = pstk_ring_written(ring);
    pstk_ring_close(ring);
    require(pstk_ring_open(options, &ring, &is_new, &err) == PSTK_OK, "does not open again");
    require(!is_new && !err.text[0] && pstk_ring_written(ring) == written,
            "not whole at the next open");
    judge_all(ring);
    pstk_ring_close(ring);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size < 1)
        return 0;
    begin();
    put_file(bytes, size);
    pstk_ring_options options = options_of(bytes[0] & 2 ? 2 : 1);
    pstk_ring *ring = NULL;
    pstk_error err;
    bool is_new = false;
    int status = pstk_ring_open(&options, &ring, &is_new, &err);
    require(status == PSTK_OK || (status == PSTK_E_STATE && err.text[0]),
            "neither repaired nor refused");
    if (status != PSTK_OK)
        return 0;
    require(!is_new || err.text[0], "made new without a word");
    judge_all(ring);
    read_cold(ring);
    use_and_reopen(ring, &options);
    return 0;
}
