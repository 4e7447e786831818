"""Where a run stands in its plan. Pure and immutable: each transition gives a new cursor.

The life of one use of a step, keyed by the broker's call id:

    match -> reserve -> complete   it ran and succeeded: dependants may begin
                     -> fail       it ran and failed, or nobody knows: the use is gone
                     -> release    it never ran: the use is given back

    cursor = PlanCursor.start(plan, tools, verdict)      # an accepted verdict of this plan
    match = cursor.match("send_payment", arguments, ...)
    if match.verdict == "matched":
        cursor = cursor.reserve(match, call="call-1")    # before anything is awaited
        cursor = cursor.complete("call-1", output)

`reserve` checks again, so of two calls that matched the last use only one gets it. Whoever
holds the cursor swaps it in one step (no await between reading and writing it).

The cursor keeps no output, only SHA-256 digests of the fields that references name. All
references of one call into the same step must hold for one and the same use of that step:
the recipient of one invoice never goes with the amount of another.

It does not stop a step with several uses from being used twice with the same arguments, and
a field that two invoices share cannot tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Literal

from permissions.errors import PlanError
from permissions.plan._fit import (
    compile_tools,
    digests_of,
    fields_of,
    hole_objections,
    pinned_objections,
    reference_objections,
    references_into,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.model import Digest, JsonObject, JsonValue
    from permissions.plan._fit import CompiledStep, CompiledTool, Fields, Into
    from permissions.plan.model import Plan, PlannedTool, PlanStep
    from permissions.plan.verdict import PlanVerdict

MatchVerdict = Literal["matched", "undeclared", "exhausted", "not_ready", "mismatch", "expired"]
"""The words of `context.plan.verdict` (docs/reference/policy-contract.md)."""

MAX_DETAIL = 400

_RANK: dict[MatchVerdict, int] = {"matched": 0, "not_ready": 1, "exhausted": 2, "mismatch": 3}


@dataclass(frozen=True, slots=True)
class Match:
    """How a call stands to the plan.

    `detail` says in words what the nearest declared call is; it holds no argument value.
    `pinned` names the arguments whose value the plan itself fixed, as a value or as a field of
    an output in which no untrusted source had a say. `scope_read` means the
    call is no step but an undeclared read that the plan's scope covers.
    """

    verdict: MatchVerdict
    step: str | None = None
    detail: str | None = None
    scope_read: bool = False
    pinned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PlanCursor:
    """How far a run is in its plan. Build it with `start`."""

    plan: Plan
    _tools: Mapping[str, CompiledTool]
    _steps: Mapping[str, PlanStep]
    _scope_calls: int
    """Scope reads still left: what the budget leaves beside the declared uses."""
    _references: Mapping[str, Into]
    _held: Mapping[str, str | None] = field(default_factory=dict)
    """Call id to its step, or to None for a read in the scope."""
    _spent: Mapping[str, int] = field(default_factory=dict)
    _outputs: Mapping[str, tuple[Fields, ...]] = field(default_factory=dict)

    @classmethod
    def start(
        cls, plan: Plan, tools: Mapping[str, PlannedTool], verdict: PlanVerdict
    ) -> PlanCursor:
        """The cursor before step 1.

        Raises:
            PlanError: the verdict is not an acceptance of exactly this plan.
        """
        if not verdict.accepted or verdict.plan != plan.digest:
            raise PlanError("a plan is run only with an accepted verdict of exactly that plan")
        return cls(
            plan=plan,
            _tools=compile_tools(plan, tools),
            _steps={step.id: step for step in plan.steps},
            _scope_calls=plan.budget.calls - sum(step.uses for step in plan.steps),
            _references=references_into(plan, tools),
        )

    def amended(
        self, plan: Plan, tools: Mapping[str, PlannedTool], verdict: PlanVerdict
    ) -> PlanCursor:
        """The cursor of an amended plan: what did not change keeps its uses and its outputs.

        Calls that run now keep the use they hold, also of a step that is gone or changed.

        Raises:
            PlanError: the verdict is not an acceptance of exactly this plan.
        """
        if not verdict.accepted or verdict.plan != plan.digest:
            raise PlanError("a plan is run only with an accepted verdict of exactly that plan")
        references = references_into(plan, tools)
        kept = {step.id for step in plan.steps if self._steps.get(step.id) == step}
        told = {name for name in kept if references.get(name) == self._references.get(name)}
        scope = plan.budget.calls - sum(step.uses for step in plan.steps)
        before = self.plan.budget.calls - sum(step.uses for step in self.plan.steps)
        return PlanCursor(
            plan=plan,
            _tools=compile_tools(plan, tools),
            _steps={step.id: step for step in plan.steps},
            _scope_calls=scope - (before - self._scope_calls),
            _references=references,
            _held=dict(self._held),
            _spent={name: spent for name, spent in self._spent.items() if name in kept},
            _outputs={name: each for name, each in self._outputs.items() if name in told},
        )

    def match(
        self,
        tool: str,
        arguments: JsonObject,
        *,
        tool_digest: Digest,
        now: int,
        provenance: Mapping[str, JsonObject],
    ) -> Match:
        """Says whether a call is what the plan declared. Changes nothing.

        Args:
            tool: the registered name of the tool that would run.
            arguments: validated against the tool's schema, its defaults filled in.
            tool_digest: digest of the tool as it is registered now.
            now: microseconds since 1970-01-01 UTC.
            provenance: one entry per argument leaf, as in `context.provenance`; a leaf of a
                hole that is missing counts as unknown.
        """
        if now >= self.plan.expires_at:
            return Match("expired", detail="the plan's time is over; declare a new one")
        known = self._tools.get(tool)
        if known is None:
            return Match("undeclared", detail="no step of the plan uses this tool")
        if known.digest != tool_digest:
            return Match("mismatch", detail="the tool was changed after the plan was verified")
        found = Match("undeclared", detail="no step of the plan uses this tool")
        if known.steps:
            digests = digests_of(arguments)
            judged = [
                self._judge(each, known, arguments, digests, provenance) for each in known.steps
            ]
            found = min(judged, key=itemgetter(0))[1]
        if found.verdict != "matched" and known.in_scope and self._scope_calls > 0:
            return replace(found, scope_read=True)
        return found

    def reserve(self, match: Match, *, call: str, approved: bool = False) -> PlanCursor:
        """Takes one use of the matched step, or one read of the scope, for a call.

        Args:
            match: what the call was found to be.
            call: its id.
            approved: a person saw how it departs from the step, and approved it. It takes a
                use of the step all the same, as far as one is left, so that what comes after
                the step can go on.

        Raises:
            PlanError: the match allows nothing, the last use was taken since, or the call
                already holds one.
        """
        if call in self._held:
            raise PlanError("this call already holds a use of the plan")
        if approved and match.verdict in ("mismatch", "not_ready") and match.step is not None:
            held = {**self._held, call: match.step}
            return replace(self, _held=held) if self._left(match.step) > 0 else self
        if match.verdict == "matched" and match.step is not None:
            if self._left(match.step) < 1:
                raise PlanError(f"step {match.step} has no use left; another call took it")
            return replace(self, _held={**self._held, call: match.step})
        if match.scope_read:
            if self._scope_calls < 1:
                raise PlanError("the plan's budget leaves no read beside its steps")
            return replace(
                self, _held={**self._held, call: None}, _scope_calls=self._scope_calls - 1
            )
        raise PlanError("only a matched call or a read in scope takes a use of the plan")

    def release(self, call: str) -> PlanCursor:
        """Gives the use of a call that never ran back.

        Raises:
            PlanError: the call holds no use.
        """
        step, held = self._take(call)
        back = 1 if step is None else 0
        return replace(self, _held=held, _scope_calls=self._scope_calls + back)

    def complete(self, call: str, output: JsonValue) -> PlanCursor:
        """Settles a call that ran and succeeded, with its recorded output as JSON.

        Raises:
            PlanError: the call holds no use.
        """
        step, held = self._take(call)
        if step is None:
            return replace(self, _held=held)
        fields = fields_of(output, self._references.get(step))
        return replace(
            self,
            _held=held,
            _spent={**self._spent, step: self._spent.get(step, 0) + 1},
            _outputs={**self._outputs, step: (*self._outputs.get(step, ()), fields)},
        )

    def fail(self, call: str) -> PlanCursor:
        """Settles a call that ran and failed, or whose outcome is unknown.

        Raises:
            PlanError: the call holds no use.
        """
        step, held = self._take(call)
        if step is None:
            return replace(self, _held=held)
        spent = {**self._spent, step: self._spent.get(step, 0) + 1}
        return replace(self, _held=held, _spent=spent)

    @property
    def in_flight(self) -> frozenset[str]:
        """Calls that hold a use."""
        return frozenset(self._held)

    def _left(self, step: str) -> int:
        held = sum(1 for holder in self._held.values() if holder == step)
        return self._steps[step].uses - self._spent.get(step, 0) - held

    def _take(self, call: str) -> tuple[str | None, dict[str, str | None]]:
        if call not in self._held:
            raise PlanError("this call holds no use of the plan")
        return self._held[call], {c: step for c, step in self._held.items() if c != call}

    def _judge(
        self,
        compiled: CompiledStep,
        tool: CompiledTool,
        arguments: JsonObject,
        digests: Mapping[str, bytes | None],
        provenance: Mapping[str, JsonObject],
    ) -> tuple[tuple[int, int, int, bool, int], Match]:
        """The step's answer to the call, after a key by which the best answer sorts first.

        Of the steps that fit the tightest is taken (fewest holes), then one that has not
        begun, so that what needs it can go on, then the first in the plan.
        """
        step = compiled.step
        wrong = [
            *pinned_objections(compiled, tool, digests),
            *hole_objections(compiled, arguments, provenance),
        ]
        waiting = [need for need in step.needs if need not in self._outputs]
        if not waiting:
            wrong += reference_objections(compiled, arguments, digests, self._outputs)
        if wrong:
            said = f"the nearest step is {step.id}: {'; '.join(wrong)}"
            found = Match("mismatch", step.id, said[:MAX_DETAIL])
        elif waiting:
            said = f"step {step.id} comes after {', '.join(waiting)}"
            found = Match("not_ready", step.id, said[:MAX_DETAIL])
        elif self._left(step.id) < 1:
            said = f"step {step.id} may run {step.uses} time(s), and each is taken"
            found = Match("exhausted", step.id, said)
        else:
            found = Match("matched", step.id, pinned=compiled.pinned)
        begun = self._left(step.id) < step.uses
        key = (_RANK[found.verdict], len(wrong), len(compiled.holes), begun, compiled.position)
        return key, found
