/* A pane's figures and the alignment of windows. */
#include "check.h"
#include "window/window.h"

static void test_ties_and_order(void) {
    pstk_pane pane;
    pstk_pane_open(&pane, 0);
    CHECK(pane.count == 0 && pstk_pane_mean(&pane) == 0.0);
    pstk_pane_add(&pane, 5, 1.0);
    pstk_pane_add(&pane, 5, 2.0);
    CHECK(pane.first == 1.0 && pane.last == 2.0); /* equal stamps: journal order decides */
    pstk_pane_add(&pane, 4, 3.0);
    CHECK(pane.first == 3.0 && pane.last == 2.0);
    CHECK(pane.min == 1.0 && pane.max == 3.0 && pane.count == 3);
    CHECK(pstk_pane_sum(&pane) == 6.0 && pstk_pane_mean(&pane) == 2.0);
}

static void test_sum_does_not_drift(void) {
    pstk_pane pane;
    pstk_pane_open(&pane, 0);
    for (int i = 0; i < 1000000; i++)
        pstk_pane_add(&pane, i, 0.1);
    CHECK(pstk_pane_sum(&pane) ==
          100000.0 + 5.5511151231257827e-12); /* 10^6 times the double next to 0.1 */
}

static void test_alignment(void) {
    CHECK(pstk_window_start(25, 10, 0) == 20 && pstk_window_start(-1, 10, 0) == -10);
    CHECK(pstk_window_start(20, 10, 3) == 13 && pstk_window_start(-8, 10, 3) == -17);
    CHECK(pstk_window_start(-10, 10, 0) == -10 && pstk_window_start(5, 10, 25) == 5);
}

static void test_panes(void) {
    CHECK(pstk_window_panes(10, 0) == 2 && pstk_window_panes(10, 10) == 3 &&
          pstk_window_panes(10, 11) == 4);
    CHECK(pstk_window_panes(1, 62) == 64 && pstk_window_panes(1, 63) == 0);
    CHECK(pstk_window_panes(0, 1) == 0 && pstk_window_panes(10, -1) == 0);
}

int main(void) {
    test_ties_and_order();
    test_sum_does_not_drift();
    test_alignment();
    test_panes();
    return check_result("window_pane");
}
