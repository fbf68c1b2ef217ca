/* parse_private: what the files of this stage share and nobody else includes. */
#ifndef PSTK_PARSE_PRIVATE_H
#define PSTK_PARSE_PRIVATE_H

#include "number.h"
#include "parse.h"

#include <stddef.h>

#define PSTK_REASON_NONE PSTK_DROP_COUNT
#define PSTK_PACKED_NAMES_MAX 255u
#define PSTK_PARSER_FRAME_MAX (64u << 20) /* the scratch is a multiple of it: see parser.c */
#define PSTK_CODE_TEXT_BYTES 32u
/* On the way of every sample, where the compiler's own guess costs calls and spills. */
#define PSTK_INLINE inline __attribute__((always_inline))
#define PSTK_BIT(type) ((uint8_t)(1u << (type)))

typedef struct pstk_slice {
    const uint8_t *bytes;
    size_t size;
} pstk_slice;

/* One look-up. type: what a new tag becomes; accepts: PSTK_BIT of each type a known tag may have.
 */
typedef struct pstk_tag_query {
    pstk_slice name;
    uint16_t source;
    uint8_t type;
    uint8_t accepts;
} pstk_tag_query;

typedef struct pstk_tag_slot { /* place_plus 0 = empty */
    uint32_t hash;
    uint32_t place_plus;
} pstk_tag_slot;

typedef struct pstk_code_entry {
    uint32_t tag_id;
    uint32_t code;
    uint32_t text_bytes;
    char text[PSTK_CODE_TEXT_BYTES];
} pstk_code_entry;

struct pstk_tags {
    pstk_tag *pool; /* on a line's border in pool_memory; a place is an index into it */
    void *pool_memory;
    uint32_t pool_used;
    uint32_t *place;     /* by tag: where it lies */
    uint32_t *kind;      /* by tag: PSTK_TAG_KIND */
    pstk_tag_slot *slot; /* at most half full, so that a probe ends */
    uint32_t slot_mask;
    uint32_t count, max;
    uint32_t codes_max; /* texts of one tag */
    uint32_t code_count, code_total_max;
    uint32_t code_mask;
    pstk_code_entry *code;
    uint32_t *code_by_text;   /* index + 1, at most half full */
    uint32_t *code_by_number; /* the same */
    pstk_code_ref *new_code;
    size_t new_code_count;
};

/* The whole look-up, when the prediction did not hold. */
uint32_t pstk_tags_search(pstk_tags *tags, const pstk_tag_query *query, uint32_t hint,
                          pstk_drop *out_reason);

/* The known tag of that name, which from now on is predicted to follow hint; else NULL. */
const pstk_tag *pstk_tags_find_next(pstk_tags *tags, pstk_slice name, uint32_t hint);

/* Names are short: overlapping words beat a call of memcmp. */
static inline bool pstk_is_same(const char *a, const uint8_t *b, size_t size) {
    if (PSTK_UNLIKELY(size < 8)) {
        for (size_t i = 0; i < size; i++)
            if ((uint8_t)a[i] != b[i])
                return false;
        return true;
    }
    uint64_t first = pstk_load_u64(a) ^ pstk_load_u64(b);
    uint64_t last = pstk_load_u64(a + size - 8) ^ pstk_load_u64(b + size - 8);
    if (first | last) /* names that follow each other mostly differ at their end */
        return false;
    for (size_t i = 8; i + 8 < size; i += 8)
        if (pstk_load_u64(a + i) != pstk_load_u64(b + i))
            return false;
    return true;
}

static inline bool pstk_tag_is_named(const pstk_tag *tag, pstk_slice name) {
    return tag->name_bytes == name.size && pstk_is_same(tag->name, name.bytes, name.size);
}

/* Words of eight bytes, the last one overlapping, folded by multiplication. Inline and without the
 * general case of pstk_hash_bytes: names have 1 to 95 bytes and are looked up by the million. */
static PSTK_INLINE uint64_t pstk_hash_name(pstk_slice name) {
    const uint8_t *at = name.bytes;
    uint64_t hash = name.size * UINT64_C(0x9E3779B97F4A7C15), tail = 0;
    if (PSTK_UNLIKELY(name.size < 8)) {
        for (size_t i = 0; i < name.size; i++)
            tail = tail << 8 | at[i];
    } else {
        for (size_t i = 0; i + 8 < name.size; i += 8) {
            __uint128_t product =
                (__uint128_t)(hash ^ pstk_load_u64(at + i)) * UINT64_C(0xD6E8FEB86659FD93);
            hash = (uint64_t)product ^ (uint64_t)(product >> 64);
        }
        tail = pstk_load_u64(at + name.size - 8);
    }
    __uint128_t last = (__uint128_t)(hash ^ tail) * UINT64_C(0xA0761D6478BD642F);
    return (uint64_t)last ^ (uint64_t)(last >> 64);
}

/* The first eight bytes of a tag of that type and source: one compare instead of three. */
_Static_assert(offsetof(pstk_tag, name_bytes) == 0 && offsetof(pstk_tag, source) == 2 &&
                   offsetof(pstk_tag, type) == 4 && offsetof(pstk_tag, id) == 8,
               "pstk_tag_head");
static inline uint64_t pstk_tag_head(uint8_t type, uint16_t source, size_t name_bytes) {
    return (uint64_t)type << 32 | (uint64_t)source << 16 | name_bytes;
}

/* The place of the one tag that this hash leaves, PSTK_TAG_NONE where there is none. No tag was
 * read for it. */
static PSTK_INLINE uint32_t pstk_tag_candidate(const pstk_tag_slot *slot, uint32_t mask,
                                               uint64_t hash) {
    const pstk_tag_slot *at = slot + ((uint32_t)hash & mask);
    while (PSTK_UNLIKELY(at->hash != (uint32_t)(hash >> 32)) && at->place_plus)
        at = slot + ((uint32_t)(at - slot + 1) & mask);
    return at->place_plus - 1;
}

/* A tag that is there. */
static PSTK_INLINE pstk_tag *pstk_tag_of(const pstk_tags *tags, uint32_t tag_id) {
    return &tags->pool[tags->place[tag_id]];
}

/* The tag that followed hint last time, if this name is its name again. */
static PSTK_INLINE const pstk_tag *pstk_tags_predict(const pstk_tags *tags, pstk_slice name,
                                                     uint32_t hint) {
    uint32_t next = hint < tags->count ? pstk_tag_of(tags, hint)->next : PSTK_TAG_NONE;
    if (next == PSTK_TAG_NONE)
        return NULL;
    const pstk_tag *tag = &tags->pool[next];
    return pstk_tag_is_named(tag, name) ? tag : NULL;
}

/* As pstk_tags_resolve. Inline: a name that follows the one before costs one compare and no call.
 */
static PSTK_INLINE uint32_t pstk_tags_take(pstk_tags *tags, pstk_tag_query query, uint32_t hint,
                                           pstk_drop *out_reason) {
    const pstk_tag *next = pstk_tags_predict(tags, query.name, hint);
    if (next && next->source == query.source && (query.accepts & PSTK_BIT(next->type)))
        return next->id;
    pstk_tag_query passed = query; /* a copy, so that the query itself stays in registers */
    pstk_drop reason = PSTK_REASON_NONE;
    uint32_t id = pstk_tags_search(tags, &passed, hint, &reason);
    *out_reason = reason;
    return id;
}

/* ---- packed --------------------------------------------------------------------------------- */

typedef struct pstk_packed_name { /* resolved at its first sample */
    uint32_t at;                  /* of { type, bytes, name } in the payload */
    uint32_t tag_id;              /* PSTK_TAG_NONE: every sample of it is dropped for reason */
    uint8_t is_resolved;
    uint8_t is_plain; /* f64 on the wire, of a known tag of f64 */
    uint8_t wire_type;
    uint8_t tag_type;
    uint8_t reason;
} pstk_packed_name;

typedef struct pstk_packed {
    const uint8_t *payload;
    const uint8_t *samples;
    int64_t time0_ns;
    uint32_t name_count; /* of the table; 0 = name[0] is the subject's */
    uint32_t looked_up;  /* names before this one have been looked up together */
    pstk_packed_name name[PSTK_PACKED_NAMES_MAX];
} pstk_packed;

/* ---- json ----------------------------------------------------------------------------------- */

typedef enum pstk_json_kind {
    PSTK_JSON_NULL = 0,
    PSTK_JSON_INT,  /* integer literal that fits i64 */
    PSTK_JSON_BIG,  /* integer literal that does not: f64, for an i64 tag out of range */
    PSTK_JSON_REAL, /* written with a fraction or an exponent */
    PSTK_JSON_BOOL,
    PSTK_JSON_TEXT,
    PSTK_JSON_BROKEN, /* an array or object where a value belongs */
} pstk_json_kind;

typedef struct pstk_json_item { /* one sample before its name is looked up; 48 bytes */
    int64_t time_ns;            /* PSTK_TIME_NONE: not given yet */
    union {
        pstk_value number;
        const uint8_t *text;
    } value;
    const uint8_t *name; /* NULL = the subject's */
    uint32_t name_bytes;
    uint32_t text_bytes;
    uint32_t node; /* path above the name, 0 = none */
    uint16_t quality;
    uint8_t kind;   /* pstk_json_kind */
    uint8_t reason; /* pstk_drop, or PSTK_REASON_NONE */
} pstk_json_item;

typedef struct pstk_json_node { /* a member that holds an object: its name stands before a '.' */
    const uint8_t *name;
    uint32_t name_bytes;
    uint32_t parent;
} pstk_json_node;

typedef enum pstk_json_role {                   /* of a member, by its key */
                              PSTK_KEY_TAG = 0, /* any other */
                              PSTK_KEY_NAME,
                              PSTK_KEY_VALUE,
                              PSTK_KEY_QUALITY,
                              PSTK_KEY_TIME,
                              PSTK_KEY_STREAM,
                              PSTK_KEY_BOOT,
                              PSTK_KEY_SEQ,
                              PSTK_KEY_SAMPLES,
} pstk_json_role;

/* A shape is what repeats from one flat object to the next: keys and punctuation, and holes where
 * the values stand. */
#define PSTK_SHAPE_HOLES_MAX 16u
#define PSTK_SHAPE_REST_MAX 256u
#define PSTK_SHAPE_WAIT_MAX 255u
#define PSTK_SHAPE_SETS 16u

typedef struct pstk_json_hole { /* and the text before it */
    uint8_t text[16];           /* its first bytes, then zeros */
    uint16_t mask;              /* a bit a byte of them */
    uint8_t use;                /* what its value is for: hole_use in json_shape.c */
    uint8_t rest_bytes;         /* of the text behind its first sixteen bytes */
    uint16_t rest;              /* these, in the shape's rest */
    uint16_t text_bytes;
    uint16_t key_behind, key_bytes; /* where the text ends, less this, begins the key */
} pstk_json_hole;

typedef struct pstk_json_shape {
    uint32_t hole_count; /* 0: none learned. The text behind the last value is hole[hole_count] */
    bool is_sample;      /* the object is one sample; else each item is one */
    pstk_json_hole hole[PSTK_SHAPE_HOLES_MAX + 1];
    uint8_t rest[PSTK_SHAPE_REST_MAX];
} pstk_json_shape;

typedef struct pstk_json_shapes { /* the two a source used last */
    uint32_t first;               /* of them, which to try first */
    uint32_t wait;                /* objects to pass before another is learned */
    uint32_t penalty; /* the next wait: doubles with each that was learned for nothing */
    pstk_json_shape shape[2];
} pstk_json_shapes;

typedef struct pstk_json {
    const uint8_t *at, *end;
    pstk_json_item *item; /* scratch, reserved at open; one item costs at least 5 bytes of text */
    pstk_json_node *node; /* [0] stands for "no path" */
    uint8_t *text;        /* strings without their escapes, and numbers for the slow path */
    uint32_t item_count, item_max;
    uint32_t node_count, node_max;
    uint32_t text_used, text_max;
    uint32_t depth;
    uint32_t mute;      /* > 0: syntax only, no item is made */
    pstk_number number; /* of the last number token */
    pstk_slice string;  /* of the last string token */
    void *locale;       /* "C", for the slow path of number.c */
    uint32_t stream, boot;
    uint64_t seq;
    bool has_seq;
    bool is_plain;   /* tests: no shapes, so that both ways can be compared */
    uint8_t set;     /* which shapes[] are those of the source at hand */
    uint64_t shaped; /* objects that a shape fitted; for tests */
    pstk_json_shapes shapes[PSTK_SHAPE_SETS][2]; /* [][1]: of whole documents, [][0]: in arrays */
} pstk_json;

/* Reads a whole document into items. False: not JSON, too deep, or a reserved member of the wrong
 * type. */
bool pstk_json_read(pstk_json *json, const uint8_t *payload, size_t size);
/* json_shape.c. Reads the object that begins at json->at if it has a known shape, as the plain way
 * would, bit for bit. False: nothing was read, and the plain way decides. */
bool pstk_json_take_shape(pstk_json *json, bool is_root);
/* The plain way has read this object: its shape is worth a try next time. */
void pstk_json_learn_shape(pstk_json *json, const uint8_t *first, bool is_root);
pstk_json_role pstk_json_role_of(pstk_slice key);
/* json_text.c: at stands behind the opening quote; the slice lies in the payload or in json->text.
 */
bool pstk_json_string(pstk_json *json, pstk_slice *out);
/* json_time.c: stamps. PSTK_REASON_NONE, or why the stamp is unusable. */
pstk_drop pstk_time_from_number(const pstk_number *number, int64_t *out_time_ns);
pstk_drop pstk_time_from_text(pstk_slice text, int64_t *out_time_ns);

/* ---- parser --------------------------------------------------------------------------------- */

struct pstk_parser {
    pstk_tags *tags;
    uint32_t frame_bytes_max;
    uint32_t count; /* samples of the message at hand */
    uint32_t next;  /* of them, the next to be taken */
    uint16_t source;
    uint8_t format; /* pstk_format */
    pstk_slice subject;
    pstk_packed packed;
    pstk_json json;
    uint32_t last[PSTK_SOURCES_MAX]; /* per source the tag seen last: the hint across messages */
};

typedef struct pstk_room { /* where a step writes */
    pstk_sample *samples;
    size_t capacity;
    int64_t future_after_ns;
    uint64_t *dropped;
} pstk_room;

/* Both fill *out_message, which stands for one undecodable sample before, and parser->count. */
bool pstk_packed_begin(pstk_parser *parser, pstk_slice payload, pstk_message *out_message);
bool pstk_json_begin(pstk_parser *parser, pstk_slice payload, pstk_message *out_message);
/* The first item alone. False: it is dropped, and nothing says why. */
bool pstk_json_one(pstk_parser *parser, int64_t future_after_ns, pstk_sample *out);
/* See pstk_parse_plain; *plain stays as it is. */
size_t pstk_packed_plain(const pstk_parser *parser, const pstk_plain *plain, const pstk_frame *in,
                         size_t count, pstk_sample *out);
size_t pstk_json_plain(pstk_parser *parser, const pstk_plain *plain, const pstk_frame *in,
                       size_t count, pstk_sample *out);
/* Parameters as of pstk_parse_step, which ends in a jump here. */
void pstk_packed_step(pstk_parser *parser, pstk_sample *out_samples, size_t capacity,
                      int64_t future_after_ns, uint64_t dropped[PSTK_DROP_COUNT],
                      pstk_step *out_step);
void pstk_json_step(pstk_parser *parser, pstk_sample *out_samples, size_t capacity,
                    int64_t future_after_ns, uint64_t dropped[PSTK_DROP_COUNT],
                    pstk_step *out_step);

/* The end of a sample's way: counted by its reason, or kept. */
static PSTK_INLINE size_t pstk_room_settle(const pstk_room *room, size_t samples,
                                           pstk_drop reason) {
    if (PSTK_UNLIKELY(reason == PSTK_REASON_NONE &&
                      room->samples[samples].time_ns > room->future_after_ns))
        reason = PSTK_DROP_FUTURE;
    if (PSTK_LIKELY(reason == PSTK_REASON_NONE))
        return samples + 1;
    room->dropped[reason]++;
    return samples;
}

static inline uint32_t *pstk_parser_hint(pstk_parser *parser) {
    return &parser->last[parser->source % PSTK_SOURCES_MAX];
}

#endif
