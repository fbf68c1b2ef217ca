/* fuzz_parse_shape: a row of JSON payloads through a parser that knows the shapes of those before
 * (json_shape.c) and through one that does not: samples, drops and items must be the same, bit for
 * bit. Input: payloads, each ended by a byte 0; it is read twice, so that each has a shape the
 * second time. Plant: PSTK_PLANT_SHAPE forgets what follows the last value. */
#include "../native/parse_twins.h"

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static void run(twins *both, const uint8_t *bytes, size_t size) {
    uint8_t *payload = malloc(size ? size : 1); /* exact: a read behind it is an error */
    MUST(payload != NULL);
    memcpy(payload, bytes, size);
    twin_hurry(&both->shaped);
    MUST(twins_run(both, 0, payload, size));
    free(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > TWIN_FRAME_MAX)
        return 0;
    twins *both = twins_open();
    MUST(both != NULL);
    for (int turn = 0; turn < 2; turn++)
        for (size_t at = 0, next; at < size; at = next + 1) {
            const uint8_t *zero = memchr(data + at, 0, size - at);
            next = zero ? (size_t)(zero - data) : size;
            run(both, data + at, next - at);
        }
    twins_close(both);
    return 0;
}
