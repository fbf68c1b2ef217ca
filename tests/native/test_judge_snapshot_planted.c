/* test_judge_snapshot with the bug planted: the fast path writes to a tag that was not touched. It
 * passes where that is noticed. */
#define PSTK_PLANT_SNAPSHOT
#include "test_judge_snapshot.c"
