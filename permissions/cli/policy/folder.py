"""Which policies a command is about, and what all of them print alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.pdp.bundle import load_bundle

if TYPE_CHECKING:
    from permissions.model import JsonObject
    from permissions.pdp.bundle import PolicyBundle

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR", exists=True, file_okay=False, help="Default: the shipped ones."
    ),
]
Overlay = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", exists=True, file_okay=False, help="Add this folder to the policies."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def sound(folder: Path | None, overlay: Path | None) -> PolicyBundle:
    """The policies, fit to be served.

    Raises:
        PolicyLoadError: they are not.
    """
    from permissions.pdp.lint.bundle import require_sound

    bundle = load_bundle(folder, overlay=overlay)
    require_sound(bundle)
    return bundle


def shown(text: str) -> str:
    """Text with what could steer a terminal written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def spans(numbers: frozenset[int]) -> str:
    """Line numbers as `3-5, 9`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in found)


def print_json(document: JsonObject) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(document, indent=2))
