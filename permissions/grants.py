"""What travels with the flow of a program: the current session, and a one-call grant.

Two rings enforce one decision. The outer ring (an adapter) decides and sets a grant; the
innermost ring (the decorator) takes it, once, for exactly the call that was decided. Without
a grant the inner ring decides by itself. Both are context variables, so that parallel calls
of one framework step each find their own.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.admission import Admission
    from permissions.tools import ToolDefinition


class SessionHandle(Protocol):
    """How a decorated function reaches the broker of the current session."""

    def call_guarded(
        self, definition: ToolDefinition, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Decides, records and runs a sync tool."""
        ...

    async def acall_guarded(
        self, definition: ToolDefinition, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Decides, records and runs an async tool."""
        ...

    def explain(self, definition: ToolDefinition, arguments: Mapping[str, Any]) -> Any:
        """What would be decided."""
        ...

    async def aexplain(self, definition: ToolDefinition, arguments: Mapping[str, Any]) -> Any:
        """What would be decided, for async callers."""
        ...


CURRENT_SESSION: ContextVar[SessionHandle | None] = ContextVar("wardline_session", default=None)
CURRENT_GRANT: ContextVar[Admission | None] = ContextVar("wardline_grant", default=None)


@contextmanager
def granting(admission: Admission) -> Iterator[None]:
    """Lets the innermost ring find the admission of the call that an outer ring decided."""
    token = CURRENT_GRANT.set(admission)
    try:
        yield
    finally:
        CURRENT_GRANT.reset(token)


def take_grant(definition: ToolDefinition) -> Admission | None:
    """The unused grant for this very tool, marked as used; None when there is none."""
    grant = CURRENT_GRANT.get()
    if grant is None or grant.taken or grant.definition is not definition:
        return None
    grant.taken = True
    return grant
