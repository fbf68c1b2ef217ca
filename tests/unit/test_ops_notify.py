"""Notify: datagrams to a real socket, and a manager that does not listen."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from penstock.ops.notify import Notifier


def test_words_arrive_as_one_datagram(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "ear"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "ear")})
        assert notifier.tell(READY="1", STATUS="läuft")
        assert ear.recv(4096).decode() == "READY=1\nSTATUS=läuft"


def test_an_abstract_address_is_understood() -> None:
    name = f"penstock-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"\0{name}")
        assert Notifier({"NOTIFY_SOCKET": f"@{name}"}).tell(READY="1")


def test_a_manager_that_does_not_read_stops_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "ear"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "ear")})
        told = [notifier.tell(WATCHDOG="1") for _ in range(2000)]
    assert told[0]
    assert not told[-1]  # its queue is full; we went on


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    assert not Notifier({}).tell(READY="1")
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell(READY="1")
