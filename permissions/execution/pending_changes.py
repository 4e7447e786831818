"""What a run would change in its workspace, and the port of whoever holds it until it is decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.model import Digest, JsonObject


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why changes do not go into their workspace.

    Attributes:
        kind: `refused` an entry that must not leave a sandbox; `protected` a path that acts
            outside of it; `conflict` with what others changed meanwhile; `failed` on the way,
            and undone; `unknown` the way ended, and some of it may be there.
        faults: `path: reason`, in the run's own words.
    """

    kind: Literal["refused", "protected", "conflict", "failed", "unknown"]
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """All that a run would change in its workspace, as the executor saw it.

    Attributes:
        document: bounded JSON without contents: what policies are asked about.
        digest: over every change, whether the document lists it or not.
        diffs: what small text files became, by path, as unified diffs in printable letters.
        obstacle: why it can never be committed, when that is known already.
    """

    document: JsonObject
    digest: Digest
    diffs: Mapping[str, str] = field(default_factory=dict)
    obstacle: Obstacle | None = None

    @property
    def is_listed(self) -> bool:
        """Whether the document lists all of it."""
        return bool(self.document["complete"])


GONE = Obstacle("failed", ("the changes were ended before",))
"""What a second commit meets, and one after they were discarded."""


class PendingChanges(Protocol):
    """The changes of one run, in nobody's workspace yet. Whoever has them ends them once."""

    @property
    def changes(self) -> Changes | None:
        """What they are; None when there are none."""
        ...

    async def commit(self) -> Obstacle | None:
        """Brings all of them into the workspace, or says why none of them is there.

        Not to be cancelled. Durable on return. Once they were ended: `GONE`.
        """
        ...

    async def discard(self) -> None:
        """Forgets them, shielded from cancellation. Safe to call twice, and after a commit."""
        ...
