/* base: errors, hashing, text checks and clocks that every stage shares. */
#include "base.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int pstk_fail(pstk_error *err, int status, int os_error, const char *format, ...) {
    if (!err)
        return status;
    err->status = status;
    err->os_error = os_error;
    va_list args;
    va_start(args, format);
    int size = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (os_error && size >= 0 && (size_t)size + 4 < sizeof err->text) {
        char text[96];
        const char *reason = strerror_r(os_error, text, sizeof text);
        snprintf(err->text + size, sizeof err->text - (size_t)size, ": %s", reason);
    }
    return status;
}

uint64_t pstk_hash_bytes(const void *bytes, size_t size) {
    /* Multiply-fold over 8-byte words (the wyhash idea): names are short, so the tail decides the
     * cost. */
    const uint8_t *p = bytes;
    uint64_t hash = UINT64_C(0x9E3779B97F4A7C15) ^ size;
    while (size >= 8) {
        __uint128_t product = (__uint128_t)(hash ^ pstk_load_u64(p)) * UINT64_C(0xD6E8FEB86659FD93);
        hash = (uint64_t)product ^ (uint64_t)(product >> 64);
        p += 8;
        size -= 8;
    }
    uint64_t tail = 0;
    if (size)
        memcpy(&tail, p, size);
    __uint128_t last = (__uint128_t)(hash ^ tail) * UINT64_C(0xA0761D6478BD642F);
    return (uint64_t)last ^ (uint64_t)(last >> 64);
}

bool pstk_copy_text(char *out, size_t capacity, const char *text, size_t text_bytes) {
    bool fits = text_bytes < capacity;
    size_t size = fits ? text_bytes : capacity - 1;
    memcpy(out, text, size);
    memset(out + size, 0, capacity - size);
    return fits;
}

static size_t utf8_tail(uint8_t lead, uint8_t next) {
    /* How many continuation bytes follow, 0 = not allowed (RFC 3629 section 4). */
    if (lead >= 0xC2 && lead <= 0xDF)
        return 1;
    if (lead == 0xE0)
        return next >= 0xA0 ? 2 : 0;
    if (lead == 0xED)
        return next <= 0x9F ? 2 : 0;
    if (lead >= 0xE1 && lead <= 0xEF)
        return 2;
    if (lead == 0xF0)
        return next >= 0x90 ? 3 : 0;
    if (lead == 0xF4)
        return next <= 0x8F ? 3 : 0;
    return lead >= 0xF1 && lead <= 0xF3 ? 3 : 0;
}

bool pstk_is_utf8(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size;) {
        if (bytes[i] < 0x80) {
            i++;
            continue;
        }
        size_t tail = i + 1 < size ? utf8_tail(bytes[i], bytes[i + 1]) : 0;
        if (tail == 0 || tail >= size - i)
            return false;
        for (size_t k = 1; k <= tail; k++)
            if ((bytes[i + k] & 0xC0) != 0x80)
                return false;
        i += tail + 1;
    }
    return true;
}

static int64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * PSTK_NS_PER_S + now.tv_nsec;
}

int64_t pstk_wall_ns(void) { return clock_ns(CLOCK_REALTIME); }
int64_t pstk_boot_ns(void) { return clock_ns(CLOCK_BOOTTIME); }

uint64_t pstk_random(uint64_t *state) {
    uint64_t x = *state ? *state : UINT64_C(0x2545F4914F6CDD1D);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

#ifdef PSTK_CRASH_POINTS
void pstk_crash_point(const char *name) {
    static int passages; /* of the one armed point; test builds only */
    const char *armed = getenv("PENSTOCK_CRASH_AT");
    size_t size = strlen(name);
    if (!armed || strncmp(armed, name, size) != 0 || (armed[size] != 0 && armed[size] != ':'))
        return;
    int wanted = armed[size] == ':' ? atoi(armed + size + 1) : 1;
    if (__atomic_add_fetch(&passages, 1, __ATOMIC_RELAXED) == wanted)
        raise(SIGKILL);
}

int pstk_fault_point(const char *name) {
    static int passages; /* of the one armed fault; test builds only */
    const char *armed = getenv("PENSTOCK_FAULT");
    size_t size = strlen(name);
    if (!armed || strncmp(armed, name, size) != 0 || armed[size] != ':')
        return 0;
    char *end;
    long first = strtol(armed + size + 1, &end, 10);
    long reason = *end == ':' ? strtol(end + 1, NULL, 10) : 5;
    return __atomic_add_fetch(&passages, 1, __ATOMIC_RELAXED) >= first ? (int)reason : 0;
}
#endif
