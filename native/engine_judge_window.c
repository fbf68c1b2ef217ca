/* judge window: panes of each window, closed when the watermark reaches their end.
 * A pane closes where it is touched or where the sweep comes by, whichever is first; nothing of its
 * content depends on which, since whatever could change it (context, gaps, configuration, a clock
 * gone back) sweeps to the end beforehand. */
#include "engine_judge_state.h"

static const pstk_rule *next_rule_of(const pstk_judge *judge, const judge_window *at) {
    return judge_rule_raw(judge, judge_instance_raw(judge, at->instance)->rule - 1u);
}

/* By which a pane goes that starts then, or a sample of that time. */
static const pstk_rule *rule_of(const pstk_judge *judge, const judge_window *at, int64_t time_ns) {
    if (PSTK_LIKELY(!judge_window_is_leaving(at)))
        return judge_rule_raw(judge, at->rule - 1u);
    if (time_ns >= at->restart_ns)
        return next_rule_of(judge, at);
    return &judge_old_rule_raw(judge, at->rule - PSTK_RULES_MAX)->rule;
}

/* A change of the rule cut it: what came before E belongs to an older window. While a second change
 * is under way, that may be the E of the first. */
static bool is_cut(const pstk_rule *rule, const judge_window *at, int64_t start_ns) {
    return (start_ns == at->restart_ns || judge_window_is_leaving(at)) && start_ns != INT64_MIN &&
           pstk_window_start(start_ns, rule->size_ns, rule->offset_ns) != start_ns;
}

/* ---- closing -------------------------------------------------------------------------------- */

typedef struct closing {
    pstk_pane pane;
    int64_t end_ns;
    uint32_t flags;
} closing;

static void emit_event(pstk_judge *judge, const judge_window *at, const closing *it) {
    pstk_event *event =
        judge_event_begin(judge, at->instance, PSTK_EVENT_WINDOW_CLOSE, it->pane.start_ns);
    event->end_ns = it->end_ns;
    event->value.f64 = pstk_pane_mean(&it->pane);
    event->value_type = PSTK_TYPE_F64;
    event->sum = pstk_pane_sum(&it->pane);
    event->min = it->pane.min;
    event->max = it->pane.max;
    event->first = it->pane.first;
    event->last = it->pane.last;
    event->count = it->pane.count;
    event->flags = it->flags;
    uint32_t set = judge_context_at(judge, event->asset, it->pane.start_ns, &event->context);
    judge_context_fill(judge, event->asset, set, it->end_ns - 1, &event->context);
    judge_event_commit(judge, at->instance, event);
}

static uint32_t name_of(const pstk_judge *judge, const judge_window *at) {
    return judge_window_is_leaving(at) ? judge_instance_raw(judge, at->instance)->name
                                       : judge->name_of[at->rule - 1u];
}

static void emit_result(pstk_judge *judge, const judge_window *at, const closing *it) {
    judge_result_put(judge,
                     &(pstk_result){.start_ns = it->pane.start_ns,
                                    .end_ns = it->end_ns,
                                    .count = it->pane.count,
                                    .sum = pstk_pane_sum(&it->pane),
                                    .mean = pstk_pane_mean(&it->pane),
                                    .min = it->pane.min,
                                    .max = it->pane.max,
                                    .first = it->pane.first,
                                    .last = it->pane.last,
                                    .rule = name_of(judge, at),
                                    .tag = at->tag,
                                    .flags = it->flags},
                     NULL);
}

static void emit_closed(pstk_judge *judge, judge_window *at, closing *it, uint32_t pane_flags) {
    uint32_t stream = judge_hot_raw(judge, at->tag)->stream;
    bool has_gap = judge_gap_between(judge, stream, it->pane.start_ns - 1, it->end_ns);
    if (has_gap || (pane_flags & JUDGE_PANE_BAD))
        it->flags |= PSTK_FLAG_INCOMPLETE;
    if (pane_flags & JUDGE_PANE_UNCERTAIN)
        it->flags |= PSTK_FLAG_REPLACED_QUALITY;
    const pstk_rule *rule = rule_of(judge, at, it->pane.start_ns);
    if (!(at->flags & JUDGE_WINDOW_SEEN) || is_cut(rule, at, it->pane.start_ns))
        it->flags |= PSTK_FLAG_PARTIAL;
    at->flags |= JUDGE_WINDOW_SEEN;
    at->closed_ns = PSTK_MAX(at->closed_ns, it->end_ns);
    if (it->pane.count == 0) /* nothing but bad samples: no figure to tell */
        return;
    if (rule->emit == PSTK_EMIT_EVENT)
        emit_event(judge, at, it);
    else
        emit_result(judge, at, it);
}

/* The open pane that ends first: 0 = the one in place, else its link's holder in *out_link. */
static int64_t first_end(const pstk_judge *judge, const judge_window *at, uint32_t *out_pane) {
    bool is_open = at->flags & JUDGE_PANE_OPEN;
    int64_t end_ns = is_open ? at->end_ns : INT64_MAX;
    *out_pane = 0;
    for (uint32_t i = at->others; i; i = judge_pane_raw(judge, i)->link)
        if (judge_pane_raw(judge, i)->end_ns < end_ns) {
            end_ns = judge_pane_raw(judge, i)->end_ns;
            *out_pane = i;
        }
    return end_ns;
}

static void unlink_pane(pstk_judge *judge, judge_window *at, uint32_t index) {
    uint32_t *link = &at->others;
    while (*link != index)
        link = &judge_pane_at(judge, *link)->link;
    *link = judge_pane_raw(judge, index)->link;
    judge_arena_drop(judge, JUDGE_PANE, index);
}

static void close_first(pstk_judge *judge, judge_window *at, uint32_t flags) {
    uint32_t index;
    closing it = {.end_ns = first_end(judge, at, &index), .flags = flags};
    uint32_t pane_flags = at->flags;
    at->panes--;
    if (index) {
        const judge_pane *pane = judge_pane_raw(judge, index);
        it.pane = pane->pane;
        pane_flags = pane->flags;
        unlink_pane(judge, at, index);
    } else {
        it.pane = at->pane;
        at->flags &= JUDGE_WINDOW_SEEN;
        judge_hot_at(judge, at->tag)->until_ns = INT64_MIN;
    }
    emit_closed(judge, at, &it, pane_flags);
}

/* End of what has been told, one behind the newest sample of an open pane. A changed rule's first
 * pane begins there, so that it repeats no start that an event already bears. */
static int64_t told_until(const pstk_judge *judge, const judge_window *at) {
    int64_t last_ns = at->flags & JUDGE_PANE_OPEN ? at->pane.last_ns : INT64_MIN;
    for (uint32_t i = at->others; i; i = judge_pane_raw(judge, i)->link)
        last_ns = PSTK_MAX(last_ns, judge_pane_at(judge, i)->pane.last_ns);
    return PSTK_MAX(at->closed_ns, last_ns == INT64_MIN ? last_ns : last_ns + 1);
}

void judge_window_close_all(pstk_judge *judge, uint32_t index, uint32_t flags) {
    judge_window *at = judge_window_at(judge, index);
    bool is_regress = flags & PSTK_FLAG_CLOCK_REGRESS;
    /* A clock that went back starts a new epoch of identities; a new rule goes on in the old one.
     */
    int64_t until_ns = is_regress || !at->panes ? INT64_MIN : told_until(judge, at);
    if (!is_regress)
        until_ns = PSTK_MAX(until_ns, PSTK_MAX(at->restart_ns, at->closed_ns));
    while (at->panes)
        close_first(judge, at, flags);
    if (!is_regress)
        at->end_ns = PSTK_MAX(at->closed_ns, -PSTK_RULE_TIME_MAX);
    at->flags = 0; /* of a new epoch, too, the next is the first: what came before was late */
    at->closed_ns = at->restart_ns = until_ns;
    judge_window_settle(judge, index);
}

bool judge_window_is_over(const pstk_judge *judge, uint32_t index) {
    const judge_window *at = judge_window_raw(judge, index);
    uint32_t clock = judge_hot_raw(judge, at->tag)->clock;
    return at->restart_ns == INT64_MIN || at->end_ns <= judge_clock_raw(judge, clock)->watermark_ns;
}

/* ---- a rule that changed -------------------------------------------------------------------- */

void judge_window_align(pstk_judge *judge, uint32_t index) {
    judge_window *at = judge_window_at(judge, index);
    if (!at->rule || (at->flags & JUDGE_PANE_OPEN) || judge_window_is_leaving(at))
        return;
    const pstk_rule *rule = judge_rule_raw(judge, at->rule - 1u);
    if (rule->size_ns > 0)
        at->end_ns = pstk_window_start(at->end_ns, rule->size_ns, rule->offset_ns);
}

void judge_window_settle(pstk_judge *judge, uint32_t index) {
    judge_window *at = judge_window_at(judge, index);
    if (!judge_window_is_leaving(at))
        return;
    judge_old_rule *old = judge_old_rule_at(judge, at->rule - PSTK_RULES_MAX);
    if (--old->users == 0)
        judge_arena_drop(judge, JUDGE_OLD_RULE, at->rule - PSTK_RULES_MAX);
    at->rule = judge_instance_raw(judge, at->instance)->rule;
    judge_window_align(judge, index);
}

static uint32_t retire_rule(pstk_judge *judge, uint32_t slot) {
    uint32_t index = judge->retired_of[slot];
    if (!index) {
        index = judge_arena_take(judge, JUDGE_OLD_RULE);
        judge->retired_of[slot] = (uint16_t)index;
        if (index)
            judge_old_rule_at(judge, index)->rule = *judge_rule_raw(judge, slot);
    }
    return index;
}

typedef struct open_panes {
    int64_t end_ns;   /* latest */
    int64_t start_ns; /* latest */
    bool has_cut;
} open_panes;

static void see_pane(const pstk_judge *judge, const judge_window *at, int64_t start_ns,
                     int64_t end_ns, open_panes *found) {
    found->end_ns = PSTK_MAX(found->end_ns, end_ns);
    found->start_ns = PSTK_MAX(found->start_ns, start_ns);
    found->has_cut |= is_cut(rule_of(judge, at, start_ns), at, start_ns);
}

static open_panes look_at_panes(const pstk_judge *judge, const judge_window *at) {
    open_panes found = {INT64_MIN, INT64_MIN, false};
    if (at->flags & JUDGE_PANE_OPEN)
        see_pane(judge, at, at->pane.start_ns, at->end_ns, &found);
    for (uint32_t i = at->others; i; i = judge_pane_raw(judge, i)->link)
        see_pane(judge, at, judge_pane_raw(judge, i)->pane.start_ns,
                 judge_pane_raw(judge, i)->end_ns, &found);
    return found;
}

PSTK_COLD void judge_window_retire(pstk_judge *judge, uint32_t index) {
    judge_window *at = judge_window_at(judge, index);
    open_panes open = look_at_panes(judge, at);
    if (!at->panes) {
        at->restart_ns = PSTK_MAX(at->restart_ns, at->closed_ns);
        judge_window_settle(judge, index);
        return;
    }
    if (judge_window_is_leaving(at)) {
        if (open.start_ns >= at->restart_ns) /* of the table in between */
            judge_window_close_all(judge, index, PSTK_FLAG_PARTIAL);
        return;
    }
    uint32_t old = open.has_cut ? 0 : retire_rule(judge, at->rule - 1u);
    if (!old) {
        judge_window_close_all(judge, index, PSTK_FLAG_PARTIAL);
        return;
    }
    judge_old_rule_at(judge, old)->users++;
    at->rule = (uint16_t)(PSTK_RULES_MAX + old);
    at->closed_ns = PSTK_MAX(at->closed_ns, at->restart_ns);
    at->restart_ns = open.end_ns;
    judge_hot_at(judge, at->tag)->until_ns = INT64_MIN;
}

static void close_ready(pstk_judge *judge, judge_window *at, int64_t watermark_ns) {
    uint32_t index;
    while (at->panes && first_end(judge, at, &index) <= watermark_ns)
        close_first(judge, at, 0);
}

/* ---- one sample ----------------------------------------------------------------------------- */

static void swap_panes(judge_window *at, judge_pane *other) {
    judge_pane in = {
        .flags = at->flags & ~(uint32_t)JUDGE_WINDOW_SEEN, .end_ns = at->end_ns, .pane = at->pane};
    at->flags = (uint8_t)((at->flags & JUDGE_WINDOW_SEEN) | other->flags);
    at->end_ns = other->end_ns;
    at->pane = other->pane;
    other->flags = in.flags;
    other->end_ns = in.end_ns;
    other->pane = in.pane;
}

/* Makes place for one more pane in the window itself; false: none, and the new one would be the
 * oldest. */
static bool make_place(pstk_judge *judge, judge_window *at, int64_t end_ns, uint32_t panes_max) {
    uint32_t index, spare = 0;
    if (at->panes < panes_max &&
        (!(at->flags & JUDGE_PANE_OPEN) || (spare = judge_arena_take(judge, JUDGE_PANE)) != 0)) {
        if (!spare)
            return true;
        judge_pane *pane = judge_pane_at(judge, spare);
        pane->link = at->others;
        at->others = spare;
        pane->flags = at->flags & ~(uint32_t)JUDGE_WINDOW_SEEN;
        pane->end_ns = at->end_ns;
        pane->pane = at->pane;
        return true;
    }
    JUDGE_COUNT(judge->head.counters.reorder_overflow, 1);
    if (end_ns <= first_end(judge, at, &index))
        return false;
    close_first(judge, at, PSTK_FLAG_INCOMPLETE);
    if (at->flags & JUDGE_PANE_OPEN)
        return make_place(judge, at, end_ns, panes_max + 1);
    return true;
}

/* While a change is under way, panes of both rules are open. */
static uint32_t panes_max_of(const pstk_judge *judge, const judge_window *at, int64_t lateness_ns) {
    const pstk_rule *rule = rule_of(judge, at, INT64_MIN);
    uint32_t panes_max = pstk_window_panes(rule->size_ns, lateness_ns);
    if (PSTK_UNLIKELY(judge_window_is_leaving(at)))
        panes_max += pstk_window_panes(next_rule_of(judge, at)->size_ns, lateness_ns);
    return PSTK_MAX(panes_max, 2u);
}

static bool open_pane(pstk_judge *judge, uint32_t index, int64_t start_ns, int64_t end_ns) {
    judge_window *at = judge_window_at(judge, index);
    judge_clock *clock = judge_clock_at(judge, judge_hot_raw(judge, at->tag)->clock);
    uint32_t panes_max = 2;
    if (at->panes >= panes_max)
        panes_max = panes_max_of(judge, at, clock->lateness_ns);
    if (!make_place(judge, at, end_ns, panes_max))
        return false;
    pstk_pane_open(&at->pane, start_ns);
    at->end_ns = end_ns;
    at->flags = (uint8_t)((at->flags & JUDGE_WINDOW_SEEN) | JUDGE_PANE_OPEN);
    at->panes++;
    clock->due_ns = PSTK_MIN(clock->due_ns, end_ns);
    clock->sweep_due_ns = PSTK_MIN(clock->sweep_due_ns, end_ns);
    return true;
}

/* Brings the pane of that start into place. */
static bool find_pane(pstk_judge *judge, uint32_t index, int64_t start_ns, int64_t end_ns) {
    judge_window *at = judge_window_at(judge, index);
    if ((at->flags & JUDGE_PANE_OPEN) && at->pane.start_ns == start_ns)
        return true;
    judge_hot_at(judge, at->tag)->until_ns = INT64_MIN;
    for (uint32_t i = at->others; i; i = judge_pane_raw(judge, i)->link) {
        judge_pane *pane = judge_pane_at(judge, i);
        if (pane->pane.start_ns != start_ns)
            continue;
        if (at->flags & JUDGE_PANE_OPEN) {
            swap_panes(at, pane);
            return true;
        }
        at->pane = pane->pane;
        at->end_ns = pane->end_ns;
        at->flags = (uint8_t)((at->flags & JUDGE_WINDOW_SEEN) | pane->flags);
        unlink_pane(judge, at, i);
        return true;
    }
    return open_pane(judge, index, start_ns, end_ns);
}

/* Most often it is the one behind the last; else it is reckoned, by division. */
static int64_t start_of(const judge_window *at, const pstk_rule *rule, int64_t time_ns) {
    bool is_known =
        (at->flags & (JUDGE_PANE_OPEN | JUDGE_WINDOW_SEEN)) && !judge_window_is_leaving(at);
    if (is_known && (uint64_t)(time_ns - at->end_ns) < (uint64_t)rule->size_ns)
        return at->end_ns;
    return pstk_window_start(time_ns, rule->size_ns, rule->offset_ns);
}

/* Brings the pane of that time into place, or opens it; closes what is ready first. False: late. */
static bool reach_pane(pstk_judge *judge, uint32_t index, int64_t time_ns, int64_t watermark_ns) {
    judge_window *at = judge_window_at(judge, index);
    close_ready(judge, at, watermark_ns);
    if (PSTK_UNLIKELY(judge_window_is_leaving(at)) && watermark_ns >= at->restart_ns)
        judge_window_settle(judge, index);
    bool is_old = time_ns < at->restart_ns;
    if (is_old && (!judge_window_is_leaving(at) || time_ns < at->closed_ns))
        return false; /* told by a window of the rule as it was */
    const pstk_rule *rule = rule_of(judge, at, time_ns);
    int64_t start_ns = start_of(at, rule, time_ns);
    int64_t end_ns = start_ns + rule->size_ns;
    if (end_ns <= watermark_ns || end_ns <= at->closed_ns)
        return false;
    start_ns = PSTK_MAX(start_ns, is_old ? at->closed_ns : at->restart_ns);
    return find_pane(judge, index, start_ns, end_ns);
}

bool judge_window_add(pstk_judge *judge, uint32_t index, int64_t time_ns, double x,
                      uint16_t quality) {
    judge_window *at = judge_window_at(judge, index);
    int64_t watermark_ns =
        judge_clock_at(judge, judge_hot_raw(judge, at->tag)->clock)->watermark_ns;
    /* As on the fast path, a sample of the pane in place closes no other. */
    bool is_in_place = (at->flags & JUDGE_PANE_OPEN) && time_ns >= at->pane.start_ns &&
                       time_ns < at->end_ns && at->end_ns > watermark_ns;
    if (!is_in_place && !reach_pane(judge, index, time_ns, watermark_ns))
        return false;
    if (judge_is_bad(quality)) {
        at->flags |= JUDGE_PANE_BAD;
        return true;
    }
    if (judge_is_uncertain(quality))
        at->flags |= JUDGE_PANE_UNCERTAIN;
    pstk_pane_add(&at->pane, time_ns, x);
    return true;
}

/* ---- the sweep ------------------------------------------------------------------------------ */

bool judge_sweep(pstk_judge *judge, uint32_t clock_index, uint32_t *budget) {
    judge_clock *clock = judge_clock_at(judge, clock_index);
    if (!judge_wide_sweep(judge, clock_index, budget))
        return false;
    if (!clock->is_sweeping) {
        if (clock->watermark_ns < clock->due_ns)
            return true;
        clock->is_sweeping = 1;
        clock->sweep = clock->windows;
        clock->sweep_due_ns = INT64_MAX;
        judge->sweeping++;
    }
    for (; clock->sweep && *budget; (*budget)--) {
        if (!judge_has_room(judge))
            return false;
        judge_window *at = judge_window_at(judge, clock->sweep);
        __builtin_prefetch(judge_window_at(judge, at->clock_next));
        uint32_t pane;
        close_ready(judge, at, clock->watermark_ns);
        if (PSTK_UNLIKELY(judge_window_is_leaving(at)) && clock->watermark_ns >= at->restart_ns)
            judge_window_settle(judge, clock->sweep);
        clock->sweep_due_ns = PSTK_MIN(clock->sweep_due_ns, first_end(judge, at, &pane));
        clock->sweep = at->clock_next;
    }
    if (!clock->sweep) {
        clock->is_sweeping = 0;
        clock->due_ns = clock->sweep_due_ns;
        judge->sweeping--;
    }
    return true;
}

bool judge_sweep_all(pstk_judge *judge, uint32_t budget) {
    for (uint32_t c = 1; c < judge_count(judge, JUDGE_CLOCK) && budget; c++) {
        judge_clock *clock = judge_clock_at(judge, c);
        while (budget && (clock->is_sweeping ||
                          clock->watermark_ns >= PSTK_MIN(clock->due_ns, clock->wide_ns))) {
            if (!judge_sweep(judge, c, &budget))
                return false;
        }
    }
    return true;
}

void judge_window_list(pstk_judge *judge, uint32_t index) {
    judge_window *at = judge_window_at(judge, index);
    judge_clock *clock = judge_clock_at(judge, judge_hot_raw(judge, at->tag)->clock);
    at->clock_next = 0;
    if (clock->windows_tail)
        judge_window_at(judge, clock->windows_tail)->clock_next = index;
    else
        clock->windows = index;
    clock->windows_tail = index;
}

void judge_windows_rebuild(pstk_judge *judge) {
    judge->sweeping = 0;
    for (uint32_t c = 0; c < judge_count(judge, JUDGE_CLOCK); c++) {
        judge_clock *clock = judge_clock_at(judge, c);
        clock->windows = clock->windows_tail = clock->sweep = 0;
        clock->is_sweeping = 0;
        clock->due_ns = clock->sweep_due_ns = INT64_MAX;
    }
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_WINDOW); i++) {
        const judge_window *at = judge_window_raw(judge, i);
        if (!at->instance || !judge_instance_raw(judge, at->instance)->rule)
            continue;
        judge_window_list(judge, i);
        judge_clock *clock = judge_clock_at(judge, judge_hot_raw(judge, at->tag)->clock);
        uint32_t pane;
        clock->due_ns = PSTK_MIN(clock->due_ns, first_end(judge, at, &pane));
    }
    judge_wide_rebuild(judge);
}

void judge_until_refresh(pstk_judge *judge, uint32_t tag) {
    judge_hot *hot = judge_hot_at(judge, tag);
    int64_t until_ns = PSTK_MIN(hot->calm_ns, PSTK_RULE_TIME_MAX + 1);
    uint32_t row = hot->window;
    hot->until_ns = INT64_MIN;
    hot->is_row = 1;
    if (hot->slow & ~(uint32_t)JUDGE_SLOW_WIDE)
        return;
    if (hot->slow)
        until_ns = PSTK_MIN(until_ns, judge_wide_until(judge, hot));
    for (uint32_t w = hot->window; w;) {
        const judge_window *at = judge_window_raw(judge, w);
        bool is_begun = (at->flags & JUDGE_PANE_OPEN) && at->pane.count > 0;
        if (!is_begun || at->pane.start_ns > hot->last_ns)
            return;
        until_ns = PSTK_MIN(until_ns, at->end_ns);
        hot->is_row &= w == row++;
        w = at->link;
    }
    hot->until_ns = until_ns;
}
