/* nats_hello: what the wire says once the server has introduced itself: CONNECT, a SUB for each
 * subject, PING. */
#include "nats.h"

#include <stdio.h>

#ifndef PENSTOCK_VERSION
#define PENSTOCK_VERSION "0.1.0"
#endif

static bool put_text(pstk_out *out, const char *text) {
    return pstk_out_put(out, text, strlen(text));
}

/* A JSON member whose value is text of the configuration. Returns true where there is nothing to
 * say. */
static bool put_member(pstk_out *out, const char *name, const char *value, size_t capacity) {
    size_t size = strnlen(value, capacity);
    if (size == 0) {
        return true;
    }
    bool is_put = put_text(out, ",\"") && put_text(out, name) && put_text(out, "\":\"");
    for (size_t i = 0; i < size && is_put; i++) {
        uint8_t byte = (uint8_t)value[i];
        char escaped[8];
        if (byte == '"' || byte == '\\') {
            escaped[0] = '\\';
            escaped[1] = (char)byte;
            is_put = pstk_out_put(out, escaped, 2);
        } else if (byte < 0x20) {
            snprintf(escaped, sizeof escaped, "\\u%04x", byte);
            is_put = pstk_out_put(out, escaped, 6);
        } else {
            is_put = pstk_out_put(out, value + i, 1);
        }
    }
    return is_put && put_text(out, "\"");
}

/* protocol 1: the server may send INFO again (lame duck, changed cluster). */
static bool put_connect(const pstk_source_options *options, pstk_out *out) {
    return put_text(out, "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,"
                         "\"no_responders\":false,\"echo\":false,\"tls_required\":false,"
                         "\"protocol\":1,\"lang\":\"c\",\"name\":\"penstock\","
                         "\"version\":\"" PENSTOCK_VERSION "\"") &&
           put_member(out, "user", options->user, sizeof options->user) &&
           put_member(out, "pass", options->password, sizeof options->password) &&
           put_member(out, "auth_token", options->token, sizeof options->token) &&
           put_text(out, "}\r\n");
}

/* The PING behind the last SUB is answered only after the server has judged all of them. */
bool pstk_nats_put_hello(const pstk_source_options *options, pstk_out *out) {
    bool is_put = put_connect(options, out);
    for (unsigned i = 0; i < options->subject_count && is_put; i++) {
        char sid[16];
        snprintf(sid, sizeof sid, " %u\r\n", i + 1);
        is_put = put_text(out, "SUB ") && put_text(out, options->subjects[i]) && put_text(out, sid);
    }
    return is_put && put_text(out, "PING\r\n");
}

/* A blank in a subject would be a second word to the server. */
bool pstk_nats_has_sound_subjects(const pstk_source_options *options) {
    if (options->subject_count == 0 || options->subject_count > PSTK_SUBJECTS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < options->subject_count; i++) {
        const char *subject = options->subjects[i];
        size_t size = strnlen(subject, sizeof options->subjects[i]);
        if (size == 0 || size == sizeof options->subjects[i]) {
            return false;
        }
        for (size_t k = 0; k < size; k++) {
            if ((uint8_t)subject[k] <= ' ' || subject[k] == 0x7f) {
                return false;
            }
        }
    }
    return true;
}
