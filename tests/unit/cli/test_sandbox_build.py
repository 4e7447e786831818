"""`wardline sandbox build`: wrong usage is told before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.testing import CliRunner

from permissions.cli.root import app

if TYPE_CHECKING:
    from pathlib import Path


def test_a_project_is_not_built_again(tmp_path: Path) -> None:
    """`--again` is about the default image."""
    done = CliRunner().invoke(app, ["sandbox", "build", "--again", str(tmp_path)])

    assert done.exit_code == 2
    assert "leave out the project" in done.output


def test_a_project_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["sandbox", "build", str(tmp_path / "absent")])

    assert done.exit_code == 2
