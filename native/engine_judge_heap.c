/* judge heap: samples of event order wait here until the watermark passes them.
 * Method: one skew heap a clock in a common pool, ordered by (event time, journal order). What
 * comes in order hangs below what came before it, so a stream in order is a row and costs no walk.
 * What has the same time on one clock is one instant: first every role takes its value, then each
 * touched instance makes its transition once; an instant of one sample that one instance hears
 * skips the list. Full     the oldest instant of the clock is taken early and counted
 * reorder_overflow. */
#include "engine_judge_order.h"

static bool is_before(const judge_node *a, const judge_node *b) {
    return a->time_ns < b->time_ns || (a->time_ns == b->time_ns && a->ordinal < b->ordinal);
}

/* Top-down skew merge: the walk goes down right spines and swaps children behind it; amortized log
 * n. */
static uint32_t merge(pstk_judge *judge, uint32_t a, uint32_t b) {
    uint32_t root = 0, *link = &root;
    while (a && b) {
        if (is_before(judge_node_at(judge, b), judge_node_at(judge, a))) {
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

static inline void set_top(pstk_judge *judge, judge_clock *clock, uint32_t root) {
    clock->heap = root;
    clock->heap_ns = root ? judge_node_raw(judge, root)->time_ns : INT64_MAX;
}

/* Below the one that came before it on this clock, where that still waits, has nothing below it and
 * is no later. */
static inline bool hang(pstk_judge *judge, uint32_t before, uint32_t index, int64_t time_ns) {
    const judge_node *last = judge_node_raw(judge, before);
    if (!before || last->time_ns > time_ns || last->left || last->right || judge->is_plain)
        return false;
    judge_node_at(judge, before)->left = index;
    return true;
}

bool judge_heap_push(pstk_judge *judge, uint32_t clock_index, const judge_node *from) {
    uint32_t index = judge_node_take(judge);
    if (!index)
        return false;
    judge_node *node = judge_node_at(judge, index);
    *node = *from;
    node->link = node->left = node->right = 0;
    node->ordinal = judge->head.ordinal++;
    if (!hang(judge, judge->newest_of[clock_index], index, node->time_ns)) {
        judge_clock *clock = judge_clock_at(judge, clock_index);
        set_top(judge, clock, clock->heap ? merge(judge, clock->heap, index) : index);
    }
    judge->newest_of[clock_index] = index;
    return true;
}

/* The first one leaves the heap. */
static inline judge_node *pop(pstk_judge *judge, uint32_t clock_index, judge_clock *clock) {
    uint32_t index = clock->heap;
    judge_node *node = judge_node_at(judge, index);
    uint32_t left = node->left, right = node->right;
    set_top(judge, clock, left && right ? merge(judge, left, right) : left | right);
    if (judge->newest_of[clock_index] == index)
        judge->newest_of[clock_index] = 0;
    return node;
}

/* Behind those that are touched: what one tag says reaches its rules in the order of the table. */
static void touch(pstk_judge *judge, uint32_t index) {
    judge_instance *instance = judge_instance_at(judge, index);
    if (instance->is_touched)
        return;
    instance->is_touched = 1;
    instance->touched_next = 0;
    if (judge->touched)
        judge_instance_at(judge, judge->touched_last)->touched_next = index;
    else
        judge->touched = index;
    judge->touched_last = index;
}

/* Before them. */
void judge_alarm_touch(pstk_judge *judge, uint32_t index) {
    judge_instance *instance = judge_instance_at(judge, index);
    if (instance->is_touched)
        return;
    instance->is_touched = 1;
    instance->touched_next = judge->touched;
    if (!judge->touched)
        judge->touched_last = index;
    judge->touched = index;
}

/* An alarm of event order takes one value an instant. */
static void set_sample(pstk_judge *judge, const judge_instance *instance, const judge_hot *hot,
                       const judge_node *node) {
    judge_delay *delay = judge_delay_at(judge, judge_limit_raw(judge, instance->state)->delay);
    double x = hot->is_integer ? (double)node->value.i64 : node->value.f64;
    delay->sample = (pstk_limit_sample){.x = x,
                                        .value = node->value,
                                        .time_ns = node->time_ns,
                                        .recv_ns = judge->head.now_ns,
                                        .flags = judge_quality_flags(node->quality),
                                        .is_bad = judge_is_bad(node->quality)};
    delay->is_set = 1;
}

/* One sample reaches every instance that hears its tag. */
static void deliver(pstk_judge *judge, const judge_node *node) {
    const judge_hot *hot = judge_hot_raw(judge, node->tag);
    if (judge->suppression.latch_of[node->tag])
        judge_suppress_state(judge, node->tag, node->value, node->quality, true);
    for (uint32_t b = hot->bind; b; b = judge_bind_raw(judge, b)->link) {
        const judge_bind *bind = judge_bind_raw(judge, b);
        const judge_instance *instance = judge_instance_raw(judge, bind->instance);
        if (instance->kind == PSTK_RULE_WINDOW)
            continue; /* they take it behind the instant: judge_wide_run_held */
        else if (!judge_is_alarm(instance->kind))
            judge_group_role(judge, instance->state, bind->role, node, hot->type);
        else if (bind->role != JUDGE_BIND_SUPPRESS &&
                 judge_rule_of(judge, instance)->order == PSTK_ORDER_EVENT)
            set_sample(judge, instance, hot, node);
        else
            continue;
        touch(judge, bind->instance);
    }
}

static bool is_ordered_alarm(const pstk_judge *judge, const judge_instance *instance) {
    return judge_is_alarm(instance->kind) && instance->rule &&
           judge_rule_of(judge, instance)->order == PSTK_ORDER_EVENT;
}

/* The node that an instance waited for. An alarm's may be of another that is gone. */
static void wake(pstk_judge *judge, uint32_t index, bool is_early) {
    const judge_instance *instance = judge_instance_raw(judge, index);
    bool is_alarm = is_ordered_alarm(judge, instance);
    if (is_alarm)
        judge_limit_unwake(judge, instance->state);
    else if (!judge_is_group(instance->kind))
        return;
    if (!is_early && instance->rule)
        touch(judge, index);
    else if (is_early && !is_alarm) /* its time has not come: the next instant cuts, wakes again */
        judge_group_at(judge, instance->state)->wake_ns = PSTK_TIME_NONE;
}

/* An alarm of event order: one value an instant, the last in the journal. False: come again. */
static bool alarm_sample(pstk_judge *judge, uint32_t index, judge_delay *delay) {
    if (delay->sample.time_ns <= delay->last_ns) { /* an overflow took a later one early */
        JUDGE_COUNT(judge->head.counters.late, 1);
        delay->is_set = 0;
        return true;
    }
    if (!judge_limit_sample(judge, index, &delay->sample))
        return false;
    delay->is_set = 0;
    delay->last_ns = delay->sample.time_ns;
    return true;
}

/* The sample changes nothing but what is newest: nothing is told, nothing falls due. */
static bool takes_calmly(const pstk_judge *judge, uint32_t index, judge_delay *delay) {
    if (judge->is_plain || delay->sample.time_ns <= delay->last_ns ||
        !judge_limit_is_calm(judge, index, &delay->sample))
        return false;
    delay->delay.newest = delay->sample.value;
    delay->delay.has_newest = UINT8_MAX;
    delay->is_set = 0;
    delay->last_ns = delay->sample.time_ns;
    return true;
}

/* What falls due behind the instant waits for its own node: other alarms may come before it. */
static bool alarm_transit(pstk_judge *judge, uint32_t index) {
    const judge_limit *limit = judge_limit_raw(judge, index);
    judge_delay *delay = judge_delay_at(judge, limit->delay);
    bool is_hushed = judge_limit_is_hushed(judge, index);
    if (limit->limit.untold && !is_hushed) { /* what kept it back has ended */
        judge_limit_tell(judge, index);
        return false;
    }
    if (!is_ordered_alarm(judge, judge_instance_raw(judge, limit->instance)))
        return true;
    if (delay->is_set && takes_calmly(judge, index, delay))
        return true;
    if (delay->is_set) {
        if (!alarm_sample(judge, index, delay))
            return false;
        if (!judge_has_room(judge))
            return false;
    }
    bool is_here = judge->instant_clock == judge_hot_raw(judge, limit->tag)->clock;
    if (is_here && !judge->is_early && !judge_limit_pass(judge, index, judge->instant_ns + 1))
        return false;
    judge_limit_wake(judge, index);
    return true;
}

bool judge_touched_run(pstk_judge *judge) {
    while (judge->touched) {
        if (!judge_has_room(judge))
            return false;
        uint32_t index = judge->touched; /* a step may touch others before it */
        judge_instance *instance = judge_instance_at(judge, index);
        judge->touched = instance->touched_next;
        instance->is_touched = 0;
        if (!judge_is_alarm(instance->kind))
            judge_group_step(judge, instance->state, judge->instant_ns);
        else if (!alarm_transit(judge, instance->state))
            judge_alarm_touch(judge, index); /* there is more */
    }
    return judge_wide_run_held(judge);
}

/* ---- an instant of one sample that one instance hears --------------------------------------- */

/* The only binding of the sample's tag; 0: there are others, or none, or its sample says a state.
 */
static inline uint32_t sole_bind(const pstk_judge *judge, const judge_node *node) {
    if (node->instance)
        return 0;
    uint32_t b = judge_hot_raw(judge, node->tag)->bind; /* item 0 is none */
    bool is_sole = !judge_bind_raw(judge, b)->link && !judge->suppression.latch_of[node->tag];
    return is_sole && !judge->is_plain ? b : 0;
}

/* Steps now; where events have no room, as any that is touched. */
static inline void step_now(pstk_judge *judge, uint32_t index) {
    const judge_instance *instance = judge_instance_raw(judge, index);
    if (!judge_has_room(judge))
        touch(judge, index);
    else if (!judge_is_alarm(instance->kind))
        judge_group_step(judge, instance->state, judge->instant_ns);
    else if (!alarm_transit(judge, instance->state))
        judge_alarm_touch(judge, index); /* there is more */
}

/* False: it takes the long way. */
static bool take_alone(pstk_judge *judge, uint32_t index, uint32_t b) {
    const judge_node *node = judge_node_raw(judge, index);
    const judge_hot *hot = judge_hot_raw(judge, node->tag);
    const judge_bind *bind = judge_bind_raw(judge, b);
    const judge_instance *instance = judge_instance_raw(judge, bind->instance);
    if (bind->role == JUDGE_BIND_SUPPRESS)
        return false;
    if (instance->kind == PSTK_RULE_WINDOW)
        return judge_wide_take_alone(judge, index, b);
    if (!judge_is_alarm(instance->kind))
        judge_group_role(judge, instance->state, bind->role, node, hot->type);
    else if (judge_rule_of(judge, instance)->order == PSTK_ORDER_EVENT)
        set_sample(judge, instance, hot, node);
    else
        return false;
    judge_node_drop(judge, index);
    step_now(judge, bind->instance);
    return true;
}

static void take_node(pstk_judge *judge, uint32_t index, judge_node *node) {
    if (!node->instance)
        deliver(judge, node);
    if (judge_wide_hold(judge, index))
        return;
    if (node->instance)
        wake(judge, node->instance, judge->is_early);
    judge_node_drop(judge, index);
}

void judge_heap_pop_instant(pstk_judge *judge, uint32_t clock_index, bool is_early) {
    judge_clock *clock = judge_clock_at(judge, clock_index);
    judge->instant_ns = clock->heap_ns;
    judge->is_early = is_early;
    judge->instant_clock = clock_index;
    uint32_t index = clock->heap;
    judge_node *node = pop(judge, clock_index, clock);
    uint32_t bind = clock->heap_ns == judge->instant_ns ? 0 : sole_bind(judge, node);
    if (bind && take_alone(judge, index, bind))
        return;
    take_node(judge, index, node);
    while (clock->heap && clock->heap_ns == judge->instant_ns) {
        index = clock->heap;
        take_node(judge, index, pop(judge, clock_index, clock));
    }
}

static bool drain_below(pstk_judge *judge, uint32_t clock_index, bool is_all) {
    judge_clock *clock = judge_clock_at(judge, clock_index);
    for (;;) {
        if ((judge->touched || judge->held) && !judge_touched_run(judge))
            return false;
        if (!clock->heap || (!is_all && clock->heap_ns >= clock->watermark_ns))
            return true;
        judge_heap_pop_instant(judge, clock_index, is_all);
    }
}

bool judge_clock_drain(pstk_judge *judge, uint32_t clock) {
    return drain_below(judge, clock, false);
}
bool judge_clock_flush(pstk_judge *judge, uint32_t clock) {
    return drain_below(judge, clock, true);
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
