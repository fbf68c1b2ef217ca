/* judge: the journal becomes events and results. It reads records and nothing else: no clock,
 * socket, file or Python. Same journal, same events, byte for byte, whatever the block sizes
 * (design.md, invariant J). Owner    the engine. Threads  pstk_judge_block and everything that
 * changes state: whoever holds the writer lock. events_poll, events_acknowledge, results_take: one
 * consumer, beside the judge. Bound    every table has a maximum from pstk_judge_options; reserved
 * at open, touched on first use. Full     a full event ring stops judging (pstk_judge_block returns
 * false), never journaling. A full result ring overwrites the oldest, counted. */
#ifndef PSTK_ENGINE_JUDGE_H
#define PSTK_ENGINE_JUDGE_H

#include "parse/parse.h"
#include "ring/ring.h"

#define PSTK_JUDGE_LAYOUT 9u /* of the sections below; older: in part, newer: refused */

typedef struct pstk_judge_options {
    char plant[64];
    uint32_t tags_max, instances_max, streams_max, assets_max;
    uint32_t event_slots, result_slots; /* powers of two */
    uint32_t reorder_slots;
    uint32_t reserved;
    const pstk_tags *tags; /* names and code texts; the engine restores TAG and CODE records into it
                              before the judge sees them */
} pstk_judge_options;

typedef struct pstk_judge pstk_judge;

int pstk_judge_open(const pstk_judge_options *options, pstk_judge **out_judge, pstk_error *err);
void pstk_judge_close(pstk_judge *judge);

/* Judges one block. False: the event ring is full; call again with the same block once there is
 * room (the place inside the block is kept). */
bool pstk_judge_block(pstk_judge *judge, const pstk_block *block);
/* Takes the slow path for every sample: what tests hold the fast path against. */
void pstk_judge_set_plain(pstk_judge *judge, bool is_plain);
bool pstk_judge_is_between_blocks(const pstk_judge *judge); /* only then may an image be taken */
/* Engine time at which a TICK record is needed (idle close, delays); INT64_MAX = never. */
int64_t pstk_judge_deadline_ns(const pstk_judge *judge);

/* Events: at least PSTK_EVENT_MARGIN free slots are kept for one step. */
#define PSTK_EVENT_MARGIN 64u
uint64_t pstk_judge_events_head(const pstk_judge *judge); /* seq of the newest event + 1; acquire */
uint64_t pstk_judge_events_acknowledged(const pstk_judge *judge);
size_t pstk_judge_events_poll(const pstk_judge *judge, uint64_t from_seq, pstk_event *out_events,
                              size_t capacity);
void pstk_judge_events_acknowledge(pstk_judge *judge, uint64_t seq);
/* out_aggregates may be NULL; else row by row what the rules asked for beyond. */
size_t pstk_judge_results_take(pstk_judge *judge, pstk_result *out_results,
                               pstk_aggregates *out_aggregates, size_t capacity,
                               uint64_t *out_overwritten);

int pstk_judge_rule_name(const pstk_judge *judge, uint32_t rule, char *out, size_t capacity,
                         char *out_series, size_t series_capacity);
/* What runs at an asset at a time; 1, 0: nothing is known, -1: no such asset. */
int pstk_judge_asset_context(const pstk_judge *judge, uint32_t asset, int64_t time_ns,
                             pstk_context *out);
int pstk_judge_asset_name(const pstk_judge *judge, uint32_t asset, char *out, size_t capacity);

/* Alarms that are active, shelved or suppressed: up to capacity; returns how many there are. Writer
 * lock, as the next. */
size_t pstk_judge_alarms(const pstk_judge *judge, pstk_alarm *out_alarms, size_t capacity);
/* Whether the rule judges the tag; false: *err names what there is. */
bool pstk_judge_has_alarm(const pstk_judge *judge, const char *rule, const char *tag,
                          pstk_error *err);

typedef struct pstk_judge_counters {
    uint64_t events, results, results_overwritten, late, out_of_order, reorder_overflow, chattering,
        instances, assets, streams;
    uint64_t suppressed;     /* excursions that nobody was told of */
    uint64_t micro_dropped;  /* micro-stops that made no event, as their rule says */
    uint64_t type_refused;   /* rule x tag of a type that the rule cannot judge */
    uint64_t instance_limit; /* rule x tag refused: instances_max, assets_max, rules per tag */
} pstk_judge_counters;
void pstk_judge_counters_get(const pstk_judge *judge, pstk_judge_counters *out_counters);
void pstk_judge_source_counters(const pstk_judge *judge, uint16_t source, uint64_t *out_late,
                                uint64_t *out_out_of_order);

#define PSTK_SECTION_PENDING                                                                       \
    0x444e4550u /* "PEND": the section that holds pending events; restore stands its absence */

/* Snapshot: the state at one instant, read while judging goes on; the judge keeps what it is about
 * to change. begin fills up to PSTK_IMAGE_SECTIONS_MAX sections (their bytes only through read) and
 * returns the count; pending events (acknowledged..head) are among them. Between blocks only. One
 * at a time: begin and end under the writer lock, read and clear by one thread without it; clear
 * behind end, before the next begin. */
/* Writer lock; what prepare wants: for the tables that change most, at most as many bytes. */
uint32_t pstk_judge_snapshot_pages(const pstk_judge *judge, uint64_t bytes_max);
/* Before begin, without the lock: memory that the judge will want at once is there. */
void pstk_judge_snapshot_prepare(pstk_judge *judge, uint32_t pages);
size_t pstk_judge_snapshot_begin(pstk_judge *judge, pstk_section *out_sections);
void pstk_judge_snapshot_read(const pstk_judge *judge, const pstk_section *section, uint64_t at,
                              void *out, size_t bytes);
void pstk_judge_snapshot_end(pstk_judge *judge);
void pstk_judge_snapshot_clear(pstk_judge *judge, bool is_given_back); /* the memory it took */
bool pstk_judge_has_snapshot(const pstk_judge *judge);                 /* writer lock */
/* From the sections of an image. Pending events stand in the event ring again, in order, with new
 * seqs from 0. */
int pstk_judge_restore(pstk_judge *judge, const pstk_image *image, pstk_error *err);
/* From an image of an earlier layout, into a judge that has seen nothing: names and pending events;
 * the rest begins anew (engine_judge_older.c). */
int pstk_judge_restore_older(pstk_judge *judge, const pstk_image *image, pstk_error *err);
void pstk_judge_know_tag(pstk_judge *judge, uint32_t tag_id);

/* What holds now, for the engine: the tables of the last CONFIG. */
const pstk_config_source *pstk_judge_sources(const pstk_judge *judge, size_t *out_count);
const pstk_rule *pstk_judge_rules(const pstk_judge *judge, size_t *out_count);
void pstk_judge_config_digest(const pstk_config_source *sources, size_t source_count,
                              const pstk_rule *rules, size_t rule_count, uint8_t out_digest[32]);

#endif
