"""Step 10 of the flow: what an execution came to, and what of it may be handed out. Pure.

Whatever a Python tool returns is delivered as it is, and traced and recorded by all that can be
read out of it (`run.readable`). Only redaction changes a result.

A result goes out only after every obligation on it is fulfilled. One that fails withholds the
whole result: the tool has run, and the denial says so.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import orjson
from pydantic import ValidationError

from permissions.broker.entries import error_text, json_bytes
from permissions.broker.kept_value import NotKeptError, keep, restored
from permissions.errors import ToolFailedError
from permissions.execution.halt import BY_PERSON
from permissions.model import Completed, Denial, Reason
from permissions.obligations.obligations import ObligationFailedError, redact
from permissions.reasons import Code, reason
from permissions.run.readable import NOTHING, Readable, is_plain, read

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from permissions.broker.call import Admission
    from permissions.execution.base import Outcome
    from permissions.execution.journal import Finished
    from permissions.model import CallResult, DenialKind, JsonValue
    from permissions.tools.definition import ToolDefinition

JournalStatus: TypeAlias = Literal["ok", "not_kept", "error", "paused", "denied"]
"""How a call in the journal ended; `not_kept`: it succeeded, and its result is not written down;
`paused`: it asked its framework to be called again."""

_NO_FORM: Final = object()

_ENDINGS: dict[str, tuple[DenialKind, Code]] = {
    "stopped": ("denied", Code.EXECUTION_STOPPED),
    "provider_failed": ("unavailable", Code.EXECUTION_PROVIDER_FAILED),
    "unavailable": ("unavailable", Code.ISOLATION_UNAVAILABLE),
    "state_lost": ("unavailable", Code.EXECUTION_STATE_LOST),
    "cancelled": ("expired", Code.CALL_CANCELLED),
    "not_run": ("denied", Code.CALL_CHANGED),
}
_BY_PERSON = {"not_run": Code.STOPPED}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is handed out for an execution.

    Attributes:
        value: the result as Python, obligations fulfilled.
        error: the exception to raise in its place.
        document: the whole result as JSON, before redaction.
        record: the same as bytes, for the sealed record.
        readable: all that an agent could read out of it, for provenance.
        denial: why nothing is handed out; None when something is.
    """

    value: Any = None
    error: BaseException | None = None
    document: JsonValue = None
    record: bytes | None = None
    readable: Readable = NOTHING
    denial: Denial | None = None

    @property
    def more_to_read(self) -> bytes | None:
        """All that can be read, as bytes, when it is more than the record of the result."""
        if self.readable.document is self.document and self.readable.whole:
            return None
        return json_bytes(self.readable.document)


def deliver(admission: Admission, outcome: Outcome) -> Delivery:
    """Fulfils the obligations on the result of one execution."""
    if outcome.status in _ENDINGS:
        kind, code = _ENDINGS[outcome.status]
        if outcome.verdict == BY_PERSON:
            kind, code = "denied", _BY_PERSON.get(outcome.status, Code.STOPPED_RUN)
        said = f"{outcome.verdict}: {outcome.detail}"
        # Which limit it was decides what to change, and the word is never the tool's own.
        agent = f"How it ended: {outcome.verdict}." if code == Code.EXECUTION_STOPPED else ""
        return withheld(admission, said, code=code, kind=kind, agent=agent)
    if outcome.error is not None:
        shown = _redacted_error(outcome.error, admission.terms.redact)
        return Delivery(error=shown, readable=read(outcome.error))
    found = _deliver_value(admission, outcome)
    if outcome.notes:  # names of files, which somebody chose
        document = [found.readable.document, [*outcome.notes]]
        found = replace(found, readable=replace(found.readable, document=document))
    # One that was decided against after the run is for the record alone.
    return found if outcome.denial is None else _only_recorded(found, outcome.denial)


def forms(adapter: TypeAdapter[Any], returned: Any) -> tuple[JsonValue, Readable, Any]:
    """A result as JSON, all that can be read out of it, and its form by its type, if it has one."""
    readable = Readable(returned) if is_plain(returned) else read(returned)
    dumped = _NO_FORM if readable.lazy else _dumped(adapter, returned)
    if is_plain(returned) or not is_plain(dumped):
        return readable.document, readable, dumped
    return dumped, replace(readable, document=[dumped, readable.document]), dumped


def _deliver_value(admission: Admission, outcome: Outcome) -> Delivery:
    """A result is delivered as it is, unless something of it has to be redacted."""
    adapter, pointers = admission.definition.output_adapter, admission.terms.redact
    returned, told = outcome.value, outcome.reported
    document, readable, dumped = forms(adapter, returned)
    if told is not None:
        readable = Readable(told.readable, whole=told.whole)
    made = Delivery(returned, None, document, json_bytes(document), readable)
    if not pointers:
        return made
    form = returned if _is_of_json_types(returned) else dumped
    if form is _NO_FORM:
        return _only_recorded(made, _denial(admission, "the result has no JSON form"))
    try:
        redacted = redact(form, pointers)
        value = adapter.validate_python(redacted)
    except (ValidationError, ObligationFailedError) as err:
        said = str(err) if isinstance(err, ObligationFailedError) else "it is of another type"
        return _only_recorded(made, _denial(admission, f"redacted: {said}"))
    if told is not None:  # whoever ran it makes the type of it again
        return replace(made, value=redacted)
    is_guessed = is_untyped(admission.definition) and form is not returned
    if is_guessed or type(value) is not type(returned):
        said = "redacted, the result would be of another type than the tool gave"
        return _only_recorded(made, _denial(admission, said))
    return replace(made, value=value)


def _is_of_json_types(value: Any) -> bool:
    """Whether a value is of JSON's own types all through, so that it is its own form."""
    if type(value) is dict:
        return all(type(key) is str and _is_of_json_types(item) for key, item in value.items())
    if type(value) is list:
        return all(map(_is_of_json_types, value))
    return value is None or type(value) in {str, int, float, bool}


def _only_recorded(made: Delivery, denial: Denial) -> Delivery:
    return replace(made, value=None, denial=denial)


def _dumped(adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        # Silent, because a warning would print the result.
        return adapter.dump_python(value, mode="json", warnings=False)
    except Exception:  # noqa: BLE001 - types may bring serialisers of their own
        return _NO_FORM


def _redacted_error(err: BaseException, pointers: tuple[str, ...]) -> BaseException:
    """An exception as it may be shown: its text cannot be told apart from what is to be hidden.

    One whose text is JSON is redacted like a result; of any other only the type is left.
    """
    if not pointers:
        return err
    text = error_text(err)
    said = "its text is withheld, since fields of this call's result are redacted"
    try:
        orjson.loads(text)
        said = str(redact(text, pointers))
    except (ValueError, ObligationFailedError):
        pass
    return ToolFailedError(f"{type(err).__name__}: {said}")


def is_redactable(definition: ToolDefinition) -> bool:
    """Whether fields of a result can be redacted, as far as the return type tells before it runs.

    Bytes, types without a JSON form and a framework's own messages cannot be.
    """
    schema = definition.output_schema
    if schema is None:
        return is_untyped(definition)
    return schema.get("format") != "binary" and not is_framework_type(definition)


def is_untyped(definition: ToolDefinition) -> bool:
    """Whether the tool does not say what it returns."""
    hint = inspect.get_annotations(definition.function).get("return", Any)
    return hint in (Any, "Any", "typing.Any", "t.Any")


def is_framework_type(definition: ToolDefinition) -> bool:
    """Whether it returns what its framework takes apart: a message, a state update."""
    title = str((definition.output_schema or {}).get("title", ""))
    return title in {"ToolMessage", "Command"}


def withheld(
    admission: Admission,
    operator: str,
    *,
    code: Code = Code.RESULT_WITHHELD,
    kind: DenialKind = "denied",
    agent: str = "",
) -> Delivery:
    """A delivery of nothing, and why."""
    return Delivery(denial=_denial(admission, operator, code=code, kind=kind, agent=agent))


def _denial(
    admission: Admission,
    operator: str,
    *,
    code: Code = Code.RESULT_WITHHELD,
    kind: DenialKind = "denied",
    agent: str = "",
) -> Denial:
    why = reason(code, operator, agent=agent)
    return Denial(admission.id, admission.definition.name, kind, (why,))


def journal_form(
    delivery: Delivery, notes: tuple[str, ...] = (), *, is_exact: bool = True
) -> tuple[bytes, JournalStatus]:
    """How an ended call is kept, so that asking again gives the same without a second run.

    `is_exact` is false where the value is what another process told of its own.
    """
    if delivery.denial is not None:
        # What was compared is sealed in the record; nothing seals this file.
        reasons = [
            each.model_dump(mode="json", exclude={"values"}) for each in delivery.denial.reasons
        ]
        return json_bytes({"kind": delivery.denial.kind, "reasons": reasons}), "denied"
    if delivery.error is not None:
        said = error_text(delivery.error)
        if not isinstance(delivery.error, ToolFailedError):  # which names the type already
            said = f"{type(delivery.error).__name__}: {said}"
        return said.encode(errors="backslashreplace"), "error"
    if not is_exact:
        return b"a result that only the process of its caller has", "not_kept"
    try:
        return keep([delivery.value, [*notes]]), "ok"
    except NotKeptError as err:
        return str(err).encode(errors="backslashreplace"), "not_kept"


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
    if finished.status == "denied":
        stored = orjson.loads(finished.result)
        reasons = tuple(Reason.model_validate(each) for each in stored["reasons"])
        return Denial(call, definition.name, stored["kind"], reasons)
    if finished.status == "not_kept":
        return _not_kept(definition, call, finished.result.decode())
    try:
        value, notes = restored(finished.result)
    except NotKeptError as err:
        return _not_kept(definition, call, str(err))
    return Completed(call, definition.name, value, replayed=True, notes=tuple(notes))


def _not_kept(definition: ToolDefinition, call: str, kind: str) -> Denial:
    why = reason(Code.RESULT_NOT_KEPT, f"{kind} cannot be written into the journal")
    return Denial(call, definition.name, "in_doubt", (why,))
