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
from permissions.trace.content_kinds import KINDS, REPEATED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.setup.config import BrokerConfig
    from permissions.setup.erasure import Chosen, RecordedRun
    from permissions.trace.content_kinds import ContentKind

Dir = Annotated[Path | None, typer.Option("--dir", help="State folder.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; sealed in the record.")]
By = Annotated[str, typer.Option("--by", help="Who wants it; your login name by default.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        help=f"Only contents of this kind ({', '.join(KINDS)}); give it again for more.",
    ),
]
Runs = Annotated[list[str] | None, typer.Option("--run", help="A run; give it again for more.")]


def erase(
    *,
    run: Runs = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="All runs of a person or agent.")
    ] = None,
    expired: Annotated[
        bool,
        typer.Option(
            "--expired",
            help="What is older than `trace.retain_days` and `trace.retain_kind_days`.",
        ),
    ] = False,
    kind: Kinds = None,
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
    every copy without keys of its own; proofs hold on, and the record says what was erased. With
    --kind only that kind of their contents goes, and the rest stays readable. Runs of the
    sub-agents they sent go with them. A run of which something was erased does not go on. Stop the
    broker first. There is no way back.

    \b
    Examples:
      $ wardline trace erase --subject alice --reason "her request of 3 May"
      $ wardline trace erase --run run-8c1f... --reason "wrong customer" --yes
      $ wardline trace erase --subject alice --kind results --reason "not needed" --yes
      $ wardline trace erase --expired --reason "retention" --yes
    """
    from permissions.setup.config import BrokerConfig
    from permissions.setup.erasure import chosen_runs
    from permissions.setup.erasure import erase as do_erase
    from permissions.setup.layout import StateLayout

    settings = BrokerConfig.load(config, **({} if folder is None else {"state": folder}))
    if not (run or subject or expired):
        raise ConfigError("name what to erase: --run, --subject or --expired")
    if expired and kind:
        raise ConfigError("`--expired` takes the kinds from the settings; leave --kind out")
    known = _recorded(StateLayout(settings.state).trace)
    kinds = _kinds(kind or [])
    chosen = _expired(settings, known, copy or ()) if expired else {}
    chosen |= dict.fromkeys(chosen_runs(known, named=run or (), subject=subject), kinds)
    keys = 0
    if chosen and yes:
        said = _said(reason)
        keys = anyio.run(
            lambda: do_erase(
                settings, chosen, reason=said, by=by or getpass.getuser(), copies=copy or ()
            )
        )
    if as_json:
        partly = {name: of for name, of in chosen.items() if of}
        told = {
            "runs": [*chosen],
            "kinds": partly,
            "erased": bool(chosen and yes),
            "keys": keys,
        }
        typer.echo(json.dumps(told))
        return
    _tell(chosen)
    if not chosen:
        typer.echo("nothing to erase", err=True)
    elif yes:
        typer.echo(f"erased: of {len(chosen)} runs, {keys} keys destroyed", err=True)
    else:
        typer.echo(
            f"this would be erased of {len(chosen)} runs, for good; say --yes to do it",
            err=True,
        )


def _kinds(named: list[str]) -> tuple[ContentKind, ...]:
    if unknown := sorted(set(named) - {*KINDS}):
        raise ConfigError(
            f"there is no kind {unknown[0][:40]!r}; name one of {', '.join(KINDS)}"
        )
    return tuple(each for each in KINDS if each in named)


def _expired(
    settings: BrokerConfig, known: dict[str, RecordedRun], copies: Sequence[Path]
) -> Chosen:
    """What the clocks in the settings let go."""
    from permissions.setup.erasure import expired, keys_there

    days, kind_days = settings.trace.retain_days, settings.trace.retain_kind_days
    if days is None and not kind_days:
        raise ConfigError(
            "`--expired` needs trace.retain_days or trace.retain_kind_days in the settings"
        )
    there = keys_there(settings, known, copies)
    now = time.time_ns() // 1000
    return expired(known, there, days=days, kind_days=kind_days, now=now)


def _tell(chosen: Chosen) -> None:
    """Names what goes, and where what is of such a kind may stand as well."""
    for name, kinds in chosen.items():
        typer.echo(f"{name}  {', '.join(kinds)}" if kinds else name)
    for kinds in sorted(set(chosen.values())):
        for kind in kinds:
            if left := [each for each in REPEATED.get(kind, ()) if each not in kinds]:
                typer.echo(f"note: {kind} may stand in {' and '.join(left)}, too", err=True)


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
