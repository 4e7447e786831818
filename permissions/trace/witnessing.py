"""What is said between a log and its witnesses: C2SP tlog-witness, `add-checkpoint`.

::

    old 20852014
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
    ...

    (the checkpoint)
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import TraceError, TraceIntegrityError
from permissions.trace.checkpoint import MAX_NOTE
from permissions.trace.consistency import MAX_HASHES

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_REQUEST = MAX_NOTE + 8 * 1024
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")
_LINE = re.compile(r"— [^ \n]+ [A-Za-z0-9+/]+={0,2}\n")
_HASH_BYTES = 32


class AddCheckpoint(NamedTuple):
    """A request to cosign a checkpoint that extends the one cosigned last."""

    old: int
    proof: tuple[bytes, ...]
    note: str

    def text(self) -> str:
        """As it is sent."""
        hashes = "".join(f"{base64.b64encode(each).decode()}\n" for each in self.proof)
        return f"old {self.old}\n{hashes}\n{self.note}"

    @classmethod
    def parse(cls, body: bytes) -> AddCheckpoint:
        """Reads a request; the checkpoint in it is not looked at.

        Raises:
            TraceError: it is none.
        """
        if len(body) > MAX_REQUEST:
            raise TraceError(f"a request of {len(body)} bytes is longer than {MAX_REQUEST}")
        try:
            head, blank, note = body.decode().partition("\n\n")
        except UnicodeDecodeError as err:
            raise TraceError("the request is not UTF-8") from err
        first, *hashes = head.split("\n")
        match = _OLD.fullmatch(first)
        if match is None or not blank or len(hashes) > MAX_HASHES:
            raise TraceError("this is no request to add a checkpoint")
        try:
            proof = tuple(base64.b64decode(each, validate=True) for each in hashes)
        except binascii.Error as err:
            raise TraceError("a hash of the proof is not base64") from err
        if any(len(each) != _HASH_BYTES for each in proof):
            raise TraceError("a hash of the proof is not 32 bytes")
        return cls(int(match[1]), proof, note)


def signature_lines(text: str) -> Sequence[str]:
    """The lines of a witness's answer.

    Raises:
        TraceIntegrityError: something else stands there.
    """
    lines = [f"{line}\n" for line in text.split("\n") if line]
    if len(text) > MAX_NOTE or not lines or not all(map(_LINE.fullmatch, lines)):
        raise TraceIntegrityError("a witness answered with something else than cosignatures")
    return lines
