"""An argument that is no target, and says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permissions.vocabulary import JsonObject


@dataclass(frozen=True, slots=True)
class FreeText:
    """An argument that says what and not where: its values may come from anywhere.

    It has no target, decides nothing for policies, and is no control argument, so text of an
    untrusted source may stand in it. On whole arguments: a mail's body, a search term, a size.
    """

    kind = "free"
    control = False

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind}
