"""Signed tree heads: C2SP tlog-checkpoint in a C2SP signed-note, Ed25519 (type 0x01).

::

    example.com/log/1f0c9a7e5d3b2c46
    1024
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — example.com/log/1f0c9a7e5d3b2c46 Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeO...

The origin is also the name of the key. Signature lines of other keys are ignored, as the
format demands (cosignatures of witnesses stand there); one by our key that fails is fatal.
Base64 must be in its canonical form, so that a note has one spelling only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.errors import SigningError, TraceIntegrityError
from permissions.signing.keys import PublicKey

if TYPE_CHECKING:
    from permissions.signing.keys import Signer

MAX_NOTE = 16 * 1024
_ED25519 = b"\x01"
_ORIGIN = re.compile(r"[!-*,-~]{1,200}")  # printable ASCII without space and plus
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_NOTE = re.compile(r"([^\n]+)\n([^\n]+)\n([^\n]+)\n\n((?:— [^ \n]+ [^ \n]+\n)+)")
_VKEY = re.compile(r"([!-*,-~]{1,200})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{40,}={0,2})")
_ONE_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{90}[AEIMQUYcgkosw048]=\n")
"""Four bytes of a hint and 64 of a signature, in canonical base64."""
_HASH_BYTES = 32
_HINT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: its name, the number of its entries, the root over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The signed text of the note."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def is_origin(text: str) -> bool:
    """Whether this may name a log: 1 to 200 printable ASCII characters, no space, no plus."""
    return _ORIGIN.fullmatch(text) is not None


def key_hint(origin: str, key: PublicKey) -> bytes:
    """The four bytes by which a signature line names its key."""
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519 + key.raw).digest()[:_HINT_BYTES]


def vkey(origin: str, key: PublicKey) -> str:
    """Name and key as a C2SP verifier key: `<name>+<hash>+<base64 of type and key>`."""
    raw = base64.b64encode(_ED25519 + key.raw).decode()
    return f"{origin}+{key_hint(origin, key).hex()}+{raw}"


def parse_vkey(text: str) -> tuple[str, PublicKey] | None:
    """The name and the key of a verifier key; None when the text is none.

    Raises:
        SigningError: it is one, and of another kind or altered.
    """
    match = _VKEY.fullmatch(text.strip())
    if match is None:
        return None
    origin, hint, raw = match[1], match[2], base64.b64decode(match[3])
    if not raw.startswith(_ED25519) or len(raw) != 1 + _HASH_BYTES:
        raise SigningError("the verifier key is not Ed25519")
    key = PublicKey(raw[1:])
    if key_hint(origin, key).hex() != hint:
        raise SigningError("the verifier key does not fit its own hash; it was altered")
    return origin, key


class CheckpointSigner:
    """Signs the checkpoints of one log."""

    __slots__ = ("_hint", "_signer", "origin")

    def __init__(self, origin: str, signer: Signer) -> None:
        self.origin = origin
        self._signer = signer
        self._hint = key_hint(origin, signer.public)

    def sign(self, size: int, root: bytes) -> str:
        """The signed note over this state."""
        text = Checkpoint(self.origin, size, root).text()
        signature = base64.b64encode(self._hint + self._signer.sign(text.encode())).decode()
        return f"{text}\n— {self.origin} {signature}\n"


def parse_checkpoint(note: str) -> Checkpoint:
    """Reads a note without checking any signature.

    Raises:
        TraceIntegrityError: it is not a checkpoint.
    """
    return _parse(note)[0]


def is_note_of(note: str, checkpoint: Checkpoint) -> bool:
    """Whether a note says just this, with one signature line of the right form, as logs have it.

    Of such a note `parse_checkpoint` gives this checkpoint, at several times the cost; of any
    other, that has to be asked. The signature is not checked.
    """
    head = f"{checkpoint.text()}\n— {checkpoint.origin} "
    return (
        note.startswith(head)
        and _ONE_SIGNATURE.fullmatch(note, len(head)) is not None
        and is_origin(checkpoint.origin)
    )


def open_checkpoint(note: str, key: PublicKey) -> Checkpoint:
    """Reads a note that `key` must have signed.

    Raises:
        TraceIntegrityError: it is not a checkpoint, or not signed by this key.
    """
    return signature_of(note, key)[0]


def signature_of(note: str, key: PublicKey) -> tuple[Checkpoint, bytes]:
    """A note that `key` must have signed, and the 64 bytes of that signature over its text.

    Raises:
        TraceIntegrityError: it is not a checkpoint, or not signed by this key.
    """
    checkpoint, signatures = _parse(note)
    hint = key_hint(checkpoint.origin, key)
    found: bytes | None = None
    for name, raw in signatures:
        if name != checkpoint.origin or raw[:_HINT_BYTES] != hint:
            continue
        try:
            key.verify(raw[_HINT_BYTES:], checkpoint.text().encode())
        except SigningError as err:
            raise TraceIntegrityError("the signature of a checkpoint does not verify") from err
        found = raw[_HINT_BYTES:]
    if found is None:
        raise TraceIntegrityError(f"a checkpoint is not signed by key {key.keyid[:16]}")
    return checkpoint, found


def _parse(note: str) -> tuple[Checkpoint, list[tuple[str, bytes]]]:
    match = _NOTE.fullmatch(note) if len(note) <= MAX_NOTE else None
    if match is None:
        raise TraceIntegrityError("this is not a signed checkpoint")
    origin, size, root, lines = match.groups()
    if not is_origin(origin) or not _SIZE.fullmatch(size):
        raise TraceIntegrityError("the origin or the size of a checkpoint is malformed")
    hashed = _base64(root)
    if len(hashed) != _HASH_BYTES:
        raise TraceIntegrityError("the root of a checkpoint is not 32 bytes")
    signatures = []
    # Not `splitlines`, which also ends lines at U+2028 and others that may stand in a name.
    for line in lines[:-1].split("\n"):
        _, name, raw = line.split(" ")
        if "+" in name or any(map(str.isspace, name)):
            raise TraceIntegrityError("the name of a key in a checkpoint has a space or a plus")
        signatures.append((name, _base64(raw)))
    return Checkpoint(origin, int(size), hashed), signatures


def _base64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as err:
        raise TraceIntegrityError("base64 of a checkpoint is malformed") from err
    if base64.b64encode(raw).decode() != text:
        raise TraceIntegrityError("base64 of a checkpoint is not canonical")
    return raw
