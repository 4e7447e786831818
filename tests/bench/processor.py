"""What a `durable` call costs in processor time, whoever spends it: callers, daemon, evaluators.

User and system time of every process that takes part, from the first call to the last, so that
what else the machine does changes little. Starting them and opening sessions is no part of it.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from calls import POLICY, governed
from daemon import CALLERS, PROCESSES, asked, broker_at, serving
from measure import MOST_CALLS, Timed, WrongAnswerError, main

from permissions.sessions.open import open_session

if TYPE_CHECKING:
    from collections.abc import Callable

ALONE = 1_000
TOGETHER = 3_200


def used_by(pid: int) -> int:
    """Nanoseconds that a process and all below it have used."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
    found, total = [pid], 0
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
        with suppress(OSError):
            total += time.clock_gettime_ns((~each << 3) | 2)
    return total


def _per_call(used: int, calls: int) -> Timed:
    return Timed([used // calls], used // calls)


def in_process(callers: int) -> Timed:
    """By a broker in the callers' own process."""
    own = anyio.run(_in_process, callers)
    return _per_call(*own)


async def _in_process(callers: int) -> tuple[int, int]:
    from os import getpid

    each = max(1, min(ALONE if callers == 1 else TOGETHER, MOST_CALLS) // callers)
    async with governed(evidence="durable", policies=POLICY) as call:

        async def caller(times: int) -> None:
            for number in range(times):
                if not await call(number):
                    raise WrongAnswerError("a caller was answered wrongly")

        await caller(5)
        before = used_by(getpid())
        async with anyio.create_task_group() as tasks:
            for _ in range(callers):
                tasks.start_soon(caller, each)
        return used_by(getpid()) - before, callers * each


def by_daemon_alone() -> Timed:
    """By a daemon, for one caller in this process."""

    async def run(address: str, token: str) -> tuple[int, int]:
        daemon, calls = _pid_of(address), min(ALONE, MOST_CALLS)
        broker = broker_at(address, token)
        async with open_session(broker, agent="bench", roles=["analyst"]) as session:  # type: ignore[arg-type]
            for _ in range(5):
                await asked(broker, session)  # type: ignore[arg-type]
            before, own = used_by(daemon), time.process_time_ns()
            for _ in range(calls):
                await asked(broker, session)  # type: ignore[arg-type]
            return used_by(daemon) - before + time.process_time_ns() - own, calls

    with serving("durable") as there:
        return _per_call(*anyio.run(run, *there))


def by_daemon_together() -> Timed:
    """By a daemon, for four processes of sixteen callers."""
    each = max(1, min(TOGETHER, MOST_CALLS) // (PROCESSES * CALLERS))
    with serving("durable") as there:
        daemon = _pid_of(there[0])
        program = [sys.executable, str(Path(__file__).with_name("daemon.py"))]
        before = used_by(daemon)
        clients = [
            subprocess.Popen([*program, "client", *there, str(each)], stdout=subprocess.PIPE)
            for _ in range(PROCESSES)
        ]
        found = [json.loads(client.communicate()[0]) for client in clients]
        used = used_by(daemon) - before
    return _per_call(used + sum(one["processor"] for one in found), PROCESSES * CALLERS * each)


def _pid_of(address: str) -> int:
    """The process that listens on a socket."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(address.removeprefix("unix:"))
        pid, _, _ = struct.unpack(
            "3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        )
    return int(pid)


CASES: dict[str, Callable[[], Timed]] = {
    "alone": lambda: in_process(1),
    "alone-daemon": by_daemon_alone,
    "64": lambda: in_process(PROCESSES * CALLERS),
    "64-daemon": by_daemon_together,
}

if __name__ == "__main__":
    main(CASES)
