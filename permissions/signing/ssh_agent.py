"""Ed25519 keys in an ssh-agent: the private half never leaves it.

`ssh-agent:` names the only Ed25519 key of the agent at `SSH_AUTH_SOCK`, `ssh-agent:SHA256:...` the one
of that fingerprint (as `ssh-add -l` prints it), `ssh-agent:olga@laptop` the one with that comment.
The agent signs the very bytes (draft-ietf-sshm-ssh-agent), so the signature is an ordinary Ed25519
one, and verifies with the public key alone. What is signed begins with `DSSEv1 `: neither a login (it begins
with the length of a session id) nor a file signature (`SSHSIG`) can be made of it, or it of them.

Not protected from: whoever may talk to the agent can sign, unless it asks to confirm each use
(`ssh-add -c`). A forwarded agent can be used by the root of the machine it is forwarded to.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
from typing import NamedTuple

from permissions.errors import SigningError
from permissions.signing.keys import KEY_BYTES, PublicKey

_REQUEST_IDENTITIES, _IDENTITIES_ANSWER = 11, 12
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14
_KIND = b"ssh-ed25519"
_SECONDS = 60.0
"""An agent may ask its person first."""
_MOST = 256 * 1024
"""Bytes of an answer; OpenSSH's agent sends no longer one."""


class _Identity(NamedTuple):
    blob: bytes
    public: PublicKey
    comment: str

    @property
    def fingerprint(self) -> str:
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"SHA256:{digest}"


class SshAgentSigner:
    """A `Signer` whose key an agent holds.

    Args:
        name: a fingerprint, a comment, or nothing when the agent has one Ed25519 key.
        path: of the agent's socket; `SSH_AUTH_SOCK` by default.

    Raises:
        SigningError: there is no agent, or not exactly one such key in it.
    """

    def __init__(self, name: str, *, path: str | None = None) -> None:
        self._path = path or os.environ.get("SSH_AUTH_SOCK", "")
        if not self._path:
            raise SigningError("no ssh-agent runs here: SSH_AUTH_SOCK names none")
        held = list(_identities(self._ask(bytes([_REQUEST_IDENTITIES]), _IDENTITIES_ANSWER)))
        found = [each for each in held if name in ("", each.fingerprint, each.comment)]
        if len(found) != 1:
            known = ", ".join(f"{each.fingerprint} ({each.comment[:40]})" for each in held[:5])
            raise SigningError(
                f"{len(found)} Ed25519 keys of the ssh-agent are named {name[:80]!r}; name one by"
                f" its fingerprint. It holds: {known or 'none'}"
            )
        self._identity = found[0]
        self.public = self._identity.public

    @property
    def keyid(self) -> str:
        """The public key's id."""
        return self.public.keyid

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of a signature over `data`.

        Raises:
            SigningError: the agent refuses, is gone, or signed with something else.
        """
        asked = bytes([_SIGN_REQUEST]) + _string(self._identity.blob) + _string(data)
        answer = self._ask(asked + struct.pack(">I", 0), _SIGN_RESPONSE)
        signature, _ = _take(answer)
        kind, rest = _take(signature)
        raw, _ = _take(rest)
        if kind != _KIND:
            raise SigningError("the ssh-agent signed with a key of another kind")
        self.public.verify(raw, data)
        return raw

    def _ask(self, message: bytes, expected: int) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
                agent.settimeout(_SECONDS)
                agent.connect(self._path)
                agent.sendall(_string(message))
                (length,) = struct.unpack(">I", _read(agent, 4))
                if not 0 < length <= _MOST:
                    raise SigningError("the ssh-agent gave no answer of its protocol")
                answer = _read(agent, length)
        except OSError as err:
            raise SigningError(f"the ssh-agent does not answer: {err}") from err
        if answer[0] != expected:
            raise SigningError("the ssh-agent refused; is the key still there, and unlocked?")
        return answer[1:]


def _identities(answer: bytes) -> list[_Identity]:
    if len(answer) < 4:
        raise SigningError("the ssh-agent gave no answer of its protocol")
    (count,), rest = struct.unpack(">I", answer[:4]), answer[4:]
    found = []
    for _ in range(count):
        blob, rest = _take(rest)
        comment, rest = _take(rest)
        kind, key = _take(blob)
        if kind == _KIND and len(raw := _take(key)[0]) == KEY_BYTES:
            found.append(_Identity(blob, PublicKey(raw), comment.decode(errors="replace")))
    return found


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _take(data: bytes) -> tuple[bytes, bytes]:
    """The string at the beginning, and what follows."""
    if len(data) < 4 or len(data) < 4 + (length := struct.unpack(">I", data[:4])[0]):
        raise SigningError("the ssh-agent gave no answer of its protocol")
    return data[4 : 4 + length], data[4 + length :]


def _read(agent: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        if not (part := agent.recv(length - len(data))):
            raise SigningError("the ssh-agent hung up")
        data += part
    return data
