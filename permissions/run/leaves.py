"""Walking through JSON: the scalars in a value, where they stand, and the keys above them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.vocabulary import JsonValue

_KEY_DATA = re.compile(r"[^A-Za-z_]")


class Leaf(NamedTuple):
    """A scalar or an empty container.

    Attributes:
        pointer: to it (RFC 6901).
        value: what it is.
        keys: the names of members above it, without indices.
        record: pointer to the innermost object that holds it; None when none does.
    """

    pointer: str
    value: JsonValue
    keys: tuple[str, ...]
    record: str | None


def leaves(value: JsonValue, pointer: str = "") -> Iterator[Leaf]:
    """Every leaf, depth first."""
    if type(value) is not dict and type(value) is not list:
        yield Leaf(pointer, value, (), None)
        return
    waiting = [Leaf(pointer, value, (), None)]
    while waiting:
        where, item, keys, record = found = waiting.pop()
        if type(item) is dict and item:
            waiting += [
                Leaf(where + token(k), inner, (*keys, k), where) for k, inner in item.items()
            ]
        elif type(item) is list and item:
            waiting += [
                Leaf(f"{where}/{n}", inner, keys, record) for n, inner in enumerate(item)
            ]
        else:
            yield found


def scalars(value: JsonValue) -> Iterator[tuple[JsonValue, str]]:
    """Scalars, and keys that are data rather than names of fields, each with its pointer."""
    seen: set[str] = set()
    for leaf in leaves(value):
        yield leaf.value, leaf.pointer
        for key in leaf.keys:
            if key not in seen:
                seen.add(key)
                if is_data(key):
                    yield key, leaf.pointer


def is_data(key: str) -> bool:
    """Whether a key holds more than letters and underscores, as the name of a field does not."""
    return _KEY_DATA.search(key) is not None


def token(name: str) -> str:
    """One reference token of a JSON pointer with its slash (RFC 6901 section 3)."""
    if "~" in name or "/" in name:
        name = name.replace("~", "~0").replace("/", "~1")
    return "/" + name
