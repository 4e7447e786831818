"""A session: one run of one subject, and what the broker remembers of it.

It holds who asks and on whose behalf, the labels that outputs left behind, where each value
came from, and how far the declared plan has got. Only the broker changes it, and only from
its own event loop and between two awaits, so nothing in here needs a lock.

A sub-agent's run is a run of its own (its calls, budgets, delegation) that remembers together
with the one that sent it: what one of them read, moved, was told no about, or used of the plan
counts for all of them, so nothing is gained by sending somebody else. It is longer than others because everything that
a run remembers changes here and nowhere else.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypedDict

from permissions.errors import ConfigError
from permissions.model import Subject
from permissions.run.facts import Facts
from permissions.run.found_values import FoundValues
from permissions.run.origins import Output, pinned_by_plan
from permissions.run.past_calls import PastCalls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from permissions.model import JsonObject, JsonValue
    from permissions.obligations.budget import BudgetLedger
    from permissions.plan.cursor import Match, PlanCursor
    from permissions.plan.model import Plan
    from permissions.run.delegation import Delegation
    from permissions.run.provenance import ProvenanceLedger
    from permissions.run.readable import Readable
    from permissions.tools.definition import Arguments, ToolDefinition

MAX_NAME = 512
"""Characters of a run's id, a role, or a name of who asks."""

AMEND_PLAN = "amend_plan"
APPROVE_PLAN = "approve_plan"
"""The tool whose approval is one of the whole plan (`sessions.plan_tools`)."""

ANY = "any"
"""In the place of a digest of arguments that were redacted in the record."""

UNTRUSTED = "untrusted"
"""The label a session gets once an untrusted output was read."""


@dataclass(slots=True)
class Shared:
    """What a run and all it sent have one of, beside the collections that they share."""

    cursor: PlanCursor | None = None
    plan_approval: JsonObject | None = None
    unseen: tuple[int, int] = (0, 0)
    unconfirmed: int = 0


@dataclass(slots=True)
class RunState:
    """The broker's memory of one run."""

    run: str
    subject: Subject
    workspace: Path
    approval_mode: Literal["wait", "suspend"]
    budgets: BudgetLedger
    limits: Mapping[str, int | None]
    provenance: ProvenanceLedger
    plan_required: bool = False
    labels: set[str] = field(default_factory=set)
    history: PastCalls = field(default_factory=PastCalls)
    facts: Facts = field(default_factory=Facts)
    found: FoundValues = field(default_factory=FoundValues)
    """What detectors found in what the run said and read."""
    calls: int = 0
    moved: dict[str, int] = field(default_factory=dict)
    """Per currency (as `amount_eur`), what calls that ran moved, in its smallest unit."""
    shared: Shared = field(default_factory=Shared)
    parent: RunState | None = None
    """The run that sent this one."""
    delegation: Delegation | None = None
    """What a sub-agent was given; None for a run that nobody sent."""
    expires: int | None = None
    """When its delegation ends, microseconds since 1970 UTC."""
    delegates: dict[str, RunState] = field(default_factory=dict)
    """Runs that this one sent, by id."""
    delegated_calls: int = 0
    """Calls that started in runs below this one."""
    closed: bool = False
    started: set[tuple[str, str, str]] = field(default_factory=set)
    """Keyed calls that the trace says began: digests of key, tool and arguments, or `ANY`."""
    refused: set[tuple[str, str]] = field(default_factory=set)
    """What a person said no to: digest of the tool, and of the arguments or the changes."""
    turns: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many calls without a key used an approval up, by digests of tool and arguments."""
    lost: set[str] = field(default_factory=set)
    """Stateful tools whose sandbox ended with an earlier session of this run; not told yet."""

    @property
    def cursor(self) -> PlanCursor | None:
        """How far the declared plan has got; a sub-agent works under that of who sent it."""
        return self.shared.cursor

    @cursor.setter
    def cursor(self, cursor: PlanCursor | None) -> None:
        self.shared.cursor = cursor

    @property
    def plan_approval(self) -> JsonObject | None:
        """Who approved the whole plan, and which one (`digest`); what it covers policy says."""
        return self.shared.plan_approval

    @plan_approval.setter
    def plan_approval(self, approval: JsonObject | None) -> None:
        self.shared.plan_approval = approval

    @property
    def unseen(self) -> tuple[int, int]:
        """Files that calls changed in the workspace and no person saw, and their bytes."""
        return self.shared.unseen

    @unseen.setter
    def unseen(self, unseen: tuple[int, int]) -> None:
        self.shared.unseen = unseen

    @property
    def unconfirmed(self) -> int:
        """Effects that succeeded since a tool that confirms did (`@tool(confirms=True)`)."""
        return self.shared.unconfirmed

    def note_confirmation(self, definition: ToolDefinition, status: str) -> None:
        """Counts an effect that may want a confirmation, or that one was given."""
        slight = definition.effect == "write" and definition.impact == "low"
        if status != "ok" or definition.effect == "read":
            return
        if definition.options.confirms:
            self.shared.unconfirmed = 0
        elif not slight:
            self.shared.unconfirmed += 1

    def senders(self) -> Iterator[RunState]:
        """Who sent this run, nearest first."""
        above = self.parent
        while above is not None:
            yield above
            above = above.parent

    def send(
        self,
        *,
        run: str,
        agent: str,
        delegation: Delegation,
        budgets: BudgetLedger,
        expires: int | None,
    ) -> RunState:
        """A sub-agent's run below this one. Nothing is checked here (`sessions.delegate`)."""
        sent = RunState(
            run=run,
            subject=self._sent_subject(agent, delegation, expires),
            workspace=self.workspace,
            approval_mode=self.approval_mode,
            budgets=budgets,
            limits={**self.limits, **delegation.budgets},
            provenance=self.provenance,
            plan_required=self.plan_required,
            labels=self.labels,
            history=self.history,
            facts=self.facts,
            found=self.found,
            moved=self.moved,
            refused=self.refused,
            shared=self.shared,
            parent=self,
            delegation=delegation,
            expires=expires,
        )
        self.delegates[run] = sent
        return sent

    def _sent_subject(self, agent: str, delegation: Delegation, expires: int | None) -> Subject:
        """The agent, for whom this run's subject works for; `act` names the whole chain."""
        own = self.subject
        acts_for = own.properties["on_behalf_of"] or f"{own.type}:{own.id}"
        return Subject(
            type="agent",
            id=agent,
            properties={
                **own.properties,
                "on_behalf_of": acts_for,
                "act": [{"type": own.type, "id": own.id}, *own.properties["act"]],
                "delegation": {
                    "run": self.run,
                    "depth": 1 + sum(1 for _ in self.senders()),
                    "tools": delegation.names(),
                    "may_delegate": delegation.names(delegable=True),
                    "expires_at": expires,
                },
            },
        )

    def excess(self, tool: str, arguments: JsonObject) -> str | None:
        """Why a call is beyond what this run was given, and those who sent it; else None.

        The whole chain is looked at each time: who may use a tool needs that all above it may
        give it on, and that the call fits the bounds of each.
        """
        holder, use = self, True
        while holder.delegation is not None:
            if (said := holder.delegation.excess(tool, arguments, use=use)) is not None:
                return said
            if holder.parent is None:
                return "nobody is known who gave it"
            holder, use = holder.parent, False
        return None

    def count_call(self) -> None:
        """Counts a call that started, here and for all who sent this run."""
        self.calls += 1
        for above in self.senders():
            above.delegated_calls += 1

    def match(
        self, definition: ToolDefinition, arguments: Arguments, *, now: int
    ) -> tuple[Match | None, dict[str, JsonObject]]:
        """How the call stands to the plan, and where each of its argument leaves came from.

        An argument that the plan itself pins comes from the plan, wherever else it was seen.
        """
        provenance = self.provenance.trace(
            arguments.document, definition.control, arguments.defaulted
        )
        if self.cursor is None:
            return None, provenance
        match = self.cursor.match(
            definition.name,
            arguments.document,
            tool_digest=definition.digest,
            now=now,
            provenance=provenance,
        )
        return match, pinned_by_plan(provenance, self.cursor.plan.id, match.pinned)

    def plan_document(self, match: Match | None) -> JsonObject | None:
        """`context.plan` of the policy's input."""
        if self.cursor is None or match is None:
            if not self.plan_required:
                return None
            absent = ("id", "digest", "step", "verdict", "detail", "approval")
            return {**dict.fromkeys(absent), "required": True, "scope_read": False}
        return {
            "id": self.cursor.plan.id,
            "digest": self.cursor.plan.digest,
            "step": match.step,
            "verdict": match.verdict,
            "detail": match.detail,
            "required": self.plan_required,
            "scope_read": match.scope_read,
            "approval": self.plan_approval,
        }

    def reserve_step(self, call: str, match: Match | None, *, approved: bool = False) -> None:
        """Takes the call's use of the plan, if it is one the plan knows.

        Args:
            call: its id.
            match: how it stands to the plan.
            approved: a person approved it, whatever it departs from.

        Raises:
            PlanError: another call took the last use since.
        """
        if self.cursor is None or match is None:
            return
        departs = match.verdict in ("mismatch", "not_ready")
        if match.verdict == "matched" or match.scope_read or (approved and departs):
            self.cursor = self.cursor.reserve(match, call=call, approved=approved)

    def take_amounts(self, question: JsonObject, *, approved: bool = False) -> bool:
        """Counts what a decided call moves.

        Args:
            question: what policies were asked.
            approved: a person saw this call, so what others moved meanwhile changes nothing.

        Returns:
            Whether nothing was moved in its currencies since it was decided; else nothing is
            counted, for the decision saw another sum.
        """
        amounts = amounts_of(question)
        usage = question["context"]["usage"]
        for name in amounts:
            seen = usage.get(name, {"used": 0, "limit": None})
            if (
                seen["limit"] is None
                and seen["used"] != self.moved.get(name, 0)
                and not approved
            ):
                return False
        for name, minor in amounts.items():
            self.moved[name] = self.moved.get(name, 0) + minor
        return True

    def add_unseen(self, changes: JsonObject) -> None:
        """Counts a change set that is kept and no person saw.

        Args:
            changes: its counts, as the trace's entry has them.
        """
        kinds = ("created", "changed", "deleted")
        files = sum(int(changes.get(kind, 0)) for kind in kinds)
        self.unseen = (self.unseen[0] + files, self.unseen[1] + int(changes.get("bytes", 0)))

    def give_amounts_back(self, question: JsonObject) -> None:
        """Counts the amounts of a call that never ran no more."""
        for name, minor in amounts_of(question).items():
            self.moved[name] -= minor

    def release_step(self, call: str) -> None:
        """Gives the use of a call that never ran back."""
        if self.cursor is not None and call in self.cursor.in_flight:
            self.cursor = self.cursor.release(call)

    def settle(
        self,
        call: str,
        definition: ToolDefinition,
        arguments: JsonObject,
        provenance: Mapping[str, JsonObject],
        *,
        labels: frozenset[str],
        status: str,
        value: JsonValue,
        readable: Readable,
        entry: int | None = None,
        request: str | None = None,
        approval: JsonObject | None = None,
    ) -> None:
        """Remembers how a call ended: history, labels, plan, where its output came from.

        Args:
            call: its id.
            definition: the tool that ran.
            arguments: the effective arguments, as JSON.
            provenance: where each argument leaf came from, by JSON pointer.
            labels: what the policy adds to the session's labels.
            status: `ok`, or any other word of `execution.base.Status`.
            value: the result as JSON.
            readable: all that can be read out of it, or out of the exception.
            entry: index of its `outcome` in the trace.
            request: id of the access request whose approval it used up.
            approval: that approval, as policies saw it.
        """
        self.history.end(call, status)
        self.labels |= labels
        trusted = definition.output == "trusted"
        if not (trusted and definition.effect == "read"):
            self.labels.add(UNTRUSTED)
        self.provenance.add_output(
            definition.name,
            readable.document,
            whole=readable.whole,
            trusted=trusted and status == "ok",
            effect=definition.effect,
            arguments=arguments,
            provenance=provenance,
            result=value if status == "ok" else None,
            fields=definition.trusted_fields,
            output=Output(call, entry),
        )
        self.learn_facts(definition, arguments, value, status, Output(call, entry))
        self.note_confirmation(definition, status)
        if definition.name == APPROVE_PLAN and status == "ok" and self.cursor is not None:
            self.plan_approval = approval and self._of_plan(approval, self.cursor.plan)
        if request is not None:
            self.provenance.add_approved(request, arguments, definition.control)
        if self.cursor is not None and call in self.cursor.in_flight:
            self.cursor = (
                self.cursor.complete(call, value) if status == "ok" else self.cursor.fail(call)
            )

    def amend(self, cursor: PlanCursor) -> None:
        """Goes on under an amended plan; steps that did not change stay approved."""
        before, self.cursor = self.cursor, cursor
        approved = self.plan_approval
        if before is None or approved is None or approved["digest"] != before.plan.digest:
            return
        known = {step.id: step for step in before.plan.steps if step.id in approved["steps"]}
        kept = [step.id for step in cursor.plan.steps if known.get(step.id) == step]
        self.plan_approval = {**approved, "digest": cursor.plan.digest, "steps": kept}

    @staticmethod
    def _of_plan(approval: JsonObject, plan: Plan) -> JsonObject:
        said = ("approvers", "groups", "approved_until", "stages")
        shown = {name: approval[name] for name in said}
        return {**shown, "digest": plan.digest, "steps": [step.id for step in plan.steps]}

    def learn_facts(
        self,
        definition: ToolDefinition,
        arguments: JsonObject,
        value: JsonValue,
        status: str,
        output: Output,
    ) -> None:
        """What a call that ran told, or made stale."""
        if definition.effect != "read":
            self.facts.note_effect(arguments)
        elif status == "ok" and definition.facts:
            self.facts.learn(definition.facts, value, call=output.call, entry=output.entry)


def amounts_of(question: JsonObject) -> dict[str, int]:
    """What a call moves, by budget name; a call that only reads or drafts moves nothing."""
    declared = question["action"]["properties"]
    if declared["effect"] == "read" or (
        declared["effect"] == "write" and declared["impact"] == "low"
    ):
        return {}
    found: dict[str, int] = {}
    for target in question["resource"]["properties"]["targets"]:
        if target["kind"] == "amount":
            name = f"amount_{target['currency'].lower()}"
            found[name] = found.get(name, 0) + target["minor"]
    return found


_PRINCIPALS = ("user:", "agent:", "service:")


class SessionOptions(TypedDict, total=False):
    """Keywords of `permissions.sessions.open.open_session`, where each one is explained."""

    user: str | None
    agent: str | None
    roles: Sequence[str]
    run: str | None
    prompt: str
    plan: Plan | None
    plan_required: bool
    budgets: Mapping[str, int] | None
    approval_mode: Literal["wait", "suspend"] | None
    workspace: Path | None


def subject_of(*, user: str | None, agent: str | None, roles: Sequence[str]) -> Subject:
    """The subject of a session: the agent, acting for the user, or the user directly.

    The delegation chain (`act`, RFC 8693 section 4.1) lists everyone the subject acts for,
    nearest first. A session without any identity is called `anonymous`.

    Raises:
        ConfigError: a name has characters without a shape, or begins like a principal
            (`user:`), so that it would read as somebody else's; or the roles are one text.
    """
    for role, name in (("user", user), ("agent", agent)):
        _require_plain(role, "" if name is None else name)
    if isinstance(roles, str):
        raise ConfigError(
            f"the roles {ascii(roles)[:80]} are one text; give a list, as in [{roles[:40]!a}]"
        )
    for given in roles:
        require_shown("role", given)
    delegated = bool(user and agent)
    return Subject(
        type="agent" if agent else "user",
        id=agent or user or "anonymous",
        properties={
            "roles": sorted(roles),
            "on_behalf_of": f"user:{user}" if delegated else None,
            "act": [{"type": "user", "id": user}] if delegated else [],
            "delegation": None,
        },
    )


def require_shown(role: str, name: str) -> None:
    """Checks that people can be shown a name as it is, in one line.

    Raises:
        ConfigError: it is no text, too long, or has characters without a shape.
    """
    if not isinstance(name, str):
        raise ConfigError(f"the {role} is {type(name).__name__}, not a text; give a plain name")
    if len(name) > MAX_NAME:
        raise ConfigError(
            f"the {role} {ascii(name)[:40]}... is longer than {MAX_NAME} characters"
        )
    if not name.isprintable():
        raise ConfigError(
            f"the {role} {ascii(name)[:80]} has characters without a shape; give a plain name"
        )


def _require_plain(role: str, name: str) -> None:
    require_shown(role, name)
    plain = unicodedata.normalize("NFKC", name).casefold().strip()
    if plain.startswith(_PRINCIPALS):
        raise ConfigError(
            f"the {role} {name[:80]!r} begins like a principal; give the name alone"
        )
