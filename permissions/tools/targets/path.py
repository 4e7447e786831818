"""A file path as a target."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from permissions.errors import ToolDefinitionError
from permissions.tools.targets.base import TargetError, plain_text

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class PathArg:
    """A file path, read or written; relative paths are meant from the workspace."""

    access: Literal["read", "write"] = "read"
    kind = "path"
    control = True

    def __post_init__(self) -> None:
        """Refuses an access that policies would take for neither.

        Raises:
            ToolDefinitionError: it is neither "read" nor "write".
        """
        if self.access not in ("read", "write"):
            raise ToolDefinitionError(
                f'PathArg({self.access!r:.40}): say "read", or "write" for whatever changes a file'
            )

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:
        """Gives both the lexical path and the one links lead to; both must be inside.

        A tool that takes wildcards would open more files than were decided, so a path with
        some is refused unless a file of that very name is there.
        """
        text = plain_text(value, "a path", 4096)
        root = os.fspath(workspace)
        whole = os.path.join(root, text)  # noqa: PTH118 - lexical on purpose
        # POSIX lets `//` begin another name space; Linux reads it as `/`.
        path = "/" + os.path.normpath(whole).lstrip("/")
        # Not of `path`: after a link, `..` leads to where the link points.
        try:
            resolved = os.path.realpath(whole)
        except OSError as err:  # a link of /proc that this process may not read
            raise TargetError("leads through a link that cannot be followed") from err
        wild = "*?" if self.access == "write" else "*?["  # `[id].tsx` is a name to create
        if any(char in text for char in wild) and not os.path.lexists(whole):
            raise TargetError("holds a wildcard; a path names one file or folder")
        return {
            "access": self.access,
            "path": path,
            "resolved": resolved,
            "inside_workspace": _within(path, root) and _within(resolved, root),
            "relative": _relative(resolved, root) if _within(resolved, root) else None,
            "hidden": any(
                part.startswith(".") and part not in {".", ".."}
                for entry in {path, resolved}
                for part in _relative(entry, root).split("/")
            ),
            "links": _links(resolved),
        }

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind, "access": self.access}


def _links(path: str) -> int | None:
    """How many names a file has; None for what is none, or cannot be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 - beside realpath
    except (OSError, ValueError):
        return None
    return found.st_nlink if stat.S_ISREG(found.st_mode) else None


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _relative(path: str, root: str) -> str:
    """`os.path.relpath` of two normal, absolute paths."""
    if not _within(path, root):
        return os.path.relpath(path, root)
    return path[len(root.rstrip(os.sep)) :].lstrip(os.sep) or "."
