"""What a stolen key leaves in doubt: the entries that nobody but it vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.trace.reader import read_entries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from permissions.trace.key_chain import KeyChain


@dataclass(frozen=True, slots=True)
class Doubt:
    """Entries that whoever had a stolen key may have written, or left others out of.

    Attributes:
        keyid: of the key.
        since: from when on it is taken for stolen, microseconds since 1970 UTC.
        first: the first such entry by its time, which the thief could choose.
        end: the first entry that another key vouches for.
    """

    keyid: str
    since: int
    first: int
    end: int


def doubts(directory: Path, chain: KeyChain | None, size: int) -> tuple[Doubt, ...]:
    """What is in doubt of a log of `size` verified entries; it is read once more for that.

    Raises:
        TraceError: it cannot be read.
    """
    if chain is None or not chain.revoked:
        return ()
    return tuple(_doubts(directory, chain, size))


def _doubts(directory: Path, chain: KeyChain, size: int) -> Iterator[Doubt]:
    ends = [reign.start for reign in chain.reigns[1:]] + [size]
    for revoked in chain.revoked:
        for reign, end in zip(chain.reigns, ends, strict=True):
            if reign.key.keyid != revoked.keyid:
                continue
            for entry in read_entries(directory):
                if entry.index >= end:
                    break
                if entry.index >= reign.start and entry.time >= revoked.since:
                    yield Doubt(revoked.keyid, revoked.since, entry.index, end)
                    break
