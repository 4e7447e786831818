"""A sub-agent in another process: sent with a warrant, which nobody else can make or widen."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from anyio.to_thread import run_sync as in_thread
from serving import TOOLS

from permissions.errors import DelegationError, RunOpenError, ServiceError
from permissions.model import Completed, Denial
from permissions.service import conversation
from permissions.service.clients import Client, Clients
from permissions.service.dial import UnixDial
from permissions.service.remote import RemoteBroker
from permissions.setup.daemon import socket_of
from permissions.setup.factory import open_broker
from permissions.signing import dsse
from permissions.signing.keys import memory_signer
from permissions.tools.call import ToolCall
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace
from wardline import open_warranted, warrant_for

if TYPE_CHECKING:
    from permissions.setup.config import BrokerConfig

SUPPORT = Path(__file__).parents[2] / "support"
MAY = {"tools": ["measure"], "budgets": {"calls": 2}}

PROGRAM = """
import sys
from serving import TOOLS, measure
from wardline import Broker, CallDenied
with Broker.connect(sys.argv[1], TOOLS) as broker, broker.warranted(sys.argv[2]) as session:
    print(session.run, session.subject.id)
    print(measure("four").size)
    try:
        TOOLS[3]()
    except CallDenied as denied:
        print(denied.denial.code)
"""


def remote(config: BrokerConfig) -> RemoteBroker:
    return RemoteBroker(UnixDial(socket_of(config)), TOOLS)


@pytest.mark.slow
async def test_another_process_works_below_a_run(serving: Any, config: BrokerConfig) -> None:
    broker = remote(config)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{SUPPORT}:{os.environ.get('PYTHONPATH', '')}",
        "WARDLINE_CONFIG": str(config.source.path if config.source else ""),
    }

    def elsewhere(warrant: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", PROGRAM, f"unix:{socket_of(config)}", warrant]
        return subprocess.run(
            argv, env=environment, capture_output=True, text=True, check=False, timeout=150
        )

    async with (
        serving(),
        broker.session(user="alice", agent="planner") as parent,
    ):
        warrant = await warrant_for(broker, parent, agent="clerk", may=MAY, task="Measure")  # type: ignore[arg-type]
        done = await in_thread(elsewhere, warrant)
        assert done.returncode == 0, done.stderr
        run, agent, *said = done.stdout.split()
        assert (agent, said) == ("clerk", ["4", "delegation.exceeded"])
        # The same warrant goes on with the same run, under what is left of its budget.
        async with open_warranted(broker, warrant) as again:  # type: ignore[arg-type]
            assert again.run == run
            ran = await broker.call(again, ToolCall("measure", {"text": "a"}))  # type: ignore[arg-type]
            more = await broker.call(again, ToolCall("measure", {"text": "a"}))  # type: ignore[arg-type]
    assert isinstance(ran, Completed)
    assert isinstance(more, Denial)
    assert more.code == "budgets.spent"
    entries = [*read_entries(config.state / "trace")]
    sent = [each.body["sent"] for each in entries if each.type == "delegation"]
    assert sent == [run]
    assert verify_trace(config.state / "trace").completeness.is_whole


async def test_a_warrant_is_the_daemons_and_for_its_client(
    serving: Any, config: BrokerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = remote(config)

    async def refused(warrant: str, error: type[Exception], said: str) -> None:
        with pytest.raises(error, match=said):
            async with broker.warranted(warrant):
                raise AssertionError("it was opened")

    async with serving() as (_, server):
        async with broker.session(user="alice", agent="planner") as parent:
            with pytest.raises(DelegationError, match="no tool"):
                await broker.warrant(parent, agent="clerk", may={"tools": ["format"]})
            warrant = await broker.warrant(parent, agent="clerk", may=MAY)
            envelope = dsse.Envelope.parse(warrant.encode())
            wider = replace(envelope, payload=envelope.payload.replace(b"measure", b"destroy"))
            own = dsse.sign(
                wider.payload, payload_type=wider.payload_type, signers=[memory_signer()]
            )
            for forged in ("", "{}", wider.dumps().decode(), own.dumps().decode()):
                await refused(forged, DelegationError, "not signed by this daemon")
            # A warrant's time is signed: it cannot be made old afterwards.
            monkeypatch.setattr(conversation, "WARRANT_SECONDS", -1)
            late = await broker.warrant(parent, agent="clerk", may=MAY)
            await refused(late, DelegationError, "run out")
            server.replace_clients(
                Clients({os.geteuid(): Client("desk", ("alice",), ("planner",), ())})
            )
            await refused(warrant, ServiceError, "clerk")
            server.replace_clients(Clients())
            async with broker.warranted(warrant) as sent:
                await refused(warrant, RunOpenError, "open session")
                ran = await broker.call(sent, ToolCall("measure", {"text": "a"}))
                assert isinstance(ran, Completed)
        await refused(warrant, DelegationError, "no open session")


async def test_a_broker_of_one_program_makes_none(config: BrokerConfig) -> None:
    from permissions.sessions.open import open_session

    async with open_broker(config, TOOLS) as broker, open_session(broker, user="a") as session:
        with pytest.raises(DelegationError, match="wardline serve"):
            await warrant_for(broker, session, agent="clerk", may=MAY)
