"""`wardline tools`: which tools a module or a toolkit has, and what policies can see of them.

Exit codes: 0 all of it is said, 1 something is not, 2 wrong usage.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from permissions.cli.program import EXIT_FAILED, noun
from permissions.errors import ConfigError, ToolDefinitionError
from permissions.integrations.openapi import operation_tool
from permissions.tools.decorator import Guard, guard_of
from permissions.tools.guarding import guard, is_langchain_tool
from permissions.tools.manifest import members, proposed, read_manifest, suggestion
from permissions.tools.openapi.document import Document
from permissions.tools.openapi.operation import Operation, Unreadable, operations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.tools.definition import ToolDefinition

app = noun("List tools, and check what policies can see of them.")

Module = Annotated[
    str,
    typer.Argument(
        metavar="MODULE[:NAME]",
        help="A module, or a toolkit, list or tool in it; or an OpenAPI document (.json, .yaml).",
    ),
]
ManifestFile = Annotated[
    Path | None, typer.Option("--manifest", help="What is known of them (TOML).")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@app.command("list")
def list_(module: Module, *, manifest: ManifestFile = None, as_json: Json = False) -> None:
    """List the tools of a module or toolkit, as a broker would know them.

    \b
    Examples:
      $ wardline tools list my_agent.tools
      $ wardline tools list my_agent.mail:toolkit --manifest mail.toml
    """
    for each, said in _tools(module, manifest):
        if as_json:
            typer.echo(json.dumps(_form(each, said)))
        else:
            marks = ", ".join(f"{name}: {kind}" for name, kind in sorted(each.marks.items()))
            typer.echo(
                f"{each.name}  {each.effect}/{each.impact}  output {each.output}"
                f"  {said}  {marks or 'no marks'}"
            )


@app.command()
def check(
    module: Module,
    *,
    manifest: ManifestFile = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="Print a manifest to begin with.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check what nobody said of the tools of a module or toolkit.

    A tool without a declaration counts as the most dangerous there could be, and an argument
    without a mark decides where effects go. With --propose a manifest to begin with is printed:
    read each tool before you say less.

    \b
    Examples:
      $ wardline tools check my_agent.tools
      $ wardline tools check langchain_mail:toolkit --propose > mail.toml
      $ wardline tools check langchain_mail:toolkit --manifest mail.toml
      $ wardline tools check crm.yaml --manifest crm.toml
    """
    found = list(_tools(module, manifest))
    if propose:
        typer.echo("\n".join(proposed(each for each, _ in found)))
        return
    faults = [fault for each, said in found for fault in _faults(each, said)]
    if _is_document(module):
        faults += [(each.name, None, str(each.fault)) for each in _unreadable(module)]
    for tool, argument, text in faults:
        if as_json:
            typer.echo(json.dumps({"tool": tool, "argument": argument, "finding": text}))
        else:
            typer.echo(f"{tool}{'' if argument is None else f': {argument}'} {text}")
    if not faults and not as_json:
        typer.echo(f"{len(found)} tools, and everything is said of them", err=True)
    if faults:
        raise typer.Exit(EXIT_FAILED)


def _faults(definition: ToolDefinition, said: str) -> Iterator[tuple[str, str | None, str]]:
    if said == "undeclared":
        yield definition.name, None, "is declared nowhere, so it counts as the most dangerous"
    for argument in definition.schema.get("properties", {}):
        if argument in definition.unmarked:
            mark = suggestion(definition, argument)
            hint = f'; its name says "{mark}"' if mark else ""
            yield definition.name, argument, f"has no mark, so policies do not judge it{hint}"


def _form(definition: ToolDefinition, said: str) -> dict[str, Any]:
    return {
        "tool": definition.name,
        "declared": said,
        "effect": definition.effect,
        "impact": definition.impact,
        "output": definition.output,
        "isolation": definition.isolation,
        "marks": definition.marks,
        "unmarked": sorted(definition.unmarked),
        "control": sorted(definition.control),
        "digest": definition.digest,
    }


def _tools(module: str, manifest: Path | None) -> Iterator[tuple[ToolDefinition, str]]:
    """Each tool, and where it is declared: `decorated`, `manifest` or `undeclared`."""
    known = {} if manifest is None else read_manifest(manifest)
    names = set[str]()
    for each in () if _is_document(module) else _found(module):
        definition, said = _defined(each, known)
        names.add(definition.name)
        yield definition, said
    for operation in _operations(module) if _is_document(module) else ():
        said = "manifest" if operation.name in known else "undeclared"
        made = operation_tool(operation, _not_called, known.get(operation.name, {}))
        names.add(operation.name)
        yield guard_of(made).definition, said
    if unknown := sorted(known.keys() - names):
        raise ToolDefinitionError(
            f"the manifest names {unknown[0]!r:.60}, and {module} has no such tool"
        )


def _is_document(module: str) -> bool:
    return Path(module).suffix in {".json", ".yaml", ".yml"}


def _operations(file: str) -> Iterator[Operation]:
    read = operations(Document.read(Path(file)))
    yield from (each for each in read if isinstance(each, Operation))


def _unreadable(file: str) -> Iterator[Unreadable]:
    read = operations(Document.read(Path(file)))
    yield from (each for each in read if isinstance(each, Unreadable))


def _not_called(**_: Any) -> None:
    raise RuntimeError("only looked at")


def _defined(each: Any, known: Mapping[str, dict[str, Any]]) -> tuple[ToolDefinition, str]:
    if isinstance(getattr(each, "guard", None), Guard):
        return guard_of(each).definition, "decorated"
    name = str(getattr(each, "name", None) or getattr(each, "__name__", ""))
    said = "manifest" if name in known else "undeclared"
    return guard_of(guard(each, **known.get(name, {}))).definition, said


def _found(module: str) -> list[Any]:
    """What is named: the tools of a module, or those of one thing in it.

    Raises:
        ConfigError: it cannot be imported, is not there, or holds no tool.
    """
    path, _, name = module.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    try:
        found = import_module(path)
    except ImportError as err:
        raise ConfigError(f"{path}: {err}") from err
    finally:
        sys.path.pop(0)
    if not name:
        tools = [each for each in vars(found).values() if _is_tool(each)]
    elif (named := getattr(found, name, None)) is None:
        raise ConfigError(f"{path} has no {name!r}")
    else:
        tools = [named] if _is_tool(named) or callable(named) else members(named)
    if not tools:
        raise ConfigError(
            f"{module} holds no tool; name a function, list or toolkit in it: {path}:NAME"
        )
    return [*{id(each): each for each in tools}.values()]


def _is_tool(each: Any) -> bool:
    return isinstance(getattr(each, "guard", None), Guard) or is_langchain_tool(each)
