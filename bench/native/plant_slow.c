/* plant_slow: a slow-down on purpose, so that the tester can be tested: a thread that judges takes
 * BENCH_PLANT_SLOW percent more CPU than it would, the kernel's part included. Linked with --wrap
 * over the product's own entry, which is not touched. */
#include "engine_judge.h"

#include <time.h>

#define DEBT_NS_MIN 20000 /* paid in few large parts: the clock has a cost of its own */

bool __real_pstk_judge_block(pstk_judge *judge, const pstk_block *block);
bool __wrap_pstk_judge_block(pstk_judge *judge, const pstk_block *block);

static _Thread_local int64_t burnt_ns;
static _Thread_local uint32_t blocks;
static volatile uint64_t sink;

static int64_t thread_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t step(uint64_t x) { return (x ^ x >> 29) * UINT64_C(6364136223846793005) + 1; }

static void burn(int64_t end_ns) {
    uint64_t x = sink;
    while (thread_ns() < end_ns)
        for (int k = 0; k < 200; k++)
            x = step(step(step(step(step(step(step(step(x))))))));
    sink = x;
}

bool __wrap_pstk_judge_block(pstk_judge *judge, const pstk_block *block) {
    bool is_done = __real_pstk_judge_block(judge, block);
    if (++blocks % 4 != 0)
        return is_done;
    int64_t now_ns = thread_ns();
    int64_t debt_ns = (now_ns - burnt_ns) * BENCH_PLANT_SLOW / 100 - burnt_ns;
    if (debt_ns >= DEBT_NS_MIN) {
        burn(now_ns + debt_ns);
        burnt_ns += thread_ns() - now_ns;
    }
    return is_done;
}
