"""Governed calls by one caller and by many, whichever version of the broker makes them.

Imports nothing of the project, so that `calls` and `before` time the same thing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

import anyio
from measure import MOST_CALLS, Timed, WrongAnswerError, timed_async

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CALLS = 1_500
OPENINGS = 5

Evidence = Literal["buffered", "written", "start-durable", "durable"]
OF_TODAY = ("written", "start-durable")
"""Levels that an earlier version need not have."""


def cases(governed: Any, small: Path) -> dict[str, Callable[[], Timed]]:
    """What is timed of `governed`, a context manager that gives a call."""
    found: dict[str, Callable[[], Timed]] = {}
    for prefix, policies in (("", small), ("shipped-", None)):
        for evidence in ("buffered", "durable", *OF_TODAY):
            found[prefix + evidence] = _alone(governed, evidence, policies)
        for callers in (8, 64):
            found[f"{prefix}durable-{callers}"] = _together(governed, callers, policies)
    return {
        **found,
        "open": _openings(governed, OPENINGS),
        "open-once": _openings(governed, 1),
        "open-new": _openings_of_new_processes,
    }


def _alone(governed: Any, evidence: Evidence, policies: Path | None) -> Callable[[], Timed]:
    """One caller, one call after the other."""

    async def run() -> Timed:
        async with governed(evidence=evidence, policies=policies) as call:
            return await timed_async(call, CALLS)

    return lambda: anyio.run(run)


def _together(governed: Any, callers: int, policies: Path | None) -> Callable[[], Timed]:
    """Many callers at once, who share signatures and syncs."""

    async def run() -> Timed:
        latencies: list[int] = []
        each = max(1, min(6_000, MOST_CALLS) // callers)
        async with governed(evidence="durable", policies=policies) as call:
            await timed_async(call, callers)

            async def caller() -> None:
                for index in range(each):
                    before = time.perf_counter_ns()
                    if not await call(index):
                        raise WrongAnswerError("one of many callers was answered wrongly")
                    latencies.append(time.perf_counter_ns() - before)

            started = time.perf_counter_ns()
            async with anyio.create_task_group() as tasks:
                for _ in range(callers):
                    tasks.start_soon(caller)
            return Timed(latencies, time.perf_counter_ns() - started)

    return lambda: anyio.run(run)


def _openings(governed: Any, count: int) -> Callable[[], Timed]:
    """A broker opened on an empty state folder, with the shipped policies."""

    async def run() -> Timed:
        latencies: list[int] = []
        for _ in range(min(count, MOST_CALLS)):
            before = time.perf_counter_ns()
            async with governed(evidence="durable", policies=None):
                latencies.append(time.perf_counter_ns() - before)
        return Timed(latencies, sum(latencies))

    return lambda: anyio.run(run)


def _openings_of_new_processes() -> Timed:
    """The same as the first thing of a process, the first of which is not counted."""
    command = [sys.executable, sys.argv[0], "open-once"]
    latencies: list[int] = []
    for _ in range(1 + min(OPENINGS, MOST_CALLS)):
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        figures = json.loads(done.stdout.splitlines()[-1])
        latencies.append(int(figures["p50_us"] * 1000))
    return Timed(latencies[1:], sum(latencies[1:]))
