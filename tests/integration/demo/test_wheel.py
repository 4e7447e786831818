"""The wheel as a user gets it: installed into an environment of its own, away from any checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import wardline

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[3]
UV = Path(sys.executable).parent / "uv"
PUBLIC = sorted(
    f"wardline.{path.stem}" if path.stem != "__init__" else "wardline"
    for path in Path(str(wardline.__file__)).parent.glob("*.py")
    if path.stem == "__init__" or not path.stem.startswith("_")
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("wheel")]


class Installed:
    """An environment with the wheel in it; the packages it needs are those of this one."""

    def __init__(self, folder: Path) -> None:
        built = folder / "built"
        # With the build backend of this environment, so that no index is asked.
        done = run(UV, "build", "--wheel", "--no-build-isolation", "--out-dir", built, ROOT)
        assert done.returncode == 0, done.stderr
        (self.wheel,) = built.glob("*.whl")
        self.folder = folder / "environment"
        done = run(UV, "venv", "--offline", "--python", sys.executable, self.folder)
        assert done.returncode == 0, done.stderr
        self.python = self.folder / "bin/python"
        (self.site,) = (self.folder / "lib").glob("python*/site-packages")
        for package in Path(sysconfig.get_paths()["purelib"]).iterdir():
            if package.is_dir() and not package.name.startswith("wardline"):
                shutil.copytree(package, self.site / package.name, copy_function=link)
            elif package.suffix in {".py", ".so"}:
                link(package, self.site / package.name)
        install = (UV, "pip", "install", "--offline", "--no-deps", "--python", self.python)
        done = run(*install, self.wheel)
        assert done.returncode == 0, done.stderr


def link(source: object, target: object) -> None:
    """One more name of a file where that is possible: hundreds of megabytes, in no time."""
    try:
        os.link(str(source), str(target))
    except OSError:  # another file system
        shutil.copy2(str(source), str(target))


def run(
    *words: object, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("wheel"))


def test_every_public_name_is_in_it(installed: Installed, tmp_path: Path) -> None:
    names = "\n".join(f"from {module} import *" for module in PUBLIC)

    done = run(
        installed.python,
        "-c",
        f"import wardline\n{names}\nprint(wardline.__file__)",
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(installed.site)


def test_it_brings_three_packages_and_no_demo_among_them(
    installed: Installed, tmp_path: Path
) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}

    done = run(installed.python, "-c", "import agents_demo", cwd=tmp_path)

    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "permissions",
        "sandbox",
        "wardline",
    }
    assert "No module named 'agents_demo'" in done.stderr


@pytest.mark.parametrize("file", ["permissions.py", "sandbox/__init__.py"])
def test_what_hides_its_packages_is_named(
    installed: Installed, tmp_path: Path, file: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("MINE = 1\n")

    done = run(installed.python, "-c", "from wardline import tool", cwd=tmp_path)

    hiding = tmp_path / file.removesuffix("/__init__.py")
    assert done.stderr.strip().splitlines()[-1].startswith(f"ImportError: {hiding} hides")


@pytest.mark.bwrap
def test_the_demo_runs_from_it(installed: Installed, tmp_path: Path) -> None:
    """Whole, with its sandbox and its commands, in a folder with modules of our names."""
    (tmp_path / "permissions.py").write_text("raise RuntimeError('not mine')\n")
    env = {**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}

    done = run(installed.folder / "bin/wardline", "demo", cwd=tmp_path, env=env)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
    assert "sum 1410.50" in done.stdout
    assert (tmp_path / "wardline-demo/outbox").is_dir()


PLAIN = '''
from typing import Annotated
from wardline import Broker, PathArg, tool

@tool(effect="read", impact="low")
def read_file(path: Annotated[str, PathArg("read")]) -> str:
    """Reads a file."""
    return open(path).read()

with Broker(tools=[read_file]) as broker, broker.session(user="alice", prompt="Read it"):
    print(read_file("notes.txt"))
'''
GRAPH = '''
from typing import Annotated
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from wardline import Broker, PathArg, tool
from wardline.langgraph import guard_node

@tool(effect="read", impact="low")
def read_file(path: Annotated[str, PathArg("read")]) -> str:
    """Reads a file."""
    return open(path).read()

call = {"name": "read_file", "args": {"path": "notes.txt"}, "id": "1", "type": "tool_call"}
graph = StateGraph(MessagesState).add_node("tools", guard_node([read_file]))
graph = graph.add_edge(START, "tools").compile()
with Broker(tools=[read_file]) as broker, broker.session(user="alice", prompt="Read it"):
    print(graph.invoke({"messages": [AIMessage("", tool_calls=[call])]})["messages"][-1].content)
'''
SERVER = '''
from mcp.server.mcpserver import MCPServer

server = MCPServer("notes")

@server.tool()
def read_file(path: str) -> str:
    """Reads a file."""
    return open(path).read()

server.run()
'''
CLIENT = """
import asyncio, os, subprocess, sys
from mcp import Client, StdioServerParameters

wardline = os.path.join(os.path.dirname(sys.executable), "wardline")
with open("wardline.toml", "a") as settings:
    settings.write(f'\\n[gateway.upstream.notes]\\ncommand = ["{sys.executable}", "server.py"]\\n')
for words in (
    ["trust", "wardline.toml"],
    ["gateway", "pin", "--yes"],
    ["gateway", "describe", "notes", "read_*", "--effect", "read", "--impact", "low"],
):
    subprocess.run([wardline, *words], check=True, capture_output=True)

async def main():
    gateway = StdioServerParameters(command=wardline, args=["gateway", "run"], env=dict(os.environ))
    async with Client(gateway) as client:
        result = await client.call_tool("notes__read_file", {"path": "notes.txt"})
        print(result.content[0].text)

asyncio.run(main())
"""
AGENT = """
import json, os, subprocess

(hook,) = json.load(open(".claude/settings.json"))["hooks"]["PreToolUse"][0]["hooks"]
event = {
    "session_id": "1", "cwd": os.getcwd(), "hook_event_name": "PreToolUse",
    "tool_name": "Read", "tool_input": {"file_path": "notes.txt"},
}
env = {**os.environ, "CLAUDE_PROJECT_DIR": os.getcwd()}
done = subprocess.run(hook["command"], shell=True, input=json.dumps(event), env=env, text=True,
                      capture_output=True)
assert (done.returncode, done.stdout) == (0, "{}\\n"), done.stderr
print(open("notes.txt").read())
"""
KINDS: dict[str, tuple[list[str], dict[str, str]]] = {
    "plain": ([], {"agent.py": PLAIN}),
    "LangGraph": ([], {"agent.py": GRAPH}),
    "MCP": ([], {"agent.py": CLIENT, "server.py": SERVER}),
    "coding agent": (["--coding-agent", "claude-code"], {"agent.py": AGENT}),
}
GIVE_WAY = (
    "from pathlib import Path; from permissions.setup.giving_way import require_free;"
    "from permissions.setup.layout import StateLayout; require_free(StateLayout(Path('.wardline')))"
)


@pytest.mark.parametrize(("words", "files"), KINDS.values(), ids=KINDS)
def test_the_first_minutes_in_a_repository_end_with_a_governed_call(
    installed: Installed, words: list[str], files: dict[str, str], tmp_path: Path
) -> None:
    """And a second `init` changes nothing."""
    for name, text in {**files, "notes.txt": "42 apples"}.items():
        (tmp_path / name).write_text(text)
    home = tmp_path.parent / f"{tmp_path.name}-home"
    env = {"PATH": f"{installed.folder / 'bin'}:{os.environ['PATH']}", "HOME": str(home)}
    command = installed.folder / "bin/wardline"

    def written() -> dict[Path, bytes]:
        inside = (each for each in tmp_path.rglob("*") if ".wardline" not in each.parts)
        return {each: each.read_bytes() for each in inside if each.is_file()}

    try:
        first = run(command, "init", *words, cwd=tmp_path, env=env)
        before = written()
        second = run(command, "init", *words, cwd=tmp_path, env=env)
        after = written()
        called = run(installed.python, "agent.py", cwd=tmp_path, env=env)
    finally:
        run(installed.python, "-c", GIVE_WAY, cwd=tmp_path, env=env)
    seen = run(command, "trace", "find", "--outcome", "ok", "--json", cwd=tmp_path, env=env)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert after == before
    assert called.returncode == 0, called.stderr
    assert called.stdout.strip() == "42 apples"
    assert len(seen.stdout.splitlines()) == 1, seen.stderr
