"""MCP servers that nobody here wrote, behind the gateway: two from PyPI, one from npm.

`@modelcontextprotocol/server-filesystem`, in our sandbox, is in `test_node`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from gateways import approve, say
from mcp import Client

from permissions.gateway import run as gateway
from permissions.setup.config import ApproverConfig, BrokerConfig
from permissions.signing.keys import memory_signer
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.node]

PYTHON = ("mcp-server-git==2026.10.19", "mcp-server-time==2026.10.19")
NODE = "@modelcontextprotocol/server-everything@2026.8.31"
READS = {"effect": "read", "impact": "low"}
ROWS: dict[str, dict[str, Any]] = {
    "convert_time": READS,
    "git_log": {**READS, "marks": {"repo_path": "path read"}},
    "git_reset": {"effect": "write", "impact": "low", "marks": {"repo_path": "path write"}},
    "echo": READS,
    "get-env": READS,
    "get-sum": READS,
    "get-structured-content": READS,
    "get-tiny-image": READS,
    "trigger-long-running-operation": READS,
}


async def installed(tmp_path: Path) -> dict[str, list[str]]:
    """The servers, each as its registry has it."""
    made, folder = tmp_path / "python", tmp_path / "node"
    await anyio.run_process([sys.executable, "-m", "uv", "venv", "-q", str(made)])
    python = str(made / "bin" / "python")
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", python, *PYTHON]
    await anyio.run_process(install)
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", NODE]
    await anyio.run_process([*install, "--cache", str(tmp_path / "cache")], cwd=folder)
    main = folder / "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
    return {
        "time": [str(made / "bin" / "mcp-server-time"), "--local-timezone", "UTC"],
        "git": [str(made / "bin" / "mcp-server-git")],
        "everything": ["node", str(main), "stdio"],
    }


def repository(work: Path) -> None:
    work.mkdir()
    (work / "a.txt").write_text("one")
    for each in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-qm", "first words"],
    ):
        subprocess.run(["git", *each], check=True, cwd=work)


async def test_their_tools_are_called_as_their_rows_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMEBODYS_TOKEN", "token-of-a-gateway")
    work = tmp_path / "work"
    await anyio.to_thread.run_sync(repository, work)
    servers = await installed(tmp_path)
    config = BrokerConfig.load(
        state=tmp_path / "state",
        workspace=work,
        approvers={
            "olga": ApproverConfig(
                groups=("operators",), public_key=str(memory_signer(b"o" * 32).public)
            )
        },
        sandbox={"backends": ()},
        gateway={
            "upstream": {name: {"command": command} for name, command in servers.items()},
            "pins": tmp_path / "gateway-tools.toml",
        },
    )
    await approve(config, ROWS, use="hidden")
    steps: list[float] = []

    async def progress(now: float, _: float | None, __: str | None) -> None:
        steps.append(now)

    async with (
        gateway.open_gateway(config, user="alice", version="1") as server,
        Client(server) as client,
    ):
        listed = {each.name for each in (await client.list_tools()).tools}
        noon = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        reset = await say(client, "git__git_reset", {"repo_path": "."})
        clock = await say(client, "time__convert_time", noon)
        log = await say(client, "git__git_log", {"repo_path": "."})
        (work / ".git" / "config").rename(tmp_path / "config")
        read = await say(client, "git__git_log", {"repo_path": "."})
        outside = await say(client, "git__git_log", {"repo_path": "/etc"})
        said = await say(client, "everything__echo", {"message": "hello"})
        total = await say(client, "everything__get-sum", {"a": 2, "b": 3})
        wrong = await say(client, "everything__get-sum", {"a": "2", "b": 3})
        environment = await say(client, "everything__get-env", {})
        image = await client.call_tool("everything__get-tiny-image", {})
        weather = await client.call_tool(
            "everything__get-structured-content", {"location": "Chicago"}
        )
        await client.call_tool(
            "everything__trigger-long-running-operation",
            {"duration": 1, "steps": 4},
            progress_callback=progress,
        )

    assert len(listed) == len(ROWS)
    assert json.loads(reset[1])["status"] == "pending", "its server says that it destroys"
    assert json.loads(clock[1])["target"]["datetime"].endswith("21:00:00+09:00")
    codes = {each["code"] for each in json.loads(log[1])["reasons"]}
    assert "filesystem.holds_secrets" in codes, "`.git/config` may hold a token"
    assert "first words" in read[1]
    assert json.loads(outside[1])["reasons"][0]["code"] == "filesystem.outside"
    assert said == (False, "Echo: hello")
    assert "5" in total[1]
    assert json.loads(wrong[1])["reasons"][0]["code"] == "arguments.invalid"
    assert "PATH" in environment[1]
    assert "token-of-a-gateway" not in environment[1]
    assert "image" in {each.type for each in image.content}
    assert weather.structured_content is not None
    assert "temperature" in weather.structured_content
    assert len(steps) >= 3
    assert verify_trace(tmp_path / "state" / "trace").completeness.is_whole
