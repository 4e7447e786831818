"""The service file that the guide gives is one that systemd takes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "daemon.md"


def test_systemd_takes_it(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze; install Debian's package systemd")
    found = re.search(r"```ini\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found is not None
    unit = found[1].replace("/opt/wardline/bin/wardline serve", "/bin/true")
    (tmp_path / "wardline.service").write_text(unit)
    done = subprocess.run(
        [analyze, "verify", str(tmp_path / "wardline.service")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = [line for line in done.stderr.splitlines() if "wardline.service" in line]
    assert not said, done.stderr
