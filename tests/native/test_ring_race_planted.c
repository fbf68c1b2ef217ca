/* test_ring_race with the bug planted: copies are given out without the last look. It passes where
 * that is noticed. */
#define PSTK_PLANT_RING
#include "test_ring_race.c"
