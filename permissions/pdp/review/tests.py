"""Findings about tests: inputs that no call has. Their conditions are judged as any other's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.lint.input_schema import input_shape, member, members
from permissions.pdp.rego.ast import rule_statements, static_path, string_constant
from permissions.pdp.review.scene import finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.pdp.lint.input_schema import Shape
    from permissions.pdp.rego.ast import Module, Rule, Term
    from permissions.pdp.rego.finding import Finding


def check_mocks(module: Module, rule: Rule) -> Iterator[Finding]:
    """`with input as {...}` whose members are none of the contract's."""
    for statement in rule_statements(rule):
        for target, value in statement.mocks:
            path = static_path(target)
            if path[:1] != ("input",):
                continue
            shape: Shape | None = input_shape()
            for step in path[1:]:
                shape = member(shape, step) if shape else None
            yield from _object(module, shape, value, path)


def _object(
    module: Module, shape: Shape | None, value: Term, path: tuple[str, ...]
) -> Iterator[Finding]:
    if value.kind == "array" and shape:
        for each in value.terms:
            yield from _object(module, member(shape, None), each, (*path, "_"))
    if value.kind != "object" or not shape:
        return
    for name, inner in zip(value.terms[::2], value.terms[1::2], strict=True):
        step = string_constant(name)
        if step is None:
            continue
        below = member(shape, step)
        if below == ():
            known = ", ".join(members(shape))
            yield finding(
                module,
                name.position,
                "review.test_input",
                f"no input has {'.'.join((*path, step))}, so the test says nothing about calls",
                f"it is one of {known}" if known else "nothing is below it",
            )
        else:
            yield from _object(module, below, inner, (*path, step))
