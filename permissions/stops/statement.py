"""What a person said, as signed text: stop this, or go on with it.

A statement is a DSSE v1 envelope by the log's key, so that it can be told from text that was
only put there. It says who said it and why. Pure.

Not protected from: whoever holds the log's key, who may say it in anybody's name. Where people
have to agree that a stop is lifted, their own signatures are in the statement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from permissions.errors import SigningError, StateError
from permissions.signing import dsse
from permissions.signing.canonical import canonical
from permissions.stops.scope import Scope, ScopeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from permissions.signing.keys import PublicKey, Signer

STOP_TYPE = "application/vnd.wardline.stop+json"
RESUME_TYPE = "application/vnd.wardline.resume+json"
MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Stop:
    """Something is stopped.

    Attributes:
        id: by which it is lifted again.
        reason: in the words of who stopped it.
        by: who that was.
        time: when, microseconds since 1970 UTC.
        envelope: the signed text.
        is_signed: by the log's key of today; one that is not stops all the same.
    """

    id: str
    scope: Scope
    reason: str
    by: str
    time: int
    envelope: str
    is_signed: bool = True


@dataclass(frozen=True, slots=True)
class Agreement:
    """Who agreed that a stop is lifted.

    Attributes:
        request: id of the access request.
        shown: the text they were asked about.
        votes: their signed answers (`permissions.approval.votes`).
    """

    request: str
    shown: str
    votes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resumption:
    """A stop was lifted; members as those of `Stop`.

    Attributes:
        lifts: id of the stop.
        agreement: of the people who had to agree; None where nobody had to.
    """

    lifts: str
    reason: str
    by: str
    time: int
    envelope: str
    agreement: Agreement | None = None
    is_signed: bool = True


Statement: TypeAlias = Stop | Resumption


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    reason: str = Field(min_length=1, max_length=MAX_REASON)
    by: str = Field(min_length=1, max_length=200)
    time: int = Field(ge=0)


class _StopPayload(_Payload):
    stop: str = Field(min_length=1, max_length=120)
    scope: ScopeKind
    name: str


class _ResumePayload(_Payload):
    lifts: str = Field(min_length=1, max_length=120)
    request: str | None
    shown: str | None
    votes: list[str] = Field(max_length=20)


def sign_stop(
    scope: Scope, *, stop: str, reason: str, by: str, now: int, signer: Signer
) -> Stop:
    """The statement that something is stopped.

    Raises:
        StateError: the reason is empty or longer than 500 characters.
    """
    _require_reason(reason)
    payload = {
        "stop": stop,
        "scope": scope.kind,
        "name": scope.name,
        "reason": reason,
        "by": by[:200],
        "time": now,
    }
    envelope = _signed(STOP_TYPE, payload, signer)
    return Stop(stop, scope, reason, by, now, envelope)


def sign_resumption(
    lifts: str,
    *,
    reason: str,
    by: str,
    now: int,
    signer: Signer,
    agreement: Agreement | None = None,
) -> Resumption:
    """The statement that a stop is lifted.

    Raises:
        StateError: the reason is empty or longer than 500 characters.
    """
    _require_reason(reason)
    payload = {
        "lifts": lifts,
        "reason": reason,
        "by": by[:200],
        "time": now,
        "request": None if agreement is None else agreement.request,
        "shown": None if agreement is None else agreement.shown,
        "votes": [] if agreement is None else [*agreement.votes],
    }
    envelope = _signed(RESUME_TYPE, payload, signer)
    return Resumption(lifts, reason, by, now, envelope, agreement)


def read_statement(line: bytes, key: PublicKey) -> Statement:
    """What a line of the register says; whether it is signed stands in it.

    Raises:
        StateError: it says nothing that can be understood.
    """
    try:
        envelope = dsse.Envelope.parse(line)
        is_signed = _is_signed(envelope, key)
        if envelope.payload_type == STOP_TYPE:
            stop = _StopPayload.model_validate_json(envelope.payload)
            return Stop(
                id=stop.stop,
                scope=Scope(stop.scope, stop.name),
                reason=stop.reason,
                by=stop.by,
                time=stop.time,
                envelope=line.decode(),
                is_signed=is_signed,
            )
        if envelope.payload_type == RESUME_TYPE:
            return _resumption(envelope, line.decode(), is_signed=is_signed)
    except (SigningError, ValidationError, UnicodeError) as err:
        raise StateError(f"a statement cannot be read ({type(err).__name__})") from err
    raise StateError(f"a statement is of the type {envelope.payload_type[:60]!r}")


def countersigned(line: bytes, old: PublicKey, signer: Signer) -> bytes:
    """The same statement, signed by a new key as well if the old one signed it.

    Raises:
        StateError: it says nothing that can be understood.
    """
    if not read_statement(line, old).is_signed:
        return line
    envelope = dsse.Envelope.parse(line)
    also = dsse.sign(envelope.payload, payload_type=envelope.payload_type, signers=[signer])
    signatures = (*envelope.signatures, *also.signatures)
    return replace(envelope, signatures=signatures).dumps()


def standing(statements: Iterable[Statement]) -> tuple[Stop, ...]:
    """The stops that are not lifted, in the order in which they were said.

    A resumption whose signature does not verify lifts nothing; a stop whose does not stops.
    """
    found: dict[str, Stop] = {}
    for each in statements:
        if isinstance(each, Stop):
            found[each.id] = each
        elif each.is_signed:
            found.pop(each.lifts, None)
    return tuple(found.values())


def _resumption(envelope: dsse.Envelope, line: str, *, is_signed: bool) -> Resumption:
    said = _ResumePayload.model_validate_json(envelope.payload)
    agreement = None
    if said.request is not None:
        agreement = Agreement(said.request, said.shown or "", tuple(said.votes))
    return Resumption(
        said.lifts, said.reason, said.by, said.time, line, agreement, is_signed=is_signed
    )


def _require_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON:
        raise StateError(
            f"a reason has 1 to {MAX_REASON} characters, and {len(reason)} are given"
        )


def _signed(kind: str, payload: Mapping[str, object], signer: Signer) -> str:
    text = canonical(payload)
    return dsse.sign(text, payload_type=kind, signers=[signer]).dumps().decode()


def _is_signed(envelope: dsse.Envelope, key: PublicKey) -> bool:
    try:
        dsse.verify(envelope, keys=[key], payload_type=envelope.payload_type)
    except SigningError:
        return False
    return True
