/* parser: one message at a time, whatever its format. */
#include "parse_private.h"

#include <locale.h>
#include <stdlib.h>

#define ITEM_TEXT_BYTES 5u /* the shortest sample in JSON is `"":1,` */

static int reserve(pstk_parser *parser, pstk_error *err) {
    pstk_json *json = &parser->json;
    /* Touched only as far as documents reach; a nested object takes more text than a sample. */
    json->item_max = json->node_max = parser->frame_bytes_max / ITEM_TEXT_BYTES + 2;
    json->text_max = parser->frame_bytes_max + 1; /* + 1: the zero behind a number for strtod */
    json->item = calloc(json->item_max, sizeof *json->item);
    json->node = calloc(json->node_max, sizeof *json->node);
    json->text = calloc(json->text_max, 1);
    if (!json->item || !json->node || !json->text)
        return pstk_fail(err, PSTK_E_MEMORY, 0,
                         "no memory to parse messages of %u bytes; frame_bytes_max may be lowered",
                         parser->frame_bytes_max);
    json->locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return json->locale ? PSTK_OK : pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for the C locale");
}

int pstk_parser_open(pstk_tags *tags, uint32_t frame_bytes_max, pstk_parser **out_parser,
                     pstk_error *err) {
    *out_parser = NULL;
    if (frame_bytes_max == 0 || frame_bytes_max > PSTK_PARSER_FRAME_MAX)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "frame_bytes_max is %u; 1 to %u are possible",
                         frame_bytes_max, PSTK_PARSER_FRAME_MAX);
    pstk_parser *parser = calloc(1, sizeof *parser);
    if (!parser)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for the parser");
    parser->tags = tags;
    parser->frame_bytes_max = frame_bytes_max;
    memset(parser->last, 0xFF, sizeof parser->last); /* PSTK_TAG_NONE */
    int status = reserve(parser, err);
    if (status != PSTK_OK) {
        pstk_parser_close(parser);
        return status;
    }
    *out_parser = parser;
    return PSTK_OK;
}

void pstk_parser_close(pstk_parser *parser) {
    if (!parser)
        return;
    if (parser->json.locale)
        freelocale((locale_t)parser->json.locale);
    free(parser->json.item);
    free(parser->json.node);
    free(parser->json.text);
    free(parser);
}

bool pstk_parse_begin(pstk_parser *parser, pstk_format format, uint16_t source,
                      const uint8_t *subject, size_t subject_bytes, const uint8_t *payload,
                      size_t payload_bytes, pstk_message *out_message, pstk_drop *out_reason) {
    pstk_slice slice = {payload, payload_bytes};
    *out_message = (pstk_message){.samples = 1};
    *out_reason = PSTK_DROP_MALFORMED;
    parser->count = parser->next = 0;
    parser->source = source;
    parser->format = (uint8_t)format;
    parser->subject = (pstk_slice){subject, subject_bytes};
    if (PSTK_UNLIKELY(payload_bytes > parser->frame_bytes_max)) {
        *out_reason = PSTK_DROP_OVERSIZE;
        if (format == PSTK_FORMAT_PACKED && pstk_packed_begin(parser, slice, out_message))
            parser->count = 0; /* only its header was wanted: the sequence stays accountable */
        return false;
    }
    if (PSTK_LIKELY(format == PSTK_FORMAT_PACKED))
        return pstk_packed_begin(parser, slice, out_message);
    return format == PSTK_FORMAT_JSON && pstk_json_begin(parser, slice, out_message);
}

void pstk_parse_step(pstk_parser *parser, pstk_sample *out_samples, size_t capacity,
                     int64_t future_after_ns, uint64_t dropped[PSTK_DROP_COUNT],
                     pstk_step *out_step) {
    if (PSTK_LIKELY(parser->format == PSTK_FORMAT_PACKED))
        pstk_packed_step(parser, out_samples, capacity, future_after_ns, dropped, out_step);
    else
        pstk_json_step(parser, out_samples, capacity, future_after_ns, dropped, out_step);
}

void pstk_parse_skip(pstk_parser *parser, size_t count) {
    size_t left = parser->count - parser->next;
    parser->next += (uint32_t)PSTK_MIN(left, count);
}

size_t pstk_parse_plain(pstk_parser *parser, pstk_format format, pstk_plain *plain,
                        const pstk_frame *in, size_t count, pstk_sample *out) {
    size_t made = PSTK_LIKELY(format == PSTK_FORMAT_PACKED)
                      ? pstk_packed_plain(parser, plain, in, count, out)
                      : pstk_json_plain(parser, plain, in, count, out);
    plain->seq += made * plain->step;
    return made;
}

bool pstk_parse_one(pstk_parser *parser, pstk_format format, const pstk_plain *plain,
                    const uint8_t *subject, size_t subject_bytes, const uint8_t *payload,
                    size_t payload_bytes, pstk_sample *out) {
    pstk_message message;
    pstk_drop reason;
    if (format != PSTK_FORMAT_JSON ||
        !pstk_parse_begin(parser, format, plain->source, subject, subject_bytes, payload,
                          payload_bytes, &message, &reason) ||
        message.samples != 1 || message.is_numbered != plain->step)
        return false;
    uint64_t head = (uint64_t)message.boot << 32 | message.stream;
    if (message.is_numbered && (message.seq != plain->seq || head != plain->head))
        return false;
    return pstk_json_one(parser, plain->future_after_ns, out);
}
