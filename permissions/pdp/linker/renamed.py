"""A rule's text under other names: what it reads and calls is what it read and called before.

Edits are made where the syntax tree says that a name stands, so that strings, comments and
members of the same spelling stay as they are. No edit adds or removes a line.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import rule_statements, rule_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from permissions.pdp.rego.ast import Module, Rule, Term
    from permissions.pdp.rego.names import Names, Path


_BEHIND = re.compile(rb'(["`\])}]*)(?:\s|#[^\n]*)*')
_CLOSED = re.compile(rb'["`]\s*\]')


class UnlinkableError(Exception):
    """A rule is written in a way that the linker leaves alone."""


@dataclass(slots=True)
class Renamer:
    """Renames rules of one bundle.

    `name` gives the new name of the rule at an absolute path. Each rule asked for is noted in
    `wanted`, in the order it was first met.
    """

    names: Names
    sources: Mapping[str, bytes]
    name: Callable[[Path], str]
    wanted: dict[Path, None] = field(default_factory=dict)

    def text(self, rule: Rule, head: str) -> str:
        """The rule as the rule `head`.

        Raises:
            UnlinkableError: its name has dots, it mocks something, or it spells a reference in
                a way of its own.
        """
        module = self.names.home(rule)
        if len(rule.path) != 1 or any(each.mocks for each in rule_statements(rule)):
            raise UnlinkableError(f"{module.path}:{rule.position.line}")
        source = self.sources[module.path]
        base = rule.head.terms[0] if rule.head.kind == "ref" else rule.head
        edits = {base.span: head}
        for term in rule_terms(rule):
            edits.update(self._edits(module, term, source))
        parts, at = [], rule.span[0]
        for (start, end), text in sorted(edits.items()):
            parts += [source[at:start].decode(), text]
            at = end
        return "".join((*parts, source[at : self._end(module, rule, source)].decode()))

    def _end(self, module: Module, rule: Rule, source: bytes) -> int:
        """Behind the last character of a rule; the engine leaves what closes a text out."""
        starts = (each.span[0] for each in module.rules)
        behind = min((at for at in starts if at > rule.span[0]), default=len(source))
        found = _BEHIND.fullmatch(source, rule.span[1], behind)
        if found is None:
            raise UnlinkableError(f"{module.path}:{rule.position.line}")
        return found.end(1)

    def _edits(
        self, module: Module, term: Term, source: bytes
    ) -> Iterator[tuple[tuple[int, int], str]]:
        if term.kind == "call":
            yield from self._call(module, term, source)
        elif term.kind == "var" or (term.kind == "ref" and term.terms[0].kind == "var"):
            yield from self._reference(module, term, source)

    def _call(
        self, module: Module, call: Term, source: bytes
    ) -> Iterator[tuple[tuple[int, int], str]]:
        path = self.names.resolve_name(module, call.value)
        if path is None or not self.names.rules_at(path):
            return
        span = call.span[0], call.span[0] + len(call.value)
        if source[slice(*span)] != call.value.encode():
            raise UnlinkableError(f"{call.value} is spelt in another way")
        yield span, self.new(path)

    def _reference(
        self, module: Module, term: Term, source: bytes
    ) -> Iterator[tuple[tuple[int, int], str]]:
        steps = term.terms if term.kind == "ref" else (term,)
        start = self.names.resolve(module, steps[0])
        if start is None or start == ("input",):
            return
        pattern = self.names.resolve(module, term) or ()
        known: list[str] = []
        for step in pattern:
            if step is None:
                break
            known.append(step)
            if self.names.rules_at(tuple(known)):
                yield self._of_rule(steps, start, tuple(known), source)
                return
        if start != ("data",):  # an alias of a package, a table, or a part of the input
            yield steps[0].span, f"{start[0]}{_steps(start[1:])}"

    def _of_rule(
        self, steps: tuple[Term, ...], start: tuple[str | None, ...], path: Path, source: bytes
    ) -> tuple[tuple[int, int], str]:
        """The part of a reference that names a rule, and its new name.

        The first step stands for `start`, which an import may have reach into the rule's value.
        """
        named = steps[: max(len(path) - len(start), 0) + 1]
        closed = _CLOSED.match(source, named[-1].span[1])  # a step in brackets
        end = named[-1].span[1] if closed is None or len(named) == 1 else closed.end()
        if b"\n" in source[named[0].span[0] : end]:
            raise UnlinkableError("a reference over several lines")
        return (named[0].span[0], end), self.new(path) + _steps(start[len(path) :])

    def new(self, path: Path) -> str:
        """The new name of the rule at a path, which is wanted from now on."""
        self.wanted.setdefault(path)
        return self.name(path)


def _steps(path: tuple[str | None, ...]) -> str:
    return "".join(f"[{json.dumps(step)}]" for step in path)
