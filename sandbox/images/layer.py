"""The one layer an image gets on top of the default one: packages, their SBOM, nothing else.

The same wheels give the same bytes, on every machine: names in order, no times, no owners.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from sandbox.errors import ImageRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.images.wheel import Wheel

HOME = "opt/wardline"
PACKAGES = f"{HOME}/packages"
"""The import folder, which the runner puts last on the path (`sandbox.guest.job`)."""
SBOM = f"{HOME}/sbom.cdx.json"

MAX_LAYER_BYTES = 4 * 1024 * 1024 * 1024


def write_layer(target: IO[bytes], wheels: Sequence[Wheel], sbom: bytes, *, python: str) -> str:
    """Writes the layer as a tar archive and gives its digest, `sha256:...`.

    Args:
        target: a file to write to, at its beginning.
        wheels: unpacked into the import folder.
        sbom: goes beside it.
        python: minor version, whose own Python shall find the packages as well.

    Raises:
        ImageRefusedError: two wheels hold the same name with other bytes, or it is too much.
    """
    digest = _Hashing(target)
    placed: dict[str, tuple[str, bytes]] = {}
    total = 0
    with tarfile.open(fileobj=digest, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]  # a stream needs `write` only
        layer = _Layer(tar)
        layer.add(SBOM, sbom)
        # Plain `python3` of a command finds them too, by a line of text and no code.
        line = f"/{PACKAGES}\n".encode()
        for folder in ("dist-packages", "site-packages"):
            layer.add(f"usr/local/lib/python{python}/{folder}/wardline.pth", line)
        for wheel in sorted(wheels, key=lambda each: each.name):
            for name, data, executable in wheel.contents():
                known = placed.get(name)
                content = hashlib.sha256(data).digest()
                if known is not None:
                    if known[1] == content:
                        continue
                    raise ImageRefusedError(
                        f"{known[0]} and {wheel.name} both hold {name!r:.120}, and not the same"
                    )
                placed[name] = wheel.name, content
                total += len(data)
                if total > MAX_LAYER_BYTES:
                    raise ImageRefusedError(
                        f"the packages are over {MAX_LAYER_BYTES >> 30} GiB"
                    )
                layer.add(f"{PACKAGES}/{name}", data, executable=executable)
    return f"sha256:{digest.hash.hexdigest()}"


class _Layer:
    """A tar archive that names each folder of its own once, before what is in it."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._folders: set[str] = set()

    def add(self, name: str, data: bytes, *, executable: bool = False) -> None:
        for folder in reversed(PurePosixPath(name).parents):
            if str(folder).startswith(HOME) and str(folder) not in self._folders:
                self._folders.add(str(folder))
                entry = tarfile.TarInfo(str(folder))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                self._tar.addfile(entry)
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        entry.mode = 0o755 if executable else 0o644
        self._tar.addfile(entry, io.BytesIO(data))


class _Hashing:
    """A file that knows the digest of what was written to it."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Writes and counts in."""
        self.hash.update(data)
        return self._target.write(data)
