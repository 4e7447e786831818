"""`wardline call resolve` after a process died within a call, by way of the state and the record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mortal
import pytest
import second_verifier
from typer.testing import CliRunner

from permissions.cli.call import app
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

pytestmark = pytest.mark.slow


def again(folder: Path, point: str = "none") -> str:
    program = Path(mortal.__file__)
    done = subprocess.run(
        [sys.executable, program, folder / "state", folder / "work", point],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize(("answer", "lines"), [("--ran", 1), ("--run-again", 2)])
def test_a_call_whose_process_died_is_resolved(
    answer: str, lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    again(tmp_path, "approve")
    again(tmp_path, "9_after_effect")
    assert "call.in_doubt" in again(tmp_path)
    settings = tmp_path / "wardline.toml"
    settings.write_text(
        f'[approvers.olga]\ngroups = ["operators"]\npublic_key = "{mortal.APPROVER.public}"\n'
    )
    monkeypatch.setenv("WARDLINE_CONFIG", str(settings))
    monkeypatch.setenv("OLGA", mortal.APPROVER.pem().decode())
    trace, state = tmp_path / "state" / "trace", tmp_path / "state"
    reader = VaultReader(trace, (state / "keys/vault.key").read_bytes())
    (gap,) = verify_trace(trace, vault=reader).completeness.gap_calls
    command = ["resolve", gap.call, answer, "--dir", str(state)]
    runner = CliRunner()
    assert runner.invoke(app, command).exit_code != 0  # nobody signed
    said = runner.invoke(app, [*command, "--key", "env:OLGA"])
    assert said.exit_code == 0, said.output
    assert runner.invoke(app, [*command, "--key", "env:OLGA"]).exit_code != 0  # once

    if answer == "--run-again":
        again(tmp_path, "approve")  # the first approval was used up
    last = again(tmp_path)

    assert ("call.resolved" in last) == (answer == "--ran"), last
    assert len((tmp_path / "work" / "effects").read_text().splitlines()) == lines
    report = verify_trace(trace, vault=reader)
    assert report.is_intact
    assert not report.completeness.findings, json.dumps(
        [each.text for each in report.completeness.findings]
    )
    kek = (state / "keys/vault.key").read_bytes()
    assert second_verifier.verify(trace, None, kek) == []
