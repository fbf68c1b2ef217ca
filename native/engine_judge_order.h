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

/* As the arena's take and drop, of an item that is written as a whole. */
static inline uint32_t judge_node_take(pstk_judge *judge) {
    judge_arena *arena = &judge->arena[JUDGE_NODE];
    uint32_t index = arena->free;
    if (!index)
        return judge_arena_take(judge, JUDGE_NODE);
    arena->free = judge_node_raw(judge, index)->link;
    return index;
}

static inline void judge_node_drop(pstk_judge *judge, uint32_t index) {
    judge_arena *arena = &judge->arena[JUDGE_NODE];
    *judge_node_at(judge, index) = (judge_node){.link = arena->free};
    arena->free = index;
}

/* ---- engine_judge_order.c ------------------------------------------------------------------- */

/* Goes on while samples are of event order alone and need nothing else; returns the index of the
 * first one that does. *out_is_full: all of that one is done but what waits for room for events. */
uint32_t judge_order_run(pstk_judge *judge, judge_run *at, uint32_t i, bool *out_is_full);

/* ---- engine_judge_window_held.c ------------------------------------------------------------- */

/* A sample that nothing but the window of that binding hears, by itself in its instant; false: it
 * takes the long way. */
bool judge_wide_take_alone(pstk_judge *judge, uint32_t node, uint32_t bind);

#endif
