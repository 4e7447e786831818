"""kill -9 of a client and of the daemon: nothing is lost, nothing runs twice, nobody hangs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import mortal_service
import pytest
from serving import TOOLS, measure

from permissions.broker.ports import now_us
from permissions.errors import ServiceError
from permissions.model import Completed, Denial
from permissions.setup.daemon import socket_of, tokens_of
from permissions.setup.layout import log_signer
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace
from wardline import Broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.setup.config import BrokerConfig
    from permissions.trace.verify import TraceReport

pytestmark = pytest.mark.unmeasured

SUPPORT = Path(__file__).parents[2] / "support"
PATIENCE = 150


class Daemons:
    """Processes of `wardline serve`, one after the other, and how programs reach them."""

    def __init__(self, config: BrokerConfig, folder: Path, transport: str) -> None:
        self.config = config
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": f"{SUPPORT}:{os.environ.get('PYTHONPATH', '')}",
            "WARDLINE_CONFIG": str(folder / "wardline.toml"),
        }
        self.address = f"unix:{socket_of(config)}"
        self._started: list[subprocess.Popen[bytes]] = []
        self._port: int | None = None
        self.token: str | None = None
        if transport == "tcp":
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._port = free.getsockname()[1]
            with (folder / "wardline.toml").open("a") as file:
                file.write(
                    f'[service]\ntcp = "127.0.0.1:{self._port}"\n'
                    '[service.clients.desk]\nusers = ["*"]\n'
                )
            self.address = f"tcp://127.0.0.1:{self._port}"
            self.token = anyio.run(self._create_token)
            self.environment["WARDLINE_CONNECTION__TOKEN"] = self.token

    async def _create_token(self) -> str:
        async with tokens_of(self.config) as tokens:
            now = now_us()
            return (await tokens.create("desk", now=now, expires=now + 10**12))[1]

    def start(self, *tools: str) -> subprocess.Popen[bytes]:
        """The next daemon; returns when it listens."""
        socket_of(self.config).unlink(missing_ok=True)  # of one that died
        command = [sys.executable, "-m", "permissions", "serve"]
        for module in tools or ("serving",):
            command += ["--tools", module]
        with (self.folder / "serve.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        self._started.append(process)
        self.until(lambda: self._listens() or process.poll() is not None)
        assert process.poll() is None, self.said()
        return process

    def connect(self, tools: list[object] = TOOLS) -> Broker:
        return Broker.connect(self.address, tools, token=self.token)

    def run(self, program: str, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(SUPPORT / program), self.address, *argv],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def until(self, is_so: Callable[[], bool]) -> None:
        late = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < late, self.said()
            time.sleep(0.02)

    def said(self) -> str:
        return (self.folder / "serve.log").read_text()

    def kinds(self) -> list[str]:
        entries = read_entries(self.config.state / "trace")
        return [entry.type for entry in entries if entry.call is not None]

    def verified(self) -> TraceReport:
        return verify_trace(self.config.state / "trace", key=log_signer(self.config).public)

    def end(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()

    def _listens(self) -> bool:
        if self._port is None:
            return socket_of(self.config).is_socket()
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", self._port)) == 0


@pytest.fixture(params=["unix", "tcp"])
def daemons(
    config: BrokerConfig, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Daemons]:
    """Starts `wardline serve` as a process of its own."""
    found = Daemons(config, tmp_path, request.param)
    yield found
    found.end()


@pytest.mark.slow
def test_a_client_that_dies_leaves_its_call_in_doubt(daemons: Daemons) -> None:
    daemon = daemons.start()
    (daemons.folder / "die").touch()
    client = daemons.run("serving.py", "2")
    assert client.returncode == 7, client.stderr
    # The daemon goes on, for others.
    with daemons.connect() as broker, broker.session(user="bob"):
        assert measure("abc").size == 3
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(PATIENCE) == 0

    assert daemons.kinds().count("gap") == 1
    assert daemons.kinds().count("outcome") == 3
    report = daemons.verified()
    assert report.integrity.verdict == "signed"
    assert [call.call for call in report.completeness.gap_calls]
    assert not report.completeness.open_calls


@pytest.mark.slow
def test_a_daemon_that_dies_is_a_denial_and_then_there_again(daemons: Daemons) -> None:
    first = daemons.start()
    with daemons.connect() as broker:
        with broker.session(user="alice", run="one") as session:
            before = broker.call(session, "measure", {"text": "abc"}, key="k")
            first.kill()
            first.wait()
            during = broker.call(session, "measure", {"text": "abc"}, key="k2")
        daemons.start()
        with broker.session(user="alice", run="one") as session:
            again = broker.call(session, "measure", {"text": "abc"}, key="k")
            after = broker.call(session, "measure", {"text": "abc"}, key="k2")

    assert isinstance(before, Completed)
    assert isinstance(during, Denial)
    assert during.kind == "unavailable"
    assert isinstance(again, Completed)
    assert again.replayed
    assert isinstance(after, Completed)
    assert not after.replayed


def effects(folder: Path) -> Counter[str]:
    file = folder / "effects"
    return Counter(file.read_text().split("\n")[:-1] if file.exists() else ())


def require_nothing_lost(daemons: Daemons, daemon: subprocess.Popen[bytes]) -> None:
    """Each effect has its record, and the record is whole."""
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(PATIENCE) == 0, daemons.said()
    report = daemons.verified()
    assert report.integrity.verdict == "signed"
    assert not report.completeness.open_calls
    began = {
        entry.run
        for entry in read_entries(daemons.config.state / "trace")
        if entry.type == "start"
    }
    assert began >= effects(daemons.folder).keys()


@pytest.mark.slow
def test_a_client_that_dies_at_any_point_runs_nothing_twice(daemons: Daemons) -> None:
    daemon = daemons.start("mortal_service")
    for point, ran in mortal_service.CLIENT.items():
        run = point.replace(" ", "-")
        died = daemons.run("mortal_service.py", run, point)
        assert died.returncode == -signal.SIGKILL, (point, died.stdout, died.stderr)
        assert effects(daemons.folder)[run] == ran, point

        again = daemons.run("mortal_service.py", run)
        assert again.returncode == 0, (point, again.stderr)
        said = json.loads(again.stdout)
        if point in {"opened", "before admit"}:
            assert said == "ran", point
        elif point == "settled":
            assert said == "replayed", point
        elif point == "outcome sent":  # whether it was taken down is a matter of moments
            assert said in {"replayed", "call.in_doubt"}, point
        else:
            assert said == "call.in_doubt", point
        assert effects(daemons.folder)[run] <= 1, point
    require_nothing_lost(daemons, daemon)


@pytest.mark.slow
def test_a_daemon_that_dies_at_any_point_runs_nothing_twice(daemons: Daemons) -> None:
    daemon = daemons.start("mortal_service")
    for point, ran in mortal_service.DAEMON.items():
        run = point.replace(" ", "-")
        (daemons.folder / "die").write_text(point)
        client = daemons.run("mortal_service.py", run)
        assert client.returncode == 0, (point, client.stderr)
        assert daemon.wait(PATIENCE) == -signal.SIGKILL, point
        told = json.loads(client.stdout)
        assert effects(daemons.folder)[run] >= ran, point

        daemon = daemons.start("mortal_service")
        again = daemons.run("mortal_service.py", run)
        assert again.returncode == 0, (point, again.stderr)
        said = json.loads(again.stdout)
        match point:
            case "session recorded":
                assert (told, said) == ("unreachable", "ran")
            case "intent recorded" | "admission sent" | "outcome received":
                assert said == "call.in_doubt", point
                assert told in {"broker.unreachable", "result.withheld"}, point
            case "outcome recorded":
                assert told == "result.withheld"
                assert said in {"replayed", "call.in_doubt"}
            case _:
                assert (told, said) == ("ran", "replayed"), point
        assert effects(daemons.folder)[run] <= 1, point
    require_nothing_lost(daemons, daemon)


@pytest.mark.slow
def test_a_daemon_that_is_stopped_drains(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in hand ends and is on record; what is new is refused, and told why."""
    daemon = daemons.start("mortal_service")
    folder = daemons.folder
    monkeypatch.chdir(folder)
    with (
        daemons.connect(mortal_service.TOOLS) as broker,
        broker.session(user="alice") as session,
        ThreadPoolExecutor() as pool,
    ):
        in_hand = pool.submit(broker.call, session, "linger", {"name": "first"})
        daemons.until((folder / "first.runs").exists)
        daemon.send_signal(signal.SIGTERM)
        daemons.until(lambda: "stopping" in daemons.said())
        refused = broker.call(session, "leave_mark", {"run": "late"})
        with (
            pytest.raises(ServiceError, match="the broker's daemon is stopping"),
            broker.session(user="bob"),
        ):
            raise AssertionError("it was opened")
        assert daemon.poll() is None
        (folder / "first.may-end").touch()
        ended = in_hand.result(PATIENCE)
    assert daemon.wait(PATIENCE) == 0, daemons.said()

    assert isinstance(ended, Completed)
    assert ended.value == "first"
    assert isinstance(refused, Denial)
    assert refused.code == "service.stopping"
    assert not effects(folder)
    assert daemons.kinds().count("outcome") == 1
    report = daemons.verified()
    assert report.completeness.is_whole, report.completeness


@pytest.mark.slow
def test_workers_of_one_program_share_it_after_a_fork(daemons: Daemons) -> None:
    """As a server that loads its program before it forks."""
    daemons.start()
    read, write = os.pipe()
    with daemons.connect() as broker, broker.session(user="alice"):
        assert measure("abc").size == 3
        children = []
        for number in range(3):
            if (child := os.fork()) == 0:
                try:
                    with broker.session(user="bob"):
                        os.write(write, b"%d" % measure("x" * number).size)
                finally:
                    os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        assert measure("abcd").size == 4
    assert sorted(os.read(read, 100)) == sorted(b"012")
