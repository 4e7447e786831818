"""The guide's examples of using the package alone do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "sandbox.md"
FENCES = re.findall(r"```python[^\n]*\n(.*?)```", GUIDE.read_text(), re.DOTALL)
EXAMPLES = [source for source in FENCES if "from permissions" not in source]
"""Of the package alone; those of governed tools run with the rest of the documentation."""


@pytest.mark.bwrap
@pytest.mark.parametrize("source", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_guides_examples_print_what_they_say(tmp_path: Path, source: str) -> None:
    """In a process of its own, with no import of the broker."""
    alone = "\nimport sys\nassert 'permissions' not in sys.modules\n"
    (tmp_path / "example.py").write_text(source + alone)

    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"^ *#> ?(.*)$", source, re.MULTILINE)
