"""What each evidence level keeps when the broker is killed: in a tool, and after its result.

`written` and `durable` keep the start and the outcome. `start-durable` keeps the start: that
the outcome is gone shows as a call in doubt, never as one that did not run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from effort import sampled

from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import log_signer
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace

pytestmark = pytest.mark.unmeasured

MORTAL = Path(__file__).parents[2] / "support" / "mortal_evidence.py"
KEPT = {
    ("written", "tool"): {"start"},
    ("written", "result"): {"start", "outcome"},
    ("start-durable", "tool"): {"start"},
    ("start-durable", "result"): {"start"},
    ("durable", "tool"): {"start"},
    ("durable", "result"): {"start", "outcome"},
    ("buffered", "tool"): set[str](),
    ("buffered", "result"): set[str](),
}
"""What is there for sure; more may be."""
QUICK = {"written-result", "start-durable-result"}


@pytest.mark.parametrize("case", sampled(KEPT, QUICK, named="-".join), ids="-".join)
async def test_what_a_level_keeps_outlives_a_killed_broker(
    case: tuple[str, str], tmp_path: Path
) -> None:
    level, point = case
    state, work = tmp_path / "state", tmp_path / "work"
    work.mkdir()

    died = subprocess.run(
        [sys.executable, str(MORTAL), str(state), str(work), level, point],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )

    assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
    config = BrokerConfig(state=state, workspace=work)
    left = {entry.type for entry in read_entries(state / "trace") if entry.call is not None}
    assert left >= KEPT[case]
    async with open_broker(config, []):
        pass  # the next one says what it does not know
    report = verify_trace(state / "trace", key=log_signer(config).public)
    assert report.integrity.verdict == "signed", report.integrity
    assert report.completeness.open_calls == report.completeness.findings == ()
    in_doubt = "start" in left and "outcome" not in left
    assert report.completeness.gaps == in_doubt
