"""The stops of a state folder: a file that only grows, one signed statement a line.

A stop holds in every process from the moment its line is in the file, for each call looks
whether the file is another than the one it read: that is one `stat`. A line is synced before
whoever stopped is told. Who dies in the middle leaves a line without an end, which says nothing
and is cut by the next to write.

Not protected from: whoever may write the state folder and takes lines out. The trace has them.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from permissions.errors import StateError
from permissions.files import replace, sync_folder
from permissions.stops.register import new_id, require_in_force, with_held
from permissions.stops.statement import (
    Resumption,
    Statement,
    Stop,
    countersigned,
    read_statement,
    sign_resumption,
    sign_stop,
    standing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from permissions.signing.keys import PublicKey, Signer
    from permissions.stops.scope import Scope
    from permissions.stops.statement import Agreement

STOPS = "stops.jsonl"
RECORDED = "stops.recorded"
LARGEST = 64 * 1024 * 1024
_NONE = (0, 0, 0)


class FileStops:
    """A `StopRegister` in a state folder.

    Args:
        folder: of the state; it is there.
        signer: the log's key.
        clock: microseconds since 1970 UTC.
        log: name of the log that `recorded` counts for; another log has none of them.
    """

    def __init__(
        self, folder: Path, signer: Signer, *, clock: Callable[[], int], log: str = ""
    ) -> None:
        self._path = folder / STOPS
        self._noted = folder / RECORDED
        self._signer = signer
        self._clock = clock
        self._log = log
        self._file = os.fspath(self._path)
        self._known = _NONE
        self._said: tuple[Statement, ...] = ()
        self._in_force: tuple[Stop, ...] = ()
        self._held: dict[str, Stop] = {}

    def in_force(self) -> tuple[Stop, ...]:
        """See `StopRegister`."""
        self._look()
        return with_held(self._in_force, self._held)

    def hold(self, stop: Stop) -> None:
        """See `StopRegister`."""
        self._held[stop.id] = stop

    def let_go(self, stop: str) -> None:
        """See `StopRegister`."""
        self._held.pop(stop, None)

    def statements(self) -> tuple[Statement, ...]:
        """See `StopRegister`."""
        self._look()
        return self._said

    def stop(self, scope: Scope, *, reason: str, by: str) -> Stop:
        """See `StopRegister`."""
        said = sign_stop(
            scope, stop=new_id(), reason=reason, by=by, now=self._clock(), signer=self._signer
        )
        with self._written() as file:
            _append(file, said.envelope)
        return said

    def resume(
        self, stop: Stop, *, reason: str, by: str, agreement: Agreement | None = None
    ) -> Resumption:
        """See `StopRegister`."""
        said = sign_resumption(
            stop.id,
            reason=reason,
            by=by,
            now=self._clock(),
            signer=self._signer,
            agreement=agreement,
        )
        with self._written() as file:
            self._look()
            require_in_force(stop, self._in_force)
            _append(file, said.envelope)
        return said

    @property
    def recorded(self) -> int:
        """See `StopRegister`."""
        try:
            count, _, log = self._noted.read_text().partition(" ")
            return int(count) if log == self._log else 0
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as err:
            raise StateError(f"{self._noted} cannot be read: {err}") from err

    def note_recorded(self, count: int) -> None:
        """See `StopRegister`."""
        try:
            replace(self._noted, f"{count} {self._log}".encode())
        except OSError as err:
            raise StateError(f"{self._noted} cannot be written: {err.strerror}") from err

    def _look(self) -> None:
        """Reads the file again when it is another than the one that was read."""
        try:
            found = os.stat(self._file)  # noqa: PTH116 - for each call; a Path costs more
        except FileNotFoundError:
            if self._said:
                raise StateError(
                    f"{self._path} is gone; put it back, it says what is stopped"
                ) from None
            return
        except OSError as err:
            raise StateError(f"{self._path} cannot be read: {err.strerror}") from err
        known = (found.st_ino, found.st_size, found.st_mtime_ns)
        if known == self._known:
            return
        said = self._read(self._signer.public)
        if len(said) < len(self._said):
            raise StateError(f"{self._path} lost statements; put it back")
        self._said, self._in_force = said, standing(said)
        self._known = known

    def _read(self, key: PublicKey) -> tuple[Statement, ...]:
        try:
            with self._path.open("rb") as file:
                data = file.read(LARGEST + 1)
        except OSError as err:
            raise StateError(f"{self._path} cannot be read: {err.strerror}") from err
        if len(data) > LARGEST:
            raise StateError(f"{self._path} is larger than {LARGEST} bytes")
        lines = data.split(b"\n")[:-1]  # what has no end was never said
        try:
            return tuple(read_statement(line, key) for line in lines)
        except StateError as err:
            raise StateError(
                f"{self._path} is damaged, so everything is stopped: {err}. Put a copy back"
            ) from err

    @contextmanager
    def _written(self) -> Iterator[int]:
        """The file to append to, alone among all processes, and without a torn end."""
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            number = os.open(self._file, flags, 0o600)
            try:
                fcntl.flock(number, fcntl.LOCK_EX)
                _cut_torn_end(number)
                yield number
                os.fsync(number)
            finally:
                os.close(number)
            sync_folder(self._path.parent)
        except OSError as err:
            raise StateError(f"{self._path} cannot be written: {err.strerror}") from err


def sign_again(folder: Path, old: PublicKey, signer: Signer) -> None:
    """Has a new log key vouch for what the old one signed. No broker may be open meanwhile.

    What the old one did not sign stays as it is: a stop of it stops, a resumption lifts nothing.

    Raises:
        StateError: the register cannot be read or written.
    """
    path = folder / STOPS
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return
    except OSError as err:
        raise StateError(f"{path} cannot be read: {err.strerror}") from err
    try:
        replace(path, b"".join(countersigned(line, old, signer) + b"\n" for line in lines))
    except OSError as err:
        raise StateError(f"{path} cannot be written: {err.strerror}") from err


def _append(number: int, line: str) -> None:
    data = memoryview(line.encode() + b"\n")
    while data:
        data = data[os.write(number, data) :]


def _cut_torn_end(number: int) -> None:
    size = os.fstat(number).st_size
    data = os.pread(number, min(size, LARGEST), max(0, size - LARGEST))
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.ftruncate(number, size - len(data) + whole)
