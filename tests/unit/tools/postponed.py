"""Tools written under postponed annotations, and ones whose hints nothing can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from wardline import PathArg, RecipientArg, tool

if TYPE_CHECKING:
    from decimal import Decimal


@tool
def postponed(path: Annotated[str, PathArg("write")], to: list[Mail] | None = None) -> int:
    """Its hints are texts, one of them about something defined later."""
    return len(path)


@tool
def hidden(amount: Decimal) -> None:
    """Its type is imported for type checkers only."""


Mail = Annotated[str, RecipientArg()]
