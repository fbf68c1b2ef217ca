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

static bool is_open(const judge_group *group, uint8_t kind) {
    const pstk_counter *counter = &group->u.counter;
    const pstk_total *total = &group->u.total;
    if (kind == PSTK_RULE_COUNTER)
        return counter->is_open && !counter->is_unstarted;
    return kind == PSTK_RULE_TOTAL && total->is_open && !total->is_unstarted;
}

/* Empty intervals end, what flows is counted; what had something to tell was told when the
 * watermark passed. */
void judge_group_settle(pstk_judge *judge, uint32_t index) {
    judge_group *group = judge_group_at(judge, index);
    int64_t watermark_ns = watermark_of(judge, group);
    if (watermark_ns == INT64_MIN || watermark_ns <= group->last_ns ||
        !is_open(group, judge_instance_raw(judge, group->instance)->kind))
        return;
    pstk_context_values ran = group->context;
    uint32_t known = group->context_set;
    group->last_ns = watermark_ns - 1;
    judge_group_pass(judge, group, group->last_ns);
    if (group->is_cut_late) { /* that cut has not come yet */
        group->context = ran;
        group->context_set = known;
    }
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
