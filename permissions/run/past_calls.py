"""The calls of a run that began before this one: `context.history` of the policy's input.

A call is in it from the moment it begins, so calls that run at the same time count, and a rate
("at most 5 a minute") holds for them, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from permissions.vocabulary import JsonObject

HISTORY: Final = 20
"""How many earlier calls a policy sees."""

RUNNING: Final = "running"
"""The outcome of a call that has none yet."""


class PastCalls:
    """The last calls, oldest first. What was handed out once does not change."""

    def __init__(self) -> None:
        self._calls: list[tuple[str, JsonObject]] = []
        self.begun = 0
        """How many ever began: that it is what it was says that none began meanwhile."""

    def begin(self, call: str, *, tool: str, effect: str, time: int) -> None:
        """A call begins; `time` is microseconds since 1970-01-01 UTC."""
        told: JsonObject = {"tool": tool, "effect": effect, "outcome": RUNNING, "time": time}
        late = self._calls and self._calls[-1][1]["time"] > time  # a run that is resumed
        self._calls.append((call, told))
        if late:
            self._calls.sort(key=lambda each: each[1]["time"])
        del self._calls[:-HISTORY]
        self.begun += 1

    def drop(self, call: str) -> None:
        """A call that did not begin after all."""
        self._calls = [each for each in self._calls if each[0] != call]

    def has(self, tool: str) -> bool:
        """Whether one of them is of this tool."""
        return any(told["tool"] == tool for _, told in self._calls)

    def end(self, call: str, outcome: str) -> None:
        """A call ended."""
        for at, (name, told) in enumerate(self._calls):
            if name == call:
                self._calls[at] = name, {**told, "outcome": outcome}

    def document(self) -> list[JsonObject]:
        """As policies see them."""
        return [told for _, told in self._calls]
