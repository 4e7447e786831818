"""What each question of the broker does: ask the policy, ask people, and record both.

A call is one question; each connection it makes and what it would change in its workspace may
be others. All are asked here, so that none is asked otherwise, or unrecorded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, assert_never

from permissions.broker import entries
from permissions.broker.background import background_of
from permissions.broker.denial import Refusal
from permissions.broker.stopped import require_not_stopped
from permissions.errors import ApprovalError
from permissions.reasons import Code, reason

if TYPE_CHECKING:
    from permissions.approval.model import AccessRequest, RequestedCall
    from permissions.broker.call import Attempt
    from permissions.broker.ports import BrokerParts
    from permissions.model import (
        Decision,
        Digest,
        JsonObject,
        Reason,
    )
    from permissions.trace.entry import TraceEntry


async def evaluate(
    parts: BrokerParts,
    attempt: Attempt,
    document: JsonObject,
    *,
    connection: int | None = None,
) -> Decision:
    """What the decision point says, noted on the attempt.

    Args:
        connection: its number within the call, when it is asked about one.

    Raises:
        PdpError: no clear answer.
    """
    pdp = parts.pdp
    ahead: TraceEntry | None = None

    def seal_ahead() -> None:
        nonlocal ahead
        if attempt.asked is None:
            ahead = entries.question(attempt, document)
            attempt.record.seal_ahead(ahead)

    decided = await pdp.evaluate(document, meanwhile=seal_ahead)
    entry = entries.decision(
        attempt,
        decided,
        document,
        revision=pdp.revision,
        engine=pdp.engine,
        connection=connection,
        ahead=ahead,
    )
    attempt.record.note(entry)
    return decided


def _words(asked: AccessRequest) -> str:
    """What the person who ended a request said to it, for the agent; "" for nothing."""
    note = asked.votes[-1].note if asked.votes else ""
    return f'They said: "{note}"' if note else ""


STANDS = "The answer stands for the rest of this run; nobody is asked again."


async def answered(
    parts: BrokerParts,
    attempt: Attempt,
    call: RequestedCall,
    *,
    subject: Digest,
    reasons: tuple[Reason, ...],
    document: JsonObject,
) -> AccessRequest:
    """The approved request for this; waits for people if the session may.

    A no stands for the rest of the run: nobody is asked twice about the same.

    Args:
        parts: the broker's.
        attempt: the call.
        call: what an approval is bound to.
        subject: digest of what it is about: the arguments, or the changes.
        reasons: why a person is asked.
        document: what policies were asked about the call.

    Raises:
        Refusal: it is not approved, not yet, or nobody can be asked; with the reasons why a
            person is wanted.
        StateError: the request cannot be kept.
        TraceError: that people are asked cannot be recorded.
    """
    session, about = attempt.session, (call.tool_digest, subject)
    if about in session.refused:
        raise Refusal("denied", reason(Code.APPROVAL_DENIED, agent=STANDS))
    try:
        background = await background_of(parts, session, document)
        asked = await parts.approvals.submit(call, reasons, background)
    except ApprovalError as err:
        nobody = reason(Code.APPROVAL_UNAVAILABLE, str(err))
        raise Refusal("denied", nobody, *reasons) from err
    attempt.record.note(entries.request(attempt, asked))
    await attempt.record.flush("durable")
    if asked.status == "pending" and session.approval_mode == "wait":
        asked = await parts.approvals.wait(
            asked.id, timeout_seconds=parts.approval_wait_seconds
        )
        require_not_stopped(parts, session, call.tool)  # meanwhile
    match asked.status:
        case "approved":
            return asked
        case "denied":
            session.refused.add(about)
            no = reason(Code.APPROVAL_DENIED, agent=_words(asked))
            raise Refusal("denied", no, votes=asked.votes)
        case "edited":
            changed = reason(Code.APPROVAL_EDITED, agent=_words(asked))
            edited = json.loads(asked.votes[-1].arguments or "null")
            raise Refusal("denied", changed, votes=asked.votes, edited=edited)
        case "expired" | "cancelled":
            late = reason(Code.APPROVAL_EXPIRED)
            raise Refusal("expired", late, *reasons, votes=asked.votes)
        case "pending":
            waiting = reason(Code.APPROVAL_PENDING)
            raise Refusal("pending", waiting, *reasons, access_request=asked.id)
        case _:
            assert_never(asked.status)
