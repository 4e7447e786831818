"""Ports that fail, yield or give up at a chosen point, and what a record has to look like.

A `Tap` stands in front of a real port and only delegates, except that it lets a test act
before or after one use of one method.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import anyio.lowlevel

from permissions.broker.broker import PermissionBroker
from permissions.trace.decoded import DecodedEntry
from permissions.trace.patch import patched
from permissions.trace.rules import Story

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from permissions.execution.base import Execution, Outcome
    from permissions.model import JsonObject
    from permissions.run.state import RunState
    from permissions.trace.entry import TraceEntry

    Act = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Point:
    """One side of the n-th use of a port's method in one call."""

    port: str
    method: str
    nth: int = 1
    side: str = "before"

    def __str__(self) -> str:
        """For test ids."""
        return f"{self.side} {self.port}.{self.method} {self.nth}"


class Tap:
    """A port that acts at a point, and else only delegates."""

    def __init__(self, port: Any, point: Point, act: Act | Callable[[], None]) -> None:
        self._port, self._point, self._act = port, point, act
        self._left = point.nth

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._port, name)
        if name != self._point.method:
            return member
        if inspect.iscoroutinefunction(member):

            async def awaited(*args: Any, **kwargs: Any) -> Any:
                await self._pass("before")
                value = await member(*args, **kwargs)
                await self._pass("after")
                return value

            return awaited

        def plain(*args: Any, **kwargs: Any) -> Any:
            self._pass_now("before")
            value = member(*args, **kwargs)
            self._pass_now("after")
            return value

        return plain

    def __call__(self, *args: Any) -> Any:
        return self.__getattr__("__call__")(*args)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._port)

    async def _pass(self, side: str) -> None:
        if self._is_here(side):
            done = self._act()
            if done is not None:
                await done

    def _pass_now(self, side: str) -> None:
        if self._is_here(side):
            self._act()

    def _is_here(self, side: str) -> bool:
        if side != self._point.side:
            return False
        self._left -= 1
        return self._left == 0


class Yielding:
    """A port before and after each use of which every other task gets its turn."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._port, name)
        if not inspect.iscoroutinefunction(member):
            return member

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            await anyio.lowlevel.checkpoint()
            value = await member(*args, **kwargs)
            await anyio.lowlevel.checkpoint()
            return value

        return awaited


class Rewrapped:
    """An executor whose pending changes are what `wrap` makes of them."""

    def __init__(self, executor: Any, wrap: Callable[[Any], Any]) -> None:
        self._executor, self._wrap = executor, wrap

    def enforces(self, execution: Execution) -> JsonObject:
        said: JsonObject = self._executor.enforces(execution)
        return said

    async def end_run(self, run: str) -> None:
        await self._executor.end_run(run)

    async def execute(self, execution: Execution) -> Outcome:
        outcome: Outcome = await self._executor.execute(execution)
        return replace(outcome, pending=self._wrap(outcome.pending))


def rewrapped(broker: PermissionBroker, wrap: Callable[[Any], Any]) -> PermissionBroker:
    """The same broker on executors whose pending changes are wrapped."""
    executors: Any = {
        level: Rewrapped(executor, wrap) for level, executor in broker.parts.executors.items()
    }
    return PermissionBroker(replace(broker.parts, executors=executors))


def tapped(
    broker: PermissionBroker, session: RunState, point: Point, act: Act | Callable[[], None]
) -> PermissionBroker:
    """The same broker with one port that acts."""
    if point.port == "budgets":
        session.budgets = Tap(session.budgets, point, act)  # type: ignore[assignment]
        return PermissionBroker(broker.parts)
    port = Tap(getattr(broker.parts, point.port), point, act)
    return PermissionBroker(replace(broker.parts, **{point.port: port}))  # type: ignore[arg-type]


def yielding(broker: PermissionBroker, session: RunState) -> PermissionBroker:
    """The same broker on ports that let everybody else run in between."""
    session.budgets = Yielding(session.budgets)  # type: ignore[assignment]
    ports = ("pdp", "approvals", "journal", "trace")
    parts = {name: Yielding(getattr(broker.parts, name)) for name in ports}
    return PermissionBroker(replace(broker.parts, **parts))  # type: ignore[arg-type]


def findings(entries: Iterable[TraceEntry]) -> list[str]:
    """What the verifier of the log would say about these entries, open calls included."""
    story, said = Story(), []
    said += story.observe(DecodedEntry({}, None, {}, 0, None, 0, "log.open", 2))
    for index, entry in enumerate(entries, start=1):
        said += story.observe(
            DecodedEntry(dict(entry.body), entry.call, {}, index, entry.run, 0, entry.type, 2)
        )
    return [*said, *(f"call {call.call} has no end" for call in story.open_calls)]


def inputs(entries: Iterable[TraceEntry]) -> list[tuple[TraceEntry, JsonObject]]:
    """Each decision with what policies were asked; after the first one patches are kept."""
    first: dict[str | None, JsonObject] = {}
    found: list[tuple[TraceEntry, JsonObject]] = []
    for entry in entries:
        if entry.type == "decision":
            if "input" in entry.contents:
                asked = first[entry.call] = json.loads(entry.contents["input"])
            else:
                patch = json.loads(entry.contents["input_patch"])
                asked = patched(first[entry.call], patch)
            found.append((entry, asked))
    return found


def types_of(entries: Iterable[TraceEntry], call: str) -> list[str]:
    """The types of one call's entries, in order."""
    return [entry.type for entry in entries if entry.call == call]
