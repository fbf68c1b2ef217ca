/* alloc: counts malloc, calloc, realloc and mmap on the engine's own threads while samples flow.
 *
 *   tool_engine_alloc STATE_DIR RING_DIR FIRST LAST
 *
 * Binds a ZMQ PULL source on a free port and prints "port N". Between FIRST and LAST used samples
 * every allocation on a thread that is not the main one is counted; prints "allocations N samples
 * M" and exits 0. The main thread polls and acknowledges meanwhile. */
#include "penstock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static atomic_bool is_counting;
static atomic_ullong counted;

static void count(void) {
    if (atomic_load_explicit(&is_counting, memory_order_relaxed) && syscall(SYS_gettid) != getpid())
        atomic_fetch_add(&counted, 1);
}

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t items, size_t size) {
    count();
    return __libc_calloc(items, size);
}

void *realloc(void *old, size_t size) {
    count();
    return __libc_realloc(old, size);
}

void *mmap(void *where, size_t size, int protection, int flags, int file, off_t offset) {
    count();
    return (void *)syscall(SYS_mmap, where, size, protection, flags, file, offset);
}

static void die(const char *what, const pstk_error *err) {
    fprintf(stderr, "%s: %s\n", what, err->text);
    exit(1);
}

static pstk_engine *open_engine(char **argv) {
    pstk_engine_options options = {.abi_version = PSTK_ABI_VERSION,
                                   .plant = "alloc",
                                   .ring_bytes = 16u << 20,
                                   .tags_max = 4096,
                                   .instances_max = 16384,
                                   .streams_max = 64,
                                   .assets_max = 1024,
                                   .event_slots = 4096,
                                   .result_slots = 4096,
                                   .reorder_slots = 65536,
                                   .codes_max = 16,
                                   .checkpoint_ns = INT64_C(500000000)};
    snprintf(options.state_dir, sizeof options.state_dir, "%s", argv[1]);
    snprintf(options.ring_dir, sizeof options.ring_dir, "%s", argv[2]);
    pstk_source_options source = {.name = "line",
                                  .kind = PSTK_SOURCE_ZMQ_PULL,
                                  .is_bind = 1,
                                  .host = "127.0.0.1",
                                  .idle_after_ns = INT64_C(2000000000),
                                  .future_max_ns = INT64_C(60000000000),
                                  .heartbeat_ns = INT64_C(5000000000),
                                  .handshake_ns_max = INT64_C(5000000000),
                                  .reconnect_ns_min = 100000000,
                                  .reconnect_ns_max = 100000000,
                                  .frame_bytes_max = 1u << 20,
                                  .connections_max = 8,
                                  .ring_share = 1.0};
    pstk_rule rules[3] = {
        {.name = "second", .series = "1", .kind = PSTK_RULE_WINDOW},
        {.name = "high", .series = "1", .kind = PSTK_RULE_LIMIT},
        {.name = "count", .series = "1", .unit = "C62", .kind = PSTK_RULE_COUNTER}};
    rules[0].emit = PSTK_EMIT_RESULT;
    rules[0].size_ns = INT64_C(1000000000);
    snprintf(rules[0].pattern[PSTK_ROLE_VALUE], PSTK_NAME_BYTES, "*");
    snprintf(rules[1].pattern[PSTK_ROLE_VALUE], PSTK_NAME_BYTES, "*.value");
    rules[1].level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 90, .deadband = 10};
    snprintf(rules[2].pattern[PSTK_ROLE_VALUE], PSTK_NAME_BYTES, "*.count");
    rules[2].size_ns = INT64_C(1000000000);
    pstk_engine *engine;
    pstk_error err;
    if (pstk_engine_open(&options, &source, 1, rules, 3, &engine, &err) != PSTK_OK)
        die("open", &err);
    if (pstk_engine_start(engine, &err) != PSTK_OK)
        die("start", &err);
    return engine;
}

static uint64_t used(pstk_engine *engine) {
    pstk_source_stats stats;
    (void)pstk_engine_source_stats(engine, 0, &stats);
    return stats.used;
}

/* Takes events and results until the source has used so many samples, or 60 s have passed. */
static bool consume_until(pstk_engine *engine, uint64_t wanted) {
    static pstk_event events[256];
    static pstk_result results[256];
    pstk_error err;
    size_t events_taken, results_taken;
    for (int turn = 0; turn < 60000 && used(engine) < wanted; turn++) {
        if (pstk_engine_poll(engine, events, 256, &events_taken, &err) != PSTK_OK)
            die("poll", &err);
        if (events_taken &&
            pstk_engine_acknowledge(engine, events[events_taken - 1].seq, &err) != PSTK_OK)
            die("acknowledge", &err);
        if (pstk_engine_results(engine, results, NULL, 256, &results_taken, &err) != PSTK_OK)
            die("results", &err);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return used(engine) >= wanted;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: tool_engine_alloc STATE_DIR RING_DIR FIRST LAST\n");
        return 2;
    }
    uint64_t first = strtoull(argv[3], NULL, 10), last = strtoull(argv[4], NULL, 10);
    pstk_engine *engine = open_engine(argv);
    printf("port %d\n", pstk_engine_port(engine, 0));
    fflush(stdout);
    bool is_reached = consume_until(engine, first);
    uint64_t begin = used(engine);
    atomic_store(&is_counting, true);
    is_reached = is_reached && consume_until(engine, begin + (last - first));
    atomic_store(&is_counting, false);
    pstk_stats stats;
    (void)pstk_engine_stats(engine, &stats);
    printf("allocations %llu samples %llu checkpoints %llu events %llu\n",
           (unsigned long long)atomic_load(&counted), (unsigned long long)(used(engine) - begin),
           (unsigned long long)stats.checkpoints, (unsigned long long)stats.events);
    pstk_error err;
    (void)pstk_engine_close(engine, &err);
    pstk_engine_free(engine);
    return is_reached ? 0 : 1;
}
