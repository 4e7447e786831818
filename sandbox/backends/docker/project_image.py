"""An image from a user's project: the default one, and one layer of packages on top of it.

Versions and hashes come from the project's lock, wheels are fetched on this machine and looked
through, the project's own package is built in a sandbox, and the engine gets one archive to add
on top, so nothing runs while the image is made and it needs neither a registry nor a network.

The same base, lock and sources give the same content digest, and with it the same image again
where it was built before. The image's id is not the same on another engine: it covers the time
of its making, which the engine puts in.
Not protected from: what the packages do when they are imported; that is what sandboxes are for.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import tempfile
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread
from packaging.utils import canonicalize_name

from sandbox.backends.docker.backend import DockerSandbox
from sandbox.backends.docker.engine import Engine
from sandbox.backends.docker.image import (
    BASE_LABEL,
    CONTENT_LABEL,
    IMAGE_LABEL,
    LOCK_LABEL,
    ORIGIN_LABEL,
    PROJECT_LABEL,
    PYTHON_LABEL,
    add_layer,
    default_image,
)
from sandbox.backends.docker.inspect import SBOM_LABEL, look_inside
from sandbox.errors import SandboxUnavailableError
from sandbox.images import own, sbom
from sandbox.images.debootstrap import python_tag
from sandbox.images.layer import write_layer
from sandbox.images.locked import (
    Lines,
    Target,
    check_complete,
    fetched,
    pinned,
    read_lines,
    resolved,
)
from sandbox.images.project import read_project

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox.images.project import Project
    from sandbox.images.sbom import Part
    from sandbox.images.wheel import Wheel


@dataclass(frozen=True, slots=True)
class Built:
    """An image of a project.

    Attributes:
        id: by digest, as a profile wants it.
        content: digest of base, layer and labels: the same for the same lock and sources.
        packages: how many distributions went in.
        is_new: False when an image of this content was there already.
    """

    id: str
    content: str
    packages: int
    is_new: bool


async def build_project(root: Path, *, progress: Callable[[str], None]) -> Built:
    """Builds an image of a project.

    Args:
        root: the project's folder.
        progress: called with one line of text per step, from any thread.

    Raises:
        ImageRefusedError: something in the project or its wheels does not go into an image.
        SandboxUnavailableError: no engine, no default image, or a tool is missing.
        SandboxProviderError: the engine failed.
    """
    project = read_project(root, python=python_tag())
    with closing(await to_thread.run_sync(Engine.connect)) as engine:
        base = await to_thread.run_sync(default_image, engine)
        progress(f"looking into the default image {base[:19]}")
        beneath = await to_thread.run_sync(
            partial(look_inside, engine, base, python=python_tag())
        )
        with tempfile.TemporaryDirectory(prefix="wardline-image-") as folder:
            lines, wheels = await _wheels(
                project, base, _target(beneath), Path(folder), progress
            )
            return await to_thread.run_sync(
                partial(
                    _put_in,
                    engine,
                    project,
                    base=base,
                    beneath=beneath,
                    lock=lines.digest,
                    wheels=wheels,
                    progress=progress,
                )
            )


async def _wheels(
    project: Project,
    base: str,
    target: Target,
    folder: Path,
    progress: Callable[[str], None],
) -> tuple[Lines, list[Wheel]]:
    progress(f"{project.name}: dependencies from {project.source}")
    lines = await to_thread.run_sync(partial(pinned, project, target, _sub(folder, "lock")))
    progress(f"fetching {len(lines.pins)} pinned packages for Python {target.python}")
    wheels = await to_thread.run_sync(partial(fetched, lines, target, _sub(folder, "in")))
    if project.source != "pyproject.toml":
        check_complete(project.dependencies, wheels)
    if project.backend is None:
        progress("no [build-system] in pyproject.toml: only its dependencies go in")
    else:
        progress("building the project's own package in a sandbox")
        wheels.append(await _own(project, base, target, lines, folder))
    for wheel in wheels:
        if wheel.left_out:
            progress(
                f"{wheel.name} {wheel.version}: {len(wheel.left_out)} files stay out (scripts,"
                f" .pth, data), {wheel.left_out[0]!r:.80} first"
            )
    return lines, wheels


async def _own(
    project: Project, base: str, target: Target, lines: Lines, folder: Path
) -> Wheel:
    asked = "\n".join([*lines.options, *project.backend_requires])
    scratch = _sub(folder, "backend")
    needed = await to_thread.run_sync(
        partial(resolved, read_lines(asked, root=project.root), target, scratch)
    )
    backend = await to_thread.run_sync(partial(fetched, needed, target, scratch))
    path = await to_thread.run_sync(own.unpacked, backend, folder / "env")
    async with DockerSandbox() as sandbox:
        return await own.built(
            project, sandbox, image=base, backend=path, folder=_sub(folder, "own")
        )


def _sub(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    return path


def _target(beneath: Sequence[Part]) -> Target:
    """The machine inside, by the C library its package manager knows."""
    for part in beneath:
        found = re.match(r"2\.(\d+)", part.version)
        if part.kind == "debian" and part.name == "libc6" and found is not None:
            return Target(python_tag(), platform.machine(), int(found[1]))
    raise SandboxUnavailableError(
        "the default image names no C library, so no wheel can be chosen for it",
        "build it again with `wardline sandbox build`",
    )


def _put_in(
    engine: Engine,
    project: Project,
    *,
    base: str,
    beneath: Sequence[Part],
    lock: str,
    wheels: Sequence[Wheel],
    progress: Callable[[str], None],
) -> Built:
    version = next(
        (w.version for w in wheels if w.name == canonicalize_name(project.name)),
        project.version,
    )
    document = sbom.write_sbom(
        [*beneath, *sbom.parts_of(wheels)], name=project.name, version=version
    )
    labels = {
        IMAGE_LABEL: "project",
        PYTHON_LABEL: python_tag(),
        ORIGIN_LABEL: project.source,
        PROJECT_LABEL: f"{project.name}=={version}",
        LOCK_LABEL: lock,
        BASE_LABEL: base,
        SBOM_LABEL: sbom.digest_of(document),
    }
    with tempfile.TemporaryFile(prefix="wardline-layer-") as layer:
        digest = write_layer(layer, wheels, document, python=python_tag())
        seed = json.dumps({**labels, "layer": digest}, sort_keys=True).encode()
        content = f"sha256:{hashlib.sha256(seed).hexdigest()}"
        known = engine.images(f"{CONTENT_LABEL}={content}")
        if known:
            progress("an image of exactly this content is there already")
            return Built(str(known[0]["Id"]), content, len(wheels), is_new=False)
        progress("putting the layer in")
        tag = f"wardline/project:{_tag(project.name)}-{content[7:19]}"
        image = add_layer(
            engine, base, layer, labels={**labels, CONTENT_LABEL: content}, tag=tag
        )
    progress(f"built {tag} {image}")
    return Built(image, content, len(wheels), is_new=True)


def _tag(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "project"
