/* wire_feed: drives a wire with no socket, as the reactor would: what take() does not consume comes
 * again in front of the next bytes. Each call gets a heap block of exactly its size, so that ASan
 * sees a read past the end, and each octet of each frame is read. Frames and answers are kept as
 * two byte strings, to compare runs cut in different places. */
#ifndef PSTK_WIRE_FEED_H
#define PSTK_WIRE_FEED_H

#include "intake/intake.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct wire_bytes {
    uint8_t *bytes;
    size_t size, capacity;
} wire_bytes;

typedef struct wire_feed {
    const pstk_wire_ops *ops;
    void *session;
    wire_bytes kept;
    wire_bytes frames; /* each: has subject 1, subject bytes 4, payload bytes 4, subject, payload */
    wire_bytes sent;
    size_t frame_count;
    size_t wanted;
    int result;
    int64_t mono_ns;
    pstk_out out;
    pstk_frames scratch;
} wire_feed;

static inline void wire_bytes_add(wire_bytes *to, const void *bytes, size_t size) {
    if (to->size + size > to->capacity) {
        to->capacity = (to->size + size) * 2;
        to->bytes = realloc(to->bytes, to->capacity);
        if (!to->bytes)
            abort();
    }
    if (size)
        memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
}

static inline bool wire_bytes_equal(const wire_bytes *a, const wire_bytes *b) {
    return a->size == b->size && (a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

static inline wire_feed *wire_feed_open(const pstk_wire_ops *ops,
                                        const pstk_source_options *options) {
    wire_feed *feed = calloc(1, sizeof *feed);
    if (!feed)
        abort();
    feed->ops = ops;
    feed->session = calloc(1, ops->session_bytes);
    if (!feed->session)
        abort();
    ops->start(feed->session, options, false, &feed->out, feed->mono_ns);
    return feed;
}

static inline void wire_feed_close(wire_feed *feed) {
    free(feed->session);
    free(feed->kept.bytes);
    free(feed->frames.bytes);
    free(feed->sent.bytes);
    free(feed);
}

static inline void wire_feed_drain(wire_feed *feed) {
    wire_bytes_add(&feed->sent, feed->out.bytes, feed->out.size);
    feed->out.size = 0;
}

static inline void wire_feed_note(wire_feed *feed) {
    for (size_t i = 0; i < feed->scratch.count; i++) {
        const pstk_frame *frame = &feed->scratch.frame[i];
        uint8_t head[9] = {frame->subject != NULL};
        pstk_store_u32(head + 1, frame->subject_bytes);
        pstk_store_u32(head + 5, frame->payload_bytes);
        wire_bytes_add(&feed->frames, head, sizeof head);
        wire_bytes_add(&feed->frames, frame->subject, frame->subject_bytes);
        wire_bytes_add(&feed->frames, frame->payload, frame->payload_bytes);
    }
    feed->frame_count += feed->scratch.count;
}

static inline int wire_feed_put(wire_feed *feed, const uint8_t *bytes, size_t size) {
    wire_feed_drain(feed);
    if (feed->result != PSTK_TAKE_OK || size == 0)
        return feed->result;
    wire_bytes_add(&feed->kept, bytes, size);
    bool again = true;
    while (again && feed->kept.size > 0) {
        size_t left = feed->kept.size;
        uint8_t *exact = malloc(left);
        if (!exact)
            abort();
        memcpy(exact, feed->kept.bytes, left);
        pstk_took took = {0};
        feed->scratch.count = 0;
        feed->result = feed->ops->take(feed->session, exact, left, &feed->scratch, &feed->out,
                                       &took, feed->mono_ns);
        wire_feed_note(feed);
        wire_feed_drain(feed);
        free(exact);
        if (feed->result != PSTK_TAKE_OK)
            return feed->result;
        if (took.consumed > left)
            abort();
        left -= took.consumed;
        memmove(feed->kept.bytes, feed->kept.bytes + took.consumed, left);
        feed->kept.size = left;
        feed->wanted = took.wanted;
        again = feed->scratch.count == PSTK_FRAMES_MAX || (took.wanted && took.wanted <= left);
    }
    return feed->result;
}

static inline const char *wire_feed_text(const wire_feed *feed) {
    return feed->ops->text(feed->session);
}

#endif
