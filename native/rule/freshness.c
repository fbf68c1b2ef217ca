/* freshness: a tag that fell silent. The deadline is the newest good sample's time and the rule's
 * span; a sample beyond it, or engine time where none comes, takes it. */
#include "rule.h"

static size_t fall_silent(const pstk_rule *rule, const pstk_freshness *fresh, pstk_limit *limit,
                          pstk_limit_fact *out) {
    pstk_limit_fact crossing = {.at_ns = pstk_time_add(fresh->last_ns, rule->after_ns),
                                .start_ns = fresh->last_ns,
                                .value = fresh->value,
                                .flags = fresh->flags};
    return pstk_limit_trip(limit, 0, &crossing, out);
}

static void refresh(pstk_freshness *fresh, const pstk_limit_sample *sample) {
    *fresh = (pstk_freshness){.value = sample->value,
                              .last_ns = sample->time_ns,
                              .recv_ns = sample->recv_ns,
                              .flags = sample->flags,
                              .has_value = 1};
}

size_t pstk_freshness_step(const pstk_rule *rule, pstk_freshness *fresh, pstk_limit *limit,
                           const pstk_limit_sample *sample, pstk_limit_fact *out) {
    size_t count = 0;
    if (sample->is_bad)
        return 0;
    bool is_due = fresh->has_value && !fresh->is_back && !pstk_limit_is_active(limit, 0) &&
                  pstk_time_add(fresh->last_ns, rule->after_ns) <= sample->time_ns;
    if (is_due)
        count += fall_silent(rule, fresh, limit, out);
    if (pstk_limit_is_active(limit, 0)) {
        int64_t end_ns = PSTK_MAX(sample->time_ns, limit->trip_ns[0]);
        pstk_limit_fact crossing = {.at_ns = end_ns,
                                    .start_ns = pstk_time_add(limit->trip_ns[0], -rule->after_ns),
                                    .end_ns = end_ns,
                                    .value = sample->value,
                                    .flags = sample->flags};
        count += pstk_limit_clear(limit, 0, &crossing, out + count);
    }
    refresh(fresh, sample);
    return count;
}

size_t pstk_freshness_tick(const pstk_rule *rule, const pstk_freshness *fresh, pstk_limit *limit,
                           int64_t now_ns, pstk_limit_fact *out) {
    return pstk_freshness_deadline(rule, fresh, limit) <= now_ns
               ? fall_silent(rule, fresh, limit, out)
               : 0;
}

int64_t pstk_freshness_deadline(const pstk_rule *rule, const pstk_freshness *fresh,
                                const pstk_limit *limit) {
    if (!fresh->has_value || pstk_limit_is_active(limit, 0))
        return INT64_MAX;
    return pstk_time_add(fresh->recv_ns, rule->after_ns);
}
