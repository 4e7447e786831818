"""What a plan takes from untrusted text through an extractor: never without a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest

from permissions.model import Completed, Denial
from permissions.plan.model import plan_from
from permissions.sessions.open import open_session
from permissions.testing import Person, memory_broker
from permissions.tools.call import ToolCall
from wardline import AmountArg, FreeText, RecipientArg, SecretArg, tool

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = "DE89370400440532013000"
OTHER = "DE02120300000000202051"
FINANCE = Person("olga", ("operators", "finance"))
EXTRACT = {"type": "string", "pattern": "[A-Z]{2}[0-9]{20}", "maxLength": 22}


@tool(effect="read", impact="low")
async def read_invoice(name: Annotated[str, FreeText()]) -> dict[str, str]:
    return {"name": name, "account": ACCOUNT, "text": f"not to {OTHER}, please"}


@tool(effect="send", impact="medium")
async def pay(
    account: Annotated[str, RecipientArg("account")], amount: Annotated[float, AmountArg()]
) -> str:
    return f"{amount} to {account}"


@tool(effect="write", impact="medium")
async def sign_in(key: Annotated[str, SecretArg()]) -> str:
    return f"signed in with {len(key)}"


def steps(tool_name: str, argument: str, given: dict[str, Any]) -> list[dict[str, Any]]:
    amount = {"amount": {"user": 98}} if tool_name == "pay" else {}
    return [
        {"id": "read", "tool": "read_invoice", "arguments": {"name": {"user": "march"}}},
        {
            "id": "act",
            "tool": tool_name,
            "needs": ["read"],
            "arguments": {argument: given, **amount},
        },
    ]


REFERENCE = {"step": "read", "pointer": "/account", "extract": EXTRACT}
HOLE = {"hole": EXTRACT, "sources": ["untrusted"]}
TRUSTED_HOLE = {"hole": {"type": "string"}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "call", "ends"),
    [
        (REFERENCE, ("pay", {"account": ACCOUNT, "amount": 98}), "asked"),
        (HOLE, ("pay", {"account": ACCOUNT, "amount": 98}), "asked"),
        (REFERENCE, ("sign_in", {"key": ACCOUNT}), "asked"),
        (REFERENCE, ("pay", {"account": OTHER, "amount": 98}), "denied"),
        (TRUSTED_HOLE, ("pay", {"account": ACCOUNT, "amount": 98}), "denied"),
    ],
    ids=["reference", "hole", "credential", "another-value", "no-extractor"],
)
async def test_an_extracted_value_is_shown_to_a_person(
    given: dict[str, Any], call: tuple[str, dict[str, Any]], ends: str, tmp_path: Path
) -> None:
    name, arguments = call
    async with memory_broker(
        [read_invoice, pay, sign_in], people=[FINANCE], workspace=tmp_path
    ) as broker:
        plan = plan_from(
            {
                "id": "march",
                "goal": "pay the invoice",
                "subject": "agent:bot",
                "on_behalf_of": "user:alice",
                "budget": {"calls": 5},
                "expires_at": broker.parts.clock() + 3_600_000_000,
                "steps": steps(name, next(iter(arguments)), given),
            }
        )
        said = "Pay 98 for the invoice march."
        async with open_session(
            broker, user="alice", agent="bot", prompt=said, plan=plan
        ) as session:
            read = await broker.call(session, ToolCall("read_invoice", {"name": "march"}))
            assert isinstance(read, Completed)
            result = await broker.call(session, ToolCall(name, arguments))

            assert isinstance(result, Denial)
            assert result.kind == ("pending" if ends == "asked" else "denied"), result.reasons
            if ends == "asked":
                assert result.access_request
                asked = await broker.parts.approvals.get(result.access_request)
                assert "provenance.untrusted_extracted" in [each.code for each in asked.reasons]
                await FINANCE.answer(broker, asked.id)
                again = await broker.call(session, ToolCall(name, arguments))
                assert isinstance(again, Completed)
