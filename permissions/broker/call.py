"""A call on its way through the broker, and the admission that comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.approval.model import RequestedCall
from permissions.execution.journal import JournalKey
from permissions.signing.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.approval.grant import Granted
    from permissions.approval.model import Approval
    from permissions.broker.ports import BrokerParts
    from permissions.broker.recorder import Recorder
    from permissions.execution.base import Execution, ToolExecutor
    from permissions.model import (
        AccessRequestTerms,
        CallResult,
        Completed,
        Digest,
        JsonObject,
    )
    from permissions.obligations.budget import Reserved
    from permissions.obligations.obligations import Terms
    from permissions.plan.cursor import Match
    from permissions.run.state import RunState
    from permissions.tools.call import ToolCall
    from permissions.tools.definition import Arguments, ToolDefinition


@dataclass(slots=True)
class Attempt:
    """One attempt at one call, its record, and the parts it is decided with to its end."""

    id: str
    session: RunState
    call: ToolCall
    record: Recorder
    parts: BrokerParts
    turn: int = 0
    """How many identical calls had used an approval when people were asked about this one."""
    begun: int = 0
    """How many calls of the run had begun when policies were last told of them."""
    args_digest: Digest | None = None
    """Of its effective arguments, once they are known."""
    asked: JsonObject | None = None
    """What policies were asked first about it."""
    ended: bool = False

    def __post_init__(self) -> None:
        """Takes the policies into use."""
        self.parts.use.begin()

    def go_over(self, parts: BrokerParts) -> None:
        """Decided with other parts from here on, for others are in force by now."""
        parts.use.begin()
        self.parts.use.end()
        self.parts = parts

    def end(self) -> None:
        """Nothing is decided about it any more."""
        if not self.ended:
            self.ended = True
            self.parts.use.end()


@dataclass(frozen=True, slots=True)
class Question:
    """A call that was understood: what it would do, and what policies are asked about it.

    Attributes:
        canonical: RFC 8785 bytes of the effective arguments; what `args_digest` covers.
        document: the Rego input.
        provenance: where each argument leaf came from, by JSON pointer.
        match: how the call stands to the declared plan; None without one.
    """

    definition: ToolDefinition
    arguments: Arguments
    canonical: bytes
    args_digest: Digest
    document: JsonObject
    provenance: Mapping[str, JsonObject]
    match: Match | None

    def shown(self, approval: Approval | Granted) -> JsonObject:
        """An approval as policies see it: of the arguments as they see them."""
        asked: JsonObject = approval.document()
        if asked["args_digest"] != self.args_digest:
            return asked
        known = self.document["resource"]["properties"]["args_digest"]
        return {**asked, "args_digest": known}

    @property
    def kind(self) -> tuple[Digest, Digest]:
        """What identical calls have in common: the tool, and its effective arguments."""
        return self.definition.digest, self.args_digest


@dataclass(slots=True)
class Admission:
    """Permission to run exactly one call, once.

    Attributes:
        attempt: what asked for it, and its record.
        executor: where it runs; None means in the caller's own process.
        request: id of the access request whose approval is used up by it.
        approval: that approval, as policies saw it.
        reserved: what the call took from the run's budgets.
        started: clock at the start, microseconds since 1970 UTC.
        taken: whether `PermissionBroker.complete` has begun with it.
        result: what it came to, for an outer ring that did not run it itself.
        asked_digest: of the arguments as its caller gave them, when a person edited them since.
        notes: for whoever asked, beside the result.
    """

    attempt: Attempt
    question: Question
    terms: Terms
    execution: Execution
    executor: ToolExecutor | None
    enforced: JsonObject
    request: str | None
    approval: JsonObject | None = None
    reserved: Reserved | None = None
    started: int = 0
    taken: bool = False
    result: CallResult | None = None
    asked_digest: Digest | None = None
    notes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The call's id."""
        return self.attempt.id

    @property
    def session(self) -> RunState:
        """Whose call it is."""
        return self.attempt.session

    @property
    def call(self) -> ToolCall:
        """The call as it was asked for."""
        return self.attempt.call

    @property
    def key(self) -> JournalKey | None:
        """What makes this call the same call when it is asked again; None when nothing does."""
        return journal_key(self.call, self.session, self.question)

    @property
    def definition(self) -> ToolDefinition:
        """The tool."""
        return self.question.definition

    @property
    def args_digest(self) -> Digest:
        """Digest of the effective arguments."""
        return self.question.args_digest


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier run of the very same call, whose result is given again.

    Attributes:
        definition: the tool.
        args_digest: of the effective arguments.
        asked_digest: of the arguments as its caller gave them, when a person edited them since.
    """

    result: Completed
    definition: ToolDefinition
    args_digest: Digest
    asked_digest: Digest | None = None


def journal_key(call: ToolCall, session: RunState, question: Question) -> JournalKey | None:
    """The journal's key of a call that runs at most once; None for a call without a key."""
    if call.key is None:
        return None
    return JournalKey(session.run, call.key, question.definition.digest, question.args_digest)


def requested_call(
    attempt: Attempt,
    question: Question,
    terms: AccessRequestTerms,
    revision: Digest,
    *,
    effects: str | None = None,
) -> RequestedCall:
    """Everything an approval of this call is bound to, or of what it would change.

    Args:
        attempt: who asks for which call.
        question: the call, understood.
        terms: who may approve.
        revision: of the policies that want a person.
        effects: what is shown of the changes when those are what it is about.
    """
    session, match = attempt.session, question.match
    return RequestedCall(
        run=session.run,
        key=_position(attempt, effects),
        tool=question.definition.name,
        tool_digest=question.definition.digest,
        arguments=question.canonical.decode(),
        targets=canonical(question.document["resource"]["properties"]["targets"]).decode(),
        workspace=str(session.workspace),
        policy_revision=revision,
        plan_step=None if match is None else match.step,
        subject=session.subject.id,
        on_behalf_of=session.subject.properties["on_behalf_of"],
        terms=terms,
        effects=effects,
    )


def _position(attempt: Attempt, effects: str | None) -> str:
    """Where in its run a call stands: by its caller's key, or as which of identical calls.

    Identical calls without a key are told apart by how many of them were approved and begun
    before, so at any time people are asked about one of them. What a call would change is its
    own, whatever others change.
    """
    if attempt.call.key is not None:
        return f"key {attempt.call.key}"
    return f"turn {attempt.turn}" if effects is None else f"call {attempt.id}"
