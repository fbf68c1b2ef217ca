/* kind: which window a rule describes, what it needs, and when a session ends. */
#include "window.h"

bool pstk_window_is_wide(const pstk_rule *rule) {
    return rule->aggregates || rule->cut_on || rule->correct_ns > 0 ||
           pstk_window_kind_of(rule) != PSTK_WINDOW_ALIGNED ||
           pstk_window_hop(rule) != rule->size_ns;
}

static bool is_duration(int64_t ns) { return ns >= 0 && ns <= (INT64_C(1) << 60); }

bool pstk_window_is_valid(const pstk_rule *rule) {
    int64_t hop_ns = pstk_window_hop(rule);
    bool is_aligned = rule->size_ns > 0;
    bool is_one = is_aligned + (rule->session_gap_ns > 0) + (rule->count_n > 0) == 1;
    if (hop_ns < 0 || !is_one || !is_duration(rule->hop_ns) || !is_duration(rule->session_gap_ns) ||
        !is_duration(rule->session_max_ns) || !is_duration(rule->expected_ns) ||
        !is_duration(rule->correct_ns))
        return false;
    if (is_aligned && (rule->size_ns % hop_ns || rule->size_ns / hop_ns > PSTK_HOPS_MAX))
        return false;
    bool is_tumbling = is_aligned && hop_ns == rule->size_ns;
    return rule->correct_ns == 0 || (is_tumbling && !pstk_window_is_ordered(rule));
}

uint32_t pstk_window_panes_of(const pstk_rule *rule, int64_t lateness_ns) {
    if (pstk_window_kind_of(rule) != PSTK_WINDOW_ALIGNED)
        return 2;
    int64_t late_ns = lateness_ns;
    if (__builtin_add_overflow(late_ns, rule->correct_ns, &late_ns))
        return 0;
    return pstk_window_panes(pstk_window_hop(rule), late_ns);
}

/* ---- sessions ------------------------------------------------------------------------------- */

bool pstk_session_ends(const pstk_rule *rule, const pstk_session *session, int64_t time_ns,
                       bool is_sample, int64_t *out_end_ns) {
    int64_t most_ns = rule->session_max_ns > 0 ? rule->session_max_ns : PSTK_SESSION_DEFAULT_NS;
    if (time_ns - session->last_ns >= rule->session_gap_ns) {
        *out_end_ns = session->last_ns + rule->session_gap_ns;
        return true;
    }
    if (is_sample && time_ns - session->first_ns >= most_ns) {
        *out_end_ns = time_ns;
        return true;
    }
    return false;
}

int64_t pstk_session_deadline(const pstk_rule *rule, const pstk_session *session) {
    return session->last_ns + rule->session_gap_ns;
}
