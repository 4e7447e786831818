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


class EnteredSession:
    """A session that is current in the context it was entered in, until it is left.

    Context variables are put back by tokens in the order they were set. Generators that hold a
    session each may end in any order, in any task, or never: whoever leaves puts back the
    nearest session around it that was not left itself. One that is left from elsewhere stays
    in its own context, closed, so that a call there is refused and not taken for another's.

    Not protected from: what Python does, where a session that a generator holds is current for
    whoever runs the generator, until it ends.
    """

    def __init__(self, handle: SessionHandle) -> None:
        self._handle = handle
        self._is_left = False
        self._outer = _open_one(_ENTERED.get())
        _ENTERED.set(self)
        CURRENT_SESSION.set(handle)

    def leave(self) -> None:
        """Makes the session around it current again, where this one still is."""
        self._is_left = True
        if _ENTERED.get() is self:
            outer = _open_one(self)
            _ENTERED.set(outer)
            CURRENT_SESSION.set(None if outer is None else outer._handle)  # noqa: SLF001


def _open_one(entered: EnteredSession | None) -> EnteredSession | None:
    while entered is not None and entered._is_left:  # noqa: SLF001
        entered = entered._outer  # noqa: SLF001
    return entered


_ENTERED: ContextVar[EnteredSession | None] = ContextVar("wardline_entered", default=None)
