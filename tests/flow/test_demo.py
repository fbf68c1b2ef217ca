"""The main job as a user starts it: a simulated plant, nats-server, Tryton, and the verdict."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def demo(*arguments: str, seconds: float) -> tuple[int, str]:
    words = [sys.executable, ROOT / "tools" / "demo.py", *arguments]
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=seconds, check=False
    )
    print(done.stdout[-6000:], done.stderr[-2000:])
    return done.returncode, done.stdout


def figure(pattern: str, text: str) -> tuple[int, ...]:
    found = re.search(pattern, text)
    assert found, f"no line like {pattern}"
    return tuple(int(group.replace(",", "")) for group in found.groups())


@pytest.mark.timeout(240)
def test_every_logged_event_is_one_document(tmp_path: Path) -> None:
    code, text = demo("--for", "8s", "--keep", str(tmp_path / "kept"), seconds=200)
    assert code == 0
    events, documents, residual = figure(
        r"events (\d+), documents (\d+), duplicates 0, lost 0, residual (\d+)\n", text
    )
    assert events == documents >= 30
    assert residual == 0
    assert figure(r"dropped (\d+)\ncompression", text) == (0,)


@pytest.mark.deep
@pytest.mark.timeout(240)
def test_full_rate_costs_at_most_half_a_core_and_drops_nothing(tmp_path: Path) -> None:
    code, text = demo("--for", "30s", "--keep", str(tmp_path / "kept"), seconds=200)
    assert code == 0
    offered, wanted = figure(r"offered +([\d,]+) samples/s of ([\d,]+)", text)
    assert offered >= 0.95 * wanted
    assert figure(r"collector +(\d+) % of one core", text)[0] <= 50
    assert figure(r"dropped (\d+)\ncompression", text) == (0,)


@pytest.mark.deep
@pytest.mark.timeout(400)
def test_chaos_doubles_and_loses_nothing(tmp_path: Path) -> None:
    code, text = demo("--for", "60s", "--chaos", "--keep", str(tmp_path / "kept"), seconds=360)
    assert code == 0
    events, documents, residual = figure(
        r"events (\d+), documents (\d+), duplicates 0, lost 0, residual (\d+)\n", text
    )
    assert events == documents >= 100
    assert residual == 0
    for kind in ("production_confirmation", "material_consumption", "scrap", "downtime"):
        assert min(figure(rf"{kind}: events (\d+), documents (\d+)", text)) >= 10
    kills, posting, down_s, cuts = figure(
        r"kills (\d+) \((\d+) while posting\), ERP down (\d+) s, answers cut (\d+)", text
    )
    assert kills >= 3
    assert posting >= 1
    assert down_s >= 10
    assert cuts >= 3
    assert figure(r"in_doubt +resolved (\d+)", text)[0] >= 3
