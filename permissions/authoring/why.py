"""Why a rule fired, or how far it got: the line of a body that does not hold, and its values.

The engine says which lines it evaluated, and not with what. So each body is put to it again in
pieces (`cuts`): its first line, its first two, and so on, until one has no solution. The values
are those the references of that line have where the lines before it hold.

A rule whose body cannot be cut so (it shares a line with another) is not told of.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

from permissions.authoring.cuts import Cut, Source, engine_with
from permissions.pdp.rego.ast import walk_terms
from permissions.pdp.regorus.engine import UNDEFINED
from permissions.pdp.regorus.errors import EngineError
from permissions.pdp.regorus.parse import parse, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from permissions.model import JsonObject, JsonValue
    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.rego.ast import Rule
    from permissions.pdp.regorus.engine import Engine

MOST_VALUES = 3
"""Values told of one reference."""

_QUESTIONS = {
    "tools/call": ("wardline", "policies"),
    "egress/connect": ("wardline", "egress"),
    "effects/commit": ("wardline", "effects"),
}
_LAYERS = ("wardline", "layers")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a body: where it is, what it says, and what its references were."""

    number: int
    text: str
    values: tuple[tuple[str, JsonValue], ...] = ()


@dataclass(frozen=True, slots=True)
class Traced:
    """One rule of a package, and how far its body held.

    `failed` is the first line that does not hold; None when all hold. `held` are those before.
    """

    name: str
    code: str
    path: str
    line: int
    held: tuple[Line, ...] = ()
    failed: Line | None = None

    @property
    def fired(self) -> bool:
        """Whether every line holds."""
        return self.failed is None


def fired_rules(
    bundle: PolicyBundle, question: JsonObject, codes: Iterable[str]
) -> list[Traced]:
    """The rules that gave these codes for a question, with the lines that made them fire."""
    wanted = set(codes)
    found = _traced(bundle, question, ("deny", "require_approval"), wanted)
    return [each for each in found if each.fired]


def nearly_allowed(
    bundle: PolicyBundle, question: JsonObject, *, most: int = 3
) -> list[Traced]:
    """The `allow` rules that came nearest to holding: fewest lines missing, most lines held."""
    found = [each for each in _traced(bundle, question, ("allow",), None) if each.failed]
    return sorted(found, key=lambda each: -len(each.held))[:most]


def _traced(
    bundle: PolicyBundle, question: JsonObject, names: Sequence[str], codes: set[str] | None
) -> list[Traced]:
    asked = _QUESTIONS.get(question["action"]["name"], ())
    cuts: list[Cut] = []
    for path, source in bundle.modules.items():
        module = parse(path, source)
        if module.package[:2] not in (asked, _LAYERS):
            continue
        text = Source(module, readable(source))
        cuts += [
            Cut(f"wardline_{len(cuts)}_{at}_{count}", text, rule, code, lines)
            for at, rule in enumerate(module.rules)
            if rule.kind == "set" and rule.path[0] in names
            for count, code in enumerate(_codes(rule, codes))
            if (lines := text.lines(rule)) is not None
        ]
    return _followed(bundle, cuts, json.dumps(question))


def _codes(rule: Rule, wanted: set[str] | None) -> list[str]:
    """The code a rule gives, where it is written out in its head."""
    said = [
        str(term.value)
        for value in rule.values
        for term in walk_terms((value,))
        if term.kind == "string"
    ]
    if wanted is None:
        return said[:1] or ["?"]
    return [code for code in said if code in wanted][:1]


def _spread(lines: Sequence[Line], values: Sequence[tuple[str, JsonValue]]) -> tuple[Line, ...]:
    """Each value beside the first line that names it."""
    left = list(values)
    found: list[Line] = []
    for line in lines:
        own = [each for each in left if each[0] in line.text]
        left = [each for each in left if each not in own]
        found.append(replace(line, values=tuple(own)))
    return tuple(found)


def _followed(bundle: PolicyBundle, cuts: Sequence[Cut], question: str) -> list[Traced]:
    """How far each body holds, with two engines for all of them."""
    engine, cuts = engine_with(bundle, cuts, {cut.name: cut.prefixes() for cut in cuts})
    held: dict[str, int] = {}
    for cut in cuts:
        answers = (_value(engine, cut, str(at), question) for at in range(len(cut.lines)))
        held[cut.name] = sum(1 for _ in takewhile(lambda answer: answer is True, answers))
    engine, valued = engine_with(bundle, cuts, {c.name: c.values(held[c.name]) for c in cuts})
    found: list[Traced] = []
    for cut in cuts:
        values: list[tuple[str, JsonValue]] = []
        for number, name in enumerate(cut.references(held[cut.name]) if cut in valued else ()):
            answer = _value(engine, cut, f"v{number}", question)
            values += [(name, each) for each in _distinct(answer)[:MOST_VALUES]]
        found.append(_told(cut, held[cut.name], values))
    return found


def _distinct(answer: JsonValue) -> list[JsonValue]:
    found: list[JsonValue] = []
    for each in answer if isinstance(answer, list) else ():
        found += [each] if each not in found else []
    return found


def _value(engine: Engine, cut: Cut, name: str, question: str) -> JsonValue:
    rule = ".".join(("data", *cut.source.module.package, f"{cut.name}_{name}"))
    try:
        answer = engine.ask(rule, question)
    except EngineError:
        return None
    value: JsonValue = None if answer == UNDEFINED else json.loads(answer)
    return value


def _told(cut: Cut, held: int, values: Sequence[tuple[str, JsonValue]]) -> Traced:
    """The rule with its first lines, the one that failed, and the values."""
    lines = [
        Line(statement.position.line, text)
        for statement, text in zip(cut.body, cut.lines, strict=True)
    ]
    module = cut.source.module
    name = f"{'.'.join(module.package[1:])}.{cut.rule.path[0]}"
    failed = replace(lines[held], values=tuple(values)) if held < len(lines) else None
    firm = tuple(lines[:held]) if failed else _spread(lines, values)
    position = cut.rule.position.line
    return Traced(name, cut.code, module.path, position, firm, failed)
