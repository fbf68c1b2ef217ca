"""Events as the border makes them are the events of the class: same fields, equal, immutable."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from penstock.events import NOTHING_KNOWN, Context, Event, event_maker

VALUES = [f"value {i}" for i, _ in enumerate(fields(Event))]


def test_a_made_event_is_an_event() -> None:
    made, written = event_maker()(*VALUES), Event(*VALUES)  # type: ignore[arg-type]
    assert type(made) is Event
    assert made == written
    assert hash(made) == hash(written)
    assert [getattr(made, each.name) for each in fields(Event)] == VALUES
    assert pickle.loads(pickle.dumps(made)) == made
    assert copy.copy(made) == made
    assert replace(made, id="other").id == "other"
    assert not hasattr(made, "__dict__")


def test_a_made_event_cannot_be_changed() -> None:
    made = event_maker()(*VALUES)
    with pytest.raises(FrozenInstanceError):
        made.id = "other"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del made.id


def test_a_made_event_wants_every_value() -> None:
    with pytest.raises(TypeError):
        event_maker()(*VALUES[:-1])


def test_nothing_known_is_an_empty_context() -> None:
    assert Context() == NOTHING_KNOWN
