"""`wardline delegation`: what was sent is listed, and stopped from another process' command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from typer.testing import CliRunner

from permissions.cli.delegation import app
from permissions.database import STATE_FILE, StateDatabase
from permissions.errors import ConfigError, DelegationError
from permissions.run.delegation_store import SCHEMA, Delegated, SqliteDelegationStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    async def write() -> None:
        async with StateDatabase(tmp_path / STATE_FILE, [SCHEMA]) as database:
            store = SqliteDelegationStore(database)
            await store.put(Delegated("run-1", "top", "clerk", ("send",), 1, None))
            await store.put(Delegated("run-2", "run-1", "mailer", (), 2, 3))

    anyio.run(write)
    return tmp_path


def wardline(state: Path, *words: str) -> str:
    said = CliRunner().invoke(app, [*words, "--dir", str(state)], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.stdout


def test_each_run_is_a_line(state: Path) -> None:
    assert wardline(state, "list").splitlines() == [
        "run-1  clerk  sent by top  no end  may use send",
        "run-2  mailer  sent by run-1  expired 1970-01-01 00:00:00 UTC  may use nothing itself",
    ]


def test_stopping_one_stops_those_it_sent(state: Path) -> None:
    assert wardline(state, "revoke", "run-1") == "stopped 2 runs\n"
    listed = [json.loads(line) for line in wardline(state, "list", "--json").splitlines()]
    assert [each["run"] for each in listed] == ["run-1", "run-2"]
    assert all(each["state"].startswith("revoked 20") for each in listed)
    assert json.loads(wardline(state, "revoke", "run-2", "--json")) == {
        "run": "run-2",
        "stopped": 1,
    }


def test_what_nobody_sent_is_an_error(state: Path, tmp_path: Path) -> None:
    with pytest.raises(DelegationError, match="no run 'gone'"):
        CliRunner().invoke(
            app,
            ["revoke", "gone", "--dir", str(state)],
            catch_exceptions=False,
            standalone_mode=False,
        )
    with pytest.raises(ConfigError, match="holds no state"):
        CliRunner().invoke(
            app,
            ["list", "--dir", str(tmp_path / "none")],
            catch_exceptions=False,
            standalone_mode=False,
        )
