/* The reactor against raw sockets of its own process: order, pause and resume, large frames,
 * coalescing, and a steady state that allocates nothing. */
#include "reactor_peer.h"

#include <malloc.h>

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

static void test_mark_follows_the_rate(void) {
    pstk_coalesce c = {.mark = 1};
    int64_t now_ns = 0;
    for (int i = 0; i < 100; i++) /* 1 kHz of 66 octets: nothing waits */
        c.mark = pstk_coalesce_note(&c, 66, now_ns += MS, 500000);
    CHECK(c.mark == 1);
    for (int i = 0; i < 1000; i++) /* 33 MB/s: a twentieth of a millisecond brings 1.6 KiB */
        c.mark = pstk_coalesce_note(&c, 3300, now_ns += 100000, 500000);
    CHECK(c.mark > 800 && c.mark < 3400);
    for (int i = 0; i < 1000; i++) /* 330 MB/s: 16 KiB would come, four times that may */
        c.mark = pstk_coalesce_note(&c, 33000, now_ns += 100000, 500000);
    CHECK(c.mark > 32768);
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
    test_mark_follows_the_rate();
    test_nothing_waits_for_bytes_that_never_come();
    test_steady_state_allocates_nothing();
    CHECK(open_descriptors() == before);
    return check_result("intake_reactor");
}
