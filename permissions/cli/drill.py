"""`wardline drill`: plays an incident against a copy, and times what the runbook says to do.

Exit codes: 0 each step of the runbook worked in time, 1 one did not, 2 wrong usage.
"""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from permissions import files
from permissions.cli.program import EXIT_FAILED
from permissions.drills.catalog import drills, play
from permissions.errors import ConfigError
from permissions.setup.config import BrokerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.drills.result import Result, Step


def drill(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Which one; `list` shows all of them.")
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the result to this new file, as JSON."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
) -> None:
    """Play an incident against a copy, and time what the runbook says to do.

    The policies and settings are copied to a temporary folder; state, keys and approvers there
    are the drill's own. The steps of the runbook are taken with the real commands. Nobody is
    told: agree on it with those who would see it on a busy machine.

    \b
    Examples:
      $ wardline drill list
      $ wardline drill injected-mail
      $ wardline drill cut-log --out drills/cut-log.json
    """
    if name == "list":
        _list(as_json=as_json)
        return
    if out is not None and out.exists():
        raise ConfigError(f"{out} is there already; name a new file")

    def tell(step: Step) -> None:
        typer.echo(_line(step), err=True)

    settings = BrokerConfig.load(config)
    result = anyio.run(lambda: play(name, settings, tell=tell))
    document = json.dumps(result.document(), indent=2)
    if out is not None:
        try:
            files.create(out, document.encode() + b"\n", mode=0o644)
        except OSError as err:
            raise ConfigError(f"{out} cannot be written: {err.strerror}") from err
    if as_json:
        typer.echo(document)
    else:
        for line in _lines(result):
            typer.echo(line)
    if not result.worked:
        raise typer.Exit(EXIT_FAILED)


def _list(*, as_json: bool) -> None:
    for each in drills():
        if as_json:
            about = {"drill": each.name, "title": each.title, "runbook": each.runbook}
            typer.echo(json.dumps(about))
        else:
            typer.echo(f"{each.name:<16} {each.title}  ({each.runbook})")


def _line(step: Step) -> str:
    word = "ok  " if step.worked else "FAIL"
    return f"{word} {step.phase:<7} {step.seconds:5.1f} s  {step.what}"


def _lines(result: Result) -> Iterator[str]:
    yield f"{result.drill.name}  {'worked' if result.worked else 'DID NOT WORK'}  {result.happened}"
    for phase, spent in result.seconds.items():
        late = "  TOO LATE" if phase in result.late else ""
        yield f"  {phase:<8} {spent:6.1f} s{late}"
    for step in result.steps:
        if not step.worked:
            yield f"  FAIL     {step.what}: {step.said}"
    if result.fault:
        yield f"  FAULT    {result.fault}"
    yield f"  runbook  {result.drill.runbook}"
