"""What becomes of the changes a run made in its overlay: committed, or discarded whole.

After the run and before its outcome is final the change set is a question of its own
(`effects/commit`): policy commits it, discards it, or wants a person who sees the diff; with
their approval, which is bound to the digest of exactly these changes, policy is asked again.
The decision is durable before the commit, and the commit before the outcome. A broker that
dies in between leaves a workspace that is whole (the commit has a journal of its own), and a
call that is in doubt. Whatever is not a clear yes discards, and the tool's result with it: a
tool whose effects are gone has not succeeded.

Not asked about: the changes of a run that did not return, and what can never be committed
(refused entries, protected paths, conflicts, a list too long for a question). They are
discarded.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

import anyio

from permissions.broker import decision, entries
from permissions.broker.call import requested_call
from permissions.broker.denial import Refusal, refusal_of
from permissions.broker.mapping import change_set_question
from permissions.broker.stopped import require_not_stopped
from permissions.errors import ApprovalError, PdpInputError, StateError
from permissions.execution.pending_changes import Obstacle
from permissions.model import Denial
from permissions.obligations.obligations import prepare_late
from permissions.reasons import Code, reason
from permissions.signing.canonical import canonical

if TYPE_CHECKING:
    from permissions.approval.model import Approval, RequestedCall
    from permissions.broker.call import Admission
    from permissions.broker.entries import Fate
    from permissions.broker.ports import BrokerParts
    from permissions.execution.base import Outcome, Status
    from permissions.execution.pending_changes import Changes, PendingChanges
    from permissions.model import (
        AccessRequestTerms,
        Decision,
        JsonObject,
    )


async def conclude(parts: BrokerParts, admission: Admission, outcome: Outcome) -> Outcome:
    """Ends what a run holds; gives its outcome as it stands then.

    What is not recorded yet is noted on the admission's attempt, also when the caller gives up.
    """
    pending = outcome.pending
    if pending is None:
        return outcome
    try:
        return await _conclude(parts, admission, replace(outcome, pending=None), pending)
    finally:
        await pending.discard()


async def _conclude(
    parts: BrokerParts, admission: Admission, outcome: Outcome, pending: PendingChanges
) -> Outcome:
    attempt, changes = admission.attempt, pending.changes
    if changes is None:
        return outcome
    attempt.record.note(entries.changes(admission, changes))
    try:
        request = await _commit(parts, admission, pending, changes, outcome.status)
    except Refusal as refusal:
        return _discarded(admission, outcome, changes, refusal)
    except Exception as err:  # noqa: BLE001 - the boundary: whatever went wrong discards
        return _discarded(admission, outcome, changes, refusal_of(err))
    except anyio.get_cancelled_exc_class():
        gave_up = Refusal("expired", reason(Code.CALL_CANCELLED))
        _discarded(admission, outcome, changes, gave_up)
        raise
    except BaseException:  # an interrupt, anywhere
        _discarded(admission, outcome, changes, _blocked(Obstacle("unknown", ())))
        raise
    attempt.record.note(entries.fate(admission, changes, "committed", request=request))
    return outcome


async def _commit(
    parts: BrokerParts,
    admission: Admission,
    pending: PendingChanges,
    changes: Changes,
    status: Status,
) -> str | None:
    """Decides and commits; gives the id of the access request whose approval it used.

    Raises:
        Refusal: it was not committed.
        BrokerError: nor is it now.
    """
    if status != "ok":  # a part of what it would have done
        raise Refusal("denied", reason(Code.EFFECTS_DISCARDED))
    if changes.obstacle is not None:
        raise _blocked(changes.obstacle)
    approval: Approval | None = None
    decided = await _undisturbed(parts, admission, changes)
    if (asks := decided.access_request) is not None:
        approval, decided = await _ask(parts, admission, changes, asks, decided)
    if not decided.permitted:
        raise Refusal("denied", *decided.reasons)
    terms = prepare_late(
        decided.obligations,
        still=("evidence", "label"),
        evidence="durable",
        quorum=parts.witnesses,
    )
    if admission.session.closed:  # while a person was asked
        raise Refusal("denied", reason(Code.SESSION_CLOSED))
    require_not_stopped(parts, admission.session, admission.definition.name)
    if approval is None:
        admission.session.add_unseen(changes.document)
    # From here on nobody who gives up can tear it apart.
    with anyio.CancelScope(shield=True):
        if approval is not None:
            await parts.approvals.consume(approval.id, binding=approval.binding)
        await admission.attempt.record.flush("durable")
        admission.terms = replace(admission.terms, labels=admission.terms.labels | terms.labels)
        if (obstacle := await _committed(pending)) is not None:
            raise _blocked(obstacle)
    return None if approval is None else approval.id


async def _undisturbed(parts: BrokerParts, admission: Admission, changes: Changes) -> Decision:
    """What policy says, with what every other call of the run has changed by then."""
    while True:
        seen = admission.session.unseen
        decided = await _evaluate(parts, admission, changes)
        if admission.session.unseen == seen:
            return decided


async def _committed(pending: PendingChanges) -> Obstacle | None:
    try:
        return await pending.commit()
    except Exception as err:  # noqa: BLE001 - the boundary: how far it came is not known
        return Obstacle("unknown", (type(err).__name__,))


async def _evaluate(
    parts: BrokerParts, admission: Admission, changes: Changes, approval: Approval | None = None
) -> Decision:
    """What policy says of the changes, as the session stands now.

    Raises:
        Refusal: nobody can be asked: their list is longer than a question may be.
        PdpError: no clear answer.
    """
    given: JsonObject | None = None
    if approval is not None:
        given = {**approval.document(), "args_digest": changes.digest}
    document = change_set_question(
        admission.question.document,
        changes=changes.document,
        approval=given,
        labels=admission.session.labels,
        unseen=admission.session.unseen,
        now=parts.clock(),
    )
    try:
        return await decision.evaluate(parts, admission.attempt, document)
    except PdpInputError as err:  # the call itself was let through the same check
        raise Refusal("denied", reason(Code.EFFECTS_TOO_LARGE, str(err))) from err


async def _ask(
    parts: BrokerParts,
    admission: Admission,
    changes: Changes,
    terms: AccessRequestTerms,
    decided: Decision,
) -> tuple[Approval, Decision]:
    """The approval of exactly these changes, and what policy says with it."""
    attempt = admission.attempt
    if not changes.is_listed:
        raise Refusal("denied", reason(Code.EFFECTS_TOO_MANY), *decided.reasons)
    if attempt.session.approval_mode == "suspend":
        raise Refusal("denied", reason(Code.EFFECTS_NEED_WAIT), *decided.reasons)
    call = requested_call(
        attempt, admission.question, terms, parts.pdp.revision, effects=shown(changes)
    )
    try:
        asked = await decision.answered(
            parts,
            attempt,
            call,
            subject=changes.digest,
            reasons=decided.reasons,
            document=admission.question.document,
        )
    except Refusal as refusal:
        await _withdraw(parts, call)
        if refusal.kind == "pending":
            raise Refusal("expired", reason(Code.APPROVAL_EXPIRED)) from None
        raise
    except BaseException:
        await _withdraw(parts, call)
        raise
    # Of the question as it was put, not of what a store may have made of it.
    approval = await parts.approvals.verify(asked.id, binding=call.binding)
    attempt.record.note(entries.approval(attempt, approval, asked.votes))
    return approval, await _evaluate(parts, admission, changes, approval)


async def _withdraw(parts: BrokerParts, call: RequestedCall) -> None:
    """Takes back a question about changes that are gone; best effort, it also expires."""
    with anyio.CancelScope(shield=True), suppress(ApprovalError, StateError):
        asked = await parts.approvals.find(call.run, call.binding)
        if asked is not None and asked.status == "pending":
            await parts.approvals.cancel(asked.id)


def shown(changes: Changes) -> str:
    """The part of an access request that says what would be committed, as JSON text."""
    diffs = [{"path": path, "diff": text} for path, text in sorted(changes.diffs.items())]
    return canonical({"change_set": changes.document, "diffs": diffs}).decode()


def _blocked(obstacle: Obstacle) -> Refusal:
    said = "; ".join(obstacle.faults)
    match obstacle.kind:
        case "refused":
            return Refusal("denied", reason(Code.EFFECTS_REFUSED, said))
        case "protected":
            return Refusal("denied", reason(Code.EFFECTS_PROTECTED, said))
        case "conflict":
            return Refusal("unavailable", reason(Code.EFFECTS_CONFLICT, said))
        case "failed":
            return Refusal("unavailable", reason(Code.EFFECTS_FAILED, said))
        case "unknown":
            return Refusal("in_doubt", reason(Code.EFFECTS_IN_DOUBT, said))
        case _:
            assert_never(obstacle.kind)


_FATES: dict[str, Fate] = {
    Code.EFFECTS_CONFLICT: "conflict",
    Code.EFFECTS_FAILED: "failed",
    Code.EFFECTS_IN_DOUBT: "in_doubt",
}


def _discarded(
    admission: Admission, outcome: Outcome, changes: Changes, refusal: Refusal
) -> Outcome:
    """The outcome of a run whose changes are gone."""
    fate = _FATES.get(refusal.reasons[0].code, "discarded")
    admission.attempt.record.note(
        entries.fate(admission, changes, fate, reasons=refusal.reasons, votes=refusal.votes)
    )
    if outcome.status != "ok":
        return outcome
    reasons = refusal.reasons
    if fate != "in_doubt":
        reasons = (*reasons, reason(Code.EFFECTS_DISCARDED))
    denial = Denial(admission.id, admission.definition.name, refusal.kind, reasons)
    return replace(outcome, status="discarded", denial=denial)
