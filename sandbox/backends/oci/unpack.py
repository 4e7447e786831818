"""A tar archive as files of root below one folder, and the digest that tells such files apart."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator


def unpack(tar: tarfile.TarFile, files: Path) -> None:
    """Every entry at its own name below `files`, through no link, as root's.

    Raises:
        ValueError: a name that climbs, comes twice, or lies below something but a folder; a hard
            link to anything but an earlier file of the archive.
    """
    folders = {PurePosixPath()}
    made: set[PurePosixPath] = set()
    for entry in tar:
        name = PurePosixPath(entry.name.removeprefix("/").removeprefix("./"))
        if name == PurePosixPath():
            continue
        if ".." in name.parts or name.is_absolute():
            raise ValueError(f"name {entry.name!r:.100}")
        if name.parent not in folders:
            raise ValueError(f"{entry.name!r:.100} lies in no folder of the archive")
        path = files / name
        if entry.isdir():
            path.mkdir(exist_ok=name in folders)
            folders.add(name)
        elif entry.issym():
            path.symlink_to(entry.linkname)
            made.add(name)
            continue
        elif entry.islnk():
            # Only what was made here lies in real folders: a link on the way leads anywhere.
            linked = PurePosixPath(entry.linkname.removeprefix("/").removeprefix("./"))
            if linked not in made:
                raise ValueError(f"a link to {entry.linkname!r:.100}")
            os.link(files / linked, path, follow_symlinks=False)
            made.add(name)
            continue
        elif entry.isreg():
            source = tar.extractfile(entry)
            with path.open("xb") as target:
                shutil.copyfileobj(source or _nothing(entry), target)
            made.add(name)
        else:
            continue  # devices and pipes
        # No set-id bit, and written by root alone.
        path.chmod(entry.mode & 0o755)
        # Python compiles anew, at each start, what is not as old as its compiled form says.
        os.utime(path, (entry.mtime, entry.mtime))


def _nothing(entry: tarfile.TarInfo) -> IO[bytes]:
    raise ValueError(f"{entry.name!r:.100} has no content")


def content_digest(files: Path) -> str:
    """`sha256:...` over path, kind, mode and content of every entry below."""
    total = hashlib.sha256()
    for path, kind, mode, said in sorted(_entries(files)):
        total.update(f"{path}\0{kind}\0{mode:o}\0{said}\n".encode("utf-8", "surrogateescape"))
    return f"sha256:{total.hexdigest()}"


def _entries(files: Path) -> Iterator[tuple[str, str, int, str]]:
    for folder, folders, names in os.walk(files):
        for name in (*folders, *names):
            entry = Path(folder, name)
            mode = entry.lstat().st_mode
            path = str(entry.relative_to(files))
            if stat.S_ISLNK(mode):
                yield path, "link", 0, str(entry.readlink())
            elif stat.S_ISDIR(mode):
                yield path, "directory", stat.S_IMODE(mode), ""
            elif stat.S_ISREG(mode):
                with entry.open("rb") as source:
                    said = hashlib.file_digest(source, "sha256").hexdigest()
                yield path, "file", stat.S_IMODE(mode), said
            else:
                yield path, "other", stat.S_IMODE(mode), ""
