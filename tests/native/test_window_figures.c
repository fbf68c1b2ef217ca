/* What a window knows beyond its plain figures: times of the extremes, variance, merged pieces. */
#include "check.h"
#include "window/window.h"

#include <math.h>

static const uint32_t all = (1u << 10) - 1;

static pstk_aggregates told(const pstk_figures *figures, int64_t length_ns, int64_t expected_ns) {
    pstk_figures_ask ask = {
        .aggregates = all, .is_number = true, .length_ns = length_ns, .expected_ns = expected_ns};
    pstk_aggregates out;
    pstk_figures_tell(figures, &ask, &out);
    return out;
}

static void test_nothing_is_told_of_nothing(void) {
    pstk_figures none;
    pstk_figures_open(&none, 0);
    pstk_aggregates out = told(&none, 100, 10);
    CHECK(out.min_ns == PSTK_TIME_NONE && out.max_ns == PSTK_TIME_NONE);
    CHECK(isnan(out.range) && isnan(out.variance) && isnan(out.tw_mean) && isnan(out.rate));
    CHECK(out.completeness == 0 && isnan(out.quality_share) && out.integral == 0);
    none.bad = 2;
    CHECK(told(&none, 100, 10).quality_share == 0);
    pstk_figures_add(&none, 5, 1);
    CHECK(isnan(told(&none, 100, 10).variance) && isnan(told(&none, 100, 10).rate));
    CHECK(told(&none, 0, 10).completeness != 0 && isnan(told(&none, 0, 10).completeness));
    pstk_figures_ask ask = {.aggregates = PSTK_AGGREGATE_RANGE, .is_number = true, .length_ns = 1};
    pstk_figures_tell(&none, &ask, &out);
    CHECK(out.range == 0 && out.min_ns == PSTK_TIME_NONE && isnan(out.quality_share));
}

static void test_times_of_the_extremes_are_the_earliest(void) {
    pstk_figures figures;
    pstk_figures_open(&figures, 0);
    static const double x[] = {3, 1, 7, 1, 7};
    static const int64_t at[] = {50, 40, 30, 20, 35}; /* a later sample of an earlier time */
    for (int k = 0; k < 5; k++)
        pstk_figures_add(&figures, at[k], x[k]);
    pstk_aggregates out = told(&figures, 100, 10);
    CHECK(out.min_ns == 20 && out.max_ns == 30 && out.range == 6);
    CHECK(out.rate == (3 - 1) * 1e9 / 30 && out.completeness == 0.5);
}

static void test_variance_of_a_small_spread_around_a_great_mean(void) {
    uint64_t seed = 7;
    pstk_figures whole, part[4], merged;
    long double mean = 0, square = 0;
    double value[4000];
    pstk_figures_open(&whole, 0);
    for (int k = 0; k < 4; k++)
        pstk_figures_open(&part[k], k * 1000);
    for (int i = 0; i < 4000; i++) {
        value[i] = 1e9 + 1e-3 * ((double)(pstk_random(&seed) % 2001) / 1000 - 1);
        mean += value[i];
        pstk_figures_add(&whole, i, value[i]);
        pstk_figures_add(&part[i / 1000], i, value[i]);
    }
    mean /= 4000;
    for (int i = 0; i < 4000; i++)
        square += (value[i] - mean) * (value[i] - mean);
    double expected = (double)(square / 3999);
    pstk_figures_open(&merged, 0);
    for (int k = 0; k < 4; k++)
        pstk_figures_merge(&merged, &part[k]);
    CHECK(fabs(told(&whole, 1, 1).variance / expected - 1) < 1e-9);
    CHECK(fabs(told(&merged, 1, 1).variance / expected - 1) < 1e-9);
    CHECK(merged.pane.count == 4000 && merged.pane.first == value[0]);
    CHECK(merged.pane.last == value[3999] && merged.min_ns == whole.min_ns);
    CHECK(merged.max_ns == whole.max_ns && merged.pane.min == whole.pane.min);
    CHECK(fabs(pstk_pane_sum(&merged.pane) - pstk_pane_sum(&whole.pane)) <= 1e-3);
}

static void test_merging_one_piece_changes_no_bit(void) {
    pstk_figures piece, merged;
    pstk_figures_open(&piece, 10);
    for (int i = 0; i < 100; i++) {
        pstk_figures_add(&piece, i, 0.1 * i);
        pstk_figures_hold(&piece, 0.1 * i, 3, i % 2);
    }
    pstk_figures_open(&merged, 10);
    pstk_figures_merge(&merged, &piece);
    CHECK(memcmp(&merged, &piece, sizeof piece) == 0);
}

static void test_what_a_value_held(void) {
    pstk_figures figures;
    pstk_figures_open(&figures, 0);
    pstk_figures_hold(&figures, 10, 3 * PSTK_NS_PER_S, true);
    pstk_figures_hold(&figures, 99, 0, true); /* no time at all */
    pstk_figures_hold(&figures, -2, PSTK_NS_PER_S, false);
    pstk_aggregates out = told(&figures, 8 * PSTK_NS_PER_S, PSTK_NS_PER_S);
    CHECK(out.integral == 28 && out.tw_mean == 7 && out.share == 3.0 / 8);
}

static pstk_rule aligned(int64_t size_ns, int64_t hop_ns) {
    return (pstk_rule){.kind = PSTK_RULE_WINDOW, .size_ns = size_ns, .hop_ns = hop_ns};
}

static void test_kinds_and_bounds(void) {
    pstk_rule plain = aligned(10, 0), hop = aligned(10, 5), session = {.session_gap_ns = 5};
    CHECK(!pstk_window_is_wide(&plain) && pstk_window_is_wide(&hop) &&
          pstk_window_is_wide(&session));
    CHECK(!pstk_window_is_ordered(&hop) && pstk_window_is_ordered(&session));
    CHECK(pstk_window_is_valid(&plain) && pstk_window_is_valid(&hop));
    hop.hop_ns = 3; /* does not divide */
    CHECK(!pstk_window_is_valid(&hop));
    hop = aligned(65, 1);
    CHECK(!pstk_window_is_valid(&hop));
    hop.size_ns = 64;
    CHECK(pstk_window_is_valid(&hop));
    hop.correct_ns = 5; /* corrections are for tumbling windows */
    CHECK(!pstk_window_is_valid(&hop));
    plain.correct_ns = 25;
    CHECK(pstk_window_is_valid(&plain) && pstk_window_panes_of(&plain, 0) == 5);
    CHECK(pstk_window_panes_of(&plain, INT64_MAX) == 0);
    plain.session_gap_ns = 5; /* two kinds in one */
    CHECK(!pstk_window_is_valid(&plain));
    plain = aligned(0, 0); /* none */
    CHECK(!pstk_window_is_valid(&plain));
    plain = aligned(-10, -10);
    CHECK(!pstk_window_is_valid(&plain));
}

static void test_sessions(void) {
    pstk_rule rule = {.session_gap_ns = 10, .session_max_ns = 100};
    pstk_session session = {.first_ns = 0, .last_ns = 95};
    int64_t end_ns = 0;
    CHECK(!pstk_session_ends(&rule, &session, 99, true, &end_ns));
    CHECK(pstk_session_ends(&rule, &session, 100, true, &end_ns) && end_ns == 100);
    CHECK(!pstk_session_ends(&rule, &session, 104, false, &end_ns));
    CHECK(pstk_session_ends(&rule, &session, 105, true, &end_ns) && end_ns == 105);
    CHECK(pstk_session_deadline(&rule, &session) == 105);
}

int main(void) {
    test_nothing_is_told_of_nothing();
    test_times_of_the_extremes_are_the_earliest();
    test_variance_of_a_small_spread_around_a_great_mean();
    test_merging_one_piece_changes_no_bit();
    test_what_a_value_held();
    test_kinds_and_bounds();
    test_sessions();
    return check_result("window_figures");
}
