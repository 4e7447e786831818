"""A call that nobody made: what policies would be asked about it, and what they would say.

The question is put together by the broker's own mapping, so it has every member that a real
call's has. What a trial does not have is a run before it: no earlier outputs, no budget used,
no approval, unless they are given.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from permissions.broker.mapping import context_of, question_document, targets_of
from permissions.detection.detectors import SHIPPED, Detectors
from permissions.errors import PdpAnswerError, PdpUndefinedError
from permissions.model import Decision
from permissions.obligations.budget import InMemoryBudgetLedger
from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.input_json import input_bytes
from permissions.pdp.policy_tests import read_coverage
from permissions.pdp.regorus.engine import UNDEFINED, Engine
from permissions.pdp.regorus.errors import EngineError
from permissions.pdp.shadow_marks import enforced
from permissions.plan.cursor import PlanCursor
from permissions.plan.verifier import verify_plan
from permissions.run.found_values import FoundValues, told
from permissions.run.provenance import ProvenanceLedger
from permissions.run.state import RunState, subject_of
from permissions.signing.canonical import canonical, digest, digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from permissions.model import Effect, Impact, Isolation, JsonObject
    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.policy_tests import LineCoverage
    from permissions.plan.model import Plan
    from permissions.tools.definition import ToolDefinition

NOON = 1_795_608_000_000_000
"""Wednesday, 2026-11-25 12:00 UTC in microseconds: a trial is the same whenever it is made."""
BOUNDARIES: tuple[Isolation, ...] = ("none", "process", "container")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What surrounds a call that is tried.

    Attributes:
        prompt: what the person asked for; values in it are theirs.
        untrusted: a text of an untrusted source that was read before; values in it are its own.
        time: microseconds since 1970-01-01 UTC.
        isolation: boundaries the machine could give.
        context: members of `context` that replace what a trial would have there.
    """

    user: str | None = None
    agent: str | None = "agent"
    roles: Sequence[str] = ()
    prompt: str = ""
    untrusted: str = ""
    plan: Plan | None = None
    workspace: Path = field(default_factory=Path.cwd)
    time: int = NOON
    environment: str = "production"
    isolation: Sequence[Isolation] = BOUNDARIES
    context: Mapping[str, Any] = field(default_factory=dict)


def question_about(
    tool: ToolDefinition,
    arguments: Mapping[str, Any],
    around: Circumstances,
    *,
    tools: Mapping[str, ToolDefinition] | None = None,
) -> JsonObject:
    """The whole input that policies would be asked with.

    Args:
        tool: what is called.
        arguments: what it is called with.
        around: who calls, and when.
        tools: of the plan, by name; needed with a plan.

    Raises:
        ArgumentsError: the arguments do not fit the tool.
        ConfigError: a name of the subject is none.
        PlanError: the plan does not fit the tools.
    """
    session = _session(around, tools or {tool.name: tool})
    checked = tool.validate(arguments)
    targets = targets_of(tool, checked, session.workspace)
    match, provenance = session.match(tool, checked, now=around.time)
    context = context_of(
        session=session,
        call="call-tried",
        now=around.time,
        targets=targets,
        plan=session.plan_document(match),
        provenance=provenance,
        used={},
        environment=around.environment,
        isolation=around.isolation,
        detected=_detected(checked.document),
    )
    return question_document(
        session=session,
        definition=tool,
        arguments=checked,
        args_digest=digest(canonical(checked.document)),
        targets=targets,
        context={**context, **around.context},
    )


def plain_question(
    *,
    tool: str,
    effect: Effect,
    impact: Impact,
    args: JsonObject,
    targets: Sequence[JsonObject],
    around: Circumstances,
) -> JsonObject:
    """The input about a call of a tool that is nowhere defined, and says all of itself.

    Without a prompt its arguments are what the person said.
    """
    spoken = around if around.prompt else replace(around, prompt=json.dumps(args))
    session = _session(spoken, {})
    marks = {str(each["argument"]): str(each["kind"]) for each in targets}
    context = context_of(
        session=session,
        call="call-tried",
        now=around.time,
        targets=targets,
        plan=None,
        provenance=session.provenance.trace(args, frozenset(marks), frozenset()),
        used={},
        environment=around.environment,
        isolation=around.isolation,
        detected=_detected(args),
    )
    return {
        "subject": session.subject.document(),
        "action": {"name": "tools/call", "properties": {"effect": effect, "impact": impact}},
        "resource": {
            "type": "tool",
            "id": tool,
            "properties": {
                "args": args,
                "args_digest": digest_of(args),
                "tool_digest": digest_of(tool),
                "isolation": "none",
                "stateful": False,
                "confirms": None,
                "workspace": "copy",
                "control": sorted(marks),
                "marks": marks,
                "targets": [*targets],
            },
        },
        "context": {**context, **around.context},
    }


def _detected(args: JsonObject) -> dict[str, list[JsonObject]]:
    """What the shipped detectors find; what others would, `around.context` has to say."""
    found = Detectors().look_now(args, SHIPPED)
    return told(found, FoundValues())


def _session(around: Circumstances, tools: Mapping[str, ToolDefinition]) -> RunState:
    session = RunState(
        run="run-tried",
        subject=subject_of(user=around.user, agent=around.agent, roles=around.roles),
        workspace=around.workspace.resolve(),
        approval_mode="suspend",
        budgets=InMemoryBudgetLedger(),
        limits={"calls": None},
        provenance=ProvenanceLedger(),
    )
    session.provenance.add_user_text(around.prompt)
    if around.untrusted:
        session.provenance.add_output(
            "read_untrusted",
            around.untrusted,
            trusted=False,
            effect="read",
            arguments={},
            provenance={},
        )
    if around.plan is not None:
        verdict = verify_plan(
            around.plan, tools, now=around.time, said_by_user=session.provenance.said_by_user
        )
        session.cursor = PlanCursor.start(around.plan, tools, verdict)
    return session


class Judge:
    """Asks one bundle, in this process and without a deadline: trials are the author's own."""

    def __init__(self, bundle: PolicyBundle, *, with_shadow: bool = False) -> None:
        """Loads the policies; of those in the shadow only when they are asked for.

        Args:
            bundle: the policies.
            with_shadow: whether packages in the shadow decide as if they were in force.
        """
        self.bundle = bundle if with_shadow else enforced(bundle)
        data = json.dumps(bundle.data, ensure_ascii=False)
        self._engine = Engine(self.bundle.modules, data)

    def decide(self, question: JsonObject) -> Decision:
        """What is decided.

        Raises:
            PdpAnswerError: the evaluation failed, or the answer is not of the contract's form.
            PdpUndefinedError: there is no answer.
            PdpInputError: the question is not one the engine takes.
        """
        text = input_bytes(question).decode()
        try:
            answer = self._engine.ask(ENTRYPOINT, text)
        except EngineError as err:
            # Shown to whoever holds the input anyway, so with the values the engine quotes.
            raise PdpAnswerError(f"the policy failed: {err.text}") from err
        if answer == UNDEFINED:
            raise PdpUndefinedError(f"{ENTRYPOINT} has no value for this input")
        return Decision.from_response(json.loads(answer))

    def decide_watched(self, question: JsonObject) -> tuple[Decision, dict[str, LineCoverage]]:
        """The same, and which lines of each file were evaluated."""
        self._engine.watch()
        decided = self.decide(question)
        return decided, read_coverage(self._engine.coverage())
