"""Steps 10 and 11: what a run came to is delivered or withheld, and recorded before that.

Without a record there is no result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from permissions.broker import entries
from permissions.broker.denial import fault
from permissions.broker.found_in_result import inspected
from permissions.broker.recorder import recording
from permissions.broker.result import deliver, journal_form, withheld
from permissions.errors import ToolFailedError
from permissions.execution.pauses import ASKED_TWICE, PAUSED
from permissions.logs import get_logger
from permissions.model import Completed
from permissions.run.found_values import labels_of
from permissions.vocabulary import barrier_after

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.broker.call import Admission
    from permissions.broker.idempotency import LiveResults
    from permissions.broker.result import Delivery
    from permissions.detection.finding import Finding
    from permissions.execution.base import Outcome
    from permissions.model import CallResult

_log = get_logger("broker.settlement")


async def settled(admission: Admission, outcome: Outcome, live: LiveResults) -> CallResult:
    """Delivers, records and ends a call that ran.

    Args:
        admission: the call.
        outcome: how its run ended.
        live: results that are remembered by this process alone.

    Raises:
        Exception: `outcome.error`, once it is recorded.
    """
    if outcome.verdict == PAUSED and admission.request is not None:
        refused = ToolFailedError(ASKED_TWICE)
        outcome = replace(outcome, error=refused, detail=type(refused).__name__, verdict="ok")
    try:
        delivery = deliver(admission, outcome)  # 10
    except Exception as err:  # noqa: BLE001 - it has run: whatever fails, the end is recorded
        delivery = withheld(admission, f"{type(err).__name__} in its obligations")
    delivery, found = await inspected(
        admission.attempt.parts.inspection, admission, delivery, outcome.shown
    )
    try:
        await _record(admission, outcome, delivery, found, live)  # 11
    except Exception as err:  # noqa: BLE001 - without a record there is no result
        _log.error("outcome_not_recorded", call=admission.id, fault=fault(err))
        delivery = withheld(admission, fault(err), kind="unavailable")
    if delivery.denial is None and delivery.error is not None:
        raise delivery.error
    name = admission.definition.name
    admission.result = delivery.denial or Completed(
        admission.id, name, delivery.value, notes=(*admission.notes, *outcome.notes)
    )
    if outcome.notes:  # a caller of the decorated function gets the value alone
        _log.warning("files_left_out", call=admission.id, tool=name, paths=len(outcome.notes))
    return admission.result


async def _record(
    admission: Admission,
    outcome: Outcome,
    delivery: Delivery,
    found: Mapping[str, tuple[Finding, ...]],
    live: LiveResults,
) -> None:
    attempt = admission.attempt
    parts, session, record = attempt.parts, attempt.session, attempt.record
    entry = entries.outcome(
        admission,
        outcome,
        result=delivery.record,
        readable=delivery.more_to_read,
        withheld=delivery.denial is not None,
        found=found,
        duration_us=parts.clock() - admission.started,
    )
    record.note(entry)
    with recording():
        index = await record.flush_within(barrier_after(admission.terms.evidence))
        session.found.located(admission.id, index)
        session.settle(
            admission.id,
            admission.definition,
            admission.question.arguments.document,
            admission.question.provenance,
            labels=admission.terms.labels | labels_of(found),
            status=outcome.status,
            value=delivery.document,
            readable=delivery.readable,
            entry=index,
            request=admission.request,
            approval=admission.approval,
        )
        if admission.reserved is not None:
            await session.budgets.settle(admission.reserved, admission.reserved.amounts)
        if (key := admission.key) is not None:
            told = outcome.reported
            is_exact = told is None or told.exact or delivery.value is not outcome.value
            result, status = journal_form(delivery, outcome.notes, is_exact=is_exact)
            if outcome.verdict == PAUSED and status == "error":
                status = PAUSED
            await parts.journal.finish(key, result=result, status=status)
            if status == "not_kept" and is_exact:
                name = admission.definition.name
                lives = Completed(admission.id, name, delivery.value, notes=outcome.notes)
                live.put(key, lives)
