"""`print(1)` in Python: by this project's sandboxes, cold and armed, and by what people do today.

An armed call is timed alone: the sandbox is there before, and the next one is started after.
With several callers the starts are within the time, and some calls find none and run cold.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import anyio
import docker
from measure import Timed, WrongAnswerError, main, timed, timed_async

from sandbox import CommandJob, PythonJob, SandboxProfile
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.docker import DockerSandbox
from sandbox.pool import ArmedPool

if TYPE_CHECKING:
    from sandbox import Sandbox
    from sandbox.base import ArmingSandbox

CALLS = 12
ARMED_CALLS = 25
CALLERS = 4
CALLS_EACH = 60
PRINT = PythonJob("builtins:print", {"end": "1\n"})
PROFILE = SandboxProfile()
CODE = ("-c", "print(1)")
HARDENED = (
    "--rm",
    "--network=none",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory=256m",
    "--pids-limit=64",
    "--cpus=1",
    "--user=65534:65534",
)


def image() -> str:
    """The default sandbox image, so that everyone starts the same files."""
    client = docker.from_env()
    try:
        found = client.images.list(filters={"label": "io.wardline.image=default"})
    finally:
        client.close()
    return str(found[0].id)


def prints_one(argv: tuple[str, ...]) -> Timed:
    """Times a command that has to print 1."""

    def call(_: int) -> bool:
        done = subprocess.run(argv, capture_output=True, check=True)
        return done.stdout == b"1\n"

    return timed(call, CALLS)


def ours(box: Sandbox) -> Timed:
    """Times a run in a fresh sandbox, from the job to its removal."""

    async def run() -> Timed:
        async def call(_: int) -> bool:
            result = await box.run(CommandJob(("python3", *CODE)), PROFILE)
            return result.stdout == b"1\n"

        try:
            return await timed_async(call, CALLS)
        finally:
            await box.aclose()

    return anyio.run(run)


async def prints(pool: ArmedPool) -> int:
    """Nanoseconds of one run through the pool, which has to print 1."""
    before = time.perf_counter_ns()
    result = await pool.run(PRINT, PROFILE)
    latency = time.perf_counter_ns() - before
    if result.stdout != b"1\n":
        raise WrongAnswerError("an armed sandbox answered wrongly")
    return latency


def armed(backend: ArmingSandbox) -> Timed:
    """Times runs that find a sandbox armed; it is waited for in between."""

    async def run() -> Timed:
        latencies = []
        async with ArmedPool(backend) as pool:
            started = time.perf_counter_ns()
            for _ in range(ARMED_CALLS):
                if not await pool.prepare(PRINT, PROFILE):
                    raise WrongAnswerError("no sandbox could be armed")
                latencies.append(await prints(pool))
            return Timed(latencies, time.perf_counter_ns() - started)

    return anyio.run(run)


def sustained(backend: ArmingSandbox) -> Timed:
    """Times callers that never pause, with every start and removal among them."""

    async def run() -> Timed:
        latencies: list[int] = []
        async with ArmedPool(backend, minimum=CALLERS) as pool:
            await pool.prepare(PRINT, PROFILE)

            async def caller() -> None:
                latencies.extend([await prints(pool) for _ in range(CALLS_EACH)])

            started = time.perf_counter_ns()
            async with anyio.create_task_group() as callers:
                for _ in range(CALLERS):
                    callers.start_soon(caller)
            return Timed(latencies, time.perf_counter_ns() - started)

    return anyio.run(run)


if __name__ == "__main__":
    main(
        {
            "bare": lambda: prints_one((sys.executable, *CODE)),
            "docker-run": lambda: prints_one(
                (str(shutil.which("docker")), "run", *HARDENED, image(), "python3", *CODE)
            ),
            "docker": lambda: ours(DockerSandbox()),
            "bubblewrap": lambda: ours(BubblewrapSandbox()),
            "docker-armed": lambda: armed(DockerSandbox()),
            "bubblewrap-armed": lambda: armed(BubblewrapSandbox()),
            "docker-sustained": lambda: sustained(DockerSandbox()),
            "bubblewrap-sustained": lambda: sustained(BubblewrapSandbox()),
        }
    )
