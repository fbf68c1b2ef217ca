/* names: what an image says of tags. Owner  the engine; bytes are only ever appended, so that a
 * snapshot is a length. Layout  tag by tag from 0 on: u16 source, u8 type, u8 bytes, the name; no
 * padding, for there may be millions. Bound  tags_max names of the longest. */
#include "engine.h"

#define HEAD_BYTES 4u

uint64_t pstk_engine_tag_image_bytes_max(uint32_t tags_max) {
    return (uint64_t)tags_max * (HEAD_BYTES + PSTK_NAME_BYTES - 1);
}

void pstk_engine_keep_tag(pstk_engine *engine, const pstk_tag_record *tag) {
    uint8_t *at = engine->tag_image + engine->tag_image_bytes;
    size_t bytes = PSTK_MIN(tag->name_bytes, PSTK_NAME_BYTES - 1);
    pstk_store_u16(at, tag->source);
    at[2] = tag->type;
    at[3] = (uint8_t)bytes;
    memcpy(at + HEAD_BYTES, tag->name, bytes);
    engine->tag_image_bytes += HEAD_BYTES + bytes;
    engine->tag_image_count++;
}

uint64_t pstk_engine_read_tag(const uint8_t *at, uint64_t bytes, pstk_tag_record *out) {
    if (bytes < HEAD_BYTES || at[3] >= PSTK_NAME_BYTES || bytes - HEAD_BYTES < at[3])
        return 0;
    *out = (pstk_tag_record){.source = pstk_load_u16(at), .type = at[2], .name_bytes = at[3]};
    memcpy(out->name, at + HEAD_BYTES, at[3]);
    return HEAD_BYTES + (uint64_t)at[3];
}

/* Version 1 of the section: the records of the journal, one behind the other. */
static uint64_t read_first_version(const uint8_t *at, uint64_t bytes, pstk_tag_record *out) {
    if (bytes < sizeof *out)
        return 0;
    memcpy(out, at, sizeof *out);
    return out->name_bytes < PSTK_NAME_BYTES ? sizeof *out : 0;
}

typedef uint64_t read_fn(const uint8_t *at, uint64_t bytes, pstk_tag_record *out);

static uint64_t count_tags(read_fn *read, const uint8_t *from, uint64_t bytes) {
    pstk_tag_record tag;
    uint64_t count = 0;
    for (uint64_t at = 0, took; (took = read(from + at, bytes - at, &tag)) != 0; at += took)
        count++;
    return count;
}

int pstk_engine_restore_tags(pstk_engine *engine, const pstk_section *section, bool is_older,
                             pstk_error *err) {
    const uint8_t *from = section ? section->bytes : NULL;
    uint64_t bytes = section ? section->size : 0;
    bool is_first = is_older && section && section->version == 1;
    read_fn *read = is_first ? read_first_version : pstk_engine_read_tag;
    if (section && section->version != PSTK_TAGS_SECTION && !is_first)
        return pstk_fail(err, PSTK_E_STATE, 0, "image: tags have version %u, this build reads %u",
                         section->version, PSTK_TAGS_SECTION);
    uint64_t count = bytes ? count_tags(read, from, bytes) : 0;
    if (count > engine->options.tags_max)
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "the state directory holds %llu tags, more than engine.tags_max; raise it",
                         (unsigned long long)count);
    for (uint64_t at = 0, took; at < bytes; at += took) {
        pstk_tag_record tag;
        took = read(from + at, bytes - at, &tag);
        tag.tag_id = engine->tag_image_count;
        if (!took || !pstk_tags_restore(engine->tags, tag.tag_id, tag.name, tag.name_bytes,
                                        tag.source, tag.type))
            return pstk_fail(err, PSTK_E_STATE, 0, "tag %u of the checkpoint contradicts another",
                             tag.tag_id);
        pstk_engine_keep_tag(engine, &tag);
    }
    engine->journaled_tags = engine->tag_image_count;
    return PSTK_OK;
}
