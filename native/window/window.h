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

/* ---- figures: what a rule may ask for beyond (aggregate.c) ---------------------------------- */

typedef struct pstk_figures { /* 160 bytes */
    pstk_pane pane;
    int64_t min_ns, max_ns; /* earliest time of the least and the greatest value */
    double base;            /* the first value: mean and square are of value - base, so that a small
                               spread around a great mean loses no digit */
    double mean, square;    /* running mean; sum of squares around it */
    uint64_t bad;           /* samples of bad quality */
    double integral, integral_carry; /* value x seconds held, compensated */
    int64_t known_ns;                /* for so long a value held */
    int64_t share_ns;                /* and for so long one of the listed states */
} pstk_figures;

void pstk_figures_open(pstk_figures *figures, int64_t start_ns);

static inline void pstk_figures_time(int64_t *at_ns, bool is_better, bool is_equal,
                                     int64_t time_ns) {
    if (is_better || (is_equal && time_ns < *at_ns))
        *at_ns = time_ns;
}

static inline void pstk_figures_add(pstk_figures *figures, int64_t time_ns, double x) {
    pstk_pane *pane = &figures->pane;
    if (pane->count == 0)
        figures->base = x;
    pstk_figures_time(&figures->min_ns, x < pane->min, x == pane->min, time_ns);
    pstk_figures_time(&figures->max_ns, x > pane->max, x == pane->max, time_ns);
    pstk_pane_add(pane, time_ns, x);
    double part = x - figures->base, away = part - figures->mean;
    figures->mean += away / (double)pane->count;
    figures->square += away * (part - figures->mean);
}

static inline void pstk_add_exactly(double *sum, double *carry, double x) {
    double total = *sum + x, part = total - *sum; /* TwoSum */
    *carry += (*sum - (total - part)) + (x - part);
    *sum = total;
}

/* The value held for another hold_ns. */
static inline void pstk_figures_hold(pstk_figures *figures, double x, int64_t hold_ns,
                                     bool is_listed) {
    if (hold_ns <= 0)
        return;
    figures->known_ns += hold_ns;
    figures->share_ns += is_listed ? hold_ns : 0;
    pstk_add_exactly(&figures->integral, &figures->integral_carry, x * ((double)hold_ns * 1e-9));
}

/* Takes over what a later piece of the same tag holds. */
void pstk_figures_merge(pstk_figures *figures, const pstk_figures *later);

typedef struct pstk_figures_ask {
    uint32_t aggregates; /* PSTK_AGGREGATE_* */
    bool is_number;      /* false: values are states, and have no figures */
    int64_t length_ns;   /* of the window */
    int64_t expected_ns;
} pstk_figures_ask;
void pstk_figures_tell(const pstk_figures *figures, const pstk_figures_ask *ask,
                       pstk_aggregates *out_aggregates);

/* ---- kinds of windows (kind.c) -------------------------------------------------------------- */

#define PSTK_HOPS_MAX 64u          /* windows a sample may lie in */
#define PSTK_EMPTY_WINDOWS_MAX 64u /* told one after another without a sample */
#define PSTK_SESSION_DEFAULT_NS (3600 * PSTK_NS_PER_S)

typedef enum pstk_window_kind {
    PSTK_WINDOW_ALIGNED = 1, /* tumbling; hopping where hop_ns is set */
    PSTK_WINDOW_SESSION = 2,
    PSTK_WINDOW_COUNT = 3,
} pstk_window_kind;

#define PSTK_WINDOW_WEIGHTED                                                                       \
    ((uint32_t)PSTK_AGGREGATE_TW_MEAN | (uint32_t)PSTK_AGGREGATE_INTEGRAL |                        \
     (uint32_t)PSTK_AGGREGATE_SHARE)

static inline pstk_window_kind pstk_window_kind_of(const pstk_rule *rule) {
    if (rule->session_gap_ns > 0)
        return PSTK_WINDOW_SESSION;
    return rule->count_n > 0 ? PSTK_WINDOW_COUNT : PSTK_WINDOW_ALIGNED;
}
/* More than a tumbling window's plain figures: kept apart from the fast path. */
bool pstk_window_is_wide(const pstk_rule *rule);
/* By the time a value held. */
static inline bool pstk_window_is_weighted(const pstk_rule *rule) {
    return rule->aggregates & PSTK_WINDOW_WEIGHTED;
}
/* Needs its samples in order of time, so they wait for the watermark. */
static inline bool pstk_window_is_ordered(const pstk_rule *rule) {
    return pstk_window_kind_of(rule) != PSTK_WINDOW_ALIGNED || rule->cut_on ||
           pstk_window_is_weighted(rule);
}
static inline int64_t pstk_window_hop(const pstk_rule *rule) {
    return rule->hop_ns > 0 ? rule->hop_ns : rule->size_ns;
}
bool pstk_window_is_valid(const pstk_rule *rule);
/* Panes a rule may hold open at this lateness; 0 = out of bounds. */
uint32_t pstk_window_panes_of(const pstk_rule *rule, int64_t lateness_ns);

typedef struct pstk_session {
    int64_t first_ns, last_ns;
} pstk_session;
/* True where the session ends before a sample at time_ns, or before that moment without one. */
bool pstk_session_ends(const pstk_rule *rule, const pstk_session *session, int64_t time_ns,
                       bool is_sample, int64_t *out_end_ns);
int64_t pstk_session_deadline(const pstk_rule *rule, const pstk_session *session);

#endif
