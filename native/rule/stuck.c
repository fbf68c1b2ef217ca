/* stuck: a value that has not moved for too long while samples go on coming. Silence is not stuck:
 * nothing here has a deadline. */
#include "rule.h"

/* Exact for whole numbers: their band is a whole number too, and no difference overflows. */
static bool has_moved(const pstk_rule *rule, uint8_t type, pstk_value from, pstk_value to) {
    if (type == PSTK_TYPE_F64)
        return __builtin_fabs(to.f64 - from.f64) > rule->band;
    uint64_t step = to.i64 > from.i64 ? (uint64_t)to.i64 - (uint64_t)from.i64
                                      : (uint64_t)from.i64 - (uint64_t)to.i64;
    bool is_wide = rule->band >= 9223372036854775808.0;
    return step > (is_wide ? (uint64_t)INT64_MAX : (uint64_t)rule->band);
}

static void refer(pstk_stuck *stuck, const pstk_limit_sample *sample) {
    stuck->value = sample->value;
    stuck->since_ns = sample->time_ns;
    stuck->flags = sample->flags;
    stuck->has_value = 1;
}

size_t pstk_stuck_step(const pstk_rule *rule, pstk_stuck *stuck, pstk_limit *limit, uint8_t type,
                       const pstk_limit_sample *sample, pstk_limit_fact *out) {
    bool is_active = pstk_limit_is_active(limit, 0);
    if (sample->is_bad) {
        if (rule->quality == PSTK_QUALITY_SUPPRESS)
            pstk_stuck_forget(stuck, limit);
        return 0;
    }
    if (!stuck->has_value) {
        refer(stuck, sample);
        return 0;
    }
    if (has_moved(rule, type, stuck->value, sample->value)) {
        refer(stuck, sample);
        pstk_limit_fact crossing = {.at_ns = sample->time_ns,
                                    .start_ns = limit->trip_ns[0],
                                    .end_ns = sample->time_ns,
                                    .value = sample->value,
                                    .flags = sample->flags};
        return is_active ? pstk_limit_clear(limit, 0, &crossing, out) : 0;
    }
    if (is_active || sample->time_ns < pstk_time_add(stuck->since_ns, rule->after_ns))
        return 0;
    pstk_limit_fact crossing = {.at_ns = stuck->since_ns,
                                .start_ns = stuck->since_ns,
                                .value = stuck->value,
                                .flags = stuck->flags};
    return pstk_limit_trip(limit, 0, &crossing, out);
}

void pstk_stuck_forget(pstk_stuck *stuck, const pstk_limit *limit) {
    if (!pstk_limit_is_active(limit, 0))
        memset(stuck, 0, sizeof *stuck);
}

void pstk_stuck_quiet(const pstk_rule *rule, const pstk_stuck *stuck, const pstk_limit *limit,
                      uint8_t type, double *low, double *high, int64_t *until_ns) {
    const double exact = 4503599627370496.0; /* 2^52: beyond it doubles pass over whole numbers */
    double x = type == PSTK_TYPE_F64 ? stuck->value.f64 : (double)stuck->value.i64;
    double band = type == PSTK_TYPE_F64 ? rule->band : PSTK_MIN(rule->band, exact);
    if (!stuck->has_value || (type != PSTK_TYPE_F64 && __builtin_fabs(x) > exact)) {
        *low = __builtin_inf();
        return;
    }
    *low = PSTK_MAX(*low, x - band);
    *high = PSTK_MIN(*high, x + band);
    if (!pstk_limit_is_active(limit, 0))
        *until_ns = PSTK_MIN(*until_ns, pstk_time_add(stuck->since_ns, rule->after_ns));
}
