/* A capture file with any bytes, played into an engine: blocks are used inside their bounds and by
 * what feed would let pass, or the file ends, or is refused. Input: flags (1 = put the header's
 * checksum right, 2 = those of the blocks, 4 = what follows is the file itself), then patches of 11
 * bytes over a sound file: kind, two of place, eight of value.
 * Plant: PSTK_PLANT_CAPTURE believes a block's count. */
#include "penstock.h"
#include "ring/ring.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATCH_BYTES 11u
#define FILE_BYTES_MAX 65536u
#define T0 INT64_C(1790000000000000000)

static char folder[64], path[96];
static uint8_t base[FILE_BYTES_MAX];
static size_t base_bytes;
static pstk_engine *engine;

static void require(bool is_true, const char *what) {
    if (is_true)
        return;
    fprintf(stderr, "fuzz_engine_play: %s\n", what);
    abort();
}

static int remove_entry(const char *name, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(name);
}

static void end(void) {
    pstk_engine_free(engine);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- a sound file --------------------------------------------------------------------------- */

static void put(pstk_capture_out *out, pstk_record kind, uint64_t pos, int64_t now_ns,
                uint32_t count, const void *payload, size_t size) {
    pstk_error err;
    pstk_block block = {.bytes = (uint32_t)(sizeof block + size),
                        .kind = (uint16_t)kind,
                        .pos = pos,
                        .recv_time_ns = now_ns,
                        .count = count};
    require(pstk_capture_out_put(out, &block, payload, &err) == PSTK_OK, "no put");
}

static void put_names(pstk_capture_out *out) {
    struct {
        pstk_config_record head;
        pstk_config_source source;
    } config = {.head = {.part = PSTK_CONFIG_SOURCES, .count = 1, .source_total = 1},
                .source = {.name = "line"}};
    pstk_tag_record tag[4] = {{.tag_id = 0, .type = PSTK_TYPE_F64, .name_bytes = 2, .name = "m0"},
                              {.tag_id = 1, .type = PSTK_TYPE_I64, .name_bytes = 2, .name = "m1"},
                              {.tag_id = 2, .type = PSTK_TYPE_BOOL, .name_bytes = 2, .name = "m2"},
                              {.tag_id = 3, .type = PSTK_TYPE_CODE, .name_bytes = 2, .name = "m3"}};
    pstk_code_record code[2] = {{.tag_id = 3, .code = 0, .text = "RUN"},
                                {.tag_id = 3, .code = 1, .text = "STOP"}};
    pstk_stream_record stream = {.index = 0, .stream = 7, .boot = 1};
    put(out, PSTK_RECORD_CONFIG, PSTK_CAPTURE_TOLD, T0, 1, &config, sizeof config);
    put(out, PSTK_RECORD_STREAM, PSTK_CAPTURE_TOLD, T0, 1, &stream, sizeof stream);
    put(out, PSTK_RECORD_TAG, PSTK_CAPTURE_TOLD, T0, 4, tag, sizeof tag);
    put(out, PSTK_RECORD_CODE, PSTK_CAPTURE_TOLD, T0, 2, code, sizeof code);
}

static void put_blocks(pstk_capture_out *out) {
    pstk_context context = {.asset = "m0", .at_ns = T0, .set = 1, .values = {.order = "MO-1"}};
    pstk_source_record gap = {.change = PSTK_SOURCE_GAP, .lost = 5, .next_seq = 99};
    pstk_clock_record clock = {.by_ns = 1000000};
    put(out, PSTK_RECORD_CONTEXT, 4096, T0, 1, &context, sizeof context);
    for (uint64_t k = 0; k < 12; k++) {
        pstk_sample sample[40];
        int64_t now_ns = T0 + (int64_t)k * INT64_C(300000000);
        for (uint32_t i = 0; i < 40; i++) {
            pstk_value value = {.i64 = (int64_t)((k + i) % 2)};
            if (i % 4 == 0)
                value.f64 = (double)(i * k % 17);
            sample[i] = (pstk_sample){
                .time_ns = now_ns - (int64_t)(40 - i) * 1000, .value = value, .tag_id = i % 4};
        }
        put(out, PSTK_RECORD_SAMPLES, 8192 + k * 2048, now_ns, 40, sample, sizeof sample);
        if (k == 5)
            put(out, PSTK_RECORD_SOURCE, 8192 + k * 2048 + 1024, now_ns, 1, &gap, sizeof gap);
        if (k == 7)
            put(out, PSTK_RECORD_CLOCK, 8192 + k * 2048 + 1024, now_ns, 1, &clock, sizeof clock);
    }
    put(out, PSTK_RECORD_TICK, 65536, T0 + INT64_C(9000000000), 0, NULL, 0);
}

static void make_base(void) {
    static const uint8_t id[16] = {1};
    pstk_capture_out *out;
    pstk_error err;
    require(pstk_capture_out_open(folder, 1u << 20, id, "fuzz", &out, &err) == PSTK_OK, "no out");
    require(pstk_capture_out_begin(out, 4096, 0, T0, &err) == PSTK_OK, "no file");
    put_names(out);
    put_blocks(out);
    pstk_capture_out_close(out);
    char name[128];
    snprintf(name, sizeof name, "%s/capture-%019lld.bin", folder, (long long)T0);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t got = read(fd, base, sizeof base);
    close(fd);
    require(got > 4096, "no base");
    base_bytes = (size_t)got;
}

static void open_engine(void) {
    pstk_engine_options options = {.abi_version = PSTK_ABI_VERSION,
                                   .clock = PSTK_CLOCK_MANUAL,
                                   .plant = "fuzz",
                                   .ring_bytes = 1u << 20,
                                   .tags_max = 64,
                                   .instances_max = 256,
                                   .streams_max = 64,
                                   .assets_max = 64,
                                   .event_slots = 4096,
                                   .result_slots = 4096,
                                   .reorder_slots = 4096,
                                   .codes_max = 16,
                                   .checkpoint_ns = INT64_C(3600000000000)};
    pstk_source_options source = {.name = "line",
                                  .idle_after_ns = INT64_C(2000000000),
                                  .future_max_ns = INT64_C(60000000000),
                                  .frame_bytes_max = 65536,
                                  .connections_max = 1,
                                  .ring_share = 1.0};
    static pstk_rule rule[2] = {{.name = "high", .series = "1", .kind = PSTK_RULE_LIMIT},
                                {.name = "w", .series = "1", .kind = PSTK_RULE_WINDOW}};
    snprintf(options.state_dir, sizeof options.state_dir, "%s/state", folder);
    snprintf(options.ring_dir, sizeof options.ring_dir, "%s", folder);
    snprintf(rule[0].pattern[0], sizeof rule[0].pattern[0], "m0");
    snprintf(rule[1].pattern[0], sizeof rule[1].pattern[0], "*");
    rule[0].level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 9};
    rule[1].size_ns = INT64_C(1000000000);
    rule[1].emit = PSTK_EMIT_RESULT;
    pstk_error err;
    int status = pstk_engine_open(&options, &source, 1, rule, 2, &engine, &err);
    require(status == PSTK_OK, err.text);
}

static void begin(void) {
    if (folder[0])
        return;
    snprintf(folder, sizeof folder, "/dev/shm/penstock-fuzz-play-%ld", (long)getpid());
    snprintf(path, sizeof path, "%s/file", folder);
    require(mkdir(folder, 0700) == 0, "no folder");
    make_base();
    open_engine();
    atexit(end);
}

/* ---- one input ------------------------------------------------------------------------------ */

/* kind: 0 the header, 1 header of a block near a place, 2 anywhere, 3 file size. */
static void patch(uint8_t *file, size_t *size, const uint8_t *p) {
    uint64_t value = pstk_load_u64(p + 3);
    size_t place = pstk_load_u16(p + 1), at;
    switch (p[0] % 4) {
    case 0:
        at = place % 120u;
        break;
    case 1:
        at = 128 + place / 64 * 64 % (base_bytes - 192) + p[3] % 56u;
        break;
    case 2:
        at = place % (base_bytes - 8);
        break;
    default:
        *size = (size_t)(value % (base_bytes + 1));
        return;
    }
    memcpy(file + at, &value, 8);
}

static void mend(uint8_t *file, size_t size, uint8_t flags) {
    if ((flags & 1) && size >= 128)
        pstk_store_u32(file + 124, pstk_crc32c(0, file, 124));
    for (size_t at = 128; (flags & 2) && at + 64 <= size;) {
        uint32_t bytes = pstk_load_u32(file + at);
        if (bytes < 64 || bytes > size - at)
            return;
        pstk_store_u32(file + at + 60, 0);
        pstk_store_u32(file + at + 60, pstk_crc32c(0, file + at, bytes));
        at += (bytes + 63u) & ~(size_t)63u;
    }
}

static void play(void) {
    pstk_capture *capture;
    pstk_capture_span span;
    pstk_replayed done = {0};
    static pstk_event events[256];
    pstk_error err;
    if (pstk_capture_open(path, &capture, &err) != PSTK_OK)
        return;
    pstk_capture_look(capture, &span);
    for (int turn = 0; turn < 64 && !done.is_done; turn++) {
        size_t count = 0;
        require(pstk_engine_replay(engine, capture, 16384, &done, &err) == PSTK_OK, err.text);
        do {
            require(pstk_engine_poll(engine, events, 256, &count, &err) == PSTK_OK, err.text);
            require(!count ||
                        pstk_engine_acknowledge(engine, events[count - 1].seq, &err) == PSTK_OK,
                    err.text);
        } while (count);
    }
    require(done.is_done, "it goes on for ever");
    pstk_capture_close(capture);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t file[FILE_BYTES_MAX];
    begin();
    if (size < 1)
        return 0;
    size_t file_bytes = base_bytes;
    if (data[0] & 4) {
        file_bytes = PSTK_MIN(size - 1, sizeof file);
        memcpy(file, data + 1, file_bytes);
    } else {
        memcpy(file, base, base_bytes);
        for (size_t at = 1; at + PATCH_BYTES <= size; at += PATCH_BYTES)
            patch(file, &file_bytes, data + at);
    }
    mend(file, file_bytes, data[0]);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, file, file_bytes) == (ssize_t)file_bytes, "no file");
    close(fd);
    play();
    return 0;
}
