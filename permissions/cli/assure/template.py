"""`wardline assure template`: documents a team copies, with what is known filled in."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from permissions.assurance.terms import DEFAULT_TERMS
from permissions.cli.assure.card import State, Tools, made_card, terms_at
from permissions.cli.assure.options import Config, Evidence, Thresholds  # noqa: TC001 - typer
from permissions.errors import BrokerError, ConfigError
from permissions.gathered import DEFAULT_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.export.blocks import Block
    from permissions.setup.config import BrokerConfig
    from permissions.vocabulary import JsonObject

TEMPLATES = {
    "launch-checklist": "What has to hold before it goes live; what a machine can see is answered.",
    "privacy-notes": "What is stored where, for how long, and how it is erased.",
    "post-incident-review": "What a run did and who stopped it, with room for what people know.",
}
Name = Literal["list", "launch-checklist", "privacy-notes", "post-incident-review"]


def template(
    name: Annotated[Name, typer.Argument(help="Which one; `list` shows all of them.")],
    *,
    run: Annotated[str, typer.Option("--run", help="For a review: the run it is about.")] = "",
    tools: Tools = None,
    thresholds: Thresholds = Path(DEFAULT_TERMS),
    evidence: Evidence = Path(DEFAULT_FOLDER),
    folder: State = None,
    config: Config = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON: the name, and the text as Markdown.")
    ] = False,
) -> None:
    """Print a document to copy, as Markdown, filled from the record and the settings.

    What a machine knows stands in it; what is left empty is for people. Print it again when the
    installation changed.

    \b
    Examples:
      $ wardline assure template list
      $ wardline assure template launch-checklist > launch.md
      $ wardline assure template post-incident-review --run run-1f9be06c > review.md
    """
    from permissions.export.blocks import markdown

    if name == "list":
        for each, said in TEMPLATES.items():
            typer.echo(
                json.dumps({"template": each, "about": said})
                if as_json
                else f"{each:<22}{said}"
            )
        return
    if (name == "post-incident-review") != bool(run):
        raise ConfigError("--run names the run of a post-incident-review, and of nothing else")
    if run:
        text = markdown(_review(run, folder, config))
    else:
        terms = terms_at(thresholds)
        card = made_card(
            tools=tools if tools or terms is None else terms.tools,
            since=None,
            evidence=evidence,
            folder=folder,
            config=config,
        )
        text = markdown(_filled(name, card, _settings(folder, config)))
    typer.echo(json.dumps({"template": name, "text": text}) if as_json else text, nl=as_json)


def _filled(name: Name, card: JsonObject, settings: BrokerConfig) -> Iterator[Block]:
    from permissions.assurance.launch_checklist import launch_checklist
    from permissions.assurance.privacy_notes import privacy_notes
    from permissions.broker.ports import now_us

    if name == "launch-checklist":
        return launch_checklist(card, settings, now=now_us())
    return privacy_notes(card, settings)


def _settings(folder: Path | None, config: Path | None) -> BrokerConfig:
    from permissions.setup.config import BrokerConfig

    return BrokerConfig.load(config, **({} if folder is None else {"state": folder}))


def _review(run: str, folder: Path | None, config: Path | None) -> Iterator[Block]:
    from permissions.assurance.incident_review import incident_review
    from permissions.cli.trace_source import TraceSource
    from permissions.cli.trace_verified import verified
    from permissions.inquiry.contents import Contents
    from permissions.inquiry.questions import Inquiry
    from permissions.setup.stops import register_of
    from permissions.trace.call_filter import CallFilter

    source = TraceSource(folder, config)
    inquiry = Inquiry(source.index(), Contents(None))  # nothing sealed is opened
    calls = [each.summary() for each in inquiry.calls(CallFilter(run=run))]
    if not calls:
        raise ConfigError(f"nothing is recorded of a call of the run {run!r:.80}")
    try:
        stops = register_of(_settings(folder, config)).statements()
    except BrokerError as err:  # of a copy without the log's key, or of segments alone
        typer.echo(f"the stops are not in it: {err}", err=True)
        stops = None
    began = calls[0]["time"]
    return incident_review(
        run,
        calls,
        None if stops is None else [each for each in stops if each.time >= began],
        verified(source, key=None).report,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
