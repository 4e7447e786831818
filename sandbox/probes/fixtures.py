"""What every attempt stands on: a backend, a canary on the host, and a way to look from outside."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from sandbox.job import CommandJob, PythonJob
from sandbox.profile import SandboxProfile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from sandbox.protocol import Sandbox
    from sandbox.result import ExecResult

VARIABLE = "PROBE_CANARY"
"""Set in the environment of whoever runs the suite; nothing inside may know its value."""

SEEN_SECONDS = 10.0
"""For a started job to be seen among the host's processes."""

LOOK_SECONDS = 0.02
"""Between two looks at the host's processes."""

CALM_SECONDS = 3.0
"""For killed processes to be gone on a busy machine."""


class NotTriedError(Exception):
    """An attempt did not come about, so nothing can be said of what would have stopped it."""


class UnseenError(NotTriedError):
    """A job's processes are not among those this process can see on this host."""

    def __init__(self) -> None:
        super().__init__("no process of the job can be seen from here")


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

    async def done(
        self, entry: str, profile: SandboxProfile | None = None, **given: Any
    ) -> ExecResult:
        """The end of an attempt that has to end well.

        Raises:
            NotTriedError: it ended otherwise.
        """
        return ended_well(await self.attempt(entry, profile, **given))

    async def value(
        self, entry: str, profile: SandboxProfile | None = None, **given: Any
    ) -> Any:
        """The value of an attempt that has to end well.

        Raises:
            NotTriedError: it ended otherwise.
        """
        return (await self.done(entry, profile, **given)).value

    async def among(self, entry: str, control: str, paths: Sequence[str]) -> list[str]:
        """Those of `paths` that an attempt got at, which gets at `control` wherever it works.

        Raises:
            NotTriedError: it did not.
        """
        got: list[str] = await self.value(entry, paths=[*paths, control])
        if control not in got:
            raise NotTriedError(f"{entry} did not even get at {control}")
        return [path for path in got if path != control]

    async def told(self) -> str:
        """All that a job is told by its variables, the process table and the kernel.

        Raises:
            NotTriedError: not even what it is meant to be told.
        """
        mark = f"mark-{secrets.token_hex(8)}"
        profile = self.profile(environment={"PROBE_MARK": mark})
        text: str = await self.value("abuse:everything_told", profile)
        if mark not in text:
            raise NotTriedError("its own variable is not among what it was told")
        return text

    async def watched(
        self, *argv: str, mark: str, profile: SandboxProfile | None = None
    ) -> ExecResult:
        """Runs a command, of which a process with `mark` has to be seen on this host meanwhile.

        Raises:
            UnseenError: none was, so that its absence afterwards says nothing.
        """
        is_seen = False

        async def look() -> None:
            nonlocal is_seen
            await _appeared(mark)
            is_seen = True

        async with anyio.create_task_group() as group:
            group.start_soon(look)
            result = await self.command(*argv, profile=profile)
            group.cancel_scope.cancel()
        if not is_seen:
            raise UnseenError
        return result

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


def ended_well(result: ExecResult) -> ExecResult:
    """The same end, when it is a good one.

    Raises:
        NotTriedError: it is not.
    """
    if result.verdict != "ok":
        said = result.error or result.stderr
        raise NotTriedError(f"the attempt ended as {result.verdict}: {said!r:.200}")
    return result


def only_raised(result: ExecResult, *kinds: str) -> bool:
    """Whether an attempt ended with one of these exceptions, by which a limit shows itself.

    Raises:
        NotTriedError: it ended with another.
    """
    if result.verdict == "raised" and (result.error is None or result.error.type not in kinds):
        raise NotTriedError(f"the attempt ended with {result.error!r:.200}")
    return result.verdict == "raised"


def inside(entry: str, **arguments: Any) -> PythonJob:
    """A function of the code that is made for inside, as a job."""
    code = Path(str(resources.files("sandbox.guest").joinpath("probes")))
    return PythonJob(f"wardline_{entry}", arguments, (code,))


def started_by_another(
    ground: Ground, program: str, *, terminal: int | None = None, **asked: object
) -> subprocess.Popen[bytes]:
    """Starts a Python that opens the backend itself; it is told what to do by its input.

    Args:
        ground: whose backend it opens.
        program: its source.
        terminal: to be its controlling one; it then has a session of its own.
        asked: what it is told besides module and name of the backend, and the runtime.

    Raises:
        NotTriedError: only a backend of this package can be opened by its name.
    """
    kind = type(ground.sandbox)
    if kind.__module__.partition(".")[0] != "sandbox":
        raise NotTriedError("only a backend of this package can be opened by its name")
    told = {"module": kind.__module__, "name": kind.__name__, "runtime": ground.runtime}
    started = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=terminal is not None,
        pass_fds=() if terminal is None else (terminal,),
    )
    if started.stdin is not None:
        started.stdin.write(json.dumps({**told, **asked, "terminal": terminal}).encode())
        started.stdin.close()
        started.stdin = None
    return started


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
        return (await _appeared(mark))[0]
    raise UnseenError


async def _appeared(mark: str) -> list[int]:
    while not (found := survivors(mark)):  # noqa: ASYNC110 - the kernel tells nobody
        await anyio.sleep(LOOK_SECONDS)
    return found


async def gone(mark: str, *, seconds: float = CALM_SECONDS) -> bool:
    """True once no process with `mark` is left; one that outlives `seconds` is ended: False."""
    with anyio.move_on_after(seconds):
        while survivors(mark):  # noqa: ASYNC110 - the kernel tells nobody
            await anyio.sleep(LOOK_SECONDS)
        return True
    with anyio.move_on_after(CALM_SECONDS):
        while left := survivors(mark):
            for pid in left:
                with suppress(OSError):  # ended meanwhile, or another's
                    os.kill(pid, signal.SIGKILL)
            await anyio.sleep(LOOK_SECONDS)
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
