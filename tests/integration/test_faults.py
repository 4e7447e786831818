"""Bad input and faults under a real broker: the stated outcome of each, end to end.

A fault is a denial with a reason, it is recorded, nothing runs twice and nothing is lost. The
broker killed at each of its steps is in tests/attacks/broker.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import anyio.lowlevel
import pytest
from backends import leftovers
from boxed import linger
from disks import disk_of
from opa_server import opa_server
from people import first_pending
from relay import Relay

from permissions.approval.votes import sign_vote
from permissions.broker.ports import now_us
from permissions.errors import (
    ApproverRefusedError,
    ConfigError,
    PolicyLoadError,
    RequestClosedError,
    TraceWriteError,
)
from permissions.model import Completed, Denial
from permissions.pdp.bundle import load_bundle
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.sessions.open import open_session
from permissions.setup.config import ApproverConfig, BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import log_signer
from permissions.testing import Person
from permissions.tools.call import ToolCall
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace
from sandbox.backends.docker.engine import DEFAULT_SOCKET
from wardline import PathArg, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from permissions.broker.broker import PermissionBroker
    from permissions.model import CallResult
    from permissions.run.state import RunState
    from permissions.trace.report import Report

RAN: list[str] = []
PEOPLE = (Person("olga"), Person("otto"))


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> None:
    RAN.clear()


@tool(effect="read", impact="low", output="trusted")
async def look(path: Annotated[str, PathArg("read")]) -> str:
    """Reads nothing, and notes that it ran."""
    RAN.append(Path(path).name)
    return "seen"


@tool(effect="irreversible", impact="high", output="trusted")
async def erase(path: Annotated[str, PathArg("write")]) -> str:
    """Erases nothing, and notes that it ran."""
    RAN.append(Path(path).name)
    return "erased"


LOOK = ToolCall("look", {"path": "notes.txt"})
ERASE = ToolCall("erase", {"path": "notes.txt"}, key="erase it")


def configured(folder: Path, **settings: Any) -> BrokerConfig:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return BrokerConfig.load(
        **{
            "state": folder / "state",
            "workspace": work,
            "sandbox": {"backends": ()},
            "approvers": {
                person.name: ApproverConfig(
                    groups=person.groups, public_key=str(person.signer.public)
                )
                for person in PEOPLE
            },
            **settings,
        }
    )


@asynccontextmanager
async def governed(
    config: BrokerConfig, **options: Any
) -> AsyncIterator[tuple[PermissionBroker, RunState]]:
    chosen = {
        "user": "alice",
        "agent": "bot",
        "prompt": "look at notes.txt, then erase notes.txt or other.txt",
        "approval_mode": "suspend",
        **options,
    }
    async with (
        open_broker(config, [look, erase, linger]) as broker,
        open_session(broker, **chosen) as session,
    ):
        yield broker, session


def verified(config: BrokerConfig) -> Report:
    """What the log says of itself: signed, and every call in it has an end."""
    report = verify_trace(config.state / "trace", key=log_signer(config).public)
    assert report.integrity.verdict == "signed", report.integrity
    assert report.completeness.findings == ()
    assert report.completeness.open_calls == ()
    return report


def recorded(config: BrokerConfig, result: CallResult) -> list[str]:
    return [e.type for e in read_entries(config.state / "trace") if e.call == result.call]


async def vote(
    broker: PermissionBroker, result: CallResult, person: Person = PEOPLE[0]
) -> None:
    assert isinstance(result, Denial)
    assert result.access_request is not None, result
    await person.answer(broker, result.access_request)


# -- what a caller gets wrong ---------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    id: str
    call: ToolCall
    code: str


BAD_INPUT = [
    Case("unknown tool", ToolCall("format_disk", {}), "tool.unregistered"),
    Case("missing argument", ToolCall("look", {}), "arguments.invalid"),
    Case(
        "unknown argument", ToolCall("look", {"path": "a", "as": "root"}), "arguments.invalid"
    ),
    Case("wrong type", ToolCall("look", {"path": {"a": 1}}), "arguments.invalid"),
    Case("not an object", ToolCall("look", "a"), "arguments.invalid"),  # type: ignore[arg-type]
    Case("nul in a path", ToolCall("look", {"path": "a\0b"}), "arguments.invalid"),
    Case("outside", ToolCall("look", {"path": "../../etc/passwd"}), "filesystem.outside"),
]


async def test_malformed_arguments_and_unknown_tools_are_recorded_denials(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path)
    async with governed(config) as (broker, session):
        results = [await broker.call(session, case.call) for case in BAD_INPUT]
        good = await broker.call(session, LOOK)

    verified(config)
    assert [r.code for r in results if isinstance(r, Denial)] == [c.code for c in BAD_INPUT]
    assert all(recorded(config, result)[-1] == "denied" for result in results)
    assert isinstance(good, Completed)
    assert RAN == ["notes.txt"]


# -- policies -------------------------------------------------------------------------------


def overlaid(folder: Path, path: str, text: str) -> dict[str, Any]:
    entry = folder / "overlay" / path
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_text(text)
    return {"overlay": folder / "overlay"}


@tool(effect="execute", sandbox="process", profile="huge")
def crunch() -> None:
    """Never runs."""


async def test_a_tool_with_a_profile_there_is_not_does_not_open(tmp_path: Path) -> None:
    """A typing error is found at the start, before anything is made, and not by a call."""
    config = configured(tmp_path, sandbox={"backends": (), "profiles": {"web": {}}})

    with pytest.raises(ConfigError, match=r"'crunch' asks for .* 'huge', .* describe web: add"):
        async with open_broker(config, [crunch]):
            pytest.fail("it opened")

    assert not (tmp_path / "state").exists()


async def test_a_policy_that_does_not_parse_stops_the_opening_and_says_where(
    tmp_path: Path,
) -> None:
    broken = "package wardline.policies.mine\n\nimport rego.v1\n\nallow contains if {\n"
    config = configured(tmp_path, pdp=overlaid(tmp_path, "mine/mine.rego", broken))

    with pytest.raises(PolicyLoadError) as caught:
        async with open_broker(config, [look]):
            pytest.fail("it opened")

    assert caught.value.findings[0].startswith("mine/mine.rego:5:")
    async with governed(configured(tmp_path)) as (broker, session):  # nothing is left held
        assert isinstance(await broker.call(session, LOOK), Completed)


SILENT = """package wardline.main

import rego.v1

response := {
	"decision": false,
	"context": {"reasons": [], "obligations": [], "access_request": null, "rules": []},
} if input.resource.id == "another"
"""


async def test_a_policy_without_an_answer_is_a_denial(tmp_path: Path) -> None:
    (tmp_path / "policies" / "main").mkdir(parents=True)
    (tmp_path / "policies" / "main" / "main.rego").write_text(SILENT)
    config = configured(tmp_path, pdp={"policies": tmp_path / "policies"})

    async with governed(config) as (broker, session):
        result = await broker.call(session, LOOK)

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("denied", "policy.undefined")
    assert recorded(config, result) == ["intent", "denied"]
    assert RAN == []
    verified(config)


async def test_evaluators_killed_in_mid_question_deny_that_call_and_no_other(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path)
    results: list[CallResult] = []
    async with governed(config) as (broker, session):
        pdp = broker.parts.pdp
        assert isinstance(pdp, EmbeddedPdp)
        with anyio.fail_after(40):
            while len(pdp._living) < 2:  # noqa: ASYNC110 - no event from inside
                await anyio.sleep(0.005)
        both = list(pdp._living)
        for each in both:
            os.kill(each.pid, signal.SIGSTOP)  # so that the question is in it when it dies

        async def ask() -> None:
            results.append(await broker.call(session, LOOK))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            for each in both:  # a question whose evaluator was killed has one more try
                with anyio.fail_after(40):
                    while not each.waiting:  # noqa: ASYNC110 - no event from inside
                        await anyio.sleep(0.001)
                os.kill(each.pid, signal.SIGKILL)
        after = await broker.call(session, LOOK)

    (result,) = results
    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("unavailable", "policy.unavailable")
    assert recorded(config, result) == ["intent", "denied"]
    assert isinstance(after, Completed)
    assert RAN == ["notes.txt"]
    verified(config)


@pytest.mark.opa
@pytest.mark.slow  # it waits for a deadline that an opening on a busy machine keeps
async def test_an_opa_that_is_down_or_slow_denies_and_its_return_is_noticed(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(opa_server(load_bundle()))
        async with anyio.create_task_group() as tasks:
            relay = Relay(tasks, 0, int(url.rsplit(":", 1)[1]))
            await relay.open()
            settings = {
                "engine": "opa",
                "opa_url": f"http://127.0.0.1:{relay.near}",
                "opa_deadline_ms": 20_000,
            }
            config = configured(tmp_path, pdp=settings)
            async with governed(config) as (broker, session):
                up = await broker.call(session, LOOK)
                relay.cut()
                down = await broker.call(session, LOOK)
                await relay.open()
                again = await broker.call(session, LOOK)
            slowly = configured(tmp_path, pdp={**settings, "opa_deadline_ms": 15_000})
            async with governed(slowly) as (broker, session):
                relay.hold()
                slow = await broker.call(session, LOOK)
            tasks.cancel_scope.cancel()

    assert isinstance(up, Completed)
    assert isinstance(again, Completed)
    assert isinstance(down, Denial)
    assert isinstance(slow, Denial)
    assert (down.kind, down.code) == ("unavailable", "policy.unavailable")
    assert (slow.kind, slow.code) == ("unavailable", "policy.timeout")
    assert recorded(config, down) == recorded(config, slow) == ["intent", "denied"]
    assert RAN == ["notes.txt"] * 2
    verified(config)


# -- the record -----------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk_of(8, tmp_path / "disk") as disk:
        yield disk


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


async def test_a_full_disk_at_the_trace_runs_nothing(small_disk: Path) -> None:
    """What was recorded before stays whole, and the work goes on once there is room."""
    config = configured(small_disk)
    before: list[CallResult] = []
    refused: list[CallResult] = []

    async def work() -> None:
        async with governed(config) as (broker, session):
            fill(small_disk)
            while not isinstance(result := await broker.call(session, LOOK), Denial):
                before.append(result)
            refused.append(result)
            refused.append(await broker.call(session, LOOK))

    # The end of the run is lost. Which file found no room first, a segment or the state file
    # that keeps how far the log goes, depends on what was left in the last block of each.
    with pytest.raises(TraceWriteError, match=r"No space left|disk is full"):
        await work()

    first, second = [each for each in refused if isinstance(each, Denial)]
    assert before
    assert first.kind == second.kind == "unavailable"
    assert first.code in ("trace.unavailable", "result.withheld")  # at the start, or the end
    assert second.code == "trace.unavailable"
    assert len(RAN) == len(before) + (first.code == "result.withheld")
    assert verify_trace(config.state / "trace").is_intact

    (small_disk / "filler").unlink()
    async with governed(config) as (broker, session):
        after = await broker.call(session, LOOK)
    assert isinstance(after, Completed)
    assert {recorded(config, result)[-1] for result in (before[-1], after)} == {"outcome"}


LIMITED = """
import json, resource, sys, anyio
from pathlib import Path
from test_faults_limited import configured, governed, LOOK, RAN
from permissions.errors import TraceWriteError
from permissions.model import Denial

async def main(folder):
    config = configured(folder)
    ended = "quietly"
    try:
        async with governed(config) as (broker, session):
            await broker.call(session, LOOK)
            size = max(f.stat().st_size for f in (folder / "state").rglob("*") if f.is_file())
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 60_000, size + 60_000))
            completed, denied = 1, []
            while len(denied) < 2:
                result = await broker.call(session, LOOK)
                if isinstance(result, Denial):
                    denied.append([result.kind, result.code])
                else:
                    completed += 1
    except TraceWriteError:
        ended = "loudly"
    print(json.dumps([completed, len(RAN), denied, ended]))

anyio.run(main, Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_trace_that_may_not_grow_runs_nothing(tmp_path: Path) -> None:
    """The same as a full disk, without being root: in a process whose files are limited."""
    (tmp_path / "test_faults_limited.py").symlink_to(__file__)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        check=False,
        text=True,
        timeout=150,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )

    assert done.returncode == 0, done.stderr
    completed, ran, refused, ended = json.loads(done.stdout)
    config = configured(tmp_path)
    entries = [entry.type for entry in read_entries(config.state / "trace")]
    assert ["unavailable", "trace.unavailable"] in refused
    assert (len(refused), ended) == (2, "loudly")
    assert ran in (completed, completed + 1)  # the last one may run and lose its result
    assert entries.count("outcome") == completed
    assert verify_trace(config.state / "trace").is_intact


# -- the sandbox ----------------------------------------------------------------------------


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(40):
        while not await condition():  # noqa: ASYNC110 - the engine has nothing to wait on
            await anyio.sleep(0.05)


@pytest.mark.docker
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_docker_daemon_that_goes_in_mid_call_is_a_recorded_denial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is unknown, so asking again runs nothing; nothing is left on the machine."""
    path = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    config = configured(tmp_path, sandbox={"backends": ("docker",)})
    results: list[CallResult] = []
    call = ToolCall("linger", {"seconds": 50}, key="linger")

    async with anyio.create_task_group() as tasks:
        relay = Relay(tasks, path, Path(DEFAULT_SOCKET.removeprefix("unix://")))
        await relay.open()
        async with governed(config) as (broker, session):

            async def run() -> None:
                results.append(await broker.call(session, call))

            async def running() -> bool:
                found = await anyio.to_thread.run_sync(leftovers)
                return any("running" in left for left in found)

            async with anyio.create_task_group() as calling:
                calling.start_soon(run)
                await until(running)
                relay.cut()
            again = await broker.call(session, call)
            await relay.open()
        relay.cut()
    monkeypatch.delenv("DOCKER_HOST")
    gc.collect()  # the SDK leaves a socket open when nobody answers: not in the next test

    (result,) = results
    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("unavailable", "execution.provider_failed")
    assert recorded(config, result)[-2:] == ["start", "outcome"]
    assert isinstance(again, Denial)
    assert recorded(config, again) == []
    assert await anyio.to_thread.run_sync(leftovers) == []
    verified(config)


# -- people ---------------------------------------------------------------------------------


async def test_an_approval_does_not_hold_for_changed_arguments(tmp_path: Path) -> None:
    config = configured(tmp_path)
    changed = ToolCall("erase", {"path": "other.txt"}, key=ERASE.key)
    async with governed(config) as (broker, session):
        await vote(broker, await broker.call(session, ERASE))
        other = await broker.call(session, changed)
        same = await broker.call(session, ERASE)

    assert isinstance(other, Denial)
    assert (other.kind, other.code) == ("pending", "approval.pending")
    assert isinstance(same, Completed)
    assert RAN == ["notes.txt"]
    verified(config)


async def test_two_approvers_at_once_make_one_approval_and_one_run(tmp_path: Path) -> None:
    """One answer decides; the other is told that it came too late."""
    config = configured(tmp_path)
    refused: list[Exception] = []
    results: list[CallResult] = []
    async with governed(config, approval_mode="wait") as (broker, session):
        approvals = broker.parts.approvals

        async def ask() -> None:
            results.append(await broker.call(session, ERASE))

        async def answer(person: Person) -> None:
            signed = sign_vote(
                held, approver=person.name, verdict="approve", note="", now=now_us(),
                signer=person.signer,
            )  # fmt: skip
            try:
                await approvals.vote(signed)
            except (RequestClosedError, ApproverRefusedError) as err:
                refused.append(err)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            held = await first_pending(approvals)
            for person in PEOPLE:
                tasks.start_soon(answer, person)
        final = await approvals.get(held.id)

    assert [type(err) for err in refused] == [RequestClosedError]
    assert isinstance(results[0], Completed)
    assert len(final.votes) == 1
    assert final.consumed_at is not None
    assert RAN == ["notes.txt"]
    verified(config)


async def test_fifty_calls_at_once_keep_the_budget_and_the_record(tmp_path: Path) -> None:
    config = configured(tmp_path)
    results: list[CallResult] = []
    async with governed(config, budgets={"calls": 20}) as (broker, session):

        async def one(number: int) -> None:
            call = ToolCall("look", {"path": f"note-{number}.txt"})
            results.append(await broker.call(session, call))

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(one, number)
        used = await broker.parts.budgets.used(session.run)

    codes = [result.code for result in results if isinstance(result, Denial)]
    assert len(results) == 50
    assert len(RAN) == len(set(RAN)) == 20
    assert used == {"calls": 20}
    assert len(codes) == 30
    assert set(codes) <= {"budgets.spent", "budget.exhausted"}  # policy saw it, or the ledger
    assert all(recorded(config, result)[-1] in ("denied", "outcome") for result in results)
    verified(config)
