"""A daemon in this event loop, over a real socket, with a real evaluator, record and state."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from authority import Authority
from serving import TOOLS

from permissions.service.server import listening
from permissions.setup.clients import clients_of
from permissions.setup.config import BrokerConfig
from permissions.setup.daemon import socket_of
from permissions.setup.factory import open_broker
from permissions.testing import Person

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker
    from permissions.service.server import Server

OLGA = Person("olga")


@pytest.fixture
def config(tmp_path: Path) -> BrokerConfig:
    """Settings of a daemon, with one approver."""
    (tmp_path / "work").mkdir()
    (tmp_path / "wardline.toml").write_text(
        f'state = "{tmp_path}/state"\nworkspace = "{tmp_path}/work"\n'
        f'[approvers.olga]\ngroups = ["operators"]\npublic_key = "{OLGA.signer.public}"\n'
        "[sandbox]\nbackends = []\n"
    )
    return BrokerConfig.load(tmp_path / "wardline.toml")


@pytest.fixture
def serving(
    config: BrokerConfig,
) -> Callable[[], AbstractAsyncContextManager[tuple[PermissionBroker, Server]]]:
    """Starts the daemon."""

    @asynccontextmanager
    async def start() -> AsyncIterator[tuple[PermissionBroker, Server]]:
        async with (
            open_broker(config, TOOLS, mode="daemon") as broker,
            listening(broker, socket_of(config), clients_of(config)) as server,
        ):
            yield broker, server

    return start


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority of this test's own."""
    return Authority(tmp_path)
