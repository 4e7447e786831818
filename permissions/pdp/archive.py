"""The files of a bundle archive (gzipped tar), read so that nothing in it can surprise.

Everything stays in memory: nothing is unpacked to disk, so no name can lead anywhere. Still a
name that would is refused, because another program may unpack what we called sound. An archive
that is too large, repeats a name, holds anything but plain files, or has bytes after its end is
refused as a whole.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from typing import TYPE_CHECKING

from permissions.errors import PolicyLoadError
from permissions.pdp.bundle import MAX_BUNDLE_BYTES, bundle_finding

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FILES = 10_000
MAX_ARCHIVE_BYTES = 16 * 1024 * 1024
"""Compressed. Rego is text: the shipped policies take 60 KB."""
_MAX_TAR_BYTES = MAX_BUNDLE_BYTES + MAX_FILES * 1536
"""Contents, and a header with its padding for each file."""
_PLAIN = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})


def read_archive(data: bytes) -> Mapping[str, bytes]:
    """Every file by its name, without the leading slash that OPA writes.

    Raises:
        PolicyLoadError: it is no such archive, too large, or holds what it should not.
    """
    if len(data) > MAX_ARCHIVE_BYTES:
        raise _refused("bundle.size", f"more than {MAX_ARCHIVE_BYTES:,} bytes", "split it")
    raw = _inflated(data)
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
            for number, member in enumerate(tar):
                if number >= MAX_FILES:
                    raise _refused("bundle.size", f"more than {MAX_FILES:,} files", "split it")
                name = _plain_name(member.name)
                if member.isdir():
                    continue
                if member.type not in _PLAIN or member.sparse is not None:
                    raise _refused(
                        "bundle.archive",
                        f"{member.name[:80]!r} is no plain file",
                        "put the file itself in; links and devices are refused",
                    )
                if name in files:
                    raise _refused(
                        "bundle.archive", f"{name[:80]!r} stands in it twice", "keep one"
                    )
                content = tar.extractfile(member)
                files[name] = b"" if content is None else content.read()
                if len(files[name]) != member.size:
                    raise _broken("it ends within a file")
            rest = raw[tar.offset :]
    except (tarfile.TarError, ValueError, EOFError, OverflowError) as err:
        raise _broken(type(err).__name__) from err
    if rest.strip(b"\0"):  # tarfile takes what it cannot read for the end
        raise _broken("bytes follow its end")
    return files


def _inflated(data: bytes) -> bytes:
    unzip = zlib.decompressobj(wbits=31)
    try:
        raw = unzip.decompress(data, _MAX_TAR_BYTES + 1)
    except zlib.error as err:
        raise _broken("no gzip") from err
    if len(raw) > _MAX_TAR_BYTES:
        raise _refused(
            "bundle.size", f"it unpacks to more than {_MAX_TAR_BYTES:,} bytes", "split it"
        )
    if not unzip.eof:
        raise _broken("it is cut off")
    if unzip.unused_data:
        raise _broken("bytes follow its end")
    return raw


def _plain_name(name: str) -> str:
    plain = name.removeprefix("./").removeprefix("/").removesuffix("/")
    parts = plain.split("/")
    odd = {"", ".", ".."} & set(parts) if plain not in ("", ".") else set()
    if odd or "\\" in name or not name.isprintable() or len(name) > 512:
        raise _refused(
            "bundle.path",
            f"{ascii(name)[:80]} leads out of the archive, or is no plain path",
            "build it with `wardline policy build` or `opa build -b .`",
        )
    return plain


def _broken(what: str) -> PolicyLoadError:
    return _refused(
        "bundle.archive",
        f"no whole gzipped tar archive ({what})",
        "copy it again, or build it with `wardline policy build`",
    )


def _refused(code: str, what: str, fix: str) -> PolicyLoadError:
    return PolicyLoadError([bundle_finding("archive", code, what, fix)])
