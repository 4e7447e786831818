"""What travels with the flow of a program: the current session, and a one-call grant.

Two rings enforce one decision. The outer ring (an adapter) decides and sets a grant; the
innermost ring (the decorator) takes it, once, for exactly the call that was decided. Without
a grant the inner ring decides by itself. Both are context variables, so that parallel calls
of one framework step each find their own.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.tools.definition import ToolDefinition


class SessionHandle(Protocol):
    """How a decorated function reaches the broker of the current session."""

    def call_guarded(
        self, definition: ToolDefinition, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Decides, records and runs a call; for an async tool, an awaitable of that."""
        ...

    def explain(self, definition: ToolDefinition, arguments: Mapping[str, Any]) -> Any:
        """What would be decided; for an async tool, an awaitable of that."""
        ...


class Grant:
    """What an outer ring decided about one call, for one use by the innermost ring.

    Args:
        tool: the tool's name.
        decided: what the outer ring has; only the ring that takes it looks inside.
    """

    def __init__(self, tool: str, decided: object) -> None:
        self.tool = tool
        self.decided = decided
        self._taken = Lock()  # not a flag: tools may start threads, and one of them wins

    def take(self) -> bool:
        """Uses the grant up; False when that was done before."""
        return self._taken.acquire(blocking=False)


CURRENT_SESSION: ContextVar[SessionHandle | None] = ContextVar("wardline_session", default=None)
CURRENT_GRANT: ContextVar[Grant | None] = ContextVar("wardline_grant", default=None)


@contextmanager
def granting(tool: str, decided: object) -> Iterator[Grant]:
    """Lets the innermost ring find what an outer ring decided about a call of this tool."""
    grant = Grant(tool, decided)
    token = CURRENT_GRANT.set(grant)
    try:
        yield grant
    finally:
        CURRENT_GRANT.reset(token)


def take_grant(definition: ToolDefinition) -> object | None:
    """What was decided for a call of this tool, used up by this; None when there is nothing."""
    grant = CURRENT_GRANT.get()
    if grant is None or grant.tool != definition.name or not grant.take():
        return None
    return grant.decided
