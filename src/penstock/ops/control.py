"""Control: a person's order to a running plant comes in through a socket, its answer goes out.

The socket is ``control.sock`` in the state directory, AF_UNIX, mode 0600: who may read the plant's
state may steer it, nobody else. One request and one answer a connection, each one line of JSON.
Who asks is the peer's uid as the kernel tells it (SO_PEERCRED, unix(7)), never what it says.
Bound: 64 KiB a request, 16 connections at a time, five seconds each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pwd
import socket
import stat
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from penstock.errors import PenstockError, StateError

SOCKET_NAME: Final = "control.sock"
REQUEST_BYTES_MAX: Final = 64 * 1024
CONNECTIONS_MAX: Final = 16
ANSWER_S: Final = 5.0
ASK_S: Final = 10.0  # a reload parses and checks a whole configuration

Order = Callable[[Mapping[str, Any], str], Mapping[str, Any]]

_log = logging.getLogger("penstock.ops")


@contextlib.asynccontextmanager
async def serve(state_dir: Path, orders: Mapping[str, Order]) -> AsyncIterator[None]:
    """Answers orders while the block runs; the socket goes with it.

    An order gets the request and who asks, and returns the answer's keys. What it raises of ours
    becomes the answer's ``error``; the plant goes on. Raises StateError where the socket cannot be
    made.
    """
    desk = _Desk(orders)
    listener, inode = _listen(state_dir)
    server = await asyncio.start_unix_server(
        desk.meet, sock=listener, limit=REQUEST_BYTES_MAX, start_serving=True
    )
    try:
        yield
    finally:
        server.close()
        await desk.close()
        _remove(state_dir / SOCKET_NAME, inode)


def ask(state_dir: Path, order: str, **words: Any) -> dict[str, Any]:
    """Sends an order to the plant of this state directory and returns its answer.

    Raises StateError where no plant runs there, or it refused: its own words.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link, _short(state_dir) as place:
        link.settimeout(ASK_S)
        try:
            link.connect(place)
            link.sendall(json.dumps({"order": order, **words}).encode() + b"\n")
            answer = json.loads(_read_all(link))
        except (FileNotFoundError, ConnectionRefusedError):
            raise StateError(
                f"no plant runs with state_dir {state_dir}: start it with `penstock run`"
            ) from None
        except PermissionError:
            raise StateError(
                f"{state_dir / SOCKET_NAME} belongs to another user: run this as the plant's user"
            ) from None
        except (OSError, ValueError) as wrong:
            raise StateError(f"the plant at {state_dir} gave no answer: {wrong}") from None
    if "error" in answer:
        raise StateError(str(answer["error"]))
    return dict(answer)


def _read_all(link: socket.socket) -> bytes:
    parts = []
    while part := link.recv(65536):
        parts.append(part)
    return b"".join(parts)


class _Desk:
    """Meets each connection: one order, one answer."""

    def __init__(self, orders: Mapping[str, Order]) -> None:
        self._orders = orders
        self._open: set[asyncio.StreamWriter] = set()

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._answer(reader, writer)
                writer.write(json.dumps(answer, default=str).encode() + b"\n")
                await writer.drain()
        except (OSError, TimeoutError):
            pass  # the peer is gone, or says nothing
        finally:
            self._open.discard(writer)
            writer.close()

    async def close(self) -> None:
        """Hangs up on whoever is still there."""
        for writer in self._open:
            writer.transport.abort()
        while self._open:
            await asyncio.sleep(0)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Mapping[str, Any]:
        try:
            line = await reader.readline()
            if len(self._open) > CONNECTIONS_MAX:
                return {"error": f"more than {CONNECTIONS_MAX} orders at a time; try again"}
            request = json.loads(line)
        except (ValueError, RecursionError):  # no JSON, not UTF-8, or longer than the limit
            return {"error": f"an order is one line of JSON, at most {REQUEST_BYTES_MAX} bytes"}
        name = request.get("order") if isinstance(request, dict) else None
        order = self._orders.get(name) if isinstance(name, str) else None
        if order is None:
            return {"error": f"unknown order {name!r}; known are {', '.join(sorted(self._orders))}"}
        try:
            return order(request, _peer(writer))
        except (PenstockError, ValueError) as wrong:
            return {"error": str(wrong)}
        except KeyError as wrong:
            return {"error": f"the order {name!r} needs {wrong.args[0]!r}"}


def user_name(who: str) -> str:
    """``uid:1000`` as a person reads it: with the user's name where this machine knows one."""
    number = who.removeprefix("uid:")
    if number == who or not number.isdecimal():
        return who
    try:
        return f"{pwd.getpwuid(int(number)).pw_name} ({who})"
    except (KeyError, OverflowError):
        return who


def _peer(writer: asyncio.StreamWriter) -> str:
    link = writer.get_extra_info("socket")
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return f"uid:{uid}"


@contextlib.contextmanager
def _short(folder: Path) -> Any:
    """The socket's path through an open folder: an address holds 107 bytes, a path any number."""
    try:
        opened = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise StateError(
            f"no plant runs with state_dir {folder}: there is no such folder"
        ) from None
    except OSError as wrong:
        raise StateError(f"{folder}: {wrong.strerror}") from None
    try:
        yield f"/proc/self/fd/{opened}/{SOCKET_NAME}"
    finally:
        os.close(opened)


def _listen(state_dir: Path) -> tuple[socket.socket, int]:
    """A listening socket and its inode. One that a killed process left is taken over: the engine
    holds the lock of the folder, so nobody else lives there.
    """
    path = state_dir / SOCKET_NAME
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
            raise StateError(f"{path} is no socket: remove it")
        path.unlink(missing_ok=True)
        with _short(state_dir) as place:
            listener.bind(place)
            path.chmod(0o600)  # before listen, so that nobody has come by then
        listener.listen(CONNECTIONS_MAX)
        return listener, path.lstat().st_ino
    except OSError as wrong:
        listener.close()
        raise StateError(f"{path} cannot be made: {wrong.strerror}") from None
    except StateError:
        listener.close()
        raise


def _remove(path: Path, inode: int) -> None:
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()
