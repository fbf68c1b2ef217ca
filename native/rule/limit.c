/* limit: a value against HH, H, L, LL; each level fires once per excursion, and again while it
 * lasts where the level says so. Method: each level is its own machine of four phases; a delay that
 * ended or a re-alarm that fell due at or before a sample's time is taken before the sample and
 * bears its own time, so that it does not matter whether a sample or a tick noticed it. */
#include "rule.h"

static bool is_high(unsigned number) { return number <= PSTK_LEVEL_H; }

static bool is_over(const pstk_limit_level *set, unsigned number, double x) {
    return is_high(number) ? x >= set->value : x <= set->value;
}

/* Clear level, not trip level: a press idling at its limit must not raise an event per sample. */
static double clear_level(const pstk_limit_level *set, unsigned number) {
    return is_high(number) ? set->value - set->deadband : set->value + set->deadband;
}

static bool is_clear(const pstk_limit_level *set, unsigned number, double x) {
    return is_high(number) ? x < clear_level(set, number) : x > clear_level(set, number);
}

static bool has_again(const pstk_limit_level *set) { return set->re_alarm_ns > 0; }

bool pstk_limit_has_delay(const pstk_rule *rule) {
    for (unsigned k = 0; k < PSTK_LEVEL_COUNT; k++)
        if (rule->level[k].is_set &&
            (rule->level[k].on_delay_ns > 0 || rule->level[k].off_delay_ns > 0 ||
             has_again(&rule->level[k])))
            return true;
    return false;
}

size_t pstk_limit_trip(pstk_limit *limit, unsigned level, const pstk_limit_fact *crossing,
                       pstk_limit_fact *out) {
    uint8_t bit = (uint8_t)(1u << level);
    limit->phase[level] = PSTK_PHASE_ACTIVE;
    limit->trip_ns[level] = crossing->at_ns;
    limit->trip_value[level] = crossing->value;
    limit->trip_flags[level] = crossing->flags;
    limit->acknowledged &= (uint8_t)~bit;
    *out = *crossing;
    out->level = (uint8_t)level;
    out->turn = PSTK_TURN_TRIP;
    out->end_ns = PSTK_TIME_NONE;
    return 1;
}

size_t pstk_limit_clear(pstk_limit *limit, unsigned level, const pstk_limit_fact *crossing,
                        pstk_limit_fact *out) {
    limit->phase[level] = PSTK_PHASE_NORMAL;
    *out = *crossing;
    out->level = (uint8_t)level;
    out->turn = PSTK_TURN_CLEAR;
    return 1;
}

/* ---- deadlines of one level ----------------------------------------------------------------- */

typedef struct machine { /* one level of one instance; delay may be NULL */
    const pstk_limit_level *set;
    pstk_limit *limit;
    pstk_limit_delay *delay;
    unsigned number;
    int64_t known_ns;
} machine;

static machine machine_of(const pstk_rule *rule, pstk_limit *limit, pstk_limit_delay *delay,
                          unsigned number) {
    return (machine){&rule->level[number], limit, delay, number, INT64_MIN};
}

static bool is_running(const pstk_limit *limit, unsigned number) {
    return limit->phase[number] == PSTK_PHASE_RISING || limit->phase[number] == PSTK_PHASE_FALLING;
}

static bool is_alarming(const pstk_limit_level *set, const pstk_limit *limit, unsigned number) {
    return has_again(set) && pstk_limit_is_active(limit, number) &&
           !(limit->acknowledged >> number & 1u);
}

/* Where the running delay ends; INT64_MAX = none runs. */
static int64_t end_of(const pstk_limit_level *set, const pstk_limit *limit,
                      const pstk_limit_delay *delay, unsigned number, bool is_recv) {
    if (!is_running(limit, number))
        return INT64_MAX;
    int64_t from_ns = is_recv ? delay->recv_ns[number] : delay->cross_ns[number];
    bool is_rising = limit->phase[number] == PSTK_PHASE_RISING;
    return pstk_time_add(from_ns, is_rising ? set->on_delay_ns : set->off_delay_ns);
}

static void set_again(const machine *at, int64_t cross_ns, int64_t recv_ns) {
    if (!at->delay || !has_again(at->set))
        return;
    int64_t behind_ns = pstk_time_add(at->set->on_delay_ns, at->set->re_alarm_ns);
    at->delay->again_ns[at->number] = pstk_time_add(cross_ns, behind_ns);
    at->delay->again_recv_ns[at->number] = pstk_time_add(recv_ns, behind_ns);
}

/* The running delay has ended. */
static size_t take_end(const machine *at, pstk_limit_fact *out) {
    unsigned k = at->number;
    pstk_limit_fact crossing = {.at_ns = at->delay->cross_ns[k],
                                .start_ns = at->delay->cross_ns[k],
                                .value = at->delay->value[k],
                                .flags = at->delay->flags[k]};
    if (at->limit->phase[k] == PSTK_PHASE_RISING) {
        set_again(at, crossing.at_ns, at->delay->recv_ns[k]);
        return pstk_limit_trip(at->limit, k, &crossing, out);
    }
    crossing.start_ns = at->limit->trip_ns[k];
    crossing.end_ns = pstk_time_add(crossing.at_ns, at->set->off_delay_ns);
    return pstk_limit_clear(at->limit, k, &crossing, out);
}

/* The re-alarm that was due is past; while the off-delay runs it says nothing. */
static size_t take_again(const machine *at, pstk_limit_fact *out) {
    unsigned k = at->number;
    int64_t at_ns = at->delay->again_ns[k];
    at->delay->again_ns[k] = pstk_time_add(at_ns, at->set->re_alarm_ns);
    at->delay->again_recv_ns[k] = pstk_time_add(at->delay->again_recv_ns[k], at->set->re_alarm_ns);
    if (at->limit->phase[k] != PSTK_PHASE_ACTIVE)
        return 0;
    *out = (pstk_limit_fact){.level = (uint8_t)k,
                             .turn = PSTK_TURN_REALARM,
                             .at_ns = at_ns,
                             .start_ns = at->limit->trip_ns[k],
                             .end_ns = PSTK_TIME_NONE,
                             .value = (uint32_t)at->delay->has_newest >> k & 1u
                                          ? at->delay->newest
                                          : at->limit->trip_value[k]};
    return 1;
}

/* A clock that jumps over years does not make an event for each minute of them: the newest stay. */
static bool skip_again(const machine *at, int64_t known_ns, bool is_recv) {
    unsigned k = at->number;
    int64_t step_ns = at->set->re_alarm_ns;
    const int64_t *again = is_recv ? at->delay->again_recv_ns : at->delay->again_ns;
    int64_t count = pstk_time_add(known_ns, -again[k]) / step_ns - PSTK_REALARMS_MAX;
    if (count <= 0)
        return false;
    at->delay->again_ns[k] = pstk_time_add(at->delay->again_ns[k], count * step_ns);
    at->delay->again_recv_ns[k] = pstk_time_add(at->delay->again_recv_ns[k], count * step_ns);
    return true;
}

/* All deadlines of a level up to a time, in order of time; at most room facts. */
static size_t take_due(const machine *at, int64_t until_ns, bool is_recv, size_t room,
                       pstk_limit_fact *out, bool *out_more) {
    size_t count = 0;
    while (at->delay) {
        const int64_t *again = is_recv ? at->delay->again_recv_ns : at->delay->again_ns;
        int64_t end_ns = end_of(at->set, at->limit, at->delay, at->number, is_recv);
        int64_t again_ns =
            is_alarming(at->set, at->limit, at->number) ? again[at->number] : INT64_MAX;
        int64_t next_ns = PSTK_MIN(end_ns, again_ns);
        if (next_ns > until_ns || next_ns == INT64_MAX)
            break;
        if (end_ns > again_ns &&
            skip_again(at, PSTK_MIN(PSTK_MAX(until_ns, at->known_ns), end_ns), is_recv))
            continue;
        if (count >= room) {
            *out_more = true;
            break;
        }
        count += end_ns <= again_ns ? take_end(at, out + count) : take_again(at, out + count);
    }
    return count;
}

/* ---- a sample ------------------------------------------------------------------------------- */

static size_t cross(const machine *at, bool is_over, const pstk_limit_sample *sample,
                    pstk_limit_fact *out) {
    unsigned k = at->number;
    int64_t delay_ns = is_over ? at->set->on_delay_ns : at->set->off_delay_ns;
    if (is_over && at->delay)
        at->delay->has_newest &= (uint8_t)~(1u << k);
    if (delay_ns > 0 && at->delay) {
        at->limit->phase[k] = is_over ? PSTK_PHASE_RISING : PSTK_PHASE_FALLING;
        at->delay->cross_ns[k] = sample->time_ns;
        at->delay->recv_ns[k] = sample->recv_ns;
        at->delay->value[k] = sample->value;
        at->delay->flags[k] = sample->flags;
        return 0;
    }
    pstk_limit_fact crossing = {.at_ns = sample->time_ns,
                                .start_ns = is_over ? sample->time_ns : at->limit->trip_ns[k],
                                .end_ns = sample->time_ns,
                                .value = sample->value,
                                .flags = sample->flags};
    if (!is_over)
        return pstk_limit_clear(at->limit, k, &crossing, out);
    set_again(at, sample->time_ns, sample->recv_ns);
    return pstk_limit_trip(at->limit, k, &crossing, out);
}

static size_t judge_level(const machine *at, const pstk_limit_sample *sample,
                          pstk_limit_fact *out) {
    uint8_t *phase = &at->limit->phase[at->number];
    bool over = sample->is_bad || is_over(at->set, at->number, sample->x);
    bool inside = !sample->is_bad && is_clear(at->set, at->number, sample->x);
    if (*phase == PSTK_PHASE_NORMAL)
        return over ? cross(at, true, sample, out) : 0;
    if (*phase == PSTK_PHASE_ACTIVE)
        return inside ? cross(at, false, sample, out) : 0;
    if (*phase == PSTK_PHASE_RISING && !over)
        *phase = PSTK_PHASE_NORMAL;
    else if (*phase == PSTK_PHASE_FALLING && !inside)
        *phase = PSTK_PHASE_ACTIVE;
    return 0;
}

static void cancel_delay(pstk_limit *limit, unsigned k) {
    if (limit->phase[k] == PSTK_PHASE_RISING)
        limit->phase[k] = PSTK_PHASE_NORMAL;
    if (limit->phase[k] == PSTK_PHASE_FALLING)
        limit->phase[k] = PSTK_PHASE_ACTIVE;
}

/* Judging a level twice by one sample changes nothing, so that a call that had no room for all
 * facts may simply come again. */
size_t pstk_limit_step(const pstk_rule *rule, pstk_limit *limit, pstk_limit_delay *delay,
                       const pstk_limit_sample *sample, pstk_limit_fact *out_facts,
                       bool *out_more) {
    size_t count = 0;
    *out_more = false;
    if (sample->is_bad && rule->quality == PSTK_QUALITY_HOLD)
        return 0;
    for (unsigned k = 0; k < PSTK_LEVEL_COUNT; k++) {
        machine at = machine_of(rule, limit, delay, k);
        if (!at.set->is_set)
            continue;
        at.known_ns = sample->known_ns ? sample->known_ns : INT64_MIN;
        size_t kept = 1u + 2u * (PSTK_LEVEL_COUNT - 1 - k); /* what may follow: two a level */
        size_t room = PSTK_LIMIT_FACTS_MAX - kept - count;
        count += take_due(&at, sample->time_ns, false, room, out_facts + count, out_more);
        if (*out_more)
            return count;
        if (sample->is_bad && rule->quality == PSTK_QUALITY_SUPPRESS)
            cancel_delay(limit, k);
        else if (!sample->is_silent)
            count += judge_level(&at, sample, out_facts + count);
    }
    if (delay && !sample->is_bad && !sample->is_silent) {
        delay->newest = sample->value;
        delay->has_newest = UINT8_MAX;
    }
    return count;
}

size_t pstk_limit_tick(const pstk_rule *rule, pstk_limit *limit, pstk_limit_delay *delay,
                       int64_t due_ns, int64_t now_ns, pstk_limit_fact *out_facts) {
    size_t count = 0;
    bool more = false;
    for (unsigned k = 0; delay && k < PSTK_LEVEL_COUNT; k++) {
        machine at = machine_of(rule, limit, delay, k);
        at.known_ns = now_ns;
        if (at.set->is_set)
            count +=
                take_due(&at, due_ns, true, PSTK_LIMIT_FACTS_MAX - count, out_facts + count, &more);
    }
    return count;
}

static int64_t next_of(const pstk_rule *rule, const pstk_limit *limit,
                       const pstk_limit_delay *delay, bool is_recv) {
    int64_t deadline_ns = INT64_MAX;
    for (unsigned k = 0; delay && k < PSTK_LEVEL_COUNT; k++) {
        const pstk_limit_level *set = &rule->level[k];
        if (!set->is_set)
            continue;
        deadline_ns = PSTK_MIN(deadline_ns, end_of(set, limit, delay, k, is_recv));
        if (is_alarming(set, limit, k))
            deadline_ns =
                PSTK_MIN(deadline_ns, is_recv ? delay->again_recv_ns[k] : delay->again_ns[k]);
    }
    return deadline_ns;
}

int64_t pstk_limit_deadline(const pstk_rule *rule, const pstk_limit *limit,
                            const pstk_limit_delay *delay) {
    return next_of(rule, limit, delay, true);
}

int64_t pstk_limit_next(const pstk_rule *rule, const pstk_limit *limit,
                        const pstk_limit_delay *delay) {
    return next_of(rule, limit, delay, false);
}

size_t pstk_limit_release(pstk_limit *limit, int64_t at_ns, pstk_limit_fact *out_facts) {
    size_t count = 0;
    for (unsigned k = 0; k < PSTK_LEVEL_COUNT; k++) {
        if (!pstk_limit_is_active(limit, k))
            continue;
        pstk_limit_fact crossing = {.at_ns = at_ns,
                                    .start_ns = limit->trip_ns[k],
                                    .end_ns = at_ns,
                                    .value = limit->trip_value[k],
                                    .flags = PSTK_FLAG_OPERATOR};
        count += pstk_limit_clear(limit, k, &crossing, out_facts + count);
    }
    return count;
}

void pstk_limit_cancel_delays(pstk_limit *limit) {
    for (unsigned k = 0; k < PSTK_LEVEL_COUNT; k++)
        cancel_delay(limit, k);
}

void pstk_limit_quiet(const pstk_rule *rule, const pstk_limit *limit, double *low, double *high) {
    for (unsigned k = 0; k < PSTK_LEVEL_COUNT; k++) {
        const pstk_limit_level *set = &rule->level[k];
        if (!set->is_set)
            continue;
        if (is_running(limit, k) || is_alarming(set, limit, k)) {
            *low = __builtin_inf();
            return;
        }
        bool is_active = limit->phase[k] == PSTK_PHASE_ACTIVE;
        double edge = is_active ? clear_level(set, k) : set->value;
        /* A normal high level and an active low level act above; the others act below. */
        if (is_high(k) != is_active)
            *high = PSTK_MIN(*high, edge);
        else
            *low = PSTK_MAX(*low, edge);
    }
}

static int32_t minute_of(int64_t time_ns) {
    return (int32_t)(pstk_time_floor(time_ns, PSTK_MINUTE_NS, 0) / PSTK_MINUTE_NS);
}

bool pstk_fold_is_due(const pstk_fold *fold, int64_t time_ns) {
    return fold->folded > 0 && minute_of(time_ns) > fold->minute;
}

int64_t pstk_fold_end_ns(const pstk_fold *fold) {
    return pstk_time_add((int64_t)fold->minute * PSTK_MINUTE_NS, PSTK_MINUTE_NS);
}

void pstk_fold_init(pstk_fold *fold) {
    memset(fold, 0, sizeof *fold);
    fold->minute = INT32_MIN;
}

void pstk_fold_reset(pstk_fold *fold) { fold->folded = 0; }

bool pstk_fold_take(pstk_fold *fold, pstk_limit *limit, const pstk_limit_fact *fact,
                    uint32_t events_max, int64_t recv_ns) {
    uint8_t bit = (uint8_t)(1u << fact->level);
    int32_t minute = minute_of(fact->at_ns);
    if (minute >
        fold->minute) { /* a long delay may tell of an older minute: it counts as this one */
        fold->minute = minute;
        fold->emitted = 0;
    }
    bool is_told = fold->emitted < events_max;
    if (fact->turn ==
        PSTK_TURN_CLEAR) { /* each trip that was told is followed by its clear, whatever the rate */
        is_told = !(limit->folded & bit);
        limit->folded &= (uint8_t)~bit;
    } else if (!is_told && fact->turn == PSTK_TURN_TRIP) {
        limit->folded |= bit;
    }
    fold->emitted += is_told;
    if (is_told)
        return true;
    fold->folded++;
    fold->recv_ns = recv_ns;
    return false;
}
