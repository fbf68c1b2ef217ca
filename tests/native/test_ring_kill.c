/* SIGKILL at any instant leaves a whole journal: nothing that was committed is missing, nothing
 * half written is there. Rounds at random instants, then each named crash point (builds with
 * PENSTOCK_CRASH_POINTS). */
#include "test_ring.h"

#include <sys/mman.h>

#define RING_BYTES UINT64_C(131072)
#define ROUNDS 200u

typedef struct progress {          /* shared with the child: what it knows to be done */
    _Atomic uint64_t committed;    /* blocks whose commit has returned */
    _Atomic uint64_t checkpointed; /* blocks below the checkpoint it asked for */
    _Atomic uint64_t generation;   /* image written */
} progress;
static progress *shared;

static size_t payload_of(uint64_t seq) {
    uint64_t random = seq * 2654435761u + 1;
    uint64_t size = pstk_random(&random);
    return (size_t)(size % 5 == 0 ? size % 16320 : size % 500);
}

/* Writes blocks numbered on from what the ring holds, with a checkpoint whenever it is full, until
 * it is killed. */
static void write_until_killed(uint64_t seq, uint64_t stop_at) {
    bool is_new;
    pstk_ring *ring = open_ring(RING_BYTES, &is_new);
    while (seq < stop_at) {
        if (put_block(ring, seq, payload_of(seq)) == UINT64_MAX) {
            atomic_store(&shared->checkpointed, seq); /* told first: a kill may fall between */
            release_all(ring);
            continue;
        }
        atomic_store(&shared->committed, ++seq);
        if (seq % 3 == 0)
            pstk_ring_set_judged(ring, pstk_ring_written(ring));
    }
    pstk_ring_close(ring);
}

/* What the ring holds must be an unbroken run of numbers that ends at or one above the last commit
 * known. */
static uint64_t check_what_is_left(uint64_t committed, uint64_t checkpointed) {
    static _Alignas(64) uint8_t copy[PSTK_BLOCK_BYTES_MAX];
    bool is_new = true;
    pstk_ring *ring = open_ring(RING_BYTES, &is_new);
    CHECK(!is_new);
    uint64_t pos = pstk_ring_checkpointed(ring), next = 0, seq = 0, count = 0;
    const pstk_block *block;
    for (; (block = pstk_ring_peek(ring, pos, &next)) != NULL; pos = next, count++) {
        CHECK(count == 0 ? block->source_pos <= checkpointed || checkpointed == 0
                         : block->source_pos == seq + 1);
        seq = block->source_pos;
        CHECK(block->bytes == 64 + payload_of(seq) && is_pattern(block, seq));
    }
    CHECK(next == pstk_ring_written(ring));
    uint64_t left = count ? seq + 1 : committed;
    CHECK(left == committed || left == committed + 1);
    for (pos = pstk_ring_oldest(ring); pstk_ring_copy(ring, pos, copy, sizeof copy, &next);
         pos = next)
        CHECK(is_pattern((const pstk_block *)copy, ((const pstk_block *)copy)->source_pos));
    CHECK(pos == pstk_ring_written(ring));
    pstk_ring_close(ring);
    return left;
}

static void test_kill_at_random_instants(void) {
    uint64_t random = 4711, seq = 0, lived = 0;
    pstk_ring_close(new_ring(RING_BYTES));
    for (unsigned round = 0; round < ROUNDS; round++) {
        atomic_store(&shared->committed, seq);
        uint64_t before = seq;
        pid_t child = fork();
        if (child == 0) {
            write_until_killed(seq, UINT64_MAX);
            _exit(1);
        }
        /* Every other round may die while it opens; the rest are seen at work first. */
        for (int turn = 0; round % 2 && turn < 10000 && shared->committed == before; turn++)
            usleep(100);
        usleep((useconds_t)(pstk_random(&random) % 3000));
        kill(child, SIGKILL);
        CHECK(exit_code_of(child) == 128 + SIGKILL);
        seq =
            check_what_is_left(atomic_load(&shared->committed), atomic_load(&shared->checkpointed));
        lived += seq > before;
    }
    printf("ring_kill: %u kills, %llu while writing, %llu blocks\n", ROUNDS,
           (unsigned long long)lived, (unsigned long long)seq);
    CHECK(lived > ROUNDS / 4); /* else nothing was killed at work */
}

static void test_kill_while_a_ring_is_made(void) {
    char hex[PSTK_HEX_BYTES], path[256];
    uint64_t random = 5, found = 0;
    pstk_io_hex(test_id, hex);
    snprintf(path, sizeof path, "%s/penstock-%s/ring.tmp", test_dir, hex);
    for (unsigned round = 0; round < ROUNDS / 2; round++) {
        bool is_new = false;
        pstk_ring_remove(test_dir, test_id);
        pid_t child = fork();
        if (child == 0) {
            pstk_ring_close(open_ring(RING_BYTES, &is_new));
            pause();
            _exit(1);
        }
        usleep((useconds_t)(pstk_random(&random) % 600));
        kill(child, SIGKILL);
        CHECK(exit_code_of(child) == 128 + SIGKILL);
        pstk_ring *ring = open_ring(RING_BYTES, &is_new);
        found += !is_new;
        CHECK(put_block(ring, 1, 10) == 0 && access(path, F_OK) != 0);
        pstk_ring_close(ring);
    }
    printf("ring_kill: %u kills while a ring is made, %llu had its name\n", ROUNDS / 2,
           (unsigned long long)found);
}

#ifdef PSTK_CRASH_POINTS

static void write_image(uint64_t generation, bool is_synced) {
    pstk_error err;
    const pstk_section sections[] = {{1, 1, &generation, sizeof generation}, {2, 1, "second", 6}};
    pstk_image_head head = {.generation = generation, .layout = 1, .section_count = 2};
    REQUIRE(pstk_image_write(test_dir, &head, sections, is_synced, &err) == PSTK_OK);
}

static void ordinary_life(void) {
    char path[128];
    bool is_new;
    pstk_error err;
    pstk_state *state = NULL;
    snprintf(path, sizeof path, "%s/state", test_dir);
    uint64_t generation = atomic_load(&shared->generation);
    REQUIRE(pstk_state_open(path, "p", &state, &is_new, &err) == PSTK_OK);
    write_until_killed(atomic_load(&shared->committed), atomic_load(&shared->committed) + 3000);
    for (int i = 0; i < 4; i++) {
        write_image(++generation, i % 2 == 0);
        atomic_store(&shared->generation, generation);
    }
    REQUIRE(pstk_state_new_journal(state, &err) == PSTK_OK);
    pstk_state_close(state);
}

static void check_image(uint64_t generation) {
    pstk_image image;
    pstk_error err;
    bool is_found = false;
    uint32_t damaged = 0;
    CHECK(pstk_image_load(test_dir, NULL, 1, &image, &is_found, &damaged, &err) == PSTK_OK &&
          damaged == 0);
    CHECK(is_found == (generation > 0 || image.head.generation == 1));
    if (is_found) {
        CHECK(image.head.generation == generation || image.head.generation == generation + 1);
        CHECK(memcmp(pstk_image_section(&image, 1)->bytes, &image.head.generation, 8) == 0);
        atomic_store(&shared->generation, image.head.generation);
    }
    pstk_image_free(&image);
}

static void check_state(void) {
    char path[128];
    bool is_new;
    pstk_error err;
    pstk_state *state = NULL;
    snprintf(path, sizeof path, "%s/state", test_dir);
    CHECK(pstk_state_open(path, "p", &state, &is_new, &err) == PSTK_OK);
    pstk_state_close(state);
}

static void test_kill_at_each_crash_point(void) {
    static const char *const points[] = {
        "ring.claim",          "ring.commit.before", "ring.commit.after",   "image.write.half",
        "image.rename.before", "image.rename.after", "state.header.before", "state.header.after"};
    static const char *const times[] = {"", ":2"};
    char armed[64];
    pstk_ring_close(new_ring(RING_BYTES));
    atomic_store(&shared->committed, 0);
    atomic_store(&shared->checkpointed, 0);
    for (size_t i = 0; i < 2 * sizeof points / sizeof points[0]; i++) {
        bool is_header = strncmp(points[i / 2], "state", 5) == 0;
        char path[128];
        snprintf(path, sizeof path, "%s/state", test_dir);
        if (is_header)
            remove_tree(path); /* the first header is written anew */
        snprintf(armed, sizeof armed, "%s%s", points[i / 2], times[i % 2]);
        pid_t child = fork();
        if (child == 0) {
            setenv("PENSTOCK_CRASH_AT", armed, 1);
            ordinary_life();
            _exit(1);
        }
        int code = exit_code_of(child);
        if (code != 128 + SIGKILL)
            fprintf(stderr, "crash point %s was not passed\n", armed);
        CHECK(code == 128 + SIGKILL);
        uint64_t left =
            check_what_is_left(atomic_load(&shared->committed), atomic_load(&shared->checkpointed));
        atomic_store(&shared->committed, left);
        check_image(atomic_load(&shared->generation));
        check_state();
    }
}

#else

static void test_kill_at_each_crash_point(void) {
    printf("skipped: named crash points (configure with -DPENSTOCK_CRASH_POINTS=ON)\n");
}

#endif

int main(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    test_begin();
    test_kill_at_random_instants();
    test_kill_while_a_ring_is_made();
    test_kill_at_each_crash_point();
    test_end();
    return check_result("ring_kill");
}
