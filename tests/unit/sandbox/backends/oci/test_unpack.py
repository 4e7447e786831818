"""An archive is unpacked below its folder, through no link, whatever its entries say."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.backends.oci.unpack import unpack

if TYPE_CHECKING:
    from pathlib import Path


def archive(*entries: dict[str, Any]) -> tarfile.TarFile:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for entry in entries:
            content = entry.pop("content", b"")
            info = tarfile.TarInfo(entry.pop("name"))
            for name, value in entry.items():
                setattr(info, name, value)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data.seek(0)
    return tarfile.open(fileobj=data)


def folder(name: str) -> dict[str, Any]:
    return {"name": name, "type": tarfile.DIRTYPE, "mode": 0o755}


def link(name: str, to: str, *, hard: bool = False) -> dict[str, Any]:
    kind = tarfile.LNKTYPE if hard else tarfile.SYMTYPE
    return {"name": name, "type": kind, "linkname": to}


REFUSED: dict[str, list[dict[str, Any]]] = {
    "hard link through a link": [link("a", "OUTSIDE"), link("b", "a/secret", hard=True)],
    "hard link through an inner link": [
        folder("d"),
        link("d/a", "OUTSIDE"),
        link("b", "d/a/secret", hard=True),
    ],
    "hard link out": [link("b", "../outside/secret", hard=True)],
    "hard link to an absolute path": [link("b", "OUTSIDE/secret", hard=True)],
    "hard link to what was not there": [link("b", "later", hard=True), {"name": "later"}],
    "file through a link": [link("a", "OUTSIDE"), {"name": "a/new", "content": b"x"}],
    "folder through a link": [link("a", "OUTSIDE"), folder("a/new")],
    "folder over a link": [link("a", "OUTSIDE"), folder("a"), {"name": "a/new"}],
    "file over a link": [link("a", "OUTSIDE/secret"), {"name": "a", "content": b"x"}],
    "link over a folder": [folder("a"), link("a", "OUTSIDE")],
    "climbing": [{"name": "../outside/new", "content": b"x"}],
    "climbing from inside": [folder("d"), {"name": "d/../../outside/new"}],
    "absolute": [{"name": "//OUTSIDE/new"}],
}


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_reached_through_a_link(tmp_path: Path, name: str) -> None:
    outside, files = tmp_path / "outside", tmp_path / "files"
    outside.mkdir()
    files.mkdir()
    (outside / "secret").write_text("secret")
    entries = [
        {
            key: value.replace("OUTSIDE", str(outside)) if isinstance(value, str) else value
            for key, value in entry.items()
        }
        for entry in REFUSED[name]
    ]

    with archive(*entries) as tar, pytest.raises((ValueError, OSError)):
        unpack(tar, files)

    assert [each.name for each in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "secret"
    assert (outside / "secret").stat().st_nlink == 1


def test_what_an_image_holds_is_there(tmp_path: Path) -> None:
    """Also hard links to its own files; no device and no set-user-id bit."""
    with archive(
        folder("bin"),
        {"name": "bin/x", "content": b"x", "mode": 0o4777},
        link("bin/y", "bin/x", hard=True),
        link("bin/z", "/etc/shadow"),
        link("bin/zz", "bin/z", hard=True),
        {"name": "null", "type": tarfile.CHRTYPE},
        {"name": ".wh.bin"},
    ) as tar:
        unpack(tar, tmp_path)

    assert (tmp_path / "bin/y").read_bytes() == b"x"
    assert (tmp_path / "bin/x").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "bin/zz").is_symlink()
    assert not (tmp_path / "null").exists()
    assert (tmp_path / ".wh.bin").is_file()
