/* The consumer does not wait for the engine: events, results, names and acknowledgements are taken
 * while another thread holds the writer lock. The engine thread holds it while it judges what it
 * has read; a consumer that waited would be as late as that, and one put to sleep while it held the
 * lock would stop the engine. */
#include "engine.h"
#include "engine_fixture.h"

#define ROWS 400  /* of 1 ms */
#define WAIT_S 20 /* that a child may stand still before it is said to wait */

static pstk_engine *opened(void) {
    place_begin();
    setup s = {.options = engine_options(), .source_count = 1, .rule_count = 2};
    s.source[0] = feed_source("feed");
    s.rule[0] = limit_rule("high", "*.level");
    s.rule[1] = make_rule("tenth", PSTK_RULE_WINDOW, "*.level");
    s.rule[1].size_ns = SECOND / 10;
    s.rule[1].emit = PSTK_EMIT_RESULT;
    pstk_engine *engine = must_open(&s);
    uint32_t tag = must_tag(engine, 0, "tank.level", PSTK_TYPE_F64);
    REQUIRE(feed_rows(engine, 0, tag, ROWS, START_NS, NO_POSITION) == PSTK_OK);
    return engine;
}

static void take_all(pstk_engine *engine) {
    static pstk_event events[ROWS];
    char name[PSTK_NAME_BYTES], series[16];
    pstk_error err = {0};
    size_t count = 0;
    CHECK(pstk_engine_poll(engine, events, ROWS, &count, &err) == PSTK_OK && count > 10);
    for (size_t i = 0; i < count; i++) {
        CHECK(pstk_engine_tag_name(engine, events[i].tag, name, sizeof name) == 10);
        CHECK(pstk_engine_tag_type(engine, events[i].tag) == PSTK_TYPE_F64);
        CHECK(pstk_engine_rule_name(engine, events[i].rule, name, sizeof name, series,
                                    sizeof series) == 4);
        CHECK(pstk_engine_asset_name(engine, events[i].asset, name, sizeof name) == 4);
    }
    CHECK(pstk_engine_acknowledge(engine, events[count - 1].seq, &err) == PSTK_OK);
    pstk_batch *batch = NULL;
    CHECK(pstk_engine_take_results(engine, ROWS, &batch, &err) == PSTK_OK && batch != NULL);
    pstk_batch_release(batch);
}

static void take_and_ask(pstk_engine *engine) {
    pstk_stats stats;
    take_all(engine);
    CHECK(pstk_engine_stats(engine, &stats) == PSTK_OK);
}

/* What ends a child that does this while the lock is held; 0: it came to its end. */
static int signal_of(void (*take)(pstk_engine *), unsigned seconds) {
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        pstk_engine *engine = opened();
        pthread_mutex_lock(&engine->lock);
        alarm(seconds);
        take(engine);
        alarm(0);
        pthread_mutex_unlock(&engine->lock);
        must_close(engine);
        place_end();
        _exit(check_result("child"));
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int main(void) {
    CHECK(signal_of(take_all, WAIT_S) == 0);
    CHECK(signal_of(take_and_ask, 1) == SIGALRM); /* figures do wait: so waiting is seen */
    return check_result("engine_consumer");
}
