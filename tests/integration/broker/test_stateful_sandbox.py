"""A tool that keeps its sandbox between the calls of one run, through the whole broker."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import boxed
import pytest
from backends import leftovers
from boxed import ask, forget, remember, remember_money, remember_too
from pools import kill, runners, until

from permissions.model import CallResult, Completed, Denial
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import log_signer
from permissions.tools.call import ToolCall
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.broker.broker import PermissionBroker
    from permissions.run.state import RunState

pytestmark = [pytest.mark.bwrap, pytest.mark.slow]

TOOLS = [remember, remember_too, forget, remember_money, ask]
LOST = ("unavailable", "execution.state_lost")


@pytest.fixture
def config(tmp_path: Path) -> Iterator[BrokerConfig]:
    yield settings(tmp_path)
    assert leftovers() == []


def settings(tmp_path: Path, **sandbox: Any) -> BrokerConfig:
    (tmp_path / "work").mkdir(exist_ok=True)
    return BrokerConfig.load(
        state=tmp_path / "state",
        workspace=tmp_path / "work",
        sandbox={"backends": ("bubblewrap",), "prewarmed": 0, **sandbox},
    )


async def called(
    broker: PermissionBroker,
    session: RunState,
    word: str,
    *,
    name: str = "remember",
    **key: str,
) -> Any:
    """The value of a call, or the kind and code of its denial."""
    return came_to(await broker.call(session, ToolCall(name, {"word": word}, **key)))


def came_to(result: CallResult) -> Any:
    if isinstance(result, Denial):
        return result.kind, result.code
    assert isinstance(result, Completed)
    return result.value


def recorded(config: BrokerConfig, kind: str) -> list[dict[str, Any]]:
    entries = read_entries(config.state / "trace")
    return [dict(entry.body) for entry in entries if entry.type == kind]


@pytest.mark.parametrize(
    "backend",
    [pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow]), "bubblewrap"],
)
async def test_calls_of_one_run_share_what_they_left_and_the_record_says_so(
    tmp_path: Path, backend: str
) -> None:
    """Beside a tool whose sandbox is used once, which never finds anything."""
    config = settings(tmp_path, backends=(backend,))
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="alice", run="r") as session,
    ):
        values = [await called(broker, session, word) for word in ("a", "b")]
        values += [await called(broker, session, word, name="forget") for word in ("c", "d")]
        assert "untrusted" in session.labels
    starts = [body["enforced"] for body in recorded(config, "start")]
    ends = [body["enforced"] for body in recorded(config, "outcome")]

    assert values == [["a"], ["a", "b"], ["c"], ["d"]]
    assert [each["stateful"] for each in starts] == [True, True, False, False]
    assert [each["stateful"] for each in ends] == [True, True, False, False]
    of_run = starts[0]["session"]
    assert [each["session"] for each in starts] == [of_run, of_run, None, None]
    assert [(each["session"], each["call"]) for each in ends[:2]] == [(of_run, 1), (of_run, 2)]
    report = verify_trace(config.state / "trace", key=log_signer(config).public)
    assert report.integrity.verdict == "signed"
    assert report.completeness.is_whole
    assert leftovers() == []


async def test_a_table_is_loaded_once_and_asked_twice(config: BrokerConfig) -> None:
    """The file goes in with the call that names it; an answer comes out with its own call."""
    (config.workspace / "table.csv").write_text("red\nblue\nred\n")
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="alice", prompt="table.csv answer.txt") as session,
    ):
        asked = (
            {"question": "red", "table": "table.csv"},
            {"question": "blue"},
            {"question": "e", "answer": "answer.txt"},
        )
        calls = [ToolCall("ask", arguments) for arguments in asked]
        values = [came_to(await broker.call(session, call)) for call in calls]

    assert values == [2, 1, 3]
    assert (config.workspace / "answer.txt").read_text() == "3"


@pytest.mark.slow
async def test_runs_at_once_never_share(config: BrokerConfig) -> None:
    """Four subjects, four runs, interleaved; nor do two tools of one run and module."""
    found: dict[str, list[Any]] = {}

    async with open_broker(config, TOOLS) as broker:

        async def one(user: str) -> None:
            async with open_session(broker, user=user) as session:
                for number in range(3):
                    value = await called(broker, session, f"{user}{number}")
                    other = await called(
                        broker, session, f"{user}{number}", name="remember_too"
                    )
                    found.setdefault(user, []).append((value, other))

        async with anyio.create_task_group() as group:
            for user in ("alice", "bob", "carol", "dave"):
                group.start_soon(one, user)

    for user, values in found.items():
        words = [f"{user}{number}" for number in range(3)]
        assert values == [(words[: n + 1], words[: n + 1]) for n in range(3)]
    assert len({body["enforced"]["session"] for body in recorded(config, "start")}) == 8


@pytest.mark.slow
async def test_a_closed_run_leaves_nothing_and_finds_nothing(config: BrokerConfig) -> None:
    """Not for the next run, and for its own next session a denial that says so, once."""
    async with open_broker(config, TOOLS) as broker:
        async with open_session(broker, user="alice", run="r") as session:
            assert await called(broker, session, "a") == ["a"]
        assert leftovers() == []
        async with open_session(broker, user="alice", run="other") as session:
            assert await called(broker, session, "b") == ["b"]
        async with open_session(broker, user="alice", run="r") as session:
            resumed = [await called(broker, session, word) for word in ("c", "d")]

    assert resumed == [LOST, ["d"]]


@pytest.mark.parametrize("process", ["runner", pytest.param("child", marks=pytest.mark.slow)])
async def test_one_killed_between_two_calls_is_told_once(
    config: BrokerConfig, process: str
) -> None:
    """Neither run in an empty sandbox unseen, nor denied for ever; nothing was started."""
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="alice") as session,
    ):
        await called(broker, session, "a")
        assert await anyio.to_thread.run_sync(kill, process)
        await until(lambda: not runners())
        after = [await called(broker, session, word) for word in ("b", "c", "d")]

    assert after == [LOST, ["c"], ["c", "d"]]
    assert len(recorded(config, "start")) == 3


@pytest.mark.parametrize(
    "end",
    ["leave", *(pytest.param(end, marks=pytest.mark.slow) for end in ("sleep", "cancelled"))],
)
async def test_a_call_that_ends_badly_takes_the_state_with_it(tmp_path: Path, end: str) -> None:
    """An exit, a timeout, a caller that gives up: the next call is told why."""
    seconds = {"sleep": 5}.get(end, 60)
    config = settings(tmp_path).model_copy(update={"call_deadline_seconds": seconds})
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="alice") as session,
    ):
        await called(broker, session, "a")
        if end == "cancelled":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(called, broker, session, "sleep")
                await until(lambda: len(recorded(config, "start")) == 2)
                await anyio.sleep(0.5)  # it is asleep by then; nothing says so
                tasks.cancel_scope.cancel()
        else:
            assert await called(broker, session, end) == ("denied", "execution.stopped")
        after = [await called(broker, session, word) for word in ("b", "c")]

    assert after == [LOST, ["c"]]
    assert leftovers() == []
    assert verify_trace(
        config.state / "trace", key=log_signer(config).public
    ).completeness.is_whole


@pytest.mark.slow
async def test_its_bounds_are_the_settings(tmp_path: Path) -> None:
    config = settings(tmp_path, session={"calls": 2})
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="alice") as session,
    ):
        values = [await called(broker, session, word) for word in "abcd"]

    assert values == [["a"], ["a", "b"], LOST, ["d"]]
    assert leftovers() == []


async def test_a_call_with_a_key_runs_once_and_its_replay_touches_nothing(
    config: BrokerConfig,
) -> None:
    """Also when the sandbox it ran in is gone by then; a lost one was never begun."""
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="alice") as session,
    ):
        first = await called(broker, session, "a", key="1")
        replayed = await called(broker, session, "a", key="1")
        second = await called(broker, session, "b", key="2")
        await anyio.to_thread.run_sync(kill, "runner")
        await until(lambda: not runners())
        again = await called(broker, session, "a", key="1")
        lost = await called(broker, session, "c", key="3")
        after = await called(broker, session, "c", key="3")

    assert (first, replayed, second) == (["a"], ["a"], ["a", "b"])
    assert (again, lost, after) == (["a"], LOST, ["c"])


async def test_policy_forbids_it_for_high_impact(config: BrokerConfig) -> None:
    """No approval is asked for: a person could not see what will run."""
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="alice") as session,
    ):
        refused = await called(broker, session, "a", name="remember_money")

    assert refused == ("denied", "isolation.stateful")
    assert recorded(config, "start") == []
    assert recorded(config, "request") == []


async def test_what_it_gives_is_untrusted(config: BrokerConfig) -> None:
    """Whatever it was given: an earlier call decides what it says."""
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="alice", prompt="nothing of it") as session,
    ):
        word = "a-value-from-inside"
        assert await called(broker, session, word, name="remember_too") == [word]
        found = session.provenance.trace({"to": word}, {"to"})

    assert found["/to"]["trusted"] is False
    assert "untrusted" in session.labels


OWNER = """
    import sys
    from pathlib import Path

    import anyio
    from boxed import remember

    from permissions.setup.factory import open_broker
    from permissions.setup.config import BrokerConfig
    from permissions.tools.call import ToolCall
    from permissions.sessions.open import open_session

    async def main():
        config = BrokerConfig.load(
            state=Path(sys.argv[1], "state"),
            workspace=Path(sys.argv[1], "work"),
            sandbox={"backends": ("bubblewrap",), "prewarmed": 0},
        )
        async with (
            open_broker(config, [remember]) as broker,
            open_session(broker, user="alice", run="r") as session,
        ):
            print((await broker.call(session, ToolCall("remember", {"word": "a"}))).value)
            sys.stdout.flush()
            await anyio.sleep_forever()

    anyio.run(main)
"""


@pytest.mark.slow
async def test_a_broker_killed_with_one_kept_leaves_nothing_and_the_run_is_told(
    config: BrokerConfig, tmp_path: Path
) -> None:
    """The sandbox dies with its owner; whoever goes on with the run learns of it first."""
    support = str(Path(boxed.__file__).parent)
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": support},
    )
    assert owner.stdout is not None
    with owner.stdout:
        assert await anyio.to_thread.run_sync(owner.stdout.readline) == b"['a']\n"
        owner.kill()
        owner.wait(20)

    async with (
        open_broker(config, TOOLS) as broker,
        open_session(broker, user="alice", run="r") as session,
    ):
        after = [await called(broker, session, word) for word in ("b", "c")]

    assert after == [LOST, ["c"]]
    assert leftovers(owner.pid) == []
    report = verify_trace(config.state / "trace", key=log_signer(config).public)
    assert report.integrity.verdict == "signed"
