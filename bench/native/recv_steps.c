/* recv_steps: ours, full work, told step by step; for figures about another shape than the usual.
 *
 *   recv_steps kind=zmtp|sub|nats format=packed|json port=PORT state=FOLDER ring=FOLDER
 *              ring_bytes=N [sources=1] [tags=1000] [limits=1] [windows=1] [wake=0]
 *
 * wake=1: events are taken the moment the eventfd tells of them, else each few milliseconds.
 * Steps, one a line:
 *   connected N   until N connections are up                     prints connected {...}
 *   take N        until N samples were received since the start      prints measured {...}
 *   rest MS       for so long                                    prints measured {...}
 *   delays MS     count delays of crossings that are due MS from now or later
 *   delay         prints delay {...}
 *   memory        prints memory {...}
 *   tail NS       windows that end later are not counted
 *   final         all is judged: prints final {...}; the engine ends with the input */
#include "child.h"
#include "engine_default.h"
#include "histogram.h"
#include "plan.h"

#include <poll.h>
#include <unistd.h>

#define TURN_MS 5
#define REST_MS 250 /* windows are taken that often when no event wakes */
#define PATIENCE_NS INT64_C(120000000000)

static pstk_engine *engine;
static bench_counts counts;
static histogram delays;
static int64_t tail_ns = INT64_MAX;
static bool wakes;
static uint32_t turns_a_look; /* a look asks every source, which is work where there are many */

/* One turn of the consumer: until events come, or the time is over, at most so long. */
static void turn(int64_t end_ns, int most_ms) {
    int64_t left_ms = (end_ns - child_wall_ns() + 999999) / 1000000;
    int wait_ms = left_ms < 0 ? 0 : left_ms < most_ms ? (int)left_ms : most_ms;
    if (wakes) {
        struct pollfd wait = {.fd = pstk_engine_event_fd(engine), .events = POLLIN};
        uint64_t told;
        if (poll(&wait, 1, wait_ms) > 0 && read(wait.fd, &told, sizeof told) < 0)
            child_die("the eventfd cannot be read");
    } else {
        nanosleep(&(struct timespec){.tv_nsec = wait_ms * 1000000L}, NULL);
    }
    bench_engine_consume(engine, tail_ns, &counts);
}

static void take(uint64_t received) {
    int64_t end_ns = child_wall_ns() + PATIENCE_NS;
    uint64_t before = bench_engine_received(engine);
    child_span begin = child_begin();
    bench_engine_consume(engine, tail_ns, &counts);
    for (uint32_t k = 0; k % turns_a_look || bench_engine_received(engine) < received; k++) {
        if (child_wall_ns() > end_ns)
            child_die("only %llu of %llu samples came",
                      (unsigned long long)bench_engine_received(engine),
                      (unsigned long long)received);
        turn(end_ns, TURN_MS);
    }
    child_measured(begin, bench_engine_received(engine) - before);
}

static void rest(uint64_t ms) {
    uint64_t before = bench_engine_received(engine);
    child_span begin = child_begin();
    int64_t end_ns = begin.wall_ns + (int64_t)ms * 1000000;
    while (child_wall_ns() < end_ns)
        turn(end_ns, wakes ? REST_MS : TURN_MS);
    child_measured(begin, bench_engine_received(engine) - before);
}

static void wait_connected(uint64_t connections) {
    int64_t end_ns = child_wall_ns() + PATIENCE_NS;
    uint64_t up = 0;
    while (up < connections) {
        pstk_source_stats source;
        up = 0;
        for (uint32_t k = 0; pstk_engine_source_stats(engine, k, &source) == PSTK_OK; k++)
            up += source.is_up;
        if (child_wall_ns() > end_ns)
            child_die("only %llu connections are up", (unsigned long long)up);
        turn(end_ns, TURN_MS);
    }
    child_say("connected {}");
}

static void count_delays(uint64_t after_ms) {
    memset(&delays, 0, sizeof delays);
    counts.delays = &delays;
    counts.delays_from_ns = child_real_ns() - PLAN_PAST_NS + (int64_t)after_ms * 1000000;
}

static void finish(void) {
    while (!bench_engine_is_judged(engine)) /* the event ring was full: go on taking */
        bench_engine_consume(engine, tail_ns, &counts);
    bench_engine_consume(engine, tail_ns, &counts);
    bench_engine_report(engine, &counts);
}

static void obey(const char *line) {
    const char *number = strchr(line, ' ');
    uint64_t value = number ? child_number(number + 1) : 0;
    if (strncmp(line, "connected ", 10) == 0)
        wait_connected(value);
    else if (strncmp(line, "take ", 5) == 0)
        take(value);
    else if (strncmp(line, "rest ", 5) == 0)
        rest(value);
    else if (strncmp(line, "delays ", 7) == 0)
        count_delays(value);
    else if (strncmp(line, "delay", 5) == 0)
        histogram_print(&delays);
    else if (strncmp(line, "memory", 6) == 0)
        printf("memory {\"bytes\": %llu}\n", (unsigned long long)child_memory_bytes());
    else if (strncmp(line, "tail ", 5) == 0)
        tail_ns = (int64_t)value;
    else if (strncmp(line, "final", 5) == 0)
        finish();
    else
        child_die("no such step: %s", line);
    fflush(stdout);
}

int main(int argc, char **argv) {
    const char *state = child_text(argv, "state", NULL), *ring = child_text(argv, "ring", NULL);
    if (argc < 2 || !state || !ring)
        child_die("usage: recv_steps kind=... port=... state=FOLDER ring=FOLDER ring_bytes=N ...");
    bench_shape shape = bench_shape_from(argv);
    wakes = child_option(argv, "wake", 0);
    turns_a_look = 1 + shape.sources / 25;
    engine = bench_engine_open_shape(state, ring, child_option(argv, "ring_bytes", 0), &shape);
    char line[64];
    while (fgets(line, sizeof line, stdin))
        obey(line);
    bench_engine_end(engine);
    return 0;
}
