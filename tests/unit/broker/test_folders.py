"""What a tool of this process would find below a folder is told to policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pytest

from permissions.broker.folders import Folders
from permissions.execution.secret_files import SecretFiles
from permissions.model import Completed, Denial
from permissions.pdp.bundle import load_bundle
from permissions.sessions.open import open_session
from permissions.testing import Person, memory_broker
from permissions.tools.call import ToolCall
from wardline import PathArg, tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.model import CallResult

SECRETS = SecretFiles.of(load_bundle().data)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    for name in ("app/src/a.txt", "keys/.env", "state/log.pem.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")


def link_twice(app: Path) -> None:
    (app / "one").symlink_to("src/two")
    (app / "src/two").symlink_to("../../state/log.pem.txt")


HIDING: dict[str, Callable[[Path], object]] = {
    "by its name": lambda app: write(app / ".env"),
    "deep below": lambda app: write(app / "a/b/c/d/id_rsa"),
    "in other letters": lambda app: write(app / "src/Credentials.JSON"),
    "by its path": lambda app: write(app / ".cargo/credentials"),
    "a repository": lambda app: write(app / ".git/config"),
    "an empty folder of keys": lambda app: (app / ".ssh").mkdir(),
    "another name": lambda app: (app / "plain").hardlink_to(app.parent / "keys/.env"),
    "a link": lambda app: (app / "plain").symlink_to("../keys/.env"),
    "a link to its folder": lambda app: (app / "plain").symlink_to("/root/.ssh"),
    "a link to the broker's own": lambda app: (app / "plain").symlink_to("../state"),
    "links in a row": link_twice,
}


@pytest.mark.parametrize("how", HIDING)
def test_what_hides_below_is_found(desk: Path, how: str) -> None:
    folders = Folders(SECRETS, [desk / "state"])
    assert not folders.holds(str(desk / "app"), desk)

    HIDING[how](desk / "app")

    assert folders.holds(str(desk / "app"), desk)


@pytest.mark.parametrize("own", ["state", "state/log.pem.txt"])
def test_a_folder_above_the_brokers_own_holds_it(desk: Path, own: str) -> None:
    folders = Folders(SecretFiles(), [desk / own])

    assert folders.holds(str(desk), desk)
    assert not folders.holds(str(desk / "app"), desk)


def test_a_loop_of_links_and_two_names_of_a_plain_file_are_no_secret(desk: Path) -> None:
    (desk / "app/loop").symlink_to(".")
    (desk / "app/gone").symlink_to("nowhere")
    (desk / "app/b.txt").hardlink_to(desk / "app/src/a.txt")

    assert not Folders(SECRETS).holds(str(desk / "app"), desk)


def test_a_folder_of_a_secret_path_is_looked_at_from_the_workspace(desk: Path) -> None:
    write(desk / "home/.m2/settings.xml")

    assert Folders(SECRETS).holds(str(desk / "home/.m2"), desk)


@tool(effect="read", impact="low")
async def search(
    text: str,
    folder: Annotated[str, PathArg("read")],
    more: Annotated[list[str], PathArg()],
) -> list[str]:
    """Lines below folders that hold a text, in the broker's own process."""
    tops = [Path(each) for each in (folder, *more)]
    return [
        line
        for top in tops
        for f in top.rglob("*")
        if f.is_file()
        for line in [f.read_text()]
        if text in line
    ]


async def asked(desk: Path, **arguments: object) -> CallResult:
    async with (
        memory_broker([search], workspace=desk) as broker,
        open_session(broker, user="kim", prompt=f"search {arguments}") as session,
    ):
        call = ToolCall("search", {"text": "a", "more": [], **arguments})
        result = await broker.call(session, call)
        if isinstance(result, Denial) and result.access_request:
            await Person().answer(broker, result.access_request)
            assert isinstance(await broker.call(session, call), Completed)
        return result


@pytest.mark.slow
async def test_a_person_is_asked_before_a_tool_of_this_process_gets_such_a_folder(
    desk: Path,
) -> None:
    """Under the shipped policies, however the folder is spelled."""
    (desk / "link").symlink_to("keys")
    assert isinstance(await asked(desk, folder="app"), Completed)
    for spelled in (".", "keys", "app/../keys", str(desk), "link", "./app/.."):
        result = await asked(desk, folder=spelled)
        assert isinstance(result, Denial), spelled
        assert (result.kind, [each.code for each in result.reasons][:1]) == (
            "pending",
            ["approval.pending"],
        )

    result = await asked(desk, folder="app", more=["app", "keys"])
    assert isinstance(result, Denial)
    assert result.access_request
