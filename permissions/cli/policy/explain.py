"""`wardline policy explain`: why one request is decided as it is."""

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
    from permissions.model import Decision, JsonObject
    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.policy_tests import LineCoverage


def explain(
    folder: Folder = None,
    *,
    request: Annotated[
        Path,
        typer.Option(
            "--input", exists=True, dir_okay=False, help="The evaluation request, JSON."
        ),
    ],
    overlay: Overlay = None,
    as_json: AsJson = False,
) -> None:
    """Explain what is decided for one request.

    Says which rules decided, and which lines of each file were evaluated.

    \b
    Examples:
      $ wardline policy explain --input request.json
    """
    bundle = sound(folder, overlay)
    document = _read_request(request)
    decision, lines = _decide(bundle, document)
    if as_json:
        print_json(
            {
                "response": decision.response,
                "revision": bundle.revision,
                "evaluated": {path: sorted(found.covered) for path, found in lines.items()},
            }
        )
    else:
        _print_decision(decision, lines)
    if decision.permitted:
        raise typer.Exit(0)
    raise typer.Exit(4 if decision.access_request else 3)


def _read_request(path: Path) -> JsonObject:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as err:
        raise ConfigError(f"{path} is no JSON file: {err}") from err
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is no JSON object")
    return document


def _decide(
    bundle: PolicyBundle, document: JsonObject
) -> tuple[Decision, dict[str, LineCoverage]]:
    from permissions.errors import PdpAnswerError, PdpUndefinedError
    from permissions.model import Decision
    from permissions.pdp.base import ENTRYPOINT
    from permissions.pdp.input_json import input_bytes
    from permissions.pdp.policy_tests import read_coverage
    from permissions.pdp.regorus.engine import UNDEFINED, Engine
    from permissions.pdp.regorus.errors import EngineError

    question = input_bytes(document).decode()
    engine = Engine(bundle.modules, json.dumps(bundle.data, ensure_ascii=False))
    engine.watch()
    try:
        answer = engine.ask(ENTRYPOINT, question)
    except EngineError as err:
        # Shown to whoever holds the input anyway, so with the values the engine quotes.
        raise PdpAnswerError(f"the policy failed: {err.text}") from err
    if answer == UNDEFINED:
        raise PdpUndefinedError(f"{ENTRYPOINT} has no value for this input")
    return Decision.from_response(json.loads(answer)), read_coverage(engine.coverage())


def _print_decision(decision: Decision, lines: dict[str, LineCoverage]) -> None:
    if decision.permitted:
        verdict = "permitted"
    elif decision.access_request:
        verdict = f"denied until approved by {', '.join(decision.access_request.approvers)}"
    else:
        verdict = "denied"
    typer.echo(shown(verdict))
    for rule in decision.rules:
        typer.echo(f"  rule        {shown(rule)}")
    for reason in decision.reasons:
        typer.echo(f"  reason      {reason.code}: {shown(reason.agent)}")
        if reason.operator:
            typer.echo(f"              {shown(reason.operator)}")
    for each in decision.obligations:
        typer.echo(f"  obligation  {shown(each.id)} ({shown(each.type)})")
    for path, found in sorted(lines.items()):
        if found.covered:
            typer.echo(f"  evaluated   {shown(path)}: lines {spans(found.covered)}")
