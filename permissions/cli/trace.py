"""`wardline trace`: what was recorded, whether it was altered, and what would be decided now.

Exit codes: 0 fine, 1 no (replay or verify found what must not be, nothing to read), 2 wrong
usage, 5 integrity failure, or not what `verify --require` asks for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import anyio
import typer

from permissions.cli import (
    trace_access,
    trace_erasure,
    trace_fork,
    trace_keys,
    trace_metrics,
    trace_proofs,
    trace_questions,
    trace_text,
)
from permissions.cli.paging import paged
from permissions.cli.program import noun
from permissions.cli.trace_archive import archive
from permissions.cli.trace_browse import browse
from permissions.cli.trace_config import config_entries
from permissions.cli.trace_export import export
from permissions.cli.trace_pack import pack
from permissions.cli.trace_replay import replayed
from permissions.cli.trace_rerun import rerun
from permissions.cli.trace_source import TraceSource, followed_by, remember
from permissions.cli.trace_verified import verified
from permissions.errors import (
    ConfigError,
    PolicyLoadError,
    TraceError,
    TraceIntegrityError,
)
from permissions.inquiry.questions import MAX_INDEX_DIGITS
from permissions.replay.rows import FailOn  # noqa: TC001 - typer reads the hints
from permissions.signing.keys import PublicKey
from permissions.trace.checkpoint import vkey
from permissions.trace.report import Requirement
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.cli.trace_metrics import Told
    from permissions.cli.trace_source import Pin
    from permissions.trace.report import Report

app = noun("Read, verify and replay what was recorded.")
app.command()(export)
app.command()(pack)
app.command()(archive)
app.command()(browse)
app.command("config")(config_entries)

EXIT_NO, EXIT_INTEGRITY = 1, 5

Dir = Annotated[
    Path | None,
    typer.Option("--dir", help="State folder, or a folder of trace segments alone."),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


app.command("list")(trace_questions.list_)
app.command("rerun")(rerun)
app.command("erase")(trace_erasure.erase)
app.command("hold")(trace_erasure.hold)
app.command("fork-proof")(trace_fork.fork_proof)
app.command("responder-key")(trace_access.responder_key)
app.command("open")(trace_access.open_)
app.command("rotate-key")(trace_keys.rotate_key)
app.command("revoke-key")(trace_keys.revoke_key)


@app.command()
def show(
    what: Annotated[
        str, typer.Argument(metavar="CALL|INDEX", help="A call's id, or an index.")
    ],
    *,
    as_json: Json = False,
    opened: Annotated[
        bool, typer.Option("--open", help="Open the sealed contents as well.")
    ] = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Show the entries of a call, or one entry.

    Unverified: run `wardline trace verify` first.

    \b
    Examples:
      $ wardline trace show call-286ffaed --open
    """

    def work() -> None:
        source = TraceSource(folder, config)
        vault = source.vault() if opened else None
        if opened and vault is None:
            raise ConfigError("the vault's key is not here; contents cannot be opened")
        index = source.index()
        number = int(what) if what.isdecimal() and len(what) < MAX_INDEX_DIGITS else None
        entry = None if number is None else index.entry(number)
        found = [entry] if entry is not None else list(index.call(what))
        if not found:
            raise TraceError(f"nothing is recorded of {what[:80]!r}")
        shown = (
            (each, trace_text.opened_contents(each, vault) if vault else {}) for each in found
        )
        if as_json:
            for each, contents in shown:
                typer.echo(json.dumps({**each.document(), "opened": contents}))
        else:
            paged(trace_text.entry_text(each, contents) for each, contents in shown)

    _guarded(work)


@app.command()
def verify(
    *,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            help="Public key that must have signed the log, or a C2SP verifier key (`name+hash+key`),"
            " which names the log as well; one kept elsewhere, or it pins nothing.",
        ),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", help="A signed checkpoint kept outside; may be repeated."),
    ] = None,
    known_checkpoints: Annotated[
        Path | None,
        typer.Option(
            envvar="WARDLINE_KNOWN_CHECKPOINTS",
            help="Folder, outside of the log, which remembers the last checkpoint of each log, and"
            " which log signed by which key a folder held (trust on first use).",
        ),
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(
            "--witness",
            metavar="VKEY",
            help="Verifier key of a witness, itself or in a file; may be repeated. What it cosigned"
            " of this log counts as kept outside.",
        ),
    ] = None,
    require: Annotated[
        str,
        typer.Option(
            help="What must hold, or the exit code is 5, by commas: signed (by a key from"
            " outside), anchored (a checkpoint kept outside says how far the log goes), whole"
            " (closed, nothing open, lost or found), witnessed (cosigned by each --witness).",
        ),
    ] = "",
    all_signatures: Annotated[
        bool,
        typer.Option(
            "--all-signatures",
            help="Check each signature, not only the last one, whose root covers every entry.",
        ),
    ] = False,
    alone: Annotated[
        bool, typer.Option("--alone", help="Leave out what was moved to an archive.")
    ] = False,
    metrics: Annotated[
        Path | None,
        typer.Option(
            "--metrics",
            metavar="FILE",
            help="Write what came of it for Prometheus (node_exporter's textfile collector),"
            " also when it fails.",
        ),
    ] = None,
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Verify the log: integrity, anchoring and completeness.

    Failed integrity is exit code 5, as is what --require asks for and does not hold; a record
    that contradicts itself is 1, and so is an index beside it that says something else
    (index.differs).

    \b
    Examples:
      $ wardline trace verify
      $ wardline trace verify --dir COPY --key log.vkey --require signed,anchored,whole
      $ wardline trace verify --key log.vkey --metrics /var/lib/node_exporter/wardline.prom
    """

    def work(told: Told) -> None:
        required = _requirements(require)
        source = TraceSource(folder, config, may_be_gone=True)
        told.log = str(source.trace.absolute())
        report, pin, known, opening = verified(
            source,
            key=key,
            checkpoints=checkpoint or (),
            known_checkpoints=known_checkpoints,
            signatures="all" if all_signatures else "last",
            witnesses=witness or (),
            alone=alone,
        )
        told.report = report
        index = source.checked_index(alone=alone) if report.is_intact else None
        if as_json:
            said = {"key": pin.source, "index": None if index is None else index.document()}
            typer.echo(json.dumps({**report.document(), **said}))
        else:
            typer.echo(trace_text.report_text(report, key_source=pin.source))
            if index is not None and (index.faults or index.skipped):
                typer.echo(f"\n{trace_text.index_text(index)}")
        _require_intact(report, pin)
        for warning in remember(known, source, report, pin):
            typer.echo(f"warning: {warning}", err=True)
        if opening is not None and followed_by(opening) is not None:
            typer.echo(trace_text.following_text(opening.body["follows"]), err=True)
        if lacking := report.lacks(required):
            typer.echo(f"required and not so: {', '.join(lacking)}", err=True)
            raise typer.Exit(EXIT_INTEGRITY)
        if report.completeness.findings_count or (index is not None and index.faults):
            raise typer.Exit(EXIT_NO)

    with trace_metrics.told(metrics) as told:
        _guarded(lambda: work(told))


def _require_intact(report: Report, pin: Pin) -> None:
    if report.is_intact:
        return
    if pin.origin is not None:
        typer.echo(
            f"this folder held the log {pin.origin} signed by {pin.keyid} when it was"
            f" verified before; if you replaced it yourself, remove {pin.source}",
            err=True,
        )
    raise typer.Exit(EXIT_INTEGRITY)


def _requirements(text: str) -> list[Requirement]:
    asked = [each.strip() for each in text.split(",") if each.strip()]
    if unknown := [each for each in asked if each not in get_args(Requirement)]:
        raise ConfigError(
            f"--require {unknown[0][:40]!r} is none of {', '.join(get_args(Requirement))}"
        )
    return cast("list[Requirement]", asked)


@app.command()
def head(*, folder: Dir = None, config: Config = None, as_json: Json = False) -> None:
    """Print the last signed checkpoint and the verifier key, to be kept elsewhere.

    The checkpoint is a C2SP signed note; give it to `wardline trace verify --checkpoint`, and the
    verifier key to `--key`, or either to any tool that reads them. Verify first.

    \b
    Examples:
      $ wardline trace head > /mnt/elsewhere/head.txt
    """

    def work() -> None:
        source = TraceSource(folder, config)
        beside = source.key_beside()
        key = None if beside is None else PublicKey.read(beside)
        report = verify_trace(source.trace, key=key, signatures="last")
        if not report.is_intact or report.checkpoint is None or report.key is None:
            raise TraceIntegrityError(report.integrity.reason or "nothing in the log is signed")
        pin = vkey(str(report.integrity.origin), report.key)
        if as_json:
            typer.echo(json.dumps({"checkpoint": report.checkpoint, "vkey": pin}))
        else:
            typer.echo(report.checkpoint, nl=False)
            typer.echo(f"verifier key: {pin}", err=True)

    _guarded(work)


@app.command()
def renew(*, folder: Dir = None, config: Config = None) -> None:
    """Set a damaged log aside and begin a new one that names it.

    For a log that was cut, restored from a backup, replaced or deleted, which no broker goes on
    with. Nothing is removed. Stop the broker first.
    """
    from permissions.setup.config import BrokerConfig
    from permissions.setup.renewal import renew_log

    def work() -> None:
        overrides = {"state": folder} if folder is not None else {}
        renewed = anyio.run(renew_log, BrokerConfig.load(config, **overrides))
        typer.echo(trace_text.renewed_text(renewed))

    _guarded(work)


@app.command("replay")
def replay_(
    *,
    policy: Annotated[
        Path | None,
        typer.Option(help="Decide under this folder of policies instead of the recorded ones."),
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(help="Decide with this folder added to --policy, or the shipped ones."),
    ] = None,
    fail_on: Annotated[
        FailOn,
        typer.Option(
            help="With --policy or --overlay: what makes the exit code 1. newly_allowed: a call"
            " runs that did not, or people are asked on weaker terms. changed: any other verdict"
            " or terms."
        ),
    ] = "newly_allowed",
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes; without, as many as a long log is worth."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Keep what is done in this file, and go on from what it holds."
        ),
    ] = None,
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Decide every recorded decision again.

    Says what comes out differently, under the recorded policies or under others: what would run
    that did not comes first, what cannot be replayed is named with the reason. Once a run has a
    change, the rest of it is conditional, for it would have gone on otherwise.

    \b
    Examples:
      $ wardline trace replay
      $ wardline trace replay --overlay next --fail-on changed
      $ wardline trace replay --overlay next --resume next.jsonl
    """
    from permissions.pdp.bundle import load_bundle

    def work() -> None:
        source = TraceSource(folder, config)
        what_if = policy is not None or overlay is not None
        bundle = load_bundle(policy, overlay=overlay) if what_if else None
        summary, rows = replayed(source, bundle, jobs=jobs, resume=resume)
        if as_json:
            typer.echo(json.dumps({**summary.document(), "rows": rows}))
        else:
            typer.echo(trace_text.replay_text(summary, rows, what_if=what_if))
        failed = summary.fails(fail_on) if what_if else summary.differs()
        if failed:
            raise typer.Exit(EXIT_NO)

    _guarded(work)


for _question in (
    trace_questions.find,
    trace_questions.why,
    trace_questions.blast,
    trace_questions.diff,
    trace_questions.step,
    trace_questions.follow,
    trace_proofs.prove,
    trace_proofs.votes,
):
    app.command()(_question)


def _guarded(work: Callable[[], None]) -> None:
    try:
        work()
    except PolicyLoadError as err:
        raise ConfigError(f"these policies cannot be used:\n{err}") from err
