"""Rego that OPA understands, written as the embedded engine understands it.

| written | handed to the engine | because |
|---|---|---|
| `f(a, b, out)` | `f(a, b) = out` | regorus has no output argument but that of `walk` |
| `[p, v] := walk(x)` | `walk(x, [p, v])` | its `walk(x)` is an array, and nothing iterates over it |
| `a + b`, `*`, `/`, `%` | `__opa_plus(a, b)`, ... | its fractions are binary: `0.1 + 0.2 != 0.3` |
| `a - b` | `data.__opa.minus(a, b)` | the same, for numbers |
| `{"a": v} = x.y` | `{"a": v} = data.__opa.whole(x.y, {"a"})` | it matches a part of an object |
| `some {"a": v} in xs` | `some {"a": v} in [o | some o in xs; data.__opa.whole(o, {"a"})]` | the same |
| `count(x)` | `data.__opa.length(x)` | it counts a text in UTF-16 units |
| `sort(x)`, `min(x)`, `max(x)` | `data.__opa.ordered(x)`, ... | it orders sets before objects |
| `y := x in xs`, `k, v in xs`, sets joined | `data.__opa.holds(x, xs)`, ... | they have a value also when a side has none |
| `with input.a as f(1)` | `w := f(1)` before, then `with input.a as w` | see `mocks` |
| `with f as lib.g` | `with f as data.wardline.lib.g` | the import is not always seen there |
| `p[x].q := 1` | also `p[k] := v if some k, v in {}` | where none holds, `p` would have no value |
| `-x == 1` | `__opa_minus(0, x) == 1` | it negates literals only, and all that follows |
| what a scope binds, and values of rules | see `scopes` | it binds anew, and drops values |

Calls are left alone where it is plain that their arguments are of no such kind; the rest goes
through the helpers in `HELPERS`, a module of its own. Lines stay where they are, columns may move. What is no whole statement of a body
is left as it is; the linter refuses what then means something else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import (
    rule_statements,
    rule_terms,
    static_path,
)
from permissions.pdp.rego.names import Names
from permissions.pdp.rego.types import assigned, kinds_of
from permissions.pdp.regorus.forms import iterates_over_walk, matched_whole, output_argument
from permissions.pdp.regorus.helpers import HELPERS
from permissions.pdp.regorus.mocks import with_values_bound
from permissions.pdp.regorus.parse import parse, readable
from permissions.pdp.regorus.scopes import with_scopes_kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.pdp.rego.ast import Module, Rule, Statement, Term

_COMMENT_OR_STRING = re.compile(rb'#[^\n]*|"(?:\\.|[^"\\\n])*"|`[^`]*`')
_OPERATIONS = {
    "+": "__opa_plus",
    "-": "data.__opa.minus",
    "*": "__opa_times",
    "/": "__opa_divided",
    "%": "__opa_modulo",
}
_STRICT = {
    "in": {2: b"data.__opa.holds", 3: b"data.__opa.holds_at"},
    "|": {2: b"data.__opa.joined"},
}

_CALLS = {
    "count": b"data.__opa.length",
    "max": b"data.__opa.largest",
    "min": b"data.__opa.smallest",
    "sort": b"data.__opa.ordered",
}
_HELPERS = "__opa.rego"


@dataclass(frozen=True, slots=True, order=True)
class _Edit:
    """What stands in the place of the bytes from `start` to `end`."""

    start: int
    end: int
    text: bytes


def translate(modules: Mapping[str, str]) -> dict[str, str]:
    """The modules as the engine gets them.

    Raises:
        EngineError: a module does not parse.
    """
    names = Names([parse(path, text) for path, text in modules.items()])
    modules = {path: with_scopes_kept(path, text, names) for path, text in modules.items()}
    modules = {path: with_values_bound(path, text, names) for path, text in modules.items()}
    trees = [parse(path, text) for path, text in modules.items()]
    names = Names(trees)
    mocked = frozenset(_mocked(trees))
    translated = {
        tree.path: _translated(tree, names, readable(modules[tree.path]), mocked)
        for tree in trees
    }
    return {**translated, **dict(_objects(trees)), _HELPERS: HELPERS}


def _objects(trees: list[Module]) -> Iterator[tuple[str, str]]:
    """A module for each package that has rules below a name: `p.q := 1`, `p[x].q contains y`.

    To OPA `p` is an object then, an empty one when no rule holds; here it would have no value,
    unless some rule gives it members one by one.
    """
    found: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for tree in trees:
        for rule in tree.rules:
            above = rule.path if rule.is_computed else rule.path[:-1]
            is_plain = rule.kind == "value" and len(rule.head.terms) == len(rule.path) + 1
            if above and not rule.arguments and not (rule.is_computed and is_plain):
                found.setdefault(tree.package, set()).add(above)
    for package, paths in found.items():
        name, steps = ".".join(package), (_written(path) for path in sorted(paths))
        rules = "".join(f"{step}[k] := v if some k, v in {{}}\n" for step in steps)
        yield f"__opa/{name}.rego", f"package {_written(package)}\n\n{rules}"


def _written(path: tuple[str, ...]) -> str:
    """A path as Rego writes it."""
    first, *rest = path
    return first + "".join(f"[{json.dumps(step)}]" for step in rest)


def _mocked(trees: list[Module]) -> Iterator[str]:
    """Builtins that some `with` replaces, so that all calls of them have to have one name."""
    for tree in trees:
        for rule in tree.rules:
            for statement in rule_statements(rule):
                for target, _ in statement.mocks:
                    yield ".".join(static_path(target))


def _translated(module: Module, names: Names, text: str, mocked: frozenset[str]) -> str:
    edits = [
        edit
        for rule in module.rules
        for edit in _Rule(module, rule, names, text, mocked).edits()
    ]
    if not edits:
        return text
    source, at, parts = text.encode(), 0, []
    for edit in sorted(edits, key=lambda each: (each.start, each.end)):
        if edit.start < at:
            continue  # inside what was moved as a whole
        parts += [source[at : edit.start], edit.text]
        at = edit.end
    return b"".join((*parts, source[at:])).decode()


def _is_plain(term: Term) -> bool:
    return term.kind in ("string", "number", "boolean", "array", "object")


def _path(pattern: tuple[str | None, ...]) -> tuple[str, ...]:
    return tuple(step or "" for step in pattern)


def after(term: Term) -> int:
    """The first byte behind a term; the span of a text is what its quotes hold."""
    return term.span[1] + (term.kind == "string")


def _begin(term: Term) -> int:
    """Where an operation begins; the quote of a text it begins with is no part of its span."""
    left = term
    while left.kind == "infix":
        left = left.terms[0]
    return term.span[0] - (left.kind == "string" and left.span[0] == term.span[0])


def _end(term: Term) -> int:
    """Where an operation ends, the quote of a text included."""
    right = term
    while right.kind == "infix":
        right = right.terms[-1]
    return term.span[1] + (right.kind == "string" and right.span[1] == term.span[1])


def _blanked(source: bytes) -> bytes:
    """The text with spaces for comments and texts."""
    return _COMMENT_OR_STRING.sub(lambda found: b" " * len(found.group()), source)


class _Rule:
    """The edits of one rule."""

    def __init__(
        self, module: Module, rule: Rule, names: Names, text: str, mocked: frozenset[str]
    ) -> None:
        self._module = module
        self._rule = rule
        self._names = names
        self._source = text.encode()
        self._mocked = mocked
        self._locals = assigned(rule)

    def edits(self) -> Iterator[_Edit]:
        lines: set[int] = set()
        for statement in rule_statements(self._rule):
            if statement.kind in ("expression", "not"):
                lines.add(id(statement.terms[0]))
                yield from self._statement(statement)
            if found := matched_whole(statement):
                yield from self._whole(statement, *found)
            for target, value in statement.mocks:
                if target.kind == "var" and target.value in _CALLS:
                    yield _Edit(*target.span, _CALLS[target.value])
                yield from self._mock(value)
        for term in rule_terms(self._rule):
            yield from self._term(term, is_line=id(term) in lines)

    def _mock(self, value: Term) -> Iterator[_Edit]:
        """A function named through an import, in the place of another, by its whole path."""
        path = self._names.resolve_name(self._module, ".".join(static_path(value)))
        if (
            value.kind == "ref"
            and path
            and any(r.arguments for r in self._names.rules_at(path))
        ):
            yield _Edit(*value.span, _written(path).encode())

    def _term(self, term: Term, *, is_line: bool) -> Iterator[_Edit]:
        if term.kind == "infix" and term.value in _STRICT:
            # as a line it fails either way
            if (not is_line or len(term.terms) == 3) and self._is_loose(term):
                yield from self._strict(term)
        elif term.kind == "infix" and term.value in _OPERATIONS:
            yield from self._operation(term)
        elif term.kind == "call" and term.value in _CALLS:
            yield from self._call(term)
        elif term.kind == "unary":
            start, _ = term.span
            yield _Edit(start, start + 1, b"__opa_minus(0, ")
            yield _Edit(term.span[1], term.span[1], b")")

    def _statement(self, statement: Statement) -> Iterator[_Edit]:
        whole = statement.terms[0]
        if output_argument(self._module, whole, self._names):
            end = whole.span[1]
            commas = self._commas(whole)
            rest = self._source[commas[-1] + 1 : end - 1].strip()
            if not rest or rest.startswith(b"#"):
                trailing = commas.pop()
                yield _Edit(trailing, trailing + 1, b"")
            # Under `not` nothing is bound, and the engine would bind all the same.
            equal = b") ==" if statement.kind == "not" else b") ="
            yield _Edit(commas[-1], commas[-1] + 1, equal)
            yield _Edit(end - 1, end, b"")
        elif call := iterates_over_walk(statement, self._rule):
            start, end = call.span
            pattern = self._source[whole.span[0] : whole.terms[0].span[1]]
            yield _Edit(whole.span[0], start, b"")
            yield _Edit(end - 1, end - 1, b", " + pattern)

    def _whole(self, statement: Statement, pattern: Term, other: Term) -> Iterator[_Edit]:
        keys = ", ".join(json.dumps(key.value) for key in pattern.terms[::2])
        before, behind = "data.__opa.whole(", f", {{{keys}}})" if keys else ", set())"
        if statement.kind == "some_in":
            before, behind = (
                "[__opa_o | some __opa_o in ",
                f"; {before}__opa_o{behind}]",
            )
        yield _Edit(other.span[0], other.span[0], before.encode())
        yield _Edit(after(other), after(other), behind.encode())

    def _commas(self, call: Term) -> list[int]:
        """Where the commas between the arguments of a call stand."""
        start, end = call.span
        found: list[int] = []
        depth = 0
        for at, char in enumerate(_blanked(self._source[start : end - 1]), start):
            depth += (char in b"[({") - (char in b"])}")
            if char == ord(",") and depth == 1:
                found.append(at)
        return found

    def _find(self, char: bytes, start: int, end: int) -> int:
        """Where a character stands between two terms, comments and texts aside."""
        return start + _blanked(self._source[start:end]).index(char)

    def _operation(self, term: Term) -> Iterator[_Edit]:
        if any(self._kinds(side) == {"set"} for side in term.terms):
            return  # what may be either goes through the helper, which tells them apart
        left, right = term.terms
        operator = self._find(term.value.encode(), after(left), right.span[0])
        start, end = term.span
        yield _Edit(start, start, _OPERATIONS[term.value].encode() + b"(")
        yield _Edit(operator, operator + 1, b",")
        yield _Edit(end, end, b")")

    def _is_loose(self, term: Term) -> bool:
        """Whether a part of a term may have no value."""
        if term.kind in ("ref", "call"):
            return True
        if term.kind == "var":
            return not self._names.is_local(self._module, str(term.value))
        return term.kind != "comprehension" and any(map(self._is_loose, term.terms))

    def _strict(self, term: Term) -> Iterator[_Edit]:
        """A call in the place of an operator, which has no value when a side has none."""
        *_, left, right = term.terms
        word = str(term.value).encode()
        operator = self._find(word, max(after(left), _end(left)), _begin(right))
        start, end = _begin(term), _end(term)
        yield _Edit(start, start, _STRICT[str(term.value)][len(term.terms)] + b"(")
        yield _Edit(operator, operator + len(word), b",")
        yield _Edit(end, end, b")")

    def _call(self, call: Term) -> Iterator[_Edit]:
        if self._names.called(self._module, call.value) or not call.terms:
            return  # a rule of that name, or a fault that the linter tells
        if call.value in self._mocked or not self._is_alike(call):
            start = call.span[0]
            yield _Edit(start, start + len(call.value), _CALLS[call.value])

    def _is_alike(self, call: Term) -> bool:
        """Whether the engine's own builtin does as OPA's with this argument."""
        if call.value != "count":
            return self._is_of_one_kind(call.terms[0])
        kinds = self._kinds(call.terms[0])
        return bool(kinds) and "string" not in kinds

    def _is_of_one_kind(self, term: Term) -> bool:
        """Whether no set can stand beside an object in a collection."""
        if (root := self._root(term)) == "input":
            return True  # JSON has no sets
        values = [term]
        if term.kind == "var" and term.value in self._locals:
            values = [self._locals[term.value]]
        elif root == "data":
            pattern = self._names.resolve(self._module, term) or (None,)
            if pattern[:3] == ("data", "wardline", "tables"):
                return True
            rules = [] if None in pattern else _behind_aliases(self._names, _path(pattern))
            values = [value for rule in rules for value in rule.values]
            if rules and all(rule.kind == "set" for rule in rules):
                return len({value.kind for value in values}) == 1 and _is_plain(values[0])
        firsts = [value.terms[0] for value in values if value.kind == "comprehension"]
        return bool(firsts) and len(firsts) == len(values) and all(map(_is_plain, firsts))

    def _root(self, term: Term) -> str | None:
        pattern = self._names.resolve(self._module, term)
        return pattern[0] if pattern else None

    def _kinds(self, term: Term) -> frozenset[str]:
        """The kinds a term may have, empty when nothing tells."""
        return _kinds(self._names, self._module, term, self._locals)


def _behind_aliases(names: Names, path: tuple[str, ...], depth: int = 4) -> list[Rule]:
    """The rules of a path, or those of the path that its one rule stands for."""
    rules = names.rules_at(path)
    if depth and len(rules) == 1 and rules[0].is_unconditional and len(rules[0].values) == 1:
        pattern = names.resolve(names.home(rules[0]), rules[0].values[0])
        if pattern and None not in pattern and names.rules_at(_path(pattern)):
            return _behind_aliases(names, _path(pattern), depth - 1)
    return rules


def _kinds(
    names: Names, module: Module, term: Term, locals_: Mapping[str, Term], depth: int = 4
) -> frozenset[str]:
    if term.kind == "var" and term.value in locals_:
        term = locals_[term.value]
    rules: list[Rule] = []
    if term.kind == "call":
        rules = names.called(module, term.value)
    elif (pattern := names.resolve(module, term)) and None not in pattern:
        rules = names.rules_at(_path(pattern))
    if not rules:
        found = kinds_of(term, locals_)
        return frozenset() if "any" in found else found
    if any(rule.kind == "set" for rule in rules):
        return frozenset({"set"})
    if depth == 0:
        return frozenset()
    values = [(rule, value) for rule in rules for value in rule.values]
    kinds = [
        _kinds(names, names.home(rule), value, assigned(rule), depth - 1)
        for rule, value in values
    ]
    return frozenset().union(*kinds) if all(kinds) else frozenset()
