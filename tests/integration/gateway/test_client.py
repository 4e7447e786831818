"""What may become of a call of an MCP client: the row of `frameworks/test_each_framework.py`.

Held and answered by elicitation is in `test_elicitation`, how far a call is in `test_listing`,
what a server does that hangs, dies or floods in `test_gateway`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import untrusted_mcp
from gateways import approve_tools, say
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from permissions.gateway import run as gateway
from permissions.setup.config import BrokerConfig
from permissions.signing.keys import memory_signer, write_secret
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

OLGA = memory_signer(b"o" * 32)
READS = {"effect": "read", "impact": "low", "marks": {"path": "path read"}}
GRAVE = {"effect": "write", "impact": "high", "marks": {"path": "path write"}}
TOOL = "notes__read_note"


def configured(tmp_path: Path, kind: str, row: dict[str, Any], **more: str) -> BrokerConfig:
    """Settings in a file, which the processes of the gateway and of the approver read too."""
    (tmp_path / "work").mkdir()
    write_secret(tmp_path / "olga.pem", OLGA.pem())
    command = [sys.executable, untrusted_mcp.__file__, kind, str(tmp_path / "shared")]
    settings = {
        "state": str(tmp_path / "state"),
        "workspace": str(tmp_path / "work"),
        "sandbox.backends": [],
        "gateway.pins": str(tmp_path / "gateway-tools.toml"),
        "gateway.upstream.notes.command": command,
        "approvers.olga.groups": ["operators", "security", "owners"],
        "approvers.olga.public_key": str(OLGA.public),
        **more,
    }
    file = tmp_path / "wardline.toml"
    file.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items()))
    config = BrokerConfig.load(file)
    approve_tools(config, "notes", untrusted_mcp.tools(kind, tmp_path / "shared"), **row)
    return config


async def wardline(tmp_path: Path, *arguments: str) -> str:
    done = await anyio.run_process(
        [sys.executable, "-m", "permissions", *arguments],
        env={**os.environ, "WARDLINE_CONFIG": str(tmp_path / "wardline.toml")},
        cwd=tmp_path,
    )
    return done.stdout.decode()


async def person(tmp_path: Path, request: str, verb: str, *more: str) -> None:
    """As the approver, from a process of their own."""
    key = f"file:{tmp_path / 'olga.pem'}"
    await wardline(tmp_path, "request", verb, request, *more, "--key", key)


def called(tmp_path: Path) -> list[str]:
    """The paths that the server was called with, as it saw them."""
    file = tmp_path / "shared.calls"
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line)["path"].rpartition("/")[2] for line in lines]


def outcomes(tmp_path: Path) -> list[str]:
    entries = read_entries(tmp_path / "state" / "trace")
    return [each.body["status"] for each in entries if each.type == "outcome"]


async def test_held_and_edited_from_another_process(tmp_path: Path) -> None:
    """What the person made of it is decided anew: here it asks them once more."""
    config = configured(tmp_path, "honest", GRAVE)

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server) as client,
    ):
        asked = json.loads((await say(client, TOOL, {"path": "a.txt"}))[1])
        assert asked["status"] == "pending"
        await person(tmp_path, asked["access_request"], "edit", 'path="b.txt"')
        again = json.loads((await say(client, TOOL, {"path": "a.txt"}))[1])
        assert again["status"] == "pending"
        assert again["access_request"] != asked["access_request"]
        await person(tmp_path, again["access_request"], "approve")
        is_error, _ = await say(client, TOOL, {"path": "a.txt"})

    assert not is_error
    assert called(tmp_path) == ["b.txt"]
    assert verify_trace(tmp_path / "state" / "trace").is_intact


async def test_timed_out_and_cancelled(tmp_path: Path) -> None:
    """Both are recorded as what they are, and the next call is answered."""
    config = configured(tmp_path, "hangs", READS, call_deadline_seconds="8")

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server) as client,
    ):
        is_error, text = await say(client, TOOL, {"path": "a.txt"})
        # Not there when the machine was too busy to begin it in its eight seconds.
        (tmp_path / "shared.begun").unlink(missing_ok=True)
        async with anyio.create_task_group() as group:
            group.start_soon(say, client, TOOL, {"path": "b.txt"})
            while not (tmp_path / "shared.begun").exists():  # noqa: ASYNC110 - it says so by a file
                await anyio.sleep(0.02)
            group.cancel_scope.cancel()
        refused = await say(client, TOOL, {"path": "/etc/passwd"})
        while len(outcomes(tmp_path)) < 2:  # noqa: ASYNC110 - it is in a file when it is there
            await anyio.sleep(0.05)

    assert is_error
    assert json.loads(text)["reasons"][0]["code"] == "execution.stopped"
    assert json.loads(refused[1])["reasons"][0]["code"] == "filesystem.outside"
    assert outcomes(tmp_path) == ["stopped", "cancelled"]
    assert verify_trace(tmp_path / "state" / "trace").completeness.is_whole


async def test_killed_in_mid_call_and_started_again(tmp_path: Path) -> None:
    """The record says that the call began and not how it ended, and a new gateway goes on."""
    config = configured(tmp_path, "hangs", READS)
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "permissions", "gateway", "run"],
        cwd=tmp_path,
        env={**os.environ, "WARDLINE_CONFIG": str(tmp_path / "wardline.toml")},
    )
    with pytest.raises(BaseExceptionGroup):  # noqa: PT012 - whatever ends the client with it
        async with Client(command) as client, anyio.create_task_group() as group:
            group.start_soon(say, client, TOOL, {"path": "a.txt"})
            while not (tmp_path / "shared.begun").exists():  # noqa: ASYNC110 - it says so by a file
                await anyio.sleep(0.02)
            os.kill(gateway_process(tmp_path), signal.SIGKILL)

    before = verify_trace(tmp_path / "state" / "trace")
    command_again = [sys.executable, untrusted_mcp.__file__, "honest", str(tmp_path / "shared")]
    upstream = config.gateway.upstream["notes"].model_copy(
        update={"command": tuple(command_again)}
    )
    section = config.gateway.model_copy(update={"upstream": {"notes": upstream}})
    async with (
        gateway.open_gateway(
            config.model_copy(update={"gateway": section}), user="alice", version="1"
        ) as server,
        Client(server) as client,
    ):
        is_error, _ = await say(client, TOOL, {"path": "b.txt"})

    assert before.is_intact
    assert not before.completeness.is_whole
    assert not is_error
    assert called(tmp_path) == ["b.txt"]
    assert verify_trace(tmp_path / "state" / "trace").is_intact


def gateway_process(tmp_path: Path) -> int:
    """The one that has this test's settings; the client's library does not give its id."""
    wanted = f"WARDLINE_CONFIG={tmp_path / 'wardline.toml'}".encode()
    for each in os.listdir("/proc"):  # noqa: PTH208 - names only
        if not each.isdigit() or int(each) == os.getpid():
            continue
        try:
            with open(f"/proc/{each}/environ", "rb") as file:  # noqa: PTH123
                environment = file.read().split(b"\0")
            with open(f"/proc/{each}/cmdline", "rb") as file:  # noqa: PTH123
                argv = file.read().split(b"\0")
        except OSError:
            continue
        if wanted in environment and b"permissions" in argv:
            return int(each)
    raise AssertionError("no gateway of this test runs")


async def test_parallel_beside_those_that_are_refused(tmp_path: Path) -> None:
    """Each answer goes to its own call."""
    config = configured(tmp_path, "honest", READS)
    answers: dict[str, tuple[bool, str]] = {}

    async def one(client: Client, path: str) -> None:
        answers[path] = await say(client, TOOL, {"path": path})

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server) as client,
        anyio.create_task_group() as group,
    ):
        for path in ("a", "b", "c", "d", "/etc/passwd", ".env"):
            group.start_soon(one, client, path)

    for path in "abcd":
        assert answers[path] == (False, f"note of {tmp_path / 'work' / path}")
    assert all(answers[path][0] for path in ("/etc/passwd", ".env"))
    assert sorted(called(tmp_path)) == ["a", "b", "c", "d"]
    assert verify_trace(tmp_path / "state" / "trace").completeness.is_whole
