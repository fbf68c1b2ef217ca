/* judge window, held: samples that the heap let out wait here until their instant is whole: first
 * what cuts, then what enters, each step asking for room. */
#include "engine_judge_order.h"

static void count_late(pstk_judge *judge, const judge_hot *hot) {
    JUDGE_COUNT(judge->head.counters.late, 1);
    JUDGE_COUNT(judge_source_at(judge, hot->source)->late, 1);
}

static bool take_for_all(pstk_judge *judge, const judge_node *sample) {
    const judge_hot *hot = judge_hot_raw(judge, sample->tag);
    for (uint32_t b = judge->held_bind ? judge->held_bind : hot->bind; b;
         b = judge_bind_raw(judge, b)->link) {
        const judge_bind *bind = judge_bind_raw(judge, b);
        const judge_instance *instance = judge_instance_raw(judge, bind->instance);
        bool is_out = false;
        if (instance->kind != PSTK_RULE_WINDOW || bind->role != PSTK_ROLE_VALUE ||
            !pstk_window_is_ordered(judge_rule_of(judge, instance)))
            continue;
        judge->held_bind = b;
        if (!judge_wide_take(judge, instance->state, sample, &is_out))
            return false;
        if (is_out)
            count_late(judge, hot);
    }
    judge->held_bind = 0;
    return true;
}

bool judge_wide_hold(pstk_judge *judge, uint32_t index) {
    judge_node *node = judge_node_at(judge, index);
    if (node->instance && judge_instance_raw(judge, node->instance)->kind != PSTK_RULE_WINDOW)
        return false;
    if (!node->instance && !judge_hot_raw(judge, node->tag)->has_ordered)
        return false;
    judge->held_cuts += node->instance || judge_hot_raw(judge, node->tag)->has_cut;
    node->right = 0;
    if (judge->held)
        judge_node_at(judge, judge->held_tail)->right = index;
    else
        judge->held = index;
    judge->held_tail = index;
    return true;
}

bool judge_wide_take_alone(pstk_judge *judge, uint32_t index, uint32_t b) {
    const judge_node *node = judge_node_raw(judge, index);
    const judge_hot *hot = judge_hot_raw(judge, node->tag);
    const judge_bind *bind = judge_bind_raw(judge, b);
    const judge_instance *instance = judge_instance_raw(judge, bind->instance);
    bool is_out = false;
    if (!judge_wide_take(judge, instance->state, node, &is_out)) {
        judge_node_at(judge, index)->right = 0;
        judge->held = judge->held_tail = index;
        judge->held_bind = b;
        return true;
    }
    if (is_out)
        count_late(judge, hot);
    judge_node_drop(judge, index);
    return true;
}

static bool cut_for_all(pstk_judge *judge, const judge_node *sample) {
    if (sample->instance)
        return judge_wide_cut_woken(judge, sample);
    const judge_hot *hot = judge_hot_raw(judge, sample->tag);
    for (uint32_t b = judge->held_bind ? judge->held_bind : hot->bind; b;
         b = judge_bind_raw(judge, b)->link) {
        const judge_bind *bind = judge_bind_raw(judge, b);
        const judge_instance *instance = judge_instance_raw(judge, bind->instance);
        if (instance->kind != PSTK_RULE_WINDOW || bind->role == PSTK_ROLE_VALUE)
            continue;
        judge->held_bind = b;
        if (!judge_wide_cut_by(judge, instance->state, bind->role, sample))
            return false;
    }
    judge->held_bind = 0;
    return true;
}

pstk_value judge_wide_told_last(const pstk_judge *judge, const judge_node *sample) {
    const judge_latch *latch = judge_latch_raw(judge, judge->suppression.latch_of[sample->tag]);
    return latch->has_event ? latch->event : sample->value;
}

/* What cuts comes before the samples of its instant. */
static bool run_cuts(pstk_judge *judge) {
    uint32_t index = judge->held_cut ? judge->held_cut : judge->held;
    for (; judge->held_cuts && index; index = judge_node_raw(judge, index)->right) {
        judge->held_cut = index;
        judge_node sample = *judge_node_raw(judge, index);
        bool may_cut = sample.instance || judge_hot_raw(judge, sample.tag)->has_cut;
        if (!sample.instance && may_cut)
            sample.value = judge_wide_told_last(judge, &sample);
        if (may_cut && !cut_for_all(judge, &sample))
            return false;
    }
    judge->held_cuts = judge->held_cut = 0;
    return true;
}

bool judge_wide_run_held(pstk_judge *judge) {
    if (!run_cuts(judge))
        return false;
    while (judge->held) {
        uint32_t index = judge->held;
        judge_node sample = *judge_node_raw(judge, index);
        if (!sample.instance && !take_for_all(judge, &sample))
            return false;
        judge->held = sample.right;
        judge_node_drop(judge, index);
    }
    return true;
}
