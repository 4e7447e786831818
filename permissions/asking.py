"""What each question of the broker does: ask the policy, ask people, and record both.

A call is one question, and what it would change in its workspace may be another; both are
asked here, so that neither is asked otherwise, or unrecorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import anyio

from permissions import records
from permissions.errors import TraceWriteError
from permissions.reasons import Code, reason
from permissions.refusal import Refusal

if TYPE_CHECKING:
    from permissions.admission import Attempt
    from permissions.approval.model import AccessRequest, RequestedCall
    from permissions.model import Decision, Evidence, JsonObject, Reason
    from permissions.parts import BrokerParts

RECORDING_SECONDS = 10.0
"""How long one record may take, whoever has given up meanwhile."""


async def evaluate(parts: BrokerParts, attempt: Attempt, document: JsonObject) -> Decision:
    """What the decision point says, noted on the attempt.

    Raises:
        PdpError: no clear answer.
    """
    pdp = parts.pdp
    decided = await pdp.evaluate(document)
    attempt.entries.append(
        records.decision(attempt, decided, document, revision=pdp.revision, engine=pdp.engine)
    )
    return decided


async def answered(
    parts: BrokerParts, attempt: Attempt, call: RequestedCall, reasons: tuple[Reason, ...]
) -> AccessRequest:
    """The approved request for this; waits for people if the session may.

    Raises:
        Refusal: it is not approved, or not yet.
        ApprovalError: nobody can be asked.
        StateError: the request cannot be kept.
        TraceError: that people are asked cannot be recorded.
    """
    asked = await parts.approvals.submit(call, reasons)
    attempt.entries.append(records.request(attempt, asked))
    await flush(parts, attempt, "durable")
    if asked.status == "pending" and attempt.session.approval_mode == "wait":
        asked = await parts.approvals.wait(
            asked.id, timeout_seconds=parts.approval_wait_seconds
        )
    match asked.status:
        case "approved":
            return asked
        case "denied":
            raise Refusal("denied", reason(Code.APPROVAL_DENIED), votes=asked.votes)
        case "expired" | "cancelled":
            raise Refusal("expired", reason(Code.APPROVAL_EXPIRED), votes=asked.votes)
        case "pending":
            waiting = reason(Code.APPROVAL_PENDING)
            raise Refusal("pending", waiting, access_request=asked.id)
        case _:
            assert_never(asked.status)


async def flush(parts: BrokerParts, attempt: Attempt, evidence: Evidence) -> None:
    """Records what the attempt has noted. Nobody who gives up can tear it apart.

    Raises:
        TraceError: it cannot be recorded. What was refused is noted again for the record of
            the denial, except that the call was about to start.
    """
    entries, attempt.entries = attempt.entries, []
    with anyio.move_on_after(RECORDING_SECONDS, shield=True) as scope:
        try:
            await parts.trace.append(entries, evidence=evidence)
        except Exception:
            attempt.entries = [entry for entry in entries if entry.type != "start"]
            raise
    if scope.cancelled_caught:
        raise TraceWriteError(f"the trace gave no answer in {RECORDING_SECONDS:g} s")
