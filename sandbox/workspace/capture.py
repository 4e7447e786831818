"""From an overlay to a change set. Runs on the host, after every process of the job is dead.

What lies in the overlay was written by the job and is not believed: nothing is opened by path or
through a link, everything is bounded before it is read, and what cannot be named, or must not
leave a sandbox, is refused with its reason. Costs as much as the changes, never as much as the
workspace: of the workspace only what the overlay touches is looked at.

Overlays are overlayfs's (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque
directories"): a character device 0/0 is a deletion, a folder marked opaque hides what was
below it, and a file copied up for writing names its origin.

Not found: changes of times alone, of owners, access lists and extended attributes.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.workspace.at import (
    FOLDER,
    NAME_BYTES,
    PERMISSIONS,
    TARGET_BYTES,
    NotPlainError,
    base_of,
    digest_of,
    is_plain,
    link_target,
    opened,
    quoted,
    status,
)
from sandbox.workspace.diffs import Diffs
from sandbox.workspace.journal import COMMIT
from sandbox.workspace.model import (
    Change,
    ChangeSet,
    Fault,
    Limits,
)
from sandbox.workspace.protected import is_protected

if TYPE_CHECKING:
    from collections.abc import Collection

    from sandbox.workspace.model import Base, Kind, Type

FAULTS = 1000
"""Refusals and conflicts kept of each sort."""


@dataclass(frozen=True, slots=True)
class Upper:
    """What an overlay collected.

    Attributes:
        folder: descriptor of the upper directory.
        attributes: prefix of overlayfs's own extended attributes there.
    """

    folder: int
    attributes: str


class _TooMuchError(Exception):
    """The overlay holds more than is looked at."""


def capture(
    upper: Upper, workspace: int, *, since_ns: int, hidden: Collection[str], limits: Limits
) -> ChangeSet:
    """What an overlay changes.

    Args:
        upper: the overlay; nothing may write to it any more.
        workspace: descriptor of the folder the overlay covers.
        since_ns: when it was opened, by the clock of the workspace's file system.
        hidden: paths in the workspace that the run could not see.
        limits: how much to look at.
    """
    walk = _Walk(upper, workspace, since_ns, frozenset(hidden), limits)
    try:
        walk.folder(upper.folder, workspace, "", opaque=False)
    except _TooMuchError as err:
        # A part of a change set would pass for the whole.
        return ChangeSet(refused=(Fault(".", str(err)),))
    return ChangeSet(
        changes=(*reversed(walk.deletions), *walk.others),
        refused=tuple(walk.refused),
        conflicts=tuple(walk.conflicts),
        diffs=walk.diffs.found,
    )


@dataclass(slots=True)
class _Walk:
    upper: Upper
    workspace: int
    since_ns: int
    hidden: frozenset[str]
    limits: Limits
    seen: int = 0
    read: int = 0
    deletions: list[Change] = field(default_factory=list)
    others: list[Change] = field(default_factory=list)
    refused: list[Fault] = field(default_factory=list)
    conflicts: list[Fault] = field(default_factory=list)
    diffs: Diffs = field(init=False)

    def __post_init__(self) -> None:
        self.diffs = Diffs(self.limits.diff_bytes)

    def folder(self, above: int, below: int | None, prefix: str, *, opaque: bool) -> None:
        """One directory of the overlay, over the one below it, if there is one."""
        if prefix.count("/") > self.limits.depth:
            self._refuse(prefix, "it is nested too deeply")
            return
        names = self._names(above)
        for name in names:
            path = prefix + name
            if self._is_hidden(path):
                self._refuse(path, "it lies where the run could not see")
            elif not is_plain(path) or len(os.fsencode(name)) > NAME_BYTES:
                self._refuse(path, "its name is not plain printable UTF-8, or too long")
            else:
                self._entry(above, below, name, path)
        if opaque and below is not None:
            for name in self._names(below):
                if name not in names and not self._is_hidden(prefix + name):
                    self._removed(below, name, prefix + name)

    def _is_hidden(self, path: str) -> bool:
        return path in self.hidden or path.startswith(COMMIT)

    def _names(self, number: int) -> list[str]:
        names = []
        with os.scandir(number) as entries:
            for entry in entries:
                self.seen += 1
                if self.seen > self.limits.entries:
                    raise _TooMuchError(
                        f"the run touched more than {self.limits.entries} entries"
                    )
                names.append(entry.name)
        return sorted(names)

    def _entry(self, above: int, below: int | None, name: str, path: str) -> None:
        found = status(above, name)
        if found is None:
            self._refuse(path, "it vanished while it was looked at")
            return
        old = None if below is None else status(below, name)
        if old is not None and old.st_dev != os.fstat(self.workspace).st_dev:
            self._refuse(path, "another file system is mounted there")
        elif stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
            # Over nothing it is left from something that came and went.
            if below is not None and old is not None:
                self._removed(below, name, path)
        elif found.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX):
            self._refuse(path, "it has a set-user-id, set-group-id or sticky bit")
        elif stat.S_ISDIR(found.st_mode):
            self._directory(above, below, name, path)
        elif stat.S_ISREG(found.st_mode):
            self._file(above, below, name, path, found)
        elif stat.S_ISLNK(found.st_mode):
            self._link(above, below, name, path)
        else:
            self._refuse(path, f"it is no file: {stat.filemode(found.st_mode)[0]}")

    def _directory(self, above: int, below: int | None, name: str, path: str) -> None:
        try:
            number = os.open(name, FOLDER, dir_fd=above)
        except OSError:
            self._refuse(path, "it cannot be opened")
            return
        try:
            with self._below(below, name, path) as deeper:
                mode = os.fstat(number).st_mode & PERMISSIONS
                base = None if deeper is None else base_of(os.fstat(deeper))
                if base is None:
                    if self._marked(number, "origin"):
                        self._conflict(path, "it was removed meanwhile")
                    self._change(path, "created", "directory", mode=mode)
                elif base.mode != mode:
                    self._change(path, "changed", "directory", mode=mode, base=base)
                opaque = self._marked(number, "opaque")
                self.folder(number, deeper, path + "/", opaque=opaque)
        except PermissionError:
            self._refuse(path, "it cannot be read")
        finally:
            os.close(number)

    def _below(self, below: int | None, name: str, path: str) -> _Below:
        """The folder a folder of the overlay lies over; another thing there is removed."""
        old = None if below is None else status(below, name)
        if below is None or old is None:
            return _Below(None)
        if not stat.S_ISDIR(old.st_mode):
            self._removed(below, name, path)
            return _Below(None)
        try:
            return _Below(os.open(name, FOLDER, dir_fd=below))
        except PermissionError:
            raise  # the caller's to tell
        except OSError:
            self._conflict(path, "it was changed meanwhile")
            return _Below(None)

    def _file(
        self, above: int, below: int | None, name: str, path: str, found: os.stat_result
    ) -> None:
        if found.st_nlink != 1:
            self._refuse(path, "it has more than one name (hard link)")
            return
        self.read += found.st_size
        if self.read > self.limits.bytes:
            self._refuse(path, f"the new contents are more than {self.limits.bytes} bytes")
            self.read -= found.st_size
            return
        try:
            digest = digest_of(above, name, found.st_size)
            with opened(above, name, found.st_size) as source:
                copied = self._marked(source, "origin")
        except NotPlainError as err:
            self._refuse(path, str(err))
            return
        mode = found.st_mode & PERMISSIONS
        base = self._replaced(below, name, path, "file")
        if below is not None and base is not None and base.mode == mode:
            try:
                if base.size == found.st_size:
                    self.read += base.size
                    if digest_of(below, name, base.size) == digest:
                        return
            except NotPlainError as err:
                self._conflict(path, str(err))
        # Copied from below, and not there now: renamed by the run, or removed by others.
        if base is None and copied and below is not None and self._is_younger(below):
            self._conflict(path, "it was removed meanwhile")
        self._change(
            path,
            "created" if base is None else "changed",
            "file",
            mode=mode,
            base=base,
            size=found.st_size,
            digest=digest,
        )
        self.diffs.add(path, (above, name, found.st_size), (below, name, base))

    def _link(self, above: int, below: int | None, name: str, path: str) -> None:
        target = link_target(above, name)
        if target is None:
            self._refuse(path, "it changed while it was looked at")
            return
        if not is_plain(target) or len(target) > TARGET_BYTES or not stays_inside(path, target):
            self._refuse(path, "it is a link that may lead out of the workspace")
            return
        base = self._replaced(below, name, path, "link")
        if below is not None and base is not None and link_target(below, name) == target:
            return
        kind: Kind = "created" if base is None else "changed"
        self._change(path, kind, "link", mode=PERMISSIONS, base=base, target=target)

    def _replaced(self, below: int | None, name: str, path: str, kind: Type) -> Base | None:
        """What of the same type was there; anything else there is removed."""
        old = None if below is None else status(below, name)
        if below is None or old is None:
            return None
        base = base_of(old)
        if base is not None and base.type == kind:
            return base
        self._removed(below, name, path)
        return None

    def _removed(self, below: int, name: str, path: str) -> None:
        """A deletion: of a folder, of everything in it."""
        if self._is_hidden(path):
            self._refuse(path, "it lies where the run could not see")
            return
        found = status(below, name)
        base = None if found is None else base_of(found)
        if base is None or not is_plain(path):
            self._refuse(path, "what it replaces is no file, folder or link, or oddly named")
            return
        self._change(path, "deleted", base.type, base=base)
        if base.type != "directory":
            return
        if path.count("/") > self.limits.depth:
            self._refuse(path, "it is nested too deeply")
            return
        try:
            number = os.open(name, FOLDER, dir_fd=below)
        except OSError:
            self._refuse(path, "it cannot be opened")
            return
        try:
            if os.fstat(number).st_dev != os.fstat(self.workspace).st_dev:
                self._refuse(path, "another file system is mounted there")
                return
            for inner in self._names(number):
                self._removed(number, inner, f"{path}/{inner}")
        finally:
            os.close(number)

    def _change(
        self,
        path: str,
        kind: Kind,
        type_: Type,
        *,
        mode: int | None = None,
        base: Base | None = None,
        size: int | None = None,
        digest: str | None = None,
        target: str | None = None,
    ) -> None:
        # A folder's own time changes with every entry in it: for folders it says nothing.
        if base is not None and type_ != "directory" and base.changed_ns >= self.since_ns:
            self._conflict(path, "it was changed meanwhile")
        change = Change(
            path=path,
            kind=kind,
            type=type_,
            mode=mode,
            size=size,
            digest=digest,
            target=target,
            base=base,
            protected=is_protected(path, whole=kind != "changed" or type_ != "directory"),
        )
        (self.deletions if kind == "deleted" else self.others).append(change)

    def _is_younger(self, folder: int) -> bool:
        """Whether entries of a folder were made or removed since the overlay was opened."""
        return os.fstat(folder).st_mtime_ns >= self.since_ns

    def _marked(self, number: int, name: str) -> bool:
        try:
            value = os.getxattr(number, self.upper.attributes + name)
        except OSError:
            return False
        return value == b"y" if name == "opaque" else True

    def _refuse(self, path: str, reason: str) -> None:
        if len(self.refused) < FAULTS:
            self.refused.append(Fault(quoted(path), reason))

    def _conflict(self, path: str, reason: str) -> None:
        if len(self.conflicts) < FAULTS:
            self.conflicts.append(Fault(quoted(path), reason))


@dataclass(slots=True)
class _Below:
    """A descriptor that may be missing, closed at the end."""

    number: int | None

    def __enter__(self) -> int | None:
        return self.number

    def __exit__(self, *_: object) -> None:
        if self.number is not None:
            os.close(self.number)


def stays_inside(path: str, target: str) -> bool:
    """Whether a link at `path` cannot lead out of the workspace by itself.

    `..` only at the front, where real folders are above the link: after a name that is itself a
    link it would climb from wherever that leads.
    """
    parts = target.split("/")
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    return (
        bool(target)
        and not target.startswith("/")
        and ".." not in parts[climbs:]
        and climbs <= path.count("/")
    )
