"""Prewarmed sandboxes: started, imports done, waiting on a pipe; used once, destroyed.

A job gets a prewarmed sandbox only if it was made for exactly what the job asks for: the whole
profile, the code roots and mounts (the same directories, unchanged at their top), and the
imports. Otherwise, and whenever none is ready, the job is run cold by the backend. So no rule
can be lost on the way through the pool, and nothing of one job is there for the next.

What it changes: the modules are imported before there is a call, and before the call's files
are in `/box`. They are imported under the limits and isolation of the profile, so code that is not trusted
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

from sandbox.errors import SandboxError, SandboxGoneError
from sandbox.logs import get_logger
from sandbox.pool.inventory import Inventory
from sandbox.protocol import Sandbox, request_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sandbox.job import Job
    from sandbox.profile import SandboxProfile
    from sandbox.protocol import Availability, RunRequest, StartedSandbox
    from sandbox.result import ExecResult
    from sandbox.supervisor.wire import EncodedJob

log = get_logger("pool")

REFILLS = 2
"""Sandboxes being started at once."""
RETIRING = 8
"""Spent ones being removed at once; a call that would be one more removes its own."""
HEAD_START_SECONDS = 0.01
"""For the call that took the last one, before its refill takes processor time from it."""
LOOK_SECONDS = 5.0
"""Between two looks at what waits."""
REPORT_SECONDS = 60.0
"""At least between two `sandbox_pool` events in the log, which carry the metrics."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a prewarmed sandbox was made from: the key it is kept by.

    `sources` tells a directory from another one that took its name (device, inode, time of
    change), for the code roots and then the mounts.
    """

    request: RunRequest
    sources: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, request: RunRequest) -> Recipe:
        """What a request needs.

        Raises:
            OSError: a code root or mount is not there.
        """
        mounts = (mount.source for mount in request.profile.mounts)
        facts = [source.stat() for source in (*request.code_roots, *mounts)]
        sources = tuple((fact.st_dev, fact.st_ino, fact.st_mtime_ns) for fact in facts)
        # How long a caller waits for its start is no part of what is started.
        return cls(replace(request, start_seconds=None), sources)


@dataclass(frozen=True, slots=True)
class PoolMetrics:
    """What a pool has done so far. Also in the log, as `sandbox_pool`, now and then and at the end.

    Attributes:
        waiting: prewarmed now.
        hits: jobs that got a prewarmed sandbox.
        misses: jobs that were run cold.
        prewarmed: sandboxes prewarmed in all.
        failed: starts nothing came of.
        discarded: prewarmed ones that were never used: too old, idle, or found dead.
        refill_seconds: of one start, on average; None before the first.
    """

    waiting: int
    hits: int
    misses: int
    prewarmed: int
    failed: int
    discarded: int
    refill_seconds: float | None


class PrewarmedPool(Sandbox):
    """A `Sandbox` over another one, which it owns. Prewarms only between enter and exit.

    Args:
        backend: what starts the sandboxes; closed with the pool.
        minimum: kept ready for each recipe in use. One is in use from its first job on.
        maximum: waiting and starting ones, of all recipes.
        idle_seconds: a recipe without a job for so long is given up.
        lifetime_seconds: a prewarmed sandbox of that age is replaced.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        backend: Sandbox,
        *,
        minimum: int = 1,
        maximum: int = 8,
        idle_seconds: float = 300.0,
        lifetime_seconds: float = 900.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = backend.name
        self.isolation = backend.isolation
        self._backend = backend
        self._clock = clock
        self._lifetime = lifetime_seconds
        self._inventory: Inventory[Recipe, StartedSandbox] = Inventory(
            each=minimum,
            total=maximum,
            idle_seconds=idle_seconds,
            lifetime_seconds=lifetime_seconds,
        )
        self._is_open = False
        self._wake = anyio.Event()
        self._refilled = anyio.Event()
        self._filling = anyio.CancelScope()
        self._filled = anyio.Event()
        self._retiring = 0
        self._retired = anyio.Event()
        self._hits = self._misses = self._prewarmed = self._failed = self._discarded = 0
        self._refill_seconds = 0.0
        self._reported: PoolMetrics | None = None
        self._reports_at = clock() + REPORT_SECONDS

    async def __aenter__(self) -> Self:
        """Starts nothing yet: the first job of a recipe is run cold."""
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._fill)
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
            waiting=self._inventory.waiting,
            hits=self._hits,
            misses=self._misses,
            prewarmed=self._prewarmed,
            failed=self._failed,
            discarded=self._discarded,
            refill_seconds=self._refill_seconds / self._prewarmed if self._prewarmed else None,
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
        """Waits until a sandbox is prewarmed for such a job, before there is one.

        Gives False when none can be: nothing could be started, or there is no room for it.

        Raises:
            OSError: a code root or mount is not there.
        """
        request = request_for(job, profile)
        if not _may_wait(request):
            return False
        recipe = Recipe.of(request)
        failed = self._failed
        while self._is_open and not self._inventory.use(recipe, self._clock()):
            if self._failed > failed or self._inventory.is_full:
                return False
            self._wake.set()
            await self._refilled.wait()
        return self._is_open

    async def start(self, request: RunRequest) -> StartedSandbox:
        """See `Sandbox`. `enforced` says whether the sandbox was `prewarmed`.

        A session is started for the purpose: what waits here is used once. So is a conversation. An overlay is mounted
        before a sandbox starts, so a job with a `workspace` is run cold.
        """
        if request.session is not None or request.is_conversation:
            return await self._backend.start(request)
        found = self._take(request)
        if found is None:
            self._misses += 1
            return _Pooled(self, request, await self._backend.start(request), prewarmed=False)
        self._hits += 1
        return _Pooled(self, request, found, prewarmed=True)

    async def start_cold(self, request: RunRequest) -> StartedSandbox:
        """For a job whose prewarmed sandbox was gone when it came."""
        self._hits -= 1
        self._misses += 1
        self._discarded += 1
        return await self._backend.start(request)

    def _take(self, request: RunRequest) -> StartedSandbox | None:
        """A living prewarmed sandbox for this job; None when it has to be run cold."""
        if not self._is_open or not _may_wait(request):
            return None
        try:
            recipe = Recipe.of(request)
        except OSError:
            return None  # the backend says what is wrong with it
        found = self._inventory.take(recipe, self._clock(), is_sound=_is_alive)
        self._wake.set()
        return found

    async def retire(self, used: StartedSandbox) -> None:
        """Destroys one, off the caller's path unless too many are being destroyed already."""
        if self._is_open and self._retiring < RETIRING:
            self._retiring += 1
            self._group.start_soon(self._destroy, used)
        else:
            await used.destroy()

    async def _destroy(self, used: StartedSandbox) -> None:
        try:
            await used.destroy()
        finally:
            self._retiring -= 1
            self._retired.set()

    async def _fill(self) -> None:
        """Fills up what is lacking and gives up what is too old, until the pool is closed."""
        try:
            with self._filling:
                async with anyio.create_task_group() as refills:
                    while True:
                        for unused in self._inventory.discard(
                            self._clock(), is_sound=_is_alive
                        ):
                            self._discarded += 1
                            await self.retire(unused)
                        while self._inventory.reserved < REFILLS and (
                            recipe := self._inventory.reserve(self._clock())
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
            self._filled.set()

    async def _refill(self, recipe: Recipe) -> None:
        started = self._clock()
        try:
            found = await self._backend.start(
                replace(recipe.request, wait_seconds=self._lifetime + LOOK_SECONDS)
            )
        except (SandboxError, OSError) as err:
            self._failed += 1
            self._inventory.fail(recipe, self._clock())
            log.warning("sandbox_not_prewarmed", backend=self.name, error=str(err))
        else:
            now = self._clock()
            self._prewarmed += 1
            self._refill_seconds += now - started
            self._inventory.put(recipe, found, now)
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
                self._filling.cancel()
                await self._filled.wait()
                async with anyio.create_task_group() as last:
                    for unused in self._inventory.clear():
                        last.start_soon(unused.destroy)
                while self._retiring:
                    self._retired = anyio.Event()
                    await self._retired.wait()
            await self._backend.aclose()


class _Pooled:
    """See `StartedSandbox`. Handed out by a pool, which destroys it off the caller's path."""

    def __init__(
        self,
        pool: PrewarmedPool,
        request: RunRequest,
        inner: StartedSandbox,
        *,
        prewarmed: bool,
    ) -> None:
        self._pool = pool
        self._request = request
        self._inner = inner
        self._prewarmed = prewarmed
        self._may_retire = False

    def is_alive(self) -> bool:
        return self._inner.is_alive()

    async def run(self, job: EncodedJob) -> ExecResult:
        try:
            result = await self._inner.run(job)
        except SandboxGoneError:
            if not self._prewarmed:
                raise
            # It had ended while it waited, which was not to be seen when it was taken.
            await self._inner.destroy()
            self._prewarmed = False
            self._inner = await self._pool.start_cold(self._request)
            result = await self._inner.run(job)
        self._may_retire = self._prewarmed
        return replace(result, enforced={**result.enforced, "prewarmed": self._prewarmed})

    async def destroy(self) -> None:
        if self._may_retire:
            self._may_retire = False
            await self._pool.retire(self._inner)
        else:
            await self._inner.destroy()


def _is_alive(found: StartedSandbox) -> bool:
    return found.is_alive()


def _may_wait(request: RunRequest) -> bool:
    """False for what is opened or handed in for one run: an overlay, egress, a secret's file."""
    profile = request.profile
    return (
        request.workspace is None
        and request.gate is None
        and profile.network == "none"
        and not profile.secret_files
    )
