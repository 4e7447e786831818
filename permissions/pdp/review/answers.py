"""Findings about what a rule answers: each of these denies every call once the rule fires."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import ValidationError

from permissions.obligations.obligations import KNOWN
from permissions.pdp.rego.ast import rule_terms, static_path, string_constant, walk_terms
from permissions.pdp.rego.types import kinds_of
from permissions.pdp.review.scene import finding, is_literal, literal_value, under

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.pdp.rego.ast import Module, Rule, Term
    from permissions.pdp.rego.finding import Finding
    from permissions.pdp.review.scene import Scene

_CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_VERB = re.compile(r"%(?:%|[-+# 0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[a-zA-Z])")
_ANSWERS = ("allow", "deny", "require_approval", "obligations")
_PRIVATE = (("input",), ("input", "context"), ("input", "subject"))


def check_answers(scene: Scene, module: Module, rule: Rule) -> Iterator[Finding]:
    """Entries of the four rules, as far as they are written out, and texts put together."""
    for term in rule_terms(rule):
        if term.kind == "call" and term.value == "sprintf":
            yield from _verbs(module, term)
    if rule.kind != "set" or rule.path[:1] not in {(name,) for name in _ANSWERS}:
        return
    locals_ = scene.locals_of(rule)
    for value in rule.values:
        entry = locals_.get(str(value.value), value) if value.kind == "var" else value
        yield from _kind(module, rule, value, entry, locals_)
        members = _members(entry)
        name = "id" if rule.path[0] == "obligations" else "code"
        yield from _code(module, entry if rule.path[0] == "allow" else members.get(name))
        if rule.path[0] == "obligations":
            yield from _obligation(module, members)
        if (text := members.get("agent")) is not None:
            yield from _told(scene, module, text)
        if (terms := members.get("terms")) is not None:
            yield from _groups(scene, module, _members(terms).get("approvers"))


def _kind(
    module: Module, rule: Rule, value: Term, entry: Term, locals_: Mapping[str, Term]
) -> Iterator[Finding]:
    """An entry of another kind than `main` reads, given by a local."""
    if value.kind != "var":
        return  # `lint.contract` judges what stands in the head
    name = rule.path[0]
    wanted = "string" if name == "allow" else "object"
    kinds = kinds_of(entry, locals_)
    if "any" not in kinds and wanted not in kinds:
        word = "a text" if wanted == "string" else "an object"
        yield finding(
            module,
            value.position,
            "review.entry_kind",
            f"`{name}` is given a {' or '.join(sorted(kinds))}; that denies every call",
            f"give it {word}, as docs/reference/policy-contract.md shows",
        )


def _members(value: Term) -> Mapping[str, Term]:
    if value.kind != "object":
        return {}
    names = map(string_constant, value.terms[::2])
    return {
        name: each
        for name, each in zip(names, value.terms[1::2], strict=True)
        if name is not None
    }


def _code(module: Module, term: Term | None) -> Iterator[Finding]:
    code = None if term is None else string_constant(term)
    if term is not None and code is not None and not _CODE.fullmatch(code):
        yield finding(
            module,
            term.position,
            "review.code",
            f"{code[:60]!r} is no code, so the answer is refused and every call denied",
            "write lower-case words with dots between, package first: `payments.too_large`",
        )


def _verbs(module: Module, term: Term) -> Iterator[Finding]:
    text = string_constant(term.terms[0]) if term.terms else None
    if text is None or len(term.terms) < 2 or term.terms[1].kind != "array":
        return
    wanted = sum(1 for verb in _VERB.findall(text) if verb != "%%")
    wanted += sum(verb.count("*") for verb in _VERB.findall(text))
    given = len(term.terms[1].terms)
    if wanted != given:
        yield finding(
            module,
            term.position,
            "review.sprintf",
            f"the text has {wanted} verb(s) for values and is given {given}",
            "give as many values as there are `%` signs",
        )


def _obligation(module: Module, members: Mapping[str, Term]) -> Iterator[Finding]:
    kind = string_constant(members["type"]) if "type" in members else None
    if kind is None:
        return
    if kind not in KNOWN:
        yield finding(
            module,
            members["type"].position,
            "review.obligation",
            f"the broker knows no obligation `{kind[:60]}`, so the call is denied",
            f"it is one of {', '.join(sorted(KNOWN))}",
        )
        return
    properties = members.get("properties")
    if properties is None or not is_literal(properties):
        return
    try:
        KNOWN[kind].model_validate(literal_value(properties))
    except ValidationError as err:
        fault = err.errors(include_url=False)[0]
        at = ".".join(map(str, fault["loc"])) or "properties"
        yield finding(
            module,
            properties.position,
            "review.obligation",
            f"the obligation `{kind}` is refused ({at}: {fault['msg']}), so the call is denied",
            f"its properties are {', '.join(KNOWN[kind].model_fields)}",
        )


def _told(scene: Scene, module: Module, text: Term) -> Iterator[Finding]:
    for term in walk_terms((text,)):
        path = scene.path(module, term) if term.kind in ("var", "ref") else None
        if path is not None and path in _PRIVATE:
            yield finding(
                module,
                term.position,
                "review.told_to_agent",
                f"the agent is told all of `{'.'.join(path)}`, labels and people included",
                "name the one member it needs; write the rest into `operator`",
            )


def _groups(scene: Scene, module: Module, approvers: Term | None) -> Iterator[Finding]:
    known = scene.known.groups
    if approvers is None or known is None:
        return
    for term in under(approvers):
        group = string_constant(term)
        if group is not None and group not in known:
            yield finding(
                module,
                term.position,
                "review.nobody_approves",
                f"nobody is in the group `{group[:60]}`",
                f"it is one of {', '.join(sorted(known)) or 'none; name approvers first'}",
            )


def said_labels(modules: tuple[Module, ...]) -> Iterator[str]:
    """The labels that obligations of a bundle put on a session, where they are written out."""
    for module in modules:
        for rule in module.rules:
            for term in rule_terms(rule):
                members = _members(term)
                if "type" in members and string_constant(members["type"]) == "label":
                    added = _members(members.get("properties", term)).get("add", term)
                    yield from (each.value for each in added.terms if each.kind == "string")


def check_labels(
    scene: Scene, module: Module, rule: Rule, labels: frozenset[str]
) -> Iterator[Finding]:
    """Labels that are asked for and that nothing gives."""
    for term in rule_terms(rule):
        if term.kind != "infix" or term.value != "in" or len(term.terms) != 2:
            continue
        word = string_constant(term.terms[0])
        path = scene.path(module, term.terms[1])
        is_labels = static_path(term.terms[1])[-1:] == ("labels",)
        asked = path == ("input", "context", "labels") or (path is None and is_labels)
        if word is not None and asked and word not in labels:
            yield finding(
                module,
                term.position,
                "review.unknown_label",
                f"nothing puts the label `{word[:60]}` on a session",
                f"it is one of {', '.join(sorted(labels))}",
            )
