/* JSON: every shape the README names gives the samples it says, everything else is refused whole or
 * counted, at any nesting, and nothing behind the payload is read (it ends at a guarded page). */
#include "parse_fixture.h"

static bool run(fixture *f, const char *text) {
    return fixture_run(f, PSTK_FORMAT_JSON, text, strlen(text));
}

static bool is_f64(const fixture *f, size_t i, const char *name, double value) {
    return i < f->count && strcmp(fixture_name(f, i), name) == 0 &&
           f->sample[i].value.f64 == value &&
           pstk_tags_get(f->tags, f->sample[i].tag_id)->type == PSTK_TYPE_F64;
}

static bool is_int(const fixture *f, size_t i, const char *name, pstk_type type, int64_t value) {
    return i < f->count && strcmp(fixture_name(f, i), name) == 0 &&
           f->sample[i].value.i64 == value &&
           pstk_tags_get(f->tags, f->sample[i].tag_id)->type == type;
}

static bool is_code(const fixture *f, size_t i, const char *name, const char *text) {
    if (i >= f->count || strcmp(fixture_name(f, i), name) != 0)
        return false;
    const char *known = pstk_tags_code_text(f->tags, f->sample[i].tag_id, f->sample[i].value.i64);
    return known && strcmp(known, text) == 0;
}

static bool is_refused(fixture *f, const char *text) {
    return !run(f, text) && f->reason == PSTK_DROP_MALFORMED && f->count == 0 &&
           f->message.samples == 1 && !f->message.is_numbered;
}

static void make_i64(fixture *f, const char *name) {
    pstk_drop reason;
    REQUIRE(pstk_tags_resolve(f->tags, (const uint8_t *)name, strlen(name), 0, PSTK_TYPE_I64,
                              PSTK_TAG_NONE, &reason) != PSTK_TAG_NONE);
}

static void test_sample_objects_and_arrays_of_them(fixture *f) {
    CHECK(run(
        f,
        " { \"name\" : \"x\" , \"value\" : 1.5 , \"time\" : 1700000000 , \"quality\" : 16384 } "));
    CHECK(f->message.samples == 1 && is_f64(f, 0, "x", 1.5) && f->sample[0].quality == 16384);
    CHECK(f->sample[0].time_ns == INT64_C(1700000000000000000) && !f->message.is_numbered);
    CHECK(run(f, "[{\"value\":2,\"name\":\"x\"},{\"name\":\"run\",\"value\":true},"
                 "{\"name\":\"state\",\"v\":\"RUN\",\"extra\":9}]"));
    CHECK(f->count == 3 && is_f64(f, 0, "x", 2) && is_int(f, 1, "run", PSTK_TYPE_BOOL, 1));
    CHECK(is_code(f, 2, "state", "RUN") && f->sample[2].time_ns == PSTK_TIME_NONE);
    CHECK(pstk_tags_find(f->tags, (const uint8_t *)"extra", 5) == PSTK_TAG_NONE);
    CHECK(run(f, "[]") && f->message.samples == 0);
    CHECK(run(f, "{}") && f->message.samples == 0);
    CHECK(run(f, "[1,\"a\",null,[{\"name\":\"x\",\"value\":1}]]") && f->message.samples == 0);
    CHECK(run(f, "{\"name\":\"x\",\"value\":null}") && f->message.samples == 0);
    CHECK(run(f, "{\"name\":\"x\",\"value\":[1]}") && f->dropped[PSTK_DROP_MALFORMED] == 1);
    CHECK(run(f, "{\"value\":{\"a\":1},\"name\":\"x\"}") && f->dropped[PSTK_DROP_MALFORMED] == 1);
    CHECK(run(f, "{\"name\":\"x\",\"value\":1,\"value\":3}") && f->count == 1 &&
          is_f64(f, 0, "x", 3));
}

static void test_envelope_with_samples(fixture *f) {
    CHECK(run(f,
              "{\"line\":4,\"stream\":7,\"seq\":18446744073709551614,\"samples\":[{\"name\":\"x\","
              "\"value\":1,\"time\":5},{\"a\":1,\"b\":2}],\"boot\":4294967295,\"ts\":9,\"more\":{"
              "\"n\":1}}"));
    CHECK(f->message.stream == 7 && f->message.boot == UINT32_MAX && f->message.is_numbered);
    CHECK(f->message.seq == UINT64_MAX - 1 && f->message.samples == 3);
    CHECK(is_f64(f, 0, "x", 1) && is_f64(f, 1, "a", 1) && is_f64(f, 2, "b", 2));
    CHECK(f->sample[0].time_ns == 5 * PSTK_NS_PER_S && f->sample[2].time_ns == 9 * PSTK_NS_PER_S);
    CHECK(run(f, "{\"seq\":18446744073709551615,\"samples\":[]}"));
    CHECK(!f->message.is_numbered && f->message.samples == 0);
    CHECK(run(f, "{\"samples\":[{\"a\":1}],\"b\":1,\"samples\":[{\"c\":1}],\"value\":5}"));
    CHECK(f->count == 2 && is_f64(f, 0, "a", 1) && is_f64(f, 1, "c", 1));
    CHECK(run(f, "{\"samples\":5}") && is_f64(f, 0, "samples", 5));
    CHECK(run(f, "{\"samples\":[1,2]}") && f->message.samples == 0);
}

static void test_flat_objects(fixture *f) {
    CHECK(run(
        f,
        "{\"stream\":1,\"boot\":2,\"seq\":3,\"a\":1,\"b\":-2.5e1,\"run\":false,\"state\":\"STOP\","
        "\"none\":null,\"a\":7,\"quality\":3,\"name\":\"n1\",\"t\":\"2026-11-23T06:00:00Z\"}"));
    CHECK(f->message.stream == 1 && f->message.boot == 2 && f->message.seq == 3);
    CHECK(f->count == 7 && is_f64(f, 0, "a", 1) && is_f64(f, 1, "b", -25));
    CHECK(is_int(f, 2, "run", PSTK_TYPE_BOOL, 0) && is_code(f, 3, "state", "STOP"));
    CHECK(is_f64(f, 4, "a", 7) && is_f64(f, 5, "quality", 3) && is_code(f, 6, "name", "n1"));
    CHECK(f->sample[0].time_ns == INT64_C(1795413600000000000) && f->sample[0].quality == 0);
    CHECK(run(f, "{\"seq\":12}") && f->message.samples == 0 && f->message.seq == 12);
    CHECK(run(f, "{\"a\":[1,2],\"b\":4}") && is_f64(f, 0, "b", 4));
    CHECK(f->message.samples == 2 && f->dropped[PSTK_DROP_MALFORMED] == 1);
    CHECK(run(f, "[{\"stream\":\"x\",\"a\":1,\"seq\":[]},{\"a\":2}]") && f->count == 2);
    CHECK(!f->message.is_numbered);
    f->subject = "plant.subject"; /* names of its own: the subject is no part of them */
    CHECK(run(f, "{\"a\":1}") && is_f64(f, 0, "a", 1));
    f->subject = NULL;
}

static void test_nested_members_join_with_a_dot(fixture *f) {
    CHECK(run(
        f, "{\"m\":{\"rpm\":5,\"ts\":1,\"in\":{\"seq\":6,\"name\":\"z\"}},\"rpm\":7,\"time\":2}"));
    CHECK(f->count == 4 && is_f64(f, 0, "m.rpm", 5) && is_f64(f, 1, "m.in.seq", 6));
    CHECK(is_code(f, 2, "m.in.name", "z") && is_f64(f, 3, "rpm", 7));
    CHECK(f->sample[0].time_ns == PSTK_NS_PER_S && f->sample[1].time_ns == PSTK_NS_PER_S);
    CHECK(f->sample[3].time_ns == 2 * PSTK_NS_PER_S);
    CHECK(run(f, "{\"m\":{\"value\":5,\"quality\":1},\"k\":{\"v\":6,\"name\":\"w\"}}") &&
          f->count == 2);
    CHECK(is_f64(f, 0, "m", 5) && f->sample[0].quality == 1 && is_f64(f, 1, "k.w", 6));
    CHECK(run(f, "{\"a\":{\"b\":{\"v\":1}}}") && is_f64(f, 0, "a.b", 1));
    char text[300], key[96];
    memset(key, 'k', sizeof key);
    key[93] = 0;
    snprintf(text, sizeof text, "{\"%s\":{\"a\":1,\"ab\":2}}", key); /* 95 bytes, then 96 */
    CHECK(run(f, text) && f->count == 1 && f->dropped[PSTK_DROP_TAG_NAME] == 1);
    CHECK(strlen(fixture_name(f, 0)) == 95);
}

static void test_subject_names_what_has_no_name(fixture *f) {
    f->subject = "plant.line1.flow";
    CHECK(run(f, "{\"value\":4.5,\"time\":3}") && is_f64(f, 0, "plant.line1.flow", 4.5));
    CHECK(run(f, "[{\"v\":1},{\"v\":2,\"name\":null}]") && f->count == 2);
    CHECK(is_f64(f, 1, "plant.line1.flow", 2));
    f->subject = NULL;
    CHECK(run(f, "{\"value\":4.5}") && f->dropped[PSTK_DROP_TAG_NAME] == 1);
    CHECK(run(f, "{\"value\":4.5,\"name\":7}") && f->dropped[PSTK_DROP_TAG_NAME] == 1);
    CHECK(run(f, "{\"value\":4.5,\"name\":\"a\\nb\"}") && f->dropped[PSTK_DROP_TAG_NAME] == 1);
    CHECK(run(f, "{\"\":1,\"a\\u0000b\":2}") && f->dropped[PSTK_DROP_TAG_NAME] == 2);
}

static void test_types_of_numbers(fixture *f) {
    make_i64(f, "i.count");
    CHECK(run(f, "{\"i.flow\":5}") && run(f, "{\"i.flow\":5.1}") && is_f64(f, 0, "i.flow", 5.1));
    CHECK(run(f, "{\"i.flow\":9007199254740993}") && is_f64(f, 0, "i.flow", 9007199254740992.0));
    CHECK(run(f, "{\"i.flow\":123456789012345678901234567890}") &&
          is_f64(f, 0, "i.flow", 1.2345678901234568e29));
    CHECK(run(f, "{\"i.count\":9223372036854775807}") &&
          is_int(f, 0, "i.count", PSTK_TYPE_I64, INT64_MAX));
    CHECK(run(f, "{\"i.count\":-9223372036854775808}") &&
          is_int(f, 0, "i.count", PSTK_TYPE_I64, INT64_MIN));
    CHECK(run(f, "{\"i.count\":9007199254740993}") &&
          is_int(f, 0, "i.count", PSTK_TYPE_I64, INT64_C(9007199254740993)));
    CHECK(run(f, "{\"i.count\":9223372036854775808}") && f->dropped[PSTK_DROP_RANGE] == 1);
    CHECK(run(f, "{\"i.count\":-9223372036854775809}") && f->dropped[PSTK_DROP_RANGE] == 1);
    CHECK(run(f, "{\"i.count\":12.0}") && f->dropped[PSTK_DROP_TYPE] == 1);
    CHECK(run(f, "{\"i.count\":12e0}") && f->dropped[PSTK_DROP_TYPE] == 1);
    CHECK(run(f, "{\"i.count\":true}") && f->dropped[PSTK_DROP_TYPE] == 1);
    CHECK(run(f, "{\"i.flow\":\"5\"}") && f->dropped[PSTK_DROP_TYPE] == 1);
    CHECK(run(f, "{\"i.flow\":-0.0}") && f->count == 1 && f->sample[0].value.bits == 0);
    CHECK(run(f, "{\"i.flow\":-0}") && f->count == 1 && f->sample[0].value.bits == 0);
    CHECK(run(f, "{\"i.flow\":-1e-400}") && f->count == 1 && f->sample[0].value.bits == 0);
    CHECK(run(f, "{\"i.flow\":1e309}") && f->dropped[PSTK_DROP_RANGE] == 1);
    CHECK(run(f, "{\"i.flow\":-1e999999999999}") && f->dropped[PSTK_DROP_RANGE] == 1);
    CHECK(run(f, "{\"i.flow\":1,\"quality\":1,\"value\":2}") && f->message.samples == 1);
    f->source = 2;
    CHECK(run(f, "{\"i.flow\":1}") && f->dropped[PSTK_DROP_SOURCE] == 1);
    f->source = 0;
}

static void test_quality(fixture *f) {
    CHECK(run(f, "{\"name\":\"q\",\"value\":1,\"quality\":65535}") &&
          f->sample[0].quality == 65535);
    CHECK(run(f, "{\"name\":\"q\",\"value\":1,\"quality\":65536}") &&
          f->dropped[PSTK_DROP_RANGE] == 1);
    CHECK(run(f, "{\"name\":\"q\",\"value\":1,\"quality\":-1}") &&
          f->dropped[PSTK_DROP_RANGE] == 1);
    CHECK(run(f, "{\"name\":\"q\",\"value\":1,\"quality\":\"bad\"}") &&
          f->dropped[PSTK_DROP_MALFORMED] == 1);
    CHECK(run(f, "{\"name\":\"q\",\"value\":1,\"quality\":null}") && f->sample[0].quality == 0);
}

static void test_texts_are_bounded(fixture *f) {
    CHECK(run(f, "{\"text\":\"\"}") && f->dropped[PSTK_DROP_CODE_LIMIT] == 1);
    CHECK(run(f, "{\"text\":\"12345678901234567890123456789012\"}") &&
          f->dropped[PSTK_DROP_CODE_LIMIT] == 1);
    CHECK(run(f, "{\"text\":\"1234567890123456789012345678901\"}") && f->count == 1);
    CHECK(run(f, "{\"text\":\"a\\u0000b\"}") && f->dropped[PSTK_DROP_CODE_LIMIT] == 1);
}

static void test_strings_and_their_escapes(fixture *f) {
    CHECK(run(f, "{\"text\":\"\\u0041\\/\\\\ \\u00e9\\u20AC\\ud83c\\uDFED\"}"));
    CHECK(is_code(f, 0, "text", "A/\\ \xc3\xa9\xe2\x82\xac\xf0\x9f\x8f\xad"));
    CHECK(run(f, "{\"K\xc3\xbchl\\u0075ng.abcdefgh\":1}") &&
          is_f64(f, 0, "K\xc3\xbchlung.abcdefgh", 1));
    static const char *const bad[] = {"{\"text\":\"\\ud83c\"}",
                                      "{\"text\":\"\\udfed\"}",
                                      "{\"text\":\"\\ud83c\\u0041\"}",
                                      "{\"text\":\"\\ud83cxxxxxx\"}",
                                      "{\"text\":\"\\x41\"}",
                                      "{\"text\":\"\\u12G4\"}",
                                      "{\"text\":\"\\",
                                      "{\"text\":\"\\u12",
                                      "{\"text\":\"a\tb\"}",
                                      "{\"text\":\"\xff\"}",
                                      "{\"text\":\"\xc3\\u00a9\"}",
                                      "{\"text\":\"\xed\xa0\x80\"}",
                                      "{\"text\":\"abcdefg\xc0\x80\"}",
                                      "{\"text\":\"",
                                      "{\"text\":\"abcdefgh\nijklmnopq\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(is_refused(f, bad[i]));
}

/* Every byte that may stop the scan, at every offset of a word. */
static void test_strings_stop_at_the_right_byte(fixture *f) {
    char text[64];
    for (size_t size = 0; size < 24; size++)
        for (int byte = 1; byte < 256; byte++) {
            int head = snprintf(text, sizeof text, "[\"");
            memset(text + head, 'z', size);
            text[head + (int)size] = (char)byte;
            memcpy(text + head + (int)size + 1, "n\"]", 4);
            bool is_plain = byte >= 0x20 && byte < 0x80 && byte != '"';
            CHECK(run(f, text) == is_plain); /* backslash: \n */
        }
}

static void time_is(fixture *f, const char *stamp, int64_t time_ns) {
    char text[128];
    snprintf(text, sizeof text, "{\"timestamp\":%s,\"st\":1}", stamp);
    CHECK(run(f, text) && f->count == 1 && f->sample[0].time_ns == time_ns);
}

static void time_is_dropped(fixture *f, const char *stamp, pstk_drop reason) {
    char text[128];
    snprintf(text, sizeof text, "{\"st\":1,\"timestamp\":%s}", stamp);
    CHECK(run(f, text) && f->count == 0 && f->dropped[reason] == 1);
}

static void test_epoch_numbers_by_magnitude(fixture *f) {
    time_is(f, "0", 0);
    time_is(f, "null", PSTK_TIME_NONE);
    time_is(f, "1700000000", INT64_C(1700000000000000000));
    time_is(f, "1700000000123", INT64_C(1700000000123000000));
    time_is(f, "1700000000123456", INT64_C(1700000000123456000));
    time_is(f, "1700000000123456789", INT64_C(1700000000123456789));
    time_is(f, "100000000000", INT64_C(100000000000000000)); /* 1e11: ms */
    time_is(f, "100000000000000", INT64_C(100000000000000000));
    time_is(f, "100000000000000000", INT64_C(100000000000000000));
    time_is(f, "-5", -5 * PSTK_NS_PER_S);
    time_is(f, "1700000000.123456789123456789", INT64_C(1700000000123456789));
    time_is(f, "1.7e9", INT64_C(1700000000000000000));
    time_is(f, "1700000000123.5", INT64_C(1700000000123500000));
    time_is(f, "9223372036854775807", INT64_MAX);
    time_is(f, "1e-30", 0);
    time_is_dropped(f, "9223372036854775808", PSTK_DROP_RANGE);
    time_is_dropped(f, "-9223372036854775808", PSTK_DROP_RANGE);
    time_is_dropped(f, "10000000000", PSTK_DROP_RANGE); /* seconds, year 2286 */
    time_is_dropped(f, "1e300", PSTK_DROP_RANGE);
    time_is_dropped(f, "true", PSTK_DROP_MALFORMED);
    time_is_dropped(f, "{}", PSTK_DROP_MALFORMED);
    time_is_dropped(f, "[1]", PSTK_DROP_MALFORMED);
}

static void test_rfc_3339_texts(fixture *f) {
    time_is(f, "\"1970-01-01T00:00:00Z\"", 0);
    time_is(f, "\"2026-11-23T06:00:00.5Z\"", INT64_C(1795413600500000000));
    time_is(f, "\"2026-11-23t07:30:00.123456789999+01:30\"", INT64_C(1795413600123456789));
    time_is(f, "\"2026-11-22 22:00:00-08:00\"", INT64_C(1795413600000000000));
    time_is(f, "\"2024-02-29T23:59:60z\"", INT64_C(1709251200000000000));
    time_is(f, "\"1969-12-31T23:59:59.9Z\"", -100000000);
    time_is(f, "\"2000-02-29T00:00:00Z\"", INT64_C(951782400000000000));
    time_is(f, "\"1700-03-01T00:00:00Z\"", INT64_C(-8515238400000000000));
    time_is(f, "\"2262-04-11T23:47:16.854775807Z\"", INT64_MAX);
    time_is_dropped(f, "\"2262-04-11T23:47:16.854775808Z\"", PSTK_DROP_RANGE);
    time_is_dropped(f, "\"1677-09-21T00:12:43.145224192Z\"", PSTK_DROP_RANGE); /* INT64_MIN */
    time_is(f, "\"1677-09-21T00:12:43.145224193Z\"", -INT64_MAX);
    time_is_dropped(f, "\"9999-12-31T23:59:59Z\"", PSTK_DROP_RANGE);
    time_is_dropped(f, "\"0000-01-01T00:00:00Z\"", PSTK_DROP_RANGE);
    static const char *const bad[] = {"\"\"",
                                      "\"2026-11-23T06:00:00\"",
                                      "\"2026-11-23T06:00:00+0100\"",
                                      "\"2026-13-01T00:00:00Z\"",
                                      "\"2026-02-29T00:00:00Z\"",
                                      "\"1900-02-29T00:00:00Z\"",
                                      "\"2026-00-10T00:00:00Z\"",
                                      "\"2026-01-00T00:00:00Z\"",
                                      "\"2026-01-01T24:00:00Z\"",
                                      "\"2026-01-01T00:60:00Z\"",
                                      "\"2026-01-01T00:00:61Z\"",
                                      "\"2026-01-01T00:00:00.Z\"",
                                      "\"2026-01-01T00:00:00ZZ\"",
                                      "\"2026-01-01X00:00:00Z\"",
                                      "\"2026-01-01T00:00:00+24:00\"",
                                      "\"2026-01-01T00:00:00+01:60\"",
                                      "\"20260101T000000Z....\"",
                                      "\"2026-01-01T00:00:00.5\"",
                                      "\"x026-01-01T00:00:00Z\"",
                                      "\"2026-01-01T00-00-00Z\"",
                                      "\"2026-01-01T00:00:00+01-00\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        time_is_dropped(f, bad[i], PSTK_DROP_MALFORMED);
}

static void test_future_is_dropped_and_no_stamp_never_is(fixture *f) {
    f->future_after_ns = 100 * PSTK_NS_PER_S;
    CHECK(run(
        f, "[{\"st\":1,\"t\":100},{\"st\":2,\"t\":101},{\"st\":3},{\"st\":4,\"t\":7258118400}]"));
    CHECK(f->count == 2 && f->dropped[PSTK_DROP_FUTURE] == 2 && is_f64(f, 1, "st", 3));
    f->future_after_ns = INT64_MAX;
}

static void test_reserved_members_of_a_wrong_type_refuse_the_message(fixture *f) {
    static const char *const bad[] = {"{\"seq\":-1}",
                                      "{\"seq\":1.0}",
                                      "{\"seq\":\"5\"}",
                                      "{\"seq\":18446744073709551616}",
                                      "{\"seq\":true}",
                                      "{\"seq\":[1]}",
                                      "{\"stream\":4294967296}",
                                      "{\"boot\":1e3}",
                                      "{\"boot\":{}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(is_refused(f, bad[i]));
    CHECK(run(f, "{\"seq\":null,\"stream\":-0}") && !f->message.is_numbered);
}

static void test_syntax_errors_are_refused_whole(fixture *f) {
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "[",
                                      "}",
                                      "{\"a\":1",
                                      "{\"a\":1,}",
                                      "{\"a\" 1}",
                                      "{\"a\":}",
                                      "{a:1}",
                                      "{,}",
                                      "[1,]",
                                      "[1 2]",
                                      "{} {}",
                                      "{}x",
                                      "nul",
                                      "tru",
                                      "truex",
                                      "01",
                                      "1.",
                                      ".5",
                                      "+1",
                                      "-",
                                      "1e",
                                      "1e+",
                                      "0x1",
                                      "NaN",
                                      "[NaN]",
                                      "[Infinity]",
                                      "[-]",
                                      "{\"a\":1}\x01",
                                      "\xef\xbb\xbf{}",
                                      "[1]\f",
                                      "/**/{}",
                                      "'a'",
                                      "{\"a\":1,\"b\":tru}",
                                      "{\"samples\":[{\"a\":1},{]}",
                                      "{\"t\":}",
                                      "{\"value\":[1,}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(is_refused(f, bad[i]));
    CHECK(!fixture_run(f, PSTK_FORMAT_JSON, "{}\0", 3));
    CHECK(pstk_tags_find(f->tags, (const uint8_t *)"never", 5) == PSTK_TAG_NONE);
    CHECK(is_refused(f, "{\"never\":1,\"b\":}"));
    CHECK(pstk_tags_find(f->tags, (const uint8_t *)"never", 5) ==
          PSTK_TAG_NONE); /* all or nothing */
    CHECK(run(f, "\t\r\n 5 ") && f->message.samples == 0);
}

static void test_every_cut_is_refused(fixture *f) {
    static const char text[] = "{\"stream\":1,\"seq\":5,\"samples\":[{\"name\":\"a\\u00e9b\","
                               "\"value\":-1.5e+3,\"quality\":0,"
                               "\"time\":\"2026-01-01T00:00:00Z\"},{\"k\xc3\xa9y\":true,\"n\":{"
                               "\"x\":null,\"y\":[false]}}]}";
    CHECK(fixture_run(f, PSTK_FORMAT_JSON, text, sizeof text - 1) && f->message.samples == 3);
    for (size_t size = 0; size < sizeof text - 1; size++)
        CHECK(!fixture_run(f, PSTK_FORMAT_JSON, text, size));
}

static bool is_depth_accepted(fixture *f, size_t depth, const char *open, const char *close) {
    static char text[FRAME_BYTES_MAX];
    size_t size = 0;
    for (size_t i = 0; i < depth; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s", open);
    size += (size_t)snprintf(text + size, sizeof text - size, "1");
    for (size_t i = 0; i < depth; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s", close);
    return run(f, text);
}

static void test_depth_is_bounded(fixture *f) {
    CHECK(is_depth_accepted(f, PSTK_JSON_DEPTH_MAX, "[", "]"));
    CHECK(!is_depth_accepted(f, PSTK_JSON_DEPTH_MAX + 1, "[", "]"));
    CHECK(is_depth_accepted(f, PSTK_JSON_DEPTH_MAX, "{\"d\":", "}") && f->count == 1);
    CHECK(!is_depth_accepted(f, PSTK_JSON_DEPTH_MAX + 1, "{\"d\":", "}"));
    CHECK(!is_depth_accepted(f, 10000, "[", "]") && f->reason == PSTK_DROP_MALFORMED);
    CHECK(!is_depth_accepted(f, 10000, "{\"d\":", "}") && f->message.samples == 1);
    CHECK(!is_depth_accepted(f, 100000, "[", ""));
}

/* The densest documents a frame can hold fill the scratch and do not overflow it. */
static void test_the_densest_frames_fit_the_scratch(fixture *f) {
    static char text[FRAME_BYTES_MAX];
    static const char *const unit[] = {"\"\":1,", "\"\":[],", "\"\":{},", "\"\":{\"v\":1},"};
    for (size_t k = 0; k < sizeof unit / sizeof *unit; k++) {
        size_t size = 1, step = strlen(unit[k]), expected = 1;
        text[0] = '{';
        for (; size + step + 5 < sizeof text; size += step, expected += k != 2)
            memcpy(text + size, unit[k], step);
        memcpy(text + size, "\"\":1}", 6);
        CHECK(fixture_begin(f, PSTK_FORMAT_JSON, text, size + 5));
        CHECK(f->message.samples == expected);
    }
    memset(text, '9', sizeof text); /* a number as long as the frame, for the slow path */
    memcpy(text, "{\"i.flow\":0.", 12);
    text[sizeof text - 1] = '}';
    CHECK(fixture_run(f, PSTK_FORMAT_JSON, text, sizeof text) && is_f64(f, 0, "i.flow", 1.0));
    memset(text, 'x', sizeof text); /* a name of a MiB */
    memcpy(text, "{\"\\n", 4);
    memcpy(text + sizeof text - 4, "\":1}", 4);
    CHECK(fixture_run(f, PSTK_FORMAT_JSON, text, sizeof text) &&
          f->dropped[PSTK_DROP_TAG_NAME] == 1);
}

static void test_steps_of_any_size_agree(fixture *f) {
    static char text[200000];
    static pstk_sample whole[3000];
    size_t size = (size_t)snprintf(text, sizeof text, "[");
    for (int i = 0; i < 1000; i++)
        size += (size_t)snprintf(text + size, sizeof text - size,
                                 "{\"m%d\":{\"good\":%d,\"state\":\"S%d\",\"on\":%s},\"t\":%d},",
                                 i % 20, i, i % 5, i % 3 ? "true" : "false", i);
    memcpy(text + size - 1, "]", 2);
    CHECK(run(f, text) && f->count == 3000);
    memcpy(whole, f->sample, sizeof whole);
    for (f->capacity = 1; f->capacity < 3000; f->capacity += 701)
        CHECK(run(f, text) && memcmp(whole, f->sample, sizeof whole) == 0);
    f->capacity = SAMPLES_MAX;
    pstk_step step;
    CHECK(fixture_begin(f, PSTK_FORMAT_JSON, text, size));
    pstk_parse_skip(f->parser, 2990);
    pstk_parse_step(f->parser, f->sample, 100, INT64_MAX, f->dropped, &step);
    CHECK(step.samples == 10 && step.is_done &&
          memcmp(whole + 2990, f->sample, 10 * sizeof *whole) == 0);
}

int main(void) {
    fixture *f = fixture_open(1000, 64);
    test_sample_objects_and_arrays_of_them(f);
    test_envelope_with_samples(f);
    test_flat_objects(f);
    test_nested_members_join_with_a_dot(f);
    test_subject_names_what_has_no_name(f);
    test_types_of_numbers(f);
    test_quality(f);
    test_texts_are_bounded(f);
    test_strings_and_their_escapes(f);
    test_strings_stop_at_the_right_byte(f);
    test_epoch_numbers_by_magnitude(f);
    test_rfc_3339_texts(f);
    test_future_is_dropped_and_no_stamp_never_is(f);
    test_reserved_members_of_a_wrong_type_refuse_the_message(f);
    test_syntax_errors_are_refused_whole(f);
    test_every_cut_is_refused(f);
    test_depth_is_bounded(f);
    test_the_densest_frames_fit_the_scratch(f);
    test_steps_of_any_size_agree(f);
    fixture_close(f);
    return check_result("parse_json");
}
