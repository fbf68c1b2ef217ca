/* nats_feed: hands bytes to the NATS wire as a reactor would, in heap blocks of exactly their size,
 * so that a read past the end is seen by the address sanitizer; and writes down what came out. */
#ifndef PSTK_NATS_FEED_H
#define PSTK_NATS_FEED_H

#include "intake/nats.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct nats_feed {
    pstk_source_options options;
    pstk_nats_session session;
    pstk_frames frames;
    pstk_out out;
    int status;     /* of the last take */
    bool is_broken; /* the wire broke its contract; why says how */
    const char *why;
    int64_t mono_ns;
    uint64_t frame_count, malformed, oversize;
    size_t wanted;
    uint8_t *rest; /* the unfinished frame */
    size_t rest_bytes;
    uint8_t *log; /* frames: u32 subject size, u32 payload size, subject, payload */
    size_t log_bytes, log_capacity;
    uint8_t sent[2 * PSTK_OUT_BYTES];
    size_t sent_bytes;
} nats_feed;

static inline void nats_feed_broke(nats_feed *feed, const char *why) {
    feed->is_broken = true;
    feed->why = why;
}

static inline void nats_feed_log(nats_feed *feed, const void *bytes, size_t size) {
    if (feed->log_bytes + size > feed->log_capacity) {
        feed->log_capacity = 2 * (feed->log_bytes + size) + 256;
        feed->log = realloc(feed->log, feed->log_capacity);
        if (feed->log == NULL) {
            abort();
        }
    }
    if (size > 0) {
        memcpy(feed->log + feed->log_bytes, bytes, size);
    }
    feed->log_bytes += size;
}

static inline void nats_feed_send(nats_feed *feed) {
    if (feed->sent_bytes + feed->out.size > sizeof feed->sent) {
        nats_feed_broke(feed, "too much sent");
        return;
    }
    memcpy(feed->sent + feed->sent_bytes, feed->out.bytes, feed->out.size);
    feed->sent_bytes += feed->out.size;
    feed->out.size = 0;
}

static inline nats_feed *nats_feed_alloc(void) {
    nats_feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL) {
        abort();
    }
    memcpy(feed->options.name, "line1", 5);
    memcpy(feed->options.subjects[0], "tel.>", 5);
    feed->options.subject_count = 1;
    feed->options.frame_bytes_max = 1u << 20;
    return feed;
}

static inline void nats_feed_start(nats_feed *feed) {
    pstk_nats_wire.start(&feed->session, &feed->options, false, &feed->out, feed->mono_ns);
    nats_feed_send(feed);
}

static inline void nats_feed_free(nats_feed *feed) {
    free(feed->rest);
    free(feed->log);
    free(feed);
}

static inline void nats_feed_took(nats_feed *feed, const pstk_took *took, size_t size) {
    feed->malformed += took->malformed;
    feed->oversize += took->oversize;
    feed->wanted = took->wanted;
    if (took->consumed > size) {
        nats_feed_broke(feed, "consumed more than there was");
    }
    if (took->wanted > (size_t)feed->options.frame_bytes_max + 64) {
        nats_feed_broke(feed, "wanted more than the maximum");
    }
    for (size_t i = 0; i < feed->frames.count; i++) {
        const pstk_frame *frame = &feed->frames.frame[i];
        uint32_t sizes[2] = {frame->subject_bytes, frame->payload_bytes};
        nats_feed_log(feed, sizes, sizeof sizes);
        nats_feed_log(feed, frame->subject, frame->subject_bytes);
        nats_feed_log(feed, frame->payload, frame->payload_bytes);
        feed->frame_count++;
    }
    nats_feed_send(feed);
}

/* One receive. Returns the status of the last take. */
static inline int nats_feed_bytes(nats_feed *feed, const void *bytes, size_t size) {
    if (feed->status != PSTK_TAKE_OK) {
        return feed->status;
    }
    size_t total = feed->rest_bytes + size;
    uint8_t *all = malloc(total ? total : 1);
    if (all == NULL) {
        abort();
    }
    if (feed->rest_bytes > 0) {
        memcpy(all, feed->rest, feed->rest_bytes);
    }
    memcpy(all + feed->rest_bytes, bytes, size);
    size_t at = 0;
    bool is_full = true;
    while (is_full && feed->status == PSTK_TAKE_OK && !feed->is_broken) {
        pstk_took took;
        uint8_t *view = malloc(total - at ? total - at : 1);
        if (view == NULL) {
            abort();
        }
        memcpy(view, all + at, total - at);
        feed->status = pstk_nats_wire.take(&feed->session, view, total - at, &feed->frames,
                                           &feed->out, &took, feed->mono_ns);
        is_full = feed->frames.count == PSTK_FRAMES_MAX;
        nats_feed_took(feed, &took, total - at);
        at += took.consumed;
        free(view);
    }
    free(feed->rest);
    feed->rest_bytes = total - at;
    feed->rest = malloc(feed->rest_bytes ? feed->rest_bytes : 1);
    if (feed->rest == NULL) {
        abort();
    }
    memcpy(feed->rest, all + at, feed->rest_bytes);
    free(all);
    if (feed->status == PSTK_TAKE_OK &&
        feed->rest_bytes > PSTK_MAX(feed->wanted, (size_t)PSTK_NATS_LINE_BYTES_MAX)) {
        nats_feed_broke(feed, "keeps more than an unfinished frame");
    }
    return feed->status;
}

static inline int nats_feed_text(nats_feed *feed, const char *text) {
    return nats_feed_bytes(feed, text, strlen(text));
}

/* Through the handshake, so that messages may come. */
static inline void nats_feed_ready(nats_feed *feed) {
    nats_feed_start(feed);
    (void)nats_feed_text(feed, "INFO {\"headers\":true,\"max_payload\":1048576}\r\nPONG\r\n");
    feed->sent_bytes = 0;
}

static inline bool nats_feed_is_equal(const uint8_t *a, size_t a_bytes, const uint8_t *b,
                                      size_t b_bytes) {
    return a_bytes == b_bytes && (a_bytes == 0 || memcmp(a, b, a_bytes) == 0);
}

/* Everything a user could notice is the same. */
static inline bool nats_feed_is_same(const nats_feed *a, const nats_feed *b) {
    return a->status == b->status && a->frame_count == b->frame_count &&
           a->malformed == b->malformed && a->oversize == b->oversize &&
           nats_feed_is_equal(a->log, a->log_bytes, b->log, b->log_bytes) &&
           nats_feed_is_equal(a->sent, a->sent_bytes, b->sent, b->sent_bytes) &&
           a->session.phase == b->session.phase && strcmp(a->session.text, b->session.text) == 0 &&
           (a->status != PSTK_TAKE_OK ||
            nats_feed_is_equal(a->rest, a->rest_bytes, b->rest, b->rest_bytes));
}

#endif
