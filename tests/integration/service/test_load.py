"""A flood is refused in words, at once, and costs the other clients nothing."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from serving import TOOLS

from permissions.errors import ServiceError
from permissions.model import Completed, Denial
from permissions.service.clients import Client, Clients
from permissions.service.dial import UnixDial
from permissions.service.frames import Frames
from permissions.service.load import Load
from permissions.service.remote import RemoteBroker
from permissions.service.server import listening
from permissions.setup.daemon import socket_of
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import SocketStream

    from permissions.service.server import Server
    from permissions.setup.config import BrokerConfig

FLOOD = Client("flood", ("*",), ("*",), ("*",), calls=4, sessions=2)
CALM = replace(FLOOD, name="calm")


@asynccontextmanager
async def two_clients(config: BrokerConfig) -> AsyncIterator[tuple[Server, Any, Any]]:
    """A daemon, and two brokers over it: each of another client."""
    path = socket_of(config)
    clients = Clients(by_uid={os.geteuid(): FLOOD})
    async with (
        open_broker(config, TOOLS, mode="daemon") as broker,
        listening(broker, path, clients) as server,
        anyio.create_task_group() as tasks,
    ):

        async def serve(stream: SocketStream) -> None:
            async def find() -> Client:
                return CALM

            await server.serve(Frames(stream), find)

        beside = path.with_name("calm.sock")
        async with await anyio.create_unix_listener(beside) as listener:
            tasks.start_soon(listener.serve, serve)
            yield (
                server,
                RemoteBroker(UnixDial(path), TOOLS),
                RemoteBroker(UnixDial(beside), TOOLS),
            )
            tasks.cancel_scope.cancel()


async def test_calls_beyond_what_a_client_may_have_in_hand_are_refused(
    config: BrokerConfig,
) -> None:
    results: list[object] = []
    async with two_clients(config) as (server, flood, calm):

        async def call(session: Any, number: int) -> None:
            results.append(
                await flood.call(session, ToolCall("destroy", {"name": str(number)}))
            )

        async with (
            flood.session(user="alice", approval_mode="wait") as session,
            calm.session(user="alice") as other,
            anyio.create_task_group() as tasks,
        ):
            for number in range(40):  # each would wait for a person
                tasks.start_soon(call, session, number)
            with anyio.fail_after(60):
                while len(results) < 36:  # noqa: ASYNC110 - in tasks of their own
                    await anyio.sleep(0.01)
            assert {type(each) for each in results} == {Denial}
            assert {each.reasons[0].code for each in results} == {"service.overloaded"}
            assert server.load.refused == {"flood": 36}
            assert "has 4 calls in hand" in results[0].reasons[0].operator
            said = await calm.call(other, ToolCall("measure", {"text": "four"}))
            assert isinstance(said, Completed)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(60):
            while server.load.calls:  # noqa: ASYNC110 - as above
                await anyio.sleep(0.01)


async def test_sessions_beyond_what_a_client_may_open_are_refused(config: BrokerConfig) -> None:
    async with two_clients(config) as (server, flood, calm):
        async with flood.session(user="a"), flood.session(user="b"):
            with pytest.raises(ServiceError, match="has 3 sessions, 3 of the client"):
                async with flood.session(user="c"):
                    pass
            async with calm.session(user="a"):
                pass
        assert server.hindrance() is None


def test_all_together_have_a_bound_too() -> None:
    load = Load(3)
    with load.taken(FLOOD), load.taken(FLOOD):
        assert load.excess(CALM) is None
        with load.taken(CALM):
            assert load.is_full
            assert "3 calls are in hand" in str(load.excess(CALM))
        assert load.excess(CALM) is None
    assert (load.calls, load.refused) == (0, {"calm": 1})
