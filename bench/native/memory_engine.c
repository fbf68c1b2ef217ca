/* memory_engine: ours, what it holds for many tags: makes them, gives each a few samples, and tells
 * how much memory the process has after a checkpoint to disk. The ring is not in it.
 *
 *   memory_engine FOLDER RING_FOLDER RING_BYTES USED [tags=1000] [limits=1] [windows=1]
 *
 * Tables are for tags; USED of them are made, so that two runs differ in nothing but these. */
#include "child.h"
#include "engine_default.h"
#include "plan.h"

#define BATCH 16384u /* the windows that close meanwhile fit the default slots */
#define PASSES 3u

static pstk_engine *engine;
static bench_counts counts;

static void make_tags(uint32_t used) {
    for (uint32_t tag = 0; tag < used; tag++) {
        char name[PLAN_NAME_BYTES + 1];
        uint32_t id;
        pstk_error err;
        plan_name(tag, name);
        if (pstk_engine_tag(engine, 0, name, PLAN_NAME_BYTES, PSTK_TYPE_F64, &id, &err) != PSTK_OK)
            child_die("tag: %s", err.text);
    }
}

/* One sample of each tag, all in one second of event time: windows of a pass end with the next. */
static void feed_pass(uint32_t used, uint32_t pass) {
    static uint32_t tags[BATCH];
    static int64_t times[BATCH];
    static double values[BATCH];
    pstk_feed feed = {
        .position = UINT64_MAX, .tag_ids = tags, .time_ns = times, .values = (uint64_t *)values};
    for (uint32_t first = 0; first < used; first += BATCH) {
        pstk_feed_result result;
        pstk_error err;
        feed.count = used - first < BATCH ? used - first : BATCH;
        for (uint32_t k = 0; k < feed.count; k++) {
            tags[k] = first + k;
            times[k] = PLAN_START_NS + pass * INT64_C(1000000000) + (first + k) * INT64_C(900);
            values[k] = PLAN_UNITS_TAIL / PLAN_UNIT;
        }
        if (pstk_engine_feed(engine, &feed, &result, &err) != PSTK_OK)
            child_die("feed: %s", err.text);
        bench_engine_consume(engine, INT64_MAX, &counts);
    }
}

int main(int argc, char **argv) {
    if (argc < 5)
        child_die("usage: memory_engine FOLDER RING_FOLDER RING_BYTES USED ...");
    bench_shape shape = bench_shape_from(argv);
    uint32_t used = (uint32_t)child_number(argv[4]);
    pstk_error err;
    shape.kind = PSTK_SOURCE_FEED;
    engine = bench_engine_open_shape(argv[1], argv[2], child_number(argv[3]), &shape);
    make_tags(used);
    for (uint32_t pass = 0; pass < PASSES; pass++)
        feed_pass(used, pass);
    if (pstk_engine_checkpoint(engine, 1, &err) != PSTK_OK)
        child_die("checkpoint: %s", err.text);
    printf("memory {\"bytes\": %llu}\n", (unsigned long long)child_memory_bytes());
    bench_engine_report(engine, &counts);
    bench_engine_end(engine);
    return 0;
}
