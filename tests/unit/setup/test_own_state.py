"""A state folder that a workspace brings along is not believed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from permissions.errors import ConfigError
from permissions.setup.layout import StateLayout
from permissions.setup.own_state import MARK

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def made(workspace: Path) -> StateLayout:
    layout = StateLayout(workspace / ".wardline")
    layout.make(workspace)
    return layout


def test_a_new_one_is_the_users_own_and_out_of_git(workspace: Path) -> None:
    layout = made(workspace)

    assert (layout.root / ".gitignore").read_text() == "*\n"
    made(workspace)


def test_one_that_a_checkout_brings_is_refused(workspace: Path) -> None:
    """Whatever its modes, and also with the mark it had where it was made."""
    brought = made(workspace).root
    brought.chmod(0o700)
    for path in (workspace / "clone", workspace / "other"):
        shutil.copytree(brought, path / ".wardline")
        with pytest.raises(ConfigError, match="was not made by you there"):
            made(path)


@pytest.mark.parametrize("mark", [None, b"", b"0" * 64, b"0" * 4096])
def test_one_without_its_mark_is_refused(workspace: Path, mark: bytes | None) -> None:
    root = made(workspace).root
    (root / MARK).unlink()
    if mark is not None:
        (root / MARK).write_bytes(mark)

    with pytest.raises(ConfigError, match="was not made by you there"):
        made(workspace)


def test_one_instead_of_ones_own_is_refused(workspace: Path) -> None:
    made(workspace)
    shutil.rmtree(workspace / ".wardline")
    (workspace / ".wardline/keys").mkdir(parents=True)

    with pytest.raises(ConfigError, match="was not made by you there"):
        made(workspace)


def test_one_that_was_removed_may_be_made_again(workspace: Path) -> None:
    made(workspace)
    shutil.rmtree(workspace / ".wardline")

    made(workspace)
    made(workspace)


def test_one_outside_of_the_workspace_is_the_users_choice(workspace: Path) -> None:
    state = workspace.parent / "state"
    (state / "keys").mkdir(parents=True)

    StateLayout(state).make(workspace)


def test_a_link_into_the_workspace_is_in_it(workspace: Path) -> None:
    (workspace / "evil/keys").mkdir(parents=True)
    (workspace.parent / "state").symlink_to(workspace / "evil")

    with pytest.raises(ConfigError, match="was not made by you there"):
        StateLayout(workspace.parent / "state").make(workspace)
