/* parse_fixture: a parser whose payload ends at a page that must not be read, and what one message
 * gave. */
#ifndef PSTK_PARSE_FIXTURE_H
#define PSTK_PARSE_FIXTURE_H

#include "check.h"
#include "parse/parse.h"

#include <sys/mman.h>

#define FRAME_BYTES_MAX (1u << 20)
#define GUARD_BYTES 65536u /* a multiple of every page size in use */
#define SAMPLES_MAX 70000u

typedef struct fixture {
    pstk_tags *tags;
    pstk_parser *parser;
    uint8_t *payload_end; /* the guard begins here */
    const char *subject;
    uint16_t source;
    int64_t future_after_ns;
    size_t capacity; /* of one step */
    /* what run() gave */
    bool is_whole;
    pstk_message message;
    pstk_drop reason;
    size_t count;
    uint64_t dropped[PSTK_DROP_COUNT];
    uint64_t dropped_all;
    pstk_sample sample[SAMPLES_MAX];
} fixture;

static fixture *fixture_open(uint32_t tags_max, uint32_t codes_max) {
    fixture *f = calloc(1, sizeof *f);
    REQUIRE(f != NULL);
    uint8_t *area = mmap(NULL, 2 * FRAME_BYTES_MAX + GUARD_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(area != MAP_FAILED);
    REQUIRE(mprotect(area + 2 * FRAME_BYTES_MAX, GUARD_BYTES, PROT_NONE) == 0);
    f->payload_end = area + 2 * FRAME_BYTES_MAX;
    f->future_after_ns = INT64_MAX;
    f->capacity = SAMPLES_MAX;
    REQUIRE(pstk_tags_open(tags_max, codes_max, &f->tags, NULL) == PSTK_OK);
    REQUIRE(pstk_parser_open(f->tags, FRAME_BYTES_MAX, &f->parser, NULL) == PSTK_OK);
    return f;
}

static void fixture_close(fixture *f) {
    pstk_parser_close(f->parser);
    pstk_tags_close(f->tags);
    munmap(f->payload_end - 2 * FRAME_BYTES_MAX, 2 * FRAME_BYTES_MAX + GUARD_BYTES);
    free(f);
}

static bool fixture_begin(fixture *f, pstk_format format, const void *bytes, size_t size) {
    uint8_t *payload = f->payload_end - size;
    const char *subject = f->subject;
    memcpy(payload, bytes, size);
    memset(f->dropped, 0, sizeof f->dropped);
    f->count = f->dropped_all = 0;
    f->is_whole =
        pstk_parse_begin(f->parser, format, f->source, (const uint8_t *)subject,
                         subject ? strlen(subject) : 0, payload, size, &f->message, &f->reason);
    return f->is_whole;
}

/* Steps to the end and checks that samples + dropped = taken holds at each. */
static void fixture_drain(fixture *f) {
    pstk_step step = {0};
    size_t taken = 0;
    while (!step.is_done) {
        uint64_t before = f->dropped_all;
        REQUIRE(f->count + f->capacity <= SAMPLES_MAX);
        pstk_parse_step(f->parser, f->sample + f->count, f->capacity, f->future_after_ns,
                        f->dropped, &step);
        f->count += step.samples;
        taken += step.taken;
        f->dropped_all = 0;
        for (int i = 0; i < PSTK_DROP_COUNT; i++)
            f->dropped_all += f->dropped[i];
        REQUIRE(step.samples <= f->capacity);
        CHECK(step.samples + (f->dropped_all - before) == step.taken);
    }
    CHECK(taken == (f->is_whole ? f->message.samples : 0));
}

static bool fixture_run(fixture *f, pstk_format format, const void *bytes, size_t size) {
    bool is_whole = fixture_begin(f, format, bytes, size);
    fixture_drain(f);
    return is_whole;
}

static inline const char *fixture_name(const fixture *f, size_t i) {
    return pstk_tags_get(f->tags, f->sample[i].tag_id)->name;
}

#endif
