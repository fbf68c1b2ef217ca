"""Plain `pytest bench`: every figure once, tiny; what is asserted is that its work was right."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest

from machine import describe_box
from measure import Bench, Sizes, Skip
from run import build

MESSAGES = 20_000


class FigureItem(pytest.Item):
    """One figure of one bench_*.py."""

    def runtest(self) -> None:
        module = self.getparent(BenchFile)
        assert module is not None
        bench = Bench(Sizes.exactly(MESSAGES), describe_box(), print)
        try:
            figure = module.load().run(bench, self.name)
        except Skip as missing:
            pytest.skip(str(missing))
        print(figure.as_json())
        assert figure.value is not None, figure.note


class BenchFile(pytest.File):
    """A bench_*.py: NAMES and run()."""

    def load(self) -> ModuleType:
        return importlib.import_module(self.path.stem)

    def collect(self) -> Iterable[pytest.Item]:
        for name in self.load().NAMES:
            yield FigureItem.from_parent(self, name=name)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".py" and file_path.name.startswith("bench_"):
        return BenchFile.from_parent(parent, path=file_path)
    return None


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    build()
