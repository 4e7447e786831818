"""What travels with the flow of a program: the current session, and a one-call grant.

Two rings enforce one decision. The outer ring (an adapter) decides and sets a grant; the
innermost ring (the decorator) takes it, once, for exactly the call that was decided, and
refuses whatever else reaches a tool first. Without a grant, or inside of the tool that took
it, the inner ring decides by itself. Both are context variables, so that parallel calls
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
        decided: what the outer ring has. Only the ring that takes it looks inside, and sees
            there whether the call that reached it is the one that was decided.
    """

    def __init__(self, decided: object) -> None:
        self.decided = decided
        self.void: object | None = None
        """The refusal of what reached a tool in the place of the call that was decided. It
        holds for everything else that is reached under this grant."""
        self._taken = Lock()  # not a flag: tools may start threads, and one of them wins

    def take(self) -> bool:
        """Uses the grant up; False when that was done before."""
        return self._taken.acquire(blocking=False)


CURRENT_SESSION: ContextVar[SessionHandle | None] = ContextVar("wardline_session", default=None)
CURRENT_GRANT: ContextVar[Grant | None] = ContextVar("wardline_grant", default=None)


@contextmanager
def granting(decided: object) -> Iterator[Grant]:
    """Lets the innermost ring find what an outer ring decided about a call."""
    grant = Grant(decided)
    token = CURRENT_GRANT.set(grant)
    try:
        yield grant
    finally:
        CURRENT_GRANT.reset(token)
