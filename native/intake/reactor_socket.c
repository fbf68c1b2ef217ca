/* socket: resolve, bind, connect, accept. Every socket is non-blocking, closed on exec, without
 * Nagle, kept alive. */
#include "reactor.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Numeric first, so that an address never waits for a name server. Host "" or "*" is any IPv4
 * address. */
static int resolve(const pstk_source_options *options, struct addrinfo **out_list) {
    char port[8];
    snprintf(port, sizeof port, "%u", options->port);
    bool is_any = options->host[0] == 0 || strcmp(options->host, "*") == 0;
    struct addrinfo hints = {
        .ai_family = is_any ? AF_INET : AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | (options->is_bind ? AI_PASSIVE : 0),
    };
    const char *host = is_any ? NULL : options->host;
    int failure = getaddrinfo(host, port, &hints, out_list);
    if (failure == EAI_NONAME && !is_any) {
        hints.ai_flags &= ~AI_NUMERICHOST;
        failure = getaddrinfo(host, port, &hints, out_list);
    }
    return failure;
}

static void set_options(int fd) {
    const int on = 1;
    /* Best effort: a socket that refuses them still works. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static int bound_port(int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name;
    socklen_t size = sizeof name;
    if (getsockname(fd, &name.any, &size) < 0)
        return -1;
    return ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
}

static int listen_at(const struct addrinfo *address) {
    const int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    int failure = errno;
    close(fd);
    errno = failure;
    return -1;
}

int pstk_socket_listen(const pstk_source_options *options, int *out_fd, int *out_port,
                       pstk_error *err) {
    struct addrinfo *list = NULL;
    int failure = resolve(options, &list);
    if (failure)
        return pstk_fail(err, PSTK_E_SYSTEM, failure == EAI_SYSTEM ? errno : 0,
                         "source %s: cannot resolve host '%s' to bind: %s", options->name,
                         options->host, gai_strerror(failure));
    int fd = listen_at(list);
    failure = errno;
    freeaddrinfo(list);
    if (fd < 0)
        return pstk_fail(err, PSTK_E_SYSTEM, failure, "source %s: cannot bind %s port %u",
                         options->name, options->host, options->port);
    *out_fd = fd;
    *out_port = bound_port(fd);
    return PSTK_OK;
}

static int connect_to(const struct addrinfo *address, int *out_fd) {
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    set_options(fd);
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS) {
        int failure = errno;
        close(fd);
        return failure;
    }
    *out_fd = fd;
    return 0;
}

int pstk_socket_connect(const pstk_source_options *options, uint32_t address,
                        uint32_t *out_addresses, int *out_fd) {
    struct addrinfo *list = NULL;
    *out_addresses = 0;
    if (resolve(options, &list) != 0)
        return EHOSTUNREACH;
    uint32_t count = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        count++;
    const struct addrinfo *chosen = list;
    for (uint32_t i = address % count; i > 0; i--)
        chosen = chosen->ai_next;
    int failure = connect_to(chosen, out_fd);
    freeaddrinfo(list);
    *out_addresses = count;
    return failure;
}

int pstk_socket_accept(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        set_options(fd);
    return fd;
}

int pstk_socket_error(int fd) {
    int failure = 0;
    socklen_t size = sizeof failure;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0 ? errno : failure;
}

bool pstk_socket_is_self(int fd) {
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t own_size = sizeof own, peer_size = sizeof peer;
    if (getsockname(fd, (struct sockaddr *)&own, &own_size) < 0 ||
        getpeername(fd, (struct sockaddr *)&peer, &peer_size) < 0)
        return false;
    return own_size == peer_size && memcmp(&own, &peer, own_size) == 0;
}
