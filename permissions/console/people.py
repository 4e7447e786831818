"""Who is behind a session, and what they may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.approval import lifecycle
from permissions.errors import ApproverRefusedError

if TYPE_CHECKING:
    from permissions.approval.approvers import Approver
    from permissions.approval.model import RequestedCall
    from permissions.console.visit import Visit


async def approver_of(visit: Visit) -> Approver | None:
    """The registered approver who is signed in as one; None otherwise."""
    if visit.role != "approver":
        return None
    people = await visit.parts.broker.parts.approvals.approvers()
    try:
        return people.get(visit.who.name)
    except ApproverRefusedError:
        return None


def may_answer(call: RequestedCall, approver: Approver) -> bool:
    """Whether somebody may answer for a call."""
    try:
        lifecycle.require_eligible(call, approver)
    except ApproverRefusedError:
        return False
    return True
