"""What sandboxes start from: the default image and root file systems, made ready, cleared away.

A root file system is unpacked from the engine's image where an engine answers, so that both
backends start the same files by the same digest; elsewhere it is bootstrapped by itself.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.backends.oci import roots
from sandbox.backends.oci.runtimes import installed
from sandbox.errors import SandboxProviderError, SandboxUnavailableError
from sandbox.images.debootstrap import bootstrapped
from sandbox.profile import SandboxProfile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from sandbox.backends.docker.engine import Engine
    from sandbox.backends.oci.roots import Root


_FROM_IMAGE = "image:"
"""What the origin of a root file system begins with that was unpacked from an image."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was made ready: the image's id where an engine answers, a root file system for root."""

    image: str | None
    root: Root | None


def prepare_default(progress: Callable[[str], None], *, again: bool = False) -> Prepared:
    """Makes ready what profiles without an image start from. Blocking; minutes the first time.

    Args:
        progress: called with one line of text per step.
        again: makes it anew, of today's packages, also where there is one.

    Raises:
        SandboxUnavailableError: neither an engine nor a runtime for root is here, or nothing
            can provide the files.
        SandboxProviderError: the engine failed.
    """
    from sandbox.backends.docker.engine import Engine  # late: its package loads the Docker SDK
    from sandbox.backends.docker.image import build_image, built_image

    try:
        engine = Engine.connect()
    except SandboxUnavailableError:
        if not wants_root():
            raise
        with bootstrapped(progress) as (archive, origin):
            progress("unpacking the root file system")
            root = roots.prepare(archive, image=None, origin=origin, is_default=True)
        return Prepared(None, root)
    with closing(engine):
        image = None if again else built_image(engine)
        if image is None:
            image = build_image(engine, progress=progress)
        if not wants_root():
            return Prepared(image, None)
        return Prepared(
            image, _unpacked(engine, image, progress, roots.FOLDER, is_default=True)
        )


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was removed: ids of images, digests by which root file systems were asked for."""

    images: tuple[str, ...]
    roots: tuple[str, ...]


def clear_superseded(engine: Engine | None, *, keep: Collection[str]) -> Cleared:
    """Removes default images and root file systems that a later build took the place of.

    And root file systems of images that the engine does not have any more.

    Images of projects stay: no build takes their place, and a profile names them. So does
    what a sandbox uses. Without an engine, what was made from an image stays as well: nobody
    can say that the image is gone.

    Args:
        engine: of this machine, if one answers.
        keep: images that profiles name, `sha256:...` or `name@sha256:...`.

    Raises:
        SandboxUnavailableError: others may write to the root file systems.
        SandboxProviderError: the engine failed.
    """
    named = {image.rpartition("@")[2] for image in keep}
    images: list[str] = []
    if engine is None:
        # The digest is the content's own where there was no image.
        named |= {root.image for root in roots.prepared() if root.image != root.content}
    else:
        from sandbox.backends.docker.image import describe_images, remove_superseded

        images = remove_superseded(engine, keep=named)
        named |= {image["id"] for image in describe_images(engine)}
    gone = [] if engine is None else list(_gone(engine))
    collected = roots.collect(named, gone=gone)
    return Cleared(tuple(images), tuple(root.image for root in collected))


def _gone(engine: Engine) -> Iterator[str]:
    """Images that root file systems were unpacked from, and that the engine has no more."""
    for root in roots.prepared():
        origin = root.origin.removeprefix(_FROM_IMAGE)
        if root.is_default or origin == root.origin:
            continue
        try:
            engine.image(origin)
        except SandboxUnavailableError:
            yield root.image


def wants_root() -> bool:
    """Whether a root file system would be used here: this is root, and has a runtime."""
    return os.geteuid() == 0 and bool(installed())


def prepare_image(
    image: str, progress: Callable[[str], None], *, folder: Path = roots.FOLDER
) -> Root:
    """Unpacks the root file system of an image the engine has.

    Args:
        image: `sha256:...` or `name@sha256:...`, as a profile names it.
        progress: called with one line of text per step.
        folder: where it will lie.

    Raises:
        ProfileError: it is not named by its digest.
        SandboxUnavailableError: no engine, or no such image, or not root.
        SbomTamperedError: its SBOM is not the one its label names.
        SandboxProviderError: the engine failed.
    """
    from sandbox.backends.docker.engine import Engine  # late: its package loads the Docker SDK
    from sandbox.backends.docker.inspect import SBOM_LABEL, read_sbom

    SandboxProfile(image=image)
    with closing(Engine.connect()) as engine:
        labels = (engine.image(image).get("Config") or {}).get("Labels") or {}
        if SBOM_LABEL in labels:
            read_sbom(engine, image)
        return _unpacked(engine, image, progress, folder, is_default=False)


def _unpacked(
    engine: Engine,
    image: str,
    progress: Callable[[str], None],
    folder: Path,
    *,
    is_default: bool,
) -> Root:
    progress(f"unpacking {image}")
    with engine.looking_into(image) as look, tempfile.TemporaryFile() as archive:
        try:
            archive.writelines(look.export())
        except OSError as err:
            raise SandboxProviderError(f"an image cannot be kept: {err.strerror}") from err
        archive.seek(0)
        return roots.prepare(
            archive,
            image=image.rpartition("@")[2],
            origin=f"{_FROM_IMAGE}{image}",
            is_default=is_default,
            folder=folder,
        )
