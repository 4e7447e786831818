"""The steps of a commit, how each is undone, and the record that survives a kill.

While a commit works, a folder `.wardline-commit-<random>` lies in the workspace: `new/` with
what is to be put in place, `old/` with what was taken away. Every step is one rename (or one
change of a folder's mode), so that what has been done can be read off the disk: undoing asks
the disk, not the journal, how far it came, and may itself be killed and begun again. Taking the
journal away is the commit.

The journal itself lies outside of the workspace, in a folder of the committing user's own:
whatever a workspace brings along (a cloned repository with a journal in it) is never read. It
names the commit's folder and both inodes, so it is about this workspace and no other; and no
step of it may touch a protected path, since no commit does.

Not protected from: a journal folder that is lost with a commit under way. Nobody can undo that
commit then; its folder stays in the workspace, unseen by runs, with the originals in `old`.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import stat
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
from sandbox.workspace.protected import is_protected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

COMMIT = ".wardline-commit-"
"""How the names of commit folders begin, at the top of the workspace."""

_NEW, _OLD, _LOST = "new", "old", "lost"
MAX_JOURNAL = 64 * 1024 * 1024

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
    """An open commit. Only its holder may touch the workspace (see `commit`).

    Args:
        workspace: descriptor of the workspace.
        file: where its steps are written, outside of the workspace.
        name: of the commit folder.
        numbers: descriptors of it, of `new` and of `old`.
    """

    def __init__(
        self, workspace: int, file: Path, name: str, numbers: tuple[int, int, int]
    ) -> None:
        self.workspace, self.name, self._file = workspace, name, file
        self._number, self.new, self.old = numbers

    @classmethod
    def begin(cls, workspace: int, journals: Path) -> Self:
        """Makes a folder for a new commit.

        Args:
            workspace: descriptor of the workspace.
            journals: folder of this user's own, outside of it; made when it is missing.

        Raises:
            OSError: one of them cannot be made, or others may write to `journals`.
        """
        _make_private(journals)
        mark = secrets.token_hex(8)
        name = f"{COMMIT}{mark}"
        file = journals / f"{os.fstat(workspace).st_ino}-{mark}"
        _write(file, name, 0, ())  # so that a folder that is left by a kill is known as ours
        os.mkdir(name, 0o700, dir_fd=workspace)
        return cls._open(workspace, file, name)

    @classmethod
    def _open(cls, workspace: int, file: Path, name: str) -> Self:
        numbers: list[int] = []
        try:
            numbers.append(os.open(name, FOLDER, dir_fd=workspace))
            for each in (_NEW, _OLD):
                with suppress(FileExistsError):
                    os.mkdir(each, 0o700, dir_fd=numbers[0])
                numbers.append(os.open(each, FOLDER, dir_fd=numbers[0]))
        except BaseException:
            for number in numbers:
                os.close(number)
            raise
        return cls(workspace, file, name, (numbers[0], numbers[1], numbers[2]))

    @classmethod
    def unfinished(
        cls, workspace: int, journals: Path
    ) -> Iterator[tuple[Self, tuple[Step, ...]]]:
        """The commits of this workspace that were begun and not ended, opened, with their steps.

        Raises:
            CommitError: a journal is in a form this version does not know.
            OSError: `journals` is open to others.
        """
        if not journals.is_dir():
            return
        _make_private(journals)
        inode = os.fstat(workspace).st_ino
        for file in sorted(journals.glob(f"{inode}-*")):
            if file.suffix == _DRAFT:
                continue
            name, folder, steps = _read(file)
            found = status(workspace, name)
            # An inode's number is no identity across file systems; name and folder are.
            if found is not None and (found.st_ino == folder or not steps):
                yield cls._open(workspace, file, name), steps
            elif not steps:
                file.unlink(missing_ok=True)

    def write(self, steps: Iterable[Step]) -> None:
        """Makes the steps durable. From here on, whoever comes next undoes what was begun."""
        for each in (self.new, self.old, self._number, self.workspace):
            os.fsync(each)
        _write(self._file, self.name, os.fstat(self._number).st_ino, steps)
        self._settle()

    def _settle(self) -> None:
        folder = os.open(self._file.parent, FOLDER)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def undo(self, steps: Iterable[Step]) -> Undone:
        """Undoes what was done of the steps."""
        theirs, stuck = [], []
        for step in reversed(tuple(steps)):
            try:
                if reason := self._undo(step):
                    theirs.append(Fault(step.path, reason))
            except OSError as err:
                if self._is_done(step):
                    saved = f"; {self._saved}" if step.do in {"swap", "take"} else ""
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
            return f"another entry is there; {self._saved}"
        kernel.exchange(self.new, step.slot, folder, name)
        return ""

    def _put_back(self, step: Step, folder: int, name: str) -> str:
        if status(self.old, step.slot) is None:
            return ""
        try:
            kernel.move(self.old, step.slot, folder, name)
        except FileExistsError:
            return f"another entry is there; {self._saved}"
        return ""

    @property
    def _saved(self) -> str:
        return f"the original is in {self.name}/{_LOST}"

    def close(self, *, keep: bool = False) -> None:
        """Takes the journal away, which ends the commit, and then the folder.

        Args:
            keep: what is left of originals goes to `lost` first.
        """
        if keep:
            self._keep()
        self._file.unlink(missing_ok=True)
        self._settle()
        for number, name in ((self.new, _NEW), (self.old, _OLD)):
            os.close(number)
            shutil.rmtree(name, dir_fd=self._number)
        os.close(self._number)
        with suppress(OSError):  # `lost` keeps it
            os.rmdir(self.name, dir_fd=self.workspace)

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


_DRAFT = ".draft"


def _make_private(folder: Path) -> None:
    """Whoever else can write there would say what is moved where."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(errno.EPERM, f"{folder} is open to others, or somebody else's")


def _write(file: Path, name: str, inode: int, steps: Iterable[Step]) -> None:
    document = {"folder": name, "inode": inode, "steps": [asdict(step) for step in steps]}
    draft = file.with_suffix(_DRAFT)
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(number, "w") as target:
        target.write(json.dumps(document))
        target.flush()
        os.fsync(target.fileno())
    draft.replace(file)


def _read(file: Path) -> tuple[str, int, tuple[Step, ...]]:
    """Name and inode of a commit's folder, and its steps.

    Raises:
        CommitError: the journal is in no form this version knows.
    """
    try:
        number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(number) as text:
            document = json.loads(text.read(MAX_JOURNAL))
        name = _folder_name(document["folder"])
        return name, int(document["inode"]), tuple(map(_formed, document["steps"]))
    except (OSError, ValueError, KeyError, TypeError) as err:
        said = f"the journal {file} cannot be read; put back what its folder holds in `old`"
        raise CommitError("failed", (Fault(".", said),)) from err


def _folder_name(name: object) -> str:
    if isinstance(name, str) and name.startswith(COMMIT) and "/" not in name:
        return name
    raise ValueError("folder")


def _formed(document: dict[str, Any]) -> Step:
    """A step read from disk; it can only be about an entry that a commit may touch.

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
        or is_protected(step.path, whole=step.do != "mode")
    ):
        raise ValueError(step.path)
    return step
