"""What the log holds of one run, with its contents opened, for a broker that goes on with it.

Found by the index, so that it takes the time of that run's entries and of what is new in the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.trace.entry import PastEntry
from permissions.trace.index import IndexDamagedError, TraceIndex
from permissions.trace.vault import VaultReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any


def history_of(
    run: str, *, directory: Path, kek: bytes, index: Path | None = None
) -> Iterator[PastEntry]:
    """The entries of a run, in order. Blocking.

    Without a file for the index the whole log is read.

    Contents that were left out of the log are missing from their entry.

    Raises:
        TraceError: the log cannot be read, or the key of a content is not there any more.
        TraceIntegrityError: a line is malformed, or a content is not what was committed to.
    """
    vault = VaultReader(directory, kek, run=run)
    found = TraceIndex(directory, index)
    try:
        entries = list(found.run(run))
    except IndexDamagedError:
        entries = list(found.run(run))  # of one that was made anew
    for entry in entries:
        kind: Any = entry.type
        yield PastEntry(
            kind,
            run,
            entry.call,
            dict(entry.body),
            {name: entry.open(name, vault) for name in entry.sealed},
            index=entry.index,
            time=entry.time,
        )
