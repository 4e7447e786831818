"""Files that are there whole or not at all, also after a power cut.

Content goes to a draft beside the file, is synced, and gets its name last; then the folder is
synced, without which a new name may be gone after a cut. A cut in between leaves at worst a
draft (`.<name>.<hex>`) that nobody reads.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def create(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Writes a file that must not be there yet.

    Raises:
        FileExistsError: it is; nothing was changed.
        OSError: it cannot be written.
    """
    _write(path, data, mode, give_name=os.link)


def replace(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Writes a file, in the stead of one of that name.

    Raises:
        OSError: it cannot be written; what was there is still there.
    """
    _write(path, data, mode, give_name=os.replace)


@contextmanager
def written_whole(path: Path, *, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """A file to write in pieces; it gets its name when the block ends well, and else is gone.

    Raises:
        OSError: it cannot be written; what was there is still there.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(draft, flags, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_folder(path: Path, *, mode: int = 0o700) -> None:
    """Makes a folder and those it lies in, unless they are there, so that they stay.

    Raises:
        OSError: one of them cannot be made, or something else has its name.
    """
    if path.is_dir():
        return
    make_folder(path.parent, mode=mode)
    path.mkdir(mode=mode, exist_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable.

    Raises:
        OSError: it cannot be synced.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(
    path: Path, data: bytes, mode: int, *, give_name: Callable[[Path, Path], object]
) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(draft, flags, mode)
    try:
        try:
            os.fchmod(descriptor, mode)  # exactly, whatever the umask
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        give_name(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)
