"""A real Tryton for flow tests: installed on first use, seeded from a cached template."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import erp

MACHINES = ("L1-M1", "L1-M2", "L2-M1", "L2-M2")
INSTALL_S_MAX = 300  # the first use installs and seeds; later ones take about a second


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that uses Tryton pays for its installation."""
    for item in items:
        if {"tryton", "new_tryton", "kept"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(INSTALL_S_MAX), append=False)


@pytest.fixture(scope="session")
def tryton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[erp.Server]:
    """A running server for the whole session: `tryton.access`, `tryton.rpc()`. Do not stop it."""
    server = erp.start(tmp_path_factory.mktemp("tryton"), MACHINES)
    yield server
    server.stop()


@pytest.fixture
def new_tryton(tmp_path: Path) -> Iterator[Callable[[], erp.Server]]:
    """Starts a server with books of its own, to be stopped, killed and spoiled at will."""
    started: list[erp.Server] = []

    def start() -> erp.Server:
        server = erp.start(tmp_path / f"tryton-{len(started)}", MACHINES)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()
