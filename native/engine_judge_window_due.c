/* judge window, due: what ends by time alone, first things first.
 * Method   one pairing heap a clock, of windows by due_ns: push and earlier cost one compare, to
 * take the first one amortized log n (Fredman, Sedgewick, Sleator, Tarjan 1986). prev is the left
 * neighbour, of a first child the parent. A window lies in the heap of the clock it was scheduled
 * on, and only while something is due. */
#include "engine_judge_state.h"

static uint32_t meld(pstk_judge *judge, uint32_t a, uint32_t b) {
    if (!a || !b)
        return a ? a : b;
    if (judge_wide_raw(judge, b)->due_ns < judge_wide_raw(judge, a)->due_ns) {
        uint32_t swap = a;
        a = b;
        b = swap;
    }
    judge_wide *root = judge_wide_at(judge, a), *child = judge_wide_at(judge, b);
    child->next = root->child;
    child->prev = a;
    if (root->child)
        judge_wide_at(judge, root->child)->prev = b;
    root->child = b;
    return a;
}

/* Children of what is taken out become one heap: in pairs to the right, then together. */
static uint32_t meld_row(pstk_judge *judge, uint32_t first) {
    uint32_t pairs = 0, root = 0;
    while (first) {
        judge_wide *one = judge_wide_at(judge, first);
        uint32_t a = first, b = one->next;
        one->next = one->prev = 0;
        first = 0;
        if (b) {
            judge_wide *other = judge_wide_at(judge, b);
            first = other->next;
            other->next = other->prev = 0;
        }
        uint32_t pair = meld(judge, a, b);
        judge_wide_at(judge, pair)->next = pairs;
        pairs = pair;
    }
    while (pairs) {
        uint32_t rest = judge_wide_raw(judge, pairs)->next;
        judge_wide_at(judge, pairs)->next = 0;
        root = meld(judge, root, pairs);
        pairs = rest;
    }
    return root;
}

static void set_root(pstk_judge *judge, judge_clock *clock, uint32_t root) {
    clock->wide = root;
    clock->wide_ns = root ? judge_wide_raw(judge, root)->due_ns : INT64_MAX;
}

void judge_wide_unschedule(pstk_judge *judge, uint32_t index) {
    judge_wide *at = judge_wide_at(judge, index);
    if (!at->clock)
        return;
    judge_clock *clock = judge_clock_at(judge, at->clock);
    uint32_t children = meld_row(judge, at->child);
    if (clock->wide == index) {
        set_root(judge, clock, children);
    } else {
        judge_wide *before = judge_wide_at(judge, at->prev);
        if (before->child == index)
            before->child = at->next;
        else
            before->next = at->next;
        if (at->next)
            judge_wide_at(judge, at->next)->prev = at->prev;
        set_root(judge, clock, meld(judge, clock->wide, children));
    }
    at->child = at->next = at->prev = at->clock = 0;
}

/* What is due later than before may stay where it is: it is looked at then, and put back. */
void judge_wide_schedule(pstk_judge *judge, uint32_t index) {
    judge_wide *at = judge_wide_at(judge, index);
    at->clock = judge_hot_raw(judge, at->tag)->clock;
    judge_clock *clock = judge_clock_at(judge, at->clock);
    set_root(judge, clock, meld(judge, clock->wide, index));
}

void judge_wide_rebuild(pstk_judge *judge) {
    for (uint32_t c = 0; c < judge_count(judge, JUDGE_CLOCK); c++)
        set_root(judge, judge_clock_at(judge, c), 0);
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_WIDE); i++) {
        judge_wide *at = judge_wide_at(judge, i);
        at->child = at->next = at->prev = at->clock = 0;
        if (at->instance && judge_instance_raw(judge, at->instance)->rule &&
            at->due_ns != INT64_MAX)
            judge_wide_schedule(judge, i);
    }
}

bool judge_wide_sweep(pstk_judge *judge, uint32_t clock_index, uint32_t *budget) {
    judge_clock *clock = judge_clock_at(judge, clock_index);
    if (clock->watermark_ns < clock->wide_ns)
        return true;
    /* A watermark may have been raised by another stream: its samples come first. */
    if (clock->heap_ns < clock->watermark_ns && !judge_clock_drain(judge, clock_index))
        return false;
    for (; clock->wide && clock->wide_ns <= clock->watermark_ns && *budget; (*budget)--)
        if (!judge_wide_advance(judge, clock->wide, clock->watermark_ns))
            return false;
    return true;
}
