"""What hostile code leaves in its overlay: nothing of it is followed, waited for or believed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import threading
import time
from typing import TYPE_CHECKING

import pytest
from overlays import fill, needs_root, over, tree

from sandbox.errors import ProfileError
from sandbox.workspace import ChangeSet, WorkspaceOverlay
from sandbox.workspace.at import FOLDER
from sandbox.workspace.capture import Upper, capture
from sandbox.workspace.errors import CommitError
from sandbox.workspace.model import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = needs_root

BEFORE = {"a": "one\n", "d/x": "x\n", ".git/config": "[core]\n", ".git/hooks/README": "r"}


def plant_socket(merged: Path) -> None:
    here = os.getcwd()  # noqa: PTH109 - the address of a socket has to be short
    os.chdir(merged)
    try:
        with socket.socket(socket.AF_UNIX) as planted:
            planted.bind("s")
    finally:
        os.chdir(here)


def plant_hard_link(merged: Path) -> None:
    os.link(merged / ".git/config", merged / "mine")
    (merged / "mine").write_text("[core]\nfsmonitor=evil\n")


def plant_deep(merged: Path) -> None:
    here = os.open(merged, FOLDER)
    for _ in range(400):
        os.mkdir("n", dir_fd=here)
        deeper = os.open("n", FOLDER, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)


def plant_many(merged: Path) -> None:
    for number in range(10_001):
        os.close(os.open(merged / str(number), os.O_CREAT | os.O_WRONLY))


def plant_hook_by_rename(merged: Path) -> None:
    (merged / "innocent").write_text("#!/bin/sh\nid\n")
    (merged / "innocent").rename(merged / ".git/hooks/pre-commit")


def plant_git_file(merged: Path) -> None:
    """A `.git` that is a file names another repository, with hooks of its own."""
    (merged / "sub").mkdir()
    (merged / "sub/.git").write_text("gitdir: ../elsewhere\n")


PLANTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "link to a host file": (lambda m: (m / "l").symlink_to("/etc/shadow"), "lead out"),
    "link out": (lambda m: (m / "d/l").symlink_to("../../other"), "lead out"),
    "link up through a link": (lambda m: (m / "d/l").symlink_to("k/../../x"), "lead out"),
    "pipe": (lambda m: os.mkfifo(m / "p"), "no file: p"),
    "device": (lambda m: os.mknod(m / "n", 0o020666, os.makedev(1, 3)), "no file: c"),
    "disk": (lambda m: os.mknod(m / "n", 0o060666, os.makedev(7, 0)), "no file: b"),
    "socket": (plant_socket, "no file: s"),
    "hard link to a protected file": (plant_hard_link, "more than one name"),
    "set-user-id": (lambda m: os.chmod(m / "a", 0o4755), "set-user-id"),  # noqa: PTH101, S103
    "sticky folder": (lambda m: os.chmod(m / "d", 0o1777), "set-user-id"),  # noqa: PTH101, S103
    "ten terabytes": (lambda m: os.truncate(m / "a", 10 << 40), "more than"),
    "newline": (lambda m: (m / "x\ny").touch(), "not plain"),
    "escape": (lambda m: (m / "\x1b[2J").touch(), "not plain"),
    "right to left": (lambda m: (m / "\u202egpj.exe").touch(), "not plain"),
    "bad UTF-8": (lambda m: (m / os.fsdecode(b"\xff\xfe")).touch(), "not plain"),
    "deep": (plant_deep, "too deeply"),
    "many": (plant_many, "more than 10000 entries"),
}


def overlaid(folder: Path, plant: Callable[[Path], object]) -> tuple[ChangeSet, CommitError]:
    """The change set of an overlay, and why its commit was refused; checks nothing went in."""
    workspace = fill(folder / "workspace", BEFORE)
    was = tree(workspace)
    with WorkspaceOverlay(workspace) as overlay:
        with over(overlay, files=40_000) as merged:
            plant(merged)
        began = time.monotonic()
        changes = overlay.changes()
        with pytest.raises(CommitError) as caught:
            overlay.commit(changes)

    assert time.monotonic() - began < 5
    assert tree(workspace) == was
    return changes, caught.value


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_refused(tmp_path: Path, name: str) -> None:
    plant, reason = PLANTED[name]

    changes, refusal = overlaid(tmp_path, plant)

    assert refusal.kind == "refused"
    assert any(reason in fault.reason for fault in changes.refused), changes.refused[:5]
    assert all(fault.path.isprintable() for fault in changes.refused)


@pytest.mark.parametrize("plant", [plant_hook_by_rename, plant_git_file])
def test_protected_paths_hold_whatever_the_way(
    tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    changes, refusal = overlaid(tmp_path, plant)

    assert refusal.kind == "refused"
    assert changes.protected


@pytest.mark.parametrize("attribute", ["user.overlay.opaque", "user.overlay.whiteout"])
def test_marks_of_the_layer_cannot_be_forged(tmp_path: Path, attribute: str) -> None:
    """A folder the job marks opaque by itself would delete what lies below it."""
    workspace = fill(tmp_path / "workspace", BEFORE)
    with WorkspaceOverlay(workspace) as overlay:
        with over(overlay) as merged:
            (merged / "d/y").write_text("y")
            os.setxattr(merged / "d", attribute, b"y")
        changes = overlay.changes()

    assert [(c.kind, c.path) for c in changes.changes] == [("created", "d/y")]


def test_a_whiteout_cannot_be_made_by_hand(tmp_path: Path) -> None:
    """Nor would it do more than a deletion does."""
    workspace = fill(tmp_path / "workspace", BEFORE)
    with (
        WorkspaceOverlay(workspace) as overlay,
        over(overlay) as merged,
        pytest.raises(PermissionError),
    ):
        os.mknod(merged / "w", stat.S_IFCHR, 0)


def test_a_layer_swapped_under_the_walk_shows_nothing_of_the_host(tmp_path: Path) -> None:
    """Another thread swaps folders and files for links to secrets, as fast as it can."""
    secret = fill(tmp_path / "secret", {"f": "SECRET", "x": "SECRET"})
    workspace = fill(tmp_path / "workspace", {"d/f": "one"})
    upper = fill(tmp_path / "upper", {"d/f": "two", "x": "two"})
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for name, target in (("d", secret), ("x", secret / "x")):
                (upper / name).rename(upper / f"{name}.kept")
                (upper / name).symlink_to(target)
                (upper / name).unlink()
                (upper / f"{name}.kept").rename(upper / name)

    racer = threading.Thread(target=swap)
    racer.start()
    above, below = os.open(upper, FOLDER), os.open(workspace, FOLDER)
    seen = set()
    try:
        for _ in range(400):
            found = capture(
                Upper(above, "user.overlay."), below, since_ns=0, hidden=(), limits=Limits()
            )
            seen |= {change.digest for change in found.changes if change.digest}
            seen |= {change.target for change in found.changes if change.target}
            assert "SECRET" not in str(found.diffs)
    finally:
        stop.set()
        racer.join()
        os.close(above)
        os.close(below)

    assert len(seen) == 1  # of "two", and of nothing else


def test_a_folder_swapped_under_a_commit_is_not_followed(tmp_path: Path) -> None:
    """A folder of the workspace becomes a link between the judgement and the commit."""
    workspace = fill(tmp_path / "workspace", BEFORE)
    outside = fill(tmp_path / "outside", {"x": "x\n"})
    with WorkspaceOverlay(workspace) as overlay:
        with over(overlay) as merged:
            (merged / "d/x").write_text("evil")
            (merged / "d/new").write_text("evil")
        changes = overlay.changes()
        (workspace / "d").rename(workspace / "kept")
        (workspace / "d").symlink_to(outside)
        with pytest.raises(CommitError):
            overlay.commit(changes)

    assert tree(outside) == {"x": ("file", 0o644, b"x\n")}


def test_a_run_cannot_plant_a_commit(tmp_path: Path) -> None:
    workspace = fill(tmp_path / "workspace", BEFORE)
    with WorkspaceOverlay(workspace) as overlay:
        with over(overlay) as merged:
            fill(merged, {".wardline-commit-00/old/0": "x"})
        changes = overlay.changes()

    assert [fault.path for fault in changes.refused] == [".wardline-commit-00"]


@pytest.mark.parametrize(
    ("plant", "refused"),
    [
        (lambda top: shutil.rmtree(top / "app"), ["app/deep/keys", "app/key"]),
        (lambda top: (top / "app/key").write_text("mine"), ["app/key"]),
        (lambda top: (top / "app/deep/keys").mkdir(), ["app/deep/keys"]),
        (lambda top: (top / "app/x").write_text("new"), []),
    ],
    ids=["folder removed", "replaced", "a folder of its name", "beside it"],
)
def test_what_is_hidden_deep_inside_is_neither_seen_nor_changed(
    tmp_path: Path, plant: Callable[[Path], object], refused: list[str]
) -> None:
    files = {"app/key": "secret", "app/deep/keys/one": "secret", "app/x": "x"}
    workspace = fill(tmp_path / "workspace", files)
    (workspace / "app").chmod(0o750)
    with WorkspaceOverlay(workspace, hidden=("app/key", "app/deep/keys", "gone/x")) as overlay:
        with over(overlay) as merged:
            assert tree(merged) == {
                "app": ("directory", 0o750, b""),
                "app/deep": ("directory", 0o755, b""),
                "app/x": ("file", 0o644, b"x"),
            }
            plant(merged)
        changes = overlay.changes()
        assert sorted(fault.path for fault in changes.refused) == refused
        if refused:
            with pytest.raises(CommitError):
                overlay.commit(changes)
        else:
            assert [change.path for change in changes.changes] == ["app/x"]
            overlay.commit(changes)

    assert (workspace / "app/key").read_text() == "secret"
    assert (workspace / "app/deep/keys/one").read_text() == "secret"


STEP = {"do": "take", "path": "a", "slot": "0", "inode": 0, "modified_ns": 0, "modes": [0, 0]}
FORGED = {
    "no journal": "nonsense",
    "unknown step": json.dumps({"steps": [{"do": "rm"}]}),
    "unknown word": json.dumps({"steps": [STEP | {"do": "rm"}]}),
    "climbs": json.dumps({"steps": [STEP | {"path": "../outside/x"}]}),
    "absolute": json.dumps({"steps": [STEP | {"path": "/etc/shadow"}]}),
    "slot that climbs": json.dumps({"steps": [STEP | {"slot": "../../b"}]}),
    "a hook": json.dumps({"steps": [STEP | {"path": ".git/hooks/pre-commit"}]}),
    "a plain file": json.dumps({"steps": [STEP]}),
}


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("folder", [".wardline-commit", ".wardline-commit-00"])
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_workspace_that_brings_a_journal_achieves_nothing(
    tmp_path: Path, name: str, folder: str, mode: int
) -> None:
    """A cloned repository may hold anything; it opens, and nothing in it is moved or obeyed."""
    fill(tmp_path / "outside", {"x": "x\n"})
    workspace = fill(tmp_path / "workspace", BEFORE)
    for journal in ("journal", "1-00"):
        fill(workspace, {f"{folder}/old/0": "evil", f"{folder}/{journal}": FORGED[name]})
    (workspace / folder).chmod(mode)
    (workspace / folder / "new").mkdir(mode=0o700)
    (workspace / "a").unlink()
    was = tree(tmp_path)
    with WorkspaceOverlay(workspace, journals=tmp_path / "state" / "journals") as overlay:
        assert (folder in overlay.hidden) is folder.endswith("-00")

    assert tree(tmp_path) == was


def test_a_journal_is_not_looked_for_in_the_workspace(tmp_path: Path) -> None:
    workspace = fill(tmp_path / "workspace", BEFORE)
    with (
        pytest.raises(ProfileError, match="lies in the workspace"),
        WorkspaceOverlay(workspace, journals=workspace / "journals"),
    ):
        pass


@pytest.mark.parametrize(
    "path", [".git/hooks/pre-commit", ".git", "../x", ".vscode/tasks.json"]
)
def test_an_undo_touches_no_path_that_a_commit_may_not(tmp_path: Path, path: str) -> None:
    """Also one whose journal is where journals are: a protected path was never committed."""
    workspace = fill(tmp_path / "workspace", {**BEFORE, ".git/config": "c\n"})
    journals = tmp_path / "journals"
    journals.mkdir(mode=0o700)
    folder = workspace / ".wardline-commit-00"
    fill(folder, {"old/0": "evil"})
    document = {
        "folder": folder.name,
        "inode": folder.stat().st_ino,
        "steps": [STEP | {"path": path}],
    }
    (journals / f"{workspace.stat().st_ino}-00").write_text(json.dumps(document))
    was = tree(workspace)
    with pytest.raises(CommitError), WorkspaceOverlay(workspace, journals=journals):
        pass

    assert tree(workspace) == was


@needs_root
def test_journals_that_others_may_write_are_not_believed(tmp_path: Path) -> None:
    """Root must not move files at the word of whoever can write to the folder."""
    workspace = fill(tmp_path / "workspace", BEFORE)
    journals = tmp_path / "journals"
    for mode, owner in ((0o777, 0), (0o700, 4711)):
        journals.mkdir(exist_ok=True)
        journals.chmod(mode)
        os.chown(journals, owner, owner)
        with pytest.raises(CommitError), WorkspaceOverlay(workspace, journals=journals):
            pass
