/* json_sample: an item gets its tag and becomes a sample, by the tag's type. */
#include "parse_private.h"

#define EXPONENT_BITS UINT64_C(0x7FF0000000000000)

bool pstk_json_begin(pstk_parser *parser, pstk_slice payload, pstk_message *out_message) {
    pstk_json *json = &parser->json;
    json->set = parser->source % PSTK_SHAPE_SETS;
    if (!pstk_json_read(json, payload.bytes, payload.size))
        return false;
    *out_message = (pstk_message){.samples = json->item_count,
                                  .stream = json->stream,
                                  .boot = json->boot,
                                  .is_numbered = json->has_seq,
                                  .seq = json->has_seq ? json->seq : 0};
    parser->count = json->item_count;
    return true;
}

/* "motor" . "rpm": written from its end. False: longer than a name may be. */
static bool join_path(const pstk_json *json, const pstk_json_item *item,
                      uint8_t out[PSTK_NAME_BYTES], pstk_slice *out_name) {
    size_t left = PSTK_NAME_BYTES - 1;
    uint32_t node = item->node;
    if (item->name_bytes > left)
        return false;
    left -= item->name_bytes;
    memcpy(out + left, item->name, item->name_bytes);
    for (; node; node = json->node[node].parent) {
        const pstk_json_node *above = &json->node[node];
        if (left == 0 || above->name_bytes > left - 1)
            return false;
        out[--left] = '.';
        left -= above->name_bytes;
        memcpy(out + left, above->name, above->name_bytes);
    }
    *out_name = (pstk_slice){out + left, PSTK_NAME_BYTES - 1 - left};
    return true;
}

/* A number makes an f64 tag: a flow that happens to read 5 first must not lose its 5.1. A tag that
 * is known as i64 takes integer literals exactly. */
static void set_types(uint8_t kind, pstk_tag_query *query) {
    switch (kind) {
    case PSTK_JSON_INT:
    case PSTK_JSON_BIG:
        query->type = PSTK_TYPE_F64;
        query->accepts = PSTK_BIT(PSTK_TYPE_F64) | PSTK_BIT(PSTK_TYPE_I64);
        return;
    case PSTK_JSON_BOOL:
        query->type = PSTK_TYPE_BOOL;
        break;
    case PSTK_JSON_TEXT:
        query->type = PSTK_TYPE_CODE;
        break;
    default:
        query->type = PSTK_TYPE_F64;
    }
    query->accepts = PSTK_BIT(query->type);
}

static pstk_drop take_number(const pstk_json_item *item, uint8_t tag_type, pstk_value *out) {
    if (tag_type == PSTK_TYPE_I64) {
        out->i64 = item->value.number.i64;
        return item->kind == PSTK_JSON_INT ? PSTK_REASON_NONE : PSTK_DROP_RANGE;
    }
    double number = item->value.number.f64;
    if (item->kind == PSTK_JSON_INT)
        number = (double)item->value.number.i64;
    out->f64 = number == 0 ? 0 : number; /* -0.0 is stored as 0.0: one zero, one bit pattern */
    return (out->bits & EXPONENT_BITS) == EXPONENT_BITS ? PSTK_DROP_RANGE : PSTK_REASON_NONE;
}

static pstk_drop take_value(pstk_parser *parser, const pstk_json_item *item, pstk_sample *out) {
    if (item->kind == PSTK_JSON_BOOL) {
        out->value = item->value.number;
        return PSTK_REASON_NONE;
    }
    if (item->kind != PSTK_JSON_TEXT)
        return take_number(item, (uint8_t)parser->tags->kind[out->tag_id], &out->value);
    bool is_known = pstk_tags_code(parser->tags, out->tag_id, item->value.text, item->text_bytes,
                                   &out->value.i64);
    return is_known ? PSTK_REASON_NONE : PSTK_DROP_CODE_LIMIT;
}

static pstk_drop take_item(pstk_parser *parser, const pstk_json_item *item, pstk_sample *out) {
    uint8_t joined[PSTK_NAME_BYTES];
    uint32_t *hint = pstk_parser_hint(parser);
    pstk_tag_query query = {.name = {item->name, item->name_bytes}, .source = parser->source};
    pstk_drop reason = PSTK_REASON_NONE;
    if (item->reason != PSTK_REASON_NONE)
        return (pstk_drop)item->reason;
    if (!item->name)
        query.name = parser->subject;
    else if (item->node && !join_path(&parser->json, item, joined, &query.name))
        return PSTK_DROP_TAG_NAME;
    set_types(item->kind, &query);
    out->tag_id = pstk_tags_take(parser->tags, query, *hint, &reason);
    if (out->tag_id == PSTK_TAG_NONE)
        return reason;
    *hint = out->tag_id;
    out->time_ns = item->time_ns;
    out->quality = item->quality;
    out->flags = 0;
    return take_value(parser, item, out);
}

bool pstk_json_one(pstk_parser *parser, int64_t future_after_ns, pstk_sample *out) {
    return take_item(parser, &parser->json.item[0], out) == PSTK_REASON_NONE &&
           out->time_ns <= future_after_ns;
}

void pstk_json_step(pstk_parser *parser, pstk_sample *out_samples, size_t capacity,
                    int64_t future_after_ns, uint64_t dropped[PSTK_DROP_COUNT],
                    pstk_step *out_step) {
    const pstk_room room = {out_samples, capacity, future_after_ns, dropped};
    uint32_t first = parser->next, index = first, count = parser->count;
    size_t samples = 0;
    for (; index < count && samples < capacity; index++) {
        pstk_drop reason = take_item(parser, &parser->json.item[index], &out_samples[samples]);
        samples = pstk_room_settle(&room, samples, reason);
    }
    parser->next = index;
    *out_step = (pstk_step){samples, index - first, index == count};
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* One object of known shape that is one number, and nothing behind it. A shape's items have no path
 * and no reason to be dropped. */
static PSTK_INLINE bool read_number(pstk_json *json, const pstk_frame *frame) {
    json->at = frame->payload;
    json->end = frame->payload + frame->payload_bytes;
    json->item_count = json->depth = json->mute = json->text_used = 0;
    json->node_count = 1;
    json->stream = json->boot = 0;
    json->seq = 0;
    json->has_seq = false;
    if (frame->payload_bytes == 0 || *json->at != '{' || json->is_plain ||
        !pstk_json_take_shape(json, true))
        return false;
    uint8_t kind = json->item[0].kind;
    return json->at == json->end && json->item_count == 1 &&
           (kind == PSTK_JSON_INT || kind == PSTK_JSON_REAL);
}

static PSTK_INLINE bool is_next(const pstk_json *json, const pstk_plain *plain, uint64_t seq) {
    uint64_t head = (uint64_t)json->boot << 32 | json->stream;
    if (!json->has_seq)
        return plain->step == 0;
    return plain->step == 1 && json->seq == seq && head == plain->head;
}

/* The item as a sample of the known f64 tag that it names; false where it names none. */
static PSTK_INLINE bool make_number(const pstk_tags *tags, uint16_t source,
                                    const pstk_json_item *item, pstk_slice name, pstk_sample *out) {
    if (name.size - 1 >= PSTK_NAME_BYTES - 1)
        return false;
    uint32_t place = pstk_tag_candidate(tags->slot, tags->slot_mask, pstk_hash_name(name));
    if (place == PSTK_TAG_NONE)
        return false;
    const pstk_tag *tag = tags->pool + place;
    if (pstk_load_u64(tag) != pstk_tag_head(PSTK_TYPE_F64, source, name.size) ||
        !pstk_is_same(tag->name, name.bytes, name.size))
        return false;
    double number =
        item->kind == PSTK_JSON_INT ? (double)item->value.number.i64 : item->value.number.f64;
    *out = (pstk_sample){.time_ns = item->time_ns,
                         .value.f64 = number + 0.0, /* -0.0 becomes 0.0 */
                         .tag_id = tag->id,
                         .quality = item->quality};
    return (out->value.bits & EXPONENT_BITS) != EXPONENT_BITS;
}

size_t pstk_json_plain(pstk_parser *parser, const pstk_plain *plain, const pstk_frame *in,
                       size_t count, pstk_sample *out) {
    pstk_json *json = &parser->json;
    size_t made = 0;
    json->set = plain->source % PSTK_SHAPE_SETS;
    for (uint64_t seq = plain->seq; made < count; made++, seq += plain->step) {
        const pstk_json_item *item = &json->item[0];
        if (in[made].payload_bytes > plain->frame_bytes_max || !read_number(json, &in[made]) ||
            !is_next(json, plain, seq))
            break;
        pstk_slice name = {item->name, item->name_bytes};
        if (!item->name)
            name = (pstk_slice){in[made].subject, in[made].subject_bytes};
        if (item->time_ns > plain->future_after_ns ||
            !make_number(parser->tags, plain->source, item, name, &out[made]))
            break;
    }
    return made;
}
