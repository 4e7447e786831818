"""The tutorial "Your first policy", step by step as its reader takes it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from permissions.cli.policy import app

if TYPE_CHECKING:
    from click.testing import Result

PAGE = (Path(__file__).parents[2] / "docs" / "tutorials" / "first-policy.md").read_text()


def block(language: str) -> str:
    """The first block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


COMMANDS = [
    line.removeprefix("$ wardline policy ")
    for found in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in found.splitlines()
]
pytestmark = pytest.mark.slow

CODES = {"try": 4, "check": 0, "test": 0, "diff": 0, "fuzz": 0}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text(block("text"))
    package = tmp_path / "mine" / "quiet_hours"
    package.mkdir(parents=True)
    (package / "quiet_hours.rego").write_text(block("rego"))
    (tmp_path / "mine" / "quiet_hours_test.yaml").write_text(block("yaml"))
    return tmp_path


def run(command: str) -> Result:
    return CliRunner().invoke(app, shlex.split(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_ends_as_it_says(command: str, shop: Path) -> None:
    more = " --most 100" if command.startswith(("diff", "fuzz")) else ""

    result = run(command + more)

    assert result.exit_code == CODES[command.split(maxsplit=1)[0]], result.output


def test_the_mistake_of_the_page_is_found(shop: Path) -> None:
    path = shop / "mine" / "quiet_hours" / "quiet_hours.rego"
    path.write_text(path.read_text().replace('"amount"', '"amounts"'))

    result = run("check --overlay mine --tools shop")

    assert result.exit_code == 1
    assert "quiet_hours/quiet_hours.rego:10:" in result.stderr
