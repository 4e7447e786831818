"""`wardline console`: who is let in, with what, and who is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from authenticator import Authenticator
from typer.testing import CliRunner

from permissions.approval.approvers import Approvers
from permissions.approval.passkeys import Site, begin_enrolment, finish_enrolment
from permissions.cli.approver import app as approvers
from permissions.cli.console import app as console
from permissions.errors import ApproverRefusedError, ConfigError, SignInError
from permissions.setup.config import BrokerConfig
from permissions.setup.console import sign_ins_of
from permissions.setup.stops import approvals_of
from permissions.trace.vault import make_kek

if TYPE_CHECKING:
    from pathlib import Path

    from typer import Typer

    from permissions.console.sign_ins import Session


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "state" / "keys").mkdir(mode=0o700, parents=True)
    (tmp_path / "state").chmod(0o700)
    make_kek(tmp_path / "state" / "keys" / "vault.key")
    file = tmp_path / "wardline.toml"
    file.write_text(
        f'state = "{tmp_path}/state"\n[service]\nurl = "http://localhost:8181"\n'
        '[approvers.olga]\ngroups = ["operators"]\n'
    )
    monkeypatch.setenv("WARDLINE_CONFIG", str(file))
    return file


def said(*arguments: str, app: Typer = console) -> str:
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
def test_an_approver_who_is_let_in_by_a_link_adds_no_passkey() -> None:
    found = json.loads(said("link", "--role", "approver", "--for", "olga", "--json"))

    assert (found["name"], found["role"], found["expires_in_seconds"]) == (
        "olga",
        "approver",
        900,
    )
    assert not entered(found["url"]).enrols


def enrolled(device: Authenticator) -> None:
    """A passkey of olga's in the state."""

    async def enrol() -> None:
        config = BrokerConfig.load()
        site = Site.of(config.service.url)
        olga = Approvers.from_config(config.approvers).get("olga")
        question = begin_enrolment(olga, site)
        made = device.create(question.options, site.origin)
        async with approvals_of(config) as approvals:
            await approvals.enrol("olga", finish_enrolment(question.sealed, made, site))

    anyio.run(enrol)


@pytest.mark.usefixtures("config")
def test_an_invitation_lets_an_approver_add_a_passkey() -> None:
    enrolled(Authenticator())
    found = json.loads(said("invite", "olga", "--json", app=approvers))

    assert (found["name"], found["expires_in_seconds"], found["revoked"]) == ("olga", 900, [])
    session = entered(found["url"])
    assert (session.name, session.role, session.enrols) == ("olga", "approver", True)
    listed = json.loads(said("list", "--json", app=approvers))
    assert [each["revoked_at"] for each in listed["passkeys"]] == [None]


@pytest.mark.usefixtures("config")
def test_an_invitation_after_a_loss_takes_back_what_there_was() -> None:
    enrolled(Authenticator())
    before = said("invite", "olga", app=approvers)
    after = json.loads(said("invite", "olga", "--lost", "--json", app=approvers))

    with pytest.raises(SignInError):
        entered(before)
    assert entered(after["url"]).enrols
    (listed,) = json.loads(said("list", "--json", app=approvers))["passkeys"]
    assert listed["revoked_at"] is not None
    assert listed == after["revoked"][0]


@pytest.mark.usefixtures("config")
def test_who_loses_a_passkey_is_signed_out() -> None:
    enrolled(Authenticator())
    url = said("invite", "olga", app=approvers)
    assert "revoked" in said("revoke", "olga", app=approvers)

    with pytest.raises(SignInError):
        entered(url)


@pytest.mark.usefixtures("config")
def test_nobody_is_invited_who_is_not_in_the_settings() -> None:
    with pytest.raises(ApproverRefusedError, match="mallory"):
        said("invite", "mallory", app=approvers)


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
