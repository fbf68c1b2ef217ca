/* stages: what the first stages take for a recorded ZMTP stream in memory: no kernel, no engine.
 * Each does what the one before does and one thing more, and stops there.
 *
 *   stages frame|key|parse COUNT
 *
 * frame: framing alone. key: and the tag of its name. parse: framing, then the message made a
 * sample, its tag found on the way. Time is that of the thread in stage_chunk, which callgrind can
 * be told to count alone; the chunk is as large as a receive, and written just before. */
#include "child.h"
#include "intake/intake.h"
#include "parse/parse.h"
#include "plan.h"

#define CHUNK_MESSAGES 1900u
#define FRAME_BYTES (2u + PLAN_MESSAGE_BYTES)
#define NAME_AT 34u

typedef struct stages {
    bool finds, parses;
    void *session;
    pstk_tags *tags;
    pstk_parser *parser;
    pstk_plain plain;
    uint64_t messages, samples;
    double sum; /* multiples of 1/64: exact */
    uint64_t ids, ids_wanted;
} stages;

static stages all;
static pstk_frames frames;
static pstk_out answer;
static uint8_t chunk[CHUNK_MESSAGES * FRAME_BYTES];
static plan_writer writer;

static int64_t thread_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- the stages ------------------------------------------------------------------------------ */

static void find_all(void) {
    for (size_t i = 0; i < frames.count; i++)
        all.ids += pstk_tags_find(all.tags, frames.frame[i].payload + NAME_AT, PLAN_NAME_BYTES);
}

static void parse_all(void) {
    pstk_sample sample[PSTK_PLAIN_BATCH];
    for (size_t taken = 0, made; taken < frames.count; taken += made) {
        size_t batch = PSTK_MIN(frames.count - taken, PSTK_PLAIN_BATCH);
        made = pstk_parse_plain(all.parser, PSTK_FORMAT_PACKED, &all.plain, &frames.frame[taken],
                                batch, sample);
        if (made == 0)
            child_die("message %zu of a receive is not plain", taken);
        all.samples += made;
        for (size_t i = 0; i < made; i++)
            all.sum += sample[i].value.f64;
    }
}

__attribute__((noinline)) void stage_chunk(const uint8_t *bytes, size_t size);
void stage_chunk(const uint8_t *bytes, size_t size) {
    while (size > 0) {
        pstk_took took;
        if (pstk_zmtp_wire.take(all.session, bytes, size, &frames, &answer, &took, 0) !=
                PSTK_TAKE_OK ||
            took.consumed == 0)
            child_die("the wire refused: %s", pstk_zmtp_wire.text(all.session));
        all.messages += frames.count;
        if (all.finds)
            find_all();
        if (all.parses)
            parse_all();
        bytes += took.consumed;
        size -= took.consumed;
    }
}

/* ---- around them ----------------------------------------------------------------------------- */

static void open_session(const pstk_source_options *options) {
    static const uint8_t greeting[64] = {0xFF, 0,    0, 0, 0,   0,   0,   0,
                                         1,    0x7F, 3, 1, 'N', 'U', 'L', 'L'};
    static const uint8_t ready[] = "\4\32\5READY\13Socket-Type\0\0\0\4PUSH";
    all.session = calloc(1, pstk_zmtp_wire.session_bytes);
    if (!all.session)
        child_die("no memory");
    pstk_zmtp_wire.start(all.session, options, false, &answer, 0);
    stage_chunk(greeting, sizeof greeting);
    stage_chunk(ready, sizeof ready - 1);
    if (!pstk_zmtp_wire.is_ready(all.session))
        child_die("the wire is not ready");
}

static void open_tags(void) {
    pstk_error err;
    if (pstk_tags_open(4096, 256, &all.tags, &err) != PSTK_OK ||
        pstk_parser_open(all.tags, 1 << 20, &all.parser, &err) != PSTK_OK)
        child_die("%s", err.text);
    for (uint32_t tag = 0; tag < PLAN_TAGS; tag++) {
        char name[PLAN_NAME_BYTES + 1];
        pstk_drop reason;
        plan_name(tag, name);
        if (pstk_tags_resolve(all.tags, (const uint8_t *)name, PLAN_NAME_BYTES, 0, PSTK_TYPE_F64,
                              PSTK_TAG_NONE, &reason) != tag)
            child_die("tag %s has another id", name);
    }
}

static size_t write_chunk(uint64_t first, size_t count) {
    for (size_t i = 0; i < count; i++) {
        plan_sample sample = plan_at(first + i);
        uint8_t *at = chunk + i * FRAME_BYTES;
        at[0] = 0;
        at[1] = PLAN_MESSAGE_BYTES;
        plan_write(&writer, 7, first + i, sample, at + 2);
        all.ids_wanted += sample.tag;
    }
    return count * FRAME_BYTES;
}

static void check(uint64_t count) {
    static plan_expected expected;
    for (uint64_t i = 0; i < count; i++)
        plan_expect(&expected, plan_at(i));
    if (all.messages != count || (all.finds && all.ids != all.ids_wanted) ||
        (all.parses && (all.samples != count || all.sum != (double)expected.units / PLAN_UNIT)))
        child_die("the stages made something else of the stream");
}

int main(int argc, char **argv) {
    static const pstk_source_options options = {.kind = PSTK_SOURCE_ZMQ_PULL,
                                                .frame_bytes_max = 1 << 20};
    if (argc != 3)
        child_die("usage: stages frame|key|parse COUNT");
    uint64_t count = child_number(argv[2]);
    int64_t spent_ns = 0;
    plan_writer_init(&writer, false);
    open_tags();
    open_session(&options);
    all.finds = strcmp(argv[1], "key") == 0;
    all.parses = strcmp(argv[1], "parse") == 0;
    uint64_t stream_and_boot = 7 | (uint64_t)(PLAN_START_NS / 1000000000) << 32;
    all.plain = (pstk_plain){
        .head = stream_and_boot, .head_mask = UINT64_MAX, .step = 1, .future_after_ns = INT64_MAX};
    for (uint64_t first = 0; first < count; first += CHUNK_MESSAGES) {
        size_t size = write_chunk(first, PSTK_MIN(count - first, CHUNK_MESSAGES));
        int64_t begin_ns = thread_ns();
        stage_chunk(chunk, size);
        spent_ns += thread_ns() - begin_ns;
    }
    check(count);
    printf("measured {\"count\": %llu, \"cpu_ns\": %lld}\n", (unsigned long long)count,
           (long long)spent_ns);
    pstk_parser_close(all.parser);
    pstk_tags_close(all.tags);
    free(all.session);
    return 0;
}
