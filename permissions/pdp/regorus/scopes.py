"""What the engine binds, or gives up, where OPA does not.

| written | handed to the engine | because |
|---|---|---|
| `p contains t.k if some t in xs` | `... if { some t in xs; __opa_h0 := t.k }` | when the value has none for the last `t`, it drops those of all others |
| `p contains xs[_].k` | `p contains __opa_h0 if { __opa_h0 := xs[_].k }` | the same |
| `not x = "b"` | `not x == "b"` | it binds a new `x` |
| `every x in xs { x = "a" }` | `every __opa_x in xs { x := __opa_x; x = "a" }` | the same |
| `walk(o, [_, v])` beside an `every` | `[w | walk(o, w)][_] = [_, v]` | inside of the `every` it does not know `v` |

Lines stay where they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import (
    parts,
    rule_bodies,
    rule_statements,
    walk_body,
    walk_statements,
    walk_terms,
)
from permissions.pdp.rego.signatures import VALUED
from permissions.pdp.regorus.forms import iterates_over_walk, output_argument
from permissions.pdp.regorus.parse import parse, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.pdp.rego.ast import Module, Rule, Statement, Term
    from permissions.pdp.rego.names import Names

_Edit = tuple[int, int, bytes]
_COMMENT_OR_TEXT = re.compile(rb'#[^\n]*|"(?:\\.|[^"\\\n])*"|`[^`]*`')


def with_scopes_kept(path: str, text: str, names: Names) -> str:
    """A module's text in which the engine binds what OPA binds, and keeps what it gives.

    Raises:
        EngineError: it does not parse.
    """
    text = readable(text)
    for edits in (_bindings, _head_terms):
        module, source = parse(path, text), text.encode()
        found = [each for rule in module.rules for each in edits(module, rule, names, source)]
        if found:
            text = _edited(source, found).decode()
    return text


def _edited(source: bytes, edits: Iterable[_Edit]) -> bytes:
    parts_, at = [], 0
    for start, end, new in sorted(edits, key=lambda each: each[:2]):
        parts_ += [source[at:start], new]
        at = end
    return b"".join((*parts_, source[at:]))


def _bindings(module: Module, rule: Rule, names: Names, source: bytes) -> Iterator[_Edit]:
    for statement in rule_statements(rule):
        if statement.kind == "not":
            yield from _compared(statement, source)
        elif statement.kind == "every" and _may_bind(module, statement, names):
            for name in statement.names:
                if name.value != "_":
                    new = f"__opa_{name.value}"
                    yield (*name.span, new.encode())
                    at = statement.body[0].start
                    yield at, at, f"{name.value} := {new}; ".encode()
    number = 0
    for body in rule_bodies(rule):
        if any(each.kind == "every" for each in walk_statements(body)):
            for statement in body:
                if (found := _walked(statement, rule, source, f"__opa_w{number}")) is not None:
                    yield from found
                    number += 1


def _compared(statement: Statement, source: bytes) -> Iterator[_Edit]:
    whole = statement.terms[0]
    if whole.kind == "infix" and whole.value == "=":
        left, right = whole.terms
        start = left.span[1] + (left.kind == "string")
        at = start + _blanked(source[start : right.span[0]]).index(b"=")
        yield at, at + 1, b"=="


def _may_bind(module: Module, statement: Statement, names: Names) -> bool:
    return any(
        (term.kind == "infix" and term.value == "=")
        or (term.kind == "call" and term.value == "walk")
        or output_argument(module, term, names)
        for term in walk_body(statement.body)
    )


def _walked(statement: Statement, rule: Rule, source: bytes, name: str) -> list[_Edit] | None:
    """A line that walks, as one that takes its members out of an array."""
    whole = statement.terms[0] if statement.kind == "expression" else None
    if whole is None:
        return None
    begin, new = f"[{name} | ".encode(), name.encode()
    if call := iterates_over_walk(statement, rule):
        start, end = call.span
        return [(start, start, begin), (end - 1, end, b", " + new + b")][_]")]
    if whole.kind == "call" and whole.value == "walk" and len(whole.terms) == 2:
        (start, end), pattern = whole.span, whole.terms[1]
        said = b"][_] = " + _in_one_line(pattern, source)
        return [(start, start, begin), (*_span(pattern), new), (end, end, said)]
    return None


def _head_terms(module: Module, rule: Rule, names: Names, source: bytes) -> Iterator[_Edit]:
    if rule.kind == "default":
        return
    steps = [term for term in parts(rule.head) if _may_be_undefined(module, term, names)]
    for number, value in enumerate(rule.clause_values):
        body = rule.bodies[number] if rule.bodies else ()
        wanted = [*steps] if number == 0 else []
        if value is not None and _may_be_undefined(module, value, names):
            wanted.append(value)
        moved = {at: term for at, term in enumerate(wanted) if _has_computed_steps(term)}
        if not wanted or not (moved or len(rule.bodies) > 1 or _has_loop(body)):
            continue
        lines = [
            f"__opa_h{at} := ".encode() + _in_one_line(term, source)
            for at, term in enumerate(wanted)
        ]
        for at, term in moved.items():
            start, end = _span(term)
            yield start, end, f"__opa_h{at}".encode() + b"\n" * source[start:end].count(b"\n")
        yield from _appended(rule, number, b"; ".join(lines), source)


def _appended(rule: Rule, number: int, lines: bytes, source: bytes) -> Iterator[_Edit]:
    """The lines at the end of a body, which is there or not."""
    start, end = rule.body_spans[number] if rule.body_spans else (0, 0)
    if start == end:
        behind = rule.span[1]
        behind += source[behind : behind + 1] in (b'"', b"`")  # as of bodies
        yield behind, behind, b" if { " + lines + b" }"
    elif source[start : start + 1] == b"{" and source[:start].rstrip().endswith(b"if"):
        last = _blanked(source[start : end - 1]).rstrip()
        yield start + len(last), start + len(last), b"; " + lines
    else:
        yield start, start, b"{ "
        yield end, end, b"; " + lines + b" }"


def _may_be_undefined(module: Module, term: Term, names: Names, depth: int = 3) -> bool:
    if term.kind in ("var", "ref"):
        is_local = term.kind == "var" and names.is_local(module, str(term.value))
        return not is_local and not names.is_total(module, term)
    if term.kind == "comprehension":
        return False
    if term.kind == "call":
        rules = names.called(module, term.value)
        if rules:
            valued = depth > 0 and any(_is_valued(names, rule, depth - 1) for rule in rules)
        else:
            valued = term.value in VALUED
        if not valued:
            return True
    return any(_may_be_undefined(module, each, names, depth) for each in term.terms)


def _is_valued(names: Names, rule: Rule, depth: int) -> bool:
    """Whether a clause of a function has a value for any arguments."""
    (value, *others) = rule.clause_values
    return (
        not any(rule.bodies)
        and not others
        and all(each.kind == "var" for each in rule.arguments)
        and (value is None or not _may_be_undefined(names.home(rule), value, names, depth))
    )


def _has_loop(body: tuple[Statement, ...]) -> bool:
    for statement in body:
        if statement.kind in ("some", "some_in"):
            return True
        for term in walk_terms(statement.terms):
            if term.kind == "ref" and any(step.kind != "string" for step in parts(term)):
                return True
            if term.kind == "call" and term.value == "walk":
                return True
    return False


def _has_computed_steps(value: Term) -> bool:
    """Whether a value goes over members, or seems to the engine to do so in a head."""
    return any(
        step.kind not in ("string", "number")
        for term in _outside_comprehensions(value)
        if term.kind == "ref"
        for step in parts(term)
    )


def _outside_comprehensions(term: Term) -> Iterator[Term]:
    yield term
    if term.kind != "comprehension":
        for each in parts(term):
            yield from _outside_comprehensions(each)


def _span(term: Term) -> tuple[int, int]:
    """Where a term stands, the quotes of texts at its ends included."""
    first = last = term
    while first.kind in ("infix", "ref") and first.terms:
        first = first.terms[0]
    while last.kind == "infix":
        last = last.terms[-1]
    start, end = term.span
    starts = first.kind == "string" and start == first.span[0]
    return start - starts, end + (last.kind == "string" and end == last.span[1])


def _blanked(source: bytes) -> bytes:
    """The text with spaces for comments, and something else for texts."""
    return _COMMENT_OR_TEXT.sub(
        lambda found: (b" " if found[0][:1] == b"#" else b"-") * len(found[0]), source
    )


def _in_one_line(term: Term, source: bytes) -> bytes:
    """The text of a term without its comments; lines of bodies in it are parted as Rego does."""
    start, end = _span(term)
    lines = [
        each.start
        for body in _bodies(term)
        for each in body[1:]
        if not _blanked(source[: each.start]).rstrip().endswith(b";")
    ]
    parted = _edited(source[:end], [(at, at, b"; ") for at in lines])[start:]
    kept = _COMMENT_OR_TEXT.sub(lambda found: b"" if found[0][:1] == b"#" else found[0], parted)
    return kept.replace(b"\n", b" ")


def _bodies(term: Term) -> Iterator[tuple[Statement, ...]]:
    for each in walk_terms((term,)):
        if each.body:
            yield each.body
            for statement in walk_statements(each.body, into_terms=False):
                if statement.body:
                    yield statement.body
