/* judge names: dictionaries that only grow, contexts of assets as of a time, baselines that wait
 * for their register. */
#include "engine_judge_state.h"

/* ---- hash tables: open addressing over names ------------------------------------------------ */

uint32_t judge_table_size(uint32_t items) {
    uint32_t size = 16;
    while (size < items && size < (UINT32_C(1) << 30))
        size *= 2;
    return size * 2;
}

uint64_t judge_table_hash(const void *bytes, size_t size) { return pstk_hash_bytes(bytes, size); }

typedef struct text_key {
    int arena;
    const char *text;
    size_t bytes;
    const char *series; /* names only */
} text_key;

static const judge_table *table_of(const pstk_judge *judge, int arena) {
    if (arena == JUDGE_ASSET)
        return &judge->assets;
    return arena == JUDGE_NAME ? &judge->names : &judge->captures;
}

static uint64_t hash_of(const text_key *key) {
    uint64_t hash = judge_table_hash(key->text, key->bytes);
    return key->series ? hash ^ (judge_table_hash(key->series, strlen(key->series)) * 3) : hash;
}

static bool is_same(const char *stored, size_t capacity, const text_key *key) {
    return strnlen(stored, capacity) == key->bytes && memcmp(stored, key->text, key->bytes) == 0;
}

static bool is_at(const pstk_judge *judge, uint32_t index, const text_key *key) {
    if (key->arena == JUDGE_ASSET)
        return is_same(judge_asset_raw(judge, index)->name, PSTK_NAME_BYTES, key);
    if (key->arena == JUDGE_CAPTURE)
        return is_same(judge_capture_at(judge, index)->text, PSTK_NAME_BYTES, key);
    const judge_name *name = judge_name_raw(judge, index);
    return is_same(name->name, sizeof name->name, key) &&
           strncmp(name->series, key->series, sizeof name->series) == 0;
}

/* The slot that holds the key, or the empty one where it belongs. */
static uint32_t *slot_of(const pstk_judge *judge, const text_key *key) {
    const judge_table *table = table_of(judge, key->arena);
    uint32_t place = (uint32_t)hash_of(key) & table->mask;
    while (table->slot[place] && !is_at(judge, table->slot[place], key))
        place = (place + 1) & table->mask;
    return &table->slot[place];
}

static uint32_t text_find(const pstk_judge *judge, const text_key *key) {
    return *slot_of(judge, key);
}

static uint32_t text_intern(pstk_judge *judge, const text_key *key) {
    uint32_t *slot = slot_of(judge, key);
    if (*slot)
        return *slot;
    uint32_t index = judge_arena_take(judge, key->arena);
    if (!index)
        return 0;
    if (key->arena == JUDGE_ASSET) {
        pstk_copy_text(judge_asset_at(judge, index)->name, PSTK_NAME_BYTES, key->text, key->bytes);
    } else if (key->arena == JUDGE_CAPTURE) {
        pstk_copy_text(judge_capture_at(judge, index)->text, PSTK_NAME_BYTES, key->text,
                       key->bytes);
    } else {
        judge_name *name = judge_name_at(judge, index);
        pstk_copy_text(name->name, sizeof name->name, key->text, key->bytes);
        pstk_copy_text(name->series, sizeof name->series, key->series, strlen(key->series));
    }
    *slot = index;
    return index;
}

uint32_t judge_name_intern(pstk_judge *judge, const char *name, const char *series) {
    return text_intern(judge, &(text_key){JUDGE_NAME, name, strlen(name), series});
}

uint32_t judge_name_find(const pstk_judge *judge, const char *name, const char *series) {
    return text_find(judge, &(text_key){JUDGE_NAME, name, strlen(name), series});
}

uint32_t judge_capture_intern(pstk_judge *judge, const char *text, size_t bytes) {
    return text_intern(judge, &(text_key){JUDGE_CAPTURE, text, bytes, NULL});
}

uint32_t judge_capture_find(const pstk_judge *judge, const char *text, size_t bytes) {
    return text_find(judge, &(text_key){JUDGE_CAPTURE, text, bytes, NULL});
}

uint32_t judge_asset_intern(pstk_judge *judge, const char *name) {
    uint32_t index = text_intern(judge, &(text_key){JUDGE_ASSET, name, strlen(name), NULL});
    JUDGE_COUNT(judge->head.counters.assets,
                judge_count(judge, JUDGE_ASSET) - 1 - judge->head.counters.assets);
    return index;
}

static void table_refill(pstk_judge *judge, int arena) {
    for (uint32_t i = 1; i < judge_count(judge, arena); i++) {
        text_key key = {.arena = arena};
        if (arena == JUDGE_ASSET)
            key.text = judge_asset_raw(judge, i)->name;
        else if (arena == JUDGE_CAPTURE)
            key.text = judge_capture_at(judge, i)->text;
        else
            key.text = judge_name_raw(judge, i)->name;
        if (arena == JUDGE_NAME)
            key.series = judge_name_raw(judge, i)->series;
        key.bytes = strlen(key.text);
        *slot_of(judge, &key) = i;
    }
}

void judge_names_rebuild(pstk_judge *judge) {
    static const int arenas[] = {JUDGE_ASSET, JUDGE_NAME, JUDGE_CAPTURE};
    for (size_t k = 0; k < sizeof arenas / sizeof *arenas; k++) {
        const judge_table *table = table_of(judge, arenas[k]);
        memset(table->slot, 0, ((size_t)table->mask + 1) * sizeof *table->slot);
        table_refill(judge, arenas[k]);
    }
}

/* ---- context: what runs at an asset, as of a time ------------------------------------------- */

static void values_merge(pstk_context_values *out, const pstk_context_values *from, uint32_t set) {
    if (set & 1u)
        memcpy(out->order, from->order, sizeof out->order);
    if (set & 2u)
        memcpy(out->operation, from->operation, sizeof out->operation);
    if (set & 4u)
        memcpy(out->material, from->material, sizeof out->material);
    if (set & 8u)
        memcpy(out->lot, from->lot, sizeof out->lot);
    if (set & 16u)
        memcpy(out->shift, from->shift, sizeof out->shift);
}

uint32_t judge_context_at(const pstk_judge *judge, uint32_t asset, int64_t time_ns,
                          pstk_context_values *out) {
    uint32_t set = 0;
    memset(out, 0, sizeof *out);
    const judge_asset *at = judge_asset_raw(judge, asset);
    for (uint32_t k = 0; asset && k < at->count && at->version[k].from_ns <= time_ns; k++) {
        values_merge(out, &at->version[k].values, at->version[k].set);
        set |= at->version[k].set;
    }
    return set;
}

/* Writer lock held. */
int pstk_judge_asset_context(const pstk_judge *judge, uint32_t asset, int64_t time_ns,
                             pstk_context *out) {
    if (asset >= judge_count(judge, JUDGE_ASSET))
        return -1;
    const judge_asset *at = judge_asset_raw(judge, asset);
    memset(out, 0, sizeof *out);
    out->set = judge_context_at(judge, asset, time_ns, &out->values);
    if (!out->set)
        return 0;
    for (uint32_t k = 0; k < at->count && at->version[k].from_ns <= time_ns; k++)
        out->at_ns = at->version[k].from_ns;
    memcpy(out->asset, at->name, sizeof out->asset);
    return 1;
}

void judge_context_fill(const pstk_judge *judge, uint32_t asset, uint32_t set, int64_t end_ns,
                        pstk_context_values *values) {
    pstk_context_values late;
    uint32_t known = judge_context_at(judge, asset, end_ns, &late);
    values_merge(values, &late, known & ~set);
}

/* Makes room: the two oldest become one. */
static void versions_fold(judge_asset *at) {
    judge_version *a = &at->version[0], *b = &at->version[1];
    values_merge(&a->values, &b->values, b->set);
    a->set |= b->set;
    a->from_ns = b->from_ns;
    memmove(b, b + 1, (JUDGE_VERSIONS - 2) * sizeof *b);
    at->count--;
}

static void values_clean(pstk_context_values *values) {
    /* A text ends with its first zero; what stands behind it is not meaning. */
    pstk_context_values raw = *values;
    pstk_copy_text(values->order, sizeof values->order, raw.order, strnlen(raw.order, 31));
    pstk_copy_text(values->operation, sizeof values->operation, raw.operation,
                   strnlen(raw.operation, 15));
    pstk_copy_text(values->material, sizeof values->material, raw.material,
                   strnlen(raw.material, 31));
    pstk_copy_text(values->lot, sizeof values->lot, raw.lot, strnlen(raw.lot, 31));
    pstk_copy_text(values->shift, sizeof values->shift, raw.shift, strnlen(raw.shift, 15));
}

/* Instances that cut where this asset's order or lot changes transit when the watermark passes. */
static void wake_cutters(pstk_judge *judge, uint32_t asset, int64_t at_ns, uint32_t set) {
    uint32_t cut_on =
        (set & 1u ? PSTK_CUT_CONTEXT_ORDER : 0u) | (set & 8u ? PSTK_CUT_CONTEXT_LOT : 0u);
    for (uint32_t i = 1; cut_on && i < judge_count(judge, JUDGE_INSTANCE); i++) {
        const judge_instance *instance = judge_instance_raw(judge, i);
        bool is_group = instance->kind == PSTK_RULE_COUNTER || instance->kind == PSTK_RULE_TOTAL;
        if (is_group && instance->rule && instance->asset == asset &&
            (judge_rule_of(judge, instance)->cut_on & cut_on))
            judge_wake(judge, i, at_ns);
        else if (instance->is_wide && instance->rule && instance->asset == asset &&
                 (judge_rule_of(judge, instance)->cut_on & cut_on))
            judge_wide_wake(judge, i, at_ns);
    }
}

void judge_wake_known(pstk_judge *judge, uint32_t index) {
    const judge_instance *instance = judge_instance_raw(judge, index);
    const judge_asset *asset = judge_asset_raw(judge, instance->asset);
    uint32_t tag = judge_tag_of(judge, instance), cut_on = judge_rule_of(judge, instance)->cut_on;
    if (instance->kind == PSTK_RULE_STATE || !judge_is_tag(judge, tag))
        return;
    int64_t watermark_ns = judge_clock_raw(judge, judge_hot_raw(judge, tag)->clock)->watermark_ns;
    for (uint32_t k = 0; k < asset->count; k++) {
        bool is_asked = ((asset->version[k].set & 1u) && (cut_on & PSTK_CUT_CONTEXT_ORDER)) ||
                        ((asset->version[k].set & 8u) && (cut_on & PSTK_CUT_CONTEXT_LOT));
        if (is_asked && asset->version[k].from_ns > watermark_ns)
            judge_wake(judge, index, asset->version[k].from_ns);
    }
}

void judge_context_take(pstk_judge *judge, const pstk_context *context) {
    char name[PSTK_NAME_BYTES];
    pstk_copy_text(name, sizeof name, context->asset, strnlen(context->asset, sizeof name - 1));
    uint32_t asset = name[0] ? judge_asset_intern(judge, name) : 0;
    if (!asset)
        return;
    int64_t at_ns = context->at_ns == PSTK_TIME_NONE ? judge->head.now_ns : context->at_ns;
    at_ns = PSTK_MAX(PSTK_MIN(at_ns, PSTK_RULE_TIME_MAX), -PSTK_RULE_TIME_MAX);
    judge_asset *at = judge_asset_at(judge, asset);
    if (at->count == JUDGE_VERSIONS)
        versions_fold(at);
    uint32_t k = at->count++;
    for (; k > 0 && at->version[k - 1].from_ns > at_ns; k--)
        at->version[k] = at->version[k - 1];
    at->version[k] = (judge_version){.from_ns = at_ns, .set = context->set & 31u};
    at->version[k].values = context->values;
    values_clean(&at->version[k].values);
    wake_cutters(judge, asset, at_ns, context->set);
}

/* ---- baselines ------------------------------------------------------------------------------ */

static void baseline_set(judge_group *group, const pstk_baseline *baseline) {
    group->baseline = baseline->end_reading;
    group->baseline_type = (uint8_t)baseline->value_type;
    group->baseline_ns = baseline->end_ns;
}

static uint32_t group_of(const pstk_judge *judge, uint32_t name, uint32_t tag) {
    if (!judge_is_tag(judge, tag))
        return 0;
    for (uint32_t b = judge_hot_raw(judge, tag)->bind; b; b = judge_bind_raw(judge, b)->link) {
        const judge_bind *bind = judge_bind_raw(judge, b);
        const judge_instance *instance = judge_instance_raw(judge, bind->instance);
        if (instance->name == name && instance->kind == PSTK_RULE_COUNTER &&
            bind->role == PSTK_ROLE_VALUE)
            return instance->state;
    }
    return 0;
}

void judge_baseline_take(pstk_judge *judge, const pstk_baseline *raw) {
    pstk_baseline baseline = *raw;
    baseline.rule[sizeof baseline.rule - 1] = 0;
    baseline.series[sizeof baseline.series - 1] = 0;
    baseline.tag[sizeof baseline.tag - 1] = 0;
    bool is_number = baseline.value_type == PSTK_TYPE_F64 || baseline.value_type == PSTK_TYPE_I64;
    uint32_t name = judge_name_intern(judge, baseline.rule, baseline.series);
    if (!is_number || !name || baseline.end_ns > PSTK_RULE_TIME_MAX ||
        baseline.end_ns < -PSTK_RULE_TIME_MAX)
        return;
    uint32_t tag = pstk_tags_find(judge->tags, (const uint8_t *)baseline.tag, strlen(baseline.tag));
    uint32_t group = tag == PSTK_TAG_NONE ? 0 : group_of(judge, name, tag);
    if (group) {
        judge_group *at = judge_group_at(judge, group);
        if (!at->baseline_type || at->baseline_ns <= baseline.end_ns)
            baseline_set(at, &baseline);
        return;
    }
    for (uint32_t i = 1; i < judge_count(judge, JUDGE_BASELINE); i++) {
        judge_baseline *kept = judge_baseline_at(judge, i);
        if (kept->name == name && strcmp(kept->baseline.tag, baseline.tag) == 0) {
            if (kept->baseline.end_ns <= baseline.end_ns)
                kept->baseline = baseline;
            return;
        }
    }
    uint32_t index = judge_arena_take(judge, JUDGE_BASELINE);
    if (!index)
        return;
    judge_baseline_at(judge, index)->name = name;
    judge_baseline_at(judge, index)->baseline = baseline;
}

void judge_baseline_claim(pstk_judge *judge, uint32_t group_index) {
    judge_group *group = judge_group_at(judge, group_index);
    const judge_instance *instance = judge_instance_raw(judge, group->instance);
    uint32_t tag_id = judge_tag_of(judge, instance);
    const pstk_tag *tag = tag_id == UINT32_MAX ? NULL : pstk_tags_get(judge->tags, tag_id);
    for (uint32_t i = 1; tag && i < judge_count(judge, JUDGE_BASELINE); i++) {
        judge_baseline *kept = judge_baseline_at(judge, i);
        if (kept->name != instance->name || strcmp(kept->baseline.tag, tag->name) != 0)
            continue;
        baseline_set(group, &kept->baseline);
        judge_arena_drop(judge, JUDGE_BASELINE, i);
        return;
    }
}
