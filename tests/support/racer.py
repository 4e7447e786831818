"""A process of its own that races for something in a shared state file.

    racer.py WHAT STATE_FILE ARGUMENT...

It says `ready`, waits for a line, runs, and prints one JSON line with what it got. Asked to
`die`, it kills itself the moment the write is durable, as a machine would.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import structlog
from people import START, STATE_KEYS, Clock, desk

from permissions.approval.store import SCHEMA as REQUESTS
from permissions.approval.store import SqliteRequestStore
from permissions.database import StateDatabase
from permissions.errors import ApprovalUsedError
from permissions.execution.journal import SCHEMA as JOURNAL
from permissions.execution.journal import Fresh, JournalKey, SqliteJournal
from permissions.model import Digest
from permissions.obligations import budget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SCHEMAS = [REQUESTS, JOURNAL, budget.SCHEMA]
CLOCK = Clock(START + 1)
KEY = JournalKey("run-1", "call-1", Digest("sha256:" + "c" * 64), Digest("sha256:" + "a" * 64))


async def consume(database: StateDatabase, request: str, binding: str) -> bool:
    try:
        service = desk(SqliteRequestStore(database, STATE_KEYS), CLOCK)
        await service.consume(request, Digest(binding))
    except ApprovalUsedError:
        return False
    return True


async def begin(database: StateDatabase) -> bool:
    return isinstance(await SqliteJournal(database, STATE_KEYS, clock=CLOCK).begin(KEY), Fresh)


async def reserve(database: StateDatabase, amount: str) -> bool:
    ledger = budget.SqliteBudgetLedger(database)
    return isinstance(await ledger.reserve("run-1", {"cents": int(amount)}), budget.Reserved)


WORK: dict[str, Callable[..., Awaitable[bool]]] = {
    "consume": consume,
    "begin": begin,
    "reserve": reserve,
}


async def main(what: str, path: str, tasks: str, *arguments: str) -> None:
    won = 0
    die = tasks == "die"

    async def race(database: StateDatabase) -> None:
        nonlocal won
        if await WORK[what](database, *arguments):
            won += 1
        if die:
            os.kill(os.getpid(), signal.SIGKILL)

    async with StateDatabase(Path(path), SCHEMAS, busy_seconds=30) as database:
        say("ready")
        await anyio.to_thread.run_sync(sys.stdin.readline)
        async with anyio.create_task_group() as group:
            for _ in range(1 if die else int(tasks)):
                group.start_soon(race, database)
    say(won)


def say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    anyio.run(main, *sys.argv[1:])
