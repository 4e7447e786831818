"""A witness: cosigns a checkpoint only when it extends what it cosigned of that log before.

C2SP tlog-witness. What it cosigned last of each log is on disk before it answers, so that two
checkpoints of one log that do not agree never both get its word, also not after it was killed.

Not protected from: whoever has the witness's key or may write its file; run it on a machine and
under an owner of its own.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import StateError, TraceError, TraceIntegrityError
from permissions.files import make_folder
from permissions.trace.checkpoint import cosigned_at, parse_checkpoint, with_lines
from permissions.trace.consistency import check_consistency
from permissions.trace.merkle import EMPTY_ROOT
from permissions.trace.witnessing import AddCheckpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from permissions.trace.checkpoint import Checkpoint
    from permissions.trace.note_keys import NoteKey, NoteSigner

_SIZE_TYPE = "text/x.tlog.size"
_TEXT = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """What a request is answered with."""

    status: HTTPStatus
    text: str
    kind: str = _TEXT


class WitnessState:
    """The last checkpoint that was cosigned of each log, in a file."""

    def __init__(self, folder: Path) -> None:
        """Opens the file, or makes it.

        Raises:
            StateError: it cannot be used.
        """
        self._lock = threading.Lock()
        try:
            make_folder(folder)
            path = folder / "witness.db"
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS cosigned (origin TEXT PRIMARY KEY, size INTEGER NOT"
                " NULL, root BLOB NOT NULL, note TEXT NOT NULL) STRICT"
            )
        except (OSError, sqlite3.Error) as err:
            raise StateError(f"the witness's state in {folder} cannot be used: {err}") from err

    def last(self, origin: str) -> tuple[int, bytes, str] | None:
        """Size, root and cosigned note of a log, if there is one.

        Raises:
            StateError: it cannot be read.
        """
        try:
            with self._lock:
                row = self._db.execute(
                    "SELECT size, root, note FROM cosigned WHERE origin = ?", (origin,)
                ).fetchone()
        except sqlite3.Error as err:
            raise StateError(f"the witness's state cannot be read: {err}") from err
        return None if row is None else (row[0], row[1], row[2])

    def advance(
        self,
        checkpoint: Checkpoint,
        cosign: Callable[[int, bytes], str],
    ) -> str:
        """Has `cosign` judge what is kept, and keeps its note durably; one at a time.

        Args:
            checkpoint: the new one.
            cosign: gets size and root of the last one (0 and the empty root before the first)
                and gives the note to keep, or raises.

        Raises:
            StateError: it cannot be kept; then nothing may be answered.
        """
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                row = self._db.execute(
                    "SELECT size, root FROM cosigned WHERE origin = ?", (checkpoint.origin,)
                ).fetchone()
                note = cosign(*(row or (0, EMPTY_ROOT)))
                self._db.execute(
                    "INSERT INTO cosigned VALUES (?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE SET"
                    " size = excluded.size, root = excluded.root, note = excluded.note",
                    (checkpoint.origin, checkpoint.size, checkpoint.root, note),
                )
                self._db.execute("COMMIT")
            except sqlite3.Error as err:
                raise StateError(f"the witness's state cannot be kept: {err}") from err
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        return note

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


class _RefusedError(TraceError):
    """The request is not cosigned."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.text)
        self.answer = answer


class Judge:
    """Answers requests for some logs."""

    def __init__(
        self,
        state: WitnessState,
        signers: Sequence[NoteSigner],
        logs: Sequence[NoteKey],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`logs` are the keys of the logs that are witnessed; a log may have several."""
        self._state = state
        self._signers = signers
        self._logs: dict[str, list[NoteKey]] = {}
        for key in logs:
            self._logs.setdefault(key.name, []).append(key)
        self._clock = clock

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answers a request to cosign.

        Raises:
            StateError: the state cannot be read or kept.
        """
        try:
            asked = AddCheckpoint.parse(body)
            checkpoint = parse_checkpoint(asked.note)
        except TraceError as err:
            return Answer(HTTPStatus.BAD_REQUEST, f"{err}\n")
        keys = self._logs.get(checkpoint.origin)
        if keys is None:
            return Answer(HTTPStatus.NOT_FOUND, "this log is not witnessed here\n")
        if not _is_signed(asked.note, keys):
            return Answer(HTTPStatus.FORBIDDEN, "not signed by a key of this log\n")
        if asked.old > checkpoint.size:
            return Answer(HTTPStatus.BAD_REQUEST, "the old size is larger than the new one\n")
        lines: list[str] = []

        def cosign(size: int, root: bytes) -> str:
            _require_extends(asked, checkpoint, size, root)
            now = int(self._clock())
            lines.extend(
                each.line(checkpoint.origin, checkpoint.size, checkpoint.root, time=now)
                for each in self._signers
            )
            return with_lines(asked.note, lines)

        try:
            self._state.advance(checkpoint, cosign)
        except _RefusedError as refused:
            return refused.answer
        return Answer(HTTPStatus.OK, "".join(lines))

    def checkpoint_of(self, digest: str) -> Answer:
        """The last cosigned checkpoint of the log whose origin has this SHA-256, in hex.

        Raises:
            StateError: the state cannot be read.
        """
        for origin in self._logs:
            if hashlib.sha256(origin.encode()).hexdigest() == digest:
                last = self._state.last(origin)
                if last is not None:
                    return Answer(HTTPStatus.OK, last[2])
        return Answer(HTTPStatus.NOT_FOUND, "nothing of such a log was cosigned here\n")


def _is_signed(note: str, keys: Sequence[NoteKey]) -> bool:
    """By one of the keys; a line of any of them that does not verify spoils the note."""
    try:
        found = [cosigned_at(note, key) is not None for key in keys]
    except TraceIntegrityError:
        return False
    return any(found)


def _require_extends(
    asked: AddCheckpoint, checkpoint: Checkpoint, size: int, root: bytes
) -> None:
    if asked.old != size:
        raise _RefusedError(Answer(HTTPStatus.CONFLICT, f"{size}\n", _SIZE_TYPE))
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise _RefusedError(
            Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "no root of an empty tree\n")
        )
    try:
        check_consistency(size, root, checkpoint.size, checkpoint.root, asked.proof)
    except TraceIntegrityError as err:
        raise _RefusedError(Answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"{err}\n")) from err
