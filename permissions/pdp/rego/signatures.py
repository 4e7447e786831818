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
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Signature:
    """The kinds each argument and the result may have; `any` allows all."""

    arguments: tuple[frozenset[str], ...]
    result: frozenset[str]


def _load() -> dict[str, Signature]:
    text = resources.files("permissions.pdp.rego").joinpath("builtins.json").read_text("utf-8")
    return {
        name: Signature(
            tuple(frozenset(kinds.split("|")) for kinds in entry["arguments"]),
            frozenset(entry["result"].split("|")),
        )
        for name, entry in json.loads(text)["builtins"].items()
    }


WALK = Signature((frozenset({"any"}),), frozenset({"array"}))
"""A relation, so compared by policies and not by calls."""

BUILTINS: Mapping[str, Signature] = {**_load(), "walk": WALK}
"""Signature per builtin."""
