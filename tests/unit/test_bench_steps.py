"""Our engine against the sender's plan, where a figure has another shape than the usual."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
from bench_overload import accounting_error, problem_of
from steps import Shape, compare_shape, without_equal_stamps

PLAN = {"sent": 5000, "samples": 5000, "trips": 7, "sum": 250_000.5}
DONE = {
    "received": 7000, "used": 7000, "dropped": 0, "lost": 0, "late": 0, "out_of_order": 0,
    "overwritten": 0, "window_count": 5000, "window_sum": 250_000.5, "trips": 5, "clears": 5,
    "folded": 4,
}  # fmt: skip


def test_each_window_rule_has_had_every_sample() -> None:
    four = {**DONE, "window_count": 20_000, "window_sum": 1_000_002.0}
    assert compare_shape(Shape(), DONE, PLAN) == ""
    assert compare_shape(Shape(windows=4), four, PLAN) == ""
    assert "window_count" in compare_shape(Shape(windows=4), DONE, PLAN)
    assert "window_count" in compare_shape(Shape(), four, PLAN)


def test_without_a_window_rule_the_rest_is_compared() -> None:
    none = {**DONE, "window_count": 0, "window_sum": 0.0}
    assert compare_shape(Shape(windows=0), none, PLAN) == ""
    assert "crossings" in compare_shape(Shape(windows=0), {**none, "folded": 3}, PLAN)


def test_the_tail_has_a_sample_of_every_tag() -> None:
    assert compare_shape(Shape(tags=500), {**DONE, "received": 6000, "used": 6000}, PLAN) == ""
    assert "received" in compare_shape(Shape(tags=500), DONE, PLAN)


def test_equal_stamps_excuse_no_more_crossings_than_were_passed_over() -> None:
    missing = {**DONE, "folded": 2, "out_of_order": 1}
    assert compare_shape(Shape(), without_equal_stamps(missing, PLAN), PLAN) == ""
    assert without_equal_stamps({**missing, "folded": 1}, PLAN) == {**missing, "folded": 1}
    assert without_equal_stamps(DONE, PLAN) == DONE


def test_a_sample_that_nobody_accounts_for_is_an_error() -> None:
    plan = {**PLAN, "sent": 9000, "samples": 5000}
    done = {**DONE, "received": 7000, "used": 6900, "dropped": 100, "lost": 4000,
            "window_count": 4900}  # fmt: skip
    shape = Shape(wire="pub")
    assert accounting_error(shape, done, plan) == 0
    assert problem_of(shape, done, plan) == ""
    assert accounting_error(shape, {**done, "lost": 3999}, plan) == 1
    assert accounting_error(shape, {**done, "dropped": 98}, plan) == 2
    assert "received" in problem_of(shape, {**done, "received": 6999}, plan)
    assert "windows" in problem_of(shape, {**done, "window_count": 4899}, plan)
