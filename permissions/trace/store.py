"""The files of a log: segments of lines, written once, synced before anything is promised.

* One writer: a lock file, held as long as the store is open.
* A segment is filled with zeros ahead of its data, 1 MiB at a time. Writing over filled
  blocks needs no change of metadata, so `fdatasync` takes half as long (0.15 against 0.30 ms
  on ext4), and a full disk shows before a record is written, not in the middle of it. The
  last 64 KiB are kept for the entry that says why the log had to close.
* What was written counts only when the files still lie where they were opened, at their full
  size: a log that somebody deleted, moved or cut takes writes as before, and keeps nothing.
  That holds for `vault.keys` as well, without which no content opens.
* Entries, their sealed contents and the checkpoint over them go into the same file: one sync
  is one barrier, and nothing can survive of one without the other.

After a failed write or sync the store must be abandoned: what the kernel still holds is
unknown, and a second sync that succeeds would prove nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import TraceError, TraceWriteError
from permissions.files import make_folder, sync_folder
from permissions.trace.archived import load_archived
from permissions.trace.key_lines import KEYS_FILE
from permissions.trace.vault import MAX_SEALED_LINE, mend_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_FILE = "lock"
SEGMENT_SUFFIX = ".jsonl"
SEGMENT_BYTES = 64 * 1024 * 1024
FILL_BYTES = 1024 * 1024
RESERVE_BYTES = 64 * 1024
_BLOCK_BYTES = 256 * 1024
_INDEX_DIGITS = 20
_NEWLINE = 10
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StoreFullError(TraceWriteError):
    """There is no room for these bytes; nothing of them was written."""


class Line(NamedTuple):
    """One line as it lies on disk, without its newline; `ended` says if there was one."""

    segment: Path
    offset: int
    data: bytes
    ended: bool


class Block(NamedTuple):
    """Lines that follow each other, without their newlines, from an offset on."""

    segment: Path
    offset: int
    lines: list[bytes]
    ended: bool
    """Whether each had a newline; one that had not stands alone."""


def segment_path(directory: Path, first: int) -> Path:
    """The segment whose first entry has this index."""
    return directory / f"{first:0{_INDEX_DIGITS}d}{SEGMENT_SUFFIX}"


def segments(directory: Path) -> list[Path]:
    """The segments in the folder of a log, in order.

    Raises:
        TraceError: the directory cannot be read.
    """
    try:
        found = [path for path in directory.iterdir() if path.suffix == SEGMENT_SUFFIX]
    except OSError as err:
        raise TraceError(f"no trace can be read in {directory}: {err.strerror}") from err
    return sorted(path for path in found if path.stem.isdigit())


def all_segments(directory: Path, *, alone: bool = False) -> list[Path]:
    """The segments of a log in order, with those in the archive, if all of those are there.

    Without them, or `alone`, they begin after the archived part.

    Raises:
        TraceError: the directory cannot be read.
    """
    archived = load_archived(directory)
    found = segments(directory)
    if archived is None:
        return found
    found = [path for path in found if int(path.stem) >= archived.size]
    return found if alone else [*(archived.paths() or ()), *found]


def read_lines(directory: Path, *, after: tuple[Path, int] | None = None) -> Iterator[Line]:
    """Every line of a log as it lies; the zeros a segment is filled with are left out.

    Args:
        directory: of the log.
        after: a segment and the end of a line in it; what comes before is left out.

    Raises:
        TraceError: a file cannot be read.
    """
    for path, offset in _segments_after(directory, after):
        yield from _lines_of(path, offset)


def read_blocks(
    directory: Path,
    *,
    after: tuple[Path, int] | None = None,
    alone: bool = False,
    upto: Path | None = None,
) -> Iterator[Block]:
    """The same lines as `read_lines` gives, many at a time; raises as it does.

    Args:
        directory: of the log.
        after: as for `read_lines`.
        alone: leaves the archive out.
        upto: the last segment to read.
    """
    for path, offset in _segments_after(directory, after, alone=alone):
        if upto is not None and path.name > upto.name:
            return
        end, rest = offset, b""
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(offset)
                while data := file.read(max(_BLOCK_BYTES, len(rest))):
                    whole, newline, rest = (rest + data).rpartition(b"\n")
                    lines = whole.split(b"\n") if newline else []
                    if len(rest) + len(whole) >= MAX_SEALED_LINE and any(
                        len(each) >= MAX_SEALED_LINE for each in (*lines, rest)
                    ):
                        rest = b"too long"
                        break
                    if lines:
                        yield Block(path, end, lines, ended=True)
                        end += len(whole) + 1
        except OSError as err:
            raise TraceError(f"{path.name} cannot be read: {err.strerror}") from err
        if rest:  # no whole line, or zeros
            for line in _lines_of(path, end):
                yield Block(path, line.offset, [line.data], ended=line.ended)


def _segments_after(
    directory: Path, after: tuple[Path, int] | None, *, alone: bool = False
) -> Iterator[tuple[Path, int]]:
    """The segments to read, and from where."""
    for path in all_segments(directory, alone=alone):
        if after is None or path.name > after[0].name:
            yield path, 0
        elif path.name == after[0].name:
            yield path, after[1]


def _lines_of(path: Path, offset: int) -> Iterator[Line]:
    try:
        with path.open("rb", buffering=1024 * 1024) as file:
            file.seek(offset)
            zeros: int | None = None
            readline, most = file.readline, MAX_SEALED_LINE
            while data := readline(most):
                start, offset = offset, offset + len(data)
                if zeros is not None:  # those of a segment are at its end only
                    yield Line(path, zeros, b"\0", ended=False)
                    zeros = None
                if data[-1] == _NEWLINE:
                    yield Line(path, start, data[:-1], ended=True)
                elif rest := data.rstrip(b"\0"):
                    yield Line(path, start, rest, ended=False)
                else:
                    zeros = start
    except OSError as err:
        raise TraceError(f"{path.name} cannot be read: {err.strerror}") from err


class Store:
    """The open end of a log. One thread at a time may use it."""

    def __init__(self, directory: Path, *, holder: str) -> None:
        """Takes the lock; `holder` is written into it, for people.

        Raises:
            TraceWriteError: another writer holds it, or the directory cannot be used.
        """
        # Absolute: a tool that changes the working directory does not move the log.
        self._directory = directory = directory.absolute()
        self._segment = self._keys = -1
        self._path = directory
        self._end = self._put_end = self._filled = self._keys_end = 0
        try:
            make_folder(directory)
            self._lock = _open(directory / LOCK_FILE)
        except OSError as err:
            raise TraceWriteError(f"the log {directory} cannot be opened: {err}") from err
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            os.close(self._lock)
            raise TraceWriteError(
                f"another process writes the log {directory}; give each broker its own"
            ) from err
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, holder.encode() + b"\n", 0)

    def resume(self, segment: Path, end: int) -> None:
        """Goes on in `segment` after `end` bytes, which are all that is kept of it.

        Raises:
            TraceWriteError: the files cannot be opened or made durable.
        """
        try:
            self._keys = _open(self._directory / KEYS_FILE, os.O_APPEND)
            self._keys_end = mend_keys(self._keys)
            self._segment, self._path = _open(segment), segment.absolute()
            os.ftruncate(self._segment, end)
            self._end = self._filled = end
            os.fsync(self._segment)
            os.fsync(self._keys)
            sync_folder(self._directory)
        except OSError as err:
            raise TraceWriteError(f"the log cannot be continued: {err}") from err

    @property
    def position(self) -> tuple[Path, int]:
        """The open segment, and where the data in it ends."""
        return self._path, self._end

    def put(self, data: bytes, *, first: int) -> None:
        """Hands `data` to the kernel; `first` is the index of the first entry in it.

        From here on it survives the death of this process, and is yet to be made durable by
        `sync`, before which no more may be put.

        Raises:
            StoreFullError: no room; nothing was written.
            TraceWriteError: a write failed; the store must be abandoned.
        """
        try:
            if self._end >= SEGMENT_BYTES:
                self._roll(first)
            # Before room is added, which would hide that a part was cut off.
            self._require_in_place()
            self._fill(len(data) + RESERVE_BYTES)
        except OSError as err:
            if err.errno in _FULL:
                raise StoreFullError(f"no room for the record: {err.strerror}") from err
            raise TraceWriteError(f"the log cannot be extended: {err}") from err
        self._put(data)

    def write_from_reserve(self, data: bytes) -> None:
        """Like `write`, into room that is already there: for the last entry of a full log.

        Raises:
            TraceWriteError: it does not fit, or the write failed.
        """
        if self._end + len(data) > self._filled:
            raise TraceWriteError("nothing is left of the reserve")
        self._put(data)
        self.sync()

    def write_keys(self, lines: bytes) -> None:
        """Makes lines of the vault's keys file durable.

        Raises:
            StoreFullError: no room; nothing was written.
            TraceWriteError: a write or a sync failed; the store must be abandoned.
        """
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(self._keys, view) :]
            os.fdatasync(self._keys)
        except OSError as err:
            # Or the next line would be joined to a part of this one, and lost with it.
            with suppress(OSError):
                os.ftruncate(self._keys, self._keys_end)
            full = err.errno in _FULL
            fault = StoreFullError if full else TraceWriteError
            raise fault(f"a key of the vault could not be written: {err.strerror}") from err
        self._keys_end += len(lines)

    def close(self) -> None:
        """Gives back unused room, the files and the lock. Never raises."""
        for descriptor in (self._segment, self._keys, self._lock):
            if descriptor < 0:
                continue
            # The data was synced before it was promised; zeros may stay behind.
            with suppress(OSError):
                if descriptor == self._segment and self._filled > self._end:
                    os.ftruncate(descriptor, self._end)
            with suppress(OSError):  # of a disk that failed as well
                os.close(descriptor)
        self._segment = self._keys = self._lock = -1

    def sync(self) -> None:
        """Makes what was put durable.

        Raises:
            TraceWriteError: it is not; the store must be abandoned.
        """
        try:
            os.fdatasync(self._segment)
        except OSError as err:
            raise TraceWriteError(f"the record could not be made durable: {err}") from err
        self._require_in_place()
        self._end = self._put_end

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        end = self._end
        try:
            while view:
                written = os.pwrite(self._segment, view, end)
                view, end = view[written:], end + written
        except OSError as err:
            raise TraceWriteError(f"the record could not be written: {err}") from err
        self._put_end = end

    def _require_in_place(self) -> None:
        try:
            _same_file(self._lock, self._directory / LOCK_FILE)
            for descriptor, path, size in (
                (self._segment, self._path, self._filled),
                (self._keys, self._directory / KEYS_FILE, self._keys_end),
            ):
                if _same_file(descriptor, path).st_size < size:
                    raise TraceWriteError(f"{path.name} was cut by somebody else")
        except OSError as err:
            raise TraceWriteError(f"the log's files are gone: {err.strerror}") from err

    def _fill(self, needed: int) -> None:
        target = self._end + needed
        while self._filled < target:
            room = bytes(max(FILL_BYTES, target - self._filled))
            self._filled += os.pwrite(self._segment, room, self._filled)

    def _roll(self, first: int) -> None:
        path = segment_path(self._directory, first)
        fresh = _open(path, os.O_EXCL)
        os.ftruncate(self._segment, self._end)
        os.fsync(self._segment)
        os.close(self._segment)
        self._segment, self._path, self._end, self._filled = fresh, path, 0, 0
        sync_folder(self._directory)


def _open(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def _same_file(descriptor: int, path: Path) -> os.stat_result:
    """What `path` is now, if that is the open file."""
    found = path.lstat()
    if not os.path.samestat(found, os.fstat(descriptor)):
        raise FileNotFoundError(errno.ENOENT, "another file has its name")
    return found
