/* engine_fixture: what the engine's tests share: a folder on tmpfs with state and ring, options
 * that every test changes a little, messages in packed v1, and figures to compare across restarts.
 * A test that abandons an engine runs it in a forked child that dies by SIGKILL. */
#ifndef PSTK_ENGINE_FIXTURE_H
#define PSTK_ENGINE_FIXTURE_H

#include "base/base.h"
#include "check.h"
#include "penstock.h"

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define START_NS (INT64_C(1790000000) * SECOND)
#define NO_POSITION UINT64_MAX
#define RING_BYTES UINT64_C(1048576)

static char place_dir[64], state_dir[96], ring_dir[96];

/* ---- folders -------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}
static inline void remove_folder(const char *path) {
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Fresh folders; those of an earlier test of this program are gone. */
static inline void place_begin(void) {
    if (place_dir[0])
        remove_folder(place_dir);
    snprintf(place_dir, sizeof place_dir, "/dev/shm/penstock-engine-XXXXXX");
    REQUIRE(mkdtemp(place_dir) != NULL);
    snprintf(state_dir, sizeof state_dir, "%s/state", place_dir);
    snprintf(ring_dir, sizeof ring_dir, "%s/ring", place_dir);
    REQUIRE(mkdir(ring_dir, 0700) == 0);
}
static inline void place_end(void) {
    remove_folder(place_dir);
    place_dir[0] = 0;
}

/* The one folder that the engine made in ring_dir. */
static inline void ring_folder(char *out, size_t capacity) {
    DIR *folder = opendir(ring_dir);
    REQUIRE(folder != NULL);
    int found = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (strncmp(entry->d_name, "penstock-", 9) == 0) {
            int size = snprintf(out, capacity, "%s/%s", ring_dir, entry->d_name);
            REQUIRE(size > 0 && (size_t)size < capacity);
            found++;
        }
    closedir(folder);
    REQUIRE(found == 1);
}

/* Cuts every image of a folder to nothing. */
static inline int destroy_images(const char *path) {
    DIR *folder = opendir(path);
    REQUIRE(folder != NULL);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (strncmp(entry->d_name, "image.", 6) == 0) {
            char name[512];
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
            REQUIRE(truncate(name, 0) == 0);
            count++;
        }
    closedir(folder);
    return count;
}

/* ---- options -------------------------------------------------------------------------------- */

static inline pstk_engine_options engine_options(void) {
    pstk_engine_options options = {.abi_version = PSTK_ABI_VERSION,
                                   .clock = PSTK_CLOCK_MANUAL,
                                   .plant = "engine test",
                                   .ring_bytes = RING_BYTES,
                                   .tags_max = 256,
                                   .instances_max = 1024,
                                   .streams_max = 64,
                                   .assets_max = 64,
                                   .event_slots = 4096,
                                   .result_slots = 4096,
                                   .reorder_slots = 4096,
                                   .codes_max = 16,
                                   .checkpoint_ns = 3600 * SECOND};
    snprintf(options.state_dir, sizeof options.state_dir, "%s", state_dir);
    snprintf(options.ring_dir, sizeof options.ring_dir, "%s", ring_dir);
    return options;
}

static inline pstk_source_options feed_source(const char *name) {
    pstk_source_options source = {.kind = PSTK_SOURCE_FEED,
                                  .format = PSTK_FORMAT_PACKED,
                                  .idle_after_ns = 60 * SECOND,
                                  .future_max_ns = 60 * SECOND,
                                  .frame_bytes_max = 1u << 20,
                                  .connections_max = 8,
                                  .ring_share = 1.0};
    snprintf(source.name, sizeof source.name, "%s", name);
    return source;
}

static inline pstk_source_options pull_source(const char *name) {
    pstk_source_options source = feed_source(name);
    source.kind = PSTK_SOURCE_ZMQ_PULL;
    source.is_bind = 1;
    source.handshake_ns_max = 10 * SECOND;
    source.reconnect_ns_min = source.reconnect_ns_max = SECOND / 10;
    snprintf(source.host, sizeof source.host, "127.0.0.1");
    return source;
}

static inline pstk_rule make_rule(const char *name, pstk_rule_kind kind, const char *tag) {
    pstk_rule rule;
    memset(&rule, 0, sizeof rule); /* its bytes are its meaning, the padding's too */
    rule.kind = (uint16_t)kind;
    snprintf(rule.name, sizeof rule.name, "%s", name);
    snprintf(rule.series, sizeof rule.series, "1");
    snprintf(rule.pattern[PSTK_ROLE_VALUE], PSTK_NAME_BYTES, "%s", tag);
    return rule;
}

/* Trips at 10 and clears below 9: alternating 5 and 15 makes an event a sample. */
static inline pstk_rule limit_rule(const char *name, const char *tag) {
    pstk_rule rule = make_rule(name, PSTK_RULE_LIMIT, tag);
    rule.level[PSTK_LEVEL_H] = (pstk_limit_level){.is_set = 1, .value = 10, .deadband = 1};
    rule.events_per_minute_max = 1000000;
    return rule;
}

typedef struct setup { /* what an engine is opened with */
    pstk_engine_options options;
    pstk_source_options source[4];
    size_t source_count;
    pstk_rule rule[4];
    size_t rule_count;
} setup;

static inline setup one_source(void) {
    setup s = {.options = engine_options(), .source_count = 1};
    s.source[0] = feed_source("line");
    return s;
}

static inline int try_open(const setup *s, pstk_engine **out_engine, pstk_error *err) {
    memset(err, 0, sizeof *err);
    return pstk_engine_open(&s->options, s->source, s->source_count, s->rule, s->rule_count,
                            out_engine, err);
}

static inline pstk_engine *must_open(const setup *s) {
    pstk_engine *engine = NULL;
    pstk_error err;
    int status = try_open(s, &engine, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "open: %s\n", err.text);
    REQUIRE(status == PSTK_OK && engine != NULL);
    return engine;
}

static inline void must_close(pstk_engine *engine) {
    pstk_error err = {0};
    int status = pstk_engine_close(engine, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "close: %s\n", err.text);
    CHECK(status == PSTK_OK);
    pstk_engine_free(engine);
}

static inline setup with_limit(void) {
    setup s = one_source();
    s.rule_count = 1;
    s.rule[0] = limit_rule("high", "*.level");
    return s;
}

/* Refused with that status, and the sentence says why. */
static inline bool is_refused(const setup *s, int wanted, const char *text) {
    pstk_engine *engine = (void *)1;
    pstk_error err;
    int status = try_open(s, &engine, &err);
    bool is_right = status == wanted && err.status == wanted && engine == NULL &&
                    strstr(err.text, text) != NULL;
    if (!is_right)
        fprintf(stderr, "open gave %d: %s\n    wanted %d: %s\n", status, err.text, wanted, text);
    if (status == PSTK_OK)
        pstk_engine_free(engine);
    return is_right;
}

static inline size_t notice_of(pstk_engine *engine, char *out, size_t capacity) {
    int size = pstk_engine_notice(engine, out, capacity);
    CHECK(size >= 0 && (size_t)size == strlen(out));
    return (size_t)size;
}

/* "" = there must be none. */
static inline bool has_notice(pstk_engine *engine, const char *text) {
    char notice[512] = "";
    notice_of(engine, notice, sizeof notice);
    bool is_there = text[0] ? strstr(notice, text) != NULL : notice[0] == 0;
    if (!is_there)
        fprintf(stderr, "notice: %s\n    wanted: %s\n", notice, text);
    return is_there;
}

/* ---- packed v1 ------------------------------------------------------------------------------ */

typedef struct packed {
    uint8_t bytes[65536];
    size_t size;
    uint16_t count;
} packed;

/* count samples of one f64 tag, 1 ms apart; values 5, 5.5, 6 ... */
typedef struct packed_head {
    uint32_t stream, boot;
    uint64_t seq; /* UINT64_MAX = not numbered */
    int64_t time_ns;
    const char *tag;
    uint8_t type;
} packed_head;

static inline void packed_start(packed *p, const packed_head *head) {
    size_t name_bytes = strlen(head->tag);
    memset(p->bytes, 0, 34);
    memcpy(p->bytes, "PSK1", 4);
    p->bytes[6] = 1;
    pstk_store_u32(p->bytes + 8, head->stream);
    pstk_store_u32(p->bytes + 12, head->boot);
    pstk_store_u64(p->bytes + 16, head->seq);
    pstk_store_u64(p->bytes + 24, (uint64_t)head->time_ns);
    p->bytes[32] = head->type ? head->type : PSTK_TYPE_F64;
    p->bytes[33] = (uint8_t)name_bytes;
    memcpy(p->bytes + 34, head->tag, name_bytes);
    p->size = 34 + name_bytes;
    p->count = 0;
}

static inline void packed_bits(packed *p, uint64_t bits) {
    REQUIRE(p->size + 16 <= sizeof p->bytes);
    uint8_t *at = p->bytes + p->size;
    memset(at, 0, 16);
    pstk_store_u64(at, bits);
    pstk_store_u32(at + 8, p->count * 1000000u);
    p->size += 16;
    pstk_store_u16(p->bytes + 4, ++p->count);
}

static inline void packed_put(packed *p, double value) {
    packed_bits(p, (pstk_value){.f64 = value}.bits);
}

static inline void packed_run(packed *p, const packed_head *head, uint32_t count) {
    packed_start(p, head);
    for (uint32_t i = 0; i < count; i++)
        packed_put(p, 5 + 0.5 * i);
}

/* ---- feeding -------------------------------------------------------------------------------- */

static inline int feed_bytes(pstk_engine *engine, uint32_t source, const void *bytes, size_t size,
                             uint64_t position) {
    pstk_feed_result result;
    pstk_error err = {0};
    pstk_stats stats;
    REQUIRE(pstk_engine_stats(engine, &stats) == PSTK_OK);
    int64_t now = PSTK_MAX(stats.engine_time_ns, START_NS);
    int status =
        pstk_engine_feed_frame(engine, source, NULL, 0, bytes, size, position, now, &result, &err);
    if (status != PSTK_OK && status != PSTK_E_FULL && status != PSTK_E_FAILED)
        fprintf(stderr, "feed_frame: %s\n", err.text);
    return status;
}

static inline int feed_packed(pstk_engine *engine, uint32_t source, const packed *p) {
    return feed_bytes(engine, source, p->bytes, p->size, NO_POSITION);
}

static inline int feed_text(pstk_engine *engine, uint32_t source, const char *text) {
    return feed_bytes(engine, source, text, strlen(text), NO_POSITION);
}

static inline uint32_t must_tag(pstk_engine *engine, uint32_t source, const char *name, int type) {
    uint32_t tag = UINT32_MAX;
    pstk_error err = {0};
    int status = pstk_engine_tag(engine, source, name, strlen(name), type, &tag, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "tag: %s\n", err.text);
    REQUIRE(status == PSTK_OK);
    return tag;
}

#define ROWS_MAX 8192
/* count samples of one tag, 1 ms apart from time_ns on, alternating 5 and 15. */
static inline int feed_rows(pstk_engine *engine, uint32_t source, uint32_t tag, size_t count,
                            int64_t time_ns, uint64_t position) {
    static uint32_t tags[ROWS_MAX];
    static int64_t times[ROWS_MAX];
    static uint64_t values[ROWS_MAX];
    REQUIRE(count <= ROWS_MAX);
    for (size_t i = 0; i < count; i++) {
        tags[i] = tag;
        times[i] = time_ns + (int64_t)i * 1000000;
        values[i] = (pstk_value){.f64 = i % 2 ? 15 : 5}.bits;
    }
    pstk_feed feed = {.source = source,
                      .position = position,
                      .recv_time_ns = time_ns + (int64_t)count * 1000000,
                      .count = count,
                      .tag_ids = tags,
                      .time_ns = times,
                      .values = values};
    pstk_feed_result result;
    pstk_error err = {0};
    int status = pstk_engine_feed(engine, &feed, &result, &err);
    if (status != PSTK_OK && status != PSTK_E_FULL && status != PSTK_E_FAILED)
        fprintf(stderr, "feed: %s\n", err.text);
    return status;
}

/* Polls and acknowledges all there is; how many events that were. */
static inline uint64_t drain(pstk_engine *engine) {
    static pstk_event events[256];
    pstk_error err = {0};
    uint64_t total = 0;
    size_t count = 0;
    do {
        REQUIRE(pstk_engine_poll(engine, events, 256, &count, &err) == PSTK_OK);
        total += count;
        if (count)
            REQUIRE(pstk_engine_acknowledge(engine, events[count - 1].seq, &err) == PSTK_OK);
    } while (count);
    return total;
}

/* ---- figures -------------------------------------------------------------------------------- */

static inline pstk_stats stats_of(pstk_engine *engine) {
    pstk_stats stats;
    REQUIRE(pstk_engine_stats(engine, &stats) == PSTK_OK);
    return stats;
}

static inline pstk_source_stats source_of(pstk_engine *engine, uint32_t source) {
    pstk_source_stats stats;
    REQUIRE(pstk_engine_source_stats(engine, source, &stats) == PSTK_OK);
    return stats;
}

static inline uint64_t all_dropped(const pstk_source_stats *stats) {
    uint64_t sum = 0;
    for (int reason = 0; reason < PSTK_DROP_COUNT; reason++)
        sum += stats->dropped[reason];
    return sum;
}

/* What must hold at any time: nothing is lost between received and used without a name. Where all
 * samples are numbered, nothing between sent and received either. */
static inline bool is_conserved(pstk_engine *engine, uint32_t source, bool is_all_numbered) {
    pstk_source_stats s = source_of(engine, source);
    bool is_whole = s.received == s.used + all_dropped(&s);
    bool is_sent = s.sent_upstream == s.received - s.dropped[PSTK_DROP_DUPLICATE] + s.lost_upstream;
    if (!is_whole || (is_all_numbered && !is_sent))
        fprintf(
            stderr, "%s: received %llu used %llu dropped %llu duplicate %llu sent %llu lost %llu\n",
            s.name, (unsigned long long)s.received, (unsigned long long)s.used,
            (unsigned long long)all_dropped(&s), (unsigned long long)s.dropped[PSTK_DROP_DUPLICATE],
            (unsigned long long)s.sent_upstream, (unsigned long long)s.lost_upstream);
    return is_whole && (!is_all_numbered || is_sent);
}

/* The figures that outlive a process are the same; says which is not. */
static inline bool is_same_totals(const pstk_source_stats *a, const pstk_source_stats *b) {
    bool is_same = a->received == b->received && a->used == b->used &&
                   a->lost_upstream == b->lost_upstream && a->sent_upstream == b->sent_upstream &&
                   a->is_numbered == b->is_numbered;
    for (int reason = 0; reason < PSTK_DROP_COUNT; reason++) {
        if (a->dropped[reason] != b->dropped[reason])
            fprintf(stderr, "%s: dropped{%s} %llu, then %llu\n", a->name, pstk_drop_name(reason),
                    (unsigned long long)a->dropped[reason], (unsigned long long)b->dropped[reason]);
        is_same = is_same && a->dropped[reason] == b->dropped[reason];
    }
    if (!is_same)
        fprintf(stderr,
                "%s: received %llu used %llu lost %llu sent %llu, then %llu %llu %llu %llu\n",
                a->name, (unsigned long long)a->received, (unsigned long long)a->used,
                (unsigned long long)a->lost_upstream, (unsigned long long)a->sent_upstream,
                (unsigned long long)b->received, (unsigned long long)b->used,
                (unsigned long long)b->lost_upstream, (unsigned long long)b->sent_upstream);
    return is_same;
}

/* ---- a process that dies -------------------------------------------------------------------- */

#ifdef __SANITIZE_THREAD__
/* A race in a child must end it at once: dead by SIGKILL it could no longer report one. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "halt_on_error=1"; }
#endif

/* Runs work in a child, which then dies by SIGKILL without closing anything. Anything else it may
 * end by (a failed check, a sanitizer) is a failure here. */
static inline void in_killed_child(void (*work)(void *), void *context) {
    fflush(NULL);
    int failed = check_failed;
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        work(context);
        if (check_failed == failed)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Memory that a child fills and its parent reads. */
static inline void *shared_memory(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    return memory;
}

#endif
