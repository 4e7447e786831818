"""From a change set to the workspace: all of it, or nothing.

Contents are staged inside the workspace and checked against their digests, then every change is
one rename, in order, and a failure or conflict on the way undoes those before it. A commit that
is killed is undone by whoever opens the workspace next (`recover`). What a path was when the
run began, it has to be still: inode, size, times; a swap looks at what it got out, so that not
even a change in the last microsecond is overwritten.

Other programs see the changes one by one, in order, not all at once: no file system offers
more. Two commits of this package never interleave (a lock on the workspace). Replaced files
are new files: hard links to them keep the old content; owner is the old one's (when this is
root), while access lists and extended attributes are not carried over.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.workspace import kernel
from sandbox.workspace.at import (
    FOLDER,
    PERMISSIONS,
    NotPlainError,
    base_of,
    names_of,
    opened,
    parent,
    pieces,
    status,
)
from sandbox.workspace.errors import CommitError
from sandbox.workspace.journal import (
    Journal,
    Step,
    Undone,
    set_mode,
)
from sandbox.workspace.model import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sandbox.workspace.journal import Do
    from sandbox.workspace.model import Base, Change, ChangeSet

LOCK_SECONDS = 30.0
_WRITABLE = 0o700


def commit(changes: ChangeSet, upper: int, workspace: int, journals: Path) -> None:
    """Makes the workspace as the run left its overlay.

    Args:
        changes: from `capture` of the same overlay.
        upper: descriptor of the upper directory.
        workspace: descriptor of the workspace.
        journals: folder outside of the workspace for what undoes a commit that is killed.

    Raises:
        CommitError: nothing of it is there, unless its `kind` is `torn`.
    """
    blocked = _blocked(changes)
    if blocked is not None:
        raise blocked
    if not changes.changes:
        return
    with locked(workspace):
        _recover(workspace, journals)
        if conflicts := _conflicts(changes, workspace):
            raise CommitError("conflict", conflicts)
        _commit(changes, upper, workspace, journals)


def recover(workspace: int, journals: Path) -> tuple[Fault, ...]:
    """Undoes a commit that was killed; gives the paths it could not put back.

    Raises:
        CommitError: another commit is under way for too long, or the journal is damaged.
    """
    with locked(workspace):
        return _recover(workspace, journals)


@contextmanager
def locked(workspace: int) -> Iterator[None]:
    """Holds the workspace against other commits, of any process.

    Raises:
        CommitError: another one holds it for longer than `LOCK_SECONDS`.
    """
    own = os.open(".", FOLDER, dir_fd=workspace)
    deadline = time.monotonic() + LOCK_SECONDS
    try:
        while True:
            try:
                fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    said = "another commit holds the workspace; try again when it has ended"
                    raise CommitError("failed", (Fault(".", said),)) from None
                time.sleep(0.005)
        yield
    finally:
        os.close(own)


def _blocked(changes: ChangeSet) -> CommitError | None:
    if changes.refused:
        return CommitError("refused", changes.refused)
    if changes.protected:
        said = "a protected path: what it holds acts outside of the sandbox"
        return CommitError("refused", tuple(Fault(path, said) for path in changes.protected))
    return CommitError("conflict", changes.conflicts) if changes.conflicts else None


def _recover(workspace: int, journals: Path) -> tuple[Fault, ...]:
    kept: list[Fault] = []
    try:
        for journal, steps in Journal.unfinished(workspace, journals):
            undone = journal.undo(steps)
            left = (*undone.stuck, *undone.theirs)
            journal.close(keep=bool(left))
            kept += left
    except OSError as err:
        raise CommitError("failed", (Fault(".", f"{err.strerror}: {journals}"),)) from err
    return tuple(kept)


def _conflicts(changes: ChangeSet, workspace: int) -> tuple[Fault, ...]:
    """Paths that are not what the overlay covers."""
    removed = {change.path for change in changes.changes if change.kind == "deleted"}
    found = []
    for change in changes.changes:
        try:
            with parent(workspace, change.path) as (folder, name):
                here = status(folder, name)
        except OSError:
            here = None
        if change.base is None:
            if here is not None and change.path not in removed:
                found.append(Fault(change.path, "it was created meanwhile"))
        elif here is None:
            found.append(Fault(change.path, "it was removed meanwhile"))
        elif not _is_still(change.base, base_of(here)):
            found.append(Fault(change.path, "it was changed meanwhile"))
    return tuple(found)


def _is_still(base: Base, here: Base | None, *, renamed: bool = False) -> bool:
    """Whether a path holds what it held; a rename of ours has changed its change time."""
    if here is None or (here.type, here.inode, here.mode) != (base.type, base.inode, base.mode):
        return False
    if base.type == "directory":
        return True
    same = (here.size, here.modified_ns) == (base.size, base.modified_ns)
    return same and (renamed or here.changed_ns == base.changed_ns)


def _commit(changes: ChangeSet, upper: int, workspace: int, journals: Path) -> None:
    journal = _begin(workspace, journals)
    steps: list[Step] = []
    written = False
    try:
        steps = _staged(changes.changes, upper, journal)
        journal.write(steps)
        written = True
        for step, change in zip(steps, _of_steps(changes.changes), strict=True):
            _do(step, change, journal)
        _settle(changes.changes, workspace)
    except (CommitError, NotPlainError, OSError) as err:
        undone = journal.undo(steps) if written else Undone()
        journal.close(keep=undone != Undone())
        raise _failure(err, undone) from err
    journal.close()


def _begin(workspace: int, journals: Path) -> Journal:
    try:
        return Journal.begin(workspace, journals)
    except OSError as err:
        raise CommitError(
            "failed", (Fault(".", f"no commit can begin: {err.strerror}"),)
        ) from err


def _failure(err: Exception, undone: Undone) -> CommitError:
    if isinstance(err, CommitError):
        kind, faults = err.kind, err.faults
    else:
        said = err.strerror if isinstance(err, OSError) and err.strerror else str(err)
        kind, faults = "failed", (Fault(".", said),)
    kind = "torn" if undone.stuck else kind
    return CommitError(kind, (*undone.stuck, *faults, *undone.theirs))


def _of_steps(changes: Sequence[Change]) -> list[Change]:
    """The change each step belongs to, in the order of `_staged`."""
    opening = [change for change in changes if _opens(change)]
    middle = [change for change in changes if not _opens(change)]
    closing = [change for change in reversed(changes) if _closes(change)]
    return [*opening, *middle, *closing]


def _opens(change: Change) -> bool:
    """A folder that gets other bits is made writable before anything in it is touched."""
    return change.kind == "changed" and change.type == "directory"


def _closes(change: Change) -> bool:
    """Bits of a folder that would keep us out are set when all in it is done."""
    changed = change.kind != "deleted" and change.type == "directory"
    return changed and change.mode is not None and change.mode & _WRITABLE != _WRITABLE


def _staged(changes: Sequence[Change], upper: int, journal: Journal) -> list[Step]:
    owner = os.fstat(journal.workspace)
    opening, middle, closing = [], [], []
    for number, change in enumerate(changes):
        slot = str(number)
        mode = change.mode or 0
        if change.kind == "deleted":
            middle.append(Step("take", change.path, slot))
            continue
        if _opens(change) and change.base is not None:
            opening.append(
                Step("mode", change.path, modes=(change.base.mode, mode | _WRITABLE))
            )
        if _closes(change):
            closing.append(Step("mode", change.path, modes=(mode | _WRITABLE, mode)))
        if _opens(change):
            continue
        _stage(change, slot, upper, journal, owner)
        staged = os.stat(slot, dir_fd=journal.new, follow_symlinks=False)
        do: Do = "put" if change.kind == "created" else "swap"
        folder = change.type == "directory"
        made = (staged.st_ino, staged.st_mtime_ns)
        middle.append(Step(do, change.path, slot, *made, folder=folder))
    return [*opening, *middle, *reversed(closing)]


def _stage(
    change: Change, slot: str, upper: int, journal: Journal, owner: os.stat_result
) -> None:
    mode = change.mode or 0
    if change.type == "directory":
        os.mkdir(slot, _WRITABLE, dir_fd=journal.new)
        _own(slot, owner, journal)
        set_mode(journal.new, slot, mode | _WRITABLE)
        return
    if change.base is not None:
        with parent(journal.workspace, change.path) as (folder, name):
            owner = status(folder, name) or owner
    if change.type == "link":
        os.symlink(change.target or "", slot, dir_fd=journal.new)
        _own(slot, owner, journal)
        return
    _copy(change, slot, upper, journal)
    _own(slot, owner, journal)
    # After the owner: a change of owner takes bits away.
    target = os.open(slot, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=journal.new)
    try:
        os.fchmod(target, mode)
        os.fsync(target)
    finally:
        os.close(target)


def _own(slot: str, owner: os.stat_result, journal: Journal) -> None:
    if os.geteuid() == 0:
        os.chown(slot, owner.st_uid, owner.st_gid, dir_fd=journal.new, follow_symlinks=False)


def _copy(change: Change, slot: str, upper: int, journal: Journal) -> None:
    size = change.size or 0
    total = hashlib.sha256()
    target = os.open(slot, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=journal.new)
    try:
        with parent(upper, change.path) as (folder, name), opened(folder, name, size) as source:
            for data in pieces(source, size):
                total.update(data)
                left = memoryview(data)
                while left:
                    left = left[os.write(target, left) :]
    finally:
        os.close(target)
    if f"sha256:{total.hexdigest()}" != change.digest:
        raise NotPlainError("the overlay is not what the change set says")


def _do(step: Step, change: Change, journal: Journal) -> None:
    """One step; what it took out has to be what the overlay covers.

    Raises:
        CommitError: it is not.
    """
    with parent(journal.workspace, step.path) as (folder, name):
        match step.do:
            case "put":
                try:
                    kernel.move(journal.new, step.slot, folder, name)
                except FileExistsError as err:
                    raise _conflict(step, "it was created meanwhile") from err
            case "swap":
                kernel.exchange(journal.new, step.slot, folder, name)
                _check(step, change, journal.new)
            case "take":
                kernel.move(folder, name, journal.old, step.slot)
                _check(step, change, journal.old)
            case "mode":
                here = status(folder, name)
                if here is None or here.st_mode & PERMISSIONS != step.modes[0]:
                    raise _conflict(step, "its mode was changed meanwhile")
                set_mode(folder, name, step.modes[1])


def _check(step: Step, change: Change, taken: int) -> None:
    found = status(taken, step.slot)
    here = None if found is None else base_of(found)
    if change.base is None or not _is_still(change.base, here, renamed=True):
        raise _conflict(step, "it was changed meanwhile")
    if change.type == "directory":
        folder = os.open(step.slot, FOLDER, dir_fd=taken)
        try:
            if names_of(folder):
                raise _conflict(step, "something new lies in it")
        finally:
            os.close(folder)


def _conflict(step: Step, reason: str) -> CommitError:
    return CommitError("conflict", (Fault(step.path, reason),))


def _settle(changes: Sequence[Change], workspace: int) -> None:
    """Makes every touched folder durable."""
    for path in sorted({change.path.rpartition("/")[0] for change in changes}):
        try:
            with parent(workspace, f"{path}/." if path else ".") as (folder, _):
                os.fsync(folder)
        except (FileNotFoundError, NotADirectoryError):
            continue  # deleted or replaced by this very commit
