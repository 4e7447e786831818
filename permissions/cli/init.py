"""`wardline init`: a first configuration, and a key for the first approver."""

from __future__ import annotations

import getpass
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from permissions.approval.approvers import APPROVER_ID
from permissions.errors import ConfigError
from permissions.setup.config import DEFAULT_FILE, BrokerConfig
from permissions.signing.keys import generate

_SETTINGS = """\
# Settings of Wardline. Every key, its default and its unit: docs/reference/settings.md

state = ".wardline"
workspace = "."
environment = "development"

[approvers."{name}"]
groups = [{groups}]
public_key = "{key}"
"""


def init(
    *,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Your name as an approver; your login if unset."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="Approver group you belong to; may be given again."),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--dir", help="Folder to write wardline.toml into.")
    ] = Path(),
) -> None:
    """Writes wardline.toml and makes your approver key.

    The key is put below your home (~/.config/wardline), away from the state folder: whoever
    can read it can approve in your name. Nothing that exists is overwritten.
    """
    settings = folder / DEFAULT_FILE
    if settings.exists():
        raise ConfigError(f"{settings} exists already; edit it, or remove it first")
    person = (
        name if name is not None else re.sub(r"[^a-z0-9._@+-]", "-", getpass.getuser().lower())
    )
    if not re.fullmatch(APPROVER_ID, person):
        raise ConfigError(
            f"{person[:80]!r} is no approver's name: lower-case letters, digits and . _ @ + -,"
            " beginning with a letter or digit; choose one with --name"
        )
    if odd := [each for each in group or () if not re.fullmatch(r"[\w.-]{1,64}", each)]:
        raise ConfigError(f"{odd[0][:80]!r} is no group: letters, digits and . _ - only")
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    place = home / "wardline" / f"{person}.pem"
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if place.exists():
        raise ConfigError(
            f"the approver key {place} exists already; use its public key in {settings}, or"
            " choose another --name"
        )
    signer = generate(place)
    groups = ", ".join(f'"{each}"' for each in group or ["operators"])
    folder.mkdir(parents=True, exist_ok=True)
    settings.write_text(_SETTINGS.format(name=person, groups=groups, key=signer.public))
    BrokerConfig.load(settings)
    typer.echo(f"wrote {settings}")
    typer.echo(f"wrote {place}: your approver key; approve with `--key file:{place}`")
    typer.echo("next: wardline doctor, then wardline demo")
