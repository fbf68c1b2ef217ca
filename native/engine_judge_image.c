/* judge image: the state as sections, and back.
 * Section 'H' holds the scalars and the counts of every arena, 'A' << 8 | n the bytes of arena n,
 * 'E' the events that nobody has acknowledged. Whatever can be derived (hashes, bindings, lists,
 * deadlines) is made again by restore. */
#include "engine_judge_order.h"

#define SECTION_HEAD 'H'
_Static_assert(JUDGE_ARENA_COUNT + 2 + 8 <= PSTK_IMAGE_SECTIONS_MAX, "sections of the image");

size_t pstk_judge_snapshot_begin(pstk_judge *judge, pstk_section *out_sections) {
    judge_snapshot *snapshot = &judge->snapshot;
    size_t count = 0;
    judge_rows_fold(judge);
    judge_snapshot_open(judge);
    for (int k = 0; k < JUDGE_ARENA_COUNT; k++) {
        snapshot->head.count[k] = judge->arena[k].count;
        snapshot->head.free[k] = judge->arena[k].free;
    }
    out_sections[count++] =
        (pstk_section){SECTION_HEAD, PSTK_JUDGE_LAYOUT, &snapshot->head, sizeof snapshot->head};
    for (int k = 0; k < JUDGE_ARENA_COUNT; k++)
        out_sections[count++] =
            (pstk_section){JUDGE_SECTION_ARENA(k), PSTK_JUDGE_LAYOUT, judge->arena[k].base,
                           (uint64_t)judge->arena[k].count * judge->arena[k].item};
    uint64_t pending = judge->event_head - snapshot->first_event;
    out_sections[count++] = (pstk_section){PSTK_SECTION_PENDING, PSTK_JUDGE_LAYOUT, judge->event,
                                           pending * sizeof(pstk_event)};
    return count;
}

/* ---- restore -------------------------------------------------------------------------------- */

static int take_section(const pstk_image *image, uint32_t tag, const pstk_section **out,
                        pstk_error *err) {
    *out = pstk_image_section(image, tag);
    if (!*out)
        return pstk_fail(err, PSTK_E_STATE, 0, "image: section %x is missing", tag);
    if ((*out)->version != PSTK_JUDGE_LAYOUT)
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "image: section %x has version %u, this build reads %u", tag,
                         (*out)->version, PSTK_JUDGE_LAYOUT);
    return PSTK_OK;
}

static int restore_head(pstk_judge *judge, const pstk_image *image, pstk_error *err) {
    const pstk_section *section;
    int status = take_section(image, SECTION_HEAD, &section, err);
    if (status != PSTK_OK)
        return status;
    if (section->size != sizeof judge->head)
        return pstk_fail(err, PSTK_E_STATE, 0, "image: the judge's head has another size");
    memcpy(&judge->head, section->bytes, sizeof judge->head);
    return PSTK_OK;
}

static int restore_arena(pstk_judge *judge, const pstk_image *image, int k, pstk_error *err) {
    const pstk_section *section;
    int status = take_section(image, JUDGE_SECTION_ARENA(k), &section, err);
    if (status != PSTK_OK)
        return status;
    judge_arena *arena = &judge->arena[k];
    uint32_t count = judge->head.count[k], is_from_one = arena->count;
    if (section->size != (uint64_t)count * arena->item ||
        judge->head.free[k] >= PSTK_MAX(count, 1u))
        return pstk_fail(err, PSTK_E_STATE, 0, "image: section %d has %llu bytes for %u items", k,
                         (unsigned long long)section->size, count);
    if (count > arena->max || (k != JUDGE_HOT && count < PSTK_MIN(is_from_one, 1u)))
        return pstk_fail(
            err, PSTK_E_FULL, 0,
            "image: %u items in table %d, this configuration allows %u; raise the limit", count, k,
            arena->max);
    memcpy(arena->base, section->bytes, section->size);
    arena->count = count;
    arena->free = judge->head.free[k];
    return PSTK_OK;
}

int judge_events_restore(pstk_judge *judge, const pstk_image *image, bool is_older,
                         pstk_error *err) {
    const pstk_section *section = pstk_image_section(image, PSTK_SECTION_PENDING);
    if (!section)
        return PSTK_OK; /* nothing was pending */
    int status = is_older ? PSTK_OK : take_section(image, PSTK_SECTION_PENDING, &section, err);
    if (status != PSTK_OK)
        return status;
    uint64_t count = section->size / sizeof(pstk_event);
    if (section->size % sizeof(pstk_event) || count > judge->options.event_slots)
        return pstk_fail(err, PSTK_E_FULL, 0, "image: %llu events wait, event_slots is %u",
                         (unsigned long long)count, judge->options.event_slots);
    memcpy(judge->event, section->bytes, section->size);
    for (uint64_t i = 0; i < count; i++)
        judge->event[i].seq = i;
    __atomic_store_n(&judge->event_acknowledged, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&judge->event_head, count, __ATOMIC_RELEASE);
    return PSTK_OK;
}

int pstk_judge_restore(pstk_judge *judge, const pstk_image *image, pstk_error *err) {
    int status = restore_head(judge, image, err);
    for (int k = 0; k < JUDGE_ARENA_COUNT && status == PSTK_OK; k++)
        status = restore_arena(judge, image, k, err);
    if (status == PSTK_OK)
        status = judge_events_restore(judge, image, false, err);
    if (status != PSTK_OK)
        return status;
    judge->touched = 0;
    memset(judge->row_of, 0, (size_t)judge->arena[JUDGE_CLOCK].max * sizeof *judge->row_of);
    judge->place = (judge_place){0};
    judge_names_rebuild(judge);
    judge_streams_rebuild(judge);
    judge_rules_rebuild(judge);
    judge_latches_rebuild(judge);
    judge_instances_rebuild(judge);
    judge_bind_rebuild(judge, false);
    judge_deadlines_rebuild(judge);
    judge_time_refresh(judge);
    return PSTK_OK;
}
