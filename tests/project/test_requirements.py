"""The rule that a required service is used for real: skips become failures."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ON_DOCKER = """
import pytest

@pytest.mark.docker
def test_marked():
    pass
"""
ON_OPA = ON_DOCKER.replace("docker", "opa")
SKIPPING = """
import pytest

@pytest.mark.opa
def test_marked():
    pytest.skip("not today")
"""
UNMARKED = """
def test_unmarked():
    pass
"""
NO_SERVICES = {
    "PATH": "/nonexistent",
    "DOCKER_HOST": "unix:///nonexistent.sock",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a start that takes a third of the time
}


@dataclass(frozen=True, slots=True)
class Case:
    id: str
    module: str
    arguments: tuple[str, ...]
    exit: int
    says: str


CASES = [
    Case("an absent service skips", ON_OPA, (), 0, "no `opa` on PATH"),
    Case("the skip tells how to get it", ON_OPA, (), 0, "open-policy-agent/opa"),
    Case("an absent engine skips", ON_DOCKER, (), 0, "no Docker engine answers"),
    Case("an absent required service fails", ON_OPA, ("--require=opa",), 1, "required opa"),
    Case("an absent engine fails", ON_DOCKER, ("--require=docker",), 1, "required docker"),
    Case("a skip inside the test fails too", SKIPPING, ("--require=opa",), 1, "required opa"),
    Case("a required marker on no test fails", UNMARKED, ("--require=opa",), 4, "no test is"),
    Case("an unknown service is refused", UNMARKED, ("--require=oap",), 4, "not oap"),
    Case("nothing marked, nothing required", UNMARKED, (), 0, "1 passed"),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_missing_service_is_never_silent(case: Case, tmp_path: Path) -> None:
    """Absent services skip visibly, and fail the run once they are required."""
    shutil.copy(TESTS / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_one.py").write_text(case.module)
    (tmp_path / "pytest.toml").write_text(
        '[pytest]\nmarkers = ["docker", "opa", "bwrap", "both_backends"]\n'
        f'pythonpath = ["{TESTS / "support"}"]\n'
    )

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", *case.arguments],
        cwd=tmp_path,
        env=NO_SERVICES,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )

    said = done.stdout + done.stderr
    assert (done.returncode, case.says in said) == (case.exit, True), said
