"""Findings about what may be null: a plan, an approval, what a change replaces.

`null.verdict` has no value, and neither has a comparison with it: a denial written
`input.context.plan.verdict != "matched"` does not fire for a call without a plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import rule_bodies, rule_terms
from permissions.pdp.review.scene import finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.pdp.rego.ast import Module, Rule, Statement, Term
    from permissions.pdp.rego.finding import Finding
    from permissions.pdp.review.scene import Scene

_NULLABLE: dict[tuple[str, ...], tuple[str, ...]] = {
    ("input", "context", "plan"): ("!=", "<", "<="),
    ("input", "context", "approval"): ("<", "<="),
}
"""With the comparisons that mean "it is not enough"; `approval.x != y` is about one that is there."""


def check_absent(scene: Scene, module: Module, rule: Rule) -> Iterator[Finding]:
    """Denials that do not fire where there is no plan, or no approval."""
    if rule.path[:1] not in (("deny",), ("require_approval",)):
        return
    for body in rule_bodies(rule):
        for statement in body:
            for nullable in _NULLABLE:
                if _reads(scene, module, rule, statement, nullable) and not _guarded(
                    scene, module, nullable
                ):
                    name = nullable[-1]
                    yield finding(
                        module,
                        statement.position,
                        "review.absent",
                        f"without {'an' if name == 'approval' else 'a'} {name} this has no"
                        " value, so the rule does not fire",
                        f"deny that case in a rule of its own: `input.context.{name} == null`,"
                        " or write `_ok if ...` and `not _ok`",
                    )


def _reads(
    scene: Scene,
    module: Module,
    rule: Rule,
    statement: Statement,
    nullable: tuple[str, ...],
) -> bool:
    if statement.kind != "expression":
        return False
    term = statement.terms[0]
    if term.kind != "infix" or term.value not in _NULLABLE[nullable]:
        return False
    return any(
        path[:3] == nullable and len(path) > 3
        for side in term.terms
        for each in _operands(side)
        for path in scene.members_of(module, rule, each)
    )


def _operands(term: Term) -> tuple[Term, ...]:
    return term.terms if term.kind == "call" else (term,)


def _guarded(scene: Scene, module: Module, nullable: tuple[str, ...]) -> bool:
    """Whether a rule of the module compares the thing itself, so that its author knew."""
    for rule in module.rules:
        for term in rule_terms(rule):
            if term.kind == "infix" and term.value in ("==", "!="):
                sides = [scene.members_of(module, rule, side) for side in term.terms]
                has_null = any(side.kind == "null" for side in term.terms)
                if has_null and any(nullable in set(found) for found in sides):
                    return True
    return False
