"""Bundle archives for tests: written file by file, signed or not, also as nobody should."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

from permissions.pdp.signatures import SIGNATURES, signatures_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from permissions.signing.keys import Signer

MAIN = b"package wardline.main\n\nresponse := 1\n"
FILES = {
    ".manifest": b'{"roots":["wardline"],"revision":"seven","rego_version":1}',
    "data.json": b'{"wardline":{"tables":{"hosts":{"open":["a.example"]}}}}',
    "main/main.rego": MAIN,
    "main/main_test.rego": b"package wardline.main_test\n",
}


def packed(files: Mapping[str, bytes], more: Iterable[tarfile.TarInfo] = ()) -> bytes:
    """A gzipped tar archive of these files, and of members without a content."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in more:
            tar.addfile(member)
    return archive.getvalue()


def signed(files: Mapping[str, bytes], signer: Signer) -> dict[str, bytes]:
    """The files with their signature."""
    return {**files, SIGNATURES: signatures_of(files, signer)}


def bomb(size: int) -> bytes:
    """A small archive whose one file is `size` zeros."""
    return packed({"main/main.rego": bytes(size)})


def cut(archive: bytes) -> bytes:
    """An archive whose tar ends in the middle, gzipped whole."""
    raw = gzip.decompress(archive)
    return gzip.compress(raw[:1300])
