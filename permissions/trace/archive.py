"""Moves closed segments of a log to another folder, from its beginning on.

The log stays one log: whoever reads it finds the moved segments where `archived.json` says, and
without them goes on from the tree at their end (`archived`). Nothing is removed before its copy
was synced, read back and found equal, and what is moved was verified up to a signed checkpoint.
Killed at any moment, the log is whole, and the next call finishes what this one began.

A broker may write the log meanwhile: the segment it writes is never moved. The keys of contents
stay, so an erasure reaches the archive.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import astuple
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from permissions import files
from permissions.errors import TraceError, TraceIntegrityError
from permissions.files import make_folder, sync_folder
from permissions.trace.archived import (
    Archived,
    ArchivedSegment,
    load_archived,
    save_archived,
)
from permissions.trace.decoded import decode_entry
from permissions.trace.store import segments
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.signing.keys import PublicKey

_CHUNK = 1024 * 1024


class Moved(NamedTuple):
    """What an archiving moved: segments and bytes, and how many entries lie in the archive now."""

    segments: tuple[str, ...]
    size: int
    entries: int


def archive_segments(
    directory: Path,
    folder: Path,
    *,
    key: PublicKey | None,
    keep: int = 1,
    before: int | None = None,
) -> Moved:
    """Moves the oldest segments of a log to `folder`.

    Args:
        directory: of the log.
        folder: where they go; made when missing.
        key: what must have signed the log.
        keep: how many segments stay at least; the one that is written always does.
        before: moves only segments whose entries are all older than this time (microseconds
            since 1970-01-01 UTC).

    Raises:
        TraceError: something cannot be read or written, or the last segment to be moved is still
            being closed; the log is whole.
        TraceIntegrityError: the log is not what was signed; nothing was moved.
    """
    folder = folder.absolute()
    if folder.resolve().is_relative_to(directory.resolve()):
        raise TraceError(f"the archive {folder} lies in the log's own folder")
    try:
        earlier = load_archived(directory)
        _remove_moved(directory, earlier)
        chosen = _chosen(directory, earlier, max(keep, 1), before)
        if not chosen:
            return Moved((), 0, 0 if earlier is None else earlier.size)
        make_folder(folder)
        archived = _verified(directory, chosen, key, earlier, folder)
        save_archived(directory, archived)
        files.replace(folder / f"{archived.size}.checkpoint", archived.note.encode())
        _remove_moved(directory, archived)
    except OSError as err:
        raise TraceError(f"the log cannot be archived in {folder}: {err}") from err
    size = sum(each.size for each in archived.segments[-len(chosen) :])
    return Moved(tuple(path.name for path in chosen), size, archived.size)


def _chosen(
    directory: Path, earlier: Archived | None, keep: int, before: int | None
) -> list[Path]:
    begun = 0 if earlier is None else earlier.size
    here = [path for path in segments(directory) if int(path.stem) >= begun]
    chosen = []
    for path, following in pairwise(here[: len(here) - keep + 1]):
        if before is not None and _first_time(following) >= before:
            break
        chosen.append(path)
    return chosen


def _first_time(segment: Path) -> int:
    with segment.open("rb") as file:
        return decode_entry(file.readline().removesuffix(b"\n")).time


def _verified(
    directory: Path,
    chosen: list[Path],
    key: PublicKey | None,
    earlier: Archived | None,
    folder: Path,
) -> Archived:
    """The log up to the end of the chosen segments, which are copied."""
    last = chosen[-1]
    report = verify_trace(directory, key=key, signatures="last", alone=True, upto=last)
    end = report.end
    if not report.is_intact:
        raise TraceIntegrityError(
            f"nothing is archived: at entry {report.integrity.failed_at},"
            f" {report.integrity.reason}"
        )
    if (
        end is None
        or report.checkpoint is None
        or report.chain is None
        or end.segment.name != last.name
        or end.offset != last.stat().st_size
    ):
        raise TraceError(
            f"{last.name} does not end with a checkpoint: a broker is closing it, or died;"
            " try again when one has been opened"
        )
    return Archived(
        chain=report.chain,
        note=report.checkpoint,
        peaks=end.peaks,
        segments=(
            *(() if earlier is None else earlier.segments),
            *(_copied(path, folder) for path in chosen),
        ),
        open_calls=tuple(astuple(each) for each in report.completeness.open_calls),
    )


def _copied(path: Path, folder: Path) -> ArchivedSegment:
    """A segment whose copy is synced, and equal to it."""
    target = folder / path.name
    digest = _digest(path)
    if not target.exists() or _digest(target) != digest:
        if target.exists() and target.stat().st_size >= path.stat().st_size:
            raise TraceError(
                f"{target} is there, and another file: is this another log's archive?"
            )
        with path.open("rb") as source, files.written_whole(target) as file:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
        if _digest(target) != digest:
            raise TraceError(f"the copy {target} is not what was written")
    sync_folder(folder)
    return ArchivedSegment(path.name, target.stat().st_size, digest, str(folder))


def _remove_moved(directory: Path, archived: Archived | None) -> None:
    """Removes segments here whose copy in the archive is what it has to be."""
    here = {path.name: path for path in segments(directory)}
    left = [each for each in (archived.segments if archived else ()) if each.name in here]
    for each in left:
        if each.path.samefile(here[each.name]) or _digest(each.path) != each.digest:
            raise TraceError(f"{each.path} is not what was archived; {each.name} stays here")
    for each in left:
        here[each.name].unlink(missing_ok=True)
    if left:
        sync_folder(directory)


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
