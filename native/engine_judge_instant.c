/* judge instant: what has the same time on one clock is one instant: first every role takes its
 * value, then each touched instance makes its transition once. */
#include "engine_judge_order.h"

/* Behind those that are touched: what one tag says reaches its rules in the order of the table. */
void judge_touch_instance(pstk_judge *judge, uint32_t index) {
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

void judge_instant_set(pstk_judge *judge, uint32_t limit, const judge_hot *hot,
                       const judge_node *node) {
    judge_delay *delay = judge_delay_at(judge, judge_limit_raw(judge, limit)->delay);
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
            judge_instant_set(judge, instance->state, hot, node);
        else
            continue;
        judge_touch_instance(judge, bind->instance);
    }
}

static bool is_ordered_alarm(const pstk_judge *judge, const judge_instance *instance) {
    return judge_is_alarm(instance->kind) && instance->rule &&
           judge_rule_of(judge, instance)->order == PSTK_ORDER_EVENT;
}

/* The node that an instance waited for. An alarm's may be of another that is gone, a boundary of a
 * rule that has changed since. */
static void wake(pstk_judge *judge, const judge_node *node, bool is_early) {
    uint32_t index = node->instance;
    const judge_instance *instance = judge_instance_raw(judge, index);
    bool is_alarm = is_ordered_alarm(judge, instance);
    if (is_alarm)
        judge_limit_unwake(judge, instance->state);
    else if (!judge_is_group(instance->kind))
        return;
    else if (node->is_boundary && node->time_ns != judge_group_raw(judge, instance->state)->wake_ns)
        return;
    if (!is_early && instance->rule)
        judge_touch_instance(judge, index);
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
        judge_limit_schedule(judge, index); /* what was folded by it is told in time */
        judge_quiet_refresh(judge, limit->tag);
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

void judge_instant_step(pstk_judge *judge, uint32_t index) {
    const judge_instance *instance = judge_instance_raw(judge, index);
    if (!judge_is_alarm(instance->kind))
        judge_group_step(judge, instance->state, judge->instant_ns);
    else if (!alarm_transit(judge, instance->state))
        judge_alarm_touch(judge, index); /* there is more */
}

bool judge_touched_run(pstk_judge *judge) {
    while (judge->touched) {
        if (!judge_has_room(judge))
            return false;
        uint32_t index = judge->touched; /* a step may touch others before it */
        judge_instance *instance = judge_instance_at(judge, index);
        judge->touched = instance->touched_next;
        instance->is_touched = 0;
        judge_instant_step(judge, index);
    }
    return judge_wide_run_held(judge);
}

void judge_instant_take(pstk_judge *judge, uint32_t index) {
    const judge_node *node = judge_node_raw(judge, index);
    if (!node->instance)
        deliver(judge, node);
    if (judge_wide_hold(judge, index))
        return;
    if (node->instance)
        wake(judge, node, judge->is_early);
    judge_node_drop(judge, index);
}
