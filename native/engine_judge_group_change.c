/* judge group, change: the rule of a counter, total or state becomes another one, or comes back.
 * The watermark is where one takes over from the other: boundaries before it are the old rule's,
 * from it on the new one's. What is open goes on. Method: engine_judge_group.c steps at what is
 * due; here only the node it waits for is renewed. */
#include "engine_judge_state.h"

static int64_t watermark_of(const pstk_judge *judge, const judge_group *group) {
    uint32_t tag = group->role[PSTK_ROLE_VALUE].tag;
    return tag ? judge_clock_raw(judge, judge_hot_raw(judge, tag - 1)->clock)->watermark_ns
               : INT64_MIN;
}

/* Those with something to tell were told when the watermark passed. */
void judge_group_settle(pstk_judge *judge, uint32_t index) {
    judge_group *group = judge_group_at(judge, index);
    const judge_instance *instance = judge_instance_raw(judge, group->instance);
    const pstk_rule *rule = judge_rule_of(judge, instance);
    int64_t watermark_ns = watermark_of(judge, group);
    if (instance->kind == PSTK_RULE_STATE || rule->size_ns <= 0 || !group->is_open ||
        watermark_ns == INT64_MIN || judge_group_has_to_tell(rule, group))
        return;
    int64_t end_ns = pstk_time_floor(watermark_ns - 1, rule->size_ns, rule->offset_ns);
    if (end_ns <= group->last_ns)
        return;
    uint8_t is_cut_late = group->is_cut_late;
    judge_group_step(judge, index, end_ns);
    judge_group_at(judge, index)->is_cut_late = is_cut_late;
}

void judge_group_change(pstk_judge *judge, uint32_t index) {
    judge_group *group = judge_group_at(judge, index);
    int64_t watermark_ns = watermark_of(judge, group);
    group->from_ns = watermark_ns == INT64_MIN ? INT64_MIN : watermark_ns - 1;
    group->wake_ns = PSTK_TIME_NONE;
}

void judge_groups_wake(pstk_judge *judge) {
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_INSTANCE); i++) {
        const judge_instance *instance = judge_instance_raw(judge, i);
        if (!instance->rule || !judge_is_group(instance->kind))
            continue;
        judge_group *group = judge_group_at(judge, instance->state);
        if (group->wake_ns == PSTK_TIME_NONE && group->role[PSTK_ROLE_VALUE].tag)
            judge_group_rewake(judge, group);
    }
}
