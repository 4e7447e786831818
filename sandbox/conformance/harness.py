"""What the checks are written with: the registry, one way to run a probe, three assertions."""

from __future__ import annotations

import secrets
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from sandbox.job import PythonJob
from sandbox.profile import SandboxProfile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from sandbox.protocol import Sandbox
    from sandbox.result import ExecResult, Verdict


SEEN_SECONDS = 40.0
"""For a job to come up on a busy machine."""


class NotConformantError(AssertionError):
    """A backend that does not keep the contract."""


CHECKS: dict[str, Callable[[Sandbox], Awaitable[None]]] = {}
"""Every check by its name, in the order they were defined."""


def probe_code() -> Path:
    """The directory of the probes: a code root with two modules."""
    return Path(str(resources.files("sandbox.guest").joinpath("probes")))


async def call(
    sandbox: Sandbox,
    function: str,
    profile: SandboxProfile | None = None,
    *,
    files: Mapping[str, bytes] | None = None,
    **arguments: Any,
) -> ExecResult:
    """Runs a job that behaves, or uses too much: a function of `wardline_probes`."""
    job = PythonJob(f"wardline_probes:{function}", arguments, (probe_code(),))
    return await sandbox.run(job, profile or SandboxProfile(), files=files)


async def attempt(
    sandbox: Sandbox, function: str, profile: SandboxProfile | None = None, **arguments: Any
) -> ExecResult:
    """Runs a job that goes against its limits: a function of `wardline_attempts`."""
    job = PythonJob(f"wardline_attempts:{function}", arguments, (probe_code(),))
    return await sandbox.run(job, profile or SandboxProfile())


def check(
    function: Callable[[Sandbox], Awaitable[None]],
) -> Callable[[Sandbox], Awaitable[None]]:
    """Puts a check into the registry."""
    CHECKS[function.__name__] = function
    return function


def same(what: str, seen: object, wanted: object) -> None:
    """Demands that a value is the wanted one."""
    if seen != wanted:
        raise NotConformantError(f"{what}: wanted {wanted!r:.300}, saw {seen!r:.600}")


def true(what: str, seen: object) -> None:
    """Demands that something holds."""
    if not seen:
        raise NotConformantError(f"{what}: {seen!r:.600}")


def ended(result: ExecResult, wanted: Verdict) -> None:
    """Demands a verdict, and says how the run ended instead."""
    if result.verdict != wanted:
        raise NotConformantError(
            f"verdict: wanted {wanted}, saw {result.verdict} (exit {result.exit_code}, signal"
            f" {result.signal}, {result.error}, stderr {result.stderr[-400:]!r})"
        )


def filtered(said: Mapping[str, Any]) -> None:
    """Demands that a record names its system call filter; another kernel may read none."""
    if said.get("isolation") != "kernel" or said["seccomp"] is not None:
        true("system calls", str(said["seccomp"]).startswith("sha256:"))


def survivors(mark: str) -> list[int]:
    """Processes of this machine whose command line has `mark`, which only the job knew."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in arguments:
            found.append(int(path.parent.name))
    return found


async def cancelled_when_seen(
    run: Callable[[], Coroutine[Any, Any, object]], mark: str
) -> None:
    """Runs something and gives it up as soon as a process with `mark` is there."""
    async with anyio.create_task_group() as group:
        group.start_soon(run)
        with anyio.fail_after(SEEN_SECONDS):
            while not survivors(mark):  # noqa: ASYNC110 - the kernel tells nobody
                await anyio.sleep(0.02)
        group.cancel_scope.cancel()


def mark_of_ours() -> str:
    """A number of seconds nobody else sleeps."""
    return f"1000.{secrets.randbelow(10**12):012d}"
