# cython: language_level=3, embedsignature=True, binding=True
"""The border: typed calls over penstock.h. Calls cross per batch, never per sample; no callback crosses.

The GIL is released around every call that may wait. Structures are copied; nothing borrowed outlives a call.
"""

from decimal import Decimal

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New

from penstock cimport _native as c
from penstock._fields cimport fill, make

from penstock.errors import (EngineClosed, EngineError, EngineFailed, LockedError, RingFull, StateError,
                             UnsupportedPlatform)
from penstock.events import AGGREGATES, NOTHING_KNOWN, Context, PackedEvidence, event_maker

if (sizeof(c.pstk_event), sizeof(c.pstk_sample), sizeof(c.pstk_result), sizeof(c.pstk_aggregates)) != (384, 24, 96, 80):
    raise ImportError("penstock was built with another layout of its records; reinstall it")

cdef enum: BATCH = 256  # events of one poll
ctypedef int (*cold)(c.pstk_engine *, const void *, c.pstk_error *) noexcept nogil
cdef enum: RESULTS = 4096  # windows of one call
NO_POSITION = 0xFFFFFFFFFFFFFFFF
TYPES = {"f64": 1, "i64": 2, "bool": 3, "code": 4}
TIME_NONE = c.PSTK_TIME_NONE
EVENT_FLAGS = tuple(c.pstk_flag_name(bit).decode() for bit in range(32) if c.pstk_flag_name(bit) != NULL)
_NO_FLAGS = frozenset()
UNITS = ("limit.", "rate.", "stuck.", "freshness.", "window.", "alarm.")
DROP_REASONS = tuple(c.pstk_drop_name(reason).decode() for reason in range(c.PSTK_DROP_COUNT))

cdef dict _ERRORS = {
    c.PSTK_E_LOCKED: LockedError, c.PSTK_E_STATE: StateError, c.PSTK_E_FULL: RingFull,
    c.PSTK_E_FAILED: EngineFailed, c.PSTK_E_CLOSED: EngineClosed, c.PSTK_E_FORKED: EngineClosed,
    c.PSTK_E_UNSUPPORTED: UnsupportedPlatform, c.PSTK_E_ARGUMENT: ValueError, c.PSTK_E_SYSTEM: StateError,
    c.PSTK_E_MEMORY: MemoryError,
}


BUILT_NS = c.pstk_built_ns()  # a clock before it is not set yet


def native_version():
    return c.pstk_version().decode()


def has_crash_points():
    """True in test builds, where PENSTOCK_CRASH_AT names a point to die at."""
    return bool(c.pstk_has_crash_points())


cdef int _check(int status, c.pstk_error *err) except -1:
    """The one translation of a native status into an exception."""
    if status == c.PSTK_OK:
        return 0
    text = err.text.decode("utf-8", "replace")
    raise _ERRORS.get(status, EngineError)(text)


cdef str _text(const char *raw):
    return raw.decode("utf-8", "replace")


# ---- values --------------------------------------------------------------------------------------------

cdef object _value(c.pstk_value value, int kind):
    return value.f64 if kind == c.PSTK_TYPE_F64 else value.i64


cdef object _real(object value):
    return None if value != value else value  # a window without a sample has no figures


cdef dict _figures(c.pstk_event *e):
    """What a window's rule asked for beyond: by name, None where it has no value."""
    cdef c.pstk_event_figures *f = &e.figures
    found = (e.start_reading.i64, e.end_reading.i64, e.max - e.min, f.variance, f.tw_mean, f.integral, f.rate,
             f.share, f.completeness, f.quality_share)
    return {name: None if value == c.PSTK_TIME_NONE else _real(value)
            for bit, (name, value) in enumerate(zip(AGGREGATES, found)) if f.asked >> bit & 1}


cdef object _context(c.pstk_context_values *x):
    if not (x.order[0] or x.operation[0] or x.material[0] or x.lot[0] or x.shift[0]):
        return NOTHING_KNOWN
    return Context(_text(x.order), _text(x.operation), _text(x.material), _text(x.lot), _text(x.shift))


cdef str _uuid(const uint8_t *raw):
    text = (<const char *>raw)[:16].hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


cdef void _end_batch(object capsule) noexcept:
    c.pstk_batch_release(<c.pstk_batch *>PyCapsule_GetPointer(capsule, "penstock.batch"))


cdef class Engine:
    """One native engine. ``penstock.Engine`` is the typed face of it; see there."""

    cdef c.pstk_engine *_h
    cdef c.pstk_event *_events
    cdef object _plant
    cdef readonly uintptr_t fed_at  # where C read the values of the last feed
    cdef dict _units, _tags, _rules, _assets
    cdef object _make_event

    def __cinit__(self, dict options, list sources, list rules):
        cdef c.pstk_engine_options native
        cdef c.pstk_error err
        cdef void *native_sources = NULL
        cdef void *native_rules = NULL
        cdef size_t source_count = len(sources), rule_count = len(rules)
        cdef int status
        self._plant, self._make_event = options["plant"], event_maker()
        self._tags, self._rules, self._assets = {}, {}, {}
        self._units = {rule["name"]: rule.get("unit", "") for rule in rules}
        memset(&native, 0, sizeof(native))
        fill(&native, c.pstk_fields_pstk_engine_options, options, "engine")
        self._events = <c.pstk_event *>calloc(BATCH, sizeof(c.pstk_event))
        if self._events == NULL:
            raise MemoryError()
        try:
            native_sources = make(sources, sizeof(c.pstk_source_options), c.pstk_fields_pstk_source_options, "source")
            native_rules = make(rules, sizeof(c.pstk_rule), c.pstk_fields_pstk_rule, "rule")
            with nogil:
                status = c.pstk_engine_open(&native, <c.pstk_source_options *>native_sources, source_count,
                                            <c.pstk_rule *>native_rules, rule_count, &self._h, &err)
        finally:
            free(native_sources)
            free(native_rules)
        _check(status, &err)

    def __dealloc__(self):
        with nogil:
            c.pstk_engine_free(self._h)
        free(self._events)

    def start(self):
        cdef c.pstk_error err
        cdef int status
        with nogil:
            status = c.pstk_engine_start(self._h, &err)
        _check(status, &err)

    def close(self):
        cdef c.pstk_error err
        cdef int status
        with nogil:
            status = c.pstk_engine_close(self._h, &err)
        _check(status, &err)

    def reconfigure(self, list rules):
        cdef c.pstk_error err
        cdef size_t count = len(rules)
        cdef int status
        cdef void *native = make(rules, sizeof(c.pstk_rule), c.pstk_fields_pstk_rule, "rule")
        with nogil:
            status = c.pstk_engine_reconfigure(self._h, <c.pstk_rule *>native, count, &err)
        free(native)
        _check(status, &err)
        self._units.update({rule["name"]: rule.get("unit", "") for rule in rules})

    # ---- in ------------------------------------------------------------------------------------------

    def tag(self, uint32_t source, str name, str type):
        """Id of a tag of a source, made on first sight. ``type`` is f64, i64, bool or code."""
        cdef c.pstk_error err
        cdef uint32_t tag = 0
        cdef bytes raw = name.encode("utf-8")
        cdef const char *at = raw
        cdef size_t size = len(raw)
        cdef int status, kind = TYPES.get(type, 0)
        if not kind:
            raise ValueError(f"tag {name}: type {type!r} is none of {', '.join(TYPES)}")
        with nogil:  # a full ring makes room first
            status = c.pstk_engine_tag(self._h, source, at, size, kind, &tag, &err)
        _check(status, &err)
        return tag

    def feed(self, uint32_t source, const uint32_t[::1] tags not None, const uint64_t[::1] values not None,
             const int64_t[::1] times=None, const uint16_t[::1] quality=None,
             uint64_t position=NO_POSITION, int64_t recv_time_ns=0):
        """Columns into the journal; returns (used, dropped). Copied before the call returns."""
        cdef c.pstk_feed feed
        cdef c.pstk_feed_result result
        cdef c.pstk_error err
        cdef int status
        cdef size_t count = tags.shape[0]
        if <size_t>values.shape[0] != count or (times is not None and <size_t>times.shape[0] != count) \
                or (quality is not None and <size_t>quality.shape[0] != count):
            raise ValueError("feed: tags, time_ns, values and quality differ in length")
        memset(&feed, 0, sizeof(feed))
        feed.source, feed.position, feed.recv_time_ns, feed.count = source, position, recv_time_ns, count
        if count:
            feed.tag_ids, feed.values = &tags[0], &values[0]
            feed.time_ns = &times[0] if times is not None else NULL
            feed.quality = &quality[0] if quality is not None else NULL
        self.fed_at = <uintptr_t>feed.values
        with nogil:
            status = c.pstk_engine_feed(self._h, &feed, &result, &err)
        _check(status, &err)
        return result.used, result.dropped

    def feed_frame(self, uint32_t source, const uint8_t[::1] payload not None, bytes subject=b"",
                   uint64_t position=NO_POSITION, int64_t recv_time_ns=0):
        """One payload in the source's format; returns (used, dropped)."""
        cdef c.pstk_feed_result result
        cdef c.pstk_error err
        cdef int status
        cdef size_t size = payload.shape[0], subject_size = len(subject)
        cdef const uint8_t *bytes_ = &payload[0] if size else NULL
        cdef const uint8_t *key = <const uint8_t *><const char *>subject
        with nogil:
            status = c.pstk_engine_feed_frame(self._h, source, key if subject_size else NULL, subject_size, bytes_,
                                              size, position, recv_time_ns, &result, &err)
        _check(status, &err)
        return result.used, result.dropped

    def tick(self, int64_t now_ns):
        cdef c.pstk_error err
        cdef int status
        with nogil:
            status = c.pstk_engine_tick(self._h, now_ns, &err)
        _check(status, &err)

    def tell(self, str what, dict record):
        """A record by the fields of its structure: pstk_context, pstk_baseline or pstk_operation."""
        cdef c.pstk_error err
        cdef const c.pstk_field *table = c.pstk_fields_pstk_context
        cdef cold put = <cold>c.pstk_engine_context
        if what == "baseline":
            table, put = c.pstk_fields_pstk_baseline, <cold>c.pstk_engine_baseline
        elif what == "operate":
            table, put = c.pstk_fields_pstk_operation, <cold>c.pstk_engine_operate
        cdef void *native = make([record], 512, table, what)  # more than each
        with nogil:
            status = put(self._h, native, &err)
        free(native)
        _check(status, &err)

    def alarms(self, size_t room):
        """How many there are, and up to ``room`` of them as pstk_alarm."""
        cdef c.pstk_error err
        cdef size_t count = 0
        cdef bytearray rows = bytearray(room * sizeof(c.pstk_alarm) + 1)
        _check(c.pstk_engine_alarms(self._h, <c.pstk_alarm *><char *>rows, room, &count, &err), &err)
        return count, rows

    def position(self, uint32_t source):
        cdef c.pstk_error err
        cdef uint64_t position = 0
        _check(c.pstk_engine_position(self._h, source, &position, &err), &err)
        return None if position == NO_POSITION else position

    def checkpoint(self, bint to_disk):
        cdef c.pstk_error err
        cdef int status
        with nogil:
            status = c.pstk_engine_checkpoint(self._h, to_disk, &err)
        _check(status, &err)

    def capture(self, bytes folder, uint64_t bytes_max):
        cdef c.pstk_error err
        _check(c.pstk_engine_capture(self._h, folder, bytes_max, &err), &err)

    def replay(self, Capture capture not None, uint64_t bytes_max):
        cdef c.pstk_error err
        cdef c.pstk_replayed done
        cdef int status
        with nogil:
            status = c.pstk_engine_replay(self._h, capture._h, bytes_max, &done, &err)
        _check(status, &err)
        return done

    # ---- out -----------------------------------------------------------------------------------------

    def event_fd(self):
        return c.pstk_engine_event_fd(self._h)

    def poll(self, int most=BATCH):
        """Up to ``most`` events not yet polled, as (Event, tag id), and the bytes of their pstk_event."""
        cdef c.pstk_error err
        cdef size_t count = 0, wanted = max(0, min(most, BATCH))
        _check(c.pstk_engine_poll(self._h, self._events, wanted, &count, &err), &err)
        raw = (<const char *>self._events)[:count * sizeof(c.pstk_event)]
        return [(self._event(&self._events[i]), self._events[i].tag) for i in range(count)], raw

    def acknowledge(self, uint64_t seq):
        cdef c.pstk_error err
        cdef int status
        with nogil:
            status = c.pstk_engine_acknowledge(self._h, seq, &err)
        _check(status, &err)

    def rewind(self):
        cdef c.pstk_error err
        _check(c.pstk_engine_rewind(self._h, &err), &err)

    cdef object _event(self, c.pstk_event *e):
        kind = _text(c.pstk_event_kind_name(e.kind))
        cdef char group[96]
        is_group = c.pstk_event_group(e, group, sizeof(group)) > 0
        rule, series = self._rule_name(e.rule)
        tag, value = _text(group) if is_group else self.tag_name(e.tag), _value(e.value, e.value_type)
        is_counter = e.kind == c.PSTK_EVENT_COUNTER_SEGMENT
        is_quantity = is_counter or e.kind == c.PSTK_EVENT_TOTAL_SEGMENT
        is_limit, is_window = kind.startswith(("limit.", "rate.")), e.kind == c.PSTK_EVENT_WINDOW_CLOSE
        quantity = Decimal(repr(value)) if is_quantity else None
        flags = frozenset([name for bit, name in enumerate(EVENT_FLAGS) if e.flags >> bit & 1]) if e.flags else _NO_FLAGS
        context = _context(&e.context)
        text = self.code_text(e.tag, value) if e.value_type == c.PSTK_TYPE_CODE else ""
        return self._make_event(
            _uuid(e.id), (<const char *>e.digest)[:16].hex(), e.seq, e.pos, kind, self._plant, rule, series, tag,
            self._asset_name(e.asset), e.at_ns, e.start_ns, None if e.end_ns == c.PSTK_TIME_NONE else e.end_ns,
            _real(value), self._units.get(rule, "") if is_quantity or kind.startswith(UNITS) else "", quantity, text,
            _value(e.start_reading, e.value_type) if is_counter else None,
            _value(e.end_reading, e.value_type) if is_counter else None,
            e.limit if is_limit else None, e.count,
            *([_real(x) for x in (e.sum, e.min, e.max, e.first, e.last)] if is_window else [None] * 5),
            flags, context, e.occurrence, e.time_epoch, e.revision, e.engine_time_ns, e.config_gen_low,
            _figures(e) if is_window and e.figures.asked else None, _text(c.pstk_event_by(e)))

    def results(self, size_t most=RESULTS):
        """Closed windows not yet taken, at most ``most``: a capsule for ``_columns.Columns``."""
        cdef c.pstk_batch *batch = NULL
        cdef c.pstk_error err
        cdef int status
        with nogil:
            status = c.pstk_engine_take_results(self._h, most, &batch, &err)
        _check(status, &err)
        return PyCapsule_New(batch, "penstock.batch", _end_batch)

    def evidence(self, uint32_t tag, uint64_t pos, size_t before_max, size_t after_max):
        """Samples of one tag around a journal position; see penstock.h."""
        cdef c.pstk_error err
        cdef size_t before = 0, count = 0, most = before_max + after_max + 1
        cdef int status, kind = c.pstk_engine_tag_type(self._h, tag)
        cdef c.pstk_sample *samples = <c.pstk_sample *>calloc(most, 2 * sizeof(c.pstk_sample) + 16)
        cdef uint8_t *packed = <uint8_t *>(samples + most)  # PSTK_PACKED_BYTES_MAX
        if samples == NULL:
            raise MemoryError()
        try:
            with nogil:
                status = c.pstk_engine_evidence(self._h, tag, pos, before_max, after_max, samples, &before, &count,
                                                &err)
            _check(status, &err)
            return PackedEvidence(self.tag_name(tag), packed[:c.pstk_samples_pack(samples, count, kind, packed)], before)
        finally:
            free(samples)

    # ---- names and figures -----------------------------------------------------------------------------

    def tag_name(self, uint32_t tag):
        cdef char name[96]
        if tag not in self._tags and c.pstk_engine_tag_name(self._h, tag, name, sizeof(name)) >= 0:
            self._tags[tag] = _text(name)
        return self._tags.get(tag, "")

    def tag_type(self, uint32_t tag):
        return c.pstk_engine_tag_type(self._h, tag)

    def code_text(self, uint32_t tag, int64_t code):
        cdef char text[64]
        return _text(text) if c.pstk_engine_code_text(self._h, tag, code, text, sizeof(text)) >= 0 else ""

    def _rule_name(self, uint32_t rule):
        cdef char name[64], series[16]
        if rule not in self._rules and c.pstk_engine_rule_name(self._h, rule, name, sizeof(name), series,
                                                               sizeof(series)) >= 0:
            self._rules[rule] = (_text(name), _text(series))
        return self._rules.get(rule, ("", ""))

    def _asset_name(self, uint32_t asset):
        cdef char name[96]
        if asset not in self._assets and c.pstk_engine_asset_name(self._h, asset, name, sizeof(name)) >= 0:
            self._assets[asset] = _text(name)
        return self._assets.get(asset, "")

    def notice(self):
        cdef char text[512]
        c.pstk_engine_notice(self._h, text, sizeof(text))
        return _text(text)

    def port(self, uint32_t source):
        return c.pstk_engine_port(self._h, source)

    def stats(self):
        """pstk_stats as a dictionary."""
        cdef c.pstk_stats s
        if c.pstk_engine_stats(self._h, &s) != c.PSTK_OK:
            raise EngineClosed("the engine is closed")
        return s

    def source_stats(self, uint32_t source):
        """pstk_source_stats as a dictionary; ``dropped`` by reason, ``residual`` = received - used - dropped."""
        cdef c.pstk_source_stats s
        if c.pstk_engine_source_stats(self._h, source, &s) != c.PSTK_OK:
            raise EngineClosed("the engine is closed, or has no such source")
        dropped = {name: s.dropped[i] for i, name in enumerate(DROP_REASONS) if s.dropped[i]}
        found = {name: value for name, value in dict(s).items() if name != "reserved"}
        found.update(name=_text(s.name), dropped=dropped, is_numbered=bool(s.is_numbered), is_up=bool(s.is_up),
                     residual=s.received - s.used - sum(dropped.values()))
        return found


def ring_capture(dict options, bytes ring_folder, bytes folder):
    cdef c.pstk_error err
    cdef c.pstk_engine_options native
    memset(&native, 0, sizeof(native))
    fill(&native, c.pstk_fields_pstk_engine_options, options, "engine")
    _check(c.pstk_ring_capture(&native, ring_folder, folder, &err), &err)


cdef class Capture:
    cdef c.pstk_capture *_h

    def __cinit__(self, bytes path):
        cdef c.pstk_error err
        _check(c.pstk_capture_open(path, &self._h, &err), &err)

    def __dealloc__(self): c.pstk_capture_close(self._h)

    def look(self):
        cdef c.pstk_capture_span span
        with nogil:
            c.pstk_capture_look(self._h, &span)
        return span
