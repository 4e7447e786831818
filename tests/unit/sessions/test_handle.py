"""The innermost ring: where calls may come from, and what a grant of an outer ring is good for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from permissions.broker.call import Admission, Earlier
from permissions.model import Completed, Denial
from permissions.sessions.handle import CurrentSession, at_once
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.signing.canonical import digest_of
from permissions.tools.call import ToolCall
from permissions.tools.context import CURRENT_SESSION, granting
from permissions.trace.reader import read_entries
from wardline import (
    Broker,
    CallDenied,
    NoSessionError,
    ToolFailedError,
    tool,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

RAN: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> None:
    RAN.clear()


@tool(effect="read", impact="low")
def note(text: str, times: int = 1) -> str:
    """Takes a note."""
    RAN.append(text)
    return text * times


@tool(effect="read", impact="low")
async def anote(text: str) -> str:
    """Takes a note."""
    RAN.append(text)
    return text


@tool(effect="write", impact="critical")
def wipe(name: str) -> str:
    """Needs two people; nobody is there to ask."""
    RAN.append(f"wipe {name}")
    return "wiped"


@tool(effect="read", impact="low")
def twice(text: str) -> str:
    """Calls another guarded tool, and then itself."""
    RAN.append(f"twice {text}")
    return note(text) + ("" if text == "inner" else twice("inner"))


@tool(effect="read", impact="low")
async def atwice(text: str) -> str:
    """Calls another guarded tool."""
    return await anote(text) + await anote(text)


@tool(effect="read", impact="low")
def fail(text: str) -> str:
    """Always raises."""
    RAN.append(text)
    raise LookupError(f"no {text}")


TOOLS = (note, anote, wipe, twice, atwice, fail)


def configured(folder: Path) -> BrokerConfig:
    (folder / "workspace").mkdir()
    return BrokerConfig.load(
        state=folder / "state", workspace=folder / "workspace", sandbox={"backends": ()}
    )


@asynccontextmanager
async def in_session(folder: Path) -> AsyncIterator[CurrentSession]:
    """A session of an async broker."""
    async with (
        open_broker(configured(folder), TOOLS) as broker,
        open_session(broker, user="alice", approval_mode="suspend"),
    ):
        yield current()


@contextmanager
def in_sync_session(folder: Path) -> Iterator[CurrentSession]:
    """A session of the broker for sync programs."""
    with (
        Broker(TOOLS, config=configured(folder)) as broker,
        broker.session(user="alice", approval_mode="suspend"),
    ):
        yield current()


def current() -> CurrentSession:
    handle = CURRENT_SESSION.get()
    assert isinstance(handle, CurrentSession)
    return handle


def admitted(handle: CurrentSession, name: str, /, **arguments: Any) -> Admission:
    decided = at_once(handle.admit(ToolCall(name, arguments), handle.in_thread))
    assert isinstance(decided, Admission), decided
    return decided


def entries(folder: Path, kind: str) -> list[str | None]:
    return [
        entry.call for entry in read_entries(folder / "state" / "trace") if entry.type == kind
    ]


# -- where calls may come from ------------------------------------------------------------


def test_without_a_session_nothing_runs() -> None:
    """One sentence says what to do."""
    with pytest.raises(NoSessionError, match="outside a broker session"):
        note("x")

    assert RAN == []


async def test_sync_tool_on_the_event_loop_is_refused(tmp_path: Path) -> None:
    """It would block the loop that decides about it; the sentence names the remedies."""
    async with in_session(tmp_path):
        with pytest.raises(NoSessionError, match="worker thread"):
            note("x")

    assert RAN == []


async def test_sync_tool_in_a_worker_thread_runs(tmp_path: Path) -> None:
    async with in_session(tmp_path):
        assert await anyio.to_thread.run_sync(note, "x") == "x"


async def test_thread_that_the_blocked_loop_waits_for_is_refused(tmp_path: Path) -> None:
    """Sync code on the loop waits for a thread whose tool waits for the loop: no hang."""
    async with in_session(tmp_path):
        thread_context = copy_context()
        with ThreadPoolExecutor() as pool:
            called = pool.submit(thread_context.run, note, "x")
            with pytest.raises(NoSessionError, match="event loop is blocked"):
                called.result()

    assert RAN == []


async def test_async_tool_runs_in_its_callers_task(tmp_path: Path) -> None:
    async with in_session(tmp_path):
        assert await anote("x") == "x"


def test_sync_tool_runs_in_its_callers_thread(tmp_path: Path) -> None:
    with in_sync_session(tmp_path):
        assert note("x", times=2) == "xx"


def test_async_tool_runs_on_another_loop_under_the_sync_broker(tmp_path: Path) -> None:
    """The caller's own loop runs the tool; the broker's only decides."""
    with in_sync_session(tmp_path):
        assert anyio.run(anote, "x") == "x"


def test_nested_tools_are_decided_and_recorded_each(tmp_path: Path) -> None:
    """A tool's own calls are calls, those of itself as well."""
    with in_sync_session(tmp_path):
        assert twice("outer") == "outerinner"

    assert RAN == ["twice outer", "outer", "twice inner", "inner"]
    assert len(set(entries(tmp_path, "start"))) == 4


async def test_nested_async_tools_are_decided_and_recorded_each(tmp_path: Path) -> None:
    async with in_session(tmp_path):
        assert await atwice("x") == "xx"

    assert len(set(entries(tmp_path, "start"))) == 3


def test_function_with_a_registered_tools_name_is_another_tool(tmp_path: Path) -> None:
    """Neither the outsider runs nor, in its place, the registered one."""

    @tool(name="note", effect="read", impact="low")
    def outsider(text: str, times: int = 1) -> str:
        RAN.append(f"outsider {text} {times}")
        return text

    with in_sync_session(tmp_path), pytest.raises(CallDenied) as refused:
        outsider("x")

    assert refused.value.denial.code == "call.changed"
    assert RAN == []


# -- grants -------------------------------------------------------------------------------


def test_grant_runs_the_decided_call_without_deciding_again(tmp_path: Path) -> None:
    with in_sync_session(tmp_path) as handle:
        admission = admitted(handle, "note", text="x")
        with granting(admission):
            assert note("x") == "x"

    assert isinstance(admission.result, Completed)
    assert entries(tmp_path, "start") == [admission.id]


async def test_grant_reaches_an_async_tool(tmp_path: Path) -> None:
    async with in_session(tmp_path) as handle:
        admission = await handle.admit(ToolCall("anote", {"text": "x"}), handle.in_task)
        assert isinstance(admission, Admission)
        with granting(admission):
            assert await anote("x") == "x"

    assert entries(tmp_path, "start") == [admission.id]


def test_grant_is_used_once(tmp_path: Path) -> None:
    """The second call of the same function is decided by itself."""
    with in_sync_session(tmp_path) as handle:
        admission = admitted(handle, "note", text="x")
        with granting(admission):
            note("x")
            note("x")

    first, second = entries(tmp_path, "start")
    assert first == admission.id
    assert second != admission.id


def test_grant_is_no_use_to_another_tool(tmp_path: Path) -> None:
    """And nothing runs under it any more: what was decided is not what reached a tool."""
    with (
        in_sync_session(tmp_path) as handle,
        granting(admitted(handle, "note", text="x")),
    ):
        with pytest.raises(CallDenied) as refused:
            wipe("x")
        with pytest.raises(CallDenied) as later:
            note("x")

    assert refused.value.denial.code == later.value.denial.code == "call.changed"
    assert RAN == []


def test_grant_is_no_use_with_other_arguments(tmp_path: Path) -> None:
    """Not even a second try with the right ones: the grant is gone."""
    with in_sync_session(tmp_path) as handle:
        admission = admitted(handle, "note", text="x")
        with granting(admission) as grant:
            with pytest.raises(CallDenied) as refused:
                note("y")
            left = grant.take()

    assert refused.value.denial.code == "call.changed"
    assert isinstance(admission.result, Denial)
    assert not left
    assert RAN == []


@pytest.mark.parametrize(
    "reached", [{"text": "x"}, {"text": "x", "times": 1}, {"times": "1", "text": "x"}]
)
def test_grant_fits_any_spelling_of_the_same_call(
    tmp_path: Path, reached: dict[str, Any]
) -> None:
    """Defaults and coercions make no difference between the rings."""
    with (
        in_sync_session(tmp_path) as handle,
        granting(admitted(handle, "note", text="x")),
    ):
        assert note(**reached) == "x"


def test_grant_of_an_earlier_result_gives_it_without_running(tmp_path: Path) -> None:
    with in_sync_session(tmp_path) as handle, granting(earlier(handle, text="x")):
        assert note("x") == "stored"

    assert RAN == []


@pytest.mark.parametrize(("reached", "text"), [(note, "y"), (wipe, "x")])
def test_an_earlier_result_is_given_for_no_other_call(
    reached: Any, text: str, tmp_path: Path
) -> None:
    with in_sync_session(tmp_path) as handle, granting(earlier(handle, text="x")):
        with pytest.raises(CallDenied) as refused:
            reached(text)

    assert refused.value.denial.code == "call.changed"
    assert RAN == []


def earlier(handle: CurrentSession, **arguments: Any) -> Earlier:
    definition = note.guard.definition
    return Earlier(
        Completed("call-0", "note", "stored", replayed=True),
        definition,
        digest_of(definition.validate(arguments).document),
    )


def test_racing_threads_use_a_grant_once(tmp_path: Path) -> None:
    """Of eight threads that inherit one grant, one runs by it; the others ask anew."""
    with in_sync_session(tmp_path) as handle:
        admission = admitted(handle, "note", text="x")
        gate = threading.Barrier(8)

        def run() -> None:
            gate.wait()
            note("x")

        with granting(admission):
            threads = [
                threading.Thread(target=copy_context().run, args=[run]) for _ in "12345678"
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    started = entries(tmp_path, "start")
    assert len(set(started)) == len(started) == 8
    assert started.count(admission.id) == 1


def test_parallel_threads_each_find_their_own_grant(tmp_path: Path) -> None:
    """Grants of calls with different arguments never meet."""
    with in_sync_session(tmp_path) as handle:
        gate = threading.Barrier(4)

        def run(text: str) -> None:
            admission = admitted(handle, "note", text=text)
            with granting(admission):
                gate.wait()
                assert note(text) == text
            assert isinstance(admission.result, Completed)

        threads = [
            threading.Thread(target=copy_context().run, args=[run, text]) for text in "abcd"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(RAN) == ["a", "b", "c", "d"]
    assert len(entries(tmp_path, "start")) == 4


async def test_parallel_tasks_each_find_their_own_grant(tmp_path: Path) -> None:
    """Each task has a context of its own, however they take turns."""
    results = {}

    async def run(handle: CurrentSession, text: str) -> None:
        admission = await handle.admit(ToolCall("anote", {"text": text}), handle.in_task)
        assert isinstance(admission, Admission)
        with granting(admission):
            await anyio.lowlevel.checkpoint()
            results[text] = await anote(text)
        assert isinstance(admission.result, Completed)

    async with in_session(tmp_path) as handle, anyio.create_task_group() as group:
        for text in "abcd":
            group.start_soon(run, handle, text)

    assert results == {text: text for text in "abcd"}
    assert len(entries(tmp_path, "start")) == 4


# -- what an outer ring can rely on ---------------------------------------------------------


def test_withdrawn_call_is_recorded_as_not_run_and_stays_so(tmp_path: Path) -> None:
    """Asking again by the same key admits nothing."""
    with in_sync_session(tmp_path) as handle:
        call = ToolCall("note", {"text": "x"}, key="k")
        admission = at_once(handle.admit(call, handle.in_thread))
        assert isinstance(admission, Admission)
        withdrawn = at_once(handle.withdraw(admission, handle.in_thread))
        again = at_once(handle.admit(call, handle.in_thread))

    assert isinstance(withdrawn, Denial)
    assert isinstance(again, Denial)
    assert again.code == withdrawn.code == "call.changed"
    assert entries(tmp_path, "outcome") == [admission.id]
    assert RAN == []


def test_failure_of_an_earlier_run_reaches_the_caller_again(tmp_path: Path) -> None:
    """A tool that raised is not run again under the same key, and says what it said."""
    with in_sync_session(tmp_path) as handle:
        call = ToolCall("fail", {"text": "x"}, key="k")
        admission = at_once(handle.admit(call, handle.in_thread))
        assert isinstance(admission, Admission)
        with granting(admission), pytest.raises(LookupError):
            fail("x")

        with pytest.raises(ToolFailedError, match="LookupError: no x"):
            at_once(handle.admit(call, handle.in_thread))

    assert RAN == ["x"]
