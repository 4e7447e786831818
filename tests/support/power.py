"""A model of a disk that loses power.

What a sync covered is there. Of everything else the disk has whatever it likes: each sector of
512 bytes as it was or as it was written, each name (a folder's too: without it all below is
gone) as it was or as it became, each file as long as it was, as it became, or as what is in it
needs.

A `Recorder` looks at a real folder just before each sync, when most is in flight, and keeps
what may be there if power goes now. Sectors that a file was filled with are zeros before.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping

SECTOR = 512


@dataclass(frozen=True)
class Content:
    """A file's bytes without the zeros at its end, and how long it is with them."""

    data: bytes
    size: int

    @classmethod
    def of(cls, data: bytes) -> Content:
        return cls(data.rstrip(b"\0"), len(data))

    def sector(self, number: int) -> bytes:
        return self.data[number * SECTOR : (number + 1) * SECTOR].ljust(SECTOR, b"\0")


EMPTY = Content(b"", 0)
FOLDER = -1
"""In the place of an inode: a folder has nothing of its own but its name."""


@dataclass(frozen=True)
class File:
    """One file: as it is for sure, and as it was written."""

    durable: Content
    current: Content

    @property
    def free(self) -> list[int]:
        """The sectors that may be the old or the new ones."""
        last = max(len(self.durable.data), len(self.current.data))
        return [
            number
            for number in range(-(-last // SECTOR))
            if self.durable.sector(number) != self.current.sector(number)
        ]

    def sizes(self, kept: set[int]) -> list[int]:
        """How long the file may be when these sectors reached the disk."""
        needed = max(((number + 1) * SECTOR for number in kept), default=0)
        least = max(self.durable.size, min(needed, self.current.size))
        return sorted({least, max(least, self.current.size), *self._cut(kept)})

    def _cut(self, kept: set[int]) -> set[int]:
        shorter = self.current.size < self.durable.size
        return {self.current.size} if shorter and not kept else set()

    def mixed(self, kept: set[int], size: int) -> bytes:
        data = bytearray(self.durable.data)
        for number in sorted(kept):
            low = number * SECTOR
            data.extend(bytes(max(low + SECTOR - len(data), 0)))
            data[low : low + SECTOR] = self.current.sector(number)
        return bytes(data[:size]).ljust(size, b"\0")


@dataclass(frozen=True)
class Moment:
    """What may be on the disk when power goes just now; `acknowledged` is the test's own."""

    files: Mapping[int, File]
    durable_names: Mapping[str, int]
    names: Mapping[str, int]
    acknowledged: Any

    def states(
        self, rng: random.Random, *, exhaustive: int, samples: int
    ) -> Iterator[dict[str, bytes]]:
        """Legal states, as the files of the folder by their relative path.

        All of them up to so many free choices, else a sample.
        """
        choices: list[tuple[str, Any, int]] = []
        moved = {
            name
            for name in {*self.durable_names, *self.names}
            if self.durable_names.get(name) != self.names.get(name)
        }
        choices += [("name", name, 0) for name in sorted(moved)]
        for inode, file in sorted(self.files.items()):
            choices += [("sector", inode, number) for number in file.free]
        for mask in _masks(len(choices), rng, exhaustive, samples):
            taken = {choice for choice, yes in zip(choices, mask, strict=True) if yes}
            yield self._state(taken, rng)

    def _state(self, taken: set[tuple[str, Any, int]], rng: random.Random) -> dict[str, bytes]:
        state, gone = {}, set()
        for name in {*self.durable_names, *self.names}:
            new = ("name", name, 0) in taken
            inode = (self.names if new else self.durable_names).get(name)
            if inode is None or inode == FOLDER:
                gone |= {f"{name}/"} if inode is None else set()
                continue
            file = self.files[inode]
            kept = {number for number in file.free if ("sector", inode, number) in taken}
            state[name] = file.mixed(kept, rng.choice(file.sizes(kept)))
        return {name: data for name, data in state.items() if not name.startswith(tuple(gone))}


def _masks(
    width: int, rng: random.Random, exhaustive: int, samples: int
) -> Iterator[tuple[bool, ...]]:
    if width <= exhaustive:
        yield from product((False, True), repeat=width)
        return
    yield (False,) * width
    yield (True,) * width
    for only in rng.sample(range(width), min(width, samples // 3)):
        yield tuple(number == only for number in range(width))
        yield tuple(number != only for number in range(width))
    for _ in range(samples - 2 * min(width, samples // 3)):
        yield tuple(rng.random() < 0.5 for _ in range(width))


@dataclass
class Recorder:
    """Follows a folder, which begins durable as it is."""

    root: Path
    acknowledged: Any = None
    moments: list[Moment] = field(default_factory=list)
    _durable: dict[int, Content] = field(default_factory=dict)
    _durable_names: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names, contents = self._look()
        self._durable_names, self._durable = names, contents

    def look(self) -> None:
        """Keeps what may be there if power goes now."""
        names, contents = self._look()
        inodes = {*names.values(), *self._durable_names.values()} - {FOLDER}
        files = {
            inode: File(
                self._durable.get(inode, EMPTY),
                contents.get(inode, self._durable.get(inode, EMPTY)),
            )
            for inode in inodes
        }
        self.moments.append(Moment(files, dict(self._durable_names), names, self.acknowledged))

    def synced(self, descriptor: int) -> None:
        """A sync of this file or folder has ended."""
        found = os.fstat(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        names, contents = self._look()
        if path.is_dir():
            for name in {*names, *self._durable_names}:
                if (self.root / name).parent != path:
                    continue
                if name in names:
                    self._durable_names[name] = names[name]
                else:
                    del self._durable_names[name]
        elif found.st_ino in contents:
            self._durable[found.st_ino] = contents[found.st_ino]

    def _look(self) -> tuple[dict[str, int], dict[int, Content]]:
        names, contents = {}, {}
        for path in self.root.rglob("*"):
            if path.is_dir():
                names[str(path.relative_to(self.root))] = FOLDER
            elif path.is_file():
                inode = path.stat().st_ino
                names[str(path.relative_to(self.root))] = inode
                contents[inode] = Content.of(path.read_bytes())
        return names, contents


@contextmanager
def recording(root: Path) -> Iterator[Recorder]:
    """Records what this process writes below `root`, sync by sync."""
    recorder = Recorder(root)
    real = {"fsync": os.fsync, "fdatasync": os.fdatasync}

    def watched(name: str) -> Any:
        def sync(descriptor: int) -> None:
            recorder.look()
            real[name](descriptor)
            recorder.synced(descriptor)

        return sync

    os.fsync, os.fdatasync = watched("fsync"), watched("fdatasync")
    try:
        yield recorder
        recorder.look()
    finally:
        os.fsync, os.fdatasync = real["fsync"], real["fdatasync"]


def between(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Moment:
    """What may be there between two states of files that nobody here syncs."""
    numbers = {name: number for number, name in enumerate(sorted({*before, *after}))}
    files = {
        number: File(
            Content.of(before.get(name, b"")),
            Content.of(after.get(name, before.get(name, b""))),
        )
        for name, number in numbers.items()
    }
    names = {name: numbers[name] for name in before}
    return Moment(files, names, names, None)


def write_out(state: Mapping[str, bytes], folder: Path) -> None:
    """Makes a state a real folder."""
    for name, data in state.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("wb") as file:
            file.write(data.rstrip(b"\0"))
            file.truncate(len(data))
        path.chmod(0o600)
