/* The fast path says what the slow one says: two judges, one of which takes the slow path for every
 * sample, go through the same random blocks and hold the same bytes after each. Samples are mostly
 * in order; some are late, unstamped, damaged or of another stream. Plant: PSTK_PLANT_JUDGE_FAST
 * forgets the newest stamp on the fast path, and this must fail. */
#include "judge_random.h"

#define HOUR_NS (3600 * S)

enum { TAGS = 24, BLOCKS = 400 };

typedef struct plant { /* tags of every kind on one source with three streams, and one more source
                        */
    jj j;
    uint64_t seed;
    int64_t event_ns[4]; /* each stream's clock */
    uint32_t tag[TAGS];
    uint16_t source[TAGS];
    uint8_t type[TAGS];
    pstk_judge *fast, *plain;
    pstk_block *block;
    jj_out from_fast, from_plain;
} plant;

static uint64_t draw(plant *p, uint64_t below) { return pstk_random(&p->seed) % below; }

static pstk_rule *limit(jj *j, const char *name, const char *pattern, double high) {
    pstk_rule *rule = jj_rule(j, name, PSTK_RULE_LIMIT, pattern);
    rule->level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = high, .deadband = 3};
    return rule;
}

static void window(jj *j, const char *name, const char *pattern, int64_t size_ns) {
    pstk_rule *rule = jj_rule(j, name, PSTK_RULE_WINDOW, pattern);
    rule->size_ns = size_ns;
    rule->emit = PSTK_EMIT_RESULT;
}

static void make_rules(jj *j) {
    limit(j, "high", "*", 90)->events_per_minute_max = 5;
    limit(j, "higher", "*.many", 93)->level[PSTK_LEVEL_L] =
        (pstk_limit_level){.is_set = 1, .value = 2, .deadband = 1};
    limit(j, "held", "*.held", 80)->level[PSTK_LEVEL_H].on_delay_ns = 30 * MS;
    limit(j, "ordered", "*.ordered", 85)->order = PSTK_ORDER_EVENT;
    window(j, "second", "*", S);
    window(j, "third", "*.many", S / 3);
    window(j, "more", "*.one", S / 2);
    j->rules[j->rule_count - 1].aggregates = PSTK_AGGREGATE_VARIANCE | PSTK_AGGREGATE_MAX_AT;
    window(j, "hop", "*.many", 2 * S);
    j->rules[j->rule_count - 1].hop_ns = S / 2;
    window(j, "corrected", "*.held", S / 2);
    j->rules[j->rule_count - 1].correct_ns = S;
    window(j, "long", "*.many", 4 * S);
    j->rules[j->rule_count - 1].emit = PSTK_EMIT_EVENT;
    j->rules[j->rule_count - 1].offset_ns = 700 * MS;
}

static void open_plant(plant *p, uint64_t seed) {
    static const char *const kinds[] = {"one", "many", "held", "ordered", "one", "many"};
    memset(p, 0, sizeof *p);
    p->seed = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    jj_open(&p->j);
    p->j.sources[0].lateness_ns = (int64_t)draw(p, 3) * 50 * MS;
    p->j.sources[1] =
        (pstk_config_source){.name = "other", .lateness_ns = 100 * MS, .idle_after_ns = 2 * S};
    p->j.source_count = 2;
    make_rules(&p->j);
    jj_config(&p->j);
    for (int k = 0; k < TAGS; k++) {
        char name[32];
        p->source[k] = k % 4 == 3;
        p->type[k] = (uint8_t)(k % 5 == 4    ? PSTK_TYPE_I64
                               : k % 11 == 9 ? PSTK_TYPE_BOOL
                               : k % 13 == 7 ? PSTK_TYPE_CODE
                                             : PSTK_TYPE_F64);
        snprintf(name, sizeof name, "m%d.%s", k, kinds[k % 6]);
        p->j.source = p->source[k];
        p->tag[k] = jj_tag(&p->j, name, p->type[k]);
    }
    for (int s = 0; s < 4; s++)
        p->event_ns[s] = p->j.now_ns;
    p->fast = jj_judge(&p->j, 1024);
    p->plain = jj_judge(&p->j, 1024);
    pstk_judge_set_plain(p->plain, true);
    p->block = jj_buffer();
}

static void close_plant(plant *p) {
    pstk_judge_close(p->fast);
    pstk_judge_close(p->plain);
    free(p->block);
    jj_out_free(&p->from_fast);
    jj_out_free(&p->from_plain);
    jj_close(&p->j);
}

/* ---- one block ------------------------------------------------------------------------------ */

static pstk_value value_of(plant *p, int k) {
    uint64_t kind = draw(p, 400);
    double x = 20 + (double)draw(p, 4000) / 64;
    if (kind < 6)
        x = 80 + (double)draw(p, 30);
    if (kind == 6)
        x = draw(p, 2) ? -0.0 : 0.0;
    if (p->type[k] == PSTK_TYPE_BOOL)
        return (pstk_value){.i64 = (int64_t)draw(p, 2)};
    if (p->type[k] != PSTK_TYPE_F64)
        return (pstk_value){.i64 = (int64_t)x};
    if (kind == 7)
        x = draw(p, 2) ? __builtin_nan("") : __builtin_inf();
    if (kind == 8)
        return (pstk_value){.bits = pstk_random(&p->seed)};
    return (pstk_value){.f64 = x};
}

static int64_t stamp_of(plant *p, int64_t *clock_ns) {
    uint64_t kind = draw(p, 300);
    *clock_ns += (int64_t)draw(p, 3) * MS;
    if (kind < 12) /* late by a little, or a lot */
        return *clock_ns - (int64_t)draw(p, kind < 9 ? 60 : 3000) * MS;
    if (kind < 15)
        return PSTK_TIME_NONE;
    if (kind == 15 && draw(p, 10) == 0)
        return *clock_ns - 2 * HOUR_NS;
    if (kind == 16 && draw(p, 20) == 0)
        return (int64_t)pstk_random(&p->seed); /* damaged */
    return *clock_ns;
}

static void sample_block(plant *p) {
    uint16_t stream = (uint16_t)draw(p, 4);
    pstk_sample *sample = (pstk_sample *)(void *)(p->block + 1);
    uint32_t count = 1 + (uint32_t)draw(p, draw(p, 2) ? 40 : 680);
    for (uint32_t i = 0; i < count; i++) {
        int k = (int)draw(p, TAGS);
        if (p->source[k] != (stream == 3) && draw(p, 200)) /* now and then a foreign tag */
            k = stream == 3 ? k / 4 * 4 + 3 : k / 4 * 4;
        sample[i] = (pstk_sample){.time_ns = stamp_of(p, &p->event_ns[stream]),
                                  .value = value_of(p, k),
                                  .tag_id = draw(p, 900) ? p->tag[k] : (uint32_t)p->seed,
                                  .quality = draw(p, 90) ? 0 : (uint16_t)(draw(p, 4) << 14)};
    }
    p->j.now_ns = PSTK_MAX(p->j.now_ns, p->event_ns[stream] + 5 * MS);
    *p->block = (pstk_block){.kind = PSTK_RECORD_SAMPLES,
                             .source = stream == 3,
                             .stream = stream,
                             .recv_time_ns = p->j.now_ns,
                             .count = count,
                             .bytes = (uint32_t)(sizeof *p->block + count * sizeof *sample)};
}

/* Now and then something else: a gap, a silence, other rules, a stream whose clock went back. */
static void other_block(plant *p) {
    size_t at = p->j.count;
    p->j.source = 0;
    p->j.stream = (uint16_t)draw(p, 3);
    switch (draw(p, 6)) {
    case 0:
        jj_source(&p->j, PSTK_SOURCE_GAP, 3);
        break;
    case 1:
        jj_tick(&p->j, p->j.now_ns + (draw(p, 2) ? 20 * MS : 6 * S));
        break;
    case 2:
        p->event_ns[draw(p, 3)] += (int64_t)draw(p, 90) * S;
        break;
    case 3:
        p->event_ns[p->j.stream] -= draw(p, 4) ? 0 : 3 * HOUR_NS;
        break;
    case 4:
        p->j.rules[0].level[PSTK_LEVEL_H].value = 85 + (double)draw(p, 8);
        p->j.rules[5].size_ns = (1 + (int64_t)draw(p, 5)) * S / 4;
        if (draw(p, 2)) /* another rule: its windows no longer lie in a row with the others */
            p->j.rules[5].name[0] ^= 't' ^ 'b';
        jj_config(&p->j);
        break;
    default:
        jj_context(&p->j, "m1", PSTK_TIME_NONE, "order", NULL);
    }
    p->block->kind = PSTK_RECORD_PAD;
    while (at < p->j.count) {
        at += jj_block(&p->j, at, 1, p->block);
        while (!pstk_judge_block(p->fast, p->block))
            jj_drain(p->fast, &p->from_fast, SIZE_MAX);
        while (!pstk_judge_block(p->plain, p->block))
            jj_drain(p->plain, &p->from_plain, SIZE_MAX);
    }
}

/* ---- comparing ------------------------------------------------------------------------------ */

static bool is_section_same(const pstk_section *a, const pstk_section *b) {
    if (a->tag == b->tag && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0)
        return true;
    uint64_t at = 0;
    while (at < PSTK_MIN(a->size, b->size) &&
           ((const uint8_t *)a->bytes)[at] == ((const uint8_t *)b->bytes)[at])
        at++;
    fprintf(stderr, "section %x differs at byte %llu\n", a->tag, (unsigned long long)at);
    return false;
}

static bool are_images_same(plant *p) {
    pstk_image a = jj_image(p->fast), b = jj_image(p->plain);
    bool is_same = a.head.section_count == b.head.section_count;
    for (size_t k = 0; k < a.head.section_count && is_same; k++)
        is_same = is_section_same(&a.section[k], &b.section[k]);
    free(a.buffer);
    free(b.buffer);
    return is_same;
}

/* Also in order: here not only the one promised per (rule, tag). */
static bool are_outputs_same(const jj_out *a, const jj_out *b) {
    if (a->count != b->count || a->result_count != b->result_count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (memcmp(&a->event[i], &b->event[i], sizeof *a->event) != 0)
            return false;
    for (size_t i = 0; i < a->result_count; i++)
        if (memcmp(&a->result[i], &b->result[i], sizeof *a->result) != 0 ||
            memcmp(&a->more[i], &b->more[i], sizeof *a->more) != 0)
            return false;
    return true;
}

static void test_fast_says_what_plain_says(uint64_t seed) {
    plant p;
    open_plant(&p, seed);
    jj_run_part(&p.j, p.fast, 0, p.j.count, 1, &p.from_fast);
    jj_run_part(&p.j, p.plain, 0, p.j.count, 1, &p.from_plain);
    bool is_same = true;
    for (int i = 0; i < BLOCKS && is_same; i++) {
        if (draw(&p, 20) == 0)
            other_block(&p);
        sample_block(&p);
        while (!pstk_judge_block(p.fast, p.block))
            jj_drain(p.fast, &p.from_fast, 3);
        while (!pstk_judge_block(p.plain, p.block))
            jj_drain(p.plain, &p.from_plain, 3);
        is_same = are_images_same(&p);
        if (!is_same)
            fprintf(stderr, "seed %llu: images differ after block %d\n", (unsigned long long)seed,
                    i);
        if (i % 16 == 0) {
            jj_drain(p.fast, &p.from_fast, SIZE_MAX);
            jj_drain(p.plain, &p.from_plain, SIZE_MAX);
        }
    }
    jj_drain(p.fast, &p.from_fast, SIZE_MAX);
    jj_drain(p.plain, &p.from_plain, SIZE_MAX);
    CHECK(is_same && are_outputs_same(&p.from_fast, &p.from_plain));
    CHECK(p.from_fast.count > 50 && p.from_fast.result_count > 50);
    close_plant(&p);
}

int main(int argc, char **argv) {
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 12; /* more by hand */
    for (uint64_t seed = 1; seed <= seeds; seed++)
        test_fast_says_what_plain_says(seed);
    return check_result("judge_fast");
}
