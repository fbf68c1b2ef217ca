/* operate: what a person does about an alarm is checked, journaled and judged; and the list of
 * alarms. */
#include "engine.h"

static bool is_ended(const char *text, size_t capacity) { return memchr(text, 0, capacity); }

static int check_operation(const pstk_operation *operation, int64_t now_ns, pstk_error *err) {
    if (!is_ended(operation->rule, sizeof operation->rule) ||
        !is_ended(operation->tag, sizeof operation->tag) ||
        !is_ended(operation->by, sizeof operation->by) ||
        !is_ended(operation->note, sizeof operation->note))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "operate: a text has no end");
    if (!operation->by[0])
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "operate: by is empty; say who it is");
    if (operation->action < PSTK_ACTION_ACKNOWLEDGE || operation->action > PSTK_ACTION_RESET)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "operate: action %u is unknown",
                         operation->action);
    int64_t until_ns = operation->until_ns;
    if (operation->action == PSTK_ACTION_SHELVE &&
        (until_ns <= now_ns || until_ns - now_ns > PSTK_SHELVE_NS_MAX))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "operate: an alarm is shelved until a time ahead, at most 7 days");
    return PSTK_OK;
}

int pstk_engine_operate(pstk_engine *engine, const pstk_operation *operation, pstk_error *err) {
    PSTK_GUEST(engine);
    int status = pstk_engine_check(engine, err);
    if (status != PSTK_OK)
        return status;
    pthread_mutex_lock(&engine->lock);
    if (operation->at_ns != PSTK_TIME_NONE)
        pstk_engine_set_clock(engine, operation->at_ns);
    status = check_operation(operation, pstk_engine_now(engine), err);
    if (status == PSTK_OK &&
        !pstk_judge_has_alarm(engine->judge, operation->rule, operation->tag, err))
        status = PSTK_E_ARGUMENT;
    if (status == PSTK_OK)
        status =
            pstk_engine_put_cold(engine, PSTK_RECORD_OPERATOR, operation, sizeof *operation, err);
    pthread_mutex_unlock(&engine->lock);
    return status;
}

int pstk_engine_alarms(pstk_engine *engine, pstk_alarm *out_alarms, size_t capacity,
                       size_t *out_count, pstk_error *err) {
    PSTK_GUEST(engine);
    int status = pstk_engine_check(engine, err);
    if (status != PSTK_OK)
        return status;
    pthread_mutex_lock(&engine->lock);
    *out_count = pstk_judge_alarms(engine->judge, out_alarms, capacity);
    pthread_mutex_unlock(&engine->lock);
    return PSTK_OK;
}
