"""Text with values in it (`$"a {x} b"`) as the engine's parser reads it.

`$"a {x} b"` becomes `__opa_template(["a ", [v | v := x], " b"])`: a value that is undefined is an
empty array, which OPA writes as `<undefined>`. Lines stay where they are.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from permissions.pdp.regorus.sprintf import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_QUOTES = '"`'
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_OPEN = "a text with values in it, or one of the values, does not end"
_CLOSING = frozenset(_BRACKETS.values())


def without_templates(text: str) -> str:
    """The text without templates.

    Raises:
        ValueError: a template does not end.
    """
    if '$"' not in text and "$`" not in text:
        return text
    return _plain(text, count())


def _plain(text: str, numbers: Iterator[int]) -> str:
    out: list[str] = []
    at = 0
    while at < len(text):
        end = _end_of_token(text, at)
        token = text[at:end]
        if token.startswith(("$" + '"', "$`")):
            token = _template(token, numbers)
        out.append(token)
        at = end
    return "".join(out)


def _end_of_token(text: str, at: int) -> int:
    """Where a comment, a text, a template or one character ends."""
    if text[at] == "#":
        found = text.find("\n", at)
        return len(text) if found < 0 else found
    if text[at] in _QUOTES:
        return _end_of_text(text, at)
    if text[at] == "$" and text[at + 1 : at + 2] in ('"', "`"):
        return _end_of_template(text, at + 1)
    return at + 1


def _end_of_text(text: str, at: int) -> int:
    quote, here = text[at], at + 1
    while here < len(text):
        if text[here] == "\\" and quote == '"':
            here += 2
        elif text[here] == quote:
            return here + 1
        else:
            here += 1
    return len(text)


def _end_of_template(text: str, at: int) -> int:
    quote, here = text[at], at + 1
    while here < len(text):
        if text[here] == "\\" and (quote == '"' or text[here + 1 : here + 2] == "{"):
            here += 2
        elif text[here] == "{":
            here = _end_of_value(text, here)
        elif text[here] == quote:
            return here + 1
        else:
            here += 1
    return len(text)


def _end_of_value(text: str, at: int) -> int:
    """Behind the brace that closes the one at `at`."""
    awaited: list[str] = []
    here = at
    while here < len(text):
        if text[here] in _BRACKETS:
            awaited.append(_BRACKETS[text[here]])
        elif text[here] in _CLOSING:
            if text[here] != awaited.pop():
                break
            if not awaited:
                return here + 1
        here = _end_of_token(text, here)
    raise ValueError(_OPEN)


def _template(token: str, numbers: Iterator[int]) -> str:
    quote, body = token[1], token[2:-1]
    if len(token) < 3 or token[-1] != quote:
        raise ValueError(_OPEN)
    parts: list[str] = []
    here = start = 0
    while here < len(body):
        if body[here] == "\\" and (quote == '"' or body[here + 1 : here + 2] == "{"):
            here += 2
        elif body[here] == "{":
            end = _end_of_value(body, here)
            value = _plain(body[here + 1 : end - 1], numbers)
            name = f"__opa_v{next(numbers)}"
            parts += [_literal(body[start:here], quote), f"[{name} | {name} := {value}]"]
            here = start = end
        else:
            here += 1
    parts.append(_literal(body[start:], quote))
    return f"__opa_template([{', '.join(parts)}])"


def _literal(text: str, quote: str) -> str:
    plain = text.replace("\\{", "{")
    return f"{quote}{plain}{quote}"


def template(parts: list[Any]) -> str:
    """What a template comes to; of two values for one slot OPA makes an error."""
    return "".join(part if isinstance(part, str) else _value(part) for part in parts)


def _value(values: list[Any]) -> str:
    if not values:
        return "<undefined>"
    if any(value != values[0] for value in values):
        raise ValueError("more than one value for one slot")
    value = values[0]
    return value if isinstance(value, str) else written(value)


TEMPLATES: Mapping[str, tuple[int, Any]] = {"__opa_template": (1, template)}
"""Arity and function per builtin."""
