"""What is opened is what was decided, wherever the process stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from wardline import (
    Broker,
    BrokerConfig,
    CallDenied,
    PathArg,
    tool,
)


@tool(effect="read", impact="low")
def read_text(path: Annotated[str, PathArg()]) -> str:
    """Opens what it is given."""
    return Path(path).read_text()


@tool(effect="read", impact="low")
def read_first(paths: Annotated[list[Path], PathArg()], *, note: str | None = None) -> str:
    """Opens the first of what it is given."""
    assert note is None
    return paths[0].read_text()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BrokerConfig:
    """A workspace, and a process that stands somewhere else, among traps of the same names."""
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    work.mkdir()
    elsewhere.mkdir()
    (work / "data.txt").write_text("inside")
    (elsewhere / "data.txt").write_text("outside")
    (elsewhere / "link").symlink_to("/etc")
    monkeypatch.chdir(elsewhere)
    return BrokerConfig.load(state=tmp_path / "state", workspace=work, sandbox={"backends": ()})


def test_a_relative_path_is_opened_from_the_workspace(config: BrokerConfig) -> None:
    with (
        Broker([read_text, read_first], config=config) as broker,
        broker.session(user="alice"),
    ):
        assert read_text("data.txt") == "inside"
        assert read_first([Path("data.txt")]) == "inside"
        with pytest.raises(FileNotFoundError):
            read_text("link/passwd")


def test_a_link_is_followed_once(config: BrokerConfig) -> None:
    (config.workspace / "inner").symlink_to("data.txt")
    (config.workspace / "outer").symlink_to("/etc/passwd")
    with Broker([read_text], config=config) as broker, broker.session(user="alice"):
        assert read_text("inner") == "inside"
        with pytest.raises(CallDenied, match="outside"):
            read_text("outer")
