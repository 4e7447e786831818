"""A wheel is hostile input: what of it goes into an image, and what is refused."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from wheels import make_wheel

from sandbox.errors import ImageRefusedError
from sandbox.images.layer import write_layer
from sandbox.images.wheel import read_wheel

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Case:
    id: str
    said: str
    files: dict[str, str] = field(default_factory=dict)
    unrecorded: dict[str, str] = field(default_factory=dict)


REFUSED = [
    Case("climbs", "not a plain relative path|forbidden", {"../evil.py": "x"}),
    Case("climbs in the middle", "small", {"a/../../evil.py": "x"}),
    Case("from the root", "small", {"/etc/passwd": "x"}),
    Case("a backslash", "no plain file", {"a\\..\\evil.py": "x"}),
    Case("a control character", "small", {"a\nb.py": "x"}),
    Case("run at Python's start", "at its start", {"sitecustomize.py": "x"}),
    Case("the same as a package", "at its start", {"usercustomize/__init__.py": "x"}),
    Case("hidden in .data", "at its start", {"small-1.0.data/purelib/sitecustomize.py": "x"}),
    Case("not in RECORD", "not in its RECORD", {}, {"more.py": "x"}),
    Case("twice by another way", "twice", {"a.py": "x", "small-1.0.data/purelib/a.py": "y"}),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_what_must_not_go_in_is_refused(case: Case, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, files=case.files, unrecorded=case.unrecorded)

    with pytest.raises(ImageRefusedError, match=case.said):
        read_wheel(path)


def test_other_bytes_than_recorded_are_refused(tmp_path: Path) -> None:
    path = make_wheel(tmp_path)
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            changed = b"evil = 1\n" if entry.filename == "small.py" else old.read(entry)
            new.writestr(entry, changed)

    with pytest.raises(ImageRefusedError, match="not the file its RECORD names"):
        read_wheel(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_or_a_device_is_refused(kind: int, tmp_path: Path) -> None:
    path = make_wheel(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo("link.py")
        entry.external_attr = (kind | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")

    with pytest.raises(ImageRefusedError, match="no plain file"):
        read_wheel(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("small.whl", "not named like a wheel"),
        ("other-1.0-py3-none-any.whl", "dist-info folder of its own"),
        ("small-2.0-py3-none-any.whl", "calls itself something else"),
    ],
)
def test_a_wheel_under_another_name_is_refused(name: str, said: str, tmp_path: Path) -> None:
    path = make_wheel(tmp_path).rename(tmp_path / name)

    with pytest.raises(ImageRefusedError, match=said):
        read_wheel(path)


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\3\4" + b"\0" * 100])
def test_what_is_no_archive_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "small-1.0-py3-none-any.whl").write_bytes(data)

    with pytest.raises(ImageRefusedError, match="cannot be read"):
        read_wheel(tmp_path / "small-1.0-py3-none-any.whl")


def test_scripts_and_path_files_stay_out(tmp_path: Path) -> None:
    """A script called python3 is on no PATH, and a .pth line is never read."""
    files = {
        "small.py": "x = 1\n",
        "small-1.0.data/purelib/more.py": "y = 2\n",
        "small-1.0.data/scripts/python3": "#!/bin/sh\n",
        "small-1.0.data/data/etc/passwd": "root::0:0\n",
        "evil.pth": "import os\n",
    }
    wheel = read_wheel(make_wheel(tmp_path, files=files))

    assert {name for name in wheel.files if ".dist-info" not in name} == {"small.py", "more.py"}
    assert len(wheel.left_out) == 3
    assert (wheel.name, wheel.version, wheel.licence) == ("small", "1.0", "MIT")


def layer(*wheels: Path) -> tuple[str, bytes]:
    target = io.BytesIO()
    digest = write_layer(target, [read_wheel(each) for each in wheels], b"{}", python="3.11")
    return digest, target.getvalue()


def test_a_layer_holds_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    """And is the same bytes whenever and in whatever order it is made."""
    one, two = make_wheel(tmp_path / "1"), make_wheel(tmp_path / "2", "other")

    digest, data = layer(one, two)

    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        entries = tar.getmembers()
    paths = {e.name for e in entries if not e.name.startswith("opt/wardline")}
    assert paths == {
        f"usr/local/lib/python3.11/{kind}-packages/wardline.pth" for kind in ("dist", "site")
    }
    assert {(e.uid, e.gid, e.mtime) for e in entries} == {(0, 0, 0)}
    assert layer(two, one) == (digest, data)


def test_two_wheels_may_not_disagree_about_a_file(tmp_path: Path) -> None:
    same = {"shared/__init__.py": ""}
    one = make_wheel(tmp_path, "one", files=same)
    two = make_wheel(tmp_path, "two", files=same)
    three = make_wheel(tmp_path, "three", files={"shared/__init__.py": "evil = 1"})

    assert layer(one, two)[0].startswith("sha256:")
    with pytest.raises(ImageRefusedError, match="both hold 'shared/"):
        layer(one, three)
