"""Who may connect, what each may say, and what a hostile one costs the others: nothing."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from serving import TOOLS, measure

from permissions.errors import ConfigError, RunOpenError, ServiceError
from permissions.model import Completed, Denial
from permissions.service.clients import Client, Clients
from permissions.service.dial import Credentials, UnixDial, dial_of
from permissions.service.frames import MAX_FRAME, VERSION
from permissions.service.remote import RemoteBroker
from permissions.service.server import listening
from permissions.setup.daemon import socket_of
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from permissions.service.server import Server
    from permissions.setup.config import BrokerConfig

DESK = Client("desk", ("alice",), ("desk-*",), ("clerk",), ())


def frame(document: Any) -> bytes:
    said = json.dumps(document).encode()
    return len(said).to_bytes(4, "big") + said


OPEN = {"id": 1, "do": "open", "version": VERSION, "tools": {}, "user": "alice"}

HOSTILE = {
    "nothing": b"",
    "half a length": b"\x00\x00",
    "half a frame": b"\x00\x00\x00\x10{",
    "a gigabyte announced": (1 << 30).to_bytes(4, "big") + b"x" * 1000,
    "longest": (MAX_FRAME + 1).to_bytes(4, "big"),
    "no JSON": b"\x00\x00\x00\x04oops",
    "no object": frame([1, 2]),
    "another first question": frame({"id": 1, "do": "admit", "tool": "measure"}),
    "another version": frame({**OPEN, "version": 99}),
    "no number": frame({**OPEN, "id": "one"}),
    "a user that is no text": frame({**OPEN, "user": {"alice": 1}}),
    "budgets of text": frame({**OPEN, "budgets": {"calls": "many"}}),
    "no plan": frame({**OPEN, "plan": {"steps": "none"}}),
    "tools of another": frame({**OPEN, "tools": {"measure": "sha256:" + "0" * 64}}),
    "deep": frame(OPEN) + b"\x00\x00\x10\x00" + b"[" * 4096,
    "a flood of the same number": frame(OPEN)
    + frame({"id": 2, "do": "explain", "tool": "measure", "arguments": {}}) * 500,
    "another's call": frame(OPEN) + frame({"id": 2, "do": "complete", "call": "call-1"}),
    "an outcome of nothing": frame(OPEN)
    + frame({"id": 2, "do": "settle", "call": "call-1", "outcome": {"status": "ok"}}),
    "an unknown deed": frame(OPEN) + frame({"id": 2, "do": "erase"}),
    "a cancel of nothing": frame(OPEN) + frame({"id": 2, "do": "cancel", "of": [1]}),
}


async def none_left(server: Server, *, but: int = 0) -> None:
    """Returns when no connection is left but these."""
    while server.sessions > but:  # noqa: ASYNC110 - it tells nobody
        await anyio.sleep(0.01)


async def sent(path: Path, data: bytes) -> list[Any]:
    """What the daemon says to that, until it or this end hangs up."""
    stream = await anyio.connect_unix(path)
    answers = b""
    async with stream:
        with anyio.move_on_after(20):
            try:
                await stream.send(data)
                await stream.send_eof()
                while True:
                    answers += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass
            else:
                raise AssertionError("the daemon kept a hostile connection open")
    found = []
    while answers:
        length = int.from_bytes(answers[:4], "big")
        found.append(json.loads(answers[4 : 4 + length]))
        answers = answers[4 + length :]
    return found


async def test_a_folder_with_a_long_path_that_may_only_be_entered_is_reached(
    config: BrokerConfig, tmp_path: Path
) -> None:
    folder = tmp_path / ("x" * 150)
    folder.mkdir(mode=0o711)
    path = folder / "broker.sock"
    async with (
        open_broker(config, TOOLS, mode="daemon") as broker,
        listening(broker, path, Clients()),
        RemoteBroker(dial_of(f"unix:{path}", Credentials()), TOOLS).session() as session,
    ):
        assert session.subject.type == "user"


def test_a_name_that_is_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 80 bytes"):
        dial_of(f"unix:{tmp_path}/{'x' * 81}", Credentials())


async def test_a_hostile_client_costs_the_others_nothing(
    serving: Any, config: BrokerConfig
) -> None:
    path = socket_of(config)
    honest = RemoteBroker(UnixDial(path), TOOLS)
    async with serving() as (_, server), honest.session(user="alice") as session:
        for name, data in HOSTILE.items():
            answers = await sent(path, data)
            assert not any("admitted" in each or "completed" in each for each in answers), name
            result = await honest.call(session, ToolCall("measure", {"text": name}))
            assert isinstance(result, Completed), name
        await none_left(server, but=1)


async def test_one_that_does_not_read_is_hung_up_on(
    serving: Any, config: BrokerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ten seconds are long for a test; what is told is that there is an end.
    monkeypatch.setattr("permissions.service.frames.SEND_SECONDS", 0.3)
    asked = {"do": "explain", "tool": "measure", "arguments": {"text": "x" * 10_000}}

    def talk() -> None:
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.connect(str(socket_of(config)))
            deaf.sendall(frame(OPEN))
            for number in range(2, 100_000):
                deaf.sendall(frame({"id": number, **asked}))

    async with serving() as (_, server):
        with pytest.raises(OSError, match=r"Broken pipe|reset by peer"):
            await anyio.to_thread.run_sync(talk)
        await none_left(server)


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"user": "alice", "agent": "desk-1", "roles": ["clerk"]}, None),
        ({"user": "mallory", "agent": None, "roles": []}, "mallory"),
        ({"user": None, "agent": "ops", "roles": []}, "ops"),
        ({"user": "alice", "agent": None, "roles": ["admin"]}, "admin"),
        ({"user": "alice\n", "agent": None, "roles": []}, "alice"),
    ],
)
def test_a_client_says_what_is_listed_for_it(said: Any, refused: str | None) -> None:
    if refused is None:
        DESK.require(**said)
        return
    with pytest.raises(ServiceError, match=refused):
        DESK.require(**said)


def test_an_unknown_account_is_refused() -> None:
    with pytest.raises(ServiceError, match="user 4711 is no client"):
        Clients({1000: DESK}).of_uid(4711, own=0)
    assert Clients({1000: DESK}).of_uid(1000, own=0) is DESK
    assert Clients({1000: DESK}).of_uid(0, own=0).users == ("*",)


def test_a_client_works_where_it_may(tmp_path: Path) -> None:
    known = Client("desk", (), (), (), (tmp_path / "work",))
    (tmp_path / "work" / "in").mkdir(parents=True)
    (tmp_path / "work" / "out").symlink_to("/etc")
    assert known.workspace(None) is None
    assert known.workspace(str(tmp_path / "work" / "in")) == tmp_path / "work" / "in"
    for other in ("/etc", str(tmp_path), str(tmp_path / "work" / ".." / "x"), "work"):
        with pytest.raises(ServiceError, match="may not work"):
            known.workspace(other)
    with pytest.raises(ServiceError, match="may not work"):
        known.workspace(str(tmp_path / "work" / "out"))


async def test_the_other_account_of_this_machine(config: BrokerConfig) -> None:
    """Judged by the kernel: a child that drops its privileges is another client."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another account; run it as root")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others
        Path(folder).chmod(0o711)
        path = Path(folder) / "broker.sock"
        program = (
            "import socket,sys,os\nos.setuid(4711)\ns=socket.socket(socket.AF_UNIX)\n"
            f"s.connect({str(path)!r})\n"
            "sys.stdout.write(s.recv(65536)[4:].decode())"
        )
        async with open_broker(config, TOOLS) as broker, listening(broker, path, Clients()):
            done = await anyio.run_process(["python3", "-c", program], check=False)
    assert b"user 4711 is no client" in done.stdout, done.stderr


async def test_a_run_has_one_session(serving: Any, config: BrokerConfig) -> None:
    """An exception of the daemon's broker is the same exception at its client."""
    remote = RemoteBroker(UnixDial(socket_of(config)), TOOLS)
    async with serving(), remote.session(user="alice", run="one"):
        with pytest.raises(RunOpenError, match="has an open session"):
            async with remote.session(user="alice", run="one"):
                raise AssertionError("it was opened twice")


async def test_a_client_with_other_tools_is_told(serving: Any, config: BrokerConfig) -> None:
    from wardline import tool

    @tool(name="measure", effect="read", impact="low")
    def other(text: str) -> int:
        """Another tool of that name."""
        return len(text)

    async with serving():
        with pytest.raises(ServiceError, match="'measure' of this process is not the daemon's"):
            async with RemoteBroker(UnixDial(socket_of(config)), [other]).session(user="alice"):
                raise AssertionError("it was opened")


async def test_nobody_listens(config: BrokerConfig) -> None:
    config.state.mkdir(mode=0o711, parents=True)
    with pytest.raises(ServiceError, match="wardline serve"):
        async with RemoteBroker(UnixDial(socket_of(config)), TOOLS).session(user="alice"):
            raise AssertionError("it was opened")


async def test_who_may_write_the_folder_could_listen_there(config: BrokerConfig) -> None:
    config.state.mkdir(parents=True)
    config.state.chmod(0o777)
    with pytest.raises(ConfigError, match="can be written by others"):
        async with RemoteBroker(UnixDial(socket_of(config)), TOOLS).session(user="alice"):
            raise AssertionError("it was opened")


async def test_a_daemon_that_stops_lets_calls_end(serving: Any, config: BrokerConfig) -> None:
    remote = RemoteBroker(UnixDial(socket_of(config)), TOOLS)
    async with anyio.create_task_group() as tasks:
        ready, stop = anyio.Event(), anyio.Event()

        async def daemon() -> None:
            async with serving():
                ready.set()
                await stop.wait()

        tasks.start_soon(daemon)
        await ready.wait()
        async with remote.session(user="alice") as session:
            admitted = await remote.admit(session, ToolCall("measure", {"text": "abc"}))
            assert not isinstance(admitted, Denial)
            stop.set()
            from permissions.execution.in_process import run_async

            outcome = await run_async(admitted.execution, {})  # type: ignore[union-attr]
            settled = await remote.settle(admitted, outcome)  # type: ignore[arg-type]
            assert isinstance(settled, Completed)
            await session.link.ended.wait()
            late = await remote.call(session, ToolCall("measure", {"text": "abc"}))
    assert isinstance(late, Denial)
    assert (late.kind, late.code) == ("unavailable", "broker.unreachable")
    with pytest.raises(ServiceError, match="wardline serve"):
        async with remote.session(user="alice"):
            measure("abc")
