/* judge window, place: what one sample does to the pane that it enters, and the short way for the
 * pane used last: nothing is due before the sample, so nothing closes, and what time alone brings
 * stands as it was planned. */
#include "engine_judge_state.h"

static const pstk_rule *rule_of(const pstk_judge *judge, const judge_wide *at) {
    return judge_rule_of(judge, judge_instance_raw(judge, at->instance));
}

static inline bool lists_code(const pstk_rule *rule, int64_t code) {
    for (uint32_t k = 0; k < PSTK_MIN(rule->state_count, PSTK_STATES_MAX); k++)
        if (rule->state_code[k] == code && !rule->state_text[k][0])
            return true;
    return false;
}

static inline bool is_listed(const pstk_judge *judge, const pstk_rule *rule,
                             const judge_node *sample) {
    uint8_t type = judge_hot_raw(judge, sample->tag)->type;
    pstk_value whole;
    if (type == PSTK_TYPE_CODE) {
        const char *text = pstk_tags_code_text(judge->tags, sample->tag, sample->value.i64);
        for (uint32_t k = 0; text && k < PSTK_MIN(rule->state_count, PSTK_STATES_MAX); k++)
            if (rule->state_text[k][0] &&
                strncmp(rule->state_text[k], text, sizeof rule->state_text[k]) == 0)
                return true;
        return false;
    }
    if (type != PSTK_TYPE_F64)
        return lists_code(rule, sample->value.i64);
    return judge_convert(type, sample->value, PSTK_TYPE_I64, &whole) && lists_code(rule, whole.i64);
}

static inline void hold_from(const pstk_judge *judge, judge_wide *at, const pstk_rule *rule,
                             const judge_node *sample, double x) {
    bool is_bad = judge_is_bad(sample->quality);
    at->flags &= (uint8_t)~(JUDGE_WIDE_HELD | JUDGE_WIDE_LISTED);
    at->held_ns = sample->time_ns;
    at->held = x;
    if (is_bad || !pstk_window_is_weighted(rule))
        return;
    at->flags |= JUDGE_WIDE_HELD;
    if ((rule->aggregates & PSTK_AGGREGATE_SHARE) && is_listed(judge, rule, sample))
        at->flags |= JUDGE_WIDE_LISTED;
}

void judge_wide_hold_from(const pstk_judge *judge, judge_wide *at, const pstk_rule *rule,
                          const judge_node *sample, double x) {
    hold_from(judge, at, rule, sample, x);
}

void judge_wide_enter(judge_wide_pane *pane, const judge_node *sample, double x) {
    if (judge_is_bad(sample->quality)) {
        pane->flags |= JUDGE_PANE_BAD;
        pane->figures.bad++;
        return;
    }
    if (judge_is_uncertain(sample->quality))
        pane->flags |= JUDGE_PANE_UNCERTAIN;
    pstk_figures_add(&pane->figures, sample->time_ns, x);
}

double judge_wide_number(const pstk_judge *judge, const judge_node *sample) {
    const judge_hot *hot = judge_hot_raw(judge, sample->tag);
    if (hot->type == PSTK_TYPE_CODE)
        return 0;
    return (hot->is_integer ? (double)sample->value.i64 : sample->value.f64) + 0.0;
}

/* ---- in the pane used last ------------------------------------------------------------------ */

static bool is_inside(const judge_wide *at, const judge_wide_pane *pane, const pstk_rule *rule,
                      int64_t time_ns) {
    int64_t start_ns = pane->figures.pane.start_ns;
    return time_ns >= PSTK_MAX(start_ns, at->floor_ns) &&
           time_ns < start_ns + pstk_window_hop(rule);
}

/* Up to the sample, where what holds began in this pane. */
static void hold_in_place(judge_wide *at, judge_wide_pane *pane, int64_t time_ns) {
    if ((at->flags & JUDGE_WIDE_HELD) && at->held_ns < time_ns) {
        if (at->held_ns <= PSTK_MAX(pane->figures.pane.start_ns, at->floor_ns))
            pane->flags |= JUDGE_PANE_KNOWN;
        pstk_figures_hold(&pane->figures, at->held, time_ns - at->held_ns,
                          at->flags & JUDGE_WIDE_LISTED);
    }
    at->held_ns = PSTK_MAX(at->held_ns, time_ns);
}

/* Of a rule in order of time: until_ns is the sample's own. */
static inline bool take_aligned(const pstk_judge *judge, judge_wide *at, judge_wide_pane *pane,
                                const pstk_rule *rule, const judge_node *sample) {
    int64_t time_ns = sample->time_ns, start_ns = pane->figures.pane.start_ns;
    bool is_weighted = pstk_window_is_weighted(rule);
    if (!is_inside(at, pane, rule, time_ns) || at->next_ns <= time_ns ||
        at->next_ns > start_ns + pstk_window_hop(rule) || (at->flags & JUDGE_WIDE_RESTING) ||
        (is_weighted && (at->flags & JUDGE_WIDE_HELD) && at->held_ns < start_ns))
        return false;
    if (time_ns <= PSTK_MAX(start_ns, at->floor_ns) && !judge_is_bad(sample->quality))
        pane->flags |= JUDGE_PANE_KNOWN;
    double x = judge_wide_number(judge, sample);
    if (is_weighted) {
        at->empties = 0;
        hold_in_place(at, pane, time_ns);
        hold_from(judge, at, rule, sample, x);
    }
    judge_wide_enter(pane, sample, x);
    return true;
}

/* Sessions and counts that weigh nothing, and that the sample does not end. */
static inline bool take_single(const pstk_judge *judge, judge_wide *at, judge_wide_pane *pane,
                               const pstk_rule *rule, const judge_node *sample) {
    const pstk_pane *plain = &pane->figures.pane;
    pstk_session session = {.first_ns = plain->start_ns, .last_ns = plain->last_ns};
    int64_t end_ns;
    if (pstk_window_is_weighted(rule) || at->at != at->first)
        return false;
    if (rule->session_gap_ns > 0 ? pstk_session_ends(rule, &session, sample->time_ns,
                                                     !judge_is_bad(sample->quality), &end_ns)
                                 : plain->count + 1 >= rule->count_n)
        return false;
    at->held_ns = PSTK_MAX(at->held_ns, sample->time_ns);
    judge_wide_enter(pane, sample, judge_wide_number(judge, sample));
    return true;
}

/* What is due may only have moved on: it is looked at when it would have been. */
static inline bool is_planned(const pstk_judge *judge, const judge_wide *at) {
    return at->clock ? at->due_ns > judge_clock_raw(judge, at->clock)->watermark_ns
                     : at->due_ns == INT64_MAX;
}

bool judge_wide_take_in_order(pstk_judge *judge, uint32_t index, const judge_node *sample) {
    judge_wide *at = judge_wide_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    if (!at->at || (rule->cut_on && !at->has_context) || judge->is_plain ||
        sample->time_ns < PSTK_MAX(at->floor_ns, at->newest_ns))
        return false;
    judge_wide_pane *pane = judge_wide_pane_at(judge, at->at);
    pstk_window_kind kind = pstk_window_kind_of(rule);
    if (kind != PSTK_WINDOW_ALIGNED
            ? !take_single(judge, at, pane, rule, sample)
            : !pstk_window_is_ordered(rule) || !take_aligned(judge, at, pane, rule, sample))
        return false;
    at->newest_ns = sample->time_ns;
    if (PSTK_UNLIKELY(!is_planned(judge, at)))
        judge_wide_plan(judge, index);
    return true;
}

bool judge_wide_take_in_place(pstk_judge *judge, uint32_t index, const judge_node *sample,
                              int64_t watermark_ns) {
    judge_wide *at = judge_wide_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    if (!at->at)
        return false;
    if (pstk_window_is_ordered(rule))
        return judge_wide_take_in_order(judge, index, sample);
    const judge_wide_pane *pane = judge_wide_pane_raw(judge, at->at);
    int64_t end_ns = pane->figures.pane.start_ns + pstk_window_hop(rule);
    if (!is_inside(at, pane, rule, sample->time_ns) || end_ns <= watermark_ns ||
        (pane->flags & JUDGE_PANE_TOLD))
        return false;
    judge_wide_enter(judge_wide_pane_at(judge, at->at), sample, judge_wide_number(judge, sample));
    at->newest_ns = PSTK_MAX(at->newest_ns, sample->time_ns);
    return true;
}

/* ---- the fast path's part ------------------------------------------------------------------- */

void judge_wide_add_newest(const pstk_judge *judge, const judge_hot *hot, int64_t time_ns,
                           double x) {
    for (uint32_t b = hot->bind; b; b = judge_bind_raw(judge, b)->link) {
        const judge_instance *instance =
            judge_instance_raw(judge, judge_bind_raw(judge, b)->instance);
        if (instance->kind != PSTK_RULE_WINDOW)
            continue;
        judge_wide *at = judge_wide_at(judge, instance->state);
        pstk_figures_add(&judge_wide_pane_at(judge, at->at)->figures, time_ns, x);
        at->newest_ns = PSTK_MAX(at->newest_ns, time_ns);
    }
}

int64_t judge_wide_until(const pstk_judge *judge, const judge_hot *hot) {
    int64_t until_ns = INT64_MAX;
    for (uint32_t b = hot->bind; b; b = judge_bind_raw(judge, b)->link) {
        const judge_instance *instance =
            judge_instance_raw(judge, judge_bind_raw(judge, b)->instance);
        if (instance->kind != PSTK_RULE_WINDOW)
            continue;
        const judge_wide *at = judge_wide_raw(judge, instance->state);
        const judge_wide_pane *pane = judge_wide_pane_raw(judge, at->at);
        int64_t start_ns = pane->figures.pane.start_ns;
        bool is_open = at->at && !(pane->flags & JUDGE_PANE_TOLD) && pane->figures.pane.count;
        if (!is_open || start_ns > hot->last_ns || at->floor_ns > hot->last_ns)
            return INT64_MIN;
        until_ns = PSTK_MIN(until_ns, start_ns + pstk_window_hop(judge_rule_of(judge, instance)));
    }
    return until_ns;
}
