"""The tools of the demo's agent: plain functions, each with what the broker must know of it.

They know nothing of policies, plans or approvals, and could be any program's own.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout, suppress
from contextvars import ContextVar
from decimal import Decimal
from email import message_from_bytes, policy
from itertools import count
from pathlib import Path
from typing import Annotated, Any

from wardline import (
    AmountArg,
    FreeText,
    PathArg,
    RecipientArg,
    tool,
)
from wardline.plan import approve_plan

WORKSPACE = ContextVar("demo_workspace", default=Path())
"""The folder the job is about."""


def _inside(path: str) -> Path:
    return WORKSPACE.get() / path


@tool(effect="read", impact="low")
def list_folder(path: Annotated[str, PathArg("read")]) -> list[str]:
    """Lists the files of a folder."""
    return sorted(file.name for file in _inside(path).iterdir() if file.is_file())


@tool(effect="read", impact="low")
def read_document(path: Annotated[str, PathArg("read")]) -> str:
    """Reads an invoice or a note."""
    return _inside(path).read_text(errors="replace")


@tool(effect="read", impact="low")
def read_mail(path: Annotated[str, PathArg("read")]) -> dict[str, str]:
    """Reads one mail of the mailbox: sender, subject, text."""
    mail = message_from_bytes(_inside(path).read_bytes(), policy=policy.default)
    body = mail.get_body(("plain",))
    return {
        "from": str(mail["From"]),
        "subject": str(mail["Subject"]),
        "text": body.get_content() if body else "",
    }


@tool(effect="read", impact="low", output="trusted")
def vendor_account(vendor: Annotated[str, FreeText()]) -> str:
    """Looks a vendor's account up in the master data, which only bookkeeping can write."""
    accounts: dict[str, str] = json.loads(_inside("vendors.json").read_text())
    return accounts[vendor]


@tool(effect="execute", impact="low", sandbox="process")
def run_python(
    code: Annotated[str, FreeText()], data: Annotated[list[str], FreeText()]
) -> dict[str, Any]:
    """Runs a few lines of Python over data, in a disposable sandbox; returns what they print.

    The lines find the data as `data`, and `Decimal` for money.
    """
    printed = io.StringIO()
    names = {"data": data, "Decimal": Decimal}
    with redirect_stdout(printed):
        exec(code, names)  # noqa: S102 - what the sandbox is for
    return {"printed": printed.getvalue()}


@tool(effect="send", impact="medium")
def draft_payment(
    recipient: Annotated[str, RecipientArg("account")],
    amount: Annotated[str, AmountArg("EUR")],
    reference: Annotated[str, FreeText()],
) -> str:
    """Puts a payment into the outbox of the bank."""
    return _draft("payment", {"recipient": recipient, "amount": amount, "reference": reference})


@tool(effect="send", impact="medium")
def draft_mail(
    to: Annotated[str, RecipientArg("email")],
    subject: Annotated[str, FreeText()],
    body: Annotated[str, FreeText()],
) -> str:
    """Puts a mail into the outbox."""
    return _draft("mail", {"to": to, "subject": subject, "body": body})


@tool(effect="irreversible", impact="high")
def delete_mail(path: Annotated[str, PathArg("write")]) -> str:
    """Deletes a mail for good."""
    _inside(path).unlink()
    return f"deleted {path}"


def _draft(kind: str, content: dict[str, str]) -> str:
    outbox = _inside("outbox")
    outbox.mkdir(exist_ok=True)
    text = json.dumps(content, indent=2) + "\n"
    # Calls run at the same time, and each has a file of its own.
    drafts = (outbox / f"{kind}-{number:02}.json" for number in count(1))
    return f"outbox/{next(each for each in drafts if _is_written(each, text)).name}"


def _is_written(draft: Path, text: str) -> bool:
    """Writes a file, unless somebody else has one of its name."""
    with suppress(FileExistsError), draft.open("x") as file:
        file.write(text)
        return True
    return False


TOOLS = (
    list_folder,
    read_document,
    read_mail,
    vendor_account,
    run_python,
    draft_payment,
    draft_mail,
    delete_mail,
    approve_plan,
)
