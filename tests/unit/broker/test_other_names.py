"""Where the mount table shows files a second time."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from permissions.broker.control_plane import ControlPlane
from permissions.broker.other_names import further_names, mounts_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLE = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw - proc proc rw
24 22 8:2 / /home rw - ext4 /dev/sda2 rw
30 22 8:2 /kim/desk/.wardline/keys /srv/k rw - ext4 /dev/sda2 rw
31 22 8:2 /kim/desk /mnt/my\040desk rw - ext4 /dev/sda2 rw
32 22 8:2 /kim/other /mnt/other rw - ext4 /dev/sda2 rw
33 22 0:40 /kim/desk/.wardline /mnt/elsewhere rw - tmpfs tmpfs rw
34 22 8:2 /kim/desk/.wardline/state.db /mnt/file.txt rw - ext4 /dev/sda2 rw
"""


def test_each_mount_of_it_or_of_a_part_of_it_is_a_name() -> None:
    own = "/home/kim/desk/.wardline"

    assert further_names([own], mounts_of(TABLE)) == {
        "/srv/k": own,
        "/mnt/my desk/.wardline": own,
        "/mnt/file.txt": own,
    }


def test_a_name_may_hold_what_others_take_for_the_end_of_a_line() -> None:
    """The kernel writes out spaces, tabs, line feeds and backslashes, and nothing else."""
    table = "24 22 8:2 / /home rw\n31 22 8:2 /kim/desk /mnt/my\u2028\x0bdesk rw\n"

    names = further_names(["/home/kim/desk"], mounts_of(table))

    assert names == {"/mnt/my\u2028\x0bdesk": "/home/kim/desk"}


def test_what_nobody_mounted_twice_has_one_name() -> None:
    assert further_names(["/home/olga", "/etc/x"], mounts_of(TABLE)) == {}
    assert further_names(["/home/kim"], []) == {}


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "desk/.wardline/keys").mkdir(parents=True)
    (tmp_path / "desk/.wardline/keys/log.pem").write_text("key")
    (tmp_path / "desk/docs").mkdir()
    (tmp_path / "desk/docs/notes.txt").write_text("notes")
    return tmp_path / "desk"


def bind(source: Path, point: Path) -> None:
    done = subprocess.run(
        ["mount", "--bind", str(source), str(point)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"this machine mounts nothing: {done.stderr[:80]}")


@pytest.fixture
def mounted(desk: Path) -> Iterator[list[Path]]:
    points: list[Path] = []
    yield points
    for point in reversed(points):
        subprocess.run(["umount", "-l", str(point)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
@pytest.mark.parametrize("part", ["", "keys", "keys/log.pem"], ids=["whole", "folder", "file"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_bind_mount_is_another_name(
    part: str, when: str, desk: Path, mounted: list[Path]
) -> None:
    """Of the folder itself, of one in it and of a file, also when it is made later."""
    point = desk / "docs/other"
    if part.endswith(".pem"):
        point.write_text("")
    else:
        point.mkdir()
    plane = ControlPlane((desk / ".wardline",))
    inside = f"docs/other{'' if part.endswith('.pem') else '/x'}"

    if when == "after":
        assert plane.reached([], {"path": inside}, workspace=desk) is None
    bind(desk / ".wardline" / part, point)
    mounted.append(point)
    if when == "before":
        plane = ControlPlane((desk / ".wardline",))

    assert plane.reached([], {"path": inside}, workspace=desk) is not None
    assert plane.reached([], {"path": "docs/notes.txt"}, workspace=desk) is None
