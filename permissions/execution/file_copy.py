"""Files that a sandboxed run gets and gives back by copy, as its path arguments name them.

What a path argument names goes in, also when it is to be written, so that nothing of a file is
lost by its being changed. What the run made or changed at a `write` argument comes out: a file,
or all files of a folder. What stays outside or is lost on the way back is said, with the reason:
links, what is no file, what is the broker's own or holds secrets, what would steer other
programs, what was removed inside. Other permissions and empty folders do not come back, and that is not said.

Not protected from: a change by another program in the instant between the last look at a file
and its replacement.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from permissions.errors import ExecutionError
from permissions.files import make_folder, replace
from sandbox.errors import ProfileError
from sandbox.job import checked_path
from sandbox.workspace.protected import is_protected

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from permissions.execution.base import Execution
    from permissions.execution.secret_files import SecretFiles
    from permissions.model import JsonObject

MAX_INPUT_BYTES = 32 * 1024 * 1024
"""All files that go into one run."""

NEW_FILE_MODE = 0o644

REMOVED = ".wardline-removed"
"""In the out folder: what was there before the call and is gone, as a JSON list of paths."""


HIDDEN: Final = "it may hold secrets, by its name"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A path that a run did not get, or that did not come back, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files of one call: where each is, by path relative to the workspace, and what is not."""

    files: Mapping[str, Path]
    left_out: tuple[LeftOut, ...] = ()

    def contents(self) -> dict[str, bytes]:
        """What is in the files. Blocking."""
        return {name: file.read_bytes() for name, file in self.files.items()}


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


def inputs_of(
    execution: Execution,
    private: Collection[Path],
    hidden: SecretFiles | None = None,
    *,
    most: int | None = None,
) -> Inputs:
    """The files the call's path targets name, and all files of the folders among them.

    A file that an argument names itself is what policies were asked about. What lies in a
    folder is not: of that, secrets stay out.

    Args:
        execution: what is to be run.
        private: the broker's own paths, real, which do not go in with a folder they lie in.
        hidden: which files hold secrets.
        most: files that a sandbox of the call's profile takes.

    Raises:
        ExecutionError: together they are too large, or too many.
    """
    files: dict[str, Path] = {}
    left_out: dict[str, LeftOut] = {}
    left = MAX_INPUT_BYTES
    outside = _Outside(execution.workspace, private, hidden)
    for target in paths_of(execution):
        top, relative = Path(target["resolved"]), Path(target["relative"])
        for file, fault in outside.below(top) if top.is_dir() else ((top, outside.why(top)),):
            name = str(relative if file == top else relative / file.relative_to(top))
            if why := fault or _unnamed(name):
                left_out[name] = LeftOut(name, why)
            elif name not in files and file.exists():  # else it is to be made
                left -= file.stat().st_size
                if left < 0:
                    raise ExecutionError(
                        f"the files of this call are more than {MAX_INPUT_BYTES >> 20} MiB"
                    )
                files[name] = file
    if most is not None and len(files) > most:
        raise ExecutionError(
            f"the paths of this call lead to {len(files)} files, and a sandbox of its profile"
            f" takes {most}; name fewer, or raise `files` of the profile"
        )
    return Inputs(files, tuple(each for each in left_out.values() if each.path not in files))


def _unnamed(name: str) -> str:
    try:
        checked_path(name)
    except ProfileError:
        return "its name has control characters, is no UTF-8, or is too long"
    return ""


class _Outside:
    """What does not go into a sandbox, and why."""

    def __init__(
        self, workspace: Path, private: Collection[Path], hidden: SecretFiles | None
    ) -> None:
        self._workspace, self._private, self._hidden = workspace, private, hidden
        self._secret: frozenset[Path] | None = None

    def below(self, top: Path) -> Iterator[tuple[Path, str]]:
        """Each file below a folder, and whatever is left out of it: a folder as a whole."""
        closed: list[Path] = []

        def note(err: OSError) -> None:
            closed.append(Path(err.filename))

        for folder, folders, names in os.walk(top, onerror=note):
            for name in sorted((*folders, *names)):
                path = Path(folder, name)
                why = self.why(path) or self._holds_secrets(path)
                if why and name in folders:
                    folders.remove(name)
                if why or not path.is_dir():
                    yield path, why
            folders.sort()
        yield from ((path, "it cannot be read") for path in closed)

    def why(self, path: Path) -> str:
        """For what an argument names itself: policies were asked about its name."""
        if is_within(path, self._private):
            return "it is the broker's own"
        if path.is_symlink():
            return "it is a link, and links do not go in"
        return (
            "it is no file" if path.exists() and not (path.is_dir() or path.is_file()) else ""
        )

    def _holds_secrets(self, path: Path) -> str:
        if self._hidden is None:
            return ""
        if self._hidden.has(str(path.relative_to(self._workspace))):
            return HIDDEN
        if path.lstat().st_nlink > 1 and path.is_file():
            if self._secret is None:
                found = self._hidden.below(self._workspace)
                self._secret = frozenset(self._workspace / name for name in found)
            if path in self._secret:
                return "it is another name of a file that may hold secrets"
        return ""


def is_within(path: Path, folders: Collection[Path]) -> bool:
    """Whether a path is one of these, or lies below one."""
    return any(path.is_relative_to(folder) for folder in folders)


def put_back(
    execution: Execution,
    files: Mapping[str, bytes],
    went_in: Mapping[str, bytes],
    hidden: SecretFiles | None = None,
) -> tuple[LeftOut, ...]:
    """Writes what the run changed at the call's own write targets, each file in one step.

    Args:
        execution: what was run.
        files: what came out of the sandbox.
        went_in: what was there before.
        hidden: which files hold secrets.

    Returns:
        What was not written, and why.

    Raises:
        OSError: one cannot be written, or others changed it meanwhile. Of those before it, all
            are written; that they could be was looked at before the first.
    """
    written: dict[Path, bytes] = {}
    left_out: list[LeftOut] = []
    for target in paths_of(execution, "write"):
        top, relative = Path(target["resolved"]), Path(target["relative"])
        if os.path.realpath(top) != target["resolved"]:
            raise OSError(None, "its path leads somewhere else now")
        for name, data in files.items():
            path = Path(name)
            if path != relative and not _is_below(path, relative):
                continue
            file = top if path == relative else top / path.relative_to(relative)
            if file != top and (why := _not_back(file, top, name, hidden)):
                left_out.append(LeftOut(name, why))
                continue
            now = file.read_bytes() if file.is_file() else None
            if now not in {went_in.get(name), data}:
                raise OSError(None, "others changed it meanwhile")
            if now != data:
                written[file] = data
    for file, data in written.items():
        _write(file, data)
    return (*left_out, *_removed(execution, files.get(REMOVED, b"[]")))


def _is_below(path: Path, folder: Path) -> bool:
    return folder == Path() or (folder in path.parents)


def _not_back(file: Path, top: Path, name: str, hidden: SecretFiles | None) -> str:
    """Why a file below a folder argument, which no policy was asked about, is not written."""
    inner = file.relative_to(top).parts
    if ".." in inner or os.path.realpath(file) != str(file):
        return "its path leads somewhere else"
    if (
        any(part.startswith(".") for part in inner)
        or is_protected(name, whole=True)
        or (hidden is not None and hidden.steers(name))
    ):
        return "it steers other programs, by its name; name it in an argument of its own"
    if hidden is not None and hidden.has(name):
        return HIDDEN
    if file.exists() and not file.is_file():
        return "no file is there now"
    if file.is_file() and file.stat().st_mode & 0o111:
        return "it is executable; name it in an argument of its own"
    return ""


def _removed(execution: Execution, said: bytes) -> Iterator[LeftOut]:
    """What the run removed stays where it is. The list was written inside: names, no facts."""
    try:
        names = json.loads(said)
    except ValueError:
        names = []
    targets = [Path(target["relative"]) for target in paths_of(execution, "write")]
    for name in names[:1000] if isinstance(names, list) else ():
        path = Path(name) if isinstance(name, str) else Path("/")
        if any(path == top or _is_below(path, top) for top in targets):
            yield LeftOut(str(path)[:1024], "it was removed inside, and is still there")


def _write(file: Path, data: bytes) -> None:
    make_folder(file.parent, mode=0o777)
    # A file that is there keeps its mode: nobody gains sight of it by its being written.
    mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else NEW_FILE_MODE
    replace(file, data, mode=mode)
