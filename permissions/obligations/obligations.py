"""What a policy attaches to a permit, prepared before the call and fulfilled after it.

An obligation that is unknown, malformed or cannot be fulfilled is a denial (AuthZEN
obligations draft 1, section 4). Preparing is pure: it turns the list into `Terms`, in which
demands only add up; the broker then acts on the terms.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from permissions.errors import BrokerError
from permissions.vocabulary import (
    Evidence,
    Isolation,
    stronger_evidence,
    stronger_isolation,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from permissions.model import JsonObject, JsonValue, Obligation


class ObligationUnknownError(BrokerError):
    """The policy attached one of a type this broker does not know."""


class ObligationFailedError(BrokerError):
    """One of a known type is malformed, or cannot be fulfilled for this call."""


class _Properties(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Sandbox(_Properties):
    isolation: Isolation
    profile: str | None = None


class _Redact(_Properties):
    fields: tuple[str, ...] = Field(min_length=1, strict=False)


MAX_WITNESSES = 16


class _Evidence(_Properties):
    level: Evidence
    witnesses: int | None = Field(default=None, ge=1, le=MAX_WITNESSES)


class _Label(_Properties):
    add: tuple[str, ...] = Field(min_length=1, strict=False)


class _Budget(_Properties):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    amount: int = Field(ge=0)


class _Deadline(_Properties):
    seconds: int = Field(ge=1, le=24 * 3600)


KNOWN: dict[str, type[_Properties]] = {
    "sandbox": _Sandbox,
    "redact": _Redact,
    "evidence": _Evidence,
    "label": _Label,
    "budget": _Budget,
    "deadline": _Deadline,
}
"""Every type of obligation this broker fulfils."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a permitted call is bound to.

    `deadline_seconds` is None when no policy asked for one; `reservations` maps a budget's
    name to the amount this call takes from it.
    """

    isolation: Isolation = "none"
    profile: str | None = None
    redact: tuple[str, ...] = ()
    evidence: Evidence = "buffered"
    witnesses: int = 0
    """How many at least have to cosign, where a policy says so."""
    labels: frozenset[str] = frozenset()
    reservations: Mapping[str, int] = field(default_factory=dict)
    deadline_seconds: int | None = None


def prepare(
    obligations: Iterable[Obligation],
    *,
    isolation: Isolation,
    profile: str | None,
    evidence: Evidence,
    quorum: int = 0,
) -> Terms:
    """Joins the obligations of a decision with what tool and configuration already demand.

    Args:
        obligations: as the policy gave them.
        isolation: the weakest boundary the tool itself declares.
        profile: the sandbox profile the tool itself names.
        evidence: the weakest evidence level configured.
        quorum: how many witnesses the level `witnessed` waits for.

    Raises:
        ObligationUnknownError: a type outside `KNOWN`.
        ObligationFailedError: wrong properties, or two that contradict each other.
    """
    redact: list[str] = []
    labels: set[str] = set()
    reservations: dict[str, int] = {"calls": 1}
    deadline: int | None = None
    witnesses = 0
    for obligation in obligations:
        match _parse(obligation):
            case _Sandbox() as asked:
                isolation = stronger_isolation(isolation, asked.isolation)
                profile = _one_profile(profile, asked.profile)
            case _Redact() as asked:
                redact.extend(asked.fields)
            case _Evidence() as asked:
                _require_witnesses(asked, quorum)
                witnesses = max(witnesses, asked.witnesses or 0)
                evidence = stronger_evidence(evidence, asked.level)
            case _Label() as asked:
                labels.update(asked.add)
            case _Budget() as asked:
                reservations[asked.name] = reservations.get(asked.name, 0) + asked.amount
            case _Deadline() as asked:
                deadline = asked.seconds if deadline is None else min(deadline, asked.seconds)
    return Terms(
        isolation=isolation,
        profile=profile,
        redact=tuple(dict.fromkeys(redact)),
        evidence=evidence,
        witnesses=witnesses,
        labels=frozenset(labels),
        reservations=reservations,
        deadline_seconds=deadline,
    )


def _require_witnesses(asked: _Evidence, quorum: int) -> None:
    if asked.witnesses is None:
        return
    if asked.level != "witnessed":
        raise ObligationFailedError("evidence: only the level witnessed counts witnesses")
    if asked.witnesses > quorum:
        raise ObligationFailedError(
            f"evidence: {asked.witnesses} witnesses are asked for, and the record waits for"
            f" {quorum}: see trace.witnesses and trace.witness_quorum"
        )


def prepare_late(
    obligations: Collection[Obligation],
    *,
    still: Collection[str],
    evidence: Evidence,
    quorum: int = 0,
) -> Terms:
    """Joins the obligations of a permit for something that a started run does, or did.

    Args:
        obligations: as the policy gave them.
        still: the types that can still be fulfilled; all others are about how a tool is run.
        evidence: the weakest evidence level of the run.
        quorum: how many witnesses the level `witnessed` waits for.

    Raises:
        ObligationUnknownError: a type outside `KNOWN`.
        ObligationFailedError: wrong properties, or a type outside `still`.
    """
    terms = prepare(
        obligations, isolation="none", profile=None, evidence=evidence, quorum=quorum
    )
    if late := sorted({each.type for each in obligations} - {*still}):
        raise ObligationFailedError(
            f"{', '.join(late)}: an obligation about how a tool is run, which has begun;"
            f" {' and '.join(sorted(still))} can still be fulfilled"
        )
    return terms


REDACTED: Literal["[redacted]"] = "[redacted]"


def redact(value: JsonValue, pointers: Iterable[str]) -> JsonValue:
    """A copy of a JSON value with the fields the pointers name replaced.

    A pointer segment `*` stands for every item of a list or member of an object. A pointer
    that leads nowhere is fine: there is nothing to hide. A pointer that cannot be read is not.
    It leads on into a text that is JSON, or JSON lines, and that stays a text.

    Not protected from: the field's value under another name, or spelt out in a text that does
    not name the field.

    Raises:
        ObligationFailedError: a pointer is not an RFC 6901 pointer, or it leads into a text
            that names the field and is not JSON.
    """
    for pointer in pointers:
        if pointer and not pointer.startswith("/"):
            raise ObligationFailedError(f"{pointer[:80]!r} is no JSON pointer; begin it with /")
        parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
        value = _redact_one(value, parts)
    return value


def _redact_one(value: JsonValue, parts: list[str]) -> JsonValue:
    if not parts:
        return REDACTED
    head, rest = parts[0], parts[1:]
    if isinstance(value, dict):
        return {
            key: _redact_one(item, rest) if head in {key, "*"} else item
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _redact_one(item, rest) if head in {str(index), "*"} else item
            for index, item in enumerate(value)
        ]
    return _redact_text(value, parts) if isinstance(value, str) else value


def _redact_text(text: str, parts: list[str]) -> str:
    """A text that is JSON with the field replaced; as it is where it holds no such field."""
    lines = text.split("\n") if "\n" in text.strip() else []
    try:
        return _redact_json(text, parts)
    except ValueError:
        pass
    try:
        if lines:
            return "\n".join(
                _redact_json(line, parts) if line.strip() else line for line in lines
            )
    except ValueError:
        pass
    names = [part for part in parts if part != "*" and not part.isdigit()]
    if any(name.casefold() in text.casefold() for name in names[-1:]):
        raise ObligationFailedError(
            f"a text that is not JSON names {names[-1][:80]!r}, which is to be redacted"
        )
    return text


def _redact_json(text: str, parts: list[str]) -> str:
    found = json.loads(text, object_pairs_hook=_once)
    if not isinstance(found, dict | list | str):
        return text
    shown = _redact_one(found, parts)
    return text if shown == found else json.dumps(shown, ensure_ascii=False)


def _once(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    """Of a name that stands twice, JSON reads one and a person sees both."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _parse(obligation: Obligation) -> _Properties:
    model = KNOWN.get(obligation.type)
    if model is None:
        raise ObligationUnknownError(
            f"obligation {obligation.id!r} has the unknown type {obligation.type!r}; known are"
            f" {', '.join(sorted(KNOWN))}"
        )
    try:
        return model.model_validate(obligation.properties)
    except ValidationError as err:
        fault = err.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "properties"
        raise ObligationFailedError(
            f"obligation {obligation.id!r} ({obligation.type}): {where}: {fault['msg']}"
        ) from err


def _one_profile(one: str | None, other: str | None) -> str | None:
    if one is not None and other is not None and one != other:
        raise ObligationFailedError(f"two sandbox profiles are demanded: {one!r} and {other!r}")
    return one if other is None else other
