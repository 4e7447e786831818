"""Rego decides each connection of a tool behind limits, while it runs, and the record replays."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from hosts import Host, plain_host
from opa_server import opa_server
from reaching import visit
from typer.testing import CliRunner

from permissions.cli.trace import app
from permissions.execution.base import Execution
from permissions.execution.code import CodeStage
from permissions.execution.sandboxed import SandboxedExecutor
from permissions.model import Completed
from permissions.pdp.bundle import load_bundle, load_revision
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.replay.again import replay
from permissions.replay.recorded import recorded_decisions
from permissions.replay.rows import Summary
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout, log_signer
from permissions.tools.call import ToolCall
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader, load_kek
from permissions.trace.verify import verify_trace
from sandbox import SandboxProfile
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.egress import Egress, EgressRule
from sandbox.egress.sandbox import EgressSandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from permissions.run.state import RunState
    from permissions.trace.reader import RecordedEntry
    from sandbox import Sandbox

BACKENDS = [
    pytest.param("bubblewrap", marks=pytest.mark.bwrap),
    pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow]),
]
PRIVATE = """package wardline.egress.private

deny contains {
	"code": "private.path",
	"agent": "Not there.",
	"operator": "",
	"nearest": null,
} if {
	path := input.resource.properties.path
	startswith(path, "/private")
}
"""


@pytest.fixture
def host() -> Iterator[Host]:
    with plain_host() as serving:
        yield serving


@dataclass(frozen=True)
class Run:
    """What became of a call that visits paths of the host."""

    answers: list[str]
    entries: list[RecordedEntry]

    @property
    def decided(self) -> list[tuple[int, bool, list[str]]]:
        """Each decision about a connection."""
        return [
            (entry.body["connection"], entry.body["permitted"], entry.body.get("reasons", []))
            for entry in self.entries
            if entry.type == "decision" and entry.body["action"] == "egress/connect"
        ]

    @property
    def ended(self) -> list[tuple[int | None, bool, str]]:
        """Each connection as the proxy reported it."""
        return [
            (entry.body.get("connection"), entry.body["permitted"], entry.body["reason"])
            for entry in self.entries
            if entry.type == "effect"
        ]


def configured(folder: Path, host: Host, backend: str, **pdp: Any) -> BrokerConfig:
    (folder / "work").mkdir()
    plain = {
        "host": "plain.example",
        "mode": "http",
        "port": host.port,
        "unsafe_address": "127.0.0.1",
    }
    return BrokerConfig.load(
        state=folder / "state",
        workspace=folder / "work",
        pdp={"hard_deadline_ms": 5000, **pdp},
        sandbox={
            "backends": (backend,),
            "prewarmed": 0,
            "profiles": {"web": {"wall_seconds": 120, "egress": {"plain": plain}}},
        },
    )


async def visited(
    config: BrokerConfig,
    host: Host,
    *paths: str,
    begin: Callable[[RunState], None] = lambda _: None,
) -> Run:
    """Runs the tool once, and has its record verified."""
    urls = [f"http://plain.example:{host.port}{path}" for path in paths]
    async with (
        open_broker(config, [visit]) as broker,
        open_session(broker, user="alice", prompt=" ".join(urls)) as session,
    ):
        begin(session)
        result = await broker.call(session, ToolCall("visit", {"urls": urls}))
    assert isinstance(result, Completed), result
    report = verify_trace(config.state / "trace", key=log_signer(config).public)
    assert report.integrity.verdict == "signed"
    assert report.completeness.findings == ()
    return Run(result.value, list(read_entries(config.state / "trace")))


async def told(command: str, config: BrokerConfig, *options: str) -> dict[str, Any]:
    """What `wardline trace` says as JSON."""
    arguments = [command, "--json", "--dir", str(config.state), *options]
    ended = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(app, arguments))
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


async def replayed(config: BrokerConfig) -> Summary:
    """The record decided again under its own bundle."""
    layout = StateLayout(config.state)
    vault = VaultReader(layout.trace, load_kek(layout.kek))
    found = list(recorded_decisions(read_entries(layout.trace), vault))
    revisions = {each.revision for each in found}
    assert len(revisions) == 1
    bundle = load_revision(layout.bundles, revisions.pop())  # type: ignore[arg-type]
    summary = Summary()
    async with EmbeddedPdp(bundle, hard_deadline=5) as pdp:
        async for row in replay(found, under=lambda _: pdp):
            summary.add(row)
    return summary


@pytest.mark.parametrize("backend", BACKENDS)
async def test_each_connection_is_decided_recorded_and_decided_again(
    backend: str, tmp_path: Path, host: Host
) -> None:
    """What Rego refuses is not dialled, and the code inside reads why."""
    (tmp_path / "overlay" / "egress" / "private").mkdir(parents=True)
    (tmp_path / "overlay" / "egress" / "private" / "private.rego").write_text(PRIVATE)
    config = configured(tmp_path, host, backend, overlay=tmp_path / "overlay")

    run = await visited(config, host, "/open", "/private/x", "/open?q=private")

    assert run.answers == ["200", "403 egress refused: private.path", "200"]
    assert [seen["path"] for seen in host.requests] == ["/open", "/open?q=private"]
    assert run.decided == [(1, True, []), (2, False, ["private.path"]), (3, True, [])]
    assert sorted(run.ended) == [
        (1, True, "egress.allowed"),
        (2, False, "private.path"),
        (3, True, "egress.allowed"),
    ]
    again = await replayed(config)
    assert (again.decisions, again.identical, again.unreplayable) == (4, 4, 0)
    (tmp_path / "none").mkdir()
    replayed_by_hand = await told("replay", config, "--overlay", str(tmp_path / "none"))
    assert (replayed_by_hand["newly_allowed"], replayed_by_hand["changed"]) == (1, 1)
    (row,) = replayed_by_hand["rows"]
    assert (row["tool"], row["action"], row["before"], row["after"]) == (
        "visit",
        "egress/connect",
        "deny",
        "allow",
    )
    listed = await told("list", config)
    assert (listed["permitted"], listed["reasons"], listed["end"]) == (True, [], "ran: ok")


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
async def test_what_the_session_reads_meanwhile_tightens_the_next_connection(
    backend: str, tmp_path: Path, host: Host
) -> None:
    """The shipped policy: code may go on after untrusted data was read with a person only."""
    sessions: list[RunState] = []
    host.meanwhile["/first"] = lambda: sessions[0].labels.add("untrusted")
    config = configured(tmp_path, host, backend)

    run = await visited(config, host, "/first", "/second", begin=sessions.append)

    assert run.answers == ["200", "403 egress refused: connection.untrusted_session"]
    assert [seen["path"] for seen in host.requests] == ["/first"]
    assert [permitted for _, permitted, _ in run.decided] == [True, False]
    assert not [entry for entry in run.entries if entry.type == "request"]
    again = await replayed(config)
    assert (again.decisions, again.identical) == (3, 3)


@pytest.mark.opa
@pytest.mark.parametrize("backend", BACKENDS)
async def test_without_a_decision_point_nothing_more_is_reached(
    backend: str, tmp_path: Path, host: Host
) -> None:
    """The OPA server dies while the tool runs: the next connection is refused."""
    with ExitStack() as server:
        url = server.enter_context(opa_server(load_bundle()))
        host.meanwhile["/first"] = server.close
        config = configured(
            tmp_path, host, backend, engine="opa", opa_url=url, opa_deadline_ms=5000
        )

        run = await visited(config, host, "/first", "/second")

    assert run.answers == ["200", "403 egress refused: policy.unavailable"]
    assert [seen["path"] for seen in host.requests] == ["/first"]
    assert run.decided == [(1, True, [])]
    assert sorted(run.ended, key=str) == [
        (1, True, "egress.allowed"),
        (None, False, "policy.unavailable"),
    ]


def ungated(folder: Path, host: Host, sandbox: Sandbox) -> tuple[SandboxedExecutor, Execution]:
    """A run that nobody gave a gate, in a profile that lists the host."""
    rule = EgressRule(
        host="plain.example", mode="http", ports=(host.port,), unsafe_address="127.0.0.1"
    )
    (folder / "code").mkdir()
    definition = visit.guard.definition
    executor = SandboxedExecutor(
        sandbox,
        stage=CodeStage(folder / "code"),
        profiles={"web": SandboxProfile(network=Egress(allow=(rule,)), wall_seconds=60)},
    )
    return executor, Execution(
        definition=definition,
        arguments=definition.validate({"urls": [f"http://plain.example:{host.port}/"]}),
        targets=[],
        workspace=folder,
        profile="web",
        deadline_seconds=60,
        run="run-1",
    )


@pytest.mark.bwrap
async def test_a_run_without_a_gate_makes_no_connection(tmp_path: Path, host: Host) -> None:
    """What the profile lists is not enough by itself."""
    async with EgressSandbox(BubblewrapSandbox()) as sandbox:
        executor, execution = ungated(tmp_path, host, sandbox)
        outcome = await executor.execute(execution)

    assert outcome.value == ["403 egress refused: egress.undecided"]
    assert host.requests == []
