"""What `with` puts in is computed before, as OPA does it.

    x with input.a as f(1)        __opa_w0 := f(1); x with input.a as __opa_w0

The engine computes it while it replaces, and what it reads by then has no value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import rule_statements, static_path
from permissions.pdp.regorus.parse import parse, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.pdp.rego.ast import Module, Statement, Term
    from permissions.pdp.rego.names import Names

_Edit = tuple[int, int, bytes]


def with_values_bound(path: str, text: str, names: Names) -> str:
    """A module's text with computed values of `with` bound in lines of their own."""
    if " with " not in text:
        return text
    text, count = readable(text), 0
    while found := list(_apart(_computed(parse(path, text), names))):
        source, edits = text.encode(), []
        for statement, value in found:
            edits += _bound(statement, value, source, f"__opa_w{count}")
            count += 1
        for start, end, new in sorted(edits, reverse=True):
            source = source[:start] + new + source[end:]
        text = source.decode()
    return text


def _computed(module: Module, names: Names) -> Iterator[tuple[Statement, Term]]:
    for rule in module.rules:
        for statement in rule_statements(rule):
            for _, value in statement.mocks:
                if _is_computed(module, value, names):
                    yield statement, value


def _apart(found: Iterable[tuple[Statement, Term]]) -> Iterator[tuple[Statement, Term]]:
    """Those of lines of which none is part of another: they can be written at once."""
    taken: list[tuple[int, int]] = []
    for statement, value in found:
        start, end = statement.start, _span(statement.mocks[-1][1])[1]
        if all(end <= begun or ended <= start for begun, ended in taken):
            taken.append((start, end))
            yield statement, value


def _bound(statement: Statement, value: Term, source: bytes, name: str) -> list[_Edit]:
    before, last = source[: statement.start].rstrip(), statement.mocks[-1][1]
    opening, closing = (b"{ ", b" }") if before.endswith(b"if") else (b"", b"")
    start, end = _span(value)
    line = f"{name} := ".encode() + source[start:end] + b"; "
    edits = [(statement.start, statement.start, opening + line), (start, end, name.encode())]
    if closing:
        behind = _span(last)[1]
        edits.append((behind, behind, closing))
        if last is value:
            edits[1:] = [(start, end, name.encode() + closing)]
    return edits


def _span(term: Term) -> tuple[int, int]:
    """Where a term stands, the quotes of a text included."""
    quote = term.kind == "string"
    return term.span[0] - quote, term.span[1] + quote


def _is_computed(module: Module, value: Term, names: Names) -> bool:
    called = names.called(module, ".".join(static_path(value)))
    if value.kind in ("var", "ref") and any(rule.arguments for rule in called):
        return False  # a function in the place of another
    if value.kind == "var" and names.is_local(module, str(value.value)):
        return False
    return _has_parts(value)


def _has_parts(term: Term) -> bool:
    plain = ("string", "number", "boolean", "null")
    if term.kind in ("array", "set", "object"):
        return any(map(_has_parts, term.terms))
    return term.kind not in plain
