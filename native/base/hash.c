/* hash: SHA-256 (FIPS 180-4) for identities, CRC-32C for images. */
#include "base.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

static const uint32_t sha_constant[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t rotate(uint32_t x, unsigned n) { return (x >> n) | (x << (32 - n)); }

static void sha_schedule(const uint8_t block[64], uint32_t w[64]) {
    for (int i = 0; i < 16; i++)
        w[i] = __builtin_bswap32(pstk_load_u32(block + 4 * i));
    for (int i = 16; i < 64; i++) {
        uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ (w[i - 15] >> 3);
        uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
}

/* One round; the eight words stay where they are and change their parts instead of being moved. */
#define SHA_ROUND(a, b, c, d, e, f, g, h, i)                                                       \
    do {                                                                                           \
        uint32_t one = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) +  \
                       sha_constant[i] + w[i];                                                     \
        d += one;                                                                                  \
        h = one + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));      \
    } while (0)

static void sha_portable(uint32_t state[8], const uint8_t block[64]) {
    uint32_t w[64], s[8];
    sha_schedule(block, w);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i += 8) {
        SHA_ROUND(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], i);
        SHA_ROUND(s[7], s[0], s[1], s[2], s[3], s[4], s[5], s[6], i + 1);
        SHA_ROUND(s[6], s[7], s[0], s[1], s[2], s[3], s[4], s[5], i + 2);
        SHA_ROUND(s[5], s[6], s[7], s[0], s[1], s[2], s[3], s[4], i + 3);
        SHA_ROUND(s[4], s[5], s[6], s[7], s[0], s[1], s[2], s[3], i + 4);
        SHA_ROUND(s[3], s[4], s[5], s[6], s[7], s[0], s[1], s[2], i + 5);
        SHA_ROUND(s[2], s[3], s[4], s[5], s[6], s[7], s[0], s[1], i + 6);
        SHA_ROUND(s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[0], i + 7);
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

#if defined(__x86_64__)
/* The same by the processor's own instructions (Intel SHA extensions): two rounds each. */
__attribute__((target("sha,sse4.1"))) static void sha_hardware(uint32_t state[8],
                                                               const uint8_t block[64]) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)state), 0xB1);
    __m128i high =
        _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xF0);
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 16; i++) {
        __m128i *now = &w[i & 3];
        if (i < 4) {
            const void *at = block + 16 * i;
            *now = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)at), order);
        } else {
            __m128i middle = _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4);
            __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(*now, w[(i + 1) & 3]), middle);
            *now = _mm_sha256msg2_epu32(sum, w[(i + 3) & 3]);
        }
        const void *constant = sha_constant + 4 * i;
        __m128i sum = _mm_add_epi32(*now, _mm_loadu_si128((const __m128i *)constant));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
    }
    abef = _mm_shuffle_epi32(_mm_add_epi32(abef, abef_before), 0x1B);
    cdgh = _mm_shuffle_epi32(_mm_add_epi32(cdgh, cdgh_before), 0xB1);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(abef, cdgh, 0xF0));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(cdgh, abef, 8));
}

static bool has_sha_instructions(void) {
    static int known; /* 0 not asked, 1 no, 2 yes; asking twice is harmless */
    int answer = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (answer == 0) {
        unsigned a, b, c, d;
        bool has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) &&
                   __builtin_cpu_supports("sse4.1");
        answer = has ? 2 : 1;
        __atomic_store_n(&known, answer, __ATOMIC_RELAXED);
    }
    return answer == 2;
}
#endif

static void sha_block(uint32_t state[8], const uint8_t block[64]) {
#if defined(__x86_64__)
    if (has_sha_instructions()) {
        sha_hardware(state, block);
        return;
    }
#endif
    sha_portable(state, block);
}

/* For the test that holds both ways against each other. */
void pstk_sha256_block_portable(uint32_t state[8], const uint8_t block[64]) {
    sha_portable(state, block);
}

void pstk_sha256_init(pstk_sha256 *sha) {
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(sha->state, start, sizeof start);
    sha->size = 0;
}

void pstk_sha256_update(pstk_sha256 *sha, const void *bytes, size_t size) {
    const uint8_t *p = bytes;
    size_t used = sha->size & 63;
    sha->size += size;
    while (size) {
        size_t take = PSTK_MIN(64 - used, size);
        memcpy(sha->block + used, p, take);
        used += take;
        p += take;
        size -= take;
        if (used == 64) {
            sha_block(sha->state, sha->block);
            used = 0;
        }
    }
}

void pstk_sha256_final(pstk_sha256 *sha, uint8_t out_digest[32]) {
    uint64_t bits = sha->size * 8;
    uint8_t pad[72] = {0x80};
    size_t pad_bytes = 64 - ((sha->size + 8) & 63);
    for (int i = 0; i < 8; i++)
        pad[pad_bytes + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    pstk_sha256_update(sha, pad, pad_bytes + 8);
    for (int i = 0; i < 8; i++)
        pstk_store_u32(out_digest + 4 * i, __builtin_bswap32(sha->state[i]));
}

static uint32_t crc_table(uint32_t crc, const uint8_t *p, size_t size) {
    /* Bit by bit a nibble at a time: for machines without the instruction; images are small. */
    static const uint32_t nibble[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                        0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    while (size--) {
        crc ^= *p++;
        crc = (crc >> 4) ^ nibble[crc & 15];
        crc = (crc >> 4) ^ nibble[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)
#if defined(__clang__)
#define CRC_TARGET "sse4.2,crc32,pclmul"
#else
#define CRC_TARGET "sse4.2,pclmul"
#endif

/* Three lanes side by side: the instruction takes three cycles, and one can begin in each. The
 * lanes join by a carry-less product: shift_one and shift_two stand for lane_bytes and twice as
 * many zero bytes behind a lane's sum. */
__attribute__((target(CRC_TARGET), always_inline)) static inline uint64_t
crc_lanes(uint64_t crc, const uint8_t *p, size_t lane_bytes, uint64_t shift_one,
          uint64_t shift_two) {
    const uint8_t *q = p + lane_bytes, *r = q + lane_bytes;
    uint64_t second = 0, third = 0;
    for (size_t at = 0; at < lane_bytes - 8; at += 8) {
        crc = _mm_crc32_u64(crc, pstk_load_u64(p + at));
        second = _mm_crc32_u64(second, pstk_load_u64(q + at));
        third = _mm_crc32_u64(third, pstk_load_u64(r + at));
    }
    crc = _mm_crc32_u64(crc, pstk_load_u64(p + lane_bytes - 8));
    second = _mm_crc32_u64(second, pstk_load_u64(q + lane_bytes - 8));
    __m128i front = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc),
                                         _mm_cvtsi64_si128((long long)shift_two), 0);
    __m128i middle = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)second),
                                          _mm_cvtsi64_si128((long long)shift_one), 0);
    uint64_t joined = (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(front, middle));
    return _mm_crc32_u64(third, pstk_load_u64(r + lane_bytes - 8) ^ joined);
}

__attribute__((target(CRC_TARGET))) static uint32_t crc_hardware(uint32_t crc, const uint8_t *p,
                                                                 size_t size) {
    uint64_t wide = crc;
    for (; size >= 3072; p += 3072, size -= 3072)
        wide = crc_lanes(wide, p, 1024, 0x170076fa, 0xa51b6135);
    for (; size >= 768; p += 768, size -= 768)
        wide = crc_lanes(wide, p, 256, 0xb9e02b86, 0xdd7e3b0c);
    for (; size >= 8; p += 8, size -= 8)
        wide = _mm_crc32_u64(wide, pstk_load_u64(p));
    crc = (uint32_t)wide;
    while (size--)
        crc = _mm_crc32_u8(crc, *p++);
    return crc;
}
#endif

/* For the test that holds both ways against each other. */
uint32_t pstk_crc32c_portable(uint32_t crc, const void *bytes, size_t size) {
    return ~crc_table(~crc, bytes, size);
}

uint32_t pstk_crc32c(uint32_t crc, const void *bytes, size_t size) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
        return ~crc_hardware(~crc, bytes, size);
#endif
    return pstk_crc32c_portable(crc, bytes, size);
}
