"""The life of an access request, as pure functions from one value to the next.

::

    pending ── every stage has its quorum ─────> approved ── used once ──> approved, consumed
       ├────── one eligible deny ─────────────> denied
       ├────── one eligible edit ─────────────> edited: the call it makes is another one
       ├────── expires_at reached ────────────> expired
       └────── withdrawn, or stopped ─────────> cancelled

`pending` is left once and the ends are final. Whether a vote is genuine is not decided here
(`votes`, which checks signatures) but whether its voter may answer is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from permissions.approval import stages
from permissions.errors import ApprovalUsedError, ApproverRefusedError, RequestClosedError
from permissions.vocabulary import is_same_person

if TYPE_CHECKING:
    from permissions.approval.approvers import Approver
    from permissions.approval.model import AccessRequest, RequestedCall, Vote


def require_eligible(call: RequestedCall, approver: Approver) -> None:
    """Checks that this person may answer for this call.

    Raises:
        ApproverRefusedError: they are in none of the groups asked for, or duties are
            separated and they asked themselves or are the human acted for.
    """
    if approver.groups.isdisjoint(call.terms.approvers):
        raise ApproverRefusedError(
            f"{approver.id} is in none of the groups that may answer:"
            f" {', '.join(call.terms.approvers)[:200]}"
        )
    if not call.terms.separation_of_duties:
        return
    if any(
        is_same_person(person, approver.id)
        for person in (call.subject, call.on_behalf_of or "")
    ):
        raise ApproverRefusedError(
            f"{approver.id} asked for this call or is the one it is made for; policy wants"
            " somebody else to answer"
        )


def require_turn(request: AccessRequest, approver: Approver, position: int) -> None:
    """Checks that this person may give the vote of that number, from 0.

    Raises:
        ApproverRefusedError: as `require_eligible`, or it is another stage's turn.
    """
    require_eligible(request.call, approver)
    turn = stages.turn(request.call.terms, position)
    if approver.groups.isdisjoint(turn.stage.approvers):
        raise ApproverRefusedError(
            f"it is not the turn of {approver.id}: stage {turn.number + 1} of"
            f" {len(request.call.terms.order)} waits for"
            f" {', '.join(turn.stage.approvers)[:200]}"
        )


def cast(request: AccessRequest, vote: Vote, approver: Approver, *, now: int) -> AccessRequest:
    """The request after one genuine vote.

    Raises:
        RequestClosedError: it is no longer open.
        ApproverRefusedError: the voter may not answer it, or has already.
    """
    require_open(request, now=now)
    require_turn(request, approver, len(request.votes))
    if any(earlier.approver == approver.id for earlier in request.votes):
        raise ApproverRefusedError(f"{approver.id} has already answered request {request.id}")
    voted = replace(request, votes=(*request.votes, vote))
    match vote.verdict:
        case "deny":
            return replace(voted, status="denied")
        case "edit":
            return replace(voted, status="edited")
        case "approve":
            enough = len(voted.votes) >= request.call.terms.quorum
            return replace(voted, status="approved") if enough else voted
        case _:
            assert_never(vote.verdict)


def expire(request: AccessRequest, *, now: int) -> AccessRequest:
    """The request as the clock leaves it."""
    if request.status == "pending" and now >= request.expires_at:
        return replace(request, status="expired")
    return request


def cancel(request: AccessRequest, *, now: int) -> AccessRequest:
    """The request after the asker withdrew it.

    Raises:
        RequestClosedError: it is no longer open.
    """
    require_open(request, now=now)
    return replace(request, status="cancelled")


def consume(request: AccessRequest, *, now: int) -> AccessRequest:
    """The approved request after its one use.

    Raises:
        ApprovalUsedError: it was used before.
        RequestClosedError: it is not approved, or the approval has expired.
    """
    if request.consumed_at is not None:
        raise ApprovalUsedError(f"the approval {request.id} was used once already")
    if request.status != "approved":
        raise RequestClosedError(f"access request {request.id} is {request.status}")
    if now >= request.usable_until:
        raise RequestClosedError(f"the approval {request.id} has expired unused")
    return replace(request, consumed_at=now)


def void(request: AccessRequest, *, now: int) -> AccessRequest:
    """The request after what it is about was stopped: nothing can be approved or used any more."""
    if request.status == "pending":
        return replace(request, status="cancelled")
    if request.status == "approved" and request.consumed_at is None:
        return replace(request, consumed_at=now)
    return request


def stands(request: AccessRequest, *, now: int) -> bool:
    """Whether asking again for the same call meets this request instead of a new one.

    True while it is open, while its approval can still be used, and after a person said no or
    made another call of it: the same call of the same run is not put to people twice.
    """
    match request.status:
        case "pending":
            return now < request.expires_at
        case "approved":
            return request.consumed_at is None and now < request.usable_until
        case "denied" | "edited":
            return True
        case "expired" | "cancelled":
            return False
        case _:
            assert_never(request.status)


def require_open(request: AccessRequest, *, now: int) -> None:
    """Checks that the request still waits for answers.

    Raises:
        RequestClosedError: it was decided, cancelled, or its time is over.
    """
    status = expire(request, now=now).status
    if status != "pending":
        raise RequestClosedError(f"access request {request.id} is {status}, no longer open")
