/* Method: batches are made, exported by Arrow's interface, moved apart by a consumer and released
 * in every order, also from another thread; what one imports is read in place and released once.
 * ASan says whether anything is freed twice, too early or never. */
#include "base/base.h"
#include "check.h"

#include <pthread.h>

static const double numbers[3] = {1.5, 2.5, 3.5};
static const int32_t offsets[4] = {0, 1, 1, 3};
static const uint8_t validity[1] = {5};

static pstk_batch *make(void) {
    pstk_column columns[2] = {
        {.name = "x", .format = "g", .value_bytes = 8, .count = 3, .values = numbers},
        {.name = "t",
         .format = "u",
         .count = 3,
         .null_count = 1,
         .validity = validity,
         .values = "abc",
         .offsets = offsets}};
    pstk_batch *batch;
    pstk_error err;
    REQUIRE(pstk_batch_make(columns, 2, 3, &batch, &err) == PSTK_OK);
    return batch;
}

static void columns_are_copied_once(void) {
    pstk_batch *batch = make();
    const pstk_column *x = pstk_batch_column(batch, 0), *t = pstk_batch_column(batch, 1);
    REQUIRE(pstk_batch_rows(batch) == 3 && x && t && !pstk_batch_column(batch, 2));
    CHECK(memcmp(x->values, numbers, sizeof numbers) == 0 && x->values != numbers);
    CHECK((uintptr_t)x->values % 64 == 0 && (uintptr_t)t->offsets % 64 == 0);
    CHECK(memcmp(t->values, "abc", 3) == 0 && t->offsets[3] == 3 && t->validity[0] == 5);
    pstk_batch_retain(batch);
    pstk_batch_release(batch);
    CHECK(((const double *)x->values)[2] == 3.5);
    pstk_batch_release(batch);
    pstk_batch_release(NULL);
}

static void a_column_of_another_length_is_refused(void) {
    pstk_column column = {.name = "x", .format = "g", .value_bytes = 8, .count = 2};
    pstk_batch *batch;
    pstk_error err;
    CHECK(pstk_batch_make(&column, 1, 3, &batch, &err) == PSTK_E_ARGUMENT && !batch);
    CHECK(strstr(err.text, "column x has another length"));
    CHECK(pstk_batch_make(&column, 1, PSTK_BATCH_ROWS_MAX + 1, &batch, &err) == PSTK_E_ARGUMENT);
}

static void *release_there(void *array) {
    ((struct ArrowArray *)array)->release(array);
    return NULL;
}

static void a_child_moved_out_outlives_its_parent(void) {
    pstk_batch *batch = make();
    struct ArrowSchema schema;
    struct ArrowArray array, child;
    pstk_error err;
    REQUIRE(pstk_batch_export(batch, &schema, &array, &err) == PSTK_OK);
    pstk_batch_release(batch);
    CHECK(strcmp(schema.format, "+s") == 0 && schema.n_children == 2 && array.length == 3);
    CHECK(strcmp(schema.children[1]->name, "t") == 0 && array.children[1]->null_count == 1);
    child = *array.children[0]; /* as the interface says a child is moved */
    array.children[0]->release = NULL;
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, release_there, &array) == 0);
    pthread_join(thread, NULL);
    CHECK(!array.release);
    schema.release(&schema);
    CHECK(((const double *)child.buffers[1])[1] == 2.5);
    child.release(&child);
}

static void a_stream_gives_one_batch_and_ends(void) {
    pstk_batch *batch = make(), *back;
    struct ArrowArrayStream stream;
    pstk_error err;
    REQUIRE(pstk_batch_export_stream(batch, &stream, &err) == PSTK_OK);
    pstk_batch_release(batch);
    CHECK(pstk_batch_import_stream(&stream, &back, &err) == PSTK_E_ARGUMENT && !back);
    CHECK(strstr(err.text, "format +s is not taken")); /* a table is no column of numbers */
    struct ArrowArray end;
    REQUIRE(stream.get_next(&stream, &end) == 0);
    CHECK(!end.release);
    stream.release(&stream);
}

static void an_imported_column_is_read_in_place(void) {
    pstk_batch *batch = make(), *back;
    struct ArrowSchema schema;
    struct ArrowArray array;
    pstk_error err;
    REQUIRE(pstk_batch_export(batch, &schema, &array, &err) == PSTK_OK);
    const void *where = pstk_batch_column(batch, 0)->values;
    pstk_batch_release(batch);
    array.children[0]->offset = 1;
    array.children[0]->length = 2;
    REQUIRE(pstk_batch_import(schema.children[0], array.children[0], &back, &err) == PSTK_OK);
    CHECK(!array.children[0]->release); /* it moved in */
    array.release(&array);
    const pstk_column *column = pstk_batch_column(back, 0);
    CHECK(column->count == 2 && column->values == (const uint8_t *)where + 8);
    CHECK(((const double *)column->values)[1] == 3.5);
    pstk_batch_release(back);
    schema.release(&schema);
}

int main(void) {
    columns_are_copied_once();
    a_column_of_another_length_is_refused();
    a_child_moved_out_outlives_its_parent();
    a_stream_gives_one_batch_and_ends();
    an_imported_column_is_read_in_place();
    return check_result("base_batch");
}
