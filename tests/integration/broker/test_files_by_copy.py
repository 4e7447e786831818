"""What goes into a sandbox by copy and what comes back: nothing is lost, and no secret seen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from copying import TOOLS

from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall
from permissions.trace.reader import read_entries

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.model import CallResult

pytestmark = pytest.mark.bwrap

SECRETS = (
    ".env",
    "deep/er/.env",
    ".ssh/id_rsa",
    "app/credentials.json",
    "app/tls.pem",
    "APP/ID_RSA",
    "deep/.config/gh/hosts.yml",
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    for name in (*SECRETS, "ok.txt", "app/ok.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"KEY={name}")
    os.link(folder / ".env", folder / "innocent.txt")
    (folder / "log.txt").write_text("precious 1\nprecious 2\n")
    (folder / "link").symlink_to("ok.txt")
    (folder / "app").chmod(0o750)
    return folder


async def called(work: Path, tool: str, **arguments: Any) -> CallResult:
    config = BrokerConfig.load(
        state=work / ".wardline",
        workspace=work,
        sandbox={"backends": ("bubblewrap",), "prewarmed": 0},
    )
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="alice", prompt=f"do {arguments}") as session,
    ):
        return await broker.call(session, ToolCall(tool, arguments))


async def test_an_append_keeps_the_old_content(work: Path) -> None:
    result = await called(work, "append_line", path="log.txt", line="new")

    assert isinstance(result, Completed), result
    assert (work / "log.txt").read_text() == "precious 1\nprecious 2\nnew\n"


async def test_the_files_of_an_output_folder_come_out(work: Path) -> None:
    result = await called(work, "export", folder="new", names=["a.csv", "b/c.csv"])

    assert isinstance(result, Completed), result
    assert result.notes == ()
    assert (work / "new/a.csv").read_text() == "exported"
    assert (work / "new/b/c.csv").read_text() == "exported"


async def test_a_folder_named_like_the_out_folder_is_one_of_the_workspace(work: Path) -> None:
    (work / "out").mkdir()
    (work / "out/kept.txt").write_text("kept")

    assert isinstance(await called(work, "export", folder="out", names=["a.csv"]), Completed)

    assert sorted(each.name for each in (work / "out").iterdir()) == ["a.csv", "kept.txt"]
    assert (work / "out/kept.txt").read_text() == "kept"
    assert not (work / "a.csv").exists()


async def test_what_a_folder_argument_does_not_bring_back_is_said(work: Path) -> None:
    """Policy was asked about the folder, not about what would steer others or is executable."""
    (work / "app/run").write_text("old")
    (work / "app/run").chmod(0o755)
    names = [".hooks/x", "AGENTS.md", "Makefile", "x/y.pth", "run", "new.pem", "fine.txt"]

    result = await called(work, "export", folder="app", names=names, without="ok.txt")

    assert isinstance(result, Completed), result
    assert (work / "app/fine.txt").read_text() == "exported"
    assert (work / "app/run").read_text() == "old"
    assert (work / "app/ok.txt").exists()
    assert {note.partition(":")[0] for note in result.notes} == {
        "app/.hooks/x",
        "app/AGENTS.md",
        "app/Makefile",
        "app/x/y.pth",
        "app/run",
        "app/new.pem",
        "app/ok.txt",
        "app/credentials.json",
        "app/tls.pem",
    }
    assert not any((work / "app" / name).exists() for name in names[:4])
    effects = [e for e in read_entries(work / ".wardline/trace") if e.type == "effect"]
    assert [(e.body["kind"], e.body["left_out"]) for e in effects] == [("files", 9)]


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["search", "search_all"])
async def test_secrets_are_seen_by_no_tool_that_is_given_a_folder(
    work: Path, tool: str
) -> None:
    """By copy or as an overlay, at any depth, also under a second name."""
    arguments = {"folder": "."} if tool == "search" else {}

    result = await called(work, tool, text="KEY", **arguments)

    assert isinstance(result, Completed), result
    expected = ["app/ok.txt", "ok.txt"] + (["link"] if tool == "search_all" else [])
    assert sorted(result.value) == sorted(expected)
    if tool == "search":
        said = dict(note.split(": ") for note in result.notes)
        hidden = {"innocent.txt", ".wardline", ".env", "deep/er/.env", ".ssh", "link"}
        assert hidden <= said.keys()
        assert said["link"] == "it is a link, and links do not go in"
    else:
        said = dict(note.split(": ") for note in result.notes)
        assert {"innocent.txt", ".env", "deep/er/.env", ".ssh", "APP/ID_RSA"} <= said.keys()
        effects = [e for e in read_entries(work / ".wardline/trace") if e.type == "effect"]
        assert [(e.body["kind"], e.body["left_out"]) for e in effects] == [("files", len(said))]


@pytest.mark.parametrize("name", SECRETS)
async def test_a_secret_by_its_name_is_denied(work: Path, name: str) -> None:
    result = await called(work, "search", text="KEY", folder=name)

    assert isinstance(result, Denial), result
    assert result.code == "filesystem.secret"


async def test_a_name_that_no_sandbox_takes_stays_outside_and_is_said(work: Path) -> None:
    """It failed each call on its folder."""
    (work / "app/two\nlines").write_text("x")

    result = await called(work, "export", folder="app", names=["fine.txt"])

    assert isinstance(result, Completed), result
    assert any("control characters" in note for note in result.notes)


async def test_more_files_than_a_sandbox_takes_are_refused_in_words(work: Path) -> None:
    for number in range(600):
        (work / f"app/{number}.txt").write_text("x")

    result = await called(work, "export", folder="app", names=["fine.txt"])

    assert isinstance(result, Denial)
    assert "`files` of the profile" in result.reasons[0].operator
