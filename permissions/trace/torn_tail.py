"""Whether broken bytes at the end of a log are what a power cut leaves of one group.

The disk may have taken any of the group's 512-byte sectors, the one with the checkpoint too, and
the others are still zeros. So a group is torn, and not altered, when its checkpoint is the last
thing in the log and a whole sector of it is zeros. Who zeroes a sector of the last group can as
well cut the group off; either way only a checkpoint kept outside tells.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from permissions.errors import TraceError
from permissions.trace.checkpoint import note_of, parse_checkpoint, signed_by
from permissions.trace.encoder import CHECKPOINT_PREFIX

if TYPE_CHECKING:
    from permissions.trace.key_chain import KeyChain
    from permissions.trace.report import End
    from permissions.trace.store import Line

SECTOR_BYTES = 512
"""What a disk writes whole or not at all; a larger sector is several of these."""


def is_signed_checkpoint(line: Line, chain: KeyChain | None) -> bool:
    """Whether a line after broken bytes is a checkpoint: then they were whole once, or in flight."""
    if not line.data.startswith(CHECKPOINT_PREFIX) or not line.ended:
        return False
    try:
        note = note_of(line.data)
        if chain is None:
            parse_checkpoint(note)
        else:
            signed_by(note, chain.in_force()[:1])
    except TraceError:
        return False
    return True


def is_torn(broken: Line | None, checkpoint: Line, end: End | None) -> bool:
    """Whether the group before this checkpoint may be what a power cut left of it.

    A group lies in one segment, and no line has zeros in it.

    Args:
        broken: the first line that is none.
        checkpoint: the last thing in the log.
        end: of the last group that is whole.
    """
    if broken is None or broken.segment != checkpoint.segment:
        return False
    start = end.offset if end is not None and end.segment == checkpoint.segment else 0
    try:
        with checkpoint.segment.open("rb") as file:
            file.seek(start)
            group = file.read(checkpoint.offset - start)
    except OSError:
        return False
    # The first sector is shared with what was acknowledged before; the last one with the
    # checkpoint, which is there, so that one is whole.
    first = SECTOR_BYTES - start % SECTOR_BYTES
    bounds = [0, *range(first, len(group) + 1, SECTOR_BYTES)]
    return any(low < high and not any(group[low:high]) for low, high in pairwise(bounds))
