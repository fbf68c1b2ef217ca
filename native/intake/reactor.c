/* reactor: owns every socket. Open reserves, start binds and begins to connect, poll is one duty
 * cycle, close frees. A host name is looked up by the system's resolver, in this thread, at start
 * and at each reconnect: that may block for its time-out, so give addresses where that matters. */
#include "reactor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* A day: no sum of a few of these overflows. */
#define REACTOR_TIME_NS_MAX (INT64_C(86400) * PSTK_NS_PER_S)

/* ---- open ------------------------------------------------------------------------------------ */

static const pstk_wire_ops *wire_of(uint16_t kind) {
    switch (kind) {
    case PSTK_SOURCE_ZMQ_PULL:
    case PSTK_SOURCE_ZMQ_SUB:
        return &pstk_zmtp_wire;
    case PSTK_SOURCE_NATS:
        return &pstk_nats_wire;
    default:
        return NULL;
    }
}

static bool is_time(int64_t ns, int64_t min, int64_t max) { return ns >= min && ns <= max; }

static int check_address(const pstk_source_options *o, pstk_error *err) {
    if (o->kind == PSTK_SOURCE_REPLAY)
        return PSTK_OK;
    if (o->is_bind && o->kind == PSTK_SOURCE_NATS)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "source %s: a NATS source only connects",
                         o->name);
    if (!o->is_bind && (o->host[0] == 0 || o->port == 0))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "source %s: host and port are needed to connect",
                         o->name);
    if (o->kind != PSTK_SOURCE_NATS && (o->user[0] || o->password[0] || o->token[0]))
        return pstk_fail(err, PSTK_E_UNSUPPORTED, 0,
                         "source %s: ZeroMQ user and password (PLAIN) are not available yet; "
                         "leave them out",
                         o->name);
    if (o->subject_count > PSTK_SUBJECTS_MAX)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "source %s: at most %u subjects", o->name,
                         PSTK_SUBJECTS_MAX);
    return PSTK_OK;
}

static int check_options(const pstk_source_options *o, pstk_error *err) {
    if (o->frame_bytes_max == 0 || o->frame_bytes_max > REACTOR_FRAME_BYTES_MAX)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "source %s: frame_bytes_max must be 1 to %u",
                         o->name, REACTOR_FRAME_BYTES_MAX);
    if (o->connections_max == 0 || o->connections_max > REACTOR_CONNECTIONS_MAX)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "source %s: connections_max must be 1 to %u",
                         o->name, REACTOR_CONNECTIONS_MAX);
    if (!is_time(o->handshake_ns_max, 1, REACTOR_TIME_NS_MAX) ||
        !is_time(o->heartbeat_ns, 0, REACTOR_TIME_NS_MAX) ||
        !is_time(o->coalesce_ns, 0, REACTOR_COALESCE_NS_MAX) ||
        !is_time(o->reconnect_ns_min, 1, REACTOR_TIME_NS_MAX) ||
        !is_time(o->reconnect_ns_max, o->reconnect_ns_min, REACTOR_TIME_NS_MAX))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "source %s: a time is out of bounds: handshake, reconnect > 0, "
                         "reconnect max >= min, coalesce at most 1 s, all at most a day",
                         o->name);
    return check_address(o, err);
}

static size_t round_page(size_t size) { return (size + 4095) & ~(size_t)4095; }

static size_t slot_bytes(const pstk_wire_ops *ops) {
    return REACTOR_SMALL_BYTES + round_page(sizeof(pstk_out)) + round_page(ops->session_bytes);
}

static size_t stash_bytes(void) {
    return REACTOR_SMALL_BYTES + REACTOR_RECEIVE_BYTES +
           round_page(PSTK_FRAMES_MAX * sizeof(pstk_frame));
}

static int init_sources(pstk_intake *intake, const pstk_source_options *options, pstk_error *err) {
    intake->arena_bytes = REACTOR_SMALL_BYTES + REACTOR_RECEIVE_BYTES;
    for (size_t i = 0; i < intake->source_count; i++)
        intake->sources[i].listener = intake->sources[i].replay.fd = -1; /* all of them: close
                                                            follows where one is refused */
    for (size_t i = 0; i < intake->source_count; i++) {
        pstk_source *source = &intake->sources[i];
        source->options = options[i];
        source->is_replay = options[i].kind == PSTK_SOURCE_REPLAY;
        source->ops = wire_of(options[i].kind);
        source->port = -1;
        source->first = (uint32_t)intake->connection_count;
        if (!source->ops && !source->is_replay)
            continue;
        int status = check_options(&options[i], err);
        if (status == PSTK_OK && source->is_replay)
            status = pstk_replay_open(source, err);
        if (status != PSTK_OK)
            return status;
        source->port = source->is_replay ? -1 : options[i].port;
        source->coalesce_ns = options[i].coalesce_ns ? options[i].coalesce_ns : REACTOR_COALESCE_NS;
        source->slots = options[i].is_bind ? options[i].connections_max : 1;
        intake->connection_count += source->slots;
        intake->arena_bytes += stash_bytes() + source->slots * slot_bytes(source->ops);
    }
    return PSTK_OK;
}

static uint8_t *carve(uint8_t **at, size_t size) {
    uint8_t *taken = *at;
    *at += size;
    return taken;
}

static void share_arena(pstk_intake *intake) {
    uint8_t *at = intake->arena;
    intake->receive = carve(&at, REACTOR_SMALL_BYTES + REACTOR_RECEIVE_BYTES);
    for (size_t i = 0; i < intake->source_count; i++) {
        pstk_source *source = &intake->sources[i];
        if (!source->ops)
            continue;
        source->stash.bytes = carve(&at, REACTOR_SMALL_BYTES + REACTOR_RECEIVE_BYTES);
        source->stash.frames = (void *)carve(&at, round_page(PSTK_FRAMES_MAX * sizeof(pstk_frame)));
        for (uint32_t k = 0; k < source->slots; k++) {
            pstk_connection *c = &intake->connections[source->first + k];
            c->source = (uint32_t)i;
            c->fd = -1;
            c->small = carve(&at, REACTOR_SMALL_BYTES);
            c->out = (void *)carve(&at, round_page(sizeof(pstk_out)));
            c->session = carve(&at, round_page(source->ops->session_bytes));
        }
    }
}

static int reserve(pstk_intake *intake, pstk_error *err) {
    size_t slots = PSTK_MAX(intake->connection_count, 1);
    intake->connections = calloc(slots, sizeof *intake->connections);
    intake->hot = calloc(slots, sizeof *intake->hot);
    intake->frames = calloc(1, sizeof *intake->frames);
    /* Not touched, so not resident, until a slot is used. */
    void *arena = mmap(NULL, intake->arena_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    intake->arena = arena == MAP_FAILED ? NULL : arena;
    if (!intake->connections || !intake->hot || !intake->frames || !intake->arena)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "intake: cannot reserve %zu connections", slots);
    share_arena(intake);
    return PSTK_OK;
}

static int check_sink(const pstk_source_options *sources, size_t source_count,
                      const pstk_sink *sink, pstk_error *err) {
    if (!sink || !sink->frames || !sink->link || !sink->drop)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "intake: the sink lacks a function");
    for (size_t i = 0; sources && i < source_count; i++)
        if (sources[i].kind == PSTK_SOURCE_REPLAY && !sink->replayed)
            return pstk_fail(err, PSTK_E_ARGUMENT, 0, "intake: the sink takes no recordings");
    if (source_count > PSTK_SOURCES_MAX || (source_count > 0 && !sources))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "intake: at most %u sources", PSTK_SOURCES_MAX);
    return PSTK_OK;
}

int pstk_intake_open(const pstk_source_options *sources, size_t source_count, const pstk_sink *sink,
                     pstk_intake **out_intake, pstk_error *err) {
    *out_intake = NULL;
    int status = check_sink(sources, source_count, sink, err);
    if (status != PSTK_OK)
        return status;
    pstk_intake *intake = calloc(1, sizeof *intake);
    if (!intake)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "intake: out of memory");
    intake->sink = *sink;
    intake->source_count = source_count;
    intake->epoll = intake->wake = intake->timer = -1;
    intake->due_ns = INT64_MAX;
    intake->random = (uint64_t)pstk_boot_ns() ^ (uint64_t)getpid() << 32;
    intake->sources = calloc(PSTK_MAX(source_count, 1), sizeof *intake->sources);
    status = intake->sources ? init_sources(intake, sources, err)
                             : pstk_fail(err, PSTK_E_MEMORY, 0, "intake: out of memory");
    if (status == PSTK_OK)
        status = reserve(intake, err);
    if (status == PSTK_OK)
        status = pstk_reactor_wait_open(intake, err);
    if (status != PSTK_OK) {
        pstk_intake_close(intake);
        return status;
    }
    *out_intake = intake;
    return PSTK_OK;
}

/* ---- listeners ------------------------------------------------------------------------------- */

static int watch_listener(pstk_intake *intake, uint32_t index, int operation) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = REACTOR_KEY_LISTENER | index};
    return epoll_ctl(intake->epoll, operation, intake->sources[index].listener, &event);
}

static pstk_connection *slot_free(pstk_intake *intake, const pstk_source *source) {
    for (uint32_t i = 0; i < source->slots; i++)
        if (intake->connections[source->first + i].state == PSTK_CONNECTION_FREE)
            return &intake->connections[source->first + i];
    return NULL;
}

/* All slots taken: the one longest in its handshake gives way, if it had its time, so that a crowd
 * of silent connections cannot lock a good client out until handshake_ns_max. */
static pstk_connection *slot_evict(pstk_intake *intake, const pstk_source *source, int64_t now_ns) {
    pstk_connection *oldest = NULL;
    for (uint32_t i = 0; i < source->slots; i++) {
        pstk_connection *c = &intake->connections[source->first + i];
        if (!c->is_ready && now_ns - c->opened_ns >= REACTOR_EVICT_NS &&
            (!oldest || c->opened_ns < oldest->opened_ns))
            oldest = c;
    }
    if (oldest)
        pstk_connection_refuse(intake, oldest,
                               "gave way to a newcomer: connections_max reached before the "
                               "handshake was done",
                               now_ns);
    return oldest;
}

/* False: nothing more to accept, or no descriptor for it. */
static bool accept_one(pstk_intake *intake, uint32_t index, int64_t now_ns) {
    pstk_source *source = &intake->sources[index];
    int fd = pstk_socket_accept(source->listener);
    int failure = fd < 0 ? errno : 0;
    if (failure == EMFILE || failure == ENFILE || failure == ENOBUFS || failure == ENOMEM) {
        /* The backlog would wake us for nothing until a descriptor is free: look again later. */
        (void)watch_listener(intake, index, EPOLL_CTL_DEL);
        source->accept_ns = now_ns + REACTOR_ACCEPT_RETRY_NS;
        pstk_reactor_due(intake, source->accept_ns);
    }
    if (fd < 0)
        return failure == ECONNABORTED || failure == EINTR;
    source->counters.accepted++;
    pstk_connection *c = slot_free(intake, source);
    if (!c)
        c = slot_evict(intake, source, now_ns);
    if (!c) {
        source->counters.refused++;
        close(fd);
        return true;
    }
    pstk_connection_open(intake, c, fd, now_ns);
    return true;
}

static void accept_some(pstk_intake *intake, uint32_t index, int64_t now_ns) {
    for (int i = 0; i < REACTOR_ACCEPTS_MAX; i++)
        if (!accept_one(intake, index, now_ns))
            return;
}

/* ---- start ----------------------------------------------------------------------------------- */

static int start_source(pstk_intake *intake, uint32_t index, pstk_error *err) {
    pstk_source *source = &intake->sources[index];
    if (!source->ops)
        return PSTK_OK;
    if (source->is_replay)
        return pstk_replay_start(intake, index, err);
    if (!source->options.is_bind) {
        pstk_connection_attempt(intake, &intake->connections[source->first], pstk_boot_ns());
        return PSTK_OK;
    }
    int status = pstk_socket_listen(&source->options, &source->listener, &source->port, err);
    if (status == PSTK_OK && watch_listener(intake, index, EPOLL_CTL_ADD) < 0)
        status = pstk_fail(err, PSTK_E_SYSTEM, errno, "source %s: epoll", source->options.name);
    return status;
}

int pstk_intake_start(pstk_intake *intake, pstk_error *err) {
    if (intake->is_started)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "intake: started already");
    intake->is_started = true;
    for (uint32_t i = 0; i < intake->source_count; i++) {
        int status = start_source(intake, i, err);
        if (status != PSTK_OK)
            return status;
    }
    return PSTK_OK;
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void connection_timer(pstk_intake *intake, pstk_connection *c, int64_t now_ns) {
    const pstk_source *source = &intake->sources[c->source];
    if (source->is_paused || c->timer_ns == INT64_MAX)
        return;
    int64_t due_ns = c->timer_ns + source->paused_total_ns;
    if (due_ns <= now_ns)
        (void)pstk_connection_timer(intake, c, now_ns);
    else
        pstk_reactor_due(intake, due_ns);
}

static void big_timer(pstk_intake *intake, pstk_connection *c, int64_t now_ns) {
    if (!c->big || c->is_big || intake->sources[c->source].is_paused)
        return;
    if (now_ns - c->big_used_ns < REACTOR_BIG_IDLE_NS) {
        pstk_reactor_due(intake, c->big_used_ns + REACTOR_BIG_IDLE_NS);
        return;
    }
    free(c->big);
    c->big = NULL;
    c->big_bytes = 0;
}

static void slot_timer(pstk_intake *intake, pstk_connection *c, int64_t now_ns) {
    if (c->state == PSTK_CONNECTION_OPEN) {
        big_timer(intake, c, now_ns);
        connection_timer(intake, c, now_ns);
        return;
    }
    if (c->state == PSTK_CONNECTION_FREE)
        return;
    if (c->timer_ns > now_ns)
        pstk_reactor_due(intake, c->timer_ns);
    else if (c->state == PSTK_CONNECTION_WAITING)
        pstk_connection_attempt(intake, c, now_ns);
    else
        pstk_connection_close(intake, c, now_ns);
}

static void listener_timer(pstk_intake *intake, uint32_t index, int64_t now_ns) {
    pstk_source *source = &intake->sources[index];
    if (source->accept_ns == 0)
        return;
    if (source->accept_ns > now_ns) {
        pstk_reactor_due(intake, source->accept_ns);
        return;
    }
    source->accept_ns = 0;
    (void)watch_listener(intake, index, EPOLL_CTL_ADD);
}

static void run_timers(pstk_intake *intake, int64_t now_ns) {
    intake->due_ns = INT64_MAX;
    for (size_t i = 0; i < intake->connection_count; i++)
        slot_timer(intake, &intake->connections[i], now_ns);
    for (uint32_t i = 0; i < intake->source_count; i++)
        listener_timer(intake, i, now_ns);
    /* Coarse, so that a thousand heartbeats are a few scans and not a thousand. */
    intake->due_ns = PSTK_MAX(intake->due_ns, now_ns + REACTOR_TIMER_NS);
}

/* Whatever lies below a mark is read at its bound. */
static void read_hot(pstk_intake *intake, int64_t now_ns) {
    for (size_t i = intake->hot_count; i > 0; i--) { /* from the end: removal moves the last one */
        pstk_connection *c = &intake->connections[intake->hot[i - 1]];
        const pstk_source *source = &intake->sources[c->source];
        if (!source->is_paused && now_ns - c->coalesce.read_ns >= source->coalesce_ns)
            pstk_reactor_read(intake, c);
    }
}

/* ---- duty cycle ------------------------------------------------------------------------------ */

static int64_t wait_ns(const pstk_intake *intake, int64_t timeout_ns, int64_t now_ns) {
    if (timeout_ns == 0 || intake->handed > 0 || pstk_replay_is_due(intake))
        return 0;
    int64_t due_ns = intake->due_ns;
    for (size_t i = 0; i < intake->hot_count; i++) {
        const pstk_connection *c = &intake->connections[intake->hot[i]];
        const pstk_source *source = &intake->sources[c->source];
        if (!source->is_paused)
            due_ns = PSTK_MIN(due_ns, c->coalesce.read_ns + source->coalesce_ns);
    }
    if (due_ns == INT64_MAX)
        return timeout_ns;
    int64_t left_ns = PSTK_MAX(due_ns - now_ns, 0);
    return timeout_ns < 0 ? left_ns : PSTK_MIN(timeout_ns, left_ns);
}

static void on_connection(pstk_intake *intake, uint64_t key, uint32_t events) {
    pstk_connection *c = &intake->connections[(uint32_t)key];
    if (c->generation != (uint32_t)(key >> 32) || c->fd < 0)
        return; /* closed earlier in this cycle */
    if (c->state == PSTK_CONNECTION_CONNECTING) {
        pstk_connection_connected(intake, c, pstk_boot_ns());
        return;
    }
    if (events & EPOLLOUT)
        pstk_connection_send(intake, c);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    if (intake->sources[c->source].is_paused)
        pstk_connection_park(intake, c);
    else
        pstk_reactor_read(intake, c);
}

static void on_event(pstk_intake *intake, uint64_t key, uint32_t events) {
    uint32_t low = (uint32_t)key;
    if (low == REACTOR_KEY_WAKE || low == REACTOR_KEY_TIMER) {
        uint64_t count;
        ssize_t n =
            read(low == REACTOR_KEY_WAKE ? intake->wake : intake->timer, &count, sizeof count);
        (void)n; /* empty already: nothing to clear */
    } else if (low & REACTOR_KEY_LISTENER) {
        accept_some(intake, low & ~REACTOR_KEY_LISTENER, pstk_boot_ns());
    } else {
        on_connection(intake, key, events);
    }
}

static void resume_sources(pstk_intake *intake, int64_t now_ns) {
    if (intake->resuming == 0)
        return;
    intake->resuming = 0;
    for (size_t i = 0; i < intake->source_count; i++)
        if (intake->sources[i].is_resuming)
            pstk_reactor_resume(intake, &intake->sources[i], now_ns);
}

int64_t pstk_intake_poll(pstk_intake *intake, int64_t timeout_ns) {
    struct epoll_event events[REACTOR_EVENTS_MAX];
    int64_t now_ns = pstk_boot_ns();
    intake->handed = 0;
    resume_sources(intake, now_ns);
    int count = pstk_reactor_wait(intake, events, wait_ns(intake, timeout_ns, now_ns));
    if (count < 0)
        return -1;
    for (int i = 0; i < count; i++)
        on_event(intake, events[i].data.u64, events[i].events);
    now_ns = pstk_boot_ns();
    read_hot(intake, now_ns);
    pstk_replay_turn(intake);
    /* After the reads, so that a late cycle does not take unread bytes for silence: with more
     * events waiting than one cycle holds, timers wait too, but not for longer than a second. */
    bool has_read_all = count < REACTOR_EVENTS_MAX;
    if (now_ns >= intake->due_ns && (has_read_all || now_ns - intake->due_ns > PSTK_NS_PER_S))
        run_timers(intake, now_ns);
    return intake->handed;
}

/* ---- beside the cycle ------------------------------------------------------------------------ */

void pstk_intake_resume(pstk_intake *intake, uint32_t source) {
    if (source >= intake->source_count || !intake->sources[source].is_paused)
        return;
    intake->resuming += !intake->sources[source].is_resuming;
    intake->sources[source].is_resuming = true;
}

void pstk_intake_wake(pstk_intake *intake) {
    const uint64_t one = 1;
    ssize_t n = write(intake->wake, &one, sizeof one);
    (void)n; /* full: it is awake */
}

int pstk_intake_port(const pstk_intake *intake, uint32_t source) {
    return source < intake->source_count ? intake->sources[source].port : -1;
}

const char *pstk_intake_reason(const pstk_intake *intake, uint32_t source) {
    return source < intake->source_count ? intake->sources[source].reason : "";
}

void pstk_intake_counters_get(const pstk_intake *intake, uint32_t source,
                              pstk_intake_counters *out_counters) {
    *out_counters = source < intake->source_count ? intake->sources[source].counters
                                                  : (pstk_intake_counters){0};
}

/* ---- close ----------------------------------------------------------------------------------- */

static void close_fd(int fd) {
    if (fd >= 0)
        close(fd);
}

void pstk_intake_close(pstk_intake *intake) {
    if (!intake)
        return;
    for (size_t i = 0; intake->connections && i < intake->connection_count; i++) {
        if (intake->arena)
            close_fd(intake->connections[i].fd);
        free(intake->connections[i].big);
    }
    for (size_t i = 0; intake->sources && i < intake->source_count; i++) {
        close_fd(intake->sources[i].listener);
        close_fd(intake->sources[i].replay.fd);
    }
    close_fd(intake->epoll);
    close_fd(intake->wake);
    close_fd(intake->timer);
    if (intake->arena)
        munmap(intake->arena, intake->arena_bytes);
    free(intake->connections);
    free(intake->hot);
    free(intake->frames);
    free(intake->sources);
    free(intake);
}
