"""Modules with a token left out, doubled, moved or replaced."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

_TOKEN = re.compile(
    r'"(?:\\.|[^"\\\n])*"|`[^`]*`|#[^\n]*|[A-Za-z_]\w*|\d+(?:\.\d+)?|:=|==|!=|<=|>=|\s+|.',
    re.DOTALL,
)
_OTHERS = [
    "x",
    "y",
    "_",
    "input",
    "data",
    "true",
    "false",
    "null",
    "1",
    "2",
    '"a"',
    '"b"',
    "[]",
    "{}",
    "set()",
    "{1}",
    "[1]",
    '{"a":1}',
    "not",
    "some",
    "every",
    "in",
    "with",
    "as",
    "if",
    "else",
    "default",
    "contains",
    ":=",
    "=",
    "==",
    "!=",
    "<",
    "+",
    "-",
    "*",
    "/",
    "|",
    "&",
    "count",
    "sum",
    "startswith",
    "lower",
    "abs",
    "max",
    "is_string",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ";",
    ".",
    ":",
    "input.x",
    "input.y",
    "data.foo.bar",
    "union",
    "sort",
    "concat",
    "walk",
    "split",
    "object.get",
    "json.unmarshal",
    "print",
]
"""What a token is replaced by."""


def mutated_text(rng: random.Random, text: str) -> str:
    """The text of a module with one token in another way, or two; its package stays."""
    tokens = _TOKEN.findall(text)
    for _ in range(rng.choice([1, 1, 1, 2])):
        slots = [
            at for at, token in enumerate(tokens) if not (token.isspace() or token[0:1] == "#")
        ]
        if len(slots) < 3:
            break
        at, other = rng.choice(slots[2:]), rng.choice(slots)
        match rng.randrange(6):
            case 0:
                tokens[at] = " "
            case 1:
                tokens[at] = f"{tokens[at]} {tokens[at]}"
            case 2:
                tokens[at] = rng.choice(_OTHERS)
            case 3:
                tokens[at] = tokens[other]
            case 4:
                tokens[at] = f"{tokens[at]} {rng.choice(_OTHERS)}"
            case _:
                tokens[at], tokens[other] = tokens[other], tokens[at]
    return "".join(tokens)
