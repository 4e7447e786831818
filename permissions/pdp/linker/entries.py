"""Whether an entry of a package's rule is of the contract's form, as far as its text tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import string_constant
from permissions.pdp.rego.signatures import BUILTINS

if TYPE_CHECKING:
    from permissions.pdp.rego.ast import Rule, Term
    from permissions.pdp.rego.names import Names

_TEXT = frozenset({"string"})
_MEMBERS = {
    "deny": {"code": True, "agent": True, "operator": True, "nearest": False},
    "obligations": {"id": True, "type": True, "properties": False},
}
"""The members of an entry, and whether each is a text. Terms of approvals are always looked at:
they come from a table."""
_MAY_HAVE = {"deny": {"values"}, "obligations": set[str]()}
"""Members that an entry can do without."""


def is_plainly_formed(kind: str, rule: Rule, names: Names) -> bool:
    """Whether each entry that this clause makes is formed as `joined` wants it."""
    if len(rule.values) != 1:
        return False
    (entry,) = rule.values
    if kind == "allow":
        return entry.kind == "string"
    wanted = _MEMBERS.get(kind)
    if wanted is None or entry.kind != "object":
        return False
    keys = [string_constant(key) for key in entry.terms[::2]]
    values = dict(zip(keys, entry.terms[1::2], strict=True))
    if len(keys) != len(values) or values.keys() - _MAY_HAVE[kind] != wanted.keys():
        return False
    texts = [values[name] for name, is_text in wanted.items() if is_text]
    objects = [values[name] for name in ("properties", "values") if name in values]
    return all(_is_text(text, rule, names) for text in texts) and all(
        each.kind == "object" for each in objects
    )


def _is_text(term: Term, rule: Rule, names: Names) -> bool:
    """A literal, or what a builtin makes, which is a text or no value at all."""
    if term.kind == "call" and term.value in BUILTINS:
        called = names.called(names.home(rule), term.value)
        return not called and BUILTINS[term.value].result == _TEXT
    return term.kind == "string"
