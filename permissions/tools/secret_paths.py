"""Which paths hold secrets, by the table that policies read (`tables.filesystem`). Pure.

For executors: what policies would refuse by name is not to be visible below a folder that a
tool was given. The same rules as `lib.secret_path` of the policies; a test holds them together.
Not protected from: secrets under names that the table does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permissions.vocabulary import JsonObject


@dataclass(frozen=True)
class SecretPaths:
    """The names under which programs keep credentials."""

    names: frozenset[str]
    endings: tuple[str, ...]
    patterns: tuple[tuple[str, str], ...]
    paths: tuple[str, ...]
    exceptions: frozenset[str]

    @classmethod
    def of_tables(cls, data: JsonObject) -> SecretPaths:
        """Those of a policy bundle's data (`PolicyBundle.data`).

        Raises:
            KeyError: the bundle has no such table, so nothing may be shown at all.
        """
        table = data["wardline"]["tables"]["filesystem"]
        halves = [pattern.partition("*") for pattern in table["secret_patterns"]]
        return cls(
            names=frozenset(table["secret_names"]),
            endings=tuple(table["secret_endings"]),
            patterns=tuple((head, tail) for head, _, tail in halves),
            paths=tuple(table["secret_paths"]),
            exceptions=frozenset(table["not_secret_names"]),
        )

    def is_secret(self, path: str) -> bool:
        """Whether a path, or a folder above it, has a name under which secrets are kept.

        Args:
            path: with `/` between its parts, absolute or not.
        """
        lowered = path.lower()
        if any(self._is_secret_name(part) for part in lowered.split("/")):
            return True
        return any(f"/{known}/" in f"/{lowered}/" for known in self.paths)

    def _is_secret_name(self, part: str) -> bool:
        if part in self.exceptions:
            return False
        return (
            part in self.names
            or part.endswith(self.endings)
            or any(part.startswith(a) and part.endswith(b) for a, b in self.patterns)
        )
