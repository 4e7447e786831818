"""A governed tool on an overlay on each backend, as root and as a user, or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from backends import leftovers
from editing import editor, script
from faults import findings
from overlays import fill, needs_root, tree

from permissions.model import Completed
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.backends.docker import DockerSandbox
from sandbox.workspace.host_mounts import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = 4711
SUPPORT = Path(__file__).parents[2] / "support"
ROOT = Path(__file__).parents[3]
BEFORE = {"a": "one\n", "d/x": "x\n"}
EDIT = "pwd; echo two >> a; mkdir n; echo new > n/f; rm -r d"
AFTER = {
    "a": ("file", 0o644, b"one\ntwo\n"),
    "n": ("directory", 0o755, b""),
    "n/f": ("file", 0o644, b"new\n"),
}


@needs_root
@pytest.mark.parametrize(
    ("backend", "tool"),
    [
        pytest.param(BubblewrapSandbox, "change", id="bubblewrap", marks=pytest.mark.bwrap),
        pytest.param(
            DockerSandbox, "change_in_container", id="docker", marks=pytest.mark.docker
        ),
    ],
)
async def test_as_root(backend: Any, tool: str, tmp_path: Path) -> None:
    """It is committed, and no mount, process or container is left."""
    workspace = fill(tmp_path / "w", BEFORE)
    async with (
        backend() as opened,
        editor(workspace, tmp_path / "code", sandbox=opened) as (broker, session),
    ):
        result = await broker.call(session, script(EDIT, tool=tool))

    assert isinstance(result, Completed), result
    assert result.value == "/workspace\n"
    assert tree(workspace) == AFTER
    assert findings(broker.trace.entries) == []
    assert leftovers() == []
    mine = f".{os.getpid()}."  # others of this machine may have overlays, too
    assert [left for left in FOLDER.glob("*") if mine in left.name] == []


@pytest.mark.slow
@needs_root
@pytest.mark.bwrap
def test_as_a_plain_user_on_bubblewrap() -> None:
    with owned_by_a_user() as (workspace, code):
        done = as_user("bubblewrap", workspace, code)

        assert done == {"said": "/workspace\n", "fates": ["committed"]}
        assert tree(workspace) == AFTER


@needs_root
@pytest.mark.docker
def test_as_a_plain_user_on_docker_it_is_refused_and_nothing_ran() -> None:
    """Only uid 0 can mount an overlay for a container; a copy in its place would be a weaker one."""
    with owned_by_a_user() as (workspace, code):
        socket = Path("/var/run/docker.sock")
        if "DOCKER_HOST" in os.environ or not socket.exists():
            pytest.skip("the engine is reached otherwise than by its usual socket")
        done = as_user("docker", workspace, code, group=socket.stat().st_gid)

        assert done == {"said": ["unavailable", "isolation.unavailable"], "fates": []}
        assert "a" in tree(workspace)
        assert (workspace / "a").read_text() == "one\n"


@contextmanager
def owned_by_a_user() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        workspace = fill(Path(path, "workspace"), BEFORE)
        code = Path(path, "code")
        code.mkdir()
        for each in (workspace, *workspace.rglob("*"), code):
            os.chown(each, USER, USER)
        yield workspace, code


def as_user(backend: str, workspace: Path, code: Path, *, group: int | None = None) -> Any:
    """What the same came to in a process without privileges; a visible skip without one."""
    program = str(SUPPORT / "editing_as_user.py")
    argv = [sys.executable, program, backend, str(workspace), str(code), EDIT]
    drop: dict[str, Any] = {
        "env": {"PYTHONPATH": f"{ROOT}:{SUPPORT}", "PATH": os.defpath, "HOME": "/nonexistent"},
        "user": USER,
        "group": USER,
        "extra_groups": () if group is None else (group,),
        "cwd": "/",
        "capture_output": True,
        "text": True,
    }
    try:
        able = subprocess.run(
            [sys.executable, "-c", "import wardline, pydantic"], check=False, **drop
        )
    except PermissionError:
        pytest.skip("the interpreter or its packages are closed to other users")
    if able.returncode != 0:
        pytest.skip(f"other users cannot import what is tested: {able.stderr[-200:]}")
    done = subprocess.run(argv, check=False, **drop)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
