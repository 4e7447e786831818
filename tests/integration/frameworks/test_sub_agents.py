"""A LangGraph agent sends an agent of another framework, in another process, over A2A."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import sub_agents
from anyio.to_thread import run_sync as in_thread
from framework_agents import AGENTS
from graphs import Asked

from permissions.service.dial import UnixDial
from permissions.service.remote import RemoteBroker
from permissions.service.server import listening
from permissions.setup.clients import clients_of
from permissions.setup.daemon import socket_of
from permissions.setup.factory import open_broker
from permissions.trace.verify import verify_trace
from wardline import BrokerConfig, warrant_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from permissions.broker.broker import PermissionBroker

pytestmark = pytest.mark.slow  # the frameworks take seconds to import

SUPPORT = Path(sub_agents.__file__).parent


@asynccontextmanager
async def clerk(framework: str, config: BrokerConfig, folder: Path) -> AsyncIterator[str]:
    """The other agent's process; gives its URL."""
    argv = [
        sys.executable, str(SUPPORT / "sub_agents.py"), framework,
        f"unix:{socket_of(config)}", str(folder),
    ]  # fmt: skip
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout is not None
        try:
            port = int(await in_thread(process.stdout.readline))
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


@pytest.mark.parametrize("framework", ["openai-agents", "pydantic-ai"])
async def test_a_grant_crosses_frameworks_and_processes_and_only_narrows(
    framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "wardline.toml"
    settings.write_text(
        f'state = "{tmp_path}/state"\nworkspace = "{tmp_path}"\n[sandbox]\nbackends = []\n'
    )
    monkeypatch.setenv("WARDLINE_CONFIG", str(settings))
    config = BrokerConfig.load()
    remote = cast(
        "PermissionBroker", RemoteBroker(UnixDial(socket_of(config)), sub_agents.TOOLS)
    )
    async with (
        open_broker(config, sub_agents.TOOLS, mode="daemon") as core,
        listening(core, socket_of(config), clients_of(config)),
        clerk(framework, config, tmp_path) as url,
        cast("RemoteBroker", remote).session(
            user="alice", agent="desk", run="thread-1"
        ) as desk,
    ):
        # What a program of its own would set before it starts.
        monkeypatch.setattr(
            sub_agents, "SENDER", {"broker": remote, "session": desk, "url": url}
        )
        asked = (Asked("ask_clerk", {"task": "Close 4711"}, "a1"),)
        ended = await AGENTS["langgraph"](sub_agents.TOOLS, asked, tmp_path, False)  # noqa: FBT003
        warrant = await warrant_for(
            remote, cast("Any", desk), agent="clerk", may=sub_agents.MAY, task="Close 4711"
        )
        forged = await sub_agents.send(url, "Close 4713", warrant.replace("a", "b", 1))

    closed, other, found, sent_on = ended.told["a1"].split("\n")
    assert "case 4711 is closed" in closed
    assert "delegation.exceeded" in other
    assert "case 4713 is open" in found
    assert "delegation.exceeded" in sent_on
    assert "not signed by this daemon" in forged
    assert verify_trace(config.state / "trace").integrity.verdict == "consistent"
