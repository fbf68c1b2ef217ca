"""Core options: a checked Config becomes plain numbers and texts under the names of penstock.h."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from penstock.config import vocabulary as words
from penstock.config.endpoint import endpoint_of
from penstock.config.model import Config, EngineOptions, Level, Rule, Source

_ABI_VERSION = 1


def options_for_core(config: Config) -> dict[str, Any]:
    """What the native engine is opened with.

    Plain ``dict``, ``list``, ``str``, ``int``, ``float``; keys are exactly the C field names, times
    ns, enumerations their C numbers, flags 0 or 1. Texts are UTF-8 and fit their C arrays with the
    zero. ``reserved*`` fields are left out: they are 0. A list shorter than its C array is followed
    by zeros. Shape::

        {"options": pstk_engine_options: abi_version clock plant state_dir ring_dir ring_bytes
                    tags_max instances_max streams_max assets_max event_slots result_slots
                    reorder_slots codes_max checkpoint_ns durability sync_ns
                    journal_bytes_max
         "sources": list of pstk_source_options: name kind format is_bind full port subject_count
                    host user password token subjects (list of str, subject_count long)
                    lateness_ns idle_after_ns future_max_ns heartbeat_ns handshake_ns_max
                    reconnect_ns_min reconnect_ns_max coalesce_ns frame_bytes_max
                    connections_max ring_share
         "rules":   list of pstk_rule: name series unit pattern (list of 5 str, by pstk_role)
                    asset kind order emit cut_on emits_zero quality
                    events_per_minute_max level (list of 4 dict, HH H L LL: is_set value deadband
                    on_delay_ns off_delay_ns re_alarm_ns) rollover size_ns offset_ns since_unit_ns
                    rate_unit_ns min_duration_ns micro_every_ns span_ns after_ns band
                    suppress_tag suppress_by source lost_min
                    hop_ns session_gap_ns session_max_ns expected_ns correct_ns count_n aggregates
                    is_any_state state_on micro negative state_count state_code (list of int) and
                    state_text (list of str), both state_count long
         "names":   rule name to {code: name} where its codes have names
         "tags":    list of (source name, tag name, "f64" | "i64" | "bool" | "code"): types
                    declared by exact name, to register at open
         "tag_patterns": the same for names with a '*': kept for later use}

    Passwords and tokens stand in clear text here: never log the result.
    """
    declared = [
        (source.name, name, kind) for source in config.sources for name, kind in source.tags
    ]
    return {
        "options": _engine(config.engine, config.plant.name),
        "sources": [_source(each) for each in config.sources],
        "rules": [_rule(each) for each in config.rules],
        "names": {each.name: each.state_names() for each in config.rules if each.names},
        "tags": [each for each in declared if "*" not in each[1]],
        "tag_patterns": [each for each in declared if "*" in each[1]],
    }


def to_ns(seconds: float) -> int:
    """Nanoseconds of a duration, by its shortest decimal text: 0.1 is 100,000,000."""
    return int((Decimal(repr(float(seconds))) * 1_000_000_000).to_integral_value())


def _engine(engine: EngineOptions, plant: str) -> dict[str, Any]:
    names = (
        "state_dir", "ring_dir", "ring_bytes", "tags_max", "instances_max", "streams_max",
        "assets_max", "event_slots", "result_slots", "reorder_slots", "codes_max",
    )  # fmt: skip
    return {
        "abi_version": _ABI_VERSION,
        "clock": 0,
        "plant": plant,
        **{name: getattr(engine, name) for name in names},
        "checkpoint_ns": to_ns(engine.checkpoint_s),
        "durability": words.DURABILITIES[engine.durability],
        "sync_ns": to_ns(engine.sync_every_s),
        "journal_bytes_max": engine.journal_bytes_max,
    }


def _source(source: Source) -> dict[str, Any]:
    endpoint = endpoint_of(source)
    return {
        "name": source.name,
        "kind": words.SOURCE_KINDS[source.kind],
        "format": words.FORMATS[source.format],
        "is_bind": int(endpoint is not None and endpoint.is_bind),
        "full": words.FULL[source.full],
        "port": endpoint.port if endpoint else 0,
        "subject_count": len(source.subjects),
        "host": endpoint.host if endpoint else "",
        "user": source.user,
        "password": source.password.reveal(),
        "token": source.token.reveal(),
        "subjects": list(source.subjects),
        "lateness_ns": to_ns(source.lateness_s),
        "idle_after_ns": to_ns(source.idle_after_s),
        "future_max_ns": to_ns(source.future_max_s),
        "heartbeat_ns": to_ns(source.heartbeat_s),
        "handshake_ns_max": to_ns(source.handshake_s),
        "reconnect_ns_min": to_ns(source.reconnect_min_s),
        "reconnect_ns_max": to_ns(source.reconnect_max_s),
        "coalesce_ns": to_ns(source.coalesce_s),
        "frame_bytes_max": source.frame_bytes_max,
        "connections_max": source.connections_max,
        "ring_share": source.ring_share,
    }


def _rule(rule: Rule) -> dict[str, Any]:
    codes = {name: code for code, name in rule.state_names().items()}
    states = () if rule.is_any_state() else tuple(codes.get(str(at), at) for at in rule.states)
    states = states or rule.share_of
    when = rule.suppress_when
    states = when.states if when else states
    return {
        "name": rule.name,
        "series": rule.series,
        "unit": rule.unit,
        "pattern": [getattr(rule, role) for role in words.ROLES],
        "asset": rule.asset,
        "kind": words.RULE_KINDS[rule.kind],
        "order": words.ORDERS.get(rule.order_by, 0),
        "emit": words.OUTPUTS[rule.emit],
        "cut_on": sum(words.CUTS[cut] for cut in rule.cut_on),
        "emits_zero": int(rule.emits_zero),
        "quality": words.QUALITIES[rule.quality],
        "events_per_minute_max": rule.events_per_minute_max,
        "level": [_level(getattr(rule, name)) for name in words.LEVELS],
        "rollover": rule.rollover,
        "size_ns": to_ns(rule.size_s or rule.every_s),
        "offset_ns": to_ns(rule.offset_s),
        "since_unit_ns": words.SINCE_UNITS_NS[rule.since_unit],
        "rate_unit_ns": words.PER_NS.get(rule.per, 0),
        "min_duration_ns": to_ns(rule.min_duration_s),
        "micro_every_ns": to_ns(rule.micro_every_s) if rule.micro == "fold" else 0,
        "is_any_state": int(rule.is_any_state()),
        "state_on": words.STATE_ONS[rule.on],
        "micro": words.MICROS[rule.micro],
        "negative": words.NEGATIVES[rule.negative],
        "hop_ns": to_ns(rule.hop_s),
        "session_gap_ns": to_ns(rule.session_gap_s),
        "session_max_ns": to_ns(rule.session_max_s) if rule.session_gap_s else 0,
        "expected_ns": to_ns(rule.expected_s),
        "correct_ns": to_ns(rule.correct_within_s),
        "count_n": rule.count_n,
        "aggregates": sum(words.AGGREGATES.get(name, 0) for name in rule.aggregates),
        "state_count": len(states),
        "state_code": [state if isinstance(state, int) else 0 for state in states],
        "state_text": ["" if isinstance(state, int) else state for state in states],
        "span_ns": to_ns(rule.span_s),
        "after_ns": to_ns(rule.after_s),
        "band": rule.band,
        "suppress_tag": when.tag if when else "",
        "suppress_by": rule.suppress_by,
        "source": rule.source,
        "lost_min": rule.lost_min,
    }


def _level(level: Level | None) -> dict[str, Any]:
    if level is None:
        delays = ("on_delay_ns", "off_delay_ns", "re_alarm_ns")
        return {"is_set": 0, "value": 0.0, "deadband": 0.0, **dict.fromkeys(delays, 0)}
    return {
        "is_set": 1,
        "value": level.value,
        "deadband": level.deadband,
        "on_delay_ns": to_ns(level.on_delay_s),
        "off_delay_ns": to_ns(level.off_delay_s),
        "re_alarm_ns": to_ns(level.re_alarm_s),
    }
