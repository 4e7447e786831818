"""What a tool of the broker's own process finds below a folder that it is given.

A sandbox leaves secrets and the broker's own files out; in this process nobody can. So policies
are told that a folder holds some (`holds_secrets` of a path target), at any depth, by name, by
another name (hard link) and by a link that leads to one, before the tool gets it.

Not protected from: secrets under names the policies do not know, a link that leads out of the
workspace to any other file, and what comes into the folder after the look.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from anyio import to_thread

from permissions.errors import ExecutionError
from permissions.execution.secret_files import MAX_ENTRIES, SecretFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from permissions.vocabulary import Isolation, JsonObject


class Folders:
    """Looks through folders.

    Args:
        secrets: which files hold secrets.
        private: files and folders of the broker's own.
    """

    def __init__(
        self, secrets: SecretFiles | None = None, private: Iterable[Path] = ()
    ) -> None:
        self._secrets = secrets or SecretFiles()
        self._private = tuple(os.path.realpath(path) for path in private)

    async def told(
        self, targets: Sequence[JsonObject], isolation: Isolation, workspace: Path
    ) -> list[JsonObject]:
        """The targets, each path with `holds_secrets`: null for what is no folder here."""
        told = []
        for target in targets:
            if target["kind"] == "path":
                holds = None
                if isolation == "none" and _is_folder(target["resolved"]):
                    holds = await to_thread.run_sync(self.holds, target["resolved"], workspace)
                told.append({**target, "holds_secrets": holds})
            else:
                told.append(target)
        return told

    def holds(self, folder: str, workspace: Path) -> bool:
        """Whether secrets or the broker's own files lie below. True when nobody can tell. Blocking."""
        if any(_within(own, folder) for own in self._private):
            return True
        root, linked = str(workspace), False
        for number, entry in enumerate(_entries(folder)):
            if number >= MAX_ENTRIES or self._is_secret(entry.path, root):
                return True
            if entry.is_symlink():
                leads = os.path.realpath(entry.path)
                if self._is_secret(leads, root) or any(
                    _within(leads, own) for own in self._private
                ):
                    return True
            elif entry.is_file(follow_symlinks=False):
                linked = linked or entry.stat(follow_symlinks=False).st_nlink > 1
        return linked and self._holds_another_name(folder, workspace)

    def _is_secret(self, path: str, root: str) -> bool:
        return self._secrets.has(os.path.relpath(path, root) if _within(path, root) else path)

    def _holds_another_name(self, folder: str, workspace: Path) -> bool:
        try:
            names = self._secrets.below(workspace)
        except ExecutionError:
            return True
        return any(_within(str(workspace / name), folder) for name in names)


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - beside realpath


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    folders = [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                found = list(entries)
        except OSError:
            continue  # what the broker cannot read, no tool of its process can
        for entry in found:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
