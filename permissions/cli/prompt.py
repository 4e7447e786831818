"""Asks the person at the terminal, so that Ctrl-C still ends the program.

A thread that waits for a line cannot be cancelled, and an ordinary one keeps the process from
ending. This one is left behind and dies with the process; the line it waits for is lost.
"""

from __future__ import annotations

import functools
import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio import from_thread
from anyio.lowlevel import current_token

from permissions.approval import console
from permissions.broker.ports import now_us

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.approval.console import Answer
    from permissions.approval.model import AccessRequest


async def ask_person(request: AccessRequest, *, write: Callable[[str], object]) -> Answer:
    """Shows the request with `write`, asks on the terminal, and gives the answer."""
    return await _in_daemon_thread(
        functools.partial(
            console.ask, request, now=now_us(), read=input, write=write, width=terminal_width()
        )
    )


def terminal_width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size((console.WIDTH, 24)).columns


async def _in_daemon_thread(work: Callable[[], Answer]) -> Answer:
    done, token = anyio.Event(), current_token()
    answers: list[Answer] = []

    def run() -> None:
        try:
            answers.append(work())
        finally:
            with suppress(anyio.RunFinishedError):  # the program ended meanwhile
                from_thread.run_sync(done.set, token=token)

    threading.Thread(target=run, name="terminal", daemon=True).start()
    await done.wait()
    # Without an answer the thread printed why; nobody was heard.
    return answers[0] if answers else "later"
