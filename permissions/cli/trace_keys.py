"""`wardline trace rotate-key` and `revoke-key`: another key for the log, and the word that one was stolen."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from permissions.errors import ConfigError

if TYPE_CHECKING:
    from permissions.setup.rotation import Rotated

Dir = Annotated[Path | None, typer.Option("--dir", help="State folder.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; sealed in the record.")]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="URI",
        help="The key that takes its stead; a new file in the state folder by default.",
    ),
]


def rotate_key(
    *,
    to: To = None,
    reason: Reason = "",
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Have the log go on under another key. Stop the broker first.

    The record names the new key under a checkpoint that both keys sign: who pinned the old one
    can follow. The old private key is destroyed where it is a file in the state folder.

    \b
    Examples:
      $ wardline trace rotate-key --reason "once a year"
      $ wardline trace rotate-key --to "pkcs11:token=prod;object=log-2027?module-path=/usr/lib/..."
    """
    from permissions.setup.config import BrokerConfig
    from permissions.setup.rotation import rotate_key as do_rotate

    settings = BrokerConfig.load(config, **({} if folder is None else {"state": folder}))
    _tell(anyio.run(lambda: do_rotate(settings, to=to, reason=reason)), as_json=as_json)


def revoke_key(
    *,
    since: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TIME",
            help="From when on it is taken for stolen, as 2026-11-30T10:00:00Z.",
        ),
    ],
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEYID", help="Which key; the one in force by default."),
    ] = None,
    to: To = None,
    reason: Reason = "",
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Record that a key of the log was stolen, and replace it. Stop the broker first.

    From then on a verifier trusts the stolen key no more when it is given as the one to pin, and
    says which entries nobody but that key vouches for. Hand the new verifier key to those who
    verify, in a way the thief has no part in.

    \b
    Examples:
      $ wardline trace revoke-key --from 2026-11-30T10:00:00Z --reason "laptop lost"
    """
    from permissions.setup.config import BrokerConfig
    from permissions.setup.rotation import revoke_key as do_revoke

    settings = BrokerConfig.load(config, **({} if folder is None else {"state": folder}))
    moment = _moment(since)
    done = anyio.run(lambda: do_revoke(settings, since=moment, keyid=key, to=to, reason=reason))
    _tell(done, as_json=as_json)


def _tell(done: Rotated | None, *, as_json: bool) -> None:
    if as_json:
        said = (
            {"rotated": False}
            if done is None
            else {
                "rotated": True,
                "old": done.old.keyid,
                "new": done.new.keyid,
                "vkey": done.vkey,
                "trace.key": done.uri,
            }
        )
        typer.echo(json.dumps(said))
        return
    if done is None:
        typer.echo("recorded; the key had been replaced before")
        return
    typer.echo(f"old key       {done.old.keyid[:16]}")
    typer.echo(f"new key       {done.new.keyid[:16]}")
    typer.echo(f"verifier key  {done.vkey}")
    if done.uri is not None:
        typer.echo(f"put into the settings: trace.key = {json.dumps(done.uri)}", err=True)


def _moment(text: str) -> int:
    """Microseconds since 1970 UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as err:
        raise ConfigError(
            f"--from {text[:40]!r} is no time; write 2026-11-30T10:00:00Z"
        ) from err
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)
