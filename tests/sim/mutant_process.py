"""One family's examples with another build of the engine.

    mutant_process.py PACKAGE FAMILY EXAMPLES SEED

Exit 0: nothing differed. Exit 1: something did; printed. Ended by SIGXCPU: an example spins.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

CPU_SECONDS_MAX = 30  # of one example, in this process or a life that it forks; 0.3 s is the most


def main(package: str, family: str, examples: str, seed: str) -> int:
    # An editable installation finds its own penstock before any path is asked.
    sys.meta_path[:] = [each for each in sys.meta_path if "Redirecting" not in type(each).__name__]
    here = Path(__file__).resolve().parent
    sys.path[:0] = [package, str(here), str(here.parent)]
    from penstock import _core

    assert Path(_core.__file__).is_relative_to(package), _core.__file__
    import oracle_families

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        oracle_families.run_examples(family, int(examples), int(seed), begun=_limit)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is seen
        sys.stdout.write(f"{type(error).__name__}: {str(error)[:2000]}\n")
        return 1
    return 0


def _limit() -> None:
    """From here on: native code that spins in the engine hears no exception, but this."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + CPU_SECONDS_MAX, most))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
