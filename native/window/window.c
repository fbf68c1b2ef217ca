/* window: alignment and the figures of a pane. */
#include "window.h"

void pstk_pane_open(pstk_pane *pane, int64_t start_ns) {
    *pane = (pstk_pane){.start_ns = start_ns,
                        .min = __builtin_inf(),
                        .max = -__builtin_inf(),
                        .first_ns = INT64_MAX,
                        .last_ns = INT64_MIN};
}

double pstk_pane_sum(const pstk_pane *pane) {
    return pane->sum + pane->carry + 0.0; /* -0.0 is 0.0 */
}

double pstk_pane_mean(const pstk_pane *pane) {
    return pane->count ? pstk_pane_sum(pane) / (double)pane->count : 0.0;
}

int64_t pstk_window_start(int64_t time_ns, int64_t size_ns, int64_t offset_ns) {
    int64_t shifted;
    if (__builtin_sub_overflow(time_ns, offset_ns % size_ns, &shifted))
        shifted = time_ns;
    int64_t rest = shifted % size_ns;
    return time_ns - (rest < 0 ? rest + size_ns : rest);
}

uint32_t pstk_window_panes(int64_t size_ns, int64_t lateness_ns) {
    if (size_ns <= 0 || lateness_ns < 0)
        return 0;
    int64_t late = lateness_ns / size_ns + (lateness_ns % size_ns != 0);
    return late <= (int64_t)PSTK_PANES_MAX - 2 ? (uint32_t)late + 2 : 0;
}
