"""Remembered approvals: one person's standing yes to calls of one kind, narrow, signed, and counted.

A grant names the tool by its definition, who asks and for whom, a constraint on each control argument,
until when and how many uses. It permits nothing: where policies say that a person would have to
approve, they are asked again with the grant in the place of an approval, by that one person, with their
groups of today; so it never goes further than their own yes would. What policies mark as always-ask
(`tables.approval.always_ask`), what takes two people, and changes to files are not covered.

Not protected from: a constraint that is wider than its maker meant. Free text is not constrained.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from permissions.approval.text import visible
from permissions.errors import ApprovalInvalidError, ApproverRefusedError, SigningError
from permissions.model import Digest  # noqa: TC001 - pydantic reads it at run time
from permissions.signing import dsse
from permissions.signing.canonical import canonical
from permissions.vocabulary import is_same_person

if TYPE_CHECKING:
    from permissions.approval.approvers import Approver, Approvers
    from permissions.approval.model import AccessRequest, RequestedCall
    from permissions.model import JsonObject, JsonValue
    from permissions.signing.keys import Signer

PAYLOAD_TYPE = "application/vnd.wardline.grant+json"
PREFIX = "grant-"
"""How the id of a grant begins; policies know one by it."""
MAX_USES = 1000
MAX_SECONDS = 30 * 24 * 3600


class Constraint(BaseModel):
    """What one control argument has to be."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Literal["equals", "one_of", "at_most"]
    value: str = Field(max_length=10_000)
    """As JSON text: the value, a list of values, or a plain decimal number as a text."""

    @property
    def words(self) -> str:
        """How what it has to be is said: `is "DE02..."`."""
        said = {"equals": "is", "one_of": "is one of", "at_most": "is at most"}
        return f"{said[self.kind]} {visible(self.value)}"

    def admits(self, argument: JsonValue) -> bool:
        """Whether the argument is what it has to be; values are compared as JSON texts."""
        wanted = json.loads(self.value)
        match self.kind:
            case "equals":
                return canonical(argument) == canonical(wanted)
            case "one_of":
                return canonical(argument) in [canonical(each) for each in wanted]
            case "at_most":
                given = _number(argument)
                return given is not None and 0 <= given <= Decimal(wanted)


class Grant(BaseModel):
    """What is remembered; believe it only from `require_genuine`.

    Attributes:
        request: id of the access request it was made from.
        until: microseconds since 1970 UTC, as `time`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str = Field(pattern=r"^grant-[0-9a-z-]{1,80}$")
    request: str = Field(max_length=120)
    tool: str = Field(max_length=64)
    tool_digest: Digest
    subject: str = Field(max_length=512)
    on_behalf_of: str | None = Field(max_length=512)
    workspace: str = Field(max_length=4096)
    constraints: dict[str, Constraint]
    until: int = Field(ge=0)
    uses: int = Field(ge=1, le=MAX_USES)
    approver: str = Field(max_length=64)
    time: int = Field(ge=0)

    def covers(self, call: RequestedCall, control: tuple[str, ...], *, now: int) -> bool:
        """Whether a call is of this kind: each of its control arguments is constrained, and fits."""
        if (call.tool_digest, call.subject, call.on_behalf_of, call.workspace) != (
            self.tool_digest,
            self.subject,
            self.on_behalf_of,
            self.workspace,
        ):
            return False
        if call.effects is not None or now >= self.until or not control:
            return False
        arguments = json.loads(call.arguments)
        return set(control) == set(self.constraints) and all(
            name in arguments and self.constraints[name].admits(arguments[name])
            for name in control
        )


def proposed(request: AccessRequest) -> dict[str, Constraint]:
    """The narrowest constraints for calls like this one: each control argument as it is.

    Raises:
        ApproverRefusedError: the call names nothing, or is about changes to files.
    """
    control = request.background.document.get("control", [])
    arguments: JsonObject = json.loads(request.call.arguments)
    if not control or request.call.effects is not None:
        raise ApproverRefusedError(
            "only calls with control arguments can be remembered, and no changes to files"
        )
    return {
        name: Constraint(kind="equals", value=canonical(arguments.get(name)).decode())
        for name in control
    }


def grant_of(
    request: AccessRequest,
    constraints: dict[str, Constraint],
    *,
    name: str,
    approver: str,
    uses: int,
    seconds: int,
    now: int,
) -> Grant:
    """The grant for calls like that of a request, from now on; `name` is its id."""
    call = request.call
    return Grant(
        id=name,
        request=request.id,
        tool=call.tool,
        tool_digest=call.tool_digest,
        subject=call.subject,
        on_behalf_of=call.on_behalf_of,
        workspace=call.workspace,
        constraints=constraints,
        until=now + seconds * 1_000_000,
        uses=uses,
        approver=approver,
        time=now,
    )


def statement(grant: Grant) -> bytes:
    """The text that its maker signs."""
    return canonical(grant.model_dump(mode="json"))


def sign_grant(grant: Grant, signer: Signer) -> str:
    """The grant as the JSON text of an envelope."""
    return (
        dsse.sign(statement(grant), payload_type=PAYLOAD_TYPE, signers=[signer])
        .dumps()
        .decode()
    )


def require_genuine(envelope: str, approvers: Approvers) -> tuple[Grant, Approver]:
    """The grant, if a registered approver signed it, who neither asks by it nor is acted for.

    Raises:
        ApprovalInvalidError: it is no grant, or does not hold.
    """
    try:
        parsed = dsse.Envelope.parse(envelope.encode())
        grant = Grant.model_validate_json(parsed.payload)
        approver = approvers.get(grant.approver)
        dsse.verify(parsed, keys=approver.keys, payload_type=PAYLOAD_TYPE)
        for constraint in grant.constraints.values():
            _require_form(constraint)
    except (SigningError, ValidationError, ApproverRefusedError, UnicodeError) as err:
        raise ApprovalInvalidError(f"the grant does not hold: {err}") from err
    if not grant.time < grant.until <= grant.time + MAX_SECONDS * 1_000_000:
        raise ApprovalInvalidError("the grant lasts longer than a grant may")
    people = (grant.subject, grant.on_behalf_of or "")
    if any(is_same_person(person, grant.approver) for person in people):
        raise ApprovalInvalidError("nobody remembers an approval for themselves")
    return grant, approver


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant that covers the call at hand, ready to be put to the policy."""

    grant: Grant
    approver: Approver
    envelope: str
    call: RequestedCall

    @property
    def id(self) -> str:
        """The grant's id."""
        return self.grant.id

    def document(self) -> JsonObject:
        """In the place of an approval, as `context.approval` of the policy's input."""
        call = self.call
        return {
            "id": self.grant.id,
            "approvers": [self.approver.id],
            "groups": sorted(self.approver.groups.intersection(call.terms.approvers)),
            "quorum": 1,
            "approved_until": self.grant.until,
            "policy_revision": call.policy_revision,
            "args_digest": call.args_digest,
            "stages": [],
        }


def _require_form(constraint: Constraint) -> None:
    """Checks that a constraint can be compared with.

    Raises:
        SigningError: it cannot.
    """
    try:
        value = json.loads(constraint.value)
    except ValueError as err:
        raise SigningError("a constraint is no JSON") from err
    if constraint.kind == "one_of" and (not isinstance(value, list) or not value):
        raise SigningError("a constraint names no values")
    if constraint.kind == "at_most" and (not isinstance(value, str) or _number(value) is None):
        raise SigningError("a constraint is no plain number")


def _number(value: Any) -> Decimal | None:
    """A plain decimal number; never a float, whose digits are not those that were shown."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if isinstance(value, str) and not value.replace(".", "", 1).isdecimal():
        return None
    try:
        return Decimal(value)
    except InvalidOperation:
        return None
