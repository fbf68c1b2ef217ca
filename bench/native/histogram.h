/* histogram: durations in log-linear buckets, as HdrHistogram has them: 64 steps for each power of
 * two, so a percentile is at most 1.6 % above what was measured. Nothing is lost: what is larger
 * than all buckets is in the last, what is negative counts as 0. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_BITS 6
#define HISTOGRAM_STEPS (1u << HISTOGRAM_BITS)
#define HISTOGRAM_BUCKETS (HISTOGRAM_STEPS * 40u) /* to 2^45 ns, ten hours */

typedef struct histogram {
    uint64_t count;
    int64_t max_ns;
    uint64_t bucket[HISTOGRAM_BUCKETS];
} histogram;

static inline void histogram_add(histogram *of, int64_t ns) {
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    uint32_t power = 0;
    while (value >> power >= 2 * HISTOGRAM_STEPS)
        power++;
    uint64_t index = (uint64_t)power * HISTOGRAM_STEPS + (value >> power);
    of->bucket[index < HISTOGRAM_BUCKETS ? index : HISTOGRAM_BUCKETS - 1]++;
    of->count++;
    of->max_ns = ns > of->max_ns ? ns : of->max_ns;
}

/* The least duration that share of all are not above (its bucket's upper end). */
static inline double histogram_us(const histogram *of, double share) {
    uint64_t wanted = (uint64_t)(share * (double)of->count), seen = 0;
    for (uint32_t k = 0; k < HISTOGRAM_BUCKETS; k++) {
        seen += of->bucket[k];
        if (seen > wanted || (seen == of->count && seen)) {
            uint32_t power = k < 2 * HISTOGRAM_STEPS ? 0 : k / HISTOGRAM_STEPS - 1;
            uint64_t step = k - power * HISTOGRAM_STEPS + 1;
            return (double)(step << power) / 1000.0;
        }
    }
    return 0;
}

static inline void histogram_print(const histogram *of) {
    printf("delay {\"count\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
           "\"max_us\": %.1f}\n",
           (unsigned long long)of->count, histogram_us(of, 0.5), histogram_us(of, 0.99),
           histogram_us(of, 0.999), (double)of->max_ns / 1000.0);
    fflush(stdout);
}

#endif
