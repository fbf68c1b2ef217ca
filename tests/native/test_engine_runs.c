/* Runs of plain messages against one message at a time: the same frames, plain and hostile, in
 * receives of any size, must leave the same journal byte for byte, the same figures and the same
 * events. */
#include "engine.h"
#include "engine_fixture.h"

#define RECEIVES 400u
#define FRAMES_MAX 700u
#define MESSAGE_MAX 192u
#define TAGS 40u
#define STREAMS 3u

typedef struct sender { /* what the wire's other end has said so far */
    uint64_t seed;
    uint32_t stream, boot[STREAMS + 1];
    uint64_t seq[STREAMS + 1]; /* the last is not numbered */
    int64_t time_ns;
    uint64_t form; /* of its JSON objects: the same for a while, as machines do */
    bool is_json;
} sender;

static uint32_t
    crowd; /* further tags: a table that the caches do not hold is looked up otherwise */
static uint8_t bytes[FRAMES_MAX][MESSAGE_MAX];
static pstk_frame frames[FRAMES_MAX];

static uint64_t draw(sender *s, uint64_t below) { return pstk_random(&s->seed) % below; }

/* ---- messages -------------------------------------------------------------------------------- */

static size_t plain_message(sender *s, uint8_t *at) {
    char name[32];
    int size = snprintf(name, sizeof name, draw(s, 20) ? "line%u.m%02u.t%03u" : "t%u",
                        (unsigned)draw(s, TAGS), 3u, 7u);
    bool is_numbered = s->stream < STREAMS;
    uint64_t seq = is_numbered ? s->seq[s->stream]++ : UINT64_MAX;
    double value = (double)draw(s, 2000) / 100; /* the limit is at 10 */
    s->time_ns += (int64_t)draw(s, 3) * 1000000;
    memset(at, 0, MESSAGE_MAX);
    memcpy(at, "PSK1\1\0\1", 7);
    pstk_store_u32(at + 8, s->stream);
    pstk_store_u32(at + 12, s->boot[s->stream]);
    pstk_store_u64(at + 16, seq);
    pstk_store_u64(at + 24, (uint64_t)s->time_ns);
    at[32] = PSTK_TYPE_F64;
    at[33] = (uint8_t)size;
    memcpy(at + 34, name, (size_t)size);
    memcpy(at + 34 + size, &value, 8);
    pstk_store_u32(at + 42 + size, (uint32_t)draw(s, 1000));
    pstk_store_u16(at + 48 + size, draw(s, 50) ? 0 : 0x8000);
    return 50 + (size_t)size;
}

/* One thing is not as usual. */
static size_t odd_message(sender *s, uint8_t *at) {
    static const uint64_t bits[] = {UINT64_C(1) << 63, UINT64_C(0x7FF8000000000000),
                                    UINT64_C(0x7FF0000000000000), UINT64_C(0xFFF0000000000000)};
    if (draw(s, 3) == 0)
        s->stream = (uint32_t)draw(s, STREAMS + 1);
    if (draw(s, 6) == 0)
        s->seq[s->stream % STREAMS] += draw(s, 4); /* a gap */
    if (draw(s, 12) == 0 && s->seq[s->stream % STREAMS] > 2)
        s->seq[s->stream % STREAMS] -= 2; /* again what was sent */
    if (draw(s, 20) == 0) {
        s->boot[s->stream]++;
        s->seq[s->stream] = draw(s, 2);
    }
    size_t size = plain_message(s, at), name = 34 + at[33];
    switch (draw(s, 12)) {
    case 0:
        pstk_store_u64(at + name, bits[draw(s, 4)]);
        break;
    case 1:
        pstk_store_u64(at + 24, (uint64_t)(START_NS + 3600 * SECOND)); /* in the future */
        break;
    case 2:
        pstk_store_u64(at + 24, draw(s, 2) ? (uint64_t)PSTK_TIME_NONE : (uint64_t)INT64_MAX - 5);
        break;
    case 3:
        at[32] = (uint8_t)draw(s, 5);
        break;
    case 4:
        at[draw(s, 2) ? draw(s, 16) : 24 + draw(s, size - 24)] ^= (uint8_t)(1u << draw(s, 8));
        break;
    case 5:
        size -= draw(s, size);
        break;
    case 6:
        size += draw(s, 3);
        break;
    case 7:
        at[33] = (uint8_t)draw(s, 40);
        break;
    case 8: /* another's tag */
        memcpy(at + 34, "other", 5);
        memmove(at + 39, at + name, 16);
        at[33] = 5;
        size = 55;
        break;
    case 9:
        pstk_store_u16(at + name + 12, (uint16_t)draw(s, 3));
        break;
    case 10:
        at[4 + draw(s, 3)] = (uint8_t)draw(s, 4);
        break;
    default: /* only what came before the switch */
        break;
    }
    return size;
}

/* One object in one of the forms in which machines send a number; number: its stream, if any. */
static int usual_json(sender *s, char *text, const char *number) {
    unsigned line = (unsigned)draw(s, TAGS), whole = (unsigned)draw(s, 20);
    unsigned part = (unsigned)draw(s, 100);
    long long time_ns = (long long)s->time_ns;
    switch (s->form) {
    case 0:
        return snprintf(text, MESSAGE_MAX,
                        "{\"name\":\"line%u.m03.t007\",\"value\":%u.%02u,\"t\":%lld%s}", line,
                        whole, part, time_ns, number);
    case 1: /* whole numbers, bad now and then, no stamp of their own, a minus before zero */
        return snprintf(text, MESSAGE_MAX,
                        "{\"name\":\"line%u.m03.t007\",\"v\":%s%u,\"quality\":%u%s}", line,
                        part < 50 ? "-" : "", whole, part % 20 ? 0 : 0x8000, number);
    case 2: /* flat, named by its member; blanks, and at times a line's end */
        return snprintf(text, MESSAGE_MAX, "{\"line7.m03.t007\": %s%u.%u, \"t\": %lld%s}%s",
                        part < 50 ? "-" : "", whole, part, time_ns / 1000, number,
                        part == 7 ? "\n" : "");
    case 3: /* named by its subject */
        return snprintf(text, MESSAGE_MAX, "{\"value\":%u.%u,\"t\":%lld%s}", whole, part,
                        time_ns / 1000000, number);
    default: /* more digits than a double has; names that are too short or too long for words */
        return snprintf(text, MESSAGE_MAX, "{\"name\":\"%.*s\",\"value\":%u.%017u%s}",
                        (int)(1 + part), "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
                        whole, part, number);
    }
}

/* The same in JSON; which: 0 a number as usual. */
static size_t json_message(sender *s, uint8_t *at, uint64_t which) {
    static const char *const odd[] = {
        "{\"name\":\"line1.m03.t007\",\"value\":1e999,\"t\":0}",
        "{\"name\":\"line1.m03.t007\",\"value\":true,\"t\":0}",
        "{\"name\":\"mode\",\"value\":\"RUN\"}",
        "{\"name\":\"mode\",\"value\":\"STOP\"}",
        "{\"name\":\"other\",\"value\":1}",
        "{\"name\":\"line1.m03.t007\",\"value\":null}",
        "{\"good\":5,\"bad\":1}",
        "[{\"name\":\"line2.m03.t007\",\"value\":4}]",
        "{\"name\":\"line1.m03.t007\",\"value\":5,\"t\":\"2299-01-01T00:00:00Z\"}",
        "{\"name\":\"\",\"value\":5}",
        "{\"name\":\"line1.m03.t007\",\"value\":5",
        "",
    };
    bool is_numbered = s->stream < STREAMS;
    unsigned long long seq = is_numbered ? s->seq[s->stream]++ : 0;
    s->time_ns += (int64_t)draw(s, 3) * 1000000;
    char *text = (char *)at, number[96] = "";
    int size;
    if (is_numbered)
        snprintf(number, sizeof number, ",\"stream\":%u,\"boot\":%u,\"seq\":%llu", s->stream,
                 s->boot[s->stream], seq);
    if (which)
        return (size_t)snprintf(text, MESSAGE_MAX, "%s",
                                odd[(which - 1) % (sizeof odd / sizeof odd[0])]);
    size = usual_json(s, text, number);
    REQUIRE(size >= 0 && size < (int)MESSAGE_MAX);
    return (size_t)size;
}

static size_t next_message(sender *s, uint8_t *at, uint64_t odd_every) {
    if (s->is_json && !draw(s, odd_every) && !draw(s, 3)) {
        s->stream = (uint32_t)draw(s, STREAMS + 1);
        s->seq[s->stream] += draw(s, 2);
    }
    if (s->is_json && !draw(s, 40))
        s->form = draw(s, 5);
    if (s->is_json)
        return json_message(s, at, draw(s, odd_every) ? 0 : 1 + draw(s, 12));
    return draw(s, odd_every) ? plain_message(s, at) : odd_message(s, at);
}

static size_t receive(sender *s, uint64_t odd_every) {
    size_t count = 1 + draw(s, draw(s, 4) ? 60 : FRAMES_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t size = next_message(s, bytes[i], odd_every);
        frames[i] = (pstk_frame){.payload = bytes[i], .payload_bytes = (uint32_t)size};
        if (s->is_json && i % 7) {
            frames[i].subject = (const uint8_t *)"line3.m03.t007";
            frames[i].subject_bytes = 14;
        }
    }
    return count;
}

/* ---- the two ways ---------------------------------------------------------------------------- */

static void deliver(pstk_engine *engine, size_t count, bool in_runs, bool may_wait) {
    pthread_mutex_lock(&engine->lock);
    pstk_delivery delivery = {.source = engine->config_source[0],
                              .connection = 5,
                              .position = PSTK_POSITION_NONE,
                              .now_ns = pstk_engine_now(engine),
                              .may_wait = may_wait};
    delivery.future_ns =
        pstk_engine_future(engine, &engine->source[delivery.source], delivery.now_ns);
    size_t taken = 0;
    if (in_runs)
        taken = pstk_engine_take_frames(engine, &delivery, frames, count);
    else
        while (taken < count && pstk_engine_take_frame(engine, &delivery, &frames[taken]))
            taken++;
    pstk_engine_commit_block(engine);
    pstk_engine_settle_counts(engine, delivery.source);
    pthread_mutex_unlock(&engine->lock);
    CHECK(may_wait || taken == count);
}

static void check_same_journal(const pstk_engine *a, const pstk_engine *b, uint64_t *pos) {
    uint64_t next = *pos, other = *pos;
    for (const pstk_block *block; (block = pstk_ring_peek(a->ring, *pos, &next)); *pos = next) {
        const pstk_block *twin = pstk_ring_peek(b->ring, *pos, &other);
        REQUIRE(twin != NULL && next == other);
        CHECK(memcmp(block, twin, block->bytes) == 0);
    }
    CHECK(pstk_ring_written(a->ring) == pstk_ring_written(b->ring));
}

static void check_same_figures(pstk_engine *a, pstk_engine *b) {
    pstk_source_stats one = source_of(a, 0), other = source_of(b, 0);
    CHECK(memcmp(&one, &other, sizeof one) == 0);
    REQUIRE(a->stream_count == b->stream_count);
    for (uint32_t i = 0; i < a->stream_count; i++)
        CHECK(a->stream[i].next_seq == b->stream[i].next_seq);
}

static uint64_t check_same_events(pstk_engine *a, pstk_engine *b) {
    static pstk_event one[4096], other[4096];
    size_t count, twins;
    pstk_error err;
    REQUIRE(pstk_engine_poll(a, one, 4096, &count, &err) == PSTK_OK);
    REQUIRE(pstk_engine_poll(b, other, 4096, &twins, &err) == PSTK_OK);
    REQUIRE(count == twins);
    for (size_t i = 0; i < count; i++)
        CHECK(memcmp(&one[i], &other[i], sizeof one[i]) == 0);
    if (count) {
        CHECK(pstk_engine_acknowledge(a, one[count - 1].seq, &err) == PSTK_OK);
        CHECK(pstk_engine_acknowledge(b, one[count - 1].seq, &err) == PSTK_OK);
    }
    return count;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static pstk_engine *open_in(const char *folder, uint64_t ring_bytes, bool is_json) {
    setup s = one_source();
    s.source[0].format = is_json ? PSTK_FORMAT_JSON : PSTK_FORMAT_PACKED;
    s.source_count = 2;
    s.source[1] = feed_source("other");
    s.rule_count = 1;
    s.rule[0] = limit_rule("high", "*");
    s.options.ring_bytes = ring_bytes;
    s.options.tags_max += crowd;
    s.options.instances_max += crowd;
    s.options.assets_max += crowd;
    snprintf(s.options.state_dir, sizeof s.options.state_dir, "%.64s/state.%s", place_dir, folder);
    snprintf(s.options.ring_dir, sizeof s.options.ring_dir, "%.64s/ring.%s", place_dir, folder);
    REQUIRE(mkdir(s.options.ring_dir, 0700) == 0);
    pstk_engine *engine = must_open(&s);
    must_tag(engine, 1, "other", PSTK_TYPE_F64);
    must_tag(engine, 0, "t1", PSTK_TYPE_I64);
    for (uint32_t i = 0; i < crowd; i++) {
        char name[32];
        snprintf(name, sizeof name, "crowd.%u", i);
        must_tag(engine, 1, name, PSTK_TYPE_F64);
    }
    return engine;
}

static void save(pstk_engine *a, pstk_engine *b) {
    pstk_error err;
    CHECK(pstk_engine_checkpoint(a, 0, &err) == PSTK_OK);
    CHECK(pstk_engine_checkpoint(b, 0, &err) == PSTK_OK);
}

/* saves: both checkpoint each so many receives, 0: the ring fills up. */
static void run(uint64_t seed, uint64_t ring_bytes, uint64_t odd_every, uint64_t saves,
                bool may_wait, bool is_json) {
    place_begin();
    pstk_engine *a = open_in("runs", ring_bytes, is_json);
    pstk_engine *b = open_in("single", ring_bytes, is_json);
    sender s = {.seed = seed, .time_ns = START_NS, .is_json = is_json};
    uint64_t pos = pstk_ring_judged(a->ring), events = 0;
    pstk_error err;
    CHECK(pstk_engine_tick(a, START_NS, &err) == PSTK_OK);
    CHECK(pstk_engine_tick(b, START_NS, &err) == PSTK_OK);
    for (uint64_t k = 0; k < RECEIVES; k++) {
        size_t count = receive(&s, odd_every);
        deliver(a, count, true, may_wait);
        deliver(b, count, false, may_wait);
        check_same_journal(a, b, &pos);
        check_same_figures(a, b);
        events += check_same_events(a, b);
        if (saves && k % saves == saves - 1)
            save(a, b);
    }
    CHECK(events > 100 || !saves);
    must_close(a);
    must_close(b);
    place_end();
}

int main(void) {
    run(1, 8 * RING_BYTES, 1000, 20, false, false);
    run(2, 8 * RING_BYTES, 20, 20, false, false);
    run(3, 8 * RING_BYTES, 3, 20, true, false);
    run(4, RING_BYTES, 100, 5, false, false);
    run(5, 8 * RING_BYTES, 100, 0, false, false);
    run(6, RING_BYTES, 200, 0, true, false);
    run(7, RING_BYTES, 200, 0, false, false);
    run(8, 8 * RING_BYTES, 1000, 20, false, true);
    run(9, 8 * RING_BYTES, 20, 20, false, true);
    run(10, RING_BYTES, 4, 5, true, true);
    run(11, RING_BYTES, 100, 0, false, true);
    crowd = 4500;
    run(12, 8 * RING_BYTES, 1000, 20, false, false);
    run(13, 8 * RING_BYTES, 20, 20, false, false);
    run(14, 8 * RING_BYTES, 3, 20, true, false);
    return check_result("test_engine_runs");
}
