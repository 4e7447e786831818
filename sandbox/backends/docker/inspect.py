"""The SBOM of an image: read out of it and held against its label, or made by looking inside.

It lies in the image, so it goes where the image goes (another engine, `docker save`, an
exported root file system), and the image's id, which is a digest, covers it and its label. It
is read from a container that is created and never started: nothing of the image runs.
Not protected from: an image somebody built to lie; both its SBOM and its label are theirs.
"""

from __future__ import annotations

import io
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.errors import SandboxProviderError, SandboxUnavailableError, SbomTamperedError
from sandbox.images import sbom
from sandbox.images.layer import SBOM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.backends.docker.engine import Engine
    from sandbox.images.sbom import Part, Sbom

SBOM_LABEL = "io.wardline.sbom"

MAX_LOOK_BYTES = 1024 * 1024 * 1024
_STATUS = "/var/lib/dpkg/status"


def read_sbom(engine: Engine, image: str) -> Sbom:
    """The SBOM an image was built with. Blocking.

    Raises:
        SandboxUnavailableError: there is no such image, or it was built without one.
        SbomTamperedError: the file is gone, unreadable, or not the one the label names.
    """
    found = engine.image(image)
    wanted = ((found.get("Config") or {}).get("Labels") or {}).get(SBOM_LABEL)
    if not wanted:
        raise SandboxUnavailableError(
            f"image {_short(image)} has no SBOM, so nobody can say what is in it",
            "build it again with `wardline sandbox build`",
        )
    with engine.looking_into(found["Id"]) as look:
        text = _only_file(look.archive(f"/{SBOM}", most=sbom.MAX_SBOM_BYTES + 10240))
    if text is None or sbom.digest_of(text) != wanted:
        raise _tampered(image, "it is gone" if text is None else "it is another one")
    try:
        return sbom.read_sbom(text)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as err:
        raise _tampered(image, "it cannot be read") from err


def _short(image: str) -> str:
    return image[:19] if image.startswith("sha256:") else repr(image[:120])


def _tampered(image: str, what: str) -> SbomTamperedError:
    return SbomTamperedError(
        f"the SBOM of image {_short(image)} is not the one its label names: {what}",
        "do not use the image; build it again with `wardline sandbox build`",
    )


def look_inside(engine: Engine, image: str, *, python: str) -> list[Part]:
    """What an image's own package managers know of. Blocking: seconds.

    Raises:
        SandboxProviderError: the engine failed.
    """
    found = engine.image(image)
    paths = (
        "/usr/lib/python3/dist-packages",
        f"/usr/local/lib/python{python}/dist-packages",
        f"/usr/local/lib/python{python}/site-packages",
    )
    parts: list[Part] = []
    with engine.looking_into(found["Id"]) as look:
        status = _only_file(look.archive(_STATUS, most=MAX_LOOK_BYTES))
        parts += sbom.debian_parts((status or b"").decode("utf-8", "replace"))
        for path in paths:
            archive = look.archive(path, most=MAX_LOOK_BYTES)
            if archive is not None:
                texts = _metadata(archive)
                parts += [sbom.distribution_part(text, path) for text in texts]
    for line in (found.get("Config") or {}).get("Env") or ():
        name, _, version = line.partition("=")
        if name == "PYTHON_VERSION":  # of the images called `python`, which no package brings
            parts.append(sbom.Part("generic", "cpython", version))
    return parts


def _only_file(archive: bytes | None) -> bytes | None:
    if archive is None:
        return None
    with _opened(archive) as tar:
        entry = tar.next()
        file = tar.extractfile(entry) if entry is not None and entry.isreg() else None
        return None if file is None else file.read()


def _metadata(archive: bytes) -> Iterator[str]:
    with _opened(archive) as tar:
        for entry in tar:
            if entry.isreg() and entry.name.endswith(".dist-info/METADATA"):
                file = tar.extractfile(entry)
                if file is not None:
                    yield file.read().decode("utf-8", "replace")


@contextmanager
def _opened(archive: bytes) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            yield tar
    except tarfile.TarError as err:
        raise SandboxProviderError("the engine sent an archive that is none") from err
