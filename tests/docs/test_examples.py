"""Every Python example in README and docs runs as it stands, and prints what it says.

What an example prints stands in it as comments that begin with `#>`, in order. An example
that needs a service names its marker in the fence: `python {test="needs: bwrap"}`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pytest_examples import CodeExample, find_examples

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

ROOT = Path(__file__).parents[2]
EXAMPLES = [
    example
    for example in find_examples(ROOT / "README.md", ROOT / "docs")
    if example.prefix.split(" ")[0] in {"python", "py"}
]


QUICK = {"README.md", "quickstart.md", "tools.md", "async.md"}


def _marked(example: CodeExample) -> ParameterSet:
    _, _, needs = example.prefix_settings().get("test", "").partition("needs:")
    marks = [getattr(pytest.mark, name.strip()) for name in needs.split(",") if name.strip()]
    if example.path.name not in QUICK:
        marks.append(pytest.mark.slow)  # each is a Python of its own that opens a broker
    return pytest.param(example, marks=marks, id=f"{example.path.name}:{example.start_line}")


_PRINTED = re.compile(r"^ *#> ?(.*)$", re.MULTILINE)


@pytest.mark.parametrize("example", [_marked(example) for example in EXAMPLES])
def test_example_runs(example: CodeExample, tmp_path: Path) -> None:
    """The example runs in an empty folder, in a process of its own, without a warning."""
    (tmp_path / "example.py").write_text(example.source)

    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == _PRINTED.findall(example.source)


def test_there_are_examples() -> None:
    """Both pages a newcomer reads first have at least one."""
    assert {"README.md", "quickstart.md"} <= {example.path.name for example in EXAMPLES}
