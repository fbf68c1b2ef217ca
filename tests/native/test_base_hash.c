/* Known answers: FIPS 180-4 examples, RFC 3720 appendix B.4 for CRC-32C, RFC 3629 for UTF-8. */
#include "base/base.h"
#include "check.h"

static void sha_is(const char *text, size_t size, const char *hex) {
    pstk_sha256 sha;
    uint8_t digest[32];
    char out[65];
    pstk_sha256_init(&sha);
    for (size_t i = 0; i < size; i++) /* byte by byte: the block border is crossed everywhere */
        pstk_sha256_update(&sha, text + i, 1);
    pstk_sha256_final(&sha, digest);
    for (int i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    CHECK(strcmp(out, hex) == 0);
}

/* The processor's instructions and the portable code agree on random blocks and states. */
static void ways_agree(void) {
    uint64_t seed = 20261123;
    for (int turn = 0; turn < 2000; turn++) {
        pstk_sha256 sha;
        uint8_t block[64];
        for (size_t i = 0; i < sizeof block; i++)
            block[i] = (uint8_t)(pstk_random(&seed) >> 32);
        pstk_sha256_init(&sha);
        uint32_t state[8];
        for (int i = 0; i < 8; i++)
            sha.state[i] = state[i] = (uint32_t)(pstk_random(&seed) >> 32);
        pstk_sha256_update(&sha, block, sizeof block);
        pstk_sha256_block_portable(state, block);
        CHECK(memcmp(state, sha.state, sizeof state) == 0);
    }
}

/* Of every length up to where each loop has gone round, and of long ones; at any address. */
static void crc_ways_agree(void) {
    static uint8_t bytes[70000];
    uint64_t seed = 7;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)pstk_random(&seed);
    for (size_t size = 0; size < 8000; size++) {
        uint32_t begin = (uint32_t)pstk_random(&seed);
        const uint8_t *at = bytes + size % 13;
        CHECK(pstk_crc32c(begin, at, size) == pstk_crc32c_portable(begin, at, size));
    }
    for (size_t size = 8000; size < 65000; size += 1 + pstk_random(&seed) % 900)
        CHECK(pstk_crc32c(0, bytes, size) == pstk_crc32c_portable(0, bytes, size));
}

int main(void) {
    ways_agree();
    crc_ways_agree();
    sha_is("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha_is("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha_is("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
           "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    uint8_t zeros[32] = {0}, ones[32];
    memset(ones, 0xff, sizeof ones);
    CHECK(pstk_crc32c(0, zeros, 32) == 0x8a9136aa);
    CHECK(pstk_crc32c(0, ones, 32) == 0x62a8ab43);
    CHECK(pstk_crc32c(0, "123456789", 9) == 0xe3069283);
    CHECK(pstk_crc32c(pstk_crc32c(0, "1234", 4), "56789", 5) == 0xe3069283);
    CHECK(pstk_is_utf8((const uint8_t *)"a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 10));
    CHECK(!pstk_is_utf8((const uint8_t *)"\xc0\x80", 2));
    CHECK(!pstk_is_utf8((const uint8_t *)"\xed\xa0\x80", 3));
    CHECK(!pstk_is_utf8((const uint8_t *)"\xf4\x90\x80\x80", 4));
    CHECK(!pstk_is_utf8((const uint8_t *)"\xe2\x82", 2));
    CHECK(pstk_hash_bytes("line1.m1.good", 13) != pstk_hash_bytes("line1.m1.gooe", 13));
    char text[4];
    CHECK(!pstk_copy_text(text, sizeof text, "abcd", 4) && strcmp(text, "abc") == 0);
    return check_result("base_hash");
}
