/* Records of a damaged ring: whatever their bytes, the judge reads no further than the block and
 * goes on judging. */
#include "judge_random.h"

static void spoil(jr *r, pstk_block *block) {
    uint8_t *bytes = (uint8_t *)block;
    uint32_t size = PSTK_MIN(block->bytes, PSTK_BLOCK_BYTES_MAX);
    switch (jr_draw(r, 9)) {
    case 0:
        bytes[jr_draw(r, size)] ^= (uint8_t)(1u << jr_draw(r, 8));
        break;
    case 1:
        block->count = (uint32_t)pstk_random(&r->seed);
        break;
    case 2:
        block->bytes = (uint32_t)jr_draw(r, 2 * PSTK_BLOCK_BYTES_MAX);
        break;
    case 3:
        block->source = (uint16_t)pstk_random(&r->seed);
        break;
    case 4:
        block->stream = (uint16_t)pstk_random(&r->seed);
        break;
    case 5:
        block->kind = (uint16_t)jr_draw(r, 13);
        break;
    case 6:
        block->recv_time_ns = (int64_t)pstk_random(&r->seed);
        break;
    default: { /* whole words of the payload */
        size_t room = size > 72 ? size - 72 : 1;
        for (int k = 0; k < 4; k++)
            pstk_store_u64(bytes + 64 + jr_draw(r, room), pstk_random(&r->seed) << jr_draw(r, 64));
    }
    }
}

static void test_damaged_records(uint64_t seed) {
    jr r;
    jr_open(&r, seed);
    jr_write(&r, 150);
    pstk_judge *judge = jj_judge(&r.j, 128);
    pstk_block *block = jj_buffer();
    jj_out out = {0};
    memset(block, 0, PSTK_BLOCK_BYTES_MAX);
    size_t spoilt = 0;
    for (size_t at = 0; at < r.j.count;) {
        at += jj_block(&r.j, at, 1 + jr_draw(&r, 20), block);
        if (at > 40 && jr_draw(&r, 3) == 0) {
            spoil(&r, block);
            spoilt++;
        }
        while (!pstk_judge_block(judge, block))
            jj_drain(judge, &out, SIZE_MAX);
        jj_drain(judge, &out, SIZE_MAX);
        (void)pstk_judge_deadline_ns(judge);
    }
    pstk_image image = jj_image(judge);
    CHECK(image.head.section_count > 10);
    free(image.buffer);
    CHECK(spoilt > 20 && pstk_judge_is_between_blocks(judge));
    free(block);
    pstk_judge_close(judge);
    jj_out_free(&out);
    jr_close(&r);
}

static void test_unknown_ids_are_ignored(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "hot", PSTK_RULE_LIMIT, "*.temp");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80};
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    jj_f64(&j, 77, 1000 * S, 100);         /* a tag nobody named */
    jj_f64(&j, UINT32_MAX, 1000 * S, 100); /* no tag at all */
    jj_f64(&j, temp, INT64_MAX, 100);      /* no time at all */
    jj_f64(&j, temp, 1000 * S, __builtin_nan(""));
    jj_f64(&j, temp, 1000 * S, __builtin_inf());
    j.source = 9;
    jj_f64(&j, temp, 1000 * S, 100); /* from a source that does not exist */
    j.source = 0;
    jj_f64(&j, temp, 1001 * S, 90);
    jj_out out = jj_run(&j, 680);
    REQUIRE(out.count == 1);
    CHECK(out.event[0].at_ns == 1001 * S);
    jj_out_free(&out);
    jj_close(&j);
}

static void test_options_out_of_bounds_are_refused(void) {
    jj j;
    jj_open(&j);
    pstk_judge_options good = {.plant = "p",
                               .tags_max = 1,
                               .instances_max = 1,
                               .streams_max = 1,
                               .assets_max = 1,
                               .event_slots = 128,
                               .result_slots = 1,
                               .reorder_slots = 1,
                               .tags = j.tags};
    pstk_judge *judge;
    pstk_error err;
    REQUIRE(pstk_judge_open(&good, &judge, &err) == PSTK_OK);
    pstk_judge_close(judge);
    uint32_t *const fields[] = {&good.tags_max,     &good.instances_max, &good.streams_max,
                                &good.assets_max,   &good.event_slots,   &good.result_slots,
                                &good.reorder_slots};
    for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) {
        uint32_t kept = *fields[k];
        *fields[k] = 0;
        CHECK(pstk_judge_open(&good, &judge, &err) == PSTK_E_ARGUMENT && !judge);
        *fields[k] = UINT32_MAX;
        CHECK(pstk_judge_open(&good, &judge, &err) == PSTK_E_ARGUMENT && !judge);
        *fields[k] = kept;
    }
    pstk_judge_close(NULL);
    jj_close(&j);
}

/* Tables of one or two places: everything beyond is counted, nothing is written past the end. */
static uint64_t test_smallest_tables(uint64_t seed) {
    jr r;
    jr_open(&r, seed);
    jr_write(&r, 200);
    pstk_judge_options options = {.plant = "p",
                                  .tags_max = 20,
                                  .instances_max = 9,
                                  .streams_max = 2,
                                  .assets_max = 2,
                                  .event_slots = 128,
                                  .result_slots = 2,
                                  .reorder_slots = 3,
                                  .tags = r.j.tags};
    pstk_judge *judge;
    REQUIRE(pstk_judge_open(&options, &judge, NULL) == PSTK_OK);
    pstk_block *block = jj_buffer();
    uint64_t overwritten = 0, part;
    pstk_result result;
    for (size_t at = 0; at < r.j.count;) {
        at += jj_block(&r.j, at, 64, block);
        while (!pstk_judge_block(judge, block))
            pstk_judge_events_acknowledge(judge, UINT64_MAX);
        pstk_judge_results_take(judge, &result, NULL, 1, &part);
        overwritten += part;
    }
    pstk_judge_counters counters;
    pstk_judge_counters_get(judge, &counters);
    CHECK(counters.instances > 0 && counters.instances <= 9 && counters.instance_limit > 0);
    CHECK(counters.streams == 2 && counters.assets == 2);
    CHECK(counters.results_overwritten == overwritten);
    free(block);
    pstk_judge_close(judge);
    jr_close(&r);
    return counters.reorder_overflow;
}

/* Unread results are overwritten, oldest first, and counted; what is read is whole. */
static void test_result_ring_overwrites_and_counts(void) {
    jj j;
    jj_open(&j);
    pstk_rule *rule = jj_rule(&j, "w", PSTK_RULE_WINDOW, "*.temp");
    rule->size_ns = S;
    rule->emit = PSTK_EMIT_RESULT;
    jj_config(&j);
    uint32_t temp = jj_tag(&j, "m1.temp", PSTK_TYPE_F64);
    for (int64_t k = 0; k <= 100; k++)
        jj_f64(&j, temp, (1000 + k) * S, (double)k);
    pstk_judge_options options = {.plant = "p",
                                  .tags_max = 20,
                                  .instances_max = 9,
                                  .streams_max = 2,
                                  .assets_max = 2,
                                  .event_slots = 128,
                                  .result_slots = 8,
                                  .reorder_slots = 3,
                                  .tags = j.tags};
    pstk_judge *judge;
    REQUIRE(pstk_judge_open(&options, &judge, NULL) == PSTK_OK);
    pstk_block *block = jj_buffer();
    for (size_t at = 0; at < j.count;) {
        at += jj_block(&j, at, 680, block);
        REQUIRE(pstk_judge_block(judge, block));
    }
    pstk_result result[16];
    uint64_t overwritten;
    REQUIRE(pstk_judge_results_take(judge, result, NULL, 16, &overwritten) == 8);
    CHECK(overwritten == 92 && result[0].sum == 92 && result[7].sum == 99);
    CHECK(pstk_judge_results_take(judge, result, NULL, 16, &overwritten) == 0 && overwritten == 0);
    free(block);
    pstk_judge_close(judge);
    jj_close(&j);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 60; seed++)
        test_damaged_records(seed);
    test_unknown_ids_are_ignored();
    test_options_out_of_bounds_are_refused();
    uint64_t overflows = 0;
    for (uint64_t seed = 1; seed <= 5; seed++)
        overflows += test_smallest_tables(seed);
    CHECK(overflows > 0);
    test_result_ring_overwrites_and_counts();
    return check_result("judge_hostile");
}
