"""Which records of an output the person spoke of: those that hold a value they said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from permissions.run.leaves import leaves

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.vocabulary import JsonValue

MAX_LENGTH: Final = 200
"""Characters of a value that names a record; a longer text is about something."""


def linked_records(result: JsonValue, is_named: Callable[[JsonValue], bool]) -> frozenset[str]:
    """Pointers to the objects that hold such a value themselves, or in a list.

    Any field counts, one that others fill in, too: whoever names his own record like the
    person's makes that one meant. What follows from it is for policies to say.
    """
    found: set[str] = set()
    for leaf in leaves(result):
        record = leaf.record
        if record is None or record in found:
            continue
        if isinstance(leaf.value, str) and len(leaf.value) > MAX_LENGTH:
            continue
        if is_named(leaf.value):
            found.add(record)
    return frozenset(found)


def holds_several(result: JsonValue) -> bool:
    """Whether a result is a collection of more than one record, in a list or by name."""
    members = list(result.values()) if isinstance(result, dict) else result
    return (
        isinstance(members, list)
        and len(members) > 1
        and all(isinstance(each, dict) for each in members)
    )
