# Structures of penstock.h from dictionaries whose keys are their field names, by the tables of _native.pxd.
# A part of _core.pyx: inline, so that it makes no module of its own; errors are imported where they are raised.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from penstock cimport _native as c


cdef inline int _put_text(char *out, size_t capacity, object text, str path) except -1:
    cdef bytes raw = text.encode("utf-8")
    if len(raw) >= capacity or b"\0" in raw:
        from penstock.errors import ConfigError
        raise ConfigError(path, f"{text!r} is longer than {capacity - 1} bytes or holds a zero byte",
                          "shorten it")
    memcpy(out, <const char *>raw, len(raw))
    return 0


cdef inline int _put(char *out, const c.pstk_field *field, object value, str path) except -1:
    """One element of a field: a text, a structure, a pstk_value or a number of the field's width."""
    cdef char kind = field.kind
    if kind == b"s":
        _put_text(out, field.bytes, value, path)
    elif kind == b"T":
        fill(out, field.inner, value, path)
    elif kind == b"d" or (kind == b"v" and isinstance(value, float)):
        (<double *>out)[0] = value
    elif kind == b"q" or kind == b"v":
        (<int64_t *>out)[0] = value
    elif kind == b"Q":
        (<uint64_t *>out)[0] = value
    elif kind == b"I":
        (<uint32_t *>out)[0] = value
    elif kind == b"H":
        (<uint16_t *>out)[0] = value
    else:
        (<uint8_t *>out)[0] = value
    return 0


cdef inline int _put_named(char *out, const c.pstk_field *field, object value, str path) except -1:
    try:
        return _put(out, field, value, path)
    except (OverflowError, TypeError) as wrong:
        from penstock.errors import ConfigError
        raise ConfigError(path, f"{value!r} does not fit ({wrong})", "give it in its bounds") from wrong


cdef inline int fill(void *out, const c.pstk_field *field, dict values, str path) except -1:
    """A zeroed structure by its table. What the dictionary does not name stays 0."""
    cdef char *at
    cdef set unknown = set(values)
    while field.name != NULL:
        name = field.name.decode()
        if name in unknown:
            unknown.discard(name)
            if field.kind not in b"sTdvqQIHB":
                raise TypeError(f"{path}.{name}: a dictionary fills no field of kind {chr(field.kind)}; "
                                "give penstock.h a field of another width")
            at = <char *>out + field.at
            given = values[name]
            if not field.is_array:
                _put_named(at, field, given, f"{path}.{name}")
            elif len(given) > field.count:
                from penstock.errors import ConfigError
                raise ConfigError(f"{path}.{name}", f"more than {field.count} of them", "name fewer")
            else:
                for i, each in enumerate(given):
                    _put_named(at + <size_t>i * field.bytes, field, each, f"{path}.{name}[{i}]")
        field += 1
    if unknown:
        raise ValueError(f"{path}: penstock.h has no field {', '.join(sorted(unknown))}")
    return 0


cdef inline void *make(list items, size_t size, const c.pstk_field *table, str path) except NULL:
    """An array of structures; the caller frees it."""
    cdef char *out = <char *>calloc(len(items) + 1, size)
    if out == NULL:
        raise MemoryError()
    try:
        for i, item in enumerate(items):
            fill(out + <size_t>i * size, table, item, f"{path}[{i}]")
    except BaseException:
        free(out)
        raise
    return out
