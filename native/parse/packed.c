/* packed: a packed v1 payload (native/README.md) becomes samples, in place. */
#include "parse_private.h"

#define COUNT_AT 4
#define NAME_COUNT_AT 6
#define TYPE_AT 7
#define STREAM_AT 8
#define BOOT_AT 12
#define SEQ_AT 16
#define WIRE_TYPE_MAX PSTK_TYPE_BOOL
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
        packed->name[i].is_resolved = packed->name[i].is_plain = false;
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
    packed->looked_up = 0;
    packed->name[0].at = PSTK_PACKED_HEADER_BYTES;
    packed->name[0].is_resolved = packed->name[0].is_plain = false;
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
    static const uint8_t accepted[WIRE_TYPE_MAX + 1] = {
        [PSTK_TYPE_F64] = 1u << PSTK_TYPE_F64,
        [PSTK_TYPE_I64] = 1u << PSTK_TYPE_I64 | 1u << PSTK_TYPE_F64,
        [PSTK_TYPE_BOOL] = 1u << PSTK_TYPE_BOOL,
    };
    return wire_type <= WIRE_TYPE_MAX ? accepted[wire_type] : 0;
}

/* The one tag that each hash leaves; their lines are asked for. */
static PSTK_INLINE void find_candidates(const pstk_tags *tags, const uint64_t *hash, size_t count,
                                        uint32_t *out_place) {
    const pstk_tag_slot *const slot = tags->slot; /* held here: a store below changes none */
    const pstk_tag *const pool = tags->pool;
    const uint32_t mask = tags->slot_mask;
    for (size_t i = 0; i < count; i++) {
        uint32_t place = pstk_tag_candidate(slot, mask, hash[i]);
        out_place[i] = place;
        if (PSTK_LIKELY(place != PSTK_TAG_NONE))
            __builtin_prefetch(pool + place);
    }
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
    out->tag_type = (uint8_t)parser->tags->kind[out->tag_id];
    out->is_plain = type == PSTK_TYPE_F64 && out->tag_type == PSTK_TYPE_F64;
    *hint = out->tag_id;
}

/* The known tags of the type sent among the names from `first` on, looked up together so that their
 * cache misses overlap. What is not that is left to resolve(), at its first sample. */
static void resolve_known(pstk_parser *parser, uint32_t first) {
    pstk_packed *packed = &parser->packed;
    const pstk_tags *tags = parser->tags;
    uint64_t hash[PSTK_PLAIN_BATCH];
    uint32_t place[PSTK_PLAIN_BATCH];
    uint32_t count = PSTK_MIN(packed->name_count - first, PSTK_PLAIN_BATCH);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *at = packed->payload + packed->name[first + i].at;
        hash[i] = pstk_hash_name((pstk_slice){at + 2, at[1]});
        __builtin_prefetch(&tags->slot[(uint32_t)hash[i] & tags->slot_mask]);
    }
    find_candidates(tags, hash, count, place);
    for (uint32_t i = 0; i < count; i++) {
        pstk_packed_name *out = &packed->name[first + i];
        const uint8_t *at = packed->payload + out->at;
        if (out->is_resolved || place[i] == PSTK_TAG_NONE || at[0] > WIRE_TYPE_MAX)
            continue;
        const pstk_tag *tag = &tags->pool[place[i]]; /* it has a type, so at[0] has one too */
        if (pstk_load_u64(tag) != pstk_tag_head(at[0], parser->source, at[1]) ||
            !pstk_is_same(tag->name, at + 2, at[1]))
            continue;
        out->tag_id = tag->id;
        out->is_resolved = true;
        out->is_plain = at[0] == PSTK_TYPE_F64;
        out->wire_type = out->tag_type = at[0];
    }
    packed->looked_up = first + count;
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
    const pstk_tag *tag = pstk_tags_predict(parser->tags, text, *hint);
    if (!tag)
        tag = pstk_tags_find_next(parser->tags, text, *hint);
    if (!tag)
        return false;
    uint64_t bits = pstk_load_u64(at);
    int64_t time_ns;
    if (tag->type != PSTK_TYPE_F64 || tag->source != parser->source ||
        (bits & EXPONENT_BITS) == EXPONENT_BITS || packed->time0_ns == PSTK_TIME_NONE ||
        __builtin_add_overflow(packed->time0_ns, (int64_t)pstk_load_u32(at + 8), &time_ns) ||
        time_ns > future_after_ns)
        return false;
    *hint = tag->id;
    out->time_ns = time_ns;
    out->value.bits = bits == SIGN_BIT ? 0 : bits;
    out->tag_id = tag->id;
    out->quality = pstk_load_u16(at + 14);
    out->flags = 0;
    return true;
}

/* False, and nothing is made, where the sample needs more than its bytes put in place. */
static PSTK_INLINE bool take_f64_sample(const pstk_packed *packed, const pstk_packed_name *name,
                                        const uint8_t *at, int64_t future_after_ns,
                                        pstk_sample *out) {
    uint64_t bits = pstk_load_u64(at);
    int64_t time_ns;
    if (!name->is_plain || (bits & EXPONENT_BITS) == EXPONENT_BITS ||
        packed->time0_ns == PSTK_TIME_NONE ||
        __builtin_add_overflow(packed->time0_ns, (int64_t)pstk_load_u32(at + 8), &time_ns) ||
        time_ns > future_after_ns)
        return false;
    *out = (pstk_sample){
        time_ns, {.bits = bits == SIGN_BIT ? 0 : bits}, name->tag_id, pstk_load_u16(at + 14), 0};
    return true;
}

/* How far a sample's own time may lie behind time0; false where that must be asked one by one. */
static PSTK_INLINE bool find_reach(const pstk_packed *packed, int64_t future_after_ns,
                                   uint64_t *out_reach_ns) {
    if (packed->time0_ns == PSTK_TIME_NONE || packed->time0_ns > future_after_ns ||
        packed->time0_ns > INT64_MAX - (int64_t)UINT32_MAX)
        return false;
    *out_reach_ns = (uint64_t)future_after_ns - (uint64_t)packed->time0_ns;
    return true;
}

/* The samples from `index` on that need no more than their bytes put in place; where they end. */
static PSTK_INLINE uint32_t take_run(const pstk_packed *packed, uint32_t index, uint32_t end,
                                     uint64_t reach_ns, pstk_sample *out) {
    const pstk_packed_name *const names = packed->name;
    const uint32_t name_count = PSTK_MAX(packed->name_count, 1u);
    const int64_t time0_ns = packed->time0_ns;
    const uint8_t *at = packed->samples + (size_t)index * PSTK_PACKED_SAMPLE_BYTES;
    for (; index < end; index++, at += PSTK_PACKED_SAMPLE_BYTES, out++) {
        uint64_t bits = pstk_load_u64(at), rest = pstk_load_u64(at + 8);
        uint32_t offset = (uint32_t)rest, which = (uint16_t)(rest >> 32);
        if (PSTK_UNLIKELY(which >= name_count))
            break;
        const pstk_packed_name *name = &names[which];
        if (PSTK_UNLIKELY(!name->is_plain || (bits & EXPONENT_BITS) == EXPONENT_BITS ||
                          offset > reach_ns))
            break;
        out->time_ns = time0_ns + (int64_t)offset;
        out->value.bits = bits == SIGN_BIT ? 0 : bits;
        out->tag_id = name->tag_id;
        out->quality = (uint16_t)(rest >> 48);
        out->flags = 0;
    }
    return index;
}

/* Apart, so that its registers are not saved on the plain way. */
static __attribute__((noinline)) void step_all(pstk_parser *parser, const pstk_room *room,
                                               pstk_step *out_step) {
    pstk_packed *packed = &parser->packed;
    uint32_t first = parser->next, index = first, count = parser->count;
    size_t samples = 0;
    uint64_t reach_ns = 0;
    bool has_reach = find_reach(packed, room->future_after_ns, &reach_ns);
    for (; index < count && samples < room->capacity; index++) {
        if (has_reach) {
            uint32_t end = index + (uint32_t)PSTK_MIN(count - index, room->capacity - samples);
            uint32_t next = take_run(packed, index, end, reach_ns, &room->samples[samples]);
            samples += next - index;
            index = next;
            if (index == end)
                break;
        }
        const uint8_t *at = packed->samples + (size_t)index * PSTK_PACKED_SAMPLE_BYTES;
        uint32_t which = pstk_load_u16(at + 12);
        pstk_drop reason = PSTK_DROP_MALFORMED;
        if (PSTK_LIKELY(which < PSTK_MAX(packed->name_count, 1u))) {
            pstk_packed_name *name = &packed->name[which];
            if (!name->is_resolved && which >= packed->looked_up && packed->name_count > 1)
                resolve_known(parser, which);
            if (PSTK_LIKELY(take_f64_sample(packed, name, at, room->future_after_ns,
                                            &room->samples[samples]))) {
                samples++;
                continue;
            }
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

/* ---- runs of plain messages ------------------------------------------------------------------ */

/* "PSK1", count 1, name_count 1; the type in the eighth byte belongs to a subject. */
#define PLAIN_START UINT64_C(0x00010001314B5350)
#define NAME_AT (PSTK_PACKED_HEADER_BYTES + 2)
#define PLAIN_BYTES_LEAST (NAME_AT + PSTK_PACKED_SAMPLE_BYTES)
#define PLAIN_NEAR_TAGS 4096u /* names, slots and all, some 300 KB */

/* What is the same of all that have one size, which mostly is that of the message before. */
typedef struct plain_form {
    size_t size, name_bytes;
    uint64_t named; /* type and length of the name as they stand in the message */
    uint64_t head;  /* of the tag that it names, see pstk_tag_head */
} plain_form;

/* False: no plain message has this size. */
static PSTK_INLINE bool form_of(size_t size, uint16_t source, plain_form *out) {
    size_t name_bytes = size - PLAIN_BYTES_LEAST;
    if (name_bytes - 1 >= PSTK_NAME_BYTES - 1) /* too short as well: it wraps */
        return false;
    *out = (plain_form){.size = size,
                        .name_bytes = name_bytes,
                        .named = PSTK_TYPE_F64 | name_bytes << 8,
                        .head = pstk_tag_head(PSTK_TYPE_F64, source, name_bytes)};
    return true;
}

/* Whether a message is plain as far as its own bytes tell; then its name has 1 to 95 bytes. */
static PSTK_INLINE bool is_plain(const pstk_plain *plain, const plain_form *form, uint64_t seq,
                                 const uint8_t *at) {
    uint64_t odd = (pstk_load_u64(at) ^ PLAIN_START) << 8;
    odd |= (pstk_load_u64(at + STREAM_AT) ^ plain->head) & plain->head_mask;
    odd |= pstk_load_u64(at + SEQ_AT) ^ seq;
    odd |= pstk_load_u16(at + PSTK_PACKED_HEADER_BYTES) ^ form->named;
    odd |= pstk_load_u16(at + form->size - 4); /* which name */
    return odd == 0;
}

static PSTK_INLINE uint64_t hash_of(const plain_form *form, const uint8_t *at) {
    return pstk_hash_name((pstk_slice){at + NAME_AT, form->name_bytes});
}

/* False, and nothing is made, where the sample is not plain. */
static PSTK_INLINE bool make_plain(const pstk_tag *tag, int64_t future_after_ns,
                                   const plain_form *form, const uint8_t *at, pstk_sample *out) {
    const uint8_t *sample = at + NAME_AT + form->name_bytes;
    uint64_t bits = pstk_load_u64(sample), time0_ns = pstk_load_u64(at + TIME0_AT);
    int64_t dt_ns = (int64_t)pstk_load_u32(sample + 8);
    if (pstk_load_u64(tag) != form->head ||
        !pstk_is_same(tag->name, at + NAME_AT, form->name_bytes))
        return false;
    /* Room for dt up to the future. It is negative behind that, and for stamps centuries ago, of
     * which PSTK_TIME_NONE is one. */
    int64_t room_ns = (int64_t)((uint64_t)future_after_ns - time0_ns);
    if (room_ns < dt_ns || (bits & EXPONENT_BITS) == EXPONENT_BITS)
        return false;
    out->time_ns = (int64_t)(time0_ns + (uint64_t)dt_ns);
    out->value.bits = bits;
    out->value.f64 += 0.0; /* -0.0 becomes 0.0 */
    out->tag_id = tag->id;
    out->quality = pstk_load_u16(sample + 14);
    out->flags = 0;
    return true;
}

/* Tables that the caches hold: one message after the other, nothing is asked for ahead. */
static size_t take_near(const pstk_tags *tags, pstk_plain like, const pstk_frame *in, size_t count,
                        pstk_sample *out) {
    const pstk_tag_slot *const slot = tags->slot; /* held here: a store below changes none */
    const pstk_tag *const pool = tags->pool;
    const uint32_t mask = tags->slot_mask;
    plain_form form = {0};
    size_t made = 0;
    for (; made < count; made++) {
        const uint8_t *at = in[made].payload;
        if (PSTK_UNLIKELY(in[made].payload_bytes != form.size) &&
            !form_of(in[made].payload_bytes, like.source, &form))
            break;
        if (!is_plain(&like, &form, like.seq, at))
            break;
        uint32_t place = pstk_tag_candidate(slot, mask, hash_of(&form, at));
        if (place == PSTK_TAG_NONE ||
            !make_plain(pool + place, like.future_after_ns, &form, at, &out[made]))
            break;
        like.seq += like.step;
    }
    return made;
}

/* How many are plain by their own bytes, and the hashes of their names; their slots are asked for.
 */
static PSTK_INLINE size_t hash_plain(const pstk_tags *tags, pstk_plain like, const pstk_frame *in,
                                     size_t count, uint64_t *hash) {
    const pstk_tag_slot *slot = tags->slot;
    const uint32_t mask = tags->slot_mask;
    plain_form form = {0};
    size_t i = 0;
    for (; i < count; i++) {
        const uint8_t *at = in[i].payload;
        if (PSTK_UNLIKELY(in[i].payload_bytes != form.size) &&
            !form_of(in[i].payload_bytes, like.source, &form))
            break;
        if (!is_plain(&like, &form, like.seq, at))
            break;
        hash[i] = hash_of(&form, at);
        __builtin_prefetch(&slot[(uint32_t)hash[i] & mask]);
        like.seq += like.step;
    }
    return i;
}

/* Tables that they do not hold: slots, then tags are asked for together. */
static size_t take_far(const pstk_tags *tags, pstk_plain like, const pstk_frame *in, size_t count,
                       pstk_sample *out) {
    const pstk_tag *const pool = tags->pool;
    uint64_t hash[PSTK_PLAIN_BATCH];
    uint32_t place[PSTK_PLAIN_BATCH];
    size_t ready = hash_plain(tags, like, in, PSTK_MIN(count, PSTK_PLAIN_BATCH), hash);
    find_candidates(tags, hash, ready, place);
    plain_form form = {0};
    size_t made = 0;
    for (; made < ready && place[made] != PSTK_TAG_NONE; made++) {
        if (in[made].payload_bytes != form.size)
            (void)form_of(in[made].payload_bytes, like.source, &form);
        if (!make_plain(pool + place[made], like.future_after_ns, &form, in[made].payload,
                        &out[made]))
            break;
    }
    return made;
}

size_t pstk_packed_plain(const pstk_parser *parser, const pstk_plain *plain, const pstk_frame *in,
                         size_t count, pstk_sample *out) {
    bool is_near = parser->tags->count <= PLAIN_NEAR_TAGS;
    return is_near ? take_near(parser->tags, *plain, in, count, out)
                   : take_far(parser->tags, *plain, in, count, out);
}
