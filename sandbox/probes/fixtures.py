"""What every attempt stands on: a backend, a canary on the host, and a way to look from outside."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from sandbox.job import CommandJob, PythonJob
from sandbox.profile import SandboxProfile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from sandbox.protocol import Sandbox
    from sandbox.result import ExecResult

VARIABLE = "PROBE_CANARY"
"""Set in the environment of whoever runs the suite; nothing inside may know its value."""

SEEN_SECONDS = 10.0
"""For a started job to be seen among the host's processes."""

CALM_SECONDS = 3.0
"""For killed processes to be gone on a busy machine."""


class UnseenError(Exception):
    """A job's processes are not among those of this host, so nothing can be said of them."""


@dataclass(frozen=True, slots=True)
class Ground:
    """One backend under test.

    Attributes:
        sandbox: the backend.
        runtime: OCI runtime every profile asks for; None for the default.
        facts: what the backend's own `probe` said.
        folder: a host directory open to everybody; a job must neither see nor change it.
        canary: what the file `canary` in it holds, and the variable `VARIABLE`.
    """

    sandbox: Sandbox
    runtime: str | None
    facts: Mapping[str, object]
    folder: Path
    canary: str

    @property
    def backend(self) -> str:
        """The backend's name, as the table's columns have it."""
        return self.sandbox.name

    def profile(self, **limits: Any) -> SandboxProfile:
        """The tightest profile but for `limits`."""
        return SandboxProfile(runtime=self.runtime, **limits)

    async def attempt(
        self,
        entry: str,
        profile: SandboxProfile | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        **arguments: Any,
    ) -> ExecResult:
        """Runs a function of the code that is made for inside: `abuse:name` and the like."""
        job = inside(entry, **arguments)
        return await self.sandbox.run(job, profile or self.profile(), files=files)

    async def command(
        self, *argv: str, stdin: bytes = b"", profile: SandboxProfile | None = None
    ) -> ExecResult:
        """Runs a command."""
        return await self.sandbox.run(CommandJob(argv, stdin), profile or self.profile())

    async def value(
        self, entry: str, profile: SandboxProfile | None = None, **given: Any
    ) -> Any:
        """The value of an attempt that has to end well.

        Raises:
            RuntimeError: it ended otherwise, so that nothing can be concluded.
        """
        result = await self.attempt(entry, profile, **given)
        if result.verdict != "ok":
            raise RuntimeError(f"ended as {result.verdict}: {result.error or result.stderr!r}")
        return result.value

    @asynccontextmanager
    async def living(
        self, *argv: str, profile: SandboxProfile | None = None
    ) -> AsyncIterator[int]:
        """A job that sleeps, by its process id on this host; cancelled on leaving.

        Args:
            argv: the command, whose last word is a mark; a plain sleep when there is none.
            profile: its limits; the tightest when None.

        Raises:
            UnseenError: it cannot be seen from here.
        """
        mark = argv[-1] if argv else new_mark()
        async with anyio.create_task_group() as group:
            job = CommandJob(argv or ("sleep", mark))
            group.start_soon(self.sandbox.run, job, profile or self.profile())
            try:
                yield await seen(mark)
            finally:
                group.cancel_scope.cancel()


def inside(entry: str, **arguments: Any) -> PythonJob:
    """A function of the code that is made for inside, as a job."""
    code = Path(str(resources.files("sandbox.guest").joinpath("probes")))
    return PythonJob(f"wardline_{entry}", arguments, (code,))


def new_mark() -> str:
    """A number of seconds nobody else sleeps."""
    return f"1000.{secrets.randbelow(10**12):012d}"


def survivors(mark: str) -> list[int]:
    """Processes of this host with `mark` as an argument, which only the job knew."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words:
            found.append(int(path.parent.name))
    return found


async def seen(mark: str) -> int:
    """Waits for a process with `mark`.

    Raises:
        UnseenError: none came up.
    """
    with anyio.move_on_after(SEEN_SECONDS):
        while not (found := survivors(mark)):  # noqa: ASYNC110 - the kernel tells nobody
            await anyio.sleep(0.02)
        return found[0]
    raise UnseenError


async def gone(mark: str, *, seconds: float = CALM_SECONDS) -> bool:
    """True once no process with `mark` is left; False when one outlives `seconds`."""
    with anyio.move_on_after(seconds):
        while survivors(mark):  # noqa: ASYNC110 - the kernel tells nobody
            await anyio.sleep(0.02)
        return True
    return False


@contextmanager
def prepared() -> Iterator[tuple[Path, str]]:
    """The canary on the host: a folder open to everybody, and a variable. Removed on leaving."""
    canary = f"canary-{secrets.token_hex(16)}"
    # Not below /tmp: that is the sandbox's own inside, and would hide what is shown.
    folder = Path(tempfile.mkdtemp(prefix="wardline-probe-", dir="/var/tmp"))
    os.environ[VARIABLE] = canary
    try:
        folder.chmod(0o755)
        yield folder, canary
    finally:
        del os.environ[VARIABLE]
        shutil.rmtree(folder)
