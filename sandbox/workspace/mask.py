"""What hides paths of a workspace: a folder of whiteouts that lies over it in an overlay.

A whiteout needs its folder in the mask, and what a run sees of a folder's mode is the mask's:
so each has the mode and the owner of the one it stands for.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask that is to be made.

    Attributes:
        folders: relative paths, parents first, with the status of what is there.
        whiteouts: relative paths.
    """

    folders: tuple[tuple[str, int, int], ...]
    whiteouts: tuple[str, ...]


def mask_of(workspace: Path, hidden: Iterable[str]) -> Mask:
    """The mask that hides these paths. One whose folder is not there has nothing to hide.

    Args:
        workspace: the real folder.
        hidden: relative paths.
    """
    folders: dict[str, tuple[str, int, int]] = {}
    whiteouts: list[str] = []
    taken = set(hidden)
    for path in sorted(taken):
        parents = _parents(path)
        if not taken.isdisjoint(parents):
            continue  # gone with its folder
        found = [(each, _folder(workspace / each)) for each in parents]
        if all(status is not None for _, status in found):
            folders |= {each: (each, *status) for each, status in found if status is not None}
            whiteouts.append(path)
    return Mask(tuple(folders[name] for name in sorted(folders)), tuple(whiteouts))


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def _folder(path: Path) -> tuple[int, int] | None:
    """Permission bits and owner; None when it is no folder, links not followed."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_mode & 0o777, found.st_uid) if stat.S_ISDIR(found.st_mode) else None
