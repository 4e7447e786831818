"""A commit that did not happen, as an exception that says what is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.workspace.model import Fault


class CommitError(SandboxError):
    """A change set that was not committed.

    Attributes:
        kind: `refused` by what is in it; `conflict` with changes made meanwhile; `failed` on
            the way, and undone; `torn`: failed, and it could not be undone everywhere.
        faults: the paths and reasons. Nothing of a commit that is not `torn` is in the
            workspace, which is as it was or as others made it meanwhile.
    """

    def __init__(
        self, kind: Literal["refused", "conflict", "failed", "torn"], faults: Sequence[Fault]
    ) -> None:
        self.kind = kind
        self.faults = tuple(faults)
        first = "; ".join(f"{fault.path}: {fault.reason}" for fault in self.faults[:3])
        more = f", and {len(self.faults) - 3} more" if len(self.faults) > 3 else ""
        super().__init__(f"{kind}: {first:.600}{more}")
