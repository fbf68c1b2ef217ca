/* state: how long a state held. Where the machine says since when, its word stands; else the event
 * time of the change. */
#include "rule.h"

static size_t enter(const pstk_rule *rule, pstk_state_run *run, const pstk_state_input *in,
                    uint32_t flags, pstk_state_fact *out) {
    *run = (pstk_state_run){.code = in->code,
                            .since_ns = in->has_since ? in->since_ns : in->time_ns,
                            .last_ns = in->time_ns,
                            .count = 1,
                            .flags = in->flags | flags,
                            .is_open = 1,
                            .is_exact = in->has_since,
                            .is_listed = in->is_listed};
    if (!run->is_listed || rule->state_on == PSTK_ON_END)
        return 0;
    *out = (pstk_state_fact){.code = run->code,
                             .start_ns = run->since_ns,
                             .end_ns = PSTK_TIME_NONE,
                             .count = run->count,
                             .flags = run->flags,
                             .is_enter = 1};
    return 1;
}

static size_t leave(const pstk_rule *rule, const pstk_state_run *run, int64_t end_ns,
                    uint32_t flags, pstk_state_fact *out) {
    if (!run->is_listed || rule->state_on == PSTK_ON_ENTER)
        return 0;
    end_ns = PSTK_MAX(end_ns, run->since_ns);
    *out = (pstk_state_fact){.code = run->code,
                             .start_ns = run->since_ns,
                             .end_ns = end_ns,
                             .count = run->count,
                             .flags = run->flags | flags};
    out->is_micro = end_ns - run->since_ns < rule->min_duration_ns;
    if (out->is_micro)
        out->flags |= PSTK_FLAG_MICRO;
    return 1;
}

size_t pstk_state_step(const pstk_rule *rule, pstk_state_run *run, const pstk_state_input *in,
                       pstk_state_fact *out) {
    if (!run->is_open) {
        uint32_t flags = in->has_since ? 0u : (uint32_t)PSTK_FLAG_PARTIAL;
        return enter(rule, run, in, flags, out);
    }
    size_t count = 0;
    if (in->code != run->code) {
        /* Over a gap the machine's own stamp still tells when the state ended; without it nobody
         * knows. */
        uint32_t gap = in->has_since ? (uint32_t)PSTK_FLAG_BRIDGED : (uint32_t)PSTK_FLAG_INCOMPLETE;
        count = leave(rule, run, in->has_since ? in->since_ns : in->time_ns, in->has_gap ? gap : 0u,
                      out);
        return count + enter(rule, run, in, 0, out + count);
    }
    if (in->has_since && run->is_exact && in->since_ns > run->since_ns) {
        /* It left and came back unseen: when it left is not known, only when it began again. */
        count = leave(rule, run, in->since_ns, PSTK_FLAG_INCOMPLETE, out);
        return count + enter(rule, run, in, 0, out + count);
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

bool pstk_state_goes_on(pstk_state_run *run, uint8_t type, pstk_value code, int64_t time_ns) {
    bool is_same = type == PSTK_TYPE_F64
                       ? code.f64 == (double)run->code && run->code < INT64_C(1) << 53 &&
                             run->code > -(INT64_C(1) << 53)
                       : code.i64 == run->code;
    if (!run->is_open || !is_same)
        return false;
    run->last_ns = time_ns;
    run->count++;
    return true;
}

size_t pstk_state_finish(const pstk_rule *rule, pstk_state_run *run, uint32_t flags,
                         pstk_state_fact *out) {
    if (!run->is_open)
        return 0;
    size_t count = leave(rule, run, run->last_ns, flags | PSTK_FLAG_INCOMPLETE, out);
    if (count) { /* how long it held is not known: no micro-stop */
        out->flags &= (uint32_t)~PSTK_FLAG_MICRO;
        out->is_micro = 0;
    }
    run->is_open = 0;
    return count;
}

/* ---- micro-stops told together -------------------------------------------------------------- */

#define MICRO_EVERY_NS (3600 * PSTK_NS_PER_S)

void pstk_micro_init(pstk_micro_fold *fold) { *fold = (pstk_micro_fold){.told_ns = INT64_MIN}; }

/* It belongs where its end lies. A machine's stamp may put that into an interval that has been
 * told: then where it was seen. True: behind the open one, which is of this rule or as it was. */
bool pstk_micro_add(const pstk_rule *rule, pstk_micro_fold *fold, const pstk_state_fact *stop,
                    int64_t time_ns) {
    int64_t every_ns = rule->micro_every_ns > 0 ? rule->micro_every_ns : MICRO_EVERY_NS;
    bool is_told = stop->end_ns < fold->told_ns;
    int64_t at_ns = is_told ? PSTK_MAX(time_ns, fold->told_ns) : stop->end_ns;
    if (fold->count && at_ns >= fold->end_ns)
        return true;
    if (!fold->count) {
        int64_t start_ns = pstk_time_floor(at_ns, every_ns, 0);
        fold->start_ns = PSTK_MAX(start_ns, fold->told_ns);
        fold->end_ns = start_ns + every_ns;
        fold->total_ns = 0;
        fold->flags = 0;
    }
    fold->count++;
    fold->total_ns = pstk_time_add(fold->total_ns, stop->end_ns - stop->start_ns);
    fold->flags |= stop->flags;
    return false;
}

void pstk_micro_take(pstk_micro_fold *fold, pstk_state_fact *out) {
    *out = (pstk_state_fact){.code = fold->total_ns,
                             .start_ns = fold->start_ns,
                             .end_ns = fold->end_ns,
                             .count = fold->count,
                             .flags = fold->flags,
                             .is_micro = 1};
    fold->told_ns = fold->end_ns;
    fold->count = 0;
}
