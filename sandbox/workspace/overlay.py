"""A run's own view of a workspace: reads go through, writes stay in an overlay until committed.

    with WorkspaceOverlay(Path("project")) as overlay:
        result = await sandbox.run(job, profile, workspace=overlay)
        changes = overlay.changes()
        overlay.commit(changes)            # or leave: what is not committed is gone

Nothing is copied to begin with and nothing is scanned in the end: opening, running and
committing cost as much as what the run changes, whatever the size of the tree. A workspace may
be used by people and other runs meanwhile; what both touched is found as a conflict.

Not found: that a run *read* something which changed before its own changes were committed.
The kernel does not define what a run sees of a file that is changed under its overlay.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sandbox.errors import ProfileError
from sandbox.isolation.mounts import checked_source
from sandbox.workspace import commit
from sandbox.workspace.at import FOLDER, names_of
from sandbox.workspace.capture import Upper, capture
from sandbox.workspace.journal import COMMIT
from sandbox.workspace.model import ChangeSet, Limits

if TYPE_CHECKING:
    from types import TracebackType

STATE = ".wardline"
"""The broker's own folder, when it lies in the workspace: keys, requests and the trace."""

TARGET = "/workspace"
"""Where the overlay is mounted inside."""


MOST_HIDDEN = 4096
"""Paths that one overlay hides."""


class WorkspaceOverlay:
    """A workspace, and the overlay of one run over it. Used once, by one run.

    Entering it undoes a commit that was killed. Its methods block.

    Args:
        workspace: an existing directory, not a system's own.
        hidden: further paths in it that the run must not see, relative; a folder with all that
            is in it. The broker's own are always hidden.
        limits: of the change set.
        journals: folder outside of the workspace, of this user's own, for what undoes a commit
            that is killed: the same one each time. Else one in the user's state folder
            (`XDG_STATE_HOME`).
    """

    def __init__(
        self,
        workspace: Path,
        *,
        hidden: tuple[str, ...] = (),
        limits: Limits | None = None,
        journals: Path | None = None,
    ) -> None:
        self.hidden = tuple(dict.fromkeys((STATE, *hidden)))
        if any(part in {"", ".", ".."} for path in self.hidden for part in path.split("/")):
            raise ProfileError("hidden: paths are relative to the workspace, with no `..`")
        if len(self.hidden) > MOST_HIDDEN:
            raise ProfileError(
                f"hidden: more than {MOST_HIDDEN} paths; hide the folders they lie in"
            )
        self._given = workspace
        self._limits = limits or Limits()
        self._journals = journals or _journals()
        self._root = -1
        self._since_ns = 0
        self._upper: Upper | None = None

    @property
    def source(self) -> Path:
        """The workspace's real path."""
        return self._source

    def __enter__(self) -> Self:
        """Opens the workspace.

        Raises:
            ProfileError: it is no directory, or one that must not be shown.
            CommitError: a killed commit cannot be undone, or another goes on for too long.
        """
        self._source = checked_source(self._given)
        if self._journals.resolve().is_relative_to(self._source):
            raise ProfileError(
                f"journals: {str(self._journals)!r:.200} lies in the workspace, and what lies"
                " there is not believed; name a folder outside of it"
            )
        try:
            self._root = os.open(self._source, FOLDER)
        except OSError as err:
            raise ProfileError(f"workspace {str(self._given)!r:.200} is no directory") from err
        try:
            commit.recover(self._root, self._journals)
            # Commit folders of others, or of nobody: no run sees them.
            left = tuple(name for name in names_of(self._root) if name.startswith(COMMIT))
            self.hidden = tuple(dict.fromkeys((*self.hidden, *left)))
        except BaseException:
            self.discard()
            raise
        self._since_ns = _next_tick()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """As `discard`."""
        self.discard()

    def collect(self, upper: int, attributes: str) -> None:
        """Called by a backend once, when the overlay is mounted.

        Args:
            upper: descriptor of the upper directory, from now on the overlay's own.
            attributes: prefix of overlayfs's extended attributes in it.

        Raises:
            ProfileError: the overlay has been used before.
        """
        if self._upper is not None or self._root < 0:
            os.close(upper)
            raise ProfileError("a workspace overlay is open for one run, and used once")
        self._upper = Upper(upper, attributes)

    @property
    def is_written(self) -> bool:
        """Whether the run has changed anything so far; also while it lives, when that may change."""
        return self._upper is not None and bool(os.listdir(self._upper.folder))  # noqa: PTH208

    def changes(self) -> ChangeSet:
        """What the run changed. Only after the run has ended; nothing without one."""
        if self._upper is None:
            return ChangeSet()
        return capture(
            self._upper,
            self._root,
            since_ns=self._since_ns,
            hidden=self.hidden,
            limits=self._limits,
        )

    def commit(self, changes: ChangeSet) -> None:
        """Brings the changes into the workspace, all or none.

        Raises:
            CommitError: see its `kind`.
        """
        if self._upper is not None:
            commit.commit(changes, self._upper.folder, self._root, self._journals)

    def discard(self) -> None:
        """Forgets the overlay. Safe to call twice."""
        if self._upper is not None:
            os.close(self._upper.folder)
            self._upper = None
        if self._root >= 0:
            os.close(self._root)
            self._root = -1


def _journals() -> Path:
    """In the user's state folder (XDG base directory specification 0.8)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state, "wardline", "commits")


def _next_tick() -> int:
    """A time after all that was done before this call, by the clock that stamps files.

    File systems stamp with a clock that moves in steps of some milliseconds, or, where that
    would be ambiguous, with the exact one. So the stepping clock has to pass the exact one.
    """
    exact = time.time_ns()
    while (stepping := time.clock_gettime_ns(_COARSE)) <= exact:
        time.sleep(0.0005)
    return stepping


_COARSE = 5
"""CLOCK_REALTIME_COARSE of linux/time.h, which the `time` module does not name."""
