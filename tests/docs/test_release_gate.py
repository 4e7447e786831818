"""The guide of the release gate, step by step as its reader takes it.

The evaluation and the abuse cases are cut down to a few, for a test has minutes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guides/release-gate.md").read_text()
BLOCKS = re.findall(r"```(python|console)\n(.*?)```", PAGE, re.DOTALL)
FEWER = """
[probe]
backends = ["bubblewrap"]
cases = [13]
"""
pytestmark = [pytest.mark.slow, pytest.mark.bwrap]


def cut_down(gate: Path) -> None:
    text = gate.read_text()
    few = 'variants = ["V0", "V5"]\nsuites = ["demo"]\nlimit = 1\nkinds = ["attack"]'
    assert 'variants = ["V0", "V5"]' in text
    gate.write_text(text.replace('variants = ["V0", "V5"]', few) + FEWER)


def test_each_step_ends_as_the_page_says(tmp_path: Path) -> None:
    command = tmp_path / "bin" / "wardline"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m permissions "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {
        "HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(tmp_path / "home/.config"),
        "XDG_STATE_HOME": str(tmp_path / "home/state"),
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
    }
    environment.pop("WARDLINE_CONFIG", None)
    day = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    ran = 0
    for language, block in BLOCKS:
        if language == "python":
            (tmp_path / "shop.py").write_text(block)
            continue
        for part in re.split(r"^\$ ", block.replace("DAY", day), flags=re.MULTILINE)[1:]:
            line, *said = part.splitlines()
            done = subprocess.run(
                ["sh", "-c", line],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=550,
            )
            red = "assure gate" in line or "assure check" in line
            assert done.returncode == int(red), (line, done.stdout, done.stderr)
            at = 0
            for each in said:
                pattern = "^" + re.escape(each).replace(re.escape("..."), ".*")
                found = re.compile(pattern, re.MULTILINE).search(done.stdout, at)
                assert each == "..." or found, (line, each, done.stdout)
                at = found.end() if found and each != "..." else at
            if "assure init" in line:
                cut_down(tmp_path / "wardline-gate.toml")
            ran += 1

    assert ran == 7
    assert '"version": "2.1.0"' in (tmp_path / "gate.sarif").read_text()
