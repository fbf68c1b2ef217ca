/* judge older: what the image of an earlier layout still says. Its tables have other shapes; what
 * keeps its meaning in every layout is taken over: names of rules and assets under their numbers,
 * and the events that nobody has acknowledged. Registers begin where the last of these events
 * ended; everything open begins anew. */
#include "engine_judge_state.h"

/* The list of tables grows at its head: from its end ASSET and NAME are found in every layout. */
#define ASSET_FROM_END 8u
#define NAME_FROM_END 7u
_Static_assert(JUDGE_ARENA_COUNT - JUDGE_ASSET == ASSET_FROM_END, "new tables stand before ASSET");
_Static_assert(JUDGE_ARENA_COUNT - JUDGE_NAME == NAME_FROM_END, "new tables stand before ASSET");
_Static_assert(sizeof(pstk_event) == 384, "events of every layout are read as they are");

static int fail_older(const pstk_image *image, const char *what, pstk_error *err) {
    return pstk_fail(
        err, PSTK_E_STATE, 0,
        "the checkpoint of layout %u cannot be taken over: %s; start the penstock that "
        "wrote it, or set another state_dir",
        image->head.layout, what);
}

static const pstk_section *table_from_end(const pstk_image *image, uint32_t from_end) {
    uint32_t tables = 0;
    while (pstk_image_section(image, JUDGE_SECTION_ARENA(tables)))
        tables++;
    return tables < from_end ? NULL
                             : pstk_image_section(image, JUDGE_SECTION_ARENA(tables - from_end));
}

/* Interned in order into empty tables, names get the numbers that events know them by. */
static int take_names(pstk_judge *judge, const pstk_image *image, pstk_error *err) {
    const pstk_section *section = table_from_end(image, NAME_FROM_END);
    if (!section || section->size % sizeof(judge_name))
        return fail_older(image, "its rule names are not where they were", err);
    for (uint32_t i = 1; i < section->size / sizeof(judge_name); i++) {
        judge_name name;
        memcpy(&name, (const uint8_t *)section->bytes + i * sizeof name, sizeof name);
        bool is_text =
            memchr(name.name, 0, sizeof name.name) && memchr(name.series, 0, sizeof name.series);
        if (!is_text || judge_name_intern(judge, name.name, name.series) != i)
            return fail_older(image, "a rule name is damaged, or there are more than now fit", err);
    }
    return PSTK_OK;
}

static int take_assets(pstk_judge *judge, const pstk_image *image, pstk_error *err) {
    const pstk_section *section = table_from_end(image, ASSET_FROM_END);
    if (!section || section->size % sizeof(judge_asset))
        return fail_older(image, "its asset names are not where they were", err);
    for (uint32_t i = 1; i < section->size / sizeof(judge_asset); i++) {
        char name[PSTK_NAME_BYTES];
        memcpy(name, (const uint8_t *)section->bytes + i * sizeof(judge_asset), sizeof name);
        if (!memchr(name, 0, sizeof name) || judge_asset_intern(judge, name) != i)
            return fail_older(image, "an asset name is damaged, or engine.assets_max is too small",
                              err);
    }
    return PSTK_OK;
}

/* The ledger may not have seen this one yet: its own baseline would end before it. */
static void begin_behind(pstk_judge *judge, const pstk_event *event) {
    const pstk_tag *tag = pstk_tags_get(judge->tags, event->tag);
    bool is_register = event->kind == PSTK_EVENT_COUNTER_SEGMENT && event->end_ns != PSTK_TIME_NONE;
    if (!is_register || !tag || event->rule == 0 || event->rule >= judge_count(judge, JUDGE_NAME))
        return;
    const judge_name *name = judge_name_raw(judge, event->rule);
    pstk_baseline baseline = {.end_ns = event->end_ns,
                              .end_reading = event->end_reading,
                              .value_type = event->value_type};
    pstk_copy_text(baseline.rule, sizeof baseline.rule, name->name, strlen(name->name));
    pstk_copy_text(baseline.series, sizeof baseline.series, name->series, strlen(name->series));
    pstk_copy_text(baseline.tag, sizeof baseline.tag, tag->name, tag->name_bytes);
    judge_baseline_take(judge, &baseline);
}

int pstk_judge_restore_older(pstk_judge *judge, const pstk_image *image, pstk_error *err) {
    int status = take_names(judge, image, err);
    if (status == PSTK_OK)
        status = take_assets(judge, image, err);
    if (status == PSTK_OK)
        status = judge_events_restore(judge, image, true, err);
    for (uint64_t i = 0; status == PSTK_OK && i < judge->event_head; i++)
        begin_behind(judge, &judge->event[i]);
    return status;
}

/* A tag of the table that no TAG record of this journal tells of. */
void pstk_judge_know_tag(pstk_judge *judge, uint32_t tag_id) {
    const pstk_tag *tag = pstk_tags_get(judge->tags, tag_id);
    pstk_tag_record record = {.tag_id = tag_id,
                              .source = tag->source,
                              .type = tag->type,
                              .name_bytes = (uint8_t)tag->name_bytes};
    memcpy(record.name, tag->name, tag->name_bytes);
    judge_tag_take(judge, &record);
}
