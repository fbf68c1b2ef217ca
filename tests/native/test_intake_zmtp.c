/* The ZMTP reader alone: greeting, NULL handshake, frames, commands, bounds and clocks, each stream
 * fed whole, octet by octet and cut once at every position with one and the same outcome. */
#include "check.h"
#include "wire_feed.h"

#define MS INT64_C(1000000)

static pstk_source_options options_of(pstk_source_kind kind) {
    pstk_source_options o = {.kind = (uint16_t)kind,
                             .frame_bytes_max = 1 << 20,
                             .handshake_ns_max = 1000 * MS,
                             .heartbeat_ns = 100 * MS};
    return o;
}

/* ---- streams --------------------------------------------------------------------------------- */

static void put_greeting(wire_bytes *to, int minor, const char *mechanism) {
    uint8_t greeting[64] = {0xFF};
    greeting[9] = 0x7F;
    greeting[10] = 3;
    greeting[11] = (uint8_t)minor;
    memcpy(greeting + 12, mechanism, strlen(mechanism));
    wire_bytes_add(to, greeting, sizeof greeting);
}

static void put_frame(wire_bytes *to, uint8_t flags, const void *body, size_t size) {
    uint8_t head[9] = {flags, (uint8_t)size};
    if (flags & 2)
        for (size_t i = 0; i < 8; i++)
            head[1 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
    wire_bytes_add(to, head, flags & 2 ? 9 : 2);
    wire_bytes_add(to, body, size);
}

static void put_text(wire_bytes *to, uint8_t flags, const char *text) {
    put_frame(to, flags, text, strlen(text));
}

static void put_ready(wire_bytes *to, const char *type) {
    uint8_t body[64] = "\x05READY\x0bSocket-Type";
    size_t at = 6 + 12;
    body[at + 3] = (uint8_t)strlen(type);
    memcpy(body + at + 4, type, strlen(type));
    put_frame(to, 4, body, at + 4 + strlen(type));
}

static wire_bytes stream_ready(const char *type, int minor) {
    wire_bytes stream = {0};
    put_greeting(&stream, minor, "NULL");
    put_ready(&stream, type);
    return stream;
}

/* ---- one stream, every cut ------------------------------------------------------------------- */

static void check_equal(const wire_feed *a, const wire_feed *b) {
    CHECK(a->result == b->result);
    CHECK(a->frame_count == b->frame_count);
    CHECK(wire_bytes_equal(&a->frames, &b->frames));
    CHECK(wire_bytes_equal(&a->sent, &b->sent));
    CHECK(strcmp(wire_feed_text(a), wire_feed_text(b)) == 0);
    CHECK(a->result != PSTK_TAKE_OK || a->kept.size == b->kept.size);
}

static wire_feed *feed_every_cut(const pstk_source_options *options, const wire_bytes *stream) {
    wire_feed *whole = wire_feed_open(&pstk_zmtp_wire, options);
    wire_feed_put(whole, stream->bytes, stream->size);
    wire_feed *single = wire_feed_open(&pstk_zmtp_wire, options);
    for (size_t i = 0; i < stream->size; i++)
        wire_feed_put(single, stream->bytes + i, 1);
    check_equal(whole, single);
    wire_feed_close(single);
    for (size_t cut = 1; cut < stream->size; cut++) {
        wire_feed *cuts = wire_feed_open(&pstk_zmtp_wire, options);
        wire_feed_put(cuts, stream->bytes, cut);
        wire_feed_put(cuts, stream->bytes + cut, stream->size - cut);
        check_equal(whole, cuts);
        wire_feed_close(cuts);
    }
    return whole;
}

static wire_feed *feed_pull(wire_bytes *stream) {
    pstk_source_options options = options_of(PSTK_SOURCE_ZMQ_PULL);
    static pstk_source_options kept; /* outlives the session */
    kept = options;
    wire_feed *feed = feed_every_cut(&kept, stream);
    free(stream->bytes);
    return feed;
}

static void check_frame(const wire_feed *feed, const char *subject, const char *payload) {
    const uint8_t *p = feed->frames.bytes;
    const uint8_t *end = p + feed->frames.size;
    for (; p < end; p += 9 + pstk_load_u32(p + 1) + pstk_load_u32(p + 5)) {
        uint32_t subject_bytes = pstk_load_u32(p + 1), payload_bytes = pstk_load_u32(p + 5);
        bool is_subject = subject ? p[0] && subject_bytes == strlen(subject) &&
                                        memcmp(p + 9, subject, subject_bytes) == 0
                                  : !p[0];
        if (is_subject && payload_bytes == strlen(payload) &&
            memcmp(p + 9 + subject_bytes, payload, payload_bytes) == 0) {
            CHECK(true);
            return;
        }
    }
    fprintf(stderr, "no frame '%s' '%s'\n", subject ? subject : "(none)", payload);
    CHECK(false);
}

/* ---- what must hold -------------------------------------------------------------------------- */

static void test_messages_of_every_shape_come_whole(void) {
    wire_bytes stream = stream_ready("PUSH", 1);
    static char big[300];
    memset(big, 'q', sizeof big - 1);
    put_text(&stream, 0, "one");
    put_text(&stream, 0, "");
    put_text(&stream, 1, "subject");
    put_text(&stream, 0, "payload");
    put_text(&stream, 1, "a");
    put_text(&stream, 1, "between");
    put_text(&stream, 1, "more between");
    put_text(&stream, 0, "b");
    put_text(&stream, 2, "long form");
    put_text(&stream, 2, big);
    put_text(&stream, 1, "");
    put_text(&stream, 2, big);
    put_text(&stream, 3, big);
    put_text(&stream, 0, "");
    wire_feed *feed = feed_pull(&stream);
    CHECK(feed->result == PSTK_TAKE_OK);
    CHECK(feed->frame_count == 8);
    CHECK(feed->kept.size == 0);
    check_frame(feed, NULL, "one");
    check_frame(feed, NULL, "");
    check_frame(feed, "subject", "payload");
    check_frame(feed, "a", "b");
    check_frame(feed, NULL, "long form");
    check_frame(feed, NULL, big);
    check_frame(feed, "", big);
    check_frame(feed, big, "");
    wire_feed_close(feed);
}

static void test_ping_between_parts_is_answered_once_and_splits_nothing(void) {
    wire_bytes stream = stream_ready("PUSH", 1);
    put_text(&stream, 1, "s");
    put_frame(&stream, 4, "\x04PING\x00\x64xyz", 10);
    put_text(&stream, 1, "m");
    put_frame(&stream, 4, "\x04PONG", 5);
    put_text(&stream, 0, "p");
    wire_feed *feed = feed_pull(&stream);
    CHECK(feed->frame_count == 1);
    check_frame(feed, "s", "p");
    /* greeting 64, READY 28, PONG 10 */
    REQUIRE(feed->sent.size == 64 + 28 + 10);
    CHECK(memcmp(feed->sent.bytes + 92, "\x04\x08\x04PONGxyz", 10) == 0);
    wire_feed_close(feed);
}

static void test_flood_of_pings_is_answered_in_any_cut(void) {
    wire_bytes stream = stream_ready("PUSH", 1);
    for (int i = 0; i < 400; i++) /* 400 answers are more than out holds at once */
        put_frame(&stream, 4,
                  "\x04PING\x00\x00"
                  "0123456789abcdef",
                  23);
    put_text(&stream, 0, "still here");
    pstk_source_options options = options_of(PSTK_SOURCE_ZMQ_PULL);
    wire_feed *whole = wire_feed_open(&pstk_zmtp_wire, &options);
    wire_feed *single = wire_feed_open(&pstk_zmtp_wire, &options);
    wire_feed_put(whole, stream.bytes, stream.size);
    for (size_t i = 0; i < stream.size; i++)
        wire_feed_put(single, stream.bytes + i, 1);
    check_equal(whole, single);
    CHECK(whole->sent.size == 92 + 400 * 23);
    check_frame(whole, NULL, "still here");
    wire_feed_close(whole);
    wire_feed_close(single);
    free(stream.bytes);
}

static void test_more_messages_than_one_take_holds(void) {
    wire_bytes stream = stream_ready("PUSH", 1);
    char text[16];
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "%d", i);
        put_text(&stream, i % 3 == 0 ? 1 : 0, text);
        if (i % 3 == 0)
            put_text(&stream, 0, text);
    }
    pstk_source_options options = options_of(PSTK_SOURCE_ZMQ_PULL);
    wire_feed *feed = wire_feed_open(&pstk_zmtp_wire, &options);
    wire_feed_put(feed, stream.bytes, stream.size);
    CHECK(feed->frame_count == 3000);
    check_frame(feed, "2997", "2997");
    check_frame(feed, NULL, "2999");
    wire_feed_close(feed);
    free(stream.bytes);
}

static void check_refused(wire_bytes *stream, int result, size_t frame_count, const char *text) {
    wire_feed *feed = feed_pull(stream);
    CHECK(feed->result == result);
    CHECK(feed->frame_count == frame_count);
    if (!strstr(wire_feed_text(feed), text)) {
        fprintf(stderr, "reason '%s' does not say '%s'\n", wire_feed_text(feed), text);
        CHECK(false);
    }
    wire_feed_close(feed);
}

static void test_strangers_are_refused(void) {
    wire_bytes stream = {0};
    wire_bytes_add(&stream, "GET / HTTP/1.1\r\n", 16);
    check_refused(&stream, PSTK_TAKE_CLOSE, 0, "begin with FF");
    static const char *const others[] = {"PLAIN", "CURVE", "GSSAPI", "NULLX", "", "null"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        stream = (wire_bytes){0};
        put_greeting(&stream, 1, others[i]);
        check_refused(&stream, PSTK_TAKE_CLOSE, 0, "mechanism");
    }
    stream = (wire_bytes){0};
    put_greeting(&stream, 0, "NULL");
    stream.bytes[10] = 2;
    check_refused(&stream, PSTK_TAKE_CLOSE, 0, "below 3.0");
}

static void test_only_fitting_socket_types_pass(void) {
    static const struct {
        uint16_t kind;
        const char *type;
        bool is_accepted;
    } cases[] = {
        {PSTK_SOURCE_ZMQ_PULL, "PUSH", true},  {PSTK_SOURCE_ZMQ_PULL, "PUB", false},
        {PSTK_SOURCE_ZMQ_PULL, "PULL", false}, {PSTK_SOURCE_ZMQ_PULL, "PUSHY", false},
        {PSTK_SOURCE_ZMQ_SUB, "PUB", true},    {PSTK_SOURCE_ZMQ_SUB, "XPUB", true},
        {PSTK_SOURCE_ZMQ_SUB, "SUB", false},   {PSTK_SOURCE_ZMQ_SUB, "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pstk_source_options options = options_of((pstk_source_kind)cases[i].kind);
        wire_bytes stream = stream_ready(cases[i].type, 1);
        wire_feed *feed = feed_every_cut(&options, &stream);
        CHECK(pstk_zmtp_wire.is_ready(feed->session) == cases[i].is_accepted);
        CHECK((feed->result == PSTK_TAKE_OK) == cases[i].is_accepted);
        wire_feed_close(feed);
        free(stream.bytes);
    }
}

static void test_broken_frames_close_after_what_came_before(void) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *text;
    } cases[] = {
        {"\x08\x01x", 3, "reserved"},
        {"\x05\x01x", 3, "reserved"},
        {"\xff\x01x", 3, "reserved"},
        {"\x04\x00", 2, "empty"},
        {"\x04\x01\x00", 3, "name"},
        {"\x04\x06\xffREADY", 8, "name"},
        {"\x04\x06\x04PING\x00", 8, "time to live"},
        {"\x04\x18\x04PING\x00\x64"
         "ccccccccccccccccc",
         26, "16 octets"},
        {"\x04\x06\x05READY", 8, "READY after"},
        {"\x04\x0a\x05"
         "ERROR\x03"
         "bad",
         12, "refused us: bad"},
        {"\x02\x80\x00\x00\x00\x00\x00\x00\x00", 9, "2^63-1"},
        {"\x06\x00\x00\x00\x00\x00\x00\x10\x01", 9, "too large"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wire_bytes stream = stream_ready("PUSH", 1);
        put_text(&stream, 0, "before");
        wire_bytes_add(&stream, cases[i].bytes, cases[i].size);
        put_text(&stream, 0, "after");
        check_refused(&stream, PSTK_TAKE_CLOSE, 1, cases[i].text);
    }
}

static void test_bad_metadata_is_refused(void) {
    static const struct {
        const char *body;
        size_t size;
    } cases[] = {
        {"\x05READY", 6},
        {"\x05READY\x00\x00\x00\x00\x00", 11},
        {"\x05READY\xffSocket-Type", 18},
        {"\x05READY\x0bSocket-Type\xff\xff\xff\xffPUSH", 26},
        {"\x05READY\x0bSocket-Type\x00\x00\x00\x05PUSH", 26},
        {"\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH\x01", 27},
        {"\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH\x0bSocket-Type\x00\x00\x00\x04PUSH", 46},
        {"\x06READYX\x0bSocket-Type\x00\x00\x00\x04PUSH", 27},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wire_bytes stream = {0};
        put_greeting(&stream, 1, "NULL");
        put_frame(&stream, 4, cases[i].body, cases[i].size);
        check_refused(&stream, PSTK_TAKE_CLOSE, 0, "READY");
    }
    wire_bytes early = {0};
    put_greeting(&early, 1, "NULL");
    put_text(&early, 0, "early");
    check_refused(&early, PSTK_TAKE_CLOSE, 0, "before the handshake");
}

static void test_sizes_are_refused_from_the_header(void) {
    static const char *const heads[] = {
        "\x02\x7f\xff\xff\xff\xff\xff\xff\xff",
        "\x02\x00\x00\x01\x00\x00\x00\x00\x00",
        "\x02\x00\x00\x00\x00\x00\x10\x00\x01",
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        wire_bytes stream = stream_ready("PUSH", 1);
        wire_bytes_add(&stream, heads[i], 9);
        check_refused(&stream, PSTK_TAKE_OVERSIZE, 0, "frame_bytes_max");
    }
    wire_bytes stream = stream_ready("PUSH", 1);
    for (int i = 0; i < 16; i++)
        put_text(&stream, 1, "x");
    put_text(&stream, 0, "x");
    check_refused(&stream, PSTK_TAKE_CLOSE, 0, "16 parts");
}

static void test_the_sum_of_parts_is_bounded_and_wanted_never_exceeds_it(void) {
    pstk_source_options options = options_of(PSTK_SOURCE_ZMQ_PULL);
    options.frame_bytes_max = 100;
    char text[101];
    memset(text, 'x', sizeof text - 1);
    text[100] = 0;
    for (size_t second = 40; second <= 41; second++) {
        wire_bytes stream = stream_ready("PUSH", 1);
        put_frame(&stream, 1, text, 60);
        put_frame(&stream, 0, text, second);
        put_frame(&stream, 3, text, 60);
        put_frame(&stream, 2, text, second);
        put_frame(&stream, 0, text, 100);
        wire_feed *feed = feed_every_cut(&options, &stream);
        CHECK(feed->result == (second == 40 ? PSTK_TAKE_OK : PSTK_TAKE_OVERSIZE));
        CHECK(feed->frame_count == (second == 40 ? 3 : 0));
        wire_feed_close(feed);
        free(stream.bytes);
    }
    wire_bytes stream = stream_ready("PUSH", 1);
    put_frame(&stream, 0, text, 100);
    wire_feed *feed = wire_feed_open(&pstk_zmtp_wire, &options);
    for (size_t i = 0; i < stream.size; i++) {
        wire_feed_put(feed, stream.bytes + i, 1);
        CHECK(feed->wanted <= options.frame_bytes_max + 64);
        CHECK(feed->kept.size == 0 || feed->wanted > feed->kept.size);
    }
    CHECK(feed->frame_count == 1);
    wire_feed_close(feed);
    free(stream.bytes);
}

static void test_subscriptions_speak_the_peers_version(void) {
    static const char as_message[] = "\x00\x07\x01plant.\x00\x01\x01";
    static const char as_command[] = "\x04\x10\x09SUBSCRIBEplant.\x04\x0a\x09SUBSCRIBE";
    pstk_source_options options = options_of(PSTK_SOURCE_ZMQ_SUB);
    options.subject_count = 2;
    strcpy(options.subjects[0], "plant.");
    for (int minor = 0; minor <= 1; minor++) {
        wire_bytes stream = stream_ready("PUB", minor);
        wire_feed *feed = feed_every_cut(&options, &stream);
        const char *wanted = minor ? as_command : as_message;
        size_t size = minor ? sizeof as_command - 1 : sizeof as_message - 1;
        REQUIRE(feed->sent.size == 64 + 27 + size);
        CHECK(memcmp(feed->sent.bytes + 91, wanted, size) == 0);
        wire_feed_close(feed);
        free(stream.bytes);
    }
}

/* ---- clocks ---------------------------------------------------------------------------------- */

static int tick(wire_feed *feed, int64_t mono_ns, int64_t *out_next_ns) {
    feed->mono_ns = mono_ns;
    int result = pstk_zmtp_wire.timer(feed->session, &feed->out, mono_ns, out_next_ns);
    wire_feed_drain(feed);
    return result;
}

static void test_handshake_ends_in_time_or_closes(void) {
    pstk_source_options options = options_of(PSTK_SOURCE_ZMQ_PULL);
    wire_feed *feed = wire_feed_open(&pstk_zmtp_wire, &options);
    int64_t next_ns = 0;
    CHECK(tick(feed, 999 * MS, &next_ns) == PSTK_TAKE_OK);
    CHECK(next_ns == 1000 * MS);
    wire_feed_put(feed, (const uint8_t *)"\xff", 1); /* one octet more buys no time */
    CHECK(tick(feed, 1000 * MS, &next_ns) == PSTK_TAKE_CLOSE);
    CHECK(strstr(wire_feed_text(feed), "handshake") != NULL);
    wire_feed_close(feed);
}

static void test_silent_peer_is_pinged_then_closed(void) {
    pstk_source_options options = options_of(PSTK_SOURCE_ZMQ_PULL);
    wire_bytes stream = stream_ready("PUSH", 1);
    wire_feed *feed = wire_feed_open(&pstk_zmtp_wire, &options);
    wire_feed_put(feed, stream.bytes, stream.size);
    size_t sent = feed->sent.size;
    int64_t next_ns = 0;
    CHECK(tick(feed, 99 * MS, &next_ns) == PSTK_TAKE_OK && next_ns == 100 * MS);
    CHECK(feed->sent.size == sent);
    CHECK(tick(feed, 100 * MS, &next_ns) == PSTK_TAKE_OK && next_ns == 200 * MS);
    REQUIRE(feed->sent.size == sent + 9);
    CHECK(memcmp(feed->sent.bytes + sent, "\x04\x07\x04PING\x00\x00", 9) == 0);
    CHECK(tick(feed, 150 * MS, &next_ns) == PSTK_TAKE_OK && feed->sent.size == sent + 9);
    feed->mono_ns = 160 * MS; /* the PONG puts the end off */
    wire_feed_put(feed, (const uint8_t *)"\x04\x05\x04PONG", 7);
    CHECK(tick(feed, 459 * MS, &next_ns) == PSTK_TAKE_OK);
    CHECK(tick(feed, 460 * MS, &next_ns) == PSTK_TAKE_CLOSE);
    CHECK(strstr(wire_feed_text(feed), "silent") != NULL);
    wire_feed_close(feed);
    free(stream.bytes);
}

static void test_peer_ttl_closes_and_3_0_peers_are_not_pinged(void) {
    pstk_source_options options = options_of(PSTK_SOURCE_ZMQ_PULL);
    for (int has_ttl = 0; has_ttl <= 1; has_ttl++) {
        wire_bytes stream = stream_ready("PUSH", 0);
        put_frame(&stream, 4, has_ttl ? "\x04PING\x00\x05" : "\x04PING\x00\x00", 7);
        wire_feed *feed = wire_feed_open(&pstk_zmtp_wire, &options);
        wire_feed_put(feed, stream.bytes, stream.size);
        size_t sent = feed->sent.size;
        int64_t next_ns = 0;
        CHECK(tick(feed, 499 * MS, &next_ns) == PSTK_TAKE_OK);
        CHECK(next_ns == (has_ttl ? 500 * MS : INT64_MAX));
        CHECK(tick(feed, 500 * MS, &next_ns) == (has_ttl ? PSTK_TAKE_CLOSE : PSTK_TAKE_OK));
        CHECK(feed->sent.size == sent);
        wire_feed_close(feed);
        free(stream.bytes);
    }
}

int main(void) {
    test_messages_of_every_shape_come_whole();
    test_ping_between_parts_is_answered_once_and_splits_nothing();
    test_flood_of_pings_is_answered_in_any_cut();
    test_more_messages_than_one_take_holds();
    test_strangers_are_refused();
    test_only_fitting_socket_types_pass();
    test_broken_frames_close_after_what_came_before();
    test_bad_metadata_is_refused();
    test_sizes_are_refused_from_the_header();
    test_the_sum_of_parts_is_bounded_and_wanted_never_exceeds_it();
    test_subscriptions_speak_the_peers_version();
    test_handshake_ends_in_time_or_closes();
    test_silent_peer_is_pinged_then_closed();
    test_peer_ttl_closes_and_3_0_peers_are_not_pinged();
    return check_result("intake_zmtp");
}
