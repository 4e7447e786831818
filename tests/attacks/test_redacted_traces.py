"""A record with markers: it verifies, decides again byte for byte, and hides nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import pytest
import second_verifier
from logs import CONFIG, KEK, NAME, SIGNER

from permissions.broker.entries import json_bytes
from permissions.broker.inspection import Inspection
from permissions.broker.recorder import Recorder
from permissions.detection.finding import Finding
from permissions.model import Completed, Denial
from permissions.pdp.bundle import load_bundle
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.replay.again import replay
from permissions.replay.recorded import recorded_decisions
from permissions.run.found_values import FoundValues
from permissions.sessions.open import open_session
from permissions.testing import Person, memory_broker, permitted
from permissions.tools.call import ToolCall
from permissions.trace.entry import NOT_KEPT, TraceEntry
from permissions.trace.log import open_log
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace
from wardline import RecipientArg, tool

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.trace.report import Report

OLGA = Person("olga", ("operators",))
KEY = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
OTHER = "ghp_" + "z9Y8x7W6v5U4t3S2r1Q0p9O8n7M6l5K4j3I2"
BUNDLE = load_bundle()
OPTIONS: dict[str, Any] = {"name": NAME, "signer": SIGNER, "kek": KEK, "config": CONFIG}


@tool(effect="read", impact="low", output="trusted")
async def read_note() -> dict[str, str]:
    """Reads."""
    return {"note": f"the token is {KEY}"}


@tool(effect="send", impact="low", control=["to"])
async def send(to: Annotated[str, RecipientArg()], body: str) -> str:
    """Sends."""
    return body


@pytest.fixture
async def recorded() -> list[TraceEntry]:
    """A secret is sent with approval, one is read, and its sending is denied."""
    looks = Inspection.of(BUNDLE.data, ("secrets",))
    async with (
        memory_broker([read_note, send], people=[OLGA], inspection=looks) as broker,
        open_session(broker, user="alice", prompt=f"send {OTHER} to ann@b.example") as session,
    ):
        call = ToolCall("send", {"to": "ann@b.example", "body": f"here: {OTHER}"}, key="one")
        asked = await broker.call(session, call)
        assert isinstance(asked, Denial)
        assert asked.access_request is not None
        await OLGA.answer(broker, asked.access_request)
        assert isinstance(await broker.call(session, call), Completed)
        assert isinstance(await broker.call(session, ToolCall("read_note", {})), Completed)
        call = ToolCall("send", {"to": "ann@b.example", "body": f"and {KEY}"})
        refused = await broker.call(session, call)
        assert isinstance(refused, Denial)
        assert refused.reasons[0].code == "detection.secret_read_leaves"
    return list(broker.trace.entries)


async def written(directory: Path, entries: list[TraceEntry]) -> Report:
    async with open_log(directory, **OPTIONS) as log:
        for entry in entries:
            await log.append([entry], barrier="buffered")
    return verify_trace(directory, key=SIGNER.public, vault=VaultReader(directory, KEK))


async def test_it_verifies_for_both_verifiers_and_holds_no_secret(
    tmp_path: Path, recorded: list[TraceEntry]
) -> None:
    report = await written(tmp_path, recorded)

    assert report.completeness.findings == ()
    assert second_verifier.verify(tmp_path, None, KEK) == []
    vault = VaultReader(tmp_path, KEK)
    for entry in read_entries(tmp_path):
        for name in entry.digests:
            data = entry.open(name, vault)
            assert KEY.encode() not in data
            assert OTHER.encode() not in data
        assert KEY not in str(entry.body)


async def test_every_decision_comes_out_the_same_byte_for_byte(
    tmp_path: Path, recorded: list[TraceEntry]
) -> None:
    await written(tmp_path, recorded)
    decisions = list(recorded_decisions(read_entries(tmp_path), VaultReader(tmp_path, KEK)))

    async with EmbeddedPdp(BUNDLE) as pdp:
        rows = [row async for row in replay(decisions, under=lambda _: pdp)]

    assert len(rows) == 5
    assert all(row.identical for row in rows), [row.problem for row in rows]


def opened(directory: Path) -> list[tuple[str, bytes]]:
    """Each sealed content of a log, by its name."""
    vault = VaultReader(directory, KEK)
    entries = read_entries(directory)
    return [(name, entry.open(name, vault)) for entry in entries for name in entry.digests]


async def test_a_value_found_after_its_content_was_sealed_ahead_is_in_no_sealed_content(
    tmp_path: Path,
) -> None:
    value = "correct horse battery"
    told = json_bytes({"body": value})
    looks, values = Inspection((), (), ("secrets",)), FoundValues(("secrets",))
    async with open_log(tmp_path, **OPTIONS) as log:
        record = Recorder(log, looks, values)
        record.note(TraceEntry("run.start", "r", None, {}, {"prompt": b"go on"}))
        await record.flush("durable")
        intent = TraceEntry("intent", "r", "c", {}, {"arguments": told}, {"args": told})
        record.note(intent)
        coming = TraceEntry("decision", "r", "c", {}, {"input": told})
        record.seal_ahead(coming)
        assert set(intent.ahead) == {"arguments"}
        assert set(coming.ahead) == {"input"}
        values.learn([Finding("secrets", "password", "/body", 0, len(value), value, value)])
        record.note(coming)
        await record.flush("durable")

    marked = b'{"body":"[redacted:password#1:16-31]"}'
    assert opened(tmp_path)[1:] == [("arguments", marked), ("input", marked)]


async def test_a_secret_in_a_call_is_in_no_sealed_content(tmp_path: Path) -> None:
    """Its arguments are sealed ahead as they are, and recorded otherwise."""
    looks = Inspection((), (), ("secrets",))
    async with (
        open_log(tmp_path, **OPTIONS) as log,
        memory_broker([send], decide=lambda _: permitted(), inspection=looks) as broker,
    ):
        broker.parts = replace(broker.parts, trace=log)
        async with open_session(broker) as session:
            for body in ("first", f"x {KEY}", "last"):
                call = ToolCall("send", {"to": "ann@b.example", "body": body})
                assert isinstance(await broker.call(session, call), Completed)

    contents = opened(tmp_path)
    assert [name for name, data in contents if KEY.encode() in data] == []
    marked = [name for name, data in contents if b"[redacted:github_token#1:" in data]
    assert marked == ["arguments", "input", "result"]
    vault = VaultReader(tmp_path, KEK)
    report = verify_trace(tmp_path, key=SIGNER.public, vault=vault)
    assert report.completeness.findings == ()
    assert second_verifier.verify(tmp_path, None, KEK) == []


async def test_a_request_that_only_says_it_is_redacted_is_a_finding(
    tmp_path: Path, recorded: list[TraceEntry]
) -> None:
    """Or whoever holds the log's key could put another text in the place of what was signed."""
    at = next(at for at, entry in enumerate(recorded) if entry.type == "request")
    shown = recorded[at].contents["shown"].replace(b"[redacted:", b"(")
    recorded[at] = replace(recorded[at], contents={**recorded[at].contents, "shown": shown})

    report = await written(tmp_path, recorded)

    texts = [finding.text for finding in report.completeness.findings]
    assert any("redacted, and it is not" in text for text in texts)
    assert second_verifier.verify(tmp_path, None, KEK) != []


async def test_nothing_started_with_arguments_nobody_looked_through(
    tmp_path: Path, recorded: list[TraceEntry]
) -> None:
    first = next(entry.call for entry in recorded if entry.type == "start")
    lost = [
        replace(entry, contents={**entry.contents, "arguments": NOT_KEPT}, links={"args": NOT_KEPT})
        if entry.type == "intent" and entry.call == first
        else entry
        for entry in recorded
    ]  # fmt: skip

    report = await written(tmp_path, lost)

    texts = [finding.text for finding in report.completeness.findings]
    assert any("not looked through" in text for text in texts)
    assert second_verifier.verify(tmp_path, None, KEK) != []
