/* tool_nats_vectors: standard input has one case a line, "name hex"; standard output gets one JSON
 * object a line with what the wire made of it. Each case comes behind a finished handshake, whole,
 * cut at every position, and byte by byte; "differs" counts the runs that did not end as the whole
 * one did. */
#include "nats_feed.h"

#define LINE_BYTES_MAX 200000

typedef struct events { /* as JSON text */
    char *text;
    size_t size, capacity;
} events;

static void reserve(events *events, size_t size) {
    if (events->size + size + 1 > events->capacity) {
        events->capacity = 2 * (events->size + size + 1) + 256;
        events->text = realloc(events->text, events->capacity);
        if (events->text == NULL) {
            abort();
        }
    }
}

static void put(events *events, const char *text, size_t size) {
    reserve(events, size);
    memcpy(events->text + events->size, text, size);
    events->size += size;
    events->text[events->size] = 0;
}

static void put_text(events *events, const char *text) { put(events, text, strlen(text)); }

static void put_hex(events *events, const char *name, const uint8_t *bytes, size_t size) {
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
    events events;
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
    to->events = (events){0};
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

int main(void) {
    static char line[LINE_BYTES_MAX];
    static uint8_t bytes[LINE_BYTES_MAX / 2];
    while (fgets(line, sizeof line, stdin)) {
        char *hex = strchr(line, ' ');
        char *end = strchr(line, '\n');
        if (hex == NULL || end == NULL) {
            fprintf(stderr, "tool_nats_vectors: a line is not \"name hex\"\n");
            return 2;
        }
        *hex++ = 0;
        *end = 0;
        size_t size = 0;
        for (; hex[0] && hex[1]; hex += 2) {
            int high = nibble(hex[0]), low = nibble(hex[1]);
            if (high < 0 || low < 0) {
                fprintf(stderr, "tool_nats_vectors: %s is not hex\n", line);
                return 2;
            }
            bytes[size++] = (uint8_t)(high << 4 | low);
        }
        run_case(line, bytes, size);
    }
    return 0;
}
