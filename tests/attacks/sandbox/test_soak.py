"""Two thousand calls with every fault we can inject, over the backends at hand: nothing stays.

The calls are shared between the backends by their speed. What an innocent call may end as is
wide, because a fault that is injected meets whoever is there; that each fault was met, and what
is left afterwards, is not.
"""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import pytest
from backends import leftovers
from pools import PROFILE, Faulty, belongings, fmean, kill, restless

from sandbox import (
    CommandJob,
    PythonJob,
    SandboxProfile,
    SandboxProviderError,
)
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.backends.docker import DockerSandbox
from sandbox.backends.docker.engine import Engine
from sandbox.conformance import call
from sandbox.errors import SandboxUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sandbox import ExecResult, Job
    from sandbox.pool.pool import PrewarmedPool

MEBIBYTE = 1024 * 1024
CLIENTS = 6
CYCLE = 50
"""Calls after which the faults come round again."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave, or to be treated badly, and how such a call ends by itself."""

    name: str
    ends_as: frozenset[str]


FLOOD = Fault("flood", frozenset({"output"}))
MEMORY = Fault("eat_memory", frozenset({"oom", "raised"}))
SLEEP = Fault("sleep", frozenset({"timeout"}))
RAISE = Fault("fail", frozenset({"raised"}))
LEAVE = Fault("leave", frozenset({"exit"}))
ORPHANS = Fault("orphans", frozenset({"ok"}))
CANCEL = Fault("cancel", frozenset({"cancelled"}))
NONE = Fault("none", frozenset({"ok"}))
FAULTS = {3: FLOOD, 9: RAISE, 13: MEMORY, 19: CANCEL, 24: SLEEP, 31: LEAVE, 38: ORPHANS}
KILLS = {7: "runner", 27: "child"}
COMMANDS: dict[str, Job] = {
    "sleep": CommandJob(("sleep", "60")),
    "cancel": CommandJob(("sleep", "60")),
    "orphans": CommandJob(("sh", "-c", "setsid sleep 60 & setsid sleep 60 & exit 0")),
}
HURT = {"provider", "signal", "exit", "raised"}
"""What a call ends as when its sandbox was killed by us."""


async def run(pool: PrewarmedPool, fault: Fault, number: int) -> ExecResult:
    """One call with its fault."""
    profile, arguments = PROFILE, {}
    match fault.name:
        case "flood":
            profile = SandboxProfile(output_bytes=10)
        case "eat_memory":
            profile = SandboxProfile(memory_bytes=64 * MEBIBYTE)
            arguments = {"total": 512 * MEBIBYTE}
        case "fail":
            arguments = {"message": "so it is"}
        case "leave":
            arguments = {"code": 7, "hard": True}
        case _:
            profile = SandboxProfile(wall_seconds=0.2) if fault is SLEEP else PROFILE
            job = COMMANDS.get(fault.name, PythonJob("statistics:fmean", {"data": [number]}))
            return await pool.run(job, profile)
    return await call(pool, fault.name, profile, **arguments)


async def ended(pool: PrewarmedPool, fault: Fault, number: int) -> str:
    """How that call ended, in one word."""
    # Anywhere between its first step and its running.
    patience = 0.01 * (number % 23) if fault is CANCEL else float("inf")
    with anyio.move_on_after(patience):
        try:
            result = await run(pool, fault, number)
        except SandboxProviderError:
            return "provider"
        if fault is NONE:
            assert result.value in {number, None}
        return result.verdict
    return "cancelled"


async def client(
    pool: PrewarmedPool, numbers: Iterable[int], ends: Counter[tuple[str, str]]
) -> None:
    """Calls one after the other, and kills others' sandboxes meanwhile."""
    for number in numbers:
        path = number % CYCLE
        if path in KILLS:
            await anyio.to_thread.run_sync(kill, KILLS[path])
        fault = FAULTS.get(path, NONE)
        end = await ended(pool, fault, number)
        assert end in fault.ends_as | HURT, (fault, end)
        ends[fault.name, end] += 1


def was_met(fault: Fault, ends: Counter[tuple[str, str]]) -> bool:
    """Whether a call of this kind ended as it does by itself."""
    return any(ends[fault.name, end] for end in fault.ends_as)


def possessions(folder: Path) -> Counter[str]:
    """All that a sandbox could leave with its owner or on the machine."""
    held = belongings()
    # Workers belong to the event loop, which keeps some for a while.
    names = {each.name for each in threading.enumerate()}
    held.update(f"thread {name}" for name in names if not name.startswith("AnyIO worker"))
    held.update(f"file {entry.name}" for entry in folder.iterdir())
    held.update(f"volume {name}" for name in volumes())
    return held


def volumes() -> set[str]:
    """Volumes that no container uses."""
    try:
        engine = Engine.connect()
    except SandboxUnavailableError:
        return set()
    with closing(engine):
        unused = engine.client.volumes(filters={"dangling": True})["Volumes"] or []
    return {volume["Name"] for volume in unused}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("backend", "calls"),
    [
        pytest.param(
            DockerSandbox, 120, id="docker", marks=[pytest.mark.docker, pytest.mark.long]
        ),
        pytest.param(
            BubblewrapSandbox,
            1880,
            id="bubblewrap",
            marks=[pytest.mark.bwrap, pytest.mark.long],
        ),
        pytest.param(
            BubblewrapSandbox, 240, id="short", marks=[pytest.mark.bwrap, pytest.mark.slow]
        ),
    ],
)
async def test_a_soak_leaves_nothing(
    backend: type, calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is left is looked for in a folder that no other test writes to.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with backend() as first:
        await first.run(fmean(1), PROFILE)
    before = possessions(tmp_path)
    ends: Counter[tuple[str, str]] = Counter()

    async with restless(Faulty(backend())) as pool:
        async with anyio.create_task_group() as clients:
            for start in range(CLIENTS):
                clients.start_soon(client, pool, range(start, calls, CLIENTS), ends)
        # Somebody's kills may have met each call with a fault; now nobody kills.
        unmet = [path for path, fault in FAULTS.items() if not was_met(fault, ends)]
        await client(pool, unmet, ends)
        metrics = pool.metrics

    assert ends.total() == calls + len(unmet)
    assert [fault for fault in (NONE, *FAULTS.values()) if not was_met(fault, ends)] == []
    assert metrics.hits > 0
    assert metrics.failed > 0
    assert leftovers() == []
    assert not possessions(tmp_path) - before
