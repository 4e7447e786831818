"""What a verification says: three verdicts, never merged.

*Integrity* is about bytes: is what is here what the key signed? *Anchoring* is about its end:
does anybody outside know how far it goes? *Completeness* is about the story: is all of it here,
and may it have happened so? A log can be intact and incomplete.

What neither can show: a host that was owned before it recorded, a tool that lies, a call that
went around the broker.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.signing.keys import PublicKey
    from permissions.trace.doubt import Doubt
    from permissions.trace.key_chain import KeyChain


Requirement = Literal["signed", "anchored", "whole", "witnessed"]


@dataclass(frozen=True, slots=True)
class Integrity:
    """Whether the bytes are those that were signed.

    `verdict`: `failed`; `consistent`, when they fit the key the log itself names or that lies
    beside it, which an attacker could have put there, or nothing is signed at all; `signed`, when they fit a key pinned by the reader.
    """

    verdict: Literal["failed", "consistent", "signed"]
    origin: str | None
    size: int
    """Entries under a verified checkpoint."""
    root: str | None
    """Base64 of the root over them."""
    checkpoints: int
    keyid: str | None
    failed_at: int | None
    """Index of the first entry that is not vouched for, when failed."""
    reason: str | None
    pin_revoked: bool = False
    """The key that was to pin the log is one that the log says was stolen, so it pins nothing."""
    doubtful: tuple[Doubt, ...] = ()
    """What nobody but a stolen key vouches for."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A checkpoint kept outside the log, which it extends."""

    source: str
    size: int


@dataclass(frozen=True, slots=True)
class Witnessed:
    """How far a witness went with the log, and when it said so (seconds since 1970 UTC)."""

    witness: str
    size: int
    time: int


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call without an end. If it started, nobody knows what it did."""

    run: str
    call: str
    tool: str | None
    """As the intent names it; none for a tool that is not registered."""
    since: int
    last: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something at an entry that must not be."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What became of the sealed contents the entries commit to.

    `checked` were opened and fit their commitment; `sealed` are there and unaltered, but
    nobody gave the key to open them; `absent` were left out or lost; `erased` have no key any
    more; `locked` have one, which the vault key at hand does not open. The last two are
    findings, too.
    """

    checked: int
    sealed: int
    absent: int
    erased: int
    locked: int


@dataclass(frozen=True, slots=True)
class Completeness:
    """Whether the whole story is here.

    Without an `anchor`, a log that was cut at a checkpoint cannot be told from a shorter one.
    """

    closed: bool
    close_reason: str | None
    anchor: Anchor | None
    unsigned_bytes: int
    """Bytes after the last signed checkpoint: a torn tail, or a writer still at work."""
    open_runs: tuple[str, ...]
    open_calls: tuple[OpenCall, ...]
    gaps: int
    gap_calls: tuple[OpenCall, ...]
    """The calls whose end a later writer recorded as unknown; only the first hundred."""
    unknown_types: int
    findings: tuple[Finding, ...]
    findings_count: int
    """All of them; only the first hundred are listed."""
    contents: Contents
    archived: int = 0
    """Entries that were moved to an archive, and not read."""

    @property
    def is_whole(self) -> bool:
        """Closed, without open runs or calls, gaps, loss or findings: as far as it goes.

        Only an `anchor` rules out that it once went further.
        """
        return (
            self.closed
            and not self.unsigned_bytes
            and not self.open_runs
            and not self.open_calls
            and not self.gaps
            and not self.findings_count
            and not self.contents.absent
            and not self.archived
        )


@dataclass(frozen=True, slots=True)
class End:
    """Where the last verified checkpoint ends on disk."""

    segment: Path
    offset: int
    peaks: tuple[bytes, ...]
    """Roots of the whole subtrees of the tree there, from left to right."""


@dataclass(frozen=True, slots=True)
class Report:
    """Both verdicts, the checkpoint to keep for next time, and where the signed part ends."""

    integrity: Integrity
    completeness: Completeness
    checkpoint: str | None
    end: End | None
    chain: KeyChain | None
    """The keys everything was checked against."""
    witnessed: tuple[Witnessed, ...] = ()
    """By whom of those that were asked about, and how far."""
    unwitnessed: tuple[str, ...] = ()
    """Who was asked about, and cosigned nothing that is here."""

    unopened: Finding | None = None
    """The first content whose key is gone or locked, though no entry says that it was erased."""

    @property
    def key(self) -> PublicKey | None:
        """The log's key in force."""
        return None if self.chain is None else self.chain.log

    @property
    def anchoring(self) -> Literal["anchored", "unanchored"]:
        """Whether a checkpoint kept outside says how far the log goes at least."""
        return "unanchored" if self.completeness.anchor is None else "anchored"

    def lacks(self, required: Iterable[Requirement]) -> list[Requirement]:
        """Which of the requirements do not hold."""
        holds: dict[Requirement, bool] = {
            "signed": self.integrity.verdict == "signed",
            "anchored": self.is_intact and self.completeness.anchor is not None,
            "whole": self.is_intact and self.completeness.is_whole,
            "witnessed": bool(self.witnessed) and not self.unwitnessed,
        }
        return [each for each in required if not holds[each]]

    @property
    def is_intact(self) -> bool:
        """Whether integrity did not fail."""
        return self.integrity.verdict != "failed"

    def verdict_of(self, index: int) -> str:
        """The verdict on one entry: that on the log as far as it goes, then `unverified`."""
        found = self.integrity
        if found.failed_at is not None and index >= found.failed_at:
            return "failed"
        if index >= found.size:
            return "unverified"
        if any(each.first <= index < each.end for each in found.doubtful):
            return "consistent"
        return "consistent" if found.verdict == "failed" else found.verdict

    def document(self) -> JsonObject:
        """The verdicts as JSON."""
        return {
            "integrity": asdict(self.integrity),
            "anchoring": self.anchoring,
            "witnessed": [asdict(each) for each in self.witnessed],
            "completeness": {
                **asdict(self.completeness),
                "whole": self.completeness.is_whole,
            },
            "checkpoint": self.checkpoint,
        }
