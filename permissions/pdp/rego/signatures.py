"""The builtins policies may call: those that were compared with OPA and found equal.

`builtins.json` beside this file is written by `tests/support/rego_builtins.py`, which calls
every builtin of the real OPA at random and lists those whose answers were the same, with the
versions that were compared. What is missing there is refused by the linter: the engine does not
have it (JWT, GraphQL, ...), has another idea of it (`time.format`, `yaml.*`, ...), or it makes a
decision depend on more than its input (`http.send`, `time.now_ns`, ...).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Signature:
    """What a builtin takes and gives.

    `arguments` and `result` are kinds, where `any` allows all; `declared` the types as
    `opa capabilities` writes them.
    """

    arguments: tuple[frozenset[str], ...]
    result: frozenset[str]
    declared: Mapping[str, Any]

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> Signature:
        """From the types of arguments and result."""
        return cls(
            tuple(map(_kinds, declared["arguments"])), _kinds(declared["result"]), declared
        )


def _kinds(declared: Mapping[str, Any]) -> frozenset[str]:
    if declared["type"] == "any" and "of" in declared:
        return frozenset().union(*map(_kinds, declared["of"]))
    return frozenset({declared["type"]})


_ANYTHING = {"type": "any"}
_PATH = {"type": "array", "dynamic": _ANYTHING}
WALK = Signature.of(
    {"arguments": [_ANYTHING], "result": {"type": "array", "static": [_PATH, _ANYTHING]}}
)
"""A relation, so compared by policies and not by calls."""

_TABLE: Mapping[str, Any] = json.loads(
    Path(__file__).with_name("builtins.json").read_text("utf-8")
)
BUILTINS: Mapping[str, Signature] = {
    **{name: Signature.of(entry) for name, entry in _TABLE["builtins"].items()},
    "walk": WALK,
}
"""Signature per builtin."""

OPERATORS: Mapping[str, Signature] = {
    name: Signature.of(entry) for name, entry in _TABLE["operators"].items()
}
"""Signature per operator, by the name that OPA has for it: `plus`, `equal`, ..."""

VALUED = BUILTINS.keys() - {"max", "min"}
"""Builtins that have a value, or fail, wherever their arguments have one; `max([])` has none."""
