"""What evaluates the policies dies, and dies again whenever it is started anew."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from permissions.drills.result import Drill
from permissions.drills.stage import call, ran, told
from permissions.drills.tools import CLERK, MAIL
from permissions.errors import ConfigError
from permissions.model import Denial
from permissions.sessions.open import open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from permissions.drills.stage import Stage

DRILL = Drill(
    "evaluator-down",
    "Nothing evaluates the policies",
    "docs/operations/runbooks/undecided.md",
)
RUN = "drill-evaluator-down"
CALLS = 2
BACK_SECONDS = 30.0
"""For it to be back once nothing kills it."""


async def play(stage: Stage) -> None:
    """Plays it.

    Raises:
        ConfigError: the settings ask an OPA server, which is not this drill's to end.
    """
    if stage.copy.config.pdp.engine != "embedded":
        raise ConfigError(
            "these settings ask an OPA server; this drill ends the embedded evaluator alone."
            " Practise with the server yourself: stop it, and follow the runbook"
        )
    (stage.copy.workspace / "borealis.eml").write_text(MAIL)
    async with (
        stage.broker(CLERK) as broker,
        open_session(broker, user="alice", agent="drill-clerk", run=RUN) as session,
    ):
        async with _dying():
            stage.happened("each evaluator is killed as soon as it is there")
            ended = [
                await call(broker, session, "read_mail", path="borealis.eml")
                for _ in range(CALLS)
            ]
            first = ended[0]
            code = first.code if isinstance(first, Denial) else "none"
            with stage.phase("detect"):
                await stage.run("wardline trace find --rule CODE", {"CODE": code}, says=RUN)
                await stage.run("wardline trace why CALL", {"CALL": first.call}, says=code)
            with stage.phase("stop"):
                stage.check(
                    "nothing runs undecided",
                    holds=not any(map(ran, ended)) and code.startswith("policy."),
                    said=told(first),
                )
        back = first
        with stage.phase("stop"):
            with anyio.move_on_after(BACK_SECONDS):
                while not ran(back):
                    back = await call(broker, session, "read_mail", path="borealis.eml")
            stage.check("it decides again by itself", holds=ran(back), said=told(back))
    with stage.phase("prove"):
        await stage.run("wardline trace verify", says="consistent")
        await stage.run("wardline trace replay", says="replayed")


@asynccontextmanager
async def _dying() -> AsyncIterator[None]:
    """Kills this process's evaluators for as long as it lasts."""

    async def kill() -> None:
        while True:
            for pid in _evaluators():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await anyio.sleep(0.005)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kill)
        await anyio.sleep(0.05)
        yield
        tasks.cancel_scope.cancel()


def _evaluators() -> Iterator[int]:
    """Children of this process that evaluate policies."""
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            for pid in (task / "children").read_text().split():
                if b"pdp" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    yield int(pid)
