/* tags: names become ids, texts become codes. Open addressing; nothing is ever removed. */
#include "parse_private.h"

#include <stdlib.h>

#define TAGS_MAX (1u << 24)
#define CODES_MAX 4096u
#define NAME_BYTES_MAX (PSTK_NAME_BYTES - 1)
#define PLACES_A_LINE 4u
#define PLACES_MAX 8u /* of the longest name, with what is left out before it */
_Static_assert(1 + NAME_BYTES_MAX / sizeof(pstk_tag) + 1 <= PLACES_MAX, "places of a tag");

static uint32_t power_of_two_from(uint64_t count) {
    uint32_t size = 16;
    while (size < count)
        size *= 2;
    return size;
}

static bool reserve(pstk_tags *tags) {
    uint32_t slots = power_of_two_from(2 * (uint64_t)tags->max);
    uint32_t code_slots = power_of_two_from(2 * (uint64_t)tags->code_total_max);
    size_t codes = PSTK_MAX(tags->code_total_max, 1u);
    tags->slot_mask = slots - 1;
    tags->code_mask = code_slots - 1;
    /* calloc: pages are touched when the first name comes that needs them. */
    tags->pool_memory = calloc((size_t)tags->max * PLACES_MAX + PLACES_A_LINE, sizeof *tags->pool);
    tags->pool = (void *)(((uintptr_t)tags->pool_memory + 63) & ~(uintptr_t)63);
    tags->place = calloc(tags->max, sizeof *tags->place);
    tags->kind = calloc(tags->max, sizeof *tags->kind);
    tags->slot = calloc(slots, sizeof *tags->slot);
    tags->code = calloc(codes, sizeof *tags->code);
    tags->code_by_text = calloc(code_slots, sizeof *tags->code_by_text);
    tags->code_by_number = calloc(code_slots, sizeof *tags->code_by_number);
    tags->new_code = calloc(codes, sizeof *tags->new_code);
    return tags->pool_memory && tags->place && tags->kind && tags->slot && tags->code &&
           tags->code_by_text && tags->code_by_number && tags->new_code;
}

int pstk_tags_open(uint32_t tags_max, uint32_t codes_max, pstk_tags **out_tags, pstk_error *err) {
    *out_tags = NULL;
    if (tags_max == 0 || tags_max > TAGS_MAX)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "tags_max is %u; 1 to %u are possible", tags_max,
                         TAGS_MAX);
    if (codes_max > CODES_MAX)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "codes_max is %u; 0 to %u are possible",
                         codes_max, CODES_MAX);
    pstk_tags *tags = calloc(1, sizeof *tags);
    if (!tags)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for the tag table");
    uint64_t texts = (uint64_t)tags_max * codes_max;
    tags->max = tags_max;
    tags->codes_max = codes_max;
    tags->code_total_max = (uint32_t)PSTK_MIN(texts, (uint64_t)PSTK_CODES_TOTAL_MAX);
    if (!reserve(tags)) {
        pstk_tags_close(tags);
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for %u tags; tags_max may be lowered",
                         tags_max);
    }
    *out_tags = tags;
    return PSTK_OK;
}

void pstk_tags_close(pstk_tags *tags) {
    if (!tags)
        return;
    free(tags->pool_memory);
    free(tags->place);
    free(tags->kind);
    free(tags->slot);
    free(tags->code);
    free(tags->code_by_text);
    free(tags->code_by_number);
    free(tags->new_code);
    free(tags);
}

uint32_t pstk_tags_count(const pstk_tags *tags) {
    return __atomic_load_n(&tags->count, __ATOMIC_ACQUIRE);
}

const pstk_tag *pstk_tags_get(const pstk_tags *tags, uint32_t tag_id) {
    return tag_id < pstk_tags_count(tags) ? pstk_tag_of(tags, tag_id) : NULL;
}

const uint32_t *pstk_tags_kinds(const pstk_tags *tags) { return tags->kind; }

/* The tag, or NULL with the slot where it would stand. */
static const pstk_tag *probe(const pstk_tags *tags, pstk_slice name, uint32_t *out_hash,
                             uint32_t *out_slot) {
    uint64_t wide = pstk_hash_name(name);
    uint32_t hash = (uint32_t)(wide >> 32);
    uint32_t at = (uint32_t)wide & tags->slot_mask;
    for (;; at = (at + 1) & tags->slot_mask) {
        const pstk_tag_slot *slot = &tags->slot[at];
        if (slot->place_plus == 0)
            break;
        const pstk_tag *tag = &tags->pool[slot->place_plus - 1];
        if (slot->hash == hash && pstk_tag_is_named(tag, name))
            return tag;
    }
    *out_hash = hash;
    *out_slot = at;
    return NULL;
}

static const pstk_tag *find(const pstk_tags *tags, pstk_slice name) {
    uint32_t hash, slot;
    if (name.size == 0 || name.size > NAME_BYTES_MAX)
        return NULL;
    return probe(tags, name, &hash, &slot);
}

uint32_t pstk_tags_find(const pstk_tags *tags, const uint8_t *name, size_t name_bytes) {
    const pstk_tag *tag = find(tags, (pstk_slice){name, name_bytes});
    return tag ? tag->id : PSTK_TAG_NONE;
}

static void predict(pstk_tags *tags, uint32_t hint, const pstk_tag *next) {
    if (hint < tags->count)
        pstk_tag_of(tags, hint)->next = (uint32_t)(next - tags->pool);
}

const pstk_tag *pstk_tags_find_next(pstk_tags *tags, pstk_slice name, uint32_t hint) {
    const pstk_tag *tag = find(tags, name);
    if (tag)
        predict(tags, hint, tag);
    return tag;
}

/* Printable UTF-8: no C0, DEL or C1, so that a name cannot forge a line in a log or a terminal. */
static bool is_text(pstk_slice text) {
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.bytes[i];
        if (byte < 0x20 || byte == 0x7F)
            return false;
        if (byte == 0xC2 && i + 1 < text.size && text.bytes[i + 1] < 0xA0)
            return false;
    }
    return pstk_is_utf8(text.bytes, text.size);
}

/* The next place where one of so many fits; what would cross a line's border without need begins
 * behind it. The zero behind the name is calloc's. */
static uint32_t take_places(pstk_tags *tags, size_t name_bytes) {
    uint32_t count = 1 + (uint32_t)(name_bytes / sizeof(pstk_tag)) + 1;
    uint32_t left = PLACES_A_LINE - tags->pool_used % PLACES_A_LINE;
    if (left < PSTK_MIN(count, PLACES_A_LINE))
        tags->pool_used += left;
    uint32_t place = tags->pool_used;
    tags->pool_used += count;
    return place;
}

static const pstk_tag *make_tag(pstk_tags *tags, const pstk_tag_query *query, uint32_t hash,
                                uint32_t slot) {
    uint32_t id = tags->count, place = take_places(tags, query->name.size);
    pstk_tag *tag = &tags->pool[place];
    *tag = (pstk_tag){.name_bytes = (uint16_t)query->name.size,
                      .source = query->source,
                      .type = query->type,
                      .id = id,
                      .next = PSTK_TAG_NONE};
    memcpy(tag->name, query->name.bytes, query->name.size);
    tags->place[id] = place;
    tags->kind[id] = PSTK_TAG_KIND(query->source, query->type);
    tags->slot[slot] = (pstk_tag_slot){.hash = hash, .place_plus = place + 1};
    /* Pairs with the acquire in pstk_tags_count: who asks for a name from another thread finds it
     * whole. */
    __atomic_store_n(&tags->count, id + 1, __ATOMIC_RELEASE);
    return tag;
}

static const pstk_tag *find_or_make(pstk_tags *tags, const pstk_tag_query *query,
                                    pstk_drop *out_reason) {
    uint32_t hash, slot;
    *out_reason = PSTK_DROP_TAG_NAME;
    if (query->name.size == 0 || query->name.size > NAME_BYTES_MAX)
        return NULL;
    const pstk_tag *tag = probe(tags, query->name, &hash, &slot);
    if (PSTK_LIKELY(tag != NULL) || !is_text(query->name))
        return tag;
    *out_reason = PSTK_DROP_TYPE;
    if (query->type == PSTK_TYPE_NONE || query->type > PSTK_TYPE_CODE)
        return NULL;
    *out_reason = PSTK_DROP_TAG_LIMIT;
    return tags->count < tags->max ? make_tag(tags, query, hash, slot) : NULL;
}

uint32_t pstk_tags_search(pstk_tags *tags, const pstk_tag_query *query, uint32_t hint,
                          pstk_drop *out_reason) {
    const pstk_tag *tag = find_or_make(tags, query, out_reason);
    if (!tag)
        return PSTK_TAG_NONE;
    predict(tags, hint, tag);
    if (PSTK_LIKELY(tag->source == query->source && (query->accepts & PSTK_BIT(tag->type))))
        return tag->id;
    *out_reason = tag->source != query->source ? PSTK_DROP_SOURCE : PSTK_DROP_TYPE;
    return PSTK_TAG_NONE;
}

static uint8_t accepted_by(uint8_t type) {
    if (type == PSTK_TYPE_NONE)
        return UINT8_MAX;
    if (type > PSTK_TYPE_CODE)
        return 0;
    uint8_t accepted = PSTK_BIT(type);
    if (type == PSTK_TYPE_I64)
        accepted |= PSTK_BIT(PSTK_TYPE_F64);
    return accepted;
}

uint32_t pstk_tags_resolve(pstk_tags *tags, const uint8_t *name, size_t name_bytes, uint16_t source,
                           uint8_t type, uint32_t hint, pstk_drop *out_reason) {
    pstk_tag_query query = {{name, name_bytes}, source, type, accepted_by(type)};
    return pstk_tags_take(tags, query, hint, out_reason);
}

bool pstk_tags_restore(pstk_tags *tags, uint32_t tag_id, const char *name, size_t name_bytes,
                       uint16_t source, uint8_t type) {
    pstk_drop reason;
    pstk_tag_query query = {{(const uint8_t *)name, name_bytes}, source, type, PSTK_BIT(type & 7)};
    uint32_t known = pstk_tags_find(tags, query.name.bytes, name_bytes);
    if (known == PSTK_TAG_NONE && tag_id != tags->count)
        return false;
    return pstk_tags_take(tags, query, PSTK_TAG_NONE, &reason) == tag_id && type <= PSTK_TYPE_CODE;
}

/* ---- codes ---------------------------------------------------------------------------------- */

/* Where the text's index stands in code_by_text, or the empty place for it. */
static uint32_t *text_place(const pstk_tags *tags, uint32_t tag_id, pstk_slice text) {
    uint64_t hash = pstk_hash_bytes(text.bytes, text.size) + tag_id * UINT64_C(0x9E3779B97F4A7C15);
    for (uint32_t at = (uint32_t)(hash >> 20) & tags->code_mask;; at = (at + 1) & tags->code_mask) {
        uint32_t *place = &tags->code_by_text[at];
        if (*place == 0)
            return place;
        const pstk_code_entry *entry = &tags->code[*place - 1];
        if (entry->tag_id == tag_id && entry->text_bytes == text.size &&
            pstk_is_same(entry->text, text.bytes, text.size))
            return place;
    }
}

/* The same in code_by_number; from any thread, so *out_index is what was read there. */
static uint32_t *number_place(const pstk_tags *tags, uint32_t tag_id, uint32_t code,
                              uint32_t *out_index) {
    uint64_t key = (uint64_t)tag_id << 32 | code;
    uint64_t hash = pstk_hash_bytes(&key, sizeof key);
    for (uint32_t at = (uint32_t)hash & tags->code_mask;; at = (at + 1) & tags->code_mask) {
        uint32_t *place = &tags->code_by_number[at];
        uint32_t index = *out_index = __atomic_load_n(place, __ATOMIC_ACQUIRE);
        if (index == 0 ||
            (tags->code[index - 1].tag_id == tag_id && tags->code[index - 1].code == code))
            return place;
    }
}

static bool make_code(pstk_tags *tags, uint32_t tag_id, pstk_slice text, uint32_t *place) {
    pstk_tag *tag = pstk_tag_of(tags, tag_id);
    if (tag->code_count >= tags->codes_max || tags->code_count >= tags->code_total_max)
        return false;
    uint32_t index = tags->code_count++;
    pstk_code_entry *entry = &tags->code[index];
    entry->tag_id = tag_id;
    entry->code = tag->code_count++;
    entry->text_bytes = (uint32_t)text.size;
    memcpy(entry->text, text.bytes, text.size);
    *place = index + 1;
    uint32_t none;
    __atomic_store_n(number_place(tags, tag_id, entry->code, &none), index + 1, __ATOMIC_RELEASE);
    return true;
}

static bool is_code_text(const pstk_tags *tags, uint32_t tag_id, pstk_slice text) {
    return tag_id < tags->count && (uint8_t)tags->kind[tag_id] == PSTK_TYPE_CODE && text.size > 0 &&
           text.size < PSTK_CODE_TEXT_BYTES;
}

bool pstk_tags_code(pstk_tags *tags, uint32_t tag_id, const uint8_t *text, size_t text_bytes,
                    int64_t *out_code) {
    pstk_slice slice = {text, text_bytes};
    if (!is_code_text(tags, tag_id, slice))
        return false;
    uint32_t *place = text_place(tags, tag_id, slice);
    if (*place == 0) {
        if (!is_text(slice) || !make_code(tags, tag_id, slice, place))
            return false;
        /* Each code is born once, so this list cannot outgrow the codes. */
        tags->new_code[tags->new_code_count++] =
            (pstk_code_ref){tag_id, tags->code[*place - 1].code};
    }
    *out_code = tags->code[*place - 1].code;
    return true;
}

const char *pstk_tags_code_text(const pstk_tags *tags, uint32_t tag_id, int64_t code) {
    if (code < 0 || code > UINT32_MAX)
        return NULL;
    uint32_t index;
    number_place(tags, tag_id, (uint32_t)code, &index);
    return index ? tags->code[index - 1].text : NULL;
}

size_t pstk_tags_new_codes(const pstk_tags *tags, const pstk_code_ref **out_codes) {
    *out_codes = tags->new_code;
    return tags->new_code_count;
}

void pstk_tags_clear_new_codes(pstk_tags *tags) { tags->new_code_count = 0; }

bool pstk_tags_restore_code(pstk_tags *tags, uint32_t tag_id, uint32_t code, const char *text,
                            size_t text_bytes) {
    pstk_slice slice = {(const uint8_t *)text, text_bytes};
    if (!is_code_text(tags, tag_id, slice) || !is_text(slice))
        return false;
    uint32_t *place = text_place(tags, tag_id, slice);
    if (*place != 0)
        return tags->code[*place - 1].code == code;
    return code == pstk_tag_of(tags, tag_id)->code_count && make_code(tags, tag_id, slice, place);
}
