/* counter: a register that only grows becomes quantities between cuts.
 * Method: quantity = sum of deltas since the segment's start. A reading below the last one is a
 * rollover where the rule names one and the step is at most half of it, else a reset: then what was
 * counted between the last reading and the reset is unknown and only the new reading counts. A rule
 * may say that a register corrects itself (the quantity goes back with it) or that such a reading
 * is a mistake (it is passed over). Where the machine gives the reading at which the lot began, the
 * cut lies exactly there; else at the last reading before the change. */
#include "quantity.h"

static bool roll_value(const pstk_rule *rule, uint8_t type, pstk_value *out) {
    if (!(rule->rollover > 0))
        return false;
    if (type == PSTK_TYPE_F64) {
        out->f64 = rule->rollover;
        return true;
    }
    if (rule->rollover >= 9223372036854775807.0)
        return false;
    out->i64 = (int64_t)rule->rollover;
    return true;
}

/* Through zero at its modulus: by at most half of it, or it was something else. */
static bool has_rolled(const pstk_rule *rule, uint8_t type, pstk_value from, pstk_value to,
                       pstk_value *out_moved) {
    pstk_value roll, rest;
    if (!roll_value(rule, type, &roll) || !pstk_value_minus(type, roll, from, &rest))
        return false;
    pstk_quantity sum = {0};
    bool fits = pstk_quantity_add(&sum, type, rest) && pstk_quantity_add(&sum, type, to);
    *out_moved = pstk_quantity_value(&sum, type);
    if (type == PSTK_TYPE_F64)
        roll.f64 /= 2;
    else
        roll.i64 /= 2;
    return fits && pstk_value_compare(type, *out_moved, (pstk_value){0}) >= 0 &&
           pstk_value_compare(type, *out_moved, roll) <= 0;
}

/* How far the register moved on its way from one reading to a later one; *flags says what happened.
 */
static pstk_value step_between(const pstk_rule *rule, uint8_t type, pstk_value from, pstk_value to,
                               uint32_t *flags) {
    pstk_value delta;
    if (pstk_value_compare(type, to, from) >= 0) {
        if (!pstk_value_minus(type, to, from, &delta)) {
            delta.i64 = INT64_MAX;
            *flags |= PSTK_FLAG_INCOMPLETE;
        }
        return delta;
    }
    if (has_rolled(rule, type, from, to, &delta)) {
        *flags |= PSTK_FLAG_ROLLOVER;
        return delta;
    }
    *flags |= PSTK_FLAG_RESET;
    bool is_negative = pstk_value_compare(type, to, (pstk_value){0}) < 0;
    return is_negative ? (pstk_value){0} : to;
}

/* Below the last reading, and no rollover. */
static bool is_back(const pstk_rule *rule, uint8_t type, pstk_value from, pstk_value to) {
    pstk_value moved;
    return pstk_value_compare(type, to, from) < 0 && !has_rolled(rule, type, from, to, &moved);
}

static void move_to(const pstk_rule *rule, pstk_counter *counter, pstk_value reading) {
    pstk_value delta;
    if (rule->negative == PSTK_NEGATIVE_SUBTRACT &&
        is_back(rule, counter->type, counter->last, reading)) {
        counter->flags |= PSTK_FLAG_CORRECTED;
        if (!pstk_value_minus(counter->type, reading, counter->last, &delta)) {
            delta.i64 = INT64_MIN;
            counter->flags |= PSTK_FLAG_INCOMPLETE;
        }
    } else {
        delta = step_between(rule, counter->type, counter->last, reading, &counter->flags);
    }
    if (!pstk_quantity_add(&counter->quantity, counter->type, delta))
        counter->flags |= PSTK_FLAG_INCOMPLETE;
    counter->last = reading;
}

static size_t close_segment(pstk_counter *counter, int64_t end_ns, pstk_value end, uint32_t flags,
                            pstk_segment_fact *out) {
    *out = (pstk_segment_fact){.start_ns = counter->start_ns,
                               .end_ns = end_ns,
                               .start = counter->start,
                               .end = end,
                               .quantity = pstk_quantity_value(&counter->quantity, counter->type),
                               .count = counter->count,
                               .flags = counter->flags | flags,
                               .type = counter->type};
    return 1;
}

static void open_segment(pstk_counter *counter, int64_t start_ns, pstk_value start) {
    counter->start_ns = start_ns;
    counter->start = start;
    counter->last = start;
    counter->quantity = (pstk_quantity){0};
    counter->count = 0;
    counter->flags = 0;
    counter->is_open = 1;
    counter->is_first = 0;
}

/* The stretch from the last document on; the counter's register stands at the present reading
 * afterwards. */
static PSTK_COLD size_t bridge_baseline(const pstk_rule *rule, pstk_counter *counter,
                                        const pstk_counter_input *in, pstk_segment_fact *out) {
    size_t count = 0;
    open_segment(counter, in->baseline_ns, in->baseline);
    counter->flags = PSTK_FLAG_BASELINE | (in->has_lots ? (uint32_t)PSTK_FLAG_UNKNOWN_LOT : 0u);
    bool is_inside = in->has_start && pstk_value_compare(in->type, in->start, in->baseline) >= 0 &&
                     pstk_value_compare(in->type, in->start, in->reading) <= 0;
    if (is_inside) {
        move_to(rule, counter, in->start);
        count = close_segment(counter, in->time_ns, in->start, 0, out);
        out->is_baseline = 1;
        open_segment(counter, in->time_ns, in->start);
    } else if (in->has_start && in->is_start_new && in->is_start_usable &&
               pstk_value_compare(in->type, in->start, in->baseline) < 0) {
        /* Told in this very instant together with the lot: all since the document belongs to the
         * present lot. */
        counter->flags = PSTK_FLAG_BASELINE;
    }
    move_to(rule, counter, in->reading);
    return count;
}

static bool has_valid_baseline(const pstk_counter *counter, const pstk_counter_input *in) {
    if (!in->has_baseline || pstk_value_compare(in->type, in->baseline, in->reading) > 0)
        return false; /* another epoch of the register: it was reset since that document */
    return !counter->is_open || pstk_value_compare(in->type, counter->start, in->baseline) < 0;
}

static size_t first_reading(const pstk_rule *rule, pstk_counter *counter,
                            const pstk_counter_input *in, pstk_segment_fact *out) {
    counter->type = in->type;
    if (has_valid_baseline(counter, in))
        return bridge_baseline(rule, counter, in, out);
    open_segment(counter, in->time_ns, in->reading);
    counter->is_first = 1;
    counter->flags = PSTK_FLAG_PARTIAL;
    if (!in->has_start)
        return 0;
    uint32_t flags = 0;
    (void)step_between(rule, in->type, in->start, in->reading, &flags);
    if (flags & PSTK_FLAG_RESET)
        return 0; /* the start reading is of another epoch of the register */
    open_segment(counter, in->time_ns, in->start);
    move_to(rule, counter, in->reading);
    return 0;
}

/* Where the lot began, as the machine says: known late, so the readings may already have passed it.
 */
static bool cut_at_start(const pstk_rule *rule, pstk_counter *counter,
                         const pstk_counter_input *in) {
    pstk_value present = in->has_reading ? in->reading : counter->last;
    bool has_wrapped = pstk_value_compare(in->type, present, counter->last) < 0;
    if (has_wrapped || pstk_value_compare(in->type, in->start, counter->last) >= 0) {
        move_to(rule, counter, in->start);
        return true;
    }
    pstk_value back;
    pstk_quantity sum = counter->quantity;
    bool fits = pstk_value_minus(in->type, in->start, counter->last, &back) &&
                pstk_quantity_add(&sum, in->type, back);
    bool is_below =
        pstk_value_compare(in->type, pstk_quantity_value(&sum, in->type), (pstk_value){0}) < 0;
    if (!fits || (is_below && !(counter->flags & PSTK_FLAG_CORRECTED)))
        return false; /* before this segment: stale */
    counter->quantity = sum;
    return true;
}

static size_t cut_lot(const pstk_rule *rule, pstk_counter *counter, const pstk_counter_input *in,
                      pstk_segment_fact *out) {
    pstk_value end = counter->last, passed = counter->last;
    if (in->has_start && in->is_start_usable && cut_at_start(rule, counter, in))
        end = in->start;
    size_t count = close_segment(counter, in->time_ns, end, 0, out);
    open_segment(counter, in->time_ns, end);
    if (!in->has_reading && pstk_value_compare(in->type, passed, end) > 0)
        move_to(rule, counter, passed);
    return count;
}

/* The start of the lot was learnt after its first readings. */
static void extend_to_start(const pstk_rule *rule, pstk_counter *counter,
                            const pstk_counter_input *in) {
    uint32_t flags = 0;
    pstk_value more = step_between(rule, in->type, in->start, counter->start, &flags);
    if (flags & PSTK_FLAG_RESET)
        return;
    if (!pstk_quantity_add(&counter->quantity, in->type, more))
        flags |= PSTK_FLAG_INCOMPLETE;
    counter->start = in->start;
    counter->flags = (counter->flags & ~(uint32_t)PSTK_FLAG_PARTIAL) | flags;
    counter->is_first = 0;
}

static size_t adopt_lot(const pstk_rule *rule, pstk_counter *counter, const pstk_counter_input *in,
                        pstk_segment_fact *out) {
    if (!in->has_start || !in->is_start_new)
        return 0;
    bool is_behind = pstk_value_compare(in->type, in->start, counter->start) > 0;
    if (is_behind || in->is_first_at_boundary) {
        counter->flags |= PSTK_FLAG_UNKNOWN_LOT; /* what came before this lot had none */
        return cut_lot(rule, counter, in, out);
    }
    if (counter->is_first)
        extend_to_start(rule, counter, in);
    return 0;
}

static size_t begin(const pstk_rule *rule, pstk_counter *counter, const pstk_counter_input *in,
                    pstk_segment_fact *out) {
    size_t count = counter->is_open ? bridge_baseline(rule, counter, in, out)
                                    : first_reading(rule, counter, in, out);
    counter->flags |= in->flags;
    counter->count++;
    counter->last_ns = in->time_ns;
    counter->is_unstarted = 0;
    return count;
}

size_t pstk_counter_step(const pstk_rule *rule, pstk_counter *counter,
                         const pstk_counter_input *input, pstk_segment_fact *out) {
    pstk_counter_input known = *input;
    const pstk_counter_input *in = &known;
    if (!counter->is_open && !in->has_reading)
        return 0;
    size_t count = 0;
    if (!counter->is_open || (in->has_reading && has_valid_baseline(counter, in)))
        return begin(rule, counter, in, out);
    if (known.has_reading && rule->negative == PSTK_NEGATIVE_IGNORE)
        known.has_reading = !is_back(rule, in->type, counter->last, known.reading);
    if (counter->is_unstarted && (known.has_reading || in->is_cut || in->is_adopted)) {
        counter->start_ns = counter->last_ns = in->time_ns;
        counter->is_unstarted = 0;
    }
    uint32_t gap = in->has_gap ? (uint32_t)PSTK_FLAG_BRIDGED : 0u;
    if (in->boundary_ns != PSTK_TIME_NONE) {
        count += close_segment(counter, in->boundary_ns, counter->last, 0, out + count);
        open_segment(counter, in->boundary_ns, counter->last);
    }
    if (in->is_cut) {
        counter->flags |= in->flags | (in->is_start_usable ? gap : 0u);
        count += cut_lot(rule, counter, in, out + count);
    } else if (in->is_adopted) {
        count += adopt_lot(rule, counter, in, out + count);
    } else if (counter->is_first && in->has_start && in->is_start_new) {
        extend_to_start(rule, counter, in);
    }
    if (in->has_reading) {
        counter->flags |= gap | (in->flags & (uint32_t)~PSTK_FLAG_CUT_LATE);
        move_to(rule, counter, in->reading);
        counter->count++;
        counter->last_ns = in->time_ns;
    }
    return count;
}

bool pstk_counter_goes_on(pstk_counter *counter, uint8_t type, pstk_value reading,
                          int64_t time_ns) {
    pstk_value delta;
    bool is_known = type == PSTK_TYPE_F64 || type == PSTK_TYPE_I64;
    if (!counter->is_open || counter->is_unstarted || !is_known || type != counter->type ||
        pstk_value_compare(type, reading, counter->last) < 0 ||
        !pstk_value_minus(type, reading, counter->last, &delta))
        return false;
    if (!pstk_quantity_add(&counter->quantity, type, delta))
        counter->flags |= PSTK_FLAG_INCOMPLETE;
    counter->last = reading;
    counter->count++;
    counter->last_ns = time_ns;
    return true;
}

size_t pstk_counter_finish(pstk_counter *counter, uint32_t flags, pstk_segment_fact *out) {
    if (!counter->is_open || counter->is_unstarted)
        return 0;
    int64_t end_ns = PSTK_MAX(counter->last_ns, counter->start_ns); /* a cut may lie behind it */
    size_t count = close_segment(counter, end_ns, counter->last, flags, out);
    open_segment(counter, end_ns, counter->last);
    counter->is_unstarted = 1;
    return count;
}
