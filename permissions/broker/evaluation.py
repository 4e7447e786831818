"""Calls that are decided and recorded here, and made elsewhere: nothing is run.

A question uses up no budget. Where policy wants a person one may be asked, and their approval is
used up by the one question that it permits, as it would be by a call: in the same run, for the
same call, under the same policies, and once. Its record ends as that of a call that never ran.

Not protected from: whoever enforces the answer, and does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from permissions.broker import decision, entries
from permissions.broker.call import requested_call
from permissions.broker.denial import Refusal, refusal_of
from permissions.broker.explanation import Explanation
from permissions.broker.request import understand
from permissions.broker.stopped import require_not_stopped
from permissions.errors import (
    ApprovalError,
    ApprovalUsedError,
    BrokerError,
    RequestClosedError,
    TraceError,
)
from permissions.model import Denial
from permissions.reasons import Code, reason, shown
from permissions.vocabulary import barrier_before

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from permissions.approval.model import Approval
    from permissions.broker.call import Attempt, Question
    from permissions.model import AccessRequestTerms, Decision, DenialKind, Isolation

Hindrance: TypeAlias = Literal[
    "expired", "out_of_scope", "unverifiable", "policy_denied", "busy"
]
"""Why an approval did not count: it is over or used, it is for another call, it is no approval
that holds, policy denies the call with it, or another question of its run is in hand."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The answer to a question that is on record.

    Attributes:
        id: of the question, as the record has it.
        kind: how it ended in the record, as a denial does.
        request: id of the access request that waits for people now.
        approval: the approval that was used up.
        hindrance: why the approval that was named did not count; None when none was, or none
            was needed.
    """

    id: str
    explained: Explanation
    kind: DenialKind = "denied"
    request: str | None = None
    approval: Approval | None = None
    hindrance: Hindrance | None = None


async def explained(attempt: Attempt, isolation: Sequence[Isolation]) -> Explanation:
    """What steps 1 to 5 of the flow say; nothing is recorded, asked or run."""
    return (await _through(attempt, isolation, _as_it_stands)).explained


async def evaluated(
    attempt: Attempt, isolation: Sequence[Isolation], *, approval: str | None = None
) -> Evaluated:
    """What would be decided, recorded.

    Args:
        attempt: what is asked about; in the run in which the approval was asked for, if it
            comes with one.
        isolation: boundaries the broker can give.
        approval: id of the access request whose approval it comes with.
    """
    if approval is None:
        return await _recorded(attempt, isolation, _as_it_stands)
    return await _recorded(attempt, isolation, partial(_with_approval, request=approval))


async def requested(attempt: Attempt, isolation: Sequence[Isolation]) -> Evaluated:
    """As `evaluated`, and people are asked where policy wants one; nobody waits here.

    Args:
        attempt: what is asked about, in a session of the mode `suspend`.
        isolation: boundaries the broker can give.
    """
    return await _recorded(attempt, isolation, _with_people_asked)


if TYPE_CHECKING:
    _Then: TypeAlias = Callable[
        [Attempt, Question, Decision, AccessRequestTerms], Awaitable[Evaluated]
    ]


async def _recorded(attempt: Attempt, isolation: Sequence[Isolation], then: _Then) -> Evaluated:
    found = await _through(attempt, isolation, then)
    said = found.explained.reasons or (reason(Code.CALL_ONLY_ASKED),)
    tool = attempt.call.tool
    ended = Denial(attempt.id, shown(tool[:64]), found.kind, said)
    attempt.record.note(entries.denied(attempt, ended))
    try:
        await attempt.record.flush(barrier_before(attempt.parts.evidence))
    except TraceError as err:
        refused = Explanation.of_refusal(tool, refusal_of(err).reasons)
        return Evaluated(attempt.id, refused)
    return found


async def _through(attempt: Attempt, isolation: Sequence[Isolation], then: _Then) -> Evaluated:
    """Steps 1 to 5, and what comes after where policy wants a person."""
    tool = attempt.call.tool
    try:
        question = await understand(attempt, attempt.parts, isolation)
        require_not_stopped(attempt.parts, attempt.session, tool)
        decided = await decision.evaluate(attempt.parts, attempt, question.document)
        if (terms := decided.access_request) is None:
            told = Explanation.of_decision(tool, decided, question.document)
            return Evaluated(attempt.id, told)
        return await then(attempt, question, decided, terms)
    except Refusal as refusal:
        told = Explanation.of_refusal(tool, refusal.reasons)
        return Evaluated(attempt.id, told, refusal.kind, refusal.access_request)
    except BrokerError as err:
        return Evaluated(attempt.id, Explanation.of_refusal(tool, refusal_of(err).reasons))
    finally:
        attempt.end()


async def _as_it_stands(
    attempt: Attempt, question: Question, decided: Decision, _: AccessRequestTerms
) -> Evaluated:
    told = Explanation.of_decision(attempt.call.tool, decided, question.document)
    return Evaluated(attempt.id, told)


async def _with_people_asked(
    attempt: Attempt, question: Question, decided: Decision, terms: AccessRequestTerms
) -> Evaluated:
    parts = attempt.parts
    asked = await decision.answered(
        parts,
        attempt,
        requested_call(attempt, question, terms, parts.pdp.revision),
        subject=question.args_digest,
        reasons=decided.reasons,
        document=question.document,
    )
    found = await _as_it_stands(attempt, question, decided, terms)
    return replace(found, request=asked.id)


async def _with_approval(
    attempt: Attempt,
    question: Question,
    decided: Decision,
    terms: AccessRequestTerms,
    request: str,
) -> Evaluated:
    """What policy says with an approval that is proven to be of this very call."""
    parts, approvals = attempt.parts, attempt.parts.approvals
    denied = await _as_it_stands(attempt, question, decided, terms)
    asked_for = requested_call(attempt, question, terms, parts.pdp.revision)
    try:
        asked = await approvals.get(request)
        if asked.call.binding != asked_for.binding:
            return replace(denied, hindrance="out_of_scope")
        proven = await approvals.verify(request, binding=asked_for.binding)
        attempt.record.note(entries.request(attempt, asked))
        attempt.record.note(entries.approval(attempt, proven, asked.votes))
        context = {**question.document["context"], "approval": question.shown(proven)}
        document = {**question.document, "context": context}
        decided = await decision.evaluate(parts, attempt, document)
        told = Explanation.of_decision(attempt.call.tool, decided, document)
        if not decided.permitted:
            return Evaluated(attempt.id, told, hindrance="policy_denied")
        require_not_stopped(parts, attempt.session, attempt.call.tool)
        await attempt.record.flush("durable")  # before it is gone
        await approvals.consume(request, binding=asked_for.binding)
    except (ApprovalUsedError, RequestClosedError):
        return replace(denied, hindrance="expired")
    except ApprovalError:
        return replace(denied, hindrance="unverifiable")
    return Evaluated(attempt.id, told, approval=proven)
