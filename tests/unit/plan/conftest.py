"""An accountant's tools, and the plan that pays one invoice with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from permissions.plan.model import Plan, PlannedTool, plan_from
from permissions.tools.decorator import tool
from permissions.tools.registry import ToolRegistry

if TYPE_CHECKING:
    from permissions.model import JsonObject

NOW = 1_795_500_000_000_000
HOUR = 3_600_000_000


@dataclass(frozen=True)
class Contact:
    account: str
    name: str
    age: int


@dataclass(frozen=True)
class Invoice:
    account: str
    cents: int
    text: str


@tool(effect="read", output="trusted")
def find_contact(name: str) -> Contact:
    raise NotImplementedError(name)


@tool(effect="read")
def read_invoice(name: str) -> Invoice:
    raise NotImplementedError(name)


@tool(effect="read")
def list_files(folder: str = ".") -> list[str]:
    raise NotImplementedError(folder)


@tool(effect="read", output="trusted")
def shout(text: str) -> str:
    raise NotImplementedError(text)


@tool(effect="read", output="trusted")
def join(first: str, second: str) -> str:
    raise NotImplementedError(first, second)


@tool(effect="send", impact="high", control=["account", "cents", "urgent"])
def pay(account: str, cents: int, note: str = "", *, urgent: bool = False) -> str:
    raise NotImplementedError(account, cents, note, urgent)


@tool(effect="write", impact="low", control=["folder"])
def file_away(folder: str) -> None:
    raise NotImplementedError(folder)


@tool(effect="irreversible", impact="low")
def shred(name: str) -> None:
    raise NotImplementedError(name)


@tool(effect="write", output="trusted")
def write_note(text: str) -> str:
    raise NotImplementedError(text)


@pytest.fixture(scope="session")
def tools() -> dict[str, PlannedTool]:
    """What the session may call."""
    registry = ToolRegistry(
        [find_contact, read_invoice, list_files, shout, join, pay, file_away, shred, write_note]
    )
    return {each.name: each for each in registry}


@pytest.fixture
def document() -> JsonObject:
    """A plan that is accepted as it stands."""
    return {
        "id": "pay-acme",
        "goal": "Pay ACME's invoice for March",
        "subject": "agent:clerk",
        "on_behalf_of": "user:alice",
        "budget": {"calls": 5},
        "expires_at": NOW + HOUR,
        "read_scope": ["list_files"],
        "steps": [
            {
                "id": "contact",
                "tool": "find_contact",
                "arguments": {"name": {"user": "ACME"}},
            },
            {
                "id": "invoice",
                "tool": "read_invoice",
                "arguments": {"name": {"literal": "march.pdf"}},
            },
            {
                "id": "pay",
                "tool": "pay",
                "needs": ["contact", "invoice"],
                "arguments": {
                    "account": {"step": "contact", "pointer": "/account"},
                    "cents": {
                        "step": "invoice",
                        "pointer": "/cents",
                        "extract": {"type": "integer", "minimum": 1, "maximum": 100_000},
                    },
                    "note": {"hole": {"type": "string", "maxLength": 80}, "kind": "free_text"},
                },
            },
        ],
    }


@pytest.fixture
def plan(document: JsonObject) -> Plan:
    """The same, read."""
    return plan_from(document)
