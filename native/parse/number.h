/* number: the text of a JSON number becomes an exact integer or the nearest double.
 * Integer arithmetic only: neither locale nor rounding mode matters, but for the rare text that the
 * fast method cannot decide, which strtod in the C locale does. */
#ifndef PSTK_NUMBER_H
#define PSTK_NUMBER_H

#include "../base/base.h"

typedef struct pstk_number { /* (-1)^is_negative * magnitude * 10^exponent */
    const uint8_t *text;
    uint32_t text_bytes;
    int32_t exponent;
    uint64_t magnitude; /* as many leading digits as 64 bits hold */
    bool is_negative;
    bool is_integer; /* written without fraction and exponent */
    bool is_cut;     /* digits that are not 0 did not fit magnitude */
} pstk_number;

/* Reads the number that begins at at (RFC 8259 section 6). Returns the byte behind it, or NULL
 * where the text is no number. What follows is the caller's to judge. */
const uint8_t *pstk_number_scan(const uint8_t *at, const uint8_t *end, pstk_number *out);

/* Integer literal whose magnitude is exact. */
static inline bool pstk_number_is_u64(const pstk_number *number) {
    return number->is_integer && !number->is_cut && number->exponent == 0;
}
bool pstk_number_i64(const pstk_number *number, int64_t *out);

/* Nearest double, ties to even; infinite where it overflows. scratch holds text_bytes + 1 bytes.
 * locale is a locale_t of "C". */
double pstk_number_f64(const pstk_number *number, uint8_t *scratch, void *locale);

#endif
