/* judge samples: one SAMPLES block, sample by sample. Nothing here depends on where a block begins
 * or ends. Fast path: a sample of a known number tag that can change no limit, falls into the
 * window's pane in place and needs no order by time touches two lines of its tag and goes on.
 * Everything else takes the slow path, which may stop for want of room in the event ring after any
 * step and goes on from there. */
#include "engine_judge_order.h"

enum { /* place.phase of the slow path */
       PHASE_NEW,
       PHASE_GAP,
       PHASE_REGRESS,
       PHASE_PUSH,
       PHASE_BINDS,
       PHASE_WINDOWS,
       PHASE_WIDE,
       PHASE_ADVANCE,
       PHASE_DRAIN,
};

static void set_clock(pstk_judge *judge, judge_run *at) {
    at->clock_index = at->stream->is_alone ? judge_stream_clock(at->stream_index)
                                           : judge_source_clock(at->stream->source);
    at->clock = judge_clock_at(judge, at->clock_index);
    at->others_ns = judge_others_ns(judge, at->stream_index);
}

/* ---- the fast path -------------------------------------------------------------------------- */

/* Beyond this many tags their lines lie in no near cache, and are asked for in advance. */
#define NEAR_TAGS 256u
#define AHEAD_HOT 24u
#define AHEAD_WINDOW 12u

typedef struct lane { /* how far the fast path has come */
    const pstk_sample *sample, *end;
    int64_t newest_ns; /* of the stream */
    int64_t ahead_ns;  /* later than it and than the watermark at the beginning */
    int64_t wake_ns;   /* a stamp beyond it lets something out of the heap */
    bool has_woken;
} lane;

static inline void prefetch(const judge_hot *hot, const judge_window *window, uint32_t tags,
                            const pstk_sample *sample) {
    uint32_t near = sample[AHEAD_WINDOW].tag_id;
    __builtin_prefetch(hot + sample[AHEAD_HOT].tag_id, 1);
    if (near < tags) {
        const judge_window *at = window + hot[near].window;
        __builtin_prefetch(at, 1);
        __builtin_prefetch(&at->end_ns, 1);
    }
}

static __attribute__((noinline)) void add_to_all(const pstk_judge *judge, judge_window *window,
                                                 const judge_hot *hot, int64_t time_ns, double x) {
    uint32_t w = hot->window, end = w + (hot->windows & ~JUDGE_WINDOWS_WIDE);
    if (hot->windows & JUDGE_WINDOWS_WIDE)
        judge_wide_add_newest(judge, hot, time_ns, x);
    if (hot->is_row) { /* as a tag is bound; their links lie on lines that need not be read */
        for (; w < end; w++)
            pstk_pane_add_newest(&window[w].pane, time_ns, x);
        return;
    }
    for (; w; w = window[w].link)
        pstk_pane_add_newest(&window[w].pane, time_ns, x);
}

/* A stamp that does not lead: neither far behind nor, its window, behind the watermark. */
static inline bool may_follow(const judge_run *at, int64_t newest_ns, const judge_hot *hot,
                              int64_t time_ns) {
    int64_t mark_ns = PSTK_MAX(at->clock->watermark_ns, judge_run_mark(at, newest_ns));
    return time_ns >= newest_ns - JUDGE_REGRESS_NS && hot->until_ns > mark_ns;
}

/* Goes on while samples need nothing special; stands then at the first one that does, or at the one
 * that has woken something. What the loop needs is held in locals: a store to a tag might be to
 * anything. */
static inline __attribute__((always_inline)) void
run_quiet(const pstk_judge *judge, const judge_run *at, lane *in, bool is_far) {
    judge_hot *const hots = (void *)judge->arena[JUDGE_HOT].base; /* touched by keep_tags */
    judge_window *const windows = (void *)judge->arena[JUDGE_WINDOW].base;
    const uint32_t tags = judge_count(judge, JUDGE_HOT), stream = at->stream_index;
    const pstk_sample *sample = in->sample, *const end = in->end;
    int64_t newest_ns = in->newest_ns, ahead_ns = in->ahead_ns;
    const int64_t wake_ns = in->wake_ns;
    for (; sample < end; sample++) {
        if (is_far)
            prefetch(hots, windows, tags, sample);
        if (PSTK_UNLIKELY(sample->tag_id >= tags))
            break;
        judge_hot *hot = hots + sample->tag_id;
        int64_t time_ns = sample->time_ns;
        double x = sample->value.f64 + 0.0;
        if (PSTK_UNLIKELY(hot->is_integer))
            x = (double)sample->value.i64;
        if (PSTK_UNLIKELY(hot->stream != stream) || (sample->quality & 0xC000u) ||
            !(x > hot->low) || !(x < hot->high))
            break;
        if (PSTK_UNLIKELY(time_ns <= hot->last_ns)) { /* PSTK_TIME_NONE is always among these */
            time_ns = judge_run_time(at, sample);
            if (time_ns <= hot->last_ns)
                break;
        }
        if (time_ns >= hot->until_ns)
            break;
        if (PSTK_LIKELY(time_ns > ahead_ns))
            newest_ns = ahead_ns = time_ns;
        else if (may_follow(at, newest_ns, hot, time_ns))
            newest_ns = PSTK_MAX(newest_ns, time_ns);
        else
            break;
#ifndef PSTK_PLANT_JUDGE_FAST /* a missing step that test_judge_fast must find */
        hot->last_ns = time_ns;
#endif
        if (PSTK_LIKELY(hot->windows == 1))
            pstk_pane_add_newest(&windows[hot->window].pane, time_ns, x);
        else if (hot->windows)
            add_to_all(judge, windows, hot, time_ns, x);
        if (PSTK_UNLIKELY(time_ns > wake_ns)) {
            in->has_woken = true;
            break;
        }
    }
    in->sample = sample;
    in->newest_ns = newest_ns;
    in->ahead_ns = ahead_ns;
}

static __attribute__((noinline)) void run_near(const pstk_judge *judge, const judge_run *at,
                                               lane *in) {
    run_quiet(judge, at, in, false);
}

static __attribute__((noinline)) void run_far(const pstk_judge *judge, const judge_run *at,
                                              lane *in) {
    run_quiet(judge, at, in, true);
}

/* While a snapshot is open and its walk under way: what the fast path may write is touched
 * beforehand, for the whole block, so that its loop asks nothing. */
static void keep_tags(const pstk_judge *judge, const judge_run *at, uint32_t i) {
    const uint32_t tags = judge_count(judge, JUDGE_HOT);
    for (; i < at->count; i++) {
        uint32_t tag = at->sample[i].tag_id;
        if (i + AHEAD_HOT < at->count)
            __builtin_prefetch(judge_hot_raw(judge, at->sample[i + AHEAD_HOT].tag_id), 1);
        if (tag >= tags)
            continue;
        const judge_hot *hot = judge_hot_raw(judge, tag);
#ifndef PSTK_PLANT_SNAPSHOT /* the tag's own line is forgotten, and a test must see it */
        judge_touch(judge, hot, sizeof *hot);
#endif
        uint32_t w = hot->window, count = hot->windows & ~JUDGE_WINDOWS_WIDE;
        if (count <= 1 || hot->is_row) { /* their links need not be read */
            judge_touch(judge, judge_window_raw(judge, w), count * sizeof(judge_window));
            continue;
        }
        for (; w; w = judge_window_raw(judge, w)->link)
            judge_touch(judge, judge_window_raw(judge, w), sizeof(judge_window));
    }
}

/* Goes on while samples need nothing special; returns the index of the first one that does. The
 * watermark is told at the end: nothing in between reads it. */
static uint32_t run_fast(pstk_judge *judge, judge_run *at, uint32_t i) {
    judge_stream *stream = at->stream;
    judge_clock *clock = at->clock;
    if (judge->is_plain || !stream->has_max || stream->has_gap || stream->run_count ||
        stream->is_idle || judge_run_mark(at, stream->max_ns) > clock->watermark_ns)
        return i;
    int64_t wake_ns = pstk_time_add(clock->heap_ns, clock->lateness_ns);
    const pstk_sample *end = at->sample + at->count;
    lane in = {.sample = at->sample + i,
               .end = end,
               .newest_ns = stream->max_ns,
               .ahead_ns = PSTK_MAX(stream->max_ns, clock->watermark_ns),
               .wake_ns = at->others_ns > wake_ns ? wake_ns : INT64_MAX};
    if (judge_count(judge, JUDGE_HOT) > NEAR_TAGS && end - in.sample > AHEAD_HOT) {
        in.end = end - AHEAD_HOT;
        run_far(judge, at, &in);
    }
    if (in.sample == in.end || in.end == end) {
        in.end = end;
        run_near(judge, at, &in);
    }
    if (in.newest_ns != stream->max_ns) {
        stream->max_ns = in.newest_ns;
        clock->watermark_ns = PSTK_MAX(clock->watermark_ns, judge_run_mark(at, in.newest_ns));
    }
    if (in.has_woken)
        judge->place.phase = PHASE_DRAIN;
    return (uint32_t)(in.sample - at->sample);
}

/* Samples that go to the heap alone, or to one alarm; false: none was taken, or it stands at one
 * that is not done. */
static bool run_alone(pstk_judge *judge, judge_run *at) {
    judge_place *place = &judge->place;
    uint32_t from = place->sample;
    bool is_full = false;
    if (from < at->count)
        place->sample = judge_order_run(judge, at, from, &is_full);
    if (!is_full && place->sample < at->count)
        place->sample = judge_arrival_run(judge, at, place->sample, &is_full);
    if (is_full)
        place->phase = PHASE_DRAIN;
    return place->sample != from && !is_full;
}

/* ---- the slow path -------------------------------------------------------------------------- */

/* A sample the judge can use: known tag of this source, finite number, possible time. */
static bool is_usable(const pstk_judge *judge, const judge_run *at, const pstk_sample *sample) {
    if (!judge_is_tag(judge, sample->tag_id) || !judge_is_time(judge_run_time(at, sample)))
        return false;
    const judge_hot *hot = judge_hot_raw(judge, sample->tag_id);
    if (hot->source != at->stream->source)
        return false;
    return hot->is_integer || __builtin_isfinite(sample->value.f64);
}

/* The tag came with another stream than before. */
static void move_tag(pstk_judge *judge, const judge_run *at, judge_hot *hot) {
    if (hot->stream == at->stream_index)
        return;
    bool is_moved = hot->clock != at->clock_index;
    hot->stream = at->stream_index;
    hot->clock = at->clock_index;
    if (is_moved && (hot->window || (hot->slow & JUDGE_SLOW_WIDE) || hot->has_ordered))
        judge_windows_rebuild(judge);
}

/* Streams of one source that begin more than an hour apart do not share a watermark: whichever lies
 * behind, the new one or one that is there, goes by its own. */
static void part_far_streams(pstk_judge *judge, const judge_run *at, int64_t time_ns) {
    for (uint32_t i = judge_source_at(judge, at->stream->source)->streams; i;) {
        const judge_stream *other = judge_stream_raw(judge, i);
        uint32_t next = other->next;
        bool is_sharing = i != at->stream_index && other->has_max && !other->is_alone;
        if (is_sharing && !at->stream->is_alone && time_ns < other->max_ns - JUDGE_REGRESS_NS)
            judge_stream_alone(judge, at->stream_index);
        else if (is_sharing && !other->is_idle && other->max_ns < time_ns - JUDGE_REGRESS_NS)
            judge_stream_alone(judge, i);
        i = next;
    }
}

/* A stream's first sample: whatever the source lost before is a gap of this one too. */
static void start_stream(pstk_judge *judge, judge_run *at, int64_t time_ns) {
    judge_stream *stream = at->stream;
    for (uint32_t i = judge_source_raw(judge, stream->source)->streams; i;) {
        const judge_stream *other = judge_stream_raw(judge, i);
        if (other->has_gap && !stream->has_gap) {
            stream->has_gap = 1;
            stream->gap_from_ns = other->gap_from_ns;
        }
        i = other->next;
    }
    stream->has_max = 1;
    stream->max_ns = time_ns;
    if (stream->has_gap)
        judge_gap_close(judge, at->stream_index, time_ns);
    part_far_streams(judge, at, time_ns);
    judge_watermark_update(judge, stream->source);
    set_clock(judge, at);
}

/* True once the stream's clock has certainly gone back. */
static bool has_regressed(const judge_run *at, int64_t time_ns) {
    judge_stream *stream = at->stream;
    if (time_ns >= stream->max_ns - JUDGE_REGRESS_NS) {
        stream->run_count = 0;
        return false;
    }
    if (stream->run_count == 0) {
        stream->run_recv_ns = at->recv_ns;
        stream->run_max_ns = time_ns;
    }
    stream->run_max_ns = PSTK_MAX(stream->run_max_ns, time_ns);
    stream->run_count += stream->run_count < UINT32_MAX;
    return stream->run_count >= JUDGE_REGRESS_SAMPLES &&
           pstk_time_since(at->recv_ns, stream->run_recv_ns) >= JUDGE_REGRESS_T_NS;
}

static void count_late(pstk_judge *judge, const judge_run *at, uint64_t count) {
    JUDGE_COUNT(judge->head.counters.late, count);
    JUDGE_COUNT(judge_source_at(judge, at->stream->source)->late, count);
}

static bool is_arrival_alarm(const pstk_judge *judge, const judge_bind *bind) {
    const judge_instance *instance = judge_instance_raw(judge, bind->instance);
    return judge_is_alarm(instance->kind) && bind->role != JUDGE_BIND_SUPPRESS &&
           judge_rule_of(judge, instance)->order != PSTK_ORDER_EVENT;
}

/* A wide window that takes its samples as they arrive. */
static bool is_arrival_wide(const pstk_judge *judge, const judge_bind *bind) {
    const judge_instance *instance = judge_instance_raw(judge, bind->instance);
    return instance->kind == PSTK_RULE_WINDOW &&
           !pstk_window_is_ordered(judge_rule_of(judge, instance));
}

/* Instances that hear the tag in event order: late is counted for each. */
static uint64_t ordered_rules(const pstk_judge *judge, const judge_hot *hot) {
    uint64_t count = 0;
    for (uint32_t b = hot->bind; b; b = judge_bind_raw(judge, b)->link)
        count += judge_bind_raw(judge, b)->role != JUDGE_BIND_SUPPRESS &&
                 !is_arrival_alarm(judge, judge_bind_at(judge, b)) &&
                 !is_arrival_wide(judge, judge_bind_raw(judge, b));
    return count;
}

/* Into the heap; a full pool gives up its oldest instant first. */
static bool push(pstk_judge *judge, const judge_run *at, const pstk_sample *sample) {
    if (!judge_touched_run(judge))
        return false;
    const judge_hot *hot = judge_hot_raw(judge, sample->tag_id);
    judge_clock *clock = judge_clock_at(judge, hot->clock);
    int64_t time_ns = judge_run_time(at, sample);
    pstk_value value = sample->value;
    if (!hot->is_integer)
        value.f64 += 0.0;
    if (time_ns < clock->watermark_ns) {
        count_late(judge, at, ordered_rules(judge, hot));
        return true;
    }
    while (!judge_order_push(judge, hot->clock, sample, time_ns, value)) {
        uint32_t victim = hot->clock;
        for (uint32_t c = 1; judge_clock_raw(judge, victim)->heap_ns == INT64_MAX &&
                             c < judge_count(judge, JUDGE_CLOCK);)
            victim = c++;
        if (judge_clock_raw(judge, victim)->heap_ns == INT64_MAX)
            return true; /* no slot at all: refused at open */
        JUDGE_COUNT(judge->head.counters.reorder_overflow, 1);
        judge_heap_pop_instant(judge, victim, true);
        if (!judge_touched_run(judge))
            return false;
    }
    return true;
}

/* Arrival alarms, one binding a step. */
static bool run_binds(pstk_judge *judge, const judge_run *at, const pstk_sample *sample) {
    judge_hot *hot = judge_hot_at(judge, sample->tag_id);
    int64_t time_ns = judge_run_time(at, sample);
    if (PSTK_UNLIKELY(judge->suppression.latch_of[sample->tag_id]))
        judge_suppress_state(judge, sample->tag_id, sample->value, sample->quality, false);
    if (!hot->has_limit) {
        hot->last_ns = PSTK_MAX(hot->last_ns, time_ns);
        return true;
    }
    bool is_newer = time_ns > hot->last_ns;
    double x = (hot->is_integer ? (double)sample->value.i64 : sample->value.f64) + 0.0;
    if (is_newer && x > hot->low && x < hot->high && time_ns < hot->calm_ns &&
        !judge_is_bad(sample->quality)) { /* here for its window: no alarm can change */
        hot->last_ns = time_ns;
        return true;
    }
    for (; judge->place.node; judge->place.node = judge_bind_raw(judge, judge->place.node)->link) {
        const judge_bind *bind = judge_bind_raw(judge, judge->place.node);
        if (judge->touched && !judge_touched_run(judge)) /* kept back no more, by the rule before */
            return false;
        if (!is_arrival_alarm(judge, bind))
            continue;
        do {
            if (!judge_has_room(judge))
                return false;
        } while (is_newer && !judge_arrival_alarm(judge, at, sample, bind->instance));
        if (is_newer)
            continue;
        JUDGE_COUNT(judge->head.counters.out_of_order, 1);
        JUDGE_COUNT(judge_source_at(judge, hot->source)->out_of_order, 1);
    }
    if (!is_newer)
        return true;
    hot->last_ns = time_ns;
    judge_quiet_refresh(judge, sample->tag_id);
    return true;
}

static bool run_windows(pstk_judge *judge, const judge_run *at, const pstk_sample *sample) {
    const judge_hot *hot = judge_hot_raw(judge, sample->tag_id);
    double x = (hot->is_integer ? (double)sample->value.i64 : sample->value.f64) + 0.0;
    for (; judge->place.node;
         judge->place.node = judge_window_raw(judge, judge->place.node)->link) {
        if (!judge_has_room(judge))
            return false;
        if (!judge_window_add(judge, judge->place.node, judge_run_time(at, sample), x,
                              sample->quality))
            count_late(judge, at, 1);
    }
    return true;
}

/* Wide windows of arrival order, one binding a step. */
static bool run_wide(pstk_judge *judge, const judge_run *at, const pstk_sample *sample) {
    judge_node node = {.tag = sample->tag_id,
                       .quality = sample->quality,
                       .time_ns = judge_run_time(at, sample),
                       .value = sample->value};
    for (; judge->place.node; judge->place.node = judge_bind_raw(judge, judge->place.node)->link) {
        const judge_bind *bind = judge_bind_raw(judge, judge->place.node);
        bool is_out = false;
        if (!is_arrival_wide(judge, bind))
            continue;
        uint32_t wide = judge_instance_raw(judge, bind->instance)->state;
        if (!judge_wide_take(judge, wide, &node, &is_out))
            return false;
        if (is_out)
            count_late(judge, at, 1);
    }
    return true;
}

static void advance(const judge_run *at, int64_t time_ns) {
    judge_stream *stream = at->stream;
    stream->max_ns = PSTK_MAX(stream->max_ns, time_ns);
    at->clock->watermark_ns = PSTK_MAX(at->clock->watermark_ns, judge_run_mark(at, stream->max_ns));
}

/* PHASE_NEW..PHASE_REGRESS: what must be settled before the sample itself. False: come again. */
static bool prepare(pstk_judge *judge, judge_run *at, const pstk_sample *sample) {
    judge_place *place = &judge->place;
    int64_t time_ns = judge_run_time(at, sample);
    if (place->phase == PHASE_NEW) {
        if (!at->stream->has_max)
            start_stream(judge, at, time_ns);
        bool has_gap = at->stream->has_gap || at->stream->lost;
        place->phase = has_gap ? PHASE_GAP : PHASE_REGRESS;
        place->node = place->step = 0;
        if (place->phase == PHASE_REGRESS && !has_regressed(at, time_ns))
            place->phase = PHASE_PUSH;
    }
    if (place->phase ==
        PHASE_GAP) { /* what is ready closes by what was known before the gap ended */
        if (!judge_sweep_all(judge, UINT32_MAX))
            return false;
        if (!judge_lost_tell(judge, at->stream_index, time_ns))
            return false;
        if (at->stream->has_gap)
            judge_gap_close(judge, at->stream_index, time_ns);
        place->phase = has_regressed(at, time_ns) ? PHASE_REGRESS : PHASE_PUSH;
    }
    if (place->phase == PHASE_REGRESS) {
        if (!judge_regress(judge, at->stream_index))
            return false;
        set_clock(judge, at);
        place->phase = PHASE_PUSH;
    }
    return true;
}

static bool run_slow(pstk_judge *judge, judge_run *at, const pstk_sample *sample) {
    judge_place *place = &judge->place;
    if (place->phase == PHASE_NEW && !is_usable(judge, at, sample))
        return true;
    if (!prepare(judge, at, sample))
        return false;
    judge_hot *hot = judge_hot_at(judge, sample->tag_id);
    if (place->phase == PHASE_PUSH) {
        move_tag(judge, at, hot);
        if ((hot->slow & JUDGE_SLOW_EVENT) && !push(judge, at, sample))
            return false;
        place->phase = PHASE_BINDS;
        place->node = hot->bind;
    }
    if (place->phase == PHASE_BINDS) {
        if (!run_binds(judge, at, sample))
            return false;
        place->phase = PHASE_WINDOWS;
        place->node = hot->window;
    }
    if (place->phase == PHASE_WINDOWS) {
        if (!run_windows(judge, at, sample))
            return false;
        place->phase = hot->slow & JUDGE_SLOW_WIDE ? PHASE_WIDE : PHASE_ADVANCE;
        place->node = hot->bind;
    }
    if (place->phase == PHASE_WIDE) {
        if (!run_wide(judge, at, sample))
            return false;
        place->phase = PHASE_ADVANCE;
    }
    if (place->phase == PHASE_ADVANCE) {
        if (hot->until_ns == INT64_MIN)
            judge_until_refresh(judge, sample->tag_id);
        advance(at, judge_run_time(at, sample));
        place->phase = PHASE_DRAIN;
    }
    if (!judge_clock_drain(judge, at->clock_index))
        return false;
    place->phase = PHASE_NEW;
    return true;
}

/* ---- the block ------------------------------------------------------------------------------ */

static bool begin(pstk_judge *judge, const pstk_block *block, judge_run *at) {
    if (block->bytes < sizeof *block || block->bytes > PSTK_BLOCK_BYTES_MAX)
        return false;
    uint32_t room = (uint32_t)((block->bytes - sizeof *block) / sizeof(pstk_sample));
    at->sample = (const void *)pstk_block_payload(block);
    at->count = PSTK_MIN(block->count, room);
    at->recv_ns = PSTK_MAX(PSTK_MIN(block->recv_time_ns, PSTK_RULE_TIME_MAX), -PSTK_RULE_TIME_MAX);
    at->stream_index = judge_stream_open(judge, block->source, block->stream);
    if (!at->stream_index || !at->count)
        return false;
    at->stream = judge_stream_at(judge, at->stream_index);
    return true;
}

bool judge_samples_run(pstk_judge *judge, const pstk_block *block) {
    judge_run at;
    judge_place *place = &judge->place;
    if (!begin(judge, block, &at))
        return true;
    int64_t idle_ns =
        pstk_time_add(judge->head.now_ns, judge_source_at(judge, block->source)->idle_after_ns);
    bool was_idle = at.stream->is_idle;
    judge->idle_due_ns = PSTK_MIN(judge->idle_due_ns, idle_ns);
    at.stream->is_idle = 0;
    at.stream->recv_ns = at.stream->quiet_ns = judge->head.now_ns;
    set_clock(judge, &at);
    if (PSTK_UNLIKELY(judge->snapshot.is_open) && !judge_snapshot_walk(&judge->snapshot))
        keep_tags(judge, &at, place->sample);
    for (;;) {
        if (place->phase == PHASE_NEW)
            place->sample = run_fast(judge, &at, place->sample);
        if (place->phase == PHASE_NEW && run_alone(judge, &at))
            continue;
        if (place->sample >= at.count)
            break;
        if (!run_slow(judge, &at, &at.sample[place->sample]))
            return false;
        place->sample++;
    }
    uint32_t budget = 16 + at.count / 2;
    if (!judge_sweep(judge, at.clock_index, &budget))
        return false;
    if (was_idle || judge->head.now_ns >= judge->idle_due_ns)
        judge_time_refresh(judge);
    return true;
}
