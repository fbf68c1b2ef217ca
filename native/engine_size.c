/* size: how large the ring is where nobody says: 1/16 of the memory this process may use, at most
 * half of what ring_dir has free, a power of two from 8 to 256 MiB. A ring that is there keeps its
 * size, so that a restart on a fuller box does not make it anew. */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SIZE_MIN (UINT64_C(8) << 20)
#define SIZE_MAX_DEFAULT (UINT64_C(256) << 20)
#define RING_MIN (UINT64_C(1) << 20)
#define RING_MAX (UINT64_C(1) << 30)

static uint64_t power_of_two_below(uint64_t bytes) {
    uint64_t size = RING_MIN;
    while (size * 2 <= bytes && size < RING_MAX)
        size *= 2;
    return size;
}

/* A number in a file of the control group; UINT64_MAX where there is none ("max"). */
static uint64_t read_limit(const char *path) {
    char text[32] = "";
    FILE *file = fopen(path, "re");
    if (!file)
        return UINT64_MAX;
    bool is_read = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    char *end = text;
    unsigned long long limit = is_read ? strtoull(text, &end, 10) : 0;
    return end != text && limit ? limit : UINT64_MAX;
}

static uint64_t memory_bytes(void) {
    struct rlimit limit;
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    bytes = PSTK_MIN(bytes, read_limit("/sys/fs/cgroup/memory.max"));
    bytes = PSTK_MIN(bytes, read_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        bytes = PSTK_MIN(bytes, (uint64_t)limit.rlim_cur);
    return bytes;
}

static uint64_t existing_bytes(const char *ring_dir, const uint8_t journal_id[16]) {
    static const char digits[] = "0123456789abcdef";
    char path[640], hex[33] = "";
    struct stat info;
    for (int i = 0; i < 16; i++) {
        hex[2 * i] = digits[journal_id[i] >> 4];
        hex[2 * i + 1] = digits[journal_id[i] & 15];
    }
    snprintf(path, sizeof path, "%s/penstock-%s/ring", ring_dir, hex);
    return stat(path, &info) == 0 && info.st_size > 0 ? (uint64_t)info.st_size : 0;
}

uint64_t pstk_engine_ring_bytes(const char *ring_dir, const uint8_t journal_id[16]) {
    /* The file is the ring and an index much smaller than it. */
    uint64_t existing = existing_bytes(ring_dir, journal_id);
    if (existing > RING_MIN)
        return power_of_two_below(existing);
    struct statvfs system;
    uint64_t bytes = PSTK_MIN(memory_bytes() / 16, SIZE_MAX_DEFAULT);
    if (statvfs(ring_dir, &system) == 0 && system.f_blocks != 0)
        bytes = PSTK_MIN(bytes, (uint64_t)system.f_bavail * system.f_frsize / 2);
    return PSTK_MAX(power_of_two_below(bytes), SIZE_MIN);
}
