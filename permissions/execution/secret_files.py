"""Which files hold secrets, by the names the `filesystem` table of the policies lists.

The policies deny a path of such a name; here the same table keeps such files out of what a
folder argument or a workspace overlay shows, at any depth. A file that is a second name (hard
link) of one counts, too.

Not protected from: secrets under names the table does not know, and one that another program
makes in the workspace while a run is under way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from permissions.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

MAX_ENTRIES = 2_000_000
"""Entries of one workspace that are looked at."""


@dataclass(frozen=True, slots=True)
class SecretFiles:
    """Names and endings of names, in lower case; a folder of such a name counts with all in it."""

    names: frozenset[str] = frozenset()
    endings: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any], more: Iterable[str] = ()) -> Self:
        """From a bundle's data, and further names.

        Raises:
            ExecutionError: the table is there, and its lists are none.
        """
        table = data.get("wardline", {}).get("tables", {}).get("filesystem", {})
        names, endings = table.get("secret_names", []), table.get("secret_endings", [])
        for each in (names, endings):
            if not isinstance(each, list) or not all(isinstance(text, str) for text in each):
                raise ExecutionError(
                    "data/filesystem.json: secret_names and secret_endings are lists of texts"
                )
        return cls(
            frozenset(name.lower() for name in (*names, *more)),
            tuple(ending.lower() for ending in endings if ending),
        )

    def has(self, name: str) -> bool:
        """Whether one component of a path is such a name."""
        lower = name.lower()
        return lower in self.names or lower.endswith(self.endings)

    def below(self, folder: Path) -> tuple[str, ...]:
        """Every entry below that holds secrets, relative to it, at any depth. Blocking.

        Not what lies in an entry that is named already. Links are not followed: they lead to
        where a run sees nothing either.

        Raises:
            ExecutionError: there are too many entries to look at.
        """
        found: list[str] = []
        inodes: set[tuple[int, int]] = set()
        linked: list[tuple[str, tuple[int, int]]] = []
        for number, (path, entry, held) in enumerate(self._walk(folder)):
            if number >= MAX_ENTRIES:
                raise ExecutionError(
                    f"the workspace has more than {MAX_ENTRIES} entries, which cannot all be"
                    " looked through for secrets; open the session on a smaller folder"
                )
            if held == "here":
                found.append(path)
            if entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                if status.st_nlink > 1:
                    inode = status.st_dev, status.st_ino
                    inodes |= {inode} if held else set()
                    linked += [] if held else [(path, inode)]
        return (*found, *(path for path, inode in linked if inode in inodes))

    def _walk(self, top: Path) -> Iterator[tuple[str, os.DirEntry[str], str]]:
        """Every entry, and whether it is secret `here`, by a folder it is `in`, or not."""
        folders = [("", str(top), "")]
        while folders:
            prefix, folder, around = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    inner = sorted(entries, key=lambda each: each.name)
            except OSError:
                continue  # what the broker cannot read, no run of it can
            for entry in inner:
                held = "in" if around else "here" if self.has(entry.name) else ""
                yield prefix + entry.name, entry, held
                if entry.is_dir(follow_symlinks=False):
                    folders.append((f"{prefix}{entry.name}/", entry.path, held))
