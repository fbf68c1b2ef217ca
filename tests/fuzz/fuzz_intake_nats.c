/* The NATS wire under any bytes, in any split: the same frames, answers and end as in one piece,
 * nothing read past the receive. Input: flags, two bytes of seed for the split, then what the
 * server sends. Plant: PSTK_PLANT_NATS takes the payload's bounds check from the hot path. */
#include "../native/nats_feed.h"

#define HEAD_BYTES 3u

static nats_feed *make(uint8_t flags) {
    nats_feed *feed = nats_feed_alloc();
    memcpy(feed->options.subjects[1], "a.*", 4);
    feed->options.subject_count = 2;
    feed->options.frame_bytes_max = flags & 2 ? 64 : 1u << 20;
    if (flags & 1) {
        nats_feed_start(feed); /* the input has to bring its own INFO */
    } else {
        nats_feed_ready(feed);
    }
    return feed;
}

static void require(bool is_true, const nats_feed *feed) {
    if (!is_true) {
        fprintf(stderr, "fuzz_intake_nats: %s\n", feed->why ? feed->why : "split and whole differ");
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size < HEAD_BYTES) {
        return 0;
    }
    uint64_t seed = 1 + pstk_load_u16(bytes + 1);
    nats_feed *whole = make(bytes[0]);
    nats_feed *split = make(bytes[0]);
    (void)nats_feed_bytes(whole, bytes + HEAD_BYTES, size - HEAD_BYTES);
    for (size_t at = HEAD_BYTES; at < size;) {
        size_t piece = 1 + pstk_random(&seed) % (bytes[0] & 4 ? 7 : 200);
        piece = PSTK_MIN(piece, size - at);
        (void)nats_feed_bytes(split, bytes + at, piece);
        at += piece;
    }
    require(!whole->is_broken, whole);
    require(!split->is_broken, split);
    require(nats_feed_is_same(whole, split), split);
    nats_feed_free(whole);
    nats_feed_free(split);
    return 0;
}
