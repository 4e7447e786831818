"""What is kept between processes counts only when this user's Wardline wrote it, for this."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from permissions.pdp import remembered
from permissions.pdp.remembered import recall, remember

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER_USER = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away: needs uid 0")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def key_file(home: Path) -> Path:
    return home / "state/wardline/cache.key"


def folder(home: Path) -> Path:
    return home / "cache/wardline/policies"


def only_file(home: Path) -> Path:
    [found] = folder(home).iterdir()
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("data", [b"", b"nothing found", b"x\n" * 200_000], ids=len)
def test_what_is_kept_is_found_again(data: bytes) -> None:
    assert recall("one") is None
    remember("one", data)

    assert recall("one") == data
    assert recall("another") is None


def test_another_process_finds_it(home: Path) -> None:
    remember("one", b"data")

    program = "from permissions.pdp.remembered import recall; print(recall('one'))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, cwd=home
    )

    assert done.stdout.strip() == "b'data'"


def test_nobody_else_can_read_or_write_any_of_it(home: Path) -> None:
    before = os.umask(0)
    try:
        remember("one", b"data")
    finally:
        os.umask(before)

    assert (
        mode(folder(home)) == mode(folder(home).parent) == mode(key_file(home).parent) == 0o700
    )
    assert mode(only_file(home)) == mode(key_file(home)) == 0o600


def altered(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


SPOILT: dict[str, Callable[[Path], object]] = {
    "its tag altered": lambda home: altered(only_file(home), 0),
    "its data altered": lambda home: altered(only_file(home), -1),
    "its end cut": lambda home: os.truncate(
        only_file(home), only_file(home).stat().st_size - 1
    ),
    "its data cut": lambda home: os.truncate(only_file(home), 32),
    "its tag cut": lambda home: os.truncate(only_file(home), 31),
    "emptied": lambda home: os.truncate(only_file(home), 0),
    "zeros": lambda home: only_file(home).write_bytes(bytes(40)),
    "longer": lambda home: only_file(home).write_bytes(only_file(home).read_bytes() + b"x"),
    "writable by a group": lambda home: only_file(home).chmod(0o620),
    "writable by all": lambda home: only_file(home).chmod(0o602),
    "a link": lambda home: linked(only_file(home), home / "there"),
    "a folder": lambda home: made_folder(only_file(home)),
    "a pipe": lambda home: piped(only_file(home)),
    "its folder writable by a group": lambda home: folder(home).chmod(0o770),
    "its folder writable by all": lambda home: folder(home).chmod(0o703),
    "its folder a link": lambda home: linked(folder(home), home / "there"),
    "another key": lambda home: key_file(home).write_bytes(os.urandom(32)),
    "no key": lambda home: key_file(home).unlink(),
    "a short key": lambda home: os.truncate(key_file(home), 31),
    "a key others can read": lambda home: key_file(home).chmod(0o640),
    "a key others can write": lambda home: key_file(home).chmod(0o602),
    "a key that is a link": lambda home: linked(key_file(home), home / "there"),
}


def linked(path: Path, to: Path) -> None:
    path.rename(to)
    path.symlink_to(to)


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def made_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_in_any_doubt_there_is_nothing(home: Path, spoil: Callable[[Path], object]) -> None:
    remember("one", b"data")

    spoil(home)

    assert recall("one") is None


@needs_root
@pytest.mark.parametrize("which", [only_file, folder, key_file], ids=lambda each: each.__name__)
def test_what_belongs_to_another_user_is_nothing(
    home: Path, which: Callable[[Path], Path]
) -> None:
    remember("one", b"data")
    os.chown(which(home), OTHER_USER, OTHER_USER)

    assert recall("one") is None
    remember("one", b"data")
    assert recall("one") == (b"data" if which is only_file else None)


@needs_root
def test_nothing_is_left_in_another_users_home(home: Path) -> None:
    """`sudo` keeps HOME, and what root would make there its owner could not remove."""
    os.chown(home, OTHER_USER, OTHER_USER)

    remember("one", b"data")

    assert list(home.iterdir()) == []


def test_one_kept_under_another_name_is_nothing(home: Path) -> None:
    remember("one", b"data")
    first = only_file(home)
    remember("two", b"other")
    [second] = {*folder(home).iterdir()} - {first}

    second.write_bytes(first.read_bytes())

    assert recall("two") is None
    assert recall("one") == b"data"


def test_one_kept_by_other_code_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    remember("one", b"data")

    # Another version of this project, which cannot be installed beside it here.
    monkeypatch.setattr(remembered, "_CODE", "f" * 64)

    assert recall("one") is None


def test_code_that_cannot_be_read_keeps_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An installation whose files are not there (a zip), without taking ours away.
    monkeypatch.setattr(remembered, "_FOLDER_OF_CODE", home)
    assert remembered._code() == ""
    monkeypatch.setattr(remembered, "_CODE", remembered._code())

    remember("one", b"data")

    assert recall("one") is None
    assert not folder(home).exists() or not list(folder(home).iterdir())


def test_a_changed_line_of_the_code_is_other_code(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every module and table of the decision point, whatever else lies beside them."""
    was = remembered._code()
    copy = home / "pdp"
    for path in Path(remembered.__file__).parent.rglob("*"):
        if path.suffix in (".py", ".json"):
            target = copy / path.relative_to(Path(remembered.__file__).parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    # A copy that may be edited: the real code is not changed by its test.
    monkeypatch.setattr(remembered, "_FOLDER_OF_CODE", copy)
    monkeypatch.setattr(remembered, "__file__", str(copy / "remembered.py"))
    assert remembered._code() == was

    for name in (
        "lint/rules.py",
        "compiler/types.py",
        "linker/question.py",
        "rego/builtins.json",
    ):
        text = (copy / name).read_text()
        (copy / name).write_text(text + " ")
        assert remembered._code() != was, name
        (copy / name).write_text(text)
    assert remembered._code() == was


def test_what_makes_it_lies_in_the_code_that_is_digested() -> None:
    """A module from elsewhere that a verdict follows from would have to be digested, too."""
    program = (
        "import sys; import permissions.pdp.embedded.served, permissions.pdp.regorus.engine;"
        "print(*sorted(m for m in sys.modules if m.partition('.')[0] == 'permissions'"
        " and not m.startswith('permissions.pdp')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )

    assert set(done.stdout.split()) == {
        "permissions",
        "permissions.errors",
        "permissions.files",
        "permissions.signing",
        "permissions.signing.canonical",
        "permissions.user_folders",
        "permissions.vocabulary",
    }


def test_what_was_kept_first_goes_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Three for as many as it keeps: the order is what is told.
    monkeypatch.setattr(remembered, "_MOST_FILES", 3)
    for number in range(5):
        remember(str(number), b"data")
        newest = max(folder(home).iterdir(), key=lambda each: each.stat().st_mtime_ns)
        os.utime(newest, ns=(number, number))

    assert [recall(str(number)) for number in range(5)] == [
        None,
        None,
        b"data",
        b"data",
        b"data",
    ]


def test_a_home_that_cannot_be_used_is_no_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "cache").write_text("a file")

    remember("one", b"data")

    assert recall("one") is None


def test_a_user_without_a_home_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    # An account without a home, which no test may create.
    monkeypatch.setattr(Path, "home", nobody)
    remember("one", b"data")

    assert recall("one") is None
