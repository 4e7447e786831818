"""How far a log goes by what others keep of it: checkpoints outside of the log, held to its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.errors import TraceIntegrityError
from permissions.trace.checkpoint import Checkpoint, parse_checkpoint, signature_of
from permissions.trace.report import Anchor, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from permissions.trace.archived import Archived
    from permissions.trace.key_chain import KeyChain


class Anchoring:
    """Known checkpoints, compared with a log that is being read. What is wrong is said in words.

    Args:
        notes: signed checkpoints, by where they were kept.
    """

    def __init__(self, notes: Mapping[str, str]) -> None:
        self._notes = notes
        self.known: dict[str, Checkpoint] = {}

    def open(self, origin: str | None) -> str | None:
        """Reads them, once the log has said whose it is."""
        for source, note in self._notes.items():
            try:
                checkpoint = parse_checkpoint(note)
            except TraceIntegrityError as err:
                return f"the checkpoint kept in {source} does not fit this log: {err}"
            if checkpoint.origin != origin:
                return f"the checkpoint kept in {source} is of another log: {checkpoint.origin}"
            self.known[source] = checkpoint
        return None

    def compare(
        self, count: int, root: Callable[[], bytes], chain: KeyChain | None
    ) -> str | None:
        """Compares those over exactly as many entries as were read."""
        wrong = None
        for source, checkpoint in self.known.items():
            if checkpoint.size == count and checkpoint.root != root():
                other = (
                    "is signed over other entries: one of two histories was rewritten"
                    if _is_own(self._notes[source], chain)
                    else "does not fit this log: it is not signed by a key of it"
                )
                wrong = f"the checkpoint kept in {source} {other}"
        return wrong

    def incomparable(self, archived: Archived | None) -> Iterator[Finding]:
        """Those that lie in the part that is not read."""
        for source, known in self.known.items() if archived is not None else ():
            if archived is not None and known.size < archived.size:
                yield Finding(
                    known.size,
                    f"the checkpoint kept in {source} counts {known.size} entries, which lie in"
                    f" the archive {archived.folders()}: it was not compared",
                )

    def farthest(
        self, size: int, chain: KeyChain | None, archived: Archived | None, *, empty: bool
    ) -> Anchor | tuple[int, str] | None:
        """The one that reaches farthest, or which entry fails for want of what it counts.

        Args:
            size: entries that are verified.
            chain: the log's keys.
            archived: the part that is not read.
            empty: whether nothing of the log is there.
        """
        if empty and self._notes:
            return 0, "a checkpoint of this log was kept, and nothing of the log is here"
        anchor: Anchor | None = None
        begun = 0 if archived is None else archived.size
        for source, checkpoint in self.known.items():
            if not _is_own(self._notes[source], chain):
                unknown = "does not fit this log: it is not signed by a key of it"
                return 0, f"the checkpoint kept in {source} {unknown}"
            if checkpoint.size < begun:
                continue  # told by `incomparable`
            if checkpoint.size > size:
                counts = f"counts {checkpoint.size} entries, {size} are here"
                return size, f"the tail was cut: the checkpoint kept in {source} {counts}"
            if anchor is None or checkpoint.size > anchor.size:
                anchor = Anchor(source, checkpoint.size)
        return anchor


def _is_own(note: str, chain: KeyChain | None) -> bool:
    """Whether a key that is or was the log's signed a note."""
    for reign in () if chain is None else chain.reigns:
        try:
            signature_of(note, reign.key)
        except TraceIntegrityError:
            continue
        return True
    return False
