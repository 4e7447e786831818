"""Which segments of a log lie in another folder now, and the tree at the end of them.

`archived.json` beside the segments says so. The tree in it needs no signature: that the log goes
on from there is shown by every checkpoint that comes after, and the one at its end is signed
itself. Its keys are believed only as far as the reader has pinned the one that signed there.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from permissions import files
from permissions.errors import SigningError, TraceError
from permissions.trace import codec
from permissions.trace.checkpoint import parse_checkpoint
from permissions.trace.key_chain import KeyChain
from permissions.trace.merkle import Frontier

ARCHIVED_FILE = "archived.json"
_MAX_BYTES = 64 * 1024 * 1024
_SEGMENT = re.compile(r"[0-9]{20}\.jsonl").fullmatch


class ArchivedSegment(NamedTuple):
    """One of them: its name, size in bytes, SHA-256 in hex, and the folder it was moved to."""

    name: str
    size: int
    digest: str
    folder: str

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(self.folder) / self.name


@dataclass(frozen=True, slots=True)
class Archived:
    """The part of a log that was moved away: always its beginning, up to a checkpoint."""

    chain: KeyChain
    """The keys in force at its end: a claim, as what brought them in was moved away."""
    note: str
    """The signed checkpoint at its end."""
    peaks: tuple[bytes, ...]
    """The roots of the whole subtrees there, from left to right."""
    segments: tuple[ArchivedSegment, ...]
    open_calls: tuple[tuple[str, str, str | None, int, str], ...]
    """The calls that had no end yet: run, call, tool, the entry it began with, its last type."""

    @property
    def size(self) -> int:
        """How many entries it has."""
        return parse_checkpoint(self.note).size

    def paths(self) -> list[Path] | None:
        """The segments in order, or None when one of them is not where it was moved to."""
        try:
            if any(each.path.stat().st_size != each.size for each in self.segments):
                return None
        except OSError:
            return None
        return [each.path for each in self.segments]

    def folders(self) -> str:
        """Where they lie, for people."""
        return ", ".join(sorted({each.folder for each in self.segments}))


def load_archived(directory: Path) -> Archived | None:
    """What was moved away from a log, if anything was.

    Raises:
        TraceError: that cannot be read, or is not of its form.
    """
    path = directory / ARCHIVED_FILE
    try:
        document = codec.decode(path.read_bytes()[:-1], limit=_MAX_BYTES)
        found = Archived(
            chain=KeyChain.of(document["keys"]),
            note=str(document["checkpoint"]),
            peaks=tuple(base64.b64decode(each, validate=True) for each in document["peaks"]),
            segments=tuple(
                ArchivedSegment(
                    str(each["name"]),
                    int(each["bytes"]),
                    str(each["sha256"]),
                    str(each["folder"]),
                )
                for each in document["segments"]
            ),
            open_calls=tuple(
                (
                    str(run),
                    str(call),
                    None if tool is None else str(tool),
                    int(since),
                    str(last),
                )
                for run, call, tool, since, last in document["calls"]
            ),
        )
        root = Frontier.of(found.size, found.peaks).root()
    except FileNotFoundError:
        return None
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        binascii.Error,
        SigningError,
        TraceError,
    ) as err:
        raise TraceError(f"{path} cannot be read: {err}") from err
    if root != parse_checkpoint(found.note).root:
        raise TraceError(f"{path} is altered: its tree is not that of its checkpoint")
    if not all(map(_SEGMENT, (each.name for each in found.segments))):
        raise TraceError(f"{path} is altered: it names a file that is no segment")
    return found


def require_archive(directory: Path) -> None:
    """Refuses a log of which a part is not there, where an answer has to be about all of it.

    Raises:
        TraceError: an archive of it is not where it was moved to.
    """
    archived = load_archived(directory)
    if archived is not None and archived.paths() is None:
        raise TraceError(
            f"the first {archived.size} entries of the log lie in {archived.folders()}, which is"
            " not there; put it back"
        )


def save_archived(directory: Path, archived: Archived) -> None:
    """Keeps what was moved away, in the stead of what was kept before.

    Raises:
        TraceError: it cannot be written; what was there still counts.
    """
    document = {
        "calls": [list(each) for each in archived.open_calls],
        "checkpoint": archived.note,
        "keys": archived.chain.document(),
        "peaks": [base64.b64encode(each).decode() for each in archived.peaks],
        "segments": [
            {
                "bytes": each.size,
                "folder": each.folder,
                "name": each.name,
                "sha256": each.digest,
            }
            for each in archived.segments
        ],
    }
    try:
        data = codec.encode(document, limit=_MAX_BYTES) + b"\n"
        files.replace(directory / ARCHIVED_FILE, data)
    except OSError as err:
        raise TraceError(f"{directory / ARCHIVED_FILE} cannot be written: {err}") from err
