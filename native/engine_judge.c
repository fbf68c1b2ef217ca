/* judge: life cycle, and which record goes to whom. */
#include "engine_judge_order.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* ---- arenas --------------------------------------------------------------------------------- */

uint32_t judge_arena_take(pstk_judge *judge, int number) {
    judge_arena *arena = &judge->arena[number];
    uint32_t index = arena->free;
    if (index) {
        uint8_t *item = arena->base + (size_t)index * arena->item;
        judge_touch(judge, item, arena->item);
        arena->free = pstk_load_u32(item);
        memset(item, 0, arena->item);
        return index;
    }
    if (arena->count >= arena->max)
        return 0;
    index = arena->count; /* never used before, so it is zero */
    __atomic_store_n(&arena->count, index + 1,
                     __ATOMIC_RELAXED); /* names are asked for elsewhere */
    return index;
}

void judge_arena_drop(pstk_judge *judge, int number, uint32_t index) {
    judge_arena *arena = &judge->arena[number];
    uint8_t *item = arena->base + (size_t)index * arena->item;
    judge_touch(judge, item, arena->item);
    memset(item, 0, arena->item);
    pstk_store_u32(item, arena->free);
    arena->free = index;
}

static void arenas_size(pstk_judge *judge) {
    const pstk_judge_options *options = &judge->options;
    uint32_t instances = options->instances_max + 1;
    uint64_t panes = PSTK_MIN(4 * (uint64_t)instances + 64, UINT64_C(1) << 28);
    uint64_t binds = PSTK_MIN(6 * (uint64_t)instances + 64, UINT64_C(1) << 30);
    const uint32_t max[JUDGE_ARENA_ALL] = {
        [JUDGE_HOT] = options->tags_max,
        [JUDGE_INSTANCE] = instances,
        [JUDGE_LAST] = instances,
        [JUDGE_LIMIT] = instances,
        [JUDGE_DELAY] = instances,
        [JUDGE_RATE] = instances,
        [JUDGE_WATCH] = instances,
        [JUDGE_SHELF] = instances,
        [JUDGE_LATCH] = options->tags_max + 1,
        [JUDGE_WINDOW] = instances,
        [JUDGE_PANE] = (uint32_t)panes,
        [JUDGE_WIDE] = instances,
        [JUDGE_WIDE_PANE] = (uint32_t)panes,
        [JUDGE_GROUP] = instances,
        [JUDGE_NODE] = options->reorder_slots + 1,
        [JUDGE_STREAM] = options->streams_max + 1,
        [JUDGE_CLOCK] = judge_stream_clock(options->streams_max) + 1,
        [JUDGE_SOURCE] = PSTK_SOURCES_MAX,
        [JUDGE_ASSET] = options->assets_max + 1,
        [JUDGE_NAME] = JUDGE_NAMES_MAX,
        [JUDGE_CAPTURE] = instances,
        [JUDGE_BASELINE] = PSTK_MIN(instances, JUDGE_BASELINES_MAX),
        [JUDGE_CONFIG_SOURCE] = PSTK_SOURCES_MAX,
        [JUDGE_CONFIG_RULE] = PSTK_RULES_MAX,
        [JUDGE_STAGED_SOURCE] = PSTK_SOURCES_MAX,
        [JUDGE_STAGED_RULE] = PSTK_RULES_MAX,
        [JUDGE_OLD_RULE] = PSTK_RULES_MAX,
        [JUDGE_BIND] = (uint32_t)binds,
    };
    static const uint32_t item[JUDGE_ARENA_ALL] = {
#define JUDGE_ARENA_ITEM(name, type) [JUDGE_##name] = sizeof(type),
        JUDGE_ARENA_LIST(JUDGE_ARENA_ITEM)
#undef JUDGE_ARENA_ITEM
            [JUDGE_BIND] = sizeof(judge_bind)};
    for (int k = 0; k < JUDGE_ARENA_ALL; k++) {
        judge->arena[k].max = max[k];
        judge->arena[k].item = item[k];
        judge->arena[k].count = 1;
    }
    judge->arena[JUDGE_HOT].count = 0;
    judge->arena[JUDGE_SOURCE].count = PSTK_SOURCES_MAX;
    judge->arena[JUDGE_CLOCK].count = judge_stream_clock(0) + 1;
    judge->arena[JUDGE_CONFIG_SOURCE].count = judge->arena[JUDGE_CONFIG_RULE].count = 0;
    judge->arena[JUDGE_STAGED_SOURCE].count = judge->arena[JUDGE_STAGED_RULE].count = 0;
}

/* Cuts the next piece off the one mapping; with map NULL it only adds up. */
static void *cut(uint8_t *map, uint64_t *at, uint64_t bytes) {
    uint8_t *piece = map ? map + *at : NULL;
    *at += (bytes + 4095) & ~UINT64_C(4095);
    return piece;
}

static void cut_table(judge_table *table, uint8_t *map, uint64_t *at, uint32_t items) {
    uint32_t size = judge_table_size(items);
    table->mask = size - 1;
    table->slot = cut(map, at, (uint64_t)size * sizeof *table->slot);
}

/* Where everything lies; returns the bytes it takes. */
static uint64_t lay_out(pstk_judge *judge, uint8_t *map) {
    const pstk_judge_options *options = &judge->options;
    uint64_t at = 0;
    for (int k = 0; k < JUDGE_ARENA_COUNT; k++)
        judge->arena[k].base = cut(map, &at, (uint64_t)judge->arena[k].max * judge->arena[k].item);
    judge->event = cut(map, &at, (uint64_t)options->event_slots * sizeof *judge->event);
    judge_snapshot *snapshot = &judge->snapshot;
    uint64_t pages = at / JUDGE_PAGE_BYTES;
    snapshot->from = map;
    snapshot->bytes = at;
    snapshot->place_of = cut(map, &at, pages * sizeof *snapshot->place_of);
    snapshot->page_at = cut(map, &at, pages * sizeof *snapshot->page_at);
    snapshot->kept = cut(map, &at, pages * JUDGE_PAGE_BYTES);
    judge_arena *bind = &judge->arena[JUDGE_BIND];
    bind->base = cut(map, &at, (uint64_t)bind->max * bind->item);
    /* Chained, unlike the others: one or two to a slot. */
    cut_table(&judge->instances, map, &at, judge->arena[JUDGE_INSTANCE].max / 4);
    cut_table(&judge->streams, map, &at, judge->arena[JUDGE_STREAM].max);
    cut_table(&judge->assets, map, &at, judge->arena[JUDGE_ASSET].max);
    cut_table(&judge->names, map, &at, judge->arena[JUDGE_NAME].max);
    cut_table(&judge->captures, map, &at, judge->arena[JUDGE_CAPTURE].max);
    judge->deadline =
        cut(map, &at, (uint64_t)judge->arena[JUDGE_LIMIT].max * sizeof *judge->deadline);
    judge->row_of = cut(map, &at, (uint64_t)judge->arena[JUDGE_CLOCK].max * sizeof *judge->row_of);
    judge->is_live = cut(map, &at, PSTK_RULES_MAX);
    judge->name_of = cut(map, &at, PSTK_RULES_MAX * sizeof *judge->name_of);
    judge->suppression.suppressor_of =
        cut(map, &at, PSTK_RULES_MAX * sizeof *judge->suppression.suppressor_of);
    judge->suppression.is_suppressor = cut(map, &at, PSTK_RULES_MAX);
    judge->suppression.latch_of =
        cut(map, &at, (uint64_t)options->tags_max * sizeof *judge->suppression.latch_of);
    judge->staged_of_name = cut(map, &at, JUDGE_NAMES_MAX * sizeof *judge->staged_of_name);
    judge->retired_of = cut(map, &at, PSTK_RULES_MAX * sizeof *judge->retired_of);
    judge->is_told = cut(map, &at, JUDGE_NAMES_MAX);
    judge->result = cut(map, &at, (uint64_t)options->result_slots * sizeof *judge->result);
    judge->more = cut(map, &at, (uint64_t)options->result_slots * sizeof *judge->more);
    return at;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

#define LARGE_TABLE_BYTES (UINT64_C(4) << 20)

static bool is_power_of_two(uint32_t n) { return n && (n & (n - 1)) == 0; }

static int check_options(const pstk_judge_options *options, pstk_error *err) {
    if (!options->tags || !memchr(options->plant, 0, sizeof options->plant))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "judge: tags and plant are needed");
    if (!is_power_of_two(options->event_slots) || options->event_slots < 2 * PSTK_EVENT_MARGIN ||
        !is_power_of_two(options->result_slots))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "judge: event_slots (at least %u) and result_slots must be powers of two",
                         2 * PSTK_EVENT_MARGIN);
    const uint32_t most = UINT32_C(1) << 24;
    if (!options->tags_max || !options->instances_max || !options->streams_max ||
        !options->assets_max || !options->reorder_slots || options->tags_max > most ||
        options->instances_max > most || options->streams_max > 65536 ||
        options->assets_max > most || options->reorder_slots > most)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "judge: tags, instances, assets and reorder slots must be 1..2^24, "
                         "streams 1..65536");
    return PSTK_OK;
}

/* A tag drawn at random misses the page table too once tables have tens of MiB. Small ones stay as
 * they are: a large page would commit what nobody uses. */
static void ask_for_large_pages(const pstk_judge *judge) {
    static const int often[] = {JUDGE_HOT, JUDGE_WINDOW};
    for (size_t k = 0; k < sizeof often / sizeof *often; k++) {
        const judge_arena *arena = &judge->arena[often[k]];
        uint64_t bytes = (uint64_t)arena->max * arena->item;
        if (bytes >= LARGE_TABLE_BYTES)
            (void)madvise(arena->base, bytes, MADV_HUGEPAGE); /* only a wish */
    }
}

PSTK_COLD int pstk_judge_open(const pstk_judge_options *options, pstk_judge **out_judge,
                              pstk_error *err) {
    *out_judge = NULL;
    int status = check_options(options, err);
    if (status != PSTK_OK)
        return status;
    pstk_judge *judge = calloc(1, sizeof *judge);
    if (!judge)
        return pstk_fail(err, PSTK_E_MEMORY, ENOMEM, "judge: no memory");
    judge->options = *options;
    judge->tags = options->tags;
    arenas_size(judge);
    judge->map_bytes = lay_out(judge, NULL);
    /* Reserved, not committed: a page costs memory once it is used. */
    judge->map = mmap(NULL, judge->map_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (judge->map == MAP_FAILED) {
        int os_error = errno;
        free(judge);
        return pstk_fail(err, PSTK_E_MEMORY, os_error, "judge: cannot reserve its tables");
    }
    (void)lay_out(judge, judge->map);
    ask_for_large_pages(judge);
    for (uint32_t c = 0; c < judge_count(judge, JUDGE_CLOCK); c++)
        *judge_clock_at(judge, c) = (judge_clock){.watermark_ns = INT64_MIN,
                                                  .heap_ns = INT64_MAX,
                                                  .due_ns = INT64_MAX,
                                                  .wide_ns = INT64_MAX};
    judge->head.now_ns = -PSTK_RULE_TIME_MAX;
    judge->head.restart_ns = PSTK_TIME_NONE;
    judge->idle_due_ns = judge->clock_due_ns = INT64_MAX;
    *out_judge = judge;
    return PSTK_OK;
}

void pstk_judge_close(pstk_judge *judge) {
    if (!judge)
        return;
    munmap(judge->map, judge->map_bytes);
    free(judge);
}

/* ---- records -------------------------------------------------------------------------------- */

enum { TICK_LIMITS, TICK_CLOCKS, TICK_SWEEP };

/* Silent tags' delays first, then idle streams, what their watermarks release, and windows. */
static bool run_tick(pstk_judge *judge) {
    judge_place *place = &judge->place;
    while (place->phase == TICK_LIMITS && judge->deadline_count &&
           judge->deadline[0].at_ns <= judge->head.now_ns) {
        if (!judge_has_room(judge))
            return false;
        if (!judge->touched)
            judge_limit_tick(judge, judge->deadline[0].limit);
        if (!judge_touched_run(judge))
            return false;
    }
    if (place->phase == TICK_LIMITS) {
        judge_idle_mark(judge);
        place->phase = TICK_CLOCKS;
        place->step = 1;
    }
    for (; place->phase == TICK_CLOCKS && place->step < judge_count(judge, JUDGE_CLOCK);
         place->step++)
        if (!judge_clock_drain(judge, place->step))
            return false;
    place->phase = TICK_SWEEP;
    if (!judge_sweep_all(judge, JUDGE_TICK_SWEEP))
        return false;
    judge_time_refresh(judge);
    return true;
}

static bool copy_payload(const pstk_block *block, void *out, size_t bytes) {
    if (block->bytes < sizeof *block + bytes || block->bytes > PSTK_BLOCK_BYTES_MAX)
        return false;
    memcpy(out, pstk_block_payload(block), bytes);
    return true;
}

/* What changes flags or contexts of windows that are ready waits until they are closed. */
static bool run_source(pstk_judge *judge, const pstk_block *block) {
    pstk_source_record record;
    if (!copy_payload(block, &record, sizeof record))
        return true;
    if (!judge_sweep_all(judge, UINT32_MAX))
        return false;
    judge_source_take(judge, block->source, block->stream, &record);
    judge_time_refresh(judge);
    return true;
}

static bool run_context(pstk_judge *judge, const pstk_block *block) {
    pstk_context context;
    if (!copy_payload(block, &context, sizeof context))
        return true;
    if (!judge_sweep_all(judge, UINT32_MAX))
        return false;
    judge_context_take(judge, &context);
    judge_time_refresh(judge);
    return true;
}

/* Before anything is judged by the new T. */
static bool run_clock(pstk_judge *judge, const pstk_block *block) {
    pstk_clock_record record;
    if (!copy_payload(block, &record, sizeof record) || record.by_ns <= 0 ||
        record.by_ns > PSTK_RULE_TIME_MAX)
        return true;
    judge_time_shift(judge, record.by_ns);
    judge_limit_shift(judge, record.by_ns);
    judge_deadlines_rebuild(judge);
    judge_time_refresh(judge);
    return true;
}

static bool run_config(pstk_judge *judge, const pstk_block *block) {
    judge_place *place = &judge->place;
    if (block->bytes <= sizeof *block || block->bytes > PSTK_BLOCK_BYTES_MAX)
        return true;
    if (place->phase == 0) {
        if (!judge_config_stage(judge, pstk_block_payload(block), block->bytes - sizeof *block))
            return true;
        place->phase = 1;
        place->node = place->step = 0;
    }
    if (place->phase == 1) {
        if (!judge_config_apply(judge))
            return false;
        place->phase = 2;
    }
    if (!judge_touched_run(judge)) /* what another table keeps back no more */
        return false;
    judge_time_refresh(judge);
    return true;
}

static bool run_tag(pstk_judge *judge, const pstk_block *block) {
    pstk_tag_record record;
    if (copy_payload(block, &record, sizeof record))
        judge_tag_take(judge, &record);
    return true;
}

static bool run_stream(pstk_judge *judge, const pstk_block *block) {
    pstk_stream_record record;
    if (!copy_payload(block, &record, sizeof record))
        return true;
    uint32_t index = judge_stream_open(judge, block->source, record.index);
    if (!index)
        return true;
    judge_stream_at(judge, index)->boot = record.boot;
    judge_stream_at(judge, index)->number = record.stream;
    judge_lost_bind(judge, index);
    return true;
}

static bool run_baseline(pstk_judge *judge, const pstk_block *block) {
    pstk_baseline baseline;
    if (copy_payload(block, &baseline, sizeof baseline))
        judge_baseline_take(judge, &baseline);
    return true;
}

static bool run_operator(pstk_judge *judge, const pstk_block *block) {
    pstk_operation operation;
    if (!copy_payload(block, &operation, sizeof operation))
        return true;
    if (!judge_has_room(judge))
        return false;
    if (judge->place.phase == 0)
        judge_operate(judge, &operation);
    judge->place.phase = 1;
    return judge_touched_run(judge);
}

static bool dispatch(pstk_judge *judge, const pstk_block *block) {
    switch (block->kind) {
    case PSTK_RECORD_SAMPLES:
        return judge_samples_run(judge, block);
    case PSTK_RECORD_TICK:
        return run_tick(judge);
    case PSTK_RECORD_TAG:
        return run_tag(judge, block);
    case PSTK_RECORD_SOURCE:
        return run_source(judge, block);
    case PSTK_RECORD_STREAM:
        return run_stream(judge, block);
    case PSTK_RECORD_CONTEXT:
        return run_context(judge, block);
    case PSTK_RECORD_OPERATOR:
        return run_operator(judge, block);
    case PSTK_RECORD_CLOCK:
        return run_clock(judge, block);
    case PSTK_RECORD_BASELINE:
        return run_baseline(judge, block);
    case PSTK_RECORD_CONFIG:
        return run_config(judge, block);
    default: /* CODE and COUNTS say nothing to the judge; what is unknown is from a damaged ring */
        return true;
    }
}

bool pstk_judge_block(pstk_judge *judge, const pstk_block *block) {
    if (!judge->place.is_active) {
        judge->place = (judge_place){.is_active = true};
        judge->head.pos = block->pos;
        int64_t now_ns = PSTK_MIN(block->recv_time_ns, PSTK_RULE_TIME_MAX);
        judge->head.now_ns = PSTK_MAX(judge->head.now_ns, now_ns);
    }
    if (!dispatch(judge, block))
        return false;
    judge->place.is_active = false;
    return true;
}

bool pstk_judge_is_between_blocks(const pstk_judge *judge) { return !judge->place.is_active; }

void pstk_judge_set_plain(pstk_judge *judge, bool is_plain) { judge->is_plain = is_plain; }

/* ---- questions: from any thread, so they keep nothing ---------------------------------------- */

static int copy_name(const char *name, size_t bytes, char *out, size_t capacity) {
    if (!capacity)
        return -1;
    pstk_copy_text(out, capacity, name, bytes);
    return (int)bytes;
}

int pstk_judge_rule_name(const pstk_judge *judge, uint32_t rule, char *out, size_t capacity,
                         char *out_series, size_t series_capacity) {
    if (!rule || rule >= __atomic_load_n(&judge->arena[JUDGE_NAME].count, __ATOMIC_ACQUIRE))
        return -1;
    const judge_name *name = judge_name_raw(judge, rule);
    if (out_series && series_capacity)
        pstk_copy_text(out_series, series_capacity, name->series, strlen(name->series));
    return copy_name(name->name, strlen(name->name), out, capacity);
}

int pstk_judge_asset_name(const pstk_judge *judge, uint32_t asset, char *out, size_t capacity) {
    if (!asset || asset >= __atomic_load_n(&judge->arena[JUDGE_ASSET].count, __ATOMIC_ACQUIRE))
        return -1;
    const char *name = judge_asset_raw(judge, asset)->name;
    return copy_name(name, strlen(name), out, capacity);
}

void pstk_judge_counters_get(const pstk_judge *judge, pstk_judge_counters *out_counters) {
    const uint64_t *from = (const void *)&judge->head.counters;
    uint64_t *to = (void *)out_counters;
    for (size_t k = 0; k < sizeof *out_counters / sizeof *to; k++)
        to[k] = __atomic_load_n(from + k, __ATOMIC_RELAXED);
    out_counters->results_overwritten =
        __atomic_load_n(&judge->result_overwritten, __ATOMIC_RELAXED);
}
_Static_assert(sizeof(pstk_judge_counters) % sizeof(uint64_t) == 0, "counters are u64 alone");

void pstk_judge_source_counters(const pstk_judge *judge, uint16_t source, uint64_t *out_late,
                                uint64_t *out_out_of_order) {
    *out_late = *out_out_of_order = 0;
    if (source >= PSTK_SOURCES_MAX)
        return;
    const judge_source *at = judge_source_raw(judge, source);
    *out_late = __atomic_load_n(&at->late, __ATOMIC_RELAXED);
    *out_out_of_order = __atomic_load_n(&at->out_of_order, __ATOMIC_RELAXED);
}

const pstk_config_source *pstk_judge_sources(const pstk_judge *judge, size_t *out_count) {
    *out_count = judge_count(judge, JUDGE_CONFIG_SOURCE);
    return judge_config_source_raw(judge, 0);
}

const pstk_rule *pstk_judge_rules(const pstk_judge *judge, size_t *out_count) {
    *out_count = judge_count(judge, JUDGE_CONFIG_RULE);
    return judge_rule_raw(judge, 0);
}
