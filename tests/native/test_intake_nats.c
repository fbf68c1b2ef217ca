/* The NATS wire, fed with bytes as a server sends them: whole, cut at every position, and one by
 * one. */
#include "check.h"
#include "nats_feed.h"

static bool has(const char *text, const char *part) { return strstr(text, part) != NULL; }

static bool is_sent(const nats_feed *feed, const char *text) {
    return feed->sent_bytes == strlen(text) && memcmp(feed->sent, text, feed->sent_bytes) == 0;
}

/* Frame number n of the log is this subject and payload. */
static bool is_frame(const nats_feed *feed, size_t n, const char *subject, const char *payload) {
    const uint8_t *at = feed->log;
    for (size_t i = 0; at < feed->log + feed->log_bytes; i++) {
        uint32_t size[2];
        memcpy(size, at, 8);
        if (i == n) {
            return size[0] == strlen(subject) && memcmp(at + 8, subject, size[0]) == 0 &&
                   size[1] == strlen(payload) && memcmp(at + 8 + size[0], payload, size[1]) == 0;
        }
        at += 8 + size[0] + size[1];
    }
    return false;
}

static nats_feed *ready_feed(void) {
    nats_feed *feed = nats_feed_alloc();
    nats_feed_ready(feed);
    REQUIRE(pstk_nats_wire.is_ready(&feed->session));
    return feed;
}

/* The same bytes in every cut leave the same state behind. Returns the whole run for further
 * checks. */
static nats_feed *every_cut(nats_feed *(*make)(void), const char *bytes, size_t size) {
    nats_feed *whole = make();
    (void)nats_feed_bytes(whole, bytes, size);
    CHECK(!whole->is_broken);
    for (size_t cut = 0; cut <= size + 1; cut++) { /* size + 1: byte by byte */
        nats_feed *feed = make();
        if (cut <= size) {
            (void)nats_feed_bytes(feed, bytes, cut);
            (void)nats_feed_bytes(feed, bytes + cut, size - cut);
        }
        for (size_t i = 0; cut > size && i < size; i++) {
            (void)nats_feed_bytes(feed, bytes + i, 1);
        }
        CHECK(!feed->is_broken);
        CHECK(nats_feed_is_same(whole, feed));
        nats_feed_free(feed);
    }
    return whole;
}

/* One careful text after a reject, for a line given to a ready wire. */
static void check_refused(const char *bytes, int status, const char *text) {
    nats_feed *feed = every_cut(ready_feed, bytes, strlen(bytes));
    CHECK(feed->status == status);
    CHECK(feed->session.phase == PSTK_NATS_PHASE_CLOSED);
    if (!has(feed->session.text, text)) {
        fprintf(stderr, "text is: %s\n", feed->session.text);
    }
    CHECK(has(feed->session.text, text));
    nats_feed_free(feed);
}

static nats_feed *started_feed(void) {
    nats_feed *feed = nats_feed_alloc();
    nats_feed_start(feed);
    return feed;
}

static nats_feed *credentials_feed(void) {
    nats_feed *feed = nats_feed_alloc();
    strcpy(feed->options.user, "o\"brien\\");
    strcpy(feed->options.password, "p\x01w\n\xc3\xa4");
    strcpy(feed->options.token, "t");
    strcpy(feed->options.subjects[1], "plant.*.temp");
    feed->options.subject_count = 2;
    nats_feed_start(feed);
    return feed;
}

static void test_hello_says_connect_subs_and_ping(void) {
    const char *info = "INFO {\"server_id\":\"N\",\"auth_required\":true}\r\n";
    nats_feed *feed = every_cut(credentials_feed, info, strlen(info));
    CHECK(is_sent(feed, "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,"
                        "\"no_responders\":false,\"echo\":false,\"tls_required\":false,"
                        "\"protocol\":1,\"lang\":\"c\",\"name\":\"penstock\",\"version\":\"0.1.0\","
                        "\"user\":\"o\\\"brien\\\\\",\"pass\":\"p\\u0001w\\u000a\xc3\xa4\","
                        "\"auth_token\":\"t\"}\r\n"
                        "SUB tel.> 1\r\nSUB plant.*.temp 2\r\nPING\r\n"));
    nats_feed_free(feed);
    feed = started_feed();
    CHECK(feed->sent_bytes == 0);
    (void)nats_feed_text(feed, "INFO {}\r\n");
    feed->sent[feed->sent_bytes] = 0;
    CHECK(!has((const char *)feed->sent, "user") && !has((const char *)feed->sent, "auth_token"));
    nats_feed_free(feed);
}

static void test_hello_of_the_largest_options_fits(void) {
    nats_feed *feed = nats_feed_alloc();
    pstk_source_options *options = &feed->options;
    memset(options->user, 1, sizeof options->user - 1);
    memset(options->password, '"', sizeof options->password - 1);
    memset(options->token, 2, sizeof options->token - 1);
    options->subject_count = PSTK_SUBJECTS_MAX;
    for (size_t i = 0; i < PSTK_SUBJECTS_MAX; i++) {
        memset(options->subjects[i], 'a', sizeof options->subjects[i] - 1);
    }
    nats_feed_start(feed);
    CHECK(nats_feed_text(feed, "INFO {}\r\n") == PSTK_TAKE_OK);
    CHECK(feed->sent_bytes > 4000 && memcmp(feed->sent + feed->sent_bytes - 6, "PING\r\n", 6) == 0);
    nats_feed_free(feed);
}

static void test_ready_only_after_the_pong(void) {
    nats_feed *feed = started_feed();
    CHECK(nats_feed_text(feed, "PONG\r\n") == PSTK_TAKE_OK); /* of nobody's PING */
    CHECK(!pstk_nats_wire.is_ready(&feed->session));
    (void)nats_feed_text(feed, "INFO {\"max_payload\":77}\r\n");
    CHECK(feed->session.info.max_payload == 77);
    CHECK(!pstk_nats_wire.is_ready(&feed->session));
    (void)nats_feed_text(feed, "+OK\r\nPON");
    CHECK(!pstk_nats_wire.is_ready(&feed->session));
    (void)nats_feed_text(feed, "G\r\n");
    CHECK(pstk_nats_wire.is_ready(&feed->session));
    nats_feed_free(feed);
}

static void test_refusals_name_the_way_out(void) {
    nats_feed *feed = credentials_feed();
    (void)nats_feed_text(feed, "INFO {}\r\n-ERR 'Authorization Violation'\r\n");
    CHECK(feed->status == PSTK_TAKE_CLOSE);
    CHECK(has(feed->session.text, "'Authorization Violation'; check user, password and token"));
    CHECK(!has(feed->session.text, "brien"));
    nats_feed_free(feed);
    feed = started_feed();
    (void)nats_feed_text(feed, "INFO {\"nonce\":\"abc\"}\r\n-ERR 'Authorization Violation'\r\n");
    CHECK(feed->status == PSTK_TAKE_CLOSE && has(feed->session.text, "NKey"));
    nats_feed_free(feed);
    feed = started_feed();
    (void)nats_feed_text(feed, "INFO {}\r\n-ERR 'Authorization Violation'\r\n");
    CHECK(feed->status == PSTK_TAKE_CLOSE && has(feed->session.text, "give this source a user"));
    nats_feed_free(feed);
    feed = started_feed();
    (void)nats_feed_text(feed, "INFO {\"tls_required\":true}\r\n");
    CHECK(feed->status == PSTK_TAKE_CLOSE && has(feed->session.text, "requires TLS"));
    CHECK(feed->sent_bytes == 0); /* no password in the clear to a server that wants TLS */
    nats_feed_free(feed);
    check_refused("-ERR 'Permissions Violation for Subscription to \"tel.>\"'\r\n", PSTK_TAKE_CLOSE,
                  "Subscription to \"tel.>\"");
    check_refused("-ERR 'maximum connections exceeded'\r\n", PSTK_TAKE_CLOSE,
                  "maximum connections");
    check_refused("-ERR 'Authorization \x01\xffViolation'\r\n", PSTK_TAKE_CLOSE, "control");
}

static void test_other_errors_are_counted_and_kept(void) {
    const char *bytes = "-ERR 'Slow Consumer'\r\nMSG tel.a 1 2\r\nhi\r\n";
    nats_feed *feed = every_cut(ready_feed, bytes, strlen(bytes));
    CHECK(feed->status == PSTK_TAKE_OK && feed->session.verbs[PSTK_NATS_ERR] == 1);
    CHECK(has(pstk_nats_wire.text(&feed->session), "said 'Slow Consumer'"));
    CHECK(is_frame(feed, 0, "tel.a", "hi"));
    nats_feed_free(feed);
}

static void test_messages_in_every_cut(void) {
    const char *bytes = "MSG tel.line1.press 1 5\r\nhello\r\n"
                        "MSG tel.line1.press 1 reply.to 4\r\n\r\n\r\n\r\n"
                        "PING\r\n"
                        "MSG  tel.a\t1   0 \r\n\r\n"
                        "HMSG tel.h 1 18 23\r\nNATS/1.0\r\nX: 1\r\n\r\nworld\r\n"
                        "HMSG tel.h 1 inbox 12 15\r\nNATS/1.0\r\n\r\nabc\r\n"
                        "msg tel.lower 1 1\r\nx\r\n"
                        "INFO {\"ldm\":true}\r\n"
                        "MSG tel.a.tail.long.enough.for.the.hot.path 1 60\r\n"
                        "012345678901234567890123456789012345678901234567890123456789\r\n"
                        "MSG tel.z 1 3\r\nend\r\nMSG tel.open 1 9\r\nunfin";
    nats_feed *feed = every_cut(ready_feed, bytes, strlen(bytes));
    CHECK(feed->status == PSTK_TAKE_OK && feed->frame_count == 8);
    CHECK(is_frame(feed, 0, "tel.line1.press", "hello"));
    CHECK(is_frame(feed, 1, "tel.line1.press", "\r\n\r\n"));
    CHECK(is_frame(feed, 2, "tel.a", ""));
    CHECK(is_frame(feed, 3, "tel.h", "world"));
    CHECK(is_frame(feed, 4, "tel.h", "abc"));
    CHECK(is_frame(feed, 5, "tel.lower", "x"));
    CHECK(is_frame(feed, 7, "tel.z", "end"));
    CHECK(is_sent(feed, "PONG\r\n"));
    CHECK(feed->session.info.is_lame_duck);
    CHECK(feed->wanted == strlen("MSG tel.open 1 9\r\n") + 9 + 2);
    nats_feed_free(feed);
}

/* More than one take can hold, with headers in between, in receives of many sizes. */
static void test_a_stream_of_messages_survives_any_receive_size(void) {
    enum { COUNT = 1700 };
    char *bytes = malloc(COUNT * 160);
    REQUIRE(bytes != NULL);
    size_t size = 0;
    for (int i = 0; i < COUNT; i++) {
        char body[100];
        int fill = sprintf(body, "%0*d", 1 + i % 90, i);
        size += (size_t)sprintf(
            bytes + size, i % 7 ? "MSG tel.m%d 1 %d\r\n%s\r\n" : "MSG tel.m%d  1 %d\r\n%s\r\n",
            i % 13, fill, body);
        if (i % 11 == 0) {
            size += (size_t)sprintf(bytes + size, "HMSG tel.h 1 12 15\r\nNATS/1.0\r\n\r\n%03d\r\n",
                                    i % 1000);
        }
    }
    nats_feed *whole = ready_feed();
    CHECK(nats_feed_bytes(whole, bytes, size) == PSTK_TAKE_OK && !whole->is_broken);
    CHECK(whole->frame_count == COUNT + (COUNT + 10) / 11 && whole->rest_bytes == 0);
    CHECK(is_frame(whole, 0, "tel.m0", "0") && is_frame(whole, 2, "tel.m1", "01"));
    for (size_t piece = 1; piece < 3000; piece = piece * 2 + 1) {
        nats_feed *feed = ready_feed();
        for (size_t at = 0; at < size; at += piece) {
            (void)nats_feed_bytes(feed, bytes + at, PSTK_MIN(piece, size - at));
        }
        CHECK(!feed->is_broken && nats_feed_is_same(whole, feed));
        nats_feed_free(feed);
    }
    nats_feed_free(whole);
    free(bytes);
}

static nats_feed *small_feed(void) {
    nats_feed *feed = nats_feed_alloc();
    feed->options.frame_bytes_max = 40;
    nats_feed_ready(feed);
    return feed;
}

static void test_oversize_is_skipped_and_counted(void) {
    char bytes[400];
    int size = sprintf(bytes,
                       "MSG tel.a 1 35\r\n%035d\r\nMSG tel.a 1 36\r\n%036d\r\n"
                       "HMSG tel.b 1 12 60\r\nNATS/1.0\r\n\r\n%048d\r\nMSG tel.c 1 2\r\nok\r\n",
                       1, 2, 3);
    nats_feed *feed = every_cut(small_feed, bytes, (size_t)size);
    CHECK(feed->status == PSTK_TAKE_OK && feed->oversize == 2 && feed->malformed == 0);
    CHECK(feed->frame_count == 2 && is_frame(feed, 1, "tel.c", "ok"));
    nats_feed_free(feed);
    const char *lying = "MSG tel.a 1 36\r\n000000000000000000000000000000000001xx";
    feed = every_cut(small_feed, lying, strlen(lying));
    CHECK(feed->status == PSTK_TAKE_CLOSE && feed->oversize == 1);
    CHECK(has(feed->session.text, "longer than its line says"));
    nats_feed_free(feed);
    check_refused("MSG tel.a 1 67108865\r\n", PSTK_TAKE_OVERSIZE, "67108864");
    check_refused("MSG tel.a 1 99999999999999999999999999\r\n", PSTK_TAKE_OVERSIZE, "67108864");
}

static void test_useless_messages_are_counted_and_skipped(void) {
    const char *bytes =
        "MSG tel.a 2 30\r\n000000000000000000000000000000\r\n"
        "MSG tel.a 0 1\r\nx\r\n"
        "HMSG tel.a 1 12 13\r\nNATS/2.0\r\n\r\nx\r\n"
        "HMSG tel.a 1 2 3\r\nabc\r\n"
        "HMSG tel.a 1 13 52\r\nNATS/1.0\r\n\r\nx000000000000000000000000000000000000001\r\n"
        "MSG tel.a 1 1\r\nx\r\n";
    nats_feed *feed = every_cut(ready_feed, bytes, strlen(bytes));
    CHECK(feed->status == PSTK_TAKE_OK && feed->malformed == 5 && feed->frame_count == 1);
    nats_feed_free(feed);
}

static void test_broken_lines_close(void) {
    static const char *const lines[] = {
        "MSG tel.a 1\r\n",
        "MSG tel.a x 1\r\n",
        "MSG tel.a 1 -1\r\n",
        "MSG tel.a 1 1 1 1\r\n",
        "HMSG tel.a 1 9 8\r\n",
        "HMSG tel.a 1 8\r\n",
        "MSG tel\x01.a 1 1\r\nx\r\n",
        "MSG tel.a 18446744073709551616 1\r\n",
        "PING x\r\n",
        "PINGx\r\n",
        "MSGtel.a 1 1\r\n",
        " MSG tel.a 1 1\r\n",
        "HTTP/1.1 400 Bad Request\r\n",
        "MSG tel.a 1 1\r\nxy\r\n",
        "MSG tel.a 1 1\r\nx\n\n",
        "-ERR\r\n",
        "\r\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        check_refused(lines[i], PSTK_TAKE_CLOSE, i == 0 ? "MSG line that cannot be read" : "");
    }
    nats_feed *feed = started_feed();
    (void)nats_feed_text(feed, "MSG tel.a 1 1\r\nx\r\n");
    CHECK(feed->status == PSTK_TAKE_CLOSE && has(feed->session.text, "before INFO"));
    CHECK(nats_feed_text(feed, "PING\r\n") == PSTK_TAKE_CLOSE); /* stays closed */
    nats_feed_free(feed);
}

/* Exactly 4,096 bytes are a line; one more is not. */
static void test_the_longest_line_is_4096_bytes(void) {
    char bytes[6000];
    for (int reply = 4076; reply <= 4079;
         reply++) { /* "MSG a 1 " + reply + " 0\r\n" = reply + 12 */
        memset(bytes, 'r', sizeof bytes);
        memcpy(bytes, "MSG a 1 ", 8);
        memcpy(bytes + 8 + reply, " 0\r\n\r\n", 6);
        nats_feed *feed = ready_feed();
        (void)nats_feed_bytes(feed, bytes, 8 + (size_t)reply + 6);
        CHECK(feed->status == PSTK_TAKE_OK && feed->frame_count == 1);
        nats_feed_free(feed);
    }
    for (size_t subject = 4085; subject <= 4089;
         subject++) { /* hot path: "MSG " + subject + " 1 0\r\n" */
        memset(bytes, 's', sizeof bytes);
        memcpy(bytes, "MSG ", 4);
        size_t size = 4 + subject;
        memcpy(bytes + size, " 1 0\r\n\r\n", 8);
        memset(bytes + size + 8, ' ', 60);
        memcpy(bytes + size + 8, "PING", 4);
        bytes[size + 68] = '\n';
        nats_feed *feed = every_cut(ready_feed, bytes, size + 69);
        CHECK((feed->status == PSTK_TAKE_OK) == (subject + 10 <= 4096));
        nats_feed_free(feed);
    }
    memset(bytes, 's', sizeof bytes);
    memcpy(bytes, "MSG ", 4);
    nats_feed *feed = ready_feed();
    CHECK(nats_feed_bytes(feed, bytes, 4095) == PSTK_TAKE_OK);
    CHECK(nats_feed_bytes(feed, bytes + 4095, 1) == PSTK_TAKE_CLOSE);
    nats_feed_free(feed);
}

static void check_info(const char *json, bool is_good) {
    char line[2000];
    int size = sprintf(line, "INFO %s\r\n", json);
    nats_feed *feed = every_cut(started_feed, line, (size_t)size);
    if ((feed->status == PSTK_TAKE_OK) != is_good) {
        fprintf(stderr, "INFO %s\n", json);
    }
    CHECK((feed->status == PSTK_TAKE_OK) == is_good);
    CHECK(is_good || has(feed->session.text, "INFO is not a JSON object"));
    nats_feed_free(feed);
}

static void test_info_is_strict_json(void) {
    static const char *const good[] = {
        "{}",
        "{ \"a\" : [ ] , \"b\" : { } }",
        "{\"a\":[1,-0.5e+3,1E9,0,\"x\\u00e4\\n\",true,false,null]}",
        "\t{\"a\":{\"b\":{\"c\":[[[[{\"max_payload\":9}]]]]}}}",
        "{\"a\":\"\xc3\xa4\"}",
    };
    static const char *const bad[] = {
        "",
        "[]",
        "1",
        "{not json}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":tru}",
        "{\"a\":truex}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":[1}",
        "{\"a\":{]}",
        "{\"a\":\"x",
        "{} x",
        "{}{}",
        "{\"a\":1 2}",
        "{\"a\":[,1]}",
        "{\"a\":\"\x02\"}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":nul}",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        check_info(good[i], true);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        check_info(bad[i], false);
    }
    char deep[100] = "{\"a\":";
    memset(deep + 5, '[', PSTK_NATS_JSON_DEPTH_MAX - 1);
    memset(deep + 4 + PSTK_NATS_JSON_DEPTH_MAX, ']', PSTK_NATS_JSON_DEPTH_MAX - 1);
    strcpy(deep + 3 + 2 * PSTK_NATS_JSON_DEPTH_MAX, "}");
    check_info(deep, true);
    memset(deep + 5, '[', PSTK_NATS_JSON_DEPTH_MAX);
    check_info(deep, false);
}

static void test_info_members_are_read(void) {
    nats_feed *feed = started_feed();
    (void)nats_feed_text(feed,
                         "INFO {\"server_id\":\"NA\",\"x\":{\"max_payload\":5,\"nonce\":\"n\"},"
                         "\"headers\":true,\"auth_required\":true,\"max_payload\":1048576}\r\n");
    const pstk_nats_info *info = &feed->session.info;
    CHECK(info->max_payload == 1048576 && info->has_headers && info->is_auth_required);
    CHECK(!info->has_nonce && !info->is_tls_required && !info->is_lame_duck);
    CHECK(info->server_id_bytes == 2 && memcmp(info->server_id, "NA", 2) == 0);
    (void)nats_feed_text(feed, "INFO {\"max_payload\":1.5,\"nonce\":\"n\"}\r\n");
    CHECK(info->max_payload == 0 && info->has_nonce && !info->has_headers);
    nats_feed_free(feed);
}

static void test_endless_info_is_refused(void) {
    nats_feed *feed = started_feed();
    (void)nats_feed_text(feed, "INFO {\"a\":\"");
    char block[1000];
    memset(block, 'a', sizeof block);
    for (int i = 0; i < 65; i++) {
        CHECK(nats_feed_bytes(feed, block, sizeof block) == PSTK_TAKE_OK);
        CHECK(feed->rest_bytes == 0);
    }
    CHECK(nats_feed_bytes(feed, block, sizeof block) == PSTK_TAKE_CLOSE);
    nats_feed_free(feed);
}

static void test_a_flood_of_pings_closes(void) {
    nats_feed *feed = ready_feed();
    char *bytes = malloc(6 * 4000);
    REQUIRE(bytes != NULL);
    for (size_t i = 0; i < 4000; i++) {
        memcpy(bytes + 6 * i, "PING\r\n", 6);
    }
    CHECK(nats_feed_bytes(feed, bytes, 6 * 4000) == PSTK_TAKE_CLOSE);
    CHECK(has(feed->session.text, "faster than it reads PONG"));
    nats_feed_free(feed);
    free(bytes);
}

static int beat(nats_feed *feed, int64_t mono_ns, int64_t *out_next_ns) {
    feed->mono_ns = mono_ns;
    feed->sent_bytes = 0;
    int status = pstk_nats_wire.timer(&feed->session, &feed->out, mono_ns, out_next_ns);
    nats_feed_send(feed);
    return status;
}

static void test_heartbeat_pings_twice_then_closes(void) {
    nats_feed *feed = nats_feed_alloc();
    feed->options.heartbeat_ns = 100;
    nats_feed_ready(feed); /* at 0 */
    int64_t next_ns;
    CHECK(beat(feed, 50, &next_ns) == PSTK_TAKE_OK && next_ns == 100 && is_sent(feed, ""));
    CHECK(beat(feed, 100, &next_ns) == PSTK_TAKE_OK && next_ns == 200 && is_sent(feed, "PING\r\n"));
    feed->mono_ns = 150;
    (void)nats_feed_text(feed, "PONG\r\n");
    CHECK(beat(feed, 200, &next_ns) == PSTK_TAKE_OK && next_ns == 250 && is_sent(feed, ""));
    CHECK(beat(feed, 250, &next_ns) == PSTK_TAKE_OK && is_sent(feed, "PING\r\n"));
    CHECK(beat(feed, 350, &next_ns) == PSTK_TAKE_OK && is_sent(feed, "PING\r\n"));
    CHECK(beat(feed, 449, &next_ns) == PSTK_TAKE_OK && next_ns == 450 && is_sent(feed, ""));
    CHECK(beat(feed, 450, &next_ns) == PSTK_TAKE_CLOSE && has(feed->session.text, "silent"));
    nats_feed_free(feed);
    /* A machine that slept for long asks before it gives up. */
    feed = nats_feed_alloc();
    feed->options.heartbeat_ns = 100;
    nats_feed_ready(feed);
    CHECK(beat(feed, 1000000, &next_ns) == PSTK_TAKE_OK && next_ns == 1000100);
    CHECK(is_sent(feed, "PING\r\n"));
    nats_feed_free(feed);
}

static void test_handshake_has_a_time_out(void) {
    nats_feed *feed = nats_feed_alloc();
    feed->options.handshake_ns_max = 1000;
    feed->options.heartbeat_ns = 100;
    nats_feed_start(feed);
    int64_t next_ns;
    CHECK(beat(feed, 900, &next_ns) == PSTK_TAKE_OK && next_ns == 1000 && is_sent(feed, ""));
    CHECK(beat(feed, 1000, &next_ns) == PSTK_TAKE_CLOSE && has(feed->session.text, "no INFO"));
    CHECK(beat(feed, 1001, &next_ns) == PSTK_TAKE_CLOSE);
    nats_feed_free(feed);
    feed = nats_feed_alloc();
    feed->options.handshake_ns_max = 1000;
    nats_feed_start(feed);
    (void)nats_feed_text(feed, "INFO {}\r\n");
    CHECK(beat(feed, 1000, &next_ns) == PSTK_TAKE_CLOSE && has(feed->session.text, "no PONG"));
    nats_feed_free(feed);
    feed = nats_feed_alloc();
    feed->options.handshake_ns_max = 1000;
    nats_feed_ready(feed);
    CHECK(beat(feed, 5000, &next_ns) == PSTK_TAKE_OK && next_ns == INT64_MAX);
    nats_feed_free(feed);
}

static void check_start_refused(nats_feed *feed, bool is_server, const char *text) {
    int64_t next_ns;
    pstk_nats_wire.start(&feed->session, &feed->options, is_server, &feed->out, 0);
    CHECK(nats_feed_text(feed, "INFO {}\r\n") == PSTK_TAKE_CLOSE && feed->sent_bytes == 0);
    CHECK(beat(feed, 1, &next_ns) == PSTK_TAKE_CLOSE);
    CHECK(has(pstk_nats_wire.text(&feed->session), text));
    nats_feed_free(feed);
}

static void test_unsound_options_never_reach_the_server(void) {
    static const char *const subjects[] = {"", "a b", "a\r\nPUB x 0", "a\tb"};
    check_start_refused(nats_feed_alloc(), true, "cannot bind");
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        nats_feed *feed = nats_feed_alloc();
        strcpy(feed->options.subjects[0], subjects[i]);
        check_start_refused(feed, false, "subjects without blanks");
    }
    nats_feed *feed = nats_feed_alloc();
    feed->options.subject_count = 0;
    check_start_refused(feed, false, "1 to 16 subjects");
    feed = nats_feed_alloc();
    memset(feed->options.subjects[0], 'a', sizeof feed->options.subjects[0]);
    check_start_refused(feed, false, "subjects");
}

int main(void) {
    test_hello_says_connect_subs_and_ping();
    test_hello_of_the_largest_options_fits();
    test_ready_only_after_the_pong();
    test_refusals_name_the_way_out();
    test_other_errors_are_counted_and_kept();
    test_messages_in_every_cut();
    test_a_stream_of_messages_survives_any_receive_size();
    test_oversize_is_skipped_and_counted();
    test_useless_messages_are_counted_and_skipped();
    test_broken_lines_close();
    test_the_longest_line_is_4096_bytes();
    test_info_is_strict_json();
    test_info_members_are_read();
    test_endless_info_is_refused();
    test_a_flood_of_pings_closes();
    test_heartbeat_pings_twice_then_closes();
    test_handshake_has_a_time_out();
    test_unsound_options_never_reach_the_server();
    return check_result("intake_nats");
}
