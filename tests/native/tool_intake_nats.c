/* tool_intake_nats: the NATS wire behind a command line, for tests that play the server in another
 * language.
 *
 * "tool_intake_nats vectors": standard input has one case a line, "name hex"; the answer is one
 * JSON object a line with what the wire made of it. Each case comes behind a finished handshake,
 * whole, cut at every position, and byte by byte; "differs" counts the runs that did not end as the
 * whole one did.
 *
 * "tool_intake_nats serve HOST PORT [KEY=VALUE]...", with KEY subject, user, password, token or
 * heartbeat_ms: runs the intake stage with one source until standard input ends. Prints "up",
 * "down", "drop REASON N", "frame SUBJECT PAYLOAD" in hex, and "reason TEXT" for each connection
 * closed on our own. */
#include "nats_feed.h"

#include <poll.h>
#include <unistd.h>

#define LINE_BYTES_MAX 200000

typedef struct event_text { /* as JSON */
    char *text;
    size_t size, capacity;
} event_text;

static void reserve(event_text *events, size_t size) {
    if (events->size + size + 1 > events->capacity) {
        events->capacity = 2 * (events->size + size + 1) + 256;
        events->text = realloc(events->text, events->capacity);
        if (events->text == NULL) {
            abort();
        }
    }
}

static void put(event_text *events, const char *text, size_t size) {
    reserve(events, size);
    memcpy(events->text + events->size, text, size);
    events->size += size;
    events->text[events->size] = 0;
}

static void put_text(event_text *events, const char *text) { put(events, text, strlen(text)); }

static void put_hex(event_text *events, const char *name, const uint8_t *bytes, size_t size) {
    static const char digits[] = "0123456789abcdef";
    put_text(events, ",\"");
    put_text(events, name);
    put_text(events, bytes ? "\":\"" : "\":null");
    reserve(events, 2 * size);
    for (size_t i = 0; bytes != NULL && i < size; i++) {
        events->text[events->size++] = digits[bytes[i] >> 4];
        events->text[events->size++] = digits[bytes[i] & 15];
    }
    events->text[events->size] = 0;
    put_text(events, bytes ? "\"" : "");
}

typedef struct listener {
    event_text events;
    const nats_feed *feed;
} listener;

static void listen(void *context, const pstk_nats_seen *seen) {
    static const char *const names[] = {"msg", "msg", "ping", "pong", "ok", "err", "info"};
    listener *to = context;
    char number[64];
    put_text(&to->events, to->events.size ? ",{\"event\":\"" : "{\"event\":\"");
    put_text(&to->events, names[seen->verb]);
    put_text(&to->events, "\"");
    if (seen->verb == PSTK_NATS_MSG || seen->verb == PSTK_NATS_HMSG) {
        snprintf(number, sizeof number, ",\"sid\":%llu", (unsigned long long)seen->sid);
        put_text(&to->events, number);
        put_hex(&to->events, "subject", seen->subject, seen->subject_bytes);
        put_hex(&to->events, "reply", seen->reply, seen->reply_bytes);
        put_hex(&to->events, "headers", seen->headers, seen->headers_bytes);
        put_hex(&to->events, "payload", seen->payload, seen->payload_bytes);
    } else if (seen->verb == PSTK_NATS_ERR) {
        put_hex(&to->events, "text", seen->text, seen->text_bytes);
    } else if (seen->verb == PSTK_NATS_INFO) {
        const pstk_nats_info *info = &to->feed->session.info;
        size_t kept = PSTK_MIN((size_t)info->server_id_bytes, sizeof info->server_id);
        snprintf(number, sizeof number, ",\"max_payload\":%llu,\"server_id_len\":%u",
                 (unsigned long long)info->max_payload, info->server_id_bytes);
        put_text(&to->events, number);
        put_hex(&to->events, "server_id", (const uint8_t *)info->server_id, kept);
    }
    put_text(&to->events, "}");
}

static nats_feed *make(listener *to) {
    nats_feed *feed = nats_feed_alloc();
    feed->options.subject_count = PSTK_SUBJECTS_MAX; /* the cases use sids up to 8 */
    for (size_t i = 0; i < PSTK_SUBJECTS_MAX; i++) {
        memcpy(feed->options.subjects[i], ">", 2);
    }
    nats_feed_ready(feed);
    to->feed = feed;
    to->events = (event_text){0};
    put_text(&to->events, "");
    feed->session.seen = listen;
    feed->session.seen_context = to;
    return feed;
}

static void run_case(const char *name, const uint8_t *bytes, size_t size) {
    listener whole_to, to;
    nats_feed *whole = make(&whole_to);
    (void)nats_feed_bytes(whole, bytes, size);
    size_t differs = 0, broken = whole->is_broken;
    for (size_t cut = 0; cut <= size + 1; cut++) { /* size + 1: byte by byte */
        nats_feed *feed = make(&to);
        if (cut <= size) {
            (void)nats_feed_bytes(feed, bytes, cut);
            (void)nats_feed_bytes(feed, bytes + cut, size - cut);
        }
        for (size_t i = 0; cut > size && i < size; i++) {
            (void)nats_feed_bytes(feed, bytes + i, 1);
        }
        differs += !nats_feed_is_same(whole, feed) || strcmp(to.events.text, whole_to.events.text);
        broken += feed->is_broken;
        nats_feed_free(feed);
        free(to.events.text);
    }
    printf("{\"id\":\"%s\",\"status\":%d,\"frames\":%llu,\"malformed\":%llu,\"oversize\":%llu,"
           "\"rest\":%zu,\"wanted\":%zu,\"runs\":%zu,\"differs\":%zu,\"broken\":%zu,\"events\":[%s]"
           "}\n",
           name, whole->status, (unsigned long long)whole->frame_count,
           (unsigned long long)whole->malformed, (unsigned long long)whole->oversize,
           whole->rest_bytes, whole->wanted, size + 3, differs, broken, whole_to.events.text);
    nats_feed_free(whole);
    free(whole_to.events.text);
}

static int nibble(char digit) {
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                                          : -1;
}

static int vectors(void) {
    static char line[LINE_BYTES_MAX];
    static uint8_t bytes[LINE_BYTES_MAX / 2];
    while (fgets(line, sizeof line, stdin)) {
        char *hex = strchr(line, ' ');
        char *end = strchr(line, '\n');
        if (hex == NULL || end == NULL) {
            fprintf(stderr, "tool_intake_nats: a line is not \"name hex\"\n");
            return 2;
        }
        *hex++ = 0;
        *end = 0;
        size_t size = 0;
        for (; hex[0] && hex[1]; hex += 2) {
            int high = nibble(hex[0]), low = nibble(hex[1]);
            if (high < 0 || low < 0) {
                fprintf(stderr, "tool_intake_nats: %s is not hex\n", line);
                return 2;
            }
            bytes[size++] = (uint8_t)(high << 4 | low);
        }
        run_case(line, bytes, size);
    }
    return 0;
}

/* ---- serve ---------------------------------------------------------------------------------- */

static void print_bytes(const uint8_t *bytes, size_t size) {
    printf(size ? " " : " -");
    for (size_t i = 0; i < size; i++) {
        printf("%02x", bytes[i]);
    }
}

static bool on_frames(void *context, uint32_t source, uint32_t connection, const pstk_frame *frames,
                      size_t count, size_t *out_taken) {
    (void)context, (void)source, (void)connection;
    for (size_t i = 0; i < count; i++) {
        printf("frame");
        print_bytes(frames[i].subject, frames[i].subject_bytes);
        print_bytes(frames[i].payload, frames[i].payload_bytes);
        printf("\n");
    }
    *out_taken = count;
    return true;
}

static void on_link(void *context, uint32_t source, uint32_t connection, pstk_link link) {
    (void)context, (void)source, (void)connection;
    printf(link == PSTK_LINK_UP ? "up\n" : "down\n");
}

static void on_drop(void *context, uint32_t source, pstk_drop reason, uint64_t count) {
    (void)context, (void)source;
    printf("drop %d %llu\n", (int)reason, (unsigned long long)count);
}

static bool set_text(const char *argument, const char *key, char *out, size_t capacity) {
    size_t size = strlen(key);
    return strncmp(argument, key, size) == 0 &&
           pstk_copy_text(out, capacity, argument + size, strlen(argument + size));
}

static bool set_option(pstk_source_options *options, const char *argument) {
    if (strncmp(argument, "heartbeat_ms=", 13) == 0) {
        options->heartbeat_ns = atoll(argument + 13) * 1000000;
        return true;
    }
    if (options->subject_count < PSTK_SUBJECTS_MAX &&
        set_text(argument, "subject=", options->subjects[options->subject_count],
                 sizeof options->subjects[0])) {
        options->subject_count++;
        return true;
    }
    return set_text(argument, "user=", options->user, sizeof options->user) ||
           set_text(argument, "password=", options->password, sizeof options->password) ||
           set_text(argument, "token=", options->token, sizeof options->token);
}

static bool is_input_open(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    return poll(&input, 1, 0) <= 0 || read(STDIN_FILENO, &byte, 1) > 0;
}

static void run(pstk_intake *intake) {
    uint64_t errors = 0;
    while (is_input_open() && pstk_intake_poll(intake, 5000000) >= 0) {
        pstk_intake_counters counters;
        pstk_intake_counters_get(intake, 0, &counters);
        if (counters.protocol_errors > errors) {
            errors = counters.protocol_errors;
            printf("reason %s\n", pstk_intake_reason(intake, 0));
        }
        fflush(stdout);
    }
}

static int serve(int argc, char **argv) {
    pstk_source_options options = {.name = "tool",
                                   .kind = PSTK_SOURCE_NATS,
                                   .full = PSTK_FULL_DROP,
                                   .frame_bytes_max = 1 << 20,
                                   .connections_max = 1,
                                   .handshake_ns_max = 5 * PSTK_NS_PER_S,
                                   .reconnect_ns_min = PSTK_NS_PER_S / 100,
                                   .reconnect_ns_max = PSTK_NS_PER_S / 5};
    set_text(argv[2], "", options.host, sizeof options.host);
    options.port = (uint16_t)atoi(argv[3]);
    for (int i = 4; i < argc; i++) {
        if (!set_option(&options, argv[i])) {
            return 2;
        }
    }
    pstk_sink sink = {.context = NULL, .frames = on_frames, .link = on_link, .drop = on_drop};
    pstk_intake *intake = NULL;
    pstk_error err = {0};
    int status = pstk_intake_open(&options, 1, &sink, &intake, &err);
    if (status == PSTK_OK) {
        status = pstk_intake_start(intake, &err);
    }
    if (status == PSTK_OK) {
        run(intake);
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    pstk_intake_close(intake);
    return status == PSTK_OK ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "vectors") == 0) {
        return vectors();
    }
    if (argc > 3 && strcmp(argv[1], "serve") == 0) {
        return serve(argc, argv);
    }
    fputs("usage: tool_intake_nats vectors | serve HOST PORT [KEY=VALUE]...\n", stderr);
    return 2;
}
