r"""OPA's `regex.*` over RE2, whose syntax and linear time are Go's.

The engine's own are of Rust: other classes (`\w` takes any letter), other syntax.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import re2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_REFERENCE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")


@lru_cache(maxsize=1024)
def compile_regex(pattern: str) -> Any:
    r"""An RE2 program.

    Raises:
        ValueError: the pattern is no RE2, or not of Go's kind (`\C`).
    """
    if r"\C" in pattern:
        raise ValueError("not a regular expression of RE2")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        raise ValueError("not a regular expression of RE2") from None


def _matches(pattern: str, text: str) -> Iterator[Any]:
    """As Go finds them: no empty match right behind another."""
    program = compile_regex(pattern)
    at, last_end = 0, -1
    while at <= len(text):
        found = program.search(text, at)
        if found is None:
            return
        begin, end = found.span()
        wanted = end != at or begin != last_end
        at = end if end != at else at + 1
        last_end = end
        if wanted:
            yield found


def match(pattern: str, text: str) -> bool:
    """`regex.match`."""
    return compile_regex(pattern).search(text) is not None


def is_valid(pattern: Any) -> bool:
    """`regex.is_valid`."""
    try:
        compile_regex(pattern)
    except (ValueError, TypeError):
        return False
    return True


def split(pattern: str, text: str) -> list[str]:
    """`regex.split`."""
    if pattern and not text:
        return [""]
    parts: list[str] = []
    begin = end = 0
    for found in _matches(pattern, text):
        end = found.start()
        if found.end() != 0:
            parts.append(text[begin:end])
        begin = found.end()
    if end != len(text):
        parts.append(text[begin:])
    return parts


def find_n(pattern: str, text: str, count: int) -> list[str]:
    """`regex.find_n`."""
    return [found.group() for found in _first(pattern, text, count)]


def find_submatches(pattern: str, text: str, count: int) -> list[list[str]]:
    """`regex.find_all_string_submatch_n`: a group that took no part is an empty text."""
    return [
        [found.group(), *(group or "" for group in found.groups())]
        for found in _first(pattern, text, count)
    ]


def _first(pattern: str, text: str, count: int) -> list[Any]:
    if type(count) is not int:
        raise TypeError("the count is an integer")
    found = list(_matches(pattern, text))
    return found if count < 0 else found[:count]


def replace(text: str, pattern: str, value: str) -> str:
    """`regex.replace`: `$1` and `${name}` stand for groups, as Go expands them."""
    out: list[str] = []
    last = 0
    for found in _matches(pattern, text):
        out += [text[last : found.start()], _expanded(value, found)]
        last = found.end()
    return "".join((*out, text[last:]))


def _expanded(template: str, found: Any) -> str:
    def of(reference: re.Match[str]) -> str:
        if reference[1]:
            return "$"
        name = reference[2] or reference[3]
        if name.isascii() and name.isdigit():
            known = name == "0" or (name[0] != "0" and int(name) <= len(found.groups()))
            return (found.group(int(name)) or "") if known else ""
        return (found.groupdict().get(name)) or ""

    return _REFERENCE.sub(of, template)


REGEXES: Mapping[str, tuple[int, Any]] = {
    "regex.find_all_string_submatch_n": (3, find_submatches),
    "regex.find_n": (3, find_n),
    "regex.is_valid": (1, is_valid),
    "regex.match": (2, match),
    "regex.replace": (3, replace),
    "regex.split": (2, split),
}
"""Arity and function per builtin."""
