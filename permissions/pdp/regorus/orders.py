"""`sort`, `min` and `max` in OPA's order: an object comes before a set.

In the engine's own order a set comes first. Values with sets of arrays, objects or sets in them
have no Python form, and fail the evaluation.
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: tuple[type, ...] = (type(None), bool, int, str, list, dict, set)


def compare(one: Any, other: Any) -> int:
    """-1, 0 or 1, as OPA orders values."""
    kind, its = _rank(one), _rank(other)
    if kind != its:
        return -1 if kind < its else 1
    if isinstance(one, (list, set)):
        pairs = zip(_items(one), _items(other), strict=False)
        differing = (found for mine, theirs in pairs if (found := compare(mine, theirs)))
        return next(differing, (len(one) > len(other)) - (len(one) < len(other)))
    if isinstance(one, dict):
        return _compare_objects(one, other)
    if one is None or one == other:
        return 0
    return -1 if one < other else 1


def _compare_objects(one: dict[Any, Any], other: dict[Any, Any]) -> int:
    for mine, theirs in zip(_items(set(one)), _items(set(other)), strict=False):
        if found := compare(mine, theirs) or compare(one[mine], other[theirs]):
            return found
    return (len(one) > len(other)) - (len(one) < len(other))


def _rank(value: Any) -> int:
    kind = int if type(value) is float else type(value)
    return _KINDS.index(list if kind is tuple else kind)


def _items(values: Any) -> list[Any]:
    return sort(values) if isinstance(values, set) else list(values)


def sort(values: Any) -> list[Any]:
    """`sort`."""
    if not isinstance(values, (list, set)):
        raise TypeError("no array or set")
    return sorted(values, key=cmp_to_key(compare))


def smallest(values: Any) -> list[Any]:
    """What `min` is of, alone; nothing of nothing."""
    return sort(values)[:1]


def largest(values: Any) -> list[Any]:
    """What `max` is of, alone; nothing of nothing."""
    return sort(values)[-1:]


ORDERS: Mapping[str, tuple[int, Any]] = {
    "__opa_largest": (1, largest),
    "__opa_smallest": (1, smallest),
    "__opa_sort": (1, sort),
}
"""Arity and function per builtin."""
