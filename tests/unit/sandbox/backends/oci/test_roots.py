"""Root file systems: what goes into one, who may change it, and that a change is found."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest

from sandbox.backends.oci.roots import (
    Root,
    collect,
    find,
    held,
    prepare,
    prepared,
    reap,
)
from sandbox.backends.oci.unpack import content_digest
from sandbox.errors import SandboxProviderError, SandboxUnavailableError
from sandbox.images.debootstrap import python_tag
from sandbox.lease import Lease

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="root file systems are root's; run the tests as root"
)

IMAGE = "sha256:" + "a" * 64
PYTHON = f"usr/bin/python{python_tag()}"
PLAIN = (
    ("usr", tarfile.DIRTYPE, 0o755, ""),
    ("usr/bin", tarfile.DIRTYPE, 0o755, ""),
    (PYTHON, tarfile.REGTYPE, 0o755, "x"),
    ("bin", tarfile.SYMTYPE, 0o777, "usr/bin"),
)


def archive(*entries: tuple[str, bytes, int, str]) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, kind, mode, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.uid, entry.gid = kind, mode, 1000, 1000
            if kind == tarfile.REGTYPE:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content.encode()))
            else:
                entry.linkname = content
                tar.addfile(entry)
    made.seek(0)
    return made


def test_it_is_found_by_its_image_or_as_the_default(tmp_path: Path) -> None:
    folder = tmp_path / "roots"
    made = prepare(archive(*PLAIN), image=None, origin="x", is_default=True, folder=folder)
    other = prepare(archive(*PLAIN), image=IMAGE, origin="y", is_default=False, folder=folder)

    assert find(None, folder) == made
    assert find(IMAGE, folder) == other
    assert find(f"name@{IMAGE}", folder) == other
    assert made.image == made.content == other.content
    assert made.python == python_tag()
    assert made.verify()
    assert len(prepared(folder)) == 2


def test_files_keep_their_times(tmp_path: Path) -> None:
    """Or Python would compile its whole library again at every start."""
    made = prepare(
        archive(*PLAIN), image=None, origin="x", is_default=True, folder=tmp_path / "roots"
    )

    assert (made.files / PYTHON).stat().st_mtime == 0


def test_what_is_not_prepared_is_unavailable(tmp_path: Path) -> None:
    """Another image is never taken instead, nor another Python's default."""
    folder = tmp_path / "roots"
    prepare(archive(*PLAIN[:2]), image=None, origin="x", is_default=True, folder=folder)

    for image in (None, IMAGE):
        with pytest.raises(SandboxUnavailableError) as caught:
            find(image, folder)
        assert "wardline sandbox" in caught.value.remedy
        with pytest.raises(SandboxUnavailableError):
            find(image, tmp_path / "nowhere")


def test_nothing_in_it_is_set_id_others_to_write_or_a_device(tmp_path: Path) -> None:
    entries = (
        *PLAIN,
        ("tmp", tarfile.DIRTYPE, 0o1777, ""),
        ("usr/bin/su", tarfile.REGTYPE, 0o4755, "x"),
        ("usr/bin/expiry", tarfile.REGTYPE, 0o2775, "x"),
        ("usr/bin/null", tarfile.CHRTYPE, 0o666, ""),
        ("usr/bin/pipe", tarfile.FIFOTYPE, 0o666, ""),
    )
    made = prepare(
        archive(*entries), image=None, origin="x", is_default=True, folder=tmp_path / "roots"
    )

    found = {path.name: path.lstat() for path in made.files.rglob("*")}
    assert not {"null", "pipe"} & found.keys()
    assert {status.st_uid for status in found.values()} == {0}
    for status in found.values():
        if not stat.S_ISLNK(status.st_mode):
            assert stat.S_IMODE(status.st_mode) & ~0o755 == 0


@pytest.mark.parametrize(
    "entry",
    [
        ("../out", tarfile.REGTYPE, 0o644, "x"),
        ("usr/../../out", tarfile.REGTYPE, 0o644, "x"),
        ("bin/planted", tarfile.REGTYPE, 0o644, "x"),
        ("bin", tarfile.REGTYPE, 0o644, "x"),
        (PYTHON, tarfile.REGTYPE, 0o644, "twice"),
        ("nowhere/file", tarfile.REGTYPE, 0o644, "x"),
        ("hard", tarfile.LNKTYPE, 0o644, "../../etc/passwd"),
        ("hard", tarfile.LNKTYPE, 0o644, "/../etc/passwd"),
    ],
    ids=[
        "climbs",
        "climbs later",
        "through a link",
        "over a link",
        "twice",
        "no folder",
        "a link that climbs",
        "an absolute link that climbs",
    ],
)
def test_an_archive_that_reaches_out_is_refused(
    tmp_path: Path, entry: tuple[str, bytes, int, str]
) -> None:
    """And nothing of it is left."""
    folder = tmp_path / "roots"
    with pytest.raises(SandboxProviderError):
        prepare(archive(*PLAIN, entry), image=None, origin="x", is_default=True, folder=folder)

    assert list(folder.iterdir()) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["content", "mode", "new", "gone", "link"])
def test_any_change_is_found(tmp_path: Path, change: str) -> None:
    made = prepare(
        archive(*PLAIN), image=None, origin="x", is_default=True, folder=tmp_path / "roots"
    )
    match change:
        case "content":
            (made.files / PYTHON).write_text("y")
        case "mode":
            (made.files / PYTHON).chmod(0o700)
        case "new":
            (made.files / "usr/new").touch()
        case "gone":
            (made.files / PYTHON).unlink()
        case _:
            (made.files / "bin").unlink()
            (made.files / "bin").symlink_to("usr")

    assert not made.verify()


def test_one_that_was_changed_is_replaced_by_preparing_it_again(tmp_path: Path) -> None:
    folder = tmp_path / "roots"
    made = prepare(archive(*PLAIN), image=IMAGE, origin="x", is_default=True, folder=folder)
    (made.files / PYTHON).write_text("y")

    again = prepare(archive(*PLAIN), image=IMAGE, origin="x", is_default=True, folder=folder)

    assert again.verify()
    assert content_digest(again.files) == made.content


@pytest.mark.parametrize("order", [(False, True), (True, False)], ids=["later", "before"])
def test_a_default_stays_one(tmp_path: Path, order: tuple[bool, bool]) -> None:
    """Whether the same image was prepared by its name before it or after."""
    folder = tmp_path / "roots"
    for is_default in order:
        prepare(archive(*PLAIN), image=IMAGE, origin="x", is_default=is_default, folder=folder)

    assert find(None, folder).image == IMAGE
    assert find(None, folder).verify()


@pytest.mark.parametrize("which", ["folder", "path"])
def test_one_that_others_can_change_is_not_used(tmp_path: Path, which: str) -> None:
    folder = tmp_path / "roots"
    made = prepare(archive(*PLAIN), image=None, origin="x", is_default=True, folder=folder)
    {"folder": folder, "path": made.path}[which].chmod(0o777)

    with pytest.raises(SandboxUnavailableError, match="changed by others"):
        find(None, folder)


def test_only_what_nobody_will_finish_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "roots"
    made = prepare(archive(*PLAIN), image=None, origin="x", is_default=True, folder=folder)
    dead = folder / f"{Lease('0', '0', 1, 1, 1)}_0"
    living = folder / f"{Lease.of_this_process(wall_seconds=9)}_0"
    for path in (dead, living):
        path.mkdir()

    assert reap(folder) == 1
    assert not dead.exists()
    assert living.exists()
    assert find(None, folder) == made


def default(folder: Path, said: str, *, image: str | None = None) -> Root:
    """A default root of this Python that is unlike another one."""
    entries = (*PLAIN, ("said", tarfile.REGTYPE, 0o644, said))
    return prepare(archive(*entries), image=image, origin="x", is_default=True, folder=folder)


def test_what_was_prepared_last_is_the_default(tmp_path: Path) -> None:
    """Also when it is an earlier one again."""
    folder = tmp_path / "roots"
    first = default(folder, "first")
    default(folder, "second")

    assert default(folder, "first").image == first.image
    assert find(None, folder).image == first.image


def test_a_superseded_default_is_collected(tmp_path: Path) -> None:
    """Not the newest, none of another Python, none of a profile's image."""
    folder = tmp_path / "roots"
    old = default(folder, "old")
    named = default(folder, "named", image=IMAGE)
    other = prepare(archive(*PLAIN[:2]), image=None, origin="x", is_default=True, folder=folder)
    own = "sha256:" + "b" * 64
    prepare(archive(*PLAIN), image=own, origin="x", is_default=False, folder=folder)
    new = default(folder, "new")

    assert [root.image for root in collect({named.image}, folder)] == [old.image]
    kept = {root.image for root in prepared(folder)}
    assert kept == {named.image, other.image, own, new.image}
    assert len(list(folder.iterdir())) == len(kept)


def test_one_whose_image_is_gone_is_collected(tmp_path: Path) -> None:
    """Unless a profile names it still; one of an image that is there stays."""
    folder = tmp_path / "roots"
    images = ["sha256:" + letter * 64 for letter in "bcd"]
    for number, image in enumerate(images):
        entry = (f"file{number}", tarfile.REGTYPE, 0o644, "x")
        prepare(
            archive(*PLAIN, entry), image=image, origin="x", is_default=False, folder=folder
        )
    gone, named, there = images

    assert [root.image for root in collect({named}, folder, gone={gone, named})] == [gone]
    assert {root.image for root in prepared(folder)} == {named, there}


def test_one_that_a_sandbox_was_started_from_stays_until_it_ends(tmp_path: Path) -> None:
    folder = tmp_path / "roots"
    default(folder, "old")
    with held(None, folder) as root:
        default(folder, "new")

        assert collect((), folder) == []
        assert root.verify()
    assert collect((), folder) == [root]
    assert collect((), tmp_path / "nowhere") == []


def test_a_root_is_whole_while_it_is_held_and_others_collect(tmp_path: Path) -> None:
    """Whoever starts at that moment gets one that stays, or the next."""
    folder = tmp_path / "roots"
    default(folder, "0")
    done = threading.Event()
    broken = []

    def start() -> None:
        while not done.is_set():
            try:
                with held(None, folder) as root:
                    if not root.verify():
                        broken.append(root.image)
            except SandboxUnavailableError as err:
                broken.append(str(err))

    starting = threading.Thread(target=start)
    starting.start()
    for number in range(1, 40):
        default(folder, str(number))
        collect((), folder)
    done.set()
    starting.join()

    assert broken == []
