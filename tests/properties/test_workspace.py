"""For any tree and any edits: a commit makes the one the other, and a discard nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from overlays import has_leftovers, needs_root, over, tree

from sandbox.workspace import WorkspaceOverlay
from sandbox.workspace.errors import CommitError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs_root

NAMES = st.sampled_from(["a", "b", "c", "-rf", "a b", "ä"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TEXTS = st.sampled_from(["", "one\n", "two\nlines\n", "one\n" * 40])
MODES = st.sampled_from([0o644, 0o600, 0o755, 0o700, 0o555])

EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), PATHS, TEXTS),
        st.tuples(st.just("append"), PATHS, TEXTS),
        st.tuples(st.just("remove"), PATHS, st.just("")),
        st.tuples(st.just("folder"), PATHS, st.just("")),
        st.tuples(st.just("link"), PATHS, NAMES),
        st.tuples(st.just("mode"), PATHS, MODES),
        st.tuples(st.just("rename"), PATHS, PATHS),
        st.tuples(st.just("touch"), PATHS, st.just("")),
    ),
    max_size=12,
)


def apply(root: Path, edits: list[tuple[str, str, object]]) -> None:  # noqa: C901 - a table
    """Each edit as far as it can be done; what cannot is left out in both trees alike."""
    for do, path, with_ in edits:
        entry = root / path
        with suppress(OSError):
            match do:
                case "write":
                    entry.parent.mkdir(parents=True, exist_ok=True)
                    if entry.is_symlink():
                        entry.unlink()
                    entry.write_text(str(with_))
                case "append" if entry.is_file() and not entry.is_symlink():
                    with entry.open("a") as target:
                        target.write(str(with_))
                case "remove" if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                case "remove":
                    entry.unlink()
                case "folder":
                    entry.mkdir(parents=True)
                case "link":
                    entry.symlink_to(str(with_))
                case "mode" if not entry.is_symlink():
                    entry.chmod(int(str(with_)))
                # A folder of the workspace cannot be renamed in an overlay (EXDEV).
                case "rename" if entry.is_file() or entry.is_symlink():
                    entry.rename(root / str(with_))
                case "touch":
                    os.utime(entry)


@contextmanager
def folders() -> Iterator[tuple[Path, Path]]:
    """A workspace, and a second folder that is edited without any overlay."""
    with tempfile.TemporaryDirectory() as path:
        workspace, plain = Path(path, "workspace"), Path(path, "plain")
        workspace.mkdir()
        plain.mkdir()
        yield workspace, plain


@given(before=EDITS, edits=EDITS)
def test_a_commit_makes_the_workspace_what_the_run_saw(before: list, edits: list) -> None:
    with (
        folders() as (workspace, plain),
        WorkspaceOverlay(workspace_of(workspace, before)) as overlay,
    ):
        apply(plain, [*before, *edits])
        with over(overlay) as merged:
            apply(merged, edits)
        changes = overlay.changes()

        assert changes.refused == ()
        overlay.commit(changes)
        assert tree(workspace) == tree(plain)
        assert not has_leftovers(workspace)
        assert overlay.changes().document() is not None


@given(before=EDITS, edits=EDITS)
def test_without_a_commit_the_workspace_stays(before: list, edits: list) -> None:
    with (
        folders() as (workspace, _),
        WorkspaceOverlay(workspace_of(workspace, before)) as overlay,
    ):
        was = tree(workspace)
        with over(overlay) as merged:
            apply(merged, edits)
        overlay.changes()
        overlay.discard()

        assert tree(workspace) == was


@given(
    before=EDITS,
    edits=EDITS,
    pick=st.integers(0, 99),
    how=st.sampled_from("wdc"),
    late=st.booleans(),
)
@settings(max_examples=tries(100))
def test_a_touched_path_that_others_change_is_a_conflict(
    before: list, edits: list, pick: int, how: str, *, late: bool
) -> None:
    """Rewritten, deleted or created meanwhile: before the change set is made, or after."""
    with (
        folders() as (workspace, _),
        WorkspaceOverlay(workspace_of(workspace, before)) as overlay,
    ):
        with over(overlay) as merged:
            apply(merged, edits)
        touched = [c for c in overlay.changes().changes if c.type == "file"]
        if not touched:
            return
        change = touched[pick % len(touched)]
        if (change.kind, how, late) == ("deleted", "d", False):
            return  # both took it away, and there is nothing left to do
        path = workspace / change.path
        changes = overlay.changes()
        if not meddle(path, how):
            return
        was = tree(workspace)
        if not late:
            changes = overlay.changes()

        with pytest.raises(CommitError) as caught:
            overlay.commit(changes)
        assert caught.value.kind == "conflict"
        assert tree(workspace) == was
        assert not has_leftovers(workspace)


def meddle(path: Path, how: str) -> bool:
    """Changes a path as another program would; False when it cannot be done this way."""
    try:
        if how == "w" and path.is_file():
            path.write_text("by another")
        elif how == "d" and path.is_file():
            path.unlink()
        elif how == "c" and not path.exists() and not path.is_symlink():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("by another")
        else:
            return False
    except OSError:
        return False
    return True


def workspace_of(workspace: Path, edits: list) -> Path:
    apply(workspace, edits)
    return workspace
