"""Whose connections a program in a sandbox makes: those of the calls in hand, all of which permit it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from permissions.execution.base import ConnectionAnswer
from permissions.execution.hosted import CallsInHand
from sandbox.egress import EgressRequest

if TYPE_CHECKING:
    from permissions.model import JsonObject

ASKED = EgressRequest("connect", "notes.example", 443)


class Says:
    """A call whose policies say so of each connection."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.asked: list[JsonObject] = []

    async def decide(self, connection: JsonObject) -> ConnectionAnswer:
        self.asked.append(connection)
        return ConnectionAnswer(self.code == "egress.allowed", self.code, len(self.asked))


YES, NO = "egress.allowed", "connection.closed_host"


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ([], "egress.undecided"),
        ([YES], YES),
        ([NO], NO),
        ([YES, YES], YES),
        ([YES, NO], NO),
        ([NO, YES], NO),
        ([YES, None], "egress.undecided"),
    ],
    ids=["none", "yes", "no", "both", "second-no", "first-no", "ungated"],
)
async def test_every_call_in_hand_has_to_permit_it(
    calls: list[str | None], reason: str
) -> None:
    gate = CallsInHand()
    gates = [None if code is None else Says(code) for code in calls]

    with ExitStack() as stack:
        for each in gates:
            stack.enter_context(gate.during(each))
        decided = await gate.decide(ASKED)

    assert (decided.permitted, decided.reason) == (reason == YES, reason)


async def test_between_calls_nothing_is_reached() -> None:
    gate, call = CallsInHand(), Says(YES)
    with gate.during(call):
        assert (await gate.decide(ASKED)).permitted

    assert not (await gate.decide(ASKED)).permitted
    assert [each["host"] for each in call.asked] == ["notes.example"]
