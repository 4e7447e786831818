"""That a log has two histories: two checkpoints that its own key signed and that do not agree.

The proof holds both checkpoints, and what shows that the later one does not begin with the earlier: the
root that the later head's tree has at the earlier one's size, with the consistency proof that leads
from it to the later head (RFC 6962, section 2.1.2). Whoever has the log's key checks it alone, with
no log at hand. Of two checkpoints of one size it needs no more than both.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from permissions.errors import TraceError, TraceIntegrityError
from permissions.trace.checkpoint import open_checkpoint, parse_checkpoint
from permissions.trace.consistency import check_consistency
from permissions.trace.proof import last_checkpoint
from permissions.trace.witnesses import tree_from

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.signing.keys import PublicKey

TYPE = "wardline.fork-proof/v1"
MAX_PROOF = 256 * 1024


@dataclass(frozen=True, slots=True)
class ForkProof:
    """Two checkpoints of one log, and the root that the later one's tree has at the earlier's size."""

    earlier: str
    later: str
    root: bytes
    hashes: tuple[bytes, ...]

    def dumps(self) -> bytes:
        """As a JSON text."""
        return orjson.dumps(
            {
                "type": TYPE,
                "earlier": self.earlier,
                "later": self.later,
                "root": base64.b64encode(self.root).decode(),
                "proof": [base64.b64encode(each).decode() for each in self.hashes],
            },
            option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
        )

    @classmethod
    def parse(cls, data: bytes) -> ForkProof:
        """Reads such a text; nothing in it is checked yet.

        Raises:
            TraceError: it is none.
        """
        if len(data) > MAX_PROOF:
            raise TraceError("a fork proof is not that long")
        try:
            said = orjson.loads(data)
            if said["type"] != TYPE:
                raise TraceError("this is no fork proof")
            return cls(
                str(said["earlier"]),
                str(said["later"]),
                base64.b64decode(said["root"], validate=True),
                tuple(base64.b64decode(each, validate=True) for each in said["proof"]),
            )
        except (ValueError, KeyError, TypeError, binascii.Error) as err:
            raise TraceError("this is no fork proof") from err

    def check(self, key: PublicKey) -> None:
        """Checks that the holder of this key signed two histories of one log.

        Raises:
            TraceIntegrityError: this does not prove it.
        """
        earlier, later = (open_checkpoint(each, key) for each in (self.earlier, self.later))
        if earlier.origin != later.origin:
            raise TraceIntegrityError("the two checkpoints are of two logs")
        if earlier.size > later.size or earlier.size == 0:
            raise TraceIntegrityError("the checkpoints of a fork proof are the wrong way round")
        check_consistency(earlier.size, self.root, later.size, later.root, self.hashes)
        if self.root == earlier.root:
            raise TraceIntegrityError("the later head begins with the earlier: that is no fork")


def prove_fork(directory: Path, other: str) -> ForkProof:
    """The proof that another head contradicts a log at hand, which is read once.

    Args:
        directory: of the log.
        other: a signed head of no more entries than the log has.

    Raises:
        TraceError: the other head goes further than this log, or the log cannot be read.
        TraceIntegrityError: the two agree, or the log is not what its last head signs.
    """
    own = last_checkpoint(directory)
    later, earlier = parse_checkpoint(own), parse_checkpoint(other)
    if earlier.size > later.size:
        raise TraceError(
            f"the other head counts {earlier.size} entries and this log {later.size}: make the"
            " proof where the longer log is, with the head of this one (wardline trace head)"
        )
    tree = tree_from(directory, earlier.size, later.size)
    proof = ForkProof(
        other, own, tree.root_at_start(), tuple(tree.proof(earlier.size, later.size))
    )
    if earlier.origin != later.origin:
        raise TraceIntegrityError(f"the other head is of another log: {earlier.origin[:200]}")
    check_consistency(earlier.size, proof.root, later.size, later.root, proof.hashes)
    if proof.root == earlier.root:
        raise TraceIntegrityError(
            "the two checkpoints agree: this log begins with the other one"
        )
    return proof
