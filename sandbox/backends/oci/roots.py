"""Prepared root file systems: unpacked once, owned by root, named and recorded by digest.

Each lies in a folder only root can enter, under the digest it is asked for by: the image's, or
where it was made without an image that of its content. Nothing in it is set-id, writable by
others or a device. It is shown read-only; whoever could change it on disk is root already, and
`verify` finds that it was changed.

A sandbox holds the root it was started from by a shared lock on that folder, which ends with
the process that took it. `collect` removes only what it can lock alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import stat
import tarfile
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sandbox.backends.oci.unpack import content_digest, unpack
from sandbox.errors import SandboxProviderError, SandboxUnavailableError
from sandbox.images.debootstrap import python_tag
from sandbox.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

FOLDER = Path("/var/lib/wardline/roots")
UNPACK_SECONDS = 1200
TAKE_SECONDS = 1.0
"""For a root that is being removed to be out of sight: one rename."""
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
        prepared: when last (Unix seconds).
        path: its folder.
    """

    image: str
    content: str
    python: str
    origin: str
    is_default: bool
    prepared: float
    path: Path

    @property
    def files(self) -> Path:
        """The file system itself."""
        return self.path / _FILES

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
    while folder.is_dir():
        try:
            _require_closed(folder)
            return [
                _read(path)
                for path in sorted(folder.iterdir())
                if len(path.name) == _NAME_LENGTH
            ]
        except FileNotFoundError:
            continue  # one was removed meanwhile; what took its place may not have been listed
        except OSError as err:
            raise SandboxUnavailableError(
                f"the root file systems cannot be read: {err.strerror}", "run as root"
            ) from err
    return []


@contextmanager
def held(image: str | None, folder: Path = FOLDER) -> Iterator[Root]:
    """As `find`; meanwhile nobody removes it.

    Raises:
        SandboxUnavailableError: as `find`, or it cannot be opened.
    """
    deadline = time.monotonic() + TAKE_SECONDS
    while True:
        root = find(image, folder)
        number = _locked(root, fcntl.LOCK_SH)
        if number is not None:
            break
        if time.monotonic() > deadline:
            raise SandboxUnavailableError(
                f"the root file system {root.path.name:.12} is being removed", REMEDY
            )
        time.sleep(0.001)
    try:
        yield root
    finally:
        os.close(number)


def _locked(root: Root, how: int) -> int | None:
    """A descriptor that locks it; None when others' locks forbid that, or it is gone.

    Raises:
        SandboxUnavailableError: it cannot be opened.
    """
    try:
        number = os.open(root.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as err:
        raise SandboxUnavailableError(
            f"the root file system {root.path.name:.12} cannot be opened: {err.strerror}",
            "run as root",
        ) from err
    try:
        fcntl.flock(number, how | fcntl.LOCK_NB)
        # Locked is what was opened: another one may have taken its place, or none.
        if os.path.samestat(os.fstat(number), root.path.stat()):
            return number
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(number)
    return None


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
    draft = folder / _draft_name()
    try:
        draft.mkdir(mode=0o700)
        root = _drafted(archive, draft, image=image, origin=origin, is_default=is_default)
        with _changing(folder):
            _put(draft, root)
            return _read(root.path)
    except (tarfile.TarError, OSError, ValueError) as err:
        raise SandboxProviderError(
            f"the root file system cannot be unpacked: {str(err)!r:.300}"
        ) from err
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _drafted(
    archive: IO[bytes], draft: Path, *, image: str | None, origin: str, is_default: bool
) -> Root:
    """Unpacks and records; gives what it will be where it is going to lie."""
    files = draft / _FILES
    files.mkdir(mode=0o755)
    with tarfile.open(fileobj=archive) as tar:
        unpack(tar, files)
    content = content_digest(files)
    root = Root(
        image=image or content,
        content=content,
        python=_python_in(files),
        origin=origin,
        is_default=is_default,
        prepared=time.time(),
        path=draft.parent / (image or content).removeprefix("sha256:"),
    )
    record = {name: value for name, value in asdict(root).items() if name != "path"}
    (draft / _RECORD).write_text(json.dumps(record, indent=1), "utf-8")
    return root


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Nobody else puts a root in or takes one out meanwhile."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def collect(
    keep: Collection[str], folder: Path = FOLDER, *, gone: Collection[str] = ()
) -> list[Root]:
    """Removes default root file systems that a later one of the same Python took the place of.

    And those made from an image that is gone, which no profile can name any more.

    Gives what was removed. One that a sandbox holds stays. Whoever is killed in the middle has
    moved one out of sight, which `reap` removes.

    Args:
        keep: digests of images that something refers to.
        folder: where.
        gone: digests of images that the engine does not have any more.

    Raises:
        SandboxUnavailableError: as `prepared`.
    """
    if os.geteuid() != 0 or not folder.is_dir():
        return []  # they lie in a folder of root
    removed: dict[Root, Path] = {}
    with _changing(folder):
        known = prepared(folder)
        newest: dict[str, float] = {}
        for root in known:
            if root.is_default:
                newest[root.python] = max(root.prepared, newest.get(root.python, 0))
        for root in known:
            if root.image in keep:
                continue
            is_over = (
                root.prepared < newest[root.python] if root.is_default else root.image in gone
            )
            if is_over and (number := _locked(root, fcntl.LOCK_EX)) is not None:
                aside = folder / _draft_name()
                root.path.rename(aside)
                os.close(number)
                removed[root] = aside
    for aside in removed.values():
        shutil.rmtree(aside, ignore_errors=True)
    return list(removed)


def _draft_name() -> str:
    """Of what is no root yet, or none any more: gone with its owner."""
    lease = Lease.of_this_process(wall_seconds=UNPACK_SECONDS)
    return f"{lease}_{secrets.token_hex(8)}"


def reap(folder: Path = FOLDER) -> int:
    """Removes what nobody will finish unpacking; gives its number."""
    abandoned = []
    with suppress(OSError):
        for path in folder.iterdir():
            if len(path.name) != _NAME_LENGTH:
                lease = Lease.parse(path.name.rpartition("_")[0])
                if lease is None or lease.is_abandoned():
                    abandoned.append(path)
    for path in abandoned:
        shutil.rmtree(path, ignore_errors=True)
    return len(abandoned)


def _read(entry: Path) -> Root:
    _require_closed(entry)
    try:
        said: dict[str, Any] = json.loads((entry / _RECORD).read_text("utf-8"))
        return Root(**said, path=entry)
    except (OSError, ValueError, TypeError) as err:
        if not entry.exists():
            raise FileNotFoundError(entry) from err
        raise SandboxUnavailableError(
            f"the root file system {entry.name:.12} has no record", f"remove {entry}"
        ) from err


def _require_closed(path: Path) -> None:
    found = path.lstat()
    if found.st_uid != 0 or found.st_mode & 0o022 or not stat.S_ISDIR(found.st_mode):
        raise SandboxUnavailableError(
            f"{path} can be changed by others than root", f"remove it, or `chmod go-w {path}`"
        )


def _put(draft: Path, root: Root) -> None:
    """Puts a whole one into its place in one step."""
    if root.path.exists():
        present = _read(root.path)
        if present.content == root.content and present.verify():
            if root.is_default:  # from now on, also where it is an earlier one again
                (draft / _RECORD).replace(root.path / _RECORD)
            return
        gone = draft.with_name(_draft_name())
        root.path.rename(gone)
        draft.rename(root.path)
        shutil.rmtree(gone, ignore_errors=True)
    else:
        draft.rename(root.path)


def _python_in(files: Path) -> str:
    found = sorted(
        name.name.removeprefix("python")
        for path in ("usr/local/bin", "usr/bin")
        for name in (files / path).glob("python3.[0-9]*")
        if name.name.removeprefix("python3.").isdigit()
    )
    return found[0] if found else ""
