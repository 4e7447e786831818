"""Which variables a shell text puts where their values can be read. Pure.

A value is shown as a word of a program (most print one that they do not understand), in a
here-document or a here-string, and by a shell that traces (`set -x`). It is not by a test
(`[ -n "$X" ]`, `case $X`), by its length (`${#X}`) or by a word in its stead (`${X:+set}`). What
is assigned from a variable shows it where it is shown itself.

Not protected from: a program that prints its own environment, tests that are asked until the
value is known, and variables of the environment in small letters, which are taken for the text's
own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from permissions.tools.shell.programs import SHELLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tree_sitter import Node

Use = Literal["shown", "tested", "assigned"]

_QUIET: Final = frozenset({":", "false", "true"})
"""Programs that print none of their words."""
_COMPARING: Final = frozenset({"!", "!=", "&&", "-a", "-n", "-o", "-z", "=", "==", "=~", "||"})
"""What a test does with any text; of others it prints what is no number."""
_REPLACED: Final = re.compile(rb"\$\{(?:#|\w+:?\+)")
_GIVING: Final = frozenset({"expansion", "simple_expansion"})
_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_TESTS: Final = frozenset({"case_item", "case_statement", "test_command"})
_SUMS: Final = frozenset(
    {"arithmetic_expansion", "binary_expression", "parenthesized_expression",
     "postfix_expression", "ternary_expression", "unary_expression"}
)  # fmt: skip
"""Around a bare name, whose value is computed with, and printed when it is no number."""
_TRACES: Final = re.compile(r"-\w*x\w*|xtrace")


class Expansion(NamedTuple):
    """A variable that a text expands: what becomes of its value, and whose value it becomes."""

    name: str
    use: Use
    to: str = ""


def expansions(nodes: Iterable[Node]) -> Iterator[Expansion]:
    """Each expansion of a named variable that gives its value."""
    for node in nodes:
        if node.type == "variable_name":
            if node.parent is not None and node.parent.type in _SUMS:
                yield Expansion(_source(node), "shown")
        elif (
            node.type in _GIVING
            and not _REPLACED.match(node.text or b"")
            and _NAME.fullmatch(name := _named(node))
        ):
            yield _used(node, name)


def _used(node: Node, name: str) -> Expansion:
    """By what stands nearest around it."""
    at = node.parent
    while at is not None and at.type != "redirected_statement":
        if at.type in {"for_statement", "variable_assignment"}:
            return Expansion(name, "assigned", _named(at))
        if at.type in _TESTS or (at.type == "command" and _is_quiet(at)):
            return Expansion(name, "tested")
        if at.type in {"command", "herestring_redirect"} or not _compares(at):
            break
        at = at.parent
    return Expansion(name, "shown")


def _named(node: Node) -> str:
    found = (
        each for each in node.named_children if each.type in {"variable_name", "subscript"}
    )
    return next((_source(each).partition("[")[0] for each in found), "")


def _compares(node: Node) -> bool:
    """Whether it is no expression, or one that takes any text."""
    if node.type not in {"binary_expression", "unary_expression"}:
        return True
    signs = {
        _source(each)
        for each in node.children
        if not each.is_named or each.type == "test_operator"
    }
    return signs <= _COMPARING


def _is_quiet(command: Node) -> bool:
    name = command.child_by_field_name("name")
    program = "" if name is None else _source(name)
    if program not in {"[", "test"}:
        return program in _QUIET
    signs = {_source(each) for each in command.named_children}
    return {each for each in signs if each.startswith("-")} <= _COMPARING


def shown_names(found: Iterable[Expansion], *, traced: bool) -> list[str]:
    """The variables whose values are shown, sorted; of those that may be of the environment.

    Args:
        found: all of the text, and of those it holds.
        traced: whether a shell prints each command before it runs it.
    """
    every = list(found)
    origins: dict[str, set[str]] = {}
    for each in every:
        if each.use == "assigned":
            origins.setdefault(each.to, set()).add(each.name)
    waiting = [each.name for each in every if traced or each.use == "shown"]
    shown: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in shown:
            shown.add(name)
            waiting += origins.get(name, ())
    return sorted(name for name in shown if not name.islower())


def traces(program: str, words: Iterable[str]) -> bool:
    """Whether it is a shell that prints each command, or the builtin that makes it."""
    return program in {"set", *SHELLS} and any(_TRACES.fullmatch(word) for word in words)


def _source(node: Node) -> str:
    return (node.text or b"").decode(errors="replace")
