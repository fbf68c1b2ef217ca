/* judge alarm: limits, rates, stuck and silent tags: what their steps say becomes events or is
 * folded. */
#include "engine_judge_state.h"

#define EVENTS_PER_MINUTE 60u

static const pstk_rule *rule_of(const pstk_judge *judge, const judge_limit *at) {
    return judge_rule_of(judge, judge_instance_raw(judge, at->instance));
}

static pstk_limit_delay *delay_of(pstk_judge *judge, const judge_limit *at) {
    return at->delay ? &judge_delay_at(judge, at->delay)->delay : NULL;
}

/* ---- state ---------------------------------------------------------------------------------- */

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

static int track_arena(uint32_t kind) { return kind == PSTK_RULE_RATE ? JUDGE_RATE : JUDGE_WATCH; }

bool judge_limit_prepare(pstk_judge *judge, uint32_t index) {
    const pstk_rule *rule = judge_rule_of(judge, judge_instance_raw(judge, index));
    bool has_track = rule->kind != PSTK_RULE_LIMIT;
    bool has_delay = rule->order == PSTK_ORDER_EVENT || pstk_limit_has_delay(rule);
    if (!has_track && !has_delay)
        return true;
    uint32_t limit = judge_limit_open(judge, index);
    if (!limit)
        return false;
    judge_limit *at = judge_limit_at(judge, limit);
    if (has_track && !at->track && !(at->track = judge_arena_take(judge, track_arena(rule->kind))))
        return false;
    if (!has_delay || at->delay)
        return true;
    at->delay = judge_arena_take(judge, JUDGE_DELAY);
    if (!at->delay)
        return false;
    judge_delay_at(judge, at->delay)->last_ns = INT64_MIN;
    return true;
}

void judge_limit_strip(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    if (at->delay)
        judge_arena_drop(judge, JUDGE_DELAY, at->delay);
    if (at->track)
        judge_arena_drop(judge, track_arena(judge_instance_raw(judge, at->instance)->kind),
                         at->track);
    at->delay = at->track = 0;
}

/* ---- events --------------------------------------------------------------------------------- */

static pstk_event_kind chattering_of(uint32_t kind) {
    switch (kind) {
    case PSTK_RULE_RATE:
        return PSTK_EVENT_RATE_CHATTERING;
    case PSTK_RULE_STUCK:
        return PSTK_EVENT_STUCK_CHATTERING;
    case PSTK_RULE_FRESHNESS:
        return PSTK_EVENT_FRESHNESS_CHATTERING;
    default:
        return PSTK_EVENT_LIMIT_CHATTERING;
    }
}

static pstk_event_kind kind_of(uint32_t kind, const pstk_limit_fact *fact) {
    uint32_t trip = PSTK_EVENT_LIMIT_HH_TRIP, again = PSTK_EVENT_LIMIT_HH_REALARM;
    if (kind == PSTK_RULE_STUCK)
        trip = PSTK_EVENT_STUCK_TRIP;
    if (kind == PSTK_RULE_FRESHNESS)
        trip = PSTK_EVENT_FRESHNESS_TRIP;
    if (kind == PSTK_RULE_RATE) {
        trip = PSTK_EVENT_RATE_HH_TRIP;
        again = PSTK_EVENT_RATE_HH_REALARM;
    }
    if (fact->turn == PSTK_TURN_REALARM)
        return (pstk_event_kind)(again + fact->level);
    return (pstk_event_kind)(trip + 2u * fact->level + (fact->turn == PSTK_TURN_CLEAR));
}

void judge_limit_flush(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    if (!at->fold.folded)
        return;
    int64_t start_ns = (int64_t)at->fold.minute * PSTK_MINUTE_NS;
    uint32_t kind = judge_instance_raw(judge, at->instance)->kind;
    pstk_event *event = judge_event_begin(judge, at->instance, chattering_of(kind), start_ns);
    event->end_ns = start_ns + PSTK_MINUTE_NS;
    event->count = at->fold.folded;
    if (kind == PSTK_RULE_RATE)
        event->value_type = PSTK_TYPE_F64;
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
    pstk_event *event =
        judge_event_begin(judge, at->instance, kind_of(rule->kind, fact), fact->at_ns);
    event->start_ns = fact->start_ns;
    event->end_ns = fact->end_ns;
    event->value = fact->value;
    event->flags = fact->flags;
    if (rule->kind == PSTK_RULE_RATE)
        event->value_type = PSTK_TYPE_F64;
    if (rule->kind == PSTK_RULE_LIMIT || rule->kind == PSTK_RULE_RATE)
        event->limit = rule->level[fact->level].value;
    judge_context_fill(judge, event->asset, 0, fact->at_ns, &event->context);
    judge_event_commit(judge, at->instance, event);
}

/* ---- samples -------------------------------------------------------------------------------- */

static size_t step_rate(pstk_judge *judge, judge_limit *at, const pstk_rule *rule,
                        const pstk_limit_sample *sample, pstk_limit_fact *out_facts,
                        bool *out_more) {
    judge_rate *track = judge_rate_at(judge, at->track);
    pstk_limit_sample it = *sample;
    pstk_rate_word word = PSTK_RATE_NONE;
    if (!it.is_bad) {
        uint8_t type = judge_hot_raw(judge, at->tag)->type;
        word = pstk_rate_of(rule, &track->rate, type, it.time_ns, it.value, &it.x);
        it.is_silent = word != PSTK_RATE_KNOWN;
        it.value.f64 = it.x;
    }
    size_t count = pstk_limit_step(rule, &at->limit, delay_of(judge, at), &it, out_facts, out_more);
    if (!it.is_bad && !*out_more)
        pstk_rate_keep(rule, &track->rate, word, it.time_ns, sample->value);
    return count;
}

static size_t step(pstk_judge *judge, judge_limit *at, const pstk_limit_sample *sample,
                   pstk_limit_fact *out_facts, bool *out_more) {
    const pstk_rule *rule = rule_of(judge, at);
    judge_watch *watch = judge_watch_at(judge, at->track);
    *out_more = false;
    switch (rule->kind) {
    case PSTK_RULE_RATE:
        return step_rate(judge, at, rule, sample, out_facts, out_more);
    case PSTK_RULE_STUCK:
        return pstk_stuck_step(rule, &watch->u.stuck, &at->limit,
                               judge_hot_raw(judge, at->tag)->type, sample, out_facts);
    case PSTK_RULE_FRESHNESS:
        return pstk_freshness_step(rule, &watch->u.fresh, &at->limit, sample, out_facts);
    default:
        return pstk_limit_step(rule, &at->limit, delay_of(judge, at), sample, out_facts, out_more);
    }
}

bool judge_limit_sample(pstk_judge *judge, uint32_t index, const pstk_limit_sample *sample) {
    judge_limit *at = judge_limit_at(judge, index);
    pstk_limit_fact fact[PSTK_LIMIT_FACTS_MAX];
    bool has_more;
    size_t count = step(judge, at, sample, fact, &has_more);
    for (size_t k = 0; k < count; k++)
        emit_fact(judge, index, &fact[k]);
    if (has_more)
        return false;
    if (pstk_fold_is_due(&at->fold, sample->time_ns))
        judge_limit_flush(judge, index);
    judge_limit_schedule(judge, index);
    return true;
}
_Static_assert(2 * PSTK_LIMIT_FACTS_MAX + 1 <= PSTK_EVENT_MARGIN, "each may end a folded minute");

/* ---- silent tags ---------------------------------------------------------------------------- */

int64_t judge_limit_deadline(const pstk_judge *judge, uint32_t index) {
    const judge_limit *at = judge_limit_raw(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    if (rule->kind == PSTK_RULE_FRESHNESS)
        return pstk_freshness_deadline(rule, &judge_watch_raw(judge, at->track)->u.fresh,
                                       &at->limit);
    return pstk_limit_deadline(rule, &at->limit,
                               at->delay ? &judge_delay_raw(judge, at->delay)->delay : NULL);
}

void judge_limit_tick(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    pstk_limit_fact fact[PSTK_LIMIT_FACTS_MAX];
    int64_t now_ns = judge->head.now_ns;
    size_t count = rule->kind == PSTK_RULE_FRESHNESS
                       ? pstk_freshness_tick(rule, &judge_watch_at(judge, at->track)->u.fresh,
                                             &at->limit, now_ns, fact)
                       : pstk_limit_tick(rule, &at->limit, delay_of(judge, at), now_ns, fact);
    for (size_t k = 0; k < count; k++)
        emit_fact(judge, index, &fact[k]);
    if (at->fold.folded && pstk_time_add(at->fold.recv_ns, PSTK_MINUTE_NS) <= now_ns)
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

/* The clock went back: what compares event times begins anew, excursions stay. */
void judge_limit_regress(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    uint32_t kind = judge_instance_raw(judge, at->instance)->kind;
    judge_limit_flush(judge, index);
    pstk_limit_cancel_delays(&at->limit);
    pstk_fold_init(&at->fold);
    if (kind == PSTK_RULE_RATE)
        pstk_rate_forget(&judge_rate_at(judge, at->track)->rate);
    else if (kind == PSTK_RULE_STUCK)
        pstk_stuck_forget(&judge_watch_at(judge, at->track)->u.stuck, &at->limit);
    else if (kind == PSTK_RULE_FRESHNESS)
        judge_watch_at(judge, at->track)->u.fresh.is_back = 1;
    judge_limit_schedule(judge, index);
    if (at->delay)
        judge_delay_at(judge, at->delay)->last_ns = INT64_MIN;
}

static void shift(int64_t *recv_ns, int64_t by_ns) { *recv_ns = pstk_time_add(*recv_ns, by_ns); }

void judge_limit_shift(pstk_judge *judge, int64_t by_ns) {
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_LIMIT); i++) {
        judge_limit *at = judge_limit_at(judge, i);
        if (!at->instance)
            continue;
        shift(&at->fold.recv_ns, by_ns);
        if (judge_instance_raw(judge, at->instance)->kind == PSTK_RULE_FRESHNESS && at->track)
            shift(&judge_watch_at(judge, at->track)->u.fresh.recv_ns, by_ns);
        for (uint32_t k = 0; at->delay && k < PSTK_LEVEL_COUNT; k++) {
            pstk_limit_delay *delay = delay_of(judge, at);
            shift(&delay->recv_ns[k], by_ns);
            shift(&delay->again_recv_ns[k], by_ns);
        }
    }
}
