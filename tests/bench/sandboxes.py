"""`print(1)` in Python, cold: by this project's sandboxes, and by what people do today."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import docker
from measure import Timed, main, timed, timed_async

from sandbox import CommandJob, SandboxProfile
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.docker import DockerSandbox

if TYPE_CHECKING:
    from sandbox import Sandbox

CALLS = 12
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
            result = await box.run(CommandJob(("python3", *CODE)), SandboxProfile())
            return result.stdout == b"1\n"

        try:
            return await timed_async(call, CALLS)
        finally:
            await box.aclose()

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
        }
    )
