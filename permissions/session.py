"""A session: one run of one subject, and what the broker remembers of it.

It holds who asks and on whose behalf, the budgets, the labels that outputs left behind, where
each value came from, and how far the declared plan has got. Only the broker changes it, and
only from its own event loop, so nothing in here needs a lock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from permissions.model import Subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.plan.cursor import PlanCursor
    from permissions.provenance import ProvenanceLedger

HISTORY = 20
"""How many earlier calls a policy sees."""

UNTRUSTED = "untrusted"
"""The label a session gets once an untrusted output was read."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as it was asked for, before anything is believed about it.

    Attributes:
        tool: the name asked for; may be anything.
        arguments: by name; may be anything.
        key: a caller's stable name for this very call. Calls with a key run at most once per
            run, across processes and restarts; calls without one are new each time.
        caller: which ring or adapter asks.
    """

    tool: str
    arguments: Mapping[str, Any]
    key: str | None = None
    caller: str = "direct"


@dataclass(slots=True)
class Session:
    """The broker's memory of one run."""

    run: str
    subject: Subject
    workspace: Path
    approval_mode: Literal["wait", "suspend"]
    provenance: ProvenanceLedger
    limits: Mapping[str, int] = field(default_factory=dict)
    plan: PlanCursor | None = None
    plan_required: bool = False
    labels: set[str] = field(default_factory=set)
    history: deque[JsonObject] = field(default_factory=lambda: deque(maxlen=HISTORY))
    calls: int = 0
    closed: bool = False

    def remember(self, *, tool: str, effect: str, outcome: str) -> None:
        """Adds a call to the bounded history policies see."""
        self.history.append({"tool": tool, "effect": effect, "outcome": outcome})


def subject_of(*, user: str | None, agent: str | None, roles: Sequence[str]) -> Subject:
    """The subject of a session: the agent, acting for the user, or the user directly.

    The delegation chain (`act`, RFC 8693 section 4.1) lists everyone the subject acts for,
    nearest first. A session without any identity is called `anonymous`, which no shipped
    policy grants anything beyond what everybody may do.
    """
    chain = [{"type": "user", "id": user}] if user and agent else []
    return Subject(
        type="agent" if agent else "user",
        id=agent or user or "anonymous",
        properties={
            "roles": sorted(roles),
            "on_behalf_of": f"user:{user}" if user and agent else None,
            "act": chain,
        },
    )
