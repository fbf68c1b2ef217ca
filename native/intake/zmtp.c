/* zmtp: the reading half of ZMTP 3.0 and 3.1 (ZeroMQ RFC 23 and 37), a state machine with no
 * socket.
 *
 *   greeting 64 octets  FF, 8 of padding, 7F | major minor | mechanism 20 | as-server 1 | filler 31
 *   frame               flags | size, 1 octet or with LONG 8 big-endian | body
 *   flags               1 MORE, 2 LONG, 4 COMMAND; others must be zero, and MORE on a command
 *   command body        name length 1 | name | data
 *
 * Roles     PULL accepts PUSH, SUB accepts PUB and XPUB; READY without a Socket-Type is refused.
 * Message   one part: payload. More: the first part is the subject, the last the payload, those
 *           between are read over. Delivered whole or not at all.
 * Bound     ZMTP_PARTS_MAX parts, frame_bytes_max over all bodies, ZMTP_COMMAND_MAX a command;
 *           every size is refused from its header, before a byte of the body is kept.
 * Pipeline  a peer that sends greeting, READY and messages in one go is read like any other: TCP
 *           has no edges, and a reader that refused it would depend on how the bytes were cut. Our
 *           own side waits: READY follows the peer's greeting, subscriptions follow its READY.
 * Liveness  PING when the peer was silent for heartbeat_ns, close at three times that; only 3.1
 *           peers know PING. Our PING asks for no TTL: while data flows we send nothing, and a TTL
 *           would make the peer close. A TTL in the peer's PING closes the connection when the
 *           peer is silent for longer. */
#include "intake.h"

#define ZMTP_GREETING_BYTES 64u
#define ZMTP_MECHANISM_AT 12u
#define ZMTP_MECHANISM_BYTES 20u
#define ZMTP_MORE 1u
#define ZMTP_LONG 2u
#define ZMTP_COMMAND 4u
#define ZMTP_PARTS_MAX 16u
#define ZMTP_COMMAND_MAX 4096u /* READY carries a few names of at most 255 octets */
#define ZMTP_CONTEXT_MAX 16u   /* of a PING, RFC 37 */
#define ZMTP_OVERHEAD 64u      /* kept beyond frame_bytes_max: the headers of the parts */
/* What one command may make us answer: READY, then 16 subscriptions of 127 octets. */
#define ZMTP_REPLY_BYTES 4096u
#define ZMTP_REASON_BYTES 64u

typedef enum zmtp_phase {
    ZMTP_GREETING = 0,
    ZMTP_HANDSHAKE = 1,
    ZMTP_TRAFFIC = 2,
    ZMTP_CLOSED = 3,
} zmtp_phase;

struct zmtp_mechanism;

typedef struct zmtp_session {
    const pstk_source_options *options;
    const struct zmtp_mechanism *mechanism;
    int64_t start_ns, recv_ns, ping_ns;
    int64_t ttl_ns;     /* as the peer's last PING asked; 0 = none */
    uint8_t phase;      /* zmtp_phase */
    uint8_t peer_minor; /* 0: subscriptions as messages, no PING */
    uint8_t has_type;   /* READY named a Socket-Type that fits */
    uint8_t parts;      /* of the unfinished message */
    size_t scan;        /* octets of the unfinished message already judged */
    size_t body_bytes;  /* of its parts so far */
    size_t subject_at;  /* where its first part lies, from its start */
    size_t subject_bytes;
    const char *text;
    char reason[ZMTP_REASON_BYTES]; /* what the peer's ERROR said */
} zmtp_session;

typedef struct zmtp_command {
    const uint8_t *name, *data;
    size_t name_bytes, data_bytes;
} zmtp_command;

/* One way to prove who one is. The handshake is the mechanism's: begin sends its first command,
 * command takes each of the peer's until it calls handshake_done. PLAIN and CURVE take their place
 * in the table below. */
typedef struct zmtp_mechanism {
    const char *name;
    bool (*begin)(zmtp_session *s, pstk_out *out);
    int (*command)(zmtp_session *s, const zmtp_command *command, pstk_out *out);
} zmtp_mechanism;

/* Where take stands: at is the first octet of the unfinished message, wanted > 0 stops the loop. */
typedef struct zmtp_input {
    const uint8_t *at, *end;
    pstk_frames *frames;
    pstk_out *out;
    size_t wanted;
} zmtp_input;

static int refuse(zmtp_session *s, const char *text) {
    s->phase = ZMTP_CLOSED;
    s->text = text;
    return PSTK_TAKE_CLOSE;
}

static int refuse_size(zmtp_session *s) {
    s->phase = ZMTP_CLOSED;
    s->text = "message larger than frame_bytes_max";
    return PSTK_TAKE_OVERSIZE;
}

static uint64_t load_big(const uint8_t *p, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | p[i];
    return value;
}

static bool is_text(const uint8_t *bytes, size_t size, const char *text) {
    return size == strlen(text) && memcmp(bytes, text, size) == 0;
}

static uint8_t ascii_lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c; }

static bool is_text_any_case(const uint8_t *bytes, size_t size, const char *text) {
    if (size != strlen(text))
        return false;
    for (size_t i = 0; i < size; i++)
        if (ascii_lower(bytes[i]) != ascii_lower((uint8_t)text[i]))
            return false;
    return true;
}

/* ---- what we send ---------------------------------------------------------------------------- */

static bool put_command(pstk_out *out, const char *name, const void *data, size_t data_bytes) {
    size_t name_bytes = strlen(name);
    uint8_t frame[3 + 32 + 200] = {ZMTP_COMMAND};
    PSTK_ASSERT(name_bytes <= 32 && data_bytes <= 200);
    frame[1] = (uint8_t)(1 + name_bytes + data_bytes);
    frame[2] = (uint8_t)name_bytes;
    memcpy(frame + 3, name, name_bytes);
    if (data_bytes)
        memcpy(frame + 3 + name_bytes, data, data_bytes);
    return pstk_out_put(out, frame, 3 + name_bytes + data_bytes);
}

static bool put_subscription(const zmtp_session *s, const char *topic, pstk_out *out) {
    size_t size = strnlen(topic, sizeof s->options->subjects[0] - 1);
    if (s->peer_minor >= 1)
        return put_command(out, "SUBSCRIBE", topic, size);
    uint8_t frame[3 + sizeof s->options->subjects[0]] = {0, (uint8_t)(size + 1), 1};
    memcpy(frame + 3, topic, size);
    return pstk_out_put(out, frame, 3 + size);
}

static bool put_subscriptions(const zmtp_session *s, pstk_out *out) {
    if (s->options->subject_count == 0)
        return put_subscription(s, "", out);
    size_t count = PSTK_MIN(s->options->subject_count, PSTK_SUBJECTS_MAX);
    for (size_t i = 0; i < count; i++)
        if (!put_subscription(s, s->options->subjects[i], out))
            return false;
    return true;
}

/* ---- mechanism NULL (RFC 23, section "The NULL security mechanism") -------------------------- */

static bool put_ready(zmtp_session *s, pstk_out *out) {
    static const char name[] = "Socket-Type";
    const char *type = s->options->kind == PSTK_SOURCE_ZMQ_SUB ? "SUB" : "PULL";
    size_t type_bytes = strlen(type);
    uint8_t data[32] = {sizeof name - 1};
    memcpy(data + 1, name, sizeof name - 1);
    uint8_t *value = data + sizeof name;
    value[3] = (uint8_t)type_bytes;
    memcpy(value + 4, type, type_bytes);
    return put_command(out, "READY", data, sizeof name + 4 + type_bytes);
}

static bool is_peer_type(const zmtp_session *s, const uint8_t *type, size_t size) {
    if (s->options->kind != PSTK_SOURCE_ZMQ_SUB && is_text(type, size, "PUSH"))
        return true;
    return s->options->kind != PSTK_SOURCE_ZMQ_PULL &&
           (is_text(type, size, "PUB") || is_text(type, size, "XPUB"));
}

static int take_property(zmtp_session *s, const uint8_t *name, size_t name_bytes,
                         const uint8_t *value, size_t value_bytes) {
    if (!is_text_any_case(name, name_bytes, "Socket-Type"))
        return PSTK_TAKE_OK;
    if (s->has_type)
        return refuse(s, "READY names its Socket-Type twice");
    if (!is_peer_type(s, value, value_bytes))
        return refuse(
            s, "Socket-Type of the peer does not fit: PULL takes PUSH, SUB takes PUB or XPUB");
    s->has_type = 1;
    return PSTK_TAKE_OK;
}

PSTK_COLD static int take_metadata(zmtp_session *s, const uint8_t *at, size_t left) {
    while (left > 0) {
        size_t name_bytes = at[0];
        if (name_bytes == 0 || left < 1 + name_bytes + 4)
            return refuse(s, "READY: a property name runs past the command");
        uint64_t value_bytes = load_big(at + 1 + name_bytes, 4);
        size_t head = 1 + name_bytes + 4;
        if (value_bytes > left - head)
            return refuse(s, "READY: a property value runs past the command");
        int result = take_property(s, at + 1, name_bytes, at + head, (size_t)value_bytes);
        if (result != PSTK_TAKE_OK)
            return result;
        at += head + value_bytes;
        left -= head + (size_t)value_bytes;
    }
    return s->has_type ? PSTK_TAKE_OK : refuse(s, "READY without a Socket-Type");
}

static int handshake_done(zmtp_session *s, pstk_out *out) {
    if (s->options->kind == PSTK_SOURCE_ZMQ_SUB && !put_subscriptions(s, out))
        return refuse(s, "no room to send the subscriptions");
    s->phase = ZMTP_TRAFFIC;
    return PSTK_TAKE_OK;
}

PSTK_COLD static int null_command(zmtp_session *s, const zmtp_command *command, pstk_out *out) {
    if (!is_text(command->name, command->name_bytes, "READY"))
        return refuse(s, "a command other than READY before the handshake was done");
    int result = take_metadata(s, command->data, command->data_bytes);
    return result == PSTK_TAKE_OK ? handshake_done(s, out) : result;
}

/* PLAIN (RFC 24) and CURVE (RFC 25) come with the secure wires, each one row here. Which row a
 * source requires is its configuration's; a peer that announces another is refused, so there is no
 * way down. */
static const zmtp_mechanism mechanisms[] = {
    {"NULL", put_ready, null_command},
};

/* ---- greeting -------------------------------------------------------------------------------- */

static bool is_mechanism(const zmtp_session *s, const uint8_t field[ZMTP_MECHANISM_BYTES]) {
    char wanted[ZMTP_MECHANISM_BYTES] = {0};
    memcpy(wanted, s->mechanism->name, strlen(s->mechanism->name));
    return memcmp(field, wanted, sizeof wanted) == 0;
}

/* Judges whatever prefix is there, so that an HTTP or TLS client is closed at its first octet. */
PSTK_COLD static int take_greeting(zmtp_session *s, zmtp_input *in) {
    size_t size = (size_t)(in->end - in->at);
    const uint8_t *p = in->at;
    if (p[0] != 0xFF)
        return refuse(s, "not a ZMTP 3 peer: the greeting does not begin with FF");
    if (size > 9 && p[9] != 0x7F)
        return refuse(s, "not a ZMTP 3 peer: the signature does not end with 7F");
    if (size > 10 && p[10] < 3)
        return refuse(s, "the peer speaks ZMTP below 3.0");
    if (size >= ZMTP_MECHANISM_AT + ZMTP_MECHANISM_BYTES && !is_mechanism(s, p + ZMTP_MECHANISM_AT))
        return refuse(s, "the peer announces a security mechanism other than NULL");
    if (size < ZMTP_GREETING_BYTES) {
        in->wanted = ZMTP_GREETING_BYTES;
        return PSTK_TAKE_OK;
    }
    s->peer_minor = p[10] > 3 || p[11] > 0;
    in->at += ZMTP_GREETING_BYTES;
    s->phase = ZMTP_HANDSHAKE;
    return s->mechanism->begin(s, in->out) ? PSTK_TAKE_OK : refuse(s, "no room to send READY");
}

/* ---- commands -------------------------------------------------------------------------------- */

static int take_error(zmtp_session *s, const zmtp_command *command) {
    static const char prefix[] = "the peer refused us: ";
    size_t size = command->data_bytes ? command->data[0] : 0;
    size = PSTK_MIN(size, command->data_bytes ? command->data_bytes - 1 : 0);
    size = PSTK_MIN(size, sizeof s->reason - sizeof prefix);
    memcpy(s->reason, prefix, sizeof prefix);
    for (size_t i = 0; i < size; i++) {
        uint8_t c = command->data[1 + i];
        s->reason[sizeof prefix - 1 + i] = c >= ' ' && c < 0x7F ? (char)c : '?';
    }
    s->reason[sizeof prefix - 1 + size] = 0;
    return refuse(s, s->reason);
}

static int take_ping(zmtp_session *s, const zmtp_command *command, pstk_out *out) {
    if (command->data_bytes < 2)
        return refuse(s, "PING without its time to live");
    if (command->data_bytes > 2 + ZMTP_CONTEXT_MAX)
        return refuse(s, "PING with a context above 16 octets");
    s->ttl_ns = (int64_t)load_big(command->data, 2) * (PSTK_NS_PER_S / 10);
    if (!put_command(out, "PONG", command->data + 2, command->data_bytes - 2))
        return refuse(s, "no room to send PONG");
    return PSTK_TAKE_OK;
}

PSTK_COLD static int take_command(zmtp_session *s, const uint8_t *body, size_t size,
                                  pstk_out *out) {
    size_t name_bytes = body[0];
    if (name_bytes == 0 || name_bytes > size - 1)
        return refuse(s, "a command name is empty or runs past its frame");
    zmtp_command command = {body + 1, body + 1 + name_bytes, name_bytes, size - 1 - name_bytes};
    if (is_text(command.name, name_bytes, "ERROR"))
        return take_error(s, &command);
    if (s->phase == ZMTP_HANDSHAKE)
        return s->mechanism->command(s, &command, out);
    if (is_text(command.name, name_bytes, "PING"))
        return take_ping(s, &command, out);
    if (is_text(command.name, name_bytes, "READY"))
        return refuse(s, "READY after the handshake was done");
    return PSTK_TAKE_OK; /* PONG needs no act, its octets were counted; unknown commands are read
                            over */
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* Refuses from the header alone: nothing is kept for a size that will not be read. */
static int judge_size(zmtp_session *s, uint8_t flags, size_t header, uint64_t size) {
    if (size > INT64_MAX)
        return refuse(s, "frame size above 2^63-1");
    if (flags & ZMTP_COMMAND)
        return size == 0 || size > ZMTP_COMMAND_MAX ? refuse(s, "a command is empty or too large")
                                                    : PSTK_TAKE_OK;
    if (s->phase != ZMTP_TRAFFIC)
        return refuse(s, "a message before the handshake was done");
    if (s->parts >= ZMTP_PARTS_MAX)
        return refuse(s, "a message of more than 16 parts");
    size_t max = s->options->frame_bytes_max;
    if (size > max - s->body_bytes || s->scan + header + (size_t)size > max + ZMTP_OVERHEAD)
        return refuse_size(s);
    return PSTK_TAKE_OK;
}

static void take_part(zmtp_session *s, zmtp_input *in, uint8_t flags, size_t body_at, size_t size) {
    if (s->parts == 0) {
        s->subject_at = body_at;
        s->subject_bytes = size;
    }
    s->parts++;
    s->body_bytes += size;
    s->scan = body_at + size;
    if (flags & ZMTP_MORE)
        return;
    bool has_subject = s->parts > 1;
    in->frames->frame[in->frames->count++] = (pstk_frame){
        .subject = has_subject ? in->at + s->subject_at : NULL,
        .payload = in->at + body_at,
        .subject_bytes = has_subject ? (uint32_t)s->subject_bytes : 0,
        .payload_bytes = (uint32_t)size,
    };
    in->at += s->scan;
    s->parts = 0;
    s->body_bytes = 0;
    s->scan = 0;
}

/* One frame of any shape. libzmq may put a PING between the parts of a message, so a command does
 * not end one: scan remembers how far the message was judged, and nothing is answered twice when
 * the same octets come again. */
static int take_frame(zmtp_session *s, zmtp_input *in) {
    size_t left = (size_t)(in->end - in->at);
    const uint8_t *p = in->at + s->scan;
    if (left == s->scan) {
        in->wanted = s->scan + 2;
        return PSTK_TAKE_OK;
    }
    uint8_t flags = p[0];
    if (flags > (ZMTP_MORE | ZMTP_LONG | ZMTP_COMMAND) ||
        (flags & (ZMTP_MORE | ZMTP_COMMAND)) == (ZMTP_MORE | ZMTP_COMMAND))
        return refuse(s, "reserved bits in a frame's flags");
    size_t header = flags & ZMTP_LONG ? 9 : 2;
    if (left - s->scan < header) {
        in->wanted = s->scan + header;
        return PSTK_TAKE_OK;
    }
    uint64_t size = flags & ZMTP_LONG ? load_big(p + 1, 8) : p[1];
    int result = judge_size(s, flags, header, size);
    if (result != PSTK_TAKE_OK)
        return result;
    size_t body_at = s->scan + header, end = body_at + (size_t)size;
    if (left < end) {
        in->wanted = end;
        return PSTK_TAKE_OK;
    }
    if (!(flags & ZMTP_COMMAND)) {
        take_part(s, in, flags, body_at, (size_t)size);
        return PSTK_TAKE_OK;
    }
    if (sizeof in->out->bytes - in->out->size < ZMTP_REPLY_BYTES) {
        in->wanted = end; /* all there: called again once the replies were sent */
        return PSTK_TAKE_OK;
    }
    result = take_command(s, in->at + body_at, (size_t)size, in->out);
    if (s->scan)
        s->scan = end;
    else
        in->at += end;
    return result;
}

/* The hot path: runs of whole messages of one or two short parts, parsed where they lie. Whatever
 * else comes next is left to take_frame, which alone judges and refuses. */
static void take_short(const zmtp_session *s, zmtp_input *in) {
    const uint8_t *at = in->at, *const end = in->end;
    const size_t max = s->options->frame_bytes_max;
    pstk_frame *frame = in->frames->frame + in->frames->count;
    pstk_frame *const full = in->frames->frame + PSTK_FRAMES_MAX;
    while (frame < full && end - at >= 2) {
        size_t size = at[1], left = (size_t)(end - at);
        if (PSTK_LIKELY(at[0] == 0)) {
#ifndef PSTK_PLANT_ZMTP
            if (left < 2 + size)
                break;
#endif
            if (size > max)
                break;
            const uint16_t head = pstk_load_u16(at);
            do { /* the next ones of the same size need no more than that */
                *frame++ = (pstk_frame){NULL, at + 2, 0, (uint32_t)size};
                at += 2 + size;
            } while (frame < full && (size_t)(end - at) >= 2 + size && pstk_load_u16(at) == head);
            continue;
        }
        if (at[0] != ZMTP_MORE || left < 2 + size + 2 || at[2 + size] != 0)
            break;
        size_t last = at[3 + size];
        if (left < 4 + size + last || size + last > max)
            break;
        *frame++ = (pstk_frame){at + 2, at + 4 + size, (uint32_t)size, (uint32_t)last};
        at += 4 + size + last;
    }
    in->frames->count = (size_t)(frame - in->frames->frame);
    in->at = at;
}

/* ---- the wire -------------------------------------------------------------------------------- */

PSTK_COLD static void zmtp_start(void *session, const pstk_source_options *options, bool is_server,
                                 pstk_out *out, int64_t mono_ns) {
    zmtp_session *s = session;
    (void)is_server; /* NULL has no sides; PLAIN and CURVE do */
    s->options = options;
    s->mechanism = &mechanisms[0];
    s->start_ns = s->recv_ns = mono_ns;
    s->text = "";
    uint8_t greeting[ZMTP_GREETING_BYTES] = {0xFF};
    greeting[9] = 0x7F;
    greeting[10] = 3;
    greeting[11] = 1;
    memcpy(greeting + ZMTP_MECHANISM_AT, s->mechanism->name, strlen(s->mechanism->name));
    if (!pstk_out_put(out, greeting, sizeof greeting))
        refuse(s, "no room to send the greeting");
}

static int zmtp_take(void *session, const uint8_t *bytes, size_t size, pstk_frames *frames,
                     pstk_out *out, pstk_took *out_took, int64_t mono_ns) {
    zmtp_session *s = session;
    zmtp_input in = {bytes, bytes + size, frames, out, 0};
    int result = s->phase == ZMTP_CLOSED ? PSTK_TAKE_CLOSE : PSTK_TAKE_OK;
    frames->count = 0;
    s->recv_ns = mono_ns;
    while (result == PSTK_TAKE_OK && in.wanted == 0 && in.at < in.end) {
        if (s->phase == ZMTP_TRAFFIC && s->scan == 0)
            take_short(s, &in);
        if (in.at == in.end || frames->count == PSTK_FRAMES_MAX)
            break;
        result = s->phase == ZMTP_GREETING ? take_greeting(s, &in) : take_frame(s, &in);
    }
    *out_took = (pstk_took){.consumed = (size_t)(in.at - bytes), .wanted = in.wanted};
    return result;
}

static int zmtp_timer(void *session, pstk_out *out, int64_t mono_ns, int64_t *out_next_ns) {
    zmtp_session *s = session;
    *out_next_ns = INT64_MAX;
    if (s->phase == ZMTP_CLOSED)
        return PSTK_TAKE_CLOSE;
    if (s->phase != ZMTP_TRAFFIC) {
        *out_next_ns = s->start_ns + s->options->handshake_ns_max;
        return mono_ns < *out_next_ns
                   ? PSTK_TAKE_OK
                   : refuse(s, "the handshake was not done within handshake_ns_max");
    }
    int64_t heartbeat_ns = s->peer_minor >= 1 ? s->options->heartbeat_ns : 0;
    int64_t dead_ns = heartbeat_ns > 0 ? s->recv_ns + 3 * heartbeat_ns : INT64_MAX;
    if (s->ttl_ns > 0)
        dead_ns = PSTK_MIN(dead_ns, s->recv_ns + s->ttl_ns);
    if (mono_ns >= dead_ns)
        return refuse(s, "the peer fell silent");
    int64_t ping_due_ns = INT64_MAX;
    if (heartbeat_ns > 0) {
        ping_due_ns = PSTK_MAX(s->recv_ns, s->ping_ns) + heartbeat_ns;
        if (mono_ns >= ping_due_ns) {
            static const uint8_t no_ttl[2] = {0, 0};
            if (!put_command(out, "PING", no_ttl, sizeof no_ttl))
                return refuse(s, "no room to send PING");
            s->ping_ns = mono_ns;
            ping_due_ns = mono_ns + heartbeat_ns;
        }
    }
    *out_next_ns = PSTK_MIN(dead_ns, ping_due_ns);
    return PSTK_TAKE_OK;
}

static bool zmtp_is_ready(const void *session) {
    return ((const zmtp_session *)session)->phase == ZMTP_TRAFFIC;
}

static const char *zmtp_text(const void *session) { return ((const zmtp_session *)session)->text; }

const pstk_wire_ops pstk_zmtp_wire = {
    .name = "zmtp",
    .session_bytes = sizeof(zmtp_session),
    .start = zmtp_start,
    .take = zmtp_take,
    .timer = zmtp_timer,
    .is_ready = zmtp_is_ready,
    .text = zmtp_text,
};
