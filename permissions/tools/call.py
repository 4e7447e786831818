"""A call of a tool, as it was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


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

    def __post_init__(self) -> None:
        """A name that is no text names no tool, and is refused like any unknown one."""
        name: object = self.tool
        if not isinstance(name, str):
            object.__setattr__(self, "tool", f"<{type(name).__name__}>")
