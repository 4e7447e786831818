"""`wardline trace fork-proof`: that a log has two histories, as a file."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import Annotated

import typer

from permissions import files
from permissions.cli.trace_source import TraceSource
from permissions.errors import ConfigError
from permissions.signing.keys import PublicKey
from permissions.trace.checkpoint import parse_checkpoint, parse_vkey
from permissions.trace.fork_proof import MAX_PROOF, ForkProof, prove_fork
from permissions.trace.known_checkpoints import read_checkpoint


def fork_proof(
    head: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Another signed head of this log; with --check, a proof."
        ),
    ],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Check a proof instead of making one; needs --key.")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option("--key", help="The log's public key or verifier key, from outside."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the proof there.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="State folder, or a folder of trace segments alone."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
) -> None:
    """Prove that the log was given two histories: two checkpoints by its key that do not agree.

    The proof holds both checkpoints and what shows that one does not lead to the other; it is checked
    with the log's public key alone, with no log at hand. The other head may come from a verifier,
    a witness (GET /<SHA-256 of the origin>/checkpoint) or another copy. When it goes further than
    the log here, make the proof where that log is.

    \b
    Examples:
      $ wardline trace fork-proof their-head.txt --out fork.json
      $ wardline trace fork-proof fork.json --check --key log.vkey
    """
    if check:
        if key is None:
            raise ConfigError(
                "--check needs --key, from the log's owner and not from the proof"
            )
        try:
            proof = ForkProof.parse(head.read_bytes()[: MAX_PROOF + 1])
        except OSError as err:
            raise ConfigError(f"the proof {head} cannot be read: {err.strerror}") from err
        proof.check(_key(key))
        earlier, later = map(parse_checkpoint, (proof.earlier, proof.later))
        typer.echo(
            f"proven: the key of {later.origin} signed two histories, which part before entry"
            f" {earlier.size}"
        )
        return
    source = TraceSource(folder, config)
    proof = prove_fork(source.trace, read_checkpoint(head))
    beside = key or source.key_beside()
    if beside is not None:
        proof.check(_key(beside))
    if out is None:
        typer.echo(json.dumps(json.loads(proof.dumps())))
    else:
        files.replace(out, proof.dumps(), mode=0o644)


def _key(path: Path) -> PublicKey:
    try:
        found = parse_vkey(path.read_text())
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"the key {path} cannot be read: {err}") from err
    return PublicKey.read(path) if found is None else found[1]
