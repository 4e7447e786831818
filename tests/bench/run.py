"""Runs every case beside its peer and writes docs/benchmarks.md.

Each case is a process of its own. Cases are run in rounds, so that slow drift of a shared
machine spreads over all of them; a figure is the median over rounds. Only ratios within one
run mean something; the absolute figures are those of the machine it ran on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
TOOLKIT = ROOT / ".bench" / "toolkit"
TOOLKIT_PINS = ("agent-governance-toolkit-core==5.0.0", "agt-policies==5.0.0")
CASE_SECONDS = 300
HEAD = (
    "# Benchmarks",
    "",
    "Written by `make bench`; do not edit.",
    "Each case is a process of its own, run in turns with its peers, and checks its answers.",
    "Only the ratios mean something; the absolute figures are one machine's at one time.",
    "",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One way to do a piece of work: a program of this folder, and the case in it."""

    who: str
    program: str
    name: str
    needs: str = ""

    @property
    def interpreter(self) -> str:
        """Peers run in their own environment."""
        own = self.program != "toolkit"
        return sys.executable if own else str(TOOLKIT / "bin" / "python")


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work and those who do it. The first one is what the others are compared to."""

    title: str
    cases: tuple[Case, ...]


WORKS = (
    Work(
        "One decision in Rego, small policy",
        (
            Case("toolkit 5, Rego through `opa eval`", "toolkit", "rego", "opa"),
            Case("toolkit 5, its own fixed rules", "toolkit", "rules"),
            Case("Wardline, evaluator in its own process", "decisions", "isolated"),
            Case("Wardline's engine, in the caller's process", "decisions", "in-process"),
        ),
    ),
    Work(
        "A full governed call of a tool that does nothing",
        (
            Case("toolkit 5 `govern()`: unsigned, in memory", "toolkit", "governed"),
            Case("Wardline, `buffered`: signed", "calls", "buffered"),
            Case("Wardline, `durable`: signed, on disk before and after", "calls", "durable"),
            Case("Wardline, `durable`, 64 callers", "calls", "durable-together"),
            Case("Wardline, `durable`, the shipped policies", "calls", "shipped"),
        ),
    ),
    Work(
        "`print(1)` in Python, cold",
        (
            Case("hardened `docker run`", "sandboxes", "docker-run", "docker"),
            Case("Wardline, Docker", "sandboxes", "docker", "docker"),
            Case("Wardline, bubblewrap", "sandboxes", "bubblewrap"),
            Case("no sandbox: `python3 -c`", "sandboxes", "bare"),
        ),
    ),
    Work(
        "`print(1)` in Python, in a single-use sandbox that was armed",
        (
            Case("no sandbox: `python3 -c`", "sandboxes", "bare"),
            Case("Wardline, Docker, armed", "sandboxes", "docker-armed", "docker"),
            Case("Wardline, bubblewrap, armed", "sandboxes", "bubblewrap-armed"),
            Case("Wardline, Docker, 4 callers", "sandboxes", "docker-sustained", "docker"),
            Case("Wardline, bubblewrap, 4 callers", "sandboxes", "bubblewrap-sustained"),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the rounds, in microseconds and calls per second."""

    p50: float
    p99: float
    per_second: float


def prepare_toolkit() -> None:
    """Lays the peer's environment, away from the project's."""
    if (TOOLKIT / ".ready").exists():
        return
    subprocess.run(["uv", "venv", "--quiet", "--clear", str(TOOLKIT)], check=True)
    python = str(TOOLKIT / "bin" / "python")
    subprocess.run(
        ["uv", "pip", "install", "--quiet", "--python", python, *TOOLKIT_PINS], check=True
    )
    (TOOLKIT / ".ready").touch()


def measure(case: Case) -> dict[str, float]:
    """One process, one case.

    Raises:
        RuntimeError: it failed; a case that cannot be measured is not left out quietly.
    """
    done = subprocess.run(
        [case.interpreter, str(HERE / f"{case.program}.py"), case.name],
        cwd=ROOT / ".bench",
        capture_output=True,
        text=True,
        check=False,
        timeout=CASE_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{case.program} {case.name}: {done.stderr.strip()[-800:]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def run(works: tuple[Work, ...], rounds: int) -> dict[Case, Figures]:
    """Every case that can be measured here, round after round."""
    named = dict.fromkeys(case for work in works for case in work.cases)
    cases = [case for case in named if _at_hand(case)]
    runs: dict[Case, list[dict[str, float]]] = {case: [] for case in cases}
    for number in range(1, rounds + 1):
        for case in cases:
            runs[case].append(measure(case))
            sys.stderr.write(f"round {number}: {case.who}: {runs[case][-1]['p50_us']:.0f} us\n")
    return {
        case: Figures(
            *(
                statistics.median(each[key] for each in measured)
                for key in ("p50_us", "p99_us", "per_second")
            )
        )
        for case, measured in runs.items()
    }


def _at_hand(case: Case) -> bool:
    if not case.needs or shutil.which(case.needs):
        return True
    sys.stderr.write(f"NOT MEASURED: {case.who}: no `{case.needs}` on PATH\n")
    return False


def page(works: tuple[Work, ...], figures: dict[Case, Figures], rounds: int) -> str:
    """The page, ratios first."""
    lines = [*HEAD, _circumstances(rounds)]
    for work in works:
        lines += [
            "",
            f"## {work.title}",
            "",
            "| who | times the first | p50 | p99 | per second |",
        ]
        lines += ["|---|---:|---:|---:|---:|"]
        base = next((figures[case] for case in work.cases if case in figures), None)
        for case in work.cases:
            one = figures.get(case)
            if one is None or base is None:
                lines.append(f"| {case.who} | not measured: no `{case.needs}` here | | | |")
                continue
            lines.append(
                f"| {case.who} | {_ratio(one.p50 / base.p50)} | {_time(one.p50)} |"
                f" {_time(one.p99)} | {one.per_second:,.0f} |"
            )
    return "\n".join(lines) + "\n"


def _circumstances(rounds: int) -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()},"
        f" {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f},"
        f" medians of {rounds} rounds."
    )


def _ratio(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _time(microseconds: float) -> str:
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    return f"{microseconds / 1000:.1f} ms"


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="works whose title contains this")
    parser.add_argument("--print", action="store_true", help="write to stdout, not to the page")
    options = parser.parse_args()
    works = tuple(work for work in WORKS if options.only.lower() in work.title.lower())
    (ROOT / ".bench").mkdir(exist_ok=True)
    prepare_toolkit()
    text = page(works, run(works, options.rounds), options.rounds)
    if options.print or options.only:
        sys.stdout.write(text)
    else:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
