"""`wardline policy diff` and `fuzz`: what a change allows anew, and what slips through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from permissions.cli.policy.folder import AsJson, Folder, Overlay, print_json, shown, sound
from permissions.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.authoring.difference import Difference, Outcome, Scope
    from permissions.authoring.fuzzing import Hole
    from permissions.model import JsonObject, JsonValue
    from permissions.pdp.bundle import PolicyBundle

Tools = Annotated[
    str | None,
    typer.Option(metavar="MODULE", help="Tools whose possible calls are compared; imported."),
]
State = Annotated[
    Path | None,
    typer.Option("--dir", help="A state folder or trace whose recorded calls are taken."),
]
Prompt = Annotated[
    str, typer.Option(help="What the person says, beside the values that are tried.")
]
Source = Annotated[Path, typer.Argument(exists=True, file_okay=False)]
Other = Annotated[Path | None, typer.Argument(exists=True, file_okay=False, metavar="[NEW]")]


def diff(
    old: Source,
    new: Other = None,
    *,
    tools: Tools = None,
    state: State = None,
    prompt: Prompt = "",
    most: Annotated[int, typer.Option(min=1, help="Calls tried for each tool.")] = 2000,
    fail_on: Annotated[
        Literal["newly_allowed", "changed"],
        typer.Option(help="What makes the exit code 1."),
    ] = "newly_allowed",
    as_json: AsJson = False,
) -> None:
    """Say what two folders of policies decide differently.

    A folder without `main/` is put on top of the shipped policies. With one folder, the shipped
    policies are the old ones. Compared are the calls the tools' schemas allow (all, where they
    are no more than --most), and recorded calls; each difference comes with an example.

    \b
    Examples:
      $ wardline policy diff mine --tools my_agent.tools
      $ wardline policy diff mine next --tools my_agent.tools --dir .wardline
    """
    from itertools import chain

    from permissions.authoring.difference import compare, possible_calls
    from permissions.authoring.trial import Circumstances, Judge

    if tools is None and state is None:
        raise ConfigError("give --tools MODULE, --dir STATE, or both: which calls to compare")
    before, after = (
        (_bundle(None), _bundle(old)) if new is None else (_bundle(old), _bundle(new))
    )
    scopes: list[Scope] = []
    questions: list[Iterator[tuple[str, JsonValue, JsonObject]]] = []
    if tools is not None:
        from permissions.cli.tools_of import definitions_in

        found = definitions_in(tools)
        around = Circumstances(prompt=prompt)
        scopes, possible = possible_calls(found, [before, after], around, most=most)
        questions.append(possible)
    if state is not None:
        questions.append(_recorded(state))
    differences = compare(Judge(before), Judge(after), chain(*questions))
    wider = sum(each.is_wider for each in differences)
    if as_json:
        print_json(_document(differences, scopes))
    else:
        _print(differences, scopes)
    failed = bool(differences) if fail_on == "changed" else bool(wider)
    raise typer.Exit(1 if failed else 0)


def fuzz_(
    folder: Folder = None,
    *,
    tools: Annotated[
        str, typer.Option(metavar="MODULE", help="Whose calls are tried; imported.")
    ],
    overlay: Overlay = None,
    state: State = None,
    prompt: Prompt = "",
    most: Annotated[int, typer.Option(min=1, help="Calls tried for each tool.")] = 2000,
    as_json: AsJson = False,
) -> None:
    """Look for a call that passes though it should be denied.

    Denied calls are changed in ways that keep what matters: a value written otherwise, good
    company beside it, flags and free text. Look-alikes of listed values are tried, too. What
    passes is made as small as it goes. Nothing found is no proof that there is nothing.

    \b
    Examples:
      $ wardline policy fuzz --overlay mine --tools my_agent.tools
      $ wardline policy fuzz --overlay mine --tools my_agent.tools --most 20000
    """
    from permissions.authoring.fuzzing import fuzz
    from permissions.authoring.trial import Circumstances, Judge
    from permissions.cli.tools_of import definitions_in

    denied = [] if state is None else [(name, args) for name, args, _ in _recorded(state)]
    holes, tried = fuzz(
        Judge(sound(folder, overlay)),
        definitions_in(tools),
        Circumstances(prompt=prompt),
        denied=[(name, args) for name, args in denied if isinstance(args, dict)],
        most=most,
    )
    if as_json:
        print_json({"tried": tried, "holes": [_hole(each) for each in holes]})
    else:
        for hole in holes:
            typer.echo(shown(f"{hole.tool} passes: {json.dumps(hole.allowed)}"))
            typer.echo(shown(f"  {hole.how}"))
            if hole.denied is not None:
                typer.echo(shown(f"  denied:     {json.dumps(hole.denied)}"))
            typer.echo(shown(f"  allowed by  {', '.join(hole.rules)}"))
        typer.echo(f"{len(holes)} hole(s) in {tried:,} calls")
    raise typer.Exit(1 if holes else 0)


def _bundle(folder: Path | None) -> PolicyBundle:
    whole = folder is None or (folder / "main").is_dir() or (folder / "main.rego").is_file()
    return sound(folder, None) if whole else sound(None, folder)


def _recorded(state: Path) -> Iterator[tuple[str, JsonValue, JsonObject]]:
    """What was asked about recorded calls, as far as it can be read."""
    from permissions.cli.trace_source import TraceSource
    from permissions.replay.recorded import recorded_decisions
    from permissions.trace.reader import read_entries

    source = TraceSource(state, None)
    for each in recorded_decisions(read_entries(source.trace), source.vault()):
        if each.document is not None and each.action == "tools/call":
            resource = each.document["resource"]
            yield resource["id"], resource["properties"]["args"], each.document


def _print(differences: list[Difference], scopes: list[Scope]) -> None:
    for each in differences:
        sign = "WIDER" if each.is_wider else "other"
        typer.echo(shown(f"{sign}  {each.tool}: {each.before.verdict} -> {each.after.verdict}"))
        typer.echo(shown(f"       e.g. {json.dumps(each.arguments)[:300]}"))
        typer.echo(shown(f"       before  {_said(each.before)}"))
        typer.echo(shown(f"       after   {_said(each.after)}"))
        if each.count > 1:
            typer.echo(f"       and {each.count - 1:,} more")
    for scope in scopes:
        how = "all" if scope.is_whole else f"{scope.asked:,} of"
        typer.echo(shown(f"{scope.tool}: {how} {scope.all:,} possible calls"))
    wider = sum(each.is_wider for each in differences)
    typer.echo(f"{len(differences)} difference(s), {wider} that allow more")


def _said(outcome: Outcome) -> str:
    return ", ".join(outcome.codes) or outcome.verdict


def _document(differences: list[Difference], scopes: list[Scope]) -> JsonObject:
    return {
        "differences": [
            {
                "tool": each.tool,
                "before": {"verdict": each.before.verdict, "codes": [*each.before.codes]},
                "after": {"verdict": each.after.verdict, "codes": [*each.after.codes]},
                "wider": each.is_wider,
                "arguments": each.arguments,
                "question": each.question,
                "count": each.count,
            }
            for each in differences
        ],
        "scopes": [
            {"tool": each.tool, "asked": each.asked, "all": each.all, "whole": each.is_whole}
            for each in scopes
        ],
    }


def _hole(hole: Hole) -> JsonObject:
    return {
        "tool": hole.tool,
        "allowed": hole.allowed,
        "denied": hole.denied,
        "rules": [*hole.rules],
        "how": hole.how,
    }
