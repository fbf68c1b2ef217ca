/* Packed v1: what the specification says is what comes out; every wrong size is refused whole,
 * every unusable sample is counted by its reason, and nothing behind the payload is read. */
#include "parse_fixture.h"

#define MESSAGE_BYTES_MAX 200000u

typedef struct builder {
    size_t size;
    uint8_t bytes[MESSAGE_BYTES_MAX];
} builder;

static builder b;

static void put(const void *bytes, size_t size) {
    REQUIRE(size <= MESSAGE_BYTES_MAX - b.size);
    memcpy(b.bytes + b.size, bytes, size);
    b.size += size;
}

static void begin(uint16_t count, uint8_t names, uint8_t type, uint64_t seq, int64_t time0_ns) {
    b.size = 32;
    memset(b.bytes, 0, 32);
    memcpy(b.bytes, "PSK1", 4);
    pstk_store_u16(b.bytes + 4, count);
    b.bytes[6] = names;
    b.bytes[7] = type;
    pstk_store_u32(b.bytes + 8, 7);
    pstk_store_u32(b.bytes + 12, 9);
    pstk_store_u64(b.bytes + 16, seq);
    pstk_store_u64(b.bytes + 24, (uint64_t)time0_ns);
}

static void name(uint8_t type, const char *text) {
    uint8_t head[2] = {type, (uint8_t)strlen(text)};
    put(head, 2);
    put(text, head[1]);
}

static void sample_bits(uint64_t bits, uint32_t dt_ns, uint16_t which, uint16_t quality) {
    uint8_t bytes[16];
    pstk_store_u64(bytes, bits);
    pstk_store_u32(bytes + 8, dt_ns);
    pstk_store_u16(bytes + 12, which);
    pstk_store_u16(bytes + 14, quality);
    put(bytes, 16);
}

static void sample(double value, uint32_t dt_ns, uint16_t which, uint16_t quality) {
    pstk_value bits = {.f64 = value};
    sample_bits(bits.bits, dt_ns, which, quality);
}

static bool run(fixture *f) { return fixture_run(f, PSTK_FORMAT_PACKED, b.bytes, b.size); }

static void test_one_sample_with_a_14_character_name_is_64_bytes(fixture *f) {
    begin(1, 1, 0, 41, 1000);
    name(PSTK_TYPE_F64, "line1.m01.good");
    sample(12.5, 34, 0, 0x4000);
    CHECK(b.size == 64);
    CHECK(run(f));
    CHECK(f->message.samples == 1 && f->message.stream == 7 && f->message.boot == 9);
    CHECK(f->message.is_numbered && f->message.seq == 41);
    REQUIRE(f->count == 1);
    CHECK(f->sample[0].time_ns == 1034 && f->sample[0].value.f64 == 12.5);
    CHECK(f->sample[0].quality == 0x4000 && f->sample[0].flags == 0);
    CHECK(strcmp(fixture_name(f, 0), "line1.m01.good") == 0);
    /* The next message begins where this one's order says: the hint crosses messages. */
    for (int round = 0; round < 4; round++) {
        begin(1, 1, 0, 41, 1000);
        name(PSTK_TYPE_F64, round % 2 ? "line1.m01.good" : "line1.m02.good");
        sample(round, 0, 0, 0);
        CHECK(run(f) && f->count == 1 && f->sample[0].value.f64 == round);
        CHECK(f->sample[0].tag_id == (round % 2 ? 0u : 1u));
    }
}

static void test_many_names_and_steps_of_any_size_agree(fixture *f) {
    static pstk_sample whole[1000];
    char text[32];
    begin(1000, 255, 0, UINT64_MAX, 500);
    for (int i = 0; i < 255; i++) {
        snprintf(text, sizeof text, "many.%d", i);
        name(i % 2 ? PSTK_TYPE_I64 : PSTK_TYPE_F64, text);
    }
    for (uint32_t i = 0; i < 1000; i++)
        if (i * 7 % 255 % 2)
            sample_bits(UINT64_MAX - i, i, (uint16_t)(i * 7 % 255), 0);
        else
            sample(i * 0.5, i, (uint16_t)(i * 7 % 255), 0);
    CHECK(run(f) && f->count == 1000 && f->dropped_all == 0 && !f->message.is_numbered);
    memcpy(whole, f->sample, sizeof whole);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "many.%u", i * 7 % 255);
        CHECK(strcmp(fixture_name(f, i), text) == 0 && whole[i].time_ns == 500 + i);
        CHECK(i * 7 % 255 % 2 ? whole[i].value.i64 == -1 - (int64_t)i
                              : whole[i].value.f64 == i * 0.5);
    }
    for (f->capacity = 1; f->capacity < 700; f->capacity += 97) {
        CHECK(run(f) && f->count == 1000);
        CHECK(memcmp(whole, f->sample, sizeof whole) == 0);
    }
    f->capacity = SAMPLES_MAX;
    for (size_t skip = 0; skip <= 1001; skip += 143) {
        size_t left = skip < 1000 ? 1000 - skip : 0;
        pstk_step step;
        CHECK(fixture_begin(f, PSTK_FORMAT_PACKED, b.bytes, b.size));
        pstk_parse_skip(f->parser, skip);
        pstk_parse_step(f->parser, f->sample, 1000, INT64_MAX, f->dropped, &step);
        CHECK(step.samples == left && step.taken == left && step.is_done);
        CHECK(memcmp(whole + (1000 - left), f->sample, left * sizeof whole[0]) == 0);
    }
}

static void test_subject_names_the_tag_where_the_payload_does_not(fixture *f) {
    f->subject = "plant.line1.temperature";
    begin(2, 0, PSTK_TYPE_I64, 0, 0);
    sample_bits(5, 0, 0, 0);
    sample_bits(6, 0, 1, 0); /* there is no name 1 */
    CHECK(run(f) && f->count == 1 && f->dropped[PSTK_DROP_MALFORMED] == 1);
    CHECK(strcmp(fixture_name(f, 0), f->subject) == 0 && f->sample[0].value.i64 == 5);
    f->subject = NULL;
    CHECK(run(f) && f->count == 0 && f->dropped[PSTK_DROP_TAG_NAME] == 1);
}

static void test_heartbeat_has_no_samples(fixture *f) {
    begin(0, 0, 0, 99, 0);
    CHECK(run(f) && f->message.samples == 0 && f->message.seq == 99 && f->count == 0);
    begin(0, 1, 0, 99, 0);
    name(PSTK_TYPE_F64, "unused");
    CHECK(run(f) && f->count == 0);
    CHECK(pstk_tags_find(f->tags, (const uint8_t *)"unused", 6) == PSTK_TAG_NONE);
}

static void test_each_unusable_sample_is_dropped_for_its_reason(fixture *f) {
    char huge[101];
    memset(huge, 'n', 100);
    huge[100] = 0;
    begin(18, 9, 0, 0, INT64_MAX - 10);
    name(PSTK_TYPE_F64, "d.real");
    name(PSTK_TYPE_BOOL, "d.bool");
    name(PSTK_TYPE_F64, "");
    name(PSTK_TYPE_F64, huge);
    name(PSTK_TYPE_F64, "d.\xff");
    name(PSTK_TYPE_CODE, "d.code");
    name(77, "d.unknown");
    name(PSTK_TYPE_I64, "d.real");
    name(PSTK_TYPE_BOOL, "d.real");
    sample(1.5, 0, 0, 0);
    sample_bits(UINT64_C(0x7FF8000000000001), 0, 0, 0); /* NaN */
    sample_bits(UINT64_C(0x7FF0000000000000), 0, 0, 0); /* Inf */
    sample_bits(UINT64_C(0xFFF0000000000000), 0, 0, 0);
    sample_bits(UINT64_C(0xFFF0000000000123), 0, 0, 0);
    sample(1.5, 11, 0, 0); /* the stamp overflows */
    sample(1.5, UINT32_MAX, 0, 0);
    sample(-0.0, 10, 0, 0);
    sample_bits(0, 0, 1, 0);
    sample_bits(1, 0, 1, 0);
    sample_bits(2, 0, 1, 0);
    sample(1, 0, 2, 0);
    sample(1, 0, 3, 0);
    sample(1, 0, 4, 0);
    sample_bits(1, 0, 5, 0);
    sample_bits(1, 0, 6, 0);
    sample_bits((uint64_t)-3, 0, 7, 0); /* an integer for an f64 tag */
    sample_bits(1, 0, 8, 0);
    CHECK(run(f) && f->count == 5 && f->message.samples == 18);
    CHECK(f->dropped[PSTK_DROP_NAN] == 4 && f->dropped[PSTK_DROP_RANGE] == 3);
    CHECK(f->dropped[PSTK_DROP_TAG_NAME] == 3 && f->dropped[PSTK_DROP_MALFORMED] == 2);
    CHECK(f->dropped[PSTK_DROP_TYPE] == 1);
    CHECK(f->sample[1].value.bits == 0 && f->sample[1].time_ns == INT64_MAX); /* -0.0 */
    CHECK(f->sample[2].value.i64 == 0 && f->sample[3].value.i64 == 1);
    CHECK(f->sample[4].value.f64 == -3.0);
    begin(1, 1, 0, 0, 0);
    name(PSTK_TYPE_F64, "d.real");
    sample(1, 0, 1, 0);
    CHECK(run(f) && f->count == 0 && f->dropped[PSTK_DROP_MALFORMED] == 1); /* no name 1 */
    f->source = 5;
    begin(1, 1, 0, 0, 0);
    name(PSTK_TYPE_F64, "d.real");
    sample(1, 0, 0, 0);
    CHECK(run(f) && f->count == 0 && f->dropped[PSTK_DROP_SOURCE] == 1);
    f->source = 0;
}

static void test_stamps_absent_past_and_future(fixture *f) {
    begin(2, 1, 0, 0, PSTK_TIME_NONE);
    name(PSTK_TYPE_F64, "time");
    sample(1, 0, 0, 0);
    sample(1, 5, 0, 0);
    f->future_after_ns = 100;
    CHECK(run(f) && f->count == 2);
    CHECK(f->sample[0].time_ns == PSTK_TIME_NONE && f->sample[1].time_ns == PSTK_TIME_NONE);
    begin(3, 1, 0, 0, -7);
    name(PSTK_TYPE_F64, "time");
    sample(1, 0, 0, 0);
    sample(1, 107, 0, 0);
    sample(1, 108, 0, 0);
    CHECK(run(f) && f->count == 2 && f->dropped[PSTK_DROP_FUTURE] == 1);
    CHECK(f->sample[0].time_ns == -7 && f->sample[1].time_ns == 100);
    f->future_after_ns = INT64_MAX;
}

/* ---- runs against the rules, one sample after another ---------------------------------------- */

typedef struct rule_of_one { /* what packed v1 says of one sample (native/README.md) */
    bool is_dropped;
    pstk_drop reason;
    pstk_sample sample;
} rule_of_one;

static rule_of_one rule_says(const fixture *f, int64_t time0_ns, const uint32_t *tags,
                             const uint8_t *at) {
    uint64_t bits = pstk_load_u64(at);
    uint32_t dt_ns = pstk_load_u32(at + 8);
    uint16_t which = pstk_load_u16(at + 12);
    rule_of_one out = {.sample = {.quality = pstk_load_u16(at + 14), .time_ns = time0_ns}};
    if (which >= 3)
        return (rule_of_one){true, .reason = PSTK_DROP_MALFORMED};
    out.sample.tag_id = tags[which];
    out.sample.value.bits = bits;
    if (which == 0 && (bits >> 52 & 0x7FF) == 0x7FF)
        return (rule_of_one){true, .reason = PSTK_DROP_NAN};
    if (which == 0 && bits == UINT64_C(1) << 63)
        out.sample.value.bits = 0;
    if (which == 2 && bits > 1)
        return (rule_of_one){true, .reason = PSTK_DROP_RANGE};
    if (time0_ns != PSTK_TIME_NONE) {
        if (time0_ns > INT64_MAX - (int64_t)dt_ns)
            return (rule_of_one){true, .reason = PSTK_DROP_RANGE};
        out.sample.time_ns = time0_ns + (int64_t)dt_ns;
    }
    if (out.sample.time_ns > f->future_after_ns)
        return (rule_of_one){true, .reason = PSTK_DROP_FUTURE};
    return out;
}

static void test_a_run_is_its_samples_one_by_one(fixture *f) {
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      UINT64_C(1) << 63,
                                      UINT64_C(0x7FF0000000000000),
                                      UINT64_C(0xFFF8000000000001),
                                      UINT64_MAX};
    static const int64_t times[] = {
        PSTK_TIME_NONE, -5, 0, 1000, INT64_MAX, INT64_MAX - 3, INT64_MAX - (int64_t)UINT32_MAX};
    static const int64_t limits[] = {-6, -1, 0, 1002, INT64_MAX - 2, INT64_MAX};
    static const uint32_t offsets[] = {0, 1, 2, 3, 4, UINT32_MAX};
    uint64_t seed = 20261128;
    begin(3, 3, 0, 0, 0);
    name(PSTK_TYPE_F64, "run.f64");
    name(PSTK_TYPE_I64, "run.i64");
    name(PSTK_TYPE_BOOL, "run.bool");
    for (uint16_t i = 0; i < 3; i++)
        sample_bits(0, 0, i, 0);
    f->capacity = SAMPLES_MAX;
    CHECK(run(f) && f->count == 3);
    uint32_t tags[3] = {f->sample[0].tag_id, f->sample[1].tag_id, f->sample[2].tag_id};
    uint64_t dropped = 0;
    for (int turn = 0; turn < 4000; turn++) {
        int64_t time0_ns = times[pstk_random(&seed) % 7];
        f->future_after_ns = limits[pstk_random(&seed) % 6];
        f->capacity = turn % 3 ? 1000 : 1 + pstk_random(&seed) % 5;
        uint16_t count = (uint16_t)(1 + pstk_random(&seed) % 40);
        uint64_t odd = 1 + pstk_random(&seed) % 40; /* one of so many is not plain */
        begin(count, 3, 0, 0, time0_ns);
        name(PSTK_TYPE_F64, "run.f64");
        name(PSTK_TYPE_I64, "run.i64");
        name(PSTK_TYPE_BOOL, "run.bool");
        const uint8_t *samples = b.bytes + b.size;
        for (uint16_t i = 0; i < count; i++) {
            if (pstk_random(&seed) % odd)
                sample((double)i, i, 0, i);
            else
                sample_bits(values[pstk_random(&seed) % 7], offsets[pstk_random(&seed) % 6],
                            (uint16_t)(pstk_random(&seed) % 4), i);
        }
        uint64_t reasons[PSTK_DROP_COUNT] = {0};
        CHECK(run(f));
        size_t used = 0;
        for (uint16_t i = 0; i < count; i++) {
            rule_of_one one = rule_says(f, time0_ns, tags, samples + 16 * (size_t)i);
            if (one.is_dropped) {
                reasons[one.reason]++;
                continue;
            }
            CHECK(used < f->count && memcmp(&one.sample, &f->sample[used], sizeof one.sample) == 0);
            used++;
        }
        CHECK(used == f->count && memcmp(reasons, f->dropped, sizeof reasons) == 0);
        dropped += f->dropped_all;
    }
    CHECK(dropped > 1000);
    f->future_after_ns = INT64_MAX;
    f->capacity = SAMPLES_MAX;
}

static void test_lying_sizes_are_refused_whole_and_keep_the_sequence(fixture *f) {
    begin(3, 2, 0, 77, 0);
    name(PSTK_TYPE_F64, "size.a");
    name(PSTK_TYPE_F64, "size.b");
    for (int i = 0; i < 3; i++)
        sample(i, 0, 0, 0);
    size_t size = b.size;
    CHECK(run(f) && f->count == 3);
    for (b.size = 0; b.size < size; b.size++) { /* cut off anywhere */
        CHECK(!run(f) && f->reason == PSTK_DROP_MALFORMED && f->count == 0);
        CHECK(f->message.samples == (b.size < 32 ? 1u : 3u));
        CHECK(f->message.is_numbered == (b.size >= 32) &&
              f->message.seq == (b.size < 32 ? 0u : 77u));
    }
    b.size = size;
    put("x", 1);
    CHECK(!run(f) && f->message.samples == 3);
    b.size = size;
    for (uint32_t count = 0; count < 65536; count += count < 8 ? 1 : 911) {
        pstk_store_u16(b.bytes + 4, (uint16_t)count);
        CHECK(run(f) == (count == 3) && f->message.samples == count);
    }
    pstk_store_u16(b.bytes + 4, 3);
    for (uint32_t bytes = 0; bytes < 256; bytes++) { /* a name's length that lies */
        b.bytes[33] = (uint8_t)bytes;
        CHECK(run(f) == (bytes == 6));
    }
    b.bytes[33] = 6;
    for (uint32_t names = 0; names < 256; names++) {
        b.bytes[6] = (uint8_t)names;
        CHECK(run(f) == (names == 2));
    }
    b.bytes[6] = 2;
    b.bytes[3] = '2'; /* another version */
    CHECK(!run(f) && f->reason == PSTK_DROP_MALFORMED && f->message.samples == 1);
    CHECK(!f->message.is_numbered);
}

static void test_the_largest_messages(fixture *f) {
    static uint8_t frame[FRAME_BYTES_MAX + 16 * 3];
    memset(frame, 0, sizeof frame);
    begin(65530, 1, 0, 5, 0); /* a MiB of samples, nearly */
    name(PSTK_TYPE_F64, "max");
    memcpy(frame, b.bytes, b.size);
    CHECK(fixture_run(f, PSTK_FORMAT_PACKED, frame, b.size + 65530 * 16) && f->count == 65530);
    CHECK(!fixture_run(f, PSTK_FORMAT_PACKED, frame, sizeof frame));
    CHECK(f->reason == PSTK_DROP_OVERSIZE && f->message.samples == 65530 && f->message.seq == 5);
    CHECK(!fixture_run(f, PSTK_FORMAT_JSON, frame, sizeof frame));
    CHECK(f->reason == PSTK_DROP_OVERSIZE && f->message.samples == 1);
    CHECK(!fixture_run(f, (pstk_format)9, frame, 64) && f->reason == PSTK_DROP_MALFORMED);
}

static void test_a_tag_beyond_tags_max_is_dropped(void) {
    fixture *f = fixture_open(2, 0);
    begin(4, 3, 0, 0, 0);
    name(PSTK_TYPE_F64, "one");
    name(PSTK_TYPE_F64, "two");
    name(PSTK_TYPE_F64, "three");
    sample(1, 0, 0, 0);
    sample(2, 0, 2, 0);
    sample(3, 0, 1, 0);
    sample(4, 0, 2, 0);
    CHECK(run(f) && f->count == 3 && f->dropped[PSTK_DROP_TAG_LIMIT] == 1); /* two came last */
    CHECK(strcmp(fixture_name(f, 0), "one") == 0 && strcmp(fixture_name(f, 1), "three") == 0);
    CHECK(f->sample[2].value.f64 == 4);
    fixture_close(f);
}

static void test_open_refuses_what_it_cannot_bound(fixture *f) {
    pstk_parser *parser;
    pstk_error err;
    CHECK(pstk_parser_open(f->tags, 0, &parser, &err) == PSTK_E_ARGUMENT && parser == NULL);
    CHECK(pstk_parser_open(f->tags, UINT32_MAX, &parser, &err) == PSTK_E_ARGUMENT);
    CHECK(strstr(err.text, "frame_bytes_max") != NULL);
    pstk_parser_close(NULL);
}

int main(void) {
    fixture *f = fixture_open(1000, 16);
    test_one_sample_with_a_14_character_name_is_64_bytes(f);
    test_many_names_and_steps_of_any_size_agree(f);
    test_subject_names_the_tag_where_the_payload_does_not(f);
    test_heartbeat_has_no_samples(f);
    test_each_unusable_sample_is_dropped_for_its_reason(f);
    test_stamps_absent_past_and_future(f);
    test_a_run_is_its_samples_one_by_one(f);
    test_lying_sizes_are_refused_whole_and_keep_the_sequence(f);
    test_the_largest_messages(f);
    test_a_tag_beyond_tags_max_is_dropped();
    test_open_refuses_what_it_cannot_bound(f);
    fixture_close(f);
    return check_result("parse_packed");
}
