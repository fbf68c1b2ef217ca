/* engine_default: one engine as every figure has it: the defaults of the configuration, one source,
 * a limit and a 1 s window on every tag; and what its consumer counts. */
#ifndef BENCH_ENGINE_DEFAULT_H
#define BENCH_ENGINE_DEFAULT_H

#include "penstock.h"

#include <stdbool.h>

typedef struct bench_shape { /* what a figure asks about; the rest is the defaults */
    uint16_t kind;           /* pstk_source_kind */
    uint16_t format;         /* pstk_format */
    uint16_t port;           /* 0 for feed */
    uint32_t sources;        /* each connects once */
    uint32_t tags;           /* above what the default tables hold they are as large as is needed */
    uint32_t limits;         /* on every tag; the first is crossed, the others stand above it */
    uint32_t windows;        /* on every tag; of 1 s, 2 s, ... */
    bool is_power;           /* the disk gets every block too */
    uint32_t results;        /* slots for closed windows; 0: as many as close at once, twice */
} bench_shape;
#define BENCH_SHAPE_DEFAULT ((bench_shape){.sources = 1, .tags = 1000, .limits = 1, .windows = 1})
#define BENCH_RULES_MAX 256u

struct histogram;

typedef struct bench_counts { /* what the consumer took, against the sender's expectation */
    uint64_t trips, clears, folded;
    struct histogram *delays; /* NULL, or those of trips of a paced sender */
    int64_t delays_from_ns;   /* crossings stamped before are left out */
    uint64_t windows, window_count;
    double window_sum;
} bench_counts;

/* The shape that arguments like tags=100000 ask for; see recv_steps.c. */
bench_shape bench_shape_from(char **argv);
pstk_engine *bench_engine_open_shape(const char *folder, const char *ring_folder,
                                     uint64_t ring_bytes, const bench_shape *shape);
/* The usual shape. kind: pstk_source_kind; format: pstk_format; port 0 for feed. */
pstk_engine *bench_engine_open(const char *folder, const char *ring_folder, uint64_t ring_bytes,
                               uint16_t kind, uint16_t format, uint16_t port);
/* Takes and acknowledges all events, takes all results; windows from tail_ns on are not counted. */
void bench_engine_consume(pstk_engine *engine, int64_t tail_ns, bench_counts *counts);
/* Over all sources. */
uint64_t bench_engine_used(pstk_engine *engine);
uint64_t bench_engine_received(pstk_engine *engine);
bool bench_engine_is_judged(pstk_engine *engine);
/* One line "final {...}": the counts and the sources' figures. */
void bench_engine_report(pstk_engine *engine, const bench_counts *counts);
void bench_engine_end(pstk_engine *engine);
/* One line of JSON: the options above, to be compared with the configuration's defaults. */
void bench_engine_print_defaults(void);

#endif
