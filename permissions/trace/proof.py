"""That one entry stands in a log: C2SP tlog-proof, checkable without the log and without us.

The proof is the entry's index, the hashes beside its path in the tree (RFC 6962, section 2.1.1),
and the checkpoint that signs the root. With the entry's line it shows that this line is under
that signature; it says nothing of what came before or after.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.errors import TraceError, TraceIntegrityError
from permissions.trace import codec
from permissions.trace.checkpoint import open_checkpoint, parse_checkpoint
from permissions.trace.merkle import Frontier, leaf_hash, node_hash
from permissions.trace.reader import read_groups
from permissions.trace.store import segments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from permissions.signing.keys import PublicKey

_FIRST_LINE = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class EntryProof:
    """An entry's line, and the proof that it is in the log."""

    index: int
    line: bytes
    hashes: tuple[bytes, ...]
    note: str

    def text(self) -> str:
        """As C2SP tlog-proof."""
        hashes = "".join(f"{base64.b64encode(each).decode()}\n" for each in self.hashes)
        return f"{_FIRST_LINE}\nindex {self.index}\n{hashes}\n{self.note}"


def prove_entry(directory: Path, index: int, *, key: PublicKey | None) -> EntryProof:
    """The proof for an entry under the last checkpoint. Reads the whole log once.

    Args:
        directory: of the log.
        index: of the entry.
        key: what must have signed the checkpoint; None leaves that to whoever gets the proof.

    Raises:
        TraceError: there is no such entry under a checkpoint, or the log cannot be read.
        TraceIntegrityError: the entries are not those that were signed.
    """
    note = last_checkpoint(directory)
    checkpoint = parse_checkpoint(note) if key is None else open_checkpoint(note, key)
    if not 0 <= index < checkpoint.size:
        raise TraceError(
            f"there is no entry {index} under the last checkpoint, which counts"
            f" {checkpoint.size} from 0"
        )
    ranges = _beside(index, checkpoint.size)
    frontiers = {each: Frontier() for each in ranges}
    ordered = iter(sorted(ranges))
    current = next(ordered, None)
    line = b""
    for at, data in _lines(directory, checkpoint.size):
        if at == index:
            line = data
            continue
        while current is not None and at >= current[1]:
            current = next(ordered, None)
        if current is not None:
            frontiers[current].append(leaf_hash(data))
    hashes = tuple(frontiers[each].root() for each in ranges)
    if root_from(line, index, checkpoint.size, hashes) != checkpoint.root:
        raise TraceIntegrityError(
            "the entries are not those the last checkpoint was signed over; run"
            " `wardline trace verify`"
        )
    return EntryProof(index, line, hashes, note)


def root_from(line: bytes, index: int, size: int, hashes: Iterable[bytes]) -> bytes:
    """The root of the tree of `size` entries that has this line and these hashes beside it."""
    found = leaf_hash(line)
    for (low, _), other in zip(_beside(index, size), hashes, strict=True):
        found = node_hash(other, found) if low < index else node_hash(found, other)
    return found


def last_checkpoint(directory: Path) -> str:
    """The last checkpoint of a log, unverified.

    Raises:
        TraceError: there is none.
    """
    for segment in reversed(segments(directory)):
        found = None
        for group in read_groups(directory, after=(segment, 0)):
            found = group.checkpoint.data
        if found is not None:
            return str(codec.parse(found)["checkpoint"])
    raise TraceError(f"nothing is signed in {directory}")


def _beside(index: int, size: int) -> list[tuple[int, int]]:
    """The subtrees beside the path of a leaf, from the leaf up: first entry and the one after."""
    low, high = 0, size
    found = []
    while high - low > 1:
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        if index < middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low = middle
    return found[::-1]


def _lines(directory: Path, size: int) -> Iterator[tuple[int, bytes]]:
    at = 0
    for group in read_groups(directory):
        for entry, *_ in group.entries:
            if at == size:
                return
            yield at, entry.data
            at += 1
