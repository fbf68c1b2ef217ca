/* judge order: what samples of event order pass on their way to the heap and out of it. Private to
 * engine_judge*.c. Threads  the judge. Bound    nodes: reorder_slots. */
#ifndef PSTK_ENGINE_JUDGE_ORDER_H
#define PSTK_ENGINE_JUDGE_ORDER_H

#include "engine_judge_state.h"

typedef struct judge_run { /* what holds for the whole block */
    const pstk_sample *sample;
    uint32_t count;
    uint32_t stream_index;
    judge_stream *stream;
    uint32_t clock_index;
    judge_clock *clock;
    int64_t others_ns; /* other streams of the source hold the watermark at this */
    int64_t recv_ns;
} judge_run;

static inline int64_t judge_run_time(const judge_run *at, const pstk_sample *sample) {
    return sample->time_ns == PSTK_TIME_NONE ? at->recv_ns : sample->time_ns;
}

/* The watermark where the stream has come as far as newest_ns. */
static inline int64_t judge_run_mark(const judge_run *at, int64_t newest_ns) {
    return pstk_time_add(PSTK_MIN(newest_ns, at->others_ns), -at->clock->lateness_ns);
}

static inline bool judge_is_time(int64_t time_ns) {
    return time_ns <= PSTK_RULE_TIME_MAX && time_ns >= -PSTK_RULE_TIME_MAX;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

typedef struct judge_row { /* what came in order on a clock, and waits; derived */
    uint32_t first, last;  /* judge_node, one hangs left of the other; 0 = none */
    int64_t last_ns;
} judge_row;

static inline bool judge_node_is_before(const judge_node *a, const judge_node *b) {
    return a->time_ns < b->time_ns || (a->time_ns == b->time_ns && a->ordinal < b->ordinal);
}

/* As the arena's take and drop, of an item that is written as a whole. 0: full. */
static inline uint32_t judge_node_take(pstk_judge *judge) {
    judge_arena *arena = &judge->arena[JUDGE_NODE];
    uint32_t index = arena->free;
    if (PSTK_UNLIKELY(!index))
        return judge_arena_take(judge, JUDGE_NODE);
    arena->free = judge_node_raw(judge, index)->link;
    return index;
}

static inline void judge_node_drop(pstk_judge *judge, uint32_t index) {
    judge_arena *arena = &judge->arena[JUDGE_NODE];
    *judge_node_at(judge, index) = (judge_node){.link = arena->free};
    arena->free = index;
}

/* ---- engine_judge_heap.c -------------------------------------------------------------------- */

uint32_t judge_heap_merge(pstk_judge *judge, uint32_t a, uint32_t b);
void judge_heap_put(pstk_judge *judge, judge_clock *clock, uint32_t node);
void judge_rows_fold(pstk_judge *judge); /* all rows into their heaps: an image knows none */

/* ---- engine_judge_instant.c ----------------------------------------------------------------- */

void judge_touch_instance(pstk_judge *judge, uint32_t instance);
/* A node that the heap let out; it is dropped, or held by a wide window. */
void judge_instant_take(pstk_judge *judge, uint32_t node);
/* The transition of an instance; there is room for its events. */
void judge_instant_step(pstk_judge *judge, uint32_t instance);
/* An alarm of event order takes one value an instant. */
void judge_instant_set(pstk_judge *judge, uint32_t limit, const judge_hot *hot,
                       const judge_node *node);

/* ---- engine_judge_order.c ------------------------------------------------------------------- */

/* Goes on while samples are of event order alone and need nothing else; returns the index of the
 * first one that does. *out_is_full: all of that one is done but what waits for room for events. */
uint32_t judge_order_run(pstk_judge *judge, judge_run *at, uint32_t i, bool *out_is_full);

/* A sample: behind the row where it comes in order. False: no node is free. */
bool judge_order_push(pstk_judge *judge, uint32_t clock, const pstk_sample *sample, int64_t time_ns,
                      pstk_value value);

/* ---- engine_judge_arrival.c ----------------------------------------------------------------- */

/* A sample reaches an alarm of arrival order. False: it has more to tell; come again. */
bool judge_arrival_alarm(pstk_judge *judge, const judge_run *at, const pstk_sample *sample,
                         uint32_t instance);
/* As judge_order_run, while one alarm of arrival order hears them and nothing else does. */
uint32_t judge_arrival_run(pstk_judge *judge, judge_run *at, uint32_t i, bool *out_is_full);

/* ---- engine_judge_window_held.c ------------------------------------------------------------- */

/* A sample that nothing but the window of that binding hears, by itself in its instant; false: it
 * takes the long way. */
bool judge_wide_take_alone(pstk_judge *judge, uint32_t node, uint32_t bind);

#endif
