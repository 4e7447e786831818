"""Changes of a run that never was, over a workspace in memory. Twin of the real overlay.

It describes, blocks and conflicts as an overlay does, and can be told what its commit comes to.
Only files, and only their text: for tests of what becomes of changes, without a sandbox.
"""

from __future__ import annotations

import difflib
from hashlib import sha256
from typing import TYPE_CHECKING

from permissions.execution.overlay import described
from permissions.execution.pending_changes import GONE, Obstacle
from sandbox.workspace import Base, Change, ChangeSet
from sandbox.workspace.protected import is_protected

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODE = 0o644


class InMemoryChanges:
    """`PendingChanges` that make a workspace, texts by path, into another one.

    Args:
        workspace: as it is; a commit changes it.
        after: as the run would have it.
        coming: what a commit meets in any case, as on a disk that is full.
    """

    def __init__(
        self,
        workspace: dict[str, str],
        after: Mapping[str, str],
        *,
        coming: Obstacle | None = None,
    ) -> None:
        self._workspace, self._after = workspace, {**after}
        self._coming = coming
        self._ended = False
        self._before = {
            path: workspace.get(path)
            for path in sorted({*workspace, *after})
            if workspace.get(path) != after.get(path)
        }
        """What was at each path that the run touched."""
        changes = [_change(path, was, after.get(path)) for path, was in self._before.items()]
        changes.sort(key=lambda change: change.kind != "deleted")
        diffs = {
            path: _diff(path, was, after[path])
            for path, was in self._before.items()
            if path in after
        }
        self.changes = described(ChangeSet(changes=tuple(changes), diffs=diffs))

    async def commit(self) -> Obstacle | None:
        """See `PendingChanges`."""
        if self._ended:
            return GONE
        self._ended = True
        known = None if self.changes is None else self.changes.obstacle
        if (obstacle := self._coming or known) is not None:
            return obstacle
        conflicts = [
            path for path, was in self._before.items() if self._workspace.get(path) != was
        ]
        if conflicts:
            said = tuple(f"{path}: it was changed meanwhile" for path in conflicts)
            return Obstacle("conflict", said)
        for path in self._before:
            if path in self._after:
                self._workspace[path] = self._after[path]
            else:
                del self._workspace[path]
        return None

    async def discard(self) -> None:
        """See `PendingChanges`."""
        self._ended = True


def _change(path: str, before: str | None, after: str | None) -> Change:
    base = None
    if before is not None:
        size = len(before.encode())
        base = Base("file", _MODE, size, device=0, inode=0, modified_ns=0, changed_ns=0)
    protected = is_protected(path, whole=True)
    if after is None:
        return Change(path=path, kind="deleted", type="file", base=base, protected=protected)
    data = after.encode()
    return Change(
        path=path,
        kind="created" if base is None else "changed",
        type="file",
        mode=_MODE,
        size=len(data),
        digest=f"sha256:{sha256(data).hexdigest()}",
        base=base,
        protected=protected,
    )


def _diff(path: str, before: str | None, after: str) -> str:
    named = "/dev/null" if before is None else f"a/{path}"
    lines = (before or "").splitlines(), after.splitlines()
    return "\n".join(difflib.unified_diff(*lines, named, f"b/{path}", lineterm=""))
