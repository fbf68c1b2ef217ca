/* test_judge_fast with a bug planted: the first sample of an instant is taken for all of it. It
 * passes where that is noticed. */
#define PSTK_PLANT_JUDGE_ALONE
#define main fast_main
#include "engine_judge_order.c"
#include "test_judge_fast.c"
#undef main

int main(void) {
    char name[] = "judge_fast", seeds[] = "3";
    char *argv[] = {name, seeds, NULL};
    return fast_main(2, argv) == 0;
}
