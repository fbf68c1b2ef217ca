/* json: a document (RFC 8259, strict) becomes items; an item becomes a sample once its name is
 * looked up. Recursion ends at PSTK_JSON_DEPTH_MAX. Which objects are samples: native/README.md. */
#include "parse_private.h"

typedef struct object { /* one that is open */
    uint32_t first;     /* its items begin here */
    uint32_t node;      /* its path */
    bool is_root;       /* the document itself: stream, boot and seq are read here only */
    bool is_envelope;   /* has "samples": its other members are no tags */
    bool has_value;     /* one sample, whose parts are: */
    bool has_name;
    uint8_t quality_reason;
    uint8_t time_reason;
    uint16_t quality;
    pstk_slice name;
    pstk_json_item value;
    int64_t time_ns;
} object;

static bool read_object(pstk_json *json, uint32_t node, bool is_root);

/* ---- tokens --------------------------------------------------------------------------------- */

static inline void skip_space(pstk_json *json) {
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t'))
        json->at++;
}

/* The next byte that is no space, or 0 (no token begins with it). */
static inline uint8_t peek(pstk_json *json) {
    skip_space(json);
    return json->at < json->end ? *json->at : 0;
}

static inline bool accept(pstk_json *json, uint8_t wanted) {
    if (peek(json) != wanted)
        return false;
    json->at++;
    return true;
}

static bool read_word(pstk_json *json, const char *word, size_t size) {
    if ((size_t)(json->end - json->at) < size || memcmp(json->at, word, size) != 0)
        return false;
    json->at += size;
    return true;
}

static bool read_number(pstk_json *json, pstk_json_item *out) {
    const uint8_t *behind = pstk_number_scan(json->at, json->end, &json->number);
    if (!behind)
        return false;
    json->at = behind;
    if (pstk_number_i64(&json->number, &out->value.number.i64)) {
        out->kind = PSTK_JSON_INT;
        return true;
    }
    if (json->mute)
        return true; /* nobody asks for its value */
    out->kind = json->number.is_integer ? PSTK_JSON_BIG : PSTK_JSON_REAL;
    /* text_used is at most what was read before this number, so its text and a zero fit behind. */
    out->value.number.f64 =
        pstk_number_f64(&json->number, json->text + json->text_used, json->locale);
    return true;
}

/* A string, number or literal into *out; json->string and json->number keep it as written. */
static bool read_scalar(pstk_json *json, pstk_json_item *out) {
    *out = (pstk_json_item){.time_ns = PSTK_TIME_NONE, .reason = PSTK_REASON_NONE};
    switch (peek(json)) {
    case '"':
        json->at++;
        out->kind = PSTK_JSON_TEXT;
        if (!pstk_json_string(json, &json->string))
            return false;
        out->value.text = json->string.bytes;
        out->text_bytes = (uint32_t)json->string.size;
        return true;
    case 't':
        out->kind = PSTK_JSON_BOOL;
        out->value.number.i64 = 1;
        return read_word(json, "true", 4);
    case 'f':
        out->kind = PSTK_JSON_BOOL;
        return read_word(json, "false", 5);
    case 'n':
        return read_word(json, "null", 4);
    default:
        return read_number(json, out);
    }
}

/* ---- items ---------------------------------------------------------------------------------- */

static bool push_item(pstk_json *json, const pstk_json_item *item) {
    if (json->mute || item->kind == PSTK_JSON_NULL)
        return true;
    if (json->item_count == json->item_max)
        return false;
    json->item[json->item_count++] = *item;
    return true;
}

static void name_item(pstk_json_item *item, pstk_slice name, uint32_t node) {
    item->name = name.bytes;
    item->name_bytes = (uint32_t)name.size;
    item->node = node;
}

/* A new path; 0 where nobody will ask for it. False: full, which the size of the scratch excludes.
 */
static bool push_node(pstk_json *json, uint32_t parent, pstk_slice name, uint32_t *out_node) {
    *out_node = 0;
    if (json->mute)
        return true;
    if (json->node_count == json->node_max)
        return false;
    *out_node = json->node_count++;
    json->node[*out_node] = (pstk_json_node){name.bytes, (uint32_t)name.size, parent};
    return true;
}

/* ---- arrays --------------------------------------------------------------------------------- */

static bool read_array(pstk_json *json, bool has_samples);

/* Any value, for its syntax only. */
static bool pass_value(pstk_json *json) {
    pstk_json_item item;
    bool is_whole;
    json->mute++;
    switch (peek(json)) {
    case '{':
        is_whole = read_object(json, 0, false);
        break;
    case '[':
        is_whole = read_array(json, false);
        break;
    default:
        is_whole = read_scalar(json, &item);
    }
    json->mute--;
    return is_whole;
}

static bool read_element(pstk_json *json, bool has_samples) {
    return has_samples && peek(json) == '{' ? read_object(json, 0, false) : pass_value(json);
}

/* has_samples: its objects are samples; whatever else stands in it is passed over. */
static bool read_array(pstk_json *json, bool has_samples) {
    if (!accept(json, '[') || ++json->depth > PSTK_JSON_DEPTH_MAX)
        return false;
    if (!accept(json, ']')) {
        do {
            if (!read_element(json, has_samples))
                return false;
        } while (accept(json, ','));
        if (!accept(json, ']'))
            return false;
    }
    json->depth--;
    return true;
}

/* ---- members -------------------------------------------------------------------------------- */

static inline bool is_key(pstk_slice key, const char *word, size_t size) {
    return key.size == size && memcmp(key.bytes, word, size) == 0;
}

#define ROLE(word, role)                                                                           \
    if (is_key(key, word, sizeof word - 1))                                                        \
    return role

pstk_json_role pstk_json_role_of(pstk_slice key) {
    if (key.size == 0 || key.size > 9)
        return PSTK_KEY_TAG;
    switch (key.bytes[0]) {
    case 'b':
        ROLE("boot", PSTK_KEY_BOOT);
        break;
    case 'n':
        ROLE("name", PSTK_KEY_NAME);
        break;
    case 'q':
        ROLE("quality", PSTK_KEY_QUALITY);
        break;
    case 's':
        ROLE("seq", PSTK_KEY_SEQ);
        ROLE("stream", PSTK_KEY_STREAM);
        ROLE("samples", PSTK_KEY_SAMPLES);
        break;
    case 't':
        ROLE("t", PSTK_KEY_TIME);
        ROLE("ts", PSTK_KEY_TIME);
        ROLE("time", PSTK_KEY_TIME);
        ROLE("timestamp", PSTK_KEY_TIME);
        break;
    case 'v':
        ROLE("v", PSTK_KEY_VALUE);
        ROLE("value", PSTK_KEY_VALUE);
        break;
    default:
        break;
    }
    return PSTK_KEY_TAG;
}

/* stream, boot, seq. A wrong one refuses the message: a sequence that is guessed loses count. */
static bool read_reserved(pstk_json *json, pstk_json_role role) {
    pstk_json_item item;
    if (!read_scalar(json, &item))
        return false;
    if (item.kind == PSTK_JSON_NULL)
        return true;
    const pstk_number *number = &json->number;
    bool is_number = item.kind == PSTK_JSON_INT || item.kind == PSTK_JSON_BIG;
    if (!is_number || !pstk_number_is_u64(number) || (number->is_negative && number->magnitude))
        return false;
    if (role == PSTK_KEY_SEQ) {
        json->seq = number->magnitude;
        json->has_seq = json->seq != UINT64_MAX;
        return true;
    }
    if (number->magnitude > UINT32_MAX)
        return false;
    *(role == PSTK_KEY_STREAM ? &json->stream : &json->boot) = (uint32_t)number->magnitude;
    return true;
}

static bool read_time(pstk_json *json, object *open) {
    pstk_json_item item;
    uint8_t next = peek(json);
    pstk_drop reason = PSTK_DROP_MALFORMED;
    if (next == '{' || next == '[') {
        open->time_reason = (uint8_t)reason;
        return pass_value(json);
    }
    if (!read_scalar(json, &item))
        return false;
    int64_t time_ns = PSTK_TIME_NONE;
    if (item.kind == PSTK_JSON_TEXT)
        reason = pstk_time_from_text(json->string, &time_ns);
    else if (item.kind == PSTK_JSON_NULL)
        reason = PSTK_REASON_NONE;
    else if (item.kind != PSTK_JSON_BOOL)
        reason = pstk_time_from_number(&json->number, &time_ns);
    open->time_ns = reason == PSTK_REASON_NONE ? time_ns : PSTK_TIME_NONE;
    open->time_reason = (uint8_t)reason;
    return true;
}

static void note_quality(const pstk_json_item *item, object *open) {
    bool is_null = item->kind == PSTK_JSON_NULL, is_int = item->kind == PSTK_JSON_INT;
    int64_t quality = is_int ? item->value.number.i64 : 0;
    open->quality = 0;
    open->quality_reason = PSTK_REASON_NONE;
    if (!is_null && !is_int)
        open->quality_reason = PSTK_DROP_MALFORMED;
    else if (quality < 0 || quality > UINT16_MAX)
        open->quality_reason = PSTK_DROP_RANGE;
    else
        open->quality = (uint16_t)quality;
}

/* What a sample object would take from this member, should it turn out to be one. */
static void note_member(pstk_json_role role, const pstk_json_item *item, object *open) {
    if (role == PSTK_KEY_VALUE) {
        open->has_value = true;
        open->value = *item;
    } else if (role == PSTK_KEY_NAME) {
        open->has_name = item->kind != PSTK_JSON_NULL;
        /* A name that is no text cannot be a name: the empty one, dropped{tag_name}. */
        open->name = item->kind == PSTK_JSON_TEXT ? (pstk_slice){item->value.text, item->text_bytes}
                                                  : (pstk_slice){(const uint8_t *)"", 0};
    } else if (role == PSTK_KEY_QUALITY) {
        note_quality(item, open);
    }
}

/* A member that is no stamp and no header: a tag, a part of a sample, or an object of more tags. */
static bool read_member(pstk_json *json, pstk_json_role role, pstk_slice key, object *open) {
    pstk_json_item item = {
        .time_ns = PSTK_TIME_NONE, .kind = PSTK_JSON_BROKEN, .reason = PSTK_DROP_MALFORMED};
    uint8_t next = peek(json);
    uint32_t node;
    if (next == '{' && role != PSTK_KEY_VALUE)
        return push_node(json, open->node, key, &node) && read_object(json, node, false);
    bool is_whole = next == '{' || next == '[' ? pass_value(json) : read_scalar(json, &item);
    if (!is_whole)
        return false;
    note_member(role, &item, open);
    name_item(&item, key, open->node);
    return push_item(json, &item);
}

static bool read_samples(pstk_json *json, object *open) {
    if (!open->is_envelope)
        json->item_count = open->first; /* what came before were no tags */
    open->is_envelope = true;
    return read_array(json, true);
}

static bool read_any_member(pstk_json *json, pstk_slice key, object *open) {
    pstk_json_role role = pstk_json_role_of(key);
    bool is_header = role == PSTK_KEY_STREAM || role == PSTK_KEY_BOOT || role == PSTK_KEY_SEQ;
    if (role == PSTK_KEY_TIME)
        return read_time(json, open);
    if (is_header && open->is_root)
        return read_reserved(json, role);
    if (role == PSTK_KEY_SAMPLES && open->is_root && peek(json) == '[')
        return read_samples(json, open);
    if (open->is_envelope || (is_header && open->node == 0))
        return pass_value(json);
    return read_member(json, role, key, open);
}

/* ---- objects -------------------------------------------------------------------------------- */

/* One sample stands for the members that were taken for tags. */
static bool close_sample(pstk_json *json, object *open) {
    pstk_json_item item = open->value;
    json->item_count = open->first;
    item.quality = open->quality;
    if (item.reason == PSTK_REASON_NONE)
        item.reason = open->quality_reason;
    if (open->has_name) {
        name_item(&item, open->name, open->node);
    } else if (open->node) {
        const pstk_json_node *node = &json->node[open->node];
        name_item(&item, (pstk_slice){node->name, node->name_bytes}, node->parent);
    } else {
        name_item(&item, (pstk_slice){NULL, 0}, 0);
    }
    return push_item(json, &item);
}

/* The object's stamp is also that of everything in it that has none. */
static void stamp_items(pstk_json *json, const object *open) {
    if (open->time_ns == PSTK_TIME_NONE && open->time_reason == PSTK_REASON_NONE)
        return;
    for (uint32_t i = open->first; i < json->item_count; i++) {
        pstk_json_item *item = &json->item[i];
        if (item->time_ns != PSTK_TIME_NONE || item->reason != PSTK_REASON_NONE)
            continue;
        item->time_ns = open->time_ns;
        item->reason = open->time_reason;
    }
}

static bool read_members(pstk_json *json, object *open) {
    pstk_slice key;
    do {
        if (!accept(json, '"') || !pstk_json_string(json, &key) || !accept(json, ':') ||
            !read_any_member(json, key, open))
            return false;
    } while (accept(json, ','));
    return accept(json, '}');
}

static bool read_plain_object(pstk_json *json, uint32_t node, bool is_root) {
    object open = {.first = json->item_count,
                   .node = node,
                   .is_root = is_root,
                   .quality_reason = PSTK_REASON_NONE,
                   .time_reason = PSTK_REASON_NONE,
                   .time_ns = PSTK_TIME_NONE};
    if (!accept(json, '{') || ++json->depth > PSTK_JSON_DEPTH_MAX)
        return false;
    if (!accept(json, '}') && !read_members(json, &open))
        return false;
    json->depth--;
    if (json->mute)
        return true;
    if (open.has_value && !open.is_envelope && !close_sample(json, &open))
        return false;
    stamp_items(json, &open);
    return true;
}

/* One of known shape is read by json_shape.c; what has none, or differs, the plain way. */
static bool read_outer_object(pstk_json *json, bool is_root) {
    const uint8_t *first = json->at;
    if (json->is_plain)
        return read_plain_object(json, 0, is_root);
    if (PSTK_LIKELY(pstk_json_take_shape(json, is_root)))
        return true;
    if (!read_plain_object(json, 0, is_root))
        return false;
    pstk_json_learn_shape(json, first, is_root);
    return true;
}

static bool read_object(pstk_json *json, uint32_t node, bool is_root) {
    return node == 0 && json->mute == 0 ? read_outer_object(json, is_root)
                                        : read_plain_object(json, node, is_root);
}

bool pstk_json_read(pstk_json *json, const uint8_t *payload, size_t size) {
    bool is_whole;
    json->at = size ? payload : (const uint8_t *)"";
    json->end = json->at + size;
    json->item_count = json->depth = json->mute = json->text_used = 0;
    json->node_count = 1;
    json->stream = json->boot = 0;
    json->seq = 0;
    json->has_seq = false;
    switch (peek(json)) {
    case '{':
        is_whole = read_outer_object(json, true);
        break;
    case '[':
        is_whole = read_array(json, true);
        break;
    default:
        is_whole = pass_value(json);
    }
    return is_whole && peek(json) == 0 && json->at == json->end;
}
