/* quantity: arithmetic of registers, shared by counter and total; private to the stage. Sums do not
 * drift: i64 is exact; f64 carries its rounding error along (TwoSum, Knuth). */
#ifndef PSTK_RULE_QUANTITY_H
#define PSTK_RULE_QUANTITY_H

#include "rule.h"

/* False: beyond i64; the sum stays at the end of the range. */
static inline bool pstk_quantity_add(pstk_quantity *quantity, uint8_t type, pstk_value delta) {
    if (type == PSTK_TYPE_I64) {
        int64_t sum;
        if (__builtin_add_overflow(quantity->exact, delta.i64, &sum)) {
            quantity->exact = delta.i64 > 0 ? INT64_MAX : INT64_MIN;
            return false;
        }
        quantity->exact = sum;
        return true;
    }
    double x = delta.f64, sum = quantity->sum + x, part = sum - quantity->sum;
    quantity->carry += (quantity->sum - (sum - part)) + (x - part);
    quantity->sum = sum;
    return true;
}

static inline pstk_value pstk_quantity_value(const pstk_quantity *quantity, uint8_t type) {
    if (type == PSTK_TYPE_I64)
        return (pstk_value){.i64 = quantity->exact};
    return (pstk_value){.f64 = quantity->sum + quantity->carry + 0.0}; /* -0.0 is 0.0 */
}

static inline int pstk_value_compare(uint8_t type, pstk_value a, pstk_value b) {
    if (type == PSTK_TYPE_I64)
        return (a.i64 > b.i64) - (a.i64 < b.i64);
    return (a.f64 > b.f64) - (a.f64 < b.f64);
}

static inline bool pstk_value_minus(uint8_t type, pstk_value a, pstk_value b, pstk_value *out) {
    if (type == PSTK_TYPE_I64)
        return !__builtin_sub_overflow(a.i64, b.i64, &out->i64);
    out->f64 = a.f64 - b.f64;
    return true;
}

#endif
