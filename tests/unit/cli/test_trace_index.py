"""A row that somebody took out of a state folder's index hides no call from a responder."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from logs import write_state
from typer.testing import CliRunner

from permissions.cli.trace import app
from permissions.trace.index import TraceIndex

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

HIDDEN = "run-a-1"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder that settings name, whose index has no row of one call."""
    folder = tmp_path / "state"
    write_state(folder)
    TraceIndex(folder / "trace", folder / "trace.index").runs()
    with closing(sqlite3.connect(folder / "trace.index")) as database:
        database.execute("DELETE FROM call WHERE call = ?", (HIDDEN,))
        database.commit()
    (tmp_path / "wardline.toml").write_text(f"state = {json.dumps(str(folder))}\n")
    monkeypatch.setenv("WARDLINE_CONFIG", str(tmp_path / "wardline.toml"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    return folder


def wardline(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def files(folder: Path) -> dict[str, bytes]:
    return {str(each): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


@pytest.mark.parametrize("question", ["list", "find", "why", "show", "blast", "step"])
def test_a_folder_that_is_named_is_read_from_its_log(state: Path, question: str) -> None:
    arguments = {
        "list": ["list"],
        "find": ["find", "--tool", "read"],
        "why": ["why", HIDDEN],
        "show": ["show", HIDDEN],
        "blast": ["blast", HIDDEN],
        "step": ["step", "run-a"],
    }[question]
    before = files(state)

    found = wardline(*arguments, "--dir", str(state))

    assert found.exit_code == 0, found.output
    assert HIDDEN in found.stdout
    assert files(state) == before


def test_who_is_not_the_owner_of_the_state_folder_reads_the_log(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor leaves files of another account where the owner's broker writes."""
    before = files(state)
    monkeypatch.setattr(os, "geteuid", lambda: state.stat().st_uid + 1)

    found = wardline("list")

    assert HIDDEN in found.stdout
    assert files(state) == before


def test_the_owner_is_told_by_verify_and_mends_it(state: Path) -> None:
    """Their broker goes on by this index, and so do they, until they delete it."""
    assert HIDDEN not in wardline("list").stdout

    text, said = wardline("verify"), wardline("verify", "--json")
    (state / "trace.index").unlink()
    none = wardline("verify", "--json")
    listed = wardline("list")
    mended = wardline("verify", "--json")

    assert text.exit_code == said.exit_code == 1
    assert "index.differs" in text.stdout
    assert "delete" in text.stdout
    assert json.loads(said.stdout)["index"]["code"] == "index.differs"
    assert none.exit_code == mended.exit_code == 0
    assert json.loads(none.stdout)["index"] is None
    assert HIDDEN in listed.stdout
    assert json.loads(mended.stdout)["index"]["code"] is None
