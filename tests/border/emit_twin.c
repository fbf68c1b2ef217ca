/* Reads samples "kind name time value quality" from stdin, a line each, and emits them with
 * penstock_emit.h: with HOST PORT to a PUSH peer, else as length-prefixed messages on stdout.
 * "flush" flushes. Prints numbered, sent, lost and connects to stderr. */
#define PENSTOCK_EMIT_IMPLEMENTATION
#include <penstock_emit.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int to_stdout(void *self, const uint8_t *message, size_t bytes) {
    (void)self;
    uint32_t size = (uint32_t)bytes;
    return fwrite(&size, 4, 1, stdout) != 1 || fwrite(message, 1, bytes, stdout) != bytes;
}

int main(int argc, char **argv) {
    static pstk_emit emit;
    pstk_push push = {0};
    if (argc > 2)
        pstk_push_init(&push, argv[1], argv[2], 500);
    pstk_emit_init(&emit, argc > 2 ? pstk_push_send : to_stdout, &push, 7, 11);
    char line[512], name[300], value[64];
    while (fgets(line, sizeof line, stdin)) {
        int64_t time_ns;
        char kind;
        unsigned quality;
        if (sscanf(line, "%c %299s %" SCNd64 " %63s %u", &kind, name, &time_ns, value, &quality) !=
            5) {
            pstk_emit_flush(&emit);
            fprintf(stderr, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", emit.numbered,
                    emit.sent, emit.lost, push.connects);
        } else if (kind == 'd')
            pstk_emit_f64(&emit, name, time_ns, strtod(value, NULL), (uint16_t)quality);
        else if (kind == 'q')
            pstk_emit_i64(&emit, name, time_ns, strtoll(value, NULL, 10), (uint16_t)quality);
        else
            pstk_emit_bool(&emit, name, time_ns, value[0] == '1', (uint16_t)quality);
    }
    pstk_emit_flush(&emit);
    fprintf(stderr, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", emit.numbered, emit.sent,
            emit.lost, push.connects);
    if (argc > 2)
        pstk_push_close(&push);
    return 0;
}
