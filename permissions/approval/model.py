"""The values of the human step: the call a person is asked about, the request, the votes.

Shapes follow the OpenID AuthZEN access request and approval profile, draft 1: an access
request is opened for a denial that people may lift, ends as approved, denied, expired or
cancelled, and its approval is only an input of the next evaluation.

An approval belongs to exactly one call: `RequestedCall.binding` covers everything that must
not change between the question and the run, and each vote covers the binding and the digest
of the very text the approver was shown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from permissions.errors import ApprovalError, SigningError
from permissions.model import (
    AccessRequestTerms,
    Digest,
    JsonObject,
    Reason,
)
from permissions.signing.canonical import canonical, digest, digest_of

Status = Literal["pending", "approved", "denied", "edited", "expired", "cancelled"]
Verdict = Literal["approve", "deny", "edit"]


@dataclass(frozen=True)
class RequestedCall:
    """Everything about a call that an approval is bound to.

    Attributes:
        run: id of the run the call belongs to.
        key: what makes this call the same call when it is asked again within its run.
        arguments: the effective arguments as canonical JSON text (RFC 8785): defaults filled
            in, nothing left out. Exactly what will run.
        targets: what the arguments lead to, as canonical JSON text: resolved paths, hosts,
            recipients, amounts (docs/reference/policy-contract.md). They can change while the arguments
            do not, when a link is turned.
        workspace: the folder that relative paths start from, absolute and without links.
        policy_revision: digest of the bundle that asked for a person.
        subject: id of who asks.
        on_behalf_of: the human acted for, as `user:alice`, or None.
        effects: as JSON text, the change set and its diffs, when the call has run and the
            question is whether what it would change is committed; None when it is whether the
            call may run.
    """

    run: str
    key: str
    tool: str
    tool_digest: Digest
    arguments: str
    targets: str
    workspace: str
    policy_revision: Digest
    plan_step: str | None
    subject: str
    on_behalf_of: str | None
    terms: AccessRequestTerms
    effects: str | None = None

    @cached_property
    def args_digest(self) -> Digest:
        """Digest of the effective arguments."""
        return digest(self.arguments.encode())

    @cached_property
    def binding(self) -> Digest:
        """Digest over all of the above; one changed byte makes it another call."""
        document = {**self.document(), "arguments": self.args_digest}
        return digest_of({"type": "wardline.approval.binding/v1", "call": document})

    def document(self) -> JsonObject:
        """As JSON. Arguments and targets stay text, so that no reader can round or reorder them."""
        effects = {} if self.effects is None else {"effects": self.effects}
        return {
            **effects,
            "run": self.run,
            "key": self.key,
            "tool": self.tool,
            "tool_digest": self.tool_digest,
            "arguments": self.arguments,
            "targets": self.targets,
            "workspace": self.workspace,
            "policy_revision": self.policy_revision,
            "plan_step": self.plan_step,
            "subject": self.subject,
            "on_behalf_of": self.on_behalf_of,
            "terms": self.terms.model_dump(mode="json"),
        }


class Background:
    """What stands behind a call, for whoever reads the request; no approval is bound to it.

    As JSON: `effect`, `impact`, `control` (names of control arguments), `task` (what the person
    asked for), `plan` (`id`, `step`, `verdict`, `detail`, `required`), `labels` and `sources`: of each value
    that matters `at` (JSON pointer into the arguments), `origin`, `source`, `trusted`, `control`,
    `carries` as policies see them, and in `read` the call it was read from: `call`, what that was
    `given`, the `field`, the `record` around it, the `line` and its `words`.

    Raises:
        SigningError: the document has no canonical form.
    """

    __slots__ = ("text",)

    def __init__(self, document: JsonObject) -> None:
        self.text: Final = canonical(document).decode()

    @property
    def document(self) -> JsonObject:
        """As JSON."""
        found: JsonObject = json.loads(self.text)
        return found

    def __eq__(self, other: object) -> bool:
        """Equal texts are equal backgrounds."""
        return isinstance(other, Background) and other.text == self.text

    def __hash__(self) -> int:
        """Of the text."""
        return hash(self.text)


NO_BACKGROUND: Final = Background({})
"""Of a request about which nothing more is known."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One approver's answer, as read from the statement they signed.

    Attributes:
        request: id of the access request.
        binding: `RequestedCall.binding` of the call voted on.
        shown_digest: `AccessRequest.shown_digest` of what the approver saw.
        time: when they answered, microseconds since 1970 UTC, by their own clock.
        arguments: what they made of the arguments, as canonical JSON text; None but for an edit.
        stage: which stage they answered, from 0; None where there are none.
        after: digest over the votes of the stages before; None where there are none.
        envelope: the DSSE envelope as JSON text; the proof of all of the above.
    """

    request: str
    binding: Digest
    shown_digest: Digest
    approver: str
    verdict: Verdict
    note: str
    time: int
    envelope: str
    arguments: str | None = None
    stage: int | None = None
    after: Digest | None = None


@dataclass(frozen=True)
class AccessRequest:
    """A question put to people: may this call run?

    Only `status`, `votes` and `consumed_at` ever change, and only through `lifecycle`.

    Attributes:
        reasons: why policy wants a person, in the policy's words.
        background: where the call's values came from, and what they are part of.
        created_at: microseconds since 1970 UTC, as all times here.
        expires_at: no vote counts from this moment on.
        use_within: how long an approval may be used from its last vote on, in microseconds.
        consumed_at: when the approval was used for its one run.
    """

    id: str
    call: RequestedCall
    reasons: tuple[Reason, ...]
    created_at: int
    expires_at: int
    status: Status = "pending"
    votes: tuple[Vote, ...] = ()
    consumed_at: int | None = None
    background: Background = NO_BACKGROUND
    use_within: int = 3_600_000_000

    @property
    def usable_until(self) -> int:
        """When an approval by these votes ends: as they say when they were given, signed."""
        return (
            max((vote.time for vote in self.votes), default=self.created_at) + self.use_within
        )

    @cached_property
    def shown(self) -> str:
        """The canonical text an approver is asked about: all but the state."""
        return canonical(
            {
                "id": self.id,
                "call": self.call.document(),
                "reasons": [reason.model_dump(mode="json") for reason in self.reasons],
                "background": self.background.text,
                "created_at": self.created_at,
                "expires_at": self.expires_at,
                "use_within": self.use_within,
            }
        ).decode()

    @cached_property
    def shown_digest(self) -> Digest:
        """Digest of `shown`; each vote names it."""
        return digest(self.shown.encode())

    @classmethod
    def from_shown(
        cls,
        shown: str,
        *,
        status: Status,
        votes: tuple[Vote, ...],
        consumed_at: int | None,
    ) -> AccessRequest:
        """The request a store kept as its `shown` text and its state.

        Raises:
            ApprovalError: the text is not what `shown` gives.
        """
        try:
            document: dict[str, Any] = json.loads(shown)
            asked = document["call"]
            call = RequestedCall(
                **{**asked, "terms": AccessRequestTerms.model_validate(asked["terms"])}
            )
            request = cls(
                id=document["id"],
                call=call,
                reasons=tuple(Reason.model_validate(each) for each in document["reasons"]),
                created_at=document["created_at"],
                expires_at=document["expires_at"],
                status=status,
                votes=votes,
                consumed_at=consumed_at,
                background=Background(json.loads(document["background"])),
                use_within=document["use_within"],
            )
        except (ValueError, KeyError, TypeError, SigningError) as err:
            raise ApprovalError(
                f"a stored access request cannot be read ({type(err).__name__});"
                " the state was damaged or written by another version"
            ) from err
        if request.shown != shown:
            raise ApprovalError(
                f"access request {request.id[:40]!r} does not read back as it was stored;"
                " the state was altered"
            )
        return request


@dataclass(frozen=True, slots=True)
class Approval:
    """A proven approval of one call, ready to be put to the policy.

    It permits nothing: the policy is evaluated again with it, and `consume` uses it up.

    Attributes:
        stages: of each stage in order `approvers` and `groups`; one where there is no order.
        voters: of each vote, in order, whose it is, their groups, and the key that proved it; for
            the record, so that others can check who was let answer.
    """

    id: str
    binding: Digest
    approvers: tuple[str, ...]
    groups: tuple[str, ...]
    quorum: int
    approved_until: int
    policy_revision: Digest
    args_digest: Digest
    stages: tuple[JsonObject, ...] = ()
    voters: tuple[JsonObject, ...] = ()

    def document(self) -> JsonObject:
        """`context.approval` of the policy's input (docs/reference/policy-contract.md)."""
        return {
            "id": self.id,
            "approvers": list(self.approvers),
            "groups": list(self.groups),
            "quorum": self.quorum,
            "approved_until": self.approved_until,
            "policy_revision": self.policy_revision,
            "args_digest": self.args_digest,
            "stages": list(self.stages),
        }
