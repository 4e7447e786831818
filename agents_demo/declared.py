"""The plan the demo's agent declares before it reads anything untrusted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from permissions.plan.model import plan_from

if TYPE_CHECKING:
    from permissions.plan.model import Plan

MOST_DOCUMENTS = 50
HOUR = 3600 * 1_000_000
_AMOUNT = {"type": "string", "pattern": r"\d{1,7}\.\d{2}", "maxLength": 10}
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


def plan_for(request: str, *, now: int) -> Plan:
    """The plan for a request: read, add up, look accounts up, pay, report.

    The recipient of a payment is what the master data returned for a vendor the person named,
    its amount is one the person named, and the summary goes to the address the person named.
    Documents may fill in references and text, and nothing else.
    """
    payments = max(1, len(re.findall(r"\d+\.\d{2}", request)))
    to = _ADDRESS.findall(request)
    text = {"hole": {"type": "string", "maxLength": 2000}, "kind": "free_text"}
    path = {
        "hole": {
            "type": "string",
            "pattern": r"(invoices|mail)/[A-Za-z0-9._-]{1,80}",
            "maxLength": 90,
        },
        "sources": ["tool", "untrusted", "unknown"],
    }
    person = {"hole": {"type": "string", "maxLength": 80}, "sources": ["user"]}
    steps: list[dict[str, Any]] = [
        {
            "id": "list",
            "tool": "list_folder",
            "uses": 2,
            "arguments": {
                "path": {"hole": {"enum": ["invoices", "mail"]}, "sources": ["user", "unknown"]}
            },
        },
        {
            "id": "read-invoice",
            "tool": "read_document",
            "uses": MOST_DOCUMENTS,
            "needs": ["list"],
            "arguments": {"path": path},
        },
        {
            "id": "read-mail",
            "tool": "read_mail",
            "uses": MOST_DOCUMENTS,
            "needs": ["list"],
            "arguments": {"path": path},
        },
        {
            "id": "add-up",
            "tool": "run_python",
            "uses": 1,
            "needs": ["read-invoice"],
            "arguments": {
                "code": {"hole": {"type": "string", "maxLength": 8000}, "kind": "free_text"},
                "data": {
                    "hole": {"type": "array", "items": _AMOUNT, "maxItems": 50},
                    "kind": "free_text",
                },
            },
        },
        {
            "id": "account",
            "tool": "vendor_account",
            "uses": payments,
            "arguments": {"vendor": person},
        },
        {
            "id": "pay",
            "tool": "draft_payment",
            "uses": payments,
            "needs": ["account", "add-up"],
            "arguments": {
                "recipient": {"step": "account", "pointer": ""},
                "amount": {"hole": _AMOUNT, "sources": ["user"]},
                "reference": text,
            },
        },
        *(
            {
                "id": f"report-{index}",
                "tool": "draft_mail",
                "needs": ["pay"],
                "arguments": {"to": {"user": address}, "subject": text, "body": text},
            }
            for index, address in enumerate(to[-1:])
        ),
    ]
    return plan_from(
        {
            "id": "pay-invoices",
            "goal": request[:2000],
            "subject": "agent:invoice-agent",
            "on_behalf_of": "user:alice",
            "steps": steps,
            "budget": {"calls": sum(step.get("uses", 1) for step in steps)},
            "expires_at": now + HOUR,
        }
    )
