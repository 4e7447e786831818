"""Files that a sandboxed run gets and gives back by copy, as its path arguments name them.

Not protected from: two calls writing the same file at once (the later one wins).
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from permissions.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from permissions.execution.base import Execution
    from permissions.model import JsonObject

MAX_INPUT_BYTES = 32 * 1024 * 1024
"""All files that go into one run."""

NEW_FILE_MODE = 0o644


def paths_of(execution: Execution, access: str | None = None) -> list[JsonObject]:
    """The path targets of a call; with an access, those alone."""
    return [
        target
        for target in execution.targets
        if target["kind"] == "path" and access in {None, target["access"]}
    ]


def relocated(execution: Execution) -> JsonObject:
    """The arguments with each path as it stands inside: relative to the working directory.

    For a command it begins with `./`, so that no name of a file is read as an option.
    """
    document = dict(execution.arguments.document)
    here = "" if execution.definition.options.command is None else "./"
    inside: dict[str, list[str]] = {}
    for target in paths_of(execution):
        inside.setdefault(target["argument"], []).append(here + target["relative"])
    for name, paths in inside.items():
        document[name] = paths if isinstance(document[name], list) else paths[0]
    return document


def inputs_of(execution: Execution, private: Collection[Path]) -> dict[str, Path]:
    """The files the call's read targets name, by path relative to the workspace.

    Args:
        execution: what is to be run.
        private: the broker's own places, real, which do not go in with a folder they lie in.

    Raises:
        ExecutionError: together they are too large.
    """
    files: dict[str, Path] = {}
    left = MAX_INPUT_BYTES
    for target in paths_of(execution, "read"):
        place = Path(target["resolved"])
        found = [place] if place.is_file() else sorted(place.rglob("*"))
        for file in found:
            if file.is_symlink() or not file.is_file() or is_within(file, private):
                continue
            name = Path(target["relative"])
            if file != place:
                name /= file.relative_to(place)
            left -= file.stat().st_size
            if left < 0:
                raise ExecutionError(
                    f"the files of this call are more than {MAX_INPUT_BYTES >> 20} MiB"
                )
            files[str(name)] = file
    return files


def is_within(path: Path, places: Collection[Path]) -> bool:
    """Whether a path is one of the places, or lies below one."""
    return any(path.is_relative_to(place) for place in places)


def contents_of(files: Mapping[str, Path]) -> dict[str, bytes]:
    """What is in the files."""
    return {name: file.read_bytes() for name, file in files.items()}


def put_back(execution: Execution, files: Mapping[str, bytes]) -> None:
    """Writes the call's own write targets into the workspace, each in one step."""
    for target in paths_of(execution, "write"):
        data = files.get(target["relative"])
        if data is None:
            continue
        place = Path(target["resolved"])
        if os.path.realpath(place) != target["resolved"]:
            raise OSError(None, "its path leads somewhere else now")
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600, exist_ok=False)
        try:
            draft.write_bytes(data)
            # A file that is there keeps its mode: nobody gains sight of it by its being written.
            draft.chmod(stat.S_IMODE(place.stat().st_mode) if place.exists() else NEW_FILE_MODE)
            draft.replace(place)
        except OSError:
            draft.unlink()
            raise
