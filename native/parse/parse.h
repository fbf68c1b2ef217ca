/* parse: payloads become samples, names become tag ids. The one header of the stage.
 * Owner    the tag table and the parser belong to the engine; a payload is borrowed, begin to step.
 * Threads  whoever holds the engine's writer lock.
 * Bound    tags_max tags, codes_max texts a tag and PSTK_CODES_TOTAL_MAX in all, names of
 *          PSTK_NAME_BYTES - 1 bytes, depth PSTK_JSON_DEPTH_MAX.
 * Full     a tag beyond tags_max is dropped{tag_limit}; nothing here waits or allocates after open.
 * Hostile  bytes come from outside: nothing is read past the payload, nothing is trusted before it
 *          is checked. */
#ifndef PSTK_PARSE_H
#define PSTK_PARSE_H

#include "../base/base.h"

/* ---- tags -----------------------------------------------------------------------------------*/

#define PSTK_TAG_NONE UINT32_MAX
#define PSTK_CODES_TOTAL_MAX 65536u /* of all tags: the memory must not be tags_max x codes_max */

/* 16 bytes and its name; where that fits a cache line, it lies in one. */
typedef struct pstk_tag {
    uint16_t name_bytes;
    uint16_t source;
    uint8_t type; /* pstk_type */
    uint8_t reserved;
    uint16_t code_count; /* 0 unless type is CODE */
    uint32_t id;
    uint32_t next; /* successor prediction: the place of the tag that followed last time */
    char name[];   /* ends with a zero */
} pstk_tag;
_Static_assert(sizeof(pstk_tag) == 16, "pstk_tag: a place counts in its bytes");

typedef struct pstk_tags pstk_tags;

int pstk_tags_open(uint32_t tags_max, uint32_t codes_max, pstk_tags **out_tags, pstk_error *err);
void pstk_tags_close(pstk_tags *tags);
uint32_t pstk_tags_count(const pstk_tags *tags);
/* NULL where unknown. */
const pstk_tag *pstk_tags_get(const pstk_tags *tags, uint32_t tag_id);
/* By tag id, pstk_tags_count of them: whose tag it is and of what type, in four bytes, for loops
 * over columns. */
#define PSTK_TAG_KIND(source, type) ((uint32_t)(source) << 8 | (uint32_t)(type))
const uint32_t *pstk_tags_kinds(const pstk_tags *tags);
/* PSTK_TAG_NONE where unknown. */
uint32_t pstk_tags_find(const pstk_tags *tags, const uint8_t *name, size_t name_bytes);

/* Name to id, making the tag on first sight. Returns the id, or PSTK_TAG_NONE with the drop reason:
 * TAG_LIMIT, TAG_NAME, SOURCE (it belongs to another source), TYPE (it has another type; a tag of
 * type f64 takes an integer literal, and of i64 refuses a fraction; pass PSTK_TYPE_NONE to skip the
 * check, which then makes no new tag).
 * hint = the id seen just before (or PSTK_TAG_NONE): one compare when the order repeats. */
uint32_t pstk_tags_resolve(pstk_tags *tags, const uint8_t *name, size_t name_bytes, uint16_t source,
                           uint8_t type, uint32_t hint, pstk_drop *out_reason);
/* Text to code of a CODE tag, making it on first sight; false: CODE_LIMIT. Texts are 1..31 bytes of
 * UTF-8 without control characters. */
bool pstk_tags_code(pstk_tags *tags, uint32_t tag_id, const uint8_t *text, size_t text_bytes,
                    int64_t *out_code);
/* NULL where unknown. */
const char *pstk_tags_code_text(const pstk_tags *tags, uint32_t tag_id, int64_t code);

/* What is new since the journal last heard of it, so that TAG and CODE records stand before the
 * first sample. Tags: ids [journaled_tags, count). Codes: a bounded list in order of birth. */
typedef struct pstk_code_ref {
    uint32_t tag_id;
    uint32_t code;
} pstk_code_ref;
size_t pstk_tags_new_codes(const pstk_tags *tags, const pstk_code_ref **out_codes);
void pstk_tags_clear_new_codes(pstk_tags *tags);
/* Recovery: the same tag or code under the same id, in journal order. False: it contradicts what is
 * there. */
bool pstk_tags_restore(pstk_tags *tags, uint32_t tag_id, const char *name, size_t name_bytes,
                       uint16_t source, uint8_t type);
bool pstk_tags_restore_code(pstk_tags *tags, uint32_t tag_id, uint32_t code, const char *text,
                            size_t text_bytes);

/* ---- parser ---------------------------------------------------------------------------------*/

#define PSTK_JSON_DEPTH_MAX 32u
#define PSTK_PACKED_HEADER_BYTES 32u
#define PSTK_PACKED_SAMPLE_BYTES 16u

typedef struct pstk_message { /* what begin() learned */
    uint32_t samples; /* usable or not; a message that cannot be decoded counts as 1, or as its
                       * count where it is packed and its header is whole */
    uint32_t stream;  /* which clock and sequence; 0 where the payload names none */
    uint32_t boot;
    uint8_t is_numbered; /* seq is meaningful */
    uint8_t reserved[3];
    uint64_t seq; /* samples the stream had sent in this boot before this message */
} pstk_message;

typedef struct pstk_parser pstk_parser;

int pstk_parser_open(pstk_tags *tags, uint32_t frame_bytes_max, pstk_parser **out_parser,
                     pstk_error *err);
void pstk_parser_close(pstk_parser *parser);

/* Reads one message. False: nothing of it can be used; *out_message counts it and *out_reason says
 * why. JSON is checked whole here (all or nothing); packed has its sizes checked here and is
 * decoded by step(). */
bool pstk_parse_begin(pstk_parser *parser, pstk_format format, uint16_t source,
                      const uint8_t *subject, size_t subject_bytes, const uint8_t *payload,
                      size_t payload_bytes, pstk_message *out_message, pstk_drop *out_reason);

typedef struct pstk_step {
    size_t samples; /* written to out */
    size_t taken;   /* of the message: samples + dropped */
    bool is_done;   /* the message is used up */
} pstk_step;

/* Writes up to capacity samples. A sample that cannot be used is added to dropped[reason] and
 * skipped. future_after_ns: a stamp above it is dropped{future}. */
void pstk_parse_step(pstk_parser *parser, pstk_sample *out_samples, size_t capacity,
                     int64_t future_after_ns, uint64_t dropped[PSTK_DROP_COUNT],
                     pstk_step *out_step);
/* Passes over the next count samples of the message: they are already in the journal. */
void pstk_parse_skip(pstk_parser *parser, size_t count);

/* ---- runs of plain messages: the hottest path of the product ------------------------------------
 * Packed or JSON, one f64 sample of a tag that is known: what such a message becomes is what begin
 * and step make of it, without their cost. Whatever is not so ends the run and goes that way. */

#define PSTK_PLAIN_BATCH 32u /* messages looked up together, so that their cache misses overlap */
#define PSTK_PLAIN_BYTES_MAX                                                                       \
    (PSTK_PACKED_HEADER_BYTES + 2 + (PSTK_NAME_BYTES - 1) + PSTK_PACKED_SAMPLE_BYTES)

typedef struct pstk_plain {
    uint64_t head, head_mask; /* stream and boot as bytes 8..15 hold them; what of them counts */
    uint64_t seq;             /* of the next message */
    uint64_t step;            /* 1, or 0 where messages are not numbered: seq is UINT64_MAX then */
    int64_t future_after_ns;
    uint32_t frame_bytes_max; /* at least PSTK_PLAIN_BYTES_MAX */
    uint16_t source;
} pstk_plain;

/* Makes samples of the first payloads of in; count is at most PSTK_PLAIN_BATCH. Returns how many,
 * and moves plain->seq on by them. */
size_t pstk_parse_plain(pstk_parser *parser, pstk_format format, pstk_plain *plain,
                        const pstk_frame *in, size_t count, pstk_sample *out);

/* One message of JSON, where it follows plain->seq, holds one sample and that can be used: it
 * stands in *out, and tags or codes it names first are new in the table, as after begin and step.
 * False: it has to go that way. */
bool pstk_parse_one(pstk_parser *parser, pstk_format format, const pstk_plain *plain,
                    const uint8_t *subject, size_t subject_bytes, const uint8_t *payload,
                    size_t payload_bytes, pstk_sample *out);

/* ---- packed v1: little-endian; specified for gateway programmers in native/README.md ----------
 *   0  "PSK1"      4  u16 count     6  u8 name_count
 *   7  u8 type (where name_count = 0: of the subject's tag)
 *   8  u32 stream  12 u32 boot      16 u64 seq          24 i64 time0_ns
 *   32 names: name_count x { u8 type, u8 bytes, name }
 *   ..  samples: count x { 8 value, u32 dt_ns, u16 name, u16 quality }
 *       (time = time0 + dt; name indexes the names)
 * The payload ends exactly behind the last sample. type: 1 f64, 2 i64, 3 bool.
 * A message with seq = UINT64_MAX is not numbered. */

#endif
