"""A backend with a runtime that puts a kernel of its own around each job: gVisor, Kata.

What it does not protect from: a bug of that kernel or of its monitor. The limits of the profile
are asked for as always, but it is that kernel which keeps them, and it may keep fewer: see
`wardline sandbox probe`, which has a column for it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxUnavailableError
from sandbox.job import CommandJob
from sandbox.profile import EGRESS
from sandbox.protocol import Sandbox
from sandbox.supervisor.wire import encode_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.profile import SandboxProfile
    from sandbox.protocol import Availability, RunRequest, StartedSandbox
    from sandbox.result import ExecResult, Isolation
    from sandbox.supervisor.wire import EncodedJob


KERNEL_RUNTIMES = frozenset({"runsc", "kata", "kata-runtime", "io.containerd.kata.v2"})
"""Names of runtimes that put a kernel of their own between the job and the host's. A name is a
claim: whether it is one is measured."""

OWN_PROCESSES, PER_PROCESS = 96, 8
"""What such a kernel needs of the host's processes for itself, and for each one of its job:
gVisor's has fifty threads, and five more for each."""

KEPT_INSIDE = {"processes": "per user", "files": "not limited"}
"""For the record of a run: what that kernel counts in its own way, or not at all."""

KERNEL_JOB = CommandJob(("cat", "/proc/sys/kernel/random/boot_id", "/proc/version"))
"""Prints which kernel it runs on. One that has no `boot_id` (gVisor's) still has a version."""
_BOOT_ID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def group_processes(processes: int) -> int:
    """The limit on the host for a kernel with a job of so many processes.

    It bounds what the host gives. The job meets its own kernel's limit first, because a kernel
    that is refused a thread ends with all that runs on it.
    """
    return OWN_PROCESSES + PER_PROCESS * processes


def require_no_egress(profile: SandboxProfile, runtime: object) -> None:
    """Refuses a job that such a kernel would let reach nothing, instead of what it may reach.

    Args:
        profile: as a backend gets it, with the folder of the proxy's socket mounted.
        runtime: that would run it.

    Raises:
        SandboxUnavailableError: its kernel passes on no socket of the host (gVisor's with
            `--host-uds` could; nobody has tried it).
    """
    if runtime in KERNEL_RUNTIMES and any(mount.target == EGRESS for mount in profile.mounts):
        raise SandboxUnavailableError(
            f"{runtime} passes on no socket of the host, so its jobs reach no listed host",
            "demand the isolation `container` for this tool, or a profile without egress",
        )


def is_other_kernel(stdout: bytes) -> bool:
    """Whether what `KERNEL_JOB` printed is of another kernel than this one."""
    lines = stdout.splitlines()
    if lines and _BOOT_ID.fullmatch(lines[0]):
        return lines[0] != Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    version = Path("/proc/version").read_bytes().strip()
    return len(lines) == 1 and lines[0].startswith(b"Linux version") and lines[0] != version


async def measured(started: StartedSandbox, profile: SandboxProfile) -> bool:
    """Runs `KERNEL_JOB` in a started sandbox; whether it has a kernel of its own."""
    result = await started.run(encode_job(KERNEL_JOB, profile, files={}))
    return is_other_kernel(result.stdout)


def kernel_runtime(facts: Mapping[str, object]) -> str | None:
    """A runtime that was measured to have its own kernel, among a backend's facts; None without."""
    runtimes = facts.get("kernel_runtimes")
    known = runtimes if isinstance(runtimes, list) else []
    return min(KERNEL_RUNTIMES.intersection(known), default=None)


def refused_runtimes(facts: Mapping[str, object]) -> dict[str, str]:
    """Runtimes that are there for a kernel of their own and give none, each with why."""
    refused = facts.get("runtimes_refused")
    known = refused if isinstance(refused, dict) else {}
    return {name: str(known[name]) for name in sorted(KERNEL_RUNTIMES.intersection(known))}


class KernelSandbox(Sandbox):
    """A `Sandbox` whose jobs never run on the host's kernel.

    Args:
        backend: has such a runtime; stays its owner's to close.
        runtime: one of `KERNEL_RUNTIMES`, as the backend names it.
    """

    isolation: Isolation = "kernel"

    def __init__(self, backend: Sandbox, runtime: str) -> None:
        self.name = backend.name
        self._backend = backend
        self._runtime = runtime

    async def probe(self) -> Availability:
        """See `Sandbox`."""
        return await self._backend.probe()

    async def start(self, request: RunRequest) -> StartedSandbox:
        """See `Sandbox`.

        Raises:
            SandboxUnavailableError: the profile names a runtime on the host's own kernel.
        """
        inner = replace(request, profile=self._on_its_kernel(request.profile))
        return _OnItsKernel(await self._backend.start(inner), request.profile)

    def _on_its_kernel(self, profile: SandboxProfile) -> SandboxProfile:
        runtime = profile.runtime or self._runtime
        if runtime not in KERNEL_RUNTIMES:
            raise SandboxUnavailableError(
                f"runtime {runtime!r} shares the host's kernel",
                f"leave the profile's runtime out, or name one of {sorted(KERNEL_RUNTIMES)}",
            )
        return replace(profile, runtime=runtime)

    async def aclose(self) -> None:
        """Nothing: the backend is closed by its owner."""


class _OnItsKernel:
    """See `StartedSandbox`. Its record names the profile as it was asked for."""

    def __init__(self, started: StartedSandbox, profile: SandboxProfile) -> None:
        self._started = started
        self._profile = profile

    def is_alive(self) -> bool:
        return self._started.is_alive()

    async def run(self, job: EncodedJob) -> ExecResult:
        result = await self._started.run(job)
        return replace(result, enforced={**result.enforced, "profile": self._profile.digest})

    async def destroy(self) -> None:
        await self._started.destroy()
