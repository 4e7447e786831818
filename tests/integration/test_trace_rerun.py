"""`wardline trace rerun`: a recorded call does the same again, or the command says what is other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from rerunning import TOOLS
from typer.testing import CliRunner

from permissions.cli.trace import app
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

pytestmark = [pytest.mark.bwrap, pytest.mark.slow]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    (folder / "deep").mkdir(parents=True)
    (folder / "log.txt").write_text("41 is first\nsecond\n")
    (folder / "deep/more.txt").write_text("more\n")
    (folder / ".env").write_text("TOKEN=not-for-any-run")
    settings = folder / "wardline.toml"
    settings.write_text(
        'state = ".wardline"\nworkspace = "."\n[trace]\ninputs = true\n'
        '[sandbox]\nbackends = ["bubblewrap"]\nprewarmed = 0\n'
    )
    monkeypatch.setenv("WARDLINE_CONFIG", str(settings))
    monkeypatch.chdir(folder)
    return folder


def called(tool: str, **arguments: Any) -> str:
    """The id of a call that was made."""

    async def work() -> str:
        config = BrokerConfig.load()
        async with (
            open_broker(config, TOOLS) as broker,
            open_session(broker, user="alice", prompt=f"do {arguments}") as session,
        ):
            return (await broker.call(session, ToolCall(tool, arguments))).call

    return anyio.run(work)


def again(call: str, *options: str) -> Result:
    return CliRunner().invoke(app, ["rerun", call, "--tools", "rerunning", *options])


def told(call: str, *options: str) -> dict[str, Any]:
    result = again(call, "--json", *options)
    assert result.exit_code in (0, 1), result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert (result.exit_code == 1) == (found["verdict"] == "diverged")
    return found


def test_the_same_files_give_the_same_to_the_letter(work: Path):
    call = called("append_line", path="log.txt", line="third")
    (work / "log.txt").write_text("something else by now\n")

    found = told(call)

    assert (found["verdict"], found["notes"], found["left_out"]) == ("identical", [], [])
    assert (work / "log.txt").read_text() == "something else by now\n"


def test_what_differs_between_runs_is_no_difference(work: Path):
    found = told(called("report", path="log.txt"))
    assert (found["verdict"], found["noise"]) == ("equal", ["value/at"])
    single = told(called("report", path="log.txt"), "--runs", "1")
    assert single["verdict"] == "diverged"
    assert [each["where"] for each in single["differences"]] == ["value/at"]


def test_an_overlay_is_made_again_from_the_record_and_discarded(work: Path):
    (work / "link.md").symlink_to("log.txt")
    call = called("rename_all", suffix=".md")
    assert told(call)["verdict"] == "identical"

    other = work.parent / "other"
    other.mkdir()
    (other / "only.txt").write_text("x")
    found = told(call, "--workspace", str(other))
    assert found["verdict"] == "diverged"
    assert "value/1" in {each["where"] for each in found["differences"]}
    assert [path.name for path in other.iterdir()] == ["only.txt"]


def test_a_file_of_another_folder_changes_what_comes_out(work: Path):
    call = called("append_line", path="log.txt", line="third")
    other = work.parent / "other"
    other.mkdir()
    (other / "log.txt").write_text("one line\n")

    result = again(call, "--workspace", str(other))

    assert result.exit_code == 1
    assert "diverged" in result.stdout
    assert "value\n    recorded  3\n    again     2" in result.stdout
    assert (other / "log.txt").read_text() == "one line\n"


def test_code_that_is_gone_is_said_and_todays_can_be_asked_for(work: Path):
    call = called("report", path="log.txt")
    for copy in (work / ".wardline/code").iterdir():
        copy.rename(copy.with_name(f"was-{copy.name}"))

    result = again(call)

    assert result.exit_code != 0
    assert "the code that it ran" in str(result.output) + str(result.exception)
    assert told(call, "--current-code")["notes"] == ["the tool's code is that of today"]


@pytest.mark.usefixtures("work")
def test_what_cannot_be_run_again_says_why():
    for call, said in ((called("here"), "not in a sandbox"), ("call-0", "nothing is recorded")):
        result = again(call)
        assert result.exit_code != 0
        assert said in str(result.output) + str(result.exception)


def test_without_recorded_files_a_folder_is_asked_for(work: Path):
    settings = work / "wardline.toml"
    settings.write_text(settings.read_text().replace("inputs = true", "inputs = false"))
    call = called("append_line", path="log.txt", line="third")
    result = again(call)
    assert "--workspace" in str(result.output) + str(result.exception)
    found = told(call, "--workspace", str(work))
    assert found["verdict"] == "diverged"
    assert found["left_out"] == [
        "files: they were not recorded; set `trace.inputs` for calls to come"
    ]
