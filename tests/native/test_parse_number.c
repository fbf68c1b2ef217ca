/* Numbers: the nearest double, ties to even, bit for bit what the C library says, in any locale. */
#include "check.h"
#include "parse/number.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>

static locale_t c_locale;

static bool parse(const char *text, double *out) {
    static uint8_t scratch[4096];
    size_t size = strlen(text);
    uint8_t *exact = malloc(size ? size : 1); /* under ASan a read behind it is an error */
    REQUIRE(exact != NULL && size < sizeof scratch);
    memcpy(exact, text, size);
    pstk_number number;
    bool is_number = pstk_number_scan(exact, exact + size, &number) == exact + size;
    if (is_number)
        *out = pstk_number_f64(&number, scratch, c_locale);
    free(exact);
    return is_number;
}

static bool is_nearest(const char *text) {
    double ours = NAN, theirs = strtod_l(text, NULL, c_locale);
    return parse(text, &ours) && memcmp(&ours, &theirs, sizeof ours) == 0;
}

static void check_nearest(const char *text) {
    bool is_right = is_nearest(text);
    if (!is_right)
        fprintf(stderr, "not nearest: %.200s\n", text);
    CHECK(is_right);
}

static void test_known_hard_cases(void) {
    static const char *const texts[] = {
        "0", "-0", "0.0", "-0.0e5", "1", "5.1", "9007199254740993", "9007199254740995",
        "9007199254740992.5", "9007199254740993.0000000000000000000000000000000000001", "1e22",
        "1e23", "8.5e-323", "5e-324", "2.4703282292062327e-324", "2.4703282292062328e-324",
        "2.2250738585072011e-308", "2.2250738585072012e-308", "2.2250738585072014e-308",
        "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "1e308",
        "1e309", "1e-400", "123456789012345678901234567890", "18446744073709551615",
        "18446744073709551616", "18446744073709551625", "6.9294956446009195e15",
        "3.7455744005952583e15", "0.1e-1000", "1e99999999999", "0e99999999999", "-1e-99999999999",
        "7.8459735791271921e65", "1090544144181609348835077142190", "4503599627370497.5",
        "4503599627370496.5",
        /* 2^-1075: exactly half of the least double, and a little more */
        "2.4703282292062327208299167738163e-324",
        "1.00000000000000011102230246251565404236316680908203125",
        "1.00000000000000011102230246251565404236316680908203124",
        "1.00000000000000011102230246251565404236316680908203126"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_nearest(texts[i]);
}

static void test_half_of_the_least_double_is_a_tie_to_zero(void) {
    char text[1200];
    double half = 0;
    snprintf(text, sizeof text, "%.1100f", ldexp(1, -1074)); /* exact: 1074 decimals */
    check_nearest(text);
    snprintf(text, sizeof text, "%.1074e", ldexp(3, -1074));
    check_nearest(text);
    /* m * 2^-1075 for odd m is a tie between two subnormals: write it as 5 * (m * 2^-1074) / 10. */
    for (unsigned m = 1; m < 40; m += 2) {
        snprintf(text, sizeof text, "%.760e", ldexp(5.0 * m, -1074));
        char *exponent = strchr(text, 'e');
        snprintf(exponent, 24, "e%ld", strtol(exponent + 1, NULL, 10) - 1);
        check_nearest(text);
    }
    CHECK(parse("2.47e-324", &half) && half == 0);
}

static void test_grammar_is_that_of_json(void) {
    static const char *const bad[] = {"",    "-",   "+1",  ".5",  "1.",  "1.e5", "01",
                                      "-01", "00",  "1e",  "1e+", "1e-", "0x1",  "1_0",
                                      "1,5", "inf", "nan", " 1",  "1 ",  "--1"};
    double value;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!parse(bad[i], &value));
}

static void test_integers_are_exact_to_the_last(void) {
    static const struct {
        const char *text;
        bool is_i64, is_u64;
        uint64_t magnitude;
    } cases[] = {{"9223372036854775807", true, true, INT64_MAX},
                 {"9223372036854775808", false, true, UINT64_C(1) << 63},
                 {"-9223372036854775808", true, true, UINT64_C(1) << 63},
                 {"-9223372036854775809", false, true, (UINT64_C(1) << 63) + 1},
                 {"18446744073709551615", false, true, UINT64_MAX},
                 {"18446744073709551616", false, false, 1844674407370955161},
                 {"100000000000000000000", false, false, UINT64_C(10000000000000000000)},
                 {"12.0", false, false, 120},
                 {"1e2", false, false, 1},
                 {"-0", true, true, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pstk_number number;
        int64_t value = 0;
        const uint8_t *text = (const uint8_t *)cases[i].text;
        CHECK(pstk_number_scan(text, text + strlen(cases[i].text), &number) != NULL);
        CHECK(pstk_number_i64(&number, &value) == cases[i].is_i64);
        CHECK(pstk_number_is_u64(&number) == cases[i].is_u64 &&
              number.magnitude == cases[i].magnitude);
        CHECK(!cases[i].is_i64 || value == strtoll(cases[i].text, NULL, 10));
    }
}

/* Shortest, longest and cut forms of random doubles, and what lies halfway between two of them. */
static void test_random_doubles(void) {
    uint64_t state = 20261123;
    char text[1200];
    int wrong = 0;
    for (int i = 0; i < 60000; i++) {
        pstk_value value = {.bits = pstk_random(&state)};
        if (!isfinite(value.f64))
            continue;
        int digits = (int)(pstk_random(&state) % 24);
        snprintf(text, sizeof text, "%.*e", digits, value.f64);
        wrong += !is_nearest(text);
        snprintf(text, sizeof text, "%" PRIu64 "e%d", pstk_random(&state) >> (i % 60),
                 i % 640 - 340);
        wrong += !is_nearest(text);
        value.f64 = (double)(pstk_random(&state) >> (i % 12)) +
                    0.5; /* short fixed-point, as sensors write */
        snprintf(text, sizeof text, "%.*f", digits % 8, value.f64 / 1000.0);
        wrong += !is_nearest(text);
    }
    CHECK(wrong == 0);
    for (int i = 0; i < 3000; i++) { /* exact ties: (2m + 1) * 2^k, all decimals written out */
        uint64_t odd = (pstk_random(&state) >> 10 | UINT64_C(1) << 53) | 1;
        int k = (int)(pstk_random(&state) % 200) - 100;
        long double tie = ldexpl((long double)odd, k); /* 54 bits : one more than a double has */
        snprintf(text, sizeof text, "%.*Lf", k < 0 ? -k : 0, tie);
        wrong += !is_nearest(text);
        size_t size = strlen(text);
        snprintf(text + size, sizeof text - size, k < 0 ? "0001" : ".0001");
        wrong += !is_nearest(text);
    }
    CHECK(wrong == 0);
}

static void test_a_comma_locale_changes_nothing(void) {
    double value = 0;
    static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ru_RU.UTF-8"};
    bool has_comma = false;
    for (size_t i = 0; i < 3 && !has_comma; i++)
        has_comma = setlocale(LC_ALL, locales[i]) != NULL;
    if (!has_comma)
        printf("parse_number: no locale with a decimal comma here, only C is tried\n");
    /* Decided by the slow path: an exact tie with digits cut off. */
    CHECK(parse("9007199254740993.00000000000000000000000", &value) && value == 9007199254740992.0);
    CHECK(parse("9007199254740993.00000000000000000000001", &value) && value == 9007199254740994.0);
    setlocale(LC_ALL, "C");
}

int main(void) {
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    REQUIRE(c_locale != (locale_t)0);
    test_known_hard_cases();
    test_half_of_the_least_double_is_a_tie_to_zero();
    test_grammar_is_that_of_json();
    test_integers_are_exact_to_the_last();
    test_random_doubles();
    test_a_comma_locale_changes_nothing();
    freelocale(c_locale);
    return check_result("parse_number");
}
