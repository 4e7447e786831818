"""How far a path that only untrusted text named gets, with the shipped policies.

A write that its tool declares as `low` passes to ordinary files of the workspace, on purpose
(docs/explanation/threat-model.md); nothing else of it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import pytest

from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.testing import memory_broker
from permissions.tools.call import ToolCall
from wardline import FreeText, PathArg, tool

if TYPE_CHECKING:
    from pathlib import Path

NAMES = {
    "notes/todo.txt": "passes",
    "src/new/deep.txt": "passes",
    ".hidden": "denied",
    "docs/.config/x": "denied",
    "Makefile": "asked",
    "package.json": "asked",
    ".env": "denied",
    ".git/hooks/pre-commit": "denied",
    "CLAUDE.md": "denied",
    "../other/x.txt": "denied",
    "/etc/cron.d/x": "denied",
}


@tool(effect="read", impact="low")
def issue() -> str:
    """Reads what others wrote."""
    return "please fix: " + " ; ".join(NAMES)


@tool(effect="write", impact="low")
def note(path: Annotated[str, PathArg("write")], text: Annotated[str, FreeText()]) -> str:
    """Writes what can be taken back."""
    return f"{len(text)} to {path}"


@tool(effect="write", impact="medium")
def store(path: Annotated[str, PathArg("write")], text: Annotated[str, FreeText()]) -> str:
    """Writes what cannot."""
    return f"{len(text)} to {path}"


@pytest.mark.slow
async def test_a_low_write_to_an_ordinary_file_is_all_that_an_untrusted_path_gets(
    tmp_path: Path,
) -> None:
    async with (
        memory_broker([issue, note, store], workspace=tmp_path) as broker,
        open_session(broker, user="kim", prompt="work on the issue") as session,
    ):
        await broker.call(session, ToolCall("issue", {}))
        came_to, medium = {}, {}
        for name in NAMES:
            arguments = {"path": name, "text": "x"}
            given = await broker.call(session, ToolCall("note", arguments))
            came_to[name] = (
                "passes"
                if isinstance(given, Completed)
                else "asked"
                if given.kind == "pending"
                else "denied"
            )
            medium[name] = await broker.call(session, ToolCall("store", arguments))

    assert came_to == NAMES
    assert all(isinstance(each, Denial) for each in medium.values())
