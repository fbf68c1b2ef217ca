/* rate: how fast a value changes over a span: against the newest reading that lies at least the
 * span back. Method: not every reading is kept, only one in each 32nd of the span; so the reference
 * lies between one span and a little more back, however dense the samples are. */
#include "rule.h"

#define ANCHORS_A_SPAN 32

static uint32_t place_of(const pstk_rate *rate, uint32_t k) {
    return (rate->first + k) % PSTK_RATE_ANCHORS;
}

/* Saturating: a counter that jumps from one end to the other is very fast, not very slow. */
static double difference(uint8_t type, pstk_value now, pstk_value then) {
    int64_t step;
    if (type == PSTK_TYPE_F64)
        return now.f64 - then.f64;
    if (__builtin_sub_overflow(now.i64, then.i64, &step))
        step = then.i64 < 0 ? INT64_MAX : INT64_MIN;
    return (double)step;
}

pstk_rate_word pstk_rate_of(const pstk_rule *rule, pstk_rate *rate, uint8_t type, int64_t time_ns,
                            pstk_value value, double *out_rate) {
    int64_t from_ns = pstk_time_add(time_ns, -rule->span_ns);
    if (!rate->count || rate->time_ns[place_of(rate, 0)] > from_ns)
        return PSTK_RATE_NONE;
    while (rate->reference + 1u < rate->count &&
           rate->time_ns[place_of(rate, rate->reference + 1u)] <= from_ns)
        rate->reference++;
    uint32_t at = place_of(rate, rate->reference);
    int64_t past_ns = pstk_time_add(time_ns, -rate->time_ns[at]);
    if (past_ns > pstk_time_add(rule->span_ns, rule->span_ns))
        return PSTK_RATE_SILENCE;
    double step = difference(type, value, rate->value[at]);
    *out_rate = step * (double)rule->rate_unit_ns / (double)past_ns;
    return __builtin_isfinite(*out_rate) ? PSTK_RATE_KNOWN : PSTK_RATE_NONE;
}

static void append(pstk_rate *rate, int64_t time_ns, pstk_value value) {
    if (rate->count == PSTK_RATE_ANCHORS) {
        rate->first = (uint8_t)place_of(rate, 1);
        rate->count--;
        rate->reference = (uint8_t)(rate->reference - (rate->reference > 0));
    }
    uint32_t at = place_of(rate, rate->count++);
    rate->time_ns[at] = time_ns;
    rate->value[at] = value;
}

void pstk_rate_keep(const pstk_rule *rule, pstk_rate *rate, pstk_rate_word word, int64_t time_ns,
                    pstk_value value) {
    if (word == PSTK_RATE_SILENCE)
        pstk_rate_forget(rate);
    if (rate->count) {
        int64_t newest_ns = rate->time_ns[place_of(rate, rate->count - 1u)];
        if (time_ns < pstk_time_add(newest_ns, rule->span_ns / ANCHORS_A_SPAN))
            return;
    }
    append(rate, time_ns, value);
}

void pstk_rate_forget(pstk_rate *rate) { rate->first = rate->count = rate->reference = 0; }
