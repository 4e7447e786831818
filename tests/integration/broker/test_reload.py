"""Policies of a running broker change at once, for whole calls, and on record."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from permissions.approval.votes import sign_vote
from permissions.cli.trace_replay import replayed
from permissions.cli.trace_source import TraceSource
from permissions.errors import PolicyLoadError, StateError, TraceWriteError
from permissions.model import Completed, Denial
from permissions.pdp.bundle import load_bundle
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.pdp.opa_bundle import opa_bundle
from permissions.service.address import SOCKET
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.control import ask_reload
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout, log_signer
from permissions.signing.keys import memory_signer
from permissions.tools.call import ToolCall
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace
from wardline import Broker, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker
    from permissions.run.state import RunState

SIGNER = memory_signer(b"r" * 32)
OLGA = memory_signer(b"o" * 32)
GOES_ON = [anyio.Event()]


@tool(effect="read", impact="low")
async def look() -> str:
    """Looks."""
    return "seen"


@tool(effect="read", impact="low")
async def linger() -> str:
    """Looks until it is told to go on."""
    await GOES_ON[0].wait()
    return "seen"


ALLOW = 'allow contains "mine.all"\n'
DENY = """deny contains {
	"code": "mine.no", "agent": "No.", "operator": "closed", "nearest": null,
} if input.resource.id != "nothing"
"""
ASK = """require_approval contains {
	"code": "mine.ask", "agent": "Ask.", "operator": "", "nearest": null,
	"terms": {"approvers": ["operators"], "quorum": 1, "expires_in_seconds": 900, "separation_of_duties": true},
} if input.action.name == "tools/call"
"""


def write(folder: Path, rules: str) -> None:
    """The overlay as it is from here on."""
    (folder / "overlay" / "mine").mkdir(parents=True, exist_ok=True)
    text = f"package wardline.policies.mine\n\n{rules}"
    (folder / "overlay" / "mine" / "mine.rego").write_text(text)


@pytest.fixture(autouse=True)
def _anew(tmp_path: Path) -> None:
    GOES_ON[0] = anyio.Event()
    write(tmp_path, ALLOW)


def configured(folder: Path, **pdp: Any) -> BrokerConfig:
    return BrokerConfig(
        state=folder / "state",
        workspace=folder,
        pdp={"overlay": folder / "overlay", "hard_deadline_ms": 20_000, **pdp},
        approvers={"olga": {"groups": ("operators",), "public_key": str(OLGA.public)}},
    )


@asynccontextmanager
async def governed(config: BrokerConfig) -> AsyncIterator[tuple[PermissionBroker, RunState]]:
    async with (
        open_broker(config, [look, linger]) as broker,
        open_session(broker, user="kim", run="r") as session,
    ):
        yield broker, session


def configs(config: BrokerConfig) -> list[dict[str, Any]]:
    return [
        dict(each.body)
        for each in read_entries(config.state / "trace")
        if each.type == "config"
    ]


async def until(holds: Any) -> None:
    with anyio.fail_after(60):
        while not holds():  # noqa: ASYNC110 - no event from inside
            await anyio.sleep(0.01)


async def test_tightened_policies_hold_from_then_on(tmp_path: Path) -> None:
    config = configured(tmp_path)
    async with governed(config) as (broker, session):
        before = broker.parts
        assert isinstance(await broker.call(session, ToolCall("look", {})), Completed)
        write(tmp_path, ALLOW + DENY)

        done = await broker.reload_policies(by="olga")
        refused = await broker.call(session, ToolCall("look", {}))

        assert isinstance(refused, Denial)
        assert refused.code == "mine.no"
        assert (done.before, done.now) == (before.pdp.revision, broker.parts.pdp.revision)
        assert isinstance(before.pdp, EmbeddedPdp)
        await until(lambda: not before.pdp._living)  # type: ignore[attr-defined]
        again = await broker.reload_policies(by="olga")
        assert again.before == again.now == done.now

    first, second = configs(config)
    assert (second["before"], second["policy"], second["by"]) == (done.before, done.now, "olga")
    assert first["policy"] == done.before
    assert verified(config)
    summary, rows = await anyio.to_thread.run_sync(
        replayed, TraceSource(config.state, None), None
    )
    assert (summary.identical, rows) == (summary.decisions, [])


def verified(config: BrokerConfig) -> bool:
    layout = StateLayout(config.state)
    report = verify_trace(
        layout.trace,
        key=log_signer(config).public,
        vault=VaultReader(layout.trace, layout.vault_key()),
    )
    assert report.completeness.findings == ()
    return report.integrity.verdict == "signed"


BROKEN = {
    "no rego": ("allow contains if {", "rego.parse"),
    "another's package": ("package wardline.policies.other", "rego.parse"),
    "what no engine takes": ('deny contains "x" if http.send({})', "rego.banned_function"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", BROKEN)
async def test_policies_that_are_refused_change_nothing(tmp_path: Path, what: str) -> None:
    rules, code = BROKEN[what]
    config = configured(tmp_path)
    async with governed(config) as (broker, session):
        before = broker.parts
        write(tmp_path, rules)

        with pytest.raises(PolicyLoadError, match=code):
            await broker.reload_policies(by="olga")

        assert broker.parts is before
        assert isinstance(await broker.call(session, ToolCall("look", {})), Completed)
    last = configs(config)[-1]
    assert code in last["refused"]
    assert (last["policy"], last["by"]) == (before.pdp.revision, "olga")


@pytest.mark.slow
async def test_what_cannot_be_recorded_does_not_come_into_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with governed(configured(tmp_path)) as (broker, session):
        before = broker.parts
        write(tmp_path, ALLOW + DENY)

        async def full(*_: object, **__: object) -> None:
            raise TraceWriteError("no room")

        with monkeypatch.context() as patch:
            patch.setattr(broker.parts.trace, "append", full)
            with pytest.raises(TraceWriteError):
                await broker.reload_policies(by="olga")

        assert broker.parts is before
        assert isinstance(await broker.call(session, ToolCall("look", {})), Completed)


async def test_a_call_that_runs_ends_under_what_it_began_with(tmp_path: Path) -> None:
    config = configured(tmp_path)
    results: list[object] = []
    async with governed(config) as (broker, session):
        before = broker.parts

        async def call() -> None:
            results.append(await broker.call(session, ToolCall("linger", {})))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await until(lambda: session.calls == 1)
            write(tmp_path, ALLOW + DENY)
            await broker.reload_policies(by="olga")
            assert isinstance(before.pdp, EmbeddedPdp)
            assert before.pdp._living  # it may have more to ask
            GOES_ON[0].set()
        await until(lambda: not before.pdp._living)  # type: ignore[attr-defined]

    assert isinstance(results[0], Completed)


@pytest.mark.slow
async def test_an_approval_of_before_approves_nothing_now(tmp_path: Path) -> None:
    """The person saw what the old policies asked; the call is decided again, and denied."""
    config = configured(tmp_path)
    write(tmp_path, ALLOW + ASK)
    results: list[object] = []
    async with governed(config) as (broker, session):

        async def call() -> None:
            results.append(await broker.call(session, ToolCall("look", {})))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await until_asked(broker, 1)
            write(tmp_path, ALLOW + ASK + DENY)
            await broker.reload_policies(by="olga")
            await approve(broker, 0)

    (result,) = results
    assert isinstance(result, Denial)
    assert result.code == "mine.no"


@pytest.mark.slow
async def test_other_policies_ask_again(tmp_path: Path) -> None:
    config = configured(tmp_path)
    write(tmp_path, ALLOW + ASK)
    results: list[object] = []
    async with governed(config) as (broker, session):

        async def call() -> None:
            results.append(await broker.call(session, ToolCall("look", {})))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await until_asked(broker, 1)
            write(tmp_path, ALLOW + ASK + "\n# another revision\n")
            done = await broker.reload_policies(by="olga")
            await approve(broker, 0)
            await until_asked(broker, 2)
            assert not results
            await approve(broker, 1)

        asked = await broker.parts.approvals.listed(pending_only=False)
    assert isinstance(results[0], Completed)
    assert {each.call.policy_revision for each in asked} == {done.before, done.now}
    assert verified(config)


async def until_asked(broker: PermissionBroker, number: int) -> None:
    with anyio.fail_after(60):
        while len(await broker.parts.approvals.listed(pending_only=False)) < number:  # noqa: ASYNC110 - as above
            await anyio.sleep(0.01)


async def approve(broker: PermissionBroker, _: int) -> None:
    (asked,) = await broker.parts.approvals.listed(pending_only=True)
    vote = sign_vote(
        asked,
        approver="olga",
        verdict="approve",
        note="",
        now=broker.parts.clock(),
        signer=OLGA,
    )
    await broker.parts.approvals.vote(vote)


@pytest.mark.slow
async def test_each_call_is_decided_wholly_under_one_revision(tmp_path: Path) -> None:
    """Many callers at once, and policies that change under them: every call has its answer."""
    config = configured(tmp_path)
    answers: list[object] = []
    async with governed(config) as (broker, session):
        revisions = {broker.parts.pdp.revision}

        async def calls() -> None:
            while not over:
                answers.append(await broker.call(session, ToolCall("look", {})))

        over: list[bool] = []
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(calls)
            for number in range(4):
                write(tmp_path, ALLOW + (DENY if number % 2 == 0 else "") + f"# {number}\n")
                done = await broker.reload_policies(by="olga")
                revisions.add(done.now)
                seen = len(answers)
                await until(lambda seen=seen: len(answers) > seen + 8)
            over.append(True)

    kinds = {type(each).__name__ for each in answers}
    codes = {each.code for each in answers if isinstance(each, Denial)}
    assert (kinds, codes) == ({"Completed", "Denial"}, {"mine.no"})
    by_call: dict[str, list[tuple[str, bool]]] = {}
    in_force = ""
    for entry in read_entries(config.state / "trace"):
        if entry.type == "config":
            in_force = entry.body["policy"]
        elif entry.type == "decision":
            said = (entry.body.get("revision", in_force), entry.body.get("permitted", False))
            by_call.setdefault(entry.call or "", []).append(said)
        elif entry.type == "start":
            assert by_call[entry.call or ""][-1][1]
    assert {each[0] for said in by_call.values() for each in said} == revisions
    assert len(revisions) == 5
    summary, _ = await anyio.to_thread.run_sync(replayed, TraceSource(config.state, None), None)
    assert summary.identical == summary.decisions


async def test_whoever_owns_the_state_folder_may_ask(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with pytest.raises(StateError, match="no broker runs"):
        ask_reload(tmp_path)
    async with governed(config) as (broker, _):
        assert (config.state / SOCKET).stat().st_mode & 0o777 == 0o600
        write(tmp_path, ALLOW + DENY)
        before, now = await anyio.to_thread.run_sync(ask_reload, config.state)
        assert now == broker.parts.pdp.revision != before
        write(tmp_path, "nonsense")
        with pytest.raises(PolicyLoadError, match=r"mine/mine\.rego"):
            await anyio.to_thread.run_sync(ask_reload, config.state)
        assert broker.parts.pdp.revision == now
    assert f"uid {os.geteuid()}, pid {os.getpid()}" in configs(config)[1]["by"]
    with pytest.raises(StateError, match="no broker runs"):
        ask_reload(config.state)


@pytest.mark.slow
async def test_a_bundle_that_is_older_or_altered_is_refused(tmp_path: Path) -> None:
    archive, key = tmp_path / "policies.tar.gz", tmp_path / "key.pub"
    key.write_text(str(SIGNER.public))

    def release(sequence: int, rules: str) -> bytes:
        write(tmp_path, rules)
        bundle = load_bundle(overlay=tmp_path / "overlay")
        return opa_bundle(bundle, sequence=sequence, signer=SIGNER)

    seven, eight = release(7, ALLOW), release(8, ALLOW + DENY)
    pinned = {"policies": archive, "bundle_keys": [key], "refuse_older": True, "overlay": None}
    config = configured(tmp_path, **pinned)
    archive.write_bytes(seven)
    async with governed(config) as (broker, _):
        archive.write_bytes(eight)
        done = await broker.reload_policies(by="olga")
        for worse in (seven, eight[:-20], release(6, ALLOW)):
            archive.write_bytes(worse)
            with pytest.raises(PolicyLoadError):
                await broker.reload_policies(by="olga")
        assert broker.parts.pdp.revision == done.now
    refused = [each.get("refused") for each in configs(config)[2:]]
    assert refused == [["bundle.older"], ["bundle.archive"], ["bundle.older"]]


def test_a_program_without_a_loop(tmp_path: Path) -> None:
    """By its own call, and by a signal it asked to be told by."""
    config = configured(tmp_path)
    with Broker([look], config=config) as broker, broker.session(user="kim") as session:
        assert isinstance(broker.call(session, "look", {}), Completed)
        write(tmp_path, ALLOW + DENY)
        done = broker.reload_policies()
        assert isinstance(broker.call(session, "look", {}), Denial)
        assert done.before != done.now
        if threading.current_thread() is threading.main_thread():
            with broker.reload_on(signal.SIGHUP):
                write(tmp_path, ALLOW)
                os.kill(os.getpid(), signal.SIGHUP)
                for _ in range(600):
                    if isinstance(broker.call(session, "look", {}), Completed):
                        break
                    threading.Event().wait(0.1)
            assert isinstance(broker.call(session, "look", {}), Completed)
