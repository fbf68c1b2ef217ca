/* penstock_batch.h: columns in memory of their own; part of penstock.h, which includes it. Owner
 * whoever holds the batch; the last release frees it, also after the engine's close. Threads retain
 * and release from any. Bound  PSTK_BATCH_ROWS_MAX rows of PSTK_BATCH_COLUMNS_MAX columns. */
#ifndef PENSTOCK_BATCH_H
#define PENSTOCK_BATCH_H

#define PSTK_BATCH_ROWS_MAX 65536u
#define PSTK_BATCH_COLUMNS_MAX 64u

/* Its memory outlives the engine; the last release frees it. retain and release from any thread. */
typedef struct pstk_batch pstk_batch;

typedef struct pstk_column { /* values of one field, row after row; lives as long as its batch */
    char name[32];
    char format[8];       /* Arrow's: S u16, I u32, l i64, L u64, g f64, u texts */
    uint32_t value_bytes; /* 0: texts */
    uint32_t reserved;
    uint64_t count;
    uint64_t null_count;
    const uint8_t *validity;         /* bit set: there is a value; NULL: everywhere */
    const void *values;              /* texts: their bytes, one behind another */
    const int32_t *offsets;          /* texts only: count + 1 places in values */
    const struct pstk_column *names; /* the values are places in these texts */
} pstk_column;

/* Arrow's own declarations: arrow.apache.org/docs/format/CDataInterface.html */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4
struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};
struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};
#endif
#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE
struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};
#endif

/* Closed windows in columns, taken as by pstk_engine_results: rule, tag (with their names), the
 * fields of pstk_result and pstk_aggregates; up to most rows, at most PSTK_BATCH_ROWS_MAX. The
 * caller releases the batch. */
PSTK_API PSTK_MUST_CHECK int pstk_engine_take_results(pstk_engine *engine, size_t most,
                                                      pstk_batch **out_batch, pstk_error *err);
/* A batch of anybody's columns, copied once. */
PSTK_API PSTK_MUST_CHECK int pstk_batch_make(const pstk_column *columns, size_t column_count,
                                             uint64_t rows, pstk_batch **out_batch,
                                             pstk_error *err);
PSTK_API void pstk_batch_retain(pstk_batch *batch);
PSTK_API void pstk_batch_release(pstk_batch *batch); /* NULL is allowed */
PSTK_API uint64_t pstk_batch_rows(const pstk_batch *batch);
/* NULL behind the last. */
PSTK_API const pstk_column *pstk_batch_column(const pstk_batch *batch, size_t index);
/* As a struct array and as a stream of one; nothing is copied. Each structure holds the batch until
 * its own release. */
PSTK_API PSTK_MUST_CHECK int pstk_batch_export(pstk_batch *batch, struct ArrowSchema *out_schema,
                                               struct ArrowArray *out_array, pstk_error *err);
PSTK_API PSTK_MUST_CHECK int
pstk_batch_export_stream(pstk_batch *batch, struct ArrowArrayStream *out_stream, pstk_error *err);
/* Somebody's numbers, in place: each array moves into the batch, a column a chunk; without nulls.
 */
PSTK_API PSTK_MUST_CHECK int pstk_batch_import(const struct ArrowSchema *schema,
                                               struct ArrowArray *array, pstk_batch **out_batch,
                                               pstk_error *err);
PSTK_API PSTK_MUST_CHECK int pstk_batch_import_stream(struct ArrowArrayStream *stream,
                                                      pstk_batch **out_batch, pstk_error *err);
/* One column of numbers out of an Arrow array, in place; valid until that array's release. */
PSTK_API PSTK_MUST_CHECK int pstk_column_import(const struct ArrowSchema *schema,
                                                const struct ArrowArray *array,
                                                pstk_column *out_column, pstk_error *err);

#endif
