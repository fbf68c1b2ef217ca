/* engine_default: one engine as every figure has it: the defaults of the configuration, one source,
 * a limit and a 1 s window on every tag; and what its consumer counts. */
#ifndef BENCH_ENGINE_DEFAULT_H
#define BENCH_ENGINE_DEFAULT_H

#include "penstock.h"

#include <stdbool.h>

typedef struct bench_counts { /* what the consumer took, against the sender's expectation */
    uint64_t trips, clears, folded;
    uint64_t windows, window_count;
    double window_sum;
} bench_counts;

/* kind: pstk_source_kind; format: pstk_format; port 0 for feed. */
pstk_engine *bench_engine_open(const char *folder, const char *ring_folder, uint64_t ring_bytes,
                               uint16_t kind, uint16_t format, uint16_t port);
/* Takes and acknowledges all events, takes all results; windows from tail_ns on are not counted. */
void bench_engine_consume(pstk_engine *engine, int64_t tail_ns, bench_counts *counts);
/* One line "final {...}": the counts and the source's figures. */
void bench_engine_report(pstk_engine *engine, const bench_counts *counts);
void bench_engine_end(pstk_engine *engine);
/* One line of JSON: the options above, to be compared with the configuration's defaults. */
void bench_engine_print_defaults(void);

#endif
