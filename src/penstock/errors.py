"""Errors: one root, drawn as a tree. Messages say what, which id, the configuration path, and the
fix.

::

    PenstockError
    ├── ConfigError            a configuration value is wrong (path, reason, fix); exit code 78
    ├── StateError             the state directory is unreadable, newer, or another plant's
    │   └── LockedError        another process holds it
    ├── EngineError            the engine refused a call
    │   ├── EngineFailed       sticky: close the engine; the journal and ledger are safe
    │   ├── EngineClosed       the engine is closed, or belongs to the parent process
    │   ├── RingFull           a bounded table or the ring is full
    │   └── UnsupportedPlatform  no native engine on this machine; the rest works
    ├── InputError             a recorded file cannot be read as it is declared
    ├── MappingError           an event cannot become a document: names event kind and field
    ├── LedgerError            the ledger refused or could not be written
    └── PostError              what a target answered, or did not
        ├── Transient          not accepted, try again (back-off, Retry-After)
        ├── Permanent          refused; a person or master data must change something
        └── Ambiguous          sent and no answer: ask before repeating
"""

from __future__ import annotations


class PenstockError(Exception):
    """Root of every error penstock raises on purpose."""


class ConfigError(PenstockError):
    """A configuration value is wrong. ``path`` is the place (``rule[2].tag``), ``fix`` what to
    write instead.
    """

    def __init__(self, path: str, reason: str, fix: str = "") -> None:
        self.path = path
        self.reason = reason
        self.fix = fix
        super().__init__(f"{path}: {reason}" + (f"; {fix}" if fix else ""))


class StateError(PenstockError):
    """The state directory is unreadable, newer than this build, or belongs to another plant."""


class LockedError(StateError):
    """Another process holds the state directory."""


class EngineError(PenstockError):
    """The engine refused a call."""


class EngineFailed(EngineError):
    """The engine has failed for good; close it. What was journaled and committed is safe."""


class EngineClosed(EngineError):
    """The engine is closed, or was inherited by a forked child."""


class RingFull(EngineError):
    """A bounded table or the ring is full."""


class UnsupportedPlatform(EngineError):
    """There is no native engine on this machine."""


class InputError(PenstockError):
    """A recorded file cannot be read as declared; names the file, the place and the fix."""


class MappingError(PenstockError):
    """An event cannot become a document."""


class LedgerError(PenstockError):
    """The ledger refused a change, or could not be written."""


class PostError(PenstockError):
    """What a target answered, or did not."""

    def __init__(
        self, message: str, *, category: str = "", retry_after_s: float | None = None
    ) -> None:
        self.category = category
        self.retry_after_s = retry_after_s
        super().__init__(message)


class Transient(PostError):
    """Not accepted; try again later."""


class Permanent(PostError):
    """Refused; a person or master data must change something first."""


class Ambiguous(PostError):
    """Sent, and no answer: ask the target by our key before any repeat."""
