"""The default image: a minimal root file system with the caller's minor version of Python.

Where a registry answers it is `FROM python:X.Y-slim`. Elsewhere it is made with `debootstrap`
from this machine's Debian release, whose Python must be the same minor version. Either way the
image gets labels, is found by them, and is used and recorded by its id, which is a digest.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from typing import IO, TYPE_CHECKING, Any

import requests
from docker import errors

from sandbox.backends.docker.inspect import SBOM_LABEL, look_inside
from sandbox.errors import SandboxProviderError, SandboxUnavailableError
from sandbox.images import sbom
from sandbox.images.debootstrap import bootstrapped, python_tag
from sandbox.images.layer import write_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from sandbox.backends.docker.engine import Engine

REPOSITORY = "wardline/python"
IMAGE_LABEL = "io.wardline.image"
PYTHON_LABEL = "io.wardline.python"
ORIGIN_LABEL = "io.wardline.origin"
PROJECT_LABEL = "io.wardline.project"
LOCK_LABEL = "io.wardline.lock"
CONTENT_LABEL = "io.wardline.content"
BASE_LABEL = "io.wardline.base"


def default_image(engine: Engine) -> str:
    """Id of the default image.

    Raises:
        SandboxUnavailableError: it was not built here, or its label names another Python.
    """
    name = f"{REPOSITORY}:{python_tag()}"
    found = engine.image(name)
    labels = (found.get("Config") or {}).get("Labels") or {}
    if labels.get(PYTHON_LABEL) != python_tag():
        raise SandboxUnavailableError(
            f"image {name} is not labelled as Python {python_tag()}",
            "build it again with `wardline sandbox build`",
        )
    return str(found["Id"])


def built_image(engine: Engine) -> str | None:
    """Id of the default image as `build_image` leaves it, with its SBOM; None without one."""
    try:
        image = default_image(engine)
    except SandboxUnavailableError:
        return None
    labels = (engine.image(image).get("Config") or {}).get("Labels") or {}
    return image if SBOM_LABEL in labels else None


def check_label(engine: Engine, image: str) -> None:
    """Refuses an image that says it has another Python; one that says nothing is asked later.

    Raises:
        SandboxUnavailableError: there is no such image, or its label names another Python.
    """
    labels = (engine.image(image).get("Config") or {}).get("Labels") or {}
    inside = labels.get(PYTHON_LABEL)
    if inside is not None and inside != python_tag():
        raise SandboxUnavailableError(
            f"image {image[:19]} has Python {inside!r:.20}, the caller runs {python_tag()}",
            "build it again with `wardline sandbox build`, or run the caller on its Python",
        )


def build_image(engine: Engine, *, progress: Callable[[str], None]) -> str:
    """Builds the default image and gives its id. Blocking: minutes without a registry.

    Args:
        engine: where to build.
        progress: called with one line of text per step.

    Raises:
        SandboxUnavailableError: neither a registry nor debootstrap can provide it.
        SandboxProviderError: the engine refused the result.
    """
    base = f"python:{python_tag()}-slim"
    progress(f"looking for {base}")
    try:
        if _pull(engine, base):
            _build_from(engine, base)
        else:
            progress("no registry answers; making a root file system with debootstrap")
            _bootstrap(engine, progress)
    except (errors.DockerException, requests.RequestException, OSError) as err:
        raise SandboxProviderError(f"the image could not be made: {str(err)!r:.400}") from err
    progress("listing what is in it")
    image = with_sbom(engine, default_image(engine), tag=f"{REPOSITORY}:{python_tag()}")
    progress(f"built {REPOSITORY}:{python_tag()} {image}")
    return image


def with_sbom(engine: Engine, image: str, *, tag: str) -> str:
    """The same image with its SBOM inside, under `tag`; gives its id. Blocking: seconds.

    Raises:
        SandboxProviderError: the engine failed.
    """
    parts = look_inside(engine, image, python=python_tag())
    document = sbom.write_sbom(parts, name=REPOSITORY, version=python_tag())
    with tempfile.TemporaryFile(prefix="wardline-layer-") as layer:
        write_layer(layer, (), document, python=python_tag())
        return add_layer(
            engine, image, layer, labels={SBOM_LABEL: sbom.digest_of(document)}, tag=tag
        )


def _labels(origin: str) -> dict[str, str]:
    return {IMAGE_LABEL: "default", PYTHON_LABEL: python_tag(), ORIGIN_LABEL: origin}


def _pull(engine: Engine, base: str) -> bool:
    name, _, tag = base.partition(":")
    try:
        for line in engine.client.pull(name, tag=tag, stream=True, decode=True):
            if "error" in line:
                return False
    except (errors.APIError, requests.RequestException):
        return False
    return True


def _build_from(engine: Engine, base: str) -> None:
    lines = [f"FROM {base}"]
    lines += [f'LABEL {name}="{value}"' for name, value in _labels(base).items()]
    recipe = io.BytesIO("\n".join(lines).encode())
    for line in engine.client.build(
        fileobj=recipe, tag=f"{REPOSITORY}:{python_tag()}", rm=True, decode=True
    ):
        if "error" in line:
            raise SandboxProviderError(f"the image could not be built: {line['error']!r:.400}")


def _bootstrap(engine: Engine, progress: Callable[[str], None]) -> None:
    with bootstrapped(progress) as (archive, origin):
        progress("importing the root file system")
        changes = [f'LABEL {name}="{value}"' for name, value in _labels(origin).items()]
        # An iterator, not the file: for a file the SDK announces chunks but sends plain bytes.
        pieces = iter(lambda: archive.read(1 << 20), b"")
        engine.client.import_image(
            src=pieces,
            stream_src=True,
            repository=REPOSITORY,
            tag=python_tag(),
            changes=changes,
        )


def add_layer(
    engine: Engine, base: str, layer: IO[bytes], *, labels: Mapping[str, str], tag: str
) -> str:
    """An image that is `base` with one more layer; gives its id. Nothing runs in it.

    Raises:
        SandboxProviderError: the engine refused it.
    """
    lines = [f"FROM {base}", "ADD layer.tar /"]
    lines += [f"LABEL {name}={json.dumps(value)}" for name, value in labels.items()]
    with tempfile.TemporaryFile(prefix="wardline-layer-") as context:
        with tarfile.open(fileobj=context, mode="w") as tar:
            recipe = "\n".join(lines).encode()
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(recipe)
            tar.addfile(entry, io.BytesIO(recipe))
            entry = tarfile.TarInfo("layer.tar")
            entry.size = layer.seek(0, io.SEEK_END)
            layer.seek(0)
            tar.addfile(entry, layer)
        context.seek(0)
        try:
            said: Iterator[dict[str, object]] = engine.client.build(
                fileobj=context, custom_context=True, tag=tag, rm=True, decode=True
            )
            for line in said:
                if "error" in line:
                    raise SandboxProviderError(
                        f"the image could not be built: {line['error']!r:.400}"
                    )
        except (errors.DockerException, requests.RequestException, OSError) as err:
            raise SandboxProviderError(
                f"the image could not be built: {str(err)!r:.400}"
            ) from err
    return str(engine.image(tag)["Id"])


def describe_images(engine: Engine) -> list[dict[str, Any]]:
    """The images made here that this engine has, as plain JSON.

    Raises:
        SandboxProviderError: the engine failed.
    """
    return [
        {
            "id": image["Id"],
            "tags": _tags(image),
            "python": _said(image, PYTHON_LABEL),
            "origin": _said(image, ORIGIN_LABEL),
            "bytes": image.get("Size"),
            "project": _said(image, PROJECT_LABEL),
            "lock": _said(image, LOCK_LABEL),
            "sbom": _said(image, SBOM_LABEL),
        }
        for image in engine.images(IMAGE_LABEL)
    ]


def remove_superseded(engine: Engine, *, keep: Container[str]) -> list[str]:
    """Removes default images that lost their name to a later build; gives their ids.

    By our label only, and only what is older than the one that has the name now: a build in
    the making is younger. One that a container or another image is made from stays.

    Args:
        engine: where.
        keep: ids that something refers to.

    Raises:
        SandboxProviderError: the engine failed.
    """
    removed: list[str] = []
    while True:
        listed = engine.images(f"{IMAGE_LABEL}=default")
        named = {tag: image["Created"] for image in listed for tag in _tags(image)}
        superseded = [
            str(image["Id"])
            for image in listed
            if not _tags(image)
            and image["Id"] not in keep
            and image["Created"] < named.get(f"{REPOSITORY}:{_said(image, PYTHON_LABEL)}", 0)
        ]
        gone = [image for image in superseded if engine.remove_image(image)]
        removed += gone
        if not gone:  # what one was made from is listed when it is gone
            return removed


def _tags(image: Mapping[str, Any]) -> list[str]:
    return [tag for tag in image.get("RepoTags") or () if tag != "<none>:<none>"]


def _said(image: Mapping[str, Any], label: str) -> str | None:
    said: str | None = (image.get("Labels") or {}).get(label)
    return said
