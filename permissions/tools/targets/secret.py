"""An argument that takes a credential: a password, a key, a token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.errors import ToolDefinitionError
from permissions.tools.targets.base import TargetError

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue

MAX_LENGTH = 65536
"""Characters of a credential; a key in PEM is one, too."""


@dataclass(frozen=True, slots=True)
class SecretArg:
    """Where a credential belongs: the password of a login, the key of a service.

    A secret here is in its place, and no text that leaks one. `new` says that the tool sets the
    credential, as a change of password does: one that others chose would give them the account.
    Where it is sent the tool decides; an address is an argument of its own, with its own mark.
    """

    new: bool = False
    kind = "secret"
    control = True

    def __post_init__(self) -> None:
        """Refuses what is neither.

        Raises:
            ToolDefinitionError: `new` is no boolean.
        """
        if type(self.new) is not bool:
            raise ToolDefinitionError(f"SecretArg(new={self.new!r:.40}): say True or False")

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:  # noqa: ARG002
        """Whether it is set or presented; never the value."""
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not is_number and (not isinstance(value, str) or not 0 < len(value) <= MAX_LENGTH):
            raise TargetError("is no text that could be a credential")
        return {"new": self.new}

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind, "new": self.new}
