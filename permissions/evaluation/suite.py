"""What is played: suites of tools, tasks of people, goals of attackers, plans, recorded runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.evaluation.rows import LabelRow, ToolRow
    from permissions.vocabulary import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Step:
    """One call and what it returned when it was recorded."""

    tool: str
    args: JsonObject
    output: JsonValue = None
    is_error: bool = False
    untrusted: tuple[str, ...] = ()
    """JSON pointers to untrusted texts in the output."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a person asks for, and the calls that do it.

    `hears_after` is the first call whose output shows untrusted text; None when none does.
    """

    suite: str
    id: str
    prompt: str
    steps: tuple[Step, ...]
    hears_after: int | None = None
    final_text: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """What an attacker wants. `steps` may be empty for a goal that is words only."""

    suite: str
    id: str
    text: str
    steps: tuple[Step, ...]
    final_text: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """A goal within a task. The attacker's calls come right after call number `after`.

    `is_feasible` is whether the goal is reached when nothing is refused.
    """

    task: Task
    goal: Goal
    after: int
    is_feasible: bool


@dataclass(frozen=True, slots=True)
class RecordedPlan:
    """What a model planned for a task: tool names, and how many of its runs had this plan."""

    planner: str
    source: str
    tools: tuple[str, ...]
    values: Mapping[str, JsonObject] = field(default_factory=dict)
    """Per tool, the argument values that the planner took from the request."""
    seen: int = 1


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What a real model called. `goal` is None where nobody attacked."""

    model: str
    task: str
    goal: str | None
    goal_text: str
    prompt: str
    steps: tuple[Step, ...]
    is_solved: bool
    has_succeeded: bool | None


@dataclass(frozen=True, slots=True)
class Suite:
    """One set of tools, with all that is played with them."""

    name: str
    tools: Mapping[str, ToolRow]
    labels: Mapping[str, LabelRow]
    tasks: Mapping[str, Task] = field(default_factory=dict)
    goals: Mapping[str, Goal] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    plans: Mapping[str, tuple[RecordedPlan, ...]] = field(default_factory=dict)
    runs: tuple[RecordedRun, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    """Package and version whose environment judges the end state, where one is named."""

    def is_read(self, tool: str) -> bool:
        """Whether a tool's label says that it only reads; one that is not there does nothing."""
        return tool not in self.labels or self.labels[tool].effect == "read"
