"""Calls of coding agents, decided by a real daemon over its socket, and what is on record then."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from permissions.coding import thin
from permissions.coding.calls import AgentCall, Call, call_of
from permissions.coding.tools import TOOLS
from permissions.service.server import listening
from permissions.setup.clients import clients_of
from permissions.setup.daemon import socket_of
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout, vault_key
from permissions.testing import Person
from permissions.trace.history import history_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker
    from permissions.coding.verdict import Verdict
    from permissions.setup.config import BrokerConfig

RUN = "claude-code-s1"
OPENING = {"user": "alice", "agent": "claude-code", "run": RUN, "approval_mode": "suspend"}


@asynccontextmanager
async def serving(config: BrokerConfig) -> AsyncIterator[PermissionBroker]:
    async with (
        open_broker(config, TOOLS, mode="daemon") as broker,
        listening(broker, socket_of(config), clients_of(config)),
    ):
        yield broker


async def ask(
    config: BrokerConfig, call: Call, *, may_ask: bool = False, seconds: float = 60
) -> Verdict:
    until = time.monotonic() + seconds
    asked = partial(
        thin.ask, str(socket_of(config)), OPENING, call, may_ask=may_ask, until=until
    )
    return await anyio.to_thread.run_sync(asked)


def run(command: str, repository: Path) -> Call:
    return Call("coding.run_command", {"command": command, "folder": str(repository)})


def recorded(config: BrokerConfig) -> list[tuple[str, Any]]:
    layout = StateLayout(config.state)
    return [
        (entry.type, entry.body)
        for entry in history_of(RUN, directory=layout.trace, kek=vault_key(config))
    ]


async def test_an_admitted_call_is_on_record_as_handed_over(
    config: BrokerConfig, repository: Path
) -> None:
    async with serving(config):
        found = await ask(config, run("git status && cat src/a.py", repository))

    assert found.decision == "allow"
    entries = recorded(config)
    kinds = [kind for kind, _ in entries]
    assert [k for k in kinds if k in {"intent", "decision", "start", "outcome"}] == [
        "intent", "decision", "start", "outcome",
    ]  # fmt: skip
    outcome = next(body for kind, body in entries if kind == "outcome")
    assert outcome["verdict"] == "handed_over"
    assert outcome["enforced"] == {"boundary": "none", "reported_by": "own"}


async def test_a_refusal_says_why_and_is_on_record(
    config: BrokerConfig, repository: Path
) -> None:
    async with serving(config):
        found = await ask(config, run("cat plain.txt", repository))

    assert found.decision == "deny"
    assert "filesystem.secret" in found.reason
    assert "start" not in [kind for kind, _ in recorded(config)]


async def test_a_question_waits_for_a_person_and_the_same_call_then_passes_once(
    config: BrokerConfig, repository: Path
) -> None:
    push = run("git push", repository)
    async with serving(config) as broker:
        first = await ask(config, push)
        (waiting,) = await broker.parts.approvals.listed(pending_only=True)
        await Person("olga").answer(broker, waiting.id)
        second, third = await ask(config, push), await ask(config, push)

    assert (first.decision, second.decision, third.decision) == ("deny", "allow", "deny")
    assert "make the same call again" in first.reason


@pytest.mark.slow
async def test_a_question_is_put_to_the_agents_prompt_only_where_one_person_may_answer(
    config: BrokerConfig, repository: Path
) -> None:
    table = repository / ".wardline-policies" / "data" / "approval.json"
    push = run("git push", repository)
    async with serving(config):
        one = await ask(config, push, may_ask=True)
    two = {"approvers": ["operators"], "quorum": 2, "expires_in_seconds": 900,
           "separation_of_duties": False}  # fmt: skip
    terms = dict.fromkeys(("low", "medium", "high", "critical"), two)
    table.write_text(json.dumps({"terms": terms, "never": [], "always_ask": []}))
    async with serving(config):
        more = await ask(config, push, may_ask=True)

    assert (one.decision, more.decision) == ("ask", "deny")


@pytest.mark.slow
async def test_calls_of_one_conversation_at_the_same_time_wait_for_each_other(
    config: BrokerConfig, repository: Path
) -> None:
    found: list[str] = []

    async def one(number: int) -> None:
        found.append((await ask(config, run(f"echo {number}", repository))).decision)

    async with serving(config):
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(one, number)

    assert found == ["allow"] * 6


async def test_nobody_listens(config: BrokerConfig, repository: Path) -> None:
    with pytest.raises(thin.DaemonError, match="wardline serve"):
        await ask(config, run("ls", repository))


@pytest.mark.slow
async def test_a_daemon_without_these_tools_lets_nothing_pass(
    config: BrokerConfig, repository: Path
) -> None:
    async with (
        open_broker(config, [], mode="daemon") as broker,
        listening(broker, socket_of(config), clients_of(config)),
    ):
        found = await ask(config, run("ls", repository))

    assert found.decision == "deny"
    assert "tool.unregistered" in found.reason


@pytest.mark.parametrize(
    "answer", [b"", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x04oops", b"\x7f\xff\xff\xff"],
    ids=["hangs up", "no object", "no JSON", "too long"],
)  # fmt: skip
async def test_what_answers_otherwise_is_no_permission(
    answer: bytes, config: BrokerConfig, repository: Path
) -> None:
    path = socket_of(config)
    StateLayout(config.state).make(config.workspace)

    async def odd(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            if answer:
                await stream.send(answer)

    listener = await anyio.create_unix_listener(path)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, odd)
        with pytest.raises(thin.DaemonError):
            await ask(config, run("ls", repository))
        tasks.cancel_scope.cancel()


async def test_one_that_does_not_answer_is_given_up(
    config: BrokerConfig, repository: Path
) -> None:
    path = socket_of(config)
    StateLayout(config.state).make(config.workspace)
    listener = await anyio.create_unix_listener(path)

    async def silent(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await anyio.sleep_forever()

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, silent)
        with pytest.raises(thin.DaemonError, match="does not answer"):
            await ask(config, run("ls", repository), seconds=0.2)
        tasks.cancel_scope.cancel()


async def test_a_socket_that_others_could_replace_is_not_asked(
    config: BrokerConfig, repository: Path
) -> None:
    async with serving(config):
        socket_of(config).parent.chmod(0o777)
        with pytest.raises(thin.DaemonError, match="written by others"):
            await ask(config, run("ls", repository))
        socket_of(config).parent.chmod(0o700)


@pytest.mark.slow
async def test_each_tool_of_the_mapping_is_known_to_the_daemon(
    config: BrokerConfig, repository: Path
) -> None:
    asked = [
        ("Read", {"file_path": "src/a.py"}, "allow"),
        ("Write", {"file_path": "src/b.py", "content": "x"}, "allow"),
        ("Write", {"file_path": ".claude/settings.json", "content": "x"}, "deny"),
        ("Write", {"file_path": ".wardline-policies/data/shell.json", "content": "x"}, "deny"),
        ("Read", {"file_path": "wardline.toml"}, "deny"),
        ("Glob", {"pattern": "*"}, "allow"),
        ("Grep", {"pattern": "x"}, "allow"),
        ("Grep", {"pattern": "x", "output_mode": "content"}, "ask"),
        ("Grep", {"pattern": "x", "output_mode": "content", "path": "src"}, "allow"),
        ("Bash", {"command": "grep -rn x ."}, "ask"),
        ("Bash", {"command": "grep -rn x src && ls -la ."}, "allow"),
        ("Bash", {"command": "cp -r . /tmp/out"}, "ask"),
        ("Bash", {"command": "rm -r .wardline-policies"}, "deny"),
        ("Bash", {"command": "cat .wardline/origin"}, "deny"),
        ("WebFetch", {"url": "https://docs.python.org/3/"}, "allow"),
        ("WebFetch", {"url": "https://a.example/"}, "deny"),
        ("WebSearch", {"query": "x"}, "allow"),
        ("TodoWrite", {"todos": []}, "allow"),
        ("mcp__x__y", {}, "ask"),
        ("Teleport", {}, "ask"),
    ]
    async with serving(config):
        found = [
            (name, (await ask(config, call_of(AgentCall(name, given, str(repository))),
                              may_ask=True)).decision)
            for name, given, _ in asked
        ]  # fmt: skip

    assert found == [(name, decision) for name, _, decision in asked]
