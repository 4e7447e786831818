"""`wardline stop` in one process, and the broker that obeys in another: at once, also when killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import anyio
import lingering
import pytest
from anyio.to_thread import run_sync as in_thread
from lingering import TOOLS
from typer.testing import CliRunner

from permissions.cli.root import app
from permissions.errors import StateError
from permissions.model import Completed, Denial
from permissions.service.server import listening
from permissions.sessions.open import open_session
from permissions.setup.clients import clients_of
from permissions.setup.config import BrokerConfig
from permissions.setup.daemon import socket_of
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout
from permissions.setup.stops import carried_out, register_of
from permissions.signing.keys import write_secret
from permissions.stops.scope import Scope
from permissions.testing import Person
from permissions.tools.call import ToolCall
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

OLGA = Person("olga")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BrokerConfig:
    (tmp_path / "work").mkdir()
    file = tmp_path / "wardline.toml"
    file.write_text(
        f'state = "{tmp_path}/state"\nworkspace = "{tmp_path}/work"\n'
        f'[approvers.olga]\ngroups = ["operators"]\npublic_key = "{OLGA.signer.public}"\n'
        "[sandbox]\nbackends = []\n[pdp]\nhard_deadline_ms = 20000\n"
    )
    monkeypatch.setenv("WARDLINE_CONFIG", str(file))
    return BrokerConfig.load(file)


def ran(*words: str) -> tuple[int, Any]:
    """A command's exit code, and what it says as JSON."""
    done = CliRunner().invoke(app, [*words, "--json"])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done.exit_code, lines[0] if len(lines) == 1 else lines


def in_order(config: BrokerConfig) -> None:
    """The trace has no finding, opened and all."""
    layout = StateLayout(config.state)
    vault = VaultReader(layout.trace, layout.vault_key())
    report = verify_trace(layout.trace, vault=vault)
    assert report.integrity.verdict != "failed"
    assert report.completeness.findings == ()


def tools_started(config: BrokerConfig) -> set[str]:
    """Names of the tools whose calls have a start on record."""
    found = [*read_entries(config.state / "trace")]
    tools = {each.call: each.body.get("tool") for each in found if each.type == "intent"}
    return {str(tools.get(each.call)) for each in found if each.type == "start"}


async def test_a_command_stops_what_clients_run_and_proves_it(config: BrokerConfig) -> None:
    remote = BrokerConfig(broker=f"unix:{socket_of(config)}")
    async with (
        open_broker(config, TOOLS, mode="daemon") as broker,
        listening(broker, socket_of(config), clients_of(config)),
        open_broker(remote, TOOLS) as client,
        open_session(client, user="alice", agent="bot") as session,
    ):
        assert isinstance(await client.call(session, ToolCall("look", {})), Completed)
        ended: list[Any] = []

        async def call() -> None:
            ended.append(await client.call(session, ToolCall("linger", {})))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            with anyio.fail_after(60):
                while "linger" not in tools_started(config):  # noqa: ASYNC110 - on disk
                    await anyio.sleep(0.02)
            said = await in_thread(lambda: ran("stop", "--agent", "bot", "--reason", "odd"))
        code, proof = said
        assert (code, proof["broker"]) == (0, "ran")
        assert [(each["tool"], each["status"]) for each in proof["ended"]] == [
            ("linger", "stopped")
        ]
        assert ended[0].reasons[0].code == "stop.ended_call"
        barred = await client.call(session, ToolCall("look", {}))
        assert isinstance(barred, Denial)
        assert barred.reasons[0].code == "stop.in_force"
        recorded = [*read_entries(config.state / "trace")][proof["recorded"]]
        assert (recorded.type, recorded.body["phase"]) == ("stop", "ended")
    in_order(config)


async def test_from_the_word_to_the_bar_is_no_wait(config: BrokerConfig) -> None:
    """From the moment it is said to the first call that is barred; the command's start aside."""
    took: list[float] = []
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="kim", run="r") as session,
    ):
        register = register_of(config)
        for _ in range(15):
            began = perf_counter()
            stop = await in_thread(
                lambda: register.stop(Scope("run", "r"), reason="odd", by="olga")
            )
            said = await broker.call(session, ToolCall("look", {}))
            took.append(perf_counter() - began)
            assert isinstance(said, Denial)
            assert said.reasons[0].code == "stop.in_force"
            await in_thread(lambda stop=stop: register.resume(stop, reason="ok", by="olga"))
            await broker.stopping.carry_out()
            assert isinstance(await broker.call(session, ToolCall("look", {})), Completed)
    assert median(took) < 0.5, (
        took
    )  # 0.05 on a machine of its own; see docs/reference/results.md
    in_order(config)


async def test_a_stop_is_in_force_before_the_next_broker_begins(config: BrokerConfig) -> None:
    """Also one that was said while none ran, and it is on record all the same."""
    async with open_broker(config, TOOLS):
        pass
    code, proof = await in_thread(lambda: ran("stop", "--all", "--reason", "key leaked"))
    assert (code, proof["broker"]) == (0, "none")
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="kim") as session,
    ):
        barred = await broker.call(session, ToolCall("look", {}))
        assert isinstance(barred, Denial)
        assert barred.reasons[0].code == "stop.in_force"
    stops = [each for each in read_entries(config.state / "trace") if each.type == "stop"]
    assert [each.body["phase"] for each in stops] == ["begun", "ended"]
    in_order(config)


async def test_a_stop_of_everything_is_lifted_with_another_persons_signature(
    config: BrokerConfig, tmp_path: Path
) -> None:
    write_secret(tmp_path / "olga.pem", OLGA.signer.pem())
    key = f"file:{tmp_path}/olga.pem"
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="kim") as session,
    ):
        _, proof = await in_thread(lambda: ran("stop", "--all", "--reason", "key leaked"))
        code, said = await in_thread(lambda: ran("resume", "--all", "--reason", "new key"))
        assert (code, said["lifted"], said["request"]["status"]) == (4, False, "pending")
        request = said["request"]["id"]
        words = ["request", "approve", request, "--key", key]
        done = await in_thread(lambda: CliRunner().invoke(app, words))
        assert done.exit_code == 0, done.output
        code, said = await in_thread(lambda: ran("resume", "--all", "--reason", "new key"))
        assert (code, said) == (0, {"stop": proof["stop"], "lifted": True, "request": None})
        assert isinstance(await broker.call(session, ToolCall("look", {})), Completed)
        code, _ = await in_thread(lambda: ran("resume", "--all", "--reason", "again"))
        assert code == 1
    (entry,) = (each for each in read_entries(config.state / "trace") if each.type == "resume")
    assert entry.body["request"] == request
    in_order(config)


@pytest.mark.parametrize(
    "words",
    [
        ["stop", "--reason", "x"],
        ["stop", "--all", "--run", "r", "--reason", "x"],
        ["stop", "--all"],
        ["resume", "--all", "--reason", " "],
    ],
    ids=" ".join,
)
def test_what_is_meant_has_to_be_said(config: BrokerConfig, words: list[str]) -> None:
    anyio.run(_opened_once, config)
    code, said = ran(*words)
    assert (code, said["error"]["type"]) == (2, "ConfigError")
    assert register_of(config).statements() == ()


async def _opened_once(config: BrokerConfig) -> None:
    async with open_broker(config, TOOLS):
        pass


def test_a_folder_that_no_broker_used_is_not_stopped_in_silence(config: BrokerConfig) -> None:
    code, said = ran("stop", "--all", "--reason", "x")
    assert (code, said["error"]["message"].partition(";")[0].endswith("holds no state")) == (
        2,
        True,
    )


PROGRAM = """
import sys, anyio
import lingering
from lingering import TOOLS
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.sessions.open import open_session
from permissions.tools.call import ToolCall

async def main():
    config = BrokerConfig.load()
    async with open_broker(config, TOOLS) as broker:
        async with open_session(broker, user="kim", run="r") as session:
            print("open", flush=True)
            while True:
                print(type(await broker.call(session, ToolCall("look", {}))).__name__, flush=True)
anyio.run(main)
"""


@pytest.mark.slow
def test_a_broker_that_is_killed_in_the_middle_of_a_stop_starts_stopped(
    config: BrokerConfig,
) -> None:
    """Whatever was done by then: nothing runs afterwards, and the record tells of the stop."""
    for number in range(4):
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(lingering.__file__).parent)},
        )
        assert program.stdout is not None
        wanted = "Completed" if number == 0 else "Denial"
        try:
            for line in program.stdout:
                if line.strip() == wanted:
                    break
            else:
                pytest.fail("the program ended")
            if number == 0:
                register_of(config).stop(Scope("run", "r"), reason="odd", by="olga")
        finally:
            program.send_signal(signal.SIGKILL)
            program.wait()
            program.stdout.close()
    (stop,) = register_of(config).in_force()
    assert carried_out(config.state, stop) == {"broker": "none"}
    begun = [each for each in read_entries(config.state / "trace") if each.type == "stop"]
    assert begun[0].body["phase"] == "begun"
    in_order(config)


async def test_a_register_that_is_damaged_stops_everything(config: BrokerConfig) -> None:
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="kim") as session,
    ):
        (config.state / "stops.jsonl").write_bytes(b"nonsense\n")
        denied = await broker.call(session, ToolCall("look", {}))
        assert isinstance(denied, Denial)
        assert denied.reasons[0].code == "state.unavailable"
        with pytest.raises(StateError, match="is damaged, so everything is stopped"):
            register_of(config).in_force()
