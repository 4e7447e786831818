"""Pools over the real backends for tests, and ways to break what waits in them."""

from __future__ import annotations

import gc
import itertools
import os
import signal
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from backends import BACKENDS, leftovers
from docker.errors import NotFound

from sandbox import PythonJob, Sandbox, SandboxProfile, SandboxProviderError
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.backends.docker.engine import Engine
from sandbox.errors import SandboxUnavailableError
from sandbox.pool.pool import PrewarmedPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sandbox import (
        Availability,
    )
    from sandbox.protocol import RunRequest, StartedSandbox

WAIT_SECONDS = 40.0
PROFILE = SandboxProfile()


@pytest.fixture(params=BACKENDS)
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[PrewarmedPool]:
    """A pool over each backend in turn."""
    async with PrewarmedPool(request.param()) as opened:
        yield opened
    left = leftovers()
    assert left == [], left


@pytest.fixture
async def nimble() -> AsyncIterator[PrewarmedPool]:
    """A pool over the quicker backend, for what is the pool's own."""
    async with PrewarmedPool(BubblewrapSandbox()) as opened:
        yield opened
    left = leftovers()
    assert left == [], left


def fmean(*data: float) -> PythonJob:
    return PythonJob("statistics:fmean", {"data": list(data)})


def code(folder: Path, source: str) -> Path:
    folder.mkdir()
    (folder / "tool.py").write_text(source)
    for path in (folder, *folder.parents[:3]):
        path.chmod(0o755)
    return folder


def kill(process: str) -> int | None:
    """Kills the runner, or its child, of one sandbox of this process; gives the runner's id."""
    for runner in runners():
        with suppress(OSError):
            children = Path(f"/proc/{runner}/task/{runner}/children").read_text().split()
            if process == "runner" or children:
                os.kill(runner if process == "runner" else int(children[0]), signal.SIGKILL)
                return runner
    return None


def runners() -> list[int]:
    """Process ids of process 1 of each sandbox of this process."""
    found = [pid for pid in _descendants() if _is_runner(pid)]
    try:
        engine = Engine.connect()
    except SandboxUnavailableError:
        return found
    with closing(engine):
        mine = [left.id for left in engine.leftovers() if f".{os.getpid()}." in left.lease]
        for name in mine:
            with suppress(NotFound):
                found.append(engine.client.inspect_container(name)["State"]["Pid"])
    return [pid for pid in found if pid]


def is_over(pid: int) -> bool:
    """True once a process has ended, whether or not its parent has noticed.

    One that is ending has no command line any more, and its descriptor does not tell yet.
    """
    with suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return text.rpartition(")")[2].split()[0] in {"Z", "X"}
    return True


def _is_runner(pid: int) -> bool:
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"posix.read(0" in command and "NSpid" in status and _is_first(status)
    return False


def _is_first(status: str) -> bool:
    line = next(line for line in status.splitlines() if line.startswith("NSpid"))
    return line.split()[-1] == "1" and len(line.split()) > 2


def _descendants() -> list[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(
                path.read_text(errors="replace").rpartition(")")[2].split()[1]
            )
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def belongings() -> Counter[str]:
    """What this process holds of the system, by kind.

    Subtract an earlier count from a later one: what is left was gained in between. Less than
    before is no fault, for an earlier test's things may go at any time.
    """
    gc.collect()  # what an earlier test left in a circle of references is not held any more
    held: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own is closed by now
            held[f"descriptor of {path.readlink().name.partition(':')[0]}"] += 1
    # Other processes of this machine mount too; what is ours carries our lease.
    held.update(
        f"mount {line}"
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if f".{os.getpid()}." in line
    )
    held.update(f"process {pid}" for pid in _descendants())
    return held


class Faulty(Sandbox):
    """A backend whose every third start fails, in the provider or in this process."""

    def __init__(self, backend: Sandbox) -> None:
        self.name = backend.name
        self.isolation = backend.isolation
        self._backend = backend
        self._starts = 0

    async def probe(self) -> Availability:
        return await self._backend.probe()

    async def start(self, request: RunRequest) -> StartedSandbox:
        if not request.wait_seconds:
            return await self._backend.start(request)
        self._starts += 1
        if self._starts % 6 == 3:
            raise SandboxProviderError("the engine is away")
        if self._starts % 6 == 0:
            raise OSError(24, "too many open files")
        return await self._backend.start(request)

    async def aclose(self) -> None:
        await self._backend.aclose()


def restless(backend: Sandbox) -> PrewarmedPool:
    """A pool whose recipes rest, after a start that failed, for thirty looks at the clock."""
    ticks = itertools.count(1.0)
    return PrewarmedPool(
        backend,
        minimum=3,
        idle_seconds=1e9,
        lifetime_seconds=1e9,
        clock=lambda: next(ticks),
    )


async def until(seen: Callable[[], bool]) -> None:
    with anyio.fail_after(WAIT_SECONDS):
        while not await anyio.to_thread.run_sync(seen):
            await anyio.lowlevel.checkpoint()
