"""Arguments without a mark: what policies cannot see of a tool, and which mark would show it.

An argument that can hold a text, a number or an object has no target while nobody says what it
is. Each is a finding, told when a broker opens and by `wardline policy check --tools`, with the
mark that its name suggests; `FreeText` says that it was meant so. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from permissions.tools.definition import ToolDefinition
    from permissions.vocabulary import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class UnmarkedArgument:
    """One argument of a tool that policies see no target of."""

    tool: str
    argument: str
    suggestion: str

    def __str__(self) -> str:
        """One line: where, what, and what to do."""
        return f"{self.tool}: {self.argument} has no mark, so policies do not judge it; {self.suggestion}"


_WORDS: dict[str, str] = {
    "path": "path paths file files filename folder dir directory destination dest src source"
    " output outfile infile root cwd attachment attachments template",
    "HostArg()": "url urls uri host hostname endpoint link links webhook domain server callback"
    " href site proxy",
    "RecipientArg()": "to cc bcc recipient recipients email emails mail address addresses"
    " receiver participants attendees invitees user users member members",
    'RecipientArg("account")': "iban account accounts payee beneficiary creditor wallet",
    'RecipientArg("name")': "channel channels room group audience",
    "ResourceArg()": "repository repo table record issue project document",
    'RecipientArg("phone")': "phone telephone mobile sms msisdn",
    "SecretArg()": "password passwd passphrase passcode secret credential token apikey pin otp",
    "AmountArg()": "amount amounts price total sum cost fee payment",
    "CommandArg()": "command commands cmd argv shell script",
}
_BY_WORD = {word: mark for mark, words in _WORDS.items() for word in words.split()}
_LANGUAGES = frozenset({"query", "code", "expression", "filter", "program"})
_SPLIT = re.compile(r"[_\W]+|(?<=[a-z0-9])(?=[A-Z])")
_CLOSED_FORMATS = frozenset({"date", "date-time", "duration", "time", "uuid"})


def unmarked_arguments(tools: Iterable[ToolDefinition]) -> list[UnmarkedArgument]:
    """Every unmarked argument of these tools, in the order of their signatures."""
    return [
        UnmarkedArgument(tool.name, argument, _suggestion(tool, argument))
        for tool in tools
        for argument in tool.schema.get("properties", {})
        if argument in tool.unmarked
    ]


def _suggestion(tool: ToolDefinition, argument: str) -> str:
    words = [word.lower() for word in _SPLIT.split(argument) if word]
    for word in reversed(words):
        if word in ("sql", "statement"):
            return "its name says Annotated[..., SqlArg()], or FreeText() when it is none"
        if word in _LANGUAGES:
            return (
                "a text in a language can do all that the language can: take its parts as"
                " arguments, declare the effect it can have, or mark it Annotated[..., FreeText()]"
            )
        if mark := _BY_WORD.get(word):
            if mark == "path":
                mark = 'PathArg("read")' if tool.effect == "read" else 'PathArg("write")'
            return f"its name says Annotated[..., {mark}], or FreeText() when it is none"
    return "mark what it points at, or Annotated[..., FreeText()] when it only says what"


_NAMED = {
    "path": "path write",
    "HostArg()": "host",
    "RecipientArg()": "email",
    'RecipientArg("account")': "account",
    'RecipientArg("name")': "name",
    "ResourceArg()": "resource",
    'RecipientArg("phone")': "phone",
    "AmountArg()": "amount",
    "CommandArg()": "command",
}


def suggested_mark(argument: str) -> str | None:
    """The mark that an argument's name suggests, as `mark_named` reads it; None without one.

    Nothing is known of what the tool does with it, so a path is one to write.
    """
    words = [word.lower() for word in _SPLIT.split(argument) if word]
    return next((_NAMED[_BY_WORD[word]] for word in reversed(words) if word in _BY_WORD), None)


def carries_values(schema: JsonObject, whole: JsonObject) -> bool:
    """Whether values of this JSON Schema can be a text, a number or an object of any kind.

    Booleans, nulls, closed choices (`Literal`, an enumeration), dates and times cannot.

    Args:
        schema: of one argument.
        whole: the schema its `$ref`s are resolved in.
    """
    return _carries(schema, whole, seen=frozenset())


def _carries(schema: JsonValue, whole: JsonObject, *, seen: frozenset[str]) -> bool:
    if not isinstance(schema, dict):
        return True
    if (reference := schema.get("$ref")) is not None:
        name = str(reference).rpartition("/")[2]
        inner = whole.get("$defs", {}).get(name)
        return name not in seen and _carries(inner, whole, seen=seen | {name})
    inside = [
        each
        for key in ("anyOf", "oneOf", "prefixItems", "items")
        if key in schema
        for each in (schema[key] if isinstance(schema[key], list) else [schema[key]])
    ]
    if inside:
        return any(_carries(each, whole, seen=seen) for each in inside)
    kinds = schema.get("type")
    return not (
        "enum" in schema
        or "const" in schema
        or all(each in {"boolean", "null"} for each in _list(kinds))
        or schema.get("format") in _CLOSED_FORMATS
    )


def _list(kinds: JsonValue) -> list[JsonValue]:
    """The types that a schema allows; a schema that says none allows any."""
    return kinds if isinstance(kinds, list) else [kinds]
