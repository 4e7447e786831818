"""`wardline sandbox`: build images, list what is in them, attempt abuse, remove leftovers.

Exit codes: 0 done, 1 the engine failed or a project is refused, 5 an SBOM is not the one its
image names, 6 something this needs is missing here, or a promised wall is open.
"""

from __future__ import annotations

import json as json_text
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from permissions.approval.console import visible
from permissions.cli import sandbox_probe
from sandbox.errors import SandboxError, SandboxUnavailableError, SbomTamperedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.docker.engine import Engine

EXIT_FAILED, EXIT_TAMPERED, EXIT_UNAVAILABLE = 1, 5, 6

app = typer.Typer(no_args_is_help=True, help="Images, walls and leftovers of the sandboxes.")
app.command("probe")(sandbox_probe.probe)

Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@app.command()
def build(
    project: Annotated[
        Path | None,
        typer.Argument(help="Folder of a project whose packages go in.", show_default=False),
    ] = None,
) -> None:
    """Build the default image for this Python, or one with a project's packages on top of it.

    The default image takes minutes where no registry answers. A project's packages come from
    its uv.lock, pylock.toml, requirements.txt or pyproject.toml, as wheels only; its own
    package is built in a sandbox. The image's id is printed: name it as `image` of a profile.
    """
    from sandbox.docker.image import build_image
    from sandbox.docker.project_image import build_project

    if project is not None:
        with _errors():
            built = anyio.run(partial(build_project, project, progress=_say))
        typer.echo(built.id)
        return
    with _engine() as engine:
        image = build_image(engine, progress=_say)
    typer.echo(image)


@app.command("sbom")
def show_sbom(
    image: Annotated[str, typer.Argument(help="Its id (sha256:...) or its tag.")],
    *,
    json: Annotated[
        bool, typer.Option("--json", help="The CycloneDX document itself.")
    ] = False,
) -> None:
    """List what an image was built from, after checking the list against the image."""
    from sandbox.docker.bill import read_sbom

    with _engine() as engine:
        found = read_sbom(engine, image)
    if json:
        typer.echo(json_text.dumps(found.document, indent=2, sort_keys=True))
        return
    for part in found.parts:
        where = f" in {part.place}" if part.place else ""
        licence = f" ({part.licence})" if part.licence else ""
        typer.echo(visible(f"{part.kind} {part.name} {part.version}{licence}{where}"))
    typer.echo(f"{len(found.parts)} parts, {found.digest}")


def _say(line: str) -> None:
    typer.echo(visible(line), err=True)


@app.command("ls")
def list_all(*, json: Json = False) -> None:
    """List images made here, running sandboxes and control groups of this machine."""
    from sandbox import cgroup
    from sandbox.docker.image import describe_images

    with _engine() as engine:
        document: dict[str, list[Any]] = {
            "images": describe_images(engine),
            "containers": [
                {"id": left.id, "state": left.state, "abandoned": left.is_abandoned}
                for left in engine.leftovers()
            ],
            "groups": cgroup.groups(),
        }
    if json:
        typer.echo(json_text.dumps(document, indent=2, sort_keys=True))
        return
    for image in document["images"]:
        tags = " ".join(image["tags"]) or "(no tag)"
        project = f" of {image['project']}" if image["project"] else ""
        bill = f"sbom {image['sbom'][7:19]}" if image["sbom"] else "no sbom"
        said = f"image {image['id'][7:19]} {tags}{project} {image['bytes'] >> 20} MiB, {bill}"
        typer.echo(visible(said))
    for left in document["containers"]:
        abandoned = " abandoned" if left["abandoned"] else ""
        typer.echo(f"container {left['id'][:12]} {left['state']}{abandoned}")
    for group in document["groups"]:
        typer.echo(f"group {group}")


@app.command()
def gc() -> None:
    """Remove sandboxes whose owner is gone. Running ones of living owners stay."""
    from sandbox.bubblewrap import reaper
    from sandbox.docker.backend import reap

    groups = reaper.reap()
    with _engine() as engine:
        containers = reap(engine)
    typer.echo(f"removed {containers} containers and {groups} groups")


@contextmanager
def _engine() -> Iterator[Engine]:
    from sandbox.docker.engine import Engine

    with _errors(), closing(Engine.connect()) as engine:
        yield engine


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except SandboxUnavailableError as err:
        typer.echo(
            f"wardline: {visible(err.missing)}\nto get it: {visible(err.remedy)}", err=True
        )
        is_tampered = isinstance(err, SbomTamperedError)
        raise typer.Exit(EXIT_TAMPERED if is_tampered else EXIT_UNAVAILABLE) from err
    except SandboxError as err:
        typer.echo(f"wardline: {visible(str(err))}", err=True)
        raise typer.Exit(EXIT_FAILED) from err
