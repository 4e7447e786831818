"""Whether a person stopped a call: its run, its agent, its tool, or everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.broker.denial import Refusal
from permissions.reasons import Code, reason

if TYPE_CHECKING:
    from permissions.broker.ports import BrokerParts
    from permissions.run.state import RunState
    from permissions.stops.scope import Scope


def require_not_stopped(parts: BrokerParts, session: RunState, tool: str) -> None:
    """Checks that no stop bars a call; true without a wait until the next await.

    Raises:
        Refusal: one does. Nobody can approve it away; it has to be lifted.
        StateError: nobody can tell.
    """
    for stop in parts.stops.in_force():
        if is_covered(stop.scope, session, tool):
            said = f"{stop.id}: {stop.scope}, by {stop.by}"
            raise Refusal("denied", reason(Code.STOPPED, said))


def is_covered(scope: Scope, session: RunState, tool: str) -> bool:
    """Whether a call of a session is in the scope of a stop: its own, or that of a sender."""
    chain = (session, *session.senders())
    return scope.covers(
        runs=[each.run for each in chain],
        agents=[each.subject.id for each in chain],
        tool=tool,
    )
