/* feed_journal: ours, columns in process, to ask what journal and checkpoints cost: as feed_engine,
 * but it makes its own columns, may be paced, and tells what was written. One pass to warm up, flat
 * out, one that counts (the same rows, later), and a tail that closes the last windows. Events and
 * results are taken after each batch. feed_journal_bare is the same with the ring in plain memory
 * and no image (bare_ring.c, bare_image.c), feed_journal_plain without images alone.
 *
 *   feed_journal FOLDER RING_FOLDER RING_BYTES ROWS BATCH [rate=ROWS A SECOND] [tags=1000]
 *                [power=1] ... */
#include "child.h"
#include "engine_default.h"
#include "plan.h"

#include <dirent.h>
#include <sys/stat.h>

#define PATIENCE_NS INT64_C(10000000000)

static plan of;

typedef struct columns {
    uint32_t *tag;
    int64_t *time_ns;
    uint64_t *value;
    size_t rows, batch;
    uint64_t rate; /* rows a second; 0 = flat out */
} columns;

static void make_columns(columns *in) {
    in->tag = malloc(in->rows * sizeof *in->tag);
    in->time_ns = malloc(in->rows * sizeof *in->time_ns);
    in->value = malloc(in->rows * sizeof *in->value);
    if (!in->tag || !in->time_ns || !in->value)
        child_die("no memory for %zu rows", in->rows);
    for (size_t i = 0; i < in->rows; i++) {
        plan_sample sample = plan_sample_at(&of, i);
        double value = (double)sample.units / PLAN_UNIT;
        in->tag[i] = sample.tag;
        in->time_ns[i] = sample.time_ns;
        memcpy(&in->value[i], &value, sizeof value);
    }
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

/* Sleeps until row number `row` is due; a feeder that is behind does not sleep. */
static void pace_until(const columns *in, int64_t begin_ns, size_t row) {
    int64_t due_ns = begin_ns + (int64_t)((double)row * 1e9 / (double)in->rate);
    struct timespec due = {.tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static void feed_all(pstk_engine *engine, const columns *in, bool is_paced, bench_counts *counts) {
    int64_t begin_ns = child_wall_ns(), tail_ns = plan_sample_tail(&of, 2 * in->rows, 0).time_ns;
    for (size_t first = 0; first < in->rows; first += in->batch) {
        size_t left = in->rows - first;
        if (is_paced && in->rate)
            pace_until(in, begin_ns, first);
        feed_rows(engine, in, first, left < in->batch ? left : in->batch);
        bench_engine_consume(engine, tail_ns, counts);
    }
}

static void feed_tail(pstk_engine *engine, columns *in, bench_counts *counts) {
    int64_t tail_ns = plan_sample_tail(&of, 2 * in->rows, 0).time_ns;
    for (uint32_t tag = 0; tag < of.tags; tag++) {
        plan_sample sample = plan_sample_tail(&of, 2 * in->rows, tag);
        double value = (double)sample.units / PLAN_UNIT;
        in->tag[tag] = tag;
        in->time_ns[tag] = sample.time_ns;
        memcpy(&in->value[tag], &value, sizeof value);
    }
    feed_rows(engine, in, 0, of.tags);
    bench_engine_consume(engine, tail_ns, counts);
    int64_t end_ns = child_wall_ns() + PATIENCE_NS; /* many windows close part by part, with time */
    while (counts->window_count < 2 * in->rows && child_wall_ns() < end_ns) {
        pstk_error err;
        if (pstk_engine_tick(engine, 0, &err) != PSTK_OK)
            child_die("tick: %s", err.text);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        bench_engine_consume(engine, tail_ns, counts);
    }
}

/* Of the newer image, or 0. */
static uint64_t image_bytes(const char *ring_folder) {
    char path[8192];
    struct stat info;
    uint64_t most = 0;
    DIR *folder = opendir(ring_folder);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        for (int k = 0; k < 2; k++) {
            snprintf(path, sizeof path, "%s/%s/image.%c", ring_folder, entry->d_name, 'A' + k);
            if (stat(path, &info) == 0 && (uint64_t)info.st_size > most)
                most = (uint64_t)info.st_size;
        }
    }
    if (folder)
        closedir(folder);
    return most;
}

/* By the disk journal; an older revision beside this one has none. */
static uint64_t disk_bytes(const pstk_stats *before, const pstk_stats *after) {
#ifdef PSTK_JOURNAL_BYTES_DEFAULT
    return after->disk_written - before->disk_written;
#else
    return (void)before, (void)after, 0;
#endif
}

static void print_written(const pstk_stats *before, const pstk_stats *after,
                          const char *ring_folder) {
    printf("journal {\"ring_bytes\": %llu, \"checkpoints\": %llu, \"image_bytes\": %llu, "
           "\"pause_ns\": %llu, \"disk_bytes\": %llu}\n",
           (unsigned long long)(after->written - before->written),
           (unsigned long long)(after->checkpoints - before->checkpoints),
           (unsigned long long)image_bytes(ring_folder),
           (unsigned long long)after->checkpoint_ns_max,
           (unsigned long long)disk_bytes(before, after));
    fflush(stdout);
}

static void print_expected(size_t rows) {
    static plan_expected expected;
    for (uint64_t i = 0; i < 2 * rows; i++)
        plan_expect(&expected, plan_sample_at(&of, i % rows));
    plan_expect_print(&expected);
}

int main(int argc, char **argv) {
    if (argc < 6)
        child_die("usage: feed_journal FOLDER RING_FOLDER RING_BYTES ROWS BATCH [rate=] [tags=]");
    bench_shape shape = bench_shape_from(argv);
    shape.kind = PSTK_SOURCE_FEED;
    of = PLAN_DEFAULT;
    of.tags = shape.tags;
    columns in = {.rows = child_number(argv[4]),
                  .batch = child_number(argv[5]),
                  .rate = child_option(argv, "rate", 0)};
    if (in.rows < of.tags || in.batch == 0)
        child_die("too few rows");
    make_columns(&in);
    bench_counts counts = {0};
    pstk_stats before, after;
    pstk_engine *engine = bench_engine_open_shape(argv[1], argv[2], child_number(argv[3]), &shape);
    make_tags(engine);
    feed_all(engine, &in, false, &counts);
    for (size_t i = 0; i < in.rows; i++)
        in.time_ns[i] += (int64_t)in.rows * of.step_ns;
    (void)pstk_engine_stats(engine, &before);
    child_span begin = child_begin();
    feed_all(engine, &in, true, &counts);
    child_measured(begin, in.rows);
    (void)pstk_engine_stats(engine, &after);
    print_written(&before, &after, argv[2]);
    feed_tail(engine, &in, &counts);
    bench_engine_report(engine, &counts);
    bench_engine_end(engine);
    print_expected(in.rows);
    free(in.tag);
    free(in.time_ns);
    free(in.value);
    return 0;
}
