"""Opens a log again: verifies what its last snapshot does not cover, and says where to go on.

A torn tail is set aside.

Only bytes after the last signed checkpoint may be cut, and they are kept: `<size>.torn`, its
digest named by the `log.recover` entry. Nothing in them was ever promised to anyone. A log
that fails verification, or that another key signed, is not continued at all.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from permissions import files
from permissions.errors import TraceIntegrityError, TraceWriteError
from permissions.files import sync_folder
from permissions.trace.archived import load_archived
from permissions.trace.checkpoint import parse_checkpoint
from permissions.trace.entry import TraceEntry
from permissions.trace.key_lines import KEYS_FILE, kek_id
from permissions.trace.merkle import Frontier
from permissions.trace.snapshot import load_snapshot
from permissions.trace.store import segment_path, segments
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.signing.keys import PublicKey
    from permissions.trace.key_chain import KeyChain
    from permissions.trace.report import OpenCall, Report
    from permissions.trace.snapshot import Snapshot

TORN_SUFFIX = ".torn"


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where and how a writer goes on.

    `entries` is what it has to say first: what was cut, and which calls were left open.
    """

    origin: str | None
    frontier: Frontier
    segment: Path
    offset: int
    entries: tuple[TraceEntry, ...]
    open_calls: tuple[OpenCall, ...] = ()
    chain: KeyChain | None = None
    """The keys in force; None for a log that begins."""
    has_runs: bool = False
    """Whether anything but openings was recorded."""
    kept: int = 0
    """Entries that a snapshot covers."""


RENEW = (
    "put the log back, or keep what is there as evidence and begin a new log that names this"
    " one: wardline trace renew"
)


def recover(
    directory: Path,
    *,
    keys: Sequence[PublicKey],
    kek: bytes,
    known: Mapping[str, str] | None = None,
) -> Resumption:
    """Prepares a log for its next writer, who must hold the lock.

    Args:
        directory: of the log.
        keys: those the writer has: the first was the log's at some time, and one of them has to
            be so now.
        kek: the vault's key, which must open what is sealed and was not erased on record.
        known: signed checkpoints of this log that were kept outside, by where.

    Raises:
        TraceIntegrityError: the log is not what these keys signed, or not all of it, or contents
            of it cannot be opened any more.
        TraceWriteError: the torn tail cannot be set aside.
    """
    known = known or {}
    if not segments(directory):
        for source, note in known.items():
            last = parse_checkpoint(note)
            raise TraceIntegrityError(
                f"the log {last.origin} is gone from {directory}: the checkpoint kept in"
                f" {source} counts {last.size} entries; {RENEW}"
            )
        return Resumption(None, Frontier(), segment_path(directory, 0), 0, ())
    snapshot = _snapshot(directory, keys, kek, known)
    report = verify_trace(
        directory,
        key=keys[0],
        known=known,
        signatures="last",
        vault=VaultReader(directory, kek),
        after=snapshot,
        alone=_is_enough(directory, known),
    )
    if not report.is_intact:
        raise TraceIntegrityError(
            f"the log {directory} is not continued: at entry {report.integrity.failed_at},"
            f" {report.integrity.reason}; {RENEW}"
        )
    if report.end is not None and report.key is not None and report.key not in keys:
        raise TraceIntegrityError(
            f"the log {directory} goes on under another key ({report.key.keyid[:16]}) than the"
            f" one given ({keys[0].keyid[:16]}): name that one in trace.key"
        )
    if (lost := report.unopened) is not None:
        vault_keys = directory / KEYS_FILE
        fault = "is not what it was" if vault_keys.exists() else "is gone"
        raise TraceIntegrityError(
            f"{vault_keys}, or the vault's key, {fault}: from entry {lost.index} on, {lost.text};"
            " put it back from a copy, or keep what is there and begin a new log:"
            " wardline trace renew"
        )
    if report.end is None:
        # Killed before its first checkpoint: nothing of this log was ever promised.
        torn = _set_aside(directory, segments(directory)[0], 0, 0)
        return Resumption(None, Frontier(), segment_path(directory, 0), 0, _story(report, torn))
    torn = _set_aside(directory, report.end.segment, report.end.offset, report.integrity.size)
    return Resumption(
        origin=report.integrity.origin,
        frontier=Frontier.of(report.integrity.size, report.end.peaks),
        segment=report.end.segment,
        offset=report.end.offset,
        entries=_story(report, torn),
        open_calls=tuple(report.completeness.open_calls),
        chain=report.chain,
        has_runs=snapshot is not None
        or report.completeness.archived > 0
        or any(astuple(report.completeness.contents)),
        kept=0 if snapshot is None else snapshot.checkpoint.size,
    )


def _is_enough(directory: Path, known: Mapping[str, str]) -> bool:
    """Whether the archive need not be read: what is known lies after it."""
    archived = load_archived(directory)
    if archived is None:
        return True
    for source, note in known.items():
        if (size := parse_checkpoint(note).size) < archived.size:
            if archived.paths() is None:
                raise TraceIntegrityError(
                    f"the log {directory} is not continued: the checkpoint kept in {source}"
                    f" counts {size} entries, which lie in the archive {archived.folders()}, and"
                    " that is not there; put it back"
                )
            return False
    return True


def _snapshot(
    directory: Path, keys: Sequence[PublicKey], kek: bytes, known: Mapping[str, str]
) -> Snapshot | None:
    """What need not be read again; nothing, when a known checkpoint lies before it."""
    snapshot = load_snapshot(directory, keys, kek_id=kek_id(kek))
    if snapshot is None:
        return None
    sizes = [parse_checkpoint(note).size for note in known.values()]
    return None if any(size < snapshot.checkpoint.size for size in sizes) else snapshot


def _story(report: Report, torn: list[JsonObject]) -> tuple[TraceEntry, ...]:
    said: list[TraceEntry] = []
    if torn or not report.completeness.closed:
        said.append(TraceEntry("log.recover", run="", body={"torn": torn}))
    said.extend(
        TraceEntry(
            "gap",
            run=call.run,
            call=call.call,
            body={"reason": "outcome_unknown", "last": call.last},
        )
        for call in report.completeness.open_calls
    )
    return tuple(said)


def _set_aside(directory: Path, segment: Path, end: int, size: int) -> list[JsonObject]:
    """Moves everything after `end` of `segment` into `.torn` files, oldest first.

    Files that an earlier recovery of the same end left behind are named again: it died before
    it could record them.
    """
    later = [path for path in segments(directory) if path.name > segment.name]
    try:
        with segment.open("rb") as file:
            file.seek(end)
            tail = file.read().rstrip(b"\0")
        tail += b"".join(path.read_bytes().rstrip(b"\0") for path in later)
        if tail:
            digest = hashlib.sha256(tail).hexdigest()
            files.replace(directory / f"{size}-{digest[:16]}{TORN_SUFFIX}", tail)
        os.truncate(segment, end)
        for path in later:
            path.unlink()
        sync_folder(directory)
        return [_facts(path) for path in sorted(directory.glob(f"{size}-*{TORN_SUFFIX}"))]
    except OSError as err:
        raise TraceWriteError(f"the torn tail cannot be set aside: {err}") from err


def _facts(path: Path) -> JsonObject:
    data = path.read_bytes()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return {"file": path.name, "bytes": len(data), "digest": digest}
