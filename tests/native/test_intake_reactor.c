/* The reactor against raw sockets of its own process: limits, time-outs, pause and resume, large
 * frames, coalescing, reconnect, and nothing leaked. One thread plays the peers and the engine by
 * turns; only wake() needs a second. */
#include "check.h"
#include "intake/reactor.h"
#include "wire_feed.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MS INT64_C(1000000)

/* ---- the engine's side: a sink that keeps all it takes
 * ------------------------------------------------ */

typedef struct seen {
    wire_bytes payloads;  /* 4 octets of length, then the payload */
    wire_bytes subjects;  /* all subjects in a row */
    size_t count, budget; /* refuses beyond budget */
    size_t refusals;
    int up, down;
    uint64_t drops[PSTK_DROP_COUNT];
} seen;

static bool sink_frames(void *context, uint32_t source, uint32_t connection,
                        const pstk_frame *frames, size_t count, size_t *out_taken) {
    seen *s = context;
    (void)source;
    (void)connection;
    size_t taken = 0;
    for (; taken < count && s->count < s->budget; taken++, s->count++) {
        uint8_t head[4];
        pstk_store_u32(head, frames[taken].payload_bytes);
        wire_bytes_add(&s->payloads, head, sizeof head);
        wire_bytes_add(&s->payloads, frames[taken].payload, frames[taken].payload_bytes);
        wire_bytes_add(&s->subjects, frames[taken].subject, frames[taken].subject_bytes);
    }
    *out_taken = taken;
    s->refusals += taken < count;
    return taken == count;
}

static void sink_link(void *context, uint32_t source, uint32_t connection, pstk_link link) {
    seen *s = context;
    (void)source;
    (void)connection;
    *(link == PSTK_LINK_UP ? &s->up : &s->down) += 1;
}

static void sink_drop(void *context, uint32_t source, pstk_drop reason, uint64_t count) {
    (void)source;
    ((seen *)context)->drops[reason] += count;
}

static pstk_source_options bind_options(void) {
    pstk_source_options o = {.name = "line",
                             .kind = PSTK_SOURCE_ZMQ_PULL,
                             .is_bind = 1,
                             .host = "127.0.0.1",
                             .frame_bytes_max = 4 << 20,
                             .connections_max = 8,
                             .handshake_ns_max = 2000 * MS,
                             .reconnect_ns_min = 5 * MS,
                             .reconnect_ns_max = 40 * MS};
    return o;
}

static pstk_intake *open_intake(const pstk_source_options *options, size_t count, seen *s) {
    pstk_sink sink = {s, sink_frames, sink_link, sink_drop};
    pstk_intake *intake = NULL;
    pstk_error err = {0};
    if (s->budget == 0)
        s->budget = SIZE_MAX;
    int status = pstk_intake_open(options, count, &sink, &intake, &err);
    if (status == PSTK_OK)
        status = pstk_intake_start(intake, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "%s\n", err.text);
    REQUIRE(status == PSTK_OK);
    return intake;
}

static void close_all(pstk_intake *intake, seen *s) {
    pstk_intake_close(intake);
    free(s->payloads.bytes);
    free(s->subjects.bytes);
}

/* Polls until the condition holds, at most five seconds: a slow machine is not a failure. */
#define POLL_UNTIL(intake, condition)                                                              \
    do {                                                                                           \
        int64_t poll_end_ns = pstk_boot_ns() + 5000 * MS;                                          \
        while (!(condition) && pstk_boot_ns() < poll_end_ns)                                       \
            REQUIRE(pstk_intake_poll(intake, MS) >= 0);                                            \
        CHECK(condition);                                                                          \
    } while (0)

static void poll_for(pstk_intake *intake, int64_t ns) {
    int64_t end_ns = pstk_boot_ns() + ns;
    while (pstk_boot_ns() < end_ns)
        REQUIRE(pstk_intake_poll(intake, MS) >= 0);
}

static pstk_intake_counters counters(const pstk_intake *intake) {
    pstk_intake_counters c;
    pstk_intake_counters_get(intake, 0, &c);
    return c;
}

/* ---- the peer's side
 * ------------------------------------------------------------------------------------ */

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int peer_connect(int port) {
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    REQUIRE(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static int peer_listen(int *out_port) {
    struct sockaddr_in address = loopback(*out_port);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    REQUIRE(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 8) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    *out_port = ntohs(address.sin_port);
    return fd;
}

static int peer_accept(pstk_intake *intake, int listener) {
    int fd = -1;
    int64_t end_ns = pstk_boot_ns() + 5000 * MS;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0 &&
           pstk_boot_ns() < end_ns)
        REQUIRE(pstk_intake_poll(intake, MS) >= 0);
    REQUIRE(fd >= 0);
    return fd;
}

/* Greeting and READY of a PUSH in one go. */
static wire_bytes hello(void) {
    static const char ready[] = "\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH";
    wire_bytes stream = {0};
    uint8_t greeting[64] = {0xFF, [9] = 0x7F, 3, 1, 'N', 'U', 'L', 'L'};
    wire_bytes_add(&stream, greeting, sizeof greeting);
    wire_bytes_add(&stream, ready, sizeof ready - 1);
    return stream;
}

static void add_message(wire_bytes *to, const void *payload, size_t size) {
    uint8_t head[9] = {size > 255 ? 2 : 0, (uint8_t)size};
    if (size > 255)
        for (size_t i = 0; i < 8; i++)
            head[1 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
    wire_bytes_add(to, head, size > 255 ? 9 : 2);
    wire_bytes_add(to, payload, size);
}

/* Sends all, polling the intake meanwhile so that neither waits for the other. */
static void peer_send(pstk_intake *intake, int fd, const wire_bytes *stream) {
    size_t at = 0;
    int64_t end_ns = pstk_boot_ns() + 10000 * MS;
    while (at < stream->size && pstk_boot_ns() < end_ns) {
        ssize_t n = send(fd, stream->bytes + at, stream->size - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        REQUIRE(n > 0 || errno == EAGAIN);
        REQUIRE(pstk_intake_poll(intake, 0) >= 0);
    }
    REQUIRE(at == stream->size);
}

static int peer_ready(pstk_intake *intake, int port) {
    int fd = peer_connect(port);
    wire_bytes stream = hello();
    uint32_t before = counters(intake).ready;
    peer_send(intake, fd, &stream);
    free(stream.bytes);
    POLL_UNTIL(intake, counters(intake).ready == before + 1);
    return fd;
}

/* Has our side closed? Reads away what it had sent. */
static bool is_closed(int fd) {
    uint8_t bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        continue;
    return n == 0 || errno == ECONNRESET;
}

/* ---- what must hold
 * ----------------------------------------------------------------------------------------- */

static void test_messages_arrive_in_order_and_links_are_told(void) {
    seen s = {0};
    pstk_source_options options = bind_options();
    pstk_intake *intake = open_intake(&options, 1, &s);
    int fd = peer_ready(intake, pstk_intake_port(intake, 0));
    CHECK(s.up == 1 && s.down == 0);
    wire_bytes stream = {0}, expected = {0};
    for (uint32_t i = 0; i < 20000; i++) {
        uint8_t payload[300] = {0};
        size_t size = 4 + i % 290;
        uint8_t head[4];
        pstk_store_u32(payload, i);
        pstk_store_u32(head, (uint32_t)size);
        add_message(&stream, payload, size);
        wire_bytes_add(&expected, head, 4);
        wire_bytes_add(&expected, payload, size);
    }
    peer_send(intake, fd, &stream);
    POLL_UNTIL(intake, s.count == 20000);
    CHECK(wire_bytes_equal(&s.payloads, &expected));
    CHECK(counters(intake).frames == 20000);
    CHECK(counters(intake).bytes == stream.size + 92);
    close(fd);
    POLL_UNTIL(intake, s.down == 1);
    CHECK(counters(intake).connections == 0 && counters(intake).ready == 0);
    CHECK(counters(intake).protocol_errors == 0);
    free(stream.bytes);
    free(expected.bytes);
    close_all(intake, &s);
}

/* The sink takes a few at a time, in steps that cut takes, receives and a frame above 64 KiB. */
static void test_refused_frames_come_again_once_and_in_order(void) {
    seen s = {.budget = 1};
    pstk_source_options options = bind_options();
    pstk_intake *intake = open_intake(&options, 1, &s);
    int fd = peer_ready(intake, pstk_intake_port(intake, 0));
    int other = peer_ready(intake, pstk_intake_port(intake, 0));
    wire_bytes stream = {0}, expected = {0};
    uint8_t *payload = calloc(1, 300000);
    REQUIRE(payload != NULL);
    for (uint32_t i = 0; i < 5000; i++) {
        uint8_t head[4];
        size_t size = i % 1000 == 999 ? 300000 : 4 + i % 80;
        pstk_store_u32(payload, i);
        pstk_store_u32(head, (uint32_t)size);
        add_message(&stream, payload, size);
        wire_bytes_add(&expected, head, 4);
        wire_bytes_add(&expected, payload, size);
    }
    size_t at = 0;
    int64_t end_ns = pstk_boot_ns() + 20000 * MS;
    while (s.count < 5000 && pstk_boot_ns() < end_ns) {
        ssize_t n = send(fd, stream.bytes + at, stream.size - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        size_t held = s.count, budget = s.budget;
        REQUIRE(pstk_intake_poll(intake, 100000) >= 0);
        if (held < budget)
            continue;
        CHECK(s.count == held); /* a paused source hands nothing over */
        s.budget += 1 + s.budget % 97;
        pstk_intake_resume(intake, 0);
    }
    CHECK(s.count == 5000);
    CHECK(s.refusals > 50);
    CHECK(wire_bytes_equal(&s.payloads, &expected));
    CHECK(s.drops[PSTK_DROP_OVERSIZE] == 0 && s.down == 0);
    free(payload);
    free(stream.bytes);
    free(expected.bytes);
    close(fd);
    close(other);
    close_all(intake, &s);
}

static void test_a_pause_is_not_the_peers_silence(void) {
    seen s = {.budget = 1};
    pstk_source_options options = bind_options();
    options.heartbeat_ns = 60 * MS;
    pstk_intake *intake = open_intake(&options, 1, &s);
    int fd = peer_ready(intake, pstk_intake_port(intake, 0));
    wire_bytes stream = {0};
    add_message(&stream, "one", 3);
    add_message(&stream, "two", 3);
    peer_send(intake, fd, &stream);
    POLL_UNTIL(intake, s.refusals == 1);
    poll_for(intake, 400 * MS); /* more than six heartbeats */
    CHECK(s.down == 0);
    s.budget = 10;
    pstk_intake_resume(intake, 0);
    POLL_UNTIL(intake, s.count == 2);
    CHECK(s.down == 0);
    POLL_UNTIL(intake, s.down == 1); /* and now its silence counts */
    CHECK(strstr(pstk_intake_reason(intake, 0), "silent") != NULL);
    free(stream.bytes);
    close(fd);
    close_all(intake, &s);
}

static void test_a_peer_that_left_while_paused_is_read_to_its_end(void) {
    seen s = {.budget = 1};
    pstk_source_options options = bind_options();
    pstk_intake *intake = open_intake(&options, 1, &s);
    int fd = peer_ready(intake, pstk_intake_port(intake, 0));
    wire_bytes stream = {0};
    for (int i = 0; i < 1000; i++)
        add_message(&stream, "payload", 7);
    wire_bytes_add(&stream, "\x08\x00", 2); /* ends with a violation */
    peer_send(intake, fd, &stream);
    close(fd);
    POLL_UNTIL(intake, s.refusals == 1);
    int64_t before_ns = pstk_boot_ns();
    clock_t cpu = clock();
    poll_for(intake, 100 * MS); /* a hang-up that cannot be read must not spin */
    CHECK(clock() - cpu < CLOCKS_PER_SEC / 20);
    CHECK(pstk_boot_ns() - before_ns >= 100 * MS);
    s.budget = SIZE_MAX;
    pstk_intake_resume(intake, 0);
    POLL_UNTIL(intake, s.down == 1);
    CHECK(s.count == 1000);
    CHECK(counters(intake).protocol_errors == 1);
    free(stream.bytes);
    close_all(intake, &s);
}

static void test_large_frames_grow_and_oversize_is_counted_and_closed(void) {
    seen s = {0};
    pstk_source_options options = bind_options();
    pstk_intake *intake = open_intake(&options, 1, &s);
    int fd = peer_ready(intake, pstk_intake_port(intake, 0));
    wire_bytes stream = {0};
    size_t size = options.frame_bytes_max;
    uint8_t *payload = malloc(size);
    REQUIRE(payload != NULL);
    for (size_t i = 0; i < size; i++)
        payload[i] = (uint8_t)(i * 2654435761u >> 13);
    add_message(&stream, payload, size);
    add_message(&stream, "small", 5);
    wire_bytes_add(&stream, "\x01\x07subject", 9);
    add_message(&stream, payload, 70000);
    peer_send(intake, fd, &stream);
    POLL_UNTIL(intake, s.count == 3);
    REQUIRE(s.payloads.size == 12 + size + 5 + 70000);
    CHECK(memcmp(s.payloads.bytes + 4, payload, size) == 0);
    CHECK(memcmp(s.payloads.bytes + 4 + size + 4, "small", 5) == 0);
    CHECK(memcmp(s.payloads.bytes + 4 + size + 4 + 5 + 4, payload, 70000) == 0);
    CHECK(s.subjects.size == 7 && memcmp(s.subjects.bytes, "subject", 7) == 0);
    stream.size = 0;
    wire_bytes_add(&stream, "\x02\x00\x00\x01\x00\x00\x00\x00\x00", 9);
    peer_send(intake, fd, &stream);
    POLL_UNTIL(intake, s.down == 1);
    CHECK(s.drops[PSTK_DROP_OVERSIZE] == 1);
    CHECK(counters(intake).protocol_errors == 1);
    CHECK(is_closed(fd));
    close(fd);
    free(payload);
    free(stream.bytes);
    close_all(intake, &s);
}

static void test_memory_of_a_large_frame_is_given_back(void) {
    seen s = {0};
    pstk_source_options options = bind_options();
    pstk_intake *intake = open_intake(&options, 1, &s);
    pstk_connection *c = &intake->connections[0];
    int fd = peer_ready(intake, pstk_intake_port(intake, 0));
    wire_bytes stream = {0};
    uint8_t *payload = calloc(1, 200000);
    REQUIRE(payload != NULL);
    for (int i = 0; i < 5; i++)
        add_message(&stream, payload, 200000);
    peer_send(intake, fd, &stream);
    POLL_UNTIL(intake, s.count == 5);
    CHECK(c->big != NULL && c->big_bytes < 3 * 200000); /* kept for the next, not grown by each */
    c->big_used_ns -= REACTOR_BIG_IDLE_NS;
    pstk_reactor_due(intake, 0);
    POLL_UNTIL(intake, c->big == NULL);
    peer_send(intake, fd, &stream);
    POLL_UNTIL(intake, s.count == 10);
    free(payload);
    free(stream.bytes);
    close(fd);
    close_all(intake, &s);
}

/* A full table of descriptors must neither spin nor end accepting for good. */
static void test_accepts_again_once_descriptors_are_free(void) {
    seen s = {0};
    pstk_source_options options = bind_options();
    pstk_intake *intake = open_intake(&options, 1, &s);
    int fd = peer_connect(pstk_intake_port(intake, 0));
    struct rlimit before, none;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = 3; /* below what is open: no further descriptor */
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    clock_t cpu = clock();
    poll_for(intake, 100 * MS);
    CHECK(clock() - cpu < CLOCKS_PER_SEC / 20);
    CHECK(counters(intake).accepted == 0);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    wire_bytes stream = hello();
    peer_send(intake, fd, &stream);
    POLL_UNTIL(intake, s.up == 1);
    free(stream.bytes);
    close(fd);
    close_all(intake, &s);
}

static void test_connections_are_capped_and_silent_ones_time_out(void) {
    seen s = {0};
    pstk_source_options options = bind_options();
    options.connections_max = 2;
    options.handshake_ns_max = 150 * MS;
    pstk_intake *intake = open_intake(&options, 1, &s);
    int port = pstk_intake_port(intake, 0);
    int good = peer_ready(intake, port);
    int silent = peer_connect(port);
    POLL_UNTIL(intake, counters(intake).connections == 2);
    int extra = peer_connect(port);
    POLL_UNTIL(intake, counters(intake).refused == 1);
    CHECK(is_closed(extra));
    CHECK(!is_closed(silent));
    POLL_UNTIL(intake, counters(intake).connections == 1);
    CHECK(is_closed(silent));
    CHECK(strstr(pstk_intake_reason(intake, 0), "handshake") != NULL);
    CHECK(counters(intake).accepted == 3 && s.up == 1 && s.down == 0);
    int late = peer_ready(intake, port);
    CHECK(s.up == 2);
    close(good);
    close(late);
    close(silent);
    close(extra);
    close_all(intake, &s);
}

static void test_a_crowd_of_silent_connections_gives_way_to_a_good_one(void) {
    seen s = {0};
    pstk_source_options options = bind_options();
    options.connections_max = 4;
    options.handshake_ns_max = 60000 * MS;
    pstk_intake *intake = open_intake(&options, 1, &s);
    int port = pstk_intake_port(intake, 0), silent[4];
    for (int i = 0; i < 4; i++)
        silent[i] = peer_connect(port);
    POLL_UNTIL(intake, counters(intake).connections == 4);
    poll_for(intake, REACTOR_EVICT_NS + 20 * MS);
    int good = peer_ready(intake, port);
    CHECK(s.up == 1);
    CHECK(is_closed(silent[0]) && !is_closed(silent[3]));
    for (int i = 0; i < 4; i++)
        close(silent[i]);
    close(good);
    close_all(intake, &s);
}

static void test_poll_waits_less_than_a_millisecond(void) {
    for (int has_timer = 0; has_timer <= 1; has_timer++) {
        seen s = {0};
        pstk_source_options options = bind_options();
        pstk_intake *intake = open_intake(&options, 1, &s);
        if (has_timer && intake->timer < 0) { /* an old kernel's way, on a new one */
            REQUIRE(pstk_reactor_wait_timer(intake, NULL) == PSTK_OK);
        }
        int64_t shortest_ns = INT64_MAX;
        for (int i = 0; i < 20; i++) {
            int64_t start_ns = pstk_boot_ns();
            CHECK(pstk_intake_poll(intake, 200000) == 0);
            shortest_ns = PSTK_MIN(shortest_ns, pstk_boot_ns() - start_ns);
        }
        CHECK(shortest_ns >= 190000 && shortest_ns < 900000);
        int fd = peer_ready(intake, pstk_intake_port(intake, 0));
        CHECK(s.up == 1);
        close(fd);
        close_all(intake, &s);
    }
}

static void *wake_soon(void *intake) {
    struct timespec nap = {0, 20 * MS};
    nanosleep(&nap, NULL);
    pstk_intake_wake(intake);
    return NULL;
}

static void test_wake_ends_a_waiting_poll(void) {
    seen s = {0};
    pstk_source_options options = bind_options();
    pstk_intake *intake = open_intake(&options, 1, &s);
    pthread_t thread;
    int64_t start_ns = pstk_boot_ns();
    REQUIRE(pthread_create(&thread, NULL, wake_soon, intake) == 0);
    CHECK(pstk_intake_poll(intake, 20000 * MS) == 0);
    CHECK(pstk_boot_ns() - start_ns < 10000 * MS);
    pthread_join(thread, NULL);
    start_ns = pstk_boot_ns(); /* one wake, one end */
    CHECK(pstk_intake_poll(intake, 5 * MS) == 0);
    CHECK(pstk_boot_ns() - start_ns >= 5 * MS);
    close_all(intake, &s);
}

static void test_reconnects_with_growing_pauses(void) {
    seen s = {0};
    int port = 0;
    int listener = peer_listen(&port);
    pstk_source_options options = bind_options();
    options.is_bind = 0;
    options.port = (uint16_t)port;
    strcpy(options.host, "localhost"); /* may be ::1 first: then 127.0.0.1 follows at once */
    pstk_intake *intake = open_intake(&options, 1, &s);
    int64_t times_ns[6];
    for (int i = 0; i < 6; i++) { /* hangs up before the handshake is done */
        int fd = peer_accept(intake, listener);
        times_ns[i] = pstk_boot_ns();
        close(fd);
    }
    CHECK(times_ns[5] - times_ns[0] >= 2 * MS + 5 * MS + 10 * MS + 20 * MS + 20 * MS);
    CHECK(s.up == 0 && s.down == 0);
    close(listener);
    poll_for(intake, 50 * MS); /* nobody listens: refused, waits, tries again */
    listener = peer_listen(&port);
    int fd = peer_accept(intake, listener);
    wire_bytes stream = hello();
    add_message(&stream, "back", 4);
    peer_send(intake, fd, &stream);
    POLL_UNTIL(intake, s.count == 1);
    CHECK(s.up == 1 && counters(intake).reconnects >= 5);
    close(fd);
    POLL_UNTIL(intake, s.down == 1);
    close(listener);
    free(stream.bytes);
    close_all(intake, &s);
}

/* ---- coalescing
 * ------------------------------------------------------------------------------------------------
 */

static void test_mark_follows_the_rate(void) {
    pstk_coalesce c = {.mark = 1};
    int64_t now_ns = 0;
    for (int i = 0; i < 100; i++) /* 1 kHz of 66 octets: nothing waits */
        c.mark = pstk_coalesce_note(&c, 66, now_ns += MS, 500000);
    CHECK(c.mark == 1);
    for (int i = 0; i < 1000; i++) /* 33 MB/s: an eighth of a millisecond brings 4 KiB */
        c.mark = pstk_coalesce_note(&c, 3300, now_ns += 100000, 500000);
    CHECK(c.mark > 2000 && c.mark < 8300);
    for (int i = 0; i < 1000; i++)
        c.mark = pstk_coalesce_note(&c, 131072, now_ns += 100000, 500000);
    CHECK(c.mark == 65536);
    for (int i = 0; i < 10; i++) /* it stopped: what the timer finds */
        c.mark = pstk_coalesce_note(&c, 0, now_ns += 500000, 500000);
    CHECK(c.mark == 1);
}

static void test_nothing_waits_for_bytes_that_never_come(void) {
    seen s = {0};
    pstk_source_options options = bind_options();
    options.coalesce_ns = 20 * MS;
    pstk_intake *intake = open_intake(&options, 1, &s);
    int fd = peer_ready(intake, pstk_intake_port(intake, 0));
    wire_bytes stream = {0};
    uint8_t payload[200] = {0};
    size_t sent = 0;
    for (int i = 0; i < 100; i++)
        add_message(&stream, payload, sizeof payload);
    int64_t end_ns = pstk_boot_ns() + 5000 * MS;
    while (intake->hot_count == 0 && pstk_boot_ns() < end_ns) {
        peer_send(intake, fd, &stream);
        sent += 100;
    }
    REQUIRE(intake->hot_count == 1 && intake->connections[0].coalesce.mark > 202);
    stream.size = 0;
    add_message(&stream, "last", 4); /* below the mark, and no more follows */
    REQUIRE(send(fd, stream.bytes, stream.size, 0) == (ssize_t)stream.size);
    POLL_UNTIL(intake, s.count == sent + 1);
    POLL_UNTIL(intake, intake->hot_count == 0); /* and an idle connection costs no timer */
    CHECK(intake->connections[0].coalesce.mark == 1);
    free(stream.bytes);
    close(fd);
    close_all(intake, &s);
}

/* ---- what is refused at open, and what is left at close
 * ---------------------------------------------------------- */

static int open_status(const pstk_source_options *options, pstk_error *err) {
    seen s = {0};
    pstk_sink sink = {&s, sink_frames, sink_link, sink_drop};
    pstk_intake *intake = NULL;
    int status = pstk_intake_open(options, 1, &sink, &intake, err);
    CHECK((status == PSTK_OK) == (intake != NULL));
    pstk_intake_close(intake);
    return status;
}

static void test_bad_options_name_source_and_fix(void) {
    pstk_error err = {0};
    pstk_source_options good = bind_options(), bad;
    CHECK(open_status(&good, &err) == PSTK_OK);
#define BAD(change)                                                                                \
    bad = good;                                                                                    \
    bad.change;                                                                                    \
    CHECK(open_status(&bad, &err) == PSTK_E_ARGUMENT);                                             \
    CHECK(strstr(err.text, "line") != NULL)
    BAD(frame_bytes_max = 0);
    BAD(frame_bytes_max = UINT32_MAX);
    BAD(connections_max = 0);
    BAD(connections_max = 1 << 20);
    BAD(handshake_ns_max = 0);
    BAD(heartbeat_ns = -1);
    BAD(reconnect_ns_max = 1);
    BAD(coalesce_ns = INT64_MAX);
    BAD(subject_count = PSTK_SUBJECTS_MAX + 1);
    BAD(is_bind = 0); /* port 0 */
#undef BAD
    bad = good;
    strcpy(bad.user, "somebody");
    CHECK(open_status(&bad, &err) == PSTK_E_UNSUPPORTED);
}

static void test_a_port_in_use_is_an_error_with_its_number(void) {
    int port = 0;
    int listener = peer_listen(&port);
    seen s = {0};
    pstk_sink sink = {&s, sink_frames, sink_link, sink_drop};
    pstk_source_options options = bind_options();
    options.port = (uint16_t)port;
    pstk_intake *intake = NULL;
    pstk_error err = {0};
    char text[16];
    REQUIRE(pstk_intake_open(&options, 1, &sink, &intake, &err) == PSTK_OK);
    CHECK(pstk_intake_start(intake, &err) == PSTK_E_SYSTEM);
    snprintf(text, sizeof text, "%d", port);
    CHECK(err.os_error == EADDRINUSE && strstr(err.text, text) != NULL);
    pstk_intake_close(intake);
    close(listener);
}

static void test_feed_sources_have_no_socket(void) {
    seen s = {0};
    pstk_source_options options[2] = {{.kind = PSTK_SOURCE_FEED}, bind_options()};
    pstk_intake *intake = open_intake(options, 2, &s);
    CHECK(pstk_intake_port(intake, 0) == -1);
    CHECK(pstk_intake_port(intake, 1) > 0);
    CHECK(pstk_intake_port(intake, 2) == -1);
    CHECK(pstk_intake_poll(intake, 0) == 0);
    close_all(intake, &s);
}

static int open_descriptors(void) {
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

static void test_steady_state_allocates_nothing(void) {
    seen s = {0};
    pstk_source_options options = bind_options();
    pstk_intake *intake = open_intake(&options, 1, &s);
    int fd = peer_ready(intake, pstk_intake_port(intake, 0));
    wire_bytes stream = {0};
    uint8_t payload[64] = {0};
    for (int i = 0; i < 1000; i++)
        add_message(&stream, payload, sizeof payload);
    for (int i = 0; i < 20; i++)
        peer_send(intake, fd, &stream);
    POLL_UNTIL(intake, s.count == 20000);
    s.payloads.capacity = 64 << 20; /* the test's own list must not grow meanwhile */
    s.payloads.bytes = realloc(s.payloads.bytes, s.payloads.capacity);
    REQUIRE(s.payloads.bytes != NULL);
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < 50; i++)
        peer_send(intake, fd, &stream);
    POLL_UNTIL(intake, s.count == 70000);
    struct mallinfo2 after = mallinfo2(); /* zeros under ASan, which then checks the heap itself */
    CHECK(before.uordblks == after.uordblks && before.hblkhd == after.hblkhd);
    free(stream.bytes);
    close(fd);
    close_all(intake, &s);
}

int main(void) {
    int before = open_descriptors();
    test_messages_arrive_in_order_and_links_are_told();
    test_refused_frames_come_again_once_and_in_order();
    test_a_pause_is_not_the_peers_silence();
    test_a_peer_that_left_while_paused_is_read_to_its_end();
    test_large_frames_grow_and_oversize_is_counted_and_closed();
    test_memory_of_a_large_frame_is_given_back();
    test_accepts_again_once_descriptors_are_free();
    test_connections_are_capped_and_silent_ones_time_out();
    test_a_crowd_of_silent_connections_gives_way_to_a_good_one();
    test_poll_waits_less_than_a_millisecond();
    test_wake_ends_a_waiting_poll();
    test_reconnects_with_growing_pauses();
    test_mark_follows_the_rate();
    test_nothing_waits_for_bytes_that_never_come();
    test_bad_options_name_source_and_fix();
    test_a_port_in_use_is_an_error_with_its_number();
    test_feed_sources_have_no_socket();
    test_steady_state_allocates_nothing();
    CHECK(open_descriptors() == before);
    return check_result("intake_reactor");
}
