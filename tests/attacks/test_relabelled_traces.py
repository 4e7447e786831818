"""Whoever holds the log's key writes another body over what was really asked, answered or signed.

Every byte is rightly signed, so integrity holds. Both verifiers compare bodies with contents.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import second_verifier
from logs import CONFIG, KEK, NAME, SIGNER

from permissions.model import Denial
from permissions.sessions.open import open_session
from permissions.testing import Person, asking, denied, memory_broker, permitted
from permissions.tools.call import ToolCall
from permissions.trace.log import open_log
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace
from wardline import tool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.trace.entry import TraceEntry
    from permissions.trace.report import Report

OLGA = Person("olga")


@tool(effect="send", impact="low")
async def pay(account: str, amount: int) -> str:
    """Pays."""
    return f"{amount} to {account}"


def decide(document: JsonObject) -> JsonObject:
    amount = document["resource"]["properties"]["args"]["amount"]
    if amount > 100:
        return denied("test.too_much")
    return asking() if document["context"]["approval"] is None else permitted()


@pytest.fixture
async def honest() -> list[TraceEntry]:
    """A call that was refused by policy, one a person approved, and one a person refused."""
    async with (
        memory_broker([pay], decide=decide, people=[OLGA]) as broker,
        open_session(broker, user="alice", prompt="pay") as session,
    ):
        await broker.call(session, ToolCall("pay", {"account": "DE1", "amount": 500}))
        for number, verdict in enumerate(("approve", "deny")):
            call = ToolCall("pay", {"account": "DE2", "amount": number}, key=f"key-{number}")
            asked = await broker.call(session, call)
            assert isinstance(asked, Denial)
            assert asked.access_request is not None
            await OLGA.answer(broker, asked.access_request, verdict)  # type: ignore[arg-type]
            await broker.call(session, call)
    return list(broker.trace.entries)


async def written(directory: Path, entries: list[TraceEntry]) -> Report:
    options: dict[str, Any] = {"name": NAME, "signer": SIGNER, "kek": KEK, "config": CONFIG}
    async with open_log(directory, **options) as log:
        for entry in entries:
            await log.append([entry], barrier="buffered")
    return verify_trace(directory, key=SIGNER.public, vault=VaultReader(directory, KEK))


async def test_an_honest_record_says_the_same_twice(
    tmp_path: Path, honest: list[TraceEntry]
) -> None:
    report = await written(tmp_path, honest)

    assert report.completeness.findings == ()
    assert second_verifier.verify(tmp_path, SIGNER.public.raw, KEK) == []


@dataclass(frozen=True)
class Lie:
    """What is changed about the first entry of a kind that `about` holds for."""

    id: str
    kind: str
    change: Callable[[TraceEntry], TraceEntry]
    said: str
    about: Callable[[TraceEntry], bool] = lambda _: True


def says(**members: Any) -> Callable[[TraceEntry], TraceEntry]:
    return lambda entry: replace(entry, body={**entry.body, **members})


def holds(name: str, data: bytes | None) -> Callable[[TraceEntry], TraceEntry]:
    def change(entry: TraceEntry) -> TraceEntry:
        kept = {each: raw for each, raw in entry.contents.items() if each != name}
        return replace(entry, contents=kept if data is None else {**kept, name: data})

    return change


def shows_another_call(entry: TraceEntry) -> TraceEntry:
    shown = json.loads(entry.contents["shown"])
    shown["call"]["workspace"] = "/elsewhere"
    return holds("shown", json.dumps(shown).encode())(entry)


def denied_by_policy(entry: TraceEntry) -> bool:
    return entry.body["reasons"] == ["test.too_much"]


LIES = [
    Lie(
        "relabelled permit",
        "decision",
        says(permitted=True),
        "another permitted",
        denied_by_policy,
    ),
    Lie("hidden refusal", "decision", says(reasons=[]), "another reasons", denied_by_policy),
    Lie("changed rule list", "decision", says(rules=["impact.ordinary"]), "another rules"),
    Lie("dropped obligation", "decision", says(obligations=["durable"]), "another obligations"),
    Lie("another action", "decision", says(action="egress/connect"), "another action"),
    Lie("answer taken away", "decision", holds("response", None), "names no response"),
    Lie("question taken away", "decision", holds("input", None), "is not of its form"),
    Lie(
        "other arguments", "intent", holds("arguments", b'{"account":"DE9"}'), "other arguments"
    ),
    Lie(
        "another key",
        "intent",
        holds("key", b"key-9"),
        "another key",
        lambda e: "key" in e.contents,
    ),
    Lie(
        "started otherwise",
        "start",
        lambda entry: replace(entry, links={"args": b"{}"}),
        "other arguments",
    ),
    Lie("edited approver", "approval", says(approvers=["eve"]), "another approvers"),
    Lie("approval of nothing", "approval", holds("envelope_0", None), "names no envelope"),
    Lie("approval by nobody", "approval", holds("voters", None), "names no voters"),
    Lie("fewer needed", "request", says(quorum=9), "another quorum"),
    Lie("open for longer", "request", says(expires_at=9), "another expires_at"),
    Lie(
        "shown something else",
        "request",
        shows_another_call,
        "something else than was shown",
        lambda entry: entry.call == "call-5",  # the one that ran
    ),
    Lie(
        "a no that was a yes",
        "denied",
        says(answers=[]),
        "another answers",
        lambda entry: "envelope_0" in entry.contents,
    ),
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.id)
async def test_a_body_that_says_otherwise_is_a_finding(
    tmp_path: Path, honest: list[TraceEntry], lie: Lie
) -> None:
    at = next(at for at, each in enumerate(honest) if each.type == lie.kind and lie.about(each))
    report = await written(tmp_path, [*honest[:at], lie.change(honest[at]), *honest[at + 1 :]])

    assert report.integrity.verdict == "signed"
    assert any(lie.said in finding.text for finding in report.completeness.findings)
    assert not report.completeness.is_whole
    assert second_verifier.verify(tmp_path, SIGNER.public.raw, KEK)
