"""What a verifier remembers of the logs it saw, kept outside them.

A log that is cut at a checkpoint is a shorter log that verifies. Only somebody who remembers
how long it was can tell, so each verifier remembers: one signed checkpoint per origin.

A log that was swapped together with the keys beside it verifies, too. So for each folder the
verifier remembers which log was there and who signed it, from the first time on (trust on
first use: what was swapped before that is taken for the truth).

Who can write here as well as in the log can hide all of it; keep this folder under another
user or on another machine where that matters.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from permissions import files
from permissions.errors import SigningError, TraceError
from permissions.signing.keys import PublicKey
from permissions.trace import codec
from permissions.trace.checkpoint import MAX_NOTE, parse_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def read_checkpoint(path: Path) -> str:
    """A signed checkpoint from a file. Its signature is checked where it is used.

    Raises:
        TraceError: the file cannot be read or is not a checkpoint.
    """
    try:
        note = path.read_bytes()[: MAX_NOTE + 1].decode()
    except (OSError, UnicodeDecodeError) as err:
        raise TraceError(f"the checkpoint {path} cannot be read: {err}") from err
    parse_checkpoint(note)
    return note


class Known(NamedTuple):
    """The log a folder held when it was verified first, and the key that signed it."""

    origin: str
    key: PublicKey


class KnownCheckpoints:
    """A folder of checkpoints, by origin, and of logs, by the folder they lie in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, origin: str) -> Path:
        """The file that holds the checkpoint of this log."""
        return self._folder / f"{_name(origin)}.checkpoint"

    def get(self, origin: str) -> str | None:
        """The checkpoint seen last, if any was.

        Raises:
            TraceError: there is one, but it cannot be read or is not a checkpoint.
        """
        path = self.path(origin)
        return read_checkpoint(path) if path.exists() else None

    def remember(self, note: str) -> None:
        """Keeps a checkpoint that was verified together with the one before it.

        One of a longer log stays: who verifies an older copy forgets nothing.

        Raises:
            TraceError: it cannot be written.
        """
        now = parse_checkpoint(note)
        before = self.get(now.origin)
        if before is None or parse_checkpoint(before).size <= now.size:
            self._keep(self.path(now.origin), note.encode())

    def log_path(self, directory: Path) -> Path:
        """The file that says which log lies in this folder."""
        return self._folder / f"{_name(str(directory.resolve()))}.log"

    def log_in(self, directory: Path) -> Known | None:
        """The log this folder held before, if it was ever verified.

        Raises:
            TraceError: something is kept, but cannot be read.
        """
        path = self.log_path(directory)
        try:
            document = codec.decode(path.read_bytes())
            return Known(str(document["origin"]), PublicKey.parse(str(document["key"])))
        except FileNotFoundError:
            return None
        except (OSError, KeyError, TraceError, SigningError) as err:
            raise TraceError(f"the known log in {path} cannot be read: {err}") from err

    def remember_log(self, directory: Path, known: Known) -> None:
        """Keeps which log lies in a folder, and who signed it.

        Raises:
            TraceError: it cannot be written.
        """
        document = {"key": str(known.key), "origin": known.origin}
        self._keep(self.log_path(directory), codec.encode(document))

    def _keep(self, path: Path, data: bytes) -> None:
        try:
            files.make_folder(self._folder)
            files.replace(path, data)
        except OSError as err:
            raise TraceError(
                f"what was verified could not be kept in {self._folder}: {err}"
            ) from err


def _name(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]
