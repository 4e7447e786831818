"""From what was asked to what policies are asked: nothing a caller says names itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import pytest
from faults import findings
from hypothesis import given
from hypothesis import strategies as st

from permissions.model import Denial
from permissions.sessions.open import open_session
from permissions.signing.canonical import digest_of
from permissions.testing import memory_broker, permitted
from permissions.tools.call import ToolCall
from wardline import (
    AmountArg,
    HostArg,
    PathArg,
    RecipientArg,
    tool,
)

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.model import CallResult, JsonObject

RAN: list[Any] = []


@tool(effect="send", impact="high", control=["subject"])
async def send(
    to: Annotated[list[str], RecipientArg()],
    subject: str,
    body: Any = "",
    attach: Annotated[str | None, PathArg("read")] = None,
) -> None:
    """Sends."""
    RAN.append(to)


@tool(effect="write", impact="low")
async def fetch(
    url: Annotated[str, HostArg()], most: Annotated[float, AmountArg()] = 1
) -> None:
    """Fetches."""
    RAN.append(url)


async def asked(call: ToolCall, **options: Any) -> tuple[list[JsonObject], CallResult, Any]:
    """What the policy was asked, what came of it, and the record."""
    questions: list[JsonObject] = []
    RAN.clear()

    def decide(document: JsonObject) -> JsonObject:
        questions.append(document)
        return permitted()

    async with (
        memory_broker([send, fetch], decide=decide) as broker,
        open_session(
            broker, **{"user": "alice", "agent": "bot", "roles": ["payer"], **options}
        ) as session,
    ):
        result = await broker.call(session, call)
    return questions, result, broker.trace.entries


async def test_the_question_has_every_key_of_the_contract(tmp_path: Path) -> None:
    given_ = {"to": ["Bob@Example.com"], "subject": "hi"}
    (question,), _, _ = await asked(
        ToolCall("send", given_, caller="langgraph"),
        prompt="write hi to Bob@Example.com",
        budgets={"calls": 5, "cost": 100},
        workspace=tmp_path,
        run="run-x",
    )

    args = {**given_, "body": "", "attach": None}
    definition = send.guard.definition
    at = question["context"]["time"]
    assert question == {
        "subject": {
            "type": "agent",
            "id": "bot",
            "properties": {
                "roles": ["payer"],
                "on_behalf_of": "user:alice",
                "act": [{"type": "user", "id": "alice"}],
                "delegation": None,
            },
        },
        "action": {
            "name": "tools/call",
            "properties": {"effect": "send", "impact": "high"},
        },
        "resource": {
            "type": "tool",
            "id": "send",
            "properties": {
                "args": args,
                "args_digest": digest_of(args),
                "tool_digest": definition.digest,
                "isolation": "none",
                "stateful": False,
                "confirms": None,
                "workspace": "copy",
                "control": ["attach", "subject", "to"],
                "marks": {"attach": "path", "to": "recipient"},
                "targets": [
                    {
                        "kind": "recipient",
                        "argument": "to",
                        "scheme": "email",
                        "address": "Bob@example.com",
                        "domain": "example.com",
                    }
                ],
            },
        },
        "context": {
            "run": "run-x",
            "call": "call-1",
            "time": at,
            "plan": None,
            "provenance": {
                "/to/0": entry("user", trusted=True, control=True),
                "/subject": entry("user", trusted=True, control=True),
                "/body": entry("default", trusted=True, control=False),
                "/attach": entry("default", trusted=True, control=True),
            },
            "labels": [],
            "usage": {"calls": {"used": 1, "limit": 5}, "cost": {"used": 0, "limit": 100}},
            "approval": None,
            "environment": {
                "name": "test",
                "workspace": str(tmp_path.resolve()),
                "isolation": ["none"],
            },
            "facts": {},
            "detected": {},
            "history": [],
        },
    }


def entry(origin: str, *, trusted: bool, control: bool) -> dict[str, Any]:
    where = {"origin": origin, "source": None, "trusted": trusted, "control": control}
    return {**where, "from": None, "linked": False, "carries": []}


CLAIMS = st.recursive(
    st.sampled_from(
        ["read", "low", "trusted", "user", "admin", "fetch", "tools/call", "approved", True, 0]
    )
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "action",
                    "subject",
                    "resource",
                    "context",
                    "properties",
                    "roles",
                    "labels",
                    "approval",
                    "effect",
                    "id",
                    "type",
                    "control",
                    "trusted",
                ]
            ),
            inner,
        )
    ),
    max_leaves=10,
)


@given(body=CLAIMS, subject=st.text(max_size=10), caller=st.text(max_size=5))
def test_no_value_of_a_call_names_its_own_action_tool_role_or_label(
    body: Any, subject: str, caller: str
) -> None:
    """Whatever stands in the arguments, everything outside `args` reads the same."""

    def outside(given_: Any, about: str, ring: str) -> JsonObject:
        call = ToolCall(
            "send",
            {"to": ["a@example.com"], "subject": about, "body": given_},
            caller=ring,
        )
        (question,), _, _ = anyio.run(asked, call)
        properties = question["resource"]["properties"]
        del properties["args"], properties["args_digest"]
        for entries in question["context"]["provenance"].values():
            assert entries["trusted"] is False or entries["origin"] == "default"
        del question["context"]["provenance"]
        return question

    assert outside(body, subject, caller) == outside("x", "x", "direct")


REFUSED: dict[str, tuple[ToolCall, str]] = {
    "unknown tool": (ToolCall("erase", {"path": "x"}), "tool.unregistered"),
    "another case": (ToolCall("Send", {}), "tool.unregistered"),
    "no text as a name": (ToolCall(["send"], {}), "tool.unregistered"),  # type: ignore[arg-type]
    "nothing as a name": (ToolCall(None, {}), "tool.unregistered"),  # type: ignore[arg-type]
    "a surrogate as a name": (ToolCall("\ud800", {}), "tool.unregistered"),
    "a long name": (ToolCall("x" * 10_000, {}), "tool.unregistered"),
    "no arguments": (ToolCall("send", {}), "arguments.invalid"),
    "no object": (ToolCall("send", [1, 2]), "arguments.invalid"),  # type: ignore[arg-type]
    "nothing": (ToolCall("send", None), "arguments.invalid"),  # type: ignore[arg-type]
    "unknown argument": (
        ToolCall("fetch", {"url": "https://a.example", "effect": "read"}),
        "arguments.invalid",
    ),
    "a surrogate as an argument": (
        ToolCall("fetch", {"url": "https://a.example", "\ud800": 1}),
        "arguments.invalid",
    ),
    "bad target": (ToolCall("fetch", {"url": "http://2130706433"}), "arguments.invalid"),
    "bad target in a list": (
        ToolCall("send", {"to": ["a@example.com", "b"], "subject": ""}),
        "arguments.invalid",
    ),
    "nan": (
        ToolCall("fetch", {"url": "https://a.example", "most": float("nan")}),
        "arguments.unrepresentable",
    ),
    "a huge number": (
        ToolCall("send", {"to": [], "subject": "", "body": 2**60}),
        "arguments.unrepresentable",
    ),
    "a surrogate as a value": (
        ToolCall("send", {"to": [], "subject": "", "body": "\ud800"}),
        "arguments.unrepresentable",
    ),
    "too much for a policy": (
        ToolCall("send", {"to": [], "subject": "", "body": "x" * 1_100_000}),
        "arguments.unrepresentable",
    ),
    "too much for the record": (
        ToolCall("send", {"to": [], "subject": "", "body": "x" * 17_000_000}),
        "arguments.unrepresentable",
    ),
    "an odd key": (
        ToolCall("send", {"to": [], "subject": 5}, key="\ud800"),
        "arguments.invalid",
    ),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED.keys())
async def test_what_cannot_be_understood_is_a_recorded_denial(
    call: tuple[ToolCall, str],
) -> None:
    """With a reason for the agent, an intent and an end; nothing was asked or run."""
    questions, result, entries = await asked(call[0])

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("denied", call[1])
    assert RAN == questions == []
    assert [each.type for each in entries] == ["run.start", "intent", "denied", "run.end"]
    assert findings(entries) == []
    assert len(json.dumps(result.for_agent())) < 2000


async def test_a_denied_argument_is_named_and_never_quoted() -> None:
    _, result, entries = await asked(ToolCall("fetch", {"url": "http://2130706433/secret"}))

    assert isinstance(result, Denial)
    assert "url: is a numeric host" in result.reasons[0].agent
    assert "2130706433" not in json.dumps([result.for_agent(), [e.body for e in entries]])
