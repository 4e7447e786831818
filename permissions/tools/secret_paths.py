"""Which paths hold secrets, by the table that policies read (`tables.filesystem`). Pure.

For executors: what policies would refuse by name is not to be visible below a folder that a
tool was given. The same rules as `lib.secret_path` of the policies; a test holds them together.
Not protected from: secrets under names that the table does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class SecretPaths:
    """The names under which programs keep credentials."""

    names: frozenset[str] = frozenset()
    endings: tuple[str, ...] = ()
    patterns: tuple[tuple[str, str], ...] = ()
    paths: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    exceptions: frozenset[str] = frozenset()

    @classmethod
    def of_table(cls, table: Mapping[str, Any], more: Iterable[str] = ()) -> SecretPaths:
        """Those of the table `filesystem`, and further names.

        Raises:
            ValueError: one of its lists is no list of texts.
        """
        halves = [pattern.partition("*") for pattern in texts_of(table, "secret_patterns")]
        return cls(
            names=frozenset(
                [*texts_of(table, "secret_names"), *(name.lower() for name in more)]
            ),
            endings=tuple(filter(None, texts_of(table, "secret_endings"))),
            patterns=tuple((head, tail) for head, _, tail in halves),
            paths=texts_of(table, "secret_paths"),
            parts=tuple(filter(None, texts_of(table, "secret_parts"))),
            copies=tuple(filter(None, texts_of(table, "copy_endings"))),
            exceptions=frozenset(texts_of(table, "not_secret_names")),
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
        copied = (part.removesuffix(each) for each in self.copies if part.endswith(each))
        return self._is_named(part) or any(map(self._is_named, copied))

    def _is_named(self, name: str) -> bool:
        return (
            name in self.names
            or name.endswith(self.endings)
            or any(text in name for text in self.parts)
            or any(name.startswith(a) and name.endswith(b) for a, b in self.patterns)
        )


def texts_of(table: Mapping[str, Any], member: str) -> tuple[str, ...]:
    """A list of texts of a table, in small letters; nothing where it has none.

    Raises:
        ValueError: it is no list of texts.
    """
    texts = table.get(member, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{member} is a list of texts")
    return tuple(text.lower() for text in texts)
