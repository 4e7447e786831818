"""Targets: what an argument points at, parsed so that policies never parse text.

An argument marked with one of the classes below (`Annotated[str, PathArg("write")]`) is
turned into a JSON document that policies see as `resource.properties.targets`. A value that
cannot be parsed without doubt is refused as a bad argument: `http://10.1` or a path with a
NUL byte never reaches a policy as something that looks harmless.

One kind of target is one module here. Not in here: what a policy makes of a target.

Not protected from: a path whose links change between decision and use (sandboxed tools are,
by their mounts), and a host name that resolves to a private address (the egress proxy checks
the address it dials).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from permissions.tools.targets.amount import AmountArg, minor_digits
from permissions.tools.targets.base import Target, TargetError
from permissions.tools.targets.command import CommandArg
from permissions.tools.targets.free_text import FreeText
from permissions.tools.targets.host import HostArg
from permissions.tools.targets.path import PathArg
from permissions.tools.targets.recipient import RecipientArg
from permissions.tools.targets.resource import ResourceArg
from permissions.tools.targets.secret import SecretArg
from permissions.tools.targets.shell_text import ShellArg
from permissions.tools.targets.sql import SqlArg, SqlDialect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue

__all__ = [
    "MARKS",
    "AmountArg",
    "CommandArg",
    "FreeText",
    "HostArg",
    "PathArg",
    "RecipientArg",
    "ResourceArg",
    "SecretArg",
    "ShellArg",
    "SqlArg",
    "Target",
    "TargetError",
    "mark_named",
    "minor_digits",
    "parse_targets",
]

MARKS = (
    PathArg,
    HostArg,
    RecipientArg,
    AmountArg,
    CommandArg,
    ResourceArg,
    SecretArg,
    SqlArg,
    FreeText,
)


_NAMED: dict[str, Callable[[str], Target]] = {
    "path": lambda word: PathArg("write" if word == "write" else "read"),
    "host": lambda _: HostArg(),
    "email": lambda _: RecipientArg("email"),
    "account": lambda _: RecipientArg("account"),
    "phone": lambda _: RecipientArg("phone"),
    "name": lambda _: RecipientArg("name"),
    "amount": lambda word: AmountArg(word or "EUR"),
    "command": lambda _: CommandArg(),
    "resource": lambda word: ResourceArg(word or "record"),
    "shell": lambda _: ShellArg(),
    "secret": lambda word: SecretArg(new=word == "new"),
    "sql": lambda word: SqlArg(cast("SqlDialect", word or "postgres")),
}


def mark_named(text: str) -> Target:
    """A mark by its name in a table of tests: `email`, `path write`, `sql mysql`, `amount USD`.

    Raises:
        TargetError: there is no mark of this name.
    """
    name, _, word = text.partition(" ")
    if name not in _NAMED:
        raise TargetError(f"has no mark {text!r:.60}: one of {', '.join(_NAMED)}")
    return _NAMED[name](word)


def parse_targets(
    mark: Target, argument: str, value: JsonValue, root: Path
) -> list[JsonObject]:
    """The documents of one argument: one, none for null, or one per item of a list.

    Raises:
        TargetError: a value cannot be parsed without doubt.
    """
    if value is None:
        return []
    many = isinstance(value, list) and not isinstance(mark, CommandArg)
    found = [
        {"kind": mark.kind, "argument": argument, **mark.parse(item, root)}
        for item in (value if many else [value])
    ]
    if isinstance(mark, ShellArg):
        found += [
            {"kind": PathArg.kind, "argument": argument, **each}
            for each in mark.files(value, root)
        ]
    return found
