/* results: closed windows leave the engine as columns. Threads  one consumer. Bound
 * PSTK_BATCH_ROWS_MAX rows a call. */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>

#define RESULT_COLUMN(field, format, type)                                                         \
    {#field, format, sizeof(type), offsetof(result_row, result.field)}
#define MORE_COLUMN(field, format)                                                                 \
    {#field, format, sizeof(double), offsetof(result_row, more.field)}

typedef struct result_row {
    pstk_result result;
    pstk_aggregates more;
} result_row;

/* The one list of what a result batch holds behind rule and tag. */
static const struct {
    const char *name;
    const char *format;
    uint32_t value_bytes;
    uint32_t at;
} result_columns[] = {
    RESULT_COLUMN(start_ns, "l", int64_t),
    RESULT_COLUMN(end_ns, "l", int64_t),
    RESULT_COLUMN(count, "L", uint64_t),
    RESULT_COLUMN(sum, "g", double),
    RESULT_COLUMN(mean, "g", double),
    RESULT_COLUMN(min, "g", double),
    RESULT_COLUMN(max, "g", double),
    RESULT_COLUMN(first, "g", double),
    RESULT_COLUMN(last, "g", double),
    RESULT_COLUMN(flags, "I", uint32_t),
    RESULT_COLUMN(revision, "I", uint32_t),
    MORE_COLUMN(min_ns, "l"),
    MORE_COLUMN(max_ns, "l"),
    MORE_COLUMN(range, "g"),
    MORE_COLUMN(variance, "g"),
    MORE_COLUMN(tw_mean, "g"),
    MORE_COLUMN(integral, "g"),
    MORE_COLUMN(rate, "g"),
    MORE_COLUMN(share, "g"),
    MORE_COLUMN(completeness, "g"),
    MORE_COLUMN(quality_share, "g"),
};
#define RESULT_COLUMNS (sizeof result_columns / sizeof result_columns[0])

typedef struct naming { /* indices of the engine become 0, 1, 2... in order of first sight */
    uint32_t *places;   /* open addressing: code + 1 */
    uint32_t *ids;
    uint32_t *codes; /* row by row */
    int32_t *offsets;
    char *text;
    uint32_t mask, count;
} naming;

static uint32_t code_of(naming *names, uint32_t id, bool *out_is_new) {
    uint32_t at = (id * 2654435769u) & names->mask;
    while (names->places[at] && names->ids[names->places[at] - 1] != id)
        at = (at + 1) & names->mask;
    *out_is_new = names->places[at] == 0;
    if (*out_is_new) {
        names->ids[names->count] = id;
        names->places[at] = ++names->count;
    }
    return names->places[at] - 1;
}

static void name_row(pstk_engine *engine, naming *names, size_t row, uint32_t id, bool is_rule) {
    bool is_new;
    uint32_t code = code_of(names, id, &is_new);
    names->codes[row] = code;
    if (!is_new)
        return;
    char *at = names->text + names->offsets[code], series[16];
    int bytes = is_rule ? pstk_engine_rule_name(engine, id, at, PSTK_NAME_BYTES, series, 16)
                        : pstk_engine_tag_name(engine, id, at, PSTK_NAME_BYTES);
    names->offsets[code + 1] = names->offsets[code] + PSTK_MAX(bytes, 0);
}

static bool naming_open(naming *names, size_t rows) {
    uint32_t places = 16;
    while (places < 2 * rows)
        places *= 2;
    *names = (naming){.mask = places - 1};
    size_t words = places + 3 * rows + 1;
    uint32_t *block = calloc(1, words * 4 + (rows + 1) * PSTK_NAME_BYTES);
    if (!block)
        return false;
    names->places = block;
    names->ids = block + places;
    names->codes = names->ids + rows;
    names->offsets = (int32_t *)(names->codes + rows);
    names->text = (char *)(block + words);
    return true;
}

static void describe_names(pstk_column *out, pstk_column *out_names, const char *name,
                           const naming *names, size_t rows) {
    *out_names = (pstk_column){
        .format = "u", .count = names->count, .values = names->text, .offsets = names->offsets};
    *out = (pstk_column){
        .format = "I", .value_bytes = 4, .count = rows, .values = names->codes, .names = out_names};
    snprintf(out->name, sizeof out->name, "%s", name);
}

/* at: in a result_row, whose two parts come as two arrays. */
static void transpose(const pstk_column *column, uint32_t at, const pstk_result *rows,
                      const pstk_aggregates *more) {
    uint8_t *to = (uint8_t *)(uintptr_t)column->values;
    bool is_more = at >= offsetof(result_row, more);
    size_t step = is_more ? sizeof *more : sizeof *rows;
    const uint8_t *from = is_more ? (const uint8_t *)more + (at - offsetof(result_row, more))
                                  : (const uint8_t *)rows + at;
    for (uint64_t i = 0; i < column->count; i++)
        memcpy(to + i * column->value_bytes, from + i * step, column->value_bytes);
}

static const uint8_t all_null[PSTK_BATCH_ROWS_MAX / 8];

static bool may_be_null(size_t i) {
    return result_columns[i].format[0] == 'l' && result_columns[i].at >= offsetof(result_row, more);
}

/* A time that nobody asked for, or that is not known, is null for Arrow's readers. */
static void mark_known(pstk_column *column) {
    uint8_t *bits = (uint8_t *)(uintptr_t)column->validity;
    const int64_t *times = column->values;
    for (uint64_t i = 0; i < column->count; i++)
        if (times[i] != PSTK_TIME_NONE)
            bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << (i % 8));
        else
            column->null_count++;
}

static pstk_batch *make_results(pstk_engine *engine, const pstk_result *rows,
                                const pstk_aggregates *more, size_t count, naming *rules,
                                naming *tags) {
    pstk_column wanted[2 + RESULT_COLUMNS], names[2];
    for (size_t i = 0; i < count; i++) {
        name_row(engine, rules, i, rows[i].rule, true);
        name_row(engine, tags, i, rows[i].tag, false);
    }
    describe_names(&wanted[0], &names[0], "rule", rules, count);
    describe_names(&wanted[1], &names[1], "tag", tags, count);
    for (size_t i = 0; i < RESULT_COLUMNS; i++) {
        wanted[2 + i] = (pstk_column){.value_bytes = result_columns[i].value_bytes, .count = count};
        wanted[2 + i].validity = may_be_null(i) ? all_null : NULL;
        snprintf(wanted[2 + i].name, sizeof wanted[2].name, "%s", result_columns[i].name);
        snprintf(wanted[2 + i].format, sizeof wanted[2].format, "%s", result_columns[i].format);
    }
    pstk_batch *batch = pstk_batch_lay_out(wanted, 2 + RESULT_COLUMNS, count);
    for (size_t i = 0; batch && i < RESULT_COLUMNS; i++) {
        const pstk_column *column = pstk_batch_column(batch, 2 + i);
        transpose(column, result_columns[i].at, rows, more);
        if (may_be_null(i))
            mark_known((pstk_column *)(uintptr_t)column); /* ours until it is handed out */
    }
    return batch;
}

int pstk_engine_take_results(pstk_engine *engine, size_t most, pstk_batch **out_batch,
                             pstk_error *err) {
    *out_batch = NULL;
    most = PSTK_MIN(most, PSTK_BATCH_ROWS_MAX);
    naming rules, tags;
    size_t count = 0;
    pstk_result *rows = calloc(most + 1, sizeof *rows + sizeof(pstk_aggregates));
    pstk_aggregates *more = (pstk_aggregates *)(rows + most + 1);
    if (!rows)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for a batch of results");
    int status = pstk_engine_results(engine, rows, more, most, &count, err);
    bool has_rules = status == PSTK_OK && naming_open(&rules, count);
    bool has_tags = has_rules && naming_open(&tags, count);
    if (has_tags)
        *out_batch = make_results(engine, rows, more, count, &rules, &tags);
    if (status == PSTK_OK && !*out_batch)
        status =
            pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for a batch: %zu results are lost", count);
    if (has_tags)
        free(tags.places);
    if (has_rules)
        free(rules.places);
    free(rows);
    return status;
}
