"""What an operator says of approved tools, checked before it is written down."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from permissions.errors import ConfigError
from permissions.gateway.pinned import Row
from permissions.gateway.tools import guarded_tool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from permissions.gateway.pinned import Definitions, Pins


def matching(pins: Pins, upstream: str, patterns: Sequence[str]) -> list[str]:
    """The approved tools of a server that these patterns name.

    Raises:
        ConfigError: one names none.
    """
    known = pins.rows.get(upstream, {})
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            there = ", ".join(sorted(known)) or "none; `wardline gateway pin`"
            raise ConfigError(
                f"{upstream} has no approved tool {pattern[:80]!r}; there are: {there}"
            )
    return sorted(n for n in known if any(fnmatchcase(n, pattern) for pattern in patterns))


def described(
    row: Row,
    definitions: Definitions,
    name: str,
    *,
    effect: str,
    impact: str,
    marks: Mapping[str, str],
) -> Row:
    """The row as it is to be.

    A path that was marked as written only because of its name is one that is read, where the
    tool only reads.

    Raises:
        ConfigError: a word is none of the vocabulary.
        ToolDefinitionError: the tool cannot be governed so, or its server says that it does more.
    """
    kept = {
        argument: "path read" if (mark, effect) == ("path write", "read") else mark
        for argument, mark in row.marks.items()
    }
    said = {**row.model_dump(), "effect": effect, "impact": impact, "marks": {**kept, **marks}}
    try:
        made = Row.model_validate(said)
    except ValidationError as err:
        (fault, *_) = err.errors(include_url=False, include_input=False)
        raise ConfigError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from err
    guarded_tool(name, made, definitions.get(made.definition), _not_called)
    return made


async def _not_called(**_: Any) -> dict[str, Any]:
    raise RuntimeError("only looked at")
