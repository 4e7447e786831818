"""Command tools, and a tool that requires what nobody has."""

from __future__ import annotations

from typing import Annotated

from wardline import CommandOutput, PathArg, tool


@tool(
    effect="execute",
    impact="low",
    sandbox="process",
    command=("grep", "-c", "--", "{word}", "{path}"),
    control=("path",),
)
def count_lines(word: str, path: Annotated[str, PathArg("read")]) -> CommandOutput:
    """Counts the lines of a file that hold a word."""
    raise NotImplementedError  # a command runs in its place


@tool(  # noqa: S604 - what this tool is about
    effect="execute",
    impact="low",
    sandbox="process",
    command='printf %s "$1" | wc -c',
    shell=True,
)
def count_bytes(text: str) -> CommandOutput:
    """Counts the bytes of a text, by a shell."""
    raise NotImplementedError


@tool(effect="read", impact="low", sandbox="process", requires=("no-such-package>=2",))
def lacking() -> str:
    """Would leave a word behind if it ran."""
    return "it ran"


@tool(effect="read", impact="low", sandbox="process", requires=("anyio>=4", "pydantic"))
def supplied() -> str:
    """Requires what the broker's own environment has."""
    import anyio

    return anyio.__name__


@tool(effect="read", impact="low", sandbox="container", profile="other")
def elsewhere() -> str:
    """Runs in an image of a profile."""
    return "it ran"
