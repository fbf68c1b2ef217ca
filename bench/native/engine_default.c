#include "engine_default.h"
#include "child.h"
#include "histogram.h"
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
                                                    .checkpoint_ns = 30 * S
#ifdef PSTK_JOURNAL_BYTES_DEFAULT
                                                    ,
                                                    .sync_ns = S,
                                                    .journal_bytes_max = PSTK_JOURNAL_BYTES_DEFAULT
#endif
};

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

static pstk_event events[256];
static pstk_result results[1024];

static void must(int status, const char *what, const pstk_error *err) {
    if (status != PSTK_OK)
        child_die("%s: %s", what, err->text);
}

static void make_rules(const bench_shape *shape, pstk_rule *rules) {
    uint32_t count = shape->limits + shape->windows;
    if (count > BENCH_RULES_MAX)
        child_die("more than %u rules", BENCH_RULES_MAX);
    memset(rules, 0, count * sizeof *rules);
    for (uint32_t k = 0; k < count; k++) {
        bool is_limit = k < shape->limits;
        uint32_t of_kind = is_limit ? k : k - shape->limits;
        snprintf(rules[k].name, sizeof rules[k].name, is_limit ? "high%u" : "second%u", of_kind);
        snprintf(rules[k].series, sizeof rules[k].series, "1");
        snprintf(rules[k].pattern[PSTK_ROLE_VALUE], PSTK_NAME_BYTES, "*");
        if (shape->tags > PLAN_TAGS) /* an asset for each tag would be more than there may be */
            snprintf(rules[k].asset, sizeof rules[k].asset, "hall");
        rules[k].kind = is_limit ? PSTK_RULE_LIMIT : PSTK_RULE_WINDOW;
        if (is_limit) {
            rules[k].events_per_minute_max = 60;
            rules[k].level[PSTK_LEVEL_H] = (pstk_limit_level){
                .is_set = 1, .value = PLAN_LIMIT + 10.0 * of_kind, .deadband = PLAN_DEADBAND};
        } else {
            rules[k].emit = PSTK_EMIT_RESULT;
            rules[k].size_ns = S * (1 + of_kind);
        }
    }
}

bench_shape bench_shape_from(char **argv) {
    bench_shape shape = BENCH_SHAPE_DEFAULT;
    const char *kind = child_text(argv, "kind", "zmtp");
    shape.kind = strcmp(kind, "feed") == 0   ? PSTK_SOURCE_FEED
                 : strcmp(kind, "nats") == 0 ? PSTK_SOURCE_NATS
                 : strcmp(kind, "sub") == 0  ? PSTK_SOURCE_ZMQ_SUB
                                             : PSTK_SOURCE_ZMQ_PULL;
    shape.format = strcmp(child_text(argv, "format", "packed"), "json") == 0 ? PSTK_FORMAT_JSON
                                                                             : PSTK_FORMAT_PACKED;
    shape.port = (uint16_t)child_option(argv, "port", 0);
    shape.sources = (uint32_t)child_option(argv, "sources", shape.sources);
    shape.tags = (uint32_t)child_option(argv, "tags", shape.tags);
    shape.limits = (uint32_t)child_option(argv, "limits", shape.limits);
    shape.windows = (uint32_t)child_option(argv, "windows", shape.windows);
    shape.results = (uint32_t)child_option(argv, "results", 0);
    shape.is_power = child_option(argv, "power", 0) != 0;
    return shape;
}

static uint32_t power_of_two_from(uint32_t least) {
    uint32_t power = 1;
    while (power < least)
        power *= 2;
    return power;
}

/* The defaults hold 4,096 tags; who has more configures more. */
static void make_tables(const bench_shape *shape, pstk_engine_options *options) {
    uint32_t instances = shape->tags * (shape->limits + shape->windows);
    uint32_t slots = power_of_two_from(2 * shape->tags * shape->windows);
    if (shape->tags > options->tags_max)
        options->tags_max = shape->tags;
    if (instances > options->instances_max)
        options->instances_max = instances;
    if (shape->results)
        options->result_slots = shape->results;
    else if (slots > options->result_slots)
        options->result_slots = slots < 1u << 22 ? slots : 1u << 22;
}

static void make_sources(const bench_shape *shape, pstk_source_options *sources) {
    for (uint32_t k = 0; k < shape->sources; k++) {
        sources[k] = source_defaults;
        sources[k].kind = shape->kind;
        sources[k].format = shape->format;
        sources[k].port = shape->port;
        if (k > 0)
            snprintf(sources[k].name, sizeof sources[k].name, "line%u", k);
        if (shape->kind == PSTK_SOURCE_NATS || shape->kind == PSTK_SOURCE_ZMQ_SUB)
            sources[k].full = PSTK_FULL_DROP;
        if (shape->kind == PSTK_SOURCE_NATS) {
            sources[k].subject_count = 1;
            snprintf(sources[k].subjects[0], sizeof sources[k].subjects[0], "tel.>");
        }
    }
}

pstk_engine *bench_engine_open_shape(const char *folder, const char *ring_folder,
                                     uint64_t ring_bytes, const bench_shape *shape) {
    static pstk_source_options sources[PSTK_SOURCES_MAX];
    static pstk_rule rules[BENCH_RULES_MAX];
    pstk_engine_options options = engine_defaults;
    pstk_engine *engine;
    pstk_error err;
    snprintf(options.state_dir, sizeof options.state_dir, "%s", folder);
    snprintf(options.ring_dir, sizeof options.ring_dir, "%s", ring_folder);
    options.ring_bytes = ring_bytes;
#ifdef PSTK_JOURNAL_BYTES_DEFAULT /* an older revision beside this one has one durability */
    options.durability = shape->is_power ? PSTK_DURABILITY_POWER : PSTK_DURABILITY_PROCESS;
#endif
    if (shape->sources > PSTK_SOURCES_MAX)
        child_die("more than %u sources", PSTK_SOURCES_MAX);
    make_tables(shape, &options);
    make_sources(shape, sources);
    make_rules(shape, rules);
    memset(events, 0, sizeof events); /* ours, or their first use would look like the engine's */
    memset(results, 0, sizeof results);
    must(pstk_engine_open(&options, sources, shape->sources, rules, shape->limits + shape->windows,
                          &engine, &err),
         "open", &err);
    if (shape->kind != PSTK_SOURCE_FEED)
        must(pstk_engine_start(engine, &err), "start", &err);
    return engine;
}

pstk_engine *bench_engine_open(const char *folder, const char *ring_folder, uint64_t ring_bytes,
                               uint16_t kind, uint16_t format, uint16_t port) {
    bench_shape shape = BENCH_SHAPE_DEFAULT;
    shape.kind = kind;
    shape.format = format;
    shape.port = port;
    return bench_engine_open_shape(folder, ring_folder, ring_bytes, &shape);
}

/* ---- consumer -------------------------------------------------------------------------------- */

/* How long the crossing sample was on its way, from when it was due; see pace.h. */
static void take_delay(const pstk_event *event, int64_t now_ns, bench_counts *counts) {
    if (event->kind == PSTK_EVENT_LIMIT_H_TRIP && event->at_ns >= counts->delays_from_ns)
        histogram_add(counts->delays, now_ns - PLAN_PAST_NS - event->at_ns);
}

static void take_events(pstk_engine *engine, bench_counts *counts) {
    pstk_error err;
    size_t taken;
    do {
        must(pstk_engine_poll(engine, events, 256, &taken, &err), "poll", &err);
        int64_t now_ns = counts->delays ? child_real_ns() : 0;
        for (size_t i = 0; i < taken; i++) {
            if (counts->delays)
                take_delay(&events[i], now_ns, counts);
            counts->trips += events[i].kind == PSTK_EVENT_LIMIT_H_TRIP;
            counts->clears += events[i].kind == PSTK_EVENT_LIMIT_H_CLEAR;
            counts->folded += events[i].kind == PSTK_EVENT_LIMIT_CHATTERING ? events[i].count : 0;
        }
        if (taken)
            must(pstk_engine_acknowledge(engine, events[taken - 1].seq, &err), "acknowledge", &err);
    } while (taken == 256);
}

void bench_engine_consume(pstk_engine *engine, int64_t tail_ns, bench_counts *counts) {
    pstk_error err;
    size_t taken;
    take_events(engine, counts);
    do {
        must(pstk_engine_results(engine, results, NULL, 1024, &taken, &err), "results", &err);
        for (size_t i = 0; i < taken; i++) {
            if (results[i].end_ns > tail_ns)
                continue;
            counts->windows++;
            counts->window_count += results[i].count;
            counts->window_sum += results[i].sum;
        }
    } while (taken == 1024);
}

/* What all sources have in sum. */
static pstk_source_stats sum_sources(pstk_engine *engine) {
    pstk_source_stats sum, one;
    if (pstk_engine_source_stats(engine, 0, &sum) != PSTK_OK)
        child_die("no figures of the source");
    for (uint32_t k = 1; pstk_engine_source_stats(engine, k, &one) == PSTK_OK; k++) {
        sum.received += one.received;
        sum.used += one.used;
        sum.lost_upstream += one.lost_upstream;
        sum.connections += one.connections;
        sum.reconnects += one.reconnects;
        sum.protocol_errors += one.protocol_errors;
        for (int reason = 0; reason < PSTK_DROP_COUNT; reason++)
            sum.dropped[reason] += one.dropped[reason];
    }
    return sum;
}

uint64_t bench_engine_used(pstk_engine *engine) { return sum_sources(engine).used; }

uint64_t bench_engine_received(pstk_engine *engine) { return sum_sources(engine).received; }

bool bench_engine_is_judged(pstk_engine *engine) {
    pstk_stats stats;
    if (pstk_engine_stats(engine, &stats) != PSTK_OK)
        child_die("no figures of the engine");
    return stats.judged == stats.written;
}

static void print_number(const char *name, uint64_t value) {
    printf("\"%s\": %llu, ", name, (unsigned long long)value);
}

void bench_engine_report(pstk_engine *engine, const bench_counts *counts) {
    pstk_source_stats source = sum_sources(engine);
    pstk_stats stats;
    (void)pstk_engine_stats(engine, &stats);
    uint64_t dropped = 0;
    for (int reason = 0; reason < PSTK_DROP_COUNT; reason++)
        dropped += source.dropped[reason];
    printf("final {");
    print_number("received", source.received);
    print_number("used", source.used);
    print_number("dropped", dropped);
    print_number("lost", source.lost_upstream);
    print_number("trips", counts->trips);
    print_number("clears", counts->clears);
    print_number("folded", counts->folded);
    print_number("windows", counts->windows);
    print_number("window_count", counts->window_count);
    print_number("overwritten", stats.results_overwritten);
    print_number("late", stats.late);
    print_number("out_of_order", stats.out_of_order);
    print_number("checkpoints", stats.checkpoints);
    print_number("tags", stats.tags);
    print_number("connections", source.connections);
    print_number("reconnects", source.reconnects);
    print_number("protocol_errors", source.protocol_errors);
    printf("\"window_sum\": %.6f}\n", counts->window_sum);
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
           "\"codes_max\": %u, \"checkpoint_ns\": %lld",
           o->tags_max, o->instances_max, o->streams_max, o->assets_max, o->event_slots,
           o->result_slots, o->reorder_slots, o->codes_max, (long long)o->checkpoint_ns);
#ifdef PSTK_JOURNAL_BYTES_DEFAULT
    printf(", \"durability\": %u, \"sync_ns\": %lld, \"journal_bytes_max\": %llu", o->durability,
           (long long)o->sync_ns, (unsigned long long)o->journal_bytes_max);
#endif
    printf("}, ");
    printf("\"source\": {\"lateness_ns\": %lld, \"idle_after_ns\": %lld, \"future_max_ns\": %lld, "
           "\"heartbeat_ns\": %lld, \"handshake_ns_max\": %lld, \"reconnect_ns_min\": %lld, "
           "\"reconnect_ns_max\": %lld, \"coalesce_ns\": %lld, \"frame_bytes_max\": %u, "
           "\"connections_max\": %u, \"ring_share\": %g}, ",
           (long long)s->lateness_ns, (long long)s->idle_after_ns, (long long)s->future_max_ns,
           (long long)s->heartbeat_ns, (long long)s->handshake_ns_max,
           (long long)s->reconnect_ns_min, (long long)s->reconnect_ns_max,
           (long long)s->coalesce_ns, s->frame_bytes_max, s->connections_max, s->ring_share);
    pstk_rule rules[2];
    make_rules(&BENCH_SHAPE_DEFAULT, rules);
    printf("\"events_per_minute_max\": %u}\n", rules[0].events_per_minute_max);
}
