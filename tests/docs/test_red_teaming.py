"""The guide "Red-teaming your agent": its files are written and its commands run, in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs/guides/red-teaming.md"
_BLOCK = re.compile(r"```(json|console)\n(.*?)```", re.DOTALL)
_FILE = re.compile(r"`([\w/.]+\.jsonl?)`")


@pytest.mark.slow
def test_the_guide_leads_from_own_tools_to_a_report(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "wardline.toml").write_text("")
    command = tmp_path / "bin" / "wardline"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m permissions "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(GUIDE.parents[2]),
        "WARDLINE_CONFIG": str(tmp_path / "wardline.toml"),
    }
    text, before = GUIDE.read_text(), 0
    ran = 0
    for block in _BLOCK.finditer(text):
        if block[1] == "json":
            name = _FILE.findall(text[before : block.start()])[-1]
            (tmp_path / name).write_text(block[2])
        else:
            for line in block[2].splitlines():
                done = subprocess.run(
                    ["sh", "-c", line.removeprefix("$ ")],
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=550,
                )
                assert done.returncode == 0, (line, done.stdout, done.stderr)
                ran += 1
        before = block.end()

    assert ran >= 6
    assert "V5" in (tmp_path / "second/report.md").read_text()
