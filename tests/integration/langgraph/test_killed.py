"""H6: a process killed in the middle of an approved tool, and its graph resumed in others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anyio
import mortal_graph
import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = mortal_graph.__file__


def step(folder: Path, kind: str, *steps: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, str(folder), kind, *steps],
        capture_output=True,
        check=False,
        cwd=folder,
        text=True,
        timeout=150,
    )


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_h6_a_killed_tool_is_in_doubt_and_not_run_again(tmp_path: Path, kind: str) -> None:
    """The payment was made once, and the model is told not to try again."""
    anyio.run(mortal_graph.main, tmp_path, kind, "start", "approve")
    died = step(tmp_path, kind, "die")

    answer = json.loads(told(step(tmp_path, kind, "resume"))["p"])

    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    assert answer["status"] == "in_doubt"
    assert answer["reasons"][0]["code"] == "call.in_doubt"
    assert answer["retry"] is False
    assert (tmp_path / "effects").read_text() == "ann\n"


@pytest.mark.slow
def test_approval_given_while_no_agent_runs_is_found_on_resume(tmp_path: Path) -> None:
    """One process asks, this one answers, another goes on; the tool runs in the last, once."""
    asked = step(tmp_path, "sync", "start")
    assert asked.returncode == 0, asked.stderr[-2000:]
    anyio.run(mortal_graph.main, tmp_path, "sync", "approve")

    assert told(step(tmp_path, "sync", "resume")) == {"p": "paid ann"}
    assert (tmp_path / "effects").read_text() == "ann\n"
