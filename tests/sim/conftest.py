"""What the examples against the oracle were goes into the reports, for the end of the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from oracle_families import Tally


@pytest.fixture
def tell_tally(record_property: Callable[[str, object], None]) -> Callable[[Tally], None]:
    """For the end of the run, whichever process this is."""

    def tell(tally: Tally) -> None:
        record_property("oracle", [tally.line(), tally.examples, tally.seconds])

    return tell
