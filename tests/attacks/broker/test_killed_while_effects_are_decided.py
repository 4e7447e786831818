"""A broker killed between a run and its commit: the workspace is whole, the record says in doubt.

Whatever the point, the changes of the run are all there or not at all once the workspace is
opened again, nothing runs a second time, and the log verifies.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from effort import sampled
from mortal_effects import FILES
from overlays import fill, has_leftovers, tree

from permissions.signing.key_uris import signer_from_uri
from permissions.trace.verify import verify_trace
from sandbox.workspace import WorkspaceOverlay

if TYPE_CHECKING:
    from permissions.trace.report import Report

pytestmark = [pytest.mark.bwrap, pytest.mark.timeout(180), pytest.mark.unmeasured]

SUPPORT = Path(__file__).parents[2] / "support"
ROOT = Path(__file__).parents[3]
BEFORE = {f"f{number}": "before\n" for number in range(1, FILES + 1)}
AFTER = dict.fromkeys(BEFORE, ("file", 420, b"after\n"))
IN_DOUBT = {"denied": "in_doubt", "code": "call.in_doubt"}
REPLAYS = {"completed": "", "replayed": True}


@dataclass(frozen=True)
class Case:
    point: str
    committed: bool
    again: dict[str, object]
    gap: bool = True


CASES = [
    Case("ran", committed=False, again=IN_DOUBT),
    Case("decided", committed=False, again=IN_DOUBT),
    Case("request_opened", committed=False, again=IN_DOUBT),
    Case("approval_proven", committed=False, again=IN_DOUBT),
    Case("approval_evaluated", committed=False, again=IN_DOUBT),
    Case("approval_consumed", committed=False, again=IN_DOUBT),
    Case("decision_recorded", committed=False, again=IN_DOUBT),
    Case("before_commit", committed=False, again=IN_DOUBT),
    Case("after_commit", committed=True, again=IN_DOUBT),
    Case("before_outcome", committed=True, again=IN_DOUBT),
    Case("outcome_recorded", committed=True, again=IN_DOUBT, gap=False),
    Case("after_journal", committed=True, again=REPLAYS, gap=False),
]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return fill(tmp_path / "work", BEFORE)


def mortal(tmp_path: Path, point: str) -> subprocess.Popen[str]:
    program = str(SUPPORT / "mortal_effects.py")
    return subprocess.Popen(
        [sys.executable, program, str(tmp_path / "state"), str(tmp_path / "work"), point],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{SUPPORT}"},
    )


def again(tmp_path: Path) -> object:
    done = mortal(tmp_path, "none")
    out, err = done.communicate(timeout=150)
    assert done.returncode == 0, err
    return json.loads(out)


def verified(tmp_path: Path) -> Report:
    key = signer_from_uri(f"file:{tmp_path / 'state' / 'keys' / 'log.pem'}").public
    report = verify_trace(tmp_path / "state" / "trace", key=key)
    assert report.integrity.verdict == "signed", report.integrity
    assert report.completeness.findings_count == 0, report.completeness.findings
    assert not report.completeness.open_calls
    return report


QUICK = {"decision_recorded"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    sampled(CASES, QUICK, named=lambda case: case.point),
    ids=lambda case: case.point,
)
def test_killed_at_each_point(case: Case, workspace: Path, tmp_path: Path) -> None:
    died = mortal(tmp_path, case.point)
    out, err = died.communicate(timeout=150)
    assert died.returncode == -signal.SIGKILL, out + err

    assert again(tmp_path) == case.again

    report = verified(tmp_path)
    assert (report.completeness.gaps > 0) is case.gap
    assert tree(workspace) == (AFTER if case.committed else tree(fill(tmp_path / "b", BEFORE)))
    assert not has_leftovers(workspace)


@pytest.mark.slow
def test_killed_in_the_middle_of_a_commit(workspace: Path, tmp_path: Path) -> None:
    """The next opening of the workspace undoes what was begun; a mixture is never left."""
    before = tree(workspace)
    died = mortal(tmp_path, "in_commit")
    out, err = died.communicate(timeout=150)
    assert died.returncode == -signal.SIGKILL, out + err
    assert has_leftovers(workspace)
    assert {name: found for name, found in tree(workspace).items() if name in BEFORE} != before

    assert again(tmp_path) == IN_DOUBT
    with WorkspaceOverlay(workspace, journals=tmp_path / "state" / "commits"):
        pass

    assert tree(workspace) == before
    assert not has_leftovers(workspace)
    assert verified(tmp_path).completeness.gaps > 0
