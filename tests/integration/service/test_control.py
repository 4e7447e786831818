"""One socket for clients and for the owner: who may ask for what, and how it is found."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.to_thread import run_sync as in_thread
from serving import TOOLS

from permissions.errors import BrokerError, ServiceError
from permissions.service.address import SOCKET
from permissions.service.dial import UnixDial
from permissions.service.remote import RemoteBroker
from permissions.setup.config import BrokerConfig, ClientConfig
from permissions.setup.control import NobodyThereError, ask
from permissions.setup.daemon import running
from permissions.setup.factory import open_broker

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
