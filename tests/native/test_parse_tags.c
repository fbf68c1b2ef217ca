/* Tags: ids stand in order of birth, a tag has one type and one source for life, every table is
 * bounded, and what was restored is what was there. */
#include "check.h"
#include "parse/parse.h"

#define BYTES(text) ((const uint8_t *)(text)), (sizeof(text) - 1)

static pstk_tags *open_tags(uint32_t tags_max, uint32_t codes_max) {
    pstk_tags *tags;
    REQUIRE(pstk_tags_open(tags_max, codes_max, &tags, NULL) == PSTK_OK);
    return tags;
}

static uint32_t resolve(pstk_tags *tags, const char *name, uint16_t source, uint8_t type,
                        pstk_drop *out_reason) {
    *out_reason = PSTK_DROP_COUNT;
    return pstk_tags_resolve(tags, (const uint8_t *)name, strlen(name), source, type, PSTK_TAG_NONE,
                             out_reason);
}

static void test_bounds_are_refused_at_open(void) {
    pstk_tags *tags;
    pstk_error err;
    CHECK(pstk_tags_open(0, 16, &tags, &err) == PSTK_E_ARGUMENT && tags == NULL);
    CHECK(strstr(err.text, "tags_max") != NULL);
    CHECK(pstk_tags_open(UINT32_MAX, 16, &tags, &err) == PSTK_E_ARGUMENT);
    CHECK(pstk_tags_open(8, 5000, &tags, &err) == PSTK_E_ARGUMENT);
    CHECK(strstr(err.text, "codes_max") != NULL);
    pstk_tags_close(NULL);
}

static void test_names_become_ids_in_order_and_stay(void) {
    enum { COUNT = 20000 };
    pstk_tags *tags = open_tags(COUNT, 0);
    pstk_drop reason;
    char name[32];
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "line%u.m%u.good", i % 7, i);
        CHECK(resolve(tags, name, 1, PSTK_TYPE_F64, &reason) == i);
    }
    CHECK(pstk_tags_count(tags) == COUNT);
    for (uint32_t i = COUNT; i-- > 0;) {
        snprintf(name, sizeof name, "line%u.m%u.good", i % 7, i);
        CHECK(pstk_tags_find(tags, (const uint8_t *)name, strlen(name)) == i);
        CHECK(strcmp(pstk_tags_get(tags, i)->name, name) == 0);
    }
    CHECK(resolve(tags, "one.more", 1, PSTK_TYPE_F64, &reason) == PSTK_TAG_NONE);
    CHECK(reason == PSTK_DROP_TAG_LIMIT);
    CHECK(resolve(tags, "line0.m0.good", 1, PSTK_TYPE_F64, &reason) ==
          0); /* known ones still are */
    CHECK(pstk_tags_find(tags, BYTES("one.more")) == PSTK_TAG_NONE);
    CHECK(pstk_tags_get(tags, COUNT) == NULL && pstk_tags_get(tags, PSTK_TAG_NONE) == NULL);
    pstk_tags_close(tags);
}

/* Names lie one behind the other: of every length, where they fit a cache line in one, and the
 * longest of them in a table that is full. */
static void test_names_of_every_length_lie_in_few_lines(void) {
    enum { COUNT = 6000 };
    pstk_drop reason;
    char name[PSTK_NAME_BYTES];
    for (int is_longest = 0; is_longest < 2; is_longest++) {
        pstk_tags *tags = open_tags(COUNT, 0);
        const pstk_tag *first = NULL, *last = NULL;
        for (uint32_t i = 0; i < COUNT; i++) {
            int size = is_longest ? (int)PSTK_NAME_BYTES - 1 : 5 + (int)(i * 7919 % 91);
            snprintf(name, sizeof name, "%0*u", size, i);
            CHECK(resolve(tags, name, 1, PSTK_TYPE_F64, &reason) == i);
            last = pstk_tags_get(tags, i);
            first = first ? first : last;
            CHECK(last->id == i && strcmp(last->name, name) == 0);
            uintptr_t begin = (uintptr_t)last, end = begin + sizeof *last + strlen(name);
            CHECK(begin % 16 == 0 && (end - begin >= 64 || begin / 64 == end / 64));
        }
        size_t bytes = (size_t)((const char *)last - (const char *)first);
        CHECK(bytes <= (size_t)COUNT * (is_longest ? 128 : 104));
        for (uint32_t i = 0; i < COUNT; i++) {
            const pstk_tag *tag = pstk_tags_get(tags, i);
            CHECK(tag->id == i && tag->name[tag->name_bytes] == 0);
            CHECK(pstk_tags_find(tags, (const uint8_t *)tag->name, tag->name_bytes) == i);
        }
        pstk_tags_close(tags);
    }
}

static void name_is_refused(pstk_tags *tags, const void *name, size_t size) {
    pstk_drop reason = PSTK_DROP_COUNT;
    uint8_t *exact = malloc(size ? size : 1);
    REQUIRE(exact != NULL);
    memcpy(exact, name, size);
    CHECK(pstk_tags_resolve(tags, exact, size, 0, PSTK_TYPE_F64, 0, &reason) == PSTK_TAG_NONE);
    CHECK(reason == PSTK_DROP_TAG_NAME);
    CHECK(pstk_tags_find(tags, exact, size) == PSTK_TAG_NONE);
    free(exact);
}

static void test_bad_names_are_refused(void) {
    pstk_tags *tags = open_tags(8, 0);
    pstk_drop reason;
    char longest[97];
    static uint8_t huge[10 << 20];
    memset(longest, 'x', sizeof longest);
    longest[95] = 0;
    CHECK(resolve(tags, longest, 0, PSTK_TYPE_F64, &reason) == 0);
    longest[95] = 'x';
    name_is_refused(tags, longest, 96);
    memset(huge, 'y', sizeof huge);
    name_is_refused(tags, huge, sizeof huge);
    name_is_refused(tags, "", 0);
    name_is_refused(tags, "a\0b", 3);
    name_is_refused(tags, "a\nb", 3);
    name_is_refused(tags, "a\x7f", 2);
    name_is_refused(tags, "a\xc2\x85", 3); /* U+0085, a C1 control */
    name_is_refused(tags, "\xff", 1);
    name_is_refused(tags, "a\xc3", 2);
    name_is_refused(tags, "\xed\xa0\x80", 3); /* a surrogate */
    CHECK(resolve(tags, "K\xc3\xbchlung.\xe6\xb8\xa9\xe5\xba\xa6 \xf0\x9f\x8f\xad\xc2\xa0", 0,
                  PSTK_TYPE_F64, &reason) == 1);
    CHECK(pstk_tags_count(tags) == 2);
    pstk_tags_close(tags);
}

static void test_type_and_source_hold_for_life(void) {
    pstk_tags *tags = open_tags(8, 4);
    pstk_drop reason;
    uint32_t real = resolve(tags, "real", 3, PSTK_TYPE_F64, &reason);
    uint32_t whole = resolve(tags, "whole", 3, PSTK_TYPE_I64, &reason);
    CHECK(resolve(tags, "real", 3, PSTK_TYPE_I64, &reason) ==
          real); /* an integer fits an f64 tag */
    CHECK(pstk_tags_get(tags, real)->type == PSTK_TYPE_F64);
    CHECK(resolve(tags, "whole", 3, PSTK_TYPE_F64, &reason) == PSTK_TAG_NONE);
    CHECK(reason == PSTK_DROP_TYPE);
    CHECK(resolve(tags, "whole", 3, PSTK_TYPE_BOOL, &reason) == PSTK_TAG_NONE);
    CHECK(reason == PSTK_DROP_TYPE);
    CHECK(resolve(tags, "real", 3, PSTK_TYPE_CODE, &reason) == PSTK_TAG_NONE);
    CHECK(reason == PSTK_DROP_TYPE);
    CHECK(resolve(tags, "whole", 3, PSTK_TYPE_NONE, &reason) == whole); /* not asked */
    CHECK(resolve(tags, "whole", 4, PSTK_TYPE_I64, &reason) == PSTK_TAG_NONE);
    CHECK(reason == PSTK_DROP_SOURCE);
    CHECK(resolve(tags, "new", 3, PSTK_TYPE_NONE, &reason) == PSTK_TAG_NONE); /* made of no type */
    CHECK(reason == PSTK_DROP_TYPE);
    CHECK(resolve(tags, "new", 3, 200, &reason) == PSTK_TAG_NONE && reason == PSTK_DROP_TYPE);
    CHECK(pstk_tags_count(tags) == 2);
    pstk_tags_close(tags);
}

/* The tag predicted to follow this one: the first tag lies at place 0. */
static uint32_t next_of(const pstk_tags *tags, uint32_t tag_id) {
    return (pstk_tags_get(tags, 0) + pstk_tags_get(tags, tag_id)->next)->id;
}

static void test_successor_is_learnt_and_never_trusted(void) {
    pstk_tags *tags = open_tags(8, 0);
    pstk_drop reason;
    uint32_t hint = PSTK_TAG_NONE;
    static const char *const names[] = {"a.long.name.1", "a.long.name.2", "a", "b"};
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < 4; i++) {
            hint = pstk_tags_resolve(tags, (const uint8_t *)names[i], strlen(names[i]), 0,
                                     PSTK_TYPE_F64, hint, &reason);
            CHECK(hint == i);
        }
    CHECK(next_of(tags, 0) == 1 && next_of(tags, 3) == 0);
    /* Another order: the prediction is wrong, the answer is not. */
    CHECK(pstk_tags_resolve(tags, BYTES("b"), 0, PSTK_TYPE_F64, 0, &reason) == 3);
    CHECK(next_of(tags, 0) == 3);
    /* A predicted tag is still checked for its source and type. */
    CHECK(pstk_tags_resolve(tags, BYTES("b"), 9, PSTK_TYPE_F64, 0, &reason) == PSTK_TAG_NONE);
    CHECK(reason == PSTK_DROP_SOURCE);
    CHECK(pstk_tags_resolve(tags, BYTES("b"), 0, PSTK_TYPE_BOOL, 0, &reason) == PSTK_TAG_NONE);
    CHECK(reason == PSTK_DROP_TYPE);
    CHECK(pstk_tags_resolve(tags, BYTES("a"), 0, PSTK_TYPE_F64, 77, &reason) ==
          2); /* no such hint */
    pstk_tags_close(tags);
}

static void test_texts_become_codes_bounded_per_tag(void) {
    pstk_tags *tags = open_tags(4, 3);
    const pstk_code_ref *fresh;
    pstk_drop reason;
    int64_t code;
    uint32_t state = resolve(tags, "state", 0, PSTK_TYPE_CODE, &reason);
    uint32_t lot = resolve(tags, "lot", 0, PSTK_TYPE_CODE, &reason);
    uint32_t flow = resolve(tags, "flow", 0, PSTK_TYPE_F64, &reason);
    CHECK(pstk_tags_code(tags, state, BYTES("RUN"), &code) && code == 0);
    CHECK(pstk_tags_code(tags, lot, BYTES("RUN"), &code) && code == 0);
    CHECK(pstk_tags_code(tags, state, BYTES("STOP"), &code) && code == 1);
    CHECK(pstk_tags_code(tags, state, BYTES("RUN"), &code) && code == 0);
    CHECK(pstk_tags_code(tags, state, BYTES("1234567890123456789012345678901"), &code) &&
          code == 2);
    CHECK(!pstk_tags_code(tags, state, BYTES("IDLE"), &code)); /* codes_max */
    CHECK(!pstk_tags_code(tags, lot, BYTES("12345678901234567890123456789012"), &code));
    CHECK(!pstk_tags_code(tags, lot, BYTES(""), &code));
    CHECK(!pstk_tags_code(tags, lot, BYTES("a\0b"), &code));
    CHECK(!pstk_tags_code(tags, lot, BYTES("\xff"), &code));
    CHECK(!pstk_tags_code(tags, flow, BYTES("RUN"), &code)); /* no code tag */
    CHECK(!pstk_tags_code(tags, 77, BYTES("RUN"), &code));
    CHECK(pstk_tags_new_codes(tags, &fresh) == 4);
    CHECK(fresh[1].tag_id == lot && fresh[1].code == 0 && fresh[3].tag_id == state &&
          fresh[3].code == 2);
    pstk_tags_clear_new_codes(tags);
    CHECK(pstk_tags_new_codes(tags, &fresh) == 0);
    CHECK(strcmp(pstk_tags_code_text(tags, state, 1), "STOP") == 0);
    CHECK(strlen(pstk_tags_code_text(tags, state, 2)) == 31);
    CHECK(pstk_tags_code_text(tags, state, 3) == NULL &&
          pstk_tags_code_text(tags, state, -1) == NULL);
    CHECK(pstk_tags_code_text(tags, flow, 0) == NULL);
    CHECK(pstk_tags_code_text(tags, state, INT64_C(1) << 32) == NULL);
    CHECK(pstk_tags_get(tags, state)->code_count == 3 && pstk_tags_get(tags, lot)->code_count == 1);
    pstk_tags_close(tags);
}

static void test_texts_of_all_tags_are_bounded_together(void) {
    pstk_tags *tags = open_tags(64, 4096);
    pstk_drop reason;
    int64_t code;
    char text[32];
    uint32_t made = 0;
    for (uint32_t tag = 0; tag < 32; tag++) {
        snprintf(text, sizeof text, "t%u", tag);
        uint32_t id = resolve(tags, text, 0, PSTK_TYPE_CODE, &reason);
        for (uint32_t i = 0; i < 4096; i++) {
            int size = snprintf(text, sizeof text, "text-%u", i);
            made += pstk_tags_code(tags, id, (const uint8_t *)text, (size_t)size, &code);
        }
    }
    CHECK(made == PSTK_CODES_TOTAL_MAX);
    CHECK(strcmp(pstk_tags_code_text(tags, 15, 4095), "text-4095") == 0);
    CHECK(pstk_tags_code_text(tags, 16, 0) == NULL);
    pstk_tags_close(tags);
}

static void test_restore_takes_the_same_and_refuses_a_contradiction(void) {
    pstk_tags *tags = open_tags(3, 2);
    const pstk_code_ref *fresh;
    int64_t code;
    CHECK(!pstk_tags_restore(tags, 1, "b", 1, 0, PSTK_TYPE_F64)); /* ids come in order */
    CHECK(pstk_tags_restore(tags, 0, "a", 1, 2, PSTK_TYPE_F64));
    CHECK(pstk_tags_restore(tags, 1, "s", 1, 2, PSTK_TYPE_CODE));
    CHECK(pstk_tags_restore(tags, 0, "a", 1, 2, PSTK_TYPE_F64)); /* checkpoint, then journal */
    CHECK(!pstk_tags_restore(tags, 0, "a", 1, 2, PSTK_TYPE_I64));
    CHECK(!pstk_tags_restore(tags, 0, "a", 1, 3, PSTK_TYPE_F64));
    CHECK(!pstk_tags_restore(tags, 0, "z", 1, 2, PSTK_TYPE_F64));
    CHECK(!pstk_tags_restore(tags, 2, "a", 1, 2, PSTK_TYPE_F64));
    CHECK(!pstk_tags_restore(tags, 2, "", 0, 2, PSTK_TYPE_F64));
    CHECK(!pstk_tags_restore(tags, 2, "n", 1, 2, PSTK_TYPE_NONE));
    CHECK(!pstk_tags_restore(tags, 2, "n", 1, 2, 9));
    CHECK(!pstk_tags_restore_code(tags, 1, 1, "STOP", 4));
    CHECK(pstk_tags_restore_code(tags, 1, 0, "RUN", 3));
    CHECK(pstk_tags_restore_code(tags, 1, 0, "RUN", 3));
    CHECK(!pstk_tags_restore_code(tags, 1, 1, "RUN", 3));
    CHECK(!pstk_tags_restore_code(tags, 1, 0, "STOP", 4));
    CHECK(!pstk_tags_restore_code(tags, 0, 0, "RUN", 3));
    CHECK(pstk_tags_restore_code(tags, 1, 1, "STOP", 4));
    CHECK(!pstk_tags_restore_code(tags, 1, 2, "IDLE", 4)); /* codes_max */
    CHECK(pstk_tags_new_codes(tags, &fresh) == 0);         /* the journal has them */
    CHECK(pstk_tags_code(tags, 1, BYTES("STOP"), &code) && code == 1);
    CHECK(pstk_tags_restore(tags, 2, "c", 1, 0, PSTK_TYPE_BOOL));
    CHECK(!pstk_tags_restore(tags, 3, "d", 1, 0, PSTK_TYPE_BOOL)); /* tags_max */
    CHECK(pstk_tags_count(tags) == 3);
    pstk_tags_close(tags);
}

int main(void) {
    test_bounds_are_refused_at_open();
    test_names_become_ids_in_order_and_stay();
    test_names_of_every_length_lie_in_few_lines();
    test_bad_names_are_refused();
    test_type_and_source_hold_for_life();
    test_successor_is_learnt_and_never_trusted();
    test_texts_become_codes_bounded_per_tag();
    test_texts_of_all_tags_are_bounded_together();
    test_restore_takes_the_same_and_refuses_a_contradiction();
    return check_result("parse_tags");
}
