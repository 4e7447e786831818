"""Times one case and prints the figures as one JSON line. Standard library only.

Peers run in environments of their own, where nothing of this project can be imported, so the
clock and the arithmetic are in one file for everyone.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


MOST_CALLS = int(os.environ.get("BENCH_CALLS", "1000000"))
"""Fewer for a trial of the programs, whose figures then mean nothing."""


@dataclass(frozen=True)
class Timed:
    """Nanoseconds of each call, and of all of them together.

    `memory` is the MiB that one sandbox holds while it waits, 0 where none waits.
    """

    latencies: Sequence[int]
    elapsed: int
    memory: float = 0.0


class WrongAnswerError(Exception):
    """A case answered wrongly, so its speed means nothing."""


def timed(call: Callable[[int], bool], calls: int, *, warm_up: int | None = None) -> Timed:
    """Times calls one after the other; `call` says whether its answer was right."""
    calls = min(calls, MOST_CALLS)
    for index in range(_warm_up(calls) if warm_up is None else warm_up):
        _expect(call(index), index)
    now = time.perf_counter_ns
    latencies = []
    started = now()
    for index in range(calls):
        before = now()
        right = call(index)
        latencies.append(now() - before)
        _expect(right, index)
    return Timed(latencies, now() - started)


async def timed_async(call: Callable[[int], Awaitable[bool]], calls: int) -> Timed:
    """Times awaited calls one after the other."""
    calls = min(calls, MOST_CALLS)
    for index in range(_warm_up(calls)):
        _expect(await call(index), index)
    now = time.perf_counter_ns
    latencies = []
    started = now()
    for index in range(calls):
        before = now()
        right = await call(index)
        latencies.append(now() - before)
        _expect(right, index)
    return Timed(latencies, now() - started)


def timed_together(callers: Sequence[Callable[[int], bool]], calls: int) -> Timed:
    """Times callers in threads of their own, which never pause; `calls` of each."""

    def one(call: Callable[[int], bool]) -> list[int]:
        return list(timed(call, calls, warm_up=0).latencies)

    started = time.perf_counter_ns()
    with ThreadPoolExecutor(len(callers)) as threads:
        latencies = [each for done in threads.map(one, callers) for each in done]
    return Timed(latencies, time.perf_counter_ns() - started)


def memory_of(*processes: int) -> float:
    """MiB of processes and all below them; a page they share is counted once (PSS)."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
    found = list(processes)
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    total = 0
    for pid in found:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def main(cases: dict[str, Callable[[], Timed]]) -> None:
    """Runs the case named on the command line."""
    gc.collect()
    gc.freeze()
    measured = cases[sys.argv[1]]()
    ordered = sorted(measured.latencies)
    figures = {
        "p50_us": ordered[len(ordered) // 2] / 1e3,
        "p99_us": ordered[int(len(ordered) * 0.99)] / 1e3,
        "per_second": len(ordered) / (measured.elapsed / 1e9),
        "memory_mib": measured.memory,
    }
    sys.stdout.write("\n" + json.dumps(figures) + "\n")


def _warm_up(calls: int) -> int:
    return max(6, calls // 20)


def _expect(right: bool, index: int) -> None:  # noqa: FBT001 - it is the answer itself
    if not right:
        raise WrongAnswerError(f"call {index} was answered wrongly")
