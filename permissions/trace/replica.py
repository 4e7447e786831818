"""A second copy of a log, on another disk: what the evidence level `replicated` waits for.

A thread writes what the committing thread has made durable at the same offsets of files of the
same names, and syncs them. A second disk that hangs or fails costs those calls that need it, and
no others; when the log is opened again the copy is brought up to it.

A copy that goes further than the log, or that is another log's, is not touched, and the log is
not opened: one of the two was cut or replaced.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from permissions import files
from permissions.errors import TraceIntegrityError, TraceWriteError
from permissions.logs import get_logger
from permissions.trace.key_lines import KEYS_FILE
from permissions.trace.store import segments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from permissions.trace.committer import Durable

MAX_BEHIND = 64 * 1024 * 1024
_COMPARED = 64 * 1024
_CHUNK = 1024 * 1024
_log = get_logger("trace.replica")


def replica_folder(root: Path, origin: str) -> Path:
    """Where in the second folder the copy of this log lies."""
    return root / hashlib.sha256(origin.encode()).hexdigest()[:16]


class Replica:
    """Keeps one copy of one log."""

    def __init__(
        self, log: Path, folder: Path, *, size: int, on_progress: Callable[[], None]
    ) -> None:
        """Brings the copy up to the log, which nobody else writes, and has `size` entries.

        Raises:
            TraceIntegrityError: the copy goes further, or is of another log.
            TraceWriteError: it cannot be written.
        """
        self._folder = folder
        self._on_progress = on_progress
        self._changed = threading.Condition()
        self._waiting: deque[Durable] = deque()
        self._behind = 0
        self._closing = False
        self.failure: str | None = None
        try:
            catch_up(log, folder)
        except OSError as err:
            raise TraceWriteError(f"the second copy in {folder}: {err}") from err
        self.replicated = size
        self._thread = threading.Thread(target=self._run, name="trace-replica", daemon=True)
        self._thread.start()

    def position(self) -> float:
        """How many entries are in the copy; all, once nothing more will get there."""
        return float("inf") if self.failure is not None else self.replicated

    def put(self, written: Durable) -> None:
        """Takes what is to be copied; never waits."""
        with self._changed:
            if self.failure is not None:
                return
            if self._behind > MAX_BEHIND:
                self._fail(f"it is more than {MAX_BEHIND} bytes behind")
                return
            self._waiting.append(written)
            self._behind += len(written.data)
            self._changed.notify()

    def close(self, *, patience: float) -> None:
        """Copies what is left; blocks no longer than `patience` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(patience)

    def _run(self) -> None:
        while self.failure is None:
            with self._changed:
                while not self._waiting:
                    if self._closing:
                        return
                    self._changed.wait()
                taken = list(self._waiting)
                self._waiting.clear()
                self._behind = 0
            try:
                self._write(taken)
            except OSError as err:
                self._fail(str(err))
            else:
                self.replicated = taken[-1].size
            self._on_progress()

    def _write(self, taken: list[Durable]) -> None:
        keys = b"".join(each.keys for each in taken)
        if keys:
            _append(self._folder / KEYS_FILE, keys)
        for name in dict.fromkeys(each.segment for each in taken):
            path = self._folder / name
            is_new = not path.exists()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                for each in taken:
                    if each.segment == name:
                        _write_at(descriptor, each.data, each.end - len(each.data))
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            if is_new:
                files.sync_folder(self._folder)

    def _fail(self, reason: str) -> None:
        self.failure = f"the second copy of the log in {self._folder} is not kept: {reason}"
        _log.error("replica_failed", reason=reason, folder=str(self._folder))


def catch_up(log: Path, folder: Path) -> None:
    """Copies what a copy lacks of a log that nobody writes.

    Raises:
        TraceIntegrityError: the copy goes further, or is of another log.
        OSError: a file cannot be read or written.
    """
    files.make_folder(folder)
    # What was archived out of the log may stay in the copy.
    last = max((path.name for path in segments(log)), default="")
    if further := [path.name for path in segments(folder) if path.name > last]:
        raise TraceIntegrityError(_apart(folder, further[0]))
    for path in segments(log):
        _copy(path, folder / path.name)
    keys = log / KEYS_FILE
    if keys.exists() and _content(folder / KEYS_FILE) != keys.read_bytes():
        files.replace(folder / KEYS_FILE, keys.read_bytes())
    files.sync_folder(folder)


def _copy(source: Path, target: Path) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    with source.open("rb") as file, os.fdopen(os.open(target, flags, 0o600), "r+b") as copy:
        end, have = source.stat().st_size, target.stat().st_size
        start = max(0, have - _COMPARED)
        file.seek(start)
        copy.seek(start)
        if have > end or file.read(have - start) != copy.read(have - start):
            raise TraceIntegrityError(_apart(target.parent, source.name))
        while chunk := file.read(_CHUNK):
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())


def _apart(folder: Path, name: str) -> str:
    return (
        f"the second copy of the log in {folder} is not of this log, or goes further ({name}): the"
        " log was cut or replaced. Verify both; put the log back from the copy, or move the copy"
        " away"
    )


def _append(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
