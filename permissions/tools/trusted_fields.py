"""Which fields of a tool's output its service fills in, so that they may be believed.

Trust is by field: of a mail the service writes the id, the sender and the time, and anybody
the text. A tool names such fields in `trusted_fields`, each by one of

    id              a member of that name, at any depth
    /*/sender       a JSON pointer (RFC 6901); `*` stands for any one name or index. Of a list
                    its items are meant
    /shared_with#   the names of that object's members, rather than what they hold
    (empty)         the whole result, of a tool that returns a single value

It does not protect from a field that the service copies from somebody's text (a display name,
a file's name), nor from a name that also stands inside of an object that others fill in: a
pointer says which one is meant.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from permissions.errors import ToolDefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from permissions.vocabulary import JsonValue

MAX_PATTERNS: Final = 100

_NAME = re.compile(r"[^/~#*\s]{1,100}#?")
_POINTER = re.compile(r"(/([^~/#]|~[01])*)+#?")


class FieldValue(NamedTuple):
    """A value that the service filled in.

    Attributes:
        value: a scalar, or the name of a member.
        pointer: to it (RFC 6901).
        record: pointer to the innermost object around it; None when there is none.
    """

    value: JsonValue
    pointer: str
    record: str | None


class TrustedFields:
    """The patterns of one tool, read."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Reads patterns.

        Raises:
            ToolDefinitionError: one is neither a name nor a pointer, or there are too many.
        """
        self.patterns = tuple(sorted(set(patterns)))
        if len(self.patterns) > MAX_PATTERNS:
            raise ToolDefinitionError(
                f"trusted_fields has {len(self.patterns)} entries; at most {MAX_PATTERNS}"
            )
        self._names: set[tuple[str, bool]] = set()
        self._paths: list[tuple[tuple[str, ...], bool]] = []
        for pattern in self.patterns:
            self._read(pattern)

    def __eq__(self, other: object) -> bool:
        """Whether the same fields are meant."""
        return isinstance(other, TrustedFields) and self.patterns == other.patterns

    def __hash__(self) -> int:
        """By the patterns."""
        return hash(self.patterns)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.patterns)

    def found_in(self, result: JsonValue) -> Iterator[FieldValue]:
        """The values in these fields, and the names of members.

        Of a field that holds a list, its items; of one that holds an object, nothing, unless
        its members have patterns of their own.
        """
        waiting: list[tuple[FieldValue, tuple[str, ...]]]
        waiting = [(FieldValue(result, "", None), ())]
        while waiting:
            (value, pointer, record), path = waiting.pop()
            if isinstance(value, dict):
                names_too = self._matches(path, of_keys=True)
                for name, inner in value.items():
                    below = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
                    if names_too:
                        yield FieldValue(name, below, record)
                    waiting.append((FieldValue(inner, below, pointer), (*path, name)))
            elif isinstance(value, list):
                is_field = self._matches(path, of_keys=False)
                for index, inner in enumerate(value):
                    item = FieldValue(inner, f"{pointer}/{index}", record)
                    if not is_field or isinstance(inner, dict | list):
                        waiting.append((item, (*path, str(index))))
                    else:
                        yield item
            elif self._matches(path, of_keys=False):
                yield FieldValue(value, pointer, record)

    def covers(self, path: Sequence[str]) -> bool:
        """Whether the service fills in what a plan's reference leads to."""
        return self._matches(path, of_keys=False) or (
            bool(path) and path[-1].isdecimal() and self._matches(path[:-1], of_keys=False)
        )

    def _matches(self, path: Sequence[str], *, of_keys: bool) -> bool:
        if path and (path[-1], of_keys) in self._names:
            return True
        return any(
            keys is of_keys
            and len(tokens) == len(path)
            and all(token in ("*", name) for token, name in zip(tokens, path, strict=True))
            for tokens, keys in self._paths
        )

    def _read(self, pattern: str) -> None:
        of_keys = pattern.endswith("#")
        bare = pattern.removesuffix("#")
        if not bare or (bare.startswith("/") and _POINTER.fullmatch(pattern)):
            tokens = tuple(
                token.replace("~1", "/").replace("~0", "~") for token in bare.split("/")[1:]
            )
            self._paths.append((tokens, of_keys))
        elif _NAME.fullmatch(pattern):
            self._names.add((bare, of_keys))
        else:
            raise ToolDefinitionError(
                f"trusted_fields: {pattern[:80]!r} is neither the name of a field nor a JSON"
                " pointer such as /*/id; names of members are written /*/shared_with#"
            )


NO_FIELDS: Final = TrustedFields()
