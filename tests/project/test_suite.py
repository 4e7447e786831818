"""What the full run leaves out or puts first, so that it takes no longer than it has to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ENGINES = ("docker", "oci", "gvisor", "gvisor_engine")
SUPPORT = Path(__file__).parents[1] / "support"
MANY = "import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test(n): pass\n"
TOGETHER = "pytestmark = pytest.mark.xdist_group('a')\n"


def test_a_slow_test_counts_for_coverage_where_nothing_else_goes(
    request: pytest.FixtureRequest,
) -> None:
    """Once, and in a file without a quick one; a tracer takes as long as the test itself."""

    def has(item: pytest.Item, *names: str) -> bool:
        return any(map(item.get_closest_marker, names))

    items = request.session.items
    quick = {item.path for item in items if not has(item, "slow")}
    counted = [
        (item.path, getattr(item, "cls", None), getattr(item, "originalname", item.name))
        for item in items
        if has(item, "slow") and not has(item, "unmeasured", *ENGINES)
    ]

    assert [path for path, _, _ in counted if path in quick] == []
    assert len(counted) == len(set(counted))


def test_a_worker_begins_with_what_is_long(request: pytest.FixtureRequest) -> None:
    """Otherwise the last worker would sit at the end of a run with one."""
    if not hasattr(request.config, "workerinput"):
        return
    long = [
        any(item.get_closest_marker(name) for name in ("slow", "differential", "hypothesis"))
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
