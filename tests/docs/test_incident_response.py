"""The incident is solved by the guide alone: its commands run, and print what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from told import is_told

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "incident-response.md").read_text()
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
EACH_TIME = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+\+00:00| UTC)"), "TIME"),
    (re.compile(r"req-[0-9a-f]{20}"), "REQUEST"),
    (re.compile(r"sha256:[0-9a-f]{16,64}"), "DIGEST"),
    (re.compile(r"key [0-9a-f]{16}"), "KEY"),
    (re.compile(r'"[^"]*/case/notes'), '"/case/notes'),
)


def steps() -> list[tuple[str, list[str]]]:
    """Each command of the guide, and the lines it should print."""
    found: list[tuple[str, list[str]]] = []
    for block in BLOCK.findall(PAGE):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def plain(line: str) -> str:
    for form, word in EACH_TIME:
        line = form.sub(word, line)
    return line.rstrip()


def test_each_command_prints_what_the_guide_says(tmp_path: Path) -> None:
    [rego] = re.findall(r"```rego\n(.*?)```", PAGE, re.DOTALL)
    policy = tmp_path / "stricter" / "master_data" / "master_data.rego"
    policy.parent.mkdir(parents=True)
    policy.write_text(rego)
    (tmp_path / "wardline.toml").write_text("")
    environment = os.environ | {
        "WARDLINE_CONFIG": str(tmp_path / "wardline.toml"),
        "WARDLINE_KNOWN_CHECKPOINTS": str(tmp_path / "known"),
    }
    asked = steps()
    assert len(asked) >= 11

    for command, expected in asked:
        program, *arguments = shlex.split(command)
        assert program == "wardline"
        done = subprocess.run(
            [sys.executable, "-m", "permissions", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        printed = [plain(line) for line in done.stdout.splitlines()]
        assert is_told([plain(line) for line in expected], printed), (command, done.stdout)

    for name in ("25.json", "25.tlog-proof", "log.vkey"):
        assert (tmp_path / "proof" / name).read_bytes()
