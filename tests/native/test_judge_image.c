/* Restore plus the same tail equals a run that was never interrupted: cut at every operation,
 * compared by id and digest. */
#include "judge_random.h"

#include <unistd.h>

/* Each run's events: those acknowledged before the cut, then those of the restored judge. */
static void cut_at(const jj *j, size_t cut, jj_out *whole) {
    jj_out out = {0};
    pstk_block *block = jj_buffer();
    pstk_judge *judge = jj_judge(j, 1024);
    size_t at = 0;
    while (at < cut) { /* what is emitted from half of the way on stays pending, and must lie in the
                          image */
        at += jj_block(j, at, PSTK_MIN((size_t)5, cut - at), block);
        while (!pstk_judge_block(judge, block))
            jj_drain(judge, &out, SIZE_MAX);
        if (at < cut / 2)
            jj_drain(judge, &out, SIZE_MAX);
    }
    /* Results are not in the image: what the first judge still holds is read from it. */
    jj_drain(judge, &out, 0);
    pstk_image image = jj_image(judge);
    uint64_t pending = pstk_judge_events_head(judge) - pstk_judge_events_acknowledged(judge);
    pstk_judge_close(judge);
    pstk_judge *again = jj_judge(j, 1024);
    pstk_error err = {0};
    int status = pstk_judge_restore(again, &image, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "%s\n", err.text);
    REQUIRE(status == PSTK_OK);
    CHECK(pstk_judge_events_head(again) == pending);
    free(image.buffer);
    while (at < j->count) {
        at += jj_block(j, at, 11, block);
        while (!pstk_judge_block(again, block))
            jj_drain(again, &out, SIZE_MAX);
    }
    jj_drain(again, &out, SIZE_MAX);
    pstk_judge_close(again);
    bool is_same = jj_same_events(whole, &out) && jj_same_results(whole, &out);
    if (!is_same)
        fprintf(stderr, "cut at %zu differs: %zu and %zu events, %zu and %zu results\n", cut,
                whole->count, out.count, whole->result_count, out.result_count);
    CHECK(is_same);
    jj_out_free(&out);
    free(block);
}

static void test_restore_at_every_operation(uint64_t seed) {
    jr r;
    jr_open(&r, seed);
    jr_write(&r, 60);
    jj_out whole = jj_run(&r.j, 680);
    for (size_t cut = 0; cut <= r.j.count; cut += seed == 1 ? 1 : 7)
        cut_at(&r.j, cut, &whole);
    jj_out_free(&whole);
    jr_close(&r);
}

static void test_damaged_image_is_refused(void) {
    jr r;
    jr_open(&r, 5);
    jr_write(&r, 20);
    pstk_judge *judge = jj_judge(&r.j, 1024);
    jj_out out = {0};
    jj_run_part(&r.j, judge, 0, r.j.count, 680, &out);
    pstk_image image = jj_image(judge);
    pstk_error err;
    for (uint32_t k = 0; k < image.head.section_count; k++) {
        pstk_image bad = image;
        pstk_judge *fresh = jj_judge(&r.j, 1024);
        bad.section[k].version = PSTK_JUDGE_LAYOUT + 1;
        CHECK(pstk_judge_restore(fresh, &bad, &err) == PSTK_E_STATE);
        pstk_judge_close(fresh);
        fresh = jj_judge(&r.j, 1024);
        bad = image;
        bad.section[k].tag = 0xFFFF;
        bool is_optional = image.section[k].tag == PSTK_SECTION_PENDING; /* nothing was pending */
        CHECK(pstk_judge_restore(fresh, &bad, &err) == (is_optional ? PSTK_OK : PSTK_E_STATE));
        pstk_judge_close(fresh);
        fresh = jj_judge(&r.j, 1024);
        bad = image;
        bad.section[k].size += 1;
        CHECK(pstk_judge_restore(fresh, &bad, &err) != PSTK_OK);
        pstk_judge_close(fresh);
    }
    free(image.buffer);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jr_close(&r);
}

/* Through the ring stage's files as well. */
static void test_through_a_file(void) {
    char folder[] = "/tmp/judge-image-XXXXXX", path[64];
    REQUIRE(mkdtemp(folder));
    jr r;
    jr_open(&r, 6);
    jr_write(&r, 30);
    pstk_judge *judge = jj_judge(&r.j, 1024), *again = jj_judge(&r.j, 1024);
    jj_out out = {0};
    jj_run_part(&r.j, judge, 0, r.j.count, 680, &out);
    pstk_image taken = jj_image(judge);
    pstk_image_head head = {.layout = PSTK_JUDGE_LAYOUT,
                            .generation = 1,
                            .pos = 64,
                            .section_count = taken.head.section_count};
    pstk_error err = {0};
    REQUIRE(pstk_image_write(folder, &head, taken.section, false, &err) == PSTK_OK);
    free(taken.buffer);
    pstk_image image;
    bool found = false;
    uint32_t damaged = 0;
    REQUIRE(pstk_image_load(folder, NULL, PSTK_JUDGE_LAYOUT, &image, &found, &damaged, &err) ==
            PSTK_OK);
    REQUIRE(found && damaged == 0);
    CHECK(pstk_judge_restore(again, &image, &err) == PSTK_OK);
    pstk_judge_counters a, b;
    pstk_judge_counters_get(judge, &a);
    pstk_judge_counters_get(again, &b);
    a.results_overwritten = b.results_overwritten = 0;
    CHECK(memcmp(&a, &b, sizeof a) == 0);
    pstk_image_free(&image);
    pstk_judge_close(judge);
    pstk_judge_close(again);
    jj_out_free(&out);
    jr_close(&r);
    snprintf(path, sizeof path, "%s/image.A", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/image.B", folder);
    unlink(path);
    rmdir(folder);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 4; seed++)
        test_restore_at_every_operation(seed);
    test_damaged_image_is_refused();
    test_through_a_file();
    return check_result("judge_image");
}
