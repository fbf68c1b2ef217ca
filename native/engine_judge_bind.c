/* judge bind: TAG records meet rules: which instance hears which tag, in which role.
 * The instance of an alarm or window is its tag. The others are named by what '*' matched; a role
 * without '*' in a rule whose VALUE has one is shared by all its instances. Instances outlive their
 * rule: registers wait for its return. */
#include "engine_judge_state.h"

/* ---- rules as they may come from a damaged ring --------------------------------------------- */

static bool is_duration(int64_t ns) { return ns >= 0 && ns <= (INT64_C(1) << 60); }

static bool are_texts_ended(const pstk_rule *rule) {
    bool is_ended = memchr(rule->name, 0, sizeof rule->name) && rule->name[0] &&
                    memchr(rule->series, 0, sizeof rule->series) &&
                    memchr(rule->asset, 0, sizeof rule->asset) &&
                    memchr(rule->unit, 0, sizeof rule->unit) &&
                    memchr(rule->suppress_tag, 0, sizeof rule->suppress_tag) &&
                    memchr(rule->suppress_by, 0, sizeof rule->suppress_by) &&
                    memchr(rule->source, 0, sizeof rule->source);
    for (uint32_t r = 0; r < PSTK_ROLE_COUNT; r++)
        is_ended = is_ended && memchr(rule->pattern[r], 0, PSTK_NAME_BYTES);
    return is_ended;
}

static bool is_alarm_valid(const pstk_rule *rule) {
    if (rule->kind == PSTK_RULE_RATE)
        return is_duration(rule->span_ns) && rule->span_ns >= PSTK_SPAN_NS_MIN &&
               rule->rate_unit_ns > 0;
    if (rule->kind == PSTK_RULE_STUCK || rule->kind == PSTK_RULE_FRESHNESS)
        return is_duration(rule->after_ns) && rule->after_ns > 0 && rule->band >= 0;
    return true;
}

bool judge_rule_is_valid(const pstk_rule *rule) {
    if (!are_texts_ended(rule) || rule->kind < PSTK_RULE_LIMIT || rule->kind > PSTK_RULE_GAP)
        return false;
    for (uint32_t k = 0; k < PSTK_LEVEL_COUNT; k++)
        if (!is_duration(rule->level[k].on_delay_ns) || !is_duration(rule->level[k].off_delay_ns) ||
            !is_duration(rule->level[k].re_alarm_ns))
            return false;
    if (judge_is_alarm(rule->kind) && !is_alarm_valid(rule))
        return false;
    if (!is_duration(rule->size_ns) || !is_duration(rule->min_duration_ns) ||
        !is_duration(rule->micro_every_ns) || rule->offset_ns > (INT64_C(1) << 60) ||
        rule->offset_ns < -(INT64_C(1) << 60))
        return false;
    if (rule->kind == PSTK_RULE_WINDOW)
        return pstk_window_is_valid(rule);
    return rule->kind != PSTK_RULE_TOTAL || rule->rate_unit_ns > 0;
}

/* ---- instances by (name, kind, key) --------------------------------------------------------- */

static uint32_t hash_place(const pstk_judge *judge, uint32_t name, uint8_t kind, uint32_t key) {
    uint32_t words[3] = {name, kind, key};
    return (uint32_t)judge_table_hash(words, sizeof words) & judge->instances.mask;
}

/* Chained, so that a dropped limit leaves no hole behind. */
uint32_t judge_instance_find(const pstk_judge *judge, uint32_t name, uint8_t kind, uint32_t key) {
    uint32_t index = judge->instances.slot[hash_place(judge, name, kind, key)];
    for (; index; index = judge_instance_raw(judge, index)->next) {
        const judge_instance *instance = judge_instance_raw(judge, index);
        if (instance->name == name && instance->kind == kind && instance->key == key)
            return index;
    }
    return 0;
}

static void hash_put(pstk_judge *judge, uint32_t index) {
    judge_instance *instance = judge_instance_at(judge, index);
    uint32_t place = hash_place(judge, instance->name, instance->kind, instance->key);
    instance->next = judge->instances.slot[place];
    judge->instances.slot[place] = index;
}

void judge_instances_rebuild(pstk_judge *judge) {
    memset(judge->instances.slot, 0, ((size_t)judge->instances.mask + 1) * sizeof(uint32_t));
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_INSTANCE); i++) {
        judge_instance_at(judge, i)->is_touched = 0;
        if (judge_instance_raw(judge, i)->kind)
            hash_put(judge, i);
    }
}

static bool open_state(pstk_judge *judge, uint32_t index, const pstk_rule *rule, uint32_t tag) {
    judge_instance *instance = judge_instance_at(judge, index);
    instance->is_wide = rule->kind == PSTK_RULE_WINDOW && pstk_window_is_wide(rule);
    if (instance->is_wide) {
        instance->state = judge_wide_open(judge, index, tag);
        return instance->state != 0;
    }
    if (rule->kind == PSTK_RULE_WINDOW) {
        instance->state = judge_arena_take(judge, JUDGE_WINDOW);
        if (!instance->state)
            return false;
        judge_window *at = judge_window_at(judge, instance->state);
        at->instance = index;
        at->tag = tag;
        at->closed_ns = at->restart_ns = INT64_MIN;
        return true;
    }
    if (judge_is_alarm(rule->kind))
        return true; /* made where it is needed */
    instance->state = judge_arena_take(judge, JUDGE_GROUP);
    if (!instance->state)
        return false;
    judge_group_open(judge, instance->state, index);
    return true;
}

static void hash_take(pstk_judge *judge, uint32_t index) {
    const judge_instance *instance = judge_instance_raw(judge, index);
    uint32_t *link =
        &judge->instances.slot[hash_place(judge, instance->name, instance->kind, instance->key)];
    while (*link && *link != index)
        link = &judge_instance_at(judge, *link)->next;
    if (*link)
        *link = instance->next;
}

void judge_instance_drop(pstk_judge *judge, uint32_t index) {
    judge_instance *instance = judge_instance_at(judge, index);
    hash_take(judge, index);
    if (judge_is_alarm(instance->kind) && instance->state) {
        judge_limit_unschedule(judge, instance->state);
        judge_limit_strip(judge, instance->state);
        judge_arena_drop(judge, JUDGE_LIMIT, instance->state);
    } else if (instance->state && instance->is_wide) {
        judge_wide_drop(judge, instance->state);
    } else if (instance->state) {
        judge_window_settle(judge, instance->state);
        judge_arena_drop(judge, JUDGE_WINDOW, instance->state);
    }
    if (instance->last)
        judge_arena_drop(judge, JUDGE_LAST, instance->last);
    judge_arena_drop(judge, JUDGE_INSTANCE, index);
    JUDGE_COUNT(judge->head.counters.instances, (uint64_t)-1);
}

/* ---- making an instance --------------------------------------------------------------------- */

typedef struct match { /* one rule, one tag */
    uint32_t slot;
    uint32_t role;
    uint32_t tag;
    const char *name;
    const char *capture;
    size_t name_bytes;
    size_t capture_bytes;
} match;

static uint32_t asset_for(pstk_judge *judge, const pstk_rule *rule, const match *it) {
    char name[PSTK_NAME_BYTES];
    if (rule->asset[0]) {
        if (!pstk_pattern_fill(rule->asset, it->capture, it->capture_bytes, name, sizeof name))
            return 0;
    } else if (it->capture_bytes) {
        pstk_copy_text(name, sizeof name, it->capture, it->capture_bytes);
    } else {
        size_t size = it->name_bytes;
        const char *dot = memrchr(it->name, '.', size);
        pstk_copy_text(name, sizeof name, it->name, dot ? (size_t)(dot - it->name) : size);
    }
    return name[0] ? judge_asset_intern(judge, name) : 0;
}

static uint32_t refuse(pstk_judge *judge) {
    JUDGE_COUNT(judge->head.counters.instance_limit, 1);
    return 0;
}

uint32_t judge_instance_make(pstk_judge *judge, uint32_t slot, uint32_t name, uint32_t key,
                             uint32_t asset) {
    uint32_t index = asset ? judge_arena_take(judge, JUDGE_INSTANCE) : 0;
    if (!index)
        return refuse(judge);
    judge_instance *instance = judge_instance_at(judge, index);
    instance->kind = (uint8_t)judge_rule_raw(judge, slot)->kind;
    instance->rule = (uint16_t)(slot + 1);
    instance->name = (uint16_t)name;
    instance->key = key;
    instance->asset = asset;
    hash_put(judge, index);
    JUDGE_COUNT(judge->head.counters.instances, 1);
    return index;
}

static uint32_t make_instance(pstk_judge *judge, const match *it, uint32_t name, uint32_t key) {
    const pstk_rule *rule = judge_rule_raw(judge, it->slot);
    uint32_t asset = asset_for(judge, rule, it);
    uint32_t index = judge_instance_make(judge, it->slot, name, key, asset);
    if (index && !open_state(judge, index, rule, it->tag)) {
        judge_instance_drop(judge, index);
        return refuse(judge);
    }
    return index;
}

/* The instance of a match; makes it where it may. 0: none. */
static uint32_t instance_for(pstk_judge *judge, const match *it, bool may_create) {
    const pstk_rule *rule = judge_rule_raw(judge, it->slot);
    uint32_t name = judge_name_find(judge, rule->name, rule->series);
    uint32_t key = it->tag + 1;
    if (judge_is_group(rule->kind)) {
        key = may_create ? judge_capture_intern(judge, it->capture, it->capture_bytes)
                         : judge_capture_find(judge, it->capture, it->capture_bytes);
        if (!key)
            return may_create ? refuse(judge) : 0;
    }
    uint32_t index = name ? judge_instance_find(judge, name, (uint8_t)rule->kind, key) : 0;
    if (index || !may_create || !name)
        return index;
    return make_instance(judge, it, name, key);
}

/* ---- bindings ------------------------------------------------------------------------------- */

bool judge_bind_append(pstk_judge *judge, uint32_t tag, uint32_t instance, uint32_t role) {
    uint32_t index = judge_arena_take(judge, JUDGE_BIND);
    if (!index)
        return false;
    judge_bind *bind = judge_bind_at(judge, index);
    bind->instance = instance & ((1u << 29) - 1);
    bind->role = role & 7u;
    uint32_t *link = &judge_hot_at(judge, tag)->bind;
    while (*link)
        link = &judge_bind_at(judge, *link)->link;
    *link = index;
    return true;
}

/* The rule became wide, or plain again: what it has closed goes with it. */
static bool change_window(pstk_judge *judge, uint32_t index, uint32_t tag) {
    judge_instance *instance = judge_instance_at(judge, index);
    uint32_t old = instance->state;
    bool was_wide = instance->is_wide;
    int64_t floor_ns =
        was_wide ? judge_wide_raw(judge, old)->floor_ns : judge_window_raw(judge, old)->restart_ns;
    if (!open_state(judge, index, judge_rule_of(judge, instance), tag)) {
        instance->state = old; /* as many as instances: never full */
        instance->is_wide = was_wide;
        return false;
    }
    if (was_wide)
        judge_wide_drop(judge, old);
    else
        judge_arena_drop(judge, JUDGE_WINDOW, old);
    if (instance->is_wide)
        judge_wide_at(judge, instance->state)->floor_ns = floor_ns;
    else
        judge_window_at(judge, instance->state)->closed_ns =
            judge_window_at(judge, instance->state)->restart_ns = floor_ns;
    return true;
}

static bool bind_wide(pstk_judge *judge, uint32_t tag, uint32_t index) {
    judge_hot *hot = judge_hot_at(judge, tag);
    const pstk_rule *rule = judge_rule_of(judge, judge_instance_raw(judge, index));
    if (!judge_bind_append(judge, tag, index, PSTK_ROLE_VALUE))
        return false;
    if (!pstk_window_is_ordered(rule)) {
        hot->slow |= JUDGE_SLOW_WIDE;
        hot->windows |= JUDGE_WINDOWS_WIDE;
        return true;
    }
    hot->slow |= JUDGE_SLOW_EVENT;
    hot->has_ordered = 1;
    return true;
}

static bool bind_window(pstk_judge *judge, uint32_t tag, uint32_t index) {
    judge_hot *hot = judge_hot_at(judge, tag);
    const judge_instance *instance = judge_instance_raw(judge, index);
    bool is_wide = pstk_window_is_wide(judge_rule_of(judge, instance));
    if (instance->is_wide != is_wide && !change_window(judge, index, tag))
        return false;
    if (is_wide)
        return bind_wide(judge, tag, index);
    uint32_t *link = &hot->window;
    while (*link)
        link = &judge_window_at(judge, *link)->link;
    *link = instance->state;
    judge_window_at(judge, instance->state)->link = 0;
    judge_window *window = judge_window_at(judge, instance->state);
    bool is_leaving = judge_window_is_leaving(window) &&
                      window->rule - PSTK_RULES_MAX < judge_count(judge, JUDGE_OLD_RULE);
    if (!is_leaving) {
        window->rule = instance->rule;
        judge_window_align(judge, instance->state);
    }
    hot->windows++;
    judge_window_list(judge, instance->state);
    return true;
}

static bool bind_alarm(pstk_judge *judge, uint32_t tag, uint32_t index) {
    if (!judge_limit_prepare(judge, index))
        return false;
    if (judge_rule_of(judge, judge_instance_at(judge, index))->order == PSTK_ORDER_EVENT)
        judge_hot_at(judge, tag)->slow |= JUDGE_SLOW_EVENT;
    return judge_bind_append(judge, tag, index, PSTK_ROLE_VALUE);
}

static bool bind_role(pstk_judge *judge, uint32_t tag, uint32_t index, uint32_t role_index) {
    uint32_t group_index = judge_instance_raw(judge, index)->state;
    judge_group *group = judge_group_at(judge, group_index);
    judge_role *role = &group->role[role_index];
    judge_hot_at(judge, tag)->slow |= JUDGE_SLOW_EVENT;
    judge_quiet_refresh(judge, tag); /* a shared one may have been known before */
    if (role->is_bound)
        return true;
    bool is_other = role->tag && role->tag != tag + 1;
    if (is_other && role_index == PSTK_ROLE_VALUE) /* what was counted is of another register */
        judge_group_open(judge, group_index, index);
    else if (is_other)
        *role = (judge_role){0};
    if (!judge_bind_append(judge, tag, index, role_index))
        return false;
    role->tag = tag + 1;
    role->is_bound = 1;
    if (role_index == PSTK_ROLE_VALUE)
        judge_baseline_claim(judge, group_index);
    return true;
}

/* The tag names the lot or order of a window. */
static bool bind_cut(pstk_judge *judge, uint32_t tag, uint32_t index, uint32_t role_index) {
    const judge_instance *instance = judge_instance_raw(judge, index);
    judge_hot *hot = judge_hot_at(judge, tag);
    if (!instance->is_wide)
        return true;
    judge_wide *at = judge_wide_at(judge, instance->state);
    judge_cut_role *role = role_index == PSTK_ROLE_LOT ? &at->lot : &at->order;
    judge_wide_hear(judge, tag);
    hot->has_ordered = hot->has_cut = 1;
    judge_quiet_refresh(judge, tag); /* with all the rules it takes, nobody heard it for this */
    if (at->is_bound & 1u << role_index)
        return true;
    if (!judge_bind_append(judge, tag, index, role_index))
        return false;
    if (role->tag != tag + 1)
        *role = judge_wide_role_of(judge, tag);
    at->is_bound |= 1u << role_index;
    return true;
}

static bool bind_any(pstk_judge *judge, uint32_t tag, uint32_t index, uint32_t role) {
    bool is_window = judge_instance_raw(judge, index)->kind == PSTK_RULE_WINDOW;
    return is_window ? bind_cut(judge, tag, index, role) : bind_role(judge, tag, index, role);
}

static uint32_t tag_by(const pstk_judge *judge, const char *pattern, const match *it) {
    char name[PSTK_NAME_BYTES];
    if (!pattern[0] ||
        !pstk_pattern_fill(pattern, it->capture, it->capture_bytes, name, sizeof name))
        return UINT32_MAX;
    uint32_t tag = pstk_tags_find(judge->tags, (const uint8_t *)name, strlen(name));
    return tag != PSTK_TAG_NONE && judge_is_tag(judge, tag) ? tag : UINT32_MAX;
}

/* A window hears the tags of its lot and order, whichever is known first. */
static bool bind_cuts(pstk_judge *judge, const match *it, uint32_t index) {
    const pstk_rule *rule = judge_rule_raw(judge, it->slot);
    bool is_whole = true;
    for (uint32_t r = PSTK_ROLE_LOT; r <= PSTK_ROLE_ORDER; r++) {
        uint32_t tag = tag_by(judge, rule->pattern[r], it);
        if (tag != UINT32_MAX)
            is_whole = bind_cut(judge, tag, index, r) && is_whole;
    }
    return is_whole;
}

static bool bind_cut_of(pstk_judge *judge, const match *it) {
    const pstk_rule *rule = judge_rule_raw(judge, it->slot);
    uint32_t tag = tag_by(judge, rule->pattern[PSTK_ROLE_VALUE], it);
    uint32_t name = judge_name_find(judge, rule->name, rule->series);
    uint32_t index = 0;
    if (tag != UINT32_MAX && name)
        index = judge_instance_find(judge, name, (uint8_t)rule->kind, tag + 1);
    return !index || !judge_instance_raw(judge, index)->rule ||
           bind_cut(judge, it->tag, index, it->role);
}

/* Roles of the rule that all its instances share, where their tag is known already. */
static void bind_shared(pstk_judge *judge, uint32_t index) {
    const pstk_rule *rule = judge_rule_of(judge, judge_instance_at(judge, index));
    for (uint32_t r = 1; r < PSTK_ROLE_COUNT; r++) {
        const char *name = rule->pattern[r];
        if (!name[0] || pstk_pattern_has_star(name) ||
            !pstk_pattern_has_star(rule->pattern[PSTK_ROLE_VALUE]))
            continue;
        uint32_t tag = pstk_tags_find(judge->tags, (const uint8_t *)name, strlen(name));
        if (tag != PSTK_TAG_NONE && judge_is_tag(judge, tag))
            (void)bind_role(judge, tag, index, r);
    }
}

static bool bind_to_all(pstk_judge *judge, const match *it) {
    bool is_whole = true;
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_INSTANCE); i++)
        if (judge_instance_raw(judge, i)->rule == it->slot + 1)
            is_whole = bind_any(judge, it->tag, i, it->role) && is_whole;
    return is_whole;
}

static bool can_window(const pstk_judge *judge, const pstk_rule *rule, const judge_hot *hot) {
    int64_t lateness_ns = judge_clock_at(judge, judge_source_clock(hot->source))->lateness_ns;
    return pstk_window_panes_of(rule, lateness_ns) > 0;
}

static bool bind_match(pstk_judge *judge, const match *it, bool may_create) {
    const pstk_rule *rule = judge_rule_raw(judge, it->slot);
    const judge_hot *hot = judge_hot_raw(judge, it->tag);
    bool is_shared = it->role != PSTK_ROLE_VALUE &&
                     !pstk_pattern_has_star(rule->pattern[it->role]) &&
                     pstk_pattern_has_star(rule->pattern[PSTK_ROLE_VALUE]);
    bool is_cut = rule->kind == PSTK_RULE_WINDOW && it->role != PSTK_ROLE_VALUE;
    if (is_cut && pstk_window_is_wide(rule))
        judge_wide_hear(judge, it->tag);
    if (is_shared)
        return bind_to_all(judge, it);
    if (is_cut)
        return bind_cut_of(judge, it);
    if (rule->kind == PSTK_RULE_WINDOW && !can_window(judge, rule, hot))
        return false;
    uint32_t index = instance_for(judge, it, may_create);
    if (!index)
        return true; /* counted where it was refused */
    judge_instance_at(judge, index)->rule = (uint16_t)(it->slot + 1);
    uint32_t asset = may_create && it->role == PSTK_ROLE_VALUE ? asset_for(judge, rule, it) : 0;
    if (asset) /* the rule may name another one than before */
        judge_instance_at(judge, index)->asset = asset;
    if (rule->kind == PSTK_RULE_WINDOW) {
        bool is_whole = bind_window(judge, it->tag, index) && bind_cuts(judge, it, index);
        if (may_create && judge_instance_raw(judge, index)->is_wide)
            judge_wide_wake_known(judge, index);
        return is_whole;
    }
    if (judge_is_alarm(rule->kind))
        return bind_alarm(judge, it->tag, index);
    bool is_bound = bind_role(judge, it->tag, index, it->role);
    if (may_create && it->role == PSTK_ROLE_VALUE)
        judge_wake_known(judge, index);
    bind_shared(judge, index);
    return is_bound;
}

/* Texts are listed for tags of texts, codes for those of numbers. */
static bool lists_state_of(const pstk_rule *rule, uint8_t type) {
    bool is_listed = rule->is_any_state || !rule->state_count;
    for (uint32_t k = 0; k < PSTK_MIN(rule->state_count, PSTK_STATES_MAX); k++)
        is_listed |= (rule->state_text[k][0] != 0) == (type == PSTK_TYPE_CODE);
    return is_listed;
}

static bool can_hear(const pstk_rule *rule, uint32_t role, uint8_t type) {
    bool is_share = rule->kind == PSTK_RULE_WINDOW && (rule->aggregates & PSTK_AGGREGATE_SHARE);
    if (role == PSTK_ROLE_VALUE && (rule->kind == PSTK_RULE_STATE || is_share))
        return lists_state_of(rule, type);
    bool is_fresh = role == PSTK_ROLE_VALUE && rule->kind == PSTK_RULE_FRESHNESS;
    bool is_text_fine = is_fresh || role == PSTK_ROLE_LOT || role == PSTK_ROLE_ORDER;
    return type != PSTK_TYPE_CODE || is_text_fine;
}

static void bind_rule(pstk_judge *judge, uint32_t tag, uint32_t slot, bool may_create) {
    const pstk_rule *rule = judge_rule_raw(judge, slot);
    const pstk_tag *named = pstk_tags_get(judge->tags, tag);
    judge_hot *hot = judge_hot_at(judge, tag);
    uint32_t roles = judge_is_group(rule->kind) ? PSTK_ROLE_COUNT : judge_is_alarm(rule->kind);
    if (rule->kind == PSTK_RULE_WINDOW)
        roles = PSTK_ROLE_ORDER + 1;
    bool is_counted = false;
    for (uint32_t r = 0; r < roles; r++) {
        match it = {.slot = slot,
                    .role = r,
                    .tag = tag,
                    .name = named->name,
                    .name_bytes = named->name_bytes};
        if (!pstk_pattern_match(rule->pattern[r], named->name, named->name_bytes, &it.capture,
                                &it.capture_bytes))
            continue;
        if (!can_hear(rule, r, hot->type)) {
            /* "*" means whatever can be judged; any other pattern means this tag too. */
            if (may_create && strcmp(rule->pattern[r], "*") != 0)
                JUDGE_COUNT(judge->head.counters.type_refused, 1);
            continue;
        }
        bool needs_star = r != PSTK_ROLE_VALUE && it.capture_bytes &&
                          !pstk_pattern_has_star(rule->pattern[PSTK_ROLE_VALUE]);
        if (needs_star)
            continue; /* VALUE names no instance like this one */
        if (!is_counted && hot->rules >= JUDGE_RULES_PER_TAG) {
            if (may_create)
                (void)refuse(judge);
            return;
        }
        hot->rules = (uint8_t)(hot->rules + !is_counted);
        is_counted = true;
        if (!bind_match(judge, &it, may_create) && may_create)
            (void)refuse(judge);
    }
}

static PSTK_COLD void bind_tag(pstk_judge *judge, uint32_t tag, bool may_create) {
    judge_hot *hot = judge_hot_at(judge, tag);
    if (!pstk_tags_get(judge->tags, tag))
        return;
    hot->slow = hot->type == PSTK_TYPE_CODE ? JUDGE_SLOW_CODE : 0;
    hot->has_ordered = hot->has_cut = 0;
    for (uint32_t s = 0; s < judge_count(judge, JUDGE_CONFIG_RULE); s++)
        if (judge->is_live[s])
            bind_rule(judge, tag, s, may_create);
    judge_suppress_bind(judge, tag);
    judge_quiet_refresh(judge, tag);
}

bool judge_pattern_of(const pstk_judge *judge, const pstk_rule *rule, uint32_t tag,
                      const char **out_capture, size_t *out_bytes) {
    const pstk_tag *named = pstk_tags_get(judge->tags, tag);
    return named && pstk_pattern_match(rule->pattern[PSTK_ROLE_VALUE], named->name,
                                       named->name_bytes, out_capture, out_bytes);
}

/* The rule names the same tag in another way, so that '*' matches something else: its register goes
 * on under the new name. */
static void rename_groups(pstk_judge *judge) {
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_INSTANCE); i++) {
        const judge_instance *instance = judge_instance_raw(judge, i);
        if (!instance->rule || !judge_is_group(instance->kind))
            continue;
        uint32_t tag = judge_group_raw(judge, instance->state)->role[PSTK_ROLE_VALUE].tag;
        const char *capture;
        size_t bytes;
        if (!tag ||
            !judge_pattern_of(judge, judge_rule_of(judge, instance), tag - 1, &capture, &bytes))
            continue;
        uint32_t key = judge_capture_intern(judge, capture, bytes);
        if (!key || key == instance->key ||
            judge_instance_find(judge, instance->name, instance->kind, key))
            continue;
        hash_take(judge, i);
        judge_instance_at(judge, i)->key = key;
        hash_put(judge, i);
    }
}

PSTK_COLD void judge_bind_rebuild(pstk_judge *judge, bool may_create) {
    if (may_create)
        judge_latches_forget(judge);
    if (may_create)
        rename_groups(judge);
    memset(judge->arena[JUDGE_BIND].base, 0,
           (size_t)judge->arena[JUDGE_BIND].count * sizeof(judge_bind));
    judge->arena[JUDGE_BIND].count = 1;
    judge->arena[JUDGE_BIND].free = 0;
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_GROUP); i++)
        for (uint32_t r = 0; r < PSTK_ROLE_COUNT; r++)
            judge_group_at(judge, i)->role[r].is_bound = 0;
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_WIDE); i++)
        judge_wide_at(judge, i)->is_bound = 0;
    for (uint32_t c = 0; c < judge_count(judge, JUDGE_CLOCK); c++)
        judge_clock_at(judge, c)->windows = judge_clock_at(judge, c)->windows_tail = 0;
    for (uint32_t t = 0; t < judge_count(judge, JUDGE_HOT); t++) {
        judge_hot *hot = judge_hot_at(judge, t);
        hot->bind = hot->window = 0;
        hot->rules = hot->windows = 0;
    }
    for (uint32_t t = 0; t < judge_count(judge, JUDGE_HOT); t++)
        if (judge_hot_raw(judge, t)->type)
            bind_tag(judge, t, may_create);
    for (uint32_t i = 1; may_create && i < judge_count(judge, JUDGE_STREAM); i++)
        judge_lost_bind(judge, i);
    judge_windows_rebuild(judge);
}

/* ---- TAG records ---------------------------------------------------------------------------- */

void judge_tag_take(pstk_judge *judge, const pstk_tag_record *record) {
    uint32_t tag = record->tag_id;
    const pstk_tag *named = pstk_tags_get(judge->tags, tag);
    if (tag >= judge->options.tags_max || record->source >= PSTK_SOURCES_MAX || !named)
        return;
    if (named->type != record->type || named->source != record->source ||
        named->name_bytes != record->name_bytes || record->name_bytes >= PSTK_NAME_BYTES ||
        memcmp(named->name, record->name, record->name_bytes) != 0 ||
        record->type == PSTK_TYPE_NONE || record->type > PSTK_TYPE_CODE || judge_is_tag(judge, tag))
        return; /* it contradicts the table: a damaged record */
    if (tag >= judge->arena[JUDGE_HOT].count)
        judge->arena[JUDGE_HOT].count = tag + 1;
    judge_hot *hot = judge_hot_at(judge, tag);
    hot->source = record->source;
    hot->type = record->type;
    hot->is_integer = record->type != PSTK_TYPE_F64;
    hot->clock = judge_source_clock(record->source);
    hot->last_ns = JUDGE_BEFORE_NS;
    bind_tag(judge, tag, true);
}
