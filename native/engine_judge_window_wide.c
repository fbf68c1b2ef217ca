/* judge window, wide: samples enter panes, and what ends is told.
 * Aligned windows have one pane a hop; a window merges its panes in order of time. Sessions and
 * counts have one pane. A rule weighted by time reckons what a value held up to the next sample or
 * the end of a window, piece by piece in order of time, and tells windows without a sample too,
 * PSTK_EMPTY_WINDOWS_MAX in a row. Nothing told depends on whether a sample or the sweep noticed
 * that it was due. */
#include "engine_judge_state.h"

static const pstk_rule *rule_of(const pstk_judge *judge, const judge_wide *at) {
    return judge_rule_of(judge, judge_instance_raw(judge, at->instance));
}

/* ---- panes, by time ------------------------------------------------------------------------- */

static int64_t start_of(const pstk_judge *judge, uint32_t pane) {
    return judge_wide_pane_raw(judge, pane)->figures.pane.start_ns;
}

static uint32_t make_pane(pstk_judge *judge, judge_wide *at, int64_t start_ns) {
    uint32_t index = judge_arena_take(judge, JUDGE_WIDE_PANE);
    if (!index) {
        JUDGE_COUNT(judge->head.counters.reorder_overflow, 1);
        at->flags |= JUDGE_WIDE_LOST;
        return 0;
    }
    pstk_figures_open(&judge_wide_pane_at(judge, index)->figures, start_ns);
    at->panes++;
    return index;
}

/* The pane of that start; made where there is none. 0: no room. */
static uint32_t find_pane(pstk_judge *judge, judge_wide *at, int64_t start_ns) {
    if (at->at && start_of(judge, at->at) == start_ns)
        return at->at;
    bool is_newest = !at->last || start_of(judge, at->last) < start_ns;
    uint32_t before = is_newest ? at->last : 0, next = is_newest ? 0 : at->first;
    while (next && start_of(judge, next) < start_ns) {
        before = next;
        next = judge_wide_pane_raw(judge, next)->link;
    }
    judge_hot_at(judge, at->tag)->until_ns = INT64_MIN;
    if (next && start_of(judge, next) == start_ns)
        return at->at = next;
    uint32_t made = make_pane(judge, at, start_ns);
    if (!made)
        return 0;
    judge_wide_pane_at(judge, made)->link = next;
    if (before)
        judge_wide_pane_at(judge, before)->link = made;
    else
        at->first = made;
    if (!next)
        at->last = made;
    return at->at = made;
}

static void drop_first(pstk_judge *judge, judge_wide *at) {
    uint32_t index = at->first;
    judge_hot_at(judge, at->tag)->until_ns = INT64_MIN;
    at->first = judge_wide_pane_raw(judge, index)->link;
    if (at->last == index)
        at->last = 0;
    if (at->at == index)
        at->at = 0;
    at->panes--;
    judge_arena_drop(judge, JUDGE_WIDE_PANE, index);
}

/* ---- what a value held ---------------------------------------------------------------------- */

static int64_t floor_of(const pstk_rule *rule, int64_t time_ns) {
    return pstk_window_start(time_ns, pstk_window_hop(rule), rule->offset_ns);
}

/* Into the panes it held in, each from its own start on. */
static void hold_until(pstk_judge *judge, judge_wide *at, const pstk_rule *rule, int64_t until_ns) {
    bool is_aligned = pstk_window_kind_of(rule) == PSTK_WINDOW_ALIGNED;
    while ((at->flags & JUDGE_WIDE_HELD) && at->held_ns < until_ns) {
        int64_t start_ns = is_aligned ? floor_of(rule, at->held_ns) : INT64_MIN, end_ns = until_ns;
        if (is_aligned)
            end_ns = PSTK_MIN(until_ns, start_ns + pstk_window_hop(rule));
        uint32_t index = is_aligned ? find_pane(judge, at, start_ns) : at->first;
        if (!index)
            break;
        judge_wide_pane *pane = judge_wide_pane_at(judge, index);
        if (at->held_ns <= PSTK_MAX(start_ns, at->floor_ns))
            pane->flags |= JUDGE_PANE_KNOWN;
        pstk_figures_hold(&pane->figures, at->held, end_ns - at->held_ns,
                          at->flags & JUDGE_WIDE_LISTED);
        at->held_ns = end_ns;
    }
    at->held_ns = PSTK_MAX(at->held_ns, until_ns);
}

/* ---- aligned windows ------------------------------------------------------------------------ */

static int64_t expiry_of(const pstk_judge *judge, const judge_wide *at, const pstk_rule *rule) {
    bool is_kept = rule->correct_ns > 0 && at->first &&
                   (judge_wide_pane_raw(judge, at->first)->flags & JUDGE_PANE_TOLD);
    return is_kept ? start_of(judge, at->first) + rule->size_ns + rule->correct_ns : INT64_MAX;
}

/* A kept pane's time is over: what changed since it was told is told once more. */
static void expire_first(pstk_judge *judge, uint32_t index, const pstk_rule *rule, uint32_t flags) {
    judge_wide *at = judge_wide_at(judge, index);
    const judge_wide_pane *pane = judge_wide_pane_raw(judge, at->first);
    int64_t start_ns = pane->figures.pane.start_ns;
    judge_telling it = {.figures = pane->figures,
                        .start_ns = PSTK_MAX(start_ns, at->floor_ns),
                        .end_ns = start_ns + rule->size_ns,
                        .pane_flags = pane->flags,
                        .flags = flags,
                        .revision = 1};
    bool is_changed = pane->flags & JUDGE_PANE_CHANGED;
    drop_first(judge, at);
    if (is_changed)
        judge_wide_tell(judge, index, &it);
}

/* All panes of the window that ends there, in order of time. */
static judge_telling gather(pstk_judge *judge, const judge_wide *at, const pstk_rule *rule,
                            int64_t end_ns) {
    int64_t from_ns = end_ns - rule->size_ns;
    judge_telling it = {.start_ns = PSTK_MAX(from_ns, at->floor_ns), .end_ns = end_ns};
    pstk_figures_open(&it.figures, from_ns);
    bool is_first = true;
    for (uint32_t i = at->first; i && start_of(judge, i) < end_ns;) {
        judge_wide_pane *pane = judge_wide_pane_at(judge, i);
        i = pane->link;
        int64_t start_ns = pane->figures.pane.start_ns;
        if (start_ns < from_ns)
            continue;
        if (is_first)
            it.figures = pane->figures;
        else
            pstk_figures_merge(&it.figures, &pane->figures);
        is_first = false;
        bool is_begin = start_ns <= it.start_ns;
        it.pane_flags |= is_begin ? pane->flags : pane->flags & ~(uint32_t)JUDGE_PANE_KNOWN;
        pane->flags |= rule->correct_ns > 0 ? JUDGE_PANE_TOLD : 0;
    }
    return it;
}

/* End of the next window that will have something to tell. */
static int64_t next_end(const pstk_judge *judge, const judge_wide *at, const pstk_rule *rule,
                        int64_t end_ns) {
    int64_t hop_ns = pstk_window_hop(rule);
    if ((at->flags & JUDGE_WIDE_HELD) && !(at->flags & JUDGE_WIDE_RESTING))
        return end_ns + hop_ns;
    uint32_t i = at->first;
    while (i && (judge_wide_pane_raw(judge, i)->flags & JUDGE_PANE_TOLD))
        i = judge_wide_pane_raw(judge, i)->link;
    return i ? PSTK_MAX(end_ns, start_of(judge, i)) + hop_ns : INT64_MAX;
}

static void tell_next(pstk_judge *judge, uint32_t index, const pstk_rule *rule, uint32_t flags) {
    judge_wide *at = judge_wide_at(judge, index);
    int64_t end_ns = at->next_ns;
    hold_until(judge, at, rule, end_ns);
    judge_telling it = gather(judge, at, rule, end_ns);
    it.flags = flags;
    bool is_empty = it.figures.pane.count == 0 && it.figures.bad == 0;
    at->empties = (uint8_t)(is_empty ? at->empties + 1 : 0);
    judge_wide_tell(judge, index, &it);
    if (at->empties >= PSTK_EMPTY_WINDOWS_MAX)
        at->flags |= JUDGE_WIDE_RESTING;
    bool is_resting = at->flags & JUDGE_WIDE_RESTING;
    while (at->first && rule->correct_ns == 0 &&
           (is_resting || start_of(judge, at->first) + rule->size_ns <= end_ns))
        drop_first(judge, at);
    at->next_ns = next_end(judge, at, rule, end_ns);
}

static bool advance_aligned(pstk_judge *judge, uint32_t index, int64_t until_ns, uint32_t flags) {
    judge_wide *at = judge_wide_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    for (;;) {
        int64_t expiry_ns = expiry_of(judge, at, rule);
        if (PSTK_MIN(expiry_ns, at->next_ns) > until_ns ||
            PSTK_MIN(expiry_ns, at->next_ns) == INT64_MAX)
            return true;
        if (!judge_has_room(judge))
            return false;
        if (expiry_ns <= at->next_ns)
            expire_first(judge, index, rule, flags);
        else
            tell_next(judge, index, rule, flags);
    }
}

/* A sample ends the rest of a silent tag: what held holds again, for the windows it lies in, behind
 * the last cut. Their panes went when the rest began, so they are reckoned from the beginning. */
static void wake(judge_wide *at, const pstk_rule *rule, int64_t time_ns) {
    int64_t first_ns = floor_of(rule, time_ns) - (rule->size_ns - pstk_window_hop(rule));
    at->empties = 0;
    if (!(at->flags & JUDGE_WIDE_RESTING))
        return;
    at->flags &= (uint8_t)~JUDGE_WIDE_RESTING;
    at->held_ns = PSTK_MAX(PSTK_MAX(at->newest_ns, at->floor_ns), first_ns);
}

static bool is_late(const judge_wide *at, const pstk_rule *rule, int64_t start_ns, int64_t time_ns,
                    int64_t until_ns) {
    if (time_ns < at->floor_ns)
        return true;
    if (pstk_window_is_ordered(rule))
        return time_ns < at->newest_ns;
    return start_ns + pstk_window_hop(rule) + rule->correct_ns <= until_ns;
}

/* until_ns: the watermark; of a rule in order of time the sample's own. False: late. */
static bool take_aligned(pstk_judge *judge, uint32_t index, const judge_node *sample, double x,
                         int64_t until_ns) {
    judge_wide *at = judge_wide_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    int64_t time_ns = sample->time_ns, start_ns = floor_of(rule, time_ns);
    int64_t hop_ns = pstk_window_hop(rule);
    if (is_late(at, rule, start_ns, time_ns, until_ns))
        return false;
    if (pstk_window_is_weighted(rule)) {
        wake(at, rule, time_ns);
        hold_until(judge, at, rule, time_ns);
    }
    uint32_t found = find_pane(judge, at, start_ns);
    if (!found)
        return false;
    judge_wide_pane *pane = judge_wide_pane_at(judge, found);
    bool is_over = rule->correct_ns > 0 && start_ns + hop_ns <= until_ns;
    bool is_counted =
        !judge_is_bad(sample->quality) || (rule->aggregates & PSTK_AGGREGATE_QUALITY_SHARE);
    if (is_over)
        pane->flags |= JUDGE_PANE_TOLD | (is_counted ? JUDGE_PANE_CHANGED : 0);
    bool is_start = time_ns <= PSTK_MAX(start_ns, at->floor_ns);
    if (is_start && !judge_is_bad(sample->quality))
        pane->flags |= JUDGE_PANE_KNOWN;
    judge_wide_enter(pane, sample, x);
    if (!is_over)
        at->next_ns = PSTK_MIN(at->next_ns, start_ns + hop_ns);
    return true;
}

/* ---- sessions and counts: one pane ---------------------------------------------------------- */

static void tell_pane(pstk_judge *judge, uint32_t index, int64_t end_ns, uint32_t flags) {
    judge_wide *at = judge_wide_at(judge, index);
    hold_until(judge, at, rule_of(judge, at), end_ns);
    const judge_wide_pane *pane = judge_wide_pane_raw(judge, at->first);
    judge_telling it = {.figures = pane->figures,
                        .start_ns = pane->figures.pane.start_ns,
                        .end_ns = end_ns,
                        .pane_flags = pane->flags | JUDGE_PANE_KNOWN,
                        .flags = flags};
    drop_first(judge, at);
    at->flags &= (uint8_t)~JUDGE_WIDE_HELD;
    judge_wide_tell(judge, index, &it);
}

static pstk_session session_of(const pstk_judge *judge, const judge_wide *at) {
    const pstk_pane *pane = &judge_wide_pane_raw(judge, at->first)->figures.pane;
    return (pstk_session){.first_ns = pane->start_ns, .last_ns = pane->last_ns};
}

static bool end_session(pstk_judge *judge, uint32_t index, int64_t time_ns, bool is_sample) {
    judge_wide *at = judge_wide_at(judge, index);
    int64_t end_ns;
    if (!at->first)
        return true;
    pstk_session session = session_of(judge, at);
    if (!pstk_session_ends(rule_of(judge, at), &session, time_ns, is_sample, &end_ns))
        return true;
    if (!judge_has_room(judge))
        return false;
    tell_pane(judge, index, end_ns, 0);
    return true;
}

/* False: late, or no pane is free. */
static bool take_single(pstk_judge *judge, uint32_t index, const judge_node *sample, double x) {
    judge_wide *at = judge_wide_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    bool is_bad = judge_is_bad(sample->quality);
    if (sample->time_ns < PSTK_MAX(at->floor_ns, at->newest_ns))
        return false;
    if (!at->first && is_bad)
        return true; /* only a value begins one */
    hold_until(judge, at, rule, sample->time_ns);
    uint32_t found = at->first ? at->first : find_pane(judge, at, sample->time_ns);
    if (!found)
        return false;
    judge_wide_enter(judge_wide_pane_at(judge, found), sample, x);
    return true;
}

/* ---- one sample ----------------------------------------------------------------------------- */

static int64_t due_of(const pstk_judge *judge, const judge_wide *at) {
    const pstk_rule *rule = rule_of(judge, at);
    switch (pstk_window_kind_of(rule)) {
    case PSTK_WINDOW_ALIGNED:
        return PSTK_MIN(at->next_ns, expiry_of(judge, at, rule));
    case PSTK_WINDOW_SESSION: {
        pstk_session session;
        if (!at->first)
            return INT64_MAX;
        session = session_of(judge, at);
        return pstk_session_deadline(rule, &session);
    }
    default:
        return INT64_MAX;
    }
}

/* What is due later than before is looked at when it would have been, and put back then. */
void judge_wide_plan(pstk_judge *judge, uint32_t index) {
    judge_wide *at = judge_wide_at(judge, index);
    int64_t due_ns = due_of(judge, at);
    if (at->clock && due_ns >= at->due_ns && due_ns != INT64_MAX &&
        (due_ns == at->due_ns || at->due_ns > judge_clock_raw(judge, at->clock)->watermark_ns))
        return;
    judge_wide_unschedule(judge, index);
    at->due_ns = due_ns;
    if (due_ns != INT64_MAX)
        judge_wide_schedule(judge, index);
}

bool judge_wide_reach(pstk_judge *judge, uint32_t index, int64_t until_ns, bool is_sample) {
    judge_wide *at = judge_wide_at(judge, index);
    pstk_window_kind kind = pstk_window_kind_of(rule_of(judge, at));
    bool is_done = true;
    if (kind == PSTK_WINDOW_ALIGNED)
        is_done = advance_aligned(judge, index, until_ns, 0);
    else if (kind == PSTK_WINDOW_SESSION)
        is_done = end_session(judge, index, until_ns, is_sample);
    judge_wide_plan(judge, index);
    return is_done;
}

bool judge_wide_advance(pstk_judge *judge, uint32_t index, int64_t until_ns) {
    return judge_wide_reach(judge, index, until_ns, false);
}

static void take(pstk_judge *judge, uint32_t index, const judge_node *sample, int64_t until_ns,
                 bool *out_is_late) {
    judge_wide *at = judge_wide_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    double x = judge_wide_number(judge, sample);
    bool is_aligned = pstk_window_kind_of(rule) == PSTK_WINDOW_ALIGNED;
    bool is_taken = is_aligned ? take_aligned(judge, index, sample, x, until_ns)
                               : take_single(judge, index, sample, x);
    *out_is_late = !is_taken;
    if (!is_taken)
        return;
    if (pstk_window_is_weighted(rule))
        judge_wide_hold_from(judge, at, rule, sample, x);
    at->newest_ns = PSTK_MAX(at->newest_ns, sample->time_ns);
}

bool judge_wide_take(pstk_judge *judge, uint32_t index, const judge_node *sample,
                     bool *out_is_late) {
    judge_wide *at = judge_wide_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    pstk_window_kind kind = pstk_window_kind_of(rule);
    int64_t until_ns = sample->time_ns;
    if (!pstk_window_is_ordered(rule))
        until_ns = judge_clock_raw(judge, judge_hot_raw(judge, at->tag)->clock)->watermark_ns;
    if (judge_wide_take_in_place(judge, index, sample, until_ns))
        return true;
    if (kind == PSTK_WINDOW_ALIGNED && !advance_aligned(judge, index, until_ns, 0))
        return false;
    bool is_good = !judge_is_bad(sample->quality);
    if (kind == PSTK_WINDOW_SESSION && !end_session(judge, index, until_ns, is_good))
        return false;
    if (!judge_has_room(judge))
        return false;
    judge_wide_begin(judge, index, sample->time_ns);
    take(judge, index, sample, until_ns, out_is_late);
    if (kind == PSTK_WINDOW_COUNT && at->first &&
        judge_wide_pane_raw(judge, at->first)->figures.pane.count >= rule->count_n)
        tell_pane(judge, index, sample->time_ns, 0);
    judge_wide_plan(judge, index);
    return true;
}

/* ---- cuts ----------------------------------------------------------------------------------- */

/* Windows over the moment, each from its start or the last cut up to it. */
static bool cut_aligned(pstk_judge *judge, uint32_t index, int64_t at_ns, uint32_t flags) {
    judge_wide *at = judge_wide_at(judge, index);
    const pstk_rule *rule = rule_of(judge, at);
    int64_t hop_ns = pstk_window_hop(rule);
    if (!advance_aligned(judge, index, at_ns, 0))
        return false;
    bool is_held = (at->flags & JUDGE_WIDE_HELD) && !(at->flags & JUDGE_WIDE_RESTING);
    if (is_held)
        hold_until(judge, at, rule, at_ns);
    for (; at->next_ns != INT64_MAX && at->next_ns - rule->size_ns < at_ns; at->next_ns += hop_ns) {
        if (!judge_has_room(judge))
            return false;
        judge_telling it = gather(judge, at, rule, at->next_ns);
        it.end_ns = at_ns;
        it.flags = flags;
        if (it.start_ns < at_ns)
            judge_wide_tell(judge, index, &it);
    }
    while (at->first)
        drop_first(judge, at);
    at->floor_ns = PSTK_MAX(at->floor_ns, at_ns);
    at->next_ns = is_held ? floor_of(rule, at_ns) + hop_ns : INT64_MAX;
    return true;
}

bool judge_wide_cut(pstk_judge *judge, uint32_t index, int64_t at_ns, uint32_t flags) {
    judge_wide *at = judge_wide_at(judge, index);
    pstk_window_kind kind = pstk_window_kind_of(rule_of(judge, at));
    bool is_done = true;
    if (kind == PSTK_WINDOW_ALIGNED)
        is_done = cut_aligned(judge, index, at_ns, flags);
    else if (kind == PSTK_WINDOW_SESSION)
        is_done = end_session(judge, index, at_ns, false);
    bool is_open = kind != PSTK_WINDOW_ALIGNED && at->first && start_of(judge, at->first) < at_ns;
    if (is_done && is_open && !judge_has_room(judge))
        is_done = false;
    else if (is_done && is_open)
        tell_pane(judge, index, at_ns, flags);
    judge_wide_plan(judge, index);
    return is_done;
}

/* ---- life ----------------------------------------------------------------------------------- */

uint32_t judge_wide_open(pstk_judge *judge, uint32_t instance, uint32_t tag) {
    uint32_t index = judge_arena_take(judge, JUDGE_WIDE);
    if (!index)
        return 0;
    judge_wide *at = judge_wide_at(judge, index);
    at->instance = instance;
    at->tag = tag;
    at->due_ns = at->next_ns = INT64_MAX;
    at->floor_ns = at->partial_ns = at->newest_ns = at->held_ns = at->over_ns = INT64_MIN;
    return index;
}

void judge_wide_drop(pstk_judge *judge, uint32_t index) {
    judge_wide_unschedule(judge, index);
    while (judge_wide_raw(judge, index)->first)
        drop_first(judge, judge_wide_at(judge, index));
    judge_arena_drop(judge, JUDGE_WIDE, index);
}

/* Until its clock goes back a value has held: to the newest stamp, or the watermark ahead of it. */
static PSTK_COLD void hold_until_known(pstk_judge *judge, judge_wide *at) {
    const pstk_rule *rule = rule_of(judge, at);
    const judge_hot *hot = judge_hot_raw(judge, at->tag);
    int64_t known_ns = PSTK_MAX(judge_stream_raw(judge, hot->stream)->max_ns,
                                judge_clock_raw(judge, hot->clock)->watermark_ns);
    bool is_held = (at->flags & JUDGE_WIDE_HELD) && !(at->flags & JUDGE_WIDE_RESTING);
    if (is_held && pstk_window_kind_of(rule) == PSTK_WINDOW_ALIGNED)
        hold_until(judge, at, rule, known_ns);
}

/* As it stands: nothing is reckoned beyond the newest sample. */
static bool close_windows(pstk_judge *judge, uint32_t index, uint32_t flags) {
    judge_wide *at = judge_wide_at(judge, index);
    if (pstk_window_kind_of(rule_of(judge, at)) == PSTK_WINDOW_ALIGNED)
        return advance_aligned(judge, index, INT64_MAX, flags);
    if (!at->first)
        return true;
    if (!judge_has_room(judge))
        return false;
    bool is_session = rule_of(judge, at)->session_gap_ns > 0; /* its end lies behind its samples */
    tell_pane(judge, index, at->newest_ns + is_session, flags);
    return true;
}

bool judge_wide_is_over(const pstk_judge *judge, uint32_t index) {
    const judge_wide *at = judge_wide_raw(judge, index);
    uint32_t clock = judge_hot_raw(judge, at->tag)->clock;
    return at->over_ns <= judge_clock_raw(judge, clock)->watermark_ns;
}

/* Sessions and counts that follow begin with a sample. */
static int64_t end_behind(const pstk_judge *judge, const judge_wide *at) {
    const pstk_rule *rule = rule_of(judge, at);
    bool is_aligned = pstk_window_kind_of(rule) == PSTK_WINDOW_ALIGNED;
    return is_aligned ? floor_of(rule, at->newest_ns) + rule->size_ns : at->newest_ns;
}

bool judge_wide_close_all(pstk_judge *judge, uint32_t index, uint32_t flags) {
    judge_wide *at = judge_wide_at(judge, index);
    bool is_regress = flags & PSTK_FLAG_CLOCK_REGRESS;
    if (is_regress)
        hold_until_known(judge, at);
    at->flags &= (uint8_t)~(JUDGE_WIDE_HELD | JUDGE_WIDE_RESTING);
    if (!at->first) /* held values alone keep nothing open */
        at->next_ns = INT64_MAX;
    if (!close_windows(judge, index, flags)) {
        judge_wide_plan(judge, index);
        return false;
    }
    while (at->first)
        drop_first(judge, at);
    /* A clock that went back starts a new epoch of identities; a new rule goes on in the old one,
     * and repeats no start that an event already bears. */
    if (is_regress)
        at->floor_ns = INT64_MIN;
    else if (at->newest_ns != INT64_MIN)
        at->floor_ns = PSTK_MAX(at->floor_ns, at->newest_ns + 1);
    if (!is_regress && at->newest_ns != INT64_MIN)
        at->over_ns = end_behind(judge, at);
    at->flags = 0; /* of a new epoch, too, the next is the first: what came before was late */
    at->partial_ns = at->newest_ns = at->held_ns = INT64_MIN;
    at->empties = 0;
    at->next_ns = INT64_MAX;
    judge_wide_plan(judge, index);
    return true;
}
