"""`wardline drill`: plays an incident against a copy, and times what the runbook says to do.

Exit codes: 0 each step of the runbook worked in time, 1 one did not, 2 wrong usage.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from permissions.broker.ports import now_us
from permissions.cli.program import EXIT_FAILED
from permissions.drills.catalog import drills, play
from permissions.errors import ConfigError
from permissions.gathered import DEFAULT_FOLDER, Gathered
from permissions.setup.config import BrokerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.drills.result import Result, Step


def drill(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Which one; `list` shows all of them.")
    ],
    *,
    evidence: Annotated[
        Path,
        typer.Option("--evidence", file_okay=False, help="Folder where the result is kept."),
    ] = Path(DEFAULT_FOLDER),
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
) -> None:
    """Play an incident against a copy, and time the runbook.

    The policies and settings are copied to a temporary folder; state, keys and approvers there
    are the drill's own. The steps of the runbook are taken with the real commands. Nobody is
    told. The result is kept for the system card and the evidence packet.

    \b
    Examples:
      $ wardline drill list
      $ wardline drill injected-mail
      $ wardline drill cut-log --json
    """
    if name == "list":
        _list(as_json=as_json)
        return

    def tell(step: Step) -> None:
        typer.echo(_line(step), err=True)

    settings = BrokerConfig.load(config)
    result = anyio.run(lambda: play(name, settings, tell=tell))
    try:
        kept = Gathered(evidence).keep(result.measured(at=now_us()))
    except OSError as err:
        raise ConfigError(f"{evidence} cannot be written: {err.strerror}") from err
    if as_json:
        typer.echo(json.dumps(result.document(), indent=2))
    else:
        for line in _lines(result):
            typer.echo(line)
        typer.echo(f"  kept     {kept}")
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
    word = "prevented" if result.prevented else "worked"
    yield f"{result.drill.name}  {word if result.worked else 'DID NOT WORK'}  {result.happened}"
    for phase, spent in result.seconds.items():
        late = "  TOO LATE" if phase in result.late else ""
        yield f"  {phase:<8} {spent:6.1f} s{late}"
    for step in result.steps:
        if not step.worked:
            yield f"  FAIL     {step.what}: {step.said}"
    if result.fault:
        yield f"  FAULT    {result.fault}"
    yield f"  runbook  {result.drill.runbook}"
