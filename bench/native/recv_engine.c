/* recv_engine: ours, full work: decode, key, journal, one limit, one 1 s window; events and results
 * are taken by the main thread each few milliseconds.
 *
 *   recv_engine zmtp|nats packed|json PORT FOLDER RING_FOLDER RING_BYTES WARM COUNT
 *   recv_engine defaults */
#include "child.h"
#include "engine_default.h"
#include "plan.h"

#define TURN_NS 5000000
#define PATIENCE_NS INT64_C(120000000000)

static bench_counts counts;
static int64_t tail_ns;

/* False where the samples did not come in time: some were dropped or lost. */
static bool take_until(pstk_engine *engine, uint64_t used) {
    for (int64_t end_ns = child_wall_ns() + PATIENCE_NS; child_wall_ns() < end_ns;) {
        bench_engine_consume(engine, tail_ns, &counts);
        if (bench_engine_used(engine) >= used)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = TURN_NS}, NULL);
    }
    return false;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "defaults") == 0) {
        bench_engine_print_defaults();
        return 0;
    }
    if (argc != 9)
        child_die("usage: recv_engine zmtp|nats packed|json PORT FOLDER RING_FOLDER RING_BYTES "
                  "WARM COUNT");
    uint16_t kind = strcmp(argv[1], "nats") == 0 ? PSTK_SOURCE_NATS : PSTK_SOURCE_ZMQ_PULL;
    uint16_t format = strcmp(argv[2], "json") == 0 ? PSTK_FORMAT_JSON : PSTK_FORMAT_PACKED;
    uint64_t warm = child_number(argv[7]), count = child_number(argv[8]);
    tail_ns = plan_tail_at(warm + count, 0).time_ns;
    pstk_engine *engine = bench_engine_open(argv[4], argv[5], child_number(argv[6]), kind, format,
                                            (uint16_t)child_number(argv[3]));
    bool is_whole = take_until(engine, warm);
    child_span begin = child_begin();
    child_say("warm");
    is_whole = is_whole && take_until(engine, warm + count);
    child_measured(begin, count);
    is_whole = is_whole && take_until(engine, warm + count + PLAN_TAGS);
    while (is_whole && !bench_engine_is_judged(engine)) /* the event ring was full: go on taking */
        bench_engine_consume(engine, tail_ns, &counts);
    bench_engine_consume(engine, tail_ns, &counts);
    bench_engine_report(engine, &counts);
    bench_engine_end(engine);
    return is_whole ? 0 : 1;
}
