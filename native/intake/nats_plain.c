/* nats_plain: plain MSG and HMSG lines, parsed where they lie; the rest is left to nats.c, which
 * alone judges and refuses. */
#include "nats.h"

#define TAIL_BYTES 48 /* sid, two sizes of 9 digits, spaces and CR LF behind a subject */

/* First byte below 0x21 in [at, limit), eight at a time; at least 8 bytes must be readable at each
 * word before limit. The borrow of the subtraction only runs upward, so the lowest marked byte is
 * exact. */
static inline const uint8_t *find_blank(const uint8_t *at, const uint8_t *limit) {
    while (at < limit) {
        uint64_t word = pstk_load_u64(at);
        uint64_t marks =
            (word - UINT64_C(0x2121212121212121)) & ~word & UINT64_C(0x8080808080808080);
        if (marks) {
            return at + (__builtin_ctzll(marks) >> 3);
        }
        at += 8;
    }
    return NULL;
}

/* Up to nine digits; returns where they end (at, where there is none). */
static inline const uint8_t *read_digits(const uint8_t *at, uint32_t *out_number) {
    uint32_t number = 0;
    const uint8_t *limit = at + 9;
    uint8_t digit;
    while (at < limit && (digit = (uint8_t)(*at - '0')) < 10) {
        number = number * 10 + digit;
        at++;
    }
    *out_number = number;
    return at;
}

/* The MSG line of the message before: the next one mostly differs in its subject alone. */
typedef struct nats_line {
    size_t subject_bytes, tail_bytes; /* 0 = none; the tail is all behind the subject */
    size_t message_bytes;             /* with its payload and CR LF */
    uint64_t first, last;             /* of the tail: its first eight bytes, and the last of it */
    uint32_t last_shift;              /* so much of the last eight lies before it */
    uint32_t sid, total;
} nats_line;

/* Whether a whole message lies at `at` that differs from the one before in its subject and payload
 * alone. Whatever was judged of that line holds for this one. */
static inline bool is_like(const nats_line *line, const uint8_t *at, const uint8_t *end) {
    const uint8_t *blank = at + 4 + line->subject_bytes, *body = blank + line->tail_bytes;
    if ((size_t)(end - at) < line->message_bytes + 8)
        return false;
    uint64_t odd = (pstk_load_u64(body - 8) ^ line->last) >> line->last_shift;
    if (line->tail_bytes > 8)
        odd |= pstk_load_u64(blank) ^ line->first;
    return odd == 0 && memcmp(at, "MSG ", 4) == 0 && find_blank(at + 4, blank + 1) == blank &&
           pstk_load_u16(body + line->total) == PSTK_NATS_CRLF;
}

/* What stands behind "MSG " or "HMSG ", up to the payload. */
typedef struct plain_line {
    const uint8_t *blank, *body; /* behind the subject; headers and payload */
    uint32_t sid, headers, total;
} plain_line;

static void keep_line(nats_line *known, const uint8_t *subject, const plain_line *line) {
    known->subject_bytes = (size_t)(line->blank - subject);
    known->tail_bytes = (size_t)(line->body - line->blank);
    known->first = pstk_load_u64(line->blank);
    known->last = pstk_load_u64(line->body - 8);
    known->last_shift = (uint32_t)(64 - 8 * PSTK_MIN(known->tail_bytes, 8));
    known->message_bytes = 4 + known->subject_bytes + known->tail_bytes + line->total + 2;
    known->sid = line->sid;
    known->total = line->total;
}

/* False: not plain, or not all of it is there. */
static bool read_line(const uint8_t *subject, const uint8_t *end, bool has_headers,
                      plain_line *out) {
    const uint8_t *blank = find_blank(subject, end - TAIL_BYTES);
    if (blank == NULL || *blank != ' ' || blank == subject || end - blank < TAIL_BYTES)
        return false;
    const uint8_t *sid_end = read_digits(blank + 1, &out->sid), *size_at = sid_end + 1;
    if (*sid_end != ' ')
        return false;
    out->headers = 0;
    if (has_headers) {
        const uint8_t *headers_end = read_digits(size_at, &out->headers);
        if (*headers_end != ' ' || headers_end == size_at)
            return false;
        size_at = headers_end + 1;
    }
    const uint8_t *size_end = read_digits(size_at, &out->total);
    out->blank = blank;
    out->body = size_end + 2;
    return pstk_load_u16(size_end) == PSTK_NATS_CRLF && size_end != size_at &&
           out->headers <= out->total;
}

/* The message of that line lies whole at `at`, within the limits, for one of our sids. */
static bool is_sound(const pstk_source_options *options, const plain_line *line, const uint8_t *at,
                     const uint8_t *subject, const uint8_t *end) {
    size_t head = (size_t)(line->body - at), total = line->total;
    size_t subject_bytes = (size_t)(line->blank - subject);
    if (line->sid - 1 >= options->subject_count || head > PSTK_NATS_LINE_BYTES_MAX ||
        subject_bytes + total > options->frame_bytes_max ||
        head + total + 2 > (size_t)options->frame_bytes_max + 64)
        return false;
#ifndef PSTK_PLANT_NATS /* fuzz --self-test takes this check away and must find that it is gone */
    if ((size_t)(end - line->body) < total + 2)
        return false;
#else
    (void)end;
#endif
    return pstk_load_u16(line->body + total) == PSTK_NATS_CRLF;
}

static void deliver_line(const pstk_nats_session *session, pstk_frames *frames,
                         const uint8_t *subject, const plain_line *line, bool has_headers) {
    pstk_nats_seen seen = {.verb = has_headers ? PSTK_NATS_HMSG : PSTK_NATS_MSG,
                           .sid = line->sid,
                           .subject = subject,
                           .headers = line->body,
                           .payload = line->body + line->headers,
                           .subject_bytes = (size_t)(line->blank - subject),
                           .headers_bytes = line->headers,
                           .payload_bytes = line->total - line->headers};
    pstk_nats_deliver(session, frames, &seen);
}

/* The message that is_like: where it ends. */
static inline const uint8_t *deliver_like(const pstk_nats_session *session, pstk_frames *frames,
                                          const uint8_t *at, const nats_line *known) {
    const uint8_t *blank = at + 4 + known->subject_bytes, *body = blank + known->tail_bytes;
    if (PSTK_UNLIKELY(session->seen != NULL)) {
        plain_line line = {.blank = blank, .body = body, .sid = known->sid, .total = known->total};
        deliver_line(session, frames, at + 4, &line, false);
    } else {
        frames->frame[frames->count++] =
            (pstk_frame){at + 4, body, (uint32_t)known->subject_bytes, known->total};
    }
    return at + known->message_bytes;
}

const uint8_t *pstk_nats_take_plain(const pstk_nats_session *session, pstk_frames *frames,
                                    const uint8_t *at, const uint8_t *end) {
    nats_line known = {0};
    plain_line line;
    while (frames->count < PSTK_FRAMES_MAX && end - at > TAIL_BYTES) {
        if (known.tail_bytes && is_like(&known, at, end)) {
            at = deliver_like(session, frames, at, &known);
            continue;
        }
        bool has_headers = *at == 'H';
        const uint8_t *subject = at + 4 + has_headers;
        if (memcmp(at + has_headers, "MSG ", 4) != 0 ||
            !read_line(subject, end, has_headers, &line) ||
            !is_sound(session->options, &line, at, subject, end) ||
            (has_headers && !pstk_nats_is_header_block(line.body, line.headers)))
            break;
        deliver_line(session, frames, subject, &line, has_headers);
        known.tail_bytes = 0;
        if (!has_headers && line.body - line.blank <= 16)
            keep_line(&known, subject, &line);
        at = line.body + line.total + 2;
    }
    return at;
}
