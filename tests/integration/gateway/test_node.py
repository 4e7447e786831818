"""The official TypeScript client, the gateway, and a server that somebody else wrote, in our sandbox."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from gateways import approve

from permissions.setup.config import BrokerConfig

pytestmark = [pytest.mark.slow, pytest.mark.node, pytest.mark.bwrap]

PACKAGES = (
    "@modelcontextprotocol/sdk@1.32.2",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
)
CLIENT = Path(__file__).parents[2] / "support" / "client.mjs"
SERVER = "/server/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js"
NAMED = {"marks": {"path": "path write"}}
"""As it is approved: what its arguments' names suggest."""
WRITES = {
    "effect": "write",
    "impact": "low",
    "marks": {"path": "path write", "content": "free"},
}


async def test_a_typescript_client_works_on_files_through_a_sandboxed_server(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "npm"
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *PACKAGES]
    await anyio.run_process([*install, "--cache", str(tmp_path / "cache")], cwd=folder)
    shutil.copy(CLIENT, folder / "client.mjs")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a.txt").write_text("one")
    (tmp_path / "work" / ".env").write_text("KEY=1")
    settings = tmp_path / "wardline.toml"
    settings.write_text(
        f"""
state = {json.dumps(str(tmp_path / "state"))}
workspace = {json.dumps(str(tmp_path / "work"))}
sandbox.backends = ["bubblewrap"]
[gateway]
pins = {json.dumps(str(tmp_path / "gateway-tools.toml"))}
[gateway.upstream.files]
command = ["node", "{SERVER}", "/workspace"]
folder = {json.dumps(str(folder))}
sandbox = "process"
workspace = "overlay"
"""
    )
    config = BrokerConfig.load(settings)
    by_tool = {
        "read_text_file": NAMED,
        "list_directory": NAMED,
        "write_file": WRITES,
        "create_directory": {**WRITES, "marks": {"path": "path write"}},
    }
    await approve(config, by_tool, use="hidden")
    command = [sys.executable, "-m", "permissions", "gateway", "run"]
    describe = [*command[:-1], "describe", "files", "read_*_file", "list_directory"]
    await anyio.run_process(
        [*describe, "--effect", "read", "--impact", "low"],
        env={**os.environ, "WARDLINE_CONFIG": str(settings)},
    )
    calls: list[Any] = [  # to write after untrusted data was read would take a person
        ["files__create_directory", {"path": "new"}],
        ["files__write_file", {"path": "b.txt", "content": "two"}],
        ["files__read_text_file", {"path": "a.txt"}],
        ["files__read_text_file", {"path": "/etc/passwd"}],
        ["files__list_directory", {"path": "."}],
    ]

    done = await anyio.run_process(
        ["node", "client.mjs", json.dumps(command), json.dumps(calls)],
        cwd=folder,
        env={**os.environ, "WARDLINE_CONFIG": str(settings)},
    )

    said = json.loads(done.stdout)
    assert sorted(said["tools"]) == [
        "files__create_directory",
        "files__list_directory",
        "files__read_text_file",
        "files__write_file",
    ]
    made, wrote, read, refused, listed = said["answers"]
    assert made[0] is False, made
    assert (tmp_path / "work" / "new").is_dir()
    # Its server calls it destructive itself, which makes the row's low impact a high one.
    assert "impact.needs_person" in wrote[1]
    assert not (tmp_path / "work" / "b.txt").exists()
    assert read == [False, "one"], read
    assert refused[0] is True
    assert json.loads(refused[1])["reasons"][0]["code"] == "filesystem.outside"
    assert listed[1].splitlines() == ["[FILE] a.txt", "[DIR] new"], "and no secret"
