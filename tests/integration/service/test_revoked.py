"""Who may connect, or approve, no more: open sessions end at the next call, and votes are void."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from anyio.to_thread import run_sync as in_thread
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from people import first_pending
from serving import TOOLS
from typer.testing import CliRunner

from permissions.broker.ports import now_us
from permissions.cli.root import app
from permissions.errors import BrokerError, ServiceError
from permissions.execution.base import Outcome
from permissions.model import Completed, Denial
from permissions.service.dial import Credentials, TcpDial
from permissions.service.remote import RemoteBroker
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.control import ask
from permissions.setup.daemon import running
from permissions.setup.factory import open_broker
from permissions.testing import Person
from permissions.tools.call import ToolCall
from permissions.trace.reader import read_entries

if TYPE_CHECKING:
    from pathlib import Path

    from authority import Authority

OLGA, PAUL = Person("olga"), Person("paul")


@dataclass
class Settings:
    """A settings file that is written anew."""

    folder: Path
    approvers: tuple[Person, ...] = (OLGA,)
    service: str = ""

    def write(self, **changed: Any) -> BrokerConfig:
        for name, value in changed.items():
            setattr(self, name, value)
        people = "".join(
            f'[approvers.{each.name}]\ngroups = ["operators"]\n'
            f'public_key = "{each.signer.public}"\n'
            for each in self.approvers
        )
        file = self.folder / "wardline.toml"
        file.write_text(
            f'state = "{self.folder}/state"\nworkspace = "{self.folder}"\n'
            f"{people}[sandbox]\nbackends = []\n{self.service}"
        )
        return BrokerConfig.load(file)


def wardline(*words: str) -> str:
    done = CliRunner().invoke(app, [*words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("what", ["token", "certificate", "client", "user"])
async def test_an_open_session_ends_at_its_next_call(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    own, theirs = authority.issue("localhost"), authority.issue("desk.example")
    binary = x509.load_pem_x509_certificate(theirs.certificate.read_bytes())
    digest = hashlib.sha256(binary.public_bytes(Encoding.DER)).hexdigest()
    network = (
        f'[service]\ntcp = "127.0.0.1:0"\ntls_certificate = "{own.certificate}"\n'
        f'tls_key = "{own.key}"\nclient_ca = "{authority.certificate}"\n'
    )
    desk = '[service.clients.desk]\ncertificate = "desk.example"\nusers = ["alice"]\n'
    other = '[service.clients.other]\nusers = ["alice"]\n'
    settings = Settings(tmp_path)
    config = settings.write(service=network + desk + other)
    monkeypatch.setenv("WARDLINE_CONFIG", str(tmp_path / "wardline.toml"))
    call = ToolCall("measure", {"text": "abc"})
    async with running(config, TOOLS) as daemon:
        assert daemon.network is not None
        port, now = int(daemon.network.rpartition(":")[2]), now_us()

        async def dialled(client: str) -> RemoteBroker:
            _, token = await daemon.tokens.create(client, now=now, expires=now + 10**12)
            given = Credentials(token, authority.certificate)
            return RemoteBroker(TcpDial("localhost", port, given), TOOLS)

        client = await dialled("desk")
        if what == "certificate":
            given = Credentials(None, authority.certificate, *theirs)
            client = RemoteBroker(TcpDial("localhost", port, given), TOOLS)
        bystander = await dialled("other")
        async with (
            client.session(user="alice") as session,
            bystander.session(user="alice") as beside,
        ):
            assert isinstance(await client.call(session, call), Completed)
            in_hand = await client.admit(session, call)
            match what:
                case "token":
                    await in_thread(wardline, "service", "token", "revoke", "desk")
                case "certificate":
                    revoked = f'revoked_certificates = ["sha256:{digest}"]\n'
                    settings.write(service=network + revoked + desk + other)
                case "client":
                    settings.write(service=network + other)
                case _:
                    settings.write(service=network + desk.replace("alice", "bob") + other)
            if what != "token":
                said = await in_thread(wardline, "reload")
                assert ("desk" in said) is (what != "client")
            barred = await client.call(session, call)
            assert isinstance(barred, Denial)
            assert barred.code == "service.revoked"
            with pytest.raises(ServiceError):
                await client.explain(session, call)
            # What began before may still say how it ended, and then the session is over.
            assert not isinstance(in_hand, Denial)
            ended = await client.settle(in_hand, Outcome("ok", value=1))  # type: ignore[arg-type]
            assert isinstance(ended, Completed)
            await session.link.ended.wait()
            assert isinstance(await bystander.call(beside, call), Completed)
        with pytest.raises(ServiceError):
            async with client.session(user="alice"):
                raise AssertionError("it was opened")
    entries = [*read_entries(config.state / "trace")]
    assert [e.type for e in entries if e.call is not None].count("outcome") == 3
    assert sum(each.type == "run.end" for each in entries) == 2
    if what == "client":
        people = [each.body for each in entries if each.type == "config"][-1]
        assert (people["approvers"], people["clients"]) == (["olga"], ["other"])
        assert "uid" in people["by"]


async def test_what_a_removed_approver_said_is_void(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    config = settings.write()
    call = ToolCall("destroy", {"name": "the disk"})
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="alice", approval_mode="suspend") as session,
    ):
        await broker.call(session, call)
        await OLGA.answer(broker, (await first_pending(broker.parts.approvals)).id)
        settings.write(approvers=(PAUL,))
        said = await in_thread(ask, config.state, "people")
        assert said["approvers"] == ["paul"]
        again = await broker.call(session, call)
        asked = (await first_pending(broker.parts.approvals)).id
        with pytest.raises(BrokerError):
            await OLGA.answer(broker, asked)
        await PAUL.answer(broker, asked)
        ran = await broker.call(session, call)
    assert isinstance(again, Denial)
    assert again.code == "approval.pending"
    assert isinstance(ran, Completed)


async def test_settings_that_cannot_be_used_change_nothing(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    config = settings.write()
    async with open_broker(config, TOOLS) as broker:
        (tmp_path / "wardline.toml").write_text("[approvers.paul]\ngroups = 7\n")
        with pytest.raises(BrokerError, match=r"approvers\.paul"):
            await in_thread(ask, config.state, "people")
        known = await broker.parts.approvals.approvers()
        assert known.get("olga").id == "olga"
    configs = [
        each.body for each in read_entries(config.state / "trace") if each.type == "config"
    ]
    assert len(configs) == 1
