"""A wheel as hostile input: what of it goes into an image, checked before anything is written.

Follows the binary distribution format 1.0 (PEP 427) and RECORD (PEP 376, PEP 627). Each file is
held against its own RECORD; names that climb or start at the root, names twice, links,
and modules that Python runs at its start (`sitecustomize`, `usercustomize`) are refused. Left
out, and said: scripts (a wheel cannot put a `python3` on PATH), `.pth` files (nothing would
read them) and files outside of the import folder.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import stat
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from sandbox.errors import ImageRefusedError, ProfileError
from sandbox.job import checked_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MAX_WHEEL_FILES = 20_000
MAX_WHEEL_BYTES = 2 * 1024 * 1024 * 1024
"""Unpacked: more is taken for a bomb."""
_PIECE = 1 << 20

_STARTUP = re.compile(r"(?:site|user)customize(?:\.|/|$)", re.IGNORECASE)
_SCRIPTS = re.compile(r"[^/]+\.data/(?P<scheme>[^/]+)/(?P<rest>.+)")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that was looked through.

    Attributes:
        path: the file.
        name: of the distribution, normalised (PEP 503).
        version: as its metadata says.
        sha256: of the file.
        licence: what its metadata says, empty when nothing.
        files: name below the import folder -> name in the archive.
        left_out: names that do not go in.
    """

    path: Path
    name: str
    version: str
    sha256: str
    licence: str
    files: Mapping[str, str]
    left_out: tuple[str, ...]

    def contents(self) -> Iterator[tuple[str, bytes, bool]]:
        """Each file's name, bytes, and whether it may be executed; in the order of names."""
        with zipfile.ZipFile(self.path) as archive:
            for name, inside in sorted(self.files.items()):
                mode = archive.getinfo(inside).external_attr >> 16
                yield name, archive.read(inside), bool(mode & 0o111)


def read_wheel(path: Path) -> Wheel:
    """Looks a wheel through.

    Raises:
        ImageRefusedError: it is none, or holds what must not go into an image.
    """
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
    except InvalidWheelFilename as err:
        raise ImageRefusedError(f"{path.name!r:.120} is not named like a wheel") from err
    try:
        with zipfile.ZipFile(path) as archive:
            names = _names(path.name, archive)
            info = _info_folder(path.name, names, name)
            _check_record(path.name, archive, names, info)
            metadata = HeaderParser().parsestr(
                archive.read(f"{info}/METADATA").decode("utf-8", "replace")
            )
    except (zipfile.BadZipFile, OSError, KeyError, NotImplementedError, RuntimeError) as err:
        raise ImageRefusedError(
            f"wheel {path.name!r:.120} cannot be read: {err!r:.200}"
        ) from err
    said = str(metadata["Version"] or "")
    if canonicalize_name(str(metadata["Name"] or "")) != name or said != str(version):
        raise ImageRefusedError(f"wheel {path.name!r:.120} calls itself something else inside")
    files, left_out = _placed(path.name, names)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    licence = str(metadata["License-Expression"] or metadata["License"] or "").strip()
    return Wheel(path, name, said, digest, licence.partition("\n")[0][:200], files, left_out)


def _names(wheel: str, archive: zipfile.ZipFile) -> list[str]:
    """All names in it, each a plain relative path to a regular file.

    Raises:
        ImageRefusedError: any other, or too much of it.
    """
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > MAX_WHEEL_FILES or sum(e.file_size for e in entries) > MAX_WHEEL_BYTES:
        raise ImageRefusedError(
            f"wheel {wheel!r:.120} holds more than {MAX_WHEEL_FILES} files or"
            f" {MAX_WHEEL_BYTES >> 20} MiB"
        )
    seen: set[str] = set()
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        try:
            # The name as it is stored: zipfile cuts at NUL and turns backslashes around.
            checked_path(entry.orig_filename)
        except ProfileError as err:
            raise ImageRefusedError(f"wheel {wheel!r:.120}: {err}") from err
        if "\\" in entry.orig_filename or kind not in (0, stat.S_IFREG):
            raise ImageRefusedError(
                f"wheel {wheel!r:.120} holds {entry.orig_filename!r:.120}, which is no plain file"
            )
        if entry.filename in seen:
            raise ImageRefusedError(f"wheel {wheel!r:.120} holds {entry.filename!r:.120} twice")
        seen.add(entry.filename)
    return [entry.filename for entry in entries]


def _info_folder(wheel: str, names: list[str], name: str) -> str:
    found = {each.partition("/")[0] for each in names if ".dist-info/" in each}
    folders = [each for each in found if each.endswith(".dist-info")]
    if len(folders) != 1 or canonicalize_name(folders[0].partition("-")[0]) != name:
        raise ImageRefusedError(
            f"wheel {wheel!r:.120} has not one .dist-info folder of its own"
        )
    return folders[0]


def _check_record(wheel: str, archive: zipfile.ZipFile, names: list[str], info: str) -> None:
    """Every file is in RECORD with its SHA-256 or better, and nothing else is.

    Raises:
        ImageRefusedError: one is not, or has other bytes.
    """
    text = archive.read(f"{info}/RECORD").decode("utf-8", "replace")
    recorded = {row[0]: row[1] for row in csv.reader(text.splitlines()) if len(row) == 3}
    unsigned = {f"{info}/{name}" for name in ("RECORD", "RECORD.jws", "RECORD.p7s")}
    for name in names:
        if name in unsigned:
            continue
        algorithm, _, wanted = recorded.get(name, "").partition("=")
        if algorithm not in {"sha256", "sha384", "sha512"}:
            raise ImageRefusedError(f"wheel {wheel!r:.120}: {name!r:.120} is not in its RECORD")
        digest, size = hashlib.new(algorithm), 0
        with archive.open(name) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                size += len(piece)
        said = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        if said != wanted:
            raise ImageRefusedError(
                f"wheel {wheel!r:.120}: {name!r:.120} is not the file its RECORD names"
            )
    if missing := recorded.keys() - set(names) - unsigned:
        raise ImageRefusedError(f"wheel {wheel!r:.120} lacks {min(missing)!r:.120}")


def _placed(wheel: str, names: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Where each file goes below the import folder, and what stays out."""
    files: dict[str, str] = {}
    left_out = []
    for name in names:
        path = name
        if (found := _SCRIPTS.fullmatch(name)) is not None:
            if found["scheme"] not in {"purelib", "platlib"}:
                left_out.append(name)
                continue
            path = found["rest"]
        if _STARTUP.match(path):
            raise ImageRefusedError(
                f"wheel {wheel!r:.120} holds {path!r:.120}, which Python would run at its start"
            )
        if path.endswith(".pth") and "/" not in path:
            left_out.append(name)
            continue
        if path in files:
            raise ImageRefusedError(f"wheel {wheel!r:.120} holds {path!r:.120} twice")
        files[path] = name
    return files, tuple(left_out)
