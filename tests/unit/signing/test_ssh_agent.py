"""Keys in a real ssh-agent sign as key files do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from permissions.errors import SigningError
from permissions.signing import dsse
from permissions.signing.key_uris import signer_from_uri
from permissions.signing.ssh_agent import SshAgentSigner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def agent(folder: Path, *keys: tuple[str, str]) -> Iterator[str]:
    """An agent with keys of these kinds and comments."""
    path = str(folder / "agent.sock")
    server = subprocess.Popen(
        ["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        server.stdout.readline()  # it says where it listens once it does
        environment = {**os.environ, "SSH_AUTH_SOCK": path}
        for number, (kind, comment) in enumerate(keys):
            file = folder / f"key-{number}"
            subprocess.run(
                ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", comment, "-f", file],
                check=True,
            )
            subprocess.run(["ssh-add", "-q", file], check=True, env=environment)
        yield path
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)


def test_a_key_in_an_agent_signs_as_a_key_file_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [("ed25519", "olga@laptop"), ("ed25519", "other"), ("ecdsa", "old")]
    with agent(tmp_path, *keys) as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        signer = signer_from_uri("ssh-agent:olga@laptop")
        listed = subprocess.run(["ssh-add", "-l"], capture_output=True, text=True, check=True)
        fingerprint = next(
            line.split()[1] for line in listed.stdout.splitlines() if "olga@laptop" in line
        )
        assert signer_from_uri(f"ssh-agent:{fingerprint}").public == signer.public

        envelope = dsse.sign(b"{}", payload_type="text/x", signers=[signer])
        assert dsse.verify(envelope, keys=[signer.public], payload_type="text/x") == b"{}"

        for name in ("", "nobody", "old", "SHA256:x"):
            with pytest.raises(SigningError, match="name one by"):
                signer_from_uri(f"ssh-agent:{name}")
        subprocess.run(["ssh-add", "-q", "-D"], check=True)
        with pytest.raises(SigningError, match="refused"):
            signer.sign(b"x")
    with pytest.raises(SigningError, match="does not answer"):
        signer.sign(b"x")


def test_the_only_key_needs_no_name(tmp_path: Path) -> None:
    with agent(tmp_path, ("ed25519", "a")) as path:
        signer = SshAgentSigner("", path=path)
        signer.public.verify(signer.sign(b"data"), b"data")


def test_without_an_agent_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(SigningError, match="SSH_AUTH_SOCK"):
        signer_from_uri("ssh-agent:")


ANSWERS = {
    "nothing": b"",
    "an endless answer": b"\xff\xff\xff\xff",
    "half an answer": b"\x00\x00\x00\x09\x0c",
    "no count": b"\x00\x00\x00\x01\x0c",
    "a count too many": b"\x00\x00\x00\x05\x0c\x00\x00\x00\x09",
    "a length too long": b"\x00\x00\x00\x09\x0c\x00\x00\x00\x01\xff\xff\xff\xff",
    "a refusal": b"\x00\x00\x00\x01\x05",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_agent_that_answers_nonsense_signs_nothing(answer: bytes, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "a.sock"))
        server.listen()

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(100)
                peer.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(SigningError):
            SshAgentSigner("", path=str(tmp_path / "a.sock"))
        thread.join(timeout=60)
