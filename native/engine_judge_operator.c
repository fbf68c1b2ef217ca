/* judge operator: what persons do about alarms: acknowledge, shelve, unshelve, reset (ISA-18.2, OPC
 * UA Part 9); and what there is to do something about. */
#include "engine_judge_state.h"

#include <stdio.h>

/* ---- who did it, and whether the same was told before --------------------------------------- */

void judge_event_set_by(pstk_event *event, const char *by) {
    if (by && by[0])
        pstk_copy_text((char *)&event->figures, PSTK_CONTEXT_BYTES, by,
                       strnlen(by, PSTK_CONTEXT_BYTES - 1));
}

static bool is_stamp_of(const judge_told *told, const pstk_event *event) {
    return told->count && told->at_ns == event->at_ns && told->epoch == event->time_epoch;
}

/* A level clears by its samples or by a person: one kind of event, with stamps of two clocks. */
static uint32_t twin_of(uint32_t place) {
    if (place >= JUDGE_TOLD_RESET)
        return place - JUDGE_TOLD_RESET + JUDGE_TOLD_CLEAR;
    bool is_clear = place >= JUDGE_TOLD_CLEAR && place < JUDGE_TOLD_CLEAR + PSTK_LEVEL_COUNT;
    return is_clear ? place - JUDGE_TOLD_CLEAR + JUDGE_TOLD_RESET : place;
}

void judge_alarm_count(pstk_judge *judge, uint32_t index, uint32_t place, pstk_event *event) {
    const judge_limit *at = judge_limit_raw(judge, index);
    if (!at->shelf)
        return;
    judge_shelf *shelf = judge_shelf_at(judge, at->shelf);
    judge_told *told = &shelf->told[place], *twin = &shelf->told[twin_of(place)];
    bool is_told = is_stamp_of(told, event), is_twin_told = is_stamp_of(twin, event);
    uint32_t count = PSTK_MAX(is_told ? told->count : 0, is_twin_told ? twin->count : 0);
    *told = (judge_told){.at_ns = event->at_ns, .epoch = event->time_epoch, .count = count + 1};
    if (is_twin_told)
        twin->count = count + 1;
    event->occurrence = count;
}

void judge_shelf_forget(pstk_judge *judge, uint32_t index) {
    judge_shelf *shelf = judge_shelf_at(judge, index);
    size_t bytes = sizeof *shelf->told;
    memset(shelf->told + JUDGE_TOLD_TRIP, 0, JUDGE_TOLD_ACKNOWLEDGED * bytes);
    memset(shelf->told + JUDGE_TOLD_RESET, 0, PSTK_LEVEL_COUNT * bytes);
}

/* Made at a person's first action; what is active has been told once, if it was told at all. */
static uint32_t open_shelf(pstk_judge *judge, uint32_t index) {
    judge_limit *at = judge_limit_at(judge, index);
    if (at->shelf)
        return at->shelf;
    at->shelf = judge_arena_take(judge, JUDGE_SHELF); /* as many as instances: never full */
    judge_shelf *shelf = judge_shelf_at(judge, at->shelf);
    uint32_t hidden = (uint32_t)at->limit.untold | at->limit.folded;
    for (uint32_t k = 0; at->shelf && k < PSTK_LEVEL_COUNT; k++) {
        bool is_told = !(hidden >> k & 1u);
        if (pstk_limit_is_active(&at->limit, k) && is_told)
            shelf->told[JUDGE_TOLD_TRIP + k] = (judge_told){
                .at_ns = at->limit.trip_ns[k],
                .epoch = judge_stream_raw(judge, judge_hot_raw(judge, at->tag)->stream)->epoch,
                .count = 1};
    }
    return at->shelf;
}

/* ---- actions -------------------------------------------------------------------------------- */

static void tell(pstk_judge *judge, uint32_t index, pstk_event *event, uint32_t place,
                 const char *by) {
    const judge_limit *at = judge_limit_raw(judge, index);
    if (judge_instance_raw(judge, at->instance)->kind == PSTK_RULE_RATE)
        event->value_type = PSTK_TYPE_F64;
    judge_context_fill(judge, event->asset, 0, event->at_ns, &event->context);
    judge_event_set_by(event, by);
    judge_alarm_count(judge, index, place, event);
    judge_event_commit(judge, at->instance, event);
}

/* The first of HH, H, L, LL that is active; PSTK_LEVEL_COUNT: none. */
static uint8_t highest(const pstk_limit *limit) {
    uint8_t k = 0;
    while (k < PSTK_LEVEL_COUNT && !pstk_limit_is_active(limit, k))
        k++;
    return k;
}

static void acknowledge(pstk_judge *judge, uint32_t index, const char *by) {
    judge_limit *at = judge_limit_at(judge, index);
    uint8_t top = highest(&at->limit);
    if (top == PSTK_LEVEL_COUNT)
        return;
    for (uint32_t k = top; k < PSTK_LEVEL_COUNT; k++)
        if (pstk_limit_is_active(&at->limit, k))
            at->limit.acknowledged |= (uint8_t)(1u << k);
    pstk_event *event =
        judge_event_begin(judge, at->instance, PSTK_EVENT_ALARM_ACKNOWLEDGED, judge->head.now_ns);
    event->start_ns = at->limit.trip_ns[top];
    event->value = at->limit.trip_value[top];
    tell(judge, index, event, JUDGE_TOLD_ACKNOWLEDGED, by);
}

static void shelve(pstk_judge *judge, uint32_t index, int64_t until_ns, const char *by) {
    judge_limit *at = judge_limit_at(judge, index);
    judge_shelf *shelf = judge_shelf_at(judge, at->shelf);
    int64_t now_ns = judge->head.now_ns;
    if (until_ns <= now_ns || until_ns > pstk_time_add(now_ns, PSTK_SHELVE_NS_MAX))
        return;
    shelf->is_shelved = 1;
    shelf->from_ns = now_ns;
    shelf->until_ns = until_ns;
    pstk_event *event = judge_event_begin(judge, at->instance, PSTK_EVENT_ALARM_SHELVED, now_ns);
    event->end_ns = until_ns;
    tell(judge, index, event, JUDGE_TOLD_SHELVED, by);
}

void judge_unshelve(pstk_judge *judge, uint32_t index, int64_t at_ns, const char *by) {
    const judge_limit *at = judge_limit_raw(judge, index);
    judge_shelf *shelf = judge_shelf_at(judge, at->shelf);
    if (!at->shelf || !shelf->is_shelved)
        return;
    shelf->is_shelved = 0;
    pstk_event *event = judge_event_begin(judge, at->instance, PSTK_EVENT_ALARM_UNSHELVED, at_ns);
    event->start_ns = shelf->from_ns;
    event->end_ns = at_ns;
    tell(judge, index, event, JUDGE_TOLD_UNSHELVED, by);
    judge_limit_tell(judge, index);
}

static void reset(pstk_judge *judge, uint32_t index, const char *by) {
    judge_limit *at = judge_limit_at(judge, index);
    pstk_limit_fact fact[PSTK_LEVEL_COUNT];
    size_t count = pstk_limit_release(&at->limit, judge->head.now_ns, fact);
    const pstk_rule *rule = judge_rule_of(judge, judge_instance_raw(judge, at->instance));
    if (count && rule->kind == PSTK_RULE_FRESHNESS) {
        fact[0].start_ns = pstk_time_add(fact[0].start_ns, -rule->after_ns); /* as its trip's */
        judge_watch_at(judge, at->track)->u.fresh.has_value = 0; /* again from the next sample on */
    }
    for (size_t k = 0; k < count; k++)
        judge_limit_emit(judge, index, &fact[k], by);
}

/* ---- the record ----------------------------------------------------------------------------- */

/* Slot of an alarm rule of that name; the count of slots where there is none. */
static uint32_t find_rule(const pstk_judge *judge, const char *name) {
    uint32_t count = judge_count(judge, JUDGE_CONFIG_RULE), s = 0;
    for (; s < count; s++) {
        const pstk_rule *rule = judge_rule_raw(judge, s);
        if (judge->is_live[s] && judge_is_alarm(rule->kind) && strcmp(rule->name, name) == 0)
            break;
    }
    return s;
}

static uint32_t find_instance(const pstk_judge *judge, uint32_t slot, const char *tag_name) {
    uint32_t tag = pstk_tags_find(judge->tags, (const uint8_t *)tag_name, strlen(tag_name));
    if (tag == PSTK_TAG_NONE || !judge_is_tag(judge, tag))
        return 0;
    uint8_t kind = (uint8_t)judge_rule_raw(judge, slot)->kind;
    uint32_t index = judge_instance_find(judge, judge->name_of[slot], kind, tag + 1);
    return index && judge_instance_raw(judge, index)->rule ? index : 0;
}

static uint32_t limit_of(pstk_judge *judge, const pstk_operation *operation) {
    uint32_t slot = find_rule(judge, operation->rule);
    if (slot == judge_count(judge, JUDGE_CONFIG_RULE))
        return 0;
    uint32_t instance = find_instance(judge, slot, operation->tag);
    uint32_t limit = instance ? judge_limit_open(judge, instance) : 0;
    return limit && open_shelf(judge, limit) ? limit : 0;
}

void judge_operate(pstk_judge *judge, const pstk_operation *raw) {
    pstk_operation operation = *raw;
    operation.rule[sizeof operation.rule - 1] = 0;
    operation.tag[sizeof operation.tag - 1] = 0;
    operation.by[sizeof operation.by - 1] = 0;
    uint32_t limit = limit_of(judge, &operation);
    if (!limit)
        return; /* gone since the record was written */
    if (operation.action == PSTK_ACTION_ACKNOWLEDGE)
        acknowledge(judge, limit, operation.by);
    else if (operation.action == PSTK_ACTION_SHELVE)
        shelve(judge, limit, operation.until_ns, operation.by);
    else if (operation.action == PSTK_ACTION_UNSHELVE)
        judge_unshelve(judge, limit, judge->head.now_ns, operation.by);
    else if (operation.action == PSTK_ACTION_RESET)
        reset(judge, limit, operation.by);
    judge_limit_schedule(judge, limit);
    judge_quiet_refresh(judge, judge_limit_raw(judge, limit)->tag);
}

/* ---- questions ------------------------------------------------------------------------------ */

_Static_assert(sizeof(pstk_alarm) == 192, "penstock.stats reads it");
static pstk_alarm alarm_of(const pstk_judge *judge, const judge_limit *at) {
    const judge_instance *instance = judge_instance_raw(judge, at->instance);
    const judge_shelf *shelf = judge_shelf_raw(judge, at->shelf);
    const pstk_tag *tag = pstk_tags_get(judge->tags, at->tag);
    const char *rule = judge_name_raw(judge, instance->name)->name;
    uint8_t top = highest(&at->limit), active = 0;
    for (uint32_t k = 0; k < PSTK_LEVEL_COUNT; k++)
        active |= (uint8_t)(pstk_limit_is_active(&at->limit, k) << k);
    pstk_alarm alarm = {.kind = instance->kind,
                        .level = top,
                        .since_ns = PSTK_TIME_NONE,
                        .shelved_until_ns = shelf->is_shelved ? shelf->until_ns : PSTK_TIME_NONE,
                        .value_type = judge_hot_raw(judge, at->tag)->type,
                        .is_active = active != 0,
                        .is_acknowledged = active && !(active & ~at->limit.acknowledged),
                        .is_suppressed = at->suppressed != 0};
    if (instance->kind == PSTK_RULE_RATE)
        alarm.value_type = PSTK_TYPE_F64;
    pstk_copy_text(alarm.rule, sizeof alarm.rule, rule, strlen(rule));
    if (tag)
        pstk_copy_text(alarm.tag, sizeof alarm.tag, tag->name, tag->name_bytes);
    if (active) {
        alarm.since_ns = at->limit.trip_ns[top];
        alarm.value = at->limit.trip_value[top];
    }
    return alarm;
}

const char *pstk_alarm_level(const pstk_alarm *alarm) {
    static const char *const text[PSTK_LEVEL_COUNT] = {"HH", "H", "L", "LL"};
    bool has_level = alarm->kind == PSTK_RULE_LIMIT || alarm->kind == PSTK_RULE_RATE;
    return has_level && alarm->level < PSTK_LEVEL_COUNT ? text[alarm->level] : "";
}

size_t pstk_judge_alarms(const pstk_judge *judge, pstk_alarm *out_alarms, size_t capacity) {
    size_t count = 0;
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_LIMIT); i++) {
        const judge_limit *at = judge_limit_raw(judge, i);
        if (!at->instance || !judge_instance_raw(judge, at->instance)->rule)
            continue;
        pstk_alarm alarm = alarm_of(judge, at);
        if (!alarm.is_active && !alarm.is_suppressed && alarm.shelved_until_ns == PSTK_TIME_NONE)
            continue;
        if (count < capacity)
            out_alarms[count] = alarm;
        count++;
    }
    return count;
}

/* As many names as there is room for. */
static void add_name(char *text, size_t capacity, const char *name) {
    size_t used = strlen(text);
    if (used + strlen(name) + 8 < capacity)
        snprintf(text + used, capacity - used, "%s%s", used ? ", " : "", name);
    else if (used + 6 < capacity && (used < 3 || strcmp(text + used - 3, "...") != 0))
        snprintf(text + used, capacity - used, ", ...");
}

static bool refuse_rule(const pstk_judge *judge, const char *rule, pstk_error *err) {
    char names[140] = "";
    for (uint32_t s = 0; s < judge_count(judge, JUDGE_CONFIG_RULE); s++)
        if (judge->is_live[s] && judge_is_alarm(judge_rule_raw(judge, s)->kind))
            add_name(names, sizeof names, judge_rule_raw(judge, s)->name);
    (void)pstk_fail(err, PSTK_E_ARGUMENT, 0, "no alarm rule is named %.63s; there is: %s", rule,
                    names[0] ? names : "none");
    return false;
}

static bool refuse_tag(const pstk_judge *judge, uint32_t slot, const char *name, pstk_error *err) {
    char names[110] = "";
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_INSTANCE); i++) {
        const judge_instance *instance = judge_instance_raw(judge, i);
        const pstk_tag *tag = instance->rule == slot + 1 && judge_is_alarm(instance->kind)
                                  ? pstk_tags_get(judge->tags, instance->key - 1)
                                  : NULL;
        if (tag)
            add_name(names, sizeof names, tag->name);
    }
    (void)pstk_fail(err, PSTK_E_ARGUMENT, 0, "rule %.63s judges no tag %.40s; it judges: %s",
                    judge_rule_raw(judge, slot)->name, name, names[0] ? names : "none yet");
    return false;
}

bool pstk_judge_has_alarm(const pstk_judge *judge, const char *rule, const char *tag,
                          pstk_error *err) {
    uint32_t slot = find_rule(judge, rule);
    if (slot == judge_count(judge, JUDGE_CONFIG_RULE))
        return refuse_rule(judge, rule, err);
    return find_instance(judge, slot, tag) || refuse_tag(judge, slot, tag, err);
}
