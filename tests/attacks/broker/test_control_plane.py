"""Tools of this process that would read or change what governs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pytest

from wardline import Broker, BrokerConfig, CallDenied, FreeText, PathArg, RecipientArg, tool
from wardline.config import PdpConfig, SandboxConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE = "control_plane.protected"


@tool(effect="read", impact="low")
def read_file(path: Annotated[str, PathArg("read")]) -> str:
    """Reads a file."""
    return Path(path).read_text("latin-1")


@tool(effect="write", impact="low")
def save(path: Annotated[str, PathArg("write")], text: Annotated[str, FreeText()]) -> str:
    """Saves a text."""
    Path(path).write_text(text)
    return "saved"


@tool(effect="read", impact="low")
def careless(path: str) -> str:
    """Reads a file it did not mark as one."""
    return Path(path).read_text("latin-1")


@tool(effect="send", impact="low")
def mail(to: Annotated[str, RecipientArg()], body: Annotated[str, FreeText()]) -> str:
    """Sends a mail."""
    return f"sent {body} to {to}"


TOOLS = (read_file, save, careless, mail)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("desk/policy/data", "desk/docs", "home"):
        (tmp_path / folder).mkdir(parents=True)
    table = {"domains": [], "addresses": [], "accounts": []}
    (tmp_path / "desk/policy/data/messaging.json").write_text(json.dumps(table))
    (tmp_path / "desk/docs/notes.txt").write_text("notes")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home/state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home/config"))
    monkeypatch.chdir(tmp_path / "desk")
    return tmp_path / "desk"


@pytest.fixture
def broker(desk: Path) -> Iterator[Broker]:
    config = BrokerConfig.load(
        state=desk / ".wardline",
        workspace=desk,
        pdp=PdpConfig(overlay=desk / "policy", hard_deadline_ms=20_000),
        sandbox=SandboxConfig(backends=()),
    )
    with Broker(TOOLS, config=config) as broker:
        yield broker


def refused(call: object, *arguments: str) -> str:
    with pytest.raises(CallDenied) as denied:
        call(*arguments)  # type: ignore[operator]
    return denied.value.denial.code


def test_an_agent_cannot_loosen_its_own_policies(broker: Broker, desk: Path) -> None:
    """Neither the table of the overlay, nor a new package in it, nor settings for the next start."""
    before = (desk / "policy/data/messaging.json").read_text()
    loose = '{"domains": ["evil.example"], "addresses": [], "accounts": []}'
    with broker.session(user="kim", prompt="save policy/data/messaging.json"):
        for path in (
            "policy/data/messaging.json",
            "docs/../policy/data/messaging.json",
            "policy/mine/mine.rego",
            "wardline.toml",
            ".wardline/keys/log.pem",
        ):
            assert refused(save, path, loose) == CODE, path
        assert save("docs/new.txt", "fine") == "saved"

    assert (desk / "policy/data/messaging.json").read_text() == before
    assert not (desk / "wardline.toml").exists()


def test_an_agent_cannot_read_what_others_did(broker: Broker, desk: Path) -> None:
    """State, its write-ahead log, the trace, keys, memory: through every name they have."""
    (desk / "docs/link.txt").symlink_to(desk / ".wardline/state.db")
    (desk / "docs/hard.txt").hardlink_to(desk / ".wardline/state.db")
    with broker.session(user="mallory"):
        for path in (
            ".wardline/state.db",
            ".wardline/state.db-wal",
            ".wardline/trace/00000000000000000000.jsonl",
            ".wardline/keys/vault.key",
            ".WARDLINE/keys/vault.key",
            "docs/link.txt",
            "docs/hard.txt",
            f"/proc/self/root{desk}/.wardline/state.db",
            "/proc/self/environ",
            *map(str, Path("/proc/self/fd").iterdir()),
        ):
            assert refused(read_file, path) == CODE, path
        assert refused(careless, ".wardline/keys/vault.key") == CODE
        assert read_file("docs/notes.txt") == "notes"


@pytest.mark.parametrize("name", ["wardline.toml", "WARDLINE.TOML", "./wardline.toml"])
def test_a_bare_name_of_an_unmarked_argument_is_a_path_too(
    broker: Broker, desk: Path, name: str
) -> None:
    """Relative to the workspace; a file of another name is none of the broker's business."""
    (desk / "wardline.toml.txt").write_text("mine")
    with broker.session(user="kim", prompt=f"read {name} and wardline.toml.txt"):
        assert refused(careless, name) == CODE
        assert careless("wardline.toml.txt") == "mine"


def test_explain_says_so_too(broker: Broker) -> None:
    with broker.session(user="kim"):
        said = str(read_file.guard.explain(".wardline/state.db"))

    assert CODE in said


def test_the_refusal_is_recorded_without_the_path_of_the_file(
    broker: Broker, desk: Path
) -> None:
    """The agent learns the rule; where the broker's files lie is for the operator."""
    with broker.session(user="kim"):
        with pytest.raises(CallDenied) as denied:
            read_file(".wardline/state.db")

    (told,) = denied.value.denial.reasons
    assert told.code == CODE
    assert str(desk) not in told.agent
