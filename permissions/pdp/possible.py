"""Policies that say of a tool whether any call of it could be allowed, before there is a call.

`possible` makes a bundle of a bundle. What it answers is `main.response`: a denial where every
call of this tool by this subject is denied, whatever its arguments, plan, labels, budgets and
approvals are; a permit everywhere else. It errs on one side only. A condition that reads
anything a call may change counts as met where it allows or asks, and as not met where it denies:

* a clause of `deny` counts where nothing in it reads more than is known before a call (`KNOWN`);
* a clause of `allow` or `require_approval` is left with those of its conditions that read no
  more than that, and cannot fire when they do not hold.

A permit so says nothing of a call, and a denial is no decision: each call is decided by the
bundle itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.bundle import PolicyBundle
from permissions.pdp.rego.ast import rule_statements, rule_terms, walk_body, walk_statements
from permissions.pdp.rego.names import Names
from permissions.pdp.regorus.parse import parse, readable
from permissions.pdp.regorus.templates import without_templates
from permissions.pdp.shadow_marks import enforced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from permissions.pdp.rego.ast import Module, Rule, Statement, Term
    from permissions.pdp.rego.names import Path

_PROPERTIES = ("input", "resource", "properties")
KNOWN: tuple[Path, ...] = (
    ("input", "subject"),
    ("input", "action"),
    ("input", "resource", "type"),
    ("input", "resource", "id"),
    *(
        (*_PROPERTIES, name)
        for name in ("tool_digest", "isolation", "stateful", "workspace", "control", "marks")
    ),
    ("input", "context", "environment"),
)
"""What the input of every call of one tool by one subject has in common."""

_MAIN = "main/main.rego"
_APART = frozenset({_MAIN, "joined/joined.rego"})
_COULD, _NEVER = "_could_fire", "_always_denies"


def possible(bundle: PolicyBundle) -> PolicyBundle:
    """The bundle to ask. Tests are left out.

    Args:
        bundle: has passed the linter (`permissions.pdp.lint`).

    Raises:
        EngineError: a module does not parse.
    """
    return _Possible(enforced(bundle)).bundle()


class _Possible:
    """A bundle while it is made."""

    def __init__(self, bundle: PolicyBundle) -> None:
        self._bundle = bundle
        self._modules = [parse(path, text) for path, text in bundle.modules.items()]
        self._names = Names(self._modules)
        self._fixed: dict[Path, bool] = {}

    def bundle(self) -> PolicyBundle:
        texts = {
            path: text for path, text in self._bundle.modules.items() if path not in _APART
        }
        could, never = dict[str, bool](), dict[str, bool]()
        silent = set[str]()
        for module in self._modules:
            kind = module.package[1]
            if module.path in _APART or kind not in ("policies", "layers"):
                continue
            package = ".".join(("data", *module.package))
            for rule in module.rules:
                added, sign = "", None
                if rule.path == ("deny",):
                    added, sign = self._denying(module, rule), never
                elif rule.path == ("allow",) or (
                    rule.path == ("require_approval",) and kind == "policies"
                ):
                    added, sign = self._opening(module, rule), could
                    if kind == "layers":
                        silent.add(package)
                if added and sign is not None:
                    texts[module.path] += f"\n{added}\n"
                    if sign is never or kind == "policies":
                        sign[package] = True
        texts[_MAIN] = _main(could, never, sorted(silent))
        return PolicyBundle.of(texts, self._bundle.data)

    def _denying(self, module: Module, rule: Rule) -> str:
        """A clause of `deny` that says the same of every call; nothing for another."""
        if _has_templates(self._bundle, module) or not self._is_fixed_rule(module, rule):
            return ""
        source = readable(self._bundle.modules[module.path]).encode()
        (value,) = rule.values
        entry = source[slice(*value.span)].decode()
        bodies = [
            _text(source, body, span, range(len(body)))
            for body, span in zip(rule.bodies, rule.body_spans, strict=True)
        ]
        return "\n\n".join(f"{_NEVER} contains {entry}{body}" for body in bodies or [""])

    def _opening(self, module: Module, rule: Rule) -> str:
        """A clause of `allow` or `require_approval` without what a call may change."""
        source = readable(self._bundle.modules[module.path]).encode()
        templates = _has_templates(self._bundle, module)
        clauses = []
        for body, span in zip(rule.bodies or ((),), rule.body_spans or ((0, 0),), strict=True):
            kept = [] if templates else self._kept(module, body)
            clauses.append(f"{_COULD} contains true{_text(source, body, span, kept)}")
        return "\n\n".join(clauses)

    def _kept(self, module: Module, body: tuple[Statement, ...]) -> list[int]:
        """The conditions that every call meets, or none does; each with all its locals."""
        kept = {at for at, each in enumerate(body) if self._is_fixed_body(module, (each,))}
        locals_ = [self._locals(module, each) for each in body]
        while True:
            dropped = {
                name for at, names in enumerate(locals_) if at not in kept for name in names
            }
            sharing = {at for at in kept if locals_[at] & dropped}
            if not sharing:
                return sorted(kept)
            kept -= sharing

    def _locals(self, module: Module, statement: Statement) -> set[str]:
        terms = walk_body((statement,))
        names = [each.terms[0] if each.kind == "ref" else each for each in terms]
        found = {str(each.value) for each in names if each.kind == "var"}
        found |= {str(each.value) for each in statement.names}
        return {each for each in found if each != "_" and self._names.is_local(module, each)}

    # -- what every call has in common ------------------------------------------------------

    def _is_fixed_rule(self, module: Module, rule: Rule) -> bool:
        return not any(each.mocks for each in rule_statements(rule)) and self._are_fixed(
            module, rule_terms(rule)
        )

    def _is_fixed_body(self, module: Module, body: tuple[Statement, ...]) -> bool:
        return not any(each.mocks for each in walk_statements(body)) and self._are_fixed(
            module, walk_body(body)
        )

    def _are_fixed(self, module: Module, terms: Iterable[Term]) -> bool:
        return all(self._is_fixed_term(module, term) for term in terms)

    def _is_fixed_term(self, module: Module, term: Term) -> bool:
        if term.kind in ("var", "ref"):
            pattern = self._names.resolve(module, term)
            if pattern is not None and pattern[0] == "input":
                return any(pattern[: len(known)] == known for known in KNOWN)
        return all(self._is_fixed(path) for path in self._names.read_by(module, (term,)))

    def _is_fixed(self, path: Path) -> bool:
        """Whether the rules of a path read nothing but what is known."""
        if path not in self._fixed:
            self._fixed[path] = False  # of a circle, which the linter refuses
            self._fixed[path] = all(
                self._is_fixed_rule(self._names.home(rule), rule)
                for rule in self._names.rules_at(path)
            )
        return self._fixed[path]


def _has_templates(bundle: PolicyBundle, module: Module) -> bool:
    """Whether the engine reads a text that differs from what is written more than in form."""
    text = bundle.modules[module.path]
    return without_templates(text) != text


def _text(
    source: bytes, body: tuple[Statement, ...], span: tuple[int, int], kept: Iterable[int]
) -> str:
    """These conditions of a body, as they are written; nothing without any."""
    is_braced = source[span[0] : span[0] + 1] == b"{"
    ends = [*(each.start for each in body[1:]), span[1] - is_braced]
    lines = [
        source[body[at].start : ends[at]].decode().rstrip().removesuffix(";") for at in kept
    ]
    return " if {\n\t" + "\n\t".join(lines) + "\n}" if lines else ""


def _main(could: Iterable[str], never: Iterable[str], silent: Iterable[str]) -> str:
    denied = [f"{each}.{_NEVER} != set()" for each in never]
    denied += [f"{each}.{_COULD} == set()" for each in silent]
    lines = ["package wardline.main", "default _possible := false", "default _denied := false"]
    lines += [f"_possible if {each}.{_COULD} != set()" for each in could]
    lines += [f"_denied if {each}" for each in denied]
    return "\n\n".join((*lines, _RESPONSE))


_RESPONSE = """default response := {
	"decision": false,
	"context": {
		"reasons": [{
			"code": "main.nothing_allows",
			"agent": "No call of this tool can be allowed.",
			"operator": "every call of this tool by this subject is denied",
			"nearest": null,
		}],
		"obligations": [],
		"access_request": null,
		"rules": [],
	},
}

response := {
	"decision": true,
	"context": {"reasons": [], "obligations": [], "access_request": null, "rules": []},
} if {
	input.action.name == "tools/call"
	_possible == true
	_denied == false
}
"""
