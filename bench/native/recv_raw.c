/* recv_raw: the limit: the kernel's part alone. Reads the same stream with the socket options, the
 * read size and the low-water mark our reader has at this rate, and discards.
 *
 *   recv_raw OPENING_BYTES MESSAGE_BYTES PORT WARM COUNT */
#include "child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define READ_BYTES (128u * 1024u)
#define MARK_BYTES (64 * 1024)

static int connect_to(uint16_t port) {
    const int on = 1, mark = MARK_BYTES;
    struct sockaddr_in where = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark) < 0 ||
        connect(fd, (struct sockaddr *)&where, sizeof where) < 0)
        child_die("connect: %s", strerror(errno));
    return fd;
}

static void drain(int fd, uint64_t bytes) {
    static uint8_t buffer[READ_BYTES];
    while (bytes > 0) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        (void)poll(&wait, 1, 1); /* a rest below the mark is read after a millisecond */
        ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            child_die("recv: %s", n ? strerror(errno) : "the sender left");
        if (n > 0 && (uint64_t)n > bytes)
            child_die("more came than was asked for");
        bytes -= n > 0 ? (uint64_t)n : 0;
    }
}

int main(int argc, char **argv) {
    if (argc != 6)
        child_die("usage: recv_raw OPENING_BYTES MESSAGE_BYTES PORT WARM COUNT");
    uint64_t message_bytes = child_number(argv[2]), count = child_number(argv[5]);
    int fd = connect_to((uint16_t)child_number(argv[3]));
    drain(fd, child_number(argv[1]) + child_number(argv[4]) * message_bytes);
    child_span begin = child_begin();
    child_say("warm");
    drain(fd, count * message_bytes);
    child_measured(begin, count);
    return 0;
}
