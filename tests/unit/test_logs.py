"""The log: nothing on stdout, and nothing of a call in any line."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faults import Point, tapped

from permissions.logs import get_logger
from permissions.sessions.open import open_session
from permissions.testing import (
    Person,
    asking,
    memory_broker,
    permitted,
)
from permissions.tools.call import ToolCall
from sandbox.logs import get_logger as sandbox_logger
from wardline import tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.stdlib import BoundLogger

    from permissions.model import JsonObject

SECRET = "QZXJ-the-value"


@tool(effect="send", impact="low")
async def send(to: str) -> str:
    """Sends, or fails with what it was given."""
    if to == "fail":
        raise ValueError(SECRET)
    return SECRET


def decide(document: JsonObject) -> JsonObject:
    return asking() if document["context"]["approval"] is None else permitted()


def raise_it() -> None:
    raise KeyError(SECRET)


FAULTS = [
    Point("pdp", "evaluate"),
    Point("trace", "append"),
    Point("trace", "append", 3),
    Point("journal", "finish"),
    Point("approvals", "consume"),
]


@pytest.mark.parametrize("point", FAULTS, ids=str)
async def test_no_line_holds_an_argument_a_result_or_a_foreign_error(
    point: Point, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ToolCall("send", {"to": SECRET}, key=SECRET)
    with caplog.at_level(logging.DEBUG, logger="wardline"):
        async with (
            memory_broker([send], decide=decide) as broker,
            open_session(broker, user="alice", prompt=SECRET) as session,
        ):
            pending: Any = await broker.call(session, call)
            await Person().answer(broker, pending.access_request)
            await tapped(broker, session, point, raise_it).call(session, call)
            await broker.call(session, call)
            await broker.call(session, ToolCall(SECRET, {SECRET: SECRET}))

    said = capsys.readouterr()
    assert len(caplog.records) >= 3
    assert SECRET not in caplog.text
    assert said.out == ""
    assert SECRET not in said.err


def test_a_line_is_an_event_and_its_keys(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="wardline"):
        get_logger("part").info("thing_happened", call="call-1", text="two words\nand a line")

    (record,) = caplog.records
    assert record.name == "wardline.part"
    assert record.getMessage().startswith("event=thing_happened call=call-1 text=")
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize(
    "get",
    [get_logger, sandbox_logger],
    ids=["permissions", "sandbox"],
)
def test_no_control_character_reaches_a_terminal(
    get: Callable[[str], BoundLogger], caplog: pytest.LogCaptureFixture
) -> None:
    hostile = "run\x1b[2J\r\n\x9b1;1H\u202e\u2028end\udc80"
    with caplog.at_level(logging.INFO):
        get("part").info(
            "thing_happened", run=hostile, path=Path(hostile), exc_info=ValueError(hostile)
        )

    (record,) = caplog.records
    said = record.getMessage()
    assert said.isprintable()
    assert "u001b" in said or "x1b" in said
    assert "end" in said
    assert "ValueError" in said


def test_what_the_program_does_not_want_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The threshold is the program's own."""
    with caplog.at_level(logging.ERROR, logger="wardline"):
        get_logger("part").warning("thing_happened")

    assert caplog.records == []
