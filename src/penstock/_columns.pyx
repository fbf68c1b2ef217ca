# cython: language_level=3, embedsignature=True, binding=True
"""The border for columns: batches of penstock.h as typed buffers and by the Arrow C data interface.

No value is copied but where Columns is made of Python's own buffers. The memory is C's: it outlives the engine, and
Arrow's consumers release it from any thread without the GIL.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport int32_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from penstock cimport _native as c

cdef dict _BUFFER_FORMATS = {b"S": b"H", b"I": b"I", b"l": b"q", b"L": b"Q", b"g": b"d"}


cdef int _check(int status, c.pstk_error *err) except -1:
    if status == c.PSTK_E_MEMORY:
        raise MemoryError(err.text.decode("utf-8", "replace"))
    if status != c.PSTK_OK:
        raise ValueError(err.text.decode("utf-8", "replace"))
    return 0


cdef class Column:
    """Numbers in C's memory, read in place: memoryview, NumPy and Arrow see the same bytes."""

    cdef c.pstk_batch *_batch
    cdef const void *_values
    cdef bytes _format
    cdef Py_ssize_t _shape, _stride

    def __dealloc__(self):
        c.pstk_batch_release(self._batch)

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags & 1:
            raise BufferError("a column is read-only")
        view.buf, view.len = <void *>self._values, self._shape * self._stride
        view.readonly, view.ndim, view.itemsize, view.format = 1, 1, self._stride, <char *>self._format
        view.shape, view.strides, view.suboffsets, view.internal = &self._shape, &self._stride, NULL, NULL
        view.obj = self


cdef class Columns:
    """A batch of columns: of the engine (a capsule), of Python's buffers, or somebody's Arrow data."""

    cdef c.pstk_batch *_b

    def __cinit__(self, capsule=None):
        if capsule is not None:
            self._b = <c.pstk_batch *>PyCapsule_GetPointer(capsule, "penstock.batch")
            c.pstk_batch_retain(self._b)

    def __dealloc__(self):
        c.pstk_batch_release(self._b)

    def __len__(self):
        return c.pstk_batch_rows(self._b)

    @staticmethod
    def make(list columns, uint64_t rows):
        """``columns``: (name, Arrow format, count of nulls, validity, values, offsets); copied once."""
        cdef c.pstk_column native[c.PSTK_BATCH_COLUMNS_MAX]
        cdef c.pstk_error err
        cdef Columns made = Columns()
        if len(columns) > c.PSTK_BATCH_COLUMNS_MAX:
            raise ValueError(f"a batch holds at most {c.PSTK_BATCH_COLUMNS_MAX} columns")
        memset(native, 0, sizeof(native))
        for i, (name, format, nulls, validity, values, offsets) in enumerate(columns):
            _put(native[i].name, sizeof(native[i].name), name)
            _put(native[i].format, sizeof(native[i].format), format)
            native[i].count, native[i].null_count = rows, nulls
            native[i].value_bytes = 8 if offsets is None else 0
            native[i].validity = _address(validity)
            native[i].values = _address(values)
            native[i].offsets = <const int32_t *>_address(offsets)
        _check(c.pstk_batch_make(native, len(columns), rows, &made._b, &err), &err)
        return made

    @staticmethod
    def of_array(schema, array):
        """A column out of the capsules of ``__arrow_c_array__``; the array moves in."""
        cdef c.pstk_error err
        cdef Columns made = Columns()
        _check(c.pstk_batch_import(<c.ArrowSchema *>PyCapsule_GetPointer(schema, "arrow_schema"),
                                   <c.ArrowArray *>PyCapsule_GetPointer(array, "arrow_array"), &made._b, &err), &err)
        return made

    @staticmethod
    def of_stream(stream):
        """A column a chunk out of the capsule of ``__arrow_c_stream__``."""
        cdef c.pstk_error err
        cdef Columns made = Columns()
        _check(c.pstk_batch_import_stream(
            <c.ArrowArrayStream *>PyCapsule_GetPointer(stream, "arrow_array_stream"), &made._b, &err), &err)
        return made

    def views(self):
        """(name, typed memoryview, the texts its values point into or None) of each column of numbers."""
        cdef Column column
        cdef const c.pstk_column *found
        views = []
        while c.pstk_batch_column(self._b, len(views)) != NULL:
            found = c.pstk_batch_column(self._b, len(views))
            column = Column()
            c.pstk_batch_retain(self._b)
            column._batch, column._values, column._format = self._b, found.values, _BUFFER_FORMATS[<bytes>found.format]
            column._shape, column._stride = found.count, found.value_bytes
            views.append(((<bytes>found.name).decode(), memoryview(column), _texts(found.names)))
        return views

    def arrow_array(self):
        """Capsules of an ArrowSchema and an ArrowArray."""
        cdef c.pstk_error err
        cdef c.ArrowSchema *schema = <c.ArrowSchema *>_reserve(sizeof(c.ArrowSchema))
        held = PyCapsule_New(schema, "arrow_schema", _end_schema)
        cdef c.ArrowArray *array = <c.ArrowArray *>_reserve(sizeof(c.ArrowArray))
        also_held = PyCapsule_New(array, "arrow_array", _end_array)
        _check(c.pstk_batch_export(self._b, schema, array, &err), &err)
        return held, also_held

    def arrow_stream(self):
        """A capsule of an ArrowArrayStream."""
        cdef c.pstk_error err
        cdef c.ArrowArrayStream *stream = <c.ArrowArrayStream *>_reserve(sizeof(c.ArrowArrayStream))
        held = PyCapsule_New(stream, "arrow_array_stream", _end_stream)
        _check(c.pstk_batch_export_stream(self._b, stream, &err), &err)
        return held


cdef void *_reserve(size_t size) except NULL:
    cdef void *memory = calloc(1, size)
    if memory == NULL:
        raise MemoryError()
    return memory


cdef int _put(char *out, size_t capacity, str text) except -1:
    raw = text.encode()
    if len(raw) >= capacity:
        raise ValueError(f"column {text!r}: the name is longer than {capacity - 1} bytes")
    memcpy(out, <const char *>raw, len(raw))
    return 0


cdef const uint8_t *_address(buffer) except? NULL:
    cdef const uint8_t[::1] view
    if buffer is None:
        return NULL
    view = memoryview(buffer).cast("B")
    return &view[0] if view.shape[0] else NULL


cdef object _texts(const c.pstk_column *names):
    if names == NULL:
        return None
    raw = <const char *>names.values
    return tuple([raw[names.offsets[i]:names.offsets[i + 1]].decode("utf-8", "replace") for i in range(names.count)])


cdef void _end_schema(capsule) noexcept:
    cdef c.ArrowSchema *schema = <c.ArrowSchema *>PyCapsule_GetPointer(capsule, "arrow_schema")
    if schema.release != NULL:
        schema.release(schema)
    free(schema)


cdef void _end_array(capsule) noexcept:
    cdef c.ArrowArray *array = <c.ArrowArray *>PyCapsule_GetPointer(capsule, "arrow_array")
    if array.release != NULL:
        array.release(array)
    free(array)


cdef void _end_stream(capsule) noexcept:
    cdef c.ArrowArrayStream *stream = <c.ArrowArrayStream *>PyCapsule_GetPointer(capsule, "arrow_array_stream")
    if stream.release != NULL:
        stream.release(stream)
    free(stream)


def event_layout():
    """Where each field of pstk_event lies, as NumPy describes structured types. What is f64 or i64 by its
    ``value_type`` has a second field of the same bytes, with ``_i64`` behind its name.
    """
    return {**_layout(c.pstk_fields_pstk_event), "itemsize": sizeof(c.pstk_event)}


cdef dict _layout(const c.pstk_field *field):
    cdef list rows = []
    while field.name != NULL:
        name, one = (<bytes>field.name).decode(), chr(field.kind)
        if field.kind == b"T":
            one = {**_layout(field.inner), "itemsize": field.bytes}
        elif field.kind == b"s":
            one = f"S{field.bytes}"
        elif field.kind == b"v":
            one = "d"
            rows.append((f"{name}_i64", "q", field.at))
        rows.append((name, (one, (field.count,)) if field.is_array else one, field.at))
        field += 1
    return {key: [row[i] for row in rows] for i, key in enumerate(("names", "formats", "offsets"))}
