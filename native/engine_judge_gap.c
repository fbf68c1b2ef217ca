/* judge gap: samples that a numbered stream lost on the way. SOURCE records say how many; the next
 * sample of the stream ends the gap, and each gap rule of its source tells it then. An instance is
 * a rule at a stream. */
#include "engine_judge_state.h"

static const char *source_name(const pstk_judge *judge, const judge_stream *stream) {
    bool is_known = stream->source < judge_count(judge, JUDGE_CONFIG_SOURCE);
    return is_known ? judge_config_source_raw(judge, stream->source)->name : "";
}

static bool is_heard_by(const pstk_judge *judge, const judge_stream *stream, uint32_t slot) {
    const pstk_rule *rule = judge_rule_raw(judge, slot);
    return judge->is_live[slot] && rule->kind == PSTK_RULE_GAP &&
           strncmp(rule->source, source_name(judge, stream), sizeof rule->source) == 0;
}

static uint32_t instance_at(const pstk_judge *judge, uint32_t index, uint32_t slot) {
    return judge_instance_find(judge, judge->name_of[slot], PSTK_RULE_GAP, index + 1);
}

void judge_lost_bind(pstk_judge *judge, uint32_t index) {
    const judge_stream *stream = judge_stream_raw(judge, index);
    if (stream->number >= PSTK_STREAM_UNNUMBERED)
        return;
    for (uint32_t s = 0; s < judge_count(judge, JUDGE_CONFIG_RULE); s++) {
        if (!is_heard_by(judge, stream, s))
            continue;
        const pstk_rule *rule = judge_rule_raw(judge, s);
        const char *named = rule->asset[0] ? rule->asset : rule->source;
        uint32_t asset = judge_asset_intern(judge, named), at = instance_at(judge, index, s);
        if (!at)
            at = judge_instance_make(judge, s, judge->name_of[s], index + 1, asset);
        if (at && asset)
            judge_instance_at(judge, at)->asset = asset;
    }
}

void judge_lost_take(pstk_judge *judge, uint32_t index, uint64_t lost) {
    judge_stream *stream = judge_stream_at(judge, index);
    int64_t from_ns = stream->has_max ? stream->max_ns : judge->head.now_ns;
    bool is_going_on = stream->lost > 0; /* no sample between: one gap */
    if (is_going_on || !lost) {
        stream->lost += PSTK_MIN(lost, UINT64_MAX - stream->lost);
        return;
    }
    bool is_again = stream->lost_times && stream->lost_from_ns == from_ns;
    bool is_first_again = stream->is_first_lost && stream->first_lost_ns == from_ns;
    stream->lost_times = is_again ? stream->lost_times + 1 : 1u + is_first_again;
    stream->lost_from_ns = from_ns;
    stream->lost = lost;
    if (stream->has_max)
        return;
    stream->is_first_lost = 1;
    stream->first_lost_ns = from_ns;
}

static void tell(pstk_judge *judge, uint32_t index, const judge_stream *stream, int64_t time_ns) {
    const char *source = source_name(judge, stream);
    pstk_event *event = judge_event_begin(judge, index, PSTK_EVENT_GAP_LOST, stream->lost_from_ns);
    event->end_ns = PSTK_MAX(stream->lost_from_ns, time_ns);
    event->count = stream->lost;
    event->value.i64 = stream->number;
    event->value_type = PSTK_TYPE_I64;
    event->time_epoch = stream->epoch;
    event->occurrence = stream->lost_times - 1;
    pstk_copy_text((char *)&event->figures, sizeof event->figures, source,
                   strnlen(source, sizeof event->figures - 1));
    judge_context_fill(judge, event->asset, 0, event->at_ns, &event->context);
    judge_event_commit(judge, index, event);
}

bool judge_lost_tell(pstk_judge *judge, uint32_t index, int64_t time_ns) {
    judge_stream *stream = judge_stream_at(judge, index);
    judge_place *place = &judge->place;
    for (; stream->lost && place->step < judge_count(judge, JUDGE_CONFIG_RULE); place->step++) {
        const pstk_rule *rule = judge_rule_raw(judge, place->step);
        if (!is_heard_by(judge, stream, place->step) || stream->lost < rule->lost_min)
            continue;
        uint32_t instance = instance_at(judge, index, place->step);
        if (!judge_has_room(judge))
            return false;
        if (instance) /* else there was no room for it: refused, and counted */
            tell(judge, instance, stream, time_ns);
    }
    stream->lost = 0;
    place->step = 0;
    return true;
}
