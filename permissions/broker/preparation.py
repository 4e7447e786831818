"""Step 7: what a permitted call needs to run, and which boundary it gets.

An obligation that is unknown or cannot be fulfilled is a denial, and a boundary is never
weaker than what was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.approval.grant import Granted
from permissions.broker.call import Admission
from permissions.broker.denial import Refusal
from permissions.broker.egress import CallConnections
from permissions.broker.result import is_redactable
from permissions.errors import StateLostError
from permissions.execution.base import Execution
from permissions.execution.in_process import ENFORCED
from permissions.obligations.obligations import prepare
from permissions.reasons import Code, reason
from permissions.vocabulary import ISOLATION_ORDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.approval.model import Approval
    from permissions.broker.call import Attempt, Question
    from permissions.execution.base import ToolExecutor
    from permissions.model import Decision, Isolation, JsonObject
    from permissions.obligations.obligations import Terms


def prepared(
    attempt: Attempt,
    question: Question,
    decided: Decision,
    approval: Approval | Granted | None,
    *,
    isolation: tuple[Isolation, ...],
) -> Admission:
    """The call as it is to run, with all that its obligations ask for.

    Args:
        attempt: the call.
        question: what it is.
        decided: what policy said of it.
        approval: by which it passes; None without one.
        isolation: boundaries at hand, weakest first.

    Raises:
        Refusal: an obligation cannot be fulfilled, or the boundary is not there.
        ObligationUnknownError, ObligationFailedError: one is not known, or not as it must be.
        StateLostError: the sandbox that held the tool's state is gone.
    """
    definition, parts = question.definition, attempt.parts
    terms = prepare(
        decided.obligations,
        isolation=definition.isolation,
        profile=definition.options.profile,
        evidence=parts.evidence,
        quorum=parts.witnesses,
    )
    if terms.redact and not is_redactable(definition):
        said = "fields of its results are to be redacted, and its return type has none"
        raise Refusal("denied", reason(Code.OBLIGATION_FAILED, said))
    most = parts.call_deadline_seconds
    is_remembered = isinstance(approval, Granted)
    asked = {"approval": None if approval is None else question.shown(approval)}
    call = {**question.document, "context": {**question.document["context"], **asked}}
    gate = CallConnections(parts, attempt, call, profile=terms.profile, evidence=terms.evidence)
    execution = Execution(
        definition=definition,
        arguments=question.arguments,
        targets=question.document["resource"]["properties"]["targets"],
        workspace=attempt.session.workspace,
        profile=terms.profile,
        deadline_seconds=min(terms.deadline_seconds or most, most),
        run=attempt.session.run,
        gate=gate,
    )
    if definition.name in attempt.session.lost:
        raise StateLostError(f"the run was resumed; the sandbox of {definition.name} is gone")
    if (own := parts.hosted.get(definition.name)) is not None:
        executor, enforced = _own_executor(execution, terms, *own)
    else:
        executor, enforced = _executor(execution, terms, parts.executors, isolation)
    return Admission(
        attempt=attempt,
        question=question,
        terms=terms,
        execution=execution,
        executor=executor,
        enforced=enforced,
        # A person saw this call only if they were asked about it.
        request=None if approval is None or is_remembered else approval.id,
        approval=None if approval is None or is_remembered else approval.document(),
    )


def _own_executor(
    execution: Execution, terms: Terms, level: Isolation, executor: ToolExecutor
) -> tuple[ToolExecutor | None, JsonObject]:
    """The sandbox that a tool has for itself, if that is strong enough."""
    if ISOLATION_ORDER.index(level) < ISOLATION_ORDER.index(terms.isolation):
        said = f"{terms.isolation} is needed; the tool's own sandbox gives {level}"
        raise Refusal("unavailable", reason(Code.ISOLATION_UNAVAILABLE, said))
    return executor, executor.enforces(execution)


def _executor(
    execution: Execution,
    terms: Terms,
    executors: Mapping[Isolation, ToolExecutor],
    isolation: tuple[Isolation, ...],
) -> tuple[ToolExecutor | None, JsonObject]:
    """The weakest executor at hand that is strong enough; never a weaker one."""
    if terms.isolation == "none":
        if terms.deadline_seconds is not None and not execution.definition.is_async:
            said = "a sync function in this process cannot be stopped; declare a sandbox"
            raise Refusal("denied", reason(Code.OBLIGATION_FAILED, said))
        return None, ENFORCED
    for level in ISOLATION_ORDER[ISOLATION_ORDER.index(terms.isolation) :]:
        if (executor := executors.get(level)) is not None:
            return executor, executor.enforces(execution)
    said = f"{terms.isolation} is needed; this machine gives {', '.join(isolation)}"
    raise Refusal("unavailable", reason(Code.ISOLATION_UNAVAILABLE, said))
