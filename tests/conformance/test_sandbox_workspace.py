"""On each backend a job over a workspace changes its overlay, and the workspace by commit only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio
import pytest
from backends import BACKENDS, ON_GVISOR, leftovers
from overlays import fill, tree

from sandbox import CommandJob, SandboxProfile
from sandbox.errors import ProfileError
from sandbox.workspace import WorkspaceOverlay
from sandbox.workspace.host_mounts import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Sandbox
    from sandbox.result import ExecResult

pytestmark = pytest.mark.parametrize("sandbox", [*BACKENDS, *ON_GVISOR], indirect=True)

BEFORE = {"a": "one\n", "d/x": "x\n", ".wardline/key": "secret\n"}
EDIT = "echo two >> a && rm -r d && mkdir -p n/m && echo new > n/m/f && chmod 750 n/m/f"


async def run(
    sandbox: Sandbox,
    overlay: WorkspaceOverlay,
    script: str,
    profile: SandboxProfile | None = None,
) -> ExecResult:
    job = CommandJob(("sh", "-c", script))
    return await sandbox.run(job, profile or SandboxProfile(), workspace=overlay)


async def test_a_run_is_committed(sandbox: Sandbox, tmp_path: Path) -> None:
    workspace = fill(tmp_path / "w", BEFORE)
    with WorkspaceOverlay(workspace) as overlay:
        result = await run(sandbox, overlay, f"pwd; {EDIT}")
        was = tree(workspace)
        changes = overlay.changes()
        assert was == tree(fill(tmp_path / "again", BEFORE))
        overlay.commit(changes)

    assert (result.verdict, result.stdout) == ("ok", b"/workspace\n")
    assert result.enforced["workspace"] == "overlay"
    assert (workspace / "a").read_text() == "one\ntwo\n"
    assert not (workspace / "d").exists()
    assert (workspace / "n/m/f").read_text() == "new\n"
    assert (workspace / "n/m/f").stat().st_mode & 0o777 == 0o750
    assert changes.diffs["a"].endswith("+two")


async def test_without_a_commit_nothing_is_left(sandbox: Sandbox, tmp_path: Path) -> None:
    """Neither in the workspace, nor mounted, after a good end, a limit and a cancellation."""
    workspace = fill(tmp_path / "w", BEFORE)
    for script, verdict in ((EDIT, "ok"), (f"{EDIT}; yes", "output")):
        with WorkspaceOverlay(workspace) as overlay:
            assert (await run(sandbox, overlay, script)).verdict == verdict
            assert overlay.changes().changes
    with WorkspaceOverlay(workspace) as overlay, anyio.move_on_after(0.5):
        await run(sandbox, overlay, f"{EDIT}; sleep 60")

    assert tree(workspace) == tree(fill(tmp_path / "again", BEFORE))
    assert leftovers() == []
    mine = f".{os.getpid()}."  # others of this machine may have overlays, too
    assert [left for left in FOLDER.glob("*") if mine in left.name] == []


async def test_what_is_hidden_is_not_there(sandbox: Sandbox, tmp_path: Path) -> None:
    """The broker's folder in the workspace holds its keys."""
    with WorkspaceOverlay(fill(tmp_path / "w", BEFORE)) as overlay:
        result = await run(sandbox, overlay, "ls -A; cat .wardline/key")

    assert result.stdout == b"a\nd\n"
    assert b"secret" not in result.stdout + result.stderr


async def test_the_layer_is_bounded(sandbox: Sandbox, tmp_path: Path) -> None:
    """What fills up is the overlay, never the host's disk."""
    with WorkspaceOverlay(fill(tmp_path / "w", BEFORE)) as overlay:
        profile = SandboxProfile(work_bytes=1 << 20)
        result = await run(sandbox, overlay, "cat /dev/zero > full", profile)
        changes = overlay.changes()

    assert result.verdict == "disk"
    assert 0 < (changes.changes[0].size or 0) <= 1 << 20


async def test_nothing_of_the_host_is_said_inside(sandbox: Sandbox, tmp_path: Path) -> None:
    workspace = fill(tmp_path / "telling-name", BEFORE)
    with WorkspaceOverlay(workspace) as overlay:
        result = await run(sandbox, overlay, "cat /proc/mounts /proc/self/mountinfo")

    assert b"telling-name" not in result.stdout
    assert b"wardline" not in result.stdout


async def test_a_layer_serves_one_run(sandbox: Sandbox, tmp_path: Path) -> None:
    with WorkspaceOverlay(fill(tmp_path / "w", BEFORE)) as overlay:
        await run(sandbox, overlay, "true")
        with pytest.raises(ProfileError):
            await run(sandbox, overlay, "true")

    assert leftovers() == []
