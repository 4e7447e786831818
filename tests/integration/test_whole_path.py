"""The whole path of a governed call, one short story per part, on real components.

The adapter for LangGraph has its stories in tests/integration/langgraph.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import pytest
from boxed import add, linger, work
from people import first_pending

from permissions.broker.ports import now_us
from permissions.errors import PlanError
from permissions.model import Completed
from permissions.plan.model import plan_from
from permissions.sessions.open import open_session
from permissions.setup.config import ApproverConfig, BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import log_signer
from permissions.signing.keys import write_secret
from permissions.testing import Person
from permissions.tools.call import ToolCall
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace
from wardline import (
    Broker,
    CallDenied,
    FreeText,
    NoSessionError,
    PathArg,
    tool,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.model import CallResult

OLGA = Person("olga")


@tool(effect="read", impact="low", output="trusted")
def read_note(path: Annotated[str, PathArg("read")]) -> str:
    """Reads a note."""
    return Path(WORK[-1], path).read_text()


@tool(effect="write", impact="low")
async def write_note(
    path: Annotated[str, PathArg("write")], text: Annotated[str, FreeText()]
) -> int:
    """Writes a note."""
    return Path(WORK[-1], path).write_text(text)


@tool(effect="irreversible", impact="high")
def erase_note(path: Annotated[str, PathArg("write")]) -> str:
    """Erases a note."""
    Path(WORK[-1], path).unlink()
    return "erased"


TOOLS = [read_note, write_note, erase_note]
WORK: list[Path] = []


@pytest.fixture
def config(tmp_path: Path) -> BrokerConfig:
    """A broker of its own, a note, and one approver with a key file."""
    WORK.append(tmp_path / "work")
    WORK[-1].mkdir()
    (WORK[-1] / "note.txt").write_text("hello")
    write_secret(tmp_path / "olga.pem", OLGA.signer.pem())
    (tmp_path / "wardline.toml").write_text(
        f'state = "{tmp_path}/state"\nworkspace = "{WORK[-1]}"\n'
        f'[approvers.olga]\ngroups = ["operators"]\npublic_key = "{OLGA.signer.public}"\n'
        "[sandbox]\nbackends = []\n"
    )
    return BrokerConfig.load(tmp_path / "wardline.toml")


@pytest.fixture
def wardline(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command, as a process of its own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        settings = tmp_path / "wardline.toml"
        named = {"WARDLINE_CONFIG": str(settings)} if settings.exists() else {}
        return subprocess.run(
            [sys.executable, "-m", "permissions", *arguments],
            cwd=tmp_path,
            capture_output=True,
            check=False,
            text=True,
            timeout=200,
            env={
                **os.environ,
                "XDG_STATE_HOME": str(tmp_path / "xdg"),
                **named,
            },
        )

    return run


def verified(config: BrokerConfig) -> None:
    report = verify_trace(config.state / "trace", key=log_signer(config).public)
    assert report.integrity.verdict == "signed"
    assert report.completeness.is_whole, report.completeness


def test_part_1_decorators(config: BrokerConfig) -> None:
    """They refuse outside a session, and inside one functions are called as before."""
    with pytest.raises(NoSessionError):
        read_note("note.txt")
    with Broker(TOOLS, config=config) as broker, broker.session(user="alice"):
        text = read_note("note.txt")
        with pytest.raises(CallDenied) as refused:
            read_note(path="/etc/passwd")
        explained = erase_note.guard.explain("note.txt")

    assert text == "hello"
    assert refused.value.denial.code == "filesystem.outside"
    assert explained.verdict == "ask"
    assert (WORK[-1] / "note.txt").exists()
    verified(config)


async def test_part_2_broker(config: BrokerConfig) -> None:
    """One call through all steps, async; each step stands in the record, in order."""
    call = ToolCall("write_note", {"path": "new.txt", "text": "x"}, key="write it")
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(
            broker, user="alice", prompt="write new.txt", budgets={"calls": 2}
        ) as session,
    ):
        first = await broker.call(session, call)
        again = await broker.call(session, call)
        used = await broker.parts.budgets.used(session.run)

    entries = [entry.type for entry in read_entries(config.state / "trace") if entry.run]
    assert isinstance(first, Completed)
    assert isinstance(again, Completed)
    assert (first.value, again.value, again.replayed) == (1, 1, True)
    assert used == {"calls": 1}
    assert entries == ["run.start", "intent", "decision", "start", "outcome", "run.end"]
    verified(config)


def test_part_3_policy(config: BrokerConfig, tmp_path: Path) -> None:
    """A package of one's own narrows what the shipped ones allow, and says why."""
    (tmp_path / "mine" / "quiet").mkdir(parents=True)
    (tmp_path / "mine" / "quiet" / "quiet.rego").write_text(
        "package wardline.policies.quiet\n\nimport rego.v1\n\n"
        'deny contains {"code": "quiet.no_writes", "agent": "Nothing is written today.",'
        ' "operator": "", "nearest": null} if input.action.properties.effect == "write"\n'
    )
    narrowed = BrokerConfig.load(tmp_path / "wardline.toml", pdp={"overlay": tmp_path / "mine"})

    with Broker(TOOLS, config=narrowed) as broker, broker.session(user="alice") as session:
        read = broker.call(session, "read_note", {"path": "note.txt"})
        written = broker.call(session, "write_note", {"path": "a", "text": "b"})

    assert isinstance(read, Completed)
    assert not isinstance(written, Completed)
    assert written.code == "quiet.no_writes"
    verified(config)


def test_part_4_plan(config: BrokerConfig) -> None:
    """A plan is verified before step 1, and each call is held to it."""
    step = {
        "id": "read",
        "tool": "read_note",
        "arguments": {"path": {"literal": "note.txt"}},
    }
    declared = {
        "id": "plan-1",
        "goal": "read one note",
        "subject": "user:alice",
        "budget": {"calls": 1},
        "expires_at": now_us() + 3600 * 1_000_000,
        "steps": [step],
    }
    impossible = {**declared, "steps": [{**step, "tool": "format_disk"}]}
    with Broker(TOOLS, config=config) as broker:
        with (
            pytest.raises(PlanError, match=r"plan\.unknown_tool"),
            broker.session(user="alice", plan=plan_from(impossible)),
        ):
            pass
        with broker.session(
            user="alice", plan=plan_from(declared), approval_mode="suspend"
        ) as session:
            drifted = broker.call(session, "read_note", {"path": "other.txt"})
            planned = broker.call(session, "read_note", {"path": "note.txt"})
            more = broker.call(session, "read_note", {"path": "note.txt"})

    assert isinstance(planned, Completed)
    departed = [r for r in (drifted, more) if not isinstance(r, Completed)]
    assert [r.reasons[-1].code for r in departed] == ["plan.mismatch", "plan.exhausted"]
    verified(config)


async def test_part_5_approval(config: BrokerConfig, wardline: Any, tmp_path: Path) -> None:
    """The agent waits in this process; a person approves in another, with their own key."""
    results: list[CallResult] = []
    async with (
        open_broker(config, TOOLS) as broker,
        open_session(
            broker, user="alice", prompt="erase note.txt", approval_mode="wait"
        ) as session,
    ):

        async def ask() -> None:
            results.append(
                await broker.call(session, ToolCall("erase_note", {"path": "note.txt"}))
            )

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            held = (await first_pending(broker.parts.approvals)).id
            shown = await anyio.to_thread.run_sync(wardline, "request", "show", held)
            key = f"file:{tmp_path / 'olga.pem'}"
            done = await anyio.to_thread.run_sync(
                wardline, "request", "approve", held, "--key", key
            )

    assert "note.txt" in shown.stdout
    assert done.returncode == 0, done.stderr
    assert isinstance(results[0], Completed)
    assert not (WORK[-1] / "note.txt").exists()
    verified(config)


@pytest.mark.parametrize(
    ("backend", "boundary"),
    [
        pytest.param("bubblewrap", "process", marks=pytest.mark.bwrap),
        pytest.param("docker", "container", marks=pytest.mark.docker),
        pytest.param("oci", "container", marks=pytest.mark.oci),
    ],
)
async def test_part_6_sandbox(backend: str, boundary: str, tmp_path: Path) -> None:
    """A decorated function runs behind a boundary: files in, its own target out, no more."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a.txt").write_text("four")
    config = BrokerConfig.load(
        state=tmp_path / "state",
        workspace=tmp_path / "work",
        sandbox={"backends": (backend,)},
        approvers={
            "olga": ApproverConfig(groups=("operators",), public_key=str(OLGA.signer.public))
        },
    )
    async with (
        open_broker(config, [work, add, linger]) as broker,
        open_session(
            broker, user="alice", prompt="count a.txt into sum.txt, add 1000 and 2000"
        ) as session,
        anyio.create_task_group() as people,
    ):
        people.start_soon(OLGA.attend, broker)
        added = await broker.call(session, ToolCall("add", {"one": 1000, "other": 2000}))
        counted = await broker.call(
            session, ToolCall("work", {"source": "a.txt", "target": "sum.txt"})
        )
        people.cancel_scope.cancel()

    starts = [e.body for e in read_entries(config.state / "trace") if e.type == "start"]
    assert isinstance(added, Completed), added
    assert added.value == 3000
    assert isinstance(counted, Completed), counted
    assert counted.value == 4
    assert (tmp_path / "work" / "sum.txt").read_text() == "4"
    assert [start["enforced"]["boundary"] for start in starts] == [boundary] * 2
    verified(config)


def test_part_7_trace(config: BrokerConfig, wardline: Any) -> None:
    """The record is listed and verified from outside, and one flipped byte is found."""
    with Broker(TOOLS, config=config) as broker, broker.session(user="alice"):
        read_note("note.txt")

    listed = wardline("trace", "list", "--json")
    verified_ = wardline("trace", "verify")
    (segment,) = sorted((config.state / "trace").glob("*.jsonl"))
    data = bytearray(segment.read_bytes())
    data[data.index(b'"permitted":true') + 13] ^= 1
    segment.write_bytes(data)
    flipped = wardline("trace", "verify")

    assert json.loads(listed.stdout.splitlines()[0])["tool"] == "read_note"
    assert verified_.returncode == 0, verified_.stdout + verified_.stderr
    assert flipped.returncode == 5


@pytest.mark.slow
def test_part_8_replay(config: BrokerConfig, wardline: Any, tmp_path: Path) -> None:
    """The recorded decisions come out the same, and differently under another policy."""
    with Broker(TOOLS, config=config) as broker, broker.session(user="alice"):
        read_note("note.txt")
    (tmp_path / "strict" / "closed").mkdir(parents=True)
    (tmp_path / "strict" / "closed" / "closed.rego").write_text(
        "package wardline.policies.closed\n\nimport rego.v1\n\n"
        'deny contains {"code": "closed.all", "agent": "Closed.", "operator": "",'
        ' "nearest": null} if input.action.name == "tools/call"\n'
    )

    same = wardline("trace", "replay")
    other = wardline("trace", "replay", "--overlay", "strict", "--fail-on", "changed")

    assert same.returncode == 0, same.stdout + same.stderr
    assert other.returncode == 1
    assert "closed.all" in other.stdout


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.bwrap
def test_part_10_demo(wardline: Any) -> None:
    """An agent does a real job while it is attacked, and everything comes out as it must."""
    done = wardline("demo")

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    before, _, after = done.stdout.partition("The whole plan is put to a person, once")
    assert "A person is asked" not in before
    assert after.count("A person is asked") == 1  # what is planned asks nobody again
    assert "approve_plan" in after
