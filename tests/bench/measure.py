"""Times one case and prints the figures as one JSON line. Standard library only.

Peers run in environments of their own, where nothing of this project can be imported, so the
clock and the arithmetic are in one file for everyone.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


@dataclass(frozen=True)
class Timed:
    """Nanoseconds of each call, and of all of them together."""

    latencies: Sequence[int]
    wall: int


class WrongAnswerError(Exception):
    """A case answered wrongly, so its speed means nothing."""


def timed(call: Callable[[int], bool], calls: int) -> Timed:
    """Times calls one after the other; `call` says whether its answer was right."""
    for index in range(_warm_up(calls)):
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


def main(cases: dict[str, Callable[[], Timed]]) -> None:
    """Runs the case named on the command line."""
    gc.collect()
    gc.freeze()
    measured = cases[sys.argv[1]]()
    ordered = sorted(measured.latencies)
    figures = {
        "p50_us": ordered[len(ordered) // 2] / 1e3,
        "p99_us": ordered[int(len(ordered) * 0.99)] / 1e3,
        "per_second": len(ordered) / (measured.wall / 1e9),
    }
    sys.stdout.write("\n" + json.dumps(figures) + "\n")


def _warm_up(calls: int) -> int:
    return max(6, calls // 20)


def _expect(right: bool, index: int) -> None:  # noqa: FBT001 - it is the answer itself
    if not right:
        raise WrongAnswerError(f"call {index} was answered wrongly")
