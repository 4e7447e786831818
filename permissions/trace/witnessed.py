"""What witnesses said of a log, as far as it lies here."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from permissions.errors import TraceError
from permissions.trace.checkpoint import cosigned_at, parse_checkpoint
from permissions.trace.known_checkpoints import read_checkpoint
from permissions.trace.report import Witnessed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from permissions.trace.note_keys import NoteKey


def cosigned_path(directory: Path, key: NoteKey) -> Path:
    """Where the newest checkpoint that this witness cosigned lies."""
    return directory / f"cosigned.{hashlib.sha256(str(key).encode()).hexdigest()[:16]}"


def cosigned_beside(directory: Path, keys: Iterable[NoteKey]) -> dict[str, str]:
    """The checkpoints beside a log that one of these witnesses cosigned, by where they lie."""
    found: dict[str, str] = {}
    for key in keys:
        path = cosigned_path(directory, key)
        try:
            note = read_checkpoint(path)
            if cosigned_at(note, key):
                found[str(path)] = note
        except TraceError:
            continue  # not there, or not the witness's: then it vouches for nothing
    return found


def witnessed_by(keys: Iterable[NoteKey], notes: Iterable[str]) -> tuple[Witnessed, ...]:
    """How far each of these witnesses went, by notes that fit the log."""
    notes = list(notes)
    found: list[Witnessed] = []
    for key in keys:
        best: Witnessed | None = None
        for note in notes:
            try:
                time = cosigned_at(note, key)
            except TraceError:
                continue
            size = parse_checkpoint(note).size
            if time and (best is None or size > best.size):
                best = Witnessed(key.name, size, time)
        if best is not None:
            found.append(best)
    return tuple(found)
