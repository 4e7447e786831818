"""Every target of the Makefile can be read, and those it tells of are there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOLD = re.findall(r"^#   make (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("target", TOLD)
def test_a_target_can_be_made(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
