/* The engine under all its threads: a real ZMQ source with raw peers, a feeder, a consumer and
 * everyone who may ask, then an end in the middle of it. Made for TSan; every build checks that
 * nothing is lost, doubled or stuck.
 *
 * Method  how long the crowd runs is PENSTOCK_TEST_MS (default 1500). Waits end when what they wait
 * for is there, and fail after WAIT_NS. */
#include "engine_fixture.h"
#include "reactor_peer.h"

#include <pthread.h>
#include <stdatomic.h>

#define WAIT_NS (60 * SECOND)

#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        int64_t wait_end_ns = pstk_boot_ns() + WAIT_NS;                                            \
        while (!(condition) && pstk_boot_ns() < wait_end_ns)                                       \
            nap();                                                                                 \
        CHECK(condition);                                                                          \
    } while (0)

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL); }

static pthread_t start(void *(*body)(void *), void *context) {
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, body, context) == 0);
    return thread;
}

static setup wire_setup(void) {
    setup s = {.options = engine_options(), .source_count = 2, .rule_count = 2};
    s.options.clock = PSTK_CLOCK_SYSTEM;
    s.source[0] = pull_source("wire");
    s.source[1] = feed_source("feed");
    s.rule[0] = limit_rule("high", "*.level");
    s.rule[1] = make_rule("tenth", PSTK_RULE_WINDOW, "*.level");
    s.rule[1].size_ns = SECOND / 10;
    s.rule[1].emit = PSTK_EMIT_RESULT;
    return s;
}

static int started_port(pstk_engine *engine) {
    pstk_error err = {0};
    int status = pstk_engine_start(engine, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "start: %s\n", err.text);
    REQUIRE(status == PSTK_OK);
    int port = pstk_engine_port(engine, 0);
    REQUIRE(port > 0);
    return port;
}

/* ---- a peer that sends what it is given ----------------------------------------------------- */

/* Blocking; false once the other side has closed. */
static bool send_all(int fd, const wire_bytes *stream) {
    size_t at = 0;
    while (at < stream->size) {
        ssize_t n = send(fd, stream->bytes + at, stream->size - at, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* Reads away what the other side has said: a close with unread bytes is a reset, and a reset takes
 * with it what was sent and not yet read over there. */
static void end_peer(int fd) {
    uint8_t bytes[256];
    shutdown(fd, SHUT_WR);
    while (recv(fd, bytes, sizeof bytes, 0) > 0)
        continue;
    close(fd);
}

static void add_packed(wire_bytes *stream, const packed_head *head, uint32_t count) {
    packed *p = malloc(sizeof *p);
    REQUIRE(p != NULL);
    packed_start(p, head);
    for (uint32_t i = 0; i < count; i++)
        packed_put(p, (head->seq + i) % 2 ? 15 : 5);
    add_message(stream, p->bytes, p->size);
    free(p);
}

static int ready_peer(int port) {
    int fd = peer_connect(port);
    wire_bytes greeting = hello();
    REQUIRE(send_all(fd, &greeting));
    free(greeting.bytes);
    return fd;
}

/* ---- one receive, many messages ------------------------------------------------------------- */

typedef struct expected {
    uint64_t used, lost, duplicate, sent;
} expected;

/* Two streams of two tags each, interleaved message by message in one piece, with gaps, repeats,
 * new boots and new tags between: whatever the engine writes into the journal between two samples
 * of a receive must not cost one of them. */
static void add_mixture(wire_bytes *stream, expected *out, int64_t now) {
    uint64_t seq[2] = {0, 0};
    uint32_t boot[2] = {1, 1};
    for (uint32_t turn = 0; turn < 300; turn++) {
        uint32_t s = turn / 2 % 2, count = 1 + turn % 5;
        char tag[32];
        snprintf(tag, sizeof tag, "s%u.t%u", s, turn / 40);
        if (turn % 31 == 30) {
            boot[s]++;
            seq[s] = 0;
        }
        if (turn % 7 == 3) { /* also the first of a boot: sent before we listened */
            seq[s] += 2;
            out->lost += 2;
            out->sent += 2;
        }
        packed_head head = {.stream = 1 + s,
                            .boot = boot[s],
                            .seq = seq[s],
                            .time_ns = now + (int64_t)turn * 10000000 - 10 * SECOND,
                            .tag = tag};
        add_packed(stream, &head, count);
        if (turn % 11 == 5) {
            add_packed(stream, &head, count);
            out->duplicate += count;
        }
        seq[s] += count;
        out->used += count;
        out->sent += count;
    }
}

/* Samples of every tag that the journal still holds. */
static uint64_t journaled(pstk_engine *engine) {
    static pstk_sample samples[8192];
    pstk_stats stats = stats_of(engine);
    uint64_t total = 0;
    for (uint32_t tag = 0; tag < stats.tags; tag++) {
        size_t before = 0, count = 0;
        pstk_error err = {0};
        REQUIRE(pstk_engine_evidence(engine, tag, stats.written, 8192, 0, samples, &before, &count,
                                     &err) == PSTK_OK);
        CHECK(before == count);
        for (size_t i = 1; i < count; i++)
            CHECK(samples[i].time_ns > samples[i - 1].time_ns);
        total += count;
    }
    return total;
}

static void test_every_sample_of_a_receive_is_in_the_journal(void) {
    place_begin();
    setup s = wire_setup();
    pstk_engine *engine = must_open(&s);
    int fd = ready_peer(started_port(engine));
    wire_bytes stream = {0};
    expected sum = {0};
    add_mixture(&stream, &sum, pstk_wall_ns());
    CHECK(send_all(fd, &stream));
    WAIT_UNTIL(source_of(engine, 0).received >= sum.used + sum.duplicate);
    pstk_source_stats wire = source_of(engine, 0);
    CHECK(wire.used == sum.used && wire.lost_upstream == sum.lost);
    CHECK(wire.dropped[PSTK_DROP_DUPLICATE] == sum.duplicate && wire.sent_upstream == sum.sent);
    CHECK(is_conserved(engine, 0, true));
    CHECK(journaled(engine) == sum.used);
    must_close(engine);
    engine = must_open(&s);
    pstk_source_stats again = source_of(engine, 0);
    CHECK(is_same_totals(&wire, &again));
    must_close(engine);
    close(fd);
    free(stream.bytes);
    place_end();
}

/* ---- a consumer that stands still ----------------------------------------------------------- */

#define STALL_SAMPLES 60000u /* of 24 bytes: more than the ring holds */
#define STALL_MESSAGE 50u

typedef struct peer {
    int port;
    uint64_t from;
    int64_t start_ns;
} peer;

/* One stream, one tag, a limit event with nearly every sample. */
static void *send_stream(void *context) {
    peer *p = context;
    int fd = ready_peer(p->port);
    wire_bytes stream = {0};
    for (uint64_t seq = p->from; seq < p->from + STALL_SAMPLES; seq += STALL_MESSAGE) {
        packed_head head = {.stream = 1,
                            .boot = 1,
                            .seq = seq,
                            .time_ns = p->start_ns + (int64_t)seq * 1000000,
                            .tag = "m.level"};
        stream.size = 0;
        add_packed(&stream, &head, STALL_MESSAGE);
        if (!send_all(fd, &stream))
            break;
    }
    free(stream.bytes);
    end_peer(fd);
    return NULL;
}

static setup stall_setup(pstk_full full) {
    setup s = wire_setup();
    s.rule_count = 1;
    s.source[0].full = (uint8_t)full;
    s.options.event_slots = 256;
    s.source[0].idle_after_ns = SECOND / 100; /* so that a tick falls due while nobody judges */
    return s;
}

/* Takes events until so many have come; each must be newer than the one before. */
static void take_events(pstk_engine *engine, uint64_t wanted) {
    static pstk_event events[64];
    int64_t last_ns = 0, end_ns = pstk_boot_ns() + WAIT_NS;
    uint64_t taken = 0, ordered = 0, seq = 0;
    pstk_error err;
    while (taken < wanted && pstk_boot_ns() < end_ns) {
        size_t count = 0;
        REQUIRE(pstk_engine_poll(engine, events, 64, &count, &err) == PSTK_OK);
        for (size_t i = 0; i < count; i++, taken++) {
            ordered += events[i].at_ns == last_ns + 1000000 || last_ns == 0;
            last_ns = events[i].at_ns;
            CHECK(taken == 0 || events[i].seq == seq + 1);
            seq = events[i].seq;
        }
        if (count)
            REQUIRE(pstk_engine_acknowledge(engine, seq, &err) == PSTK_OK);
        else
            nap();
    }
    CHECK(taken == wanted && ordered == wanted);
}

static void test_stalled_consumer_stops_judging_and_loses_nothing(void) {
    place_begin();
    setup s = stall_setup(PSTK_FULL_BLOCK);
    pstk_engine *engine = must_open(&s);
    peer p = {.port = started_port(engine),
              .start_ns = pstk_wall_ns() - STALL_SAMPLES * INT64_C(1000000)};
    pthread_t thread = start(send_stream, &p);
    WAIT_UNTIL(stats_of(engine).is_event_ring_full);
    uint64_t judged = stats_of(engine).judged, written = 0;
    /* Journaling goes on until the ring has no room for another message. */
    int64_t end_ns = pstk_boot_ns() + WAIT_NS;
    for (int still = 0; still < 100 && pstk_boot_ns() < end_ns; nap()) {
        bool is_still = stats_of(engine).written == written && written > RING_BYTES / 2;
        still = is_still ? still + 1 : 0;
        written = stats_of(engine).written;
    }
    pstk_stats full = stats_of(engine);
    pstk_error err;
    CHECK(full.judged == judged && full.written - full.checkpointed > RING_BYTES / 2);
    CHECK(full.written - full.checkpointed <= RING_BYTES);
    pstk_source_stats wire = source_of(engine, 0);
    CHECK(all_dropped(&wire) == 0 && is_conserved(engine, 0, true));
    CHECK(pstk_engine_checkpoint(engine, 1, &err) == PSTK_E_FULL);
    uint64_t ticks = full.ticks;
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    CHECK(stats_of(engine).ticks == ticks && stats_of(engine).written == full.written);
    take_events(engine, STALL_SAMPLES - 1); /* the first reading is below, every other one turns */
    CHECK(pthread_join(thread, NULL) == 0);
    wire = source_of(engine, 0);
    CHECK(wire.used == STALL_SAMPLES && all_dropped(&wire) == 0 && wire.lost_upstream == 0);
    CHECK(!stats_of(engine).is_event_ring_full && stats_of(engine).checkpoints > 0);
    must_close(engine);
    place_end();
}

/* With full = drop the source goes on; what finds no room is counted, by position when it comes
 * from a share of the ring. */
static void fill_until_dropped(pstk_engine *engine, pstk_drop reason) {
    peer p = {.port = started_port(engine),
              .start_ns = pstk_wall_ns() - STALL_SAMPLES * INT64_C(1000000)};
    pthread_t thread = start(send_stream, &p);
    WAIT_UNTIL(source_of(engine, 0).received == STALL_SAMPLES);
    CHECK(pthread_join(thread, NULL) == 0);
    pstk_source_stats wire = source_of(engine, 0);
    CHECK(wire.dropped[reason] > 0 && wire.dropped[reason] == all_dropped(&wire));
    CHECK(wire.sent_upstream == STALL_SAMPLES && is_conserved(engine, 0, true));
}

static void test_full_ring_drops_by_reason(double share, pstk_drop reason) {
    place_begin();
    setup s = stall_setup(PSTK_FULL_DROP);
    s.source[0].ring_share = share;
    pstk_engine *engine = must_open(&s);
    fill_until_dropped(engine, reason);
    pstk_source_stats before = source_of(engine, 0);
    must_close(engine); /* no image: the judge stands inside a block */
    engine = must_open(&s);
    pstk_source_stats after = source_of(engine, 0);
    CHECK(is_same_totals(&before, &after));
    take_events(engine, after.used - 1);
    pstk_error err;
    CHECK(pstk_engine_checkpoint(engine, 1, &err) == PSTK_OK);
    must_close(engine);
    engine = must_open(&s);
    after = source_of(engine, 0);
    CHECK(is_same_totals(&before, &after));
    must_close(engine);
    place_end();
}

static void stall_and_die(void *context) {
    setup s = stall_setup(PSTK_FULL_DROP);
    pstk_engine *engine = must_open(&s);
    fill_until_dropped(engine, PSTK_DROP_RING_FULL);
    *(uint64_t *)context = source_of(engine, 0).used;
}

/* What a full ring dropped just before a kill is found again: by record or as a gap, once. */
static void test_killed_while_full_accounts_for_everything_sent(void) {
    place_begin();
    uint64_t *used = shared_memory(sizeof *used);
    in_killed_child(stall_and_die, used);
    setup s = stall_setup(PSTK_FULL_DROP);
    pstk_engine *engine = must_open(&s);
    CHECK(source_of(engine, 0).used == *used);
    take_events(engine, *used - 1);
    peer p = {.port = started_port(engine), .from = STALL_SAMPLES, .start_ns = pstk_wall_ns()};
    p.start_ns -= 2 * STALL_SAMPLES * INT64_C(1000000);
    pthread_t thread = start(send_stream, &p);
    int64_t end_ns = pstk_boot_ns() + WAIT_NS;
    while (source_of(engine, 0).sent_upstream < 2 * STALL_SAMPLES && pstk_boot_ns() < end_ns)
        drain(engine);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(source_of(engine, 0).sent_upstream == 2 * STALL_SAMPLES);
    CHECK(is_conserved(engine, 0, true));
    must_close(engine);
    munmap(used, sizeof *used);
    place_end();
}

/* ---- everyone at once ----------------------------------------------------------------------- */

typedef struct crowd {
    pstk_engine *engine;
    int port;
    uint32_t tag;
    atomic_uint streams;
    atomic_uint_least64_t events, results, fed, questions, checkpoints;
} crowd;

/* Closed is how every caller's day ends; anything else but a full ring is a failure. */
static bool goes_on(int status) {
    CHECK(status == PSTK_OK || status == PSTK_E_FULL || status == PSTK_E_CLOSED);
    return status != PSTK_E_CLOSED;
}

static void *crowd_peer(void *context) {
    crowd *c = context;
    uint32_t stream = atomic_fetch_add(&c->streams, 1) + 1;
    int fd = ready_peer(c->port);
    wire_bytes bytes = {0};
    char tag[32];
    snprintf(tag, sizeof tag, "peer%u.level", stream);
    uint64_t seq = 0;
    for (uint32_t turn = 0;; turn++) {
        packed_head head = {
            .stream = stream, .boot = 1, .seq = seq, .time_ns = pstk_wall_ns(), .tag = tag};
        bytes.size = 0;
        add_packed(&bytes, &head, 20);
        if (!send_all(fd, &bytes))
            break;
        seq += turn % 50 == 49 ? 25 : 20;
        if (turn % 8 == 7)
            nap();
    }
    free(bytes.bytes);
    close(fd);
    return NULL;
}

static void *crowd_feeder(void *context) {
    crowd *c = context;
    enum { ROWS = 400 };
    uint32_t tags[ROWS];
    int64_t times[ROWS];
    uint64_t values[ROWS];
    int status = PSTK_OK;
    for (uint64_t position = 0; goes_on(status); position += status == PSTK_OK) {
        int64_t now = pstk_wall_ns();
        for (int i = 0; i < ROWS; i++) {
            tags[i] = c->tag;
            times[i] = now + i * 1000;
            values[i] = (pstk_value){.f64 = i % 100 ? 5 : 15}.bits;
        }
        pstk_feed feed = {.source = 1,
                          .position = position,
                          .count = ROWS,
                          .tag_ids = tags,
                          .time_ns = times,
                          .values = values};
        pstk_feed_result result;
        pstk_error err;
        status = pstk_engine_feed(c->engine, &feed, &result, &err);
        atomic_fetch_add(&c->fed, result.used);
        nap();
    }
    return NULL;
}

static void *crowd_consumer(void *context) {
    crowd *c = context;
    pstk_event *events = calloc(64, sizeof *events);
    pstk_result *results = calloc(64, sizeof *results);
    pstk_error err;
    size_t count = 0;
    REQUIRE(events && results);
    for (int status = PSTK_OK, turn = 0; goes_on(status); turn++) {
        status = pstk_engine_poll(c->engine, events, 64, &count, &err);
        if (status == PSTK_OK && count && turn % 16 == 3)
            status = pstk_engine_rewind(c->engine, &err); /* as if the ledger had been busy */
        else if (status == PSTK_OK && count)
            status = pstk_engine_acknowledge(c->engine, events[count - 1].seq, &err);
        if (status == PSTK_OK && turn % 16 != 3)
            atomic_fetch_add(&c->events, count);
        if (status == PSTK_OK)
            status = pstk_engine_results(c->engine, results, NULL, 64, &count, &err);
        if (status == PSTK_OK)
            atomic_fetch_add(&c->results, count);
        if (count == 0)
            nap();
    }
    free(events);
    free(results);
    return NULL;
}

static void ask_everything(crowd *c) {
    pstk_sample samples[64];
    pstk_source_stats source;
    pstk_stats stats;
    pstk_error err;
    char text[512], series[16];
    size_t before, count;
    uint64_t position;
    if (!goes_on(pstk_engine_stats(c->engine, &stats)))
        return;
    CHECK(stats.written >= stats.judged && stats.judged >= stats.checkpointed);
    CHECK(!stats.is_failed);
    for (uint32_t i = 0; i < 2; i++)
        if (pstk_engine_source_stats(c->engine, i, &source) == PSTK_OK)
            CHECK(source.received == source.used + all_dropped(&source));
    (void)goes_on(pstk_engine_evidence(c->engine, c->tag, stats.judged, 32, 32, samples, &before,
                                       &count, &err));
    (void)goes_on(pstk_engine_position(c->engine, 1, &position, &err));
    (void)pstk_engine_tag_name(c->engine, c->tag, text, sizeof text);
    (void)pstk_engine_tag_type(c->engine, c->tag);
    (void)pstk_engine_rule_name(c->engine, 1, text, sizeof text, series, sizeof series);
    (void)pstk_engine_asset_name(c->engine, 1, text, sizeof text);
    (void)pstk_engine_code_text(c->engine, c->tag, 0, text, sizeof text);
    (void)pstk_engine_notice(c->engine, text, sizeof text);
    CHECK(pstk_engine_event_fd(c->engine) >= 0);
    int port = pstk_engine_port(c->engine, 0);
    CHECK(port == c->port || port == -1);
}

static void *crowd_asker(void *context) {
    crowd *c = context;
    pstk_stats stats;
    while (pstk_engine_stats(c->engine, &stats) == PSTK_OK) {
        ask_everything(c);
        atomic_fetch_add(&c->questions, 1);
        nap();
    }
    ask_everything(c); /* closed: every call says so */
    return NULL;
}

static void *crowd_planner(void *context) {
    crowd *c = context;
    setup s = wire_setup();
    pstk_error err;
    int status = PSTK_OK;
    for (uint32_t turn = 0; goes_on(status); turn++) {
        pstk_context now = {.at_ns = PSTK_TIME_NONE, .set = 1};
        snprintf(now.asset, sizeof now.asset, "peer%u", turn % 3);
        snprintf(now.values.order, sizeof now.values.order, "order %u", turn);
        status = pstk_engine_context(c->engine, &now, &err);
        if (status == PSTK_OK && turn % 8 == 0) {
            s.rule[0].level[PSTK_LEVEL_H].value = 10 + turn % 16;
            status = pstk_engine_reconfigure(c->engine, s.rule, s.rule_count, &err);
        }
        if (status == PSTK_OK && turn % 4 == 0) {
            status = pstk_engine_checkpoint(c->engine, turn % 8 == 0, &err);
            atomic_fetch_add(&c->checkpoints, status == PSTK_OK);
        }
        nap();
    }
    return NULL;
}

static int64_t crowd_ns(void) {
    const char *text = getenv("PENSTOCK_TEST_MS");
    return (text ? atoll(text) : 1500) * 1000000;
}

static void test_everyone_at_once_and_an_end_in_the_middle(void) {
    place_begin();
    setup s = wire_setup();
    s.options.checkpoint_ns = SECOND / 20;
    crowd c = {.engine = must_open(&s)};
    c.port = started_port(c.engine);
    c.tag = must_tag(c.engine, 1, "fed.level", PSTK_TYPE_F64);
    void *(*const bodies[])(void *) = {crowd_peer,     crowd_peer,  crowd_peer,   crowd_feeder,
                                       crowd_consumer, crowd_asker, crowd_planner};
    enum { THREADS = sizeof bodies / sizeof bodies[0] };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(bodies[i], &c);
    int64_t pause_ns = crowd_ns();
    nanosleep(&(struct timespec){.tv_sec = pause_ns / SECOND, .tv_nsec = pause_ns % SECOND}, NULL);
    pstk_error err = {0};
    CHECK(pstk_engine_close(c.engine, &err) == PSTK_OK);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    pstk_engine_free(c.engine);
    CHECK(atomic_load(&c.events) > 0 && atomic_load(&c.results) > 0 && atomic_load(&c.fed) > 0);
    CHECK(atomic_load(&c.questions) > 0 && atomic_load(&c.checkpoints) > 0);
    pstk_engine *engine = must_open(&s);
    CHECK(is_conserved(engine, 0, true) && is_conserved(engine, 1, false));
    CHECK(source_of(engine, 0).used > 0 && source_of(engine, 0).lost_upstream > 0);
    CHECK(source_of(engine, 1).used == atomic_load(&c.fed));
    must_close(engine);
    place_end();
}

int main(void) {
    test_every_sample_of_a_receive_is_in_the_journal();
    test_stalled_consumer_stops_judging_and_loses_nothing();
    test_full_ring_drops_by_reason(1.0, PSTK_DROP_RING_FULL);
    test_full_ring_drops_by_reason(0.25, PSTK_DROP_QUOTA);
    test_killed_while_full_accounts_for_everything_sent();
    test_everyone_at_once_and_an_end_in_the_middle();
    return check_result("test_engine_threads");
}
