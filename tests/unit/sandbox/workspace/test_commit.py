"""All of a change set or nothing, whoever interferes and whenever it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from overlays import fill, has_leftovers, needs_root, over, tree

from sandbox.workspace import WorkspaceOverlay
from sandbox.workspace.at import FOLDER
from sandbox.workspace.commit import locked, recover
from sandbox.workspace.errors import CommitError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = needs_root

BEFORE = {"a": "one\n", "d/x": "x\n", "keep": "kept\n"}


def edit(merged: Path) -> None:
    (merged / "a").write_text("two\n")
    (merged / "d/x").unlink()
    (merged / "d").rmdir()
    (merged / "new").mkdir()
    (merged / "new/f").write_text("f\n")


def test_owner_and_mode_of_a_replaced_file_stay(tmp_path: Path) -> None:
    workspace = fill(tmp_path / "w", BEFORE)
    for path in (workspace, *workspace.rglob("*")):
        os.chown(path, 4711, 4712)
    (workspace / "a").chmod(0o640)
    with WorkspaceOverlay(workspace) as overlay:
        with over(overlay) as merged:
            edit(merged)
        overlay.commit(overlay.changes())

    for name in ("a", "new", "new/f"):
        found = (workspace / name).stat()
        assert (found.st_uid, found.st_gid) == (4711, 4712), name
    assert (workspace / "a").stat().st_mode & 0o777 == 0o640


def test_two_runs_over_one_workspace(tmp_path: Path) -> None:
    """Of two runs that changed one file the later commit is a conflict; others go in."""
    workspace = fill(tmp_path / "w", BEFORE)
    with (
        WorkspaceOverlay(workspace) as one,
        WorkspaceOverlay(workspace) as two,
        WorkspaceOverlay(workspace) as three,
    ):
        for overlay, name in ((one, "a"), (two, "a"), (three, "keep")):
            with over(overlay) as merged:
                (merged / name).write_text(f"by {name}")
        sets = [overlay.changes() for overlay in (one, two, three)]
        one.commit(sets[0])
        three.commit(sets[2])
        with pytest.raises(CommitError) as caught:
            two.commit(sets[1])

    assert caught.value.kind == "conflict"
    assert [fault.path for fault in caught.value.faults] == ["a"]


def test_a_conflict_in_the_last_moment_undoes_all_before_it(tmp_path: Path) -> None:
    """A new entry in a folder that is to go: found only when the folder is taken away."""
    workspace = fill(tmp_path / "w", BEFORE)
    with WorkspaceOverlay(workspace) as overlay:
        with over(overlay) as merged:
            edit(merged)
        changes = overlay.changes()
        (workspace / "d/late").write_text("by another")
        was = tree(workspace)

        with pytest.raises(CommitError) as caught:
            overlay.commit(changes)

    assert caught.value.kind == "conflict"
    assert tree(workspace) == was
    assert not has_leftovers(workspace)


@pytest.mark.parametrize(
    "path", [".git/hooks/pre-commit", ".github/workflows/x.yml", "AGENTS.md"]
)
def test_a_protected_path_refuses_the_whole_set(tmp_path: Path, path: str) -> None:
    workspace = fill(tmp_path / "w", BEFORE)
    with WorkspaceOverlay(workspace) as overlay:
        with over(overlay) as merged:
            fill(merged, {path: "#!/bin/sh\n", "fine": "fine"})
        changes = overlay.changes()

        with pytest.raises(CommitError) as caught:
            overlay.commit(changes)

    assert caught.value.kind == "refused"
    assert path in changes.protected
    assert tree(workspace) == tree(fill(tmp_path / "again", BEFORE))


def test_a_layer_changed_after_its_change_set_is_not_committed(tmp_path: Path) -> None:
    """What goes in is what was judged: contents are checked against their digests."""
    workspace = fill(tmp_path / "w", BEFORE)
    with WorkspaceOverlay(workspace) as overlay:
        with over(overlay) as merged:
            edit(merged)
            changes = overlay.changes()
            (merged / "a").write_text("222\n")
        with pytest.raises(CommitError) as caught:
            overlay.commit(changes)

    assert caught.value.kind == "failed"
    assert tree(workspace) == tree(fill(tmp_path / "again", BEFORE))
    assert not has_leftovers(workspace)


def test_a_full_disk_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """The workspace's own file system has no room for the staged contents."""
    from sandbox.workspace import kernel

    small = tmp_path / "small"
    small.mkdir()
    kernel.mount("tmpfs", str(small), "size=128k,mode=0755")
    try:
        workspace = fill(small / "w", BEFORE)
        was = tree(workspace)
        with WorkspaceOverlay(workspace) as overlay:
            with over(overlay) as merged:
                edit(merged)
                (merged / "big").write_bytes(b"x" * 300_000)
            with pytest.raises(CommitError) as caught:
                overlay.commit(overlay.changes())

        assert caught.value.kind == "failed"
        assert tree(workspace) == was
        assert not has_leftovers(workspace)
    finally:
        kernel.unmount(str(small))


def test_a_commit_waits_for_another(tmp_path: Path) -> None:
    """What the other one does is done by then."""
    workspace = fill(tmp_path / "w", BEFORE)
    root = os.open(workspace, FOLDER)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workspace)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    recover(root, tmp_path / "journals")
    was_done = (workspace / "done").exists()
    os.close(root)
    holder.stdout.close()
    holder.wait()

    assert was_done


HOLD = """
import os, sys, time
from pathlib import Path
from sandbox.workspace.commit import locked
with locked(os.open(sys.argv[1], os.O_RDONLY)):
    print("held", flush=True)
    time.sleep(0.4)
    Path(sys.argv[1], "done").touch()
"""


EACH = 8
"""Files of each kind in a commit that is killed."""
KILLED = """
import sys
from pathlib import Path
from dying import die_at
from overlays import over
from sandbox.workspace import WorkspaceOverlay
each = int(sys.argv[3])
with WorkspaceOverlay(Path(sys.argv[1]), journals=Path(sys.argv[4])) as overlay:
    with over(overlay) as merged:
        for number in range(each):
            (merged / f"f{number}").write_text("after")
            (merged / f"n{number}").mkdir()
            (merged / f"n{number}/x").write_text("after")
            (merged / f"g{number}").unlink()
    calls = die_at(int(sys.argv[2]), begin="os.mkdir", of=".wardline-commit-")
    overlay.commit(overlay.changes())
    print(calls.count, flush=True)
"""


def committed(
    workspace: Path, journals: Path, *, dying_at: int
) -> subprocess.CompletedProcess[str]:
    """A commit in a process of its own; without a death it says how many calls it took."""
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(workspace), str(dying_at), str(EACH), str(journals)],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_killed_commit_is_all_or_nothing_at_the_next_opening(tmp_path: Path) -> None:
    """Killed while it stages, moves and cleans up; each has to be hit, or it proved nothing."""
    files = {f"{kind}{number}": "before" for kind in "fg" for number in range(EACH)}
    before = tree(fill(tmp_path / "before", files))
    after = {f"f{n}": ("file", 0o644, b"after") for n in range(EACH)}
    after |= {f"n{n}": ("directory", 0o755, b"") for n in range(EACH)}
    after |= {f"n{n}/x": ("file", 0o644, b"after") for n in range(EACH)}
    seen = {"before": 0, "after": 0, "undone": 0}
    journals = tmp_path / "journals"
    whole = committed(fill(tmp_path / "whole", files), journals, dying_at=0)
    calls = int(whole.stdout)
    for at in (*range(1, calls, calls // 12), calls):
        workspace = fill(tmp_path / f"w{at}", files)
        died = committed(workspace, journals, dying_at=at)
        assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
        seen["undone"] += any('"steps": [{' in each.read_text() for each in journals.iterdir())

        with WorkspaceOverlay(workspace, journals=journals):
            pass

        assert list(journals.iterdir()) == []
        found = tree(workspace)
        assert found in (before, after), f"killed before call {at}: a mixture"
        assert not has_leftovers(workspace)
        seen["before" if found == before else "after"] += 1

    assert tree(tmp_path / "whole") == after
    assert all(seen.values()), seen


def test_what_others_did_to_a_killed_commit_is_kept(tmp_path: Path) -> None:
    """Undoing never overwrites: their entry stays, and the original is kept beside it."""
    from sandbox.workspace import kernel
    from sandbox.workspace.journal import Journal, Step

    workspace = fill(tmp_path / "w", {"a": "original"})
    root = os.open(workspace, FOLDER)
    journal = Journal.begin(root, tmp_path / "journals")
    staged = workspace / journal.name / "new/0"
    staged.write_text("ours")
    journal.write([Step("swap", "a", "0", staged.stat().st_ino, staged.stat().st_mtime_ns)])
    kernel.exchange(journal.new, "0", root, "a")
    (workspace / "a").unlink()
    (workspace / "a").write_text("theirs")

    kept = recover(root, tmp_path / "journals")
    os.close(root)

    assert [fault.path for fault in kept] == ["a"]
    assert (workspace / "a").read_text() == "theirs"
    lost = list((workspace / journal.name / "lost").iterdir())
    assert [entry.read_text() for entry in lost] == ["original"]


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Path]:
    """A workspace with a folder out of which nothing can be taken again."""
    workspace = fill(tmp_path / "w", {**BEFORE, "log/first": "1"})
    done = subprocess.run(["chattr", "+a", workspace / "log"], check=False, capture_output=True)
    if done.returncode != 0:
        pytest.skip("needs uid 0 and a file system with append-only folders, such as ext4")
    yield workspace
    subprocess.run(["chattr", "-a", workspace / "log"], check=True)


def test_what_cannot_be_undone_is_told(growing: Path) -> None:
    """A commit that failed with a part of it in the workspace is no failed one."""
    with WorkspaceOverlay(growing) as overlay:
        with over(overlay) as merged:
            (merged / "log/added").write_text("2")
            (merged / "log/first").write_text("changed")
        with pytest.raises(CommitError) as caught:
            overlay.commit(overlay.changes())

    assert caught.value.kind == "torn"
    assert [fault.path for fault in caught.value.faults] == ["log/added", "."]
    assert (growing / "log/added").read_text() == "2"
    assert (growing / "log/first").read_text() == "1"


def test_the_lock_is_let_go(tmp_path: Path) -> None:
    root = os.open(fill(tmp_path / "w", {}), FOLDER)
    with locked(root):
        pass
    with locked(root):
        pass
    os.close(root)
