/* send_stream: the plan as a TCP stream, flat out or paced, by a program that knows no protocol
 * beyond its opening: ZMTP (greeting and READY, then frames) or NATS (INFO, PONG, then MSG lines on
 * ten subjects; or as a publisher of a live server). The bytes are those of every other run; they
 * are written in blocks that stay in the cache, so that serving costs little more than the kernel's
 * part.
 *
 *   send_stream zmtp|pub|nats|publish packed|json [tags=1000] [cyclic=0] [over=1000]
 *               [samples=1] [connections=1] [server=PORT]
 *
 * pub: as a PUB socket does, samples that find no room are left out; their numbers show it.
 * over: samples in a million that cross the limit. samples: in one message (packed).
 * connections: a tag's samples all take the same one.
 * Obeys child.h, "pace RATE COUNT", "tail?" (where it will stand) and "expected?" (so far).
 */
#include "child.h"
#include "pace.h"
#include "plan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCKS_BYTES (256u * 1024u) /* of one connection; of many together, but each: */
#define BLOCK_BYTES_MIN (24u * 1024u)
#define FRAME_BYTES_MAX (PLAN_BLOCK_BYTES_MAX + 64u)
#define CONNECTIONS_MAX 256u
#define SUBJECTS 10u

typedef struct peer {
    int fd;
    uint64_t seq; /* samples of its stream so far */
    size_t used;
    uint8_t *block;
    bool is_gone; /* has ended; what is sent to it then fails */
} peer;

static struct {
    plan plan;
    bool is_nats, is_publisher, is_pub, may_wait;
    uint32_t connections, samples; /* samples: in one message */
    uint64_t sent, expected_to;
    int64_t tails;          /* so far */
    uint32_t waiting_count; /* samples of the unfinished message */
    plan_sample waiting[PLAN_BLOCK_SAMPLES_MAX];
    size_t block_bytes;
    char sid[16];
} out = {.may_wait = true};

static peer peers[CONNECTIONS_MAX];
static plan_writer writer;
static plan_expected expected;

/* ---- bytes ----------------------------------------------------------------------------------- */

static void write_all(int fd, const void *bytes, size_t size) {
    const char *at = bytes;
    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            child_die("send: %s", strerror(errno));
        at += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
}

static void flush(peer *to) {
    size_t done = 0;
    if (out.may_wait) {
        write_all(to->fd, to->block, to->used);
        done = to->used;
    }
    while (done < to->used) {
        ssize_t n = send(to->fd, to->block + done, to->used - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno != EINTR)
            child_die("send: %s", strerror(errno));
        done += n > 0 ? (size_t)n : 0;
    }
    to->used -= done;
    if (to->used)
        memmove(to->block, to->block + done, to->used);
}

static bool has_room(peer *to) {
    if (out.block_bytes - to->used < FRAME_BYTES_MAX)
        flush(to);
    return out.block_bytes - to->used >= FRAME_BYTES_MAX;
}

/* ---- messages -------------------------------------------------------------------------------- */

static size_t put_nats_head(uint8_t *at, uint32_t tag, size_t payload_bytes) {
    const char *form = out.is_publisher ? "PUB tel.line%u %s%zu\r\n" : "MSG tel.line%u %s %zu\r\n";
    return (size_t)snprintf((char *)at, 64, form, tag / 100 % SUBJECTS, out.sid, payload_bytes);
}

/* One sample's message: its head is the same each time, but for NATS's subject. */
static void put_single(peer *to, uint32_t stream, plan_sample sample) {
    static uint8_t heads[SUBJECTS][64];
    static size_t head_bytes;
    uint8_t *at = to->block + to->used;
    if (!out.is_nats) {
        at[0] = 0; /* a short frame, the last of its message */
        at[1] = PLAN_MESSAGE_BYTES;
        plan_write(&writer, stream, to->seq, sample, at + 2);
        to->used += 2 + PLAN_MESSAGE_BYTES;
        return;
    }
    if (!head_bytes)
        for (uint32_t k = 0; k < SUBJECTS; k++)
            head_bytes = put_nats_head(heads[k], k * 100, PLAN_MESSAGE_BYTES);
    memcpy(at, heads[sample.tag / 100 % SUBJECTS], head_bytes);
    plan_write(&writer, stream, to->seq, sample, at + head_bytes);
    memcpy(at + head_bytes + PLAN_MESSAGE_BYTES, "\r\n", 2);
    to->used += head_bytes + PLAN_MESSAGE_BYTES + 2;
}

static void put_many(peer *to, uint32_t stream, const plan_sample *samples, uint32_t count) {
    static uint8_t payload[PLAN_BLOCK_BYTES_MAX];
    size_t size = plan_write_block(&writer, stream, to->seq, samples, count, payload);
    uint8_t *at = to->block + to->used, *begin = at;
    if (out.is_nats) {
        at += put_nats_head(at, samples[0].tag, size);
    } else if (size < 256) {
        *at++ = 0;
        *at++ = (uint8_t)size;
    } else {
        *at++ = 2; /* a long frame */
        for (int shift = 56; shift >= 0; shift -= 8)
            *at++ = (uint8_t)((uint64_t)size >> shift);
    }
    memcpy(at, payload, size);
    at += size;
    if (out.is_nats) {
        memcpy(at, "\r\n", 2);
        at += 2;
    }
    to->used += (size_t)(at - begin);
}

/* False: there was no room, and the samples are left out. */
static bool put_message(const plan_sample *samples, uint32_t count) {
    uint32_t index = samples[0].tag % out.connections;
    peer *to = &peers[index];
    bool is_put = has_room(to);
    if (is_put && count == 1)
        put_single(to, 7 + index, samples[0]);
    else if (is_put)
        put_many(to, 7 + index, samples, count);
    to->seq += count;
    return is_put;
}

static bool put_waiting(void) {
    uint32_t count = out.waiting_count;
    out.waiting_count = 0;
    return count == 0 || put_message(out.waiting, count);
}

/* False: this sample, or the message it ended, was left out. */
static bool put(plan_sample sample) {
    if (out.samples == 1)
        return put_message(&sample, 1);
    out.waiting[out.waiting_count++] = sample;
    return out.waiting_count < out.samples || put_waiting();
}

static void flush_all(void) {
    (void)put_waiting();
    for (uint32_t k = 0; k < out.connections; k++)
        flush(&peers[k]);
}

/* ---- openings -------------------------------------------------------------------------------- */

static const uint8_t greeting[64] = {0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1, 'N', 'U', 'L', 'L'};
static const char ready_push[] = "\4\32\5READY\13Socket-Type\0\0\0\4PUSH";
static const char ready_pub[] = "\4\31\5READY\13Socket-Type\0\0\0\3PUB";
#define OPENING_BYTES (sizeof greeting + sizeof ready_push - 1)

static void open_zmtp(int fd) {
    write_all(fd, greeting, sizeof greeting);
    if (out.is_pub)
        write_all(fd, ready_pub, sizeof ready_pub - 1);
    else
        write_all(fd, ready_push, sizeof ready_push - 1);
}

static void read_line(int fd, char *line, size_t capacity) {
    size_t size = 0;
    char byte;
    while (recv(fd, &byte, 1, 0) == 1) {
        if (byte == '\n') {
            line[size] = 0;
            return;
        }
        if (byte != '\r' && size + 1 < capacity)
            line[size++] = byte;
    }
    child_die("the peer left during its opening");
}

static void open_nats(int fd) {
    static const char info[] = "INFO {\"server_id\":\"BENCH\",\"version\":\"2.15.1\",\"proto\":1,"
                               "\"headers\":true,\"max_payload\":1048576}\r\n";
    char line[4096];
    bool is_answered = false;
    write_all(fd, info, sizeof info - 1);
    while (!is_answered || !out.sid[0]) {
        read_line(fd, line, sizeof line);
        const char *last = strrchr(line, ' ');
        if (strncmp(line, "SUB ", 4) == 0)
            snprintf(out.sid, sizeof out.sid, "%.15s", last + 1);
        if (strcmp(line, "PING") != 0)
            continue;
        write_all(fd, "PONG\r\n", 6);
        is_answered = true;
    }
}

static void open_publisher(int fd) {
    static const char hello[] = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n";
    char line[4096];
    write_all(fd, hello, sizeof hello - 1);
    do
        read_line(fd, line, sizeof line);
    while (strcmp(line, "PONG") != 0);
}

/* ---- sockets --------------------------------------------------------------------------------- */

static int new_socket(struct sockaddr_in *where, uint64_t port) {
    *where = (struct sockaddr_in){.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        child_die("socket: %s", strerror(errno));
    return fd;
}

static int listen_anywhere(void) {
    struct sockaddr_in where;
    socklen_t size = sizeof where;
    int fd = new_socket(&where, 0);
    if (bind(fd, (struct sockaddr *)&where, size) < 0 || listen(fd, CONNECTIONS_MAX) < 0 ||
        getsockname(fd, (struct sockaddr *)&where, &size) < 0)
        child_die("listen: %s", strerror(errno));
    printf("port %u opening %zu\n", ntohs(where.sin_port), out.is_nats ? 0 : OPENING_BYTES);
    fflush(stdout);
    return fd;
}

static int connect_to(uint64_t port) {
    struct sockaddr_in where;
    int fd = new_socket(&where, port);
    if (connect(fd, (struct sockaddr *)&where, sizeof where) < 0)
        child_die("connect: %s", strerror(errno));
    printf("port %llu opening 0\n", (unsigned long long)port);
    fflush(stdout);
    return fd;
}

static void open_peer(peer *to, int fd) {
    const int on = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        child_die("accept: %s", strerror(errno));
    *to = (peer){.fd = fd, .block = malloc(out.block_bytes)};
    if (!to->block)
        child_die("no memory");
    if (out.is_publisher)
        open_publisher(fd);
    else if (out.is_nats)
        open_nats(fd);
    else
        open_zmtp(fd);
}

static void open_peers(uint64_t server_port) {
    if (out.is_publisher) {
        open_peer(&peers[0], connect_to(server_port));
        return;
    }
    int listener = listen_anywhere();
    for (uint32_t k = 0; k < out.connections; k++)
        open_peer(&peers[k], accept(listener, NULL, NULL));
    close(listener);
}

/* ---- between orders -------------------------------------------------------------------------- */

/* A peer that rests is asked whether it lives, and hung up on where it is silent: each PING is
 * answered behind what is still unsent. Its few octets come whole; nothing else is asked of us. */
static void answer(peer *from) {
    const char *ping = out.is_nats ? "PING\r\n" : "\4PING";
    const char *pong = out.is_nats ? "PONG\r\n" : "\4\5\4PONG";
    char heard[4096];
    ssize_t n = recv(from->fd, heard, sizeof heard, MSG_DONTWAIT);
    from->is_gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    bool is_asked = n > 0 && memmem(heard, (size_t)n, ping, strlen(ping));
    if (!is_asked || out.block_bytes - from->used < strlen(pong))
        return;
    memcpy(from->block + from->used, pong, strlen(pong));
    from->used += strlen(pong);
    flush(from);
}

/* The next line of standard input, its end cut off; false where it has ended. */
static bool next_order(char *line, size_t capacity) {
    static char read_ahead[4096];
    static size_t ahead;
    for (;;) {
        char *end = memchr(read_ahead, '\n', ahead);
        size_t size = end ? (size_t)(end - read_ahead) : 0;
        if (end && size < capacity) {
            memcpy(line, read_ahead, size);
            line[size] = 0;
            ahead -= size + 1;
            memmove(read_ahead, end + 1, ahead);
            return true;
        }
        struct pollfd waits[1 + CONNECTIONS_MAX] = {{.fd = STDIN_FILENO, .events = POLLIN}};
        for (uint32_t k = 0; k < out.connections; k++)
            waits[1 + k] =
                (struct pollfd){.fd = peers[k].is_gone ? -1 : peers[k].fd, .events = POLLIN};
        if (end || poll(waits, 1 + out.connections, -1) < 0)
            child_die("no order of %zu letters was expected", size);
        for (uint32_t k = 0; k < out.connections; k++)
            if (waits[1 + k].revents)
                answer(&peers[k]);
        if (!waits[0].revents)
            continue;
        ssize_t n = read(STDIN_FILENO, read_ahead + ahead, sizeof read_ahead - ahead);
        if (n <= 0)
            return false;
        ahead += (size_t)n;
    }
}

/* ---- orders ---------------------------------------------------------------------------------- */

/* What was sent whole is added up when nobody waits for it. */
static void expect_sent(void) {
    for (; out.expected_to < out.sent; out.expected_to++)
        plan_expect(&expected, plan_sample_at(&out.plan, out.expected_to));
}

static void print_expected(void) {
    expect_sent();
    plan_expect_print(&expected);
}

static void put_paced(uint64_t i, plan_sample sample) {
    out.sent = out.expected_to = i + 1;
    if (put(sample))
        plan_expect(&expected, sample);
    else
        expected.sent++;
}

static void obey_pace(const char *line) {
    static const pace_line into = {.put = put_paced, .flush = flush_all};
    unsigned long long rate = 0, count = 0;
    if (sscanf(line, "pace %llu %llu", &rate, &count) != 2 || rate == 0)
        child_die("pace RATE COUNT, not %s", line);
    expect_sent();
    out.may_wait = !out.is_pub;
    pace(&into, &out.plan, out.sent, count, rate);
    out.may_wait = true;
}

/* A further tail stands as far behind the one before: it tells what that one folded. */
static void put_tail(uint32_t tag) {
    plan_sample sample = plan_sample_tail(&out.plan, out.sent, tag);
    sample.time_ns += out.tails * PLAN_TAIL_NS;
    (void)put(sample);
}

static void obey(void) {
    char line[64];
    while (next_order(line, sizeof line)) {
        if (strncmp(line, "send ", 5) == 0)
            for (uint64_t end = out.sent + child_number(line + 5); out.sent < end; out.sent++)
                (void)put(plan_sample_at(&out.plan, out.sent));
        else if (strncmp(line, "pace ", 5) == 0)
            obey_pace(line);
        else if (strncmp(line, "tail?", 5) == 0)
            plan_tail_print(&out.plan, out.sent);
        else if (strncmp(line, "expected?", 9) == 0)
            print_expected();
        else
            for (uint32_t tag = 0; tag < out.plan.tags; tag++)
                put_tail(tag);
        out.tails += strncmp(line, "tail", 4) == 0 && line[4] != '?';
        flush_all();
    }
    print_expected();
}

int main(int argc, char **argv) {
    if (argc < 3)
        child_die("usage: send_stream zmtp|pub|nats|publish packed|json [NAME=VALUE ...]");
    bool is_json = strcmp(argv[2], "json") == 0;
    out.is_publisher = strcmp(argv[1], "publish") == 0;
    out.is_nats = out.is_publisher || strcmp(argv[1], "nats") == 0;
    out.is_pub = strcmp(argv[1], "pub") == 0;
    out.plan = PLAN_DEFAULT;
    out.plan.tags = (uint32_t)child_option(argv, "tags", PLAN_TAGS);
    out.plan.is_cyclic = child_option(argv, "cyclic", 0);
    out.plan.over_per_million = (uint32_t)child_option(argv, "over", PLAN_OVER_PER_MILLION);
    out.samples = (uint32_t)child_option(argv, "samples", 1);
    out.connections = (uint32_t)child_option(argv, "connections", 1);
    if (out.plan.tags - 1 >= PLAN_TAGS_MAX || out.samples - 1 >= PLAN_BLOCK_SAMPLES_MAX ||
        out.connections - 1 >= CONNECTIONS_MAX ||
        (out.samples > 1 && (is_json || out.is_pub || out.connections > 1)))
        child_die("send_stream: that many tags, samples or connections it cannot send");
    out.block_bytes = BLOCKS_BYTES / out.connections;
    if (out.block_bytes < BLOCK_BYTES_MIN)
        out.block_bytes = BLOCK_BYTES_MIN;
    plan_writer_init(&writer, is_json);
    open_peers(child_option(argv, "server", 0));
    obey();
    for (uint32_t k = 0; k < out.connections; k++) {
        close(peers[k].fd);
        free(peers[k].block);
    }
    return 0;
}
