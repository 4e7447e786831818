"""A thing that a tool acts on, as a target: a record, a repository, a table, a file's id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.errors import ToolDefinitionError
from permissions.tools.targets.base import TargetError, plain_text

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue

MAX_NAME = 512


@dataclass(frozen=True, slots=True)
class ResourceArg:
    """The name or id of what a tool acts on: a record, a repository, a table.

    `type` says what it is, in a word of the deployer's own. Who receives something is a
    `RecipientArg`, a file of this machine a `PathArg`.
    """

    type: str = "record"
    kind = "resource"
    control = True

    def __post_init__(self) -> None:
        """Refuses a type that no policy could match on.

        Raises:
            ToolDefinitionError: it is no lower-case word.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", self.type):
            raise ToolDefinitionError(
                f"ResourceArg({self.type!r:.60}): a type is a lower-case word, as in table"
            )

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:  # noqa: ARG002
        """The name as a text; an integer as its digits."""
        if isinstance(value, int) and not isinstance(value, bool):
            return {"type": self.type, "name": str(value)}
        text = plain_text(value, "a name or an id", MAX_NAME)
        if text != text.strip():
            raise TargetError("begins or ends with white space, which some readers drop")
        return {"type": self.type, "name": text}

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind, "type": self.type}
