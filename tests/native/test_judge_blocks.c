/* The same journal gives the same events and results, whatever the size of blocks and wherever a
 * full event ring stops it. */
#include "judge_random.h"

static void test_block_size_is_never_visible(uint64_t seed) {
    static const size_t sizes[] = {1, 2, 3, 7, 64, 680};
    jr r;
    jr_open(&r, seed);
    jr_write(&r, 400);
    jj_out first = jj_run(&r.j, sizes[0]);
    CHECK(first.count > 20 && first.result_count > 20);
    for (size_t k = 1; k < sizeof sizes / sizeof *sizes; k++) {
        jj_out other = jj_run(&r.j, sizes[k]);
        CHECK(jj_same_events(&first, &other));
        CHECK(jj_same_results(&first, &other));
        jj_out_free(&other);
    }
    jj_out_free(&first);
    jr_close(&r);
}

static void test_identities_are_unique(uint64_t seed) {
    jr r;
    jr_open(&r, seed);
    jr_write(&r, 400);
    jj_out out = jj_run(&r.j, 680);
    for (size_t i = 0; i < out.count; i++)
        for (size_t k = i + 1; k < out.count; k++)
            CHECK(memcmp(out.event[i].id, out.event[k].id, 16) != 0);
    jj_out_free(&out);
    jr_close(&r);
}

/* A ring of 128 slots of which 64 are the margin, drained a few at a time: judging stops and goes
 * on in mid-block. */
static void test_full_event_ring_stops_and_resumes(uint64_t seed) {
    jr r;
    jr_open(&r, seed);
    jr_write(&r, 600);
    jj_out first = jj_run(&r.j, 680), other = {0};
    pstk_judge *judge = jj_judge(&r.j, 128);
    pstk_block *block = jj_buffer();
    size_t stops = 0;
    for (size_t at = 0; at < r.j.count;) {
        at += jj_block(&r.j, at, 680, block);
        while (!pstk_judge_block(judge, block)) {
            CHECK(!pstk_judge_is_between_blocks(judge));
            jj_drain(judge, &other, 1);
            stops++;
        }
    }
    CHECK(stops > 20);
    jj_drain(judge, &other, SIZE_MAX);
    CHECK(jj_same_events(&first, &other));
    CHECK(jj_same_results(&first, &other));
    free(block);
    pstk_judge_close(judge);
    jj_out_free(&first);
    jj_out_free(&other);
    jr_close(&r);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 12; seed++) {
        test_block_size_is_never_visible(seed);
        test_full_event_ring_stops_and_resumes(seed);
    }
    for (uint64_t seed = 1; seed <= 4; seed++)
        test_identities_are_unique(seed);
    return check_result("judge_blocks");
}
