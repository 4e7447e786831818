"""The sandboxes of stateful tools: one for each run and tool.

None is ever shared with another run or tool, nor used for another profile, boundary or code
than it was started for. One that is lost is not replaced unseen: the next call of its tool is
told once that the state is gone, and the one after that begins anew.

Not protected from: what an earlier call of the same tool left in there. It decides what later
calls do and say, so their outputs are never trusted (`permissions.tools.decorator` refuses to declare it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.errors import ExecutionError, StateLostError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox import SandboxSession

MOST_SESSIONS = 16
"""Sessions of one broker at a time; each holds its own Python in memory."""


@dataclass(frozen=True, slots=True)
class StartedFor:
    """What a session was started for; another call has to want the same."""

    backend: str
    boundary: str
    profile: str | None
    code: tuple[Path, ...]


class SessionPool:
    """Finds, begins and ends them. Of one broker, whichever boundary they are behind."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str], tuple[StartedFor, SandboxSession]] = {}
        self._over: list[SandboxSession] = []

    def find(
        self, run: str, tool: str, wanted: StartedFor, begin: Callable[[], SandboxSession]
    ) -> SandboxSession:
        """The one of a tool in a run; begun if there is none. Starts nothing yet.

        Raises:
            StateLostError: the one there was is over. It is forgotten with that.
            ExecutionError: there are too many.
        """
        found = self._sessions.get((run, tool))
        if found is None:
            if sum(each.ended is None for _, each in self._sessions.values()) >= MOST_SESSIONS:
                raise ExecutionError(
                    f"{MOST_SESSIONS} stateful sandboxes are open already; close a run"
                )
            session = begin()
            self._sessions[run, tool] = wanted, session
            return session
        started_for, session = found
        why = session.ended
        if why is None and wanted != started_for:
            why = "it was started for another boundary, profile or code"
        if why is not None:
            self.forget(session)
            raise StateLostError(f"the stateful sandbox of {tool} has ended: {why}")
        return session

    def forget(self, session: SandboxSession) -> None:
        """Takes one out of use; what is left of it goes with the next `clear` of any."""
        left = {key: each for key, each in self._sessions.items() if each[1] is not session}
        if len(left) < len(self._sessions):
            self._over.append(session)
        self._sessions = left

    async def clear(self) -> None:
        """Removes what is left of those that are over; that they were is still to be told."""
        while self._over:
            await self._over.pop().aclose()
        for _, session in list(self._sessions.values()):
            if session.ended is not None:
                await session.aclose()

    async def end_run(self, run: str) -> None:
        """Ends all of a run."""
        for (of_run, _), (_, session) in self._sessions.items():
            if of_run == run:
                self.forget(session)
        await self.clear()

    async def aclose(self) -> None:
        """Ends all of them."""
        for _, session in self._sessions.values():
            self.forget(session)
        await self.clear()
