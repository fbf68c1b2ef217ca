/* judge limit: limit facts become events or are folded; deadlines of silent tags; the quiet range
 * of the fast path. */
#include "engine_judge_state.h"

#define EVENTS_PER_MINUTE 60u

static const pstk_rule *rule_of(const pstk_judge *judge, const judge_limit *at) {
    return judge_rule_of(judge, judge_instance_at(judge, at->instance));
}

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

void judge_limit_schedule(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    const judge_delay *delay = at->delay ? judge_delay_at(judge, at->delay) : NULL;
    int64_t due_ns =
        pstk_limit_deadline(rule_of(judge, at), &at->limit, delay ? &delay->delay : NULL);
    if (at->fold.folded)
        due_ns = PSTK_MIN(due_ns, pstk_time_add(at->fold.recv_ns, PSTK_MINUTE_NS));
    if (at->heap_pos && judge->deadline[at->heap_pos - 1].at_ns == due_ns)
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

void judge_quiet_refresh(pstk_judge *judge, uint32_t tag) {
    judge_hot *hot = judge_hot_at(judge, tag);
    double low = -__builtin_inf(), high = __builtin_inf();
    hot->has_limit = 0;
    hot->calm_ns = INT64_MAX;
    for (uint32_t b = hot->bind; b; b = judge_bind_raw(judge, b)->link) {
        const judge_instance *instance =
            judge_instance_raw(judge, judge_bind_raw(judge, b)->instance);
        if (instance->kind != PSTK_RULE_LIMIT)
            continue;
        const pstk_rule *rule = judge_rule_of(judge, instance);
        if (rule->order == PSTK_ORDER_EVENT)
            continue;
        /* Item 0 is none: zero, as calm as a limit that has no state. */
        const judge_limit *at = judge_limit_raw(judge, instance->state);
        hot->has_limit = 1;
        pstk_limit_quiet(rule, &at->limit, &low, &high);
        if (at->fold.folded) /* the end of its minute is told by whichever sample comes first */
            hot->calm_ns = PSTK_MIN(hot->calm_ns, pstk_fold_end_ns(&at->fold));
    }
    hot->low = low;
    hot->high = high;
    judge_until_refresh(judge, tag);
}

/* ---- events --------------------------------------------------------------------------------- */

void judge_limit_flush(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    if (!at->fold.folded)
        return;
    int64_t start_ns = (int64_t)at->fold.minute * PSTK_MINUTE_NS;
    pstk_event *event =
        judge_event_begin(judge, at->instance, PSTK_EVENT_LIMIT_CHATTERING, start_ns);
    event->end_ns = start_ns + PSTK_MINUTE_NS;
    event->count = at->fold.folded;
    judge_context_fill(judge, event->asset, 0, start_ns + PSTK_MINUTE_NS - 1, &event->context);
    JUDGE_COUNT(judge->head.counters.chattering, at->fold.folded);
    pstk_fold_reset(&at->fold);
    judge_event_commit(judge, at->instance, event);
}

static void emit_fact(pstk_judge *judge, uint32_t index, const pstk_limit_fact *fact) {
    judge_limit *at = judge_limit_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    uint32_t events_max =
        rule->events_per_minute_max ? rule->events_per_minute_max : EVENTS_PER_MINUTE;
    if (pstk_fold_is_due(&at->fold, fact->at_ns))
        judge_limit_flush(judge, index);
    if (!pstk_fold_take(&at->fold, &at->limit, fact, events_max, judge->head.now_ns))
        return;
    uint32_t kind = (uint32_t)PSTK_EVENT_LIMIT_HH_TRIP + 2u * fact->level + fact->is_clear;
    pstk_event *event = judge_event_begin(judge, at->instance, (pstk_event_kind)kind, fact->at_ns);
    event->start_ns = fact->start_ns;
    event->end_ns = fact->end_ns;
    event->value = fact->value;
    event->limit = rule->level[fact->level].value;
    judge_context_fill(judge, event->asset, 0, fact->at_ns, &event->context);
    judge_event_commit(judge, at->instance, event);
}

uint32_t judge_limit_open(pstk_judge *judge, uint32_t index) {
    judge_instance *instance = judge_instance_at(judge, index);
    if (instance->state)
        return instance->state;
    instance->state = judge_arena_take(judge, JUDGE_LIMIT);
    if (!instance->state)
        return 0;
    judge_limit *at = judge_limit_at(judge, instance->state);
    at->instance = index;
    at->tag = instance->key - 1;
    pstk_fold_init(&at->fold);
    return instance->state;
}

void judge_limit_sample(pstk_judge *judge, uint32_t index, const pstk_limit_sample *sample) {
    judge_limit *at = judge_limit_at(judge, index);
    judge_delay *delay = at->delay ? judge_delay_at(judge, at->delay) : NULL;
    pstk_limit_fact fact[PSTK_LIMIT_FACTS_MAX];
    size_t count =
        pstk_limit_step(rule_of(judge, at), &at->limit, delay ? &delay->delay : NULL, sample, fact);
    for (size_t k = 0; k < count; k++)
        emit_fact(judge, index, &fact[k]);
    if (pstk_fold_is_due(&at->fold, sample->time_ns))
        judge_limit_flush(judge, index);
    judge_limit_schedule(judge, index);
}

void judge_limit_tick(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    judge_delay *delay = at->delay ? judge_delay_at(judge, at->delay) : NULL;
    pstk_limit_fact fact[PSTK_LIMIT_FACTS_MAX];
    size_t count = pstk_limit_tick(rule_of(judge, at), &at->limit, delay ? &delay->delay : NULL,
                                   judge->head.now_ns, fact);
    for (size_t k = 0; k < count; k++)
        emit_fact(judge, index, &fact[k]);
    if (at->fold.folded && pstk_time_add(at->fold.recv_ns, PSTK_MINUTE_NS) <= judge->head.now_ns)
        judge_limit_flush(judge, index);
    judge_limit_schedule(judge, index);
    judge_quiet_refresh(judge, at->tag);
}

void judge_limit_reset(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    memset(&at->limit, 0, sizeof at->limit);
    pstk_fold_init(&at->fold);
    judge_limit_unschedule(judge, index);
}

void judge_limit_regress(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    judge_limit_flush(judge, index);
    pstk_limit_cancel_delays(&at->limit);
    pstk_fold_init(&at->fold);
    judge_limit_unschedule(judge, index);
    if (at->delay)
        judge_delay_at(judge, at->delay)->last_ns = INT64_MIN;
}

void judge_limit_shift(pstk_judge *judge, int64_t by_ns) {
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_LIMIT); i++) {
        judge_limit *at = judge_limit_at(judge, i);
        if (!at->instance)
            continue;
        at->fold.recv_ns = pstk_time_add(at->fold.recv_ns, by_ns);
        for (uint32_t k = 0; at->delay && k < PSTK_LEVEL_COUNT; k++) {
            int64_t *recv_ns = &judge_delay_at(judge, at->delay)->delay.recv_ns[k];
            *recv_ns = pstk_time_add(*recv_ns, by_ns);
        }
    }
}
