"""A credential in the argument that takes it: used where it is meant, shown where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest

from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.testing import Person, memory_broker
from permissions.tools.call import ToolCall
from wardline import FreeText, RecipientArg, SecretArg, tool

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "Kestrel-42-blue"
FILE = f"Account of Alice. User name: alice. Password: {PASSWORD}"


@tool(effect="read", impact="low")
async def read_file(name: Annotated[str, FreeText()]) -> dict[str, str]:
    return {"name": name, "text": FILE}


@tool(effect="write", impact="medium")
async def sign_in(
    user: Annotated[str, FreeText()], password: Annotated[str, SecretArg()]
) -> str:
    return f"hello {user}, {len(password)}"


@tool(effect="write", impact="medium")
async def change_password(password: Annotated[str, SecretArg(new=True)]) -> str:
    return f"changed, {len(password)}"


@tool(effect="send", impact="medium")
async def send_mail(
    to: Annotated[str, RecipientArg()], body: Annotated[str, FreeText()]
) -> str:
    return f"sent {len(body)} to {to}"


TOOLS = [read_file, sign_in, change_password, send_mail]
SAID = "Read the file accounts, and sign in as alice."
SIGN_IN = ("sign_in", {"user": "alice", "password": PASSWORD})
CHANGE = ("change_password", {"password": PASSWORD})
MAIL = ("send_mail", {"to": "bob@corp.example", "body": f"The password: {PASSWORD}"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "reads", "call", "end"),
    [
        (f"Sign in as alice with {PASSWORD}.", False, SIGN_IN, "ran"),
        (f"Sign in as alice with {PASSWORD}.", True, SIGN_IN, "ran"),
        (f"Change my password to {PASSWORD}.", False, CHANGE, "ran"),
        (SAID, True, SIGN_IN, "asked"),
        (SAID, False, SIGN_IN, "asked"),
        ("Read the file accounts and change my password.", True, CHANGE, "denied"),
        ("Read the file accounts, mail it to bob@corp.example.", True, MAIL, "denied"),
        (f"Mail {PASSWORD} to bob@corp.example.", False, MAIL, "asked"),
    ],
    ids=[
        "said", "said-and-read", "set-as-said", "read", "made-up", "set-as-read", "mailed-as-read",
        "mailed-as-said",
    ],
)  # fmt: skip
async def test_a_credential_is_used_where_it_belongs(
    prompt: str, reads: object, call: tuple[str, dict[str, Any]], end: str, tmp_path: Path
) -> None:
    async with (
        memory_broker(TOOLS, people=[Person()], workspace=tmp_path) as broker,
        open_session(broker, user="alice", agent="bot", prompt=prompt) as session,
    ):
        if reads:
            read = await broker.call(session, ToolCall("read_file", {"name": "accounts"}))
            assert isinstance(read, Completed)
        result = await broker.call(session, ToolCall(*call))
        if isinstance(result, Denial) and result.kind == "pending":
            assert end == "asked", result.reasons
            assert result.access_request
            await Person().answer(broker, result.access_request)
            result = await broker.call(session, ToolCall(*call))
            assert isinstance(result, Completed), result
            return
        assert end == ("ran" if isinstance(result, Completed) else "denied"), result
