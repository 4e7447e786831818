"""Prepared root file systems: unpacked once, owned by root, named and recorded by digest.

Each lies in a folder only root can enter, under the digest it is asked for by: the image's, or
where it was made without an image that of its content. Nothing in it is set-id, writable by
others or a device. It is shown read-only; whoever could change it on disk is root already, and
`verify` finds that it was changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import stat
import tarfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from sandbox.debian import python_tag
from sandbox.errors import SandboxProviderError, SandboxUnavailableError
from sandbox.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path("/var/lib/wardline/roots")
UNPACK_SECONDS = 1200
REMEDY = "prepare it with `wardline sandbox build`, as root"

_RECORD, _FILES = "record.json", "root"
_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Root:
    """A root file system that can be used.

    Attributes:
        image: `sha256:...` it is asked for by.
        content: `sha256:...` over every entry.
        python: minor version of the Python in it; empty when none was found.
        origin: what it was made from.
        is_default: made for profiles that name no image.
        prepared: when (Unix seconds).
        place: its folder.
    """

    image: str
    content: str
    python: str
    origin: str
    is_default: bool
    prepared: int
    place: Path

    @property
    def files(self) -> Path:
        """The file system itself."""
        return self.place / _FILES

    def verify(self) -> bool:
        """True when the content still has its digest. Reads all of it: about a second."""
        return content_digest(self.files) == self.content


def find(image: str | None, folder: Path = FOLDER) -> Root:
    """The root file system of an image, or the default one of this Python.

    Args:
        image: `sha256:...` or `name@sha256:...`; None for the default.
        folder: where to look.

    Raises:
        SandboxUnavailableError: there is none, or others may write there.
    """
    known = prepared(folder)
    if image is None:
        mine = [root for root in known if root.is_default and root.python == python_tag()]
        if not mine:
            raise SandboxUnavailableError(
                f"no root file system with Python {python_tag()} is prepared", REMEDY
            )
        return max(mine, key=lambda root: root.prepared)
    digest = image.rpartition("@")[2]
    for root in known:
        if root.image == digest:
            return root
    raise SandboxUnavailableError(
        f"no root file system is prepared for image {digest!r:.80}",
        "prepare it with `wardline sandbox prepare`, as root",
    )


def prepared(folder: Path = FOLDER) -> list[Root]:
    """Every root file system that is there, whole.

    Raises:
        SandboxUnavailableError: one, or the folder of all, can be changed by others.
    """
    if not folder.is_dir():
        return []
    try:
        _require_closed(folder)
        return [
            _read(place)
            for place in sorted(folder.iterdir())
            if len(place.name) == _NAME_LENGTH
        ]
    except OSError as err:
        raise SandboxUnavailableError(
            f"the root file systems cannot be read: {err.strerror}", "run as root"
        ) from err


def prepare(
    archive: IO[bytes],
    *,
    image: str | None,
    origin: str,
    is_default: bool,
    folder: Path = FOLDER,
) -> Root:
    """Unpacks a tar archive into a root file system; an equal one that is there is kept.

    Args:
        archive: of the whole root.
        image: `sha256:...` it will be asked for by; None for its content's digest.
        origin: for the record.
        is_default: True for profiles that name no image.
        folder: where.

    Raises:
        SandboxUnavailableError: not started by root, or others may write there.
        SandboxProviderError: the archive cannot be unpacked.
    """
    if os.geteuid() != 0:
        raise SandboxUnavailableError("root file systems are root's", "run this as root")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    _require_closed(folder)
    reap(folder)
    lease = Lease.of_this_process(wall_seconds=UNPACK_SECONDS)
    draft = folder / f"{lease}_{secrets.token_hex(8)}"
    draft.mkdir(mode=0o700)
    try:
        files = draft / _FILES
        files.mkdir(mode=0o755)
        try:
            with tarfile.open(fileobj=archive) as tar:
                _unpack(tar, files)
        except (tarfile.TarError, OSError, ValueError) as err:
            raise SandboxProviderError(
                f"the root file system cannot be unpacked: {str(err)!r:.300}"
            ) from err
        content = content_digest(files)
        root = Root(
            image=image or content,
            content=content,
            python=_python_in(files),
            origin=origin,
            is_default=is_default,
            prepared=int(time.time()),
            place=folder / (image or content).removeprefix("sha256:"),
        )
        record = {name: value for name, value in asdict(root).items() if name != "place"}
        (draft / _RECORD).write_text(json.dumps(record, indent=1), "utf-8")
        _put(draft, root)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return _read(root.place)


def reap(folder: Path = FOLDER) -> int:
    """Removes what nobody will finish unpacking; gives its number."""
    abandoned = []
    with suppress(OSError):
        for place in folder.iterdir():
            if len(place.name) != _NAME_LENGTH:
                lease = Lease.parse(place.name.rpartition("_")[0])
                if lease is None or lease.is_abandoned():
                    abandoned.append(place)
    for place in abandoned:
        shutil.rmtree(place, ignore_errors=True)
    return len(abandoned)


def content_digest(files: Path) -> str:
    """`sha256:...` over path, kind, mode and content of every entry below."""
    total = hashlib.sha256()
    for path, kind, mode, said in sorted(_entries(files)):
        total.update(f"{path}\0{kind}\0{mode:o}\0{said}\n".encode("utf-8", "surrogateescape"))
    return f"sha256:{total.hexdigest()}"


def _entries(files: Path) -> Iterator[tuple[str, str, int, str]]:
    for folder, folders, names in os.walk(files):
        for name in (*folders, *names):
            place = Path(folder, name)
            mode = place.lstat().st_mode
            path = str(place.relative_to(files))
            if stat.S_ISLNK(mode):
                yield path, "link", 0, str(place.readlink())
            elif stat.S_ISDIR(mode):
                yield path, "directory", stat.S_IMODE(mode), ""
            elif stat.S_ISREG(mode):
                with place.open("rb") as source:
                    said = hashlib.file_digest(source, "sha256").hexdigest()
                yield path, "file", stat.S_IMODE(mode), said
            else:
                yield path, "other", stat.S_IMODE(mode), ""


def _read(place: Path) -> Root:
    _require_closed(place)
    try:
        said: dict[str, Any] = json.loads((place / _RECORD).read_text("utf-8"))
        return Root(**said, place=place)
    except (OSError, ValueError, TypeError) as err:
        raise SandboxUnavailableError(
            f"the root file system {place.name:.12} has no record", f"remove {place}"
        ) from err


def _require_closed(place: Path) -> None:
    found = place.lstat()
    if found.st_uid != 0 or found.st_mode & 0o022 or not stat.S_ISDIR(found.st_mode):
        raise SandboxUnavailableError(
            f"{place} can be changed by others than root", f"remove it, or `chmod go-w {place}`"
        )


def _put(draft: Path, root: Root) -> None:
    """Puts a whole one into its place in one step."""
    if root.place.exists():
        present = _read(root.place)
        if present.content == root.content and present.verify():
            if root.is_default and not present.is_default:
                (draft / _RECORD).replace(root.place / _RECORD)
            return
        shutil.rmtree(root.place)
    draft.rename(root.place)


def _python_in(files: Path) -> str:
    found = sorted(
        name.name.removeprefix("python")
        for place in ("usr/local/bin", "usr/bin")
        for name in (files / place).glob("python3.[0-9]*")
        if name.name.removeprefix("python3.").isdigit()
    )
    return found[0] if found else ""


def _unpack(tar: tarfile.TarFile, files: Path) -> None:
    """Every entry at its own name below `files`, through no link, as root's.

    Raises:
        ValueError: a name that climbs, comes twice, or lies below something but a folder.
    """
    folders = {PurePosixPath()}
    for entry in tar:
        name = PurePosixPath(entry.name.removeprefix("/").removeprefix("./"))
        if name == PurePosixPath():
            continue
        if ".." in name.parts or name.is_absolute():
            raise ValueError(f"name {entry.name!r:.100}")
        if name.parent not in folders:
            raise ValueError(f"{entry.name!r:.100} lies in no folder of the archive")
        place = files / name
        if entry.isdir():
            place.mkdir(exist_ok=name in folders)
            folders.add(name)
        elif entry.issym():
            place.symlink_to(entry.linkname)
            continue
        elif entry.islnk():
            os.link(_linked(files, entry.linkname), place, follow_symlinks=False)
            continue
        elif entry.isreg():
            source = tar.extractfile(entry)
            with place.open("xb") as target:
                shutil.copyfileobj(source or _nothing(entry), target)
        else:
            continue  # devices and pipes
        # No set-id bit, and written by root alone.
        place.chmod(entry.mode & 0o755)
        # Python compiles anew, at each start, what is not as old as its compiled form says.
        os.utime(place, (entry.mtime, entry.mtime))


def _linked(files: Path, name: str) -> Path:
    target = PurePosixPath(name.removeprefix("/").removeprefix("./"))
    if ".." in target.parts or target.is_absolute():
        raise ValueError(f"a link to {name!r:.100}")
    return files / target


def _nothing(entry: tarfile.TarInfo) -> IO[bytes]:
    raise ValueError(f"{entry.name!r:.100} has no content")
