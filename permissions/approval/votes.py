"""Votes as signed statements: how an approver makes one, how a broker believes one.

A vote is a DSSE v1 envelope by the approver's own Ed25519 key or passkey. Its payload names the request,
the binding of the call, the digest of the very text that was shown, the verdict and the
voter, so that it cannot be moved to another request, call or person. Where stages have an order it
also names the stage, and the digest of the votes of those before it: who votes second has the
first's votes under their signature, whatever clocks and lists say. A vote is believed by
the key the registry holds for the voter it names, and by nothing else.

Not protected from: a stolen approver key, or a terminal that shows something else than it
signs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from permissions.approval import lifecycle, stages
from permissions.approval.model import Approval, Verdict, Vote
from permissions.errors import ApprovalInvalidError, ApproverRefusedError, SigningError
from permissions.model import Digest, JsonObject  # noqa: TC001 - pydantic reads it at run time
from permissions.signing import dsse
from permissions.signing.canonical import canonical, digest, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.approval.approvers import Approver, Approvers
    from permissions.approval.model import AccessRequest
    from permissions.signing.keys import Signer

PAYLOAD_TYPE = "application/vnd.wardline.vote+json"
MAX_NOTE = 500
MAX_EDIT = 500_000
"""Characters of edited arguments."""


class _Statement(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    request: str = Field(max_length=120)
    binding: Digest
    shown_digest: Digest
    approver: str = Field(max_length=64)
    verdict: Verdict
    note: str = Field(max_length=MAX_NOTE)
    time: int = Field(ge=0)
    stage: int | None = Field(default=None, ge=0)
    after: Digest | None = None
    arguments: str | None = Field(default=None, max_length=MAX_EDIT)


def statement_of(
    request: AccessRequest,
    *,
    approver: str,
    verdict: Verdict,
    note: str,
    now: int,
    arguments: JsonObject | None = None,
) -> bytes:
    """The bytes that an approver signs with this answer.

    Args:
        request: what they answer.
        approver: who they are.
        verdict: what they say.
        note: in their words; with a denial the agent hears it.
        now: microseconds since 1970 UTC.
        arguments: what they made of the call's arguments, with the verdict `edit`.

    Raises:
        SigningError: the note is longer than 500 characters or is not valid Unicode, or the
            arguments are too long, have no canonical form, or do not go with the verdict.
    """
    if len(note) > MAX_NOTE:
        raise SigningError(f"a note of {len(note)} characters is too long; {MAX_NOTE} at most")
    if (arguments is None) == (verdict == "edit"):
        raise SigningError("an edit says what the arguments are to be, and nothing else does")
    edited: JsonObject = {}
    if arguments is not None:
        edited = {"arguments": canonical(arguments).decode()}
        if len(edited["arguments"]) > MAX_EDIT:
            raise SigningError(f"edited arguments have {MAX_EDIT} characters at most")
    return canonical(
        {
            "request": request.id,
            "binding": request.call.binding,
            "shown_digest": request.shown_digest,
            "approver": approver,
            "verdict": verdict,
            "note": note,
            "time": now,
            **_in_order(request, request.votes),
            **edited,
        }
    )


def sign_vote(
    request: AccessRequest,
    *,
    approver: str,
    verdict: Verdict,
    note: str,
    now: int,
    signer: Signer,
    arguments: JsonObject | None = None,
) -> str:
    """The approver's answer to exactly this request, as the JSON text of an envelope.

    Raises:
        SigningError: as `statement_of`.
    """
    payload = statement_of(
        request, approver=approver, verdict=verdict, note=note, now=now, arguments=arguments
    )
    return dsse.sign(payload, payload_type=PAYLOAD_TYPE, signers=[signer]).dumps().decode()


def read_vote(envelope: str) -> Vote:
    """What an envelope claims. Believe it only after `require_genuine`.

    Raises:
        ApprovalInvalidError: it is no vote at all.
    """
    try:
        payload = dsse.Envelope.parse(envelope.encode()).payload
        said = _Statement.model_validate_json(payload)
    except (SigningError, ValidationError, UnicodeError) as err:
        raise ApprovalInvalidError("this is not a signed vote") from err
    return Vote(
        request=said.request,
        binding=said.binding,
        shown_digest=said.shown_digest,
        approver=said.approver,
        verdict=said.verdict,
        note=said.note,
        time=said.time,
        envelope=envelope,
        arguments=said.arguments,
        stage=said.stage,
        after=said.after,
    )


def _in_order(request: AccessRequest, earlier: Sequence[Vote]) -> JsonObject:
    """Where stages have an order: whose turn it is after earlier votes, and what those were."""
    if not request.call.terms.stages:
        return {}
    turn = stages.turn(request.call.terms, len(earlier))
    before = [digest(vote.envelope.encode()) for vote in earlier[: turn.begins_at]]
    return {"stage": turn.number, "after": digest_of(before)}


def require_genuine(
    vote: Vote,
    request: AccessRequest,
    approvers: Approvers,
    *,
    earlier: Sequence[Vote] | None = None,
) -> Approver:
    """Checks that a vote is its voter's own answer to this very request.

    Args:
        vote: the answer.
        request: what it is to.
        approvers: who may answer.
        earlier: the votes before it, in their order; all that the request has by default.

    Raises:
        ApproverRefusedError: the voter is not registered.
        ApprovalInvalidError: another key signed it, or it was given to another request, call
            or text, or outside the time the request is open.
    """
    approver = approvers.get(vote.approver)
    try:
        envelope = dsse.Envelope.parse(vote.envelope.encode())
        dsse.verify(envelope, keys=approver.keys, payload_type=PAYLOAD_TYPE)
    except (SigningError, UnicodeError) as err:
        raise ApprovalInvalidError(
            f"the vote of {approver.id} is not signed by the key registered for them: {err}"
        ) from err
    # The fields below came from these bytes or the store lied about them.
    if read_vote(vote.envelope) != vote:
        raise ApprovalInvalidError(f"the vote of {approver.id} is not what was signed")
    if (vote.request, vote.binding, vote.shown_digest) != (
        request.id,
        request.call.binding,
        request.shown_digest,
    ):
        raise ApprovalInvalidError(
            f"the vote of {approver.id} was given to another request, call or text"
        )
    turn = _in_order(request, request.votes if earlier is None else earlier)
    if (vote.stage, vote.after) != (turn.get("stage"), turn.get("after")):
        raise ApprovalInvalidError(
            f"the vote of {approver.id} was given to another stage, or not after the votes of"
            " the stages before it"
        )
    _require_edit(vote, request)
    if not request.created_at <= vote.time < request.expires_at:
        raise ApprovalInvalidError(
            f"the vote of {approver.id} was given outside the time the request is open;"
            " check the clocks"
        )
    return approver


def _require_edit(vote: Vote, request: AccessRequest) -> None:
    """Checks that an edit, and nothing else, has other arguments, in their canonical form."""
    if vote.verdict != "edit":
        if vote.arguments is not None:
            raise ApprovalInvalidError(f"the vote of {vote.approver} is none, with arguments")
        return
    try:
        edited = json.loads(vote.arguments or "null")
        fits = isinstance(edited, dict) and canonical(edited).decode() == vote.arguments
    except (ValueError, SigningError, RecursionError):
        fits = False
    if not fits or vote.arguments == request.call.arguments or request.call.effects is not None:
        raise ApprovalInvalidError(
            f"the edit of {vote.approver} has to be a JSON object of arguments, and others than"
            " were asked for; what ran already cannot be edited"
        )


def prove(
    request: AccessRequest, *, binding: Digest, approvers: Approvers, now: int
) -> Approval:
    """The approval a request's votes prove for the call with this binding.

    Everything is derived again from the signed votes and the registry of today; the recorded
    status alone proves nothing.

    Raises:
        RequestClosedError: the request is not approved, or the approval has expired.
        ApprovalUsedError: it was used before.
        ApprovalInvalidError: it is for another call, or the votes do not carry it.
    """
    if request.call.binding != binding:
        raise ApprovalInvalidError(f"the approval {request.id} is for another call")
    lifecycle.consume(request, now=now)  # for what it refuses
    try:
        voters = [
            require_genuine(vote, request, approvers, earlier=request.votes[:position])
            for position, vote in enumerate(request.votes)
        ]
        for position, voter in enumerate(voters):
            lifecycle.require_turn(request, voter, position)
    except ApproverRefusedError as err:
        raise ApprovalInvalidError(f"the approval {request.id} does not hold: {err}") from err
    different = {voter.id for voter in voters}
    denied = any(vote.verdict != "approve" for vote in request.votes)
    if denied or len(different) != len(voters) or len(voters) < request.call.terms.quorum:
        raise ApprovalInvalidError(
            f"the approval {request.id} does not hold: {len(different)} different approvers,"
            f" {request.call.terms.quorum} needed, {'a' if denied else 'no'} denial among them"
        )
    groups = frozenset[str]().union(*(voter.groups for voter in voters))
    return Approval(
        id=request.id,
        binding=binding,
        approvers=tuple(sorted(different)),
        groups=tuple(sorted(groups.intersection(request.call.terms.approvers))),
        quorum=request.call.terms.quorum,
        approved_until=request.usable_until,
        policy_revision=request.call.policy_revision,
        args_digest=request.call.args_digest,
        stages=tuple(_agreed(request, voters)),
        voters=tuple(map(_voter, request.votes, voters)),
    )


def _agreed(request: AccessRequest, voters: Sequence[Approver]) -> Iterator[JsonObject]:
    """Who agreed in each stage, by which of its groups."""
    terms = request.call.terms
    for number, stage in enumerate(terms.order):
        people = [
            voter
            for position, voter in enumerate(voters)
            if stages.turn(terms, position).number == number
        ]
        groups = frozenset[str]().union(*(voter.groups for voter in people))
        yield {
            "approvers": sorted(voter.id for voter in people),
            "groups": sorted(groups.intersection(stage.approvers)),
        }


def _voter(vote: Vote, approver: Approver) -> JsonObject:
    """Whose vote it is, and the key that proves it."""
    envelope = dsse.Envelope.parse(vote.envelope.encode())
    return {
        "approver": approver.id,
        "groups": sorted(approver.groups),
        "key": str(dsse.signed_by(envelope, approver.keys)),
    }
