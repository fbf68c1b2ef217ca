/* judge suppress: what keeps an alarm's trips back: the state of a machine, as the newest good
 * value of a tag says, and another alarm that is active. The state is kept apart (judge_latch), for
 * it may come before the alarm's own tag does. What ends is followed by the trips that nobody was
 * told of: the instance is touched, and tells before anything else is judged. */
#include "engine_judge_state.h"

/* ---- which rule is kept back by which ------------------------------------------------------- */

void judge_suppressors_rebuild(pstk_judge *judge) {
    uint32_t count = judge_count(judge, JUDGE_CONFIG_RULE);
    memset(judge->suppression.suppressor_of, 0,
           PSTK_RULES_MAX * sizeof *judge->suppression.suppressor_of);
    memset(judge->suppression.is_suppressor, 0, PSTK_RULES_MAX);
    judge->suppression.is_asked = false;
    for (uint32_t d = 0; d < count; d++) {
        const pstk_rule *rule = judge_rule_raw(judge, d);
        if (!judge->is_live[d] || !judge_is_alarm(rule->kind))
            continue;
        judge->suppression.is_asked |= rule->suppress_tag[0] || rule->suppress_by[0];
        for (uint32_t s = 0; rule->suppress_by[0] && s < count; s++) {
            const pstk_rule *by = judge_rule_raw(judge, s);
            if (s == d || !judge->is_live[s] || !judge_is_alarm(by->kind) ||
                strcmp(by->name, rule->suppress_by) != 0)
                continue;
            judge->suppression.suppressor_of[d] = (uint16_t)(s + 1);
            judge->suppression.is_suppressor[s] = 1;
            break;
        }
    }
}

void judge_latches_rebuild(pstk_judge *judge) {
    memset(judge->suppression.latch_of, 0,
           (size_t)judge->options.tags_max * sizeof *judge->suppression.latch_of);
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_LATCH); i++)
        judge->suppression.latch_of[judge_latch_raw(judge, i)->tag] = i;
}

/* What no rule heard by instants is not known where one does from here on. */
void judge_latches_forget(pstk_judge *judge) {
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_LATCH); i++) {
        judge_latch *latch = judge_latch_at(judge, i);
        if (!(judge_hot_raw(judge, latch->tag)->slow & JUDGE_SLOW_EVENT))
            latch->has_event = 0;
    }
}

/* The instance of a rule for what another one's pattern captured at a tag; 0: none. */
static uint32_t partner(const pstk_judge *judge, const char *pattern, uint32_t tag, uint32_t slot) {
    const pstk_tag *named = pstk_tags_get(judge->tags, tag);
    const pstk_rule *rule = judge_rule_raw(judge, slot);
    const char *capture;
    size_t bytes;
    char name[PSTK_NAME_BYTES];
    if (!named || !pstk_pattern_match(pattern, named->name, named->name_bytes, &capture, &bytes) ||
        !pstk_pattern_fill(rule->pattern[PSTK_ROLE_VALUE], capture, bytes, name, sizeof name))
        return 0;
    uint32_t found = pstk_tags_find(judge->tags, (const uint8_t *)name, strlen(name));
    if (found == PSTK_TAG_NONE || !judge_is_tag(judge, found))
        return 0;
    return judge_instance_find(judge, judge->name_of[slot], (uint8_t)rule->kind, found + 1);
}

/* ---- what holds now ------------------------------------------------------------------------- */

static bool is_listed(const pstk_judge *judge, const pstk_rule *rule, uint32_t tag, uint8_t type,
                      pstk_value value) {
    const char *text = NULL;
    pstk_value code = value;
    if (type == PSTK_TYPE_CODE)
        text = pstk_tags_code_text(judge->tags, tag, value.i64);
    else if (!judge_convert(type, value, PSTK_TYPE_I64, &code))
        return false;
    for (uint32_t k = 0; k < PSTK_MIN(rule->state_count, PSTK_STATES_MAX); k++) {
        bool is_text = rule->state_text[k][0];
        if (is_text && text && strncmp(rule->state_text[k], text, sizeof rule->state_text[k]) == 0)
            return true;
        if (!is_text && type != PSTK_TYPE_CODE && rule->state_code[k] == code.i64)
            return true;
    }
    return false;
}

static bool is_stopped(const pstk_judge *judge, const pstk_rule *rule, uint32_t tag) {
    const judge_latch *latch = judge_latch_raw(judge, judge->suppression.latch_of[tag]);
    bool is_event = rule->order == PSTK_ORDER_EVENT;
    if (!judge->suppression.latch_of[tag] || !(is_event ? latch->has_event : latch->has_arrival))
        return false;
    return is_listed(judge, rule, tag, judge_hot_raw(judge, tag)->type,
                     is_event ? latch->event : latch->arrival);
}

static bool is_any_active(const judge_limit *at) {
    bool is_active = false;
    for (unsigned k = 0; k < PSTK_LEVEL_COUNT; k++)
        is_active |= pstk_limit_is_active(&at->limit, k);
    return is_active;
}

/* One reason begins or ends. */
static void set_reason(pstk_judge *judge, uint32_t instance, uint8_t reason, bool holds) {
    uint32_t limit = judge_instance_raw(judge, instance)->state;
    if (!limit && !holds)
        return;
    limit = judge_limit_open(judge, instance);
    if (!limit)
        return; /* as many as instances: never full */
    judge_limit *at = judge_limit_at(judge, limit);
    uint8_t before = at->suppressed;
    at->suppressed = (uint8_t)(holds ? before | reason : before & ~reason);
    if (before && !at->suppressed && at->limit.untold)
        judge_alarm_touch(judge, instance);
}

/* ---- a state tag says something ------------------------------------------------------------- */

void judge_suppress_state(pstk_judge *judge, uint32_t tag, pstk_value value, uint16_t quality,
                          bool is_event) {
    judge_latch *latch = judge_latch_at(judge, judge->suppression.latch_of[tag]);
    if (!judge->suppression.latch_of[tag] || judge_is_bad(quality))
        return;
    *(is_event ? &latch->event : &latch->arrival) = value;
    *(is_event ? &latch->has_event : &latch->has_arrival) = 1;
    for (uint32_t b = judge_hot_raw(judge, tag)->bind; b; b = judge_bind_raw(judge, b)->link) {
        const judge_bind *bind = judge_bind_raw(judge, b);
        if (bind->role != JUDGE_BIND_SUPPRESS)
            continue;
        const pstk_rule *rule = judge_rule_of(judge, judge_instance_raw(judge, bind->instance));
        if ((rule->order == PSTK_ORDER_EVENT) == is_event)
            set_reason(judge, bind->instance, JUDGE_SUPPRESSED_WHEN, is_stopped(judge, rule, tag));
    }
}

/* ---- an alarm begins or ends ---------------------------------------------------------------- */

void judge_suppress_follow(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    uint32_t slot = judge_instance_raw(judge, at->instance)->rule - 1u;
    bool is_active = is_any_active(at);
    if (!judge->suppression.is_suppressor[slot] || is_active == at->is_blocking)
        return;
    at->is_blocking = is_active;
    const char *pattern = judge_rule_raw(judge, slot)->pattern[PSTK_ROLE_VALUE];
    for (uint32_t d = 0; d < judge_count(judge, JUDGE_CONFIG_RULE); d++) {
        if (judge->suppression.suppressor_of[d] != slot + 1)
            continue;
        uint32_t instance = partner(judge, pattern, at->tag, d);
        if (instance && judge_instance_raw(judge, instance)->rule == d + 1)
            set_reason(judge, instance, JUDGE_SUPPRESSED_BY, is_active);
    }
}

/* ---- binding -------------------------------------------------------------------------------- */

void judge_latch_open(pstk_judge *judge, uint32_t tag) {
    if (judge->suppression.latch_of[tag])
        return;
    uint32_t index = judge_arena_take(judge, JUDGE_LATCH);
    if (!index)
        return; /* as many as tags: never full */
    judge_latch_at(judge, index)->tag = tag;
    judge->suppression.latch_of[tag] = index;
}

static void hear(pstk_judge *judge, uint32_t tag, uint32_t instance) {
    const pstk_rule *rule = judge_rule_of(judge, judge_instance_raw(judge, instance));
    if (!judge_bind_append(judge, tag, instance, JUDGE_BIND_SUPPRESS))
        JUDGE_COUNT(judge->head.counters.instance_limit, 1);
    if (rule->order == PSTK_ORDER_EVENT)
        judge_hot_at(judge, tag)->slow |= JUDGE_SLOW_EVENT;
    judge_quiet_refresh(judge, tag);
}

/* The alarm of this tag finds its state tag, and what holds. Of two tags the one bound later joins
 * them. */
static void join_alarm(pstk_judge *judge, uint32_t tag, uint32_t slot) {
    const pstk_rule *rule = judge_rule_raw(judge, slot);
    const pstk_tag *named = pstk_tags_get(judge->tags, tag);
    const char *capture;
    size_t bytes;
    char name[PSTK_NAME_BYTES];
    uint32_t index = judge_instance_find(judge, judge->name_of[slot], (uint8_t)rule->kind, tag + 1);
    if (!index || judge_instance_raw(judge, index)->rule != slot + 1 ||
        !pstk_pattern_match(rule->pattern[PSTK_ROLE_VALUE], named->name, named->name_bytes,
                            &capture, &bytes))
        return;
    bool is_when = false, is_by = false;
    if (rule->suppress_tag[0] &&
        pstk_pattern_fill(rule->suppress_tag, capture, bytes, name, sizeof name)) {
        uint32_t state = pstk_tags_find(judge->tags, (const uint8_t *)name, strlen(name));
        bool is_known = state != PSTK_TAG_NONE && judge_is_tag(judge, state);
        if (is_known && state <= tag) {
            judge_latch_open(judge, state);
            hear(judge, state, index);
        }
        is_when = is_known && is_stopped(judge, rule, state);
    }
    uint32_t by = judge->suppression.suppressor_of[slot];
    uint32_t other = by ? partner(judge, rule->pattern[PSTK_ROLE_VALUE], tag, by - 1) : 0;
    if (other && judge_instance_raw(judge, other)->rule == by)
        is_by = is_any_active(judge_limit_raw(judge, judge_instance_raw(judge, other)->state));
    set_reason(judge, index, JUDGE_SUPPRESSED_WHEN, is_when);
    set_reason(judge, index, JUDGE_SUPPRESSED_BY, is_by);
}

/* This tag says the state: alarms that are bound already hear it. */
static void join_state(pstk_judge *judge, uint32_t tag, uint32_t slot) {
    const pstk_rule *rule = judge_rule_raw(judge, slot);
    const pstk_tag *named = pstk_tags_get(judge->tags, tag);
    const char *capture;
    size_t bytes;
    if (!pstk_pattern_match(rule->suppress_tag, named->name, named->name_bytes, &capture, &bytes))
        return;
    judge_latch_open(judge, tag);
    if (rule->order == PSTK_ORDER_EVENT)
        judge_hot_at(judge, tag)->slow |= JUDGE_SLOW_EVENT;
    bool is_shared = !pstk_pattern_has_star(rule->suppress_tag) &&
                     pstk_pattern_has_star(rule->pattern[PSTK_ROLE_VALUE]);
    if (!is_shared) {
        uint32_t index = partner(judge, rule->suppress_tag, tag, slot);
        if (index && judge_instance_raw(judge, index)->rule == slot + 1 &&
            judge_instance_raw(judge, index)->key - 1 < tag)
            hear(judge, tag, index);
        return;
    }
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_INSTANCE); i++) {
        const judge_instance *instance = judge_instance_raw(judge, i);
        if (instance->rule == slot + 1 && judge_is_alarm(instance->kind) && instance->key - 1 < tag)
            hear(judge, tag, i);
    }
}

void judge_suppress_bind(pstk_judge *judge, uint32_t tag) {
    for (uint32_t s = 0; judge->suppression.is_asked && s < judge_count(judge, JUDGE_CONFIG_RULE);
         s++) {
        const pstk_rule *rule = judge_rule_raw(judge, s);
        if (!judge->is_live[s] || !judge_is_alarm(rule->kind))
            continue;
        join_alarm(judge, tag, s);
        if (rule->suppress_tag[0])
            join_state(judge, tag, s);
    }
}
