"""What is recorded, and the port to record it.

Entry types and their order follow a small state machine per call: `intent`, then
`decision`s and `approval`s, then either one `denied`, or `start` and one `outcome`. An
`intent` without a terminal entry is a finding of the verifier, not an error to hide.

Values an agent or a tool chose never stand in an entry: they go into `contents`, and the
entry names the sealed bytes by their digest. A bare digest of such a value never stands in an
entry either: it could be guessed at after the value was erased.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from permissions.model import JsonObject
    from permissions.trace.vault import SealedAhead
    from permissions.vocabulary import Barrier

EntryType = Literal[
    "log.open",
    "log.recover",
    "log.close",
    "config",
    "key",
    "access",
    "erase",
    "hold",
    "stop",
    "resume",
    "run.start",
    "run.end",
    "plan",
    "delegation",
    "intent",
    "decision",
    "request",
    "approval",
    "resolution",
    "grant",
    "denied",
    "start",
    "effect",
    "outcome",
    "gap",
]
TERMINAL: frozenset[EntryType] = frozenset({"denied", "outcome", "gap"})

NOT_KEPT = b'"[redacted:not inspected]"'
"""In the place of a content that could not be looked through, and so is not kept."""


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One thing that happened.

    `body` holds plain facts: ASCII keys, strings, booleans, null, integers within
    ±(2^53 - 1), lists and objects of these; no floats (RFC 8785, restricted). `contents` maps
    a name (`arguments`, `input`, `result`, ...) to the exact bytes to be committed to and
    sealed beside the log. `links` maps a name to bytes that other entries of the run may be
    found equal to: the log puts a keyed tag of them into the body under that name.
    """

    type: EntryType
    run: str
    call: str | None = None
    body: JsonObject = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=dict)
    links: Mapping[str, bytes] = field(default_factory=dict)
    ahead: dict[str, SealedAhead] = field(default_factory=dict, compare=False, repr=False)
    """What `TraceLog.seal_ahead` left here for the append; no part of what is said."""


@dataclass(frozen=True, slots=True)
class PastEntry(TraceEntry):
    """An entry read back, with its contents opened."""

    index: int = 0
    time: int = 0
    """Microseconds since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where the entries of one append stand: index of the first, and how many."""

    first: int
    count: int


class TraceLog(Protocol):
    """Where the broker records. The writer adds time, index and commitments by itself."""

    def seal_ahead(self, entries: Sequence[TraceEntry]) -> None:
        """Seals contents before they are appended, for who has to wait; records nothing.

        It changes nothing but what the append costs. A content that is another object by then is
        recorded as it is then. Where nothing can be sealed, for any reason, nothing is said: the
        append says it.
        """
        ...

    async def append(self, entries: Sequence[TraceEntry], *, barrier: Barrier) -> Receipt:
        """Appends entries together, in order.

        With the barrier `durable` it returns only when they and a signed checkpoint over them
        are on stable storage; with `written` when the kernel has them, so that they outlive
        this process, though not a machine that loses power; with `buffered` when they are handed to the writer, which makes
        them durable soon after. Entries of one append are never torn apart by recovery.

        Raises:
            TraceWriteError: they cannot be recorded. After a failed write the log admits
                nothing more until it is opened again (no retry on the same descriptor).
        """
        ...
