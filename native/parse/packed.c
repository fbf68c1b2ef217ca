/* packed: a packed v1 payload (native/README.md) becomes samples, in place. */
#include "parse_private.h"

#define COUNT_AT 4
#define NAME_COUNT_AT 6
#define TYPE_AT 7
#define STREAM_AT 8
#define BOOT_AT 12
#define SEQ_AT 16
#define TIME0_AT 24
#define EXPONENT_BITS UINT64_C(0x7FF0000000000000)
#define SIGN_BIT (UINT64_C(1) << 63)

/* On top of a message that is zero. */
static inline void read_header(const uint8_t *payload, pstk_message *out) {
    uint64_t seq = pstk_load_u64(payload + SEQ_AT);
    out->samples = pstk_load_u16(payload + COUNT_AT);
    out->stream = pstk_load_u32(payload + STREAM_AT);
    out->boot = pstk_load_u32(payload + BOOT_AT);
    if (PSTK_LIKELY(seq != UINT64_MAX)) {
        out->is_numbered = true;
        out->seq = seq;
    }
}

/* Where the samples begin, or 0 where a name reaches behind the payload. */
static size_t read_names(pstk_packed *packed, pstk_slice payload) {
    size_t at = PSTK_PACKED_HEADER_BYTES;
    for (uint32_t i = 0; i < packed->name_count; i++) {
        if (payload.size - at < 2)
            return 0;
        size_t size = payload.bytes[at + 1];
        if (payload.size - at - 2 < size)
            return 0;
        packed->name[i].at = (uint32_t)at;
        packed->name[i].is_resolved = false;
        at += 2 + size;
    }
    return at;
}

bool pstk_packed_begin(pstk_parser *parser, pstk_slice payload, pstk_message *out_message) {
    pstk_packed *packed = &parser->packed;
    if (payload.size < PSTK_PACKED_HEADER_BYTES || memcmp(payload.bytes, "PSK1", 4) != 0)
        return false;
    read_header(payload.bytes, out_message);
    packed->payload = payload.bytes;
    packed->time0_ns = (int64_t)pstk_load_u64(payload.bytes + TIME0_AT);
    packed->name_count = payload.bytes[NAME_COUNT_AT];
    packed->name[0].at = PSTK_PACKED_HEADER_BYTES;
    packed->name[0].is_resolved = false;
    size_t at = read_names(packed, payload);
    if (at == 0)
        return false;
#ifndef PSTK_PLANT_PACKED /* a missing check that fuzz --self-test must find */
    if (payload.size - at != (size_t)out_message->samples * PSTK_PACKED_SAMPLE_BYTES)
        return false;
#endif
    packed->samples = payload.bytes + at;
    parser->count = out_message->samples;
    return true;
}

static uint8_t accepted_by(uint8_t wire_type) {
    static const uint8_t accepted[4] = {
        [PSTK_TYPE_F64] = 1u << PSTK_TYPE_F64,
        [PSTK_TYPE_I64] = 1u << PSTK_TYPE_I64 | 1u << PSTK_TYPE_F64,
        [PSTK_TYPE_BOOL] = 1u << PSTK_TYPE_BOOL,
    };
    return wire_type < 4 ? accepted[wire_type] : 0;
}

static void resolve(pstk_parser *parser, pstk_packed_name *out) {
    bool is_subject = parser->packed.name_count == 0;
    const uint8_t *at = parser->packed.payload + out->at;
    uint8_t type = is_subject ? parser->packed.payload[TYPE_AT] : at[0];
    pstk_tag_query query = {.name = is_subject ? parser->subject : (pstk_slice){at + 2, at[1]},
                            .source = parser->source,
                            .type = type,
                            .accepts = accepted_by(type)};
    pstk_drop reason = PSTK_DROP_MALFORMED;
    uint32_t *hint = pstk_parser_hint(parser);
    out->is_resolved = true;
    out->wire_type = type;
    out->tag_id = PSTK_TAG_NONE;
    if (PSTK_LIKELY(query.accepts))
        out->tag_id = pstk_tags_take(parser->tags, query, *hint, &reason);
    out->reason = (uint8_t)reason;
    if (out->tag_id == PSTK_TAG_NONE)
        return;
    out->tag_type = parser->tags->tag[out->tag_id].type;
    *hint = out->tag_id;
}

static pstk_drop take_f64(uint64_t bits, pstk_value *out) {
    if ((bits & EXPONENT_BITS) == EXPONENT_BITS)
        return PSTK_DROP_NAN;
    out->bits = bits == SIGN_BIT ? 0 : bits; /* -0.0 is stored as 0.0: one zero, one bit pattern */
    return PSTK_REASON_NONE;
}

static pstk_drop take_value(const pstk_packed_name *name, uint64_t bits, pstk_value *out) {
    if (name->wire_type == PSTK_TYPE_F64)
        return take_f64(bits, out);
    out->bits = bits;
    if (name->wire_type == PSTK_TYPE_BOOL)
        return bits <= 1 ? PSTK_REASON_NONE : PSTK_DROP_RANGE;
    if (name->tag_type == PSTK_TYPE_F64)
        out->f64 = (double)(int64_t)bits;
    return PSTK_REASON_NONE;
}

static inline pstk_drop take_sample(const pstk_packed *packed, const pstk_packed_name *name,
                                    const uint8_t *at, pstk_sample *out) {
    if (PSTK_UNLIKELY(name->tag_id == PSTK_TAG_NONE))
        return (pstk_drop)name->reason;
    out->tag_id = name->tag_id;
    out->quality = pstk_load_u16(at + 14);
    out->flags = 0;
    pstk_drop reason = take_value(name, pstk_load_u64(at), &out->value);
    if (PSTK_UNLIKELY(reason != PSTK_REASON_NONE))
        return reason;
    out->time_ns = packed->time0_ns;
    if (packed->time0_ns != PSTK_TIME_NONE &&
        __builtin_add_overflow(packed->time0_ns, (int64_t)pstk_load_u32(at + 8), &out->time_ns))
        return PSTK_DROP_RANGE;
    return PSTK_REASON_NONE;
}

/* The hottest path of the product: a message of one f64 sample of a tag that is known and of that
 * type. False, and nothing is done, where anything is not as usual: then it goes the long way. */
static PSTK_INLINE bool take_plain(pstk_parser *parser, int64_t future_after_ns, pstk_sample *out) {
    const pstk_packed *packed = &parser->packed;
    const uint8_t *name = packed->payload + PSTK_PACKED_HEADER_BYTES, *at = packed->samples;
    if (packed->name_count != 1 || name[0] != PSTK_TYPE_F64 || pstk_load_u16(at + 12) != 0)
        return false;
    uint32_t *hint = pstk_parser_hint(parser);
    pstk_slice text = {name + 2, name[1]};
    uint32_t id = pstk_tags_predict(parser->tags, text, *hint);
    if (id == PSTK_TAG_NONE)
        id = pstk_tags_find_next(parser->tags, text, *hint);
    if (id == PSTK_TAG_NONE)
        return false;
    const pstk_tag *tag = &parser->tags->tag[id];
    uint64_t bits = pstk_load_u64(at);
    int64_t time_ns;
    if (tag->type != PSTK_TYPE_F64 || tag->source != parser->source ||
        (bits & EXPONENT_BITS) == EXPONENT_BITS || packed->time0_ns == PSTK_TIME_NONE ||
        __builtin_add_overflow(packed->time0_ns, (int64_t)pstk_load_u32(at + 8), &time_ns) ||
        time_ns > future_after_ns)
        return false;
    *hint = id;
    out->time_ns = time_ns;
    out->value.bits = bits == SIGN_BIT ? 0 : bits;
    out->tag_id = id;
    out->quality = pstk_load_u16(at + 14);
    out->flags = 0;
    return true;
}

/* Apart, so that its registers are not saved on the plain way. */
static __attribute__((noinline)) void step_all(pstk_parser *parser, const pstk_room *room,
                                               pstk_step *out_step) {
    pstk_packed *packed = &parser->packed;
    uint32_t first = parser->next, index = first, count = parser->count;
    size_t samples = 0;
    for (; index < count && samples < room->capacity; index++) {
        const uint8_t *at = packed->samples + (size_t)index * PSTK_PACKED_SAMPLE_BYTES;
        uint32_t which = pstk_load_u16(at + 12);
        pstk_drop reason = PSTK_DROP_MALFORMED;
        if (PSTK_LIKELY(which < PSTK_MAX(packed->name_count, 1u))) {
            pstk_packed_name *name = &packed->name[which];
            if (!name->is_resolved)
                resolve(parser, name);
            reason = take_sample(packed, name, at, &room->samples[samples]);
        }
        samples = pstk_room_settle(room, samples, reason);
    }
    parser->next = index;
    *out_step = (pstk_step){samples, index - first, index == count};
}

void pstk_packed_step(pstk_parser *parser, pstk_sample *out_samples, size_t capacity,
                      int64_t future_after_ns, uint64_t dropped[PSTK_DROP_COUNT],
                      pstk_step *out_step) {
    if (PSTK_LIKELY(parser->count == 1 && parser->next == 0 && capacity > 0) &&
        PSTK_LIKELY(take_plain(parser, future_after_ns, out_samples))) {
        parser->next = 1;
        *out_step = (pstk_step){1, 1, true};
        return;
    }
    const pstk_room room = {out_samples, capacity, future_after_ns, dropped};
    step_all(parser, &room, out_step);
}
