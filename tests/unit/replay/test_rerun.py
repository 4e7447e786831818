"""A recorded run beside the runs of today."""

from __future__ import annotations

from dataclasses import replace

import pytest

from permissions.replay.rerun import Observed, compared

WAS = Observed("ok", "ok", {"total": 3, "at": 1}, streams={"stdout": "a\nb"}, files={"x": "d1"})


def test_the_same_is_identical():
    found = compared(WAS, [WAS, WAS])
    assert (found.verdict, found.differences, found.noise) == ("identical", (), ())


def test_noise_is_what_the_runs_do_not_agree_on():
    runs = [replace(WAS, value={"total": 3, "at": at}) for at in (2, 3)]
    found = compared(WAS, runs)
    assert (found.verdict, found.noise) == ("equal", ("value/at",))


@pytest.mark.parametrize(
    ("again", "where", "recorded", "now"),
    [
        (replace(WAS, status="error"), "status", "ok", "error"),
        (replace(WAS, value={"total": 4, "at": 1}), "value/total", "3", "4"),
        (replace(WAS, value={"total": 3}), "value/at", "1", "(nothing)"),
        (replace(WAS, value={"total": 3, "at": 1, "a/b": []}), "value/a~1b", "(nothing)", "[]"),
        (replace(WAS, streams={"stdout": "a\nc"}), "stdout:2", "b", "c"),
        (replace(WAS, streams={"stdout": "a\nb", "stderr": "!"}), "stderr:1", "(nothing)", "!"),
        (replace(WAS, files={}), "files/x", "d1", "(nothing)"),
        (replace(WAS, error="ValueError: x"), "error", "(nothing)", "ValueError: x"),
    ],
    ids=lambda value: value if isinstance(value, str) else "again",
)
def test_what_all_runs_do_otherwise_is_a_difference(
    again: Observed, where: str, recorded: str, now: str
):
    found = compared(WAS, [again, again])
    assert found.verdict == "diverged"
    assert [(each.where, each.recorded, each.again) for each in found.differences] == [
        (where, recorded, now)
    ]


def test_a_difference_beside_noise_still_counts():
    runs = [replace(WAS, value={"total": 4, "at": at}) for at in (2, 3)]
    found = compared(WAS, runs)
    assert (found.verdict, [each.where for each in found.differences]) == (
        "diverged",
        ["value/total"],
    )


def test_what_the_record_does_not_have_is_left_out_and_said():
    again = replace(WAS, value={"total": 9}, streams={"stdout": "z"}, files={"y": "d2"})
    closed = {"value": "erased", "stdout": "too large", "files": "not recorded"}
    found = compared(WAS, [again], closed=closed)
    assert found.verdict == "identical"
    assert found.left_out == ("value: erased", "stdout: too large", "files: not recorded")
