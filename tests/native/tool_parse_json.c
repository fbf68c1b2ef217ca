/* tool_parse_json: payloads from stdin through the parser, for tests that compare with another
 * reader. tool_parse_json [--sized] [--packed] [--subject NAME] [--i64 NAME]... One document is all
 * of stdin; with --sized there are many, each behind its u32 size. It prints "accept SAMPLES
 * [STREAM BOOT SEQ]" (the last three where numbered) or "reject SAMPLES REASON", then, of an
 * accepted one, a line a sample "TYPE BITS TIME QUALITY NAME" (BITS in hex; TIME "-" where there is
 * none; of a code its text in hex) and a line "dropped REASON COUNT" a reason. */
#include "parse/parse.h"

#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_BYTES_MAX (32u << 20)
#define FRAME_BYTES_MAX (1u << 20)

typedef struct options {
    const char *subject;
    pstk_format format;
    bool is_sized;
} options;

static const char *const drop_names[PSTK_DROP_COUNT] = {
#define DROP_NAME(name, text, help) text,
    PSTK_DROP_LIST(DROP_NAME)
#undef DROP_NAME
};

static void print_sample(const pstk_tags *tags, const pstk_sample *sample) {
    static const char *const types[] = {"none", "f64", "i64", "bool", "code"};
    const pstk_tag *tag = pstk_tags_get(tags, sample->tag_id);
    printf("%s ", types[tag->type]);
    if (tag->type == PSTK_TYPE_CODE)
        for (const char *c = pstk_tags_code_text(tags, sample->tag_id, sample->value.i64); *c; c++)
            printf("%02x", (unsigned)(uint8_t)*c);
    else
        printf("%016" PRIx64, sample->value.bits);
    if (sample->time_ns == PSTK_TIME_NONE)
        printf(" -");
    else
        printf(" %" PRId64, sample->time_ns);
    printf(" %u %s\n", sample->quality, tag->name);
}

static void print_message(pstk_parser *parser, const pstk_tags *tags) {
    uint64_t dropped[PSTK_DROP_COUNT] = {0};
    pstk_step step = {0};
    while (!step.is_done) {
        pstk_sample samples[7]; /* small and odd, so that documents cross steps */
        pstk_parse_step(parser, samples, 7, INT64_MAX, dropped, &step);
        for (size_t i = 0; i < step.samples; i++)
            print_sample(tags, &samples[i]);
    }
    for (int i = 0; i < PSTK_DROP_COUNT; i++)
        if (dropped[i])
            printf("dropped %s %" PRIu64 "\n", drop_names[i], dropped[i]);
}

/* The payload is copied to a block of its exact size: under ASan a read behind it is an error. */
static void run_document(pstk_parser *parser, const pstk_tags *tags, const options *how,
                         const uint8_t *bytes, size_t size) {
    uint8_t *payload = malloc(size ? size : 1);
    if (!payload)
        exit(2);
    memcpy(payload, bytes, size);
    pstk_message message;
    pstk_drop reason;
    const uint8_t *subject = (const uint8_t *)how->subject;
    size_t subject_bytes = subject ? strlen(how->subject) : 0;
    if (pstk_parse_begin(parser, how->format, 0, subject, subject_bytes, payload, size, &message,
                         &reason)) {
        printf("accept %u", message.samples);
        if (message.is_numbered)
            printf(" %u %u %" PRIu64, message.stream, message.boot, message.seq);
        printf("\n");
        print_message(parser, tags);
    } else {
        printf("reject %u %s\n", message.samples, drop_names[reason]);
    }
    free(payload);
}

static void run_sized(pstk_parser *parser, const pstk_tags *tags, const options *how,
                      const uint8_t *bytes, size_t size) {
    while (size >= 4) {
        size_t bytes_wanted = pstk_load_u32(bytes);
        if (bytes_wanted > size - 4)
            exit(2);
        run_document(parser, tags, how, bytes + 4, bytes_wanted);
        bytes += 4 + bytes_wanted;
        size -= 4 + bytes_wanted;
    }
}

static bool read_options(int argc, char **argv, pstk_tags *tags, options *out) {
    pstk_drop reason;
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--sized") == 0) {
            out->is_sized = true;
        } else if (strcmp(argv[i], "--packed") == 0) {
            out->format = PSTK_FORMAT_PACKED;
        } else if (strcmp(argv[i], "--subject") == 0 && *next) {
            out->subject = argv[++i];
        } else if (strcmp(argv[i], "--i64") == 0 && *next) {
            if (pstk_tags_resolve(tags, (const uint8_t *)next, strlen(next), 0, PSTK_TYPE_I64,
                                  PSTK_TAG_NONE, &reason) == PSTK_TAG_NONE)
                return false;
            i++;
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv) {
    options how = {.format = PSTK_FORMAT_JSON};
    pstk_tags *tags;
    pstk_parser *parser;
    pstk_error err;
    setlocale(LC_ALL, ""); /* as a host program may: nothing here may change by it */
    uint8_t *input = malloc(INPUT_BYTES_MAX);
    if (!input || pstk_tags_open(1000, 4096, &tags, &err) != PSTK_OK ||
        pstk_parser_open(tags, FRAME_BYTES_MAX, &parser, &err) != PSTK_OK)
        return 2;
    if (!read_options(argc, argv, tags, &how)) {
        fprintf(stderr,
                "usage: tool_parse_json [--sized] [--packed] [--subject NAME] [--i64 NAME]...\n");
        return 2;
    }
    size_t size = fread(input, 1, INPUT_BYTES_MAX, stdin);
    if (how.is_sized)
        run_sized(parser, tags, &how, input, size);
    else
        run_document(parser, tags, &how, input, size);
    pstk_parser_close(parser);
    pstk_tags_close(tags);
    free(input);
    return 0;
}
