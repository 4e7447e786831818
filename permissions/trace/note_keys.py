"""Keys that sign notes, by name and kind (C2SP signed-note), and the lines they sign.

| kind | signs | whose |
|---|---|---|
| `0x01` | the text of the note, Ed25519 | a log |
| `0x04` | that text and a time, Ed25519 (`cosignature/v1`) | a witness |
| `0x06` | name, time, origin, size and root, ML-DSA-44 (`subtree/v1`) | a witness, or a log (time 0) |
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from typing import Final, NamedTuple

from permissions.errors import SigningError
from permissions.signing.keys import PublicKey, Signer
from permissions.signing.post_quantum import (
    SIGNATURE_BYTES,
    PostQuantumKey,
    PostQuantumSigner,
)

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
ML_DSA_44: Final = 0x06
HINT_BYTES: Final = 4
_TIME = struct.Struct(">Q")
_VKEY = re.compile(r"([!-*,-~]{1,200})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{40,}={0,2})")
_LENGTHS = {
    ED25519: 64,
    COSIGNATURE: _TIME.size + 64,
    ML_DSA_44: _TIME.size + SIGNATURE_BYTES,
}


def note_text(origin: str, size: int, root: bytes) -> str:
    """The text of a checkpoint."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


class NoteKey(NamedTuple):
    """A public key that signs notes under a name."""

    name: str
    kind: int
    key: PublicKey | PostQuantumKey

    @classmethod
    def parse(cls, text: str) -> NoteKey | None:
        """A C2SP verifier key, `<name>+<hash>+<base64 of kind and key>`; None when it is none.

        Raises:
            SigningError: it is one, and of a kind that is not known here, or altered.
        """
        match = _VKEY.fullmatch(text.strip())
        if match is None:
            return None
        name, hint, raw = match[1], match[2], base64.b64decode(match[3])
        match raw[0]:
            case 0x01 | 0x04 if len(raw) == 33:
                found = cls(name, raw[0], PublicKey(raw[1:]))
            case 0x06:
                found = cls(name, raw[0], PostQuantumKey(raw[1:]))
            case _:
                raise SigningError("the verifier key is neither Ed25519 nor ML-DSA-44")
        if found.hint.hex() != hint:
            raise SigningError("the verifier key does not fit its own hash; it was altered")
        return found

    @property
    def hint(self) -> bytes:
        """The four bytes by which a signature line names its key."""
        said = b"%b\n%c%b" % (self.name.encode(), self.kind, self.key.raw)
        return hashlib.sha256(said).digest()[:HINT_BYTES]

    def __str__(self) -> str:
        """As a C2SP verifier key, the form `parse` reads."""
        raw = base64.b64encode(bytes([self.kind]) + self.key.raw).decode()
        return f"{self.name}+{self.hint.hex()}+{raw}"

    def check(self, signature: bytes, *, origin: str, size: int, root: bytes) -> int:
        """Checks what a signature line holds after the hint.

        Returns:
            When it was signed, in seconds since 1970 UTC; 0 for a signature that does not say.

        Raises:
            SigningError: it is not this key's signature of that checkpoint.
        """
        if len(signature) != _LENGTHS[self.kind]:
            raise SigningError(f"a signature of {self.name} has the wrong length")
        time = 0
        if self.kind != ED25519:
            time = _TIME.unpack_from(signature)[0]
            signature = signature[_TIME.size :]
        said = _message(self, time, origin=origin, size=size, root=root)
        self.key.verify(signature, said)
        return time


class NoteSigner:
    """Signs checkpoints under a name."""

    def __init__(self, name: str, kind: int, signer: Signer | PostQuantumSigner) -> None:
        """`kind` 6 needs an ML-DSA-44 key, the others an Ed25519 key."""
        self.key = NoteKey(name, kind, signer.public)
        self._hint = self.key.hint
        self._signer = signer

    def line(self, origin: str, size: int, root: bytes, *, time: int = 0) -> str:
        """The signature line over this checkpoint, with its newline.

        Args:
            origin: of the log.
            size: how many entries it has.
            root: over them.
            time: seconds since 1970 UTC, for the kinds that say it.
        """
        name, kind, _ = self.key
        signed = self._signer.sign(
            _message(self.key, time, origin=origin, size=size, root=root)
        )
        said = b"" if kind == ED25519 else _TIME.pack(time)
        return f"— {name} {base64.b64encode(self._hint + said + signed).decode()}\n"


def _message(key: NoteKey, time: int, *, origin: str, size: int, root: bytes) -> bytes:
    name, kind, _ = key
    if kind == ED25519:
        return note_text(origin, size, root).encode()
    if kind == COSIGNATURE:
        return f"cosignature/v1\ntime {time}\n{note_text(origin, size, root)}".encode()
    named, log = name.encode(), origin.encode()
    head = b"subtree/v1\n\x00%c%b" % (len(named), named)
    return head + struct.pack(">QB", time, len(log)) + log + struct.pack(">QQ", 0, size) + root
