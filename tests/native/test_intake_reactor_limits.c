/* The reactor at its limits: caps, time-outs, descriptors, short waits, reconnecting, and what open
 * and start refuse. */
#include "reactor_peer.h"

#include <pthread.h>
#include <sys/resource.h>

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

static int open_status(const pstk_source_options *options, pstk_error *err) {
    seen s = {0};
    pstk_sink sink = {.context = &s, .frames = sink_frames, .link = sink_link, .drop = sink_drop};
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
    pstk_sink sink = {.context = &s, .frames = sink_frames, .link = sink_link, .drop = sink_drop};
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

int main(void) {
    int before = open_descriptors();
    test_memory_of_a_large_frame_is_given_back();
    test_accepts_again_once_descriptors_are_free();
    test_connections_are_capped_and_silent_ones_time_out();
    test_a_crowd_of_silent_connections_gives_way_to_a_good_one();
    test_poll_waits_less_than_a_millisecond();
    test_wake_ends_a_waiting_poll();
    test_reconnects_with_growing_pauses();
    test_bad_options_name_source_and_fix();
    test_a_port_in_use_is_an_error_with_its_number();
    test_feed_sources_have_no_socket();
    CHECK(open_descriptors() == before);
    return check_result("intake_reactor_limits");
}
