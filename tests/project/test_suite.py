"""What the full run leaves out or puts first, so that it takes no longer than it has to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[1] / "support"
MANY = "import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test(n): pass\n"
TOGETHER = "pytestmark = pytest.mark.xdist_group('a')\n"


@pytest.mark.slow
@pytest.mark.parametrize("case", ["first", "second", "third"])
def test_one_case_of_a_slow_test_counts_for_coverage(
    case: str, request: pytest.FixtureRequest
) -> None:
    alike = [
        item
        for item in request.session.items
        if item.path == request.path and item.name.startswith(request.node.originalname)
    ]
    counted = [item for item in alike if item.get_closest_marker("unmeasured") is None]

    assert request.node.name.endswith(f"[{case}]")
    assert len(counted) == 1


def test_a_worker_begins_with_what_is_long(request: pytest.FixtureRequest) -> None:
    """Otherwise the last worker would sit at the end of a run with one."""
    if not hasattr(request.config, "workerinput"):
        return
    long = [
        any(item.get_closest_marker(name) for name in ("slow", "hypothesis"))
        for item in request.session.items
    ]

    assert long == sorted(long, reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "workers"), [(MANY, 2), (MANY + TOGETHER, 1)], ids=["apart", "together"]
)
def test_a_file_of_a_group_runs_on_one_worker(tmp_path: Path, text: str, workers: int) -> None:
    """Under the name that the test has in each other run, so that one that failed is found."""
    (tmp_path / "conftest.py").write_text(
        "from one_worker import pytest_xdist_make_scheduler\n"
    )
    (tmp_path / "test_many.py").write_text(text)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-n2", "--dist=loadgroup", "--rootdir=."],
        cwd=tmp_path,
        env={"PYTHONPATH": str(SUPPORT)},
        capture_output=True,
        text=True,
        check=False,
    )

    ran = re.findall(
        r"^\[(gw\d)\] .*PASSED test_many\.py::test\[\d+\] *$", done.stdout, re.MULTILINE
    )
    assert len(ran) == 20, done.stdout
    assert len(set(ran)) == workers
