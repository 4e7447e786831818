"""`wardline sandbox`: build the image, attempt abuse, see what exists, remove leftovers.

Exit codes: 0 done, 1 the engine failed, 6 something this needs is missing here, or a promised
wall is open.
"""

from __future__ import annotations

import json as json_text
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from permissions.cli import sandbox_probe
from sandbox.errors import SandboxError, SandboxUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.docker.engine import Engine

EXIT_FAILED, EXIT_UNAVAILABLE = 1, 6

app = typer.Typer(no_args_is_help=True, help="Images, walls and leftovers of the sandboxes.")
app.command("probe")(sandbox_probe.probe)

Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@app.command()
def build() -> None:
    """Build the default image for this Python. Minutes where no registry answers."""
    from sandbox.docker.image import build_image

    with _engine() as engine:
        image = build_image(engine, progress=lambda line: typer.echo(line, err=True))
    typer.echo(image)


@app.command("ls")
def list_all(*, json: Json = False) -> None:
    """List default images, running sandboxes and control groups of this machine."""
    from sandbox.bubblewrap import cgroup
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
        typer.echo(f"image {image['id'][7:19]} {tags} {image['bytes'] >> 20} MiB")
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

    try:
        with closing(Engine.connect()) as engine:
            yield engine
    except SandboxUnavailableError as err:
        typer.echo(f"wardline: {err.missing}\nto get it: {err.remedy}", err=True)
        raise typer.Exit(EXIT_UNAVAILABLE) from err
    except SandboxError as err:
        typer.echo(f"wardline: {err}", err=True)
        raise typer.Exit(EXIT_FAILED) from err
