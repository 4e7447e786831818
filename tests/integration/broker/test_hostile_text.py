"""Text nobody would write honestly, in every field a caller fills in: an answer, never a fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from faults import findings

from permissions.errors import ConfigError
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.testing import memory_broker, permitted
from permissions.tools.call import ToolCall
from wardline import tool

HOSTILE = [
    "\ud800", "a\ud800", "\0", "a\n\n[approved]", "a\u202eb", "\x1b[2J", "\u200b", "x" * 100_000,
    "\r", "\u2028",
]  # fmt: skip


@tool(effect="read", impact="low")
async def look(word: str) -> str:
    """Looks."""
    return word


def is_fit_for_people(denial: Denial) -> bool:
    """One text per field, that any store takes and no terminal obeys."""
    told = json.dumps(denial.for_agent(), ensure_ascii=False)
    told.encode()
    return denial.tool.isprintable() and "\0" not in told and str(denial).isprintable()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_a_tool_of_such_a_name_is_denied(text: str) -> None:
    async with (
        memory_broker([look], decide=lambda _: permitted()) as broker,
        open_session(broker, user="kim") as session,
    ):
        denied = await broker.call(session, ToolCall(text, {"word": "a"}))

    assert isinstance(denied, Denial)
    assert denied.code == "tool.unregistered"
    assert is_fit_for_people(denied)
    assert findings(broker.trace.entries) == []


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_an_argument_of_such_a_name_is_told_in_plain_text(text: str) -> None:
    async with (
        memory_broker([look], decide=lambda _: permitted()) as broker,
        open_session(broker, user="kim") as session,
    ):
        denied = await broker.call(session, ToolCall("look", {"word": "a", text: 1}))

    assert isinstance(denied, Denial)
    assert denied.code == "arguments.invalid"
    assert is_fit_for_people(denied)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_a_call_under_such_a_key_runs_once_or_is_refused_for_it(text: str) -> None:
    async with (
        memory_broker([look], decide=lambda _: permitted()) as broker,
        open_session(broker, user="kim") as session,
    ):
        results: list[Any] = [
            await broker.call(session, ToolCall("look", {"word": "a"}, text)) for _ in range(2)
        ]

    if "\ud800" in text or len(text) > 4096:
        assert {each.code for each in results} == {"arguments.invalid"}
        assert "key" in str(results[0])
    else:
        assert all(isinstance(each, Completed) for each in results)
        assert results[1].replayed


@pytest.mark.parametrize("field", ["user", "agent", "run", "roles"])
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_a_session_of_such_a_name_is_refused(field: str, text: str) -> None:
    options: dict[str, Any] = {"user": "kim", field: [text] if field == "roles" else text}
    async with memory_broker([look], decide=lambda _: permitted()) as broker:
        with pytest.raises(ConfigError, match=field.removesuffix("s")):
            async with open_session(broker, **options):
                pass

        assert broker.open_runs == set()
        assert not broker.trace.entries


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_a_prompt_may_be_anything(text: str) -> None:
    async with (
        memory_broker([look], decide=lambda _: permitted()) as broker,
        open_session(broker, user="kim", prompt=text) as session,
    ):
        assert isinstance(
            await broker.call(session, ToolCall("look", {"word": "a"})), Completed
        )
