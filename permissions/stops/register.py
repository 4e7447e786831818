"""Where stops are kept: the port, and its in-memory twin."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Protocol

from permissions.errors import StateError
from permissions.signing.keys import memory_signer
from permissions.stops.statement import (
    Resumption,
    Statement,
    Stop,
    sign_resumption,
    sign_stop,
    standing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from permissions.stops.scope import Scope
    from permissions.stops.statement import Agreement


class StopRegister(Protocol):
    """The stops of one state folder. Every method raises `StateError` when it cannot tell."""

    def in_force(self) -> tuple[Stop, ...]:
        """What is stopped now, whichever process said so. Quick: each call asks it.

        With what is held here: a broker goes on once it is on record that a stop was lifted.
        """
        ...

    def hold(self, stop: Stop) -> None:
        """Keeps a stop in force for this process, also when it is lifted."""
        ...

    def let_go(self, stop: str) -> None:
        """Keeps it no more."""
        ...

    def statements(self) -> tuple[Statement, ...]:
        """All that was ever said, in order."""
        ...

    def stop(self, scope: Scope, *, reason: str, by: str) -> Stop:
        """Stops something: durable, and in force in every process, on return. Blocking."""
        ...

    def resume(
        self, stop: Stop, *, reason: str, by: str, agreement: Agreement | None = None
    ) -> Resumption:
        """Lifts a stop, durably. Blocking. Whether it may be lifted is not asked here.

        Raises:
            StateError: it is not in force.
        """
        ...

    @property
    def recorded(self) -> int:
        """How many of the statements are in the trace."""
        ...

    def note_recorded(self, count: int) -> None:
        """Notes that. Blocking."""
        ...


class InMemoryStops:
    """A `StopRegister` for one process."""

    def __init__(self, *, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._signer = memory_signer()
        self._said: list[Statement] = []
        self._held: dict[str, Stop] = {}
        self.recorded = 0

    def in_force(self) -> tuple[Stop, ...]:
        """See `StopRegister`."""
        return with_held(standing(self._said), self._held)

    def hold(self, stop: Stop) -> None:
        """See `StopRegister`."""
        self._held[stop.id] = stop

    def let_go(self, stop: str) -> None:
        """See `StopRegister`."""
        self._held.pop(stop, None)

    def statements(self) -> tuple[Statement, ...]:
        """See `StopRegister`."""
        return tuple(self._said)

    def stop(self, scope: Scope, *, reason: str, by: str) -> Stop:
        """See `StopRegister`."""
        said = sign_stop(
            scope, stop=new_id(), reason=reason, by=by, now=self._clock(), signer=self._signer
        )
        self._said.append(said)
        return said

    def resume(
        self, stop: Stop, *, reason: str, by: str, agreement: Agreement | None = None
    ) -> Resumption:
        """See `StopRegister`."""
        require_in_force(stop, standing(self._said))
        said = sign_resumption(
            stop.id,
            reason=reason,
            by=by,
            now=self._clock(),
            signer=self._signer,
            agreement=agreement,
        )
        self._said.append(said)
        return said

    def note_recorded(self, count: int) -> None:
        """See `StopRegister`."""
        self.recorded = count


def new_id() -> str:
    """A name for a stop that nobody meets twice."""
    return f"stop-{secrets.token_hex(6)}"


def with_held(stops: tuple[Stop, ...], held: Mapping[str, Stop]) -> tuple[Stop, ...]:
    """What is in force, and what is held beside it."""
    if not held:
        return stops
    return tuple({each.id: each for each in (*held.values(), *stops)}.values())


def require_in_force(stop: Stop, stops: tuple[Stop, ...]) -> None:
    """Checks that a stop can be lifted.

    Raises:
        StateError: it was before, or never was.
    """
    if all(each.id != stop.id for each in stops):
        raise StateError(f"{stop.id[:80]} is not in force; nothing was lifted")
