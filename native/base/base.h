/* base: what every stage may use: errors, hashing, byte order, crash points. No stage's noun lives
 * here. Threads  all functions are pure or touch only their arguments. */
#ifndef PSTK_BASE_H
#define PSTK_BASE_H

#include "../penstock.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PSTK_LIKELY(x) __builtin_expect(!!(x), 1)
#define PSTK_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PSTK_COLD __attribute__((cold)) /* runs at a start: built small */
#define PSTK_MIN(a, b) ((a) < (b) ? (a) : (b))
#define PSTK_MAX(a, b) ((a) > (b) ? (a) : (b))
#define PSTK_NS_PER_S INT64_C(1000000000)

/* Our own bug: aborts in debug builds only; release builds go on to the caller's sticky FAILED. */
#ifdef PSTK_DEBUG
#include <assert.h>
#define PSTK_ASSERT(x) assert(x)
#else
#define PSTK_ASSERT(x) ((void)sizeof(x))
#endif

/* Fills err (may be NULL) and returns status, so that `return pstk_fail(...)` is the one way out.
 */
int pstk_fail(pstk_error *err, int status, int os_error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Little-endian loads and stores of unaligned bytes. */
static inline uint16_t pstk_load_u16(const void *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}
static inline uint32_t pstk_load_u32(const void *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}
static inline uint64_t pstk_load_u64(const void *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}
static inline void pstk_store_u16(void *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void pstk_store_u32(void *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void pstk_store_u64(void *p, uint64_t v) { memcpy(p, &v, 8); }

/* CRC-32C (Castagnoli, reflected 0x82F63B78), hardware where the build has it. crc starts at 0. */
uint32_t pstk_crc32c(uint32_t crc, const void *bytes, size_t size);
/* Without the processor's own instructions: what the test holds the fast way against. */
uint32_t pstk_crc32c_portable(uint32_t crc, const void *bytes, size_t size);

/* 64-bit hash of a name; seedless and stable within one build, never stored. */
uint64_t pstk_hash_bytes(const void *bytes, size_t size);

/* SHA-256, FIPS 180-4. */
typedef struct pstk_sha256 {
    uint32_t state[8];
    uint64_t size;
    uint8_t block[64];
} pstk_sha256;
void pstk_sha256_init(pstk_sha256 *sha);
void pstk_sha256_update(pstk_sha256 *sha, const void *bytes, size_t size);
void pstk_sha256_final(pstk_sha256 *sha, uint8_t out_digest[32]);
/* One block without the processor's own instructions: what the test holds the fast way against. */
void pstk_sha256_block_portable(uint32_t state[8], const uint8_t block[64]);

/* Copies text into a fixed array, always zero-terminated; false where it did not fit. */
bool pstk_copy_text(char *out, size_t capacity, const char *text, size_t text_bytes);

/* Strict UTF-8, RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool pstk_is_utf8(const uint8_t *bytes, size_t size);

/* Wall clock and BOOTTIME, ns. Only the engine and intake ask; pure stages get time as an argument.
 */
int64_t pstk_wall_ns(void);
int64_t pstk_boot_ns(void);

/* xorshift64*, for back-off jitter only. */
uint64_t pstk_random(uint64_t *state);

/* Named crash points, test builds only: PENSTOCK_CRASH_AT=name or name:n raises SIGKILL at the n-th
 * passage. */
#ifdef PSTK_CRASH_POINTS
void pstk_crash_point(const char *name);
#define PSTK_CRASH(name) pstk_crash_point(name)
/* PENSTOCK_FAULT=name:n:errno: that call fails from its n-th passage on; 0 = it goes on. */
int pstk_fault_point(const char *name);
#define PSTK_FAULT(name) pstk_fault_point(name)
#else
#define PSTK_CRASH(name) ((void)0)
#define PSTK_FAULT(name) 0
#endif

typedef struct pstk_frame { /* one message: slices borrowed from the receive buffer */
    const uint8_t *subject; /* NATS subject, first part of a multipart ZMQ message; NULL = none */
    const uint8_t *payload; /* last part */
    uint32_t subject_bytes;
    uint32_t payload_bytes;
} pstk_frame;

/* A batch with room for these columns; what is given is copied, what is not is zero. batch.c */
pstk_batch *pstk_batch_lay_out(const pstk_column *wanted, size_t count, uint64_t rows);

#endif
