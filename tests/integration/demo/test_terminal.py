"""The demo with a person at the terminal: each answer means what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from terminals import on_a_terminal

from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("langgraph")
pytestmark = pytest.mark.docker

DEMO = [sys.executable, "-m", "permissions", "demo"]
QUESTION = "approve / deny / later / full / ? > "


@pytest.mark.slow
def test_an_interrupt_at_the_question_ends_the_demo(tmp_path: Path) -> None:
    with on_a_terminal(DEMO, cwd=tmp_path) as terminal:
        terminal.read_until(QUESTION)
        terminal.type("\x03")
        assert terminal.exit_code() == 130

    assert "Traceback" not in terminal.screen
    assert "signed:" not in terminal.screen
    report = verify_trace(tmp_path / "wardline-demo" / ".wardline-demo" / "trace")
    assert report.is_intact
    assert report.completeness.closed


@pytest.mark.slow
def test_a_denial_is_told_as_the_persons_and_is_no_failure(tmp_path: Path) -> None:
    with on_a_terminal(DEMO, cwd=tmp_path) as terminal:
        terminal.read_until(QUESTION)  # about the whole plan
        terminal.type("deny\r")
        terminal.read_until(QUESTION)  # so about the large payment, too
        terminal.type("deny\r")
        assert terminal.exit_code() == 0

    assert "olga signed: deny" in terminal.screen
    assert "A person looked at this call and said no. Do not retry it." in terminal.screen
    assert "WRONG" not in terminal.screen


@pytest.mark.slow
def test_later_leaves_the_request_open_to_the_command_it_shows(tmp_path: Path) -> None:
    with on_a_terminal(DEMO, cwd=tmp_path) as terminal:
        terminal.read_until(QUESTION)
        terminal.type("later\r")
        terminal.read_until("Ctrl-C ends it.")
        assert "signed:" not in terminal.screen
        shown = re.search(r"^ +wardline (request approve .*)\r$", terminal.screen, re.MULTILINE)
        assert shown is not None
        command = [sys.executable, "-m", "permissions", *shlex.split(shown[1])]
        answered = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert answered.returncode == 0, answered.stderr
        assert terminal.exit_code() == 0

    assert "a person approved" in terminal.screen


@pytest.mark.slow
def test_the_end_of_input_is_later_and_the_wait_can_be_ended(tmp_path: Path) -> None:
    with on_a_terminal(DEMO, cwd=tmp_path) as terminal:
        terminal.read_until(QUESTION)
        terminal.type("\x04")
        terminal.read_until("Ctrl-C ends it.")
        terminal.type("\x03")
        assert terminal.exit_code() == 130

    assert "signed:" not in terminal.screen
