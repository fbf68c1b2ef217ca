/* connection: the life of one connection, from attempt or accept to close, and the back-off
 * between. */
#include "reactor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

uint32_t pstk_connection_index(const pstk_intake *intake, const pstk_connection *c) {
    return (uint32_t)(c - intake->connections) - intake->sources[c->source].first;
}

int64_t pstk_source_clock(const pstk_source *source, int64_t now_ns) {
    return (source->is_paused ? source->paused_ns : now_ns) - source->paused_total_ns;
}

void pstk_reactor_due(pstk_intake *intake, int64_t due_ns) {
    intake->due_ns = PSTK_MIN(intake->due_ns, due_ns);
}

/* ---- what epoll watches ---------------------------------------------------------------------- */

static void watch(pstk_intake *intake, pstk_connection *c, int operation) {
    uint32_t slot = (uint32_t)(c - intake->connections);
    uint32_t events = c->state == PSTK_CONNECTION_CONNECTING ? EPOLLOUT : EPOLLIN;
    if (c->is_sending)
        events |= EPOLLOUT;
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)c->generation << 32 | slot};
    /* Fails only for want of kernel memory; the wire's timers then close the connection. */
    (void)epoll_ctl(intake->epoll, operation, c->fd, &event);
}

/* A paused source's connection leaves epoll when it next has something to say: level-triggered, it
 * would say so in each cycle, and a hang-up cannot be masked. */
void pstk_connection_park(pstk_intake *intake, pstk_connection *c) {
    c->is_parked = 1;
    watch(intake, c, EPOLL_CTL_DEL);
}

void pstk_connection_unpark(pstk_intake *intake, pstk_connection *c) {
    c->is_parked = 0;
    watch(intake, c, EPOLL_CTL_ADD);
}

static void set_sending(pstk_intake *intake, pstk_connection *c, bool is_sending) {
    if (c->is_sending == is_sending)
        return;
    c->is_sending = is_sending;
    if (!c->is_parked)
        watch(intake, c, EPOLL_CTL_MOD);
}

/* ---- coalescing ------------------------------------------------------------------------------ */

static void hot_remove(pstk_intake *intake, pstk_connection *c) {
    if (!c->hot)
        return;
    uint32_t last = intake->hot[--intake->hot_count];
    intake->hot[c->hot - 1] = last;
    intake->connections[last].hot = c->hot;
    c->hot = 0;
}

static void hot_add(pstk_intake *intake, pstk_connection *c) {
    if (c->hot)
        return;
    intake->hot[intake->hot_count++] = (uint32_t)(c - intake->connections);
    c->hot = (uint32_t)intake->hot_count;
}

void pstk_connection_mark(pstk_intake *intake, pstk_connection *c, size_t bytes, int64_t now_ns) {
    int64_t bound_ns = intake->sources[c->source].coalesce_ns;
    uint32_t mark = pstk_coalesce_note(&c->coalesce, bytes, now_ns, bound_ns);
    if (mark == c->coalesce.mark)
        return;
    const int value = (int)mark;
    if (setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value) < 0)
        return;
    c->coalesce.mark = mark;
    if (mark > 1)
        hot_add(intake, c);
    else
        hot_remove(intake, c);
}

/* ---- out ------------------------------------------------------------------------------------- */

/* A peer that sent its last and left cannot be answered, but what it sent is still to be read: a
 * failed send closes nothing, the receive that follows will. */
void pstk_connection_send(pstk_intake *intake, pstk_connection *c) {
    pstk_out *out = c->out;
    size_t sent = 0;
    while (sent < out->size) {
        ssize_t n = send(c->fd, out->bytes + sent, out->size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM))
            break;
        sent = n < 0 ? out->size : sent + (size_t)n;
    }
    if (sent) {
        memmove(out->bytes, out->bytes + sent, out->size - sent);
        out->size -= sent;
    }
    set_sending(intake, c, out->size > 0);
}

/* ---- the wire's clock and state -------------------------------------------------------------- */

bool pstk_connection_timer(pstk_intake *intake, pstk_connection *c, int64_t now_ns) {
    pstk_source *source = &intake->sources[c->source];
    int64_t next_ns = INT64_MAX;
    int result =
        source->ops->timer(c->session, c->out, pstk_source_clock(source, now_ns), &next_ns);
    c->timer_ns = next_ns;
    if (result != PSTK_TAKE_OK) {
        pstk_connection_refuse(intake, c, source->ops->text(c->session), now_ns);
        return false;
    }
    if (next_ns != INT64_MAX)
        pstk_reactor_due(intake, next_ns + source->paused_total_ns);
    pstk_connection_send(intake, c);
    return true;
}

void pstk_connection_note_ready(pstk_intake *intake, pstk_connection *c, int64_t now_ns) {
    pstk_source *source = &intake->sources[c->source];
    if (c->is_ready || !source->ops->is_ready(c->session))
        return;
    c->is_ready = 1;
    c->ready_ns = now_ns;
    c->timer_ns = INT64_MIN; /* the handshake's deadline is over: ask the wire anew */
    pstk_reactor_due(intake, now_ns);
    source->counters.ready++;
    intake->sink.link(intake->sink.context, c->source, pstk_connection_index(intake, c),
                      PSTK_LINK_UP);
}

/* ---- open ------------------------------------------------------------------------------------ */

void pstk_connection_open(pstk_intake *intake, pstk_connection *c, int fd, int64_t now_ns) {
    pstk_source *source = &intake->sources[c->source];
    int operation = c->state == PSTK_CONNECTION_CONNECTING ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    c->fd = fd;
    c->state = PSTK_CONNECTION_OPEN;
    c->has_been_open = true;
    c->opened_ns = now_ns;
    c->ready_ns = 0;
    c->coalesce = (pstk_coalesce){.mark = 1, .window_ns = now_ns, .read_ns = now_ns};
    source->counters.connections++;
    memset(c->session, 0, source->ops->session_bytes);
    c->out->size = 0;
    watch(intake, c, operation);
    source->ops->start(c->session, &source->options, source->options.is_bind, c->out,
                       pstk_source_clock(source, now_ns));
    (void)pstk_connection_timer(intake, c, now_ns);
}

/* ---- back-off -------------------------------------------------------------------------------- */

static void wait_until(pstk_intake *intake, pstk_connection *c, int64_t due_ns) {
    c->state = PSTK_CONNECTION_WAITING;
    c->timer_ns = due_ns;
    pstk_reactor_due(intake, due_ns);
}

/* Doubles up to the maximum; waits between half and all of it, so that many collectors do not
 * return as one. */
static void back_off(pstk_intake *intake, pstk_connection *c, int64_t now_ns) {
    const pstk_source_options *options = &intake->sources[c->source].options;
    bool was_steady = c->ready_ns && now_ns - c->ready_ns >= REACTOR_STEADY_NS;
    if (was_steady || c->backoff_ns == 0)
        c->backoff_ns = options->reconnect_ns_min;
    uint64_t half = (uint64_t)c->backoff_ns / 2;
    int64_t delay_ns = (int64_t)(half + pstk_random(&intake->random) % (half + 1));
    c->backoff_ns = PSTK_MIN(c->backoff_ns * 2, options->reconnect_ns_max);
    c->ready_ns = 0;
    wait_until(intake, c, now_ns + delay_ns);
}

/* A host may resolve to several addresses (localhost: ::1, then 127.0.0.1): all are tried before
 * the wait. */
static void attempt_failed(pstk_intake *intake, pstk_connection *c, int64_t now_ns) {
    c->address++;
    if (c->addresses > 1 && c->address % c->addresses != 0)
        wait_until(intake, c, now_ns);
    else
        back_off(intake, c, now_ns);
}

void pstk_connection_attempt(pstk_intake *intake, pstk_connection *c, int64_t now_ns) {
    const pstk_source_options *options = &intake->sources[c->source].options;
    int fd = -1;
    if (pstk_socket_connect(options, c->address, &c->addresses, &fd) != 0) {
        attempt_failed(intake, c, now_ns);
        return;
    }
    c->fd = fd;
    c->state = PSTK_CONNECTION_CONNECTING;
    c->timer_ns = now_ns + options->handshake_ns_max;
    watch(intake, c, EPOLL_CTL_ADD);
    pstk_reactor_due(intake, c->timer_ns);
}

void pstk_connection_connected(pstk_intake *intake, pstk_connection *c, int64_t now_ns) {
    pstk_source *source = &intake->sources[c->source];
    /* A port of our own host that nobody listens on may connect to itself, and would keep the peer
     * from binding. */
    if (pstk_socket_error(c->fd) != 0 || pstk_socket_is_self(c->fd)) {
        pstk_connection_close(intake, c, now_ns);
        return;
    }
    source->counters.reconnects += c->has_been_open;
    pstk_connection_open(intake, c, c->fd, now_ns);
}

/* ---- close ----------------------------------------------------------------------------------- */

void pstk_connection_refuse(pstk_intake *intake, pstk_connection *c, const char *text,
                            int64_t now_ns) {
    pstk_source *source = &intake->sources[c->source];
    source->counters.protocol_errors++;
    (void)pstk_copy_text(source->reason, sizeof source->reason, text, strlen(text));
    pstk_connection_close(intake, c, now_ns);
}

/* Gives back what the connection took; its slot's memory in the arena becomes untouched again. */
static void release(pstk_intake *intake, pstk_connection *c) {
    close(c->fd);
    hot_remove(intake, c);
    free(c->big);
    c->big = NULL;
    c->big_bytes = 0;
    (void)madvise(c->small, REACTOR_SMALL_BYTES, MADV_DONTNEED);
    c->fd = -1;
    c->generation++;
    c->kept = 0;
    c->is_big = false;
    c->is_ready = c->is_parked = c->is_sending = 0;
}

void pstk_connection_close(pstk_intake *intake, pstk_connection *c, int64_t now_ns) {
    pstk_source *source = &intake->sources[c->source];
    bool was_open = c->state == PSTK_CONNECTION_OPEN, was_ready = c->is_ready;
    release(intake, c);
    if (source->stash.connection == c)
        source->stash.connection = NULL;
    c->state = PSTK_CONNECTION_FREE;
    source->counters.connections -= was_open;
    intake->replaying -= source->is_replay && was_open;
    if (!source->options.is_bind && !source->is_replay) {
        if (was_open)
            back_off(intake, c, now_ns);
        else
            attempt_failed(intake, c, now_ns);
    }
    if (was_ready) {
        source->counters.ready--;
        intake->sink.link(intake->sink.context, c->source, pstk_connection_index(intake, c),
                          PSTK_LINK_DOWN);
    }
}
