/* judge names: dictionaries, assets and their contexts, baselines. Private to engine_judge*.c; a
 * part of engine_judge_state.h, which says how items lie. */
#ifndef PSTK_ENGINE_JUDGE_NAMES_H
#define PSTK_ENGINE_JUDGE_NAMES_H

#include "engine_judge.h"

#define JUDGE_NAMES_MAX 16384u /* rule names and series ever seen */
#define JUDGE_BASELINES_MAX 65536u
#define JUDGE_VERSIONS 8u /* of one asset's context */

typedef struct judge_version {
    int64_t from_ns;
    uint32_t set;
    uint32_t reserved;
    pstk_context_values values;
} judge_version;

typedef struct judge_asset {
    char name[PSTK_NAME_BYTES];
    uint32_t count;
    uint32_t reserved;
    judge_version version[JUDGE_VERSIONS]; /* by from_ns */
} judge_asset;

typedef struct judge_name {
    char name[PSTK_RULE_NAME_BYTES];
    char series[16];
} judge_name;
typedef struct judge_capture {
    char text[PSTK_NAME_BYTES];
} judge_capture;
typedef struct judge_baseline {
    uint32_t link;
    uint32_t name; /* 0 = free */
    pstk_baseline baseline;
} judge_baseline;

/* ---- engine_judge_names.c: dictionaries, assets, contexts, baselines ------------------------ */

uint32_t judge_name_intern(pstk_judge *judge, const char *name, const char *series);
uint32_t judge_name_find(const pstk_judge *judge, const char *name, const char *series);
uint32_t judge_capture_intern(pstk_judge *judge, const char *text, size_t bytes);
uint32_t judge_capture_find(const pstk_judge *judge, const char *text, size_t bytes);
uint32_t judge_asset_intern(pstk_judge *judge, const char *name);
void judge_names_rebuild(pstk_judge *judge);
void judge_context_take(pstk_judge *judge, const pstk_context *context);
/* The register of a counter or total is known now: changes that were told ahead of it cut it. */
void judge_wake_known(pstk_judge *judge, uint32_t instance);
/* Context of an asset as of a time; returns which fields were ever set. */
uint32_t judge_context_at(const pstk_judge *judge, uint32_t asset, int64_t time_ns,
                          pstk_context_values *out);
/* Fields that are not known in values (by set) are taken as of the end. */
void judge_context_fill(const pstk_judge *judge, uint32_t asset, uint32_t set, int64_t end_ns,
                        pstk_context_values *values);
void judge_baseline_take(pstk_judge *judge,
                         const pstk_baseline *baseline);      /* the later one holds */
void judge_baseline_claim(pstk_judge *judge, uint32_t group); /* a kept one moves to its group */

uint32_t judge_table_size(uint32_t items);
uint64_t judge_table_hash(const void *bytes, size_t size);

#endif
