"""`wardline policy explain`: why one recorded call, or one request, is decided as it is."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.cli.policy.folder import (
    AsJson,
    Folder,
    Overlay,
    print_json,
    shown,
    sound,
    spans,
)
from permissions.errors import ConfigError

if TYPE_CHECKING:
    from permissions.model import JsonObject
    from permissions.pdp.bundle import PolicyBundle


def explain(
    folder: Folder = None,
    *,
    request: Annotated[
        Path | None,
        typer.Option(
            "--input", exists=True, dir_okay=False, help="The evaluation request, JSON."
        ),
    ] = None,
    call: Annotated[str | None, typer.Option(help="Id of a recorded call.")] = None,
    overlay: Overlay = None,
    state: Annotated[
        Path | None, typer.Option("--dir", help="With --call: the state folder or trace.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain what is decided for a recorded call, or for one request.

    A recorded call is decided again under the policies it was decided under, or under DIR and
    --overlay. Says which rules decided, on which lines and with which values, and which lines
    of each file were evaluated.

    \b
    Examples:
      $ wardline policy explain --call call-19f2
      $ wardline policy explain --call call-19f2 --overlay mine
      $ wardline policy explain --input request.json
    """
    from permissions.authoring.trial import Judge
    from permissions.cli.policy.verdict import (
        document_of,
        exit_code,
        print_verdict,
        shadow_of,
        traced,
    )

    if (request is None) == (call is None):
        raise ConfigError("give one of --call ID and --input FILE")
    if request is not None:
        bundle, question = sound(folder, overlay), _read_request(request)
    else:
        bundle, question = _recorded(str(call), state, config, folder, overlay)
    judge = Judge(bundle)
    decided, lines = judge.decide_watched(question)
    fired, near = traced(judge.bundle, question, decided)
    if as_json:
        evaluated = {path: sorted(found.covered) for path, found in lines.items()}
        print_json(
            {
                **document_of(bundle, decided, fired, near, None),
                "shadow": shadow_of(bundle, question, decided),
                "evaluated": evaluated,
            }
        )
    else:
        print_verdict(decided, fired, near, None, shadow_of(bundle, question, decided))
        for path, found in sorted(lines.items()):
            if found.covered:
                typer.echo(f"  evaluated   {shown(path)}: lines {spans(found.covered)}")
    raise typer.Exit(exit_code(decided))


def _recorded(
    call: str,
    state: Path | None,
    config: Path | None,
    folder: Path | None,
    overlay: Path | None,
) -> tuple[PolicyBundle, JsonObject]:
    """The last decision about a call, and the policies it is to be made under."""
    from permissions.cli.trace_source import TraceSource
    from permissions.model import Digest
    from permissions.pdp.bundle import load_revision
    from permissions.replay.recorded import recorded_decisions
    from permissions.trace.reader import read_entries

    source = TraceSource(state, config)
    decisions = [
        each
        for each in recorded_decisions(read_entries(source.trace), source.vault())
        if each.call == call
    ]
    if not decisions:
        raise ConfigError(f"no decision about {call[:80]!r} is recorded in {source.trace}")
    last = decisions[-1]
    if last.document is None:
        raise ConfigError(f"what was asked about {call[:80]!r} cannot be read: {last.problem}")
    if folder is None and overlay is None:
        return load_revision(source.bundles, Digest(last.revision)), last.document
    return sound(folder, overlay), last.document


def _read_request(path: Path) -> JsonObject:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as err:
        raise ConfigError(f"{path} is no JSON file: {err}") from err
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is no JSON object")
    return document
