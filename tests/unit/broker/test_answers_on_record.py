"""What people answered can be checked from the record alone, by whoever has their keys."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from permissions.model import Denial
from permissions.sessions.open import open_session
from permissions.testing import (
    Person,
    asking,
    memory_broker,
    permitted,
)
from permissions.tools.call import ToolCall
from wardline import tool

if TYPE_CHECKING:
    from permissions.approval.model import Verdict
    from permissions.model import JsonObject
    from permissions.trace.entry import TraceEntry

OLGA, OTTO = Person("olga"), Person("otto")
CALL = ToolCall("send", {"to": "Zoë", "amount": "980.00"}, key="send-1")


@tool(effect="send", impact="low")
async def send(to: str, amount: str) -> str:
    """Sends."""
    return f"{amount} to {to}"


def decide(document: JsonObject) -> JsonObject:
    return asking(quorum=2) if document["context"]["approval"] is None else permitted()


async def record(*answers: tuple[Person, Verdict]) -> list[TraceEntry]:
    """The entries of the second attempt at a call, after these answers to the first."""
    async with (
        memory_broker([send], decide=decide, people=(OLGA, OTTO)) as broker,
        open_session(broker, user="alice") as session,
    ):
        asked = await broker.call(session, CALL)
        assert isinstance(asked, Denial)
        assert asked.access_request is not None
        for person, verdict in answers:
            await person.answer(broker, asked.access_request, verdict)
        before = len(broker.trace.entries)
        await broker.call(session, CALL)
        return list(broker.trace.entries[before:])


def of_type(entries: list[TraceEntry], kind: str) -> TraceEntry:
    (found,) = [entry for entry in entries if entry.type == kind]
    return found


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def rfc8785(value: Any) -> bytes:
    """Enough of it: the document has ASCII names and small integers only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def checked(envelope: bytes, shown: bytes, key: Ed25519PublicKey) -> JsonObject:
    """The recipe of docs/reference/trace-format.md, without any code of this project.

    Raises:
        InvalidSignature: another key signed it, or another payload.
        ValueError: the answer was given to something else than what was shown.
    """
    document = json.loads(envelope)
    payload = base64.b64decode(document["payload"])
    kind = document["payloadType"].encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    key.verify(base64.b64decode(document["signatures"][0]["sig"]), signed)
    said: JsonObject = json.loads(payload)
    call = json.loads(shown)["call"]
    bound = {**call, "arguments": sha256(call["arguments"].encode())}
    binding = sha256(rfc8785({"type": "wardline.approval.binding/v1", "call": bound}))
    if (said["shown_digest"], said["binding"]) != (sha256(shown), binding):
        raise ValueError("answered something else")
    return said


def public(person: Person) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(person.signer.public.raw)


@dataclass(frozen=True)
class Case:
    id: str
    answers: tuple[tuple[Person, Verdict], ...]
    ending: str


CASES = [
    Case("both approve", ((OLGA, "approve"), (OTTO, "approve")), "approval"),
    Case("one denies", ((OLGA, "deny"),), "denied"),
    Case("the second denies", ((OLGA, "approve"), (OTTO, "deny")), "denied"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_a_third_party_can_check_who_answered_what(case: Case) -> None:
    entries = await record(*case.answers)
    asked, ended = of_type(entries, "request"), of_type(entries, case.ending)
    shown = asked.contents["shown"]

    said = [
        checked(ended.contents[f"envelope_{path}"], shown, public(person))
        for path, (person, _) in enumerate(case.answers)
    ]
    assert [(each["approver"], each["verdict"]) for each in said] == [
        (person.name, verdict) for person, verdict in case.answers
    ]


async def test_a_refusal_names_who_said_no() -> None:
    ended = of_type(await record((OLGA, "approve"), (OTTO, "deny")), "denied")

    assert ended.body["codes"] == ["approval.denied"]
    assert [(each["approver"], each["verdict"]) for each in ended.body["answers"]] == [
        ("olga", "approve"),
        ("otto", "deny"),
    ]


async def test_a_refusal_nobody_was_asked_about_names_nobody() -> None:
    async with memory_broker([send], decide=decide) as broker, open_session(broker) as session:
        await broker.call(session, ToolCall("unknown", {}))
        ended = of_type(list(broker.trace.entries), "denied")

    assert ended.body["answers"] == []
    assert "envelope_0" not in ended.contents


async def test_the_check_sees_another_key_and_another_text() -> None:
    entries = await record((OLGA, "deny"))
    shown = of_type(entries, "request").contents["shown"]
    envelope = of_type(entries, "denied").contents["envelope_0"]

    with pytest.raises(InvalidSignature):
        checked(envelope, shown, public(OTTO))
    with pytest.raises(ValueError, match="something else"):
        checked(envelope, shown.replace(b"980.00", b"980.01"), public(OLGA))
