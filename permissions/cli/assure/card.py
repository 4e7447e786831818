"""`wardline assure card`: what the system is, as far as it was measured; generated, never written."""

from __future__ import annotations

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from permissions import files
from permissions.assurance.terms import DEFAULT_TERMS, read_terms
from permissions.cli.assure.options import Config, Evidence, Thresholds  # noqa: TC001 - typer
from permissions.errors import ConfigError
from permissions.gathered import DEFAULT_FOLDER, Gathered

if TYPE_CHECKING:
    from permissions.assurance.terms import Terms
    from permissions.vocabulary import JsonObject

Tools = Annotated[
    str | None,
    typer.Option(
        "--tools",
        metavar="MODULE",
        help="Module of the guarded tools; the thresholds' if not given.",
    ),
]
State = Annotated[
    Path | None,
    typer.Option("--dir", help="State folder, or a folder of trace segments alone."),
]
Since = Annotated[
    Path | None,
    typer.Option("--since", dir_okay=False, help="The last card, as JSON; changes are told."),
]


def card(
    *,
    form: Annotated[
        Literal["md", "html", "json"], typer.Option("--format", help="How it is written.")
    ] = "md",
    out: Annotated[
        Path | None, typer.Option("--out", dir_okay=False, help="Write it to this file.")
    ] = None,
    tools: Tools = None,
    since: Since = None,
    thresholds: Thresholds = Path(DEFAULT_TERMS),
    evidence: Evidence = Path(DEFAULT_FOLDER),
    folder: State = None,
    config: Config = None,
) -> None:
    """Write the system card.

    Tools with effects and limits, the policies in force, who approves what, the isolation that
    was measured on this machine, the evaluation with its intervals, drills, risks, exemptions and
    known limits, from what was gathered. What was not measured says so.

    \b
    Examples:
      $ wardline assure card
      $ wardline assure card --format html --out card.html
      $ wardline assure card --format json --since release/card.json > card.json
    """
    terms = terms_at(thresholds)
    said = made_card(
        tools=tools if tools or terms is None else terms.tools,
        since=since,
        evidence=evidence,
        folder=folder,
        config=config,
    )
    text = rendered(said, form)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        files.replace(out, text.encode(), mode=0o644)
    except OSError as err:
        raise ConfigError(f"{out} cannot be written: {err.strerror}") from err
    typer.echo(f"{out}: the system card", err=True)


def terms_at(thresholds: Path) -> Terms | None:
    """The gate's thresholds; None where a project has no gate.

    Raises:
        ConfigError: the file is there and is none, or was named and is not there.
    """
    if thresholds == Path(DEFAULT_TERMS) and not thresholds.exists():
        return None
    return read_terms(thresholds)


def made_card(
    *,
    tools: str | None,
    since: Path | None,
    evidence: Path,
    folder: Path | None,
    config: Path | None,
) -> JsonObject:
    """The card of this installation, as JSON.

    Raises:
        ConfigError: the settings, the last card or what was gathered cannot be read.
        PolicyLoadError: the policies cannot be loaded.
        TraceError: the log cannot be read.
    """
    from permissions.assurance.card import card as card_of
    from permissions.assurance.limits import known_limits
    from permissions.cli.tools_of import definitions_in
    from permissions.setup.config import BrokerConfig
    from permissions.setup.policies import load_policies

    settings = BrokerConfig.load(config)
    return card_of(
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        build={
            "wardline": version("wardline"),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        },
        settings=settings,
        policies=load_policies(settings).bundle,
        tools=None if tools is None else definitions_in(tools),
        results=Gathered(evidence).all(),
        recorded=_recorded(folder, config),
        limits=known_limits(),
        since=None if since is None else _last(since),
    )


def rendered(said: JsonObject, form: Literal["md", "html", "json"]) -> str:
    """A card as text."""
    from permissions.assurance.card_text import card_blocks
    from permissions.export.blocks import html, markdown

    match form:
        case "json":
            return json.dumps(said, indent=2) + "\n"
        case "html":
            return html("System card", card_blocks(said))
        case "md":
            return markdown(card_blocks(said))


def _recorded(folder: Path | None, config: Path | None) -> JsonObject | None:
    """What the log holds, counted; None where there is none."""
    from permissions.cli.trace_source import TraceSource
    from permissions.cli.trace_verified import verified
    from permissions.export.card import counted
    from permissions.export.opened import Entries
    from permissions.trace.reader import read_entries

    source = TraceSource(folder, config, may_be_gone=True)
    if source.is_gone:
        return None
    report = verified(source, key=None).report
    return counted(Entries(read_entries(source.trace), None)).document(report)


def _last(path: Path) -> JsonObject:
    from permissions.assurance.card import FORM

    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as err:
        raise ConfigError(f"--since {path} cannot be read: {err}") from err
    if not isinstance(found, dict) or found.get("form") != FORM:
        raise ConfigError(
            f"--since {path} is no card of this form ({FORM}); name one that"
            " `wardline assure card --format json` wrote"
        )
    return found
