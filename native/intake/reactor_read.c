/* read: receive, decode in place, hand over; keep what is unfinished; stop where the sink refuses
 * and go on later. */
#include "reactor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* ---- unfinished frames ----------------------------------------------------------------------- */

static bool big_grow(pstk_connection *c, size_t need, size_t limit, const uint8_t *bytes,
                     size_t size) {
    size_t capacity = PSTK_MIN(limit, PSTK_MAX(need, c->big_bytes + c->big_bytes / 2));
    uint8_t *grown = malloc(capacity);
    if (!grown)
        return false;
    memcpy(grown, bytes, size);
    free(c->big); /* bytes may lie in it */
    c->big = grown;
    c->big_bytes = capacity;
    return true;
}

/* Keeps an unfinished frame until more comes. bytes lie in the receive buffer, the stash or c's
 * big. */
static void keep(pstk_intake *intake, pstk_connection *c, const uint8_t *bytes, size_t size,
                 size_t wanted) {
    size_t need = PSTK_MAX(wanted, size + 1);
    size_t limit = intake->sources[c->source].options.frame_bytes_max + (size_t)64;
    int64_t now_ns = c->coalesce.read_ns;
    c->kept = size;
    c->is_big = size > 0 && need > REACTOR_SMALL_BYTES;
    if (!c->is_big) {
        memcpy(c->small, bytes, size);
        return;
    }
    if (need > limit) {
        pstk_connection_refuse(intake, c, "an unfinished frame outgrew frame_bytes_max", now_ns);
        return;
    }
    c->wanted = need;
    c->big_used_ns = now_ns;
    if (need <= c->big_bytes)
        memmove(c->big, bytes, size);
    else if (!big_grow(c, need, limit, bytes, size))
        pstk_connection_refuse(intake, c, "no memory for an unfinished frame", now_ns);
}

/* ---- hand over ------------------------------------------------------------------------------- */

static size_t offer(pstk_intake *intake, const pstk_connection *c, const pstk_frame *frames,
                    size_t count) {
    if (count == 0)
        return 0;
    pstk_source *source = &intake->sources[c->source];
    size_t taken = 0;
    bool is_taken =
        PSTK_UNLIKELY(source->is_replay)
            ? intake->sink.replayed(intake->sink.context, c->source, frames, count,
                                    source->replay.base, source->replay.base_offset, &taken)
            : intake->sink.frames(intake->sink.context, c->source, pstk_connection_index(intake, c),
                                  frames, count, &taken);
    if (is_taken) {
        taken = count;
    } else {
        source->is_paused = true;
        source->paused_ns = c->coalesce.read_ns;
        taken = PSTK_MIN(taken, count);
    }
    source->counters.frames += taken;
    intake->handed += (int64_t)taken;
    return taken;
}

static void drop(pstk_intake *intake, const pstk_connection *c, pstk_drop reason, uint64_t count) {
    if (count)
        intake->sink.drop(intake->sink.context, c->source, reason, count);
}

static void end(pstk_intake *intake, pstk_connection *c, int result) {
    const pstk_source *source = &intake->sources[c->source];
    drop(intake, c, PSTK_DROP_OVERSIZE, result == PSTK_TAKE_OVERSIZE);
    pstk_connection_refuse(intake, c, source->ops->text(c->session), c->coalesce.read_ns);
}

/* ---- pause ----------------------------------------------------------------------------------- */

static bool is_in_big(const pstk_connection *c, const uint8_t *bytes) {
    uintptr_t at = (uintptr_t)bytes, big = (uintptr_t)c->big;
    return c->big && at >= big && at < big + c->big_bytes;
}

/* The sink refused: what was decoded and not taken, and the bytes behind it, move out of the shared
 * buffer. */
static void stash(pstk_intake *intake, pstk_connection *c, uint8_t *bytes, size_t size,
                  size_t consumed) {
    pstk_source *source = &intake->sources[c->source];
    pstk_stash *s = &source->stash;
    s->connection = c;
    s->count = intake->frames->count;
    memcpy(s->frames, intake->frames->frame, s->count * sizeof *s->frames);
    uint8_t *home = bytes;
    if (!is_in_big(c, bytes)) {
        home = s->bytes;
        memmove(home, bytes, size);
        for (size_t i = s->first; i < s->count; i++) {
            pstk_frame *frame = &s->frames[i];
            frame->payload = home + (frame->payload - bytes);
            if (frame->subject)
                frame->subject = home + (frame->subject - bytes);
        }
    }
    source->replay.base_offset += (uint64_t)(bytes - source->replay.base);
    source->replay.base = home; /* of use to a recording only */
    s->rest = home + consumed;
    s->rest_bytes = size - consumed;
}

/* ---- decode ---------------------------------------------------------------------------------- */

/* After a take: false where the connection was closed. */
static bool settle(pstk_intake *intake, pstk_connection *c, size_t out_before, bool was_ready) {
    int64_t now_ns = c->coalesce.read_ns;
    if (c->out->size == out_before && c->is_ready == was_ready)
        return true;
    /* It answered or changed its state: its next deadline may have come nearer. */
    return pstk_connection_timer(intake, c, now_ns);
}

static void decode(pstk_intake *intake, pstk_connection *c, uint8_t *bytes, size_t size) {
    pstk_source *source = &intake->sources[c->source];
    size_t wanted = 0;
    source->replay.base = bytes;
    source->replay.base_offset = source->replay.offset - size;
    while (size > 0) {
        pstk_took took = {0};
        size_t out_before = c->out->size;
        bool was_ready = c->is_ready;
        intake->frames->count = 0;
        int result = source->ops->take(c->session, bytes, size, intake->frames, c->out, &took,
                                       pstk_source_clock(source, c->coalesce.read_ns));
        pstk_connection_note_ready(intake, c, c->coalesce.read_ns);
        drop(intake, c, PSTK_DROP_MALFORMED, took.malformed);
        drop(intake, c, PSTK_DROP_OVERSIZE, took.oversize);
        size_t count = intake->frames->count;
        size_t taken = offer(intake, c, intake->frames->frame, count);
        if (source->is_paused) {
            source->stash.first = taken;
            source->stash.result = result;
            stash(intake, c, bytes, size, took.consumed);
            return;
        }
        if (result != PSTK_TAKE_OK) {
            end(intake, c, result);
            return;
        }
        if (!settle(intake, c, out_before, was_ready))
            return;
        bytes += took.consumed;
        size -= took.consumed;
        wanted = took.wanted;
        bool is_out_full = wanted > 0 && wanted <= size;
        if (is_out_full && c->out->size > 0) {
            pstk_connection_refuse(intake, c, "the peer does not read our replies",
                                   c->coalesce.read_ns);
            return;
        }
        if (count < PSTK_FRAMES_MAX && !is_out_full)
            break;
    }
    keep(intake, c, bytes, size, wanted);
}

/* ---- receive --------------------------------------------------------------------------------- */

/* False where the connection was closed, or nothing came. */
static bool receive(pstk_intake *intake, pstk_connection *c, uint8_t *at, size_t capacity,
                    size_t *out_size) {
    pstk_source *source = &intake->sources[c->source];
    ssize_t n = source->is_replay ? pstk_replay_read(source, c->fd, at, capacity)
                                  : recv(c->fd, at, capacity, MSG_DONTWAIT);
    int failure = n < 0 ? errno : 0;
    int64_t now_ns = pstk_boot_ns();
    if (source->is_replay && n <= 0 && failure != EINTR) {
        pstk_replay_end(intake, c, failure, now_ns);
        return false;
    }
    if (n == 0 || (n < 0 && failure != EAGAIN && failure != EINTR)) {
        pstk_connection_close(intake, c, now_ns);
        return false;
    }
    *out_size = n > 0 ? (size_t)n : 0;
    source->counters.bytes += *out_size;
    c->coalesce.read_ns = now_ns;
    if (!source->is_replay)
        pstk_connection_mark(intake, c, *out_size, now_ns);
    return n > 0;
}

void pstk_reactor_read(pstk_intake *intake, pstk_connection *c) {
    size_t size = 0;
    if (c->is_big) {
        if (!receive(intake, c, c->big + c->kept, c->big_bytes - c->kept, &size))
            return;
        c->kept += size;
        if (c->kept >= c->wanted)
            decode(intake, c, c->big, c->kept);
        return;
    }
    uint8_t *at = intake->receive + REACTOR_SMALL_BYTES;
    if (!receive(intake, c, at, REACTOR_RECEIVE_BYTES, &size))
        return;
    at -= c->kept;
    memcpy(at, c->small, c->kept);
    decode(intake, c, at, c->kept + size);
}

/* ---- resume ---------------------------------------------------------------------------------- */

/* False while the sink still refuses. */
static bool unstash(pstk_intake *intake, pstk_source *source, int64_t now_ns) {
    pstk_stash *s = &source->stash;
    pstk_connection *c = s->connection;
    if (!c)
        return true;
    c->coalesce.read_ns = now_ns;
    s->first += offer(intake, c, s->frames + s->first, s->count - s->first);
    if (source->is_paused)
        return false;
    s->connection = NULL;
    if (s->result != PSTK_TAKE_OK)
        end(intake, c, s->result);
    else if (pstk_connection_timer(intake, c, now_ns)) /* sends what the take had to say */
        decode(intake, c, s->rest, s->rest_bytes);
    return !source->is_paused;
}

void pstk_reactor_resume(pstk_intake *intake, pstk_source *source, int64_t now_ns) {
    source->is_resuming = false;
    source->is_paused = false;
    source->paused_total_ns += now_ns - source->paused_ns;
    if (!unstash(intake, source, now_ns))
        return;
    for (uint32_t i = 0; i < source->slots; i++) {
        pstk_connection *c = &intake->connections[source->first + i];
        if (c->is_parked)
            pstk_connection_unpark(intake, c);
    }
    pstk_reactor_due(intake, now_ns);
}
