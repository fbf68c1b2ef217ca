/* send_stream: the plan as a recorded TCP stream, served flat out to one peer by a program that
 * knows no protocol beyond its opening: ZMTP (greeting and READY, then frames) or NATS (INFO, PONG,
 * then MSG lines on ten subjects). The bytes are those of every other run; they are written in
 * blocks that stay in the cache, so that serving costs little more than the kernel's part.
 *
 *   send_stream zmtp|nats packed|json */
#include "child.h"
#include "plan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK_BYTES (256u * 1024u)
#define FRAME_BYTES_MAX 128u

typedef struct stream {
    int fd;
    bool is_nats;
    char sid[16];
    size_t frame_bytes, head_bytes;
    char head[10][32]; /* NATS: one MSG line a subject */
    size_t used;
    uint8_t block[BLOCK_BYTES];
} stream;

static plan_writer writer;
static plan_expected expected;
static stream out;

static void write_all(const void *bytes, size_t size) {
    const char *at = bytes;
    while (size > 0) {
        ssize_t n = send(out.fd, at, size, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            child_die("send: %s", strerror(errno));
        at += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
}

static void flush(void) {
    write_all(out.block, out.used);
    out.used = 0;
}

static void send_one(uint64_t i, plan_sample sample) {
    if (BLOCK_BYTES - out.used < FRAME_BYTES_MAX)
        flush();
    uint8_t *at = out.block + out.used;
    if (out.is_nats) {
        memcpy(at, out.head[sample.tag / 100], out.head_bytes);
        plan_write(&writer, i, sample, at + out.head_bytes);
        memcpy(at + out.head_bytes + PLAN_MESSAGE_BYTES, "\r\n", 2);
    } else {
        at[0] = 0; /* a short frame, the last of its message */
        at[1] = PLAN_MESSAGE_BYTES;
        plan_write(&writer, i, sample, at + 2);
    }
    out.used += out.frame_bytes;
}

/* ---- openings -------------------------------------------------------------------------------- */

static const uint8_t greeting[64] = {0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1, 'N', 'U', 'L', 'L'};
static const char ready[] = "\4\32\5READY\13Socket-Type\0\0\0\4PUSH"; /* a command of 26 bytes */
#define OPENING_BYTES (sizeof greeting + sizeof ready - 1)

static void open_zmtp(void) {
    write_all(greeting, sizeof greeting);
    write_all(ready, sizeof ready - 1);
    out.frame_bytes = PLAN_MESSAGE_BYTES + 2;
}

static void read_line(char *line, size_t capacity) {
    size_t size = 0;
    char byte;
    while (recv(out.fd, &byte, 1, 0) == 1) {
        if (byte == '\n') {
            line[size] = 0;
            return;
        }
        if (byte != '\r' && size + 1 < capacity)
            line[size++] = byte;
    }
    child_die("the peer left during its opening");
}

static void open_nats(void) {
    static const char info[] = "INFO {\"server_id\":\"BENCH\",\"version\":\"2.15.1\",\"proto\":1,"
                               "\"headers\":true,\"max_payload\":1048576}\r\n";
    char line[4096];
    bool is_answered = false;
    write_all(info, sizeof info - 1);
    while (!is_answered || !out.sid[0]) {
        read_line(line, sizeof line);
        const char *last = strrchr(line, ' ');
        if (strncmp(line, "SUB ", 4) == 0)
            snprintf(out.sid, sizeof out.sid, "%.15s", last + 1);
        if (strcmp(line, "PING") != 0)
            continue;
        write_all("PONG\r\n", 6);
        is_answered = true;
    }
    for (int k = 0; k < 10; k++)
        out.head_bytes =
            (size_t)snprintf(out.head[k], sizeof out.head[k], "MSG tel.line%d %s %u\r\n", k,
                             out.sid, PLAN_MESSAGE_BYTES);
    out.frame_bytes = out.head_bytes + PLAN_MESSAGE_BYTES + 2;
}

/* ---- serve ----------------------------------------------------------------------------------- */

static int listen_anywhere(void) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof where;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&where, size) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&where, &size) < 0)
        child_die("listen: %s", strerror(errno));
    printf("port %u opening %zu\n", ntohs(where.sin_port), out.is_nats ? 0 : OPENING_BYTES);
    fflush(stdout);
    return fd;
}

static void obey(void) {
    char line[64];
    uint64_t sent = 0;
    while (fgets(line, sizeof line, stdin)) {
        if (strncmp(line, "send ", 5) == 0)
            for (uint64_t end = sent + child_number(line + 5); sent < end; sent++)
                send_one(sent, plan_at(sent));
        else
            for (uint32_t tag = 0; tag < PLAN_TAGS; tag++)
                send_one(sent + tag, plan_tail_at(sent, tag));
        flush();
    }
    for (uint64_t i = 0; i < sent; i++)
        plan_expect(&expected, plan_at(i));
    plan_expect_print(&expected);
}

int main(int argc, char **argv) {
    if (argc != 3)
        child_die("usage: send_stream zmtp|nats packed|json");
    out.is_nats = strcmp(argv[1], "nats") == 0;
    plan_writer_init(&writer, strcmp(argv[2], "json") == 0);
    int listener = listen_anywhere();
    out.fd = accept(listener, NULL, NULL);
    const int on = 1;
    if (out.fd < 0 || setsockopt(out.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        child_die("accept: %s", strerror(errno));
    if (out.is_nats)
        open_nats();
    else
        open_zmtp();
    obey();
    close(out.fd);
    close(listener);
    return 0;
}
