/* judge heap: samples of event order wait here until the watermark passes them.
 * Method: one skew heap a clock in a common pool, ordered by (event time, journal order), and
 * beside it a row: samples that come in order, each behind the last. The first of both is the
 * clock's first. A snapshot takes the row into the heap, for a row is a heap too: an image knows no
 * row. Full     the oldest instant of the clock is taken early and counted reorder_overflow. */
#include "engine_judge_order.h"

/* Top-down skew merge: the walk goes down right spines and swaps children behind it; amortized log
 * n. */
uint32_t judge_heap_merge(pstk_judge *judge, uint32_t a, uint32_t b) {
    uint32_t root = 0, *link = &root;
    while (a && b) {
        if (judge_node_is_before(judge_node_raw(judge, b), judge_node_raw(judge, a))) {
            uint32_t swap = a;
            a = b;
            b = swap;
        }
        judge_node *node = judge_node_at(judge, a);
        *link = a;
        uint32_t right = node->right;
        node->right = node->left;
        link = &node->left;
        a = right;
    }
    *link = a ? a : b;
    return root;
}

void judge_heap_put(pstk_judge *judge, judge_clock *clock, uint32_t index) {
    clock->heap = judge_heap_merge(judge, clock->heap, index);
    clock->heap_ns = PSTK_MIN(clock->heap_ns, judge_node_raw(judge, index)->time_ns);
}

bool judge_heap_push(pstk_judge *judge, uint32_t clock, const judge_node *from) {
    uint32_t index = judge_node_take(judge);
    if (!index)
        return false;
    judge_node *node = judge_node_at(judge, index);
    *node = *from;
    node->ordinal = judge->head.ordinal++;
    judge_heap_put(judge, judge_clock_at(judge, clock), index);
    return true;
}

void judge_rows_fold(pstk_judge *judge) {
    for (uint32_t c = 0; c < judge_count(judge, JUDGE_CLOCK); c++) {
        judge_row *row = &judge->row_of[c];
        if (!row->first)
            continue;
        judge_clock *clock = judge_clock_at(judge, c);
        clock->heap = judge_heap_merge(judge, clock->heap, row->first);
        *row = (judge_row){0};
    }
}

void judge_wake(pstk_judge *judge, uint32_t index, int64_t at_ns) {
    const judge_instance *instance = judge_instance_raw(judge, index);
    judge_group *group = judge_group_at(judge, instance->state);
    uint32_t tag = judge_tag_of(judge, instance);
    if (!judge_is_tag(judge, tag))
        return; /* nothing is counted yet, so nothing can be cut */
    uint32_t clock = judge_hot_raw(judge, tag)->clock;
    int64_t watermark_ns = judge_clock_raw(judge, clock)->watermark_ns;
    if (at_ns < watermark_ns) {
        at_ns = watermark_ns;
        group->is_cut_late = 1;
    }
    /* No node is free: the next instant of the tag cuts, as the context says by then. */
    (void)judge_heap_push(judge, clock, &(judge_node){.instance = index, .time_ns = at_ns});
}
