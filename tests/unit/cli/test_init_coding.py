"""`wardline init` in repositories of each kind: it can be run again, and never weakens."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from permissions.cli.root import app
from permissions.coding.starter import FOLDER
from permissions.setup.config import BrokerConfig
from permissions.setup.trust import TrustList

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.delenv("WARDLINE_CONFIG", raising=False)
    root = tmp_path.resolve() / "repository"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


def init(*words: str) -> Result:
    return CliRunner().invoke(app, ["init", "--name", "olga", *words])


def written(root: Path) -> dict[str, str]:
    """Every file of the repository but for the record, by its digest."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".wardline" not in path.relative_to(root).parts
    }


@pytest.mark.slow
def test_a_repository_gets_settings_policies_and_the_hook(repository: Path) -> None:
    done = init("--coding-agent", "claude-code")

    assert done.exit_code == 0, done.output
    config = BrokerConfig.load()
    assert config.pdp.overlay == repository / FOLDER
    assert config.workspace == repository
    assert config.service.tools == ("permissions.coding.tools",)
    assert (
        "PreToolUse" in json.loads((repository / ".claude/settings.json").read_text())["hooks"]
    )
    assert "restart Claude Code" in done.stdout


@pytest.mark.slow
def test_an_agent_more_changes_nothing_of_the_first(repository: Path) -> None:
    init("--coding-agent", "claude-code")
    before = written(repository)

    done = init("--coding-agent", "cursor")

    assert done.exit_code == 0, done.output
    after = written(repository)
    assert after.pop(".cursor/hooks.json")
    assert after == before


KINDS = {
    "empty": {},
    "a python project": {"pyproject.toml": "[project]\nname = 'x'\n"},
    "langgraph": {
        "pyproject.toml": "[project]\ndependencies = ['langgraph']\n",
        "agent.py": "x",
    },
    "an mcp gateway": {
        "wardline.toml": 'state = ".wardline"\n[gateway.upstream.notes]\ncommand = ["notes"]\n'
    },
    "stricter settings": {
        "wardline.toml": 'environment = "production"\n[approval]\nwait_seconds = 5\n'
    },
    "an agent with hooks of its own": {
        ".claude/settings.json": '{"permissions": {"deny": ["Bash(rm:*)"]}, "hooks":'
        ' {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "./x"}]}]}}'
    },
    "policies of its own": {f"{FOLDER}/library.json": '["coding", "git", "secrets"]'},
}


@pytest.mark.slow
@pytest.mark.parametrize("agent", [None, "claude-code", "codex", "gemini", "cursor"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_second_time_changes_nothing(
    kind: dict[str, str], agent: str | None, repository: Path
) -> None:
    for name, text in kind.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    if (settings := repository / "wardline.toml").exists():
        TrustList().add(settings, settings.read_bytes())
    words = [] if agent is None else ["--coding-agent", agent]

    first = init(*words)
    before = written(repository)
    second = init(*words)

    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert written(repository) == before
    for name, text in kind.items():
        if name != ".claude/settings.json" or agent != "claude-code":
            assert (repository / name).read_text() == text
    if ".claude/settings.json" in kind:
        document = json.loads((repository / ".claude/settings.json").read_text())
        assert document["permissions"] == {"deny": ["Bash(rm:*)"]}
        assert document["hooks"]["PreToolUse"][0]["hooks"][0]["command"] == "./x"


@pytest.mark.slow
def test_settings_without_the_policies_say_what_they_lack(repository: Path) -> None:
    """Nothing is put in the place of what an operator wrote; without it, texts are refused."""
    settings = repository / "wardline.toml"
    settings.write_text('environment = "theirs"\n')
    TrustList().add(settings, settings.read_bytes())

    done = init("--coding-agent", "codex")

    assert done.exit_code == 0, done.output
    assert f'overlay = "{FOLDER}"' in done.stdout
    assert settings.read_text() == 'environment = "theirs"\n'


def test_a_broken_settings_file_of_the_agent_stops_it_before_anything_is_written(
    repository: Path,
) -> None:
    (repository / ".gemini").mkdir()
    (repository / ".gemini/settings.json").write_text('{"hooks": ')

    done = init("--coding-agent", "gemini")

    assert done.exit_code == 2
    assert ".gemini/settings.json" in done.stderr
    assert "line 1" in done.stderr
    assert [*written(repository)] == [".gemini/settings.json"]


def test_settings_of_somebody_else_are_not_trusted_by_it(repository: Path) -> None:
    (repository / "wardline.toml").write_text('[pdp]\npolicies = "theirs"\n')

    done = init("--coding-agent", "claude-code")

    assert "not trusted" in done.stdout
    assert TrustList().entries() == {}
    assert not (repository / ".wardline").exists()  # nothing was opened with them


def test_an_agent_nobody_knows_is_told(repository: Path) -> None:
    done = init("--coding-agent", "copilot")

    assert done.exit_code == 2
    assert "claude-code, codex, gemini, cursor" in done.stderr
    assert written(repository) == {}
