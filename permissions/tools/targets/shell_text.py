"""A shell text that another program runs, as a coding agent does: its commands and its files."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from permissions.tools.targets.base import TargetError, plain_text
from permissions.tools.targets.command import CommandArg
from permissions.tools.targets.path import PathArg

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue

_MAX_TEXT = 65_536
"""Characters; what is longer is not read, and so not permitted."""


@dataclass(frozen=True, slots=True)
class ShellArg(CommandArg):
    """A text that a shell outside of any sandbox will read.

    Beside the command, as a `CommandArg` has it, each file that the text names is a target of
    its own (`permissions.tools.shell.files`): that another program runs it means that no
    sandbox leaves anything out. The text is the agent's own, so its origin decides nothing.

    Attributes:
        folder: the argument that says where it runs; the workspace without one.
        at: that folder, once it is known.
    """

    folder: str = "folder"
    at: str | None = None
    control = False

    def within(self, arguments: JsonObject) -> ShellArg:
        """The mark for one call, whose folder is known."""
        given = arguments.get(self.folder)
        return replace(self, at=given) if isinstance(given, str) else self

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:
        """As a `CommandArg` has it; what names files that nobody knows yet is not complete."""
        from permissions.tools.shell.files import is_open
        from permissions.tools.shell.reading import read_text

        found = CommandArg.parse(
            self, plain_text(value, "a command", _MAX_TEXT, lines=True), workspace
        )
        known = found["complete"] and not is_open(read_text(value), self._folder(workspace))
        return {**found, "complete": known}

    def files(self, value: JsonValue, workspace: Path) -> list[JsonObject]:
        """The files it names, as a `PathArg` has them.

        Raises:
            TargetError: it names more than can be looked at, or one of an odd name.
        """
        from permissions.tools.shell.files import files_named
        from permissions.tools.shell.reading import read_text

        text = plain_text(value, "a command", _MAX_TEXT, lines=True)
        named = files_named(read_text(text), self._folder(workspace))
        if named is None:
            raise TargetError("names more files than are looked at; run it in parts")
        paths = {True: PathArg("write"), False: PathArg("read")}
        return [paths[each.writes].parse(each.path, workspace) for each in named]

    def _folder(self, workspace: Path) -> str:
        root = os.fspath(workspace)
        return os.path.join(root, self.at or root)  # noqa: PTH118 - `..` stays: links come first

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind, "files": True, "folder": self.folder}
