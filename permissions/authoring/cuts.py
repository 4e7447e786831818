"""The bodies of rules cut into their lines, and engines that answer for the pieces.

Each rule that is asked about gets rules of its own beside it, in its own module: one for each
beginning of its body, and one for each reference of a line. So the pieces may name what the
rule itself may name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import static_path, walk_terms
from permissions.pdp.regorus.engine import Engine
from permissions.pdp.regorus.errors import EngineError
from permissions.pdp.regorus.parse import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.rego.ast import Module, Rule, Statement, Term

MOST_REFERENCES = 8
"""References of one line whose values are asked for."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One rule and the lines of its body, under a name of its own for what is asked about it."""

    name: str
    source: Source
    rule: Rule
    code: str
    lines: tuple[str, ...]

    @property
    def body(self) -> tuple[Statement, ...]:
        """Its lines as trees."""
        return self.rule.bodies[0] if self.rule.bodies else ()

    def prefixes(self) -> str:
        """A rule for each beginning of the body."""
        return "".join(
            f"{self.name}_{at} if {{\n{_joined(self.lines[: at + 1], self.body[: at + 1])}\n}}\n\n"
            for at in range(len(self.lines))
        )

    def values(self, at: int) -> str:
        """A rule for each reference of one line, with what it is where the lines before hold."""
        holds = self.lines[:at] if at < len(self.lines) else self.lines
        return "".join(
            f"{self.name}_v{number} := [wardline_value |\n"
            + _joined((*holds, f"wardline_value := {name}"), self.body[: len(holds)])
            + "\n]\n\n"
            for number, name in enumerate(self.references(at))
        )

    def references(self, at: int) -> list[str]:
        """What one line looks up; of a whole body, what its lines do."""
        asked = self.body[at : at + 1] if at < len(self.body) else self.body
        bound = {str(name.value) for each in asked for name in each.names}
        said = [
            self.source.said(term)
            for statement in asked
            for term in _references(statement)
            if at >= len(self.body) or static_path(term)[:1] not in {(name,) for name in bound}
        ]
        return list(dict.fromkeys(said))[:MOST_REFERENCES]


class Source:
    """The text of one module, and what stands where in it."""

    def __init__(self, module: Module, text: str) -> None:
        self.module = module
        self._bytes = text.encode()
        starts = [0]
        for line in self._bytes.split(b"\n"):
            starts.append(starts[-1] + len(line) + 1)
        self._starts = starts
        begins = [self._at(rule.position.line, rule.position.column) for rule in module.rules]
        self._ends = sorted([*begins, len(self._bytes)])

    def said(self, term: Term) -> str:
        """A term as it is written."""
        return self._text(*term.span)

    def lines(self, rule: Rule) -> tuple[str, ...] | None:
        """What each line of a rule's body says; None when it cannot be cut."""
        body = rule.bodies[0] if rule.bodies else ()
        if not body:
            return ()
        begin = self._at(rule.position.line, rule.position.column)
        rest = self._text(0, next(each for each in self._ends if each > begin))
        whole = rest[: len(rest) - len(_tail(rest))].rstrip()
        starts = [self._at(each.position.line, each.position.column) for each in body]
        ends = [*starts[1:], len(whole.encode())]
        texts = [_bare(self._text(a, b)) for a, b in zip(starts, ends, strict=True)]
        for last in (texts[-1], texts[-1].removesuffix("}").rstrip()):
            lines = (*texts[:-1], last)
            try:
                parse("cut.rego", "package cut\n\nx if {\n" + "\n".join(lines) + "\n}\n")
            except EngineError:
                continue
            return lines
        return None

    def _at(self, line: int, column: int) -> int:
        start = self._starts[line - 1]
        return start + len(self._text(start, self._starts[line])[: column - 1].encode())

    def _text(self, start: int, end: int) -> str:
        return self._bytes[start:end].decode(errors="replace")


def _joined(lines: Sequence[str], body: Sequence[Statement]) -> str:
    return "\n".join(_used(lines, body))


def _used(texts: Sequence[str], body: Sequence[Statement]) -> list[str]:
    """The lines, with each declared variable read, since an unused one is refused."""
    read = [
        name.value
        for statement in body
        if statement.kind in ("some", "some_in")
        for name in statement.names
        if name.value != "_"
    ]
    return [*texts, *(f"{name} = {name}" for name in dict.fromkeys(map(str, read)))]


def _references(statement: Statement) -> Iterator[Term]:
    """What a line looks up: paths of the input, of locals, and of rules with a value."""
    for term in walk_terms(statement.terms):
        if term.kind == "call" and statement.kind == "expression":
            yield term
        elif term.kind in ("ref", "var") and term.value != "_":
            steps = term.terms[1:] if term.kind == "ref" else ()
            if all(step.kind in ("string", "number") for step in steps):
                yield term


def _bare(text: str) -> str:
    """A line without comments and what joins it to the next."""
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    return "\n".join(lines).strip().rstrip(";").rstrip()


def _tail(text: str) -> str:
    """Comments and blank lines at the end, which belong to the next rule."""
    lines = text.split("\n")
    kept = len(lines)
    while kept and (not lines[kept - 1].strip() or lines[kept - 1].lstrip().startswith("#")):
        kept -= 1
    return text[len("\n".join(lines[:kept])) :]


def engine_with(
    bundle: PolicyBundle, cuts: Sequence[Cut], added: Mapping[str, str]
) -> tuple[Engine, list[Cut]]:
    """The bundle with rules added to its modules, and whose rules those are.

    Where all together do not compile, each is tried alone and left out when it does not.
    """
    try:
        return _compiled(bundle, cuts, added), list(cuts)
    except EngineError:
        pass
    able: list[Cut] = []
    for cut in cuts:
        try:
            _compiled(bundle, [cut], added)
        except EngineError:
            continue
        able.append(cut)
    return _compiled(bundle, able, added), able


def _compiled(bundle: PolicyBundle, cuts: Sequence[Cut], added: Mapping[str, str]) -> Engine:
    modules = dict(bundle.modules)
    for cut in cuts:
        path = cut.source.module.path
        modules[path] = f"{modules[path]}\n\n{added[cut.name]}"
    return Engine(modules, json.dumps(bundle.data, ensure_ascii=False))
