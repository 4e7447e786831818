"""Manifests: what is known of tools that somebody else wrote, as TOML, and a proposal of one.

::

    [tools.send_mail]
    effect = "send"
    impact = "medium"
    marks = { to = "email", body = "free" }

A tool that the manifest does not name is guarded all the same, as the most dangerous one there
could be (`effect = "execute"`, `impact = "high"`, every argument decides). A name that no tool has
is a mistake and refused.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from permissions.errors import ToolDefinitionError
from permissions.tools.decorator import Guard, guard_of
from permissions.tools.guarding import guard
from permissions.tools.unmarked import suggested_mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from permissions.tools.decorator import GuardedTool
    from permissions.tools.definition import ToolDefinition


def guard_all(
    tools: Any, manifest: Path | str | Mapping[str, Any] | None = None
) -> list[GuardedTool[..., Any]]:
    """Puts a set of tools under the broker.

    Args:
        tools: functions, LangChain tools, or a toolkit (it has `get_tools()`).
        manifest: file, or the table `tools` of one: options and marks by the tool's name.

    Raises:
        ToolDefinitionError: a tool cannot be guarded, the manifest cannot be read, or names a
            tool that is not there.
    """
    known = (
        read_manifest(manifest) if isinstance(manifest, Path | str) else dict(manifest or {})
    )
    found = {}
    for each in members(tools):
        if isinstance(getattr(each, "guard", None), Guard):
            raise ToolDefinitionError(f"{guard_of(each).definition.name} is guarded already")
        name = str(getattr(each, "name", None) or getattr(each, "__name__", ""))
        if name in found:
            raise ToolDefinitionError(f"two tools are called {name!r}")
        found[name] = guard(each, **known.get(name, {}))
    if unknown := sorted(known.keys() - found.keys()):
        raise ToolDefinitionError(
            f"the manifest names {unknown[0]!r:.60}, and there is no such tool; there are"
            f" {', '.join(sorted(found))[:500]}"
        )
    return [*found.values()]


def members(tools: Any) -> list[Any]:
    """The tools of a toolkit, or of a list."""
    given = getattr(tools, "get_tools", None)
    return [*(given() if callable(given) else tools)]


def read_manifest(file: Path | str) -> dict[str, dict[str, Any]]:
    """Options and marks by the tool's name.

    Raises:
        ToolDefinitionError: it cannot be read, or is not of the form.
    """
    try:
        document = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise ToolDefinitionError(f"the manifest {file}: {err}") from err
    tools = document.get("tools", {})
    if document.keys() - {"tools"} or not isinstance(tools, dict):
        raise ToolDefinitionError(
            f"the manifest {file} has tables [tools.NAME] and nothing else"
        )
    for name, options in tools.items():
        if not isinstance(options, dict) or options.keys() & {"name", "parameters"}:
            raise ToolDefinitionError(
                f"the manifest {file}: [tools.{name}] has options of @tool, `description` and"
                " `marks`"
            )
    return tools


def proposed(tools: Iterable[ToolDefinition]) -> Iterator[str]:
    """A manifest to begin with, line by line: the most suspicious reading, and what names suggest."""
    yield "# Read each tool, then say less than this only where you know it to be true."
    yield "# effect: read, write, send, execute, irreversible. impact: low, medium, high, critical."
    for each in tools:
        yield ""
        yield f"[tools.{_key(each.name)}]"
        if first := each.description.strip().partition("\n")[0]:
            yield f"# {_comment(first)}"
        yield f'effect = "{each.effect}"'
        yield f'impact = "{each.impact}"'
        yield f'output = "{each.output}"'
        marks = {a: suggestion(each, a) for a in each.schema.get("properties", {})}
        if named := [f'{_key(a)} = "{mark}"' for a, mark in marks.items() if mark]:
            yield f"# marks = {{ {', '.join(named)} }}  # as the names suggest"


def suggestion(tool: ToolDefinition, argument: str) -> str | None:
    """The mark that the name of an unmarked argument suggests, for a manifest."""
    if argument not in tool.unmarked:
        return None
    mark = suggested_mark(argument)
    return "path read" if mark == "path write" and tool.effect == "read" else mark


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "a").isalnum() else f'"{name}"'


def _comment(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)[:100]
