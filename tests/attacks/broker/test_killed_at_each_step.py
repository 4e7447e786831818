"""A broker killed at each of the eleven steps: nothing runs twice, nothing is lost.

The outcome of asking again is stated per point: the call runs now, is held
back as in doubt, or gives the result of its first run. Whatever happens, the log verifies.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from backends import leftovers
from effort import sampled

from permissions.signing.key_uris import signer_from_uri
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from permissions.signing.keys import PublicKey

pytestmark = pytest.mark.unmeasured

MORTAL = Path(__file__).parents[2] / "support" / "mortal.py"
ROOT = Path(__file__).parents[3]
KEPT = ("PATH", "XDG_CACHE_HOME", "XDG_STATE_HOME")


@dataclass(frozen=True)
class Case:
    point: str
    again: dict[str, object]
    effects: int
    """Lines written after both attempts."""
    gap: bool
    """Whether the log has to say that an outcome is unknown or a call never ended."""


RUNS = {"completed": "written", "replayed": False}
REPLAYS = {"completed": "written", "replayed": True}
IN_DOUBT = {"denied": "in_doubt", "code": "call.in_doubt"}
USED_UP = {"denied": "pending", "code": "approval.pending"}

CASES = [
    Case("1_look_up", RUNS, 1, gap=False),
    Case("2_map", RUNS, 1, gap=False),
    Case("3_plan_and_4_attributes", RUNS, 1, gap=False),
    Case("5_before_policy", RUNS, 1, gap=False),
    Case("5_after_policy", RUNS, 1, gap=False),
    Case("6_request_opened", RUNS, 1, gap=False),
    Case("6_approval_proven", RUNS, 1, gap=True),
    Case("6_approval_evaluated", RUNS, 1, gap=True),
    Case("7_budget_reserved", RUNS, 1, gap=True),
    # Used up and never run: the safe side. A person has to be asked again.
    Case("8_approval_consumed", USED_UP, 0, gap=True),
    Case("8_journal_begun", IN_DOUBT, 0, gap=True),
    Case("8_start_recorded", IN_DOUBT, 0, gap=True),
    Case("9_before_effect", IN_DOUBT, 0, gap=True),
    Case("9_while_it_runs", IN_DOUBT, 0, gap=True),
    Case("9_after_effect", IN_DOUBT, 1, gap=True),
    Case("10_before_outcome", IN_DOUBT, 1, gap=True),
    Case("11_outcome_recorded", IN_DOUBT, 1, gap=False),
    Case("11_before_journal", IN_DOUBT, 1, gap=False),
    Case("11_after_journal", REPLAYS, 1, gap=False),
]


IN_A_SANDBOX = {"9_while_it_runs"}
"""Points that only a sandboxed call has: what it wrote to its copy never came out."""

WITHOUT_A_KEY = [
    # Nothing says that it is the same call once it may have run: it is a further one then, and
    # a person has to be asked about that.
    replace(case, again=USED_UP) if case.again == IN_DOUBT else case
    for case in CASES
    if "journal" not in case.point and case.point not in IN_A_SANDBOX
]


def mortal(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    folders = [str(tmp_path / "state"), str(tmp_path / "work")]
    return subprocess.run(
        [sys.executable, str(MORTAL), *folders, *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={name: os.environ[name] for name in KEPT} | {"PYTHONPATH": str(ROOT)},
    )


SANDBOXES = {
    "bubblewrap": pytest.mark.bwrap,
    "oci": pytest.mark.oci,
    "docker": pytest.mark.docker,
}
WITH_A_SANDBOX = {
    "5_after_policy",
    "8_start_recorded",
    "9_before_effect",
    "9_while_it_runs",
    "9_after_effect",
    "10_before_outcome",
    "11_after_journal",
}
"""Where the kind of sandbox may matter. Between them nothing starts or ends one, so that all
points on all kinds are of the long run, and all of them on one kind of the full run."""
SANDBOXED = [
    pytest.param(
        case,
        backend,
        id=f"{case.point}-{backend}",
        marks=[mark]
        if backend == "bubblewrap" or case.point in WITH_A_SANDBOX
        else [mark, pytest.mark.long],
    )
    for case in CASES
    for backend, mark in SANDBOXES.items()
]
QUICK = {"8_start_recorded"}


@pytest.mark.parametrize(
    "case",
    sampled(
        [case for case in CASES if case.point not in IN_A_SANDBOX],
        QUICK,
        named=lambda case: case.point,
    ),
    ids=lambda case: case.point,
)
def test_killed_at_each_step(case: Case, tmp_path: Path) -> None:
    _killed_and_asked_again(case, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    sampled(WITHOUT_A_KEY, {"9_after_effect"}, named=lambda case: case.point),
    ids=lambda case: case.point,
)
def test_killed_at_each_step_without_a_key(case: Case, tmp_path: Path) -> None:
    """The approved call is found again until it may have run, and never after."""
    _killed_and_asked_again(case, tmp_path, "keyless")


@pytest.mark.slow
@pytest.mark.parametrize(("case", "backend"), SANDBOXED)
def test_killed_at_each_step_of_a_sandboxed_call(
    case: Case, tmp_path: Path, backend: str
) -> None:
    """The next broker finds no sandbox of the dead one left, either."""
    died = _killed_and_asked_again(case, tmp_path, backend)

    assert leftovers(int(died.partition("pid ")[2].split()[0])) == []


def _killed_and_asked_again(case: Case, tmp_path: Path, *options: str) -> str:
    """What the process that died wrote to its error output."""
    (tmp_path / "work").mkdir()
    approved = mortal(tmp_path, "approve", *options)
    assert approved.returncode == 0, approved.stderr

    died = mortal(tmp_path, case.point, *options)
    again = mortal(tmp_path, "none", *options)

    assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == case.again
    effects = tmp_path / "work" / "effects"
    lines = effects.read_text().splitlines() if effects.exists() else []
    assert len(lines) == case.effects
    report = verify_trace(tmp_path / "state" / "trace", key=_log_key(tmp_path))
    assert report.integrity.verdict == "signed", report.integrity
    assert not report.completeness.open_calls
    assert (report.completeness.gaps > 0) is case.gap
    return died.stderr


def _log_key(tmp_path: Path) -> PublicKey:
    return signer_from_uri(f"file:{tmp_path / 'state' / 'keys' / 'log.pem'}").public
