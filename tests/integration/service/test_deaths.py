"""kill -9 of a client and of the daemon: nothing is lost, nothing runs twice, nobody hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from serving import TOOLS, measure

from permissions.model import Completed, Denial
from permissions.setup.daemon import socket_of
from permissions.setup.layout import log_signer
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace
from wardline import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.setup.config import BrokerConfig

SUPPORT = Path(__file__).parents[2] / "support"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": f"{SUPPORT}:{os.environ.get('PYTHONPATH', '')}",
        "WARDLINE_CONFIG": str(tmp_path / "wardline.toml"),
    }


@pytest.fixture
def daemons(config: BrokerConfig, tmp_path: Path, environment: dict[str, str]) -> Iterator[Any]:
    """Starts `wardline serve` as a process of its own, and waits until it listens."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "permissions", "serve", "--tools", "serving"]
        with (tmp_path / "serve.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=tmp_path, env=environment, stdout=log, stderr=log
            )
        started.append(process)
        until = time.monotonic() + 120
        while not socket_of(config).is_socket() or process.poll() is not None:
            said = (tmp_path / "serve.log").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.02)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def address(config: BrokerConfig) -> str:
    return f"unix:{socket_of(config)}"


def kinds(config: BrokerConfig) -> list[str]:
    entries = read_entries(config.state / "trace")
    return [entry.type for entry in entries if entry.call is not None]


@pytest.mark.slow
def test_a_client_that_dies_leaves_its_call_in_doubt(
    config: BrokerConfig, daemons: Any, tmp_path: Path, environment: dict[str, str]
) -> None:
    daemon = daemons()
    (tmp_path / "die").touch()
    client = subprocess.run(
        [sys.executable, str(SUPPORT / "serving.py"), address(config), "2"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert client.returncode == 7, client.stderr
    # The daemon goes on, for others.
    with Broker.connect(address(config), TOOLS) as broker, broker.session(user="bob"):
        assert measure("abc").size == 3
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 0

    assert kinds(config).count("gap") == 1
    assert kinds(config).count("outcome") == 3
    report = verify_trace(config.state / "trace", key=log_signer(config).public)
    assert report.integrity.verdict == "signed"
    assert [call.call for call in report.completeness.gap_calls]
    assert not report.completeness.open_calls


@pytest.mark.slow
def test_a_daemon_that_dies_is_a_denial_and_then_there_again(
    config: BrokerConfig, daemons: Any
) -> None:
    first = daemons()
    with Broker.connect(address(config), TOOLS) as broker:
        with broker.session(user="alice", run="one") as session:
            before = broker.call(session, "measure", {"text": "abc"}, key="k")
            first.kill()
            first.wait()
            during = broker.call(session, "measure", {"text": "abc"}, key="k2")
        socket_of(config).unlink()
        daemons()
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


@pytest.mark.slow
def test_workers_of_one_program_share_it_after_a_fork(
    config: BrokerConfig, daemons: Any
) -> None:
    """As a server that loads its program before it forks."""
    daemons()
    read, write = os.pipe()
    with Broker.connect(address(config), TOOLS) as broker, broker.session(user="alice"):
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
