"""A call approved by passkey, from the question to the record that others verify."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import second_verifier
import second_votes
from authenticator import Authenticator
from typer.testing import CliRunner

from permissions.approval import passkeys
from permissions.approval.passkeys import Site
from permissions.cli.trace import app as program
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.setup.config import ApproverConfig, BrokerConfig
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall
from permissions.trace.restated import CallFacts, Opened
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace
from wardline import tool

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from permissions.broker.broker import PermissionBroker

SITE = Site.of("https://approve.example.com")
CALL = ToolCall("erase", {"name": "old"}, key="erase-1")


@tool(effect="irreversible", impact="high")
def erase(name: str) -> str:
    """Erases."""
    return f"erased {name}"


def settings(folder: Path) -> BrokerConfig:
    return BrokerConfig.load(
        state=folder / "state",
        workspace=folder,
        approvers={"olga": ApproverConfig(groups=("operators",))},
        sandbox={"backends": ()},
    )


async def enrolled(broker: PermissionBroker, device: Authenticator) -> None:
    approvals = broker.parts.approvals
    question = passkeys.begin_enrolment((await approvals.approvers()).get("olga"), SITE)
    made = device.create(question.options, SITE.origin)
    await approvals.enrol("olga", passkeys.finish_enrolment(question.sealed, made, SITE))


async def approve(broker: PermissionBroker, device: Authenticator, name: str) -> None:
    approvals = broker.parts.approvals
    request, olga = await approvals.get(name), (await approvals.approvers()).get("olga")
    question = passkeys.begin_vote(
        request, olga, "approve", note="seen", now=broker.parts.clock(), site=SITE
    )
    given = device.get(question.options, SITE.origin)
    await approvals.vote(passkeys.finish_vote(question.sealed, given, olga))


async def test_an_approval_by_passkey_runs_once_and_is_proven_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, device = settings(tmp_path), Authenticator()
    async with open_broker(config, [erase]) as broker:
        unkeyed = await ask(broker)
        assert unkeyed.code == "approval.unavailable"  # she has no key yet
        await enrolled(broker, device)
        asked = await ask(broker)
        assert asked.access_request is not None
        await approve(broker, device, asked.access_request)
        async with open_session(broker, user="alice", run="run-9") as session:
            ran = await broker.call(session, replace(CALL, key="2"))
            assert isinstance(ran, Completed)
        public = str((await broker.parts.approvals.passkeys())[0].passkey)

    trace, kek = config.state / "trace", (config.state / "keys/vault.key").read_bytes()
    report = verify_trace(trace, vault=VaultReader(trace, kek))
    assert report.is_intact
    assert not report.completeness.findings
    assert second_verifier.verify(trace, None, kek) == []

    monkeypatch.setenv("WARDLINE_CONFIG", str(tmp_path / "wardline.toml"))
    (tmp_path / "wardline.toml").write_text("")
    (tmp_path / "olga.pub").write_text(public)
    (tmp_path / "mallory.pub").write_text(public.replace(public[60:64], "AAAA"))
    command = ["votes", ran.call, "--dir", str(config.state), "--json"]
    runner = CliRunner()
    proven = runner.invoke(program, [*command, "--key", f"olga={tmp_path / 'olga.pub'}"])
    assert proven.exit_code == 0, proven.output
    (vote,) = json.loads(proven.stdout)[0]["votes"]
    assert (vote["approver"], vote["problem"], vote["note"]) == ("olga", None, "seen")
    assert runner.invoke(program, command).exit_code == 1


async def ask(broker: PermissionBroker) -> Denial:
    async with open_session(
        broker, user="alice", run="run-9", approval_mode="suspend", prompt="erase old"
    ) as session:
        asked = await broker.call(session, replace(CALL, key="2"))
        assert isinstance(asked, Denial)
        return asked


async def entries_of(tmp_path: Path) -> tuple[dict[str, Any], dict[str, bytes], Opened]:
    """The question, the approval and its contents, of a call that was approved by passkey."""
    from permissions.testing import Person, asking, memory_broker, permitted

    def decide(document: dict[str, Any]) -> Any:
        asks = document["context"]["approval"] is None
        return asking("operators") if asks else permitted()

    async with memory_broker([erase], decide=decide, people=(Person("otto"),)) as broker:
        async with open_session(broker, user="alice") as session:
            asked = await broker.call(session, CALL)
            assert isinstance(asked, Denial)
            assert asked.access_request is not None
            await Person("otto").answer(broker, asked.access_request)
            await broker.call(session, CALL)
        entries = broker.trace.entries
    request = next(each for each in entries if each.type == "request")
    approval = next(each for each in entries if each.type == "approval")
    opened = Opened(
        "request", request.body, frozenset(request.contents), request.contents, lambda *_: []
    )
    return dict(approval.body), dict(approval.contents), opened


async def test_a_record_that_lets_the_wrong_person_answer_is_found(tmp_path: Path) -> None:
    """Who holds the log's key may write who answered, and is contradicted by what they signed."""
    body, contents, request = await entries_of(tmp_path)
    (voter,) = json.loads(contents["voters"])

    def found(**changes: object) -> list[str]:
        facts = CallFacts()
        assert list(facts.contradictions(request)) == []
        forged = {**contents, "voters": json.dumps([{**voter, **changes}]).encode()}
        entry = Opened("approval", body, frozenset(forged), forged, lambda *_: [])
        second = second_votes.unproven(
            json.loads(forged["voters"]),
            [json.loads(contents["envelope_0"])],
            [{"approver": "otto"}],
            json.loads(request.contents["shown"])["call"],
        )
        said = list(facts.contradictions(entry))
        assert bool(said) == bool(second)
        return said

    other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert found() == []
    assert "did not sign" in found(key=other)[0]
    assert "may not answer" in found(groups=["kitchen"])[0]
    assert "other voters" in found(approver="olga")[0]
