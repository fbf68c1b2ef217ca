/* quantity: arithmetic of registers, shared by counter and total; private to the stage. */
#ifndef PSTK_RULE_QUANTITY_H
#define PSTK_RULE_QUANTITY_H

#include "rule.h"

/* False: beyond i64; the sum stays at the end of the range. */
bool pstk_quantity_add(pstk_quantity *quantity, uint8_t type, pstk_value delta);
pstk_value pstk_quantity_value(const pstk_quantity *quantity, uint8_t type);
int pstk_value_compare(uint8_t type, pstk_value a, pstk_value b);
bool pstk_value_minus(uint8_t type, pstk_value a, pstk_value b, pstk_value *out);

#endif
