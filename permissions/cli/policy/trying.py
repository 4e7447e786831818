"""`wardline policy try`: what would be decided for a call that nobody made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from permissions.cli.policy.folder import AsJson, Folder, Overlay, print_json, shown, sound
from permissions.errors import ConfigError

if TYPE_CHECKING:
    from permissions.tools.definition import ToolDefinition

Tools = Annotated[
    str,
    typer.Option(metavar="MODULE", help="The module of the tools, which is imported."),
]


def try_call(
    folder: Folder = None,
    *,
    tool: Annotated[str, typer.Option(help="Name of the tool.")],
    tools: Tools,
    args: Annotated[str, typer.Option(help="Its arguments, a JSON object.")] = "{}",
    prompt: Annotated[str, typer.Option(help="What the person asked for.")] = "",
    plan: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A declared plan, JSON.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="The person the agent acts for.")] = None,
    role: Annotated[list[str] | None, typer.Option(help="A role of who asks.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A label of the session, as `untrusted`.")
    ] = None,
    workspace: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Default: this folder.")
    ] = None,
    overlay: Overlay = None,
    as_json: AsJson = False,
) -> None:
    """Try a call: what would be decided, and why.

    Nothing runs and nothing is recorded. Says which rule speaks, on which line and with which
    values, who could approve, and the nearest call that would be allowed.

    \b
    Examples:
      $ wardline policy try --tools my_agent.tools --tool pay --args '{"amount": "20.00"}'
      $ wardline policy try --tools my_agent.tools --tool pay --prompt "pay 20" --overlay mine
    """
    from permissions.authoring.nearest import nearest_allowed
    from permissions.authoring.trial import Circumstances, Judge, question_about
    from permissions.cli.policy.verdict import (
        document_of,
        exit_code,
        print_verdict,
        shadow_of,
        traced,
    )
    from permissions.plan.model import parse_plan

    known, found = known_tools(tools, tool)
    bundle = sound(folder, overlay)
    judge = Judge(bundle)
    around = Circumstances(
        user=user,
        roles=role or (),
        prompt=prompt,
        plan=None if plan is None else parse_plan(plan.read_bytes()),
        workspace=workspace or Path.cwd(),
        context={"labels": sorted(label)} if label else {},
    )
    arguments = json_object(args, "--args")
    question = question_about(found, arguments, around, tools=known)
    decided = judge.decide(question)
    fired, near = traced(judge.bundle, question, decided)
    allowed = None if decided.permitted else nearest_allowed(judge, found, arguments, around)
    if as_json:
        print_json(
            {
                **document_of(bundle, decided, fired, near, allowed),
                "shadow": shadow_of(bundle, question, decided),
                "question": question,
            }
        )
    else:
        print_verdict(decided, fired, near, allowed, shadow_of(bundle, question, decided))
        if not prompt and any("provenance" in each.code for each in decided.reasons):
            typer.echo(
                shown("  no prompt   with --prompt, what is named there is the person's")
            )
    raise typer.Exit(exit_code(decided))


def known_tools(module: str, name: str) -> tuple[dict[str, ToolDefinition], ToolDefinition]:
    """The tools of a module by name, and the one that is asked for.

    Raises:
        ConfigError: there is none of this name.
    """
    from permissions.cli.tools_of import definitions_in

    known = {tool.name: tool for tool in definitions_in(module)}
    if name not in known:
        raise ConfigError(f"--tool {name}: {module} has {', '.join(sorted(known))}")
    return known, known[name]


def json_object(text: str, option: str) -> dict[str, Any]:
    """A JSON object that was given on the command line.

    Raises:
        ConfigError: it is none.
    """
    try:
        found = json.loads(text)
    except ValueError as err:
        raise ConfigError(f"{option} is no JSON: {err}") from err
    if not isinstance(found, dict):
        raise ConfigError(f'{option} is no JSON object, as in {{"amount": "20.00"}}')
    return found
