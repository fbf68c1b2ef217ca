/* pace: an open loop. Sample k is due at a planned time and bears it as its stamp (less
 * PLAN_PAST_NS), whether the sender is behind or not: whoever takes it learns how long it was on
 * its way, and a stall counts for every sample that fell into it. The sender spins: it has a
 * processor of its own, and sleeping would be late by itself. */
#ifndef BENCH_PACE_H
#define BENCH_PACE_H

#include "child.h"
#include "plan.h"

#define PACE_LEAD_NS 5000000 /* the first is due this much after the order */

typedef struct pace_line { /* where paced samples go */
    void (*put)(uint64_t i, plan_sample sample);
    void (*flush)(void); /* none further is due yet */
} pace_line;

/* Samples first to first + count; of is moved so that they are due from now on. */
static inline void pace(const pace_line *line, plan *of, uint64_t first, uint64_t count,
                        uint64_t rate) {
    of->step_ns = (int64_t)(1000000000 / rate);
    of->start_ns = child_real_ns() + PACE_LEAD_NS - PLAN_PAST_NS - (int64_t)first * of->step_ns;
    for (uint64_t i = first; i < first + count;) {
        int64_t due_ns = child_real_ns() - PLAN_PAST_NS;
        for (; i < first + count; i++) {
            plan_sample sample = plan_sample_at(of, i);
            if (sample.time_ns > due_ns)
                break;
            line->put(i, sample);
        }
        line->flush();
    }
    int64_t due_ns = plan_sample_at(of, first + count - 1).time_ns + PLAN_PAST_NS;
    printf("paced {\"behind_ns\": %lld}\n", (long long)(child_real_ns() - due_ns));
    fflush(stdout);
}

#endif
