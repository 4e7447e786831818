"""Findings about what nobody would ever ask for: packages and rules `main` does not read.

`data.wardline.main` joins four rules of each package directly below `policies`, `egress`,
`effects` and `layers` (docs/reference/policy-contract.md). A rule of another name, or in another package,
is valid Rego that decides nothing; one of another form, or an entry without its members, is a
denial of every call.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import string_constant
from permissions.pdp.rego.finding import Finding
from permissions.pdp.rego.names import absolute

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.pdp.rego.ast import Module, Rule, Term
    from permissions.pdp.rego.names import Path

RULES = frozenset({"allow", "deny", "require_approval", "obligations"})
"""The rules that `main` reads of a package or layer."""

_SHARED = {("wardline", name) for name in ("main", "joined", "lib", "contract")}
_QUESTIONS: dict[Path, str] = {
    ("wardline", "policies"): "tools/call",
    ("wardline", "egress"): "egress/connect",
    ("wardline", "effects"): "effects/commit",
}
_JOINED = {*_QUESTIONS, ("wardline", "layers")}
_VOICES = frozenset({"code", "agent", "operator", "nearest"})
_ENTRIES = {
    "deny": _VOICES,
    "require_approval": _VOICES | {"terms"},
    "obligations": frozenset({"id", "type", "properties"}),
}
_MAY_HAVE = {"deny": {"values"}, "require_approval": {"values"}}
"""Members that an entry can do without."""
_LITERALS = ("string", "number", "boolean", "null")


def question_of(module: Module) -> str | None:
    """The only action whose questions a package is asked; None when it may be any."""
    return _QUESTIONS.get(module.package[:2])


def package_of(path: str) -> Path | None:
    """The package that a file of this path holds, and no other: it is tied to its folder.

    `layers/team/x.rego` holds `wardline.layers.team`, `plan/x.rego` `wardline.policies.plan`.
    A file beside the folders stands for one of its name. None when no package belongs there.
    """
    *folders, name = PurePosixPath(path).parts
    folders = folders or [name.removesuffix(".rego")]
    match folders:
        case [shared] if ("wardline", shared) in _SHARED:
            return ("wardline", shared)
        case [kind, name] if ("wardline", kind) in _JOINED:
            return ("wardline", kind, name)
        case [name]:
            return ("wardline", "policies", name)
        case _:
            return None


def check_contract(module: Module) -> Iterator[Finding]:
    """A package nobody reads or of another folder, or rules that are not what `main` reads."""
    if module.package != package_of(module.path) and _is_read(module):
        belongs = package_of(module.path)
        fix = f"here it is {'.'.join(belongs)}" if belongs else "put the file into its folder"
        yield Finding(
            module.path,
            module.position,
            "rego.foreign_package",
            f"the package {'.'.join(module.package)} does not belong into this folder",
            f"{fix}; a package is tied to its folder, so that nobody adds to another's",
        )
    if module.package in _SHARED:
        return
    if not _is_read(module):
        yield Finding(
            module.path,
            module.position,
            "rego.unread_package",
            f"nothing reads the package {'.'.join(module.package)}",
            "name it wardline.policies.<name>, wardline.egress.<name> or wardline.effects.<name>"
            " after the question it answers, or wardline.layers.<name> for a layer",
        )
        return
    for rule in module.rules:
        name = rule.path[0]
        if name not in RULES and not name.startswith("_"):
            yield _at(
                module,
                rule,
                "rego.unread_rule",
                f"nothing reads the rule `{name}`",
                f"call it one of {', '.join(sorted(RULES))}, or `_{name}`",
            )
        elif name in RULES:
            yield from _entry(module, rule, name)


def _is_read(module: Module) -> bool:
    """Whether `main` or a package reads this one."""
    joined = len(module.package) == 3 and module.package[:2] in _JOINED
    return joined or module.package in _SHARED


def _entry(module: Module, rule: Rule, name: str) -> Iterator[Finding]:
    if rule.kind != "set" or rule.head.kind != "var":
        what = f"`{name}` is no set, so every call would be denied"
        yield _at(module, rule, "rego.rule_form", what, f"write `{name} contains ... if ...`")
        return
    for value in rule.values:
        wanted = _ENTRIES.get(name)
        found = _members(value)
        if found is not None:
            found -= _MAY_HAVE.get(name, set())
        if value.kind in (*_LITERALS, "array", "set", "object") and (
            (name == "allow") != (value.kind == "string")
            or (name != "allow" and value.kind != "object")
        ):
            kind = "a text" if name == "allow" else "an object"
            what = f"an entry of `{name}` is {kind}; this one denies every call"
            yield _at(module, rule, "rego.entry_form", what, f"write {kind}")
        elif wanted is not None and found is not None and found != wanted:
            yield _at(
                module,
                rule,
                "rego.entry_form",
                f"this entry of `{name}` {_difference(found, wanted)}; it denies every call",
                f"give it exactly {', '.join(sorted(wanted))}",
            )


def _members(value: Term) -> frozenset[str] | None:
    """The members of an object written out; None when that is not plain to see."""
    keys = [string_constant(key) for key in value.terms[::2]]
    if value.kind != "object" or None in keys:
        return None
    return frozenset(key for key in keys if key is not None)


def _difference(found: frozenset[str], wanted: frozenset[str]) -> str:
    missing = sorted(wanted - found)
    return f"lacks {', '.join(missing)}" if missing else f"has {_shown(found - wanted)} besides"


def _shown(names: frozenset[str]) -> str:
    return ", ".join(repr(name[:40]) for name in sorted(names)[:4])


def check_conflicts(modules: Sequence[Module]) -> Iterator[Finding]:
    """Two values of one name that both always hold: asking for it fails every time."""
    seen: dict[Path, Term] = {}
    for module in modules:
        for rule in module.rules:
            if rule.kind != "value" or not rule.is_unconditional or rule.path[1:]:
                continue
            if len(rule.values) != 1 or rule.values[0].kind not in _LITERALS:
                continue
            value = rule.values[0]
            first = seen.setdefault(absolute(module, rule), value)
            if (first.kind, first.value) != (value.kind, value.value):
                name = ".".join(rule.path)
                what = f"`{name}` has two values that both always hold"
                yield _at(module, rule, "rego.two_values", what, "remove one of them")


def _at(module: Module, rule: Rule, code: str, what: str, fix: str) -> Finding:
    return Finding(module.path, rule.position, code, what, fix)
