"""Whose calls a stop bars. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from permissions.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Collection

ScopeKind: TypeAlias = Literal["run", "agent", "tool", "all"]
MAX_NAME = 512
"""Characters of a run's id, an agent's name or a tool's."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is stopped: one run with all it sent, one agent, one tool, or everything.

    Attributes:
        name: of the run, agent or tool; empty for everything.

    Raises:
        StateError: the name is missing, too long, or given where there is none.
    """

    kind: ScopeKind
    name: str = ""

    def __post_init__(self) -> None:
        """Refuses a name that could not be shown, or that says nothing."""
        if self.kind == "all":
            if self.name:
                raise StateError("a stop of everything has no name")
        elif not self.name or len(self.name) > MAX_NAME or not self.name.isprintable():
            raise StateError(
                f"a stop of one {self.kind} needs its name: 1 to {MAX_NAME} printable characters"
            )

    def covers(self, *, runs: Collection[str], agents: Collection[str], tool: str) -> bool:
        """Whether a call is stopped.

        Args:
            runs: the call's run, and those that sent it.
            agents: who asks, and who sent them.
            tool: its name.
        """
        match self.kind:
            case "run":
                return self.name in runs
            case "agent":
                return self.name in agents
            case "tool":
                return self.name == tool
            case "all":
                return True
            case _:
                assert_never(self.kind)

    def __str__(self) -> str:
        """In words."""
        return "everything" if self.kind == "all" else f"the {self.kind} {self.name}"
