"""Agents' settings files: only added to, the same the second time, refused when they are broken."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from permissions.coding.hook import DEADLINE_SECONDS
from permissions.coding.settings import AGENTS, SECONDS, merged
from permissions.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PATHS = {
    "claude-code": ".claude/settings.json",
    "codex": ".codex/hooks.json",
    "gemini": ".gemini/settings.json",
    "cursor": ".cursor/hooks.json",
}


def put(root: Path, agent: str, text: str) -> Path:
    path = root / PATHS[agent]
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def entries(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every entry with a command, of every event."""
    groups = [group for event in document["hooks"].values() for group in event]
    return [each for group in groups for each in group.get("hooks", [group])]


@pytest.mark.parametrize("agent", AGENTS)
def test_the_hook_is_named_for_every_tool_and_fails_closed(agent: str, tmp_path: Path) -> None:
    assert merged(agent, tmp_path).write()

    document = json.loads((tmp_path / PATHS[agent]).read_text())
    for each in entries(document):
        assert f"wardline hook {agent}" in each["command"]
        assert each["command"].endswith("|| exit 2")
        seconds = each["timeout"] / (1000 if agent == "gemini" else 1)
        assert seconds == SECONDS > DEADLINE_SECONDS + 2
    if agent == "claude-code":
        assert entries(document)[0]["onFailure"] == "block"
    if agent == "cursor":
        before = [
            e for name, e in document["hooks"].items() if not name.startswith(("after", "post"))
        ]
        assert all(each["failClosed"] for event in before for each in event)
        assert document["version"] == 1


@pytest.mark.parametrize("agent", AGENTS)
def test_a_second_time_changes_nothing(agent: str, tmp_path: Path) -> None:
    merged(agent, tmp_path).write()
    before = (tmp_path / PATHS[agent]).read_bytes()

    assert merged(agent, tmp_path).write() is False
    assert (tmp_path / PATHS[agent]).read_bytes() == before


@pytest.mark.parametrize("agent", AGENTS)
def test_what_is_there_stays(agent: str, tmp_path: Path) -> None:
    event = "beforeShellExecution" if agent == "cursor" else "PreToolUse"
    own = {"matcher": "Bash", "hooks": [{"type": "command", "command": "./mine.sh"}]}
    put(tmp_path, agent, json.dumps({"mine": [1], "hooks": {event: [own], "Stop": [own]}}))

    merged(agent, tmp_path).write()

    document = json.loads((tmp_path / PATHS[agent]).read_text())
    assert document["mine"] == [1]
    assert document["hooks"]["Stop"] == [own]
    assert document["hooks"][event][0] == own


def test_a_hook_for_some_tools_does_not_count_for_all(tmp_path: Path) -> None:
    narrow = {"matcher": "Bash", "hooks": [{"type": "command",
              "command": "wardline hook claude-code || exit 2"}]}  # fmt: skip
    put(tmp_path, "claude-code", json.dumps({"hooks": {"PreToolUse": [narrow]}}))

    assert merged("claude-code", tmp_path).write()
    assert merged("claude-code", tmp_path).write() is False


def test_a_hook_that_fails_open_does_not_count(tmp_path: Path) -> None:
    loose = {
        "matcher": "*",
        "hooks": [{"type": "command", "command": "wardline hook claude-code"}],
    }
    put(tmp_path, "claude-code", json.dumps({"hooks": {"PreToolUse": [loose]}}))

    assert merged("claude-code", tmp_path).write()


def test_without_its_options_a_hook_is_kept(tmp_path: Path) -> None:
    """Without `--ask`, say."""
    merged("claude-code", tmp_path).write()
    path = tmp_path / PATHS["claude-code"]
    path.write_text(path.read_text().replace(" --ask", ""))

    assert merged("claude-code", tmp_path).write() is False


LOOK_ALIKES: dict[str, dict[str, Any]] = {
    "never started": {"command": "true || {} || exit 2"},
    "commented out": {"command": "exit 0 # {}"},
    "another program": {"command": "./{}"},
    "echoed": {"command": "echo {}"},
    "too little time": {"timeout": 1},
    "beside the call": {"async": True},
    "under a condition": {"if": "Bash(git *)"},
    "another kind": {"type": "prompt"},
    "lets pass on failure": {"onFailure": "allow"},
}


@pytest.mark.parametrize("more", LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_what_a_repository_brought_to_look_like_the_hook_does_not_count(
    more: dict[str, Any], tmp_path: Path
) -> None:
    merged("claude-code", tmp_path).write()
    path = tmp_path / PATHS["claude-code"]
    document = json.loads(path.read_text())
    (group,) = document["hooks"]["PreToolUse"]
    hook = group["hooks"][0]
    before = dict(hook)
    hook.update(more, command=more.get("command", "{}").format(hook["command"]))
    path.write_text(json.dumps(document))

    assert merged("claude-code", tmp_path).write()
    _, own = json.loads(path.read_text())["hooks"]["PreToolUse"]
    assert own["hooks"] == [before]
    assert merged("claude-code", tmp_path).write() is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"hooks": ', "line 1 column 11"),
        ("[]", "no object"),
        ('{"hooks": []}', "hooks is not an object"),
        ('{"hooks": {"PreToolUse": {}}}', "PreToolUse is not a list"),
        ('{"hooks": {}, "hooks": {}}', "twice"),
        ('{"disableAllHooks": true}', "disableAllHooks switches hooks off"),
        ('// mine\n{"hooks": {}}', "no JSON"),
    ],
    ids=["cut", "a list", "hooks", "event", "twice", "off", "a comment"],
)
def test_a_broken_file_is_told_with_what_and_where_and_left(
    text: str, said: str, tmp_path: Path
) -> None:
    path = put(tmp_path, "claude-code", text)

    with pytest.raises(ConfigError, match=said) as told:
        merged("claude-code", tmp_path)

    assert str(path) in str(told.value)
    assert "nothing was written" in str(told.value)
    assert path.read_text() == text


def test_gemini_with_hooks_off_is_told(tmp_path: Path) -> None:
    put(tmp_path, "gemini", '{"hooksConfig": {"enabled": false}}')

    with pytest.raises(ConfigError, match="hooksConfig switches hooks off"):
        merged("gemini", tmp_path)


@pytest.mark.parametrize("agent", AGENTS)
def test_without_wardline_the_command_blocks(agent: str, tmp_path: Path) -> None:
    """An agent makes the call when its hook cannot be started, unless that is exit code 2."""
    merged(agent, tmp_path).write()
    document = json.loads((tmp_path / PATHS[agent]).read_text())
    environment = {"PATH": str(tmp_path), "CLAUDE_PROJECT_DIR": str(tmp_path)}

    for each in entries(document):
        done = subprocess.run(
            ["/bin/sh", "-c", each["command"]],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr.strip()


def test_an_agent_nobody_knows_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="claude-code, codex, gemini, cursor"):
        merged("copilot", tmp_path)
