"""An executor that only holds changes: what a run over an overlay leaves, without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from permissions.execution.base import ObservedEffect, Outcome
from permissions.tools.call import ToolCall
from wardline import FreeText, tool

if TYPE_CHECKING:
    from permissions.execution.base import Execution, Status
    from permissions.execution.pending_changes import PendingChanges
    from permissions.model import JsonObject


@tool(effect="execute", impact="low", sandbox="process", workspace="overlay")
async def edit(note: Annotated[str, FreeText()]) -> str:
    """Never runs itself: its executor holds the changes it would have made."""
    return note


EDIT = ToolCall("edit", {"note": "x"})


class HoldingExecutor:
    """A `ToolExecutor` whose run ends with this status, and holds these changes.

    It said something, and was refused a connection.
    """

    def __init__(self, pending: PendingChanges, status: Status = "ok") -> None:
        self._held, self._status = pending, status

    def enforces(self, execution: Execution) -> JsonObject:
        """See `ToolExecutor`."""
        return {"boundary": "process", "backend": "holding", "profile": execution.profile}

    async def execute(self, execution: Execution) -> Outcome:
        """See `ToolExecutor`."""
        said = execution.arguments.values["note"]
        return Outcome(
            self._status,
            value=said,
            verdict="exit",
            streams={"stdout": b"said"},
            effects=(ObservedEffect({"kind": "connection", "permitted": False}, {}),),
            pending=self._held,
        )

    async def end_run(self, run: str) -> None:
        """See `ToolExecutor`."""
