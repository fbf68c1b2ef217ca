/* batch: columns in memory of their own. Results leave the engine as one, and anybody's columns can
 * be made one. Owner  whoever holds it; the last release frees it. Threads  retain and release from
 * any thread, without the engine, also after its close. Bound  PSTK_BATCH_ROWS_MAX rows,
 * PSTK_BATCH_COLUMNS_MAX columns; one block of memory each. */
#include "base.h"

#include <stdatomic.h>
#include <stdlib.h>

#define ALIGN 64u /* what Arrow recommends */

struct pstk_batch {
    struct ArrowArray *owned; /* imported: its columns lie in these */
    uint64_t owned_count;
    atomic_uint holders;
    uint32_t column_count;
    uint64_t rows;
    pstk_column columns[PSTK_BATCH_COLUMNS_MAX];
    pstk_column names[PSTK_BATCH_COLUMNS_MAX]; /* the texts that columns[i] points into */
};

void pstk_batch_retain(pstk_batch *batch) {
    atomic_fetch_add_explicit(&batch->holders, 1, memory_order_relaxed);
}

void pstk_batch_release(pstk_batch *batch) {
    /* acquire pairs with the other holders' release: they are done reading before it is freed. */
    if (!batch || atomic_fetch_sub_explicit(&batch->holders, 1, memory_order_acq_rel) != 1)
        return;
    for (uint64_t i = 0; i < batch->owned_count; i++)
        batch->owned[i].release(&batch->owned[i]);
    free(batch->owned);
    free(batch);
}

uint64_t pstk_batch_rows(const pstk_batch *batch) { return batch->rows; }

const pstk_column *pstk_batch_column(const pstk_batch *batch, size_t index) {
    return index < batch->column_count ? &batch->columns[index] : NULL;
}

/* ---- making one: sizes first, then one block ------------------------------------------------ */

static size_t padded(uint64_t bytes) { return (size_t)((bytes + ALIGN - 1) / ALIGN * ALIGN); }

static uint64_t value_bytes(const pstk_column *column) {
    if (!column->offsets)
        return column->count * column->value_bytes;
    return column->count ? (uint64_t)column->offsets[column->count] : 0;
}

static size_t column_bytes(const pstk_column *column) {
    return padded(value_bytes(column)) + (column->offsets ? padded(4 * (column->count + 1)) : 0) +
           (column->validity ? padded((column->count + 7) / 8) : 0);
}

static uint8_t *copy_out(uint8_t **at, const void *from, uint64_t bytes) {
    uint8_t *to = *at;
    if (from && bytes)
        memcpy(to, from, (size_t)bytes);
    *at += padded(bytes);
    return to;
}

/* A column as wanted, its memory from *at on; values that are not given yet are left zero. */
static void place(pstk_column *out, const pstk_column *wanted, uint8_t **at) {
    *out = *wanted;
    out->values = copy_out(at, wanted->values, value_bytes(wanted));
    if (wanted->offsets)
        out->offsets =
            (const int32_t *)(void *)copy_out(at, wanted->offsets, 4 * (wanted->count + 1));
    if (wanted->validity)
        out->validity = copy_out(at, wanted->validity, (wanted->count + 7) / 8);
}

pstk_batch *pstk_batch_lay_out(const pstk_column *wanted, size_t count, uint64_t rows) {
    size_t bytes = padded(sizeof(pstk_batch));
    for (size_t i = 0; i < count; i++)
        bytes += column_bytes(&wanted[i]) + (wanted[i].names ? column_bytes(wanted[i].names) : 0);
    uint8_t *block = aligned_alloc(ALIGN, bytes);
    if (!block)
        return NULL;
    memset(block, 0, bytes);
    pstk_batch *batch = (pstk_batch *)(void *)block;
    batch->column_count = (uint32_t)count;
    batch->rows = rows;
    atomic_init(&batch->holders, 1);
    uint8_t *at = block + padded(sizeof(pstk_batch));
    for (size_t i = 0; i < count; i++) {
        place(&batch->columns[i], &wanted[i], &at);
        if (wanted[i].names) {
            place(&batch->names[i], wanted[i].names, &at);
            batch->columns[i].names = &batch->names[i];
        }
    }
    return batch;
}

int pstk_batch_make(const pstk_column *columns, size_t column_count, uint64_t rows,
                    pstk_batch **out_batch, pstk_error *err) {
    *out_batch = NULL;
    if (column_count > PSTK_BATCH_COLUMNS_MAX || rows > PSTK_BATCH_ROWS_MAX)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "a batch holds at most %u columns of %u rows",
                         PSTK_BATCH_COLUMNS_MAX, PSTK_BATCH_ROWS_MAX);
    for (size_t i = 0; i < column_count; i++)
        if (columns[i].count != rows)
            return pstk_fail(err, PSTK_E_ARGUMENT, 0, "column %s has another length than its batch",
                             columns[i].name);
    *out_batch = pstk_batch_lay_out(columns, column_count, rows);
    return *out_batch ? PSTK_OK : pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for a batch");
}

/* ---- Arrow arrays of somebody else: their memory, read in place ----------------------------- */

/* The values move in, also where they are refused. Only columns of numbers without nulls. */
static int take_in(pstk_batch *batch, const struct ArrowSchema *schema, struct ArrowArray *array,
                   pstk_error *err) {
    uint64_t index = batch->owned_count;
    if (index == PSTK_BATCH_COLUMNS_MAX) {
        array->release(array);
        return pstk_fail(err, PSTK_E_ARGUMENT, 0, "more than %u chunks; combine them first",
                         PSTK_BATCH_COLUMNS_MAX);
    }
    batch->owned[index] = *array;
    array->release = NULL;
    batch->owned_count++;
    batch->column_count++;
    return pstk_column_import(schema, &batch->owned[index], &batch->columns[index], err);
}

static pstk_batch *open_import(pstk_error *err) {
    pstk_batch *batch = pstk_batch_lay_out(NULL, 0, 0);
    struct ArrowArray *owned = calloc(PSTK_BATCH_COLUMNS_MAX, sizeof *owned);
    if (batch && owned) {
        batch->owned = owned;
        return batch;
    }
    free(owned);
    pstk_batch_release(batch);
    (void)pstk_fail(err, PSTK_E_MEMORY, 0, "no memory for a batch");
    return NULL;
}

int pstk_batch_import(const struct ArrowSchema *schema, struct ArrowArray *array,
                      pstk_batch **out_batch, pstk_error *err) {
    *out_batch = open_import(err);
    if (!*out_batch)
        return PSTK_E_MEMORY;
    int status = take_in(*out_batch, schema, array, err);
    if (status != PSTK_OK) {
        pstk_batch_release(*out_batch);
        *out_batch = NULL;
    }
    return status;
}

int pstk_batch_import_stream(struct ArrowArrayStream *stream, pstk_batch **out_batch,
                             pstk_error *err) {
    struct ArrowSchema schema = {0};
    struct ArrowArray array = {0};
    *out_batch = open_import(err);
    if (!*out_batch)
        return PSTK_E_MEMORY;
    bool is_read = stream->get_schema(stream, &schema) == 0;
    int status = PSTK_OK;
    while (is_read && status == PSTK_OK && (is_read = stream->get_next(stream, &array) == 0) &&
           array.release)
        status = take_in(*out_batch, &schema, &array, err);
    if (!is_read) {
        const char *said = stream->get_last_error(stream);
        status = pstk_fail(err, PSTK_E_ARGUMENT, 0, "an Arrow stream ended early: %s",
                           said ? said : "it does not say why");
    }
    if (schema.release)
        schema.release(&schema);
    if (status != PSTK_OK) {
        pstk_batch_release(*out_batch);
        *out_batch = NULL;
    }
    return status;
}
