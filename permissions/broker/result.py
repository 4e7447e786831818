"""Step 10 of the flow: what an execution came to, and what of it may be handed out. Pure.

A result goes out only after every obligation on it is fulfilled. One that fails withholds the
whole result: the tool has run, and the denial says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from permissions.broker.entries import error_text, json_bytes
from permissions.errors import ToolFailedError
from permissions.model import Completed, Denial, Reason
from permissions.obligations.obligations import ObligationFailedError, redact
from permissions.reasons import Code, reason

if TYPE_CHECKING:
    from permissions.broker.call import Admission
    from permissions.execution.base import Outcome
    from permissions.execution.journal import Finished
    from permissions.model import CallResult, DenialKind, JsonValue
    from permissions.tools.definition import ToolDefinition

_ENDINGS: dict[str, tuple[DenialKind, Code]] = {
    "stopped": ("denied", Code.EXECUTION_STOPPED),
    "provider_failed": ("unavailable", Code.EXECUTION_PROVIDER_FAILED),
    "unavailable": ("unavailable", Code.ISOLATION_UNAVAILABLE),
    "state_lost": ("unavailable", Code.EXECUTION_STATE_LOST),
    "cancelled": ("expired", Code.CALL_CANCELLED),
    "not_run": ("denied", Code.CALL_CHANGED),
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is handed out for an execution.

    Attributes:
        value: the result as Python, obligations fulfilled.
        document: the whole result as JSON, before redaction; None when it has no JSON form.
        record: the same as bytes, for the sealed record.
        shown: what is handed out, as JSON bytes, for the journal.
        denial: why nothing is handed out; None when something is.
    """

    value: Any = None
    document: JsonValue = None
    record: bytes | None = None
    shown: bytes | None = None
    denial: Denial | None = None


def deliver(admission: Admission, outcome: Outcome) -> Delivery:
    """Fulfils the obligations on the result of one execution."""
    if outcome.status in _ENDINGS:
        kind, code = _ENDINGS[outcome.status]
        said = f"{outcome.verdict}: {outcome.detail}"
        # Which limit it was decides what to change, and the word is never the tool's own.
        agent = f"How it ended: {outcome.verdict}." if outcome.status == "stopped" else ""
        return withheld(admission, said, code=code, kind=kind, agent=agent)
    if outcome.error is not None:
        return Delivery()
    if outcome.denial is not None:  # for the record alone
        found = _deliver_value(admission, outcome.value)
        return Delivery(document=found.document, record=found.record, denial=outcome.denial)
    return _deliver_value(admission, outcome.value)


def _deliver_value(admission: Admission, returned: Any) -> Delivery:
    adapter, pointers = admission.definition.output_adapter, admission.terms.redact
    try:
        # Silent, because a warning would print the result.
        document = adapter.dump_python(returned, mode="json", warnings=False)
        record = json_bytes(document)
    except (PydanticSerializationError, TypeError, ValueError, RecursionError) as err:
        if pointers or admission.call.key is not None:
            said = f"the result has no JSON form ({type(err).__name__}), which its obligations need"
            return withheld(admission, said)
        return Delivery(value=returned)
    if not pointers:
        return Delivery(returned, document, record, shown=record)
    try:
        shown = redact(document, pointers)
        value = adapter.validate_python(shown)
    except (ValidationError, ObligationFailedError) as err:
        said = f"the redacted result does not fit the tool's type ({type(err).__name__})"
        return replace(withheld(admission, said), document=document, record=record)
    return Delivery(value, document, record, shown=json_bytes(shown))


def withheld(
    admission: Admission,
    operator: str,
    *,
    code: Code = Code.RESULT_WITHHELD,
    kind: DenialKind = "denied",
    agent: str = "",
) -> Delivery:
    """A delivery of nothing, and why."""
    name, why = admission.definition.name, reason(code, operator, agent=agent)
    return Delivery(denial=Denial(admission.id, name, kind, (why,)))


def journal_form(outcome: Outcome, delivery: Delivery) -> tuple[bytes, str]:
    """How an ended call is kept, so that asking again gives the same without a second run."""
    if delivery.denial is not None:
        reasons = [each.model_dump(mode="json") for each in delivery.denial.reasons]
        return json_bytes({"kind": delivery.denial.kind, "reasons": reasons}), "denied"
    if outcome.error is not None:
        said = f"{type(outcome.error).__name__}: {error_text(outcome.error)}"
        return said.encode(errors="backslashreplace"), "error"
    return delivery.shown or b"null", "ok"


def denied_code(finished: Finished) -> str:
    """The reason code of an earlier run that ended in a denial."""
    code: str = orjson.loads(finished.result)["reasons"][0]["code"]
    return code


def restore(definition: ToolDefinition, call: str, finished: Finished) -> CallResult:
    """What an earlier run of the same call came to.

    Raises:
        ToolFailedError: it ended by an exception of the tool.
    """
    if finished.status == "error":
        raise ToolFailedError(
            f"{finished.result.decode()} (the call failed like this when it ran; it is not run"
            " again, because its tool does not say idempotent=True)"
        )
    stored = orjson.loads(finished.result)
    if finished.status == "denied":
        reasons = tuple(Reason.model_validate(each) for each in stored["reasons"])
        return Denial(call, definition.name, stored["kind"], reasons)
    value = definition.output_adapter.validate_python(stored)
    return Completed(call, definition.name, value, replayed=True)
