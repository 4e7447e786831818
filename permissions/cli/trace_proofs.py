"""`wardline trace prove` and `votes`: what a third party checks without this project's code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from permissions import files
from permissions.approval.approvers import Approver, Approvers
from permissions.cli import trace_answers_text
from permissions.cli.trace_source import TraceSource
from permissions.errors import ConfigError, SigningError
from permissions.inquiry.votes import checked_votes
from permissions.setup.config import BrokerConfig
from permissions.signing import dsse
from permissions.signing.keys import PublicKey
from permissions.signing.passkey import Passkey
from permissions.trace.checkpoint import parse_checkpoint, vkey
from permissions.trace.proof import prove_entry

Dir = Annotated[
    Path | None,
    typer.Option("--dir", help="State folder, or a folder of trace segments alone."),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
EXIT_NO = 1


def prove(
    entry: Annotated[int, typer.Argument(metavar="ENTRY", min=0, help="The entry's number.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Write the proof, the entry it is about and the verifier key into this folder.",
        ),
    ] = None,
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Prove that one entry is in the log: a C2SP tlog-proof.

    Whoever has the entry's bytes (--out, --json) and the verifier key checks it with any tool that
    reads that format. The log is read whole, and must fit what was signed.

    \b
    Examples:
      $ wardline trace prove 41 > 41.tlog-proof
      $ wardline trace prove 41 --out proof/
    """
    source = TraceSource(folder, config)
    beside = source.key_beside()
    key = None if beside is None else PublicKey.read(beside)
    proof = prove_entry(source.trace, entry, key=key)
    pin = None if key is None else vkey(parse_checkpoint(proof.note).origin, key)
    if out is not None:
        files.make_folder(out)
        files.replace(out / f"{entry}.tlog-proof", proof.text().encode())
        files.replace(out / f"{entry}.json", proof.line)
        if pin is not None:
            files.replace(out / "log.vkey", f"{pin}\n".encode())
    if as_json:
        said = {
            "index": entry,
            "entry": proof.line.decode(),
            "proof": proof.text(),
            "vkey": pin,
        }
        typer.echo(json.dumps(said))
    elif out is None:
        typer.echo(proof.text(), nl=False)


def votes(
    call: Annotated[str, typer.Argument(metavar="CALL", help="A call's id.")],
    *,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="NAME=FILE",
            help="The public half of an approver's key file or passkey, from them and not from"
            " the log; may be repeated."
            " Those of the settings are known.",
        ),
    ] = None,
    as_json: Json = False,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Check who answered what about a call, with the approvers' own keys.

    Exit code 1 when an answer is not proven.

    \b
    Examples:
      $ wardline trace votes call-286ffaed --key olga=olga.pub
    """
    source = TraceSource(folder, config)
    found = checked_votes(source.inquiry().call(call), _approvers(config, key or []))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        for line in trace_answers_text.votes_text(found):
            typer.echo(line)
        if not found:
            typer.echo("nobody was asked about this call")
    if any(vote["problem"] is not None for each in found for vote in each["votes"]):
        raise typer.Exit(EXIT_NO)


def _approvers(config: Path | None, given: list[str]) -> Approvers:
    """The approvers of the settings; of those whose keys are given here, these keys."""
    known = {
        each.id: each for each in Approvers.from_config(BrokerConfig.load(config).approvers)
    }
    named: dict[str, list[PublicKey | Passkey]] = {}
    for each in given:
        name, equals, path = each.partition("=")
        if not equals or not name:
            raise ConfigError(f"--key {each[:60]!r}: write NAME=FILE, as olga=olga.pub")
        named.setdefault(name, []).append(_key(Path(path)))
    for name, keys in named.items():
        passkeys = tuple(key for key in keys if isinstance(key, Passkey))
        files_of = [key for key in keys if isinstance(key, PublicKey)]
        if len(files_of) > 1:
            raise ConfigError(f"--key {name}: one key file and any number of passkeys")
        known[name] = Approver(name, frozenset(), next(iter(files_of), None), passkeys)
    return Approvers(known.values())


def _key(path: Path) -> PublicKey | Passkey:
    """The public half in a file: of a key file, or of a passkey."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as err:
        raise SigningError(f"the public key {path} cannot be read: {err}") from err
    return dsse.parse_key(text)
