"""Whoever holds the log's key makes an approval of stages of what is none; both verifiers see it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import second_verifier
from logs import CONFIG, KEK, NAME, SIGNER

from permissions.approval.votes import sign_vote
from permissions.model import Denial
from permissions.sessions.open import open_session
from permissions.testing import Person, asking, memory_broker, permitted
from permissions.tools.call import ToolCall
from permissions.trace.log import open_log
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace
from wardline import tool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from permissions.approval.model import AccessRequest
    from permissions.model import JsonObject
    from permissions.trace.entry import TraceEntry

FIONA, SAM = Person("fiona", ("finance",)), Person("sam", ("security",))
CALL = ToolCall("pay", {"account": "DE1"}, key="pay-1")


@tool(effect="send", impact="low")
async def pay(account: str) -> str:
    """Pays."""
    return f"paid {account}"


def decide(document: JsonObject) -> JsonObject:
    if document["context"]["approval"] is not None:
        return permitted()
    answer = asking("finance", "security", quorum=2)
    answer["context"]["access_request"]["stages"] = [
        {"approvers": ["finance"], "quorum": 1},
        {"approvers": ["security"], "quorum": 1},
    ]
    return answer


@pytest.fixture
async def honest() -> tuple[list[TraceEntry], AccessRequest]:
    """A call that finance and then security approved."""
    async with (
        memory_broker([pay], decide=decide, people=[FIONA, SAM]) as broker,
        open_session(broker, user="alice", prompt="pay") as session,
    ):
        asked = await broker.call(session, CALL)
        assert isinstance(asked, Denial)
        assert asked.access_request is not None
        before = await broker.parts.approvals.get(asked.access_request)
        await FIONA.answer(broker, asked.access_request)
        await SAM.answer(broker, asked.access_request)
        done = await broker.call(session, CALL)
        assert not isinstance(done, Denial)
    return list(broker.trace.entries), before


async def findings(directory: Path, entries: list[TraceEntry]) -> tuple[list[str], list[str]]:
    async with open_log(directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        for entry in entries:
            await log.append([entry], barrier="buffered")
    report = verify_trace(directory, key=SIGNER.public, vault=VaultReader(directory, KEK))
    told = [each.text for each in report.completeness.findings]
    return told, second_verifier.verify(directory, SIGNER.public.raw, KEK)


async def test_an_approval_of_stages_is_in_order(
    tmp_path: Path, honest: tuple[list[TraceEntry], AccessRequest]
) -> None:
    assert await findings(tmp_path, honest[0]) == ([], [])


def swapped(entry: TraceEntry, _: AccessRequest) -> dict[str, bytes]:
    first, second = json.loads(entry.contents["voters"])
    return {
        "envelope_0": entry.contents["envelope_1"],
        "envelope_1": entry.contents["envelope_0"],
        "voters": json.dumps([second, first]).encode(),
    }


def too_early(_: TraceEntry, before: AccessRequest) -> dict[str, bytes]:
    """Security's answer, given before finance had answered."""
    early = sign_vote(
        before,
        approver=SAM.name,
        verdict="approve",
        note="",
        now=before.created_at,
        signer=SAM.signer,
    )
    return {"envelope_1": early.encode()}


def of_one_group(entry: TraceEntry, _: AccessRequest) -> dict[str, bytes]:
    first, second = json.loads(entry.contents["voters"])
    return {"voters": json.dumps([first, {**second, "groups": ["finance"]}]).encode()}


LIES = [
    (swapped, "out of its order"),
    (too_early, "out of its order"),
    (of_one_group, "who may not answer"),
]


@pytest.mark.parametrize(("lie", "said"), LIES, ids=[each.__name__ for each, _ in LIES])
async def test_a_stage_that_did_not_agree_is_a_finding(
    tmp_path: Path,
    honest: tuple[list[TraceEntry], AccessRequest],
    lie: Callable[[TraceEntry, AccessRequest], dict[str, bytes]],
    said: str,
) -> None:
    entries, before = honest
    told, second = await findings(
        tmp_path,
        [
            replace(each, contents={**each.contents, **lie(each, before)})
            if each.type == "approval"
            else each
            for each in entries
        ],
    )
    assert any(said in each for each in told), told
    assert second
