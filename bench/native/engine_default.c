#include "engine_default.h"
#include "child.h"
#include "plan.h"

#define S INT64_C(1000000000)

static const pstk_engine_options engine_defaults = {.abi_version = PSTK_ABI_VERSION,
                                                    .plant = "bench",
                                                    .tags_max = 4096,
                                                    .instances_max = 16384,
                                                    .streams_max = 1024,
                                                    .assets_max = 1024,
                                                    .event_slots = 4096,
                                                    .result_slots = 16384,
                                                    .reorder_slots = 65536,
                                                    .codes_max = 256,
                                                    .checkpoint_ns = 30 * S};

static const pstk_source_options source_defaults = {.name = "line",
                                                    .host = "127.0.0.1",
                                                    .idle_after_ns = 2 * S,
                                                    .future_max_ns = 60 * S,
                                                    .heartbeat_ns = 5 * S,
                                                    .handshake_ns_max = 5 * S,
                                                    .reconnect_ns_min = S / 10,
                                                    .reconnect_ns_max = 5 * S,
                                                    .frame_bytes_max = 1 << 20,
                                                    .connections_max = 64,
                                                    .ring_share = 0.5};

static void must(int status, const char *what, const pstk_error *err) {
    if (status != PSTK_OK)
        child_die("%s: %s", what, err->text);
}

static void make_rules(pstk_rule rules[2]) {
    memset(rules, 0, 2 * sizeof *rules);
    for (int k = 0; k < 2; k++) {
        snprintf(rules[k].name, sizeof rules[k].name, k ? "second" : "high");
        snprintf(rules[k].series, sizeof rules[k].series, "1");
        snprintf(rules[k].pattern[PSTK_ROLE_VALUE], PSTK_NAME_BYTES, "*");
    }
    rules[0].kind = PSTK_RULE_LIMIT;
    rules[0].events_per_minute_max = 60;
    rules[0].level[PSTK_LEVEL_H] =
        (pstk_limit_level){.is_set = 1, .value = PLAN_LIMIT, .deadband = PLAN_DEADBAND};
    rules[1].kind = PSTK_RULE_WINDOW;
    rules[1].emit = PSTK_EMIT_RESULT;
    rules[1].size_ns = S;
}

pstk_engine *bench_engine_open(const char *folder, const char *ring_folder, uint64_t ring_bytes,
                               uint16_t kind, uint16_t format, uint16_t port) {
    pstk_engine_options options = engine_defaults;
    pstk_source_options source = source_defaults;
    pstk_rule rules[2];
    pstk_engine *engine;
    pstk_error err;
    snprintf(options.state_dir, sizeof options.state_dir, "%s", folder);
    snprintf(options.ring_dir, sizeof options.ring_dir, "%s", ring_folder);
    options.ring_bytes = ring_bytes;
    source.kind = kind;
    source.format = format;
    source.port = port;
    if (kind == PSTK_SOURCE_NATS) {
        source.full = PSTK_FULL_DROP;
        source.subject_count = 1;
        snprintf(source.subjects[0], sizeof source.subjects[0], "tel.>");
    }
    make_rules(rules);
    must(pstk_engine_open(&options, &source, 1, rules, 2, &engine, &err), "open", &err);
    if (kind != PSTK_SOURCE_FEED)
        must(pstk_engine_start(engine, &err), "start", &err);
    return engine;
}

/* ---- consumer -------------------------------------------------------------------------------- */

static void take_events(pstk_engine *engine, bench_counts *counts) {
    static pstk_event events[256];
    pstk_error err;
    size_t taken;
    do {
        must(pstk_engine_poll(engine, events, 256, &taken, &err), "poll", &err);
        for (size_t i = 0; i < taken; i++) {
            counts->trips += events[i].kind == PSTK_EVENT_LIMIT_H_TRIP;
            counts->clears += events[i].kind == PSTK_EVENT_LIMIT_H_CLEAR;
            counts->folded += events[i].kind == PSTK_EVENT_LIMIT_CHATTERING ? events[i].count : 0;
        }
        if (taken)
            must(pstk_engine_acknowledge(engine, events[taken - 1].seq, &err), "acknowledge", &err);
    } while (taken == 256);
}

void bench_engine_consume(pstk_engine *engine, int64_t tail_ns, bench_counts *counts) {
    static pstk_result results[1024];
    pstk_error err;
    size_t taken;
    take_events(engine, counts);
    do {
        must(pstk_engine_results(engine, results, 1024, &taken, &err), "results", &err);
        for (size_t i = 0; i < taken; i++) {
            if (results[i].end_ns > tail_ns)
                continue;
            counts->windows++;
            counts->window_count += results[i].count;
            counts->window_sum += results[i].sum;
        }
    } while (taken == 1024);
}

void bench_engine_report(pstk_engine *engine, const bench_counts *counts) {
    pstk_source_stats source;
    pstk_stats stats;
    (void)pstk_engine_source_stats(engine, 0, &source);
    (void)pstk_engine_stats(engine, &stats);
    uint64_t dropped = 0;
    for (int reason = 0; reason < PSTK_DROP_COUNT; reason++)
        dropped += source.dropped[reason];
    printf("final {\"received\": %llu, \"used\": %llu, \"dropped\": %llu, \"lost\": %llu, "
           "\"trips\": %llu, \"clears\": %llu, \"folded\": %llu, \"windows\": %llu, "
           "\"window_count\": %llu, \"window_sum\": %.6f, \"overwritten\": %llu, \"late\": %llu, "
           "\"out_of_order\": %llu, \"checkpoints\": %llu}\n",
           (unsigned long long)source.received, (unsigned long long)source.used,
           (unsigned long long)dropped, (unsigned long long)source.lost_upstream,
           (unsigned long long)counts->trips, (unsigned long long)counts->clears,
           (unsigned long long)counts->folded, (unsigned long long)counts->windows,
           (unsigned long long)counts->window_count, counts->window_sum,
           (unsigned long long)stats.results_overwritten, (unsigned long long)stats.late,
           (unsigned long long)stats.out_of_order, (unsigned long long)stats.checkpoints);
    fflush(stdout);
}

void bench_engine_end(pstk_engine *engine) {
    pstk_error err;
    must(pstk_engine_close(engine, &err), "close", &err);
    pstk_engine_free(engine);
}

void bench_engine_print_defaults(void) {
    const pstk_engine_options *o = &engine_defaults;
    const pstk_source_options *s = &source_defaults;
    printf("{\"options\": {\"tags_max\": %u, \"instances_max\": %u, \"streams_max\": %u, "
           "\"assets_max\": %u, \"event_slots\": %u, \"result_slots\": %u, \"reorder_slots\": %u, "
           "\"codes_max\": %u, \"checkpoint_ns\": %lld}, ",
           o->tags_max, o->instances_max, o->streams_max, o->assets_max, o->event_slots,
           o->result_slots, o->reorder_slots, o->codes_max, (long long)o->checkpoint_ns);
    printf("\"source\": {\"lateness_ns\": %lld, \"idle_after_ns\": %lld, \"future_max_ns\": %lld, "
           "\"heartbeat_ns\": %lld, \"handshake_ns_max\": %lld, \"reconnect_ns_min\": %lld, "
           "\"reconnect_ns_max\": %lld, \"coalesce_ns\": %lld, \"frame_bytes_max\": %u, "
           "\"connections_max\": %u, \"ring_share\": %g}, ",
           (long long)s->lateness_ns, (long long)s->idle_after_ns, (long long)s->future_max_ns,
           (long long)s->heartbeat_ns, (long long)s->handshake_ns_max,
           (long long)s->reconnect_ns_min, (long long)s->reconnect_ns_max,
           (long long)s->coalesce_ns, s->frame_bytes_max, s->connections_max, s->ring_share);
    pstk_rule rules[2];
    make_rules(rules);
    printf("\"events_per_minute_max\": %u}\n", rules[0].events_per_minute_max);
}
