"""What holds for a broker in this process holds for one behind a socket."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from authority import Authority
from people import first_pending
from serving import TOOLS, Found, destroy, fail, measure, measure_soon, process

from permissions.broker.ports import now_us
from permissions.model import Completed, Denial
from permissions.service.server import listening
from permissions.sessions.open import open_session
from permissions.setup.clients import clients_of
from permissions.setup.config import BrokerConfig, ClientConfig, ServiceConfig
from permissions.setup.daemon import socket_of, tcp_interface, tokens_of
from permissions.setup.factory import open_broker
from permissions.setup.layout import log_signer
from permissions.testing import Person
from permissions.tools.call import ToolCall
from permissions.tools.denied import CallDenied
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker

OLGA = Person("olga")


@pytest.fixture
def config(tmp_path: Path) -> BrokerConfig:
    """A broker of its own, with one approver and no sandbox."""
    (tmp_path / "work").mkdir()
    (tmp_path / "wardline.toml").write_text(
        f'state = "{tmp_path}/state"\nworkspace = "{tmp_path}/work"\n'
        f'[approvers.olga]\ngroups = ["operators"]\npublic_key = "{OLGA.signer.public}"\n'
        "[sandbox]\nbackends = []\n"
    )
    return BrokerConfig.load(tmp_path / "wardline.toml")


@pytest.fixture(
    params=[
        "here",
        "daemon",
        pytest.param("token", marks=pytest.mark.slow),
        pytest.param("certificate", marks=pytest.mark.slow),
    ]
)
def opened(
    request: pytest.FixtureRequest, config: BrokerConfig, tmp_path: Path
) -> Callable[[], AbstractAsyncContextManager[tuple[Any, PermissionBroker]]]:
    """The broker a program has, and the one that decides."""

    @asynccontextmanager
    async def here() -> AsyncIterator[tuple[Any, PermissionBroker]]:
        async with open_broker(config, TOOLS) as broker:
            yield broker, broker

    @asynccontextmanager
    async def daemon() -> AsyncIterator[tuple[Any, PermissionBroker]]:
        path = socket_of(config)
        async with (
            open_broker(config, TOOLS, mode="daemon") as broker,
            listening(broker, path, clients_of(config)),
            open_broker(BrokerConfig(broker=f"unix:{path}"), TOOLS) as remote,
        ):
            yield remote, broker

    @asynccontextmanager
    async def network() -> AsyncIterator[tuple[Any, PermissionBroker]]:
        authority = Authority(tmp_path)
        own, theirs = authority.issue("localhost"), authority.issue("desk.example")
        service = ServiceConfig(
            tcp="127.0.0.1:0",
            tls_certificate=own.certificate,
            tls_key=own.key,
            client_ca=authority.certificate,
            clients={
                "desk": ClientConfig(
                    certificate="desk.example", users=("alice",), workspaces=(tmp_path,)
                )
            },
        )
        settings = config.model_copy(update={"service": service})
        async with (
            open_broker(settings, TOOLS, mode="daemon") as broker,
            tokens_of(settings) as tokens,
            listening(broker, socket_of(settings), clients_of(settings)) as server,
            tcp_interface(settings, server, tokens) as address,
        ):
            assert address is not None
            given: dict[str, Any] = {"ca": authority.certificate}
            if request.param == "token":
                now = now_us()
                _, given["token"] = await tokens.create("desk", now=now, expires=now + 10**12)
            else:
                given |= theirs._asdict()
            there = BrokerConfig(
                broker=address.replace("127.0.0.1", "localhost"), connection=given
            )
            async with open_broker(there, TOOLS) as remote:
                yield remote, broker

    return {"here": here, "daemon": daemon}.get(request.param, network)


async def test_a_call_comes_out_alike(opened: Any, config: BrokerConfig) -> None:
    async with opened() as (broker, _), open_session(broker, user="alice") as session:
        ran = await broker.call(session, ToolCall("measure", {"text": "abc"}))
        awaited = await measure_soon("four")
        in_thread = await anyio.to_thread.run_sync(measure, "abc")
        unfit = await broker.call(session, ToolCall("measure", {"text": 5}))
        odd = await broker.call(session, ToolCall("measure", {"text": object()}))
        unknown = await broker.call(session, ToolCall("format_disk", {}))

    assert isinstance(ran, Completed)
    assert ran.value == in_thread == Found("abc", 3)
    assert awaited == 4
    assert [each.code for each in (unfit, odd, unknown)] == [
        "arguments.invalid",
        "arguments.invalid",
        "tool.unregistered",
    ]
    outcomes = [
        entry.type for entry in read_entries(config.state / "trace") if entry.call is not None
    ]
    assert outcomes.count("outcome") == 3
    assert outcomes.count("denied") == 3
    report = verify_trace(config.state / "trace", key=log_signer(config).public)
    assert report.completeness.is_whole, report.completeness


async def test_an_exception_of_the_tool_is_its_callers(opened: Any) -> None:
    async with opened() as (broker, _), open_session(broker, user="alice"):
        with pytest.raises(LookupError, match="there is no such thing"):
            await anyio.to_thread.run_sync(fail, "there is no such thing")


async def test_a_tool_without_a_sandbox_runs_in_its_callers_process(opened: Any) -> None:
    import os

    async with opened() as (broker, _), open_session(broker, user="alice"):
        assert await anyio.to_thread.run_sync(process) == os.getpid()


async def test_a_keyed_call_runs_once(opened: Any) -> None:
    async with opened() as (broker, _), open_session(broker, user="alice", run="r") as session:
        call = ToolCall("measure", {"text": "abc"}, key="once")
        first = await broker.call(session, call)
        again = await broker.call(session, call)
    async with opened() as (broker, _), open_session(broker, user="alice", run="r") as session:
        later = await broker.call(session, call)

    for result in (first, again, later):
        assert isinstance(result, Completed)
        assert result.value == Found("abc", 3)
    assert (first.replayed, again.replayed, later.replayed) == (False, True, True)


async def test_a_person_is_asked_and_asked_once(opened: Any) -> None:
    call = ToolCall("destroy", {"name": "the disk"})
    async with (
        opened() as (broker, core),
        open_session(broker, user="alice", approval_mode="suspend") as session,
    ):
        pending = await broker.call(session, call)
        asked = await first_pending(core.parts.approvals)
        await OLGA.answer(core, asked.id)
        ran = await broker.call(session, call)
        once_more = await broker.call(session, call)

    assert isinstance(pending, Denial)
    assert (pending.kind, pending.access_request) == ("pending", asked.id)
    assert isinstance(ran, Completed)
    assert isinstance(once_more, Denial)
    assert once_more.access_request != asked.id


async def test_what_runs_is_what_a_person_made_of_the_call(opened: Any) -> None:
    """Edited, asked about again, approved; the call is found by what was asked for first."""
    call = ToolCall("destroy", {"name": "the disk"}, key="k")
    async with (
        opened() as (broker, core),
        open_session(broker, user="alice", approval_mode="suspend") as session,
    ):
        await broker.call(session, call)
        asked = await first_pending(core.parts.approvals)
        await OLGA.answer(
            core, asked.id, "edit", arguments={"name": "the copy"}, note="not all"
        )
        waits = await broker.call(session, call)
        edited = await first_pending(core.parts.approvals)
        await OLGA.answer(core, edited.id)
        ran = await broker.call(session, call)
        again = await broker.call(session, call)

    assert isinstance(waits, Denial)
    assert (waits.kind, waits.access_request) == ("pending", edited.id)
    assert edited.call.arguments == '{"name":"the copy"}'
    for result in (ran, again):
        assert isinstance(result, Completed)
        assert result.value == "the copy is gone"


async def test_a_decorated_function_runs_as_it_was_edited(opened: Any) -> None:
    async with (
        opened() as (broker, core),
        open_session(broker, user="alice", approval_mode="suspend"),
    ):

        async def once() -> str:
            return await anyio.to_thread.run_sync(destroy, "the disk")

        with pytest.raises(CallDenied):
            await once()
        asked = await first_pending(core.parts.approvals)
        await OLGA.answer(core, asked.id, "edit", arguments={"name": "the copy"})
        with pytest.raises(CallDenied):
            await once()
        await OLGA.answer(core, (await first_pending(core.parts.approvals)).id)
        assert await once() == "the copy is gone"


async def test_the_words_of_a_no_reach_the_caller(opened: Any) -> None:
    call = ToolCall("destroy", {"name": "the disk"})
    async with (
        opened() as (broker, core),
        open_session(broker, user="alice", approval_mode="suspend") as session,
    ):
        await broker.call(session, call)
        asked = await first_pending(core.parts.approvals)
        await OLGA.answer(core, asked.id, "deny", note="use the copy")
        said = await broker.call(session, call)

    assert isinstance(said, Denial)
    assert said.code == "approval.denied"
    assert "use the copy" in said.reasons[0].agent


async def test_a_caller_that_gives_up_is_recorded(opened: Any, config: BrokerConfig) -> None:
    call = ToolCall("destroy", {"name": "the disk"})
    async with (
        opened() as (broker, core),
        open_session(broker, user="alice", approval_mode="wait") as session,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(broker.call, session, call)
        await first_pending(core.parts.approvals)
        tasks.cancel_scope.cancel()

    codes = [
        code
        for entry in read_entries(config.state / "trace")
        for code in entry.body.get("codes", ())
    ]
    assert codes == ["call.cancelled"]


async def test_explain_runs_and_records_nothing(opened: Any, config: BrokerConfig) -> None:
    async with opened() as (broker, _), open_session(broker, user="alice") as session:
        explained = await broker.explain(session, ToolCall("destroy", {"name": "x"}))
        with pytest.raises(CallDenied):
            await anyio.to_thread.run_sync(measure, 5)

    assert explained.verdict == "ask"
    assert explained.approvers
    assert [
        entry.type for entry in read_entries(config.state / "trace") if entry.call is not None
    ] == ["intent", "denied"]


async def test_fifty_at_once(opened: Any) -> None:
    found: dict[int, Any] = {}

    async def one(broker: Any, session: Any, number: int) -> None:
        found[number] = await broker.call(session, ToolCall("measure", {"text": "x" * number}))

    async with opened() as (broker, _), open_session(broker, user="alice") as session:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(one, broker, session, number)

    assert {number: result.value.size for number, result in found.items()} == {
        number: number for number in range(50)
    }
