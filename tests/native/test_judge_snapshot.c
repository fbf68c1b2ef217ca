/* An image taken while judging goes on has the same bytes as one taken of a judge that stands
 * still.
 *
 * Method  at many places of a random journal the state is read at once, and then again piece by
 *         piece with blocks judged in between, in one thread (every interleaving is drawn from a
 *         seed) and in two. Every table that can change does change under an open snapshot, or the
 *         test fails. test_judge_snapshot_planted.c is this file with one touch left out
 *         (PSTK_PLANT_SNAPSHOT): there the same check must fail. */
#ifdef PSTK_PLANT_SNAPSHOT
#define SNAPSHOT_NAME "judge_snapshot_planted"
#else
#define SNAPSHOT_NAME "judge_snapshot"
#endif
/* Take the place of the library's: steps so small that blocks touch what is not walked yet; where
 * planted, with a touch left out. */
#define WALK_PAGES 9u
#include "engine_judge_samples.c"
#include "engine_judge_snapshot.c"

#include "judge_random.h"

#include <pthread.h>
#include <sched.h>

#define EVENT_SLOTS 256u
#define WIDE_TAGS 3000u

static uint32_t changed[PSTK_IMAGE_SECTIONS_MAX]; /* by section: snapshots under which it changed */
static uint32_t differing, taken, judged_beside;

static uint64_t next_random(uint64_t *seed, uint64_t below) { return pstk_random(seed) % below; }

/* Images of one instant, which both own their bytes. */
static void compare(const pstk_image *still, const pstk_image *moving, size_t cut) {
    bool is_same = still->head.section_count == moving->head.section_count;
    for (uint32_t k = 0; is_same && k < still->head.section_count; k++) {
        const pstk_section *a = &still->section[k], *b = &moving->section[k];
        is_same = a->tag == b->tag && a->version == b->version && a->size == b->size &&
                  memcmp(a->bytes, b->bytes, a->size) == 0;
#ifndef PSTK_PLANT_SNAPSHOT
        if (!is_same)
            fprintf(stderr, "cut at %zu: section %x differs\n", cut, a->tag);
#endif
    }
    (void)cut;
    taken++;
    differing += !is_same;
}

/* Which of the tables another instant shows with other bytes. */
static void note_changes(const pstk_image *before, const pstk_image *after) {
    for (uint32_t k = 0; k < before->head.section_count; k++) {
        uint64_t size = PSTK_MIN(before->section[k].size, after->section[k].size);
        changed[k] += memcmp(before->section[k].bytes, after->section[k].bytes, size) != 0;
    }
}

/* ---- every interleaving, one thread --------------------------------------------------------- */

typedef struct walk { /* a journal being judged */
    const jj *j;
    pstk_judge *judge;
    pstk_block *block;
    size_t at;
    uint64_t seed;
    jj_out out;
} walk;

/* One block; events are taken now and then, so that some wait and their ring goes round. */
static void judge_some(walk *w) {
    if (w->at >= w->j->count)
        return;
    w->at += jj_block(w->j, w->at, 1 + next_random(&w->seed, 40), w->block);
    while (!pstk_judge_block(w->judge, w->block))
        jj_drain(w->judge, &w->out, 30);
    if (next_random(&w->seed, 3) == 0)
        jj_drain(w->judge, &w->out, next_random(&w->seed, 40));
}

/* Piece by piece, with blocks in between: none, some or many before the first byte. */
static pstk_image read_walking(walk *w, size_t piece) {
    pstk_image image = {0};
    pstk_section section[PSTK_IMAGE_SECTIONS_MAX];
    size_t count = pstk_judge_snapshot_begin(w->judge, section);
    CHECK(pstk_judge_has_snapshot(w->judge));
    (void)jj_image_places(&image, section, count);
    for (uint64_t n = next_random(&w->seed, 3) * 20; n; n--)
        judge_some(w);
    for (size_t k = 0; k < count; k++)
        for (uint64_t at = 0; at < section[k].size; at += piece) {
            uint8_t *out = (uint8_t *)image.section[k].bytes + at;
            size_t take = (size_t)PSTK_MIN(piece, section[k].size - at);
            pstk_judge_snapshot_read(w->judge, &section[k], at, out, take);
            if (next_random(&w->seed, 64) == 0)
                judge_some(w);
        }
    pstk_judge_snapshot_end(w->judge);
    pstk_judge_snapshot_clear(w->judge, next_random(&w->seed, 2));
    return image;
}

/* What jr leaves alone: kept baselines, other tables of sources, a CONFIG cut in two. */
static void write_more(jr *r) {
    for (int k = 0; k < 24; k++) {
        r->j.sources[0].lateness_ns = (400 + 20 * k) * MS;
        r->j.rules[0].emits_zero = k & 1; /* of the first part: two halves are told apart */
        for (uint32_t i = 0; i < r->j.rule_count;
             i++) /* old tables, while their windows are open */
            if (strcmp(r->j.rules[i].name, "told") == 0)
                r->j.rules[i].size_ns = (2 + k % 3) * S;
        for (int m = 0; m < 3; m++)
            jj_f64(&r->j, r->temp[m], r->event_ns + k, 50);
        jj_config(&r->j);
        jj_baseline(&r->j, "good", "m9.good", k, r->event_ns);
        jr_write(r, 12);
    }
}

static void test_every_table_read_while_it_changes(uint64_t seed) {
    static const size_t pieces[] = {24, 200, 1024, 4096, PSTK_IMAGE_PIECE_BYTES};
    jr r;
    jr_open(&r, seed);
    write_more(&r);
    walk w = {.j = &r.j, .judge = jj_judge(&r.j, EVENT_SLOTS), .block = jj_buffer(), .seed = seed};
    for (size_t turn = 0; w.at < r.j.count; turn++) {
        for (uint64_t n = next_random(&w.seed, 6); n; n--)
            judge_some(&w);
        size_t cut = w.at;
        pstk_image still = jj_image(w.judge);
        pstk_image moving = read_walking(&w, pieces[turn % 5]);
        compare(&still, &moving, cut);
        pstk_image after = jj_image(w.judge);
        note_changes(&still, &after);
        free(still.buffer);
        free(moving.buffer);
        free(after.buffer);
    }
    free(w.block);
    pstk_judge_close(w.judge);
    jj_out_free(&w.out);
    jr_close(&r);
}

/* The tables change, and the dictionaries, which only grow, do not. */
static void check_all_changed(void) {
    CHECK(changed[0] > 0 && changed[1 + JUDGE_ARENA_COUNT] > 0); /* scalars; pending events */
    for (int arena = 0; arena < JUDGE_ARENA_COUNT; arena++) {
        bool can_grow_only = arena == JUDGE_NAME || arena == JUDGE_CAPTURE;
        bool is_right = (changed[1 + arena] == 0) == can_grow_only;
        if (!is_right)
            fprintf(stderr, "table %d changed under %u snapshots\n", arena, changed[1 + arena]);
        CHECK(is_right);
    }
}

/* ---- the fast path, and two threads --------------------------------------------------------- */

typedef struct race { /* the judge under its lock, the reader beside it */
    pthread_mutex_t lock;
    pstk_judge *judge;
    jj j;
    pstk_block *block;
    uint32_t number; /* of the next block; lock */
    jj_out out;      /* lock */
    _Atomic bool is_over;
} race;

/* Samples in order, of all tags in turn; some cross the limit. */
static void wide_block(race *r) {
    pstk_sample *sample = (void *)(r->block + 1);
    uint32_t count = PSTK_BLOCK_SAMPLES_MAX, number = r->number++;
    *r->block = (pstk_block){.kind = PSTK_RECORD_SAMPLES,
                             .recv_time_ns = 1000 * S + number * MS,
                             .pos = number * 64,
                             .count = count,
                             .bytes = (uint32_t)(sizeof *r->block + count * sizeof *sample)};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t k = (uint64_t)number * count + i;
        sample[i] = (pstk_sample){.time_ns = 1000 * S + (int64_t)k * 1000,
                                  .tag_id = (uint32_t)(k * 7919 % WIDE_TAGS),
                                  .value.f64 = k % 97 == 0 ? 90 : (double)(k % 70)};
    }
}

static void wide_judge(race *r) {
    wide_block(r);
    while (!pstk_judge_block(r->judge, r->block))
        jj_drain(r->judge, &r->out, SIZE_MAX);
    jj_drain(r->judge, &r->out, SIZE_MAX);
    r->out.count = r->out.result_count = 0;
}

static void wide_open(race *r) {
    *r = (race){.lock = PTHREAD_MUTEX_INITIALIZER, .block = jj_buffer()};
    jj_open(&r->j);
    pstk_rule *rule = jj_rule(&r->j, "hot", PSTK_RULE_LIMIT, "*");
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 80, .deadband = 2};
    snprintf(rule->asset, sizeof rule->asset, "line");
    rule = jj_rule(&r->j, "second", PSTK_RULE_WINDOW, "*");
    snprintf(rule->asset, sizeof rule->asset, "line");
    rule->size_ns = 50 * MS;
    rule->emit = PSTK_EMIT_RESULT;
    jj_config(&r->j);
    for (uint32_t t = 0; t < WIDE_TAGS; t++) {
        char name[32];
        snprintf(name, sizeof name, "m1.t%u", t);
        CHECK(jj_tag(&r->j, name, PSTK_TYPE_F64) == t);
    }
    r->judge = jj_judge(&r->j, EVENT_SLOTS);
    jj_run_part(&r->j, r->judge, 0, r->j.count, 680, &r->out);
    for (int n = 0; n < 20; n++)
        wide_judge(r);
}

static void wide_close(race *r) {
    pstk_judge_close(r->judge);
    jj_out_free(&r->out);
    free(r->block);
    jj_close(&r->j);
}

/* One block under each open snapshot, all of it before the first byte is read. */
static void test_what_the_fast_path_writes_is_kept(void) {
    race r;
    wide_open(&r);
    for (int turn = 0; turn < 40; turn++) {
        pstk_image still = jj_image(r.judge), moving = {0};
        pstk_section section[PSTK_IMAGE_SECTIONS_MAX];
        size_t count = pstk_judge_snapshot_begin(r.judge, section);
        wide_judge(&r);
        (void)jj_image_places(&moving, section, count);
        for (size_t k = 0; k < count; k++)
            pstk_judge_snapshot_read(r.judge, &section[k], 0, (uint8_t *)moving.section[k].bytes,
                                     section[k].size);
        pstk_judge_snapshot_end(r.judge);
        pstk_judge_snapshot_clear(r.judge, false);
        compare(&still, &moving, r.number);
        free(still.buffer);
        free(moving.buffer);
    }
    wide_close(&r);
}

static void *judge_on(void *context) {
    race *r = context;
    while (!r->is_over) {
        pthread_mutex_lock(&r->lock);
        wide_judge(r);
        pthread_mutex_unlock(&r->lock);
        sched_yield();
    }
    return NULL;
}

static void read_beside(race *r) {
    pstk_image moving = {0};
    pstk_section section[PSTK_IMAGE_SECTIONS_MAX];
    pthread_mutex_lock(&r->lock);
    pstk_image still = jj_image(r->judge);
    size_t count = pstk_judge_snapshot_begin(r->judge, section);
    uint32_t number = r->number;
    pthread_mutex_unlock(&r->lock);
    (void)jj_image_places(&moving, section, count);
    for (size_t k = 0; k < count; k++)
        for (uint64_t at = 0; at < section[k].size; at += 4096) {
            uint8_t *out = (uint8_t *)moving.section[k].bytes + at;
            size_t take = (size_t)PSTK_MIN((uint64_t)4096, section[k].size - at);
            pstk_judge_snapshot_read(r->judge, &section[k], at, out, take);
            if (at % 32768 == 0)
                sched_yield(); /* on one processor too the judge has its turn */
        }
    pthread_mutex_lock(&r->lock);
    pstk_judge_snapshot_end(r->judge);
    judged_beside += r->number - number;
    pthread_mutex_unlock(&r->lock);
    pstk_judge_snapshot_clear(r->judge, false);
    compare(&still, &moving, number);
    free(still.buffer);
    free(moving.buffer);
}

static void test_read_beside_the_judge(void) {
    race r;
    pthread_t judge;
    wide_open(&r);
    uint32_t pages = pstk_judge_snapshot_pages(r.judge, UINT64_MAX);
    REQUIRE(pthread_create(&judge, NULL, judge_on, &r) == 0);
    pstk_judge_snapshot_prepare(r.judge, pages); /* beside it too */
    for (uint32_t n = 0; n < 60 || (judged_beside < 20 && n < 5000); n++)
        read_beside(&r);
    r.is_over = true;
    REQUIRE(pthread_join(judge, NULL) == 0);
    CHECK(judged_beside >= 20); /* else nothing was raced */
    wide_close(&r);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 6; seed++)
        test_every_table_read_while_it_changes(seed);
    check_all_changed();
    test_what_the_fast_path_writes_is_kept();
    uint32_t alone = taken;
    test_read_beside_the_judge();
#ifdef PSTK_PLANT_SNAPSHOT
    CHECK(differing > 0); /* the check does fail where a touch is missing */
#else
    CHECK(differing == 0);
#endif
    printf(SNAPSHOT_NAME ": %u in one thread, %u in two over %u blocks, %u differ\n", alone,
           taken - alone, judged_beside, differing);
    return check_result(SNAPSHOT_NAME);
}
