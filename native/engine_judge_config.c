/* judge config: CONFIG records are collected until the tables are whole, then applied at once.
 * Registers (counters, totals, states) carry on under any change of their rule and wait for a rule
 * that is gone. A window whose rule changed keeps the old one until what is open has ended; an
 * alarm whose rule changed starts fresh and says so once for each instance that held an excursion,
 * and at least once a rule. */
#include "engine_judge_state.h"

/* ---- collecting ----------------------------------------------------------------------------- */

static void staging_reset(pstk_judge *judge) {
    judge->arena[JUDGE_STAGED_SOURCE].count = 0;
    judge->arena[JUDGE_STAGED_RULE].count = 0;
    judge->head.is_staging = 0;
}

static bool is_start_of(const pstk_judge *judge, const pstk_config_record *record) {
    return !judge->head.is_staging ||
           memcmp(judge->head.staged_digest, record->digest, sizeof record->digest) != 0;
}

static bool stage_items(pstk_judge *judge, const pstk_config_record *record, const uint8_t *items,
                        size_t bytes) {
    bool is_rules = record->part == PSTK_CONFIG_RULES;
    judge_arena *arena = &judge->arena[is_rules ? JUDGE_STAGED_RULE : JUDGE_STAGED_SOURCE];
    uint32_t total = is_rules ? record->rule_total : record->source_total;
    if (record->first != arena->count || record->count > total - PSTK_MIN(record->first, total) ||
        record->count > bytes / arena->item)
        return false;
    uint8_t *place = arena->base + (size_t)arena->count * arena->item;
    size_t size = (size_t)record->count * arena->item;
    judge_touch(judge, place, size);
    memcpy(place, items, size);
    arena->count += record->count;
    return true;
}

bool judge_config_stage(pstk_judge *judge, const uint8_t *payload, size_t bytes) {
    pstk_config_record record;
    if (bytes < sizeof record)
        return false;
    memcpy(&record, payload, sizeof record);
    if (record.source_total > PSTK_SOURCES_MAX || record.rule_total > PSTK_RULES_MAX ||
        record.part > PSTK_CONFIG_RULES)
        return false;
    if (is_start_of(judge, &record) || (record.part == PSTK_CONFIG_SOURCES && record.first == 0)) {
        staging_reset(judge);
        judge->head.is_staging = 1;
        memcpy(judge->head.staged_digest, record.digest, sizeof record.digest);
        judge->head.staged_generation = record.generation;
        judge->head.staged_source_total = record.source_total;
        judge->head.staged_rule_total = record.rule_total;
    }
    if (record.source_total != judge->head.staged_source_total ||
        record.rule_total != judge->head.staged_rule_total ||
        !stage_items(judge, &record, payload + sizeof record, bytes - sizeof record)) {
        staging_reset(judge);
        return false;
    }
    if (judge_count(judge, JUDGE_STAGED_SOURCE) < record.source_total ||
        judge_count(judge, JUDGE_STAGED_RULE) < record.rule_total)
        return false;
    uint8_t digest[32];
    pstk_judge_config_digest(judge_staged_source_raw(judge, 0), record.source_total,
                             judge_staged_rule_raw(judge, 0), record.rule_total, digest);
    if (memcmp(digest, record.digest, sizeof digest) != 0) {
        staging_reset(judge); /* damaged: the old tables stay */
        return false;
    }
    return true;
}

void pstk_judge_config_digest(const pstk_config_source *sources, size_t source_count,
                              const pstk_rule *rules, size_t rule_count, uint8_t out_digest[32]) {
    pstk_sha256 sha;
    pstk_sha256_init(&sha);
    pstk_sha256_update(&sha, sources, source_count * sizeof *sources);
    pstk_sha256_update(&sha, rules, rule_count * sizeof *rules);
    pstk_sha256_final(&sha, out_digest);
}

/* ---- applying ------------------------------------------------------------------------------- */

enum { APPLY_SWEEP, APPLY_INDEX, APPLY_CLOSE, APPLY_TELL, APPLY_SWAP };

static void index_staged(pstk_judge *judge) {
    memset(judge->staged_of_name, 0, (size_t)JUDGE_NAMES_MAX * sizeof *judge->staged_of_name);
    memset(judge->is_told, 0, JUDGE_NAMES_MAX);
    memset(judge->retired_of, 0, PSTK_RULES_MAX * sizeof *judge->retired_of);
    for (uint32_t s = 0; s < judge_count(judge, JUDGE_STAGED_RULE); s++) {
        const pstk_rule *rule = judge_staged_rule_raw(judge, s);
        if (!judge_rule_is_valid(rule)) {
            JUDGE_COUNT(judge->head.counters.instance_limit, 1);
            continue;
        }
        uint32_t name = judge_name_intern(judge, rule->name, rule->series);
        if (!name || judge->staged_of_name[name])
            JUDGE_COUNT(judge->head.counters.instance_limit, 1);
        else
            judge->staged_of_name[name] = s + 1;
    }
    bool is_again = judge->head.restart_ns == judge->head.now_ns;
    judge->head.restarts = is_again ? judge->head.restarts + 1 : 0;
    judge->head.restart_ns = judge->head.now_ns;
}

/* The staged rule under an instance's name where it is of the same kind; of an alarm or a window,
 * where it names the instance's tag still. */
static const pstk_rule *staged_for(const pstk_judge *judge, const judge_instance *instance) {
    uint32_t slot = judge->staged_of_name[instance->name];
    const pstk_rule *rule = slot ? judge_staged_rule_at(judge, slot - 1) : NULL;
    const char *capture;
    size_t bytes;
    if (!rule || rule->kind != instance->kind)
        return NULL;
    bool is_named = !judge_is_by_tag(instance->kind) ||
                    judge_pattern_of(judge, rule, instance->key - 1, &capture, &bytes);
    return is_named ? rule : NULL;
}

static bool is_kept(const pstk_judge *judge, const judge_instance *instance) {
    const pstk_rule *next = staged_for(judge, instance);
    return next && memcmp(next, judge_rule_of(judge, instance), sizeof *next) == 0;
}

static void tell_restart(pstk_judge *judge, uint32_t index) {
    const judge_instance *instance = judge_instance_raw(judge, index);
    pstk_event *event =
        judge_event_begin(judge, index, PSTK_EVENT_RULE_RESTARTED, judge->head.now_ns);
    event->end_ns = judge->head.now_ns;
    event->occurrence = judge->head.restarts;
    judge->is_told[instance->name] = 1;
    judge_event_commit(judge, index, event);
}

static void close_limit(pstk_judge *judge, uint32_t index) {
    const judge_instance *instance = judge_instance_raw(judge, index);
    judge_told_end(judge, instance);
    if (!instance->state)
        return;
    const judge_limit *at = judge_limit_raw(judge, instance->state);
    bool is_held = false;
    for (uint32_t k = 0; k < PSTK_LEVEL_COUNT; k++)
        is_held |= pstk_limit_is_active(&at->limit, k);
    judge_limit_flush(judge, instance->state);
    if (is_held && staged_for(judge, instance))
        tell_restart(judge, index);
    judge_limit_reset(judge, instance->state);
    if (at->shelf && !staged_for(judge, instance))
        judge_shelf_at(judge, at->shelf)->is_shelved = 0; /* what was told of it stays */
    if (at->shelf)
        judge_shelf_forget(judge, at->shelf); /* judge_last knows more */
}

/* A register that its rule names no more. */
static bool is_left(const pstk_judge *judge, const judge_instance *instance) {
    const pstk_rule *next = staged_for(judge, instance);
    uint32_t tag = judge_group_raw(judge, instance->state)->role[PSTK_ROLE_VALUE].tag;
    const char *capture;
    size_t bytes;
    return next && tag && !judge_pattern_of(judge, next, tag - 1, &capture, &bytes);
}

/* Both rules tumble plainly: what is open goes on by the old one, until it has ended. */
static bool keeps_its_panes(const pstk_judge *judge, const judge_instance *instance) {
    const pstk_rule *next = staged_for(judge, instance);
    return next && !instance->is_wide && !pstk_window_is_wide(next);
}

static bool close_changed(pstk_judge *judge) {
    for (; judge->place.step < judge_count(judge, JUDGE_INSTANCE); judge->place.step++) {
        const judge_instance *instance = judge_instance_raw(judge, judge->place.step);
        if (!instance->kind || !instance->rule || instance->kind == PSTK_RULE_GAP ||
            is_kept(judge, instance))
            continue;
        bool is_group = judge_is_group(instance->kind);
        if (!judge_has_room(judge))
            return false;
        if (is_group)
            judge_group_settle(judge, instance->state);
        if (is_group && !is_left(judge, instance))
            continue;
        if (is_group)
            judge_group_finish(judge, instance->state);
        else if (judge_is_alarm(instance->kind))
            close_limit(judge, judge->place.step);
        else if (keeps_its_panes(judge, instance))
            judge_window_retire(judge, instance->state);
        else if (!instance->is_wide)
            judge_window_close_all(judge, instance->state, PSTK_FLAG_PARTIAL);
        else if (!judge_wide_close_all(judge, instance->state, PSTK_FLAG_PARTIAL))
            return false;
    }
    return true;
}

/* Of the rule's instances the one whose tag was known first. */
static uint32_t first_of(const pstk_judge *judge, uint32_t index) {
    const judge_instance *first = judge_instance_raw(judge, index);
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_INSTANCE); i++) {
        const judge_instance *other = judge_instance_raw(judge, i);
        if (other->kind == first->kind && other->name == first->name && other->rule &&
            other->key < first->key && staged_for(judge, other)) {
            first = other;
            index = i;
        }
    }
    return index;
}

/* A changed alarm rule none of whose instances held anything still says once that it is another
 * now. */
static bool tell_changed(pstk_judge *judge) {
    for (; judge->place.step < judge_count(judge, JUDGE_INSTANCE); judge->place.step++) {
        const judge_instance *instance = judge_instance_raw(judge, judge->place.step);
        if (!judge_is_alarm(instance->kind) || !instance->rule || judge->is_told[instance->name] ||
            !staged_for(judge, instance) || is_kept(judge, instance))
            continue;
        if (!judge_has_room(judge))
            return false;
        tell_restart(judge, first_of(judge, judge->place.step));
    }
    return true;
}

/* What tells equal stamps apart is kept: of alarms that were chattering, fell silent or that a
 * person has had to do with, of windows of events. */
static bool is_forgettable(const pstk_judge *judge, const judge_instance *instance) {
    if (judge_is_alarm(instance->kind))
        return !instance->last && !judge_limit_raw(judge, instance->state)->shelf;
    if (instance->kind != PSTK_RULE_WINDOW)
        return false;
    bool has_events = instance->rule ? judge_rule_of(judge, instance)->emit == PSTK_EMIT_EVENT
                                     : instance->last != 0;
    if (has_events)
        return false;
    if (judge->head.counters.instances > judge->options.instances_max / 2)
        return true; /* those of the new table need the room */
    return instance->is_wide ? judge_wide_is_over(judge, instance->state)
                             : judge_window_is_over(judge, instance->state);
}

static void remap_instances(pstk_judge *judge) {
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_INSTANCE); i++) {
        judge_instance *instance = judge_instance_at(judge, i);
        if (!instance->kind)
            continue;
        bool is_staged = staged_for(judge, instance) != NULL;
        if (!is_staged && is_forgettable(judge, instance)) {
            judge_instance_drop(judge, i);
            continue;
        }
        bool is_alarm = instance->rule && judge_is_alarm(instance->kind) && instance->state;
        if (is_alarm && !is_kept(judge, instance)) /* the new rule may need none of it */
            judge_limit_strip(judge, instance->state);
    }
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_INSTANCE); i++) {
        judge_instance *instance = judge_instance_at(judge, i);
        if (!instance->kind)
            continue;
        uint32_t rule = staged_for(judge, instance) ? judge->staged_of_name[instance->name] : 0;
        bool is_group = judge_is_group(instance->kind);
        if (!rule && instance->rule && is_group)
            judge_group_at(judge, instance->state)->is_away = 1;
        if (rule && is_group && !(instance->rule && is_kept(judge, instance)))
            judge_group_change(judge, instance->state);
        instance->rule = (uint16_t)rule;
        if (instance->kind == PSTK_RULE_WINDOW && !instance->is_wide &&
            !judge_window_is_leaving(judge_window_raw(judge, instance->state)))
            judge_window_at(judge, instance->state)->rule = instance->rule;
    }
}

static void take_over(pstk_judge *judge, int live, int staged, uint32_t count) {
    size_t bytes = (size_t)count * judge->arena[live].item;
    judge_touch(judge, judge->arena[live].base, bytes);
    memcpy(judge->arena[live].base, judge->arena[staged].base, bytes);
}

static void swap_sources(pstk_judge *judge) {
    uint32_t count = judge_count(judge, JUDGE_STAGED_SOURCE);
    take_over(judge, JUDGE_CONFIG_SOURCE, JUDGE_STAGED_SOURCE, count);
    judge->arena[JUDGE_CONFIG_SOURCE].count = count;
    for (uint32_t s = 0; s < PSTK_SOURCES_MAX; s++) {
        judge_source *at = judge_source_at(judge, s);
        at->is_known = s < count;
        if (!at->is_known)
            continue;
        const pstk_config_source *from = judge_config_source_raw(judge, s);
        int64_t most_ns = INT64_C(1) << 60;
        at->idle_after_ns = PSTK_MAX(PSTK_MIN(from->idle_after_ns, most_ns), 0);
        judge_clock_at(judge, judge_source_clock((uint16_t)s))->lateness_ns =
            PSTK_MAX(PSTK_MIN(from->lateness_ns, most_ns), 0);
    }
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_STREAM); i++)
        judge_clock_at(judge, judge_stream_clock(i))->lateness_ns =
            judge_clock_at(judge, judge_source_clock(judge_stream_raw(judge, i)->source))
                ->lateness_ns;
}

void judge_rules_rebuild(pstk_judge *judge) {
    memset(judge->is_live, 0, PSTK_RULES_MAX);
    memset(judge->staged_of_name, 0, (size_t)JUDGE_NAMES_MAX * sizeof *judge->staged_of_name);
    for (uint32_t s = 0; s < judge_count(judge, JUDGE_CONFIG_RULE); s++) {
        const pstk_rule *rule = judge_rule_raw(judge, s);
        uint32_t name =
            judge_rule_is_valid(rule) ? judge_name_find(judge, rule->name, rule->series) : 0;
        judge->is_live[s] = name && !judge->staged_of_name[name];
        judge->name_of[s] = name;
        if (name)
            judge->staged_of_name[name] = s + 1;
    }
    judge_suppressors_rebuild(judge);
}

static void swap_tables(pstk_judge *judge) {
    remap_instances(judge);
    swap_sources(judge);
    uint32_t count = judge_count(judge, JUDGE_STAGED_RULE);
    take_over(judge, JUDGE_CONFIG_RULE, JUDGE_STAGED_RULE, count);
    judge->arena[JUDGE_CONFIG_RULE].count = count;
    judge->head.generation = judge->head.staged_generation;
    staging_reset(judge);
    judge_rules_rebuild(judge);
    judge_bind_rebuild(judge, true);
    judge_groups_wake(judge);
    judge_deadlines_rebuild(judge);
}

bool judge_config_apply(pstk_judge *judge) {
    judge_place *place = &judge->place;
    if (place->node == APPLY_SWEEP) {
        if (!judge_sweep_all(judge, UINT32_MAX))
            return false;
        place->node = APPLY_INDEX;
    }
    if (place->node == APPLY_INDEX) {
        index_staged(judge);
        place->node = APPLY_CLOSE;
        place->step = 1;
    }
    if (place->node == APPLY_CLOSE) {
        if (!close_changed(judge))
            return false;
        place->node = APPLY_TELL;
        place->step = 1;
    }
    if (place->node == APPLY_TELL) {
        if (!tell_changed(judge))
            return false;
        place->node = APPLY_SWAP;
    }
    swap_tables(judge);
    place->node = 0;
    return true;
}
