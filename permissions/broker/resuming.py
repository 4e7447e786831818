"""Lifts a stop, once the people agree who have to.

Where somebody has to, it is an access request like any other: shown, answered with a signature,
used once. Neither who asks to go on nor who stopped it can answer. What they agreed to, and their
signed answers, stand in the statement that lifts the stop, and in the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import to_thread

from permissions.approval.model import AccessRequest, RequestedCall
from permissions.model import Reason
from permissions.signing.canonical import canonical, digest
from permissions.stops.statement import Agreement

if TYPE_CHECKING:
    from permissions.approval.service import ApprovalService
    from permissions.model import AccessRequestTerms
    from permissions.stops.register import StopRegister
    from permissions.stops.statement import Resumption, Stop

RESUME_TOOL = "wardline.resume"
"""In the place of a tool, in a request to lift a stop."""
_TOOL_DIGEST = digest(b"wardline.resume/v1")


async def lift(
    stop: Stop,
    register: StopRegister,
    approvals: ApprovalService,
    *,
    reason: str,
    by: str,
    terms: AccessRequestTerms | None,
) -> Resumption | AccessRequest:
    """Lifts a stop; or gives the request that has to be answered first.

    Ask again once it was approved. A request that was denied stays denied; give another reason
    to ask anew.

    Args:
        stop: it is in force.
        register: where it is kept.
        approvals: over the same state.
        reason: why it may go on.
        by: who asks for it.
        terms: who has to agree; None where nobody has to.

    Raises:
        ApprovalError: nobody who has to agree can be asked, or the agreement does not hold.
        StateError: it is not in force, or cannot be lifted durably.
    """
    if terms is None:
        return await to_thread.run_sync(_resume, register, stop, reason, by, None)
    call = _requested(stop, reason=reason, by=by, terms=terms)
    asked = await _standing(approvals, call) or await approvals.submit(call, [_why(stop)])
    if asked.status != "approved":
        return asked
    binding = asked.call.binding
    proven = await approvals.verify(asked.id, binding=binding)
    used = await approvals.consume(proven.id, binding=binding)
    agreed = Agreement(used.id, used.shown, tuple(vote.envelope for vote in used.votes))
    return await to_thread.run_sync(_resume, register, stop, reason, by, agreed)


async def _standing(approvals: ApprovalService, call: RequestedCall) -> AccessRequest | None:
    """The request of the same stop that waits or was approved, whatever its reason said."""
    for asked in await approvals.listed(pending_only=False):
        is_open = asked.status == "pending" or (
            asked.status == "approved" and asked.consumed_at is None
        )
        of_it = (asked.call.tool, asked.call.key, asked.call.terms, asked.call.policy_revision)
        if is_open and of_it == (call.tool, call.key, call.terms, call.policy_revision):
            return asked
    return None


def _resume(
    register: StopRegister, stop: Stop, reason: str, by: str, agreed: Agreement | None
) -> Resumption:
    return register.resume(stop, reason=reason, by=by, agreement=agreed)


def _requested(stop: Stop, *, reason: str, by: str, terms: AccessRequestTerms) -> RequestedCall:
    """What the answer is bound to: this very stop, and nothing else."""
    shown = {
        "lifts": stop.id,
        "scope": stop.scope.kind,
        "name": stop.scope.name,
        "stopped_by": stop.by,
        "stopped_at": stop.time,
        "stopped_because": stop.reason,
        "go_on_because": reason,
    }
    return RequestedCall(
        run="",
        key=f"stop {stop.id}",
        tool=RESUME_TOOL,
        tool_digest=_TOOL_DIGEST,
        arguments=canonical(shown).decode(),
        targets="[]",
        workspace="",
        policy_revision=digest(stop.envelope.encode()),
        plan_step=None,
        subject=account(by),
        on_behalf_of=account(stop.by),
        terms=terms,
    )


def account(by: str) -> str:
    """The name in what says who somebody is, as separation of duties compares it."""
    return by.partition(" ")[0]


def _why(stop: Stop) -> Reason:
    return Reason(
        code="stop.needs_agreement",
        agent=f"{stop.scope} was stopped, and goes on when another person agrees.",
        operator="",
    )
