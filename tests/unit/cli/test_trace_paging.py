"""Long answers come page by page on a terminal, and whole everywhere else; and `trace config`."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from logs import CONFIG, KEK, NAME, SIGNER, write_state
from typer.testing import CliRunner

from permissions.cli.root import app
from permissions.trace.entry import TraceEntry
from permissions.trace.log import open_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "wardline.toml").write_text("")
    monkeypatch.setenv("WARDLINE_CONFIG", str(tmp_path / "wardline.toml"))
    write_state(tmp_path / "state", calls=3)
    return tmp_path / "state"


def ran(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["trace", *arguments])


@pytest.mark.slow
@pytest.mark.parametrize("command", [("list",), ("why", "run-a-1"), ("show", "run-a-1")])
def test_on_a_terminal_a_pager_gets_what_others_get_whole(
    command: tuple[str, ...], state: Path, tmp_path: Path
):
    whole = ran(*command, "--dir", str(state)).stdout
    pager, paged = tmp_path / "pager", tmp_path / "paged"
    pager.write_text(f'#!/bin/sh\nprintf %s "$LESS" > {paged}.less\ncat > {paged}\n')
    pager.chmod(0o755)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PAGER": str(pager), "TERM": "xterm"}
    environment.pop("LESS", None)

    subprocess.run(
        [sys.executable, "-m", "permissions", "trace", *command, "--dir", str(state)],
        stdin=theirs,
        stdout=theirs,
        env=environment,
        check=True,
        timeout=200,
    )
    os.close(theirs)
    os.close(ours)

    assert paged.read_text() == whole
    assert (tmp_path / "paged.less").read_text() == "FRX"


def test_what_the_broker_ran_with_and_what_changed(state: Path):
    async def main() -> None:
        config = {**CONFIG, "policy": "sha256:1"}
        async with open_log(
            state / "trace", name=NAME, signer=SIGNER, kek=KEK, config=config
        ) as log:
            refused = {**config, "refused": ["rego.parse"], "by": "olga\x1b[2J"}
            await log.append([TraceEntry("config", "", body=refused)], barrier="durable")

    anyio.run(main)
    said = ran("config", "--dir", str(state)).stdout

    assert "policy       sha256:1  (was sha256:0)" in said
    assert "refused      rego.parse" in said
    assert "wanted by    olga\\u001b[2J" in said
    assert "as before" in said
    entries = [
        json.loads(each)
        for each in ran("config", "--json", "--dir", str(state)).stdout.splitlines()
    ]
    assert [each["policy"] for each in entries] == ["sha256:0", "sha256:1", "sha256:1"]
    at = ran("config", "--json", "--at", "5", "--dir", str(state)).stdout
    assert json.loads(at)["entry"] == entries[0]["entry"]
    assert "entry 1," in ran("config", "--at", "1", "--dir", str(state)).stdout
