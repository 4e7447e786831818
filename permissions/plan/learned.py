"""A plan out of what good runs did: a draft for a person to read, verified like any other.

Only what the runs have in common is pinned: a control value that every run of several had is a
literal. Any other control argument is open to trusted origins; one that was filled from a field
of an earlier call refers to any vouched field of that step. What came from untrusted text is
never learned: such an argument stays open to trusted origins, and is told.

It does not know whether the runs were good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from permissions.plan.model import MAX_USES, Plan, plan_from
from permissions.signing.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from permissions.model import JsonObject, JsonValue

DAY = 86_400_000_000
"""Microseconds."""


class RecordedCall(NamedTuple):
    """A call that ran and succeeded, as its decision was asked.

    Attributes:
        id: the call's.
        provenance: by JSON pointer, where each leaf of its arguments came from.
        control: names of its control arguments.
    """

    id: str
    tool: str
    effect: str
    arguments: JsonObject
    provenance: Mapping[str, JsonObject]
    control: frozenset[str]


class Learned(NamedTuple):
    """A draft, and what a person should look at before anybody runs it."""

    plan: Plan
    notes: tuple[str, ...]


def learned_plan(
    runs: Sequence[Sequence[RecordedCall]],
    *,
    goal: str,
    subject: str,
    behalf: str | None,
    now: int,
) -> Learned:
    """The plan that all of these runs would have fitted, but for their untrusted values.

    Raises:
        PlanError: the runs did nothing that a plan declares, or too much.
    """
    draft = _Draft(runs)
    steps = [draft.step(tool) for tool in draft.steps]
    most = max((len(run) for run in runs), default=0)
    uses = sum(step["uses"] for step in steps)
    plan = plan_from(
        {
            "id": "learned",
            "goal": goal,
            "subject": subject,
            "on_behalf_of": behalf,
            "steps": steps,
            "budget": {"calls": uses + most},
            "expires_at": now + DAY,
            "read_scope": [tool for tool in draft.tools if tool not in draft.steps],
        }
    )
    return Learned(plan, tuple(draft.notes))


class _Draft:
    def __init__(self, runs: Sequence[Sequence[RecordedCall]]) -> None:
        self.notes: list[str] = []
        self._runs = runs
        self._of = {call.id: call.tool for run in runs for call in run}
        calls = [call for run in runs for call in run]
        self.tools = list(dict.fromkeys(call.tool for call in calls))
        self._calls = {name: [c for c in calls if c.tool == name] for name in self.tools}
        acting = {call.tool for call in calls if call.effect != "read"}
        self._sources = {
            (call.tool, name): self._source(name, self._calls[call.tool])
            for call in calls
            if call.tool in acting
            for name in call.control
        }
        fed = {source for source in self._sources.values() if source is not None}
        self.steps = [name for name in self.tools if name in acting | fed]

    def step(self, tool: str) -> JsonObject:
        calls = self._calls[tool]
        names = list(dict.fromkeys(name for call in calls for name in call.arguments))
        needs = {self._sources.get((tool, name)) for name in names} - {None}
        uses = max(sum(call.tool == tool for call in run) for run in self._runs)
        return {
            "id": _id(tool),
            "tool": tool,
            "uses": min(uses, MAX_USES),
            "needs": sorted(_id(str(need)) for need in needs),
            "arguments": {name: self._argument(tool, name, calls) for name in names},
        }

    def _argument(self, tool: str, name: str, calls: list[RecordedCall]) -> JsonObject:
        values = [call.arguments[name] for call in calls if name in call.arguments]
        leaves = [leaf for call in calls for leaf in _leaves(call, name)]
        if not any(name in call.control for call in calls):
            free = any(not leaf["trusted"] for leaf in leaves)
            kind = "free_text" if free else "control"
            return {"hole": {"type": _types(values)}, "kind": kind}
        if strange := {str(leaf["origin"]) for leaf in leaves if not leaf["trusted"]}:
            self.notes.append(f"{tool}: {name} was {', '.join(sorted(strange))}; left open")
        elif len(self._runs) > 1 and len({canonical(value) for value in values}) == 1:
            return {"literal": values[0]}
        if (source := self._sources.get((tool, name))) is not None:
            return {"step": _id(source), "any": True}
        return {"hole": {"type": _types(values)}, "kind": "control"}

    def _source(self, name: str, calls: list[RecordedCall]) -> str | None:
        """The one other tool that each value came from, in a field that it vouches for."""
        leaves = [leaf for call in calls for leaf in _leaves(call, name)]
        found = {
            self._of.get(leaf["from"]["call"])
            if leaf["trusted"] and leaf["origin"] == "tool" and leaf.get("from")
            else None
            for leaf in leaves
        }
        source = found.pop() if len(found) == 1 else None
        return None if source in {call.tool for call in calls} else source


def _leaves(call: RecordedCall, name: str) -> list[JsonObject]:
    top = "/" + name.replace("~", "~0").replace("/", "~1")
    return [
        leaf
        for pointer, leaf in call.provenance.items()
        if (pointer == top or pointer.startswith(top + "/"))
        and call.arguments.get(name) not in (None, "", [], {})
    ]


def _id(tool: str) -> str:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in tool)
    return plain.lower().lstrip("_.-")[:64] or "step"


def _types(values: Iterable[JsonValue]) -> list[str]:
    names = {
        bool: "boolean", int: "number", float: "number", str: "string",
        list: "array", dict: "object", type(None): "null",
    }  # fmt: skip
    return sorted({names[type(value)] for value in values}) or ["null"]
