/* limit: a value against HH, H, L, LL; each level fires once per excursion.
 * Method: each level is its own machine of four phases; a delay that ended at or before a sample's
 * time is taken before the sample and bears the crossing's time, so that it does not matter whether
 * a sample or a tick noticed it. */
#include "rule.h"

static bool is_high(unsigned level) { return level <= PSTK_LEVEL_H; }

static bool is_over(const pstk_limit_level *set, unsigned level, double x) {
    return is_high(level) ? x >= set->value : x <= set->value;
}

/* Clear level, not trip level: a press idling at its limit must not raise an event per sample. */
static double clear_level(const pstk_limit_level *set, unsigned level) {
    return is_high(level) ? set->value - set->deadband : set->value + set->deadband;
}

static bool is_clear(const pstk_limit_level *set, unsigned level, double x) {
    return is_high(level) ? x < clear_level(set, level) : x > clear_level(set, level);
}

bool pstk_limit_has_delay(const pstk_rule *rule) {
    for (unsigned k = 0; k < PSTK_LEVEL_COUNT; k++)
        if (rule->level[k].is_set &&
            (rule->level[k].on_delay_ns > 0 || rule->level[k].off_delay_ns > 0))
            return true;
    return false;
}

static size_t trip(pstk_limit *limit, unsigned level, int64_t at_ns, pstk_value value,
                   pstk_limit_fact *out) {
    limit->phase[level] = PSTK_PHASE_ACTIVE;
    limit->trip_ns[level] = at_ns;
    *out = (pstk_limit_fact){.level = (uint8_t)level,
                             .at_ns = at_ns,
                             .start_ns = at_ns,
                             .end_ns = PSTK_TIME_NONE,
                             .value = value};
    return 1;
}

static size_t clear(pstk_limit *limit, unsigned level, int64_t at_ns, int64_t end_ns,
                    pstk_value value, pstk_limit_fact *out) {
    limit->phase[level] = PSTK_PHASE_NORMAL;
    *out = (pstk_limit_fact){.level = (uint8_t)level,
                             .is_clear = 1,
                             .at_ns = at_ns,
                             .start_ns = limit->trip_ns[level],
                             .end_ns = end_ns,
                             .value = value};
    return 1;
}

/* The running delay of a level has ended. */
static size_t take(const pstk_rule *rule, pstk_limit *limit, const pstk_limit_delay *delay,
                   unsigned level, pstk_limit_fact *out) {
    int64_t at_ns = delay->cross_ns[level];
    if (limit->phase[level] == PSTK_PHASE_RISING)
        return trip(limit, level, at_ns, delay->value[level], out);
    int64_t end_ns = pstk_time_add(at_ns, rule->level[level].off_delay_ns);
    return clear(limit, level, at_ns, end_ns, delay->value[level], out);
}

static bool is_running(const pstk_limit *limit, unsigned level) {
    return limit->phase[level] == PSTK_PHASE_RISING || limit->phase[level] == PSTK_PHASE_FALLING;
}

static int64_t running_ns(const pstk_rule *rule, const pstk_limit *limit, unsigned level) {
    const pstk_limit_level *set = &rule->level[level];
    return limit->phase[level] == PSTK_PHASE_RISING ? set->on_delay_ns : set->off_delay_ns;
}

static void start_delay(pstk_limit *limit, pstk_limit_delay *delay, unsigned level,
                        pstk_phase phase, const pstk_limit_sample *sample) {
    limit->phase[level] = (uint8_t)phase;
    delay->cross_ns[level] = sample->time_ns;
    delay->recv_ns[level] = sample->recv_ns;
    delay->value[level] = sample->value;
}

static size_t judge_level(const pstk_limit_level *set, pstk_limit *limit, pstk_limit_delay *delay,
                          unsigned level, const pstk_limit_sample *sample, pstk_limit_fact *out) {
    switch (limit->phase[level]) {
    case PSTK_PHASE_NORMAL:
        if (!is_over(set, level, sample->x))
            return 0;
        if (set->on_delay_ns <= 0 || !delay)
            return trip(limit, level, sample->time_ns, sample->value, out);
        start_delay(limit, delay, level, PSTK_PHASE_RISING, sample);
        return 0;
    case PSTK_PHASE_RISING:
        if (!is_over(set, level, sample->x))
            limit->phase[level] = PSTK_PHASE_NORMAL;
        return 0;
    case PSTK_PHASE_ACTIVE:
        if (!is_clear(set, level, sample->x))
            return 0;
        if (set->off_delay_ns <= 0 || !delay)
            return clear(limit, level, sample->time_ns, sample->time_ns, sample->value, out);
        start_delay(limit, delay, level, PSTK_PHASE_FALLING, sample);
        return 0;
    default:
        if (!is_clear(set, level, sample->x))
            limit->phase[level] = PSTK_PHASE_ACTIVE;
        return 0;
    }
}

size_t pstk_limit_step(const pstk_rule *rule, pstk_limit *limit, pstk_limit_delay *delay,
                       const pstk_limit_sample *sample, pstk_limit_fact *out_facts) {
    size_t count = 0;
    for (unsigned k = 0; k < PSTK_LEVEL_COUNT && !sample->is_bad; k++) {
        const pstk_limit_level *set = &rule->level[k];
        if (!set->is_set)
            continue;
        if (delay && is_running(limit, k) &&
            pstk_time_add(delay->cross_ns[k], running_ns(rule, limit, k)) <= sample->time_ns)
            count += take(rule, limit, delay, k, out_facts + count);
        count += judge_level(set, limit, delay, k, sample, out_facts + count);
    }
    return count;
}

size_t pstk_limit_tick(const pstk_rule *rule, pstk_limit *limit, const pstk_limit_delay *delay,
                       int64_t now_ns, pstk_limit_fact *out_facts) {
    size_t count = 0;
    for (unsigned k = 0; delay && k < PSTK_LEVEL_COUNT; k++)
        if (rule->level[k].is_set && is_running(limit, k) &&
            pstk_time_add(delay->recv_ns[k], running_ns(rule, limit, k)) <= now_ns)
            count += take(rule, limit, delay, k, out_facts + count);
    return count;
}

int64_t pstk_limit_deadline(const pstk_rule *rule, const pstk_limit *limit,
                            const pstk_limit_delay *delay) {
    int64_t deadline_ns = INT64_MAX;
    for (unsigned k = 0; delay && k < PSTK_LEVEL_COUNT; k++) {
        if (!rule->level[k].is_set || !is_running(limit, k))
            continue;
        int64_t due_ns = pstk_time_add(delay->recv_ns[k], running_ns(rule, limit, k));
        deadline_ns = PSTK_MIN(deadline_ns, due_ns);
    }
    return deadline_ns;
}

void pstk_limit_cancel_delays(pstk_limit *limit) {
    for (unsigned k = 0; k < PSTK_LEVEL_COUNT; k++) {
        if (limit->phase[k] == PSTK_PHASE_RISING)
            limit->phase[k] = PSTK_PHASE_NORMAL;
        if (limit->phase[k] == PSTK_PHASE_FALLING)
            limit->phase[k] = PSTK_PHASE_ACTIVE;
    }
}

void pstk_limit_quiet(const pstk_rule *rule, const pstk_limit *limit, double *low, double *high) {
    for (unsigned k = 0; k < PSTK_LEVEL_COUNT; k++) {
        const pstk_limit_level *set = &rule->level[k];
        if (!set->is_set)
            continue;
        if (is_running(limit, k)) {
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
    return ((int64_t)fold->minute + 1) * PSTK_MINUTE_NS;
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
    if (fact->is_clear) { /* each trip that was told is followed by its clear, whatever the rate */
        is_told = !(limit->folded & bit);
        limit->folded &= (uint8_t)~bit;
    } else if (!is_told) {
        limit->folded |= bit;
    }
    fold->emitted += is_told;
    if (is_told)
        return true;
    fold->folded++;
    fold->recv_ns = recv_ns;
    return false;
}
