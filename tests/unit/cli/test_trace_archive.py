"""`wardline trace archive`, and what the other commands say of a log whose beginning was moved."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from logs import write_state
from typer.testing import CliRunner

from permissions.cli.root import app
from permissions.logs import get_logger
from permissions.trace import store
from permissions.trace.store import segments

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A real segment takes megabytes to fill; what is tried is more than one.
    monkeypatch.setattr(store, "SEGMENT_BYTES", 6000)
    monkeypatch.setenv("WARDLINE_CONFIG", str(tmp_path / "wardline.toml"))
    (tmp_path / "wardline.toml").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    write_state(tmp_path / "state", runs=("run-a", "run-b", "run-c"), calls=4)
    return tmp_path / "state"


def ran(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["trace", *arguments])


def test_old_segments_are_moved_and_everything_is_read_where_it_lies(
    state: Path, tmp_path: Path
):
    listed = ran("list", "--dir", str(state), "--json").stdout
    archive = str(tmp_path / "old")

    moved = json.loads(ran("archive", archive, "--dir", str(state), "--json").stdout)

    assert len(moved["moved"]) > 2
    assert len(segments(state / "trace")) == 1
    assert ran("list", "--dir", str(state), "--json").stdout == listed
    again = ran("archive", archive, "--dir", str(state))
    assert (again.exit_code, again.stderr) == (0, "nothing to archive\n")
    whole = ran("verify", "--dir", str(state), "--require", "whole")
    assert whole.exit_code == 0, whole.output
    alone = ran("verify", "--alone", "--dir", str(state), "--require", "whole")
    assert alone.exit_code == 5
    assert f"{moved['archived_entries']} entries were moved to an archive" in alone.stdout


def test_an_archive_that_is_not_there_is_told_by_whoever_reads(state: Path, tmp_path: Path):
    assert ran("archive", str(tmp_path / "old"), "--dir", str(state)).exit_code == 0
    shutil.rmtree(tmp_path / "old")

    said = ran("verify", "--dir", str(state))
    assert said.exit_code == 0, said.output
    assert "old, which is not there; they are left out" in said.stderr
    erasing = ran("erase", "--subject", "a", "--reason", "r", "--dir", str(state))
    assert erasing.exit_code != 0, "runs in the archive would be left out in silence"
    assert "put it back" in erasing.stderr


def test_nothing_is_archived_of_an_altered_log(state: Path, tmp_path: Path):
    first = segments(state / "trace")[0]
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)

    said = ran("archive", str(tmp_path / "old"), "--dir", str(state))

    assert said.exit_code == 5, said.output
    assert len(segments(state / "trace")) > 4


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="no `logrotate` on PATH")
def test_the_operational_log_is_rotated_as_the_guide_says(tmp_path: Path):
    path = tmp_path / "wardline.log"
    conf = tmp_path / "rotate.conf"
    conf.write_text(
        f"{path} {{\n    weekly\n    rotate 8\n    compress\n    copytruncate\n}}\n"
    )
    conf.chmod(0o644)
    handler = logging.FileHandler(path, mode="a")
    logging.getLogger("wardline").addHandler(handler)
    try:
        get_logger("tests").warning("before")
        command = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(conf)]
        subprocess.run(command, check=True)
        get_logger("tests").warning("after")
    finally:
        logging.getLogger("wardline").removeHandler(handler)
        handler.close()

    assert path.read_text() == "event=after\n"
    assert (tmp_path / "wardline.log.1.gz").exists()
