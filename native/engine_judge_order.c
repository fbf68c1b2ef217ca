/* judge order: in order of time, one sample after another: behind the row, and out of it whatever
 * the watermark has passed. An instant of one sample that one instance hears needs no list. The
 * lane takes samples that only rules of event order hear; it says what the slow path of
 * engine_judge_samples.c says, which takes whatever is late, unusable, of another stream, or heard
 * by more. */
#include "engine_judge_order.h"

/* ---- the row and the heap ------------------------------------------------------------------- */

static inline bool push(pstk_judge *judge, judge_row *row, judge_clock *clock,
                        const pstk_sample *sample, int64_t time_ns, pstk_value value) {
    uint32_t index = judge_node_take(judge);
    if (PSTK_UNLIKELY(!index))
        return false;
    *judge_node_at(judge, index) = (judge_node){.tag = sample->tag_id,
                                                .quality = sample->quality,
                                                .time_ns = time_ns,
                                                .ordinal = judge->head.ordinal++,
                                                .value = value};
#ifdef PSTK_PLANT_JUDGE_ROW /* whatever comes stands behind the row, and test_judge_fast must see  \
                               it */
    if (judge->is_plain) {
#else
    if (PSTK_UNLIKELY((row->first && time_ns < row->last_ns) || judge->is_plain)) {
#endif
        judge_heap_put(judge, clock, index);
        return true;
    }
    if (row->first)
        judge_node_at(judge, row->last)->left = index;
    else
        row->first = index;
    row->last = index;
    row->last_ns = time_ns;
    clock->heap_ns = PSTK_MIN(clock->heap_ns, time_ns);
    return true;
}

bool judge_order_push(pstk_judge *judge, uint32_t clock, const pstk_sample *sample, int64_t time_ns,
                      pstk_value value) {
    return push(judge, &judge->row_of[clock], judge_clock_at(judge, clock), sample, time_ns, value);
}

static inline int64_t time_of(const pstk_judge *judge, uint32_t node) {
    return node ? judge_node_raw(judge, node)->time_ns : INT64_MAX;
}

/* The first of both. */
static inline uint32_t pop(pstk_judge *judge, uint32_t clock_index, judge_clock *clock) {
    judge_row *row = &judge->row_of[clock_index];
    uint32_t index = clock->heap, first = row->first;
    const judge_node *node = judge_node_raw(judge, index);
    if (first && (!index || judge_node_is_before(judge_node_raw(judge, first), node))) {
        index = first;
        row->first = judge_node_raw(judge, first)->left;
    } else {
        uint32_t left = node->left, right = node->right;
        clock->heap = left && right ? judge_heap_merge(judge, left, right) : left | right;
    }
    clock->heap_ns = PSTK_MIN(time_of(judge, row->first), time_of(judge, clock->heap));
    return index;
}

/* ---- instants ------------------------------------------------------------------------------- */

/* The only binding of the sample's tag; 0: there are others, or none, or its sample says a state.
 */
static inline uint32_t sole_bind(const pstk_judge *judge, const judge_node *node) {
    if (node->instance || judge->is_plain)
        return 0;
    uint32_t b = judge_hot_raw(judge, node->tag)->bind; /* item 0 is none */
    bool is_sole = !judge_bind_raw(judge, b)->link && !judge->suppression.latch_of[node->tag];
    return is_sole ? b : 0;
}

/* Where events have no room, as any that is touched. */
static void step_now(pstk_judge *judge, uint32_t instance) {
    if (judge_has_room(judge))
        judge_instant_step(judge, instance);
    else
        judge_touch_instance(judge, instance);
}

/* Of a counter, total or state. The node is free before the step: it may take one. */
static inline bool take_value(pstk_judge *judge, uint32_t index, const judge_bind *bind,
                              const judge_instance *instance) {
    const judge_node node = *judge_node_raw(judge, index);
    uint8_t type = judge_hot_raw(judge, node.tag)->type;
    judge_node_drop(judge, index);
    if (bind->role == PSTK_ROLE_VALUE && judge_group_goes_on(judge, instance->state, &node, type))
        return true;
    judge_group_role(judge, instance->state, bind->role, &node, type);
    step_now(judge, bind->instance);
    return true;
}

/* False: it takes the long way. */
static inline bool take_alone(pstk_judge *judge, uint32_t index, const judge_node *node,
                              uint32_t b) {
    const judge_hot *hot = judge_hot_raw(judge, node->tag);
    const judge_bind *bind = judge_bind_raw(judge, b);
    const judge_instance *instance = judge_instance_raw(judge, bind->instance);
    if (instance->kind == PSTK_RULE_WINDOW) {
        if (hot->has_cut || !hot->has_ordered || bind->role != PSTK_ROLE_VALUE)
            return false;
        if (!judge_wide_take_in_order(judge, instance->state, node))
            return judge_wide_take_alone(judge, index, b);
        judge_node_drop(judge, index);
        return true;
    }
    if (!judge_is_alarm(instance->kind))
        return take_value(judge, index, bind, instance);
    if (bind->role == JUDGE_BIND_SUPPRESS ||
        judge_rule_of(judge, instance)->order != PSTK_ORDER_EVENT)
        return false;
    judge_instant_set(judge, instance->state, hot, node);
    judge_node_drop(judge, index);
    step_now(judge, bind->instance);
    return true;
}

static __attribute__((noinline)) void pop_instant(pstk_judge *judge, uint32_t clock_index,
                                                  judge_clock *clock, bool is_early) {
    int64_t instant_ns = clock->heap_ns;
    judge->instant_ns = instant_ns;
    judge->is_early = is_early;
    judge->instant_clock = clock_index;
    uint32_t index = pop(judge, clock_index, clock);
    const judge_node *node = judge_node_raw(judge, index);
#ifdef PSTK_PLANT_JUDGE_ALONE /* the first sample of an instant is taken for all of it: the same   \
                               */
    uint32_t bind = sole_bind(judge, node);
#else
    uint32_t bind = clock->heap_ns == instant_ns ? 0 : sole_bind(judge, node);
#endif
    if (bind && take_alone(judge, index, node, bind))
        return;
    judge_instant_take(judge, index);
    while (clock->heap_ns == instant_ns)
        judge_instant_take(judge, pop(judge, clock_index, clock));
}

void judge_heap_pop_instant(pstk_judge *judge, uint32_t clock, bool is_early) {
    pop_instant(judge, clock, judge_clock_at(judge, clock), is_early);
}

static bool drain_below(pstk_judge *judge, uint32_t clock_index, int64_t until_ns, bool is_early) {
    judge_clock *clock = judge_clock_at(judge, clock_index);
    for (;;) {
        if ((judge->touched || judge->held) && !judge_touched_run(judge))
            return false;
        if (clock->heap_ns >= until_ns)
            return true;
        pop_instant(judge, clock_index, clock, is_early);
    }
}

bool judge_clock_drain(pstk_judge *judge, uint32_t clock) {
    return drain_below(judge, clock, judge_clock_raw(judge, clock)->watermark_ns, false);
}
bool judge_clock_flush(pstk_judge *judge, uint32_t clock, int64_t known_ns) {
    return drain_below(judge, clock, known_ns, false) && drain_below(judge, clock, INT64_MAX, true);
}

/* ---- the lane ------------------------------------------------------------------------------- */

/* The tag's samples wait for the watermark and go nowhere else. */
static inline bool is_ordered_alone(const pstk_judge *judge, const judge_hot *hot, uint32_t tag) {
    return (hot->slow & (JUDGE_SLOW_EVENT | JUDGE_SLOW_WIDE)) == JUDGE_SLOW_EVENT && !hot->window &&
           !hot->has_limit && !judge->suppression.latch_of[tag];
}

/* False: nothing has happened, the slow path takes it. */
static inline bool take_in(pstk_judge *judge, const judge_run *at, judge_row *row,
                           judge_clock *clock, const pstk_sample *sample, int64_t time_ns) {
    if (sample->tag_id >= judge_count(judge, JUDGE_HOT))
        return false;
    judge_hot *hot = (judge_hot *)judge_hot_raw(judge, sample->tag_id); /* touched by keep_tags */
    if (hot->stream != at->stream_index || !is_ordered_alone(judge, hot, sample->tag_id) ||
        !(hot->is_integer || __builtin_isfinite(sample->value.f64)) || !judge_is_time(time_ns) ||
        time_ns < at->stream->max_ns - JUDGE_REGRESS_NS || time_ns < clock->watermark_ns)
        return false;
    pstk_value value = sample->value;
    if (!hot->is_integer)
        value.f64 += 0.0;
    if (!push(judge, row, clock, sample, time_ns, value))
        return false;
    hot->last_ns = PSTK_MAX(hot->last_ns, time_ns);
    return true;
}

uint32_t judge_order_run(pstk_judge *judge, judge_run *at, uint32_t i, bool *out_is_full) {
    judge_stream *stream = at->stream;
    judge_clock *clock = at->clock;
    judge_row *row = &judge->row_of[at->clock_index];
    if (judge->is_plain || !stream->has_max || stream->has_gap || stream->run_count ||
        judge->touched || judge->held)
        return i;
    for (; i < at->count; i++) {
        int64_t time_ns = judge_run_time(at, &at->sample[i]);
        if (!take_in(judge, at, row, clock, &at->sample[i], time_ns))
            return i;
        stream->max_ns = PSTK_MAX(stream->max_ns, time_ns);
        clock->watermark_ns = PSTK_MAX(clock->watermark_ns, judge_run_mark(at, stream->max_ns));
        while (clock->heap_ns < clock->watermark_ns) {
            pop_instant(judge, at->clock_index, clock, false);
            if (PSTK_UNLIKELY(judge->touched || judge->held) && !judge_touched_run(judge)) {
                *out_is_full = true;
                return i;
            }
        }
    }
    return i;
}
