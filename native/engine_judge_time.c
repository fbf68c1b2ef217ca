/* judge time: streams and their clocks, watermarks, idle streams, gaps, clocks that went back.
 * Watermark of a source = least maximum of its non-idle streams, minus lateness; it never goes
 * back. Where all are idle each stream's clock is carried on by the engine time that passed since
 * its last block (never beyond engine time itself): a device whose clock lags is not made late by a
 * pause. A stream that has regressed runs on a clock of its own from then on, so that one
 * controller that came back in 1970 does not hold the others. */
#include "engine_judge_state.h"

/* ---- streams -------------------------------------------------------------------------------- */

static uint32_t *stream_slot(const pstk_judge *judge, uint16_t source, uint32_t key) {
    const judge_table *table = &judge->streams;
    uint64_t name = (uint64_t)source << 32 | key;
    uint32_t place = (uint32_t)judge_table_hash(&name, sizeof name) & table->mask;
    for (; table->slot[place]; place = (place + 1) & table->mask) {
        const judge_stream *stream = judge_stream_raw(judge, table->slot[place]);
        if (stream->source == source && stream->key == key)
            break;
    }
    return &table->slot[place];
}

uint32_t judge_stream_find(const pstk_judge *judge, uint16_t source, uint32_t key) {
    return *stream_slot(judge, source, key);
}

uint32_t judge_stream_open(pstk_judge *judge, uint16_t source, uint32_t key) {
    uint32_t *slot = stream_slot(judge, source, key);
    if (*slot || source >= PSTK_SOURCES_MAX || !judge_source_raw(judge, source)->is_known)
        return *slot;
    uint32_t index = judge_arena_take(judge, JUDGE_STREAM);
    if (!index)
        return 0;
    judge_stream *stream = judge_stream_at(judge, index);
    judge_source *at = judge_source_at(judge, source);
    stream->source = source;
    stream->key = key;
    stream->quiet_ns = judge->head.now_ns;
    stream->next = at->streams;
    at->streams = index;
    *slot = index;
    judge->arena[JUDGE_CLOCK].count = judge_stream_clock(index) + 1;
    *judge_clock_at(judge, judge_stream_clock(index)) = (judge_clock){
        .watermark_ns = INT64_MIN, .heap_ns = INT64_MAX, .due_ns = INT64_MAX, .wide_ns = INT64_MAX};
    JUDGE_COUNT(judge->head.counters.streams, 1);
    return index;
}

void judge_streams_rebuild(pstk_judge *judge) {
    memset(judge->streams.slot, 0, ((size_t)judge->streams.mask + 1) * sizeof(uint32_t));
    for (uint32_t s = 0; s < PSTK_SOURCES_MAX; s++)
        judge_source_at(judge, s)->streams = 0;
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_STREAM); i++) {
        judge_stream *stream = judge_stream_at(judge, i);
        *stream_slot(judge, stream->source, stream->key) = i;
        stream->next = judge_source_raw(judge, stream->source)->streams;
        judge_source_at(judge, stream->source)->streams = i;
    }
}

void judge_time_shift(pstk_judge *judge, int64_t by_ns) {
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_STREAM); i++) {
        judge_stream *stream = judge_stream_at(judge, i);
        stream->recv_ns = pstk_time_add(stream->recv_ns, by_ns);
        stream->quiet_ns = pstk_time_add(stream->quiet_ns, by_ns);
        stream->run_recv_ns = pstk_time_add(stream->run_recv_ns, by_ns);
    }
}

/* ---- watermarks ----------------------------------------------------------------------------- */

/* Where an idle stream's clock would stand now. */
static int64_t carried_ns(const pstk_judge *judge, const judge_stream *stream) {
    int64_t passed_ns = PSTK_MAX(judge->head.now_ns - stream->recv_ns, 0);
    int64_t at_ns = PSTK_MIN(judge->head.now_ns, pstk_time_add(stream->max_ns, passed_ns));
    return PSTK_MAX(stream->max_ns, at_ns);
}

static void raise_watermark(judge_clock *clock, int64_t least_ns) {
    if (least_ns != INT64_MAX)
        clock->watermark_ns =
            PSTK_MAX(clock->watermark_ns, pstk_time_add(least_ns, -clock->lateness_ns));
}

void judge_watermark_update(pstk_judge *judge, uint16_t source) {
    int64_t live_ns = INT64_MAX, idle_ns = INT64_MAX;
    for (uint32_t i = judge_source_raw(judge, source)->streams; i;) {
        const judge_stream *stream = judge_stream_raw(judge, i);
        int64_t at_ns = stream->is_idle ? carried_ns(judge, stream) : stream->max_ns;
        if (stream->has_max && stream->is_alone)
            raise_watermark(judge_clock_at(judge, judge_stream_clock(i)), at_ns);
        else if (stream->has_max && stream->is_idle)
            idle_ns = PSTK_MIN(idle_ns, at_ns);
        else if (stream->has_max)
            live_ns = PSTK_MIN(live_ns, at_ns);
        i = stream->next;
    }
    raise_watermark(judge_clock_at(judge, judge_source_clock(source)),
                    live_ns != INT64_MAX ? live_ns : idle_ns);
}

int64_t judge_others_ns(const pstk_judge *judge, uint32_t index) {
    const judge_stream *self = judge_stream_raw(judge, index);
    int64_t least_ns = INT64_MAX;
    if (self->is_alone)
        return least_ns;
    for (uint32_t i = judge_source_at(judge, self->source)->streams; i;) {
        const judge_stream *stream = judge_stream_raw(judge, i);
        if (i != index && stream->has_max && !stream->is_idle && !stream->is_alone)
            least_ns = PSTK_MIN(least_ns, stream->max_ns);
        i = stream->next;
    }
    return least_ns;
}

/* ---- idle streams and when the judge must be told that time passed -------------------------- */

void judge_idle_mark(pstk_judge *judge) {
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_STREAM); i++) {
        judge_stream *stream = judge_stream_at(judge, i);
        int64_t idle_after_ns = judge_source_raw(judge, stream->source)->idle_after_ns;
        if (pstk_time_add(stream->quiet_ns, idle_after_ns) <= judge->head.now_ns)
            stream->is_idle = 1;
    }
    for (uint32_t s = 0; s < PSTK_SOURCES_MAX; s++)
        if (judge_source_raw(judge, s)->streams)
            judge_watermark_update(judge, (uint16_t)s);
}

/* Engine time at which this idle stream's clock reaches at_ns. */
static int64_t reach_ns(const judge_stream *stream, int64_t at_ns) {
    if (stream->max_ns >= at_ns)
        return INT64_MIN;
    int64_t lag_ns = PSTK_MAX(stream->recv_ns - stream->max_ns, 0);
    return pstk_time_add(at_ns, lag_ns);
}

/* What waits on a clock first: a sample (strictly below the watermark) or a window's end. */
static int64_t waits_ns(const judge_clock *clock) {
    int64_t sample_ns = clock->heap_ns == INT64_MAX ? INT64_MAX : clock->heap_ns + 1;
    int64_t window_ns = clock->is_sweeping ? clock->sweep_due_ns : clock->due_ns;
    int64_t first_ns = PSTK_MIN(sample_ns, PSTK_MIN(window_ns, clock->wide_ns));
    return first_ns == INT64_MAX ? INT64_MAX : pstk_time_add(first_ns, clock->lateness_ns);
}

static void refresh_source(pstk_judge *judge, uint32_t source) {
    int64_t wanted_ns = waits_ns(judge_clock_at(judge, judge_source_clock((uint16_t)source)));
    int64_t due_ns = INT64_MIN;
    bool is_live = false, has_streams = false;
    for (uint32_t i = judge_source_raw(judge, source)->streams; i;) {
        const judge_stream *stream = judge_stream_raw(judge, i);
        if (stream->has_max && !stream->is_idle) {
            int64_t at_ns =
                pstk_time_add(stream->quiet_ns, judge_source_raw(judge, source)->idle_after_ns);
            judge->idle_due_ns = PSTK_MIN(judge->idle_due_ns, at_ns);
            is_live |= !stream->is_alone;
        } else if (stream->has_max && stream->is_alone) {
            int64_t own_ns = waits_ns(judge_clock_at(judge, judge_stream_clock(i)));
            if (own_ns != INT64_MAX)
                judge->clock_due_ns = PSTK_MIN(judge->clock_due_ns, reach_ns(stream, own_ns));
        } else if (stream->has_max) {
            due_ns = PSTK_MAX(due_ns, reach_ns(stream, wanted_ns));
            has_streams = true;
        }
        i = stream->next;
    }
    if (!is_live && has_streams && wanted_ns != INT64_MAX)
        judge->clock_due_ns = PSTK_MIN(judge->clock_due_ns, due_ns);
}

void judge_time_refresh(pstk_judge *judge) {
    judge->idle_due_ns = INT64_MAX;
    judge->clock_due_ns = INT64_MAX;
    for (uint32_t s = 0; s < PSTK_SOURCES_MAX; s++)
        if (judge_source_raw(judge, s)->streams)
            refresh_source(judge, s);
}

int64_t pstk_judge_deadline_ns(const pstk_judge *judge) {
    int64_t due_ns = PSTK_MIN(judge->idle_due_ns, judge->clock_due_ns);
    if (judge->deadline_count)
        due_ns = PSTK_MIN(due_ns, judge->deadline[0].at_ns);
    if (judge->sweeping)
        due_ns = PSTK_MIN(due_ns, pstk_time_add(judge->head.now_ns, JUDGE_SWEEP_AGAIN_NS));
    return due_ns;
}

/* ---- gaps ----------------------------------------------------------------------------------- */

void judge_gap_open(pstk_judge *judge, uint32_t index) {
    judge_stream *stream = judge_stream_at(judge, index);
    if (stream->has_gap || !stream->has_max)
        return;
    stream->has_gap = 1;
    stream->gap_from_ns = stream->max_ns;
}

static void gap_put(judge_stream *stream, judge_gap gap) {
    if (stream->gap_count ==
        JUDGE_GAPS) { /* the two nearest become one: the least that is said too much */
        uint32_t best = 0;
        uint64_t best_ns = UINT64_MAX;
        for (uint32_t k = 0; k + 1 < JUDGE_GAPS; k++) {
            int64_t to_ns = PSTK_MIN(stream->gap[k].to_ns, stream->gap[k + 1].from_ns);
            uint64_t apart_ns = (uint64_t)stream->gap[k + 1].from_ns - (uint64_t)to_ns;
            if (apart_ns < best_ns) {
                best_ns = apart_ns;
                best = k;
            }
        }
        stream->gap[best].to_ns = PSTK_MAX(stream->gap[best].to_ns, stream->gap[best + 1].to_ns);
        memmove(&stream->gap[best + 1], &stream->gap[best + 2],
                (JUDGE_GAPS - 2 - best) * sizeof gap);
        stream->gap_count--;
    }
    stream->gap[stream->gap_count++] = gap;
}

/* Where the clock was carried on meanwhile, nothing before it will be heard any more. */
void judge_gap_close(pstk_judge *judge, uint32_t index, int64_t time_ns) {
    judge_stream *stream = judge_stream_at(judge, index);
    uint32_t clock =
        stream->is_alone ? judge_stream_clock(index) : judge_source_clock(stream->source);
    int64_t known_ns = PSTK_MAX(time_ns, judge_clock_raw(judge, clock)->watermark_ns);
    stream->has_gap = 0;
    gap_put(stream, (judge_gap){stream->gap_from_ns, PSTK_MAX(stream->gap_from_ns, known_ns)});
}

bool judge_gap_between(const pstk_judge *judge, uint32_t index, int64_t after_ns,
                       int64_t before_ns) {
    const judge_stream *stream = judge_stream_raw(judge, index);
    if (stream->has_gap && stream->gap_from_ns < before_ns)
        return true;
    for (uint32_t k = 0; k < stream->gap_count; k++)
        if (stream->gap[k].from_ns < before_ns && stream->gap[k].to_ns > after_ns)
            return true;
    return false;
}

/* ---- SOURCE records ------------------------------------------------------------------------- */

void judge_source_take(pstk_judge *judge, uint16_t source, uint32_t key,
                       const pstk_source_record *record) {
    if (source >= PSTK_SOURCES_MAX || !judge_source_raw(judge, source)->is_known)
        return;
    judge_source *at = judge_source_at(judge, source);
    bool is_gap = record->change == PSTK_SOURCE_GAP ||
                  (record->change == PSTK_SOURCE_BOOT && record->lost > 0);
    uint32_t only = is_gap ? judge_stream_find(judge, source, key) : 0;
    if (is_gap && only) {
        judge_lost_take(judge, only, record->lost);
        judge_gap_open(judge, only);
        return;
    }
    for (uint32_t i = at->streams; i; i = judge_stream_raw(judge, i)->next) {
        judge_stream *stream = judge_stream_at(judge, i);
        if (is_gap || record->change == PSTK_SOURCE_DOWN)
            judge_gap_open(judge, i);
        if (record->change == PSTK_SOURCE_UP) { /* time to come back before windows close over it */
            stream->quiet_ns = judge->head.now_ns;
            stream->is_idle = 0;
        }
    }
    if (record->change == PSTK_SOURCE_UP || record->change == PSTK_SOURCE_DOWN)
        at->is_down = record->change == PSTK_SOURCE_DOWN;
}

/* ---- a clock that went back ----------------------------------------------------------------- */

enum { REGRESS_SWEEP, REGRESS_FLUSH, REGRESS_TAGS, REGRESS_DONE };

static void regress_tag(pstk_judge *judge, uint32_t tag) {
    judge_hot *hot = judge_hot_at(judge, tag);
    for (uint32_t b = hot->bind; b; b = judge_bind_raw(judge, b)->link) {
        const judge_bind *bind = judge_bind_raw(judge, b);
        const judge_instance *instance = judge_instance_raw(judge, bind->instance);
        if (bind->role == JUDGE_BIND_SUPPRESS)
            continue;
        if (judge_is_alarm(instance->kind) && instance->state)
            judge_limit_regress(judge, instance->state);
        else if (judge_is_alarm(instance->kind) || instance->kind == PSTK_RULE_WINDOW)
            continue;
        else if (bind->role == PSTK_ROLE_VALUE)
            judge_group_regress(judge, instance->state);
    }
    hot->last_ns = JUDGE_BEFORE_NS;
    judge_quiet_refresh(judge, tag);
}

/* In order of time what ends by what is known is whole; what is open then closes as it stands.
 * Nothing is known (INT64_MIN) while other streams may say more. */
static PSTK_COLD bool regress_wide(pstk_judge *judge, const judge_hot *hot, int64_t known_ns) {
    for (uint32_t b = hot->bind; b; b = judge_bind_raw(judge, b)->link) {
        const judge_bind *bind = judge_bind_raw(judge, b);
        const judge_instance *instance = judge_instance_raw(judge, bind->instance);
        if (instance->kind != PSTK_RULE_WINDOW || bind->role != PSTK_ROLE_VALUE)
            continue;
        bool is_ordered = pstk_window_is_ordered(judge_rule_of(judge, instance));
        if (is_ordered && known_ns != INT64_MIN &&
            !judge_wide_advance(judge, instance->state, known_ns))
            return false;
        if (!judge_wide_close_all(judge, instance->state, PSTK_FLAG_CLOCK_REGRESS))
            return false;
    }
    return true;
}

/* One tag is up to 16 steps; each asks for room, so a tag is taken up again where it stopped. */
static PSTK_COLD bool regress_tags(pstk_judge *judge, uint32_t stream, int64_t known_ns) {
    for (; judge->place.step < judge_count(judge, JUDGE_HOT); judge->place.step++) {
        judge_hot *hot = judge_hot_at(judge, judge->place.step);
        if (!hot->type || hot->stream != stream)
            continue;
        for (uint32_t w = hot->window; w; w = judge_window_raw(judge, w)->link) {
            if (!judge_has_room(judge))
                return false;
            judge_window_close_all(judge, w, PSTK_FLAG_CLOCK_REGRESS);
        }
        if (!regress_wide(judge, hot, known_ns) || !judge_has_room(judge))
            return false;
        regress_tag(judge, judge->place.step);
    }
    return true;
}

/* From here on a clock of its own: a device that woke in 1970 holds nobody's watermark. */
PSTK_COLD void judge_stream_alone(pstk_judge *judge, uint32_t index) {
    judge_stream *stream = judge_stream_at(judge, index);
    uint32_t own = judge_stream_clock(index);
    judge_clock *clock = judge_clock_at(judge, own);
    stream->is_alone = 1;
    clock->lateness_ns = judge_clock_at(judge, judge_source_clock(stream->source))->lateness_ns;
    clock->watermark_ns = pstk_time_add(stream->max_ns, -clock->lateness_ns);
    bool is_only = judge_source_raw(judge, stream->source)->streams == index && !stream->next;
    for (uint32_t t = 0; t < judge_count(judge, JUDGE_HOT); t++) {
        const judge_hot *hot = judge_hot_raw(judge, t);
        bool is_awaited = is_only && !hot->stream && hot->source == stream->source;
        if (hot->type && (hot->stream == index || is_awaited))
            judge_hot_at(judge, t)->clock = own;
    }
    judge_windows_rebuild(judge);
    judge_watermark_update(judge, stream->source);
}

/* Windows that wait for their rule: what they told bars no stamp of the new epoch. */
static void regress_waiting(pstk_judge *judge, uint32_t stream) {
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_INSTANCE); i++) {
        const judge_instance *instance = judge_instance_raw(judge, i);
        if (instance->kind != PSTK_RULE_WINDOW || instance->rule ||
            judge_hot_raw(judge, instance->key - 1)->stream != stream)
            continue;
        if (instance->is_wide) {
            judge_wide *at = judge_wide_at(judge, instance->state);
            at->floor_ns = at->over_ns = INT64_MIN;
        } else {
            judge_window *at = judge_window_at(judge, instance->state);
            at->closed_ns = at->restart_ns = INT64_MIN;
        }
    }
}

static void regress_restart(pstk_judge *judge, uint32_t index) {
    judge_stream *stream = judge_stream_at(judge, index);
    stream->epoch++;
    stream->max_ns = stream->run_max_ns;
    stream->run_count = 0;
    stream->gap_count = 0;
    stream->lost_times = stream->is_first_lost = 0; /* its stamps begin anew */
    regress_waiting(judge, index);
    judge_stream_alone(judge, index);
}

/* No more will come before this; where others share the clock, theirs may. */
static PSTK_COLD int64_t known_before(const pstk_judge *judge, uint32_t index) {
    const judge_stream *self = judge_stream_raw(judge, index);
    for (uint32_t i = judge_source_raw(judge, self->source)->streams; i && !self->is_alone;) {
        const judge_stream *stream = judge_stream_raw(judge, i);
        if (i != index && stream->has_max && !stream->is_alone)
            return INT64_MIN;
        i = stream->next;
    }
    return pstk_time_add(self->max_ns, 1);
}

PSTK_COLD bool judge_regress(pstk_judge *judge, uint32_t index) {
    judge_place *place = &judge->place;
    judge_stream *stream = judge_stream_at(judge, index);
    uint32_t clock =
        stream->is_alone ? judge_stream_clock(index) : judge_source_clock(stream->source);
    if (place->node == REGRESS_SWEEP) {
        if (!judge_sweep_all(judge, UINT32_MAX))
            return false;
        place->node = REGRESS_FLUSH;
    }
    if (place->node == REGRESS_FLUSH) {
        if (!judge_clock_flush(judge, clock, known_before(judge, index)))
            return false;
        place->node = REGRESS_TAGS;
        place->step = 0;
    }
    if (!regress_tags(judge, index, known_before(judge, index)))
        return false;
    regress_restart(judge, index);
    place->node = 0;
    return true;
}
