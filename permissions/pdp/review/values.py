"""Findings about values that can never be what they are compared with: units, case, form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import rule_terms, string_constant
from permissions.pdp.review.scene import finding

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from permissions.pdp.lint.input_schema import Shape
    from permissions.pdp.rego.ast import Module, Rule, Term
    from permissions.pdp.rego.finding import Finding
    from permissions.pdp.review.scene import Scene

_CLOCKS = frozenset(
    {"time.clock", "time.date", "time.weekday", "time.add_date", "time.diff", "time.format"}
)
_ORDERS = ("<", "<=", ">", ">=")
_LITERALS = frozenset({"string", "number", "boolean", "array", "object"})
_ENVIRONMENT = ("input", "context", "environment", "name")
_KINDS = {
    "string": {"string"},
    "integer": {"number"},
    "number": {"number"},
    "boolean": {"boolean"},
    "array": {"array"},
    "object": {"object"},
    "null": {"null"},
}


def check_values(scene: Scene, module: Module, rule: Rule) -> Iterator[Finding]:
    """Comparisons of a rule with members of the input."""
    for term in rule_terms(rule):
        if term.kind == "call" and term.value in _CLOCKS:
            yield from _clock(scene, module, rule, term)
        elif term.kind == "call" and term.terms:
            yield from _argument(scene, module, rule, term)
        elif term.kind == "infix" and len(term.terms) == 2:
            if term.value == "in":
                yield from _membership(scene, module, rule, term)
            elif term.value in ("==", "!=", "=", *_ORDERS):
                for pair in _pairs(scene, module, rule, term):
                    yield from _compared(pair)


def _clock(scene: Scene, module: Module, rule: Rule, term: Term) -> Iterator[Finding]:
    for argument in term.terms:
        inner = argument.terms[0] if argument.kind == "array" and argument.terms else argument
        for path in scene.members_of(module, rule, inner):
            if path in (
                ("input", "context", "time"),
                ("input", "context", "approval", "approved_until"),
            ):
                yield finding(
                    module,
                    term.position,
                    "review.microseconds",
                    f"`{term.value}` takes nanoseconds, and times of the input are microseconds",
                    f"write `{'.'.join(path)} * 1000`",
                )


def _argument(scene: Scene, module: Module, rule: Rule, term: Term) -> Iterator[Finding]:
    """A member of the input that is of another kind than a builtin takes."""
    from permissions.pdp.rego.signatures import BUILTINS

    if term.value not in BUILTINS or scene.names.called(module, str(term.value)):
        return
    for at, (argument, wanted) in enumerate(
        zip(term.terms, BUILTINS[str(term.value)].arguments, strict=False), 1
    ):
        found = _kinds(scene.shape(module, rule, argument))
        if found and "any" not in wanted and not found & wanted:
            yield finding(
                module,
                term.position,
                "review.kind",
                f"argument {at} of `{term.value}` is {_said(found)}",
                f"it takes {_said(wanted)}",
            )


def _membership(scene: Scene, module: Module, rule: Rule, term: Term) -> Iterator[Finding]:
    found = _kinds(scene.shape(module, rule, term.terms[1]))
    if found and not found & {"array", "object"}:
        yield finding(
            module,
            term.position,
            "review.kind",
            f"`in` looks into a list, and this is {_said(found)}",
            "compare with `==`",
        )


@dataclass(frozen=True, slots=True)
class _Pair:
    """A member of the input of a known shape, and what it is compared with."""

    scene: Scene
    module: Module
    rule: Rule
    term: Term
    value: Term
    other: Term
    shape: Shape

    def finding(self, code: str, what: str, fix: str) -> Finding:
        return finding(self.module, self.term.position, code, what, fix)


def _pairs(scene: Scene, module: Module, rule: Rule, term: Term) -> Iterator[_Pair]:
    for value, other in (term.terms, term.terms[::-1]):
        if other.kind == "var":
            other = scene.locals_of(rule).get(str(other.value), other)  # noqa: PLW2901
        if shape := scene.shape(module, rule, value):
            yield _Pair(scene, module, rule, term, value, other, shape)


def _compared(pair: _Pair) -> Iterator[Finding]:
    found, other = _kinds(pair.shape), pair.other
    if found and other.kind in _LITERALS and other.kind not in found:
        yield pair.finding(
            "review.kind",
            f"{_said(found)} is compared with {_said({other.kind})}",
            "compare values of one kind",
        )
        return
    if other.kind == "object":
        yield from _object(pair)
    text = string_constant(other)
    if text is not None and pair.term.value not in _ORDERS:
        yield from _form(pair, text)
        yield from _environment(pair, text)
    whole = all(each.get("type") in ("integer", ["integer", "null"]) for each in pair.shape)
    if whole and isinstance(other.value, float) and other.value != int(other.value):
        yield pair.finding(
            "review.unit",
            f"{other.value} is no whole number, and amounts are in the smallest unit",
            "write 500.00 as 50000",
        )


def _form(pair: _Pair, text: str) -> Iterator[Finding]:
    """A text of another form than the member always has."""
    texts = [each for each in pair.shape if "string" in _kinds((each,))]
    if texts and not any(re.search(str(each.get("pattern", "")), text) for each in texts):
        told = next(
            (str(e["description"]) for e in texts if "description" in e), "another form"
        )
        yield pair.finding("review.form", f"this is never {text[:60]!r}", f"it is {told}")


def _environment(pair: _Pair, text: str) -> Iterator[Finding]:
    """Another spelling of the environment the settings name."""
    name = pair.scene.known.environment
    if name is None or text == name or text.lower()[:4] != name.lower()[:4]:
        return
    if _ENVIRONMENT in set(pair.scene.members_of(pair.module, pair.rule, pair.value)):
        what = f"the environment is called {name!r}, not {text[:60]!r}"
        yield pair.finding("review.form", what, "write it as the settings do")


def _object(pair: _Pair) -> Iterator[Finding]:
    """An object written out that lacks members every such object has."""
    names = [string_constant(name) for name in pair.other.terms[::2]]
    if None in names or pair.term.value not in ("==", "="):
        return
    given = dict(zip(names, pair.other.terms[1::2], strict=True))
    kind = string_constant(given["kind"]) if "kind" in given else None
    fitting = [
        each
        for each in pair.shape
        if kind in each.get("properties", {}).get("kind", {}).get("enum", ())
    ]
    missing: list[set[str]] = [
        set(each["required"]) - {str(name) for name in names}
        for each in fitting or pair.shape
        if each.get("type") == "object" and "required" in each
    ]
    if least := min(missing, key=len, default=set()):
        yield pair.finding(
            "review.part_of_object",
            "an object is equal to a whole one only, and this lacks "
            + ", ".join(sorted(least)[:6]),
            "compare members: `x.kind == ...`",
        )


def _said(kinds: Collection[str]) -> str:
    words = {"array": "a list", "string": "a text", "object": "an object", "null": "null"}
    return " or ".join(words.get(kind, f"a {kind}") for kind in sorted(kinds))


def _kinds(shape: Shape | None) -> set[str]:
    """The kinds a part of the input may have; none where that is open."""
    found: set[str] = set()
    for each in shape or ():
        types = each.get("type")
        if types is None and "enum" in each:
            found |= {"null" if word is None else "string" for word in each["enum"]}
        elif types is None and "properties" in each:
            found.add("object")
        elif types is None:
            return set()
        for name in types if isinstance(types, list) else [types] if types else []:
            found |= _KINDS[name]
    return found
