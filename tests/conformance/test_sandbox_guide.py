"""The guide's examples of using the package alone do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDES = sorted((Path(__file__).parents[2] / "docs" / "guides" / "sandbox").glob("*.md"))
EXAMPLES = [
    pytest.param(source, id=f"{guide.stem}-{number}")
    for guide in GUIDES
    for number, source in enumerate(
        re.findall(r"```python[^\n]*\n(.*?)```", guide.read_text(), re.DOTALL)
    )
    if "from wardline import" not in source
]
"""Of the package alone; those of governed tools run with the rest of the documentation."""


@pytest.mark.slow
@pytest.mark.bwrap
@pytest.mark.parametrize("source", EXAMPLES)
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
