/* total: the integral of a flow between cuts.
 * Method: a value holds until the next instant (left-hold); each instant adds rate * dt /
 * rate_unit, compensated. A hold across a gap or a bad reading is not integrated: the flow in it is
 * not known. */
#include "quantity.h"

/* Integrates up to time_ns. */
static void hold_until(const pstk_rule *rule, pstk_total *total, int64_t time_ns, bool has_gap) {
    if (time_ns <= total->last_ns)
        return;
    if (!total->has_rate || has_gap) {
        total->flags |= PSTK_FLAG_INCOMPLETE;
        total->has_rate = 0; /* what flows behind the gap only the next value tells */
        total->rate = 0;
    } else {
        double dt = (double)(time_ns - total->last_ns);
        pstk_value part = {.f64 = total->rate * (dt / (double)rule->rate_unit_ns)};
        pstk_quantity_add(&total->quantity, PSTK_TYPE_F64, part);
    }
    total->last_ns = time_ns;
}

static size_t cut(pstk_total *total, int64_t at_ns, uint32_t flags, pstk_segment_fact *out) {
    *out = (pstk_segment_fact){.start_ns = total->start_ns,
                               .end_ns = at_ns,
                               .quantity = pstk_quantity_value(&total->quantity, PSTK_TYPE_F64),
                               .count = total->count,
                               .flags = total->flags | flags,
                               .type = PSTK_TYPE_F64};
    total->start_ns = at_ns;
    total->quantity = (pstk_quantity){0};
    total->count = 0;
    total->flags = 0;
    return 1;
}

static void take_rate(pstk_total *total, const pstk_total_input *in) {
    if (!in->has_rate && !in->is_bad)
        return;
    total->has_rate = in->has_rate && !in->is_bad;
    total->rate = total->has_rate ? in->rate : 0;
    total->count++;
    total->flags |= in->flags & (uint32_t)~PSTK_FLAG_CUT_LATE;
}

size_t pstk_total_step(const pstk_rule *rule, pstk_total *total, const pstk_total_input *in,
                       pstk_segment_fact *out) {
    if (!total->is_open) {
        if (!in->has_rate)
            return 0;
        *total = (pstk_total){.start_ns = in->time_ns,
                              .last_ns = in->time_ns,
                              .is_open = 1,
                              .flags = PSTK_FLAG_PARTIAL};
        take_rate(total, in);
        return 0;
    }
    if (total->is_unstarted) {
        total->start_ns = total->last_ns = in->time_ns;
        total->is_unstarted = 0;
    }
    size_t count = 0;
    if (in->boundary_ns != PSTK_TIME_NONE) {
        hold_until(rule, total, in->boundary_ns, in->has_gap);
        count += cut(total, in->boundary_ns, 0, out + count);
    }
    hold_until(rule, total, in->time_ns, in->has_gap);
    if (in->is_cut)
        count += cut(total, in->time_ns, in->flags & PSTK_FLAG_CUT_LATE, out + count);
    take_rate(total, in);
    return count;
}

bool pstk_total_goes_on(const pstk_rule *rule, pstk_total *total, uint8_t type, pstk_value rate,
                        int64_t time_ns) {
    if (!total->is_open || total->is_unstarted)
        return false;
    hold_until(rule, total, time_ns, false);
    total->has_rate = 1;
    total->rate = type == PSTK_TYPE_F64 ? rate.f64 : (double)rate.i64;
    total->count++;
    return true;
}

size_t pstk_total_finish(pstk_total *total, uint32_t flags, pstk_segment_fact *out) {
    if (!total->is_open || total->is_unstarted)
        return 0;
    size_t count = cut(total, total->last_ns, flags, out);
    total->is_unstarted = 1;
    total->has_rate = 0; /* what flows since is not known */
    return count;
}
