"""What a type checker says about public use of the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unmeasured

ROOT = Path(__file__).parents[2]


def mypy(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_decorating_keeps_signatures_and_kinds(tmp_path: Path) -> None:
    """`mypy --strict` finds every promise kept and every planted mistake."""
    done = mypy("tests/typing/api.py", cache=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_broken_promise_is_found(tmp_path: Path) -> None:
    """The same check fails on a wrong promise, so passing it means something."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from typing import assert_type\n"
        "from wardline import tool\n"
        "@tool\n"
        "def length(text: str) -> int:\n"
        "    return len(text)\n"
        "assert_type(length('a'), str)\n"
        "length(1)\n"
    )

    done = mypy(str(wrong), cache=tmp_path / "cache")

    assert done.returncode == 1
    assert "wrong.py:6: error" in done.stdout
    assert "wrong.py:7: error" in done.stdout
