"""The service file that is shipped is one that systemd takes, and calls well confined."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[3] / "docs" / "operations" / "wardline.service"
EXPOSED = 35
"""Tenths of systemd's exposure level, 0 to 100, that the service may have."""


@pytest.mark.parametrize(
    "argv", [["verify"], ["security", "--offline=true", f"--threshold={EXPOSED}"]], ids=str
)
def test_systemd_takes_it(argv: list[str], tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze; install Debian's package systemd")
    unit = re.sub(r"/opt/wardline/bin/wardline [a-z ]*", "/bin/true", UNIT.read_text())
    (tmp_path / "wardline.service").write_text(unit)
    done = subprocess.run(
        [analyze, *argv, str(tmp_path / "wardline.service")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if argv[0] == "security":
        assert done.returncode == 0, done.stdout[-300:] + done.stderr
    said = [line for line in done.stderr.splitlines() if "wardline.service" in line]
    assert not said, done.stderr
