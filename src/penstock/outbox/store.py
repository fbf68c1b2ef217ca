"""Store: one SQLite file; a commit that returned is on the disk, and no error is swallowed.

SQLite reports some write errors only while a statement is stepped to its end, so every cursor is
read to exhaustion, every transaction is explicit, and what a PRAGMA answers is checked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from penstock.errors import LedgerError, StateError
from penstock.outbox import sql

BUSY_S: Final = 2.0  # how long to wait for another process's transaction
_SYNCHRONOUS_FULL: Final = 2
_BLOCKED: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_FATAL: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

Row = tuple[Any, ...]


class LedgerBlocked(LedgerError):
    """The disk is full, or another process keeps the ledger locked.

    Nothing was changed; the same call may be repeated.
    """


class AlreadyThere(LedgerError):
    """A row with this key is in the table, or one it refers to is not."""


class Store:
    """One connection to a ledger file. One thread; several processes may each hold their own."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._failed = ""
        self._description: Sequence[Sequence[Any]] = ()  # of the last statement that gave rows

    @classmethod
    def connect(cls, path: Path) -> Store:
        """Opens or creates the file for writing and brings its schema up to date."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        except (OSError, sqlite3.Error) as wrong:
            raise StateError(f"{path}: the ledger cannot be opened: {wrong}") from wrong
        store = cls(path, connection)
        try:
            store._prepare()
        except BaseException:
            connection.close()
            raise
        return store

    @classmethod
    def connect_reading(cls, path: Path) -> Store:
        """Opens an existing file for reading only, also while another process writes it."""
        if not path.is_file():
            raise StateError(
                f"{path}: there is no ledger here; is this the state directory of the plant?"
            )
        # Without a -wal file nobody writes and nothing waits to be read; then a folder we may not
        # write is no obstacle.
        is_quiet = not path.with_name(path.name + "-wal").exists()
        uri = f"{path.absolute().as_uri()}?mode=ro" + ("&immutable=1" if is_quiet else "")
        try:
            connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
        except sqlite3.Error as wrong:
            raise StateError(f"{path}: the ledger cannot be opened: {wrong}") from wrong
        store = cls(path, connection)
        try:
            store._check_version(store._pragma("user_version"))
        except BaseException:
            connection.close()
            raise
        return store

    def close(self) -> None:
        """Idempotent."""
        self._connection.close()

    def rows(self, name: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        """Runs the named statement to its end and returns all it gave."""
        return self._run(sql.statements()[name], values or {})

    def row(self, name: str, values: Mapping[str, Any] | None = None) -> Row | None:
        """The first row of the named statement, or None."""
        found = self.rows(name, values)
        return found[0] if found else None

    def records(self, name: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of the named statement by column name."""
        found = self.rows(name, values)
        columns = [each[0] for each in self._description]
        return [dict(zip(columns, each, strict=True)) for each in found]

    def write(self, name: str, values: Row) -> int:
        """Runs the named statement with values by place; returns how many rows it changed."""
        return self._write(self._connection.execute, sql.statements()[name], values)

    def write_many(self, name: str, rows: Sequence[Row]) -> None:
        """Runs the named statement for each row; it is bound again, not looked up again."""
        if len(rows) == 1:
            self._write(self._connection.execute, sql.statements()[name], rows[0])
        elif rows:
            self._write(self._connection.executemany, sql.statements()[name], rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; durable when it ends without an error."""
        self._write(self._connection.execute, "BEGIN IMMEDIATE", ())
        try:
            yield
            self._write(self._connection.execute, "COMMIT", ())
        except BaseException:
            self._roll_back()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read inside belongs together, whatever another process commits meanwhile."""
        self._run("BEGIN", {})
        try:
            yield
        finally:
            self._roll_back()

    def _roll_back(self) -> None:
        if not self._connection.in_transaction:
            return
        try:
            self._connection.execute("ROLLBACK").fetchall()
        except sqlite3.Error as wrong:
            self._failed = f"a transaction could not be rolled back: {wrong}"

    def _write(self, run: Callable[[str, Any], sqlite3.Cursor], text: str, values: Any) -> int:
        if self._failed:
            self._check_failed()
        try:
            # A statement that gives no rows is stepped to its end by this.
            return run(text, values).rowcount
        except sqlite3.Error as wrong:
            raise self._translate(wrong) from wrong

    def _check_failed(self) -> None:
        if self._failed:
            raise LedgerError(
                f"{self.path}: the ledger has failed and must be opened again: {self._failed}"
            )

    def _run(self, text: str, values: Mapping[str, Any]) -> list[Row]:
        self._check_failed()
        try:
            cursor = self._connection.execute(text, values)
            self._description = cursor.description or ()
            return cursor.fetchall()
        except sqlite3.Error as wrong:
            raise self._translate(wrong) from wrong

    def _translate(self, wrong: sqlite3.Error) -> LedgerError:
        extended = getattr(wrong, "sqlite_errorcode", 0)
        if extended & 0xFF in _BLOCKED or extended == sqlite3.SQLITE_IOERR_SHMSIZE:
            return LedgerBlocked(
                f"{self.path}: {wrong}; free space, or end the process that holds it"
            )
        if extended & 0xFF in _FATAL:
            # After a failed fsync a later one that succeeds proves nothing: only reopening tells
            # what is on the disk.
            self._failed = f"{wrong} ({getattr(wrong, 'sqlite_errorname', 'unknown')})"
            return LedgerError(
                f"{self.path}: {self._failed}; check the disk, then `penstock ledger verify`"
            )
        if isinstance(wrong, sqlite3.IntegrityError):
            return AlreadyThere(f"{self.path}: {wrong}")
        return LedgerError(f"{self.path}: {wrong}")

    def _prepare(self) -> None:
        try:
            mode = self._pragma("journal_mode=WAL")
            self._pragma("synchronous=FULL")
            self._pragma("foreign_keys=ON")
            synchronous = self._pragma("synchronous")
            version = self._pragma("user_version")
        except LedgerBlocked:
            raise
        except LedgerError as wrong:
            raise StateError(str(wrong)) from wrong
        if mode != "wal" or synchronous != _SYNCHRONOUS_FULL:
            raise StateError(
                f"{self.path}: journal mode {mode}, synchronous {synchronous}; use a local disk"
            )
        self._check_version(version)
        for number, script in sql.migrations()[version:]:
            with self.transaction():
                for statement in sql.split(script):
                    self._run(statement, {})
                self._run(f"PRAGMA user_version = {number:d}", {})

    def _check_version(self, version: int) -> None:
        newest = len(sql.migrations())
        if version > newest:
            raise StateError(
                f"{self.path}: schema {version} is newer than this build's {newest}; use the newer"
            )

    def _pragma(self, text: str) -> Any:
        found = self._run(f"PRAGMA {text}", {})
        return found[0][0] if found else None
