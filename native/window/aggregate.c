/* aggregate: what a window knows beyond its plain figures, piece by piece and merged.
 * Variance: Welford, "Note on a method for calculating corrected sums of squares", Technometrics 4
 * (1962), of the distance to the first value; pieces are merged by Chan, Golub and LeVeque,
 * "Updating formulae and a pairwise algorithm for computing sample variances" (1979). Weighted by
 * time: OPC UA Part 13, 5.4.3.6 TimeAverage, stepped: a value holds until the next one. */
#include "window.h"

void pstk_figures_open(pstk_figures *figures, int64_t start_ns) {
    *figures = (pstk_figures){.min_ns = PSTK_TIME_NONE, .max_ns = PSTK_TIME_NONE};
    pstk_pane_open(&figures->pane, start_ns);
}

static void merge_square(pstk_figures *figures, const pstk_figures *later) {
    double n = (double)figures->pane.count, m = (double)later->pane.count;
    double away = (later->base - figures->base) + (later->mean - figures->mean);
    figures->mean += away * (m / (n + m));
    figures->square += later->square + away * away * (n * m / (n + m));
}

static void merge_pane(pstk_pane *pane, const pstk_pane *later) {
    pstk_add_exactly(&pane->sum, &pane->carry, later->sum);
    pane->carry += later->carry;
    pane->count += later->count;
    pane->min = PSTK_MIN(pane->min, later->min);
    pane->max = PSTK_MAX(pane->max, later->max);
    if (later->first_ns < pane->first_ns) {
        pane->first_ns = later->first_ns;
        pane->first = later->first;
    }
    if (later->last_ns >= pane->last_ns) {
        pane->last_ns = later->last_ns;
        pane->last = later->last;
    }
}

void pstk_figures_merge(pstk_figures *figures, const pstk_figures *later) {
    figures->bad += later->bad;
    figures->known_ns += later->known_ns;
    figures->share_ns += later->share_ns;
    pstk_add_exactly(&figures->integral, &figures->integral_carry, later->integral);
    figures->integral_carry += later->integral_carry;
    if (later->pane.count == 0)
        return;
    if (figures->pane.count == 0) {
        figures->base = later->base;
        figures->mean = later->mean;
        figures->square = later->square;
    } else {
        merge_square(figures, later);
    }
    pstk_figures_time(&figures->min_ns, later->pane.min < figures->pane.min,
                      later->pane.min == figures->pane.min, later->min_ns);
    pstk_figures_time(&figures->max_ns, later->pane.max > figures->pane.max,
                      later->pane.max == figures->pane.max, later->max_ns);
    merge_pane(&figures->pane, &later->pane);
}

/* ---- what they amount to -------------------------------------------------------------------- */

#define NOTHING __builtin_nan("")

static double weighted(const pstk_figures *figures) {
    return figures->integral + figures->integral_carry + 0.0;
}

static void tell_numbers(const pstk_figures *figures, uint32_t asked, pstk_aggregates *out) {
    const pstk_pane *pane = &figures->pane;
    if (asked & PSTK_AGGREGATE_MIN_AT)
        out->min_ns = figures->min_ns;
    if (asked & PSTK_AGGREGATE_MAX_AT)
        out->max_ns = figures->max_ns;
    if ((asked & PSTK_AGGREGATE_RANGE) && pane->count)
        out->range = pane->max - pane->min;
    if ((asked & PSTK_AGGREGATE_VARIANCE) && pane->count > 1)
        out->variance = figures->square / (double)(pane->count - 1);
    if ((asked & PSTK_AGGREGATE_TW_MEAN) && figures->known_ns > 0)
        out->tw_mean = weighted(figures) / ((double)figures->known_ns * 1e-9);
    if (asked & PSTK_AGGREGATE_INTEGRAL)
        out->integral = weighted(figures);
    if ((asked & PSTK_AGGREGATE_RATE) && pane->last_ns > pane->first_ns)
        out->rate = (pane->last - pane->first) * 1e9 / (double)(pane->last_ns - pane->first_ns);
}

void pstk_figures_tell(const pstk_figures *figures, const pstk_figures_ask *ask,
                       pstk_aggregates *out) {
    uint64_t count = figures->pane.count, all = count + figures->bad;
    *out = (pstk_aggregates){.min_ns = PSTK_TIME_NONE,
                             .max_ns = PSTK_TIME_NONE,
                             .range = NOTHING,
                             .variance = NOTHING,
                             .tw_mean = NOTHING,
                             .integral = NOTHING,
                             .rate = NOTHING,
                             .share = NOTHING,
                             .completeness = NOTHING,
                             .quality_share = NOTHING};
    if (ask->is_number)
        tell_numbers(figures, ask->aggregates, out);
    bool has_length = ask->length_ns > 0;
    if ((ask->aggregates & PSTK_AGGREGATE_SHARE) && has_length)
        out->share = (double)figures->share_ns / (double)ask->length_ns;
    if ((ask->aggregates & PSTK_AGGREGATE_COMPLETENESS) && has_length)
        out->completeness = (double)count * (double)ask->expected_ns / (double)ask->length_ns;
    if ((ask->aggregates & PSTK_AGGREGATE_QUALITY_SHARE) && all)
        out->quality_share = (double)count / (double)all;
}
