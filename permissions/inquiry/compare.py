"""Two runs side by side: which calls both made, which only one, and what came out otherwise."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import orjson

from permissions.inquiry.contents import shown

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from permissions.inquiry.call_record import CallRecord
    from permissions.model import JsonObject

_COMPARED = ("arguments", "outcome", "reasons", "approvers", "isolation", "changes")


def compared(first: Sequence[CallRecord], second: Sequence[CallRecord]) -> Iterator[JsonObject]:
    """Row by row, in the order of the runs: `same`, `changed`, `first_only` or `second_only`.

    Calls with the same tool and arguments are one call; between those, calls of the same tool.
    """
    for one, other in _paired(first, second):
        ours = None if one is None else one.summary()
        theirs = None if other is None else other.summary()
        differs: list[str] = []
        change = "first_only" if theirs is None else "second_only"
        if ours is not None and theirs is not None:
            differs = [name for name in _COMPARED if ours[name] != theirs[name]]
            change = "changed" if differs else "same"
        yield {"change": change, "differs": differs, "first": ours, "second": theirs}


_Pair = tuple["CallRecord | None", "CallRecord | None"]


def _paired(first: Sequence[CallRecord], second: Sequence[CallRecord]) -> Iterator[_Pair]:
    for ours, theirs, is_equal in _blocks(
        first, second, [_exact(each) for each in first], [_exact(each) for each in second]
    ):
        if is_equal:
            yield from zip(ours, theirs, strict=True)
            continue
        tools = [each.tool for each in ours], [each.tool for each in theirs]
        for mine, yours, same_tool in _blocks(ours, theirs, *tools):
            if same_tool:
                yield from zip(mine, yours, strict=True)
            else:
                yield from ((each, None) for each in mine)
                yield from ((None, each) for each in yours)


def _blocks(
    first: Sequence[Any], second: Sequence[Any], ours: list[Any], theirs: list[Any]
) -> Iterator[tuple[Sequence[Any], Sequence[Any], bool]]:
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        yield first[a:b], second[c:d], kind == "equal"


def _exact(call: CallRecord) -> Hashable:
    return call.tool, orjson.dumps(shown(call.arguments), option=orjson.OPT_SORT_KEYS)
