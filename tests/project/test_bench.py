"""The benchmark page says what was measured, beside whom, and what was not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "bench"

sys.path.insert(0, str(BENCH))
from history import append, last, machine, slower  # noqa: E402 - a folder of programs
from pictures import draw, name_of  # noqa: E402
from run import LOAD, WORKS, Case, Figures, Work, page, record  # noqa: E402

FIRST = Case("a peer", "toolkit", "rules")
SECOND = Case("us", "decisions", "isolated")
ABSENT = Case("somebody else", "sandboxes", "docker", "no-such-program")
WORK = Work("A piece of work", (FIRST, SECOND, ABSENT))


def test_figures_are_ratios_to_the_first() -> None:
    """Twice as slow reads 2.00, whatever the unit."""
    text = page((WORK,), {FIRST: Figures(600, 900, 1), SECOND: Figures(1200, 1800, 2)}, 3)

    assert "| a peer | 1.00 | 600 µs | 900 µs | 1 |" in text
    assert "| us | 2.00 | 1.2 ms | 1.8 ms | 2 |" in text


def test_what_was_not_measured_is_said() -> None:
    """A missing service leaves a row that says so, not a shorter table."""
    text = page((WORK,), {FIRST: Figures(600, 900, 1), SECOND: Figures(600, 900, 1)}, 3)

    assert "| somebody else | not measured: no `no-such-program` on PATH | | | |" in text


def test_memory_is_a_column_where_something_waits() -> None:
    """A work in which nothing waits has none."""
    text = page(
        (WORK,), {FIRST: Figures(600, 900, 1), SECOND: Figures(600, 900, 1, memory=5.2)}, 3
    )

    assert "| us | 1.00 | 600 µs | 900 µs | 1 | 5 MiB |" in text


def test_each_work_has_a_peer_to_compare_with() -> None:
    """No table holds only our own figures."""
    assert [
        work.title
        for work in WORKS
        if all(case.who.startswith("Wardline") for case in work.cases)
    ] == []


def test_a_wrong_answer_is_no_figure(tmp_path: Path) -> None:
    """A case that answers wrongly fails instead of being fast."""
    (tmp_path / "wrong.py").write_text(
        f"import sys; sys.path.insert(0, {str(BENCH)!r})\n"
        "from measure import main, timed\n"
        "main({'case': lambda: timed(lambda index: index < 5, 100)})\n"
    )

    done = subprocess.run(
        [sys.executable, "wrong.py", "case"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )

    assert done.returncode != 0
    assert "answered wrongly" in done.stderr


def test_a_spread_stands_beside_its_median() -> None:
    text = page(
        (WORK,), {FIRST: Figures(600, 900, 1), SECOND: Figures(600, 900, 1, spread=0.04)}, 3
    )

    assert "| us | 1.00 | 600 µs ±4% | 900 µs | 1 |" in text


def test_a_busy_machine_is_said() -> None:
    figures = {FIRST: Figures(600, 900, 1)}

    assert "The machine was busy" in page((WORK,), figures, 3, load=LOAD + 0.1)
    assert "The machine was busy" not in page((WORK,), figures, 3, load=LOAD)


OURS = Case("Wardline, something", "calls", "buffered")


def run_of(microseconds: float, *, spread: float = 0.02, load: float = 0.3) -> dict[str, Any]:
    figures = {
        OURS: Figures(microseconds, 900, 1, spread=spread),
        FIRST: Figures(microseconds, 900, 1, spread=spread),
    }
    return record(figures, rounds=3, load=load)


@pytest.mark.parametrize(
    ("before", "now", "is_slower"),
    [
        (run_of(100), run_of(113), True),
        (run_of(100), run_of(111), False),
        (run_of(100, spread=0.1), run_of(140, spread=0.1), False),
        (run_of(100), run_of(50), False),
    ],
    ids=["slower", "within a tenth and the spreads", "within wide spreads", "faster"],
)
def test_what_is_slower_beyond_noise_is_named(
    before: dict[str, Any], now: dict[str, Any], *, is_slower: bool
) -> None:
    """Of this project, not of its peers."""
    assert [each.split(":")[0] for each in slower(before, now)] == [
        "calls buffered"
    ] * is_slower


def test_runs_are_compared_on_one_machine_and_when_it_was_quiet(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    assert last(history) is None

    quiet = run_of(100)
    for each in (quiet, run_of(200, load=LOAD + 1), {**run_of(300), "machine": "another"}):
        append(history, each)

    assert last(history) == quiet
    assert quiet["machine"] == machine()


def test_a_busy_machine_is_refused(tmp_path: Path) -> None:
    """Before anything is measured or written."""
    program = (
        f"import os, sys; sys.path.insert(0, {str(BENCH)!r}); sys.argv[1:] = ['--print']\n"
        "os.getloadavg = lambda: (9.0, 9.0, 9.0)\n"
        "import run; sys.exit(run.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )

    assert done.returncode == 2
    assert "--busy" in done.stderr
    assert done.stdout == ""


def test_a_picture_holds_everyones_name(tmp_path: Path) -> None:
    picture = tmp_path / name_of("A piece of work: `x`, 1")
    draw("A piece of work", [("a peer", 600.0, 20.0), ("Wardline", 12.0, 1.0)], picture)

    text = picture.read_text("utf-8")
    assert picture.name == "benchmark-a-piece-of-work-x-1.svg"
    assert "a peer" in text
    assert "Wardline" in text
