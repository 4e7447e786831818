"""What two bundles decide differently: over calls that were made, and over all that could be.

The calls that could be are those of `domains` under each of a few circumstances: who asks, what
the session has read, when it is. All of them where they fit the budget; else every call that
departs from the plainest in at most two arguments, and then a fixed random choice of the rest.
`Scope` says which it was: a difference outside of it is not excluded.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import combinations, islice, product
from math import prod
from typing import TYPE_CHECKING

from permissions.authoring.domains import compared, domains
from permissions.authoring.trial import NOON, Judge, question_about
from permissions.errors import BrokerError, PdpError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from permissions.authoring.trial import Circumstances
    from permissions.model import Decision, JsonObject, JsonValue
    from permissions.pdp.bundle import PolicyBundle
    from permissions.tools.definition import ToolDefinition

_SEED = 12
_ROLES = 8
_HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a bundle says of one question: the verdict, and what it hangs on."""

    verdict: str
    codes: tuple[str, ...]
    terms: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which verdicts differ, with the plainest call that shows it."""

    tool: str
    before: Outcome
    after: Outcome
    arguments: JsonValue
    question: JsonObject
    count: int = 1

    @property
    def is_wider(self) -> bool:
        """Whether more is allowed after: something runs, or people are asked, that was not."""
        rank = {"deny": 0, "ask": 1, "allow": 2}
        return rank[self.after.verdict] > rank[self.before.verdict]


@dataclass(frozen=True, slots=True)
class Scope:
    """How many of the calls of one tool were looked at, of how many there are."""

    tool: str
    asked: int
    all: int

    @property
    def is_whole(self) -> bool:
        """Whether there were no others."""
        return self.asked >= self.all


def outcome_of(judge: Judge, question: JsonObject) -> Outcome:
    """What is decided; no clear answer is a denial, as in the broker."""
    try:
        decided = judge.decide(question)
    except PdpError as err:
        return Outcome("deny", (type(err).__name__,))
    return Outcome(decided.verdict, _codes(decided), _terms(decided))


def _codes(decided: Decision) -> tuple[str, ...]:
    said = [each.code for each in decided.reasons] or list(decided.rules)
    return tuple(sorted(set(said)))


def _terms(decided: Decision) -> tuple[object, ...]:
    asks = decided.access_request
    people = () if asks is None else (asks.order, asks.separation_of_duties)
    return (*people, *((each.type, repr(each.properties)) for each in decided.obligations))


def compare(
    old: Judge, new: Judge, questions: Iterator[tuple[str, JsonValue, JsonObject]]
) -> list[Difference]:
    """The differences, the widening ones first; questions that come first are their examples."""
    found: dict[tuple[object, ...], Difference] = {}
    for tool, arguments, question in questions:
        before, after = outcome_of(old, question), outcome_of(new, question)
        if (before.verdict, before.terms) == (after.verdict, after.terms):
            continue
        kind = tool, before, after
        first = found.get(kind)
        found[kind] = (
            replace(first, count=first.count + 1)
            if first is not None
            else Difference(tool, before, after, arguments, question)
        )
    return sorted(found.values(), key=lambda each: (not each.is_wider, each.tool))


def possible_calls(
    tools: Sequence[ToolDefinition],
    bundles: Sequence[PolicyBundle],
    around: Circumstances,
    *,
    most: int,
) -> tuple[list[Scope], Iterator[tuple[str, JsonValue, JsonObject]]]:
    """The questions about calls of these tools, `most` at most for each tool."""
    words = compared(bundles)
    situations = list(_situations(around, words))
    choices = {tool.name: domains(tool, bundles, words) for tool in tools}
    scopes = []
    for tool in tools:
        whole = prod(len(values) for values in choices[tool.name].values()) * len(situations)
        scopes.append(Scope(tool.name, min(whole, most), whole))
    return scopes, _questions(tools, choices, situations, most)


def _questions(
    tools: Sequence[ToolDefinition],
    choices: Mapping[str, Mapping[str, list[JsonValue]]],
    situations: Sequence[Circumstances],
    most: int,
) -> Iterator[tuple[str, JsonValue, JsonObject]]:
    for tool in tools:
        calls = _calls(choices[tool.name], max(1, most // len(situations)))
        for arguments in calls:
            for situation in situations:
                for spoken in _spoken(situation, arguments):
                    try:
                        question = question_about(tool, arguments, spoken)
                    except BrokerError:
                        continue  # the broker refuses these arguments by itself
                    yield tool.name, arguments, question


def _spoken(situation: Circumstances, arguments: JsonObject) -> Iterator[Circumstances]:
    """Who named the values: the person; where something was read, what was read; or nobody."""
    if situation.untrusted:
        yield replace(situation, untrusted=f"{situation.untrusted} {arguments}")
        return
    yield replace(situation, prompt=f"{situation.prompt} {arguments}")
    if situation.prompt:
        yield situation


def _calls(choice: Mapping[str, list[JsonValue]], most: int) -> Iterator[JsonObject]:
    names = list(choice)
    if prod(len(choice[name]) for name in names) <= most:
        for values in product(*(choice[name] for name in names)):
            yield dict(zip(names, values, strict=True))
        return
    yield from islice(_sampled(choice, names), most)


def _sampled(choice: Mapping[str, list[JsonValue]], names: list[str]) -> Iterator[JsonObject]:
    plain = {name: choice[name][0] for name in names if choice[name]}
    yield dict(plain)
    for count in (1, 2):
        for changed in combinations(names, min(count, len(names))):
            for values in product(*(choice[name][1:] for name in changed)):
                yield {**plain, **dict(zip(changed, values, strict=True))}
    chance = random.Random(_SEED)  # noqa: S311 - a choice that is the same each time
    while True:
        yield {name: chance.choice(choice[name]) for name in names if choice[name]}


def _situations(
    around: Circumstances, words: Sequence[str | int | float]
) -> Iterator[Circumstances]:
    """Who asks, what was read before, when: as far as a module can tell."""
    yield around
    yield replace(around, context={**around.context, "labels": ["untrusted"]})
    yield replace(around, untrusted="It says:")
    texts = [each for each in words if isinstance(each, str) and each.isidentifier()]
    for role in list(dict.fromkeys(texts))[:_ROLES]:
        yield replace(around, roles=[role])
    for hours in (-9, 11):
        yield replace(around, time=NOON + hours * _HOUR)
    yield replace(around, environment="test")
