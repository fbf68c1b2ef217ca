/* judge group, on: a value that goes on: it only adds to what is open, and nothing is told, begins
 * or ends. Most do, and it is one step for them; whatever else is said takes engine_judge_group.c.
 */
#include "engine_judge_state.h"

/* Nobody but VALUE speaks, what the others said is taken over, and nothing is missing. */
static inline bool is_quiet(const pstk_judge *judge, const judge_group *group,
                            const pstk_rule *rule, int64_t time_ns) {
    const judge_role *role = group->role, *start = &role[PSTK_ROLE_START];
    const judge_hot *hot = judge_hot_raw(judge, role[PSTK_ROLE_VALUE].tag - 1);
    const judge_stream *stream = judge_stream_raw(judge, hot->stream);
    if (role[PSTK_ROLE_LOT].time_ns == time_ns || role[PSTK_ROLE_ORDER].time_ns == time_ns ||
        start->time_ns == time_ns || role[PSTK_ROLE_SINCE].time_ns == time_ns)
        return false;
    bool is_adopted = (group->lot_type || !role[PSTK_ROLE_LOT].type) &&
                      (group->order_type || !role[PSTK_ROLE_ORDER].type) &&
                      !judge_role_is_other(start, group->start_type, group->start_seen);
    bool is_whole = !group->is_away && !stream->has_gap && !stream->gap_count;
    return group->is_open && is_adopted && is_whole &&
           !(rule->cut_on & (PSTK_CUT_CONTEXT_ORDER | PSTK_CUT_CONTEXT_LOT));
}

/* Where there is something to tell by then, the boundary wakes. */
static inline bool goes_on_until(pstk_judge *judge, judge_group *group, const pstk_rule *rule,
                                 const judge_role *value) {
    bool is_counter = rule->kind == PSTK_RULE_COUNTER;
    int64_t from_ns = is_counter ? judge_counter_ns(group) : judge_total_ns(group),
            next_ns = INT64_MAX;
    if (rule->size_ns > 0)
        next_ns = pstk_time_floor(from_ns, rule->size_ns, rule->offset_ns) + rule->size_ns;
    if (next_ns <= value->time_ns || (is_counter && group->baseline_type))
        return false;
    if (!(is_counter
              ? pstk_counter_goes_on(&group->u.counter, value->type, value->value, value->time_ns)
              : pstk_total_goes_on(rule, &group->u.total, value->type, value->value,
                                   value->time_ns)))
        return false;
    if (next_ns != group->wake_ns && next_ns != INT64_MAX && judge_group_has_to_tell(rule, group))
        judge_group_wake(judge, group, next_ns);
    return true;
}

/* The same as a step of all roles, for most samples. False: it needs that step. */
static inline bool goes_on(pstk_judge *judge, judge_group *group, const pstk_rule *rule,
                           const judge_role *value) {
    if ((value->quality & 0xC000u) || judge->is_plain ||
        !is_quiet(judge, group, rule, value->time_ns))
        return false;
    if (rule->kind != PSTK_RULE_STATE)
        return goes_on_until(judge, group, rule, value);
    return !group->u.state.micro.count &&
           pstk_state_goes_on(&group->u.state.run, value->type, value->value, value->time_ns);
}

bool judge_group_is_on(pstk_judge *judge, judge_group *group, const judge_role *value) {
    const judge_instance *instance = judge_instance_raw(judge, group->instance);
    return goes_on(judge, group, judge_rule_of(judge, instance), value);
}

bool judge_group_goes_on(pstk_judge *judge, uint32_t index, const judge_node *node, uint8_t type) {
    judge_group *group = judge_group_at(judge, index);
    const judge_instance *instance = judge_instance_raw(judge, group->instance);
    judge_role *value = &group->role[PSTK_ROLE_VALUE];
    const judge_role now = {.value = node->value,
                            .time_ns = node->time_ns,
                            .tag = value->tag,
                            .quality = node->quality,
                            .type = type,
                            .is_bound = value->is_bound};
    if (!instance->rule || node->time_ns < group->last_ns ||
        !goes_on(judge, group, judge_rule_of(judge, instance), &now))
        return false;
    *value = now;
    group->last_ns = node->time_ns;
    group->is_cut_late = 0;
    return true;
}
