"""The generated parts of docs/ say what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "docs/generate.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


@pytest.mark.slow
def test_no_generated_part_is_stale() -> None:
    """Running `make docs` would change nothing."""
    done = generate("--check")

    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize(
    "part",
    [
        "commands",
        "errors",
        "library",
        "policy-codes",
        "public-names",
        "reason-codes",
        "settings",
    ],
)
def test_every_part_stands_on_a_page_and_is_not_empty(part: str) -> None:
    """A part whose markers were lost would never be compared."""
    pages = "\n".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))

    found = re.search(
        rf"<!-- generated: {part} -->(.*?)<!-- end of generated: {part} -->", pages, re.DOTALL
    )

    assert found is not None
    assert found[1].strip()
