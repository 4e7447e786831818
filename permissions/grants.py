"""What travels with the flow of a program: the current session, and a one-call grant.

Two rings enforce one decision. The outer ring (an adapter) decides and sets a grant; the
innermost ring (the decorator) takes it, once, for exactly the call that was decided. Without
a grant the inner ring decides by itself. Both are context variables, so that parallel calls
of one framework step each find their own.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

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
