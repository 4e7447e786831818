"""What a person found out about a call in doubt, signed: it ran, it did not, or it may run again.

A call that was begun and has no recorded end is not run again by itself. Somebody looks (at the
bank, in the mailbox) and says what they found, with an approver's own key. The statement names the call
by what makes it the same call when it is asked again, so it goes for no other.

Not protected from: a person who is wrong. `run-again` of what did happen happens twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from permissions.errors import ApprovalInvalidError, ApproverRefusedError, SigningError
from permissions.model import Digest  # noqa: TC001 - pydantic reads it at run time
from permissions.signing import dsse
from permissions.signing.canonical import canonical

if TYPE_CHECKING:
    from permissions.approval.approvers import Approver, Approvers
    from permissions.model import JsonObject
    from permissions.signing.keys import Signer

PAYLOAD_TYPE = "application/vnd.wardline.resolution+json"
Found = Literal["ran", "did-not-run", "run-again"]
"""It happened; it did not, so it may be tried again; whatever happened, it is to run again."""
MAX_NOTE = 500


class _Statement(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    call: str = Field(max_length=120)
    run: str = Field(max_length=512)
    key_digest: Digest
    tool_digest: Digest
    args_digest: Digest
    found: Found
    approver: str = Field(max_length=64)
    note: str = Field(max_length=MAX_NOTE)
    time: int = Field(ge=0)


@dataclass(frozen=True, slots=True)
class DoubtfulCall:
    """The call that is in doubt, by what makes it the same when it is asked again.

    Attributes:
        call: its id in the record.
        key_digest: of the key its caller gave it.
    """

    call: str
    run: str
    key_digest: Digest
    tool_digest: Digest
    args_digest: Digest

    def document(self) -> JsonObject:
        """As JSON."""
        return {
            "call": self.call,
            "run": self.run,
            "key_digest": self.key_digest,
            "tool_digest": self.tool_digest,
            "args_digest": self.args_digest,
        }


@dataclass(frozen=True, slots=True)
class Resolution:
    """A person's answer about one call in doubt; believe it only from `require_genuine`.

    Attributes:
        envelope: the DSSE envelope as JSON text; the proof of the rest.
    """

    about: DoubtfulCall
    found: Found
    approver: str
    note: str
    time: int
    envelope: str


def statement_of(
    about: DoubtfulCall, found: Found, *, approver: str, note: str, now: int
) -> bytes:
    """The answer as the bytes that are signed, under `PAYLOAD_TYPE`.

    Raises:
        SigningError: the note is longer than 500 characters or not valid Unicode.
    """
    if len(note) > MAX_NOTE:
        raise SigningError(f"a note of {len(note)} characters is too long; {MAX_NOTE} at most")
    said = {"found": found, "approver": approver, "note": note, "time": now}
    return canonical({**about.document(), **said})


def sign_resolution(
    about: DoubtfulCall, found: Found, *, approver: str, note: str, now: int, signer: Signer
) -> str:
    """The answer as the JSON text of an envelope; raises as `statement_of` does."""
    payload = statement_of(about, found, approver=approver, note=note, now=now)
    return dsse.sign(payload, payload_type=PAYLOAD_TYPE, signers=[signer]).dumps().decode()


def read_resolution(envelope: str) -> Resolution:
    """What an envelope claims.

    Raises:
        ApprovalInvalidError: it is no resolution at all.
    """
    try:
        said = _Statement.model_validate_json(dsse.Envelope.parse(envelope.encode()).payload)
    except (SigningError, ValidationError, UnicodeError) as err:
        raise ApprovalInvalidError("this is not a signed resolution") from err
    about = DoubtfulCall(
        said.call, said.run, said.key_digest, said.tool_digest, said.args_digest
    )
    return Resolution(about, said.found, said.approver, said.note, said.time, envelope)


def require_genuine(
    envelope: str, approvers: Approvers, *, run: str, key: Digest, tool: Digest, args: Digest
) -> tuple[Resolution, Approver]:
    """The resolution, if a registered approver signed it about exactly this call.

    Raises:
        ApprovalInvalidError: it is another's, about another call, or by somebody unknown.
    """
    resolution = read_resolution(envelope)
    try:
        approver = approvers.get(resolution.approver)
        dsse.verify(
            dsse.Envelope.parse(envelope.encode()),
            keys=approver.keys,
            payload_type=PAYLOAD_TYPE,
        )
    except (ApproverRefusedError, SigningError) as err:
        raise ApprovalInvalidError(f"the resolution does not hold: {err}") from err
    about = resolution.about
    if (about.run, about.key_digest, about.tool_digest, about.args_digest) != (
        run,
        key,
        tool,
        args,
    ):
        raise ApprovalInvalidError("the resolution is about another call")
    return resolution, approver
