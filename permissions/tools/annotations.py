"""Finding the mark of an argument in its type hint, wherever a developer may write it.

A mark that is not found would leave policies without a target and provenance without a
control argument, so a mark that cannot be followed is an error, never ignored.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Annotated, Any

from permissions.errors import ToolDefinitionError
from permissions.tools.targets import MARKS, CommandArg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.tools.targets import FreeText, Target


def mark_of(label: str, hint: Any) -> Target | FreeText | None:
    """The mark on an argument itself, on a member of a union, or on the items of a list.

    Args:
        label: names the argument in messages.

    Raises:
        ToolDefinitionError: there are two different marks, or one inside an object.
    """
    found = set(_marks(label, hint))
    if len(found) > 1:
        raise ToolDefinitionError(f"{label} carries {len(found)} different marks; one is read")
    return found.pop() if found else None


def _marks(label: str, hint: Any, *, in_list: bool = False) -> Iterator[Target | FreeText]:
    origin, members = typing.get_origin(hint), typing.get_args(hint)
    if (value := _renamed(hint)) is not None:
        yield from _marks(label, value, in_list=in_list)
    elif origin is Annotated:
        yield from _own_marks(label, hint.__metadata__, in_list=in_list)
        yield from _marks(label, hint.__origin__, in_list=in_list)
    elif origin in {typing.Union, types.UnionType}:
        for member in members:
            yield from _marks(label, member, in_list=in_list)
    elif isinstance(origin, type) and issubclass(origin, Sequence | AbstractSet):
        for member in members:
            yield from _marks(label, member, in_list=True)
    elif _is_marked(hint, seen=set()):
        raise ToolDefinitionError(
            f"{label} carries a mark inside {hint!r:.80}, where it is not read; make it an"
            " argument of its own"
        )


def _renamed(hint: Any) -> Any:
    """What `type Name = ...` and `NewType("Name", ...)` stand for."""
    found = getattr(hint, "__value__", None)
    return getattr(hint, "__supertype__", None) if found is None else found


def _own_marks(
    label: str, extras: tuple[Any, ...], *, in_list: bool
) -> Iterator[Target | FreeText]:
    for extra in extras:
        if isinstance(extra, CommandArg) and in_list:
            raise ToolDefinitionError(
                f"{label} is a list of commands; mark the whole list of words, or take one"
                " command at a time"
            )
        if isinstance(extra, type) and issubclass(extra, MARKS):
            raise ToolDefinitionError(
                f"{label} carries {extra.__name__} itself, which marks nothing; write"
                f" {extra.__name__}()"
            )
        if isinstance(extra, MARKS):
            yield extra


def _is_marked(hint: Any, *, seen: set[int]) -> bool:
    """Whether a mark is anywhere in a type."""
    if id(hint) in seen:
        return False
    seen.add(id(hint))
    extras = getattr(hint, "__metadata__", ())
    inner = [*typing.get_args(hint), *_members(hint)]
    return any(
        isinstance(extra, MARKS) or (isinstance(extra, type) and issubclass(extra, MARKS))
        for extra in extras
    ) or any(_is_marked(each, seen=seen) for each in inner)


def _members(hint: Any) -> list[Any]:
    """The types of what an object holds, and of what a name stands for."""
    if fields := getattr(hint, "model_fields", None):
        return [
            Annotated[(field.annotation, *field.metadata)]
            if field.metadata
            else field.annotation
            for field in fields.values()
        ]
    if isinstance(hint, typing.TypeVar):
        return [hint.__bound__, *hint.__constraints__]
    if (value := _renamed(hint)) is not None:
        return [value]
    if not isinstance(hint, type):
        return []
    try:
        # Of any class: there are two kinds of TypedDict, named tuples, and classes of others.
        return list(typing.get_type_hints(hint, include_extras=True).values())
    except (NameError, AttributeError, TypeError, SyntaxError):  # not readable at run time
        return list(getattr(hint, "__annotations__", {}).values())
