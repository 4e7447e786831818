"""Findings about how texts are matched: patterns that let more through than they say.

Only in rules that widen (`scene`): in a rule that denies, a pattern that matches too much errs
on the safe side.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import rule_terms, static_path, string_constant
from permissions.pdp.review.scene import finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.pdp.rego.ast import Module, Rule, Term
    from permissions.pdp.rego.finding import Finding
    from permissions.pdp.review.scene import Scene

_NAMES = frozenset({"host", "domain", "address"})
_PATHS = frozenset({"path", "resolved", "relative", "workspace"})
_AFFIXES = frozenset({"endswith", "startswith", "contains"})
_BARE_DOT = re.compile(r"(?<!\\)[A-Za-z0-9]\.[A-Za-z]{2,}")


def check_texts(scene: Scene, module: Module, rule: Rule) -> Iterator[Finding]:
    """Patterns and affixes in a rule that widens."""
    if not scene.widens(module, rule):
        return
    locals_ = scene.locals_of(rule)
    for term in rule_terms(rule):
        if term.kind != "call" or len(term.terms) < 2:
            continue
        name, first, second = str(term.value), term.terms[0], term.terms[1]
        if name == "regex.match" and (pattern := string_constant(first)) is not None:
            yield from _pattern(module, term, pattern)
        elif name in _AFFIXES and (text := string_constant(second)):
            yield from _affix(module, term, text, _last(first, locals_))


def _affix(module: Module, term: Term, text: str, member: str | None) -> Iterator[Finding]:
    """A beginning, ending or part that other names have, too."""
    said = text[:60]
    if term.value == "endswith" and member in _NAMES and text[0] not in ".@":
        what = f"names like `evil{said}` end so, too"
        fix = f'compare with "{said}", or with the ending ".{said}"'
        yield finding(module, term.position, "review.loose_ending", what, fix)
    elif term.value == "startswith" and member in _PATHS and not text.endswith("/"):
        what = f"`{said}-other` begins so, too"
        fix = f'compare with the beginning "{said}/"'
        yield finding(module, term.position, "review.loose_beginning", what, fix)
    elif term.value == "contains" and member in _NAMES | _PATHS:
        what = f"anything that names `{said}` somewhere passes"
        fix = "compare with the whole name, or with its ending"
        yield finding(module, term.position, "review.loose_part", what, fix)


def _last(term: Term, locals_: Mapping[str, Term]) -> str | None:
    """The member a term reads, by its last step; looked for under `lower` and the like, too."""
    while term.kind == "call" and term.value in ("lower", "trim", "trim_space") and term.terms:
        term = term.terms[0]
    if term.kind == "var" and term.value in locals_:
        term = locals_[str(term.value)]
    path = static_path(term)
    steps = term.terms[1:] if term.kind == "ref" else ()
    return string_constant(steps[-1]) if steps else (path[-1] if path else None)


def _pattern(module: Module, term: Term, pattern: str) -> Iterator[Finding]:
    starts = pattern.startswith(("^", "\\A", "(^", "(?i)^", "(?s)^"))
    ends = pattern.endswith(("$", "\\z", "$)"))
    if not (starts and ends):
        yield finding(
            module,
            term.position,
            "review.open_pattern",
            "the pattern may match anywhere in the text, so what is around it is free",
            "begin it with `^` and end it with `$`",
        )
    elif _BARE_DOT.search(pattern):
        yield finding(
            module,
            term.position,
            "review.bare_dot",
            "a dot in a pattern is any character, so `a.b` matches `axb`",
            "write `\\.` for a dot",
        )
