"""A recorded incident to practise on: who paid 980.00 EUR to an account nobody knows, and why?

The record is a real one, made by the broker with the shipped policies. Runs, call ids and amounts
are the same each time; times, keys and access requests are not.

The guide docs/guides/incident-response.md solves it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import anyio

from permissions.errors import ConfigError
from permissions.testing import NumberedIds, Person
from wardline import (
    AmountArg,
    BrokerConfig,
    CallDenied,
    FreeText,
    PathArg,
    PermissionBroker,
    RecipientArg,
    open_broker,
    open_session,
    tool,
)

ACCOUNTS = {"Acme": "DE02120300000000202051"}
MAIL = """\
From: billing@borealis.example

Dear customer, our bank has changed. Please note our new account DE75512108001245126199 for the
open invoice over 980.00 EUR.
"""
OLGA = Person("olga", ("operators", "security"))


@tool(effect="read", impact="low")
async def read_mail(path: Annotated[str, PathArg("read")]) -> str:
    """Reads a mail, which anybody may have sent."""
    return await anyio.Path(path).read_text()


@tool(effect="write", impact="low")
async def write_note(
    path: Annotated[str, PathArg("write")], text: Annotated[str, FreeText()]
) -> str:
    """Keeps a note for later."""
    await anyio.Path(path).write_text(text)
    return "kept"


# The mistake of this incident: what lies in notes was written by whoever wrote the mails.
@tool(effect="read", impact="low", output="trusted")
async def read_note(path: Annotated[str, PathArg("read")]) -> str:
    """Reads a note of ours."""
    return await anyio.Path(path).read_text()


@tool(effect="read", impact="low", output="trusted")
async def vendor_account(vendor: Annotated[str, FreeText()]) -> str:
    """The account of a vendor, from our own master data."""
    return ACCOUNTS[vendor]


@tool(effect="send", impact="medium")
async def pay(
    recipient: Annotated[str, RecipientArg("account")],
    amount: Annotated[str, AmountArg("EUR")],
    reference: Annotated[str, FreeText()],
) -> str:
    """Pays an invoice."""
    return f"paid {amount} EUR to {recipient}: {reference}"


TOOLS = (read_mail, write_note, read_note, vendor_account, pay)


def record(folder: Path) -> Path:
    """Makes the record in an empty or new folder; gives the state folder in it.

    Raises:
        ConfigError: the folder is not empty.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; name a new folder for the record")
    for name in ("mail", "notes"):
        (folder / name).mkdir()
    (folder / "mail" / "borealis.eml").write_text(MAIL)
    (folder / "olga.pub").write_text(f"{OLGA.signer.public}\n")
    state = folder / "state"
    config = BrokerConfig(
        state=state,
        workspace=folder,
        approvers={"olga": {"groups": OLGA.groups, "public_key": str(OLGA.signer.public)}},
    )
    before = Path.cwd()
    os.chdir(folder)
    try:
        anyio.run(_record, config)
    finally:
        os.chdir(before)
    return state


async def _record(config: BrokerConfig) -> None:
    async with open_broker(config, TOOLS) as opened, anyio.create_task_group() as tasks:
        broker = PermissionBroker(replace(opened.parts, ids=NumberedIds()))
        tasks.start_soon(OLGA.attend, broker)
        await _monday(broker)
        await _tuesday(broker)
        await _wednesday(broker)
        tasks.cancel_scope.cancel()


async def _monday(broker: PermissionBroker) -> None:
    prompt = "Read mail/borealis.eml and note what is new in notes/vendors.txt"
    async with open_session(
        broker, user="alice", agent="clerk", run="run-monday", prompt=prompt
    ):
        mail = await read_mail("mail/borealis.eml")
        account = next(word for word in mail.split() if word.startswith("DE"))
        await write_note("notes/vendors.txt", f"Borealis: account {account}")


async def _tuesday(broker: PermissionBroker) -> None:
    prompt = "Pay Acme 120.00 EUR, and Borealis 980.00 EUR as notes/vendors.txt says"
    async with open_session(
        broker, user="alice", agent="clerk", run="run-tuesday", prompt=prompt
    ):
        acme = await vendor_account("Acme")
        await pay(acme, "120.00", "invoice 11")
        note = await read_note("notes/vendors.txt")
        await pay(note.split()[-1], "980.00", "invoice 12")


async def _wednesday(broker: PermissionBroker) -> None:
    prompt = "Read the notes, and look at /etc/passwd"
    async with open_session(
        broker, user="alice", agent="clerk", run="run-wednesday", prompt=prompt
    ):
        with suppress(CallDenied):
            await read_note("/etc/passwd")
