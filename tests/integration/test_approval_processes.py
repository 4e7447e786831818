"""An agent waits in one process while a person answers from another."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import pytest
import waiting_agent
from people import GROUPS, KEYS

from permissions.model import Completed
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.signing.keys import memory_signer, write_secret
from permissions.tools.call import ToolCall
from wardline import PathArg, tool

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT = Path(waiting_agent.__file__)
WARDLINE = (
    "import sys, structlog\n"
    "from permissions.cli import quiet_logs\n"
    "from permissions.cli.request import app\n"
    "quiet_logs()\n"
    "app()\n"
)


class Office:
    """One state folder, an agent process and command lines around it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.config = folder / "wardline.toml"
        self._folder = folder
        self._started: list[subprocess.Popen[str]] = []
        keys = {**KEYS, "olga": memory_signer()}
        for name, signer in keys.items():
            write_secret(folder / f"{name}.pem", signer.pem())
        groups = {**GROUPS, "olga": {"operators"}}
        self.config.write_text(
            "\n".join(
                f"[approvers.{name}]\ngroups = {json.dumps(sorted(groups[name]))}\n"
                f'public_key = "{keys[name].public}"'
                for name in groups
            )
        )

    def agent(self, *, seconds: int = 900, quorum: int = 1) -> subprocess.Popen[str]:
        """Starts an agent that asks and waits; returns once it has asked."""
        started = self.start(
            [sys.executable, str(AGENT), str(self.state), str(seconds), str(quorum)]
        )
        assert line(started) == "ar-1"
        return started

    def command(self, *arguments: str, key: str | None = None) -> list[str]:
        signed = ["--key", f"file:{self._folder / key}.pem"] if key else []
        where = ["--dir", str(self.state), "--config", str(self.config)]
        return [sys.executable, "-c", WARDLINE, *arguments, *where, *signed]

    def run(self, *arguments: str, key: str | None = None) -> int:
        argv = self.command(*arguments, key=key)
        return subprocess.run(argv, check=False, capture_output=True, timeout=150).returncode

    def start(self, argv: list[str], *, terminal: int | None = None) -> subprocess.Popen[str]:
        started = subprocess.Popen(
            argv,
            stdin=terminal,
            stdout=subprocess.PIPE if terminal is None else terminal,
            stderr=terminal,
            text=True,
        )
        self._started.append(started)
        return started

    def close(self) -> None:
        for started in self._started:
            started.kill()
            started.wait()
            if started.stdout is not None:
                started.stdout.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    opened = Office(tmp_path)
    yield opened
    opened.close()


def line(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    return started.stdout.readline().strip()


def test_an_approval_from_another_process_lets_the_agent_go_on(office: Office) -> None:
    agent = office.agent()

    assert office.run("approve", "ar-1", key="bob") == 0

    assert (line(agent), line(agent)) == ("approved", "ran")


def test_a_denial_from_another_process_stops_the_agent(office: Office) -> None:
    agent = office.agent()

    assert office.run("deny", "ar-1", key="bob") == 0

    assert (line(agent), line(agent)) == ("denied", "")


@pytest.mark.slow
def test_a_quorum_gathers_from_several_processes(office: Office) -> None:
    agent = office.agent(quorum=2)

    assert office.run("approve", "ar-1", key="bob") == 0
    assert office.run("approve", "ar-1", key="bob") == 3
    assert office.run("approve", "ar-1", key="carol") == 0

    assert line(agent) == "approved"


@pytest.mark.slow
def test_two_approvers_at_the_same_moment_leave_one_answer(office: Office) -> None:
    agent = office.agent()
    both = [
        office.start(office.command("approve", "ar-1", key="bob")),
        office.start(office.command("deny", "ar-1", key="carol")),
    ]

    assert sorted(each.wait(timeout=150) for each in both) == [0, 4]
    assert line(agent) in {"approved", "denied"}


def test_nobody_answers_in_time(office: Office) -> None:
    agent = office.agent(seconds=1)

    assert line(agent) == "expired"
    assert office.run("approve", "ar-1", key="bob") == 4


def test_a_request_outlives_the_agent_that_was_killed(office: Office) -> None:
    """Its approval serves the agent that comes back and asks for the same call."""
    office.agent().send_signal(signal.SIGKILL)
    assert office.run("approve", "ar-1", key="bob") == 0

    again = office.agent()

    assert (line(again), line(again)) == ("approved", "ran")


@pytest.mark.slow
def test_watch_tells_each_change_as_a_line_of_json(office: Office) -> None:
    agent = office.agent()
    watch = office.start(office.command("watch", "--json"))

    assert json.loads(line(watch))["status"] == "pending"
    office.run("approve", "ar-1", key="bob")
    seen = json.loads(line(watch))
    assert (seen["status"], seen["votes"][0]["approver"]) == ("approved", "bob")
    assert line(agent) == "approved"

    watch.send_signal(signal.SIGINT)
    assert watch.wait(timeout=150) == 130


def test_watch_asks_the_person_at_a_terminal(office: Office) -> None:
    agent = office.agent()
    ours, theirs = pty.openpty()
    office.start(office.command("watch", key="bob"), terminal=theirs)
    os.close(theirs)

    seen = ""
    while "approve / deny / later" not in seen:
        seen += os.read(ours, 4096).decode()
    os.write(ours, b"approve\n")

    assert (line(agent), line(agent)) == ("approved", "ran")
    assert 'recipient = "DE02120300000000202051"' in seen
    os.close(ours)


@tool(effect="irreversible", impact="high", output="trusted")
def erase(path: Annotated[str, PathArg("write")]) -> str:
    """A tool that policy holds for a person."""
    return f"erased {Path(path).name}"


async def test_the_command_line_answers_a_real_broker(office: Office) -> None:
    """The whole way: a governed call waits here, `wardline request` answers it from outside."""
    config = BrokerConfig.load(
        office.config,
        state=office.state,
        workspace=office.config.parent,
        sandbox={"backends": ()},
    )
    got: list[object] = []
    async with (
        open_broker(config, [erase]) as broker,
        open_session(
            broker, user="alice", agent="bot", prompt="erase ledger", approval_mode="wait"
        ) as session,
    ):

        async def agent() -> None:
            got.append(await broker.call(session, ToolCall("erase", {"path": "ledger"})))

        with anyio.fail_after(40):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(agent)
                listed = ""
                while not listed:
                    done = await anyio.run_process(office.command("list", "--json"))
                    listed = done.stdout.decode()
                held = json.loads(listed)
                answer = office.command("approve", held["id"], key="olga")
                await anyio.run_process(answer)

    assert held["arguments"] == {"path": "ledger"}
    (result,) = got
    assert isinstance(result, Completed), result
    assert result.value == "erased ledger"
