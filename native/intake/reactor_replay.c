/* replay: a recording of what one peer sent, read as if it came from a socket: the same wire, the
 * same framing, as fast as the sink takes it, a chunk a cycle so that other sources have their
 * turn. Which wire it is, its first bytes say. The handshake is read at start, whole; from then on
 * any end of a message is a place to go on from. What the wire answers has nobody to go to: the
 * send fails on a file and is forgotten. A file that is not in the page cache makes the engine
 * thread wait for the disk; the kernel is asked to read ahead. */
#include "reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define GREETING_BYTE 0xFF
#define HANDSHAKE_NS_MAX (INT64_C(86400) * PSTK_NS_PER_S) /* a file is never late */

static const char *path_of(const pstk_source *source) { return source->options.host; }

/* ---- open ------------------------------------------------------------------------------------ */

static int open_file(pstk_source *source, pstk_error *err) {
    pstk_replay *replay = &source->replay;
    const char *path = path_of(source), *name = source->options.name;
    struct stat info;
    replay->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (replay->fd < 0)
        return pstk_fail(err, PSTK_E_SYSTEM, errno, "source %s: cannot open the recording %s", name,
                         path);
    if (fstat(replay->fd, &info) < 0)
        return pstk_fail(err, PSTK_E_SYSTEM, errno, "source %s: cannot read %s", name, path);
    if (!S_ISREG(info.st_mode))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "source %s: %s is no regular file; a replay reads a recording", name,
                         path);
    replay->size = (uint64_t)info.st_size;
    (void)posix_fadvise(replay->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return PSTK_OK;
}

static int find_wire(pstk_source *source, pstk_error *err) {
    uint8_t first = 0;
    ssize_t n = pread(source->replay.fd, &first, 1, 0);
    if (n < 0)
        return pstk_fail(err, PSTK_E_SYSTEM, errno, "source %s: cannot read %s",
                         source->options.name, path_of(source));
    source->ops = first == GREETING_BYTE ? &pstk_zmtp_wire : &pstk_nats_wire;
    source->replay.tail_bytes = first == GREETING_BYTE ? 0 : 2; /* CR LF behind a NATS payload */
    if (n == 1 && (first == GREETING_BYTE || (first | 0x20) == 'i'))
        return PSTK_OK;
    return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                     "source %s: %s is no recording: it begins with neither a ZMTP greeting nor a "
                     "NATS INFO; record a connection from its first byte",
                     source->options.name, path_of(source));
}

int pstk_replay_open(pstk_source *source, pstk_error *err) {
    pstk_source_options *o = &source->options;
    if (o->host[0] == 0 || o->is_bind || o->user[0] || o->password[0] || o->token[0])
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "source %s: a replay has the path of its recording as host, and no "
                         "credentials",
                         o->name);
    int status = open_file(source, err);
    if (status == PSTK_OK)
        status = find_wire(source, err);
    /* Whichever subscription of the recorder brought a message: the first sixteen are taken. */
    o->subject_count = PSTK_SUBJECTS_MAX;
    for (unsigned i = 0; i < PSTK_SUBJECTS_MAX; i++)
        memcpy(o->subjects[i], ">", 2);
    o->heartbeat_ns = 0;
    o->handshake_ns_max = HANDSHAKE_NS_MAX;
    return status;
}

/* ---- start ----------------------------------------------------------------------------------- */

/* Byte by byte, so that the session ends exactly behind the handshake. Returns where that is, 0 =
 * it is not there. */
static size_t read_handshake(pstk_intake *intake, pstk_connection *c, size_t size) {
    const pstk_source *source = &intake->sources[c->source];
    const uint8_t *bytes = intake->receive;
    size_t at = 0, end = 1;
    for (; end <= size; end++) {
        pstk_took took = {0};
        intake->frames->count = 0;
        int result = source->ops->take(c->session, bytes + at, end - at, intake->frames, c->out,
                                       &took, c->opened_ns);
        c->out->size = 0;
        at += took.consumed;
        if (result != PSTK_TAKE_OK)
            return 0;
        if (source->ops->is_ready(c->session))
            return at == end ? end : 0;
    }
    return 0;
}

static int begin(pstk_intake *intake, pstk_connection *c, pstk_error *err) {
    pstk_source *source = &intake->sources[c->source];
    pstk_replay *replay = &source->replay;
    ssize_t n = pread(c->fd, intake->receive, REACTOR_RECEIVE_BYTES, 0);
    size_t handshake = n > 0 ? read_handshake(intake, c, (size_t)n) : 0;
    const char *text = source->ops->text(c->session);
    if (handshake == 0)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "source %s: %s holds no whole handshake%s%s; record a connection from its "
                         "first byte",
                         source->options.name, path_of(source), text[0] ? ": " : "", text);
    if (replay->resume > replay->size)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "source %s: %s ends at %llu, and was read up to %llu before: it is "
                         "another file; give its source another name",
                         source->options.name, path_of(source), (unsigned long long)replay->size,
                         (unsigned long long)replay->resume);
    replay->offset = PSTK_MAX(replay->resume, (uint64_t)handshake);
    return PSTK_OK;
}

int pstk_replay_start(pstk_intake *intake, uint32_t index, pstk_error *err) {
    pstk_source *source = &intake->sources[index];
    pstk_connection *c = &intake->connections[source->first];
    int64_t now_ns = pstk_boot_ns();
    c->fd = source->replay.fd;
    source->replay.fd = -1; /* the connection's from here on */
    c->state = PSTK_CONNECTION_OPEN;
    c->opened_ns = now_ns;
    c->timer_ns = INT64_MAX;
    c->coalesce = (pstk_coalesce){.mark = 1, .window_ns = now_ns, .read_ns = now_ns};
    source->ops->start(c->session, &source->options, false, c->out, now_ns);
    c->out->size = 0;
    source->counters.connections++;
    int status = begin(intake, c, err);
    if (status == PSTK_OK)
        intake->replaying++;
    return status;
}

void pstk_intake_resume_at(pstk_intake *intake, uint32_t index, uint64_t position) {
    if (index < intake->source_count && intake->sources[index].is_replay)
        intake->sources[index].replay.resume = position + intake->sources[index].replay.tail_bytes;
}

/* ---- reading --------------------------------------------------------------------------------- */

ssize_t pstk_replay_read(pstk_source *source, int fd, uint8_t *at, size_t capacity) {
    ssize_t n = pread(fd, at, capacity, (off_t)source->replay.offset);
    if (n > 0)
        source->replay.offset += (uint64_t)n;
    return n;
}

/* One chunk of each recording that may go on. */
void pstk_replay_turn(pstk_intake *intake) {
    for (size_t i = 0; intake->replaying > 0 && i < intake->source_count; i++) {
        const pstk_source *source = &intake->sources[i];
        if (source->is_replay && !source->is_paused &&
            intake->connections[source->first].state == PSTK_CONNECTION_OPEN)
            pstk_reactor_read(intake, &intake->connections[source->first]);
    }
}

bool pstk_replay_is_due(const pstk_intake *intake) {
    for (size_t i = 0; intake->replaying > 0 && i < intake->source_count; i++) {
        const pstk_source *source = &intake->sources[i];
        if (source->is_replay && !source->is_paused &&
            intake->connections[source->first].state == PSTK_CONNECTION_OPEN)
            return true;
    }
    return false;
}

/* No more will come: said once, with what lies there of a message that was cut off. */
void pstk_replay_end(pstk_intake *intake, pstk_connection *c, int failure, int64_t now_ns) {
    pstk_source *source = &intake->sources[c->source];
    char *reason = source->reason;
    if (failure)
        snprintf(reason, sizeof source->reason, "the recording cannot be read: errno %d", failure);
    else if (c->kept)
        snprintf(reason, sizeof source->reason, "end, in the middle of a message: %zu bytes left",
                 c->kept);
    else
        snprintf(reason, sizeof source->reason, "end");
    source->counters.protocol_errors += failure != 0;
    pstk_connection_close(intake, c, now_ns);
}
