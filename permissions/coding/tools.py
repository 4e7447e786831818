"""What coding agents do, as guarded tools that policies know. None is run by the broker.

The agent runs each itself once it was admitted. Of what comes of it the broker is told a digest
at most, so an output is untrusted and no argument is judged by its origin. The names are those
that `calls` gives, the marks what policies see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from permissions.errors import ToolFailedError
from permissions.tools.decorator import tool
from permissions.tools.targets import FreeText, HostArg, PathArg, ShellArg


@dataclass(frozen=True, slots=True)
class _OwnHost(HostArg):
    """A host whose origin decides nothing: an agent's addresses are its own."""

    control = False


def _elsewhere() -> NoReturn:
    raise ToolFailedError("the coding agent runs this itself; the broker only decides it")


@tool(name="coding.run_command", effect="execute", impact="medium")
def run_command(
    command: Annotated[str, ShellArg()],  # noqa: ARG001 - the agent has them
    folder: Annotated[str | None, FreeText()] = None,  # noqa: ARG001
) -> str:
    """Runs a shell text in a folder."""
    _elsewhere()


@tool(name="coding.read_files", effect="read", impact="low")
def read_files(paths: Annotated[list[str], PathArg("read")]) -> str:  # noqa: ARG001
    """Reads files, or all of a folder."""
    _elsewhere()


@tool(name="coding.list_files", effect="read", impact="low")
def list_files(pattern: Annotated[str, FreeText()]) -> str:  # noqa: ARG001
    """Finds files by their names, or those in which a text stands."""
    _elsewhere()


@tool(name="coding.write_files", effect="write", impact="low")
def write_files(
    paths: Annotated[list[str], PathArg("write")],  # noqa: ARG001
    content: Annotated[str, FreeText()] = "",  # noqa: ARG001
) -> str:
    """Writes, edits, moves or deletes files."""
    _elsewhere()


@tool(name="coding.fetch_urls", effect="read", impact="low")
def fetch_urls(urls: Annotated[list[str], _OwnHost()]) -> str:  # noqa: ARG001
    """Fetches pages of the web."""
    _elsewhere()


@tool(name="coding.search_web", effect="read", impact="low")
def search_web(query: Annotated[str, FreeText()]) -> str:  # noqa: ARG001
    """Asks the search engine of the model's provider."""
    _elsewhere()


@tool(name="coding.call_mcp", effect="execute", impact="high")
def call_mcp(
    tool_name: Annotated[str, FreeText()],  # noqa: ARG001
    arguments: Annotated[dict[str, Any], FreeText()],  # noqa: ARG001
) -> str:
    """Calls a tool of an MCP server that the agent is connected to."""
    _elsewhere()


@tool(name="coding.keep_notes", effect="read", impact="low")
def keep_notes(tool_name: Annotated[str, FreeText()]) -> str:  # noqa: ARG001
    """A tool of the agent's own that reaches nothing: lists of things to do, plans, questions."""
    _elsewhere()


@tool(name="coding.use_unknown", effect="execute", impact="high")
def use_unknown(
    tool_name: Annotated[str, FreeText()],  # noqa: ARG001
    arguments: Annotated[dict[str, Any], FreeText()],  # noqa: ARG001
) -> str:
    """A tool of the agent's that this version does not know."""
    _elsewhere()


TOOLS = [
    run_command, read_files, list_files, write_files, fetch_urls, search_web, call_mcp,
    keep_notes, use_unknown,
]  # fmt: skip
