"""Sandboxes kept armed: started, its imports done, waiting on a pipe; used once, destroyed.

A job gets an armed sandbox only if it was made for exactly what the job asks for: the whole
profile, the code roots and mounts (the same directories, unchanged at their top), and the
imports. Otherwise, and whenever none is ready, the job is run cold by the backend. So no rule
can be lost on the way through the pool, and nothing of one job is there for the next.

What it changes: the modules are imported before there is a call, and before the call's files
are in `/box`. They are imported within the walls of the profile, so code that is not trusted
can gain nothing by it, but what a module does when it is imported happens without a call.
When `run` returns, every process of the job is dead; the empty shell is removed behind it, at
the latest by `aclose`. An image that is rebuilt under its name is met by the next refill;
those already waiting live out their `lifetime_seconds`. The record names what really ran.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Self

import anyio

from sandbox.errors import SandboxError
from sandbox.job import PythonJob
from sandbox.logs import get_logger
from sandbox.pool.inventory import Shelf
from sandbox.protocol import keeping
from sandbox.supervisor.wire import encode_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from sandbox.job import Job
    from sandbox.profile import SandboxProfile
    from sandbox.protocol import Armed, ArmingSandbox, Availability
    from sandbox.result import ExecResult, Isolation
    from sandbox.session import SessionBounds
    from sandbox.workspace import WorkspaceOverlay

log = get_logger("pool")

REFILLS = 2
"""Sandboxes being started at once."""
RETIRING = 8
"""Spent ones being removed at once; a call that would be one more removes its own."""
HEAD_START_SECONDS = 0.01
"""For the call that emptied the place, before its refill takes processor time from it."""
LOOK_SECONDS = 5.0
"""Between two looks at what waits."""
REPORT_SECONDS = 60.0
"""At least between two `sandbox_pool` events in the log, which carry the metrics."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that an armed sandbox was made from: the key it is kept by.

    `places` tells a directory from another one that took its name (device, inode, time of
    change), for the code roots and then the mounts.
    """

    profile: SandboxProfile
    code_roots: tuple[Path, ...]
    preload: tuple[str, ...]
    places: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, job: Job, profile: SandboxProfile) -> Recipe:
        """What a job needs.

        Raises:
            OSError: a code root or mount is not there.
        """
        roots = job.code_roots if isinstance(job, PythonJob) else ()
        preload = job.wanted if isinstance(job, PythonJob) else ()
        sources = [*roots, *(mount.source for mount in profile.mounts)]
        facts = [source.stat() for source in sources]
        places = tuple((fact.st_dev, fact.st_ino, fact.st_mtime_ns) for fact in facts)
        return cls(profile, tuple(roots), preload, places)


@dataclass(frozen=True, slots=True)
class PoolMetrics:
    """What a pool has done so far. Also in the log, as `sandbox_pool`, now and then and at the end.

    Attributes:
        waiting: armed now.
        hits: jobs that got an armed sandbox.
        misses: jobs that were run cold.
        armed: sandboxes armed in all.
        failed: starts nothing came of.
        discarded: armed ones that were never used: too old, idle, or found dead.
        refill_seconds: of one start, on average; None before the first.
    """

    waiting: int
    hits: int
    misses: int
    armed: int
    failed: int
    discarded: int
    refill_seconds: float | None


class ArmedPool:
    """A `Sandbox` over another one, which it owns. Armed only between enter and exit.

    Args:
        backend: what starts the sandboxes; closed with the pool.
        minimum: kept ready for each recipe in use. One is in use from its first job on.
        maximum: waiting and starting ones, of all recipes.
        idle_seconds: a recipe without a job for so long is given up.
        lifetime_seconds: an armed sandbox of that age is replaced.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        backend: ArmingSandbox,
        *,
        minimum: int = 1,
        maximum: int = 8,
        idle_seconds: float = 300.0,
        lifetime_seconds: float = 900.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = backend.name
        self.isolation: Isolation = backend.isolation
        self._backend = backend
        self._clock = clock
        self._lifetime = lifetime_seconds
        self._shelf: Shelf[Recipe, Armed] = Shelf(
            each=minimum,
            total=maximum,
            idle_seconds=idle_seconds,
            lifetime_seconds=lifetime_seconds,
        )
        self._is_open = False
        self._wake = anyio.Event()
        self._refilled = anyio.Event()
        self._keeping = anyio.CancelScope()
        self._kept = anyio.Event()
        self._retiring = 0
        self._retired = anyio.Event()
        self._hits = self._misses = self._armed = self._failed = self._discarded = 0
        self._refill_seconds = 0.0
        self._reported: PoolMetrics | None = None
        self._reports_at = clock() + REPORT_SECONDS

    async def __aenter__(self) -> Self:
        """Starts nothing yet: the first job of a recipe is run cold."""
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._keep)
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """As `aclose`."""
        try:
            await self.aclose()
        finally:
            await self._group.__aexit__(kind, error, trace)

    @property
    def metrics(self) -> PoolMetrics:
        """A snapshot."""
        return PoolMetrics(
            waiting=self._shelf.waiting,
            hits=self._hits,
            misses=self._misses,
            armed=self._armed,
            failed=self._failed,
            discarded=self._discarded,
            refill_seconds=self._refill_seconds / self._armed if self._armed else None,
        )

    def _report(self) -> None:
        metrics = self.metrics
        if metrics != self._reported:
            self._reported = metrics
            log.info("sandbox_pool", backend=self.name, **asdict(metrics))

    async def probe(self) -> Availability:
        """See `Sandbox`."""
        return await self._backend.probe()

    async def prepare(self, job: Job, profile: SandboxProfile) -> bool:
        """Waits until a sandbox is armed for such a job, before there is one.

        Gives False when none can be: nothing could be started, or there is no room for it.

        Raises:
            OSError: a code root or mount is not there.
        """
        recipe = Recipe.of(job, profile)
        failed = self._failed
        if not _may_wait(profile):
            return False
        while self._is_open and not self._shelf.use(recipe, self._clock()):
            if self._failed > failed or self._shelf.is_full:
                return False
            self._wake.set()
            await self._refilled.wait()
        return self._is_open

    async def run(
        self,
        job: Job,
        profile: SandboxProfile,
        *,
        files: Mapping[str, bytes] | None = None,
        workspace: WorkspaceOverlay | None = None,
    ) -> ExecResult:
        """See `Sandbox`. `enforced` says whether the sandbox was `armed`.

        An overlay is mounted before a sandbox starts, so a job with a `workspace` is run cold.
        """
        order = encode_job(job, profile, files=files or {})
        armed = self._take(job, profile) if workspace is None else None
        if armed is None:
            self._misses += 1
            result = await self._backend.run(job, profile, files=files, workspace=workspace)
            return replace(result, enforced={**result.enforced, "armed": False})
        self._hits += 1
        try:
            result = await armed.spend(order)
        except BaseException:
            await armed.destroy()
            raise
        await self._retire(armed)
        return replace(result, enforced={**result.enforced, "armed": True})

    async def keep(
        self,
        profile: SandboxProfile,
        *,
        code_roots: Sequence[Path],
        preload: Sequence[str],
        bounds: SessionBounds,
    ) -> Armed:
        """See `KeepingSandbox`. Started for the purpose: what waits here is used once."""
        return await keeping(self._backend).keep(
            profile, code_roots=code_roots, preload=preload, bounds=bounds
        )

    def _take(self, job: Job, profile: SandboxProfile) -> Armed | None:
        """A living armed sandbox for this job; None when it has to be run cold."""
        if not self._is_open or not _may_wait(profile):
            return None
        try:
            recipe = Recipe.of(job, profile)
        except OSError:
            return None  # the backend says what is wrong with it
        armed = self._shelf.take(recipe, self._clock(), is_sound=_is_alive)
        self._wake.set()
        return armed

    async def _retire(self, armed: Armed) -> None:
        """Destroys one, off the caller's path unless too many are being destroyed already."""
        if self._is_open and self._retiring < RETIRING:
            self._retiring += 1
            self._group.start_soon(self._destroy, armed)
        else:
            await armed.destroy()

    async def _destroy(self, armed: Armed) -> None:
        try:
            await armed.destroy()
        finally:
            self._retiring -= 1
            self._retired.set()

    async def _keep(self) -> None:
        """Fills up what is lacking and gives up what is too old, until the pool is closed."""
        try:
            with self._keeping:
                async with anyio.create_task_group() as refills:
                    while True:
                        for unused in self._shelf.discard(self._clock(), is_sound=_is_alive):
                            self._discarded += 1
                            await self._retire(unused)
                        while self._shelf.reserved < REFILLS and (
                            recipe := self._shelf.reserve(self._clock())
                        ):
                            refills.start_soon(self._refill, recipe)
                        if self._clock() >= self._reports_at:
                            self._reports_at = self._clock() + REPORT_SECONDS
                            self._report()
                        with anyio.move_on_after(LOOK_SECONDS):
                            await self._wake.wait()
                            await anyio.sleep(HEAD_START_SECONDS)
                        self._wake = anyio.Event()
        finally:
            self._kept.set()

    async def _refill(self, recipe: Recipe) -> None:
        started = self._clock()
        try:
            armed = await self._backend.arm(
                recipe.profile,
                code_roots=recipe.code_roots,
                preload=recipe.preload,
                keep_seconds=self._lifetime + LOOK_SECONDS,
            )
        except (SandboxError, OSError) as err:
            self._failed += 1
            self._shelf.fail(recipe, self._clock())
            log.warning("sandbox_not_armed", backend=self.name, error=str(err))
        else:
            now = self._clock()
            self._armed += 1
            self._refill_seconds += now - started
            self._shelf.put(recipe, armed, now)
        self._refilled.set()
        self._refilled = anyio.Event()
        self._wake.set()

    async def aclose(self) -> None:
        """See `Sandbox`. Jobs that come later are run cold."""
        with anyio.CancelScope(shield=True):
            if self._is_open:
                self._is_open = False
                self._report()
                self._refilled.set()
                self._keeping.cancel()
                await self._kept.wait()
                async with anyio.create_task_group() as last:
                    for armed in self._shelf.clear():
                        last.start_soon(armed.destroy)
                while self._retiring:
                    self._retired = anyio.Event()
                    await self._retired.wait()
            await self._backend.aclose()


def _is_alive(armed: Armed) -> bool:
    return armed.is_alive()


def _may_wait(profile: SandboxProfile) -> bool:
    """False for what is opened or handed in for one run: egress, a secret's file."""
    return profile.network == "none" and not profile.secret_files
