"""A command tool that works on a layer of the workspace."""

from __future__ import annotations

from typing import Annotated

from wardline import CommandOutput, PathArg, tool


@tool(
    effect="write",
    impact="low",
    sandbox="process",
    workspace="overlay",
    command=("sed", "-i", "s/open/paid/", "--", "{path}"),
)
def mark_paid(path: Annotated[str, PathArg("write")]) -> CommandOutput:
    """Marks an invoice as paid, in place."""
    raise NotImplementedError  # a command runs in its place
