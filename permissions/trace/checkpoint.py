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
import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.errors import SigningError, TraceIntegrityError
from permissions.signing.keys import PublicKey
from permissions.trace import codec
from permissions.trace.note_keys import (
    ED25519,
    HINT_BYTES,
    NoteKey,
    note_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NOTE = 32 * 1024
_ORIGIN = re.compile(r"[!-*,-~]{1,200}")  # printable ASCII without space and plus
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_NOTE = re.compile(r"([^\n]+)\n([^\n]+)\n([^\n]+)\n\n((?:— [^ \n]+ [^ \n]+\n)+)")
_OWN_LINES = (
    rb"[A-Za-z0-9+/]{90}[AEIMQUYcgkosw048]=\\n"
    rb"(?:%b(?:[A-Za-z0-9+/]{90}|[A-Za-z0-9+/]{3242})[AEIMQUYcgkosw048]=\\n){0,5}"
    rb'"}'
)
"""What ends the line of a checkpoint after the name of its first key: signatures of the log's own
keys, of Ed25519 (72 bytes with the hint) or from the second on of ML-DSA-44 (2,432), in canonical
base64."""
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: its name, the number of its entries, the root over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The signed text of the note."""
        return note_text(self.origin, self.size, self.root)


def is_origin(text: str) -> bool:
    """Whether this may name a log: 1 to 200 printable ASCII characters, no space, no plus."""
    return _ORIGIN.fullmatch(text) is not None


def key_hint(origin: str, key: PublicKey) -> bytes:
    """The four bytes by which a signature line names its key."""
    return NoteKey(origin, ED25519, key).hint


def vkey(origin: str, key: PublicKey) -> str:
    """Name and key as a C2SP verifier key: `<name>+<hash>+<base64 of type and key>`."""
    return str(NoteKey(origin, ED25519, key))


def parse_vkey(text: str) -> tuple[str, PublicKey] | None:
    """The name and the key of a log's verifier key; None when the text is none.

    Raises:
        SigningError: it is one, and of another kind or altered.
    """
    found = NoteKey.parse(text)
    if found is None:
        return None
    if found.kind != ED25519 or not isinstance(found.key, PublicKey):
        raise SigningError("the verifier key is not the Ed25519 key of a log")
    return found.name, found.key


def note_of(line: bytes) -> str:
    """The signed note in a checkpoint's line.

    Raises:
        TraceError: it is no such line.
    """
    document = codec.decode(line)
    note = document.get("checkpoint")
    if len(document) != 1 or not isinstance(note, str):
        raise TraceIntegrityError("a checkpoint line is malformed")
    return note


def parse_checkpoint(note: str) -> Checkpoint:
    """Reads a note without checking any signature.

    Raises:
        TraceIntegrityError: it is not a checkpoint.
    """
    return _parse(note)[0]


def is_line_of(line: bytes, origin: str, size: int, root: bytes) -> bool:
    """Whether a line is a checkpoint that says just this, as logs have them.

    Of such a line `note_of` and `parse_checkpoint` give this checkpoint, at several times the
    cost; of any other, they have to be asked. No signature is checked.
    """
    if (around := _around(origin)) is None:
        return False
    before, after, rest = around
    head = b"%b%d\\n%b%b" % (before, size, binascii.b2a_base64(root, newline=False), after)
    return line.startswith(head) and rest.fullmatch(line, len(head)) is not None


@functools.lru_cache(maxsize=4)
def _around(origin: str) -> tuple[bytes, bytes, re.Pattern[bytes]] | None:
    """What stands before the size, between the root and the first signature, and after."""
    if not is_origin(origin):
        return None
    name = codec.encode({"checkpoint": origin})[len(b'{"checkpoint":"') : -len(b'"}')]
    dashed = "— ".encode() + name + b" "
    rest = re.compile(_OWN_LINES % re.escape(dashed))
    return b'{"checkpoint":"' + name + b"\\n", b"\\n\\n" + dashed, rest


def signed_by(note: str, keys: Iterable[NoteKey]) -> Checkpoint:
    """Reads a note that each of these keys must have signed.

    Raises:
        TraceIntegrityError: it is not a checkpoint, or one of them has not.
    """
    checkpoint, signatures = _parse(note)
    for key in keys:
        if _checked(checkpoint, signatures, key) is None:
            raise TraceIntegrityError(f"a checkpoint is not signed by key {_named(key)}")
    return checkpoint


def cosigned_at(note: str, key: NoteKey) -> int | None:
    """When this key cosigned a note, in seconds since 1970 UTC; None when it has not.

    Raises:
        TraceIntegrityError: it is not a checkpoint, or a line of that key does not verify.
    """
    return _checked(*_parse(note), key)


def with_lines(note: str, lines: Iterable[str]) -> str:
    """A note with further signature lines, each ended by a newline."""
    return note + "".join(lines)


def _checked(
    checkpoint: Checkpoint, signatures: list[tuple[str, bytes]], key: NoteKey
) -> int | None:
    hint, found = key.hint, None
    for name, raw in signatures:
        if name != key.name or raw[:HINT_BYTES] != hint:
            continue
        try:
            found = key.check(
                raw[HINT_BYTES:],
                origin=checkpoint.origin,
                size=checkpoint.size,
                root=checkpoint.root,
            )
        except SigningError as err:
            raise TraceIntegrityError("the signature of a checkpoint does not verify") from err
    return found


def _named(key: NoteKey) -> str:
    if isinstance(key.key, PublicKey):
        return key.key.keyid[:16]
    return f"{key.name}+{key.hint.hex()}"


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
        if name != checkpoint.origin or raw[:HINT_BYTES] != hint:
            continue
        try:
            key.verify(raw[HINT_BYTES:], checkpoint.text().encode())
        except SigningError as err:
            raise TraceIntegrityError("the signature of a checkpoint does not verify") from err
        found = raw[HINT_BYTES:]
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
