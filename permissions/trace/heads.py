"""The last head a verifier saw of each log, kept outside the logs.

A log that is cut at a checkpoint is a shorter log that verifies. Only somebody who remembers
how long it was can tell, so each verifier remembers: one signed checkpoint per origin. Who can
write here as well as in the log can hide a cut; keep heads under another user or on another
machine where that matters.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from typing import TYPE_CHECKING

from permissions.errors import TraceError
from permissions.trace.checkpoint import MAX_NOTE, parse_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def read_head(path: Path) -> str:
    """A signed checkpoint from a file. Its signature is checked where it is used.

    Raises:
        TraceError: the file cannot be read or is not a checkpoint.
    """
    try:
        note = path.read_bytes()[: MAX_NOTE + 1].decode()
    except (OSError, UnicodeDecodeError) as err:
        raise TraceError(f"the head {path} cannot be read: {err}") from err
    parse_checkpoint(note)
    return note


class KnownHeads:
    """A folder of heads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, origin: str) -> Path:
        """Where the head of this log is kept."""
        return self._folder / f"{hashlib.sha256(origin.encode()).hexdigest()[:32]}.checkpoint"

    def get(self, origin: str) -> str | None:
        """The head seen last, if any was.

        Raises:
            TraceError: there is one, but it cannot be read or is not a checkpoint.
        """
        path = self.path(origin)
        return read_head(path) if path.exists() else None

    def remember(self, note: str) -> None:
        """Keeps a head that was verified together with the one before it.

        Raises:
            TraceError: it cannot be written.
        """
        path = self.path(parse_checkpoint(note).origin)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with draft.open("x", encoding="utf-8") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as err:
            raise TraceError(f"the head could not be kept in {self._folder}: {err}") from err
