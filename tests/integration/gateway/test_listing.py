"""Which tools a client is told of, and that it is told when they are others."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import untrusted_mcp
from gateways import approve_tools, say
from mcp import Client
from mcp.types import ToolListChangedNotification
from untrusted_mcp import tools

from permissions.gateway import run as gateway
from permissions.setup import listing
from permissions.setup.config import BrokerConfig
from permissions.setup.daemon import running, socket_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.slow

READS = {"effect": "read", "impact": "low", "marks": {"path": "path read"}}
ROLES = """package wardline.policies.roles

deny contains {
	"code": "roles.reader",
	"agent": "Only readers read.",
	"operator": "the subject is no reader",
	"nearest": null,
} if {
	input.action.properties.effect == "read"
	not _reader
}

_reader if input.subject.properties.on_behalf_of == "READER"

_reader if input.subject.id == "READER"
"""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine too it is known which tools could be allowed; in doubt all are listed."""
    monkeypatch.setattr(listing, "READY_SECONDS", 300.0)
    monkeypatch.setattr(listing, "ANSWER_SECONDS", 60.0)


def configured(tmp_path: Path, kind: str, **more: Any) -> BrokerConfig:
    (tmp_path / "work").mkdir(exist_ok=True)
    (tmp_path / "mine" / "roles").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, untrusted_mcp.__file__, kind, str(tmp_path / "shared")]
    return BrokerConfig.load(
        state=tmp_path / "state",
        workspace=tmp_path / "work",
        sandbox={"backends": ()},
        pdp={"overlay": tmp_path / "mine"},
        gateway={
            "upstream": {"notes": {"command": command}},
            "pins": tmp_path / "gateway-tools.toml",
        },
        **more,
    )


def readers(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine" / "roles" / "roles.rego").write_text(ROLES.replace("READER", name))


@asynccontextmanager
async def told_of_changes(server: Any, mode: Any) -> AsyncIterator[tuple[Client, Any]]:
    """A client, and what waits until it was told that its tools are others."""
    heard = anyio.Event()

    async def message(said: object) -> None:
        if isinstance(getattr(said, "root", said), ToolListChangedNotification):
            heard.set()

    async with Client(server, mode=mode, message_handler=message) as client:
        if mode == "legacy":

            async def wait() -> None:
                with anyio.fail_after(60):
                    await heard.wait()

            yield client, wait
        else:
            async with client.listen(tools_list_changed=True) as events:

                async def wait() -> None:
                    with anyio.fail_after(60):
                        await anext(aiter(events))

                yield client, wait


async def names(client: Client) -> list[str]:
    return [each.name for each in (await client.list_tools()).tools]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_tool_that_nobody_may_call_is_not_listed_until_policies_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    """And it is denied all the same, as one that is listed may be."""
    config = configured(tmp_path, "honest")
    readers(tmp_path, "alice")
    approve_tools(config, "notes", tools("honest", tmp_path / "shared"), **READS)
    brokers = []
    opened = gateway.open_broker

    def open_broker(*args: Any, **options: Any) -> Any:
        @asynccontextmanager
        async def kept() -> AsyncIterator[Any]:
            async with opened(*args, **options) as broker:
                brokers.append(broker)
                yield broker

        return kept()

    monkeypatch.setattr(gateway, "open_broker", open_broker)  # to reload it, as a signal would
    async with (
        gateway.open_gateway(config, user="bob", version="1") as server,
        told_of_changes(server, mode) as (client, until_told),
    ):
        before = await names(client)
        denied = await say(client, "notes__read_note", {"path": "a.txt"})
        readers(tmp_path, "bob")
        await brokers[0].reload_policies(by="test")
        await until_told()
        after = await names(client)
        allowed = await say(client, "notes__read_note", {"path": "a.txt"})

    assert (before, after) == ([], ["notes__read_note"])
    assert "roles.reader" in denied[1]
    assert allowed[0] is False


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_server_that_says_its_tools_changed_is_looked_at_and_clients_are_told(
    tmp_path: Path, mode: Any
) -> None:
    config = configured(tmp_path, "rug-pull")
    readers(tmp_path, "alice")
    approve_tools(config, "notes", tools("honest", tmp_path / "shared"), **READS)
    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        told_of_changes(server, mode) as (client, until_told),
    ):
        before = await names(client)
        await say(client, "notes__read_note", {"path": "a.txt"})
        (tmp_path / "shared").write_text("pull")
        await say(client, "notes__read_note", {"path": "b.txt"})
        await until_told()
        during = await names(client)
        refused = await say(client, "notes__read_note", {"path": "c.txt"})

    assert (before, during) == (["notes__read_note"], [])
    assert "is not what was approved" in refused[1]


async def test_a_tool_that_nobody_described_is_not_listed_and_the_operator_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a sandbox nothing of it could be allowed; the log names the row that mends it."""
    config = configured(tmp_path, "counts")
    readers(tmp_path, "alice")
    approve_tools(config, "notes", tools("honest", tmp_path / "shared"))
    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server) as client,
    ):
        listed = [await names(client) for _ in range(2)]

    said = capfd.readouterr()
    logged = caplog.text + said.out + said.err
    assert listed == [[], []]
    assert logged.count("tool_not_listed") == 1
    assert "[notes.read_note]" in logged


async def test_how_far_a_call_is_comes_as_numbers_only(tmp_path: Path) -> None:
    config = configured(tmp_path, "counts")
    readers(tmp_path, "alice")
    approve_tools(config, "notes", tools("honest", tmp_path / "shared"), **READS)
    seen: list[tuple[float, float | None, str | None]] = []

    async def progress(now: float, total: float | None, message: str | None) -> None:
        seen.append((now, total, message))

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server) as client,
    ):
        await client.call_tool(
            "notes__read_note", {"path": "a.txt"}, progress_callback=progress
        )

    assert seen[0] == (0.0, 3.0, None)
    assert {each[1:] for each in seen} == {(3.0, None)}


async def test_beside_a_daemon_it_says_what_is_listed_and_tells_of_a_reload(
    tmp_path: Path,
) -> None:
    """The gateway runs its servers; the daemon decides, and knows the tools by their pins."""
    config = configured(tmp_path, "honest")
    readers(tmp_path, "alice")
    approve_tools(config, "notes", tools("honest", tmp_path / "shared"), **READS)
    async with (
        gateway.daemon_tools(config) as ours,
        running(config, ours.tools, hosted=ours.hosted, withheld=ours.withheld) as daemon,
    ):
        through = configured(tmp_path, "honest", broker=f"unix:{socket_of(config)}")
        async with (
            gateway.open_gateway(through, user="bob", version="1") as server,
            told_of_changes(server, "legacy") as (client, until_told),
        ):
            before = await names(client)
            denied = await say(client, "notes__read_note", {"path": "a.txt"})
            readers(tmp_path, "bob")
            await daemon.broker.reload_policies(by="test")
            await until_told()
            after = await names(client)
            allowed = await say(client, "notes__read_note", {"path": "a.txt"})

    assert (before, after) == ([], ["notes__read_note"])
    assert "roles.reader" in denied[1]
    assert allowed[0] is False


async def test_a_daemon_knows_the_approved_tools_by_its_settings(tmp_path: Path) -> None:
    config = configured(tmp_path, "honest")
    approve_tools(config, "notes", tools("honest", tmp_path / "shared"), **READS)
    settings = tmp_path / "wardline.toml"
    settings.write_text(
        f'state = "{config.state}"\nworkspace = "{config.workspace}"\n'
        "[sandbox]\nbackends = []\n"
        f'[gateway]\npins = "{config.gateway.pins}"\n'
        '[gateway.upstream.notes]\ncommand = ["not-started-here"]\n'
    )
    own = {"WARDLINE_CONFIG": str(settings), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "permissions", "serve"]
    daemon = await anyio.open_process(command, env=own, stderr=None)
    try:
        said = ""
        with anyio.fail_after(60):
            assert daemon.stdout is not None
            while "isolation" not in said:
                said += (await daemon.stdout.receive()).decode()
    finally:
        daemon.terminate()
        await daemon.wait()

    assert "tools     notes__read_note\n" in said
