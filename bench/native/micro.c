/* micro: the smallest pieces, each so many times, for test_micro.py. Every call returns what it
 * computed, so that nothing is left out. */
#include "base/base.h"
#include "parse/number.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT uint64_t micro_sha256(uint64_t times, const uint8_t *bytes, size_t size) {
    uint8_t digest[32] = {0};
    for (uint64_t i = 0; i < times; i++) {
        pstk_sha256 sha;
        pstk_sha256_init(&sha);
        pstk_sha256_update(&sha, digest, sizeof digest);
        pstk_sha256_update(&sha, bytes, size);
        pstk_sha256_final(&sha, digest);
    }
    return digest[0];
}

EXPORT uint64_t micro_crc32c(uint64_t times, const uint8_t *bytes, size_t size) {
    uint32_t crc = 0;
    for (uint64_t i = 0; i < times; i++)
        crc = pstk_crc32c(crc, bytes, size);
    return crc;
}

EXPORT uint64_t micro_hash(uint64_t times, const uint8_t *bytes, size_t size) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < times; i++)
        sum += pstk_hash_bytes(bytes + (sum & 1), size - 1);
    return sum;
}

EXPORT uint64_t micro_number(uint64_t times, const uint8_t *bytes, size_t size) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < times; i++) {
        pstk_number number;
        sum += pstk_number_scan(bytes, bytes + size, &number) ? number.magnitude : 0;
    }
    return sum;
}
