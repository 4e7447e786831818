"""The values that pass between the stages: requests, decisions, denials.

Names and shapes follow the OpenID AuthZEN Authorization API 1.0 (sections 5 and 6): a request
is `subject`, `action`, `resource`, `context`; an answer is a boolean `decision` and a
`context`. What the answer's context holds is this project's contract with its policies
(docs/reference/policy-contract.md) and follows the AuthZEN drafts on obligations and access requests.

Everything here is immutable and free of IO. Unknown or missing members in a policy's answer
are refused (`PdpAnswerError`), never ignored: a typo in a policy must not mean "allow".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)

from permissions.errors import PdpAnswerError
from permissions.vocabulary import (
    Digest,
    Effect,
    Evidence,
    Impact,
    Isolation,
    JsonObject,
    JsonValue,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_Said = TypeVar("_Said")

__all__ = [
    "AccessRequestTerms",
    "ApprovalStage",
    "CallResult",
    "Completed",
    "Decision",
    "Denial",
    "DenialKind",
    "Digest",
    "Effect",
    "Evidence",
    "Impact",
    "Isolation",
    "JsonObject",
    "JsonValue",
    "Obligation",
    "Reason",
    "Subject",
]


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks (AuthZEN 5.1).

    `properties` holds `roles`, the human acted for (`on_behalf_of`) and the whole delegation
    chain (`act`, RFC 8693 section 4.1).
    """

    type: Literal["user", "agent", "service"]
    id: str
    properties: JsonObject = field(default_factory=dict)

    def document(self) -> JsonObject:
        """As AuthZEN JSON."""
        return {"type": self.type, "id": self.id, "properties": self.properties}


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$", max_length=120)]
"""A reason code: dotted lower-case words, the first one the package that speaks."""


_Scalar: TypeAlias = str | int | bool | None
ReasonValues: TypeAlias = dict[
    Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")], _Scalar | list[_Scalar]
]
"""By name: texts, integers, booleans and null, and lists of these."""


class Reason(_Answer):
    """Why a call was refused, in three voices, and with the values that were compared.

    `code` is for programs, `agent` for the model (no policy detail, no secret), `operator`
    for people who run the broker, `nearest` the nearest call that would be allowed. `values`
    are what the rule compared (`amount` and `limit`, `host`, `path`): for approvers and the
    record, where they are sealed; the agent is not told them.
    """

    code: Code
    agent: str = Field(max_length=500)
    operator: str = Field(default="", max_length=1000)
    nearest: JsonValue = None
    values: ReasonValues = Field(default_factory=dict, max_length=20)


class Obligation(_Answer):
    """What the broker must fulfil or deny (AuthZEN obligations draft 1)."""

    id: str = Field(min_length=1, max_length=120)
    type: str = Field(min_length=1, max_length=120)
    properties: JsonObject = Field(default_factory=dict)


class ApprovalStage(_Answer):
    """One group of people in an order of them: `quorum` different people of `approvers` (groups)."""

    approvers: tuple[str, ...] = Field(min_length=1, strict=False)
    quorum: int = Field(ge=1, le=20)


class AccessRequestTerms(_Answer):
    """What a policy demands of the people who may lift a denial.

    `approvers` are group names; `quorum` how many different approvers must agree;
    `expires_in_seconds` how long the request stays open; `separation_of_duties` whether the
    requester (and the human acted for) is barred from approving. With `stages`, two to five, they
    agree in that order, everybody once; then `approvers` are all groups of them, sorted, and
    `quorum` the people of all together.
    """

    approvers: tuple[str, ...] = Field(min_length=1, strict=False)
    quorum: int = Field(default=1, ge=1, le=20)
    expires_in_seconds: int = Field(default=900, ge=1, le=30 * 24 * 3600)
    separation_of_duties: bool = True
    stages: tuple[ApprovalStage, ...] = Field(default=(), max_length=5, strict=False)

    @property
    def order(self) -> tuple[ApprovalStage, ...]:
        """The stages; without any, one of all."""
        return self.stages or (ApprovalStage(approvers=self.approvers, quorum=self.quorum),)

    @model_validator(mode="after")
    def _agree(self) -> AccessRequestTerms:
        if not self.stages:
            return self
        groups = sorted({group for stage in self.stages for group in stage.approvers})
        people = sum(stage.quorum for stage in self.stages)
        if len(self.stages) < 2 or (list(self.approvers), self.quorum) != (groups, people):
            raise ValueError("stages are two at least, and approvers and quorum those of all")
        return self

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without stages where there are none."""
        written: dict[str, Any] = write(self)
        if not self.stages:
            del written["stages"]
        return written


class _ResponseContext(_Answer):
    reasons: tuple[Reason, ...] = Field(strict=False)
    obligations: tuple[Obligation, ...] = Field(strict=False)
    access_request: AccessRequestTerms | None
    rules: tuple[str, ...] = Field(strict=False)


class _Response(_Answer):
    decision: bool
    context: _ResponseContext


_RESPONSE = TypeAdapter(_Response)


Verdict: TypeAlias = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """What would have been decided if the packages in the shadow were in force.

    Attributes:
        verdict: None when there was no clear answer.
        codes: of rules that fired, or denied or asked, with those packages only; or the name of
            the error.
        response: the whole answer, for the record.
    """

    verdict: Verdict | None
    codes: tuple[str, ...]
    response: JsonObject | None = None

    @classmethod
    def of_fault(cls, name: str) -> ShadowAnswer:
        """There was none: the name of the error says why."""
        return cls(None, (name,))

    @classmethod
    def beside(cls, decided: Decision, would: Decision) -> ShadowAnswer:
        """What `would` has more than what was decided."""
        return cls(
            would.verdict, tuple(sorted(_codes(would) - _codes(decided))), would.response
        )


def _codes(decision: Decision) -> set[str]:
    return {*decision.rules, *(reason.code for reason in decision.reasons)}


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision point's answer, checked against the contract.

    `permitted` is the only thing that lets a call go on. A decision with `access_request` is
    still a denial; it says that people may lift it.
    """

    permitted: bool
    reasons: tuple[Reason, ...]
    obligations: tuple[Obligation, ...]
    access_request: AccessRequestTerms | None
    rules: tuple[str, ...]
    response: JsonObject
    """The answer exactly as given, for the record and for byte-equal replay."""
    shadow: ShadowAnswer | None = None
    """What packages in the shadow would have made of it; None when there are none."""

    @property
    def verdict(self) -> Verdict:
        """The answer in a word."""
        if self.permitted:
            return "allow"
        return "deny" if self.access_request is None else "ask"

    @classmethod
    def from_response(cls, response: JsonValue) -> Decision:
        """Parses the value of `data.wardline.main.response`.

        Raises:
            PdpAnswerError: a member is missing, unknown or of the wrong type; or the answer
                contradicts itself (a permit that also asks for people, a denial without a
                reason).
        """
        try:
            parsed = _RESPONSE.validate_python(response)
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "response"
            raise PdpAnswerError(
                f"the policy's answer is not in the contract's form at {where}: {first['msg']}"
            ) from err
        context = parsed.context
        if parsed.decision and context.access_request is not None:
            raise PdpAnswerError(
                "the policy permits and asks for an approval at once; it must deny with"
                " access_request until context.approval is present"
            )
        if not parsed.decision and not context.reasons:
            raise PdpAnswerError("the policy denies without a reason; each denial needs a code")
        return cls(
            permitted=parsed.decision,
            reasons=context.reasons,
            obligations=context.obligations,
            access_request=context.access_request,
            rules=context.rules,
            response=response,
        )


DenialKind = Literal["denied", "pending", "expired", "unavailable", "in_doubt"]
"""Three outcomes a reader must be able to tell apart, and two states that wait:

`denied` a policy or a person said no; `expired` nobody answered in time; `unavailable` the
broker could not decide, record or isolate; `pending` a person has not answered yet;
`in_doubt` the call was started once and its outcome is unknown, so it is not run again.
"""


@dataclass(frozen=True, slots=True)
class Denial:
    """A refusal as data. Holds nothing the agent must not see."""

    call: str
    tool: str
    kind: DenialKind
    reasons: tuple[Reason, ...]
    access_request: str | None = None
    """Id of the open access request when `kind` is `pending`."""

    @property
    def code(self) -> str:
        """The first reason's code."""
        return self.reasons[0].code

    def for_agent(self) -> JsonObject:
        """What a model may see: codes, remedies, no operator text."""
        return {
            "status": self.kind,
            "tool": self.tool,
            "call": self.call,
            "access_request": self.access_request,
            "reasons": _once(
                {"code": r.code, "message": r.agent, "nearest": r.nearest} for r in self.reasons
            ),
            "retry": self.kind in ("pending", "unavailable"),
        }

    def __str__(self) -> str:
        """One sentence per reason, for people."""
        said = "; ".join(_once(f"{r.agent} [{r.code}]" for r in self.reasons))
        pending = f" (access request {self.access_request})" if self.access_request else ""
        return f"{self.tool} was {_KIND_WORDS[self.kind]}: {said}{pending}"


def _once(said: Iterable[_Said]) -> list[_Said]:
    """Without what was said before: reasons that only differ in values are one to the agent."""
    found: list[_Said] = []
    for each in said:
        if each not in found:
            found.append(each)
    return found


_KIND_WORDS: dict[DenialKind, str] = {
    "denied": "denied",
    "pending": "held for a person's approval",
    "expired": "not approved in time",
    "unavailable": "refused because the broker could not vouch for it",
    "in_doubt": "left in doubt because nobody can tell how its run ended",
}


@dataclass(frozen=True, slots=True)
class Completed:
    """A call that ran. `value` is what the tool returned, after the obligations on results."""

    call: str
    tool: str
    value: Any
    replayed: bool = False
    """True when the value comes from the journal of an earlier identical call."""
    notes: tuple[str, ...] = ()
    """What of the workspace the tool did not get, or what it wrote is not there, and why."""

    def left_out(self) -> str:
        """`notes` as an adapter tells the agent beside the value; empty without any."""
        if not self.notes:
            return ""
        return "\n".join([_LEFT_OUT, *(f"- {note}" for note in self.notes)])


_LEFT_OUT = "Not all files went into the sandbox of this tool, or came back from it:"


CallResult: TypeAlias = Completed | Denial
