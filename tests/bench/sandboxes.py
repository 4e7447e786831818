"""`print(1)` in Python: by this project's sandboxes, cold and prewarmed, and by what people do today.

A prewarmed call is timed alone: the sandbox is there before, and the next one is started after.
With several callers the starts are within the time, and some calls find none and run cold.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import docker
from image import default_image
from measure import Timed, WrongAnswerError, main, memory_of, timed, timed_async

from sandbox import PythonJob, SandboxProfile
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.backends.docker import DockerSandbox
from sandbox.backends.docker.options import LEASE_LABEL
from sandbox.backends.oci import OciSandbox
from sandbox.pool.pool import PrewarmedPool

if TYPE_CHECKING:
    from sandbox import Sandbox

CALLS = 12
PREWARMED_CALLS = 25
CALLERS = 4
CALLS_EACH = 60
PRINT = PythonJob("builtins:print", {"end": "1\n"})
PROFILE = SandboxProfile()
KERNEL = SandboxProfile(runtime="runsc")
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
        return default_image(client)
    finally:
        client.close()


def prints_one(argv: tuple[str, ...]) -> Timed:
    """Times a command that has to print 1."""

    def call(_: int) -> bool:
        done = subprocess.run(argv, capture_output=True, check=True)
        return done.stdout == b"1\n"

    return timed(call, CALLS)


def ours(box: Sandbox, profile: SandboxProfile = PROFILE) -> Timed:
    """Times a run in a fresh sandbox, from the job to its removal."""

    async def run() -> Timed:
        async def call(_: int) -> bool:
            result = await box.run(PRINT, profile)
            return result.stdout == b"1\n"

        try:
            return await timed_async(call, CALLS)
        finally:
            await box.aclose()

    return anyio.run(run)


async def prints(pool: PrewarmedPool, profile: SandboxProfile = PROFILE) -> int:
    """Nanoseconds of one run through the pool, which has to print 1."""
    before = time.perf_counter_ns()
    result = await pool.run(PRINT, profile)
    latency = time.perf_counter_ns() - before
    if result.stdout != b"1\n":
        raise WrongAnswerError("a prewarmed sandbox answered wrongly")
    return latency


def prewarmed(backend: Sandbox, profile: SandboxProfile = PROFILE) -> Timed:
    """Times runs that find a sandbox prewarmed; it is waited for in between."""

    async def run() -> Timed:
        latencies = []
        memory = 0.0
        async with PrewarmedPool(backend) as pool:
            started = time.perf_counter_ns()
            for _ in range(PREWARMED_CALLS):
                if not await pool.prepare(PRINT, profile):
                    raise WrongAnswerError("no sandbox could be prewarmed")
                memory = memory or waiting()
                latencies.append(await prints(pool, profile))
            return Timed(latencies, time.perf_counter_ns() - started, memory)

    return anyio.run(run)


def waiting() -> float:
    """MiB of the one sandbox that waits: what this process started, or the engine for it."""
    mine = f".{os.getpid()}."
    client = docker.APIClient()
    try:
        labelled = client.containers(filters={"label": LEASE_LABEL})
        for one in (one for one in labelled if mine in one["Labels"][LEASE_LABEL]):
            first = client.inspect_container(one["Id"])["State"]["Pid"]
            status = Path(f"/proc/{first}/stat").read_text().rpartition(")")[2]
            return memory_of(int(status.split()[1]))  # the shim the engine keeps for it, too
    except docker.errors.DockerException:
        pass  # no engine here
    finally:
        client.close()
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    return memory_of(*map(int, children.split()))


def sustained(backend: Sandbox) -> Timed:
    """Times callers that never pause, with every start and removal among them."""

    async def run() -> Timed:
        latencies: list[int] = []
        async with PrewarmedPool(backend, minimum=CALLERS) as pool:
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
            "runsc": lambda: ours(DockerSandbox(), KERNEL),
            "runsc-prewarmed": lambda: prewarmed(DockerSandbox(), KERNEL),
            "oci": lambda: ours(OciSandbox()),
            "oci-prewarmed": lambda: prewarmed(OciSandbox()),
            "oci-sustained": lambda: sustained(OciSandbox()),
            "docker-prewarmed": lambda: prewarmed(DockerSandbox()),
            "bubblewrap-prewarmed": lambda: prewarmed(BubblewrapSandbox()),
            "docker-sustained": lambda: sustained(DockerSandbox()),
            "bubblewrap-sustained": lambda: sustained(BubblewrapSandbox()),
        }
    )
