"""The benchmark page says what was measured, beside whom, and what was not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[1] / "bench"

sys.path.insert(0, str(BENCH))
from run import WORKS, Case, Figures, Work, page  # noqa: E402 - a folder of programs

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
