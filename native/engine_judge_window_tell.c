/* judge window, tell: a wide window that ended becomes a row of results or an event. */
#include "engine_judge_state.h"

#define NOTHING __builtin_nan("")

static const pstk_rule *rule_of(const pstk_judge *judge, const judge_wide *at) {
    return judge_rule_of(judge, judge_instance_raw(judge, at->instance));
}

/* Plain figures as they are told: states have none, and no sample has none. */
static pstk_pane told_pane(const pstk_figures *figures, bool is_number, double *out_sum,
                           double *out_mean) {
    pstk_pane pane = figures->pane;
    bool has_figures = is_number && pane.count > 0;
    *out_sum = has_figures ? pstk_pane_sum(&pane) : NOTHING;
    *out_mean = has_figures ? pstk_pane_mean(&pane) : NOTHING;
    if (!has_figures)
        pane.min = pane.max = pane.first = pane.last = NOTHING;
    return pane;
}

static void tell_result(pstk_judge *judge, const judge_wide *at, const judge_telling *it,
                        const pstk_aggregates *more, bool is_number) {
    double sum, mean;
    pstk_pane pane = told_pane(&it->figures, is_number, &sum, &mean);
    const judge_instance *instance = judge_instance_raw(judge, at->instance);
    bool has_more = rule_of(judge, at)->aggregates;
    judge_result_put(judge,
                     &(pstk_result){.start_ns = it->start_ns,
                                    .end_ns = it->end_ns,
                                    .count = pane.count,
                                    .sum = sum,
                                    .mean = mean,
                                    .min = pane.min,
                                    .max = pane.max,
                                    .first = pane.first,
                                    .last = pane.last,
                                    .rule = instance->name,
                                    .tag = at->tag,
                                    .flags = it->flags,
                                    .revision = it->revision},
                     has_more ? more : NULL);
}

static void fill_figures(pstk_event *event, uint32_t asked, const pstk_aggregates *more) {
    if (!asked)
        return;
    event->start_reading.i64 = more->min_ns;
    event->end_reading.i64 = more->max_ns;
    event->figures = (pstk_event_figures){.asked = asked,
                                          .variance = more->variance,
                                          .tw_mean = more->tw_mean,
                                          .integral = more->integral,
                                          .rate = more->rate,
                                          .share = more->share,
                                          .completeness = more->completeness,
                                          .quality_share = more->quality_share};
}

static void tell_event(pstk_judge *judge, const judge_wide *at, const judge_telling *it,
                       const pstk_aggregates *more, bool is_number) {
    pstk_event *event =
        judge_event_begin(judge, at->instance, PSTK_EVENT_WINDOW_CLOSE, it->start_ns);
    pstk_pane pane = told_pane(&it->figures, is_number, &event->sum, &event->value.f64);
    event->end_ns = it->end_ns;
    event->value_type = PSTK_TYPE_F64;
    event->min = pane.min;
    event->max = pane.max;
    event->first = pane.first;
    event->last = pane.last;
    event->count = pane.count;
    event->flags = it->flags;
    event->revision = it->revision;
    fill_figures(event, rule_of(judge, at)->aggregates, more);
    uint32_t set = judge_context_at(judge, event->asset, it->start_ns, &event->context);
    judge_context_fill(judge, event->asset, set, PSTK_MAX(it->start_ns, it->end_ns - 1),
                       &event->context);
    judge_wide_roles(judge, at, event);
    judge_event_commit(judge, at->instance, event);
}

static void set_flags(const pstk_judge *judge, judge_wide *at, judge_telling *it) {
    uint32_t stream = judge_hot_raw(judge, at->tag)->stream;
    bool has_gap = judge_gap_between(judge, stream, it->start_ns - 1, it->end_ns);
    const pstk_rule *rule = rule_of(judge, at);
    bool is_by_value =
        pstk_window_is_weighted(rule) && pstk_window_kind_of(rule) == PSTK_WINDOW_ALIGNED;
    bool is_partial =
        is_by_value ? !(it->pane_flags & JUDGE_PANE_KNOWN) : it->start_ns <= at->partial_ns;
    if (has_gap || (it->pane_flags & JUDGE_PANE_BAD) || (at->flags & JUDGE_WIDE_LOST))
        it->flags |= PSTK_FLAG_INCOMPLETE;
    if (it->pane_flags & JUDGE_PANE_UNCERTAIN)
        it->flags |= PSTK_FLAG_REPLACED_QUALITY;
    if (is_partial)
        it->flags |= PSTK_FLAG_PARTIAL;
}

/* Those that begin in or before the first one's last pane began before they were seen; a cut leaves
 * a part of a pane. */
static void mark_seen(const pstk_judge *judge, judge_wide *at, const judge_telling *it) {
    const pstk_rule *rule = rule_of(judge, at);
    bool is_aligned = pstk_window_kind_of(rule) == PSTK_WINDOW_ALIGNED;
    if (at->flags & JUDGE_WIDE_SEEN)
        return;
    at->flags |= JUDGE_WIDE_SEEN;
    at->partial_ns = it->start_ns;
    if (is_aligned) {
        int64_t pane_ns = pstk_time_floor(it->end_ns - 1, pstk_window_hop(rule), rule->offset_ns);
        at->partial_ns = PSTK_MAX(it->start_ns, pane_ns);
    }
}

void judge_wide_tell(pstk_judge *judge, uint32_t index, judge_telling *it) {
    judge_wide *at = judge_wide_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    const pstk_figures *figures = &it->figures;
    mark_seen(judge, at, it);
    set_flags(judge, at, it);
    bool has_bad = figures->bad && (rule->aggregates & PSTK_AGGREGATE_QUALITY_SHARE);
    bool is_held = figures->known_ns > 0 && pstk_window_is_weighted(rule);
    if (figures->pane.count == 0 && !has_bad && !is_held)
        return; /* nothing to tell */
    at->flags &= (uint8_t)~JUDGE_WIDE_LOST;
    bool is_number = judge_hot_raw(judge, at->tag)->type != PSTK_TYPE_CODE;
    pstk_figures_ask ask = {.aggregates = rule->aggregates,
                            .is_number = is_number,
                            .length_ns = it->end_ns - it->start_ns,
                            .expected_ns = rule->expected_ns};
    pstk_aggregates more;
    pstk_figures_tell(figures, &ask, &more);
    if (rule->emit == PSTK_EMIT_EVENT)
        tell_event(judge, at, it, &more, is_number);
    else
        tell_result(judge, at, it, &more, is_number);
}
