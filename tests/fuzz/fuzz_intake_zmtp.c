/* The ZMTP reader against any bytes in any pieces: whole and cut, the same frames, the same
 * answers, the same end; no read past what was given; never a wish for more than its bound. Every
 * octet of every frame is read. Input: octet 0: 1 = a valid handshake comes first, 2 = SUB, 4 = the
 * peer speaks 3.1; octet 1: how many of the next octets (at most 15) are piece lengths, used in a
 * circle; then the stream. With -DPSTK_PLANT_ZMTP the reader lacks one length check, and this must
 * find it. */
#include "../native/wire_feed.h"

#define FRAME_BYTES_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_handshake(wire_feed *feed, uint8_t mode) {
    static const uint8_t ready[] = "\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH";
    uint8_t greeting[64] = {0xFF, [9] = 0x7F, 3, (mode & 4) != 0, 'N', 'U', 'L', 'L'};
    uint8_t hello[sizeof ready];
    memcpy(hello, ready, sizeof ready);
    if (mode & 2)
        memcpy(hello + sizeof ready - 5, "XPUB", 4);
    wire_feed_put(feed, greeting, sizeof greeting);
    wire_feed_put(feed, hello, sizeof ready - 1);
    if (!feed->ops->is_ready(feed->session))
        abort();
}

static void check_bounds(const wire_feed *feed) {
    if (feed->result != PSTK_TAKE_OK || feed->kept.size == 0)
        return;
    if (feed->wanted <= feed->kept.size || feed->wanted > 64 * 1024)
        abort();
}

static void check_same(const wire_feed *a, const wire_feed *b) {
    if (a->result != b->result || a->frame_count != b->frame_count ||
        !wire_bytes_equal(&a->frames, &b->frames) || !wire_bytes_equal(&a->sent, &b->sent) ||
        strcmp(wire_feed_text(a), wire_feed_text(b)) != 0 ||
        (a->result == PSTK_TAKE_OK && a->kept.size != b->kept.size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    uint8_t mode = data[0];
    size_t lengths = data[1] & 15u;
    if (size < 2 + lengths)
        return 0;
    const uint8_t *pieces = data + 2, *stream = pieces + lengths;
    size_t left = size - 2 - lengths;
    pstk_source_options options = {.kind = mode & 2 ? PSTK_SOURCE_ZMQ_SUB : PSTK_SOURCE_ZMQ_PULL,
                                   .frame_bytes_max = FRAME_BYTES_MAX,
                                   .handshake_ns_max = PSTK_NS_PER_S,
                                   .heartbeat_ns = PSTK_NS_PER_S};
    wire_feed *whole = wire_feed_open(&pstk_zmtp_wire, &options);
    wire_feed *cut = wire_feed_open(&pstk_zmtp_wire, &options);
    if (mode & 1) {
        put_handshake(whole, mode);
        put_handshake(cut, mode);
    }
    wire_feed_drain(whole);
    wire_feed_drain(cut);
    wire_feed_put(whole, stream, left);
    check_bounds(whole);
    for (size_t at = 0, turn = 0; at < left; turn++) {
        size_t piece = lengths ? 1 + (size_t)pieces[turn % lengths] : 1;
        piece = PSTK_MIN(piece, left - at);
        wire_feed_put(cut, stream + at, piece);
        check_bounds(cut);
        at += piece;
    }
    check_same(whole, cut);
    int64_t next_ns = 0;
    (void)pstk_zmtp_wire.timer(whole->session, &whole->out, (int64_t)mode * 100000000, &next_ns);
    wire_feed_close(whole);
    wire_feed_close(cut);
    return 0;
}
