"""Whether a run may still call, and whether a call is within what it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.broker.denial import Refusal
from permissions.reasons import Code, reason

if TYPE_CHECKING:
    from permissions.broker.ports import BrokerParts
    from permissions.model import JsonObject
    from permissions.run.state import RunState


async def require_live(parts: BrokerParts, session: RunState) -> None:
    """Checks that neither the run nor one that sent it has ended, expired or was revoked.

    Raises:
        Refusal: one of them did.
        StateError: nobody can tell.
    """
    if session.parent is not None:
        chain = [session.run, *(above.run for above in session.senders())]
        if await parts.delegations.revoked(chain) is not None:
            raise Refusal("denied", reason(Code.DELEGATION_REVOKED))
        now = parts.clock()
        if any(
            e.expires is not None and now >= e.expires for e in (session, *session.senders())
        ):
            raise Refusal("denied", reason(Code.DELEGATION_EXPIRED))
    # Last, for it is true without a wait until the next await.
    if session.closed or any(above.closed for above in session.senders()):
        raise Refusal("denied", reason(Code.SESSION_CLOSED))


def require_given(session: RunState, tool: str, arguments: JsonObject) -> None:
    """Checks that every delegation of the chain covers a call.

    Raises:
        Refusal: one does not; nobody can approve that.
    """
    if (said := session.excess(tool, arguments)) is not None:
        raise Refusal("denied", reason(Code.DELEGATION_EXCEEDED, agent=f"({said})"))
