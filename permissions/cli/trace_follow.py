"""The entries of a log that others are writing, as they become durable."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from permissions.trace.reader import read_groups, recorded
from permissions.trace.store import segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from permissions.trace.reader import RecordedEntry

_PAUSE_SECONDS = 0.25


def followed(
    directory: Path, *, pause: Callable[[], None] = lambda: time.sleep(_PAUSE_SECONDS)
) -> Iterator[RecordedEntry]:
    """Every entry that comes under a checkpoint from now on; ends when `pause` raises.

    Raises:
        TraceError: the log cannot be read, or is gone.
        TraceIntegrityError: a line is malformed.
    """
    after = (segments(directory)[-1], 0)
    for group in read_groups(directory, after=after):
        after = (
            group.checkpoint.segment,
            group.checkpoint.offset + len(group.checkpoint.data) + 1,
        )
    while True:
        pause()
        for group in read_groups(directory, after=after):
            line = group.checkpoint
            after = line.segment, line.offset + len(line.data) + 1
            for entry, *contents in group.entries:
                yield recorded(entry.data, [each.data for each in contents], group.origin)
