/* arrow: batches go out, and anybody's columns come in, by the Arrow C data interface; no value is
 * copied. Owner  every exported structure holds its batch by itself, so that a consumer may move
 * children out. Threads  release comes from any thread, after close too. */
#include "base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- out: the schema ------------------------------------------------------------------------ */

typedef struct schema_node {
    pstk_batch *batch; /* names and formats lie in it */
    struct ArrowSchema **children;
    struct ArrowSchema *storage;
} schema_node;

static void release_schema(struct ArrowSchema *schema) {
    schema_node *node = schema->private_data;
    for (int64_t i = 0; i < schema->n_children; i++)
        if (schema->children[i]->release)
            schema->children[i]->release(schema->children[i]);
    if (schema->dictionary && schema->dictionary->release)
        schema->dictionary->release(schema->dictionary);
    pstk_batch_release(node->batch);
    free(node->children);
    free(node->storage);
    free(node);
    schema->release = NULL;
}

/* A schema with room for children or, where there are none, for a dictionary. */
static int open_schema(struct ArrowSchema *out, pstk_batch *batch, size_t children,
                       bool has_names) {
    schema_node *node = calloc(1, sizeof *node);
    *out = (struct ArrowSchema){.private_data = node, .release = release_schema};
    if (!node) {
        out->release = NULL;
        return PSTK_E_MEMORY;
    }
    node->batch = batch;
    pstk_batch_retain(batch);
    node->children = calloc(children + 1, sizeof *node->children);
    node->storage = calloc(children + 1, sizeof *node->storage);
    if (!node->children || !node->storage) {
        release_schema(out);
        return PSTK_E_MEMORY;
    }
    for (size_t i = 0; i < children; i++)
        node->children[i] = &node->storage[i];
    out->children = children ? node->children : NULL;
    out->n_children = (int64_t)children;
    out->dictionary = has_names ? node->storage : NULL;
    return PSTK_OK;
}

static int column_schema(struct ArrowSchema *out, pstk_batch *batch, const pstk_column *column) {
    int status = open_schema(out, batch, 0, column->names != NULL);
    if (status != PSTK_OK)
        return status;
    out->format = column->format;
    out->name = column->name;
    out->flags = ARROW_FLAG_NULLABLE;
    return column->names ? column_schema(out->dictionary, batch, column->names) : PSTK_OK;
}

static int batch_schema(struct ArrowSchema *out, pstk_batch *batch) {
    size_t count = 0;
    while (pstk_batch_column(batch, count))
        count++;
    int status = open_schema(out, batch, count, false);
    if (status != PSTK_OK)
        return status;
    out->format = "+s";
    out->name = "";
    for (size_t i = 0; i < count && status == PSTK_OK; i++)
        status = column_schema(out->children[i], batch, pstk_batch_column(batch, i));
    if (status != PSTK_OK)
        release_schema(out);
    return status;
}

/* ---- out: the values ------------------------------------------------------------------------ */

typedef struct array_node {
    pstk_batch *batch;
    const void *buffers[3]; /* validity, values; of texts validity, offsets, bytes */
    struct ArrowArray **children;
    struct ArrowArray *storage;
} array_node;

static void release_array(struct ArrowArray *array) {
    array_node *node = array->private_data;
    for (int64_t i = 0; i < array->n_children; i++)
        if (array->children[i]->release)
            array->children[i]->release(array->children[i]);
    if (array->dictionary && array->dictionary->release)
        array->dictionary->release(array->dictionary);
    pstk_batch_release(node->batch);
    free(node->children);
    free(node->storage);
    free(node);
    array->release = NULL;
}

static int open_array(struct ArrowArray *out, pstk_batch *batch, size_t children, bool has_names) {
    array_node *node = calloc(1, sizeof *node);
    *out = (struct ArrowArray){.private_data = node, .release = release_array};
    if (!node) {
        out->release = NULL;
        return PSTK_E_MEMORY;
    }
    node->batch = batch;
    pstk_batch_retain(batch);
    node->children = calloc(children + 1, sizeof *node->children);
    node->storage = calloc(children + 1, sizeof *node->storage);
    if (!node->children || !node->storage) {
        release_array(out);
        return PSTK_E_MEMORY;
    }
    for (size_t i = 0; i < children; i++)
        node->children[i] = &node->storage[i];
    out->children = children ? node->children : NULL;
    out->n_children = (int64_t)children;
    out->dictionary = has_names ? node->storage : NULL;
    out->buffers = node->buffers;
    return PSTK_OK;
}

static int column_array(struct ArrowArray *out, pstk_batch *batch, const pstk_column *column) {
    int status = open_array(out, batch, 0, column->names != NULL);
    if (status != PSTK_OK)
        return status;
    array_node *node = out->private_data;
    out->length = (int64_t)column->count;
    out->null_count = column->validity ? (int64_t)column->null_count : 0;
    node->buffers[0] = column->validity;
    node->buffers[1] = column->offsets ? (const void *)column->offsets : column->values;
    node->buffers[2] = column->offsets ? column->values : NULL;
    out->n_buffers = column->offsets ? 3 : 2;
    return column->names ? column_array(out->dictionary, batch, column->names) : PSTK_OK;
}

static int batch_array(struct ArrowArray *out, pstk_batch *batch) {
    size_t count = 0;
    while (pstk_batch_column(batch, count))
        count++;
    int status = open_array(out, batch, count, false);
    if (status != PSTK_OK)
        return status;
    out->length = (int64_t)pstk_batch_rows(batch);
    out->n_buffers = 1; /* a struct has a validity buffer, which may be absent */
    for (size_t i = 0; i < count && status == PSTK_OK; i++)
        status = column_array(out->children[i], batch, pstk_batch_column(batch, i));
    if (status != PSTK_OK)
        release_array(out);
    return status;
}

int pstk_batch_export(pstk_batch *batch, struct ArrowSchema *out_schema,
                      struct ArrowArray *out_array, pstk_error *err) {
    int status = batch_schema(out_schema, batch);
    if (status == PSTK_OK && (status = batch_array(out_array, batch)) != PSTK_OK)
        release_schema(out_schema);
    return status == PSTK_OK ? PSTK_OK : pstk_fail(err, status, 0, "no memory to export a batch");
}

/* ---- out: a stream of one batch ------------------------------------------------------------- */

typedef struct stream_node {
    pstk_batch *batch;
    bool is_done;
} stream_node;

static int stream_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    stream_node *node = stream->private_data;
    return batch_schema(out, node->batch) == PSTK_OK ? 0 : ENOMEM;
}

static int stream_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
    stream_node *node = stream->private_data;
    *out = (struct ArrowArray){0}; /* released: the end of the stream */
    if (node->is_done)
        return 0;
    node->is_done = true;
    return batch_array(out, node->batch) == PSTK_OK ? 0 : ENOMEM;
}

static const char *stream_error(struct ArrowArrayStream *stream) {
    (void)stream;
    return "no memory to export a batch";
}

static void release_stream(struct ArrowArrayStream *stream) {
    stream_node *node = stream->private_data;
    pstk_batch_release(node->batch);
    free(node);
    stream->release = NULL;
}

int pstk_batch_export_stream(pstk_batch *batch, struct ArrowArrayStream *out, pstk_error *err) {
    stream_node *node = calloc(1, sizeof *node);
    if (!node)
        return pstk_fail(err, PSTK_E_MEMORY, 0, "no memory to export a batch");
    node->batch = batch;
    pstk_batch_retain(batch);
    *out = (struct ArrowArrayStream){.get_schema = stream_schema,
                                     .get_next = stream_next,
                                     .get_last_error = stream_error,
                                     .release = release_stream,
                                     .private_data = node};
    return PSTK_OK;
}

/* ---- in ------------------------------------------------------------------------------------- */

static bool has_null(const struct ArrowArray *array) {
    const uint8_t *bits = array->n_buffers ? array->buffers[0] : NULL;
    if (array->null_count == 0 || !bits)
        return false;
    for (int64_t i = array->offset; i < array->offset + array->length; i++)
        if (!(bits[i / 8] >> (i % 8) & 1))
            return true;
    return false;
}

int pstk_column_import(const struct ArrowSchema *schema, const struct ArrowArray *array,
                       pstk_column *out, pstk_error *err) {
    static const struct {
        const char *arrow;
        const char *format;
        uint32_t bytes;
    } kinds[] = {{"g", "g", 8}, {"l", "l", 8}, {"L", "L", 8},
                 {"I", "I", 4}, {"S", "S", 2}, {"tsn:", "l", 8}};
    *out = (pstk_column){0};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t bytes = strlen(kinds[i].arrow); /* a time zone may stand behind tsn: */
        if (strncmp(schema->format, kinds[i].arrow, bytes) != 0 || schema->dictionary ||
            (bytes == 1 && schema->format[1]))
            continue;
        snprintf(out->format, sizeof out->format, "%s", kinds[i].format);
        out->value_bytes = kinds[i].bytes;
    }
    if (!out->value_bytes)
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "an Arrow column of format %s is not taken; cast it to float64, int64, "
                         "timestamp[ns], uint32 or uint16",
                         schema->format);
    if (has_null(array))
        return pstk_fail(err, PSTK_E_ARGUMENT, 0,
                         "an Arrow column holds nulls; drop those rows first");
    out->count = (uint64_t)array->length;
    const uint8_t *values = array->n_buffers > 1 ? array->buffers[1] : NULL;
    out->values = values ? values + (uint64_t)array->offset * out->value_bytes : NULL;
    return PSTK_OK;
}
