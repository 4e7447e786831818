"""`wardline stop`: bars calls at once, ends what runs, and says what it could not end.

Exit codes: 0 stopped, 1 something runs on or the stop is not on record, 2 wrong usage, 6 calls are
barred and the broker did not answer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.cli.program import EXIT_FAILED, EXIT_UNAVAILABLE
from permissions.cli.stopping import Asked, line_of, with_scope
from permissions.setup.stops import carried_out, register_of, stop_form, this_person

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import JsonObject
    from permissions.stops.file import FileStops


@with_scope
def stop(
    asked: Asked,
    *,
    listed: Annotated[
        bool, typer.Option("--list", help="Show what is stopped; stop nothing.")
    ] = False,
) -> None:
    """Stop a run, an agent, a tool or everything.

    New calls are denied from then on, in each program that uses the state folder, also after a
    restart. The broker ends what runs in sandboxes and what is async, withdraws open requests
    and unused approvals, and records what ended when. What it cannot end is named, and the exit
    code is 1: a sync function in an agent's own process runs until it returns.

    \b
    Examples:
      $ wardline stop --run run-3f9c --reason "mails nobody asked for"
      $ wardline stop --agent desk-bot --reason "prompt injection, case 4711"
      $ wardline stop --all --reason "key leaked"
      $ wardline stop --list
    """
    found = asked.settings
    register = register_of(found)
    if listed:
        _list(register, as_json=asked.as_json)
        return
    scope = asked.scope()
    said = register.stop(scope, reason=asked.reason, by=this_person())
    proof = carried_out(found.state, said)
    if asked.as_json:
        typer.echo(json.dumps({**stop_form(said), **proof}))
    else:
        typer.echo(line_of(said))
        for line in _lines(proof):
            typer.echo(line)
    if proof["broker"] == "silent":
        raise typer.Exit(EXIT_UNAVAILABLE)
    if proof.get("not_stopped") or proof.get("fault"):
        raise typer.Exit(EXIT_FAILED)


def _list(register: FileStops, *, as_json: bool) -> None:
    stops = register.in_force()
    for each in stops:
        typer.echo(json.dumps(stop_form(each)) if as_json else line_of(each))
    if not stops and not as_json:
        typer.echo("nothing is stopped", err=True)


def _lines(proof: JsonObject) -> Iterator[str]:
    match proof["broker"]:
        case "none":
            yield "no broker runs here; the next one starts with this in force"
            return
        case "silent":
            yield f"calls are barred, and the broker did not say what runs: {proof['fault']}"
            return
    for each in proof["ended"]:
        yield f"ended        {each['tool']}  {each['call']}  {each['status']}"
    for each in proof["not_stopped"]:
        yield f"RUNS ON      {each['tool']}  {each['call']}  {each['why']}"
    yield from (f"withdrawn    {each}" for each in proof["requests"])
    yield from (f"voided       {each}" for each in proof["approvals"])
    yield from (f"revoked      {each}" for each in proof["grants"])
    if not proof["running"]:
        yield "nothing of it was running"
    yield from _doubts(proof)


def _doubts(proof: JsonObject) -> Iterator[str]:
    if proof["unknown_tool"]:
        yield "this broker knows no tool of that name; is it spelt right?"
    if proof["fault"]:
        yield f"not all of it was done: {proof['fault']}"
    elif proof["recorded"] is not None:
        yield f"recorded     entry {proof['recorded']}"
