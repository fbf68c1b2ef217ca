/* nats: the bytes of a NATS server become frames (client protocol, docs.nats.io/reference).
 * No socket, clock or allocation in here. Text that comes from the server is shown printable and
 * short; credentials are never shown.
 *
 * Places kept for what comes later:
 * - TLS wraps the socket in the reactor between INFO and CONNECT; take_info_end refuses it today.
 * - An NKey answers info.has_nonce with "nkey", "jwt" and "sig" in CONNECT (nats_hello.c).
 * - A queue group is the middle word of SUB (nats_hello.c).
 * - JetStream delivers MSG and HMSG with a reply (read_message_line), to which "+ACK" is published
 *   once the journal is durable; its status lines are HMSG without a payload. */
#include "nats.h"

#include <stdarg.h>
#include <stdio.h>

#define WORDS_MAX 6u

typedef enum step { STEP_ON, STEP_WAIT, STEP_CLOSE, STEP_OVERSIZE } step;

typedef struct intake_pass { /* one call of take */
    pstk_nats_session *session;
    const uint8_t *at, *end;
    pstk_frames *frames;
    pstk_out *out;
    pstk_took *took;
} intake_pass;

typedef struct slice {
    const uint8_t *bytes;
    size_t size;
} slice;

static const char *const verb_names[PSTK_NATS_VERB_COUNT] = {"MSG", "HMSG", "PING", "PONG",
                                                             "+OK", "-ERR", "INFO"};

__attribute__((format(printf, 2, 3))) static step refuse(pstk_nats_session *session,
                                                         const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(session->text, sizeof session->text, format, args);
    va_end(args);
    session->phase = PSTK_NATS_PHASE_CLOSED;
    return STEP_CLOSE;
}

static bool is_blank(uint8_t byte) { return byte == ' ' || byte == '\t'; }

static void nats_start(void *block, const pstk_source_options *options, bool is_server,
                       pstk_out *out, int64_t mono_ns) {
    pstk_nats_session *session = block;
    (void)out; /* the server speaks first */
    session->options = options;
    session->start_ns = mono_ns;
    session->recv_ns = mono_ns;
    if (is_server) {
        refuse(session, "a NATS source connects, it cannot bind");
    } else if (!pstk_nats_has_sound_subjects(options)) {
        refuse(session, "a NATS source needs 1 to %u subjects without blanks", PSTK_SUBJECTS_MAX);
    }
}

/* ---- what the server says ------------------------------------------------------------------- */

PSTK_COLD static step take_info_end(intake_pass *pass) {
    pstk_nats_session *session = pass->session;
    session->is_in_info = false;
    session->verbs[PSTK_NATS_INFO]++;
    if (session->seen) {
        pstk_nats_seen seen = {.verb = PSTK_NATS_INFO};
        session->seen(session->seen_context, &seen);
    }
    if (session->phase != PSTK_NATS_PHASE_INFO) {
        return STEP_ON; /* lame duck or a changed cluster: the server closes when it means it */
    }
    if (session->info.is_tls_required) {
        return refuse(session, "the NATS server requires TLS, which this version does not speak; "
                               "use a listener without TLS on a trusted network");
    }
    session->phase = PSTK_NATS_PHASE_PONG;
    if (!pstk_nats_put_hello(session->options, pass->out)) {
        return refuse(session, "CONNECT and SUB do not fit into %u bytes", PSTK_OUT_BYTES);
    }
    return STEP_ON;
}

PSTK_COLD static step take_info(intake_pass *pass) {
    while (pass->at < pass->end) {
        switch (pstk_nats_info_take(&pass->session->info, *pass->at++)) {
        case PSTK_NATS_INFO_MORE:
            break;
        case PSTK_NATS_INFO_DONE:
            return take_info_end(pass);
        default:
            return refuse(pass->session,
                          "the server's INFO is not a JSON object of at most %u "
                          "bytes and %u levels",
                          PSTK_NATS_INFO_BYTES_MAX, PSTK_NATS_JSON_DEPTH_MAX);
        }
    }
    return STEP_WAIT;
}

static step take_err(intake_pass *pass, slice text) {
    pstk_nats_session *session = pass->session;
    if (pstk_nats_is_refusal(session, text.bytes, text.size)) {
        session->phase = PSTK_NATS_PHASE_CLOSED;
        return STEP_CLOSE;
    }
    return STEP_ON;
}

static step take_ping(intake_pass *pass) {
    if (!pstk_out_put(pass->out, "PONG\r\n", 6)) {
        return refuse(pass->session, "the server sends PING faster than it reads PONG");
    }
    return STEP_ON;
}

static step take_pong(intake_pass *pass) {
    if (pass->session->phase == PSTK_NATS_PHASE_PONG) {
        pass->session->phase = PSTK_NATS_PHASE_READY;
    }
    return STEP_ON;
}

/* ---- messages ------------------------------------------------------------------------------- */

/* Digits only; saturates. */
static bool read_number(slice word, uint64_t *out_number) {
    uint64_t number = 0;
    for (size_t i = 0; i < word.size; i++) {
        uint8_t digit = (uint8_t)(word.bytes[i] - '0');
        if (digit > 9) {
            return false;
        }
        number = number > UINT64_MAX / 10 - 1 ? UINT64_MAX : number * 10 + digit;
    }
    *out_number = number;
    return word.size > 0;
}

static size_t split_words(slice line, slice out_words[WORDS_MAX]) {
    size_t count = 0;
    for (size_t i = 0; i < line.size && count < WORDS_MAX;) {
        size_t start = i;
        while (i < line.size && !is_blank(line.bytes[i])) {
            i++;
        }
        if (i > start) {
            out_words[count++] = (slice){line.bytes + start, i - start};
        } else {
            i++;
        }
    }
    return count;
}

/* subject sid [reply] [header bytes] total bytes */
static bool read_message_line(pstk_nats_verb verb, slice line, pstk_nats_seen *out_seen,
                              uint64_t *out_headers, uint64_t *out_total) {
    slice word[WORDS_MAX];
    size_t count = split_words(line, word);
    size_t sizes = verb == PSTK_NATS_HMSG ? 2 : 1;
    if (count != 2 + sizes && count != 3 + sizes) {
        return false;
    }
    bool has_reply = count == 3 + sizes;
    *out_seen = (pstk_nats_seen){.verb = verb,
                                 .subject = word[0].bytes,
                                 .subject_bytes = word[0].size,
                                 .reply = has_reply ? word[2].bytes : NULL,
                                 .reply_bytes = has_reply ? word[2].size : 0};
    *out_headers = 0;
    return read_number(word[1], &out_seen->sid) && out_seen->sid < UINT64_MAX &&
           (sizes == 1 || read_number(word[count - 2], out_headers)) &&
           read_number(word[count - 1], out_total) && *out_headers <= *out_total;
}

/* body: behind the line's LF. Any message: repeated blanks, a reply, one that is not whole yet, one
 * to be skipped. */
static step take_message(intake_pass *pass, pstk_nats_verb verb, slice line, const uint8_t *body) {
    pstk_nats_session *session = pass->session;
    uint64_t headers, total, frame_bytes_max = session->options->frame_bytes_max;
    pstk_nats_seen seen;
    if (session->phase == PSTK_NATS_PHASE_INFO) {
        return refuse(session, "a message came before INFO: is this a NATS server?");
    }
    if (!read_message_line(verb, line, &seen, &headers, &total)) {
        return refuse(session, "the server sent a %s line that cannot be read", verb_names[verb]);
    }
    if (total > PSTK_NATS_PAYLOAD_BYTES_MAX) {
        (void)refuse(session, "the server announced a message above the protocol's %u bytes",
                     PSTK_NATS_PAYLOAD_BYTES_MAX);
        return STEP_OVERSIZE;
    }
    size_t whole = (size_t)(body - pass->at) + (size_t)total + 2;
    bool is_oversize = seen.subject_bytes + total > frame_bytes_max || whole > frame_bytes_max + 64;
    bool is_foreign = seen.sid - 1 >= session->options->subject_count;
    if (is_oversize || is_foreign) {
        pass->took->oversize += is_oversize;
        pass->took->malformed += !is_oversize;
        session->skip_bytes = total + 2;
        pass->at = body;
        return STEP_ON;
    }
    if (whole > (size_t)(pass->end - pass->at)) {
        pass->took->wanted = whole;
        return STEP_WAIT;
    }
    if (memcmp(body + total, "\r\n", 2) != 0) {
        return refuse(session, "a message is longer than its line says");
    }
    pass->at += whole;
    if (verb == PSTK_NATS_HMSG && !pstk_nats_is_header_block(body, (size_t)headers)) {
        pass->took->malformed++;
        return STEP_ON;
    }
    session->verbs[verb]++;
    seen.headers = body;
    seen.headers_bytes = (size_t)headers;
    seen.payload = body + headers;
    seen.payload_bytes = (size_t)(total - headers);
    pstk_nats_deliver(pass->session, pass->frames, &seen);
    return STEP_ON;
}

/* Passes over a message that was refused by its line; its CR LF must still be there. */
static step pass_over(intake_pass *pass) {
    pstk_nats_session *session = pass->session;
    if (session->skip_bytes > 2) {
        uint64_t left = (uint64_t)(pass->end - pass->at);
        uint64_t passed = PSTK_MIN(session->skip_bytes - 2, left);
        session->skip_bytes -= passed;
        pass->at += passed;
    }
    while (session->skip_bytes > 0 && session->skip_bytes <= 2 && pass->at < pass->end) {
        if (*pass->at++ != (session->skip_bytes == 2 ? '\r' : '\n')) {
            return refuse(session, "a message is longer than its line says");
        }
        session->skip_bytes--;
    }
    return session->skip_bytes ? STEP_WAIT : STEP_ON;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static bool has_verb(const uint8_t *bytes, const char *name, size_t size) {
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = bytes[i];
        if ((byte >= 'a' && byte <= 'z' ? byte - 32 : byte) != name[i]) {
            return false;
        }
    }
    return true;
}

/* The verb and the byte behind it. What cannot become a verb is refused at once: a peer of another
 * protocol may never send a line end. */
static pstk_nats_verb read_verb(const uint8_t *bytes, size_t size) {
    for (int verb = 0; verb < PSTK_NATS_VERB_COUNT; verb++) {
        size_t name_bytes = strlen(verb_names[verb]);
        if (!has_verb(bytes, verb_names[verb], PSTK_MIN(size, name_bytes))) {
            continue;
        }
        if (size <= name_bytes) {
            return PSTK_NATS_PARTIAL;
        }
        uint8_t next = bytes[name_bytes];
        bool may_end = verb == PSTK_NATS_PING || verb == PSTK_NATS_PONG;
        bool is_end = next == '\r' || next == '\n';
        bool is_sound = is_blank(next) || (may_end && is_end) || verb == PSTK_NATS_OK;
        return is_sound ? (pstk_nats_verb)verb : PSTK_NATS_UNKNOWN;
    }
    return PSTK_NATS_UNKNOWN;
}

/* Without blanks around it and the CR. False: it holds a control character. */
static bool trim_line(const uint8_t *bytes, const uint8_t *end, slice *out_line) {
    while (end > bytes && (is_blank(end[-1]) || end[-1] == '\r')) {
        end--;
    }
    while (bytes < end && is_blank(*bytes)) {
        bytes++;
    }
    *out_line = (slice){bytes, (size_t)(end - bytes)};
    for (const uint8_t *at = bytes; at < end; at++) {
        if (*at < 0x20 && *at != '\t') {
            return false;
        }
    }
    return true;
}

static step take_short(intake_pass *pass, pstk_nats_verb verb, slice line) {
    pstk_nats_session *session = pass->session;
    bool is_bare = verb == PSTK_NATS_PING || verb == PSTK_NATS_PONG;
    if (is_bare && line.size > 0) {
        return refuse(session, "the server sent %s with arguments", verb_names[verb]);
    }
    session->verbs[verb]++;
    if (session->seen) {
        pstk_nats_seen seen = {.verb = verb, .text = line.bytes, .text_bytes = line.size};
        session->seen(session->seen_context, &seen);
    }
    switch (verb) {
    case PSTK_NATS_PING:
        return take_ping(pass);
    case PSTK_NATS_PONG:
        return take_pong(pass);
    case PSTK_NATS_ERR:
        return take_err(pass, line);
    default: /* +OK: we asked for none, and whatever follows it means nothing */
        return STEP_ON;
    }
}

static step take_line(intake_pass *pass) {
    pstk_nats_session *session = pass->session;
    size_t left = (size_t)(pass->end - pass->at);
    pstk_nats_verb verb = read_verb(pass->at, left);
    if (verb == PSTK_NATS_PARTIAL) {
        return STEP_WAIT;
    }
    if (verb == PSTK_NATS_UNKNOWN) {
        return refuse(session,
                      "the peer sent what is not a NATS operation: is this a NATS server?");
    }
    const uint8_t *args = pass->at + strlen(verb_names[verb]);
    if (verb == PSTK_NATS_INFO) {
        pstk_nats_info_begin(&session->info);
        session->is_in_info = true;
        pass->at = args + 1;
        return STEP_ON;
    }
    const uint8_t *lf = memchr(pass->at, '\n', PSTK_MIN(left, (size_t)PSTK_NATS_LINE_BYTES_MAX));
    if (lf == NULL) {
        return left < PSTK_NATS_LINE_BYTES_MAX
                   ? STEP_WAIT
                   : refuse(session, "the server sent a line above %u bytes",
                            PSTK_NATS_LINE_BYTES_MAX);
    }
    slice line;
    if (!trim_line(args, lf, &line) && verb != PSTK_NATS_OK) {
        return refuse(session, "the server sent a %s line with control characters",
                      verb_names[verb]);
    }
    if (verb == PSTK_NATS_MSG || verb == PSTK_NATS_HMSG) {
        return take_message(pass, verb, line, lf + 1);
    }
    pass->at = lf + 1;
    return take_short(pass, verb, line);
}

/* ---- the wire ------------------------------------------------------------------------------- */

static step take_step(intake_pass *pass) {
    pstk_nats_session *session = pass->session;
    if (session->skip_bytes) {
        return pass_over(pass);
    }
    if (session->is_in_info) {
        return take_info(pass);
    }
    if (session->phase != PSTK_NATS_PHASE_INFO) {
        pass->at = pstk_nats_take_plain(pass->session, pass->frames, pass->at, pass->end);
        if (pass->at == pass->end || pass->frames->count == PSTK_FRAMES_MAX) {
            return STEP_ON;
        }
    }
    return take_line(pass);
}

static int nats_take(void *block, const uint8_t *bytes, size_t size, pstk_frames *frames,
                     pstk_out *out, pstk_took *out_took, int64_t mono_ns) {
    pstk_nats_session *session = block;
    intake_pass pass = {session, bytes, bytes + size, frames, out, out_took};
    step last = STEP_ON;
    *out_took = (pstk_took){0};
    frames->count = 0;
    if (session->phase == PSTK_NATS_PHASE_CLOSED) {
        return PSTK_TAKE_CLOSE;
    }
    if (size > 0) {
        session->recv_ns = mono_ns;
        session->pings_unanswered = 0;
    }
    while (last == STEP_ON && pass.at < pass.end && frames->count < PSTK_FRAMES_MAX) {
        last = take_step(&pass);
    }
    out_took->consumed = (size_t)(pass.at - bytes);
    return last == STEP_CLOSE      ? PSTK_TAKE_CLOSE
           : last == STEP_OVERSIZE ? PSTK_TAKE_OVERSIZE
                                   : PSTK_TAKE_OK;
}

static int beat(pstk_nats_session *session, pstk_out *out, int64_t mono_ns, int64_t *out_next_ns) {
    int64_t heartbeat_ns = session->options->heartbeat_ns;
    if (session->phase == PSTK_NATS_PHASE_INFO) { /* nothing may be sent before CONNECT */
        *out_next_ns = PSTK_MIN(*out_next_ns, mono_ns + heartbeat_ns);
        return PSTK_TAKE_OK;
    }
    /* Counted from our last PING where one is out: after a suspended machine wakes up, the server
     * gets its chance. */
    int64_t due_ns =
        (session->pings_unanswered ? session->ping_ns : session->recv_ns) + heartbeat_ns;
    if (mono_ns >= due_ns) {
        if (session->pings_unanswered == 2) {
            (void)refuse(session, "the NATS server was silent for three heartbeats");
            return PSTK_TAKE_CLOSE;
        }
        if (!pstk_out_put(out, "PING\r\n", 6)) {
            (void)refuse(session, "the NATS server does not read what is sent to it");
            return PSTK_TAKE_CLOSE;
        }
        session->pings_unanswered++;
        session->ping_ns = mono_ns;
        due_ns = mono_ns + heartbeat_ns;
    }
    *out_next_ns = PSTK_MIN(*out_next_ns, due_ns);
    return PSTK_TAKE_OK;
}

static int nats_timer(void *block, pstk_out *out, int64_t mono_ns, int64_t *out_next_ns) {
    pstk_nats_session *session = block;
    const pstk_source_options *options = session->options;
    *out_next_ns = INT64_MAX;
    if (session->phase == PSTK_NATS_PHASE_CLOSED) {
        return PSTK_TAKE_CLOSE;
    }
    if (session->phase != PSTK_NATS_PHASE_READY && options->handshake_ns_max > 0) {
        int64_t due_ns = session->start_ns + options->handshake_ns_max;
        if (mono_ns >= due_ns) {
            (void)refuse(session, "the NATS handshake took too long: no %s from the server",
                         session->phase == PSTK_NATS_PHASE_INFO ? "INFO" : "PONG");
            return PSTK_TAKE_CLOSE;
        }
        *out_next_ns = due_ns;
    }
    return options->heartbeat_ns > 0 ? beat(session, out, mono_ns, out_next_ns) : PSTK_TAKE_OK;
}

static bool nats_is_ready(const void *block) {
    return ((const pstk_nats_session *)block)->phase == PSTK_NATS_PHASE_READY;
}

static const char *nats_text(const void *block) { return ((const pstk_nats_session *)block)->text; }

const pstk_wire_ops pstk_nats_wire = {
    .name = "nats",
    .session_bytes = sizeof(pstk_nats_session),
    .start = nats_start,
    .take = nats_take,
    .timer = nats_timer,
    .is_ready = nats_is_ready,
    .text = nats_text,
};
