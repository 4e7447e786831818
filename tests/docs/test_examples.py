"""Every Python example in README and docs runs as it stands, and prints what it says.

What an example prints stands in it as comments that begin with `#>`, in order. An example
that needs something a reader has and a test has not says so in its fence:
`python {test="skip: needs a running OPA server"}`. Such a skip is visible, with its reason.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_examples import CodeExample, find_examples

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    example
    for example in find_examples(ROOT / "README.md", ROOT / "docs")
    if example.prefix.split(" ")[0] in {"python", "py"}
]
_PRINTED = re.compile(r"^ *#> ?(.*)$", re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.path.name}:{e.start_line}")
def test_example_runs(example: CodeExample, tmp_path: Path) -> None:
    """The example runs in an empty folder, in a process of its own, without a warning."""
    verdict, _, reason = example.prefix_settings().get("test", "").partition(":")
    if verdict == "skip":
        assert reason.strip(), "a skipped example has to say why"
        pytest.skip(reason.strip())
    (tmp_path / "example.py").write_text(example.source)

    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == _PRINTED.findall(example.source)


def test_there_are_examples() -> None:
    """Both pages a newcomer reads first have at least one."""
    assert {"README.md", "quickstart.md"} <= {example.path.name for example in EXAMPLES}
