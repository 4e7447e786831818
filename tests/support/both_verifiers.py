"""Holds our verifier and the second one to each other, on every trace that a test left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import logs
import second_verifier
from second_verifier import DoesNotFitError

from permissions.errors import TraceError
from permissions.trace.key_lines import KEYS_FILE
from permissions.trace.store import segments
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 1024 * 1024
DEEPEST = 3
MOST_IN_A_FOLDER = 100


def disagreements(folder: Path) -> Iterator[str]:
    """What one of them says of a trace below this folder, and the other does not."""
    for keys in _found(folder, DEEPEST):
        trace = keys.parent
        try:
            size = sum(path.stat().st_size for path in segments(trace))
            if not 0 < size <= MOST_BYTES:
                continue
            yield from _compared(trace, _kek(trace))
        except (OSError, TraceError):
            continue  # what cannot be read is no trace


def _compared(trace: Path, kek: bytes) -> Iterator[str]:
    report = verify_trace(trace, vault=VaultReader(trace, kek))
    if report.completeness.unsigned_bytes or report.end is None:
        return  # a torn tail, which only recovery may judge
    if report.completeness.archived:
        return  # a part of a log
    try:
        found = second_verifier.verify(trace, None, kek)
    except DoesNotFitError as err:
        if report.is_intact:
            yield f"{trace}: the second verifier alone says: {err}"
        return
    except (ValueError, KeyError) as err:  # keys that were altered
        if report.is_intact:
            yield f"{trace}: the second verifier cannot read it: {err}"
        return
    if not report.is_intact:
        yield f"{trace}: only ours says: {report.integrity.reason}"
    elif found and not report.completeness.findings_count:
        yield f"{trace}: only the second verifier finds: {found[:3]}"


def _kek(trace: Path) -> bytes:
    beside = trace.parent / "keys" / "vault.key"
    return beside.read_bytes() if beside.is_file() else logs.KEK


def _found(folder: Path, depth: int) -> Iterator[Path]:
    try:
        inside = list(folder.iterdir())
    except OSError:
        return
    if len(inside) > MOST_IN_A_FOLDER:
        return  # the files of an image, not a state folder
    for path in inside:
        if path.name == KEYS_FILE and path.is_file():
            yield path
        elif depth and path.is_dir() and not path.is_symlink():
            yield from _found(path, depth - 1)
