"""`wardline console`: who is let in, with what, and who is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from typer.testing import CliRunner

from permissions.cli.console import app
from permissions.errors import ApproverRefusedError, ConfigError, SignInError
from permissions.setup.config import BrokerConfig
from permissions.setup.console import sign_ins_of

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.console.sign_ins import Session


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "state").mkdir(mode=0o700)
    file = tmp_path / "wardline.toml"
    file.write_text(
        f'state = "{tmp_path}/state"\n[service]\nurl = "http://localhost:8181"\n'
        '[approvers.olga]\ngroups = ["operators"]\n'
    )
    monkeypatch.setenv("WARDLINE_CONFIG", str(file))
    return file


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False)
    return done.stdout


def entered(url: str) -> Session:
    """Signs in with a link that was printed."""

    async def enter() -> Session:
        async with sign_ins_of(BrokerConfig.load()) as sign_ins:
            return (await sign_ins.enter(url.strip().partition("link=")[2], "Firefox"))[1]

    return anyio.run(enter)


@pytest.mark.usefixtures("config")
def test_a_link_lets_in_whom_it_says_once() -> None:
    url = said("link", "--role", "responder", "--for", "rita")

    assert url.startswith("http://localhost:8181/sign-in?link=")
    session = entered(url)
    assert (session.name, session.role, session.enrols) == ("rita", "responder", False)
    with pytest.raises(SignInError):
        entered(url)


@pytest.mark.usefixtures("config")
def test_an_approver_may_add_a_passkey() -> None:
    found = json.loads(said("link", "--role", "approver", "--for", "olga", "--json"))

    assert (found["name"], found["role"], found["expires_in_seconds"]) == (
        "olga",
        "approver",
        900,
    )
    assert entered(found["url"]).enrols


@pytest.mark.usefixtures("config")
def test_nobody_is_an_approver_who_is_not_in_the_settings() -> None:
    with pytest.raises(ApproverRefusedError, match="mallory"):
        said("link", "--role", "approver", "--for", "mallory")


@pytest.mark.usefixtures("config")
def test_signing_somebody_out_voids_their_links() -> None:
    url = said("link", "--role", "operator", "--for", "oskar")

    assert json.loads(said("sign-out", "--for", "oskar", "--json"))["ended"] == 1
    with pytest.raises(SignInError):
        entered(url)


def test_without_a_console_there_is_no_link(config: Path) -> None:
    config.write_text(config.read_text().replace("url", "# url"))
    with pytest.raises(ConfigError, match=r"service\.url"):
        said("link", "--role", "operator", "--for", "oskar")
