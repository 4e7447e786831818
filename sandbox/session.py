"""A session: several calls in one kept sandbox. Less isolated than a sandbox that is used once.

What a call leaves (objects, modules, threads, processes, files of `/box` and `/tmp`) is there
for the next one: that is the purpose, and the one promise a session does not make (row 19 of
the abuse table). A call can therefore lie about every later call of the same session: its value,
its output, its files. It cannot touch anything else. Walls, limits and verdicts are those of
any sandbox, each call is judged by the supervisor, and no other session or run shares anything
with this one. Between two calls everything inside is stopped; a hostile process that races the stop
gains processor time within the limits, and nothing else.

A session that may not be sound is never used again. A call that ends as anything but `ok` or
`raised`, is cancelled, or breaks the channel ends it, and so does the first bound it reaches.
Every later call is a `SessionEndedError` that says why. When the caller goes away, so does the
sandbox, as with any run.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import anyio
from anyio.abc import AsyncResource

from sandbox.errors import ProfileError, SandboxUnavailableError, SessionEndedError
from sandbox.job import PythonJob
from sandbox.logs import get_logger
from sandbox.protocol import keeping
from sandbox.supervisor.wire import encode_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sandbox.profile import SandboxProfile
    from sandbox.protocol import Armed, Sandbox
    from sandbox.result import ExecResult
    from sandbox.supervisor.wire import Order

log = get_logger("session")

_MOST = {
    "calls": 100_000,
    "idle_seconds": 86400,
    "total_seconds": 604800,
    "cpu_seconds": 604800,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBounds:
    """How long a session may live. The first bound that is reached ends it.

    Attributes:
        calls: in all.
        idle_seconds: from the end of one call to the next.
        total_seconds: from its start, whatever happens; no call runs beyond it.
        cpu_seconds: processor time of all its processes together, but for those that ended
            and nobody waited for. Looked at after each call, so the last one may go over it,
            as far as the profile lets one call go.

    Raises:
        ProfileError: a value out of range.
    """

    calls: int = 100
    idle_seconds: float = 300.0
    total_seconds: float = 3600.0
    cpu_seconds: float = 600.0

    def __post_init__(self) -> None:
        """Checks every value, so that no backend has to."""
        for each in fields(self):
            value = getattr(self, each.name)
            # bool is an int, NaN compares false: both are refused here
            if isinstance(value, bool) or not 0 < value <= _MOST[each.name]:
                raise ProfileError(
                    f"session: {each.name}={value!r:.40} is outside 0 to {_MOST[each.name]}"
                )


class SandboxSession(AsyncResource):
    """Calls that share one sandbox, one at a time. Starts with its first call.

    Entering it starts nothing and never fails; the first call may.

    Args:
        sandbox: where it runs; stays its owner's to close.
        profile: its walls, the same for each call. `wall_seconds`, `output_bytes`,
            `value_bytes` and what may come out are for one call, all else for all of them:
            `cpu_seconds` is of one process, and the interpreter is one process.
        code_roots: as of a `PythonJob`, for all calls.
        preload: likewise.
        bounds: of its life.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        profile: SandboxProfile,
        *,
        code_roots: tuple[Path, ...] = (),
        preload: tuple[str, ...] = (),
        bounds: SessionBounds | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = secrets.token_hex(8)
        """Its name in every record."""
        self._sandbox = keeping(sandbox)
        self._profile = profile
        self._code_roots = tuple(code_roots)
        self._preload = tuple(preload)
        self._bounds = bounds or SessionBounds()
        self._clock = clock
        self._turn = anyio.Lock()
        self._armed: Armed | None = None
        self._ended: str | None = None
        self._calls = 0
        self._started = self._last = clock()
        self._cpu_seconds = 0.0

    @property
    def ended(self) -> str | None:
        """Why no call can be made any more; None while one can. Looks without waiting."""
        if self._ended is None and self._armed is not None and not self._turn.locked():
            self._ended = self._over() or self._lost(self._armed)
        return self._ended

    async def run(
        self,
        job: PythonJob,
        *,
        files: Mapping[str, bytes] | None = None,
        wall_seconds: float | None = None,
    ) -> ExecResult:
        """Calls a function in the kept interpreter. `files` are put below `/box` first.

        A file takes the place of one with its name; what comes out of `/box/out` is gone there.
        `enforced` has `stateful` (true), the `session`, and the number of the `call` in it.
        Cancellation ends the session, shielded, before it returns.

        Args:
            job: what to call; its code roots are the session's, or not named.
            files: bytes by relative path.
            wall_seconds: for this call, when that is less than the profile's.

        Raises:
            ProfileError: the job or a file name may not be run as written; the session goes on.
            SessionEndedError: the session is over and its state gone; nothing ran.
            SandboxUnavailableError: something is missing, or other calls of this session took
                all the time; nothing ran.
            SandboxProviderError: the provider failed; whether the call ran is unknown.
        """
        if job.code_roots and tuple(job.code_roots) != self._code_roots:
            raise ProfileError("the code roots of a call have to be those of its session")
        order = encode_job(job, self._profile, files=files or {})
        seconds = min(order.wall_seconds, wall_seconds or order.wall_seconds)
        with anyio.move_on_after(seconds) as waiting:
            await self._turn.acquire()
        if waiting.cancelled_caught:
            raise SandboxUnavailableError(
                "earlier calls of this session did not end in time", "call again, one at a time"
            )
        try:
            return await self._call(replace(order, wall_seconds=seconds))
        finally:
            self._turn.release()

    async def evaluate(
        self,
        code: str,
        *,
        files: Mapping[str, bytes] | None = None,
        wall_seconds: float | None = None,
    ) -> ExecResult:
        """Runs a text of Python in the session's one namespace; otherwise as `run`.

        The value is that of the last expression, if the text ends with one; it has to be JSON.
        """
        job = PythonJob("__session__:evaluate", {"code": code})
        return await self.run(job, files=files, wall_seconds=wall_seconds)

    async def _call(self, order: Order) -> ExecResult:
        armed = await self._sound()
        left = self._started + self._bounds.total_seconds - self._clock()
        order = replace(order, wall_seconds=min(order.wall_seconds, max(left, 0.001)))
        self._calls += 1
        call = self._calls
        try:
            result = await armed.spend(order)
        except BaseException as err:
            await self._end(f"call {call} did not end: {type(err).__name__}")
            raise
        self._last = self._clock()
        if result.verdict not in ("ok", "raised"):
            await self._end(f"call {call} ended as {result.verdict}")
        elif (why := self._over(result) or self._lost(armed)) is not None:
            await self._end(why)
        record = {"session": self.id, "call": call}
        return replace(result, enforced={**result.enforced, **record})

    async def _sound(self) -> Armed:
        """The sandbox, started if there was none.

        Raises:
            SessionEndedError: it is over.
        """
        if self._ended is None and self._armed is None:
            self._armed = await self._sandbox.keep(
                self._profile,
                code_roots=self._code_roots,
                preload=self._preload,
                bounds=self._bounds,
            )
            self._started = self._last = self._clock()
        if self._ended is None and self._armed is not None:
            self._ended = self._over() or self._lost(self._armed)
        if self._ended is not None or self._armed is None:
            why = self._ended or "it was closed"
            await self._end(why)
            raise SessionEndedError(why)
        return self._armed

    def _over(self, result: ExecResult | None = None) -> str | None:
        """The bound that was reached, if one was.

        Args:
            result: of a call that has just ended.
        """
        bounds, now = self._bounds, self._clock()
        if result is not None and result.resources.cpu_seconds is not None:
            self._cpu_seconds = result.resources.cpu_seconds
        if self._calls >= bounds.calls:
            return f"it had its {bounds.calls} calls"
        if self._cpu_seconds >= bounds.cpu_seconds:
            return f"its {bounds.cpu_seconds:g} seconds of processor time are used up"
        if now - self._started >= bounds.total_seconds:
            return f"its {bounds.total_seconds:g} seconds are over"
        if now - self._last >= bounds.idle_seconds:
            return f"there was no call for {bounds.idle_seconds:g} seconds"
        return None

    def _lost(self, armed: Armed) -> str | None:
        return None if armed.is_alive() else "its sandbox is gone"

    async def _end(self, why: str) -> None:
        if self._ended is None:
            log.info("session_ended", session=self.id, calls=self._calls, why=why)
        self._ended = self._ended or why
        armed, self._armed = self._armed, None
        if armed is not None:
            await armed.destroy()

    async def aclose(self) -> None:
        """Ends it, also in the middle of a call. Safe to call twice."""
        with anyio.CancelScope(shield=True):
            await self._end("it was closed")
