"""Which files hold secrets, by the names the `filesystem` table of the policies lists.

The policies deny a path of such a name; here the same table keeps such files out of what a
folder argument or a workspace overlay shows, at any depth. A file that is a second name (hard
link) of one counts, too. Beside it, which files other programs run or obey, which do not come out
below a folder.

Not protected from: secrets under names the table does not know, and one that another program
makes in the workspace while a run is under way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from permissions.errors import ExecutionError
from permissions.tools.secret_paths import SecretPaths
from permissions.tools.steering_paths import SteeringPaths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

MAX_ENTRIES = 2_000_000
"""Entries of one workspace that are looked at."""


@dataclass(frozen=True, slots=True)
class SecretFiles:
    """By the table's names, endings and patterns; a folder of such a name counts with all in it."""

    paths: SecretPaths = field(default_factory=SecretPaths)
    steering: SteeringPaths = field(default_factory=SteeringPaths)

    @classmethod
    def of(cls, data: Mapping[str, Any], more: Iterable[str] = ()) -> Self:
        """From a bundle's data, and further names.

        Raises:
            ExecutionError: the table is there, and its lists are none.
        """
        table = data.get("wardline", {}).get("tables", {}).get("filesystem", {})
        try:
            return cls(SecretPaths.of_table(table, more), SteeringPaths.of_table(table))
        except ValueError as err:
            raise ExecutionError(f"data/filesystem.json: {err}") from err

    def has(self, path: str) -> bool:
        """Whether a path has such a name in it."""
        return self.paths.is_secret(path)

    def steers(self, path: str) -> bool:
        """Whether other programs run or obey a file of this path."""
        return self.steering.has(path)

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
                held = "in" if around else "here" if self.has(prefix + entry.name) else ""
                yield prefix + entry.name, entry, held
                if entry.is_dir(follow_symlinks=False):
                    folders.append((f"{prefix}{entry.name}/", entry.path, held))
