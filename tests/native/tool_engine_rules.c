/* rules: what one rule costs a sample, for callgrind to count.
 *
 *   tool_engine_rules STATE_DIR RING_DIR RULE MESSAGES
 *
 * Feeds MESSAGES packed messages of 64 samples, 1,000 tags in order, each every 100 ms of event
 * time, into an engine with one rule, and prints "used N results N events N". Everything from the
 * frame to the closed window or segment happens within pstk_engine_feed_frame. */
#include "penstock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAGS = 1000, MESSAGE = 64, NAME_BYTES = 8, FRAME_BYTES = 40 + MESSAGE * (10 + 16) };

#define S INT64_C(1000000000)
#define START_NS (INT64_C(1700000000) * S)
#define STEP_NS (S / 10 / TAGS)

static void die(const char *what, const pstk_error *err) {
    fprintf(stderr, "%s: %s\n", what, err->text);
    exit(1);
}

typedef struct choice {
    const char *name;
    pstk_rule rule;
} choice;

#define INTERVAL .size_ns = 30 * S
#define WINDOW .kind = PSTK_RULE_WINDOW, .emit = PSTK_EMIT_RESULT
static const choice choices[] = {
    {"limit", {.kind = PSTK_RULE_LIMIT}},
    {"tumbling", {WINDOW, .size_ns = S}},
    {"tumbling.extremes",
     {WINDOW, .size_ns = S,
      .aggregates = PSTK_AGGREGATE_MIN_AT | PSTK_AGGREGATE_MAX_AT | PSTK_AGGREGATE_RANGE}},
    {"tumbling.variance", {WINDOW, .size_ns = S, .aggregates = PSTK_AGGREGATE_VARIANCE}},
    {"tumbling.shares",
     {WINDOW, .size_ns = S, .expected_ns = S / 10,
      .aggregates =
          PSTK_AGGREGATE_RATE | PSTK_AGGREGATE_COMPLETENESS | PSTK_AGGREGATE_QUALITY_SHARE}},
    {"tumbling.corrected", {WINDOW, .size_ns = S, .correct_ns = 2 * S}},
    {"tumbling.weighted",
     {WINDOW, .size_ns = S, .aggregates = PSTK_AGGREGATE_TW_MEAN | PSTK_AGGREGATE_INTEGRAL}},
    {"tumbling.share",
     {WINDOW, .size_ns = S, .aggregates = PSTK_AGGREGATE_SHARE, .state_count = 1,
      .state_code[0] = 5}},
    {"tumbling.cut", {WINDOW, .size_ns = S, .cut_on = PSTK_CUT_CONTEXT_LOT}},
    {"hopping", {WINDOW, .size_ns = 2 * S, .hop_ns = S}},
    {"session", {WINDOW, .session_gap_ns = S, .session_max_ns = 2 * S}},
    {"count", {WINDOW, .count_n = 10}},
    {"limit.ordered", {.kind = PSTK_RULE_LIMIT, .order = PSTK_ORDER_EVENT}},
    {"counter", {.kind = PSTK_RULE_COUNTER, INTERVAL}},
    {"total", {.kind = PSTK_RULE_TOTAL, .rate_unit_ns = S, INTERVAL}},
    {"state",
     {.kind = PSTK_RULE_STATE, .state_on = PSTK_ON_BOTH, .state_count = 1, .state_code[0] = 1}},
};

static pstk_rule rule_of(const char *name) {
    for (size_t k = 0; k < sizeof choices / sizeof *choices; k++) {
        pstk_rule rule = choices[k].rule;
        if (strcmp(choices[k].name, name) != 0)
            continue;
        snprintf(rule.name, sizeof rule.name, "rule");
        snprintf(rule.series, sizeof rule.series, "1");
        snprintf(rule.pattern[PSTK_ROLE_VALUE], PSTK_NAME_BYTES, "*");
        snprintf(rule.asset, sizeof rule.asset, "hall");
        if (rule.kind == PSTK_RULE_LIMIT)
            rule.level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 90, .deadband = 5};
        return rule;
    }
    fprintf(stderr, "no rule %s\n", name);
    exit(2);
}

static pstk_engine *open_engine(char **argv, const pstk_rule *rule) {
    pstk_engine_options options = {.abi_version = PSTK_ABI_VERSION,
                                   .clock = PSTK_CLOCK_MANUAL,
                                   .plant = "rules",
                                   .ring_bytes = 64u << 20,
                                   .tags_max = 4096,
                                   .instances_max = 16384,
                                   .streams_max = 64,
                                   .assets_max = 1024,
                                   .event_slots = 4096,
                                   .result_slots = 65536,
                                   .reorder_slots = 65536,
                                   .codes_max = 16,
                                   .checkpoint_ns = 3600 * S};
    snprintf(options.state_dir, sizeof options.state_dir, "%s", argv[1]);
    snprintf(options.ring_dir, sizeof options.ring_dir, "%s", argv[2]);
    pstk_source_options source = {.name = "line",
                                  .kind = PSTK_SOURCE_FEED,
                                  .format = PSTK_FORMAT_PACKED,
                                  .idle_after_ns = 3600 * S,
                                  .future_max_ns = 3600 * S,
                                  .handshake_ns_max = S,
                                  .reconnect_ns_min = S,
                                  .reconnect_ns_max = S,
                                  .frame_bytes_max = 1u << 20,
                                  .connections_max = 8,
                                  .ring_share = 1.0};
    pstk_engine *engine;
    pstk_error err;
    if (pstk_engine_open(&options, &source, 1, rule, 1, &engine, &err) != PSTK_OK)
        die("open", &err);
    return engine;
}

static void put(uint8_t **at, const void *bytes, size_t size) {
    memcpy(*at, bytes, size);
    *at += size;
}

/* A register grows, a state holds but for one sample in a thousand, anything else moves about. */
static double value_of(pstk_rule_kind kind, uint64_t number) {
    if (kind == PSTK_RULE_COUNTER)
        return (double)(number / TAGS * 3 + number % TAGS);
    if (kind == PSTK_RULE_STATE)
        return (number / TAGS * 7 + number % TAGS) % 1000 == 0;
    return 20.0 + (double)(number * 7919 % 4000) / 64;
}

/* native/README.md, packed v1; the box is little-endian, as the whole engine is. */
static size_t make_frame(uint8_t *frame, pstk_rule_kind kind, uint64_t first) {
    uint8_t *at = frame;
    uint16_t count = MESSAGE;
    uint8_t names[2] = {MESSAGE, 0};
    uint32_t words[2] = {7, 1};
    int64_t time0_ns = START_NS + (int64_t)first * STEP_NS;
    put(&at, "PSK1", 4);
    put(&at, &count, 2);
    put(&at, names, 2);
    put(&at, words, 8);
    put(&at, &first, 8);
    put(&at, &time0_ns, 8);
    for (uint64_t k = 0; k < MESSAGE; k++) {
        char name[NAME_BYTES + 1];
        uint8_t head[2] = {PSTK_TYPE_F64, NAME_BYTES};
        snprintf(name, sizeof name, "m%03u.val", (unsigned)((first + k) % TAGS));
        put(&at, head, 2);
        put(&at, name, NAME_BYTES);
    }
    for (uint64_t k = 0; k < MESSAGE; k++) {
        uint64_t number = first + k;
        double value = value_of(kind, number);
        uint32_t dt_ns = (uint32_t)(k * STEP_NS);
        uint16_t tail[2] = {(uint16_t)k, 0};
        put(&at, &value, 8);
        put(&at, &dt_ns, 4);
        put(&at, tail, 4);
    }
    return (size_t)(at - frame);
}

/* Whatever came of it, so that neither ring fills. */
static void take_all(pstk_engine *engine, uint64_t *results, uint64_t *events) {
    static pstk_result result[1024];
    static pstk_event event[1024];
    pstk_error err;
    size_t taken;
    do {
        if (pstk_engine_results(engine, result, NULL, 1024, &taken, &err) != PSTK_OK)
            die("results", &err);
        *results += taken;
    } while (taken == 1024);
    do {
        if (pstk_engine_poll(engine, event, 1024, &taken, &err) != PSTK_OK ||
            (taken && pstk_engine_acknowledge(engine, event[taken - 1].seq, &err) != PSTK_OK))
            die("events", &err);
        *events += taken;
    } while (taken == 1024);
}

int main(int argc, char **argv) {
    uint8_t frame[FRAME_BYTES];
    pstk_error err;
    if (argc != 5)
        return 2;
    pstk_rule rule = rule_of(argv[3]);
    pstk_engine *engine = open_engine(argv, &rule);
    uint64_t messages = strtoull(argv[4], NULL, 10), results = 0, events = 0;
    for (uint64_t m = 0; m < messages; m++) {
        pstk_feed_result fed;
        size_t bytes = make_frame(frame, rule.kind, m * MESSAGE);
        int64_t now_ns = START_NS + (int64_t)((m + 1) * MESSAGE) * STEP_NS;
        if (pstk_engine_feed_frame(engine, 0, NULL, 0, frame, bytes, UINT64_MAX, now_ns, &fed,
                                   &err) != PSTK_OK)
            die("feed", &err);
        take_all(engine, &results, &events);
    }
    pstk_source_stats stats;
    (void)pstk_engine_source_stats(engine, 0, &stats);
    printf("used %llu results %llu events %llu\n", (unsigned long long)stats.used,
           (unsigned long long)results, (unsigned long long)events);
    if (pstk_engine_close(engine, &err) != PSTK_OK)
        die("close", &err);
    pstk_engine_free(engine);
    return 0;
}
