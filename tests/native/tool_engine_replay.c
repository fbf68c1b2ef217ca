/* replay: a recorded shift through one engine, resumed by position: what the crash harness kills.
 *
 *   tool_engine_replay STATE_DIR RING_DIR EVENTS_FILE BATCHES
 *                      [RING_BYTES [ACKNOWLEDGED_FILE [CHECKPOINT_MS [DIES_AT]]]]
 *
 * With ACKNOWLEDGED_FILE durability is power, and the position the engine calls safe goes there
 * after each batch: what the upstream forgets. An engine that comes back with less has lost it for
 * good: exit 3. CHECKPOINT_MS: 20 where not given; a long one leaves all to the journal. DIES_AT:
 * as soon as that position is acknowledged the process kills itself; until then it reads at most
 * AHEAD_MAX batches further than it has acknowledged, so no machine is too fast or too slow for it.
 *
 * The recording is a function of the batch number, so nothing but the position must survive a kill.
 * Each event's id and digest go to EVENTS_FILE by one O_APPEND write before it is acknowledged: the
 * harness's stand-in for the ledger. Prints "done" and the source's figures at the end; exit 0. */
#include "penstock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MACHINES 4
#define ROWS_A_BATCH 50 /* instants, 10 ms apart */
#define TAGS_A_MACHINE 6
#define FULL_TRIES_MAX 1000 /* 10 ms apart */
#define AHEAD_MAX 8
#define START_NS INT64_C(1790000000000000000)

enum { GOOD, LOT, GOOD_START, STATE, SINCE, PRESSURE };

static void die(const char *what, const pstk_error *err) {
    fprintf(stderr, "%s: %s\n", what, err->text);
    exit(1);
}

static void set_rule(pstk_rule *rule, const char *name, pstk_rule_kind kind, const char *value) {
    memset(rule, 0, sizeof *rule);
    snprintf(rule->name, sizeof rule->name, "%s", name);
    snprintf(rule->series, sizeof rule->series, "1");
    snprintf(rule->pattern[PSTK_ROLE_VALUE], PSTK_NAME_BYTES, "%s", value);
    rule->kind = (uint16_t)kind;
}

static size_t make_rules(pstk_rule rules[4]) {
    set_rule(&rules[0], "good", PSTK_RULE_COUNTER, "*.good");
    snprintf(rules[0].pattern[PSTK_ROLE_LOT], PSTK_NAME_BYTES, "*.lot");
    snprintf(rules[0].pattern[PSTK_ROLE_START], PSTK_NAME_BYTES, "*.good_start");
    snprintf(rules[0].unit, sizeof rules[0].unit, "C62");
    rules[0].cut_on = PSTK_CUT_LOT_TAG;
    set_rule(&rules[1], "stop", PSTK_RULE_STATE, "*.state");
    snprintf(rules[1].pattern[PSTK_ROLE_SINCE], PSTK_NAME_BYTES, "*.since");
    rules[1].since_unit_ns = 1;
    rules[1].state_count = 1;
    rules[1].state_code[0] = 2;
    set_rule(&rules[2], "high", PSTK_RULE_LIMIT, "*.pressure");
    rules[2].level[PSTK_LEVEL_H] =
        (pstk_limit_level){.is_set = 1, .value = 8, .deadband = 0.5, .on_delay_ns = 30000000};
    set_rule(&rules[3], "second", PSTK_RULE_WINDOW, "*.pressure");
    rules[3].size_ns = INT64_C(1000000000);
    rules[3].emit = PSTK_EMIT_EVENT;
    return 4;
}

/* What machine m reads at instant i: pure, so that any process can make the same recording again.
 */
static pstk_value reading(int what, int64_t m, int64_t i, int64_t time_ns) {
    int64_t lot = i / (300 + 20 * m), lot_start = lot * (300 + 20 * m);
    int64_t phase = (i + 37 * m) % 400;
    int64_t state = phase < 330 ? 1 : 2;
    int64_t since = state == 1 ? i - phase : i - phase + 330;
    double wave = (double)((i * 7919 + m * 104729) % 97) / 97.0;
    bool is_high = (i / 90) % 5 == m % 5;
    switch (what) {
    case GOOD:
        return (pstk_value){.i64 = 1000 * m + i * 3};
    case LOT:
        return (pstk_value){.i64 = 5000 + lot};
    case GOOD_START:
        return (pstk_value){.i64 = 1000 * m + lot_start * 3};
    case STATE:
        return (pstk_value){.i64 = state};
    case SINCE:
        return (pstk_value){.i64 = START_NS + (since > 0 ? since : 0) * 10000000};
    default:
        (void)time_ns;
        return (pstk_value){.f64 = (is_high ? 8.2 : 5.0) + wave};
    }
}

static void make_tags(pstk_engine *engine, uint32_t tags[MACHINES][TAGS_A_MACHINE]) {
    static const char *const names[] = {"good", "lot", "good_start", "state", "since", "pressure"};
    pstk_error err;
    for (int m = 0; m < MACHINES; m++)
        for (int k = 0; k < TAGS_A_MACHINE; k++) {
            char name[64];
            int size = snprintf(name, sizeof name, "m%d.%s", m, names[k]);
            int type = k == PRESSURE ? PSTK_TYPE_F64 : PSTK_TYPE_I64;
            if (pstk_engine_tag(engine, 0, name, (size_t)size, type, &tags[m][k], &err) != PSTK_OK)
                die("tag", &err);
        }
}

static void hand_over(pstk_engine *engine, int file) {
    pstk_event events[64];
    pstk_error err;
    size_t count;
    do {
        if (pstk_engine_poll(engine, events, 64, &count, &err) != PSTK_OK)
            die("poll", &err);
        char text[64 * 96];
        size_t used = 0;
        for (size_t i = 0; i < count; i++) {
            for (int k = 0; k < 16; k++)
                used += (size_t)snprintf(text + used, sizeof text - used, "%02x", events[i].id[k]);
            used += (size_t)snprintf(text + used, sizeof text - used, " ");
            for (int k = 0; k < 16; k++)
                used +=
                    (size_t)snprintf(text + used, sizeof text - used, "%02x", events[i].digest[k]);
            used += (size_t)snprintf(text + used, sizeof text - used, " %s\n",
                                     pstk_event_kind_name(events[i].kind));
        }
        if (used && write(file, text, used) != (ssize_t)used)
            exit(2);
        if (count && pstk_engine_acknowledge(engine, events[count - 1].seq, &err) != PSTK_OK)
            die("acknowledge", &err);
    } while (count);
}

static void feed_batch(pstk_engine *engine, uint32_t tags[MACHINES][TAGS_A_MACHINE],
                       uint64_t batch) {
    enum { ROWS = ROWS_A_BATCH * MACHINES * TAGS_A_MACHINE };
    static uint32_t ids[ROWS];
    static int64_t times[ROWS];
    static uint64_t values[ROWS];
    size_t row = 0;
    int64_t time_ns = 0;
    for (int64_t k = 0; k < ROWS_A_BATCH; k++) {
        int64_t i = (int64_t)batch * ROWS_A_BATCH + k;
        time_ns = START_NS + i * 10000000;
        for (int m = 0; m < MACHINES; m++)
            for (int what = 0; what < TAGS_A_MACHINE; what++, row++) {
                ids[row] = tags[m][what];
                times[row] = time_ns;
                values[row] = reading(what, m, i, time_ns).bits;
            }
    }
    pstk_feed feed = {.position = batch,
                      .recv_time_ns = time_ns,
                      .count = ROWS,
                      .tag_ids = ids,
                      .time_ns = times,
                      .values = values};
    pstk_feed_result result;
    pstk_error err;
    int status = pstk_engine_feed(engine, &feed, &result, &err);
    for (int i = 0; status == PSTK_E_FULL && i < FULL_TRIES_MAX; i++) {
        if (i == 0)
            fprintf(stderr, "feed: %s\n", err.text);
        usleep(10000);
        status = pstk_engine_feed(engine, &feed, &result, &err); /* the rest of the batch */
    }
    if (status != PSTK_OK)
        die("feed", &err);
}

static pstk_engine *open_engine(int argc, char **argv) {
    int64_t checkpoint_ms = argc > 7 ? strtoll(argv[7], NULL, 10) : 20;
    pstk_engine_options options = {.abi_version = PSTK_ABI_VERSION,
                                   .clock = PSTK_CLOCK_MANUAL,
                                   .plant = "replay",
                                   .ring_bytes = argc > 5 ? strtoull(argv[5], NULL, 10) : 1u << 20,
                                   .tags_max = 256,
                                   .instances_max = 1024,
                                   .streams_max = 16,
                                   .assets_max = 64,
                                   .event_slots = 1024,
                                   .result_slots = 256,
                                   .reorder_slots = 4096,
                                   .codes_max = 16,
                                   .checkpoint_ns = checkpoint_ms * 1000000};
    if (argc > 6) {
        options.durability = PSTK_DURABILITY_POWER;
        options.sync_ns = 2000000;
        options.journal_bytes_max = 16u << 20; /* segments of 1 MiB */
    }
    snprintf(options.state_dir, sizeof options.state_dir, "%s", argv[1]);
    snprintf(options.ring_dir, sizeof options.ring_dir, "%s", argv[2]);
    pstk_source_options source = {.name = "recording",
                                  .kind = PSTK_SOURCE_FEED,
                                  .idle_after_ns = INT64_C(2000000000),
                                  .future_max_ns = INT64_C(60000000000),
                                  .frame_bytes_max = 65536,
                                  .connections_max = 1,
                                  .ring_share = 1.0};
    pstk_rule rules[4];
    pstk_engine *engine;
    pstk_error err;
    if (pstk_engine_open(&options, &source, 1, rules, make_rules(rules), &engine, &err) != PSTK_OK)
        die("open", &err);
    return engine;
}

/* What the upstream was told last; UINT64_MAX = nothing. */
static uint64_t acknowledged(int file) {
    uint64_t position = UINT64_MAX;
    return pread(file, &position, sizeof position, 0) == sizeof position ? position : UINT64_MAX;
}

static void acknowledge(pstk_engine *engine, int file, uint64_t dies_at) {
    uint64_t position;
    pstk_error err;
    if (file < 0)
        return;
    if (pstk_engine_position(engine, 0, &position, &err) != PSTK_OK)
        die("position", &err);
    if (position != UINT64_MAX && pwrite(file, &position, sizeof position, 0) != sizeof position)
        exit(2);
    if (position != UINT64_MAX && position >= dies_at)
        (void)raise(SIGKILL);
}

/* Not further ahead of what is acknowledged than it may be. */
static void wait_acknowledged(pstk_engine *engine, int file, uint64_t batch, uint64_t dies_at) {
    for (int i = 0; i < FULL_TRIES_MAX && acknowledged(file) + AHEAD_MAX < batch; i++) {
        usleep(10000);
        acknowledge(engine, file, dies_at);
    }
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: tool_engine_replay STATE_DIR RING_DIR EVENTS_FILE BATCHES "
                        "[RING_BYTES [ACKNOWLEDGED_FILE [CHECKPOINT_MS [DIES_AT]]]]\n");
        return 2;
    }
    uint64_t batches = strtoull(argv[4], NULL, 10), first = 0;
    uint64_t dies_at = argc > 8 ? strtoull(argv[8], NULL, 10) : UINT64_MAX;
    pstk_engine *engine = open_engine(argc, argv);
    int file = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int told = argc > 6 ? open(argv[6], O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    uint32_t tags[MACHINES][TAGS_A_MACHINE];
    pstk_error err;
    make_tags(engine, tags);
    hand_over(engine, file); /* what the killed process had not acknowledged */
    if (pstk_engine_position(engine, 0, &first, &err) != PSTK_OK)
        die("position", &err);
    uint64_t told_last = told >= 0 ? acknowledged(told) : UINT64_MAX;
    if (told_last != UINT64_MAX && (first == UINT64_MAX || first < told_last)) {
        fprintf(stderr, "acknowledged %llu, came back with %lld\n", (unsigned long long)told_last,
                (long long)first);
        return 3;
    }
    for (uint64_t batch = first == UINT64_MAX ? 0 : first + 1; batch < batches; batch++) {
        feed_batch(engine, tags, batch);
        acknowledge(engine, told, dies_at);
        if (dies_at != UINT64_MAX)
            wait_acknowledged(engine, told, batch, dies_at);
        if (batch % 3 == 2) /* events lie unacknowledged across checkpoints */
            hand_over(engine, file);
    }
    if (pstk_engine_tick(engine,
                         START_NS + INT64_C(10000000) * (int64_t)(batches * ROWS_A_BATCH + 1000),
                         &err) != PSTK_OK)
        die("tick", &err);
    hand_over(engine, file);
    pstk_source_stats stats;
    (void)pstk_engine_source_stats(engine, 0, &stats);
    uint64_t dropped = 0;
    for (int reason = 0; reason < PSTK_DROP_COUNT; reason++)
        dropped += stats.dropped[reason];
    printf("done received %llu used %llu dropped %llu\n", (unsigned long long)stats.received,
           (unsigned long long)stats.used, (unsigned long long)dropped);
    if (pstk_engine_close(engine, &err) != PSTK_OK)
        die("close", &err);
    pstk_engine_free(engine);
    return 0;
}
