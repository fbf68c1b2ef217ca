/* judge arrival: samples that one alarm of arrival order hears, and nothing else: no window, no
 * rule of event order, nobody who waits for a state. The same as the slow path of
 * engine_judge_samples.c, which takes whatever is unusable, out of order, of another stream, or
 * heard by more. */
#include "engine_judge_order.h"

/* A limit without state is calm; this sample leaves it so. */
static bool stays_calm(const pstk_judge *judge, const judge_instance *instance,
                       const pstk_limit_sample *sample) {
    static const pstk_limit calm;
    const pstk_rule *rule = judge_rule_of(judge, instance);
    double low = -__builtin_inf(), high = __builtin_inf();
    pstk_limit_quiet(rule, &calm, &low, &high);
    bool is_inside =
        sample->is_bad ? rule->quality != PSTK_QUALITY_TRIP : sample->x > low && sample->x < high;
    return is_inside;
}

bool judge_arrival_alarm(pstk_judge *judge, const judge_run *at, const pstk_sample *sample,
                         uint32_t instance) {
    bool is_integer = judge_hot_raw(judge, sample->tag_id)->is_integer;
    pstk_limit_sample it = {.value = sample->value,
                            .time_ns = judge_run_time(at, sample),
                            .recv_ns = at->recv_ns,
                            .flags = judge_quality_flags(sample->quality),
                            .is_bad = judge_is_bad(sample->quality)};
    if (!is_integer)
        it.value.f64 += 0.0;
    it.x = is_integer ? (double)it.value.i64 : it.value.f64;
    uint32_t limit = judge_instance_raw(judge, instance)->state;
    if (!limit && stays_calm(judge, judge_instance_raw(judge, instance), &it))
        return true;
    if (!limit)
        limit = judge_limit_open(judge, instance);
    return !limit || /* as many as instances: never full */
           judge_limit_sample(judge, limit, &it);
}

/* The instance of the tag's one binding; 0: more hear it, or others. */
static inline uint32_t alarm_of(const pstk_judge *judge, const judge_hot *hot, uint32_t tag) {
    if (hot->slow || hot->window || !hot->has_limit || judge->suppression.latch_of[tag])
        return 0;
    const judge_bind *bind = judge_bind_raw(judge, hot->bind);
    return bind->link ? 0 : bind->instance;
}

/* Each sample counts for such a rule: its tag's quiet range is empty and stays so. */
static inline bool is_never_quiet(const pstk_judge *judge, const judge_hot *hot,
                                  uint32_t instance) {
    const judge_instance *at = judge_instance_raw(judge, instance);
    bool is_steady = at->kind == PSTK_RULE_RATE || at->kind == PSTK_RULE_FRESHNESS;
    return is_steady && hot->calm_ns == INT64_MAX &&
           !judge_limit_raw(judge, at->state)->fold.folded;
}

/* No alarm of the tag can change by it. */
static inline bool is_quiet(const judge_hot *hot, const pstk_sample *sample, int64_t time_ns) {
    double x = (hot->is_integer ? (double)sample->value.i64 : sample->value.f64) + 0.0;
    return x > hot->low && x < hot->high && time_ns < hot->calm_ns &&
           !judge_is_bad(sample->quality);
}

/* False: the slow path takes it, or goes on with it once there is room. */
static inline bool take(pstk_judge *judge, const judge_run *at, const pstk_sample *sample) {
    if (sample->tag_id >= judge_count(judge, JUDGE_HOT))
        return false;
    judge_hot *hot = (judge_hot *)judge_hot_raw(judge, sample->tag_id); /* touched by keep_tags */
    int64_t time_ns = judge_run_time(at, sample);
    uint32_t instance = alarm_of(judge, hot, sample->tag_id);
    if (!instance || hot->stream != at->stream_index || time_ns <= hot->last_ns ||
        !judge_is_time(time_ns) || time_ns < at->stream->max_ns - JUDGE_REGRESS_NS ||
        !(hot->is_integer || __builtin_isfinite(sample->value.f64)) || !judge_has_room(judge))
        return false;
    bool is_calm = is_quiet(hot, sample, time_ns);
    if (!is_calm && !judge_arrival_alarm(judge, at, sample, instance))
        return false;
#ifndef PSTK_PLANT_JUDGE_ARRIVAL /* a missing step that test_judge_fast must find */
    hot->last_ns = time_ns;
#endif
    if (is_calm)
        return true;
    if (!is_never_quiet(judge, hot, instance))
        judge_quiet_refresh(judge, sample->tag_id);
    return true;
}

uint32_t judge_arrival_run(pstk_judge *judge, judge_run *at, uint32_t i, bool *out_is_full) {
    judge_stream *stream = at->stream;
    judge_clock *clock = at->clock;
    if (judge->is_plain || !stream->has_max || stream->has_gap || stream->run_count ||
        judge->touched || judge->held)
        return i;
    for (; i < at->count && take(judge, at, &at->sample[i]); i++) {
        stream->max_ns = PSTK_MAX(stream->max_ns, judge_run_time(at, &at->sample[i]));
        clock->watermark_ns = PSTK_MAX(clock->watermark_ns, judge_run_mark(at, stream->max_ns));
        bool is_due = judge->touched || clock->heap_ns < clock->watermark_ns;
        if (is_due && !judge_clock_drain(judge, at->clock_index)) {
            *out_is_full = true;
            return i;
        }
    }
    return i;
}
