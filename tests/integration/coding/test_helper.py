"""The helper of a project's hooks: started by the first, used by the others, never trusted blindly."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hooking import event
from hooking import hook as started

from permissions.coding import answerers, hook, noted
from permissions.service.address import short
from permissions.setup.giving_way import require_free
from permissions.setup.layout import StateLayout
from permissions.setup.trust import TrustList
from permissions.trace.store import LOCK_FILE

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def folder(repository: Path) -> Path:
    """Where its socket lies."""
    return Path(noted.note_folder(str(repository / "wardline.toml")))


def ask(repository: Path, command: str) -> tuple[str, str]:
    """What is decided, and why."""
    code, out, err = started(event(repository, "Bash", command=command), cwd=repository)
    assert code in (0, 2)
    return ("allow" if out == "{}" else "deny", err)


def process_of(folder: Path) -> int:
    link = noted.connected(str(folder))
    assert link is not None
    with socket.socket(fileno=link.detach()) as peer:
        said = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(said[:4], "little")


def await_end(number: int) -> None:
    until = time.monotonic() + 60
    while (there := Path(f"/proc/{number}").exists()) and time.monotonic() < until:
        time.sleep(0.02)
    assert not there


@pytest.mark.slow
def test_the_next_hooks_are_answered_by_the_same_helper_until_policies_change(
    repository: Path, folder: Path
) -> None:
    assert ask(repository, "git status") == ("allow", "")
    number = process_of(folder)
    assert "filesystem.secret" in ask(repository, "cat .env")[1]

    assert process_of(folder) == number
    assert (folder / noted.SOCKET).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700

    rule = repository / ".wardline-policies" / "layers" / "mine" / "mine.rego"
    rule.parent.mkdir(parents=True)
    rule.write_text("package wardline.layers.mine\n\ndeny contains")
    assert "mine.rego" in ask(repository, "git status")[1]
    await_end(number)


@pytest.mark.slow
def test_settings_that_changed_are_not_obeyed_and_those_of_before_neither(
    repository: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found ones: after each change they have to be trusted anew."""
    monkeypatch.delenv("WARDLINE_CONFIG")
    settings = repository / "wardline.toml"
    content = settings.read_bytes()
    TrustList().add(settings, content)
    assert ask(repository, "git status") == ("allow", "")
    number = process_of(folder)

    settings.write_bytes(content + b"\n")
    assert "wardline trust" in ask(repository, "git status")[1]
    settings.write_bytes(content)
    TrustList().remove(settings)
    assert "wardline trust" in ask(repository, "git status")[1]
    await_end(number)


@pytest.mark.slow
def test_it_ends_when_it_is_killed_or_in_the_way_or_without_its_socket(
    repository: Path, folder: Path
) -> None:
    assert ask(repository, "git status") == ("allow", "")
    killed = process_of(folder)
    os.kill(killed, signal.SIGKILL)
    await_end(killed)

    assert ask(repository, "git status") == ("allow", "")
    in_the_way = process_of(folder)
    assert in_the_way != killed
    layout = StateLayout(repository / ".wardline")
    require_free(layout)
    with (layout.trace / LOCK_FILE).open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    assert ask(repository, "git status") == ("allow", "")
    last = process_of(folder)
    (folder / noted.SOCKET).unlink()
    await_end(last)


@pytest.mark.slow
def test_many_first_hooks_at_once_start_one(repository: Path, folder: Path) -> None:
    found: list[str] = []
    asking = [
        threading.Thread(target=lambda: found.append(ask(repository, "git status")[0]))
        for _ in range(4)
    ]
    for each in asking:
        each.start()
    for each in asking:
        each.join()

    assert found == ["allow"] * 4


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of notes that says `helper`, whose socket a test puts there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    settings = tmp_path / "wardline.toml"
    settings.write_text('workspace = "."\n')
    monkeypatch.setenv("WARDLINE_CONFIG", str(settings))
    folder = noted.note_folder(str(settings))
    answerers.note(folder, noted.stamp(str(settings)))
    return Path(folder)


class Impostor:
    """Listens as the helper would, and answers as told."""

    def __init__(self, folder: Path, answer: bytes | None, mode: int = 0o600) -> None:
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short(folder) as name:
            self._link.bind(f"{name}/{noted.SOCKET}")
        (folder / noted.SOCKET).chmod(mode)
        self._link.listen()
        self._answer = answer
        self.asked = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._link.accept()
            except OSError:
                return
            with peer:
                length = int.from_bytes(peer.recv(4), "big")
                while length:
                    length -= len(peer.recv(length))
                self.asked += 1
                if self._answer is not None:
                    with suppress(OSError):  # who asked has given up
                        peer.sendall(len(self._answer).to_bytes(4, "big") + self._answer)

    def close(self) -> None:
        self._link.shutdown(socket.SHUT_RDWR)
        self._link.close()
        self._thread.join()


ANSWERS = {
    "dies over it": None,
    "nothing": b"",
    "no form": b"{}",
    "no base64": b'{"id":1,"answer":"!"}',
    "an exit code of its own": b'{"id":1,"answer":"AQAAAAA="}',
    "cut": b'{"id":1,"answer":"AAAAAP8="}',
    "an error": b'{"id":0,"error":{"type":"ServiceError","text":"the daemon is full"}}',
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_what_answers_otherwise_is_no_permission_and_is_asked_once(
    answer: bytes | None, bare: Path
) -> None:
    """A question that was sent may have been answered on record: it is not sent again."""
    impostor = Impostor(bare, answer)
    try:
        with pytest.raises(noted.HookError):
            hook.asked(hook.question_of(["codex"], b"{}"), time.monotonic() + 20)
    finally:
        impostor.close()

    assert impostor.asked == 1


def test_one_that_is_stale_for_ever_is_given_up(bare: Path) -> None:
    impostor = Impostor(bare, b'{"id":1,"answer":"c3RhbGU="}')
    try:
        with pytest.raises(noted.HookError, match="too long"):
            hook.asked(hook.question_of(["codex"], b"{}"), time.monotonic() + 0.3)
    finally:
        impostor.close()


def _a_link(folder: Path, socket_path: Path) -> None:
    other = folder.parent / "other"
    other.mkdir(mode=0o700)
    Impostor(other, None)
    socket_path.symlink_to(other / noted.SOCKET)


def _a_file(_: Path, socket_path: Path) -> None:
    socket_path.write_text("x")


def _open_to_others(folder: Path, _: Path) -> None:
    Impostor(folder, None, mode=0o666)


def _in_an_open_folder(folder: Path, _: Path) -> None:
    Impostor(folder, None)
    folder.chmod(0o777)


@pytest.mark.parametrize(
    "put", [_a_link, _a_file, _open_to_others, _in_an_open_folder],
    ids=["a link", "a file", "open to others", "in an open folder"],
)  # fmt: skip
def test_what_others_may_have_put_in_its_place_is_not_asked(
    put: Callable[[Path, Path], None], bare: Path
) -> None:
    put(bare, bare / noted.SOCKET)

    with pytest.raises(noted.HookError, match="yours alone"):
        hook.asked(hook.question_of(["codex"], b"{}"), time.monotonic() + 20)


def test_what_was_noted_for_settings_that_were_named_is_not_for_found_ones(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is named need not be trusted."""
    settings = os.environ["WARDLINE_CONFIG"]
    assert noted.noted(str(bare), noted.stamp(settings)) == ""
    monkeypatch.delenv("WARDLINE_CONFIG")

    assert noted.noted(str(bare), noted.stamp(settings)) is None


def test_a_daemon_in_the_settings_is_noted(bare: Path) -> None:
    settings = Path(os.environ["WARDLINE_CONFIG"])
    settings.write_text('broker = "unix:/nowhere/broker.sock"\n')

    with pytest.raises(noted.HookError, match="wardline serve"):
        hook.asked(hook.question_of(["codex"], b"{}"), time.monotonic() + 20)
    assert noted.noted(str(bare), noted.stamp(str(settings))) == "unix:/nowhere/broker.sock"


def test_settings_are_found_as_the_broker_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WARDLINE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    with pytest.raises(noted.HookError, match="wardline init"):
        noted.settings_path()
    (tmp_path / "a" / "wardline.toml").write_text("")

    assert noted.settings_path() == str(tmp_path / "a" / "wardline.toml")
