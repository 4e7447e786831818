"""A process that asks for an approval, waits for people in other processes, and goes on.

waiting_agent.py STATE_FOLDER EXPIRES_IN_SECONDS QUORUM
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import structlog
from people import APPROVERS, REASON, STATE_KEYS, payment

from permissions.approval.service import ApprovalService
from permissions.approval.store import SCHEMA, SqliteRequestStore
from permissions.broker.ports import now_us
from permissions.database import STATE_FILE, StateDatabase
from permissions.setup.layout import StateLayout
from permissions.trace.vault import make_kek

WAIT_SECONDS = 150


async def main(folder: str, seconds: str, quorum: str) -> None:
    make_kek(StateLayout(Path(folder)).kek, random=lambda count: b"k" * count)
    call = payment(quorum=int(quorum), expires_in_seconds=int(seconds))
    async with StateDatabase(Path(folder) / STATE_FILE, [SCHEMA]) as database:
        service = ApprovalService(
            SqliteRequestStore(database, STATE_KEYS),
            APPROVERS,
            clock=now_us,
            new_id=lambda: "ar-1",
        )
        request = await service.submit(call, [REASON])
        say(request.id)
        answered = await service.wait(request.id, WAIT_SECONDS)
        say(answered.status)
        if answered.status == "approved":
            await service.consume(request.id, call.binding)
            say("ran")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    anyio.run(main, *sys.argv[1:])
