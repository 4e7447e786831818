"""The steps of a commit, how each is undone, and the record that survives a kill.

While a commit works, its folder `.wardline-commit` lies in the workspace: `new/` with what is
to be put in place, `old/` with what was taken away, and the journal. Every step is one rename
(or one change of a folder's mode), so that what has been done can be read off the disk: undoing
asks the disk, not the journal, how far it came, and may itself be killed and begun again.
Taking the journal away is the commit.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, assert_never, get_args

from sandbox.workspace import kernel
from sandbox.workspace.at import (
    FOLDER,
    PERMISSIONS,
    names_of,
    parent,
    status,
)
from sandbox.workspace.errors import CommitError
from sandbox.workspace.model import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

COMMIT = ".wardline-commit"
"""Name of the commit's folder, at the top of the workspace."""

_JOURNAL, _NEW, _OLD, _LOST = "journal", "new", "old", "lost"
_SAVED = f"the original is in {COMMIT}/{_LOST}"

Do = Literal["put", "swap", "take", "mode"]


@dataclass(frozen=True, slots=True)
class Step:
    """One reversible step.

    Attributes:
        do: `put` a new entry where none is, `swap` it with what is there, `take` an entry
            away, or set a folder's `mode`.
        path: relative to the workspace.
        slot: name in `new/` or `old/`.
        inode: of the new entry; 0 for `take` and `mode`.
        modified_ns: its time, because the number of a removed entry is used again.
        modes: a folder's permission bits before and after.
        folder: True when the new entry is a folder.
    """

    do: Do
    path: str
    slot: str = ""
    inode: int = 0
    modified_ns: int = 0
    modes: tuple[int, int] = (0, 0)
    folder: bool = False

    def made(self, found: os.stat_result) -> bool:
        """Whether this is the new entry."""
        same_time = self.folder or found.st_mtime_ns == self.modified_ns
        return found.st_ino == self.inode and same_time


@dataclass(frozen=True, slots=True)
class Undone:
    """What is not as it was after undoing.

    Attributes:
        theirs: paths that others changed in between. They stay as they left them, with nothing
            of the commit; an original is kept in `lost`.
        stuck: steps that could not be undone: what the commit did there is there.
    """

    theirs: tuple[Fault, ...] = ()
    stuck: tuple[Fault, ...] = ()


class Journal:
    """An open commit folder. Only its holder may touch the workspace (see `commit`).

    Args:
        workspace: descriptor of the workspace.
        number: descriptor of the commit folder.
        new: descriptor of what is to be put in place.
        old: descriptor of what was taken away.
    """

    def __init__(self, workspace: int, number: int, new: int, old: int) -> None:
        self.workspace, self._number, self.new, self.old = workspace, number, new, old

    @classmethod
    def begin(cls, workspace: int) -> Self:
        """Makes the folder.

        Raises:
            OSError: something else lies there.
        """
        with suppress(FileExistsError):
            os.mkdir(COMMIT, 0o700, dir_fd=workspace)
        numbers: list[int] = []
        try:
            numbers.append(os.open(COMMIT, FOLDER, dir_fd=workspace))
            _check_owner(numbers[0])
            for name in (_NEW, _OLD):
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=numbers[0])
                numbers.append(os.open(name, FOLDER, dir_fd=numbers[0]))
        except BaseException:
            for each in numbers:
                os.close(each)
            raise
        return cls(workspace, *numbers)

    def write(self, steps: Iterable[Step]) -> None:
        """Makes the steps durable. From here on, whoever comes next undoes what was begun."""
        for each in (self.new, self.old):
            os.fsync(each)
        text = json.dumps({"steps": [asdict(step) for step in steps]})
        draft = os.open(
            "draft", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=self._number
        )
        with os.fdopen(draft, "w") as target:
            target.write(text)
            target.flush()
            os.fsync(target.fileno())
        os.rename("draft", _JOURNAL, src_dir_fd=self._number, dst_dir_fd=self._number)
        os.fsync(self._number)
        os.fsync(self.workspace)

    def read(self) -> tuple[Step, ...] | None:
        """The steps of an unfinished commit; None when there is none.

        Raises:
            CommitError: there is one, in a form this version does not know.
        """
        try:
            source = os.open(_JOURNAL, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._number)
        except FileNotFoundError:
            return None
        try:
            with os.fdopen(source) as text:
                document = json.load(text)
            return tuple(_formed(step) for step in document["steps"])
        except (ValueError, KeyError, TypeError) as err:
            said = f"its journal cannot be read; look into {COMMIT} and put its `old` back"
            raise CommitError("failed", (Fault(COMMIT, said),)) from err

    def undo(self, steps: Iterable[Step]) -> Undone:
        """Undoes what was done of the steps."""
        theirs, stuck = [], []
        for step in reversed(tuple(steps)):
            try:
                if reason := self._undo(step):
                    theirs.append(Fault(step.path, reason))
            except OSError as err:
                if self._is_done(step):
                    saved = f"; {_SAVED}" if step.do in {"swap", "take"} else ""
                    said = f"it could not be undone: {err.strerror}{saved}"
                    stuck.append(Fault(step.path, said))
        return Undone(tuple(theirs), tuple(stuck))

    def _undo(self, step: Step) -> str:
        """Undoes one step, if the disk says it was done; gives what is in the way."""
        with parent(self.workspace, step.path) as (folder, name):
            match step.do:
                case "put":
                    return self._take_back(step, folder, name)
                case "swap":
                    return self._swap_back(step, folder, name)
                case "take":
                    return self._put_back(step, folder, name)
                case "mode":
                    before, after = step.modes
                    here = status(folder, name)
                    if here is not None and here.st_mode & PERMISSIONS == after:
                        set_mode(folder, name, before)
                    return ""
                case _:
                    assert_never(step.do)

    def _is_done(self, step: Step) -> bool:
        """Whether a step was, by what lies in our own folders; in doubt it was."""
        if step.do == "take":
            return status(self.old, step.slot) is not None
        staged = None if step.do == "mode" else status(self.new, step.slot)
        return staged is None or not step.made(staged)

    def _take_back(self, step: Step, folder: int, name: str) -> str:
        here = status(folder, name)
        if here is None or status(self.new, step.slot) is not None:
            return ""
        if not step.made(here):
            return "another entry has taken the place of the new one"
        if step.folder:
            os.rmdir(name, dir_fd=folder)
        else:
            kernel.move(folder, name, self.new, step.slot)
        return ""

    def _swap_back(self, step: Step, folder: int, name: str) -> str:
        here, staged = status(folder, name), status(self.new, step.slot)
        if staged is None or step.made(staged):
            return ""
        if here is None or not step.made(here):
            return f"another entry is there; {_SAVED}"
        kernel.exchange(self.new, step.slot, folder, name)
        return ""

    def _put_back(self, step: Step, folder: int, name: str) -> str:
        if status(self.old, step.slot) is None:
            return ""
        try:
            kernel.move(self.old, step.slot, folder, name)
        except FileExistsError:
            return f"another entry is there; {_SAVED}"
        return ""

    def close(self, *, keep: bool = False) -> None:
        """Takes the journal away, which ends the commit, and then the folder.

        Args:
            keep: what is left of originals goes to `lost` first.
        """
        if keep:
            self._keep()
        with suppress(FileNotFoundError):
            os.unlink(_JOURNAL, dir_fd=self._number)
        os.fsync(self._number)
        for number, name in ((self.new, _NEW), (self.old, _OLD)):
            os.close(number)
            shutil.rmtree(name, dir_fd=self._number)
        with suppress(FileNotFoundError):
            os.unlink("draft", dir_fd=self._number)
        os.close(self._number)
        with suppress(OSError):  # `lost` of this or an earlier commit keeps it
            os.rmdir(COMMIT, dir_fd=self.workspace)

    def _keep(self) -> None:
        with suppress(FileExistsError):
            os.mkdir(_LOST, 0o700, dir_fd=self._number)
        lost = os.open(_LOST, FOLDER, dir_fd=self._number)
        mark = secrets.token_hex(4)
        for number in (self.new, self.old):
            for name in names_of(number):
                kernel.move(number, name, lost, f"{mark}-{name}")
        os.fsync(lost)
        os.close(lost)


def set_mode(folder: int, name: str, mode: int) -> None:
    """Sets a folder's permission bits."""
    number = os.open(name, FOLDER, dir_fd=folder)
    try:
        os.fchmod(number, mode)
    finally:
        os.close(number)


def _check_owner(folder: int) -> None:
    """Whoever else can write to the workspace must not say what is moved where."""
    found = os.fstat(folder)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(errno.EPERM, "the commit folder is somebody else's")


def _formed(document: dict[str, Any]) -> Step:
    """A step read from disk; it can only be about an entry of the workspace.

    Raises:
        ValueError: it says more.
        TypeError: it is no step.
    """
    step = Step(**{**document, "modes": tuple(document["modes"])})
    if (
        step.do not in get_args(Do)
        or not all(isinstance(each, str) for each in (step.path, step.slot))
        or any(part in {"", ".", ".."} for part in step.path.split("/"))
        or not (step.slot.isdecimal() or (step.do == "mode" and not step.slot))
    ):
        raise ValueError(_JOURNAL)
    return step
