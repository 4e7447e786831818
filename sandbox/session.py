"""A stateful session: several calls in one sandbox. Less isolated than a single-use one.

What a call leaves (objects, modules, threads, processes, files of `/box` and `/tmp`) is there
for the next one: that is the purpose, and the one promise a session does not make (row 19 of
the abuse table). A call can therefore lie about every later call of the same session: its value,
its output, its files. It cannot touch anything else. Isolation, limits and verdicts are those of
any sandbox, each call is judged by the supervisor, and no other session or run shares anything
with this one. Between two calls everything inside is stopped; a hostile process that races the stop
gains processor time within the limits, and nothing else.

A session that may not be sound is never used again. A call that ends as anything but `ok` or
`raised`, is cancelled, or breaks the channel ends it, and so does the first limit it reaches.
Every later call is a `SessionEndedError` that says why. When the caller goes away, so does the
sandbox, as with any run.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
from anyio.abc import AsyncResource

from sandbox.errors import (
    ProfileError,
    SandboxGoneError,
    SandboxUnavailableError,
    SessionEndedError,
)
from sandbox.job import PythonJob
from sandbox.logs import get_logger
from sandbox.protocol import RunRequest
from sandbox.session_limits import SessionLimits
from sandbox.supervisor.wire import encode_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sandbox.profile import SandboxProfile
    from sandbox.protocol import Sandbox, StartedSandbox
    from sandbox.result import ExecResult
    from sandbox.supervisor.wire import EncodedJob

log = get_logger("session")

_GONE = "its sandbox is gone"


class SandboxSession(AsyncResource):
    """Calls that share one sandbox, one at a time. Starts with its first call.

    Entering it starts nothing and never fails; the first call may.

    Args:
        sandbox: where it runs; stays its owner's to close.
        profile: its isolation and limits, the same for each call. `wall_seconds`, `output_bytes`,
            `value_bytes` and what may come out are for one call, all else for all of them:
            `cpu_seconds` is of one process, and the interpreter is one process.
        code_roots: as of a `PythonJob`, for all calls.
        preload: likewise.
        limits: of its life.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        profile: SandboxProfile,
        *,
        code_roots: tuple[Path, ...] = (),
        preload: tuple[str, ...] = (),
        limits: SessionLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = secrets.token_hex(8)
        """Its name in every record."""
        self._sandbox = sandbox
        self._profile = profile
        self._code_roots = tuple(code_roots)
        self._preload = tuple(preload)
        self._limits = limits or SessionLimits()
        self._clock = clock
        self._turn = anyio.Lock()
        self._live: StartedSandbox | None = None
        self._ended: str | None = None
        self._calls = 0
        self._started = self._last = clock()
        self._cpu_seconds = 0.0

    @property
    def ended(self) -> str | None:
        """Why no call can be made any more; None while one can. Looks without waiting."""
        if self._ended is None and self._live is not None and not self._turn.locked():
            self._ended = self._over() or self._lost(self._live)
        return self._ended

    async def run(
        self,
        job: PythonJob,
        *,
        files: Mapping[str, bytes] | None = None,
        wall_seconds: float | None = None,
        within: float | None = None,
    ) -> ExecResult:
        """Calls a function in the session's interpreter. `files` are put below `/box` first.

        A file takes the place of one with its name; what comes out of `/box/out` is gone there.
        `enforced` has `stateful` (true), the `session`, and the number of the `call` in it.
        Cancellation ends the session, shielded, before it returns.

        Args:
            job: what to call; its code roots are the session's, or not named.
            files: bytes by relative path.
            wall_seconds: for this call, when that is less than the profile's.
            within: seconds that the session's start may take, which its first call waits for.

        Raises:
            ProfileError: the job or a file name may not be run as written; the session goes on.
            SessionEndedError: the session is over and its state gone; nothing ran.
            SandboxUnavailableError: something is missing, or other calls of this session took
                all the time; nothing ran.
            SandboxProviderError: the provider failed; whether the call ran is unknown.
        """
        if job.code_roots and tuple(job.code_roots) != self._code_roots:
            raise ProfileError("the code roots of a call have to be those of its session")
        encoded = encode_job(job, self._profile, files=files or {})
        seconds = min(encoded.wall_seconds, wall_seconds or encoded.wall_seconds)
        with anyio.move_on_after(seconds) as waiting:
            await self._turn.acquire()
        if waiting.cancelled_caught:
            raise SandboxUnavailableError(
                "earlier calls of this session did not end in time", "call again, one at a time"
            )
        try:
            return await self._call(replace(encoded, wall_seconds=seconds), within)
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

    async def _call(self, job: EncodedJob, within: float | None) -> ExecResult:
        live = await self._sound(within)
        left = self._started + self._limits.total_seconds - self._clock()
        job = replace(job, wall_seconds=min(job.wall_seconds, max(left, 0.001)))
        self._calls += 1
        call = self._calls
        try:
            result = await live.run(job)
        except SandboxGoneError:
            # Its end was not to be seen before: the kernel tells one observer after another.
            await self._end(_GONE)
            raise SessionEndedError(_GONE) from None
        except BaseException as err:
            await self._end(f"call {call} did not end: {type(err).__name__}")
            raise
        self._last = self._clock()
        if result.verdict not in ("ok", "raised"):
            await self._end(f"call {call} ended as {result.verdict}")
        elif (why := self._over(result) or self._lost(live)) is not None:
            await self._end(why)
        record = {"session": self.id, "call": call}
        return replace(result, enforced={**result.enforced, **record})

    async def _sound(self, within: float | None) -> StartedSandbox:
        """The sandbox, started if there was none.

        Raises:
            SessionEndedError: it is over.
        """
        if self._ended is None and self._live is None:
            self._live = await self._sandbox.start_in_time(
                RunRequest(
                    profile=self._profile,
                    code_roots=self._code_roots,
                    preload=self._preload,
                    session=self._limits,
                ),
                seconds=within,
            )
            self._started = self._last = self._clock()
        if self._ended is None and self._live is not None:
            self._ended = self._over() or self._lost(self._live)
        if self._ended is not None or self._live is None:
            why = self._ended or "it was closed"
            await self._end(why)
            raise SessionEndedError(why)
        return self._live

    def _over(self, result: ExecResult | None = None) -> str | None:
        """The limit that was reached, if one was.

        Args:
            result: of a call that has just ended.
        """
        limits, now = self._limits, self._clock()
        if result is not None and result.resources.cpu_seconds is not None:
            self._cpu_seconds = result.resources.cpu_seconds
        if self._calls >= limits.calls:
            return f"it had its {limits.calls} calls"
        if self._cpu_seconds >= limits.cpu_seconds:
            return f"its {limits.cpu_seconds:g} seconds of processor time are used up"
        if now - self._started >= limits.total_seconds:
            return f"its {limits.total_seconds:g} seconds are over"
        if now - self._last >= limits.idle_seconds:
            return f"there was no call for {limits.idle_seconds:g} seconds"
        return None

    def _lost(self, live: StartedSandbox) -> str | None:
        return None if live.is_alive() else _GONE

    async def _end(self, why: str) -> None:
        if self._ended is None:
            log.info("session_ended", session=self.id, calls=self._calls, why=why)
        self._ended = self._ended or why
        live, self._live = self._live, None
        if live is not None:
            await live.destroy()

    async def aclose(self) -> None:
        """Ends it, also in the middle of a call. Safe to call twice."""
        with anyio.CancelScope(shield=True):
            await self._end("it was closed")
