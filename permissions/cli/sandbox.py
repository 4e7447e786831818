"""`wardline sandbox`: build images, list what is in them, attempt abuse, remove leftovers.

Exit codes: 0 done, 1 the engine failed or a project is refused, 5 an SBOM is not the one its
image names, 6 something this needs is missing here, or a promised boundary is open.
"""

from __future__ import annotations

import json as json_text
import os
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from permissions.approval.text import visible
from permissions.cli import sandbox_probe
from permissions.cli.program import noun
from sandbox.errors import SandboxUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.backends.docker.engine import Engine

app = noun("Build, list, probe and clean up sandboxes.")
app.command("probe")(sandbox_probe.probe)

Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@app.command()
def build(
    project: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            file_okay=False,
            help="Folder of a project whose packages go in.",
            show_default=False,
        ),
    ] = None,
    *,
    again: Annotated[
        bool, typer.Option("--again", help="Anew, of today's packages; for the default image.")
    ] = False,
) -> None:
    """Build the image that sandboxes start from, or one of a project.

    The default image and root file system take minutes where no registry answers. A project's
    packages come from its uv.lock, pylock.toml, requirements.txt or pyproject.toml, as wheels
    only; its own package is built in a sandbox. The image's id is printed: name it as `image`
    of a profile. The root file system is for the OCI backend, where this is root and a runtime
    is on PATH; it holds the same files.

    \b
    Examples:
      $ wardline sandbox build
      $ wardline sandbox build path/to/project
    """
    from sandbox.preparation import prepare_default, prepare_image, wants_root

    if again and project is not None:
        raise typer.BadParameter("--again is for the default image; leave out the project")
    if project is None:
        made = prepare_default(_say, again=again)
        typer.echo(made.image or (made.root and made.root.image))
        return
    from sandbox.backends.docker.project_image import build_project

    built = anyio.run(partial(build_project, project, progress=_say))
    if wants_root():
        prepare_image(built.id, _say)
    typer.echo(built.id)


@app.command()
def prepare(
    image: Annotated[str, typer.Argument(help="An image the engine has, by its digest.")],
) -> None:
    """Unpack an image for the OCI backend.

    Profiles that name it run there, too.
    """
    from sandbox.preparation import prepare_image

    root = prepare_image(image, _say)
    typer.echo(root.image)


@app.command("sbom")
def show_sbom(
    image: Annotated[str, typer.Argument(help="Its id (sha256:...) or its tag.")],
    *,
    json: Annotated[
        bool, typer.Option("--json", help="The CycloneDX document itself.")
    ] = False,
) -> None:
    """List what an image was built from.

    The list is checked against the image first.
    """
    from sandbox.backends.docker.engine import Engine
    from sandbox.backends.docker.inspect import read_sbom

    with closing(Engine.connect()) as engine:
        found = read_sbom(engine, image)
    if json:
        typer.echo(json_text.dumps(found.document, indent=2, sort_keys=True))
        return
    for part in found.parts:
        where = f" in {part.folder}" if part.folder else ""
        licence = f" ({part.licence})" if part.licence else ""
        typer.echo(visible(f"{part.kind} {part.name} {part.version}{licence}{where}"))
    typer.echo(f"{len(found.parts)} parts, {found.digest}")


def _say(line: str) -> None:
    typer.echo(visible(line), err=True)


@app.command("ls")
def list_all(*, json: Json = False) -> None:
    """List what sandboxes left on this machine.

    Images, root file systems, sandboxes and control groups.
    """
    from sandbox.backends.oci import containers
    from sandbox.isolation import cgroup

    document: dict[str, list[Any]] = {
        "images": [],
        "roots": _roots(),
        "containers": [
            {"id": left.name, "state": "oci", "abandoned": left.is_abandoned()}
            for left in containers.containers()
        ],
        "groups": cgroup.groups(),
    }
    with _engine() as engine:
        if engine is not None:
            from sandbox.backends.docker.image import describe_images

            document["images"] += describe_images(engine)
            document["containers"] += [
                {"id": left.id, "state": left.state, "abandoned": left.is_abandoned}
                for left in engine.leftovers()
            ]
    if json:
        typer.echo(json_text.dumps(document, indent=2, sort_keys=True))
        return
    for image in document["images"]:
        tags = " ".join(image["tags"]) or "(no tag)"
        project = f" of {image['project']}" if image["project"] else ""
        sbom = f"sbom {image['sbom'][7:19]}" if image["sbom"] else "no sbom"
        said = f"image {image['id'][7:19]} {tags}{project} {image['bytes'] >> 20} MiB, {sbom}"
        typer.echo(visible(said))
    for root in document["roots"]:
        typer.echo(f"root {root['image'][7:19]} python {root['python']} from {root['origin']}")
    for left in document["containers"]:
        abandoned = " abandoned" if left["abandoned"] else ""
        name = left["id"].removeprefix("wardline-")
        typer.echo(f"container {name[:12]} {left['state']}{abandoned}")
    for group in document["groups"]:
        typer.echo(f"group {group}")


@app.command()
def gc(*, json: Json = False) -> None:
    """Remove sandboxes without an owner, and images that were replaced.

    Sandboxes of living owners stay, and what they started from. Default images and root file
    systems of earlier builds go, except those that a profile of wardline.toml here names.
    """
    from permissions.setup.config import BrokerConfig
    from sandbox.backends.bubblewrap import reaper
    from sandbox.backends.oci import backend as oci
    from sandbox.preparation import clear_superseded

    profiles = BrokerConfig.load().sandbox.profiles.values()
    groups = reaper.reap()  # first: the other one removes groups too, and does not count them
    containers = oci.reap()
    with _engine() as engine:
        if engine is not None:
            from sandbox.backends.docker.backend import reap

            containers += reap(engine)
        cleared = clear_superseded(
            engine, keep=[each.image for each in profiles if each.image is not None]
        )
    if json:
        document = {"containers": containers, "groups": groups, **asdict(cleared)}
        typer.echo(json_text.dumps(document, indent=2, sort_keys=True))
        return
    typer.echo(f"removed {containers} containers and {groups} groups")
    for image in cleared.images:
        typer.echo(f"removed image {image[7:19]}")
    for root in cleared.roots:
        typer.echo(f"removed root {root[7:19]}")


def _roots() -> list[dict[str, Any]]:
    from sandbox.backends.oci import roots

    if os.geteuid() != 0:
        return []  # they lie in a folder of root
    return [
        {
            "image": root.image,
            "content": root.content,
            "python": root.python,
            "origin": root.origin,
            "default": root.is_default,
        }
        for root in roots.prepared()
    ]


@contextmanager
def _engine() -> Iterator[Engine | None]:
    """The engine of this machine; None, and a word about it, where containers need none."""
    from sandbox.backends.docker.engine import Engine
    from sandbox.backends.oci.runtimes import installed

    with ExitStack() as stack:
        engine = None
        try:
            engine = stack.enter_context(closing(Engine.connect()))
        except SandboxUnavailableError as err:
            if not installed():
                raise
            typer.echo(f"no Docker: {err.missing}", err=True)
        yield engine
