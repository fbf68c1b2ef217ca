/* penstock_emit.h: one file for machine programs and gateways. Samples become `packed` version 1
 * (native/README.md), numbered so that the engine can count what it never saw, and go out as a
 * ZeroMQ PUSH peer or by any transport of yours. C99 and POSIX; no library, no allocation, no
 * thread, no signal.
 *
 *   #define PENSTOCK_EMIT_IMPLEMENTATION        (in one C file, before the include)
 *   #include <penstock_emit.h>
 *
 *   static pstk_push push;                      one peer; connects when there is something to send
 *   static pstk_emit emit;
 *   pstk_push_init(&push, "127.0.0.1", "5555", 1000);
 *   pstk_emit_init(&emit, pstk_push_send, &push, 7, (uint32_t)time(NULL));
 *   pstk_emit_f64(&emit, "line1.temp", now_ns, 21.5, 0);
 *   pstk_emit_flush(&emit);                     a full message goes by itself
 *
 * Bound  PSTK_EMIT_SAMPLES samples or PSTK_EMIT_NAME_BYTES of names a message.
 * Full   a message that cannot be handed over is dropped and its samples counted in `lost`. They
 *        keep their numbers: once the peer is back, the engine counts the same as lost_upstream.
 *        numbered = sent + lost, always.
 * Threads one at a time. Twin  penstock.emit in Python gives the same bytes. */
#ifndef PENSTOCK_EMIT_H
#define PENSTOCK_EMIT_H

#include <stddef.h>
#include <stdint.h>

#define PSTK_EMIT_SAMPLES 256u
#define PSTK_EMIT_NAMES 255u
#define PSTK_EMIT_NAME_BYTES 8192u /* of all names of a message, two bytes each on top */
#define PSTK_EMIT_NAME_MAX 95u
#define PSTK_EMIT_MESSAGE_MAX (32u + PSTK_EMIT_NAME_BYTES + 16u * PSTK_EMIT_SAMPLES)
#define PSTK_EMIT_NO_TIME INT64_MIN /* the receive time stands in */

/* Hands one message over; 0 = done, anything else = lost. */
typedef int (*pstk_emit_transport)(void *self, const uint8_t *message, size_t bytes);

typedef struct pstk_emit {
    pstk_emit_transport send;
    void *transport;
    uint32_t stream, boot;
    uint64_t numbered; /* samples of this boot so far: the next message's seq */
    uint64_t sent, lost, messages;
    uint32_t count, names, name_bytes, last; /* of the message being made */
    uint16_t name_at[PSTK_EMIT_NAMES];
    uint8_t name_table[PSTK_EMIT_NAME_BYTES];
    int64_t time_ns[PSTK_EMIT_SAMPLES], time_min, time_max;
    uint64_t value[PSTK_EMIT_SAMPLES];
    uint16_t name[PSTK_EMIT_SAMPLES], quality[PSTK_EMIT_SAMPLES];
    uint8_t message[PSTK_EMIT_MESSAGE_MAX];
} pstk_emit;

/* stream: which clock and sequence this is, one number a program. boot: changes whenever counting
 * begins anew, for example the start time in seconds. */
void pstk_emit_init(pstk_emit *emit, pstk_emit_transport send, void *transport, uint32_t stream,
                    uint32_t boot);
/* 0 = in the message; -1 = lost and counted: a name is 1 to 95 bytes. quality: OPC UA StatusCode
 * >> 16, 0 = good. */
int pstk_emit_f64(pstk_emit *emit, const char *name, int64_t time_ns, double value,
                  uint16_t quality);
int pstk_emit_i64(pstk_emit *emit, const char *name, int64_t time_ns, int64_t value,
                  uint16_t quality);
int pstk_emit_bool(pstk_emit *emit, const char *name, int64_t time_ns, int value, uint16_t quality);
/* What is waiting goes now; -1 = it was lost, and counted. */
int pstk_emit_flush(pstk_emit *emit);

/* ---- a ZeroMQ PUSH peer over TCP (ZMTP 3.0, NULL mechanism) --------------------------------- */

typedef struct pstk_push {
    const char *host, *port; /* the caller's, as long as the peer lives */
    int socket;              /* -1 = not connected */
    uint32_t timeout_ms;     /* longest that connecting, or one message, may wait */
    int64_t retry_at_ms;     /* no attempt before; one a timeout_ms */
    uint64_t connects;
} pstk_push;

void pstk_push_init(pstk_push *push, const char *host, const char *port, uint32_t timeout_ms);
int pstk_push_send(void *push, const uint8_t *message, size_t bytes);
void pstk_push_close(pstk_push *push);

#endif /* PENSTOCK_EMIT_H */

#ifdef PENSTOCK_EMIT_IMPLEMENTATION

#include <string.h>

static uint8_t *pstk_emit_put(uint8_t *at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i)); /* little-endian on any machine */
    return at + bytes;
}

void pstk_emit_init(pstk_emit *emit, pstk_emit_transport send, void *transport, uint32_t stream,
                    uint32_t boot) {
    memset(emit, 0, sizeof *emit);
    emit->send = send;
    emit->transport = transport;
    emit->stream = stream;
    emit->boot = boot;
}

static size_t pstk_emit_build(pstk_emit *emit) {
    uint8_t *at = emit->message;
    memcpy(at, "PSK1", 4);
    at = pstk_emit_put(at + 4, emit->count, 2);
    at = pstk_emit_put(at, emit->names, 1);
    at = pstk_emit_put(at, 0, 1);
    at = pstk_emit_put(at, emit->stream, 4);
    at = pstk_emit_put(at, emit->boot, 4);
    at = pstk_emit_put(at, emit->numbered, 8);
    at = pstk_emit_put(at, (uint64_t)emit->time_min, 8);
    memcpy(at, emit->name_table, emit->name_bytes);
    at += emit->name_bytes;
    for (uint32_t i = 0; i < emit->count; i++) {
        at = pstk_emit_put(at, emit->value[i], 8);
        at = pstk_emit_put(at, (uint64_t)emit->time_ns[i] - (uint64_t)emit->time_min, 4);
        at = pstk_emit_put(at, emit->name[i], 2);
        at = pstk_emit_put(at, emit->quality[i], 2);
    }
    return (size_t)(at - emit->message);
}

int pstk_emit_flush(pstk_emit *emit) {
    if (!emit->count)
        return 0;
    size_t bytes = pstk_emit_build(emit);
    int is_lost = emit->send(emit->transport, emit->message, bytes) != 0;
    if (is_lost)
        emit->lost += emit->count;
    else
        emit->sent += emit->count;
    emit->messages += !is_lost;
    emit->numbered += emit->count;
    emit->count = emit->names = emit->name_bytes = emit->last = 0;
    return is_lost ? -1 : 0;
}

static int pstk_emit_is_name(const pstk_emit *emit, uint32_t i, uint8_t type, const char *name,
                             size_t bytes) {
    const uint8_t *at = emit->name_table + emit->name_at[i];
    return at[0] == type && at[1] == bytes && memcmp(at + 2, name, bytes) == 0;
}

/* Place of a name in the table, or names where it is not there: the successor of the last first. */
static uint32_t pstk_emit_find(pstk_emit *emit, uint8_t type, const char *name, size_t bytes) {
    uint32_t next = emit->last + 1 < emit->names ? emit->last + 1 : 0;
    if (emit->names && pstk_emit_is_name(emit, next, type, name, bytes))
        return next;
    for (uint32_t i = 0; i < emit->names; i++)
        if (pstk_emit_is_name(emit, i, type, name, bytes))
            return i;
    return emit->names;
}

/* Whether the sample goes into the message that is being made. */
static int pstk_emit_fits(const pstk_emit *emit, int64_t time_ns, size_t new_name_bytes) {
    if (!emit->count)
        return 1;
    int64_t low = time_ns < emit->time_min ? time_ns : emit->time_min;
    int64_t high = time_ns > emit->time_max ? time_ns : emit->time_max;
    if ((time_ns == PSTK_EMIT_NO_TIME) != (emit->time_min == PSTK_EMIT_NO_TIME))
        return 0;
    return emit->count < PSTK_EMIT_SAMPLES && (uint64_t)high - (uint64_t)low <= UINT32_MAX &&
           (!new_name_bytes || (emit->names < PSTK_EMIT_NAMES &&
                                emit->name_bytes + new_name_bytes <= PSTK_EMIT_NAME_BYTES));
}

static uint32_t pstk_emit_add_name(pstk_emit *emit, uint8_t type, const char *name, size_t bytes) {
    uint8_t *at = emit->name_table + emit->name_bytes;
    emit->name_at[emit->names] = (uint16_t)emit->name_bytes;
    at[0] = type;
    at[1] = (uint8_t)bytes;
    memcpy(at + 2, name, bytes);
    emit->name_bytes += (uint32_t)bytes + 2;
    return emit->names++;
}

static int pstk_emit_bits(pstk_emit *emit, uint8_t type, const char *name, int64_t time_ns,
                          uint64_t bits, uint16_t quality) {
    size_t bytes = strlen(name);
    if (bytes == 0 || bytes > PSTK_EMIT_NAME_MAX) {
        pstk_emit_flush(emit);
        emit->numbered++; /* its number is missing in what the peer sees */
        emit->lost++;
        return -1;
    }
    uint32_t place = pstk_emit_find(emit, type, name, bytes);
    if (!pstk_emit_fits(emit, time_ns, place == emit->names ? bytes + 2 : 0)) {
        pstk_emit_flush(emit);
        place = 0;
    }
    if (place == emit->names)
        place = pstk_emit_add_name(emit, type, name, bytes);
    uint32_t i = emit->count++;
    if (i == 0 || time_ns < emit->time_min)
        emit->time_min = time_ns;
    if (i == 0 || time_ns > emit->time_max)
        emit->time_max = time_ns;
    emit->time_ns[i] = time_ns;
    emit->value[i] = bits;
    emit->name[i] = (uint16_t)place;
    emit->quality[i] = quality;
    emit->last = place;
    return 0;
}

int pstk_emit_f64(pstk_emit *emit, const char *name, int64_t time_ns, double value,
                  uint16_t quality) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    return pstk_emit_bits(emit, 1, name, time_ns, bits, quality);
}

int pstk_emit_i64(pstk_emit *emit, const char *name, int64_t time_ns, int64_t value,
                  uint16_t quality) {
    return pstk_emit_bits(emit, 2, name, time_ns, (uint64_t)value, quality);
}

int pstk_emit_bool(pstk_emit *emit, const char *name, int64_t time_ns, int value,
                   uint16_t quality) {
    return pstk_emit_bits(emit, 3, name, time_ns, value != 0, quality);
}

/* ---- the peer ------------------------------------------------------------------------------- */

#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#ifndef MSG_MORE
#define MSG_MORE 0 /* Linux: head and message leave together */
#endif

static int64_t pstk_push_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void pstk_push_init(pstk_push *push, const char *host, const char *port, uint32_t timeout_ms) {
    memset(push, 0, sizeof *push);
    push->host = host;
    push->port = port;
    push->timeout_ms = timeout_ms ? timeout_ms : 1000;
    push->socket = -1;
    push->retry_at_ms = INT64_MIN;
}

void pstk_push_close(pstk_push *push) {
    if (push->socket >= 0)
        close(push->socket);
    push->socket = -1;
}

static int pstk_push_write(int socket, const uint8_t *from, size_t bytes, int more) {
    while (bytes) {
        ssize_t done = send(socket, from, bytes, MSG_NOSIGNAL | more);
        if (done <= 0)
            return -1; /* time is up, or the peer is gone: half a frame ends the connection */
        from += done;
        bytes -= (size_t)done;
    }
    return 0;
}

static int pstk_push_read(int socket, uint8_t *to, size_t bytes) {
    while (bytes) {
        ssize_t done = recv(socket, to, bytes, 0);
        if (done <= 0)
            return -1;
        to += done;
        bytes -= (size_t)done;
    }
    return 0;
}

/* Greetings and READY, both ways (rfc.zeromq.org/spec/23). */
static int pstk_push_greet(int socket) {
    static const uint8_t ready[] = "\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH";
    uint8_t hello[64] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    uint8_t theirs[256];
    if (pstk_push_write(socket, hello, sizeof hello, 0) || pstk_push_read(socket, theirs, 64) ||
        theirs[0] != 0xff || theirs[9] != 0x7f || theirs[10] < 3 ||
        memcmp(theirs + 12, "NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20) != 0)
        return -1;
    if (pstk_push_write(socket, ready, sizeof ready - 1, 0) || pstk_push_read(socket, theirs, 2) ||
        theirs[0] != 0x04)
        return -1;
    return pstk_push_read(socket, theirs + 2, theirs[1]) || memcmp(theirs + 2, "\x05READY", 6) != 0
               ? -1
               : 0;
}

static int pstk_push_open(const struct addrinfo *to, uint32_t timeout_ms) {
    struct timeval wait = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000};
    int socket_ = socket(to->ai_family, to->ai_socktype, to->ai_protocol);
    if (socket_ < 0)
        return -1;
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(socket_, to->ai_addr, to->ai_addrlen) == 0 && pstk_push_greet(socket_) == 0)
        return socket_;
    close(socket_);
    return -1;
}

static int pstk_push_connect(pstk_push *push) {
    if (pstk_push_now_ms() < push->retry_at_ms)
        return -1;
    struct addrinfo wanted = {0}, *found = NULL;
    wanted.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(push->host, push->port, &wanted, &found) == 0)
        for (const struct addrinfo *each = found; each && push->socket < 0; each = each->ai_next)
            push->socket = pstk_push_open(each, push->timeout_ms);
    if (found)
        freeaddrinfo(found);
    push->retry_at_ms = pstk_push_now_ms() + push->timeout_ms;
    push->connects += push->socket >= 0;
    return push->socket >= 0 ? 0 : -1;
}

/* What the peer says: its end is noticed before a message is given to a dead socket; a PING is
 * answered. */
static void pstk_push_listen(pstk_push *push) {
    uint8_t said[256], pong[256] = {0x04, 0, 4, 'P', 'O', 'N', 'G'};
    ssize_t bytes = 1;
    while (push->socket >= 0 && bytes > 0) {
        bytes = recv(push->socket, said, sizeof said, MSG_DONTWAIT);
        if (bytes == 0)
            pstk_push_close(push);
        size_t context = bytes > 9 && said[1] >= 7 ? said[1] - 7u : 0;
        if (bytes < 9 || memcmp(said + 2, "\4PING", 5) != 0 || context > (size_t)bytes - 9)
            continue;
        pong[1] = (uint8_t)(5 + context);
        memcpy(pong + 7, said + 9, context);
        if (pstk_push_write(push->socket, pong, 7 + context, 0))
            pstk_push_close(push);
    }
}

int pstk_push_send(void *self, const uint8_t *message, size_t bytes) {
    pstk_push *push = self;
    uint8_t head[9] = {bytes > 255 ? 2 : 0};
    size_t width = bytes > 255 ? 8 : 1;
    pstk_push_listen(push);
    if (push->socket < 0 && pstk_push_connect(push))
        return -1;
    for (size_t i = 0; i < width; i++)
        head[1 + i] = (uint8_t)((uint64_t)bytes >> (8 * (width - 1 - i)));
    if (pstk_push_write(push->socket, head, 1 + width, MSG_MORE) == 0 &&
        pstk_push_write(push->socket, message, bytes, 0) == 0)
        return 0;
    pstk_push_close(push);
    return -1;
}

#endif /* PENSTOCK_EMIT_IMPLEMENTATION */
