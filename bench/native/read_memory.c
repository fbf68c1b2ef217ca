/* read_memory: the limit: how fast one core reads memory that no cache holds.
 *
 *   read_memory BYTES TIMES      prints one "measured {...}" a pass; count is bytes */
#include "child.h"

#include <string.h>

static volatile uint64_t sink;

/* Eight independent sums, so that the loads and not the adds are what takes time. */
static uint64_t read_all(const uint64_t *words, size_t count) {
    uint64_t sum[8] = {0};
    for (size_t i = 0; i + 8 <= count; i += 8)
        for (size_t k = 0; k < 8; k++)
            sum[k] += words[i + k];
    return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

int main(int argc, char **argv) {
    if (argc != 3)
        child_die("usage: read_memory BYTES TIMES");
    size_t count = child_number(argv[1]) / sizeof(uint64_t) & ~(size_t)7;
    uint64_t *words = malloc(count * sizeof *words);
    if (!words)
        child_die("no memory");
    for (size_t i = 0; i < count; i++)
        words[i] = i;
    for (uint64_t pass = child_number(argv[2]); pass > 0; pass--) {
        child_span begin = child_begin();
        uint64_t sum = read_all(words, count);
        if (sum != count / 2 * (count - 1))
            child_die("read wrong words");
        sink = sum;
        child_measured(begin, count * sizeof *words);
    }
    free(words);
    return 0;
}
