/* Numbered streams through an engine that is killed: whatever instant it dies at, each sample is
 * used once and each gap counted once, as the sender counts them.
 *
 * Method  a recording of messages, a function of their number; the sender repeats what was not
 * confirmed before the kill, as a real one does. Killed at random instants, and in builds with
 * crash points between any two records of the journal. */
#include "engine_fixture.h"

#include <math.h>
#include <stdatomic.h>
#include <time.h>

#define MESSAGES 3000u
#define MESSAGES_SHORT 150u
#define RECORDED_STREAMS 3u

typedef struct recording { /* a sender that repeats what was not confirmed; pure, so that any
                              process can make it again */
    uint32_t boot[RECORDED_STREAMS];
    uint64_t seq[RECORDED_STREAMS];
    uint64_t used, lost, sent;
} recording;

/* Message k: of up to three blocks, with gaps, new boots, samples and messages that are dropped. */
static void record(recording *at, uint32_t k, packed *out) {
    uint32_t s = k * 7 / 5 % RECORDED_STREAMS;
    uint32_t count = k % 9 == 0 ? 1600 + k % 300 : 1 + k % 40;
    if (k % 13 == 5) {
        at->boot[s]++;
        at->seq[s] = 0;
    }
    if (k % 7 == 3) {
        at->seq[s] += k % 5 + 1;
        at->lost += k % 5 + 1;
        at->sent += k % 5 + 1;
    }
    char tag[32];
    snprintf(tag, sizeof tag, "s%u.t%u", s, k / 100);
    packed_head head = {.stream = s,
                        .boot = at->boot[s],
                        .seq = at->seq[s],
                        .time_ns = START_NS + (int64_t)k * SECOND,
                        .tag = tag};
    packed_start(out, &head);
    bool is_spoiled = k % 11 == 10;
    for (uint32_t i = 0; i < count; i++)
        packed_put(out, (i + k) % 13 == 12 ? (double)NAN : i);
    for (uint32_t i = 0; i < count && !is_spoiled; i++)
        at->used += (i + k) % 13 != 12;
    out->size -= is_spoiled;
    at->seq[s] += count;
    at->sent += count;
}

static setup recorded_setup(void) {
    setup s = one_source();
    s.source[0].future_max_ns = INT64_C(1) << 59;
    return s;
}

/* What a process shares with the one that starts it. */
typedef struct sender {
    atomic_uint confirmed;
    uint32_t messages;
    char point[64]; /* of crash points, "" = none */
} sender;

static void send_recording(sender *to) {
    static packed p;
    setup s = recorded_setup();
    recording at = {0};
    pstk_error err;
    pstk_engine *engine = must_open(&s);
    for (uint32_t k = 0; k < to->messages; k++) {
        record(&at, k, &p);
        if (k < atomic_load(&to->confirmed))
            continue;
        CHECK(feed_packed(engine, 0, &p) == PSTK_OK);
        if (k % 37 == 36)
            CHECK(pstk_engine_checkpoint(engine, k % 2, &err) == PSTK_OK);
        atomic_store(&to->confirmed, k + 1);
    }
    must_close(engine);
}

/* One process, killed after a while or by its crash point; true when it came to the end. */
static bool send_for_a_while(sender *to, int64_t pause_ns) {
    fflush(NULL);
    int failed = check_failed;
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        if (to->point[0])
            setenv("PENSTOCK_CRASH_AT", to->point, 1);
        send_recording(to);
        _exit(check_failed != failed);
    }
    if (pause_ns) {
        nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
        kill(child, SIGKILL);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    return WIFEXITED(status);
}

/* Each sample was used once, each gap counted once. */
static bool is_sent_once(const sender *to) {
    static packed p;
    recording whole = {0};
    for (uint32_t k = 0; k < to->messages; k++)
        record(&whole, k, &p);
    setup s = recorded_setup();
    pstk_engine *engine = must_open(&s);
    pstk_source_stats stats = source_of(engine, 0);
    CHECK(is_conserved(engine, 0, false));
    must_close(engine);
    bool is_right = stats.used == whole.used && stats.lost_upstream == whole.lost &&
                    stats.sent_upstream == whole.sent;
    if (!is_right)
        fprintf(stderr, "    used %llu of %llu, lost %llu of %llu, sent %llu of %llu\n",
                (unsigned long long)stats.used, (unsigned long long)whole.used,
                (unsigned long long)stats.lost_upstream, (unsigned long long)whole.lost,
                (unsigned long long)stats.sent_upstream, (unsigned long long)whole.sent);
    return is_right;
}

static void test_numbered_streams_survive_kills_at_any_instant(void) {
    place_begin();
    sender *to = shared_memory(sizeof *to);
    to->messages = MESSAGES;
    uint64_t seed = (uint64_t)pstk_wall_ns() | 1, random = seed, kills = 0;
    int64_t longest_ns = 4 * 1000000; /* longer each time, so that slow builds come to the end */
    while (!send_for_a_while(to, 1 + (int64_t)(pstk_random(&random) % (uint64_t)longest_ns))) {
        longest_ns = PSTK_MIN(longest_ns + longest_ns / 30, SECOND - 1);
        kills++;
    }
    CHECK(kills > 0 && is_sent_once(to));
    printf("seed %llu, %llu kills\n", (unsigned long long)seed, (unsigned long long)kills);
    munmap(to, sizeof *to);
    place_end();
}

#ifdef __SANITIZE_THREAD__
#define RECORD_STEP 4u /* an open takes long there */
#else
#define RECORD_STEP 1u
#endif

/* Between any two records of the first messages; in builds with crash points. */
static void test_numbered_streams_survive_a_kill_at_each_record(void) {
    static const char *const points[] = {"ring.claim", "ring.commit.after"};
    uint32_t kills = 0;
    for (uint32_t n = 1; n <= 60; n += RECORD_STEP)
        for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
            place_begin();
            sender *to = shared_memory(sizeof *to);
            to->messages = MESSAGES_SHORT;
            snprintf(to->point, sizeof to->point, "%s:%u", points[i], n);
            kills += !send_for_a_while(to, 0);
            to->point[0] = 0;
            CHECK(send_for_a_while(to, 0));
            bool is_right = is_sent_once(to);
            CHECK(is_right);
            if (!is_right)
                fprintf(stderr, "    killed at %s, passage %u\n", points[i], n);
            munmap(to, sizeof *to);
            place_end();
        }
    CHECK(kills == 120 / RECORD_STEP);
}

int main(void) {
    test_numbered_streams_survive_kills_at_any_instant();
    if (pstk_has_crash_points())
        test_numbered_streams_survive_a_kill_at_each_record();
    return check_result("test_engine_kill");
}
