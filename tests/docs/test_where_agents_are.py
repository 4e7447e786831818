"""The guides for coding agents and for the gateway: each command in them runs as it is written."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import plain_mcp
import pytest
from hooking import event

from permissions.setup.config import BrokerConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(wardline [^`]+)`")
SERVER = f"""
import sys
sys.path.insert(0, {str(Path(plain_mcp.__file__).parent)!r})
import plain_mcp as server
server.TOOLS[:] = [
    {{"name": name, "description": name, "inputSchema": {{
        "type": "object", "required": each,
        "properties": {{one: {{"type": "string"}} for one in each}},
    }}}}
    for name, each in {{"read_file": ["path"], "list_directory": ["path"],
                       "send": ["to", "body"]}}.items()
]
server.main()
"""


def commands(page: str) -> list[str]:
    """Each command of a page, once, in the order of the page."""
    text = (GUIDES / page).read_text()
    found = []
    for kind, body in BLOCK.findall(text):
        if kind == "console":
            found += [line[2:] for line in body.splitlines() if line.startswith("$ ")]
    found += INLINE.findall(BLOCK.sub("", text))
    return list(dict.fromkeys(found))


class Desk:
    """A repository of somebody's, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repository"
        self.folder.mkdir()
        subprocess.run(["git", "init", "-q", self.folder], check=True)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("WARDLINE")
        }
        for each in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
            self.environment[each] = str(folder / each)

    def started(self, line: str) -> subprocess.Popen[str]:
        words = shlex.split(line)
        assert words[0] == "wardline"
        return subprocess.Popen(
            [sys.executable, "-m", "permissions", *words[1:]],
            cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, line: str, given: str = "") -> tuple[int, str, str]:
        with self.started(line) as process:
            out, err = process.communicate(given, timeout=300)
        return process.returncode, out, err

    def stays(self, line: str, said: str) -> None:
        """Starts what goes on until it is stopped, and stops it when it said that."""
        with self.started(line) as process:
            stream = process.stderr if said.startswith("serving") else process.stdout
            assert stream is not None
            heard = ""
            while said not in heard and (more := stream.readline()):
                heard += more
            process.terminate()
            process.communicate(timeout=300)
        assert said in heard


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_guide_of_coding_agents(desk: Desk) -> None:
    left = set(commands("coding-agents.md"))

    def written(line: str) -> str:
        left.discard(line)
        return line

    code, said, err = desk.run(written("wardline init --coding-agent claude-code"))
    assert code == 0, err
    assert (desk.folder / ".claude" / "settings.json").is_file()
    code, out, err = desk.run(written("wardline policy test --overlay .wardline-policies"))
    assert code == 0, (out, err)
    asked = event(desk.folder, "Bash", command="git push")
    hook = f"{written('wardline hook')} claude-code"
    code, _, err = desk.run(hook, asked)
    found = re.search(r"req-[0-9a-f]+", err)
    assert code == 2
    assert found is not None, err
    key = re.search(r"--key (file:\S+)`", said)
    assert key is not None, said
    desk.environment["WARDLINE_APPROVER_KEY"] = key[1]
    code, out, err = desk.run(written("wardline request approve ID").replace("ID", found[0]))
    assert code == 0, (out, err)
    assert desk.run(hook, asked)[0] == 0
    assert desk.run(hook, asked)[0] == 2  # it counts once
    desk.stays(written("wardline serve"), "listening on unix:")

    assert left == set()


def test_the_guide_of_the_gateway(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    command = json.dumps([sys.executable, str(tmp_path / "server.py")])
    settings = "".join(
        f"[gateway.upstream.{name}]\ncommand = {command}\n" for name in ("files", "mail")
    )
    blocks = [body for kind, body in BLOCK.findall(page("mcp-gateway.md")) if kind == "toml"]
    (http,) = [each for each in blocks if each.startswith("[gateway.http]")]
    (desk.folder / "wardline.toml").write_text(settings + http)
    left = set(commands("mcp-gateway.md"))

    def written(line: str) -> str:
        left.discard(line)
        return line

    desk.environment["WARDLINE_CONFIG"] = str(desk.folder / "wardline.toml")
    code, out, err = desk.run(written("wardline gateway pin") + " --yes")
    assert code == 0, (out, err)
    for each in sorted(left):
        if each.startswith("wardline gateway describe "):
            code, out, err = desk.run(written(each))
            assert code == 0, (each, out, err)
    code, out, _ = desk.run(written("wardline gateway list"))
    assert code == 0
    assert "approved  mail__send  send, medium" in out
    assert "approved  files__read_file  read, low" in out
    address = written("wardline gateway run --http 127.0.0.1:8183").replace("8183", "0")
    desk.stays(address, "serving MCP at")
    assert desk.run(written("wardline trace verify"))[0] == 0
    left.discard("wardline gateway")

    assert left == set()


def page(name: str) -> str:
    return (GUIDES / name).read_text()


@pytest.mark.parametrize("name", ["mcp-gateway.md", "coding-agents.md"])
def test_its_settings_are_settings(name: str, tmp_path: Path) -> None:
    """Each on its own; rows of the file of approved tools are none."""
    for kind, body in BLOCK.findall(page(name)):
        if kind == "toml" and not body.startswith("[notes."):
            file = tmp_path / "wardline.toml"
            file.write_text(body)
            loaded: Any = BrokerConfig.load(file)
            assert loaded.gateway != BrokerConfig().gateway
