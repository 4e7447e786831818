"""An executor that only asks for connections: what a sandbox does, without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from permissions.execution.base import Outcome
from wardline import FreeText, tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.execution.base import ConnectionAnswer, Execution
    from permissions.model import JsonObject

TUNNEL: JsonObject = {
    "kind": "connect",
    "host": "api.example.com",
    "port": 443,
    "method": None,
    "path": None,
}


@tool(effect="execute", impact="low", sandbox="process", profile="web")
async def connect(note: Annotated[str, FreeText()]) -> str:
    """Never runs itself: its executor asks for a connection in its name."""
    return note


class AskingExecutor:
    """A `ToolExecutor` that asks its run's gate `times` times, one after the other.

    Attributes:
        answers: of the gate.
        between: called after each answer but the last.
    """

    def __init__(self, times: int = 1, between: Callable[[], None] = lambda: None) -> None:
        self.answers: list[ConnectionAnswer] = []
        self.between = between
        self._times = times

    def enforces(self, execution: Execution) -> JsonObject:
        """See `ToolExecutor`."""
        return {"boundary": "process", "backend": "asking", "profile": execution.profile}

    async def execute(self, execution: Execution) -> Outcome:
        """See `ToolExecutor`."""
        assert execution.gate is not None
        for number in range(self._times):
            if number:
                self.between()
            self.answers.append(await execution.gate.decide({**TUNNEL, "secret": "unread"}))
        return Outcome("ok", value="done")

    async def end_run(self, run: str) -> None:
        """See `ToolExecutor`."""
