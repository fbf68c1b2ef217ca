/* feed_engine: ours, columns in process: the files of write_columns, fed in batches; journal, one
 * limit, one 1 s window; events and results are taken after each batch. One pass to warm up, one
 * that counts (the same rows, later), and a tail that closes the last windows.
 *
 *   feed_engine COLUMNS ROWS BATCH FOLDER RING_FOLDER RING_BYTES [tags=1000] [limits=1]
 *               [windows=1] */
#include "child.h"
#include "engine_default.h"
#include "plan.h"

#define PATIENCE_NS INT64_C(10000000000)

static plan of;

typedef struct columns {
    uint32_t *tag;
    int64_t *time_ns;
    uint64_t *value;
    size_t rows, batch;
} columns;

static void *load(const char *folder, const char *name, size_t bytes) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    void *memory = malloc(bytes);
    if (!file || !memory || fread(memory, 1, bytes, file) != bytes)
        child_die("cannot read %zu bytes of %s", bytes, path);
    fclose(file);
    return memory;
}

static void make_tags(pstk_engine *engine) {
    for (uint32_t tag = 0; tag < of.tags; tag++) {
        char name[PLAN_NAME_BYTES + 1];
        uint32_t id = UINT32_MAX;
        pstk_error err;
        plan_name(tag, name);
        if (pstk_engine_tag(engine, 0, name, PLAN_NAME_BYTES, PSTK_TYPE_F64, &id, &err) != PSTK_OK)
            child_die("tag: %s", err.text);
        if (id != tag) /* the columns hold the ids of a fresh engine */
            child_die("tag %s has id %u", name, id);
    }
}

static void feed_rows(pstk_engine *engine, const columns *in, size_t first, size_t count) {
    pstk_feed feed = {.position = UINT64_MAX,
                      .count = count,
                      .tag_ids = in->tag + first,
                      .time_ns = in->time_ns + first,
                      .values = in->value + first};
    pstk_feed_result result;
    pstk_error err;
    if (pstk_engine_feed(engine, &feed, &result, &err) != PSTK_OK)
        child_die("feed: %s", err.text);
}

static void feed_all(pstk_engine *engine, const columns *in, int64_t tail_ns,
                     bench_counts *counts) {
    for (size_t first = 0; first < in->rows; first += in->batch) {
        size_t left = in->rows - first;
        feed_rows(engine, in, first, left < in->batch ? left : in->batch);
        bench_engine_consume(engine, tail_ns, counts);
    }
}

static void feed_tail(pstk_engine *engine, columns *in) {
    for (uint32_t tag = 0; tag < of.tags; tag++) {
        plan_sample sample = plan_sample_tail(&of, 2 * in->rows, tag);
        double value = (double)sample.units / PLAN_UNIT;
        in->tag[tag] = tag;
        in->time_ns[tag] = sample.time_ns;
        memcpy(&in->value[tag], &value, sizeof value);
    }
    feed_rows(engine, in, 0, of.tags);
}

/* The last windows of many tags are closed a part at a time, as time passes. */
static void close_windows(pstk_engine *engine, int64_t tail_ns, uint64_t samples,
                          bench_counts *counts) {
    int64_t end_ns = child_wall_ns() + PATIENCE_NS;
    bench_engine_consume(engine, tail_ns, counts);
    while (counts->window_count < samples && child_wall_ns() < end_ns) {
        pstk_error err;
        if (pstk_engine_tick(engine, 0, &err) != PSTK_OK)
            child_die("tick: %s", err.text);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        bench_engine_consume(engine, tail_ns, counts);
    }
}

static void print_expected(size_t rows) {
    static plan_expected expected;
    for (uint64_t i = 0; i < 2 * rows; i++)
        plan_expect(&expected, plan_sample_at(&of, i % rows));
    plan_expect_print(&expected);
}

int main(int argc, char **argv) {
    if (argc < 7)
        child_die("usage: feed_engine COLUMNS ROWS BATCH FOLDER RING_FOLDER RING_BYTES ...");
    bench_shape shape = bench_shape_from(argv);
    shape.kind = PSTK_SOURCE_FEED;
    of = PLAN_DEFAULT;
    of.tags = shape.tags;
    columns in = {.rows = child_number(argv[2]), .batch = child_number(argv[3])};
    if (in.rows < of.tags || in.batch == 0)
        child_die("too few rows");
    in.tag = load(argv[1], "tag.u32", in.rows * sizeof *in.tag);
    in.time_ns = load(argv[1], "time.i64", in.rows * sizeof *in.time_ns);
    in.value = load(argv[1], "value.f64", in.rows * sizeof *in.value);
    int64_t tail_ns = plan_sample_tail(&of, 2 * in.rows, 0).time_ns;
    bench_counts counts = {0};
    pstk_engine *engine = bench_engine_open_shape(argv[4], argv[5], child_number(argv[6]), &shape);
    make_tags(engine);
    feed_all(engine, &in, tail_ns, &counts);
    for (size_t i = 0; i < in.rows; i++)
        in.time_ns[i] += (int64_t)in.rows * PLAN_STEP_NS;
    child_span begin = child_begin();
    feed_all(engine, &in, tail_ns, &counts);
    child_measured(begin, in.rows);
    feed_tail(engine, &in);
    close_windows(engine, tail_ns, 2 * in.rows * shape.windows, &counts);
    bench_engine_report(engine, &counts);
    bench_engine_end(engine);
    print_expected(in.rows);
    free(in.tag);
    free(in.time_ns);
    free(in.value);
    return 0;
}
