/* window: samples of one tag in [start, end) become count, sum, mean, min, max, first, last. The
 * one header of the stage. Owner    the judge holds every pane; its bytes lie in the checkpoint.
 * Threads  pure: only the arguments are touched. Time comes with each sample.
 * Exact    the sum is compensated per tag in journal order, so that no result depends on the size
 * of blocks. */
#ifndef PSTK_WINDOW_H
#define PSTK_WINDOW_H

#include "../base/base.h"

#define PSTK_PANES_MAX 64u

typedef struct pstk_pane { /* 80 bytes; what a sample in order changes is one cache line */
    double sum;
    double carry; /* what rounding took from sum */
    double min, max;
    double last;
    int64_t last_ns;
    uint64_t count;
    double first;
    int64_t first_ns;
    int64_t start_ns;
} pstk_pane;

void pstk_pane_open(pstk_pane *pane, int64_t start_ns);

static inline void pstk_pane_figure(pstk_pane *pane, double x) {
    double sum = pane->sum + x, part = sum - pane->sum; /* TwoSum: exact error, no branch */
    pane->carry += (pane->sum - (sum - part)) + (x - part);
    pane->sum = sum;
    pane->count++;
    pane->min = x < pane->min ? x : pane->min;
    pane->max = x > pane->max ? x : pane->max;
}

/* A sample later than every one before it, in a pane that holds some: the same with less to ask. */
static inline void pstk_pane_add_newest(pstk_pane *pane, int64_t time_ns, double x) {
    pstk_pane_figure(pane, x);
    pane->last_ns = time_ns;
    pane->last = x;
}

static inline void pstk_pane_add(pstk_pane *pane, int64_t time_ns, double x) {
    pstk_pane_figure(pane, x);
    if (time_ns < pane->first_ns) { /* of equal stamps the earliest in the journal is first, the
                                       latest last */
        pane->first_ns = time_ns;
        pane->first = x;
    }
    if (time_ns >= pane->last_ns) {
        pane->last_ns = time_ns;
        pane->last = x;
    }
}

double pstk_pane_sum(const pstk_pane *pane);
double pstk_pane_mean(const pstk_pane *pane);

/* Start of the window that holds time_ns: offset + k * size, floor for negative times too. */
int64_t pstk_window_start(int64_t time_ns, int64_t size_ns, int64_t offset_ns);
/* Panes one instance may need: 2 + ceil(lateness / size); 0 = out of bounds. */
uint32_t pstk_window_panes(int64_t size_ns, int64_t lateness_ns);

#endif
