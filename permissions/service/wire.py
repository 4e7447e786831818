"""What passes between a daemon and its clients, as JSON: calls, admissions, outcomes, results.

Pure. A client believes its daemon; the daemon believes nothing of a client. So a value on its
way to a client may become a Python object again (`kept_value`), and one on its way to the daemon
stays JSON: of a result that a client reports, the daemon knows what it is told and no more.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from permissions import errors
from permissions.broker.entries import error_text
from permissions.broker.explanation import Explanation
from permissions.broker.kept_value import NotKeptError, keep, restored
from permissions.broker.result import forms, is_untyped
from permissions.errors import ServiceError, ToolFailedError
from permissions.execution.base import Outcome, Reported
from permissions.model import Completed, Denial, Obligation, Reason
from permissions.reasons import Code, reason
from permissions.run.readable import is_plain

if TYPE_CHECKING:
    from permissions.model import CallResult, JsonObject, JsonValue
    from permissions.tools.definition import ToolDefinition

REPORTABLE = ("ok", "error", "stopped", "cancelled", "not_run")
"""How a run may have ended that a client reports."""


def error_form(err: BaseException) -> JsonObject:
    """An exception of this package by its name; any other as a fault of the broker."""
    known = getattr(errors, type(err).__name__, None) is type(err)
    name = type(err).__name__ if known else "BrokerError"
    said = str(err) if known else f"{type(err).__name__} in the broker's daemon"
    return {"error": {"type": name, "text": said}}


def raised(form: JsonObject) -> errors.BrokerError:
    """The exception that `error_form` was given."""
    kind = getattr(errors, str(form.get("type")), None)
    said = str(form.get("text"))
    if not (isinstance(kind, type) and issubclass(kind, errors.BrokerError)):
        return ServiceError(said)
    takes_list = issubclass(kind, errors.ArgumentsError | errors.PolicyLoadError)
    return kind([said]) if takes_list else kind(said)


def denial_form(denial: Denial) -> JsonObject:
    """A refusal as JSON."""
    reasons = [each.model_dump(mode="json") for each in denial.reasons]
    return {"denial": {**asdict(denial), "reasons": reasons}}


def denial_of(form: JsonObject) -> Denial:
    """The refusal that `denial_form` was given."""
    reasons = tuple(Reason.model_validate(each) for each in form["reasons"])
    return Denial(**{**form, "reasons": reasons})


def result_form(
    result: CallResult, definition: ToolDefinition, *, reported: bool = False
) -> JsonObject:
    """How a call came out, for its client.

    Args:
        result: what it came to.
        definition: the tool.
        reported: whether a client may have run it, whose result the daemon has as JSON only.
    """
    if isinstance(result, Denial):
        return denial_form(result)
    if reported and is_plain(result.value):
        return _completed(result, {"json": result.value})
    try:
        return _completed(result, {"kept": keep(result.value).decode()})
    except NotKeptError as err:
        form = forms(definition.output_adapter, result.value)[2]
        try:
            return _completed(result, {"json": orjson.loads(orjson.dumps(form))})
        except TypeError:
            why = reason(Code.RESULT_NOT_KEPT, f"{err} cannot be sent to a client")
            return denial_form(Denial(result.call, result.tool, "denied", (why,)))


def _completed(result: Completed, value: JsonObject) -> JsonObject:
    told = {"call": result.call, "tool": result.tool, "value": value}
    return {"completed": {**told, "replayed": result.replayed, "notes": [*result.notes]}}


def result_of(form: JsonObject, definition: ToolDefinition) -> CallResult:
    """The result that `result_form` was given; of its tool's type where it came as JSON."""
    if "denial" in form:
        return denial_of(form["denial"])
    completed = form["completed"]
    value = completed["value"]
    if "json" in value:
        found: Any = typed(definition, value["json"])
    else:
        try:
            found = restored(value["kept"].encode())
        except NotKeptError as err:
            raise ServiceError(
                f"the result of {definition.name} is of a type that this process has not"
                f" loaded ({err}); import what the tool returns"
            ) from err
    return Completed(
        completed["call"],
        completed["tool"],
        found,
        replayed=completed["replayed"],
        notes=tuple(completed["notes"]),
    )


def typed(definition: ToolDefinition, form: JsonValue) -> Any:
    """A JSON form as the value that the tool says it returns, where it says so and it fits."""
    if is_untyped(definition):
        return form
    try:
        return definition.output_adapter.validate_python(form)
    except ValidationError:
        return form


def outcome_form(definition: ToolDefinition, outcome: Outcome) -> JsonObject:
    """What a client reports of a run in its process."""
    said: JsonObject = {
        "status": outcome.status,
        "detail": outcome.detail[:200],
        "verdict": outcome.verdict[:40],
    }
    if outcome.error is not None:
        kind = type(outcome.error).__name__
        said["error"] = f"{kind}: {error_text(outcome.error)}".encode(
            errors="backslashreplace"
        ).decode()
    elif outcome.status == "ok":
        document, readable, _ = forms(definition.output_adapter, outcome.value)
        said["value"] = document
        said["readable"] = readable.document
        said["whole"] = readable.whole and not readable.lazy
        said["exact"] = _is_itself(typed(definition, document), outcome.value)
    return said


def _is_itself(form: Any, value: Any) -> bool:
    """Whether the form of a value is as good as the value."""
    try:
        return type(form) is type(value) and (
            is_plain(value)
            or (not isinstance(value, list | dict | str) and bool(form == value))
        )
    except Exception:  # noqa: BLE001 - a type of the tool's own compares as it likes
        return False


def outcome_of(form: JsonObject, *, client: str) -> Outcome:
    """The outcome that a client reports, as the record has it.

    Raises:
        ServiceError: it is not of the form.
    """
    said = {name: form.get(name, "") for name in ("status", "detail", "verdict")}
    if not all(isinstance(each, str) for each in said.values()):
        raise ServiceError("an outcome is not of the form")
    if said["status"] not in REPORTABLE:
        raise ServiceError(f"no client reports the outcome {said['status'][:40]!r}")
    error = form.get("error")
    if error is not None and not isinstance(error, str):
        raise ServiceError("the error of an outcome is no text")
    value, more = form.get("value"), form.get("readable")
    readable = value if more in (None, value) else [value, more]  # no less than the value
    told = Reported(readable, whole=form.get("whole") is True, exact=form.get("exact") is True)
    return Outcome(
        said["status"],
        value=value,
        error=None if error is None else ToolFailedError(error),
        detail=said["detail"][:200],
        verdict=said["verdict"][:40],
        enforced={"boundary": "none", "reported_by": client},
        reported=told if said["status"] == "ok" and error is None else None,
    )


def explanation_form(explained: Explanation) -> JsonObject:
    """An explanation as JSON."""
    return {
        "tool": explained.tool,
        "verdict": explained.verdict,
        "reasons": [each.model_dump(mode="json") for each in explained.reasons],
        "rules": [*explained.rules],
        "obligations": [each.model_dump(mode="json") for each in explained.obligations],
        "approvers": [*explained.approvers],
        "facts": explained.facts,
    }


def explanation_of(form: JsonObject) -> Explanation:
    """The explanation that `explanation_form` was given."""
    return Explanation(
        form["tool"],
        form["verdict"],
        tuple(Reason.model_validate(each) for each in form["reasons"]),
        tuple(form["rules"]),
        tuple(Obligation.model_validate(each) for each in form["obligations"]),
        tuple(form["approvers"]),
        form["facts"],
    )
