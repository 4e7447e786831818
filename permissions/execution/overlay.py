"""A run in an overlay of its workspace, and what it changed there until somebody has decided.

The tool finds the whole workspace at `/workspace`, its working directory, and writes into an
overlay over it. What is the broker's own and lies in the workspace (state, secrets, the log's
key, policies) is not seen: its owner appears as the run's own user inside, so that modes protect
nothing.

Not protected from: whatever else lies in the workspace can be read by the tool, and changed as
policies permit. Keep secrets out of it, and the installation the broker itself runs from.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from permissions.errors import ExecutionError
from permissions.execution.pending_changes import GONE, Changes, Obstacle
from permissions.vocabulary import Digest
from sandbox.workspace import WorkspaceOverlay
from sandbox.workspace.errors import CommitError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from sandbox.workspace import ChangeSet, Fault


class PendingOverlay:
    """`PendingChanges` of an overlay whose run has ended. It holds the overlay open."""

    def __init__(self, overlay: WorkspaceOverlay, found: ChangeSet) -> None:
        self._overlay, self._found = overlay, found
        self.changes = described(found)
        self._ended = False

    async def commit(self) -> Obstacle | None:
        """See `PendingChanges`."""
        if self._ended:
            return GONE
        self._ended = True
        return await to_thread.run_sync(self._commit)

    def _commit(self) -> Obstacle | None:
        try:
            self._overlay.commit(self._found)
        except CommitError as err:
            return Obstacle("unknown" if err.kind == "torn" else err.kind, _said(err.faults))
        except OSError as err:
            # Past the journal: it may be in the workspace, or be undone by the next opening.
            return Obstacle("unknown", (f".: {err.strerror}",))
        return None

    async def discard(self) -> None:
        """See `PendingChanges`."""
        self._ended = True
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._overlay.discard)


@asynccontextmanager
async def opened_overlay(
    workspace: Path, hidden: tuple[str, ...], journals: Path | None = None
) -> AsyncIterator[WorkspaceOverlay]:
    """An overlay for one run. It is forgotten when the run fails, and else is the caller's.

    Args:
        workspace: absolute, without links.
        hidden: names at its top that the run must not see.
        journals: where what undoes a killed commit is kept; a folder in the workspace is not
            believed, then it is one in the user's state folder.

    Raises:
        ProfileError: the workspace must not be shown.
        CommitError: a killed commit cannot be undone, or another goes on for too long.
    """
    overlay = WorkspaceOverlay(
        workspace, hidden=hidden, journals=_believed(journals, workspace)
    )
    try:
        await to_thread.run_sync(overlay.__enter__)
        yield overlay
    except BaseException:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(overlay.discard)
        raise


def _believed(journals: Path | None, workspace: Path) -> Path | None:
    if journals is None or journals.resolve().is_relative_to(workspace.resolve()):
        return None
    return journals


async def pending_in(overlay: WorkspaceOverlay) -> PendingOverlay:
    """What the run in this overlay changed; every process of it is dead."""
    return PendingOverlay(overlay, await to_thread.run_sync(overlay.changes))


def hidden_names(workspace: Path, private: Iterable[Path]) -> tuple[str, ...]:
    """Names at the top of a workspace that no run may see.

    Args:
        workspace: absolute, without links.
        private: paths of the broker's own.

    Raises:
        ExecutionError: one of them holds the workspace, or is it.
    """
    names: list[str] = []
    for entry in private:
        real = entry.resolve()
        if workspace.is_relative_to(real):
            raise ExecutionError(
                "the workspace lies in a folder of the broker's own, which no tool may see"
            )
        # A link on the way leads there at the next start too, so a run must not turn it.
        ways = (real, entry.parent.resolve() / entry.name, Path(os.path.abspath(entry)))  # noqa: PTH100
        names += [
            way.relative_to(workspace).parts[0]
            for way in ways
            if way != workspace and way.is_relative_to(workspace)
        ]
    return tuple(dict.fromkeys(names))


def described(found: ChangeSet) -> Changes | None:
    """A sandbox's change set in the broker's words; None for an empty one."""
    if found.is_empty:
        return None
    document = found.document()
    # Modes and digests are the policy's business; times and inodes are the commit's.
    return Changes(document, Digest(found.digest), found.diffs, _obstacle(found))


def _obstacle(found: ChangeSet) -> Obstacle | None:
    if found.refused:
        return Obstacle("refused", _said(found.refused))
    if found.protected:
        return Obstacle("protected", tuple(f"{path}: protected" for path in found.protected))
    return Obstacle("conflict", _said(found.conflicts)) if found.conflicts else None


def _said(faults: Iterable[Fault]) -> tuple[str, ...]:
    return tuple(f"{fault.path}: {fault.reason}" for fault in faults)
