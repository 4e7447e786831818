"""Every target of the Makefile can be read, and those it tells of are there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOLD = re.findall(r"^#   make (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_what_is_compiled_is_kept() -> None:
    """Images set PYTHONDONTWRITEBYTECODE, and a run of the tests is some hundred processes."""
    text = (ROOT / "Makefile").read_text() + "\nsay:\n\t@env\n"
    done = subprocess.run(
        ["make", "--file=-", "say"],
        cwd=ROOT,
        input=text,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "PYTHONDONTWRITEBYTECODE" not in done.stdout


@pytest.mark.parametrize("target", TOLD)
def test_a_target_can_be_made(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
