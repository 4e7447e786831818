"""`json.marshal` and `json.marshal_with_options`, as Go writes JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from permissions.pdp.regorus.orders import sort

if TYPE_CHECKING:
    from collections.abc import Mapping

_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def marshal(value: Any) -> str:
    """`json.marshal`."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":")).translate(
        _ESCAPED
    )


def marshal_with_options(value: Any, options: dict[str, Any]) -> str:
    """`json.marshal_with_options`."""
    if options.keys() - {"prefix", "indent", "pretty"}:
        raise ValueError("an option there is not")
    prefix, indent = options.get("prefix", ""), options.get("indent", "\t")
    if not (isinstance(prefix, str) and isinstance(indent, str)):
        raise TypeError("prefix and indent are texts")
    pretty = options.get("pretty", "prefix" in options or "indent" in options)
    if not isinstance(pretty, bool):
        raise TypeError("pretty is a boolean")
    if not pretty:
        return marshal(value)
    if not set(prefix + indent) <= set(" \t>#-*"):
        raise ValueError("a prefix or indent that is not agreed on")
    marked = json.dumps(_plain(value), ensure_ascii=False, indent="\x00")
    lines = marked.translate(_ESCAPED).split("\n")
    return "\n".join(prefix + _indented(line, indent) for line in lines)


def _indented(line: str, indent: str) -> str:
    text = line.lstrip("\x00")
    return indent * (len(line) - len(text)) + text


def _plain(value: Any) -> Any:
    """Sets as arrays in order, keys in order; what Go writes in another way raises."""
    if isinstance(value, set):
        return [_plain(each) for each in sort(value)]
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys are texts")
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, float) and not 1e-4 <= abs(value) < 2**53:
        raise ValueError("a fraction that is written in more than one way")
    if isinstance(value, str) and any(c in value for c in "\x08\x0c\x7f"):
        raise ValueError("a control character that is written in more than one way")
    return value


JSON_TEXTS: Mapping[str, tuple[int, Any]] = {
    "json.marshal": (1, marshal),
    "json.marshal_with_options": (2, marshal_with_options),
}
"""Arity and function per builtin."""
