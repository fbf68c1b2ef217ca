/* state: how long a state held. Where the machine says since when, its word stands; else the event
 * time of the change. */
#include "rule.h"

static void enter(pstk_state_run *run, const pstk_state_input *in) {
    *run = (pstk_state_run){.code = in->code,
                            .since_ns = in->has_since ? in->since_ns : in->time_ns,
                            .last_ns = in->time_ns,
                            .count = 1,
                            .flags = in->flags,
                            .is_open = 1,
                            .is_exact = in->has_since,
                            .is_listed = in->is_listed};
}

static size_t leave(const pstk_rule *rule, const pstk_state_run *run, int64_t end_ns,
                    uint32_t flags, pstk_state_fact *out) {
    if (!run->is_listed)
        return 0;
    end_ns = PSTK_MAX(end_ns, run->since_ns);
    *out = (pstk_state_fact){.code = run->code,
                             .start_ns = run->since_ns,
                             .end_ns = end_ns,
                             .count = run->count,
                             .flags = run->flags | flags};
    if (end_ns - run->since_ns < rule->min_duration_ns)
        out->flags |= PSTK_FLAG_MICRO;
    return 1;
}

size_t pstk_state_step(const pstk_rule *rule, pstk_state_run *run, const pstk_state_input *in,
                       pstk_state_fact *out) {
    if (!run->is_open) {
        enter(run, in);
        if (!in->has_since)
            run->flags |= PSTK_FLAG_PARTIAL;
        return 0;
    }
    size_t count = 0;
    if (in->code != run->code) {
        /* Over a gap the machine's own stamp still tells when the state ended; without it nobody
         * knows. */
        uint32_t gap = in->has_since ? (uint32_t)PSTK_FLAG_BRIDGED : (uint32_t)PSTK_FLAG_INCOMPLETE;
        count = leave(rule, run, in->has_since ? in->since_ns : in->time_ns, in->has_gap ? gap : 0u,
                      out);
        enter(run, in);
        return count;
    }
    if (in->has_since && run->is_exact && in->since_ns > run->since_ns) {
        /* It left and came back unseen: when it left is not known, only when it began again. */
        count = leave(rule, run, in->since_ns, PSTK_FLAG_INCOMPLETE, out);
        enter(run, in);
        return count;
    }
    if (in->has_since && in->since_ns != run->since_ns) {
        run->since_ns = in->since_ns; /* learnt late, or corrected by the machine */
        run->is_exact = 1;
        run->flags &= (uint32_t)~PSTK_FLAG_PARTIAL;
    }
    if (in->has_gap && !in->has_since) /* an unchanged since proves that nothing was hidden */
        run->flags |= PSTK_FLAG_INCOMPLETE;
    run->last_ns = in->time_ns;
    run->count++;
    run->flags |= in->flags;
    return 0;
}

size_t pstk_state_regress(pstk_state_run *run, pstk_state_fact *out) {
    if (!run->is_open)
        return 0;
    pstk_rule none = {0};
    size_t count =
        leave(&none, run, run->last_ns, PSTK_FLAG_CLOCK_REGRESS | PSTK_FLAG_INCOMPLETE, out);
    run->is_open = 0;
    return count;
}
