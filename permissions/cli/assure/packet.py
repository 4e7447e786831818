"""`wardline assure packet`: all that the gate saw, with the record, signed, for a review board."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.assurance.terms import DEFAULT_TERMS
from permissions.cli.assure.card import Since, State, Tools, made_card, rendered, terms_at
from permissions.cli.assure.options import Config, Evidence, Thresholds  # noqa: TC001 - typer
from permissions.errors import ConfigError
from permissions.gathered import DEFAULT_FOLDER, Gathered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from permissions.gathered import PartResult

MAX_INPUT = 4_000_000
"""Bytes of a file that is put beside what was gathered."""


def packet(
    out: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The packet; must not be there.")
    ],
    *,
    sign: Annotated[
        str, typer.Option("--sign", help="Key that signs the packet: file:PATH or env:NAME.")
    ],
    tools: Tools = None,
    since: Since = None,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", help="Of the record, only this run; may be repeated."),
    ] = None,
    open_: Annotated[
        bool,
        typer.Option(
            "--open", help="Disclose recorded contents; whoever gets the packet can read them."
        ),
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option("--key", help="Public or verifier key of the log; kept elsewhere."),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", help="A signed checkpoint kept outside; repeatable."),
    ] = None,
    thresholds: Thresholds = Path(DEFAULT_TERMS),
    evidence: Evidence = Path(DEFAULT_FOLDER),
    folder: State = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Write the evidence packet for a review board.

    What `wardline trace pack` writes, and beside it the system card, what was gathered with its
    digests, and signed in-toto statements. It verifies offline, without this program, by the
    steps in its README.md, which also says where a board's questions are answered.

    \b
    Examples:
      $ wardline assure packet release-7 --sign file:release.pem
      $ wardline assure packet release-7 --sign file:release.pem --since last/system-card.json
    """
    from permissions.assurance.packet_readme import STEPS, packet_text
    from permissions.assurance.packet_statements import packet_statements
    from permissions.cli.trace_pack import intact, write_packet
    from permissions.cli.trace_source import TraceSource
    from permissions.export.packet import Attached
    from permissions.signing.key_uris import signer_from_uri

    if out.exists() or not out.name:
        raise ConfigError(f"{out} is there already; name a new folder")
    signer = signer_from_uri(sign)
    results = Gathered(evidence).all()
    if not results:
        raise ConfigError(
            f"nothing was gathered in {evidence}; run `wardline assure gate` there first, or name"
            " the folder with --evidence"
        )
    source = TraceSource(folder, config)
    judged = intact(source, key=key, checkpoints=checkpoint or ())
    terms = terms_at(thresholds)
    card = made_card(
        tools=tools if tools or terms is None else terms.tools,
        since=since,
        evidence=evidence,
        folder=folder,
        config=config,
    )
    inputs = () if terms is None else (thresholds, terms.risks, terms.exemptions.file)
    found = {
        "system-card.json": rendered(card, "json").encode(),
        "system-card.md": rendered(card, "md").encode(),
        "system-card.html": rendered(card, "html").encode(),
        **_gathered(results),
        **dict(_inputs(inputs)),
        "inputs/policies-in-force.json": _in_force(config),
        "verdict.json": json.dumps(judged.report.document(), indent=2).encode() + b"\n",
    }
    integrity = judged.report.integrity
    said = packet_statements(
        found,
        results,
        card=card,
        record={
            "origin": integrity.origin,
            "entries": integrity.size,
            "integrity": integrity.verdict,
            "anchoring": judged.report.anchoring,
            "checkpoint": judged.report.checkpoint,
        },
        signer=signer,
    )
    del found["verdict.json"]  # which every packet has
    count = write_packet(
        out,
        source,
        judged,
        signer=signer,
        runs=run or (),
        is_open=open_,
        attached=Attached(
            {
                **found,
                "statements.jsonl": said,
                "verify_statements.py": _program(),
            },
            STEPS,
            packet_text(),
        ),
    )
    if as_json:
        typer.echo(json.dumps({"folder": str(out), "records": count, "parts": sorted(results)}))
    else:
        typer.echo(
            f"{out}: {count} records, {len(results)} parts;"
            f" {out / 'README.md'} says how to verify it"
        )


def _gathered(results: Mapping[str, PartResult]) -> dict[str, bytes]:
    return {
        f"gathered/{part}.json": result.model_dump_json(indent=2).encode() + b"\n"
        for part, result in results.items()
    }


def _inputs(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """The gate's own files, as far as they are there."""
    for path in paths:
        if not path.exists():
            continue
        try:
            data = path.read_bytes()
        except OSError as err:
            raise ConfigError(f"{path} cannot be read: {err.strerror}") from err
        if len(data) > MAX_INPUT:
            raise ConfigError(f"{path} has more than {MAX_INPUT:,} bytes")
        yield f"inputs/{path.name}", data


def _in_force(config: Path | None) -> bytes:
    """The policies that the settings name, in the form of `policies/`."""
    from permissions.setup.config import BrokerConfig
    from permissions.setup.policies import load_policies

    bundle = load_policies(BrokerConfig.load(config)).bundle
    return json.dumps(bundle.document(), sort_keys=True).encode() + b"\n"


def _program() -> bytes:
    from importlib import resources

    return resources.files("permissions").joinpath("export/verify_statements.py").read_bytes()
