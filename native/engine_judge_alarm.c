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
    at->wake_ns = PSTK_TIME_NONE;
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
    int64_t end_ns = pstk_fold_end_ns(&at->fold);
    uint32_t kind = judge_instance_raw(judge, at->instance)->kind;
    pstk_event *event = judge_event_begin(judge, at->instance, chattering_of(kind), start_ns);
    event->end_ns = end_ns;
    event->count = at->fold.folded;
    if (kind == PSTK_RULE_RATE)
        event->value_type = PSTK_TYPE_F64;
    judge_context_fill(judge, event->asset, 0, end_ns - 1, &event->context);
    JUDGE_COUNT(judge->head.counters.chattering, at->fold.folded);
    pstk_fold_reset(&at->fold);
    judge_event_commit(judge, at->instance, event);
}

bool judge_limit_is_hushed(const pstk_judge *judge, uint32_t index) {
    const judge_limit *at = judge_limit_raw(judge, index);
    return at->suppressed || judge_shelf_raw(judge, at->shelf)->is_shelved;
}

/* True: nobody is told. A trip is kept for later; the clear of one that nobody heard of ends that.
 */
static bool keep_back(pstk_judge *judge, uint32_t index, const pstk_limit_fact *fact) {
    pstk_limit *limit = &judge_limit_at(judge, index)->limit;
    uint8_t bit = (uint8_t)(1u << fact->level);
    bool is_hushed = judge_limit_is_hushed(judge, index), is_untold = limit->untold & bit;
    if (fact->turn == PSTK_TURN_TRIP && is_hushed)
        limit->untold |= bit;
    if (fact->turn == PSTK_TURN_CLEAR && is_untold) {
        limit->untold &= (uint8_t)~bit;
        JUDGE_COUNT(judge->head.counters.suppressed, 1);
    }
    return fact->turn == PSTK_TURN_CLEAR ? is_untold : is_hushed || is_untold;
}

void judge_limit_tell(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    const pstk_limit *limit = &at->limit;
    const pstk_rule *rule = rule_of(judge, at);
    for (uint8_t k = 0; k < PSTK_LEVEL_COUNT; k++) {
        if (!(limit->untold >> k & 1u) || judge_limit_is_hushed(judge, index))
            continue;
        bool is_fresh = rule->kind == PSTK_RULE_FRESHNESS;
        at->limit.untold &= (uint8_t)~(1u << k);
        pstk_limit_fact fact = {.level = k,
                                .turn = PSTK_TURN_TRIP,
                                .flags = limit->trip_flags[k],
                                .at_ns = limit->trip_ns[k],
                                .start_ns = limit->trip_ns[k] - (is_fresh ? rule->after_ns : 0),
                                .end_ns = PSTK_TIME_NONE,
                                .value = limit->trip_value[k]};
        judge_limit_emit(judge, index, &fact, NULL);
    }
}

void judge_limit_emit(pstk_judge *judge, uint32_t index, const pstk_limit_fact *fact,
                      const char *by) {
    judge_limit *at = judge_limit_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    if (keep_back(judge, index, fact))
        return;
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
    judge_event_set_by(event, by);
    uint32_t place = by ? JUDGE_TOLD_RESET : JUDGE_TOLD_CLEAR;
    if (fact->turn == PSTK_TURN_TRIP)
        place = JUDGE_TOLD_TRIP;
    if (fact->turn != PSTK_TURN_REALARM)
        judge_alarm_count(judge, index, place + fact->level, event);
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
        judge_limit_emit(judge, index, &fact[k], NULL);
    if (has_more)
        return false;
    if (pstk_fold_is_due(&at->fold, sample->time_ns))
        judge_limit_flush(judge, index);
    judge_limit_schedule(judge, index);
    return true;
}
_Static_assert(2 * PSTK_LIMIT_FACTS_MAX + 1 <= PSTK_EVENT_MARGIN, "each may end a folded minute");

/* ---- silent tags ---------------------------------------------------------------------------- */

static int64_t alarm_deadline(const pstk_judge *judge, const judge_limit *at) {
    const pstk_rule *rule = rule_of(judge, at);
    if (rule->order == PSTK_ORDER_EVENT)
        return INT64_MAX; /* the watermark says when */
    if (rule->kind == PSTK_RULE_FRESHNESS)
        return pstk_freshness_deadline(rule, &judge_watch_raw(judge, at->track)->u.fresh,
                                       &at->limit);
    return pstk_limit_deadline(rule, &at->limit,
                               at->delay ? &judge_delay_raw(judge, at->delay)->delay : NULL);
}

int64_t judge_limit_deadline(const pstk_judge *judge, uint32_t index) {
    const judge_limit *at = judge_limit_raw(judge, index);
    const judge_shelf *shelf = judge_shelf_raw(judge, at->shelf);
    int64_t due_ns = alarm_deadline(judge, at);
    if (at->fold.folded)
        due_ns = PSTK_MIN(due_ns, pstk_time_add(at->fold.recv_ns, PSTK_MINUTE_NS));
    return shelf->is_shelved ? PSTK_MIN(due_ns, shelf->until_ns) : due_ns;
}

static void take_due(pstk_judge *judge, uint32_t index, int64_t due_ns) {
    judge_limit *at = judge_limit_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    pstk_limit_fact fact[PSTK_LIMIT_FACTS_MAX];
    size_t count = 0;
    if (rule->order == PSTK_ORDER_EVENT)
        return;
    if (rule->kind == PSTK_RULE_FRESHNESS)
        count = pstk_freshness_tick(rule, &judge_watch_at(judge, at->track)->u.fresh, &at->limit,
                                    due_ns, fact);
    else
        count = pstk_limit_tick(rule, &at->limit, delay_of(judge, at), due_ns, judge->head.now_ns,
                                fact);
    for (size_t k = 0; k < count; k++)
        judge_limit_emit(judge, index, &fact[k], NULL);
}

/* In order of time, over all alarms: a turn takes what is due first, then others have theirs. Of
 * one moment a deadline comes before the end of a shelf. */
void judge_limit_tick(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    const judge_shelf *shelf = judge_shelf_raw(judge, at->shelf);
    int64_t due_ns = judge_limit_deadline(judge, index);
    if (due_ns > judge->deadline[at->heap_pos - 1].at_ns) {
        judge_limit_schedule(judge, index); /* it stood too early: others have their turn first */
        return;
    }
    take_due(judge, index, due_ns);
    if (shelf->is_shelved && shelf->until_ns <= due_ns)
        judge_unshelve(judge, index, shelf->until_ns, "");
    else if (at->fold.folded && pstk_time_add(at->fold.recv_ns, PSTK_MINUTE_NS) <= due_ns)
        judge_limit_flush(judge, index);
    judge_limit_schedule(judge, index);
    judge_quiet_refresh(judge, at->tag);
}

/* ---- event order: the watermark says when what falls due is due ------------------------------ */

bool judge_limit_pass(pstk_judge *judge, uint32_t index, int64_t until_ns) {
    judge_limit *at = judge_limit_at(judge, index);
    int64_t known_ns = judge_clock_raw(judge, judge_hot_raw(judge, at->tag)->clock)->watermark_ns;
    const pstk_limit_sample nothing = {
        .time_ns = until_ns, .known_ns = known_ns, .is_silent = true};
    pstk_limit_fact fact[PSTK_LIMIT_FACTS_MAX];
    bool has_more = false;
    size_t count = pstk_limit_step(rule_of(judge, at), &at->limit, delay_of(judge, at), &nothing,
                                   fact, &has_more);
    for (size_t k = 0; k < count; k++)
        judge_limit_emit(judge, index, &fact[k], NULL);
    judge_limit_schedule(judge, index);
    return !has_more;
}

/* A node before the deadline: once the watermark is there, all samples before it are known. One
 * that waits already and comes no later looks again. */
void judge_limit_wake(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    if (!at->delay)
        return;
    int64_t next_ns = pstk_limit_next(rule_of(judge, at), &at->limit, delay_of(judge, at));
    if (next_ns == INT64_MAX || (at->wake_ns != PSTK_TIME_NONE && at->wake_ns <= next_ns))
        return;
    uint32_t clock = judge_hot_raw(judge, at->tag)->clock;
    judge_node node = {.instance = at->instance, .time_ns = next_ns - 1};
    if (judge_heap_push(judge, clock, &node)) /* else the tag's next sample takes it */
        at->wake_ns = next_ns;
}

void judge_limit_unwake(pstk_judge *judge, uint32_t index) {
    judge_limit_at(judge, index)->wake_ns = PSTK_TIME_NONE;
}

void judge_limit_reset(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    int32_t minute = at->fold.minute; /* never an older one: its count would bear an id again */
    memset(&at->limit, 0, sizeof at->limit);
    at->is_blocking = at->suppressed = 0;
    at->wake_ns = PSTK_TIME_NONE;
    pstk_fold_init(&at->fold);
    at->fold.minute = minute;
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
    if (rule_of(judge, at)->order == PSTK_ORDER_EVENT)
        judge_limit_wake(judge, index);
}

static void shift(int64_t *recv_ns, int64_t by_ns) { *recv_ns = pstk_time_add(*recv_ns, by_ns); }

PSTK_COLD void judge_limit_shift(pstk_judge *judge, int64_t by_ns) {
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_LIMIT); i++) {
        judge_limit *at = judge_limit_at(judge, i);
        if (!at->instance)
            continue;
        shift(&at->fold.recv_ns, by_ns);
        if (judge_instance_raw(judge, at->instance)->kind == PSTK_RULE_FRESHNESS && at->track)
            shift(&judge_watch_at(judge, at->track)->u.fresh.recv_ns, by_ns);
        if (at->shelf) {
            shift(&judge_shelf_at(judge, at->shelf)->from_ns, by_ns);
            shift(&judge_shelf_at(judge, at->shelf)->until_ns, by_ns);
        }
        for (uint32_t k = 0; at->delay && k < PSTK_LEVEL_COUNT; k++) {
            pstk_limit_delay *delay = delay_of(judge, at);
            shift(&delay->recv_ns[k], by_ns);
            shift(&delay->again_recv_ns[k], by_ns);
        }
    }
}
