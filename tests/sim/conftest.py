"""What the examples against the oracle were, told at the end of the run."""

from __future__ import annotations

import pytest
from oracle_families import Tally

_TALLIES = pytest.StashKey[list[Tally]]()


@pytest.fixture(scope="session")
def oracle_tallies(pytestconfig: pytest.Config) -> list[Tally]:
    """One of each family that ran."""
    return pytestconfig.stash.setdefault(_TALLIES, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    tallies = config.stash.get(_TALLIES, [])
    if not tallies:
        return
    terminalreporter.section("examples against the oracle")
    for tally in tallies:
        terminalreporter.write_line(tally.line())
    count, seconds = sum(t.examples for t in tallies), sum(t.seconds for t in tallies)
    terminalreporter.write_line(f"{count} examples, {seconds:.0f} s of two processes")
