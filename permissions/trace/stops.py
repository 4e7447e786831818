"""What stops say in a log, and which calls they bar. Pure.

Between a `stop` and the `resume` that lifts it no call of its scope starts: none of the run and
those it sent, none of the agent and those it sent, none of the tool, or none at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from permissions.model import JsonObject


class Stops:
    """Follows the stops of one log, and who asks in the runs that are open."""

    def __init__(self) -> None:
        self._standing: dict[str, tuple[str, str]] = {}
        self._lifted: set[str] = set()
        self._agents: dict[str, str] = {}
        self._senders: dict[str, str] = {}
        self._is_part = False

    def go_on(self) -> None:
        """What came before was not observed."""
        self._is_part = True

    def begin(self, run: str, subject: object) -> None:
        """A run began, for this subject."""
        if isinstance(subject, dict):
            self._agents[run] = str(subject.get("id"))

    def send(self, run: str, sent: object) -> None:
        """A run sent another."""
        if isinstance(sent, str):
            self._senders[sent] = run

    def end(self, run: str) -> None:
        """A run ended."""
        self._agents.pop(run, None)
        self._senders.pop(run, None)

    def said(self, kind: str, body: JsonObject) -> Iterator[str]:
        """Takes in a `stop` or a `resume`; yields what is wrong about it."""
        stop = str(body.get("stop"))
        if kind == "resume":
            if stop in self._standing:
                if body.get("signed") is True:
                    del self._standing[stop]
                    self._lifted.add(stop)
            elif stop not in self._lifted and not self._is_part:
                yield f"resume of {stop!r}, which was never stopped"
        elif body.get("phase") == "begun":
            self._standing[stop] = str(body.get("scope")), str(body.get("name", ""))
        elif stop not in self._standing and stop not in self._lifted and not self._is_part:
            yield f"stop {stop!r} ended without having begun"

    def bars(self, run: str, tool: str | None) -> str | None:
        """The first stop that bars a start, or None."""
        if not self._standing:
            return None
        runs, at = {run}, run
        while (at := self._senders.get(at, at)) not in runs:
            runs.add(at)
        agents = {self._agents.get(each) for each in runs}
        within: dict[str, Container[str | None]] = {
            "run": runs,
            "agent": agents,
            "tool": {tool},
        }
        for stop, (scope, name) in self._standing.items():
            if scope == "all" or name in within.get(scope, ()):
                return stop
        return None
