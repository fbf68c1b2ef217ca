/* judge group: what the judge keeps of counters, totals and states. Private to engine_judge*.c; a
 * part of engine_judge_state.h, which says how items lie. */
#ifndef PSTK_ENGINE_JUDGE_GROUP_H
#define PSTK_ENGINE_JUDGE_GROUP_H

#include "engine_judge.h"
#include "rule/rule.h"

struct judge_node;

typedef struct judge_role {
    pstk_value value;
    int64_t time_ns;
    uint32_t tag; /* + 1; 0 = not bound */
    uint16_t quality;
    uint8_t type;     /* 0 = no value yet */
    uint8_t is_bound; /* derived */
} judge_role;

typedef struct judge_group { /* counter, total, state */
    uint32_t link;
    uint32_t instance;
    judge_role role[PSTK_ROLE_COUNT];
    int64_t last_ns; /* newest instant */
    int64_t wake_ns; /* newest boundary that waits in the heap */
    int64_t from_ns; /* its rule was another one, or gone, until behind this */
    int64_t baseline_ns;
    pstk_value baseline;
    pstk_value lot, order; /* of the open segment */
    pstk_value start_seen; /* START as it was when the segment opened */
    uint8_t lot_type, order_type, start_type, baseline_type; /* 0 = none */
    uint8_t is_cut_late, is_open, reserved;
    uint8_t is_away;      /* its rule was gone: what came meanwhile it has not heard */
    uint32_t context_set; /* what was known when it opened, bits as in pstk_context.set */
    pstk_context_values context;
    union {
        pstk_counter counter;
        pstk_total total;
        struct {
            pstk_state_run run;
            pstk_micro_fold micro;
            int64_t enter_ns; /* identity of the newest STATE_ENTER */
            uint32_t enter_epoch, enter_occurrence;
        } state;
    } u;
} judge_group;

static inline bool judge_role_is_other(const judge_role *role, uint8_t type, pstk_value value) {
    return role->type != type || role->value.bits != value.bits;
}

/* Where boundaries are looked for from: behind the start, the newest value, the newest change. */
static inline int64_t judge_counter_ns(const judge_group *group) {
    return PSTK_MAX(group->u.counter.start_ns, group->u.counter.last_ns);
}

static inline int64_t judge_total_ns(const judge_group *group) {
    return PSTK_MAX(group->u.total.start_ns, group->u.total.last_ns);
}

/* ---- engine_judge_group.c: counters, totals, states ----------------------------------------- */

void judge_group_open(pstk_judge *judge, uint32_t group, uint32_t instance); /* all zero but that */
void judge_group_role(pstk_judge *judge, uint32_t group, uint32_t role,
                      const struct judge_node *node, uint8_t type);
void judge_group_step(pstk_judge *judge, uint32_t group, int64_t time_ns);
/* A counter or total up to an instant at which nothing was said. */
void judge_group_pass(pstk_judge *judge, judge_group *group, int64_t time_ns);
/* Its rule changes or goes: until the watermark it counts by the rule as it was. */
void judge_group_settle(pstk_judge *judge, uint32_t group);
void judge_group_change(pstk_judge *judge, uint32_t group); /* boundaries are the new rule's now */
void judge_groups_wake(pstk_judge *judge); /* all whose rule changed, once they are bound */
/* There is something that a boundary would tell. */
bool judge_group_has_to_tell(const pstk_rule *rule, const judge_group *group);
/* The instance transits once more when the watermark passes. */
void judge_group_wake(pstk_judge *judge, judge_group *group, int64_t at_ns);
void judge_group_rewake(pstk_judge *judge, judge_group *group); /* whatever it waits for */
/* The rule names another tag from now on: what is open is told as it stands. */
void judge_group_finish(pstk_judge *judge, uint32_t group);
void judge_group_regress(pstk_judge *judge, uint32_t group);
void judge_role_text(const pstk_judge *judge, uint32_t tag, uint8_t type, pstk_value value,
                     char out[PSTK_CONTEXT_BYTES]); /* tag + 1 */

/* ---- engine_judge_group_on.c ---------------------------------------------------------------- */

/* The value's role says it alone, and all there was to do is done. False: it needs the step. */
bool judge_group_is_on(pstk_judge *judge, judge_group *group, const judge_role *value);
/* A value alone in its instant: role and step at once, where nothing is to be told. False: nothing
 * has happened, it takes both. */
bool judge_group_goes_on(pstk_judge *judge, uint32_t group, const struct judge_node *node,
                         uint8_t type);

#endif
