/* reactor_peer: both sides of a reactor test in one thread: a sink that keeps what it takes, and
 * raw peers that speak just enough to push; libzmq peers are in tests/flow. */
#ifndef PSTK_REACTOR_PEER_H
#define PSTK_REACTOR_PEER_H

#include "check.h"
#include "intake/reactor.h"
#include "wire_feed.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MS INT64_C(1000000)

/* ---- the engine's side: a sink that keeps all it takes --------------------------------------- */

typedef struct seen {
    wire_bytes payloads;  /* 4 octets of length, then the payload */
    wire_bytes subjects;  /* all subjects in a row */
    size_t count, budget; /* refuses beyond budget */
    size_t refusals;
    int up, down;
    uint64_t drops[PSTK_DROP_COUNT];
} seen;

static inline bool sink_frames(void *context, uint32_t source, uint32_t connection,
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

static inline void sink_link(void *context, uint32_t source, uint32_t connection, pstk_link link) {
    seen *s = context;
    (void)source;
    (void)connection;
    *(link == PSTK_LINK_UP ? &s->up : &s->down) += 1;
}

static inline void sink_drop(void *context, uint32_t source, pstk_drop reason, uint64_t count) {
    (void)source;
    ((seen *)context)->drops[reason] += count;
}

static inline pstk_source_options bind_options(void) {
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

static inline pstk_intake *open_intake(const pstk_source_options *options, size_t count, seen *s) {
    pstk_sink sink = {.context = s, .frames = sink_frames, .link = sink_link, .drop = sink_drop};
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

static inline void close_all(pstk_intake *intake, seen *s) {
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

static inline void poll_for(pstk_intake *intake, int64_t ns) {
    int64_t end_ns = pstk_boot_ns() + ns;
    while (pstk_boot_ns() < end_ns)
        REQUIRE(pstk_intake_poll(intake, MS) >= 0);
}

static inline pstk_intake_counters counters(const pstk_intake *intake) {
    pstk_intake_counters c;
    pstk_intake_counters_get(intake, 0, &c);
    return c;
}

/* ---- the peer's side ------------------------------------------------------------------------- */

static inline struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline int peer_connect(int port) {
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    REQUIRE(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static inline int peer_listen(int *out_port) {
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

static inline int peer_accept(pstk_intake *intake, int listener) {
    int fd = -1;
    int64_t end_ns = pstk_boot_ns() + 5000 * MS;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0 &&
           pstk_boot_ns() < end_ns)
        REQUIRE(pstk_intake_poll(intake, MS) >= 0);
    REQUIRE(fd >= 0);
    return fd;
}

/* Greeting and READY of a PUSH in one go. */
static inline wire_bytes hello(void) {
    static const char ready[] = "\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH";
    wire_bytes stream = {0};
    uint8_t greeting[64] = {0xFF, [9] = 0x7F, 3, 1, 'N', 'U', 'L', 'L'};
    wire_bytes_add(&stream, greeting, sizeof greeting);
    wire_bytes_add(&stream, ready, sizeof ready - 1);
    return stream;
}

static inline void add_message(wire_bytes *to, const void *payload, size_t size) {
    uint8_t head[9] = {size > 255 ? 2 : 0, (uint8_t)size};
    if (size > 255)
        for (size_t i = 0; i < 8; i++)
            head[1 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
    wire_bytes_add(to, head, size > 255 ? 9 : 2);
    wire_bytes_add(to, payload, size);
}

/* Sends all, polling the intake meanwhile so that neither waits for the other. */
static inline void peer_send(pstk_intake *intake, int fd, const wire_bytes *stream) {
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

static inline int peer_ready(pstk_intake *intake, int port) {
    int fd = peer_connect(port);
    wire_bytes stream = hello();
    uint32_t before = counters(intake).ready;
    peer_send(intake, fd, &stream);
    free(stream.bytes);
    POLL_UNTIL(intake, counters(intake).ready == before + 1);
    return fd;
}

/* Has our side closed? Reads away what it had sent. */
static inline bool is_closed(int fd) {
    uint8_t bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        continue;
    return n == 0 || errno == ECONNRESET;
}

static inline int open_descriptors(void) {
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

#endif
