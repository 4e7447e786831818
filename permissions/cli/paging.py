"""Long text for people, page by page, as `git` and `gh` show it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click
import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def paged(lines: Iterable[str]) -> None:
    """Writes lines; on a terminal through a pager, which ends at once where they fit.

    `PAGER` names the pager; an empty one or `cat` means none. What is recorded has to be escaped
    before.
    """
    if not sys.stdout.isatty() or os.environ.get("PAGER") in ("", "cat"):
        for line in lines:
            typer.echo(line)
        return
    # `less`: ends where all fits on the screen, leaves it there, shows colours and no other escape.
    os.environ.setdefault("LESS", "FRX")
    click.echo_via_pager(_ended(lines))


def _ended(lines: Iterable[str]) -> Iterator[str]:
    """The pager adds the last line's end by itself."""
    before = None
    for line in lines:
        if before is not None:
            yield f"{before}\n"
        before = line
    if before is not None:
        yield before
