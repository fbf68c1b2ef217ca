/* Shapes (json_shape.c): a parser that knows the shapes of earlier messages and one that does not
 * give the same samples, drops and sequence, bit for bit, whatever comes next: each document of a
 * list after each other, with one byte changed, cut anywhere, with values of every kind in the
 * places of others. Payloads end at a page that must not be read. */
#include "check.h"
#include "parse_twins.h"

#include <sys/mman.h>

#define GUARD_BYTES 65536u
#define MUTATIONS 60000

static uint8_t *payload_end;
static uint64_t seed = UINT64_C(0x9E3779B97F4A7C15);

static uint32_t random_below(uint32_t bound) { return (uint32_t)(pstk_random(&seed) % bound); }

static const char *const documents[] = {
    "{\"name\":\"line1.m01.t001\",\"value\":47.015625,\"t\":1780000000000123}",
    "{\"name\":\"line1.m01.t001\",\"value\":-5,\"time\":1780000000123,\"quality\":16384}",
    "{\"name\":\"line1.m01.t001\",\"value\":0.000123,\"time\":1780000000.25}",
    "{\"time\":\"2026-11-24T06:00:00.125Z\",\"v\":true,\"name\":\"on\"}",
    "{ \"name\" : \"state\" , \"value\" : \"RUN\" , \"ts\" : 1780000000000000000 }\n",
    "{\"value\":12345678901234567,\"name\":\"i64\"}",
    "{\"value\":1.5,\"extra\":[1,2],\"name\":\"x\"}",
    "{\"value\":1.5,\"extra\":\"text\",\"unit\":null,\"name\":\"x\"}",
    "{\"stream\":7,\"boot\":1700000000,\"seq\":41,\"good\":5,\"on\":true,\"state\":\"RUN\"}",
    "{\"stream\":7,\"boot\":1,\"seq\":42,\"name\":\"a\",\"value\":-0.0}",
    "{\"a.rather.long.name.of.a.tag\":1.25,\"another.rather.long.name\":-7,\"t\":1780000000000}",
    "{\"name\":\"n1\",\"quality\":3,\"none\":null,\"i64\":99,\"samples\":5,\"t\":1780000000000}",
    "[{\"name\":\"x\",\"value\":1.5,\"t\":1780000000000},{\"name\":\"y\",\"value\":2,\"t\":1}]",
    "[{\"stream\":1,\"value\":3.25,\"seq\":\"x\"},{\"stream\":2,\"value\":4,\"seq\":3}]",
    "{\"seq\":5,\"samples\":[{\"name\":\"x\",\"v\":1},{\"name\":\"y\",\"v\":2}],\"t\":1780000000}",
    "{\"motor\":{\"rpm\":1480,\"in\":{\"temp\":61.5}}}",
    "{\"value\":1,\"value\":2,\"name\":\"x\"}",
    "{\"K\xc3\xbchlung\":21.5,\"text\":\"\xe2\x82\xac\"}",
    "{\"text\":\"a\\u00e9b\",\"x\":1}",
    "{\"seq\":18446744073709551615,\"x\":1}",
    "{\"x\":1}",
    "{}",
};
#define DOCUMENTS (sizeof documents / sizeof *documents)

static const char *const values[] = {"0",
                                     "-0",
                                     "-0.0",
                                     "0.0",
                                     "1",
                                     "-1",
                                     "21.5",
                                     "00.5",
                                     "01",
                                     "1.",
                                     ".5",
                                     "-",
                                     "1e3",
                                     "1e400",
                                     "-1E-400",
                                     "1.5e",
                                     "123456789012345",
                                     "1234567890123456",
                                     "12345678901234567",
                                     "1234567890123456789",
                                     "12345678901234567890",
                                     "9223372036854775807",
                                     "9223372036854775808",
                                     "-9223372036854775808",
                                     "18446744073709551615",
                                     "0.1",
                                     "0.30000000000000004",
                                     "47.015625",
                                     "99999999.9999999",
                                     "9007199254740993.0",
                                     "4503599627370497.5",
                                     "0.00000000000001",
                                     "1.000000000000000",
                                     "123456789012345.5",
                                     "12345678901234.5",
                                     "1.7976931348623157",
                                     "100000000000",
                                     "99999999999",
                                     "099999999999999",
                                     "99999999999999",
                                     "100000000000000",
                                     "9223372036854",
                                     "9223372036855",
                                     "9223372036854775",
                                     "9223372036854776",
                                     "1780000000000123",
                                     "1780000000.125",
                                     "-1780000000123",
                                     "true",
                                     "false",
                                     "null",
                                     "tru",
                                     "True",
                                     "\"\"",
                                     "\"x\"",
                                     "\"line1.m01.t001\"",
                                     "\"a name that is longer than sixteen bytes\"",
                                     "\"a\\\"b\"",
                                     "\"\\u0041\"",
                                     "\"\xc3\xbc\"",
                                     "\"\xff\"",
                                     "\"a\tb\"",
                                     "\"2026-11-24T06:00:00Z\"",
                                     "\"2026-13-24T06:00:00Z\"",
                                     "[1]",
                                     "{}",
                                     "{\"v\":1}",
                                     "[]",
                                     "65535",
                                     "65536",
                                     "4294967295",
                                     "4294967296",
                                     " 5",
                                     "5 ",
                                     ""};
#define VALUES (sizeof values / sizeof *values)

static void check_same(twins *both, const char *text, size_t size) {
    uint8_t *payload = payload_end - size;
    memcpy(payload, text, size);
    twin_hurry(&both->shaped);
    bool is_same = twins_run(both, (uint16_t)random_below(2), payload, size);
    if (!is_same)
        fprintf(stderr, "the ways differ: %.*s\n", (int)size, text);
    CHECK(is_same);
}

static void learn(twins *both, const char *document) {
    for (int i = 0; i < 4; i++)
        check_same(both, document, strlen(document));
}

static void test_every_document_after_every_other(twins *both) {
    for (size_t i = 0; i < DOCUMENTS; i++)
        for (size_t k = 0; k < DOCUMENTS; k++) {
            learn(both, documents[i]);
            check_same(both, documents[k], strlen(documents[k]));
            check_same(both, documents[i], strlen(documents[i]));
        }
}

static void test_documents_cut_anywhere(twins *both) {
    for (size_t i = 0; i < DOCUMENTS; i++) {
        size_t size = strlen(documents[i]);
        learn(both, documents[i]);
        for (size_t cut = 0; cut < size; cut++)
            check_same(both, documents[i], cut);
    }
}

/* In each document each value gives way to each of the list, one at a time and all at once. */
static size_t put_value(const char *document, size_t wanted, const char *value, char *out) {
    const char *at = document;
    size_t size = 0;
    for (size_t index = 0; *at; index++) {
        size_t text = strcspn(at, ":");
        text += at[text] == ':';
        memcpy(out + size, at, text);
        size += text;
        at += text;
        size_t old = at[-1] == ':' ? strcspn(at, ",}") : 0;
        bool is_taken = old && (index == wanted || wanted == SIZE_MAX);
        size_t new_bytes = is_taken ? strlen(value) : old;
        memcpy(out + size, is_taken ? value : at, new_bytes);
        size += new_bytes;
        at += old;
    }
    return size;
}

static void test_any_value_in_any_place(twins *both) {
    char text[1024];
    for (size_t i = 0; i < DOCUMENTS; i++)
        for (size_t v = 0; v < VALUES; v++) {
            learn(both, documents[i]);
            for (size_t place = 0; place < 6; place++)
                check_same(both, text, put_value(documents[i], place, values[v], text));
            check_same(both, text, put_value(documents[i], SIZE_MAX, values[v], text));
        }
}

static void test_random_changes(twins *both) {
    static const char odd[] = "\"\\{}[]:,.-+eE0123456789 \n\tntf\x80\xc3\x01\x7f";
    for (int i = 0; i < MUTATIONS; i++) {
        char text[512];
        const char *document = documents[random_below(DOCUMENTS)];
        size_t size = strlen(document);
        check_same(both, document, size);
        memcpy(text, document, size);
        for (uint32_t k = 1 + random_below(3); k > 0; k--)
            text[random_below((uint32_t)size + !size)] = odd[random_below(sizeof odd - 1)];
        check_same(both, text, size);
        memmove(text + size / 2 + 1, text + size / 2, size - size / 2); /* one byte more */
        check_same(both, text, size + (size > 0));
    }
}

static void test_numbers_of_every_length(twins *both) {
    char text[256];
    for (int i = 0; i < MUTATIONS; i++) {
        char number[64];
        size_t size = 0;
        uint32_t whole = 1 + random_below(20), decimals = random_below(20);
        if (random_below(4) == 0)
            number[size++] = '-';
        for (uint32_t k = 0; k < whole; k++)
            number[size++] = (char)('0' + random_below(10));
        if (decimals)
            number[size++] = '.';
        for (uint32_t k = 0; k < decimals; k++)
            number[size++] = (char)('0' + random_below(10));
        snprintf(text, sizeof text, "{\"value\":%.*s,\"t\":1%.*s}", (int)size, number,
                 (int)random_below(19), number + (number[0] == '-'));
        check_same(both, text, strlen(text));
    }
}

/* Else the tests above would compare the plain way with itself. */
static void test_usual_messages_take_their_shape(twins *both) {
    static const size_t usual[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 17};
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        const char *text = documents[usual[i]];
        bool is_taken = false;
        for (uint32_t k = 0; k < 2 * PSTK_SHAPE_WAIT_MAX && !is_taken; k++) {
            uint64_t before = both->shaped.parser->json.shaped;
            twin_run(&both->shaped, 0, (const uint8_t *)text, strlen(text));
            is_taken = both->shaped.parser->json.shaped > before;
        }
        if (!is_taken)
            fprintf(stderr, "never by its shape: %s\n", text);
        CHECK(is_taken);
    }
    CHECK(both->plain.parser->json.shaped == 0);
}

int main(void) {
    uint8_t *area =
        mmap(NULL, 2 * GUARD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    twins *both = twins_open();
    REQUIRE(area != MAP_FAILED && both &&
            mprotect(area + GUARD_BYTES, GUARD_BYTES, PROT_NONE) == 0);
    payload_end = area + GUARD_BYTES;
    test_every_document_after_every_other(both);
    test_documents_cut_anywhere(both);
    test_any_value_in_any_place(both);
    test_random_changes(both);
    test_numbers_of_every_length(both);
    test_usual_messages_take_their_shape(both);
    twins_close(both);
    return check_result("parse_shape");
}
