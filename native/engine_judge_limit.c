/* judge limit: deadlines of alarms whose tag is silent; the quiet range of the fast path. */
#include "engine_judge_state.h"

/* ---- deadlines: a binary heap of limits by engine time -------------------------------------- */

static bool is_sooner(const judge_deadline *a, const judge_deadline *b) {
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->limit < b->limit);
}

static void deadline_place(pstk_judge *judge, uint32_t place, judge_deadline item) {
    judge->deadline[place] = item;
    judge_limit_at(judge, item.limit)->heap_pos = place + 1;
}

static void deadline_up(pstk_judge *judge, uint32_t place, judge_deadline item) {
    while (place > 0 && is_sooner(&item, &judge->deadline[(place - 1) / 2])) {
        deadline_place(judge, place, judge->deadline[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    deadline_place(judge, place, item);
}

static void deadline_down(pstk_judge *judge, uint32_t place, judge_deadline item) {
    for (uint32_t child; (child = 2 * place + 1) < judge->deadline_count; place = child) {
        if (child + 1 < judge->deadline_count &&
            is_sooner(&judge->deadline[child + 1], &judge->deadline[child]))
            child++;
        if (!is_sooner(&judge->deadline[child], &item))
            break;
        deadline_place(judge, place, judge->deadline[child]);
    }
    deadline_place(judge, place, item);
}

void judge_limit_unschedule(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    if (!at->heap_pos)
        return;
    uint32_t place = at->heap_pos - 1;
    at->heap_pos = 0;
    judge_deadline last = judge->deadline[--judge->deadline_count];
    if (place == judge->deadline_count)
        return;
    if (place > 0 && is_sooner(&last, &judge->deadline[(place - 1) / 2]))
        deadline_up(judge, place, last);
    else
        deadline_down(judge, place, last);
}

/* A freshness deadline moves with every sample: one that stands too early is looked at again when
 * it comes. */
static bool may_stay(const pstk_judge *judge, const judge_limit *at, int64_t due_ns) {
    int64_t at_ns = judge->deadline[at->heap_pos - 1].at_ns;
    bool is_lazy = judge_instance_raw(judge, at->instance)->kind == PSTK_RULE_FRESHNESS &&
                   due_ns != INT64_MAX && at_ns > judge->head.now_ns;
    return at_ns == due_ns || (is_lazy && at_ns < due_ns);
}

/* Every step of an alarm ends here. */
void judge_limit_schedule(pstk_judge *judge, uint32_t index) {
    if (judge->suppression.is_asked)
        judge_suppress_follow(judge, index);
    const judge_limit *at = judge_limit_raw(judge, index);
    int64_t due_ns = judge_limit_deadline(judge, index);
    if (at->heap_pos && may_stay(judge, at, due_ns))
        return;
    judge_limit_unschedule(judge, index);
    if (due_ns == INT64_MAX)
        return;
    deadline_up(judge, judge->deadline_count++, (judge_deadline){.at_ns = due_ns, .limit = index});
}

void judge_deadlines_rebuild(pstk_judge *judge) {
    judge->deadline_count = 0;
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_LIMIT); i++)
        judge_limit_at(judge, i)->heap_pos = 0;
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_LIMIT); i++) {
        const judge_limit *at = judge_limit_raw(judge, i);
        if (at->instance && judge_instance_raw(judge, at->instance)->rule)
            judge_limit_schedule(judge, i);
    }
}

/* ---- the quiet range ------------------------------------------------------------------------ */

/* What one alarm of the tag leaves of it. */
static void narrow(const pstk_judge *judge, const judge_bind *bind, judge_hot *hot, double *low,
                   double *high) {
    const judge_instance *instance = judge_instance_raw(judge, bind->instance);
    const pstk_rule *rule = judge_rule_of(judge, instance);
    if (bind->role == JUDGE_BIND_SUPPRESS)
        return;
    /* Item 0 is none: zero, as calm as a limit that has no state. */
    const judge_limit *at = judge_limit_raw(judge, instance->state);
    const judge_watch *watch = judge_watch_raw(judge, at->track);
    if (rule->kind == PSTK_RULE_LIMIT)
        pstk_limit_quiet(rule, &at->limit, low, high);
    else if (rule->kind == PSTK_RULE_STUCK)
        pstk_stuck_quiet(rule, &watch->u.stuck, &at->limit, hot->type, low, high, &hot->calm_ns);
    else
        *low = __builtin_inf(); /* each sample counts */
    if (at->fold.folded)        /* the end of its minute is told by whichever sample comes first */
        hot->calm_ns = PSTK_MIN(hot->calm_ns, pstk_fold_end_ns(&at->fold));
}

/* Strictly between its levels, with nothing running, folded or kept back, a good sample is the
 * newest, and that is all. */
bool judge_limit_is_calm(const pstk_judge *judge, uint32_t index, const pstk_limit_sample *sample) {
    const judge_limit *at = judge_limit_raw(judge, index);
    const pstk_rule *rule = judge_rule_of(judge, judge_instance_raw(judge, at->instance));
    double low = -__builtin_inf(), high = __builtin_inf();
    if (rule->kind != PSTK_RULE_LIMIT || sample->is_bad || at->fold.folded || at->limit.untold)
        return false;
    pstk_limit_quiet(rule, &at->limit, &low, &high);
    return sample->x > low && sample->x < high;
}

void judge_quiet_refresh(pstk_judge *judge, uint32_t tag) {
    judge_hot *hot = judge_hot_at(judge, tag);
    double low = -__builtin_inf(), high = __builtin_inf();
    hot->has_limit = 0;
    hot->calm_ns = INT64_MAX;
    for (uint32_t b = hot->bind; b; b = judge_bind_raw(judge, b)->link) {
        const judge_bind *bind = judge_bind_raw(judge, b);
        const judge_instance *instance = judge_instance_raw(judge, bind->instance);
        if (!judge_is_alarm(instance->kind) ||
            judge_rule_of(judge, instance)->order == PSTK_ORDER_EVENT)
            continue;
        hot->has_limit = 1;
        narrow(judge, bind, hot, &low, &high);
    }
    hot->low = judge->suppression.latch_of[tag] ? __builtin_inf() : low; /* each says a state */
    hot->high = high;
    judge_until_refresh(judge, tag);
}
