"""`wardline witness`: cosigns the logs of others, on a machine of its own."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from permissions.errors import ConfigError, SigningError
from permissions.signing.key_uris import signer_from_uri
from permissions.signing.keys import generate
from permissions.signing.post_quantum import post_quantum_signer
from permissions.trace.checkpoint import is_origin
from permissions.trace.note_keys import COSIGNATURE, ED25519, ML_DSA_44, NoteKey, NoteSigner
from permissions.witness.judge import Judge, WitnessState

_CONNECTIONS = 256


def witness(
    *,
    name: Annotated[
        str,
        typer.Option("--name", help="Its name, as a URL without scheme: example.com/witness."),
    ],
    log: Annotated[
        list[str],
        typer.Option(
            "--log",
            metavar="VKEY",
            help="Verifier key of a log it witnesses (`wardline trace head`), or a file with such"
            " keys, one a line; may be repeated. After a rotation name both keys.",
        ),
    ],
    state: Annotated[
        Path, typer.Option("--state", help="Folder of its key and of what it cosigned.")
    ] = Path("witness"),
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="URI", help="Its Ed25519 key; a file in its folder by default."
        ),
    ] = None,
    post_quantum: Annotated[
        bool, typer.Option("--post-quantum", help="Cosign with an ML-DSA-44 key, too.")
    ] = False,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0 for any.")] = 7470,
) -> None:
    """Cosign the logs of other machines.

    Each only as long as it grows, and never two that disagree.

    Speaks C2SP tlog-witness over HTTP, so any log or verifier of that kind can use it. Put TLS in
    front where the way to it is not your own. It prints its verifier keys: they go into
    `trace.witnesses` of the broker, and to those who verify. What it cosigned last of each log is
    on disk before it answers; a head that does not extend that is refused for good.

    \b
    Examples:
      $ wardline witness --name example.com/w1 --log payments.vkey --state /var/lib/wardline-witness
    """
    try:
        import uvicorn

        from permissions.witness.server import witness_app
    except ImportError as err:
        raise ConfigError("a witness needs pip install 'wardline[service]'") from err
    if not is_origin(name):
        raise ConfigError(f"{name[:80]!r} cannot name a witness: no space, no plus, ASCII")
    logs = [found for each in log for found in _log_keys(each)]
    path = state / "witness.pem"
    if key is None and not path.exists():
        generate(path)
    signers = [NoteSigner(name, COSIGNATURE, signer_from_uri(key or f"file:{path}"))]
    if post_quantum:
        quantum = post_quantum_signer(state / "witness-post-quantum.pem")
        signers.append(NoteSigner(name, ML_DSA_44, quantum))
    kept = WitnessState(state)
    try:
        for signer in signers:
            typer.echo(f"verifier key {signer.key}")
        for named in logs:
            typer.echo(f"witnesses    {named.name}")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as listener:
            # Accepted sockets inherit it, or each answer waits 40 ms for an acknowledgement.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            shown = f"[{host}]" if ":" in host else host
            typer.echo(f"listening on http://{shown}:{listener.getsockname()[1]}")
            sys.stdout.flush()
            config = uvicorn.Config(
                witness_app(Judge(kept, signers, logs)),
                log_level="warning",
                access_log=False,
                limit_concurrency=_CONNECTIONS,
                server_header=False,
            )
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        kept.close()


def _log_keys(text: str) -> list[NoteKey]:
    """The keys a text names: itself, or the lines of a file."""
    try:
        lines = [text] if "+" in text else Path(text).read_text().splitlines()
        found = [NoteKey.parse(line) for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError, SigningError) as err:
        raise ConfigError(f"--log {text[:80]}: {err}") from err
    keys = [each for each in found if each is not None and each.kind == ED25519]
    if not keys or len(keys) != len(found):
        raise ConfigError(
            f"--log {text[:80]} is no verifier key of a log; `wardline trace head` prints it"
        )
    return keys
