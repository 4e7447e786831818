"""One socket for clients and for the owner: who may ask for what, and how it is found."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.to_thread import run_sync as in_thread
from people import payment
from serving import TOOLS
from taking_posts import Server
from typer.testing import CliRunner

from permissions.cli.request import app as requests
from permissions.errors import BrokerError, ServiceError
from permissions.model import AccessRequestTerms
from permissions.service.address import SOCKET
from permissions.service.dial import UnixDial
from permissions.service.remote import RemoteBroker
from permissions.setup.config import BrokerConfig, ClientConfig
from permissions.setup.control import NobodyThereError, ask
from permissions.setup.daemon import running
from permissions.setup.factory import open_broker
from permissions.testing import Person

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def elsewhere(config: BrokerConfig) -> Iterator[BrokerConfig]:
    """A daemon that listens outside of its state folder, for one account that is not ours."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others
        Path(folder).chmod(0o711)
        service = config.service.model_copy(
            update={
                "socket": Path(folder) / "wardline.sock",
                "clients": {"desk": ClientConfig(uid=4711)},
            }
        )
        yield config.model_copy(update={"service": service})


async def test_the_state_folder_leads_to_a_socket_elsewhere(elsewhere: BrokerConfig) -> None:
    own = elsewhere.state / SOCKET
    for _ in range(2):
        async with running(elsewhere, TOOLS) as daemon:
            assert own.is_symlink()
            said = await in_thread(ask, elsewhere.state, "reload")
            assert said["now"] == daemon.broker.parts.pdp.revision
        assert not own.is_symlink()
        own.symlink_to("/nowhere")  # as kill -9 leaves it
    with pytest.raises(NobodyThereError):
        await in_thread(ask, elsewhere.state, "reload")
    async with open_broker(elsewhere, TOOLS):  # in this program, over what was left
        assert await in_thread(ask, elsewhere.state, "resume")
        assert not own.is_symlink()
        assert own.stat().st_mode & 0o777 == 0o600


async def test_a_client_is_not_the_owner(elsewhere: BrokerConfig) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another account; run it as root")
    program = (
        "import json,os,socket,sys\nos.setuid(4711)\n"
        f"s=socket.socket(socket.AF_UNIX)\ns.connect({str(elsewhere.service.socket)!r})\n"
        "said=json.dumps({'id':1,'do':'reload'}).encode()\n"
        "s.sendall(len(said).to_bytes(4,'big')+said)\n"
        "sys.stdout.write(s.recv(65536)[4:].decode())"
    )
    async with running(elsewhere, TOOLS):
        done = await anyio.run_process([sys.executable, "-Sc", program], check=False)
    assert b"opens a session" in done.stdout, done.stderr


async def test_a_broker_of_one_program_takes_no_sessions(config: BrokerConfig) -> None:
    async with open_broker(config, TOOLS):
        remote = RemoteBroker(UnixDial(config.state / SOCKET), TOOLS)
        with pytest.raises(ServiceError, match="of one program alone"):
            async with remote.session(user="alice"):
                raise AssertionError("it was opened")
        with pytest.raises(BrokerError, match="of one program alone"):
            await in_thread(ask, config.state, "erase")


@pytest.mark.slow
async def test_a_vote_by_command_has_the_next_stage_told(
    config: BrokerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARDLINE_APPROVAL__NOTIFY__WEBHOOK_SECRET", "s" * 16)
    terms = AccessRequestTerms.model_validate(
        {
            "approvers": ["finance", "operators"],
            "quorum": 3,
            "stages": [
                {"approvers": ["operators"], "quorum": 2},
                {"approvers": ["finance"], "quorum": 1},
            ],
        }
    )
    people = {"olga": "operators", "bea": "operators", "finn": "finance"}
    lines = [
        f'[approvers.{name}]\ngroups = ["{group}"]\npublic_key = "{Person(name).signer.public}"\n'
        for name, group in people.items()
    ]
    with Server().running() as hook:
        settings = tmp_path / "staged.toml"
        settings.write_text(
            f'state = "{tmp_path}/state"\nworkspace = "{tmp_path}/work"\n'
            f'[approval.notify]\nwebhook = "{hook.url}"\n{"".join(lines)}'
            "[sandbox]\nbackends = []\n"
        )
        config = BrokerConfig.load(settings)

        def votes(name: str, request: str) -> None:
            key = Person(name).signer.pem().decode()
            command = ["approve", request, "--config", str(settings), "--key", "env:KEY"]
            done = CliRunner().invoke(requests, command, env={"KEY": key})
            assert done.exit_code == 0, done.output

        async with running(config, TOOLS) as daemon:
            call = replace(payment(), terms=terms)
            asked = await daemon.broker.parts.approvals.submit(call, ())
            for name, told in (("olga", 1), ("bea", 2), ("finn", 2)):
                await in_thread(votes, name, asked.id)
                with anyio.fail_after(60):
                    while len(hook.got) < told:  # noqa: ASYNC110 - another thread makes it so
                        await anyio.sleep(0.01)
                assert len(hook.got) == told
            assert (await daemon.broker.parts.approvals.get(asked.id)).status == "approved"
    groups = [json.loads(body)["groups"] for _, body in hook.got]
    assert groups == [["operators"], ["finance"]]
