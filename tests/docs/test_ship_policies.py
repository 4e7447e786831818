"""The guide "From shadow to enforce", step by step as its reader takes it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from permissions.setup.config import BrokerConfig
from wardline import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guides" / "ship-policies.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
SETTINGS = 'state = "state"\n'
pytestmark = pytest.mark.slow


def said(command: str, folder: Path) -> str:
    """What a command prints; one that fails, fails the test."""
    words = shlex.split(command)
    if words[0] == "wardline":
        words[:1] = [sys.executable, "-m", "permissions"]
    elif words[0] == "python":
        words[0] = sys.executable
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}:{ROOT}",
        "WARDLINE_CONFIG": str(folder / "wardline.toml"),
        "WARDLINE_PDP__HARD_DEADLINE_MS": "20000",
    }
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return f"{done.stdout}{done.stderr}"


def commands(block: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block, with the lines it says."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *lines = part.splitlines()
        yield command, lines


def is_said(line: str, printed: str) -> bool:
    pattern = re.escape(line).replace("…", ".*")
    return line == "..." or re.search(f"^{pattern}", printed, re.MULTILINE) is not None


def test_each_step_ends_as_the_page_says(tmp_path: Path) -> None:
    texts = iter(("shop.py", "agent.py"))
    ran = 0
    for language, block in BLOCKS:
        match language:
            case "text":
                (tmp_path / next(texts)).write_text(block)
            case "rego":
                (tmp_path / "mine" / "queries").mkdir(parents=True)
                (tmp_path / "mine" / "queries" / "queries.rego").write_text(block)
            case "toml":
                (tmp_path / "wardline.toml").write_text(SETTINGS + block)
            case "console":
                for command, lines in commands(block):
                    printed = reloaded(tmp_path) if "reload" in command else None
                    printed = said(command, tmp_path) if printed is None else printed
                    ran += 1
                    assert [each for each in lines if not is_said(each, printed)] == [], printed
    assert ran == 12


def reloaded(folder: Path) -> str:
    """The command, beside a broker that opened before the mark was taken away."""
    rules = folder / "mine" / "queries" / "queries.rego"
    now = rules.read_text()
    rules.write_text(now.replace("\npackage", "\n# custom:\n#   shadow: true\npackage"))
    config = BrokerConfig.load(folder / "wardline.toml")
    with Broker([], config=config):
        rules.write_text(now)
        return said("wardline policy reload", folder)
