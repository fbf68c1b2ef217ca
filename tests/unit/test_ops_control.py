"""Control: orders over the real socket, by a peer that behaves and by peers that do not."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import StateError
from penstock.ops import control
from penstock.ops.control import REQUEST_BYTES_MAX, SOCKET_NAME, ask, serve, user_name


def refuse(_: Mapping[str, Any], __: str) -> Mapping[str, Any]:
    raise StateError("not today")


ORDERS: dict[str, control.Order] = {
    "echo": lambda request, who: {"said": request["word"], "who": who},
    "refuse": refuse,
}


def during(folder: Path, act: Callable[[], Awaitable[None]]) -> None:
    async def go() -> None:
        async with serve(folder, ORDERS):
            await act()

    asyncio.run(go())


def raw(folder: Path, sent: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(str(folder / SOCKET_NAME))
        link.sendall(sent)
        link.shutdown(socket.SHUT_WR)
        return control._read_all(link)


def test_an_order_is_answered_and_the_kernel_says_who_asked(tmp_path: Path) -> None:
    async def act() -> None:
        answer = await asyncio.to_thread(ask, tmp_path, "echo", word="Grüße", who="uid:0815")
        assert answer == {"said": "Grüße", "who": f"uid:{os.getuid()}"}

    during(tmp_path, act)


def test_the_socket_is_private_and_goes_with_the_plant(tmp_path: Path) -> None:
    path = tmp_path / SOCKET_NAME

    async def act() -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    during(tmp_path, act)
    assert not path.exists()
    with pytest.raises(StateError, match="no plant runs"):
        ask(tmp_path, "echo")
    with pytest.raises(StateError, match="there is no such folder"):
        ask(tmp_path / "nowhere", "echo")


def test_a_socket_that_a_killed_plant_left_is_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET_NAME))
    with pytest.raises(StateError, match="no plant runs"):
        ask(tmp_path, "echo")

    async def act() -> None:
        assert (await asyncio.to_thread(ask, tmp_path, "echo", word=1))["said"] == 1

    during(tmp_path, act)


def test_what_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).write_text("mine")
    with pytest.raises(StateError, match="is no socket: remove it"):
        during(tmp_path, lambda: asyncio.sleep(0))
    assert (tmp_path / SOCKET_NAME).read_text() == "mine"


def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)

    async def act() -> None:
        assert (await asyncio.to_thread(ask, folder, "echo", word=2))["said"] == 2

    during(folder, act)


def test_a_refusal_is_told_in_its_own_words(tmp_path: Path) -> None:
    async def act() -> None:
        for order, words in (
            ("refuse", "not today"),
            ("echo", "needs 'word'"),
            ("dance", "known are echo, refuse"),
        ):
            with pytest.raises(StateError, match=words):
                await asyncio.to_thread(ask, tmp_path, order)

    during(tmp_path, act)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\n",
        b"{\n",
        b"\xff\xfe\n",
        b"[1]\n",
        b'{"order": ["echo"]}\n',
        b'{"order": 1}\n',
        b"[" * 60_000 + b"\n",
        b"x" * (REQUEST_BYTES_MAX + 9) + b"\n",
    ],
)
def test_hostile_bytes_get_an_error_and_the_next_order_is_answered(
    sent: bytes, tmp_path: Path
) -> None:
    async def act() -> None:
        try:
            said = await asyncio.to_thread(raw, tmp_path, sent)
            assert not said or "error" in json.loads(said)
        except ConnectionResetError:
            pass  # cut off in the middle of too long a line
        assert (await asyncio.to_thread(ask, tmp_path, "echo", word=3))["said"] == 3

    during(tmp_path, act)


def test_a_peer_that_says_nothing_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ANSWER_S", 0.1)

    async def act() -> None:
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()

    during(tmp_path, act)


def test_more_than_sixteen_at_a_time_are_told_so(tmp_path: Path) -> None:
    async def act() -> None:
        path = tmp_path / SOCKET_NAME
        silent = [await asyncio.open_unix_connection(path) for _ in range(control.CONNECTIONS_MAX)]
        await asyncio.sleep(0.05)
        with pytest.raises(StateError, match="at a time"):
            await asyncio.to_thread(ask, tmp_path, "echo", word=1)
        for _, writer in silent:
            writer.close()

    during(tmp_path, act)


def test_a_user_is_named_where_the_machine_knows_one() -> None:
    assert user_name("uid:0") == "root (uid:0)"
    assert user_name("uid:4294967294") == "uid:4294967294" or "(" in user_name("uid:4294967294")
    assert user_name("penstock") == "penstock"
