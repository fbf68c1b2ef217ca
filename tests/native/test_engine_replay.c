/* A recording read by the engine thread: the same events as from the same bytes by a socket; killed
 * anywhere it goes on where it was, nothing lost, nothing twice; what is no recording is refused by
 * path, and a tail that was cut off ends it.
 *
 * Method  recordings of ZMTP and NATS are written here, with JSON (no sequence: the place in the
 * file decides) and packed v1 (numbered); the peer by socket sends the file as it is. */
#include "engine_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#define MESSAGES 30000u
#define EVENTS_MAX 4096u
#define PATIENCE_NS (60 * SECOND)

typedef enum form { ZMTP_JSON, ZMTP_PACKED, NATS_JSON, NATS_PACKED, FORMS } form;

static bool is_nats(form f) { return f == NATS_JSON || f == NATS_PACKED; }
static bool is_json(form f) { return f == ZMTP_JSON || f == NATS_JSON; }

/* ---- recordings ------------------------------------------------------------------------------ */

static const uint8_t greeting[64] = {0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1, 'N', 'U', 'L', 'L'};
static const char ready[] = "\4\32\5READY\13Socket-Type\0\0\0\4PUSH";
static const char hello[] = "INFO {\"server_id\":\"R\",\"version\":\"2.10.0\",\"proto\":1,"
                            "\"headers\":true,\"max_payload\":1048576}\r\nPONG\r\n";

static char file_path[128];

static size_t message_of(form f, uint32_t k, uint8_t *out) {
    double value = k % 60 < 2 ? 15 : 5 + k % 7 / 8.0;
    int64_t time_ns = START_NS + (int64_t)k * 1000000;
    const char *tag = k % 2 ? "a.level" : "b.level";
    if (is_json(f))
        return (size_t)snprintf((char *)out, 128, "{\"name\":\"%s\",\"value\":%.3f,\"t\":%lld}",
                                tag, value, (long long)time_ns);
    static packed p;
    packed_head head = {.stream = 1, .boot = 1, .seq = k, .time_ns = time_ns, .tag = tag};
    packed_start(&p, &head);
    packed_put(&p, value);
    memcpy(out, p.bytes, p.size);
    return p.size;
}

static void write_recording(form f, uint32_t messages) {
    snprintf(file_path, sizeof file_path, "%s/recording", place_dir);
    FILE *file = fopen(file_path, "wb");
    REQUIRE(file != NULL);
    if (is_nats(f)) {
        fwrite(hello, 1, sizeof hello - 1, file);
    } else {
        fwrite(greeting, 1, sizeof greeting, file);
        fwrite(ready, 1, sizeof ready - 1, file);
    }
    for (uint32_t k = 0; k < messages; k++) {
        uint8_t message[256];
        size_t size = message_of(f, k, message);
        if (is_nats(f))
            fprintf(file, "MSG plant.%u %u %zu\r\n", k % 3, 1 + k % 2, size);
        else
            fwrite((const uint8_t[2]){0, (uint8_t)size}, 1, 2, file);
        fwrite(message, 1, size, file);
        if (is_nats(f))
            fwrite("\r\n", 1, 2, file);
    }
    REQUIRE(fclose(file) == 0);
}

static uint64_t file_size(void) {
    struct stat info;
    REQUIRE(stat(file_path, &info) == 0);
    return (uint64_t)info.st_size;
}

/* ---- engines --------------------------------------------------------------------------------- */

static setup replay_setup(form f) {
    setup s = with_limit();
    s.options.clock = PSTK_CLOCK_SYSTEM;
    s.source[0] = pull_source("line");
    s.source[0].kind = PSTK_SOURCE_REPLAY;
    s.source[0].is_bind = 0;
    s.source[0].format = is_json(f) ? PSTK_FORMAT_JSON : PSTK_FORMAT_PACKED;
    s.source[0].future_max_ns = INT64_C(1) << 59;
    snprintf(s.source[0].host, sizeof s.source[0].host, "%s", file_path);
    return s;
}

static pstk_engine *must_start(const setup *s) {
    pstk_engine *engine = must_open(s);
    pstk_error err = {0};
    int status = pstk_engine_start(engine, &err);
    if (status != PSTK_OK)
        fprintf(stderr, "start: %s\n", err.text);
    REQUIRE(status == PSTK_OK);
    return engine;
}

/* False where it did not come to that in time. */
static bool wait_used(pstk_engine *engine, uint64_t used) {
    for (int64_t end_ns = pstk_boot_ns() + PATIENCE_NS; pstk_boot_ns() < end_ns;) {
        if (source_of(engine, 0).used >= used)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return false;
}

/* Down, and told as of then: figures of the wire are copied once a turn of the engine thread, and
 * a short recording is over within one. */
static bool wait_down(pstk_engine *engine, uint64_t frames) {
    for (int64_t end_ns = pstk_boot_ns() + PATIENCE_NS; pstk_boot_ns() < end_ns;) {
        pstk_source_stats stats = source_of(engine, 0);
        if (!stats.is_up && stats.connections == 0 && stats.frames >= frames)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return false;
}

typedef struct told { /* events, as far as they must not depend on the run */
    size_t count;
    struct {
        uint8_t id[16], digest[16];
    } event[EVENTS_MAX];
} told;

static void collect(pstk_engine *engine, told *out) {
    static pstk_event events[256];
    pstk_error err = {0};
    size_t count = 0;
    do {
        REQUIRE(pstk_engine_poll(engine, events, 256, &count, &err) == PSTK_OK);
        for (size_t i = 0; i < count && out->count < EVENTS_MAX; i++, out->count++) {
            memcpy(out->event[out->count].id, events[i].id, 16);
            memcpy(out->event[out->count].digest, events[i].digest, 16);
        }
        if (count)
            REQUIRE(pstk_engine_acknowledge(engine, events[count - 1].seq, &err) == PSTK_OK);
    } while (count);
}

static bool is_same_told(const told *a, const told *b) {
    bool is_same = a->count == b->count && memcmp(a->event, b->event, a->count * 32) == 0;
    if (!is_same)
        fprintf(stderr, "%zu events, and %zu others\n", a->count, b->count);
    return is_same && a->count > 0;
}

/* ---- the same bytes by a socket -------------------------------------------------------------- */

static int listen_anywhere(uint16_t *out_port) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof where;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&where, size) == 0 && listen(fd, 1) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&where, &size) == 0);
    *out_port = ntohs(where.sin_port);
    return fd;
}

/* A peer that knows nothing but the file; it leaves when told to. */
static pid_t send_file(int listener) {
    fflush(NULL);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child)
        return child;
    char bytes[4096];
    int from = open(file_path, O_RDONLY), to = accept(listener, NULL, NULL);
    for (ssize_t n; (n = read(from, bytes, sizeof bytes)) > 0;)
        for (ssize_t sent = 0, m; sent < n; sent += m)
            if ((m = send(to, bytes + sent, (size_t)(n - sent), MSG_NOSIGNAL)) <= 0)
                _exit(1);
    while (recv(to, bytes, sizeof bytes, 0) > 0) {
    }
    _exit(0);
}

static void run_by_socket(form f, told *out) {
    setup s = replay_setup(f);
    int listener = listen_anywhere(&s.source[0].port);
    s.source[0].kind = is_nats(f) ? PSTK_SOURCE_NATS : PSTK_SOURCE_ZMQ_PULL;
    s.source[0].full = is_nats(f) ? PSTK_FULL_DROP : PSTK_FULL_BLOCK;
    s.options.ring_bytes = 64 * RING_BYTES; /* so that nothing is dropped */
    snprintf(s.source[0].host, sizeof s.source[0].host, "127.0.0.1");
    s.source[0].subject_count = is_nats(f) ? 2 : 0;
    for (unsigned i = 0; i < s.source[0].subject_count; i++)
        memcpy(s.source[0].subjects[i], ">", 2);
    pid_t peer = send_file(listener);
    pstk_engine *engine = must_start(&s);
    CHECK(wait_used(engine, MESSAGES) && source_of(engine, 0).used == MESSAGES);
    collect(engine, out);
    must_close(engine);
    int status = 0;
    REQUIRE(waitpid(peer, &status, 0) == peer);
    close(listener);
}

static void run_by_file(form f, told *out) {
    setup s = replay_setup(f);
    pstk_engine *engine = must_start(&s);
    CHECK(wait_used(engine, MESSAGES) && wait_down(engine, MESSAGES));
    pstk_source_stats stats = source_of(engine, 0);
    CHECK(stats.used == MESSAGES && stats.received == MESSAGES && all_dropped(&stats) == 0);
    CHECK(stats.protocol_errors == 0 && stats.frames == MESSAGES);
    CHECK(stats.is_numbered == !is_json(f));
    collect(engine, out);
    must_close(engine);
}

static void test_a_recording_gives_the_events_of_the_same_bytes_by_a_socket(void) {
    static told by_socket, by_file;
    for (form f = 0; f < FORMS; f++) {
        place_begin();
        write_recording(f, MESSAGES);
        by_socket.count = by_file.count = 0;
        run_by_socket(f, &by_socket);
        remove_folder(state_dir);
        run_by_file(f, &by_file);
        CHECK(is_same_told(&by_socket, &by_file));
        place_end();
    }
}

/* ---- kills ----------------------------------------------------------------------------------- */

typedef struct until {
    form form;
    uint64_t used;
    bool has_checkpoint;
} until;

static void replay_until(void *context) {
    const until *to = context;
    pstk_error err;
    setup s = replay_setup(to->form);
    pstk_engine *engine = must_start(&s);
    CHECK(wait_used(engine, to->used / 2));
    if (to->has_checkpoint)
        CHECK(pstk_engine_checkpoint(engine, true, &err) == PSTK_OK);
    CHECK(wait_used(engine, to->used));
}

static void test_killed_it_goes_on_where_it_was(void) {
    static told whole, parts;
    uint64_t seed = (uint64_t)pstk_wall_ns() | 1, random = seed;
    printf("seed %llu\n", (unsigned long long)seed);
    for (form f = 0; f < FORMS; f++) {
        place_begin();
        write_recording(f, MESSAGES);
        whole.count = parts.count = 0;
        run_by_file(f, &whole);
        remove_folder(state_dir);
        for (uint64_t used = 0; used < MESSAGES;) {
            used += 1 + pstk_random(&random) % (MESSAGES / 3);
            if (used < MESSAGES)
                in_killed_child(replay_until, &(until){f, used, used % 2});
        }
        setup s = replay_setup(f);
        pstk_engine *engine = must_start(&s);
        CHECK(wait_used(engine, MESSAGES));
        collect(engine, &parts);
        pstk_source_stats stats = source_of(engine, 0);
        CHECK(stats.used == MESSAGES && stats.lost_upstream == 0);
        /* By its place nothing is even read twice; by its number it is, and is not used. */
        CHECK(all_dropped(&stats) == stats.dropped[PSTK_DROP_DUPLICATE]);
        CHECK(!is_json(f) || all_dropped(&stats) == 0);
        CHECK(is_conserved(engine, 0, !is_json(f)));
        CHECK(is_same_told(&whole, &parts));
        must_close(engine);
        place_end();
    }
}

static void test_a_finished_recording_is_not_read_again(void) {
    static told once;
    place_begin();
    write_recording(ZMTP_JSON, MESSAGES);
    once.count = 0;
    run_by_file(ZMTP_JSON, &once);
    setup s = replay_setup(ZMTP_JSON);
    pstk_engine *engine = must_start(&s);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    pstk_source_stats stats = source_of(engine, 0);
    CHECK(stats.used == MESSAGES && stats.frames == 0 && all_dropped(&stats) == 0);
    CHECK(stats.bytes == 0 && !stats.is_up); /* not even looked at */
    must_close(engine);
    place_end();
}

/* ---- what is no whole recording -------------------------------------------------------------- */

static void test_a_tail_that_was_cut_off_ends_it(void) {
    for (form f = 0; f < FORMS; f++)
        for (int cut = 1; cut < 40; cut += 13) {
            place_begin();
            write_recording(f, 100);
            REQUIRE(truncate(file_path, (off_t)file_size() - cut) == 0);
            setup s = replay_setup(f);
            pstk_engine *engine = must_start(&s);
            CHECK(wait_used(engine, 99) && wait_down(engine, 99));
            pstk_source_stats stats = source_of(engine, 0);
            CHECK(stats.used == 99 && stats.received == 99 && stats.protocol_errors == 0);
            must_close(engine);
            place_end();
        }
}

static void put_file(const void *bytes, size_t size) {
    FILE *file = fopen(file_path, "wb");
    REQUIRE(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

static bool is_start_refused(const char *text) {
    setup s = replay_setup(ZMTP_JSON);
    pstk_engine *engine = must_open(&s);
    pstk_error err = {0};
    int status = pstk_engine_start(engine, &err);
    bool is_right = status != PSTK_OK && strstr(err.text, text) && strstr(err.text, file_path);
    if (!is_right)
        fprintf(stderr, "start gave %d: %s\n", status, err.text);
    must_close(engine);
    return is_right;
}

static void test_what_is_no_recording_is_refused_by_path(void) {
    place_begin();
    snprintf(file_path, sizeof file_path, "%s/recording", place_dir);
    CHECK(is_start_refused("cannot open the recording"));
    put_file("", 0);
    CHECK(is_start_refused("neither a ZMTP greeting nor a NATS INFO"));
    put_file("{\"name\":\"a\"}", 12);
    CHECK(is_start_refused("neither a ZMTP greeting nor a NATS INFO"));
    put_file(greeting, sizeof greeting);
    CHECK(is_start_refused("no whole handshake"));
    put_file("INFO nothing\r\n", 14);
    CHECK(is_start_refused("no whole handshake"));
    put_file(hello, sizeof hello - 7);
    CHECK(is_start_refused("no whole handshake"));
    snprintf(file_path, sizeof file_path, "%s", place_dir);
    CHECK(is_start_refused("no regular file"));
    place_end();
}

static void test_a_shorter_file_than_was_read_is_another(void) {
    static told once;
    place_begin();
    write_recording(NATS_JSON, MESSAGES);
    once.count = 0;
    run_by_file(NATS_JSON, &once);
    write_recording(NATS_JSON, 10);
    CHECK(is_start_refused("another file"));
    place_end();
}

static void test_foreign_bytes_in_the_middle_end_it(void) {
    place_begin();
    write_recording(NATS_JSON, 100);
    FILE *file = fopen(file_path, "ab");
    REQUIRE(file && fputs("SELECT 1;\r\n", file) >= 0 && fclose(file) == 0);
    setup s = replay_setup(NATS_JSON);
    pstk_engine *engine = must_start(&s);
    CHECK(wait_used(engine, 100) && wait_down(engine, 100));
    CHECK(source_of(engine, 0).protocol_errors == 1 && source_of(engine, 0).used == 100);
    must_close(engine);
    place_end();
}

int main(void) {
    test_a_recording_gives_the_events_of_the_same_bytes_by_a_socket();
    test_killed_it_goes_on_where_it_was();
    test_a_finished_recording_is_not_read_again();
    test_a_tail_that_was_cut_off_ends_it();
    test_what_is_no_recording_is_refused_by_path();
    test_a_shorter_file_than_was_read_is_another();
    test_foreign_bytes_in_the_middle_end_it();
    return check_result("test_engine_replay");
}
