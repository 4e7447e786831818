"""What a trace costs in processor time, written to docs/reference/trace-figures.md.

For a machine that is never idle: user and system time of this process and what it started, the
cases in turns, and the least of the rounds, since others only ever add to it. `run` measures by the
clock, on a quiet machine.

    python tests/bench/trace_costs.py [ROUNDS]
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from levels import governed
from processor import used_by
from replaying import record

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from logs import write_long_log
from verifying import WrongAnswerError, hashed, verified

from permissions.pdp.bundle import load_bundle
from permissions.replay.rows import Summary
from permissions.replay.runs import ReplaySetup, RunReplayer
from permissions.trace.index import TraceIndex
from permissions.trace.index_check import check_index
from permissions.trace.store import segments
from permissions.trace.vault import load_kek

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "trace-figures.md"
WARM_UP, CALLS = 30, 200
LOGGED = 10_000
"""Calls of the logs that are verified."""
ENTRIES = 4 * LOGGED + 5
AT_LEAST = 0.5
"""Seconds that are measured together."""
LEVELS: dict[str, dict[str, Any]] = {
    "`buffered`": {"evidence": "buffered"},
    "`written`": {"evidence": "written"},
    "`start-durable`": {"evidence": "start-durable"},
    "`durable`": {"evidence": "durable"},
    "`replicated`": {"evidence": "replicated"},
    "`witnessed` (its witness included)": {"evidence": "witnessed"},
    "`durable`, keys of epochs": {"evidence": "durable", "epoch_hours": 24},
    "`durable`, ML-DSA-44 as well": {"evidence": "durable", "post_quantum": True},
}


def spent() -> float:
    """Seconds of processor so far, of this process and of all it started that are there."""
    return used_by(os.getpid()) / 1e9


def cost(work: Callable[[], int]) -> float:
    """Microseconds of processor for each of what `work` counts, done until it is half a second."""
    before, count = spent(), 0
    while (taken := spent() - before) < AT_LEAST:
        count += work()
    return taken / count * 1e6


def indexed(log: Path) -> int:
    """What a command does first that believes no index."""
    if TraceIndex(log, None).entry(ENTRIES - 1) is None:
        raise WrongAnswerError("the index lacks the last entry")
    return ENTRIES


def compared(log: Path) -> int:
    """What `trace verify` does to an index, beside verifying the log."""
    index = TraceIndex(log, log / "index")
    index.entry(0)  # makes it, once
    found = check_index(log, index.file)
    if found is None or found.faults or found.skipped:
        raise WrongAnswerError(f"the index does not fit: {found}")
    return ENTRIES


async def call_cost(trace: dict[str, Any]) -> float:
    """Of one governed call; broker, evaluator and witness are there already."""
    async with governed(trace) as call:
        for index in range(WARM_UP):
            assert await call(index)
        before = spent()
        for index in range(CALLS):
            assert await call(index)
        return (spent() - before) / CALLS * 1e6


async def replay_cost(setup: ReplaySetup, runs: list[tuple[str, int]]) -> float:
    """Of one recorded decision made again, by one process and its evaluator."""
    async with RunReplayer(setup) as replayer:
        await replayer.run(*runs[0])
        before, summary = spent(), Summary()
        for run, last in runs:
            summary.merge((await replayer.run(run, last)).summary)
        assert summary.identical == summary.decisions
        return (spent() - before) / summary.decisions * 1e6


def main(rounds: int) -> None:
    """Measures in turns and writes the page."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as made:
        folder = Path(made)
        for name, together in (("alone", 1), ("together", 500)):
            (folder / name).mkdir()
            write_long_log(folder / name, calls=LOGGED, together=together)
        layout = anyio.run(record, folder / "state", 25)
        size = sum(len(each.read_bytes().rstrip(b"\0")) for each in segments(layout.trace))
        bundle = load_bundle()
        setup = ReplaySetup(
            layout.trace,
            layout.index,
            load_kek(layout.kek),
            layout.bundles,
            under=str(bundle.revision),
            candidate=(dict(bundle.modules), bundle.data),
        )
        runs = TraceIndex(layout.trace, layout.index).runs()
        cases: dict[str, Callable[[], float]] = {
            "lines read and hashed": lambda: cost(partial(hashed, folder / "together")),
            "verify, a checkpoint for each call": lambda: cost(
                partial(verified, folder / "alone")
            ),
            "verify, a checkpoint for 500 calls": lambda: cost(
                partial(verified, folder / "together")
            ),
            "verify, every content opened": lambda: cost(
                partial(verified, folder / "together", opened=True)
            ),
            "index made from the log": lambda: cost(partial(indexed, folder / "alone")),
            "index compared with the log": lambda: cost(partial(compared, folder / "alone")),
            "what-if, from the log to the matrix": partial(anyio.run, replay_cost, setup, runs),
            **{name: partial(anyio.run, call_cost, trace) for name, trace in LEVELS.items()},
        }
        found: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, case in cases.items():
                found[name].append(case())
                sys.stderr.write(f"{name}: {found[name][-1]:.1f} us\n")
    least = {name: min(each) for name, each in found.items()}
    PAGE.write_text(page(least, rounds, size / (40 * 25), load=load))


def page(least: dict[str, float], rounds: int, per_call: float, *, load: float) -> str:
    """The page, with goals; `load` is the machine's before it began."""
    verify = {
        name: each
        for name, each in least.items()
        if name.startswith(("lines", "verify", "index"))
    }
    what_if = least["what-if, from the log to the matrix"]
    lines = [
        "# What a trace costs",
        "",
        "Written by `python tests/bench/trace_costs.py`; do not edit.",
        (
            "Processor time, user and system, of a process and what it started: the least of"
            f" {rounds} rounds in turns."
        ),
        "By the clock, beside other projects: [benchmarks](benchmarks.md).",
        "",
        (
            f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()},"
            f" {os.cpu_count()} processors, load {load:.1f} before it began."
        ),
        "",
        "## Verify",
        "",
        "| what | an entry | entries/s on one core | goal |",
        "|---|---:|---:|---:|",
    ]
    goals = {
        "verify, a checkpoint for each call": "100,000",
        "verify, a checkpoint for 500 calls": "200,000",
    }
    lines += [
        f"| {name} | {each:.1f} µs | {1e6 / each:,.0f} | {goals.get(name, '')} |"
        for name, each in verify.items()
    ]
    lines += [
        "",
        (
            "Every line is parsed, written again and compared, hashed into the tree, and every entry"
            " held to the story of its call; no check is left out."
        ),
        (
            "A fifth of an entry's time is SHA-256 (its line, its content, its nodes), an eighth JSON,"
            " a tenth memory, and the rest the interpreter over many small checks, by `py-spy`."
        ),
        (
            "An index is made from the log by a command that names a folder (`--dir`), and `trace"
            " verify` compares the one of a state folder, both once and beside what they do."
        ),
        "",
        "## What-if replay",
        "",
        "| what | a decision | decisions/s on two cores | goal |",
        "|---|---:|---:|---:|",
        (
            f"| from the log to the matrix, shipped policies | {what_if:,.0f} µs |"
            f" {2e6 / what_if:,.0f} | 2,500 |"
        ),
        "",
        (
            "More than four fifths of it are the policy engine itself, which evaluates the shipped"
            " policies anew for each recorded input; what is around it takes less than a fifth."
        ),
        "",
        "## A governed call, by level of evidence",
        "",
        (
            "A tool that does nothing, a small policy, one caller; with the evaluator, and the syncs'"
            " own processor time, but not the time a disk or a witness lets one wait."
        ),
        "",
        "| level | a call | times `buffered` |",
        "|---|---:|---:|",
    ]
    first = least["`buffered`"]
    lines += [
        f"| {name} | {least[name]:,.0f} µs | {least[name] / first:.2f} |" for name in LEVELS
    ]
    lines += [
        "",
        "## Bytes",
        "",
        (
            f"A call under the shipped policies, recorded `buffered`: {per_call:,.0f} bytes in the log"
            " (goal 2.5 KB). `tests/integration/test_trace_size.py` holds it below 2,600, and a"
            " `durable` call alone, with two checkpoints of its own, below 3,000."
        ),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
