"""`wardline trace erase` and `hold`: what must go, and what must stay."""

from __future__ import annotations

import getpass
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from permissions.errors import ConfigError

if TYPE_CHECKING:
    from permissions.setup.erasure import RecordedRun

Dir = Annotated[Path | None, typer.Option("--dir", help="State folder.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; sealed in the record.")]
By = Annotated[str, typer.Option("--by", help="Who wants it; your login name by default.")]
Runs = Annotated[list[str] | None, typer.Option("--run", help="A run; give it again for more.")]


def erase(
    *,
    run: Runs = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="All runs of a person or agent.")
    ] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="All runs older than `trace.retain_days`.")
    ] = False,
    copy: Annotated[
        list[Path] | None,
        typer.Option("--copy", help="A copy's trace folder, whose keys go too."),
    ] = None,
    reason: Reason = "",
    by: By = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it, and do not only say what.")
    ] = False,
    folder: Dir = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Erase what the record holds of runs, by destroying their keys.

    Arguments, results, prompts and whatever else is sealed of them cannot be read any more, in
    every copy without keys of its own; proofs hold on, and the record says what was erased. Runs
    of the sub-agents they sent go with them. Stop the broker first. There is no way back.

    \b
    Examples:
      $ wardline trace erase --subject alice --reason "her request of 3 May"
      $ wardline trace erase --run run-8c1f... --reason "wrong customer" --yes
      $ wardline trace erase --expired --reason "retention" --yes
    """
    from permissions.setup.config import BrokerConfig
    from permissions.setup.erasure import chosen_runs
    from permissions.setup.erasure import erase as do_erase
    from permissions.setup.layout import StateLayout

    settings = BrokerConfig.load(config, **({} if folder is None else {"state": folder}))
    days = settings.trace.retain_days if expired else None
    if expired and days is None:
        raise ConfigError("`--expired` needs trace.retain_days in the settings")
    if not (run or subject or expired):
        raise ConfigError("name what to erase: --run, --subject or --expired")
    known = _recorded(StateLayout(settings.state).trace)
    chosen = chosen_runs(
        known,
        named=run or (),
        subject=subject,
        older_than_days=days,
        now=time.time_ns() // 1000,
    )
    keys = 0
    if chosen and yes:
        said = _said(reason)
        keys = anyio.run(
            lambda: do_erase(
                settings, chosen, reason=said, by=by or getpass.getuser(), copies=copy or ()
            )
        )
    if as_json:
        typer.echo(json.dumps({"runs": chosen, "erased": bool(chosen and yes), "keys": keys}))
        return
    for name in chosen:
        typer.echo(name)
    if not chosen:
        typer.echo("nothing to erase", err=True)
    elif yes:
        typer.echo(f"erased: {len(chosen)} runs, {keys} keys destroyed", err=True)
    else:
        typer.echo(
            f"{len(chosen)} runs would be erased, for good; say --yes to do it", err=True
        )


def hold(
    *,
    run: Runs = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="All runs of a person or agent.")
    ] = None,
    release: Annotated[
        bool, typer.Option("--release", help="They may be erased again.")
    ] = False,
    reason: Reason = "",
    by: By = "",
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Keep runs from being erased (a legal hold), or release them.

    It is recorded, and no erasure touches them until they are released. Stop the broker first.

    \b
    Examples:
      $ wardline trace hold --run run-8c1f... --reason "case 2026-117"
      $ wardline trace hold --run run-8c1f... --release --reason "case closed"
    """
    from permissions.setup.config import BrokerConfig
    from permissions.setup.erasure import hold as do_hold
    from permissions.setup.erasure import with_sent
    from permissions.setup.layout import StateLayout

    settings = BrokerConfig.load(config, **({} if folder is None else {"state": folder}))
    known = _recorded(StateLayout(settings.state).trace)
    named = [*(run or ()), *(r.run for r in known.values() if subject in r.people)]
    if unknown := sorted(set(named) - known.keys()):
        raise ConfigError(f"the log has no run {unknown[0][:80]!r}")
    chosen = with_sent(named, known)
    if not chosen:
        raise ConfigError("name what to hold: --run or --subject of runs that are in the log")
    said = _said(reason)
    anyio.run(
        lambda: do_hold(
            settings, chosen, held=not release, reason=said, by=by or getpass.getuser()
        )
    )
    for name in chosen:
        typer.echo(name)
    typer.echo(f"{'released' if release else 'on hold'}: {len(chosen)} runs", err=True)


def _recorded(trace: Path) -> dict[str, RecordedRun]:
    """Every run of the log: one in an archive that is not there would be left out in silence."""
    from permissions.setup.erasure import recorded_runs
    from permissions.trace.archived import require_archive
    from permissions.trace.reader import read_entries

    require_archive(trace)
    return recorded_runs(read_entries(trace))


def _said(reason: str) -> str:
    from permissions.setup.erasure import MAX_REASON

    if not reason.strip() or len(reason) > MAX_REASON:
        raise ConfigError(f"--reason says why, in at most {MAX_REASON} characters")
    return reason
