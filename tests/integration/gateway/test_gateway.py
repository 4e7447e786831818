"""A real client, the gateway, and MCP servers of all kinds as processes behind it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import untrusted_mcp
from gateways import approve, approve_tools, say
from mcp import Client, StdioServerParameters

from permissions.errors import ConfigError, GatewayError, ToolDefinitionError
from permissions.gateway import run as gateway
from permissions.gateway.describing import described, matching
from permissions.setup.config import ApproverConfig, BrokerConfig
from permissions.signing.keys import memory_signer
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow  # each starts programs that import the protocol

OLGA = memory_signer(b"o" * 32)
READS = {"effect": "read", "impact": "low", "marks": {"path": "path read"}}


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., BrokerConfig]:
    def make(kind: str, backends: tuple[str, ...] = (), **options: Any) -> BrokerConfig:
        (tmp_path / "workspace").mkdir(exist_ok=True)
        command = [sys.executable, untrusted_mcp.__file__, kind, str(tmp_path / "shared")]
        return BrokerConfig.load(
            state=tmp_path / "state",
            workspace=tmp_path / "workspace",
            approvers={
                "olga": ApproverConfig(groups=("operators",), public_key=str(OLGA.public))
            },
            sandbox={"backends": backends},
            gateway={
                "upstream": {"notes": {"command": command}},
                "pins": tmp_path / "gateway-tools.toml",
            },
            **options,
        )

    return make


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_approved_tool_is_called_in_both_eras(
    configured: Callable[..., BrokerConfig], mode: Any, tmp_path: Path
) -> None:
    config = configured("honest")
    await approve(config, **READS)

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server, mode=mode) as client,
    ):
        (listed,) = (await client.list_tools()).tools
        allowed = await say(client, "notes__read_note", {"path": "a.txt"})
        refused = await say(client, "notes__read_note", {"path": "/etc/passwd"})
        unknown = await say(client, "notes__format", {})

    assert (listed.name, listed.description) == ("notes__read_note", "Reads a note.")
    assert allowed[0] is False
    assert allowed[1].startswith("note of ")
    told = json.loads(refused[1])
    assert refused[0] is True
    assert (told["status"], told["reasons"][0]["code"]) == ("denied", "filesystem.outside")
    assert json.loads(unknown[1])["reasons"][0]["code"] == "tool.unregistered"
    assert verify_trace(tmp_path / "state" / "trace").is_intact


async def test_nothing_is_offered_before_somebody_approved_it(
    configured: Callable[..., BrokerConfig],
) -> None:
    with pytest.raises(ConfigError, match="gateway pin"):
        async with gateway.open_gateway(configured("honest"), user="alice", version="1"):
            pass


@pytest.mark.parametrize(
    "backends",
    [(), pytest.param(("bubblewrap",), marks=pytest.mark.bwrap)],
    ids=["none", "bwrap"],
)
async def test_a_tool_that_nobody_described_points_to_its_row(
    configured: Callable[..., BrokerConfig], backends: tuple[str, ...], tmp_path: Path
) -> None:
    """A sandbox of this machine is none of a server's that runs as this user: nobody is asked."""
    config = configured("honest", backends)
    approve_tools(config, "notes", untrusted_mcp.tools("honest", tmp_path / "shared"))

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server) as client,
    ):
        is_error, text = await say(client, "notes__read_note", {"path": "a.txt"})

    told = json.loads(text)
    assert is_error
    assert (told["status"], told["reasons"][0]["code"]) == ("denied", "isolation.unavailable")
    assert "gateway-tools.toml" in told["operator"]
    assert "[notes.read_note]" in told["operator"], "the row that mends it"


async def test_a_definition_that_changed_is_called_no_more(
    configured: Callable[..., BrokerConfig], tmp_path: Path
) -> None:
    """The rug is pulled between two connections; the model still reads what was approved."""
    config = configured("rug-pull")
    await approve(config, **READS)
    (tmp_path / "shared").write_text("pull")

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server) as client,
    ):
        (listed,) = (await client.list_tools()).tools
        is_error, text = await say(client, "notes__read_note", {"path": "a.txt"})

    assert listed.description == "Reads a note."
    assert is_error
    assert "is not what was approved" in text
    assert not (tmp_path / "shared.calls").exists()


@pytest.mark.parametrize(
    ("kind", "said"),
    [("dies", "gave no answer"), ("huge", "gave no answer"), ("fails", "no such note")],
)
async def test_a_server_that_fails_is_told_and_the_next_call_is_made(
    configured: Callable[..., BrokerConfig], kind: str, said: str
) -> None:
    config = configured(kind)
    await approve(config, **READS)

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server) as client,
    ):
        for _ in range(2):
            is_error, text = await say(client, "notes__read_note", {"path": "a.txt"})
            assert is_error
            assert said in text


async def test_a_server_that_hangs_is_given_up(
    configured: Callable[..., BrokerConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured("hangs")
    await approve(config, **READS)
    # Two minutes are the product's; what is tried is that there is an end.
    monkeypatch.setattr("permissions.gateway.upstream.ANSWER_SECONDS", 1)

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server) as client,
    ):
        is_error, text = await say(client, "notes__read_note", {"path": "a.txt"})

    assert is_error
    assert "no answer" in text


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("garbage", "reached|offers"),
        ("endless", "reached|offers"),
        ("twice", "twice"),
        ("many", "over 512"),
    ],
)
async def test_what_is_no_list_of_tools_is_refused(
    configured: Callable[..., BrokerConfig],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    said: str,
) -> None:
    # As above: half a minute is the product's patience, a second the test's.
    monkeypatch.setattr("permissions.gateway.upstream.CONNECT_SECONDS", 5)
    async with gateway.servers_of(configured(kind)) as servers:
        with pytest.raises(GatewayError, match=said):
            await servers.upstreams["notes"].list()


async def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    config = BrokerConfig.load(
        state=tmp_path / "state",
        gateway={"upstream": {"gone": {"command": ["no-such-program"]}}},
    )
    async with gateway.servers_of(config) as servers:
        with pytest.raises(GatewayError, match="no-such-program"):
            await servers.upstreams["gone"].list()


async def test_a_servers_hints_make_a_row_only_worse(
    configured: Callable[..., BrokerConfig],
) -> None:
    config = configured("destroys")
    await approve(config, effect="write", impact="low", marks={"path": "path write"})
    pins, definitions = gateway.approved_of(config)
    async with gateway.servers_of(config) as servers:
        upstreams = servers.upstreams
    (made,) = gateway.gateway_tools(pins, definitions, upstreams)
    assert made.guarded.guard.definition.impact == "high"

    await approve(config, **READS)
    with pytest.raises(ToolDefinitionError, match="only reads"):
        list(gateway.gateway_tools(*gateway.approved_of(config), upstreams))


@pytest.mark.parametrize(
    ("kind", "said", "fault"),
    [
        ("honest", {"tools": ["rm_*"]}, "no approved tool 'rm_\\*'; there are: read_note"),
        ("honest", {"effect": "reads"}, "effect: "),
        ("honest", {"marks": {"path": "paths"}}, "path "),
        ("honest", {"marks": {"paths": "free"}}, "marks names no argument"),
        ("destroys", {}, "only reads"),
    ],
    ids=[
        "no-such-tool",
        "no-such-effect",
        "no-such-mark",
        "no-such-argument",
        "says-it-writes",
    ],
)
async def test_what_cannot_be_said_of_a_tool_is_refused(
    configured: Callable[..., BrokerConfig],
    tmp_path: Path,
    kind: str,
    said: dict[str, Any],
    fault: str,
) -> None:
    config = configured(kind)
    approve_tools(config, "notes", untrusted_mcp.tools(kind, tmp_path / "shared"))
    pins, definitions = gateway.approved_of(config)
    wanted = {"effect": "read", "impact": "low", "marks": {}, **said}

    def describe() -> None:
        for name in matching(pins, "notes", wanted.pop("tools", ["*"])):
            described(pins.rows["notes"][name], definitions, name, **wanted)

    with pytest.raises((ConfigError, ToolDefinitionError), match=fault):
        describe()


async def test_an_approved_definition_that_was_edited_is_refused(
    configured: Callable[..., BrokerConfig], tmp_path: Path
) -> None:
    config = configured("honest")
    await approve(config, **READS)
    (definition,) = (tmp_path / "state" / "gateway").iterdir()
    definition.write_bytes(definition.read_bytes().replace(b"Reads a note.", b"Reads a mote."))

    with pytest.raises(ToolDefinitionError, match="not what its name says"):
        async with gateway.open_gateway(config, user="alice", version="1"):
            pass


async def test_the_command_serves_a_client_on_stdin_and_stdout(tmp_path: Path) -> None:
    """Pinned by the command, described in the file, called by the library's own client."""
    command = json.dumps([sys.executable, untrusted_mcp.__file__, "honest", "shared"])
    (tmp_path / "wardline.toml").write_text(
        f"sandbox.backends = []\n[gateway.upstream.notes]\ncommand = {command}\n"
    )
    environment = {**os.environ, "WARDLINE_CONFIG": str(tmp_path / "wardline.toml")}

    async def wardline(*arguments: str) -> str:
        done = await anyio.run_process(
            [sys.executable, "-m", "permissions", "gateway", *arguments],
            cwd=tmp_path,
            env=environment,
        )
        return done.stdout.decode()

    assert "new       notes__read_note" in await wardline("list")
    assert "approved: notes__read_note" in await wardline("pin", "--yes")
    pins = tmp_path / "gateway-tools.toml"
    assert 'marks = { path = "path write" }' in pins.read_text(), "the most suspicious reading"
    (listed,) = json.loads(await wardline("list", "--json"))
    assert (listed["state"], listed["described"]) == ("approved", False)
    said = await wardline("describe", "notes", "read_*", "--effect=read", "--impact=low")
    assert said.strip() == "notes__read_note  read, low  path: path read"
    (listed,) = json.loads(await wardline("list", "--json"))
    assert (listed["state"], listed["described"]) == ("approved", True)
    started = StdioServerParameters(
        command=sys.executable,
        args=["-m", "permissions", "gateway", "run"],
        cwd=tmp_path,
        env=environment,
    )

    async with Client(started) as client:
        allowed = await say(client, "notes__read_note", {"path": "a.txt"})
        refused = await say(client, "notes__read_note", {"path": "/etc/passwd"})

    assert allowed == (False, f"note of {tmp_path / 'a.txt'}")
    assert refused[0] is True
