/* recover: newest valid image + journal from its position = everything (design.md, invariant C).
 * Order    lock -> image -> its pending events again -> names and positions of the tail -> judge
 * the tail with the image's tables -> SOURCE down -> today's configuration as a CONFIG record.
 * Sockets open later. */
#include "engine.h"

#include <stdio.h>

#define TAG_OF(a, b, c, d)                                                                         \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

typedef struct found { /* what the disk and the ring folder hold */
    pstk_image image;
    bool has_image, is_state_new, is_ring_new,
        is_moved;     /* moved: the image's journal is gone, its state goes on in a new one */
    bool is_older;    /* moved: image or ring are of an earlier layout */
    bool needs_save;  /* nothing on the disk to begin with */
    bool is_of_ring;  /* the image lies in the ring folder */
    bool has_saved;   /* the disk knows what this journal goes on from: an image of it, or the one
                         it began with */
    uint64_t from;    /* journal position to judge from */
    uint64_t saved;   /* of the image on the disk */
    uint64_t journal; /* where the disk journal that follows it ends */
    uint64_t begin;   /* where this run's part of it begins */
} found;

/* ---- choosing an image ---------------------------------------------------------------------- */

/* What open goes on in spite of: told once, never swallowed. */
void pstk_engine_add_notice(pstk_engine *engine, const char *text) {
    size_t used = strlen(engine->notice), left = sizeof engine->notice - used;
    snprintf(engine->notice + used, left, "%s%s", used ? "; " : "", text);
}

static int open_ring(pstk_engine *engine, uint64_t start, bool *out_is_new, pstk_error *err) {
    const uint8_t *journal_id = pstk_state_journal_id(engine->state);
    if (engine->options.ring_bytes == 0)
        engine->options.ring_bytes = pstk_engine_ring_bytes(engine->options.ring_dir, journal_id);
    pstk_ring_options options = {.ring_dir = engine->options.ring_dir,
                                 .ring_bytes = engine->options.ring_bytes,
                                 .layout = PSTK_JUDGE_LAYOUT,
                                 .start = start};
    pstk_error told = {0};
    memcpy(options.journal_id, journal_id, sizeof options.journal_id);
    int status = pstk_ring_open(&options, &engine->ring, out_is_new, &told);
    if (status == PSTK_OK && told.text[0])
        pstk_engine_add_notice(engine, told.text);
    if (status != PSTK_OK && err)
        *err = told;
    return status;
}

static bool is_usable(const pstk_engine *engine, const pstk_image *image) {
    return memcmp(image->head.journal_id, pstk_state_journal_id(engine->state), 16) == 0 &&
           image->head.pos <= pstk_ring_written(engine->ring) &&
           image->head.pos >= pstk_ring_oldest(engine->ring);
}

static void keep_newer(pstk_engine *engine, found *out, pstk_image *other) {
    bool is_better =
        is_usable(engine, other) && (!out->has_image || !is_usable(engine, &out->image) ||
                                     other->head.pos >= out->image.head.pos);
    if (!is_better) {
        pstk_image_free(other);
        return;
    }
    if (out->has_image)
        pstk_image_free(&out->image);
    out->image = *other;
    out->has_image = out->is_of_ring = true;
}

/* The old journal is lost: what the image knows goes on in a new one, its numbers from zero. */
static int move_to_new_journal(pstk_engine *engine, pstk_error *err) {
    uint8_t old_id[16];
    memcpy(old_id, pstk_state_journal_id(engine->state), sizeof old_id);
    pstk_ring_close(engine->ring);
    engine->ring = NULL;
    pstk_ring_remove(engine->options.ring_dir, old_id);
    int status = pstk_state_new_journal(engine->state, err);
    bool is_new;
    if (status == PSTK_OK)
        status = open_ring(engine, 0, &is_new, err);
    return status == PSTK_OK ? pstk_engine_disk_open(engine, err) : status;
}

static int load_images(pstk_engine *engine, found *out, pstk_error *err) {
    uint32_t damaged = 0, damaged_there = 0;
    int status = pstk_image_load(pstk_state_folder(engine->state), NULL, PSTK_JUDGE_LAYOUT,
                                 &out->image, &out->has_image, &damaged, err);
    out->has_saved =
        status == PSTK_OK && out->has_image &&
        memcmp(out->image.head.journal_id, pstk_state_journal_id(engine->state), 16) == 0;
    out->saved = out->has_saved ? out->image.head.pos : 0;
    if (status == PSTK_OK && !out->is_ring_new) {
        pstk_image other;
        bool has_other = false;
        status =
            pstk_image_load(pstk_ring_folder(engine->ring), pstk_state_journal_id(engine->state),
                            PSTK_JUDGE_LAYOUT, &other, &has_other, &damaged_there, err);
        if (status == PSTK_OK && has_other)
            keep_newer(engine, out, &other);
    }
    damaged += damaged_there;
    if (status == PSTK_OK && damaged) {
        char text[96];
        snprintf(text, sizeof text, "%u of the checkpoint images %s damaged and passed over",
                 damaged, damaged == 1 ? "is" : "are");
        pstk_engine_add_notice(engine, text);
    }
    return status;
}

/* A journal that began from nothing has the first generation of rules before its first sample; one
 * that went on from an image does not, and without that image it means nothing. */
static bool is_beginning(const pstk_block *block) {
    return block->kind == PSTK_RECORD_CONFIG && block->config_gen == 1;
}

static bool began_from_nothing(const pstk_engine *engine) {
    uint64_t next = 0;
    const pstk_block *block = pstk_ring_peek(engine->ring, 0, &next);
    return !block || is_beginning(block);
}

/* No image of this journal is on the disk yet, but its files reach back to its beginning: they
 * follow the image of the journal before, or nothing. */
static bool is_disk_whole(pstk_engine *engine, bool has_image) {
    const pstk_block *block = pstk_engine_disk_first(engine);
    return block && (has_image || is_beginning(block));
}

/* The image on disk and the journal behind it reach further than the ring: it is gone, or stale. A
 * new one goes on where the disk ends; what lies before is judged from the disk. */
static int go_on_from_disk(pstk_engine *engine, found *out, pstk_error *err) {
    char text[160];
    uint8_t id[16];
    bool is_new;
    memcpy(id, pstk_state_journal_id(engine->state), sizeof id);
    pstk_ring_close(engine->ring);
    engine->ring = NULL;
    pstk_ring_remove(engine->options.ring_dir, id);
    int status = open_ring(engine, out->journal, &is_new, err);
    if (status != PSTK_OK)
        return status;
    snprintf(text, sizeof text,
             "the ring is gone: %llu bytes of journal behind the checkpoint are read from the "
             "disk, what came after them is lost and told as a gap",
             (unsigned long long)(out->journal - out->from));
    pstk_engine_add_notice(engine, text);
    engine->disk.is_recovered = true;
    return PSTK_OK;
}

/* The image that lies on the disk, where load_images preferred one of the ring folder. */
static int take_saved_image(pstk_engine *engine, found *out, pstk_error *err) {
    uint32_t damaged;
    if (!out->is_of_ring)
        return PSTK_OK;
    pstk_image_free(&out->image);
    out->is_of_ring = false;
    return pstk_image_load(pstk_state_folder(engine->state), NULL, PSTK_JUDGE_LAYOUT, &out->image,
                           &out->has_image, &damaged, err);
}

/* Does the disk journal hold what the ring lacks? Then *out_is_used, and out says from where. */
static int find_on_disk(pstk_engine *engine, found *out, bool *out_is_used, pstk_error *err) {
    *out_is_used = false;
    if (!out->has_saved)
        out->has_saved = is_disk_whole(engine, out->has_image && !out->is_of_ring);
    if (!out->has_saved)
        return PSTK_OK;
    out->journal = pstk_engine_disk_follow(engine, out->saved);
    bool has_files = pstk_disk_bytes(engine->disk.disk) > 0;
    bool is_behind = out->is_ring_new || pstk_ring_written(engine->ring) < out->journal;
    bool is_joined = out->journal >= pstk_ring_oldest(engine->ring);
    if (!has_files || (!is_behind && (is_usable(engine, &out->image) || !is_joined)))
        return PSTK_OK; /* the ring has everything, as after every kill */
    *out_is_used = true;
    int status = take_saved_image(engine, out, err);
    out->from = out->saved;
    if (status == PSTK_OK && is_behind)
        status = go_on_from_disk(engine, out, err);
    return status == PSTK_OK ? pstk_engine_disk_tail(engine, out->from, out->journal, err) : status;
}

/* Written by an earlier version: its tables have other shapes, and its rule records too. */
static bool is_older(const pstk_engine *engine, const found *base) {
    uint32_t ring = pstk_ring_found_layout(engine->ring);
    return (base->has_image && base->image.head.layout < PSTK_JUDGE_LAYOUT) ||
           (ring != 0 && ring < PSTK_JUDGE_LAYOUT);
}

/* What the image says of names, places and waiting events goes on in a new journal; that it lies on
 * the disk comes before the ring goes. */
static int go_on_from_older(pstk_engine *engine, found *out, pstk_error *err) {
    char text[240];
    uint32_t layout =
        out->has_image ? out->image.head.layout : pstk_ring_found_layout(engine->ring);
    snprintf(text, sizeof text,
             "the state is of an earlier version (layout %u, this build writes %u): a cold start; "
             "tags, positions and events that wait are kept, open intervals begin anew",
             layout, PSTK_JUDGE_LAYOUT);
    pstk_engine_add_notice(engine, text);
    engine->is_cold_start = out->is_moved = out->is_older = true;
    int status = out->is_of_ring
                     ? pstk_image_copy(pstk_ring_folder(engine->ring),
                                       pstk_state_folder(engine->state), &out->image.head, err)
                     : PSTK_OK;
    return status == PSTK_OK ? move_to_new_journal(engine, err) : status;
}

static int find_base(pstk_engine *engine, found *out, pstk_error *err) {
    bool is_used = false;
    int status = load_images(engine, out, err);
    if (status == PSTK_OK && is_older(engine, out))
        return go_on_from_older(engine, out, err);
    if (status == PSTK_OK)
        status = find_on_disk(engine, out, &is_used, err);
    if (status != PSTK_OK || is_used)
        return status;
    if (out->has_image && is_usable(engine, &out->image)) {
        out->from = out->image.head.pos;
        return PSTK_OK;
    }
    bool is_first = out->is_ring_new && !out->has_image;
    engine->is_cold_start = is_first && !out->is_state_new;
    if (is_first)
        return PSTK_OK;
    bool is_foreign = out->has_image && memcmp(out->image.head.journal_id,
                                               pstk_state_journal_id(engine->state), 16) != 0;
    bool is_whole = !out->is_ring_new && pstk_ring_oldest(engine->ring) == 0;
    if (is_whole && (out->has_image ? is_foreign : began_from_nothing(engine)))
        return PSTK_OK; /* from its first record on: nothing, or the image it began with, lies
                           before it */
    engine->is_cold_start = !out->has_image;
    if (engine->is_cold_start)
        pstk_engine_add_notice(engine,
                               "no checkpoint can be read: a cold start, counters begin anew");
    else
        pstk_engine_add_notice(engine,
                               "the ring is gone: the last checkpoint goes on in a new journal");
    out->is_moved = true;
    return move_to_new_journal(engine, err);
}

/* ---- putting the image back ----------------------------------------------------------------- */

static int restore_names(pstk_engine *engine, const pstk_image *image, pstk_error *err) {
    const pstk_section *tags = pstk_image_section(image, TAG_OF('T', 'A', 'G', 'S'));
    const pstk_section *codes = pstk_image_section(image, TAG_OF('C', 'O', 'D', 'E'));
    uint64_t code_count = codes ? codes->size / sizeof(pstk_code_record) : 0;
    if (code_count > PSTK_CODES_TOTAL_MAX)
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "the state directory holds %llu codes, at most %u can be",
                         (unsigned long long)code_count, PSTK_CODES_TOTAL_MAX);
    bool is_older = image->head.layout < PSTK_JUDGE_LAYOUT;
    int status = pstk_engine_restore_tags(engine, tags, is_older, err);
    if (status != PSTK_OK)
        return status;
    if (code_count)
        memcpy(engine->code_image, codes->bytes, code_count * sizeof(pstk_code_record));
    for (uint32_t i = 0; i < code_count; i++) {
        const pstk_code_record *code = &engine->code_image[i];
        pstk_tags_restore_code(engine->tags, code->tag_id, code->code, code->text,
                               strnlen(code->text, sizeof code->text));
    }
    engine->code_image_count = (uint32_t)code_count;
    return PSTK_OK;
}

static void restore_sources(pstk_engine *engine, const pstk_image *image) {
    const pstk_section *section = pstk_image_section(image, TAG_OF('S', 'R', 'C', 'S'));
    uint64_t count = section ? section->size / sizeof(pstk_source_saved) : 0;
    engine->source_count = (uint32_t)PSTK_MIN(count, PSTK_SOURCES_MAX);
    for (uint32_t i = 0; i < engine->source_count; i++) {
        pstk_source_saved saved;
        memcpy(&saved, (const uint8_t *)section->bytes + i * sizeof saved, sizeof saved);
        pstk_source *source = &engine->source[i];
        memcpy(source->options.name, saved.name, sizeof saved.name);
        source->received = saved.received;
        source->used = saved.used;
        source->lost_upstream = saved.lost_upstream;
        source->sent_upstream = saved.sent_upstream;
        source->position = saved.position;
        source->position_ord = saved.position_ord;
        source->is_numbered = saved.is_numbered;
        memcpy(source->dropped, saved.dropped, sizeof saved.dropped);
        for (int reason = 0; reason < PSTK_DROP_COUNT; reason++)
            source->dropped_total += saved.dropped[reason];
    }
}

static int restore_streams(pstk_engine *engine, const pstk_image *image, pstk_error *err) {
    const pstk_section *section = pstk_image_section(image, TAG_OF('S', 'T', 'R', 'M'));
    uint64_t count = section ? section->size / sizeof(pstk_stream) : 0;
    if (count > engine->options.streams_max)
        return pstk_fail(err, PSTK_E_STATE, 0,
                         "the state directory holds %llu streams, more than engine.streams_max; "
                         "raise it",
                         (unsigned long long)count);
    engine->stream_count = (uint32_t)count;
    if (count)
        memcpy(engine->stream, section->bytes, count * sizeof *engine->stream);
    section = pstk_image_section(image, TAG_OF('C', 'G', 'E', 'N'));
    if (section && section->size == sizeof engine->config_gen)
        memcpy(&engine->config_gen, section->bytes, sizeof engine->config_gen);
    return PSTK_OK;
}

int pstk_engine_restore_image(pstk_engine *engine, const pstk_image *image, pstk_error *err) {
    int status = restore_names(engine, image, err);
    if (status != PSTK_OK)
        return status;
    restore_sources(engine, image);
    status = restore_streams(engine, image, err);
    if (status != PSTK_OK)
        return status;
    engine->generation = image->head.generation;
    engine->clock.last_ns = image->head.engine_time_ns;
    bool is_same = image->head.layout == PSTK_JUDGE_LAYOUT;
    status = is_same ? pstk_judge_restore(engine->judge, image, err)
                     : pstk_judge_restore_older(engine->judge, image, err);
    for (uint32_t i = 0; !is_same && status == PSTK_OK && i < engine->tag_image_count; i++)
        pstk_judge_know_tag(engine->judge, i);
    engine->redelivered = pstk_judge_events_head(engine->judge);
    return status;
}

/* ---- today's configuration ------------------------------------------------------------------ */

static void name_tail_sources(pstk_engine *engine) {
    size_t count;
    const pstk_config_source *known = pstk_judge_sources(engine->judge, &count);
    for (uint32_t i = 0; i < engine->source_count; i++) {
        pstk_source *source = &engine->source[i];
        if (i >= count)
            continue; /* named by the tail, or only seen in it */
        memcpy(source->options.name, known[i].name, sizeof known[i].name);
        source->options.lateness_ns = known[i].lateness_ns;
        source->options.idle_after_ns = known[i].idle_after_ns;
    }
}

static int adopt_sources(pstk_engine *engine, const pstk_source_options *sources, size_t count,
                         pstk_error *err) {
    for (size_t i = 0; i < count; i++) {
        uint32_t k = 0;
        while (k < engine->source_count &&
               strcmp(engine->source[k].options.name, sources[i].name) != 0)
            k++;
        if (k == PSTK_SOURCES_MAX)
            return pstk_fail(err, PSTK_E_FULL, 0,
                             "source %s: more than %u sources, earlier ones included",
                             sources[i].name, PSTK_SOURCES_MAX);
        if (k == engine->source_count)
            engine->source_count++;
        engine->source[k].options = sources[i];
        engine->source[k].is_configured = 1;
        engine->config_source[i] = (uint16_t)k;
    }
    engine->config_source_count = (uint32_t)count;
    return PSTK_OK;
}

/* What ran before this open may have lost samples: said in the journal, except where the caller
 * resumes by position. */
static void put_down_records(pstk_engine *engine) {
    for (uint32_t i = 0; i < engine->source_count; i++) {
        pstk_source *source = &engine->source[i];
        bool has_place =
            source->options.kind == PSTK_SOURCE_FEED || source->options.kind == PSTK_SOURCE_REPLAY;
        bool is_resumed = has_place && source->position != PSTK_POSITION_NONE;
        if (source->used == 0 || is_resumed)
            continue;
        pstk_source_record down = {.change = PSTK_SOURCE_DOWN}, up = {.change = PSTK_SOURCE_UP};
        pstk_engine_put_record(engine, PSTK_RECORD_SOURCE, (uint16_t)i, &down, sizeof down);
        if (source->options.kind == PSTK_SOURCE_FEED)
            pstk_engine_put_record(engine, PSTK_RECORD_SOURCE, (uint16_t)i, &up, sizeof up);
    }
}

static bool is_config_known(pstk_engine *engine, const pstk_rule *rules, size_t rule_count) {
    uint8_t now[32], then[32];
    pstk_config_source sources[PSTK_SOURCES_MAX];
    memset(sources, 0, sizeof sources);
    for (uint32_t i = 0; i < engine->source_count; i++) {
        memcpy(sources[i].name, engine->source[i].options.name, sizeof sources[i].name);
        sources[i].lateness_ns = engine->source[i].options.lateness_ns;
        sources[i].idle_after_ns = engine->source[i].options.idle_after_ns;
    }
    size_t known_sources, known_rules;
    const pstk_config_source *old_sources = pstk_judge_sources(engine->judge, &known_sources);
    const pstk_rule *old_rules = pstk_judge_rules(engine->judge, &known_rules);
    pstk_judge_config_digest(sources, engine->source_count, rules, rule_count, now);
    if (engine->has_config_digest)
        return memcmp(now, engine->config_digest, sizeof now) == 0;
    if (known_sources == 0)
        return false;
    pstk_judge_config_digest(old_sources, known_sources, old_rules, known_rules, then);
    return memcmp(now, then, sizeof now) == 0;
}

static void set_clock(pstk_engine *engine) {
    if (engine->options.clock == PSTK_CLOCK_MANUAL)
        return;
    engine->clock.checked_boot_ns = pstk_boot_ns();
    engine->clock.offset_ns = pstk_wall_ns() - engine->clock.checked_boot_ns;
    pstk_engine_now(engine);
}

/* Where the disk journal of this run begins: where that of the last one ends, as long as the ring
 * holds what follows; else at the image we go on from, which then must lie on the disk too. The
 * last run may have died before its last sync. */
static int choose_begin(pstk_engine *engine, found *base, pstk_error *err) {
    uint64_t from = base->is_moved ? 0 : base->from;
    bool is_joined = base->has_saved && !base->is_moved &&
                     base->journal >= pstk_ring_oldest(engine->ring) &&
                     base->journal <= pstk_ring_written(engine->ring);
    base->begin = is_joined ? base->journal : from;
    base->needs_save = !is_joined && !base->has_image;
    if (base->is_moved || engine->options.durability != PSTK_DURABILITY_POWER)
        return PSTK_OK;
    if (is_joined)
        return pstk_disk_sync_found(engine->disk.disk, base->saved, base->journal, err);
    if (!base->is_of_ring)
        return PSTK_OK;
    return pstk_image_copy(pstk_ring_folder(engine->ring), pstk_state_folder(engine->state),
                           &base->image.head, err);
}

static int take_base(pstk_engine *engine, found *base, pstk_error *err) {
    for (uint32_t i = 0; i < PSTK_SOURCES_MAX; i++) {
        engine->source[i].position = engine->source[i].safe_position = PSTK_POSITION_NONE;
        engine->source[i].told_position = PSTK_POSITION_NONE;
        engine->source[i].counts_stream = PSTK_STREAM_NONE;
        engine->source[i].intake = -1;
    }
    int status = base->has_image ? pstk_engine_restore_image(engine, &base->image, err) : PSTK_OK;
    if (status == PSTK_OK)
        status = choose_begin(engine, base, err);
    if (status == PSTK_OK && (!base->is_of_ring || base->image.head.pos <= base->begin))
        for (uint32_t i = 0; i < engine->source_count; i++)
            pstk_engine_set_safe(&engine->source[i]);
    if (base->has_image)
        pstk_image_free(&base->image);
    if (status != PSTK_OK)
        return status;
    if (base->is_moved)
        base->from = 0;
    base->from = PSTK_MAX(base->from, engine->disk.tail_end);
    pstk_engine_disk_begin(engine, base->begin);
    status = pstk_engine_scan_tail(engine, base->from, err);
    if (status != PSTK_OK)
        return status;
    pstk_ring_set_judged(engine->ring, base->from);
    if (base->from > pstk_ring_checkpointed(engine->ring))
        pstk_ring_set_checkpointed(engine->ring, base->from);
    /* Before anything is judged: what was taken over is whole, as an image of this layout. */
    if (base->is_older)
        status = pstk_engine_checkpoint_now(engine, true, err);
    if (status != PSTK_OK)
        return status;
    engine->saved_boot_ns = pstk_boot_ns();
    pstk_engine_judge(engine);
    return pstk_engine_check(engine, err);
}

int pstk_engine_recover(pstk_engine *engine, const pstk_source_options *sources,
                        size_t source_count, const pstk_rule *rules, size_t rule_count,
                        pstk_error *err) {
    found base = {0};
    int status = pstk_state_open(engine->options.state_dir, engine->options.plant, &engine->state,
                                 &base.is_state_new, err);
    if (status == PSTK_OK)
        status = open_ring(engine, 0, &base.is_ring_new, err);
    if (status == PSTK_OK)
        status = pstk_engine_disk_open(engine, err);
    if (status == PSTK_OK)
        status = find_base(engine, &base, err);
    if (status == PSTK_OK)
        status = take_base(engine, &base, err);
    if (status != PSTK_OK)
        return status;
    name_tail_sources(engine);
    status = adopt_sources(engine, sources, source_count, err);
    if (status != PSTK_OK)
        return status;
    set_clock(engine);
    put_down_records(engine);
    if (!is_config_known(engine, rules, rule_count))
        if (!pstk_engine_put_config(engine, rules, rule_count))
            return pstk_fail(err, PSTK_E_FULL, 0,
                             "the ring has no room for the configuration; raise engine.ring_bytes");
    bool is_power = engine->options.durability == PSTK_DURABILITY_POWER;
    bool is_due =
        base.is_moved || (is_power ? base.needs_save : pstk_disk_bytes(engine->disk.disk));
    status = is_due ? pstk_engine_checkpoint_now(engine, true, err) : PSTK_OK;
    if (status == PSTK_OK && is_due && !is_power)
        pstk_engine_disk_remove(engine); /* left by a run with another durability */
    /* A full event ring: the new journal is whole and its image is the one it began with. */
    return status == PSTK_E_FULL ? PSTK_OK : status;
}
