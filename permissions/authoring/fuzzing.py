"""Looks for a call that passes though it is, in all that matters, one that is denied.

From each denied call others are made: a value of it written otherwise, good company put beside
it in a list, and those arguments changed that say nothing of where the
effect goes (flags, choices, free text). Then calls with look-alikes of what operators listed,
which are not listed. The person said the values of the call they were made from. If one of
them is allowed, the policy has a hole; it is made as small as
it goes before it is told.

Nothing found within a budget is no proof that there is nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from permissions.authoring.domains import compared, domains
from permissions.authoring.nearest import listed_values
from permissions.authoring.spelling import look_alikes, respellings
from permissions.authoring.trial import question_about
from permissions.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from permissions.authoring.trial import Circumstances, Judge
    from permissions.model import JsonObject, JsonValue
    from permissions.tools.definition import ToolDefinition

_EXACT = ("path", "command")
DEPTH = 2
"""Changes that are put on top of each other."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A call that passes, and the denied one it was made from.

    `denied` is None for a look-alike of a listed value, which was made from nothing.
    """

    tool: str
    allowed: JsonObject
    denied: JsonObject | None
    rules: tuple[str, ...]
    how: str


@dataclass(slots=True)
class _Budget:
    left: int

    def spend(self) -> bool:
        self.left -= 1
        return self.left >= 0


@dataclass(frozen=True, slots=True)
class _Bench:
    judge: Judge
    tool: ToolDefinition
    around: Circumstances
    budget: _Budget
    words: Sequence[str | int | float]
    choice: Mapping[str, list[JsonValue]]

    def allows(self, arguments: JsonObject, said: JsonObject) -> tuple[str, ...] | None:
        """The rules that allow a call; None when it is not allowed, or the broker refuses it."""
        decided = self.decided(arguments, said)
        return decided[1] if decided is not None and decided[0] == "allow" else None

    def decided(
        self, arguments: JsonObject, said: JsonObject
    ) -> tuple[str, tuple[str, ...]] | None:
        """Verdict and rules, where the person said the values of another call."""
        if not self.budget.spend():
            return None
        try:
            around = replace(self.around, prompt=f"{self.around.prompt} {said}")
            found = self.judge.decide(question_about(self.tool, arguments, around))
        except BrokerError:
            return "deny", ()
        return found.verdict, found.rules


def fuzz(
    judge: Judge,
    tools: Sequence[ToolDefinition],
    around: Circumstances,
    *,
    denied: Sequence[tuple[str, JsonObject]] = (),
    most: int,
) -> tuple[list[Hole], int]:
    """The holes found, one for each tool and rule, and how many calls were tried.

    Args:
        judge: decides.
        tools: whose calls are tried.
        around: who calls, and when.
        denied: calls that must not pass, by tool; beside those found among the tool's own.
        most: calls tried for each tool.
    """
    holes: list[Hole] = []
    tried = 0
    words = compared([judge.bundle])
    for tool in tools:
        budget = _Budget(most)
        choice = domains(tool, [judge.bundle], words)
        bench = _Bench(judge, tool, around, budget, words, choice)
        given = [arguments for name, arguments in denied if name == tool.name]
        found = {(hole.rules, hole.how): hole for hole in _of_tool(bench, given)}
        holes += list(found.values())[:5]
        tried += most - max(0, budget.left)
    return holes, tried


def _of_tool(bench: _Bench, given: Sequence[JsonObject]) -> Iterator[Hole]:
    seeds = [*given, *_denied(bench)]
    yield from _alike(bench)
    for seed in seeds:
        hole = _around(bench, seed)
        if hole is not None:
            yield hole


def _denied(bench: _Bench) -> list[JsonObject]:
    """Calls of the tool's own choice of values that are denied, each argument on its own."""
    choice = bench.choice
    plain = {name: values[0] for name, values in choice.items() if values}
    columns = ([(name, value) for value in values[1:]] for name, values in choice.items())
    turns = (each for row in zip_longest(*columns) for each in row if each is not None)
    calls = [plain, *({**plain, name: value} for name, value in turns)]
    found: list[JsonObject] = []
    for call in calls[: max(10, bench.budget.left // 20)]:
        decided = bench.decided(call, call)
        if decided is not None and decided[0] == "deny":
            found.append(call)
    return found


def _around(bench: _Bench, seed: JsonObject) -> Hole | None:
    """The first call around a denied one that is allowed, as small a change as it goes."""
    decided = bench.decided(seed, seed)
    if decided is None or decided[0] != "deny":
        return None
    asides = _asides(bench, seed)
    pending = deque([(seed, 0)])
    seen = {repr(seed)}
    while pending:
        call, depth = pending.popleft()
        for changed in _changes(bench, call, asides):
            if repr(changed) in seen:
                continue
            seen.add(repr(changed))
            if bench.budget.left <= 0:
                return None
            if bench.allows(changed, seed) is not None:
                small = _shrunk(bench, seed, changed)
                rules = bench.allows(small, seed) or ()
                return Hole(bench.tool.name, small, seed, rules, "a denied call, changed")
            if depth + 1 < DEPTH:
                pending.append((changed, depth + 1))
    return None


def _changes(bench: _Bench, call: JsonObject, asides: Sequence[str]) -> Iterator[JsonObject]:
    tool = bench.tool
    for name, value in call.items():
        mark = tool.targets.get(name)
        for other in respellings(value, exact=mark is not None and mark.kind in _EXACT):
            yield {**call, name: other}
        if isinstance(value, list) and value:
            for good in listed_values(tool, name, bench.judge.bundle.data):
                yield {**call, name: [*(good if isinstance(good, list) else [good]), *value]}
    for name in asides:
        for value in bench.choice[name]:
            if call.get(name) != value:
                yield {**call, name: value}


def _asides(bench: _Bench, seed: JsonObject) -> list[str]:
    """Arguments that say nothing of where the effect goes, and are not why it is denied."""
    tool = bench.tool
    return [
        name
        for name, values in bench.choice.items()
        if values and name not in tool.control and _is_aside(tool, name)
        if bench.allows({**seed, name: values[0]}, seed) is None
        if name not in tool.free or _is_denied_for_another(bench, seed, name)
    ]


def _is_denied_for_another(bench: _Bench, seed: JsonObject, name: str) -> bool:
    """Whether another argument than a free text is why: with another value it is allowed."""
    return any(
        bench.allows({**seed, other: value}, {**seed, other: value}) is not None
        for other, values in bench.choice.items()
        if other != name
        for value in values[:3]
    )


def _is_aside(tool: ToolDefinition, name: str) -> bool:
    schema = tool.schema["properties"][name]
    return name in tool.free or schema.get("type") == "boolean"


def _alike(bench: _Bench) -> Iterator[Hole]:
    """Calls with look-alikes of listed values."""
    choice = bench.choice
    for name in choice:
        for listed in _named(bench, name):
            plain = {k: values[0] for k, values in choice.items() if values and k != name}
            good = {**plain, name: listed}
            if bench.allows(good, good) is None:
                continue
            text = listed[0] if isinstance(listed, list) else listed
            for other in look_alikes(str(text)):
                value: JsonValue = [other] if isinstance(listed, list) else other
                rules = bench.allows({**plain, name: value}, good)
                if rules is not None:
                    call = {**plain, name: value}
                    how = f"a look-alike of {text!r}, which is listed"
                    yield Hole(bench.tool.name, call, None, rules, how)
                    break


def _named(bench: _Bench, name: str) -> Iterator[JsonValue]:
    """Values the tables list for an argument, and those a module compares a target with."""
    mark = bench.tool.targets.get(name)
    for listed in listed_values(bench.tool, name, bench.judge.bundle.data):
        if mark is not None and (mark.kind != "path" or str(listed).startswith("/")):
            yield listed  # a name inside the workspace is no list of names
    for word in [each for each in bench.words if isinstance(each, str)][:80]:
        bare = word.strip("^$").replace("\\.", ".").lstrip(".@")
        if mark is None or not bare:
            continue
        if mark.kind == "host" and "." in bare and "/" not in bare:
            yield f"https://{bare}/"
            yield f"https://api.{bare}/"
        elif mark.kind == "recipient" and "." in bare and "@" not in bare:
            yield f"somebody@{bare}"
        elif mark.kind == "path" and bare.startswith("/"):
            yield f"{bare.rstrip('/')}/x"


def _shrunk(bench: _Bench, seed: JsonObject, call: JsonObject) -> JsonObject:
    """The call with every change taken back that it does not need."""
    for name in [*call.keys() | seed.keys()]:
        if call.get(name) == seed.get(name) and (name in call) == (name in seed):
            continue
        back = dict(call)
        if name in seed:
            back[name] = seed[name]
        else:
            back.pop(name, None)
        if bench.allows(back, seed) is not None:
            call = back
    return call
