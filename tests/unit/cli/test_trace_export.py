"""`wardline trace export`: it verifies first, and says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from logs import SIGNER, write_state
from typer.testing import CliRunner

from permissions.cli.trace import app

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def run(tmp_path: Path) -> Any:
    write_state(tmp_path / "state")

    def invoke(*arguments: str) -> Result:
        environment = {"XDG_STATE_HOME": str(tmp_path / "xdg")}
        options = ["export", *arguments, "--dir", str(tmp_path / "state")]
        return CliRunner().invoke(app, options, env=environment, catch_exceptions=False)

    return invoke


def test_the_explorer_is_written_whole(run: Any, tmp_path: Path) -> None:
    target = tmp_path / "page.html"

    done = run("--html", str(target), "--open")

    assert done.exit_code == 0
    assert done.stdout == f"{target}: 13 written, integrity consistent\n"
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "state"]


def test_a_key_from_outside_makes_it_signed(run: Any, tmp_path: Path) -> None:
    (tmp_path / "log.pub").write_text(f"{SIGNER.public}\n")

    done = run(
        "--html", str(tmp_path / "page.html"), "--key", str(tmp_path / "log.pub"), "--json"
    )

    assert json.loads(done.stdout)["integrity"] == "signed"


def test_a_log_that_fails_is_written_and_the_exit_code_says_so(
    run: Any, tmp_path: Path
) -> None:
    segment = next((tmp_path / "state" / "trace").glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes().replace(b'"tool":"read"', b'"tool":"send"', 1))

    done = run("--html", str(tmp_path / "page.html"))

    assert done.exit_code == 5
    assert "integrity failed" in done.stdout
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "give --html", id="nothing"),
        pytest.param(["--html", "/nowhere/page.html"], "cannot be written", id="no-folder"),
        pytest.param(["--statements", "x"], "--sign", id="unsigned"),
        pytest.param(["--ocsf", "/nowhere/x"], "cannot be written", id="no-folder-for-lines"),
        pytest.param(["--html", "x", "--run", "none"], "no entry of run 'none'", id="no-run"),
    ],
)
def test_what_cannot_be_written_is_said(run: Any, arguments: list[str], said: str) -> None:
    done = run(*arguments)

    assert done.exit_code == 2
    assert said in done.stderr
