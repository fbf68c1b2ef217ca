/* tool_intake: the intake stage behind a command line; its tests play the peer in another language.
 *
 *   tool_intake vectors KIND [SUBJECT...]
 *
 * Each line of standard input is one byte stream, in hex. It is fed whole, octet by octet and cut
 * once at every position; the answer is one JSON object: result (pstk_take), frames, what was sent,
 * why it closed, how many cuts were made and how many of them ended differently.
 *
 *   tool_intake serve KIND bind|connect HOST PORT [KEY=NUMBER | subject=TEXT]...
 *
 * Runs one source until standard input ends. Prints "port N", "up C", "down C", "drop REASON N" and
 * "frame C SUBJECT PAYLOAD" in hex ("-": none); an input line "counters" asks for the counters.
 * KIND is pull, sub or nats. Keys: heartbeat_ms handshake_ms connections frame_bytes reconnect_ms
 * quiet (count frames, do not print them). */
#include "wire_feed.h"

#include <poll.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static bool is_quiet;

static int usage(void) {
    fputs("usage: tool_intake vectors KIND [SUBJECT...]\n"
          "       tool_intake serve KIND bind|connect HOST PORT [KEY=VALUE...]\n",
          stderr);
    return 2;
}

static bool kind_of(const char *text, uint16_t *out_kind) {
    static const struct {
        const char *text;
        uint16_t kind;
    } kinds[] = {
        {"pull", PSTK_SOURCE_ZMQ_PULL}, {"sub", PSTK_SOURCE_ZMQ_SUB}, {"nats", PSTK_SOURCE_NATS}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(text, kinds[i].text) != 0)
            continue;
        *out_kind = kinds[i].kind;
        return true;
    }
    return false;
}

static pstk_source_options defaults(void) {
    pstk_source_options o = {.name = "tool",
                             .frame_bytes_max = 1 << 20,
                             .connections_max = 128,
                             .handshake_ns_max = 5000 * MS,
                             .reconnect_ns_min = 10 * MS,
                             .reconnect_ns_max = 200 * MS};
    return o;
}

static bool add_subject(pstk_source_options *o, const char *text) {
    if (o->subject_count == PSTK_SUBJECTS_MAX)
        return false;
    char *subject = o->subjects[o->subject_count++];
    return pstk_copy_text(subject, sizeof o->subjects[0], text, strlen(text));
}

static void print_hex(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        printf("%02x", bytes[i]);
}

/* ---- vectors --------------------------------------------------------------------------------- */

static int hex_digit(int c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One line of hex digits; others between them are skipped. False at the end of the input. */
static bool read_stream(wire_bytes *stream) {
    int c, high = -1;
    stream->size = 0;
    while ((c = getchar()) != EOF && c != '\n') {
        int digit = hex_digit(c);
        if (digit < 0)
            continue;
        uint8_t octet = (uint8_t)((high < 0 ? 0 : high) << 4 | digit);
        if (high >= 0)
            wire_bytes_add(stream, &octet, 1);
        high = high < 0 ? digit : -1;
    }
    return c != EOF;
}

static void print_frames(const wire_feed *feed) {
    const uint8_t *p = feed->frames.bytes;
    for (size_t i = 0; i < feed->frame_count; i++) {
        uint32_t subject_bytes = pstk_load_u32(p + 1), payload_bytes = pstk_load_u32(p + 5);
        printf(i ? ", [" : "[");
        printf(p[0] ? "\"" : "null");
        print_hex(p + 9, subject_bytes);
        printf(p[0] ? "\", \"" : ", \"");
        print_hex(p + 9 + subject_bytes, payload_bytes);
        printf("\"]");
        p += 9 + subject_bytes + payload_bytes;
    }
}

static bool is_same(const wire_feed *a, const wire_feed *b) {
    return a->result == b->result && wire_bytes_equal(&a->frames, &b->frames) &&
           wire_bytes_equal(&a->sent, &b->sent) &&
           strcmp(wire_feed_text(a), wire_feed_text(b)) == 0 &&
           a->ops->is_ready(a->session) == b->ops->is_ready(b->session) &&
           (a->result != PSTK_TAKE_OK || a->kept.size == b->kept.size);
}

/* step > 0: pieces of step octets; else one cut at position cut. */
static bool is_same_cut(const wire_feed *whole, const pstk_source_options *options,
                        const wire_bytes *stream, size_t step, size_t cut) {
    wire_feed *feed = wire_feed_open(whole->ops, options);
    for (size_t at = 0; at < stream->size;) {
        size_t size = step ? step : at < cut ? cut : stream->size - cut;
        wire_feed_put(feed, stream->bytes + at, PSTK_MIN(size, stream->size - at));
        at += size;
    }
    bool same = is_same(whole, feed);
    wire_feed_close(feed);
    return same;
}

static void run_vector(const pstk_source_options *options, const wire_bytes *stream) {
    const pstk_wire_ops *ops =
        options->kind == PSTK_SOURCE_NATS ? &pstk_nats_wire : &pstk_zmtp_wire;
    wire_feed *whole = wire_feed_open(ops, options);
    wire_feed_put(whole, stream->bytes, stream->size);
    size_t cuts = 1, different = !is_same_cut(whole, options, stream, 1, 0);
    for (size_t cut = 1; cut < stream->size; cut++, cuts++)
        different += !is_same_cut(whole, options, stream, 0, cut);
    printf("{\"result\": %d, \"is_ready\": %s, \"kept\": %zu, \"cuts\": %zu, \"different\": %zu, "
           "\"text\": \"%s\", \"frames\": [",
           whole->result, ops->is_ready(whole->session) ? "true" : "false", whole->kept.size, cuts,
           different, wire_feed_text(whole));
    print_frames(whole);
    printf("], \"sent\": \"");
    print_hex(whole->sent.bytes, whole->sent.size);
    printf("\"}\n");
    wire_feed_close(whole);
}

static int vectors(int argc, char **argv) {
    pstk_source_options options = defaults();
    if (argc < 3 || !kind_of(argv[2], &options.kind))
        return usage();
    for (int i = 3; i < argc; i++)
        if (!add_subject(&options, argv[i]))
            return usage();
    wire_bytes stream = {0};
    while (read_stream(&stream))
        run_vector(&options, &stream);
    free(stream.bytes);
    return 0;
}

/* ---- serve ----------------------------------------------------------------------------------- */

static bool on_frames(void *context, uint32_t source, uint32_t connection, const pstk_frame *frames,
                      size_t count, size_t *out_taken) {
    (void)context;
    (void)source;
    for (size_t i = 0; i < count && !is_quiet; i++) {
        printf("frame %u ", connection);
        print_hex(frames[i].subject, frames[i].subject_bytes);
        printf(frames[i].subject ? " " : "- ");
        print_hex(frames[i].payload, frames[i].payload_bytes);
        printf("\n");
    }
    *out_taken = count;
    return true;
}

static void on_link(void *context, uint32_t source, uint32_t connection, pstk_link link) {
    (void)context;
    (void)source;
    printf("%s %u\n", link == PSTK_LINK_UP ? "up" : "down", connection);
}

static void on_drop(void *context, uint32_t source, pstk_drop reason, uint64_t count) {
    (void)context;
    (void)source;
    printf("drop %d %llu\n", (int)reason, (unsigned long long)count);
}

static void print_counters(const pstk_intake *intake) {
    pstk_intake_counters c;
    pstk_intake_counters_get(intake, 0, &c);
    printf("counters frames=%llu bytes=%llu connections=%llu accepted=%llu reconnects=%llu "
           "protocol_errors=%llu ready=%u refused=%u reason=%s\n",
           (unsigned long long)c.frames, (unsigned long long)c.bytes,
           (unsigned long long)c.connections, (unsigned long long)c.accepted,
           (unsigned long long)c.reconnects, (unsigned long long)c.protocol_errors, c.ready,
           c.refused, pstk_intake_reason(intake, 0));
}

static bool set_option(pstk_source_options *o, const char *text) {
    const char *equals = strchr(text, '=');
    if (!equals)
        return false;
    if (strncmp(text, "subject=", 8) == 0)
        return add_subject(o, equals + 1);
    size_t key_bytes = (size_t)(equals - text);
    long long value = atoll(equals + 1);
    struct {
        const char *key;
        int64_t *ns;
        uint32_t *number;
    } keys[] = {{"heartbeat_ms", &o->heartbeat_ns, NULL},
                {"handshake_ms", &o->handshake_ns_max, NULL},
                {"reconnect_ms", &o->reconnect_ns_min, NULL},
                {"connections", NULL, &o->connections_max},
                {"frame_bytes", NULL, &o->frame_bytes_max}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strlen(keys[i].key) != key_bytes || strncmp(keys[i].key, text, key_bytes) != 0)
            continue;
        if (keys[i].ns)
            *keys[i].ns = value * MS;
        else
            *keys[i].number = (uint32_t)value;
        return true;
    }
    is_quiet = strcmp(text, "quiet=1") == 0;
    return is_quiet;
}

/* False at the end of the input. */
static bool serve_input(const pstk_intake *intake) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (poll(&input, 1, 0) <= 0)
        return true;
    char line[64];
    ssize_t size = read(STDIN_FILENO, line, sizeof line);
    if (size <= 0)
        return false;
    print_counters(intake);
    fflush(stdout);
    return true;
}

static int serve(int argc, char **argv) {
    pstk_source_options options = defaults();
    if (argc < 6 || !kind_of(argv[2], &options.kind))
        return usage();
    options.is_bind = strcmp(argv[3], "bind") == 0;
    options.port = (uint16_t)atoi(argv[5]);
    if (!pstk_copy_text(options.host, sizeof options.host, argv[4], strlen(argv[4])))
        return usage();
    for (int i = 6; i < argc; i++)
        if (!set_option(&options, argv[i]))
            return usage();
    pstk_sink sink = {.context = NULL, .frames = on_frames, .link = on_link, .drop = on_drop};
    pstk_intake *intake = NULL;
    pstk_error err = {0};
    int status = pstk_intake_open(&options, 1, &sink, &intake, &err);
    if (status == PSTK_OK)
        status = pstk_intake_start(intake, &err);
    if (status == PSTK_OK)
        printf("port %d\n", pstk_intake_port(intake, 0));
    else
        fprintf(stderr, "%s\n", err.text);
    fflush(stdout);
    while (status == PSTK_OK && serve_input(intake)) {
        if (pstk_intake_poll(intake, 5 * MS) < 0)
            status = PSTK_E_SYSTEM;
        fflush(stdout);
    }
    pstk_intake_close(intake);
    return status == PSTK_OK ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "vectors") == 0)
        return vectors(argc, argv);
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return serve(argc, argv);
    return usage();
}
