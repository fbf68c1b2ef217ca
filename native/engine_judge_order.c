/* judge order: samples that only rules of event order hear, one after another: into the heap, and
 * whatever the watermark lets out behind each. The same as the slow path of engine_judge_samples.c,
 * which takes whatever is late, unusable, of another stream, or heard by more. */
#include "engine_judge_order.h"

/* The tag's samples go to the heap and nowhere else. */
static inline bool is_ordered_alone(const pstk_judge *judge, const judge_hot *hot, uint32_t tag) {
    return (hot->slow & JUDGE_SLOW_EVENT) && !(hot->slow & JUDGE_SLOW_WIDE) && !hot->window &&
           !hot->has_limit && !judge->suppression.latch_of[tag];
}

/* False: nothing has happened, the slow path takes it. */
static inline bool push(pstk_judge *judge, const judge_run *at, const pstk_sample *sample) {
    if (sample->tag_id >= judge_count(judge, JUDGE_HOT))
        return false;
    judge_hot *hot = (judge_hot *)judge_hot_raw(judge, sample->tag_id); /* touched by keep_tags */
    int64_t time_ns = judge_run_time(at, sample);
    if (hot->stream != at->stream_index || !is_ordered_alone(judge, hot, sample->tag_id) ||
        !(hot->is_integer || __builtin_isfinite(sample->value.f64)) || !judge_is_time(time_ns) ||
        time_ns < at->stream->max_ns - JUDGE_REGRESS_NS || time_ns < at->clock->watermark_ns)
        return false;
    judge_node node = {.tag = sample->tag_id,
                       .quality = sample->quality,
                       .time_ns = time_ns,
                       .value = sample->value};
    if (!hot->is_integer)
        node.value.f64 += 0.0;
    if (!judge_heap_push(judge, at->clock_index, &node))
        return false;
    hot->last_ns = PSTK_MAX(hot->last_ns, time_ns);
    return true;
}

uint32_t judge_order_run(pstk_judge *judge, judge_run *at, uint32_t i, bool *out_is_full) {
    judge_stream *stream = at->stream;
    judge_clock *clock = at->clock;
    if (judge->is_plain || !stream->has_max || stream->has_gap || stream->run_count ||
        judge->touched || judge->held)
        return i;
    for (; i < at->count && push(judge, at, &at->sample[i]); i++) {
        stream->max_ns = PSTK_MAX(stream->max_ns, judge_run_time(at, &at->sample[i]));
        clock->watermark_ns = PSTK_MAX(clock->watermark_ns, judge_run_mark(at, stream->max_ns));
        if (clock->heap_ns < clock->watermark_ns && !judge_clock_drain(judge, at->clock_index)) {
            *out_is_full = true;
            return i;
        }
    }
    return i;
}
