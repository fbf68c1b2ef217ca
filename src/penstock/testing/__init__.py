"""Testing: what a test of an integration needs; `import penstock` does not import it.

``Clock``, ``FakeSource``, ``MemoryTarget`` with its ``Behaviour``, ``FaultProxy``; fixtures for
pytest in ``penstock.testing.plugin``. See ``penstock docs testing``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.testing.clock import Clock
    from penstock.testing.fault_proxy import FaultProxy
    from penstock.testing.source import FakeSource
    from penstock.testing.target import Behaviour, MemoryTarget

__all__ = ["Behaviour", "Clock", "FakeSource", "FaultProxy", "MemoryTarget"]

_PLACES = {
    "Behaviour": "target",
    "Clock": "clock",
    "FakeSource": "source",
    "FaultProxy": "fault_proxy",
    "MemoryTarget": "target",
}


def __getattr__(name: str) -> Any:
    """Each part is imported when it is asked for: most tests need one."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"penstock.testing.{_PLACES[name]}"), name)
